"""In other programs' loops, with the real toolkits: a window goes on while a thousand slow clients are served.

Frame times are told in the report, and not judged: these machines are shared.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from real import has, need
from test_readme import WINDOWS as WINDOWS_OF_THE_README

WINDOWS = Path(__file__).resolve().parent / "windows"
SLOW = 1000
CALM_SECONDS = 1.0
LOAD_SECONDS = 2.0
SECONDS_MOST = 20.0


@contextmanager
def display() -> Iterator[str]:
    """A screen in memory, of a number that nobody has."""
    need(shutil.which("Xvfb"), "Xvfb")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=[writing]) as server:
        os.close(writing)
        try:
            with open(reading) as told:
                yield f":{told.readline().strip()}"
        finally:
            server.terminate()


class Talk:
    """A connection on which lines are said and answered."""

    def __init__(self, port: int) -> None:
        self.channel = socket.create_connection(("127.0.0.1", port), SECONDS_MOST)
        self.file = self.channel.makefile("rwb", buffering=0)

    def ask(self, line: bytes) -> bytes:
        self.file.write(line)
        answer: bytes = self.file.readline()
        return answer

    def close(self) -> None:
        self.file.close()
        self.channel.close()


def under_load(
    name: str, environment: dict[str, str], click: Callable[[str], None] | None = None, *words: str
) -> dict[str, Any]:
    """Run a window alone, then beside slow clients and a busy one; return what it tells of itself."""
    program = [sys.executable, str(WINDOWS / name), *words]
    with ExitStack() as stack:
        window = stack.enter_context(
            subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        )
        stack.callback(window.kill)
        assert window.stdout is not None
        _, port, orders = window.stdout.readline().split()
        order = Talk(int(orders))
        stack.callback(order.close)
        time.sleep(CALM_SECONDS)
        assert order.ask(b"load\n") == b"done\n"
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", int(port)))) for _ in range(SLOW)]
        busy = Talk(int(port))
        stack.callback(busy.close)
        requests, end = 0, time.monotonic() + LOAD_SECONDS
        while time.monotonic() < end:
            assert busy.ask(b"hello\n") == b"HELLO\n"
            slow[requests % SLOW].send(b"x")
            requests += 1
        if click is not None:
            click(order.ask(b"button\n").decode())
        for channel in slow[:3]:
            channel.sendall(b"!\n")
            assert channel.makefile("rb").readline().endswith(b"X!\n")
        order.file.write(b"end\n")
        told: dict[str, Any] = json.loads(window.stdout.readline())
        assert window.wait(SECONDS_MOST) == 0
    print(f"{name}: {requests} requests, {told}")
    assert told["rows"] == SLOW + 2
    assert told["before"]["frames"] and told["under load"]["frames"]
    return told


def test_asyncio() -> None:
    assert under_load("asyncio_loop.py", {})["clicks"] >= 2


def test_uvloop() -> None:
    need(has("uvloop"), "uvloop")
    assert under_load("asyncio_loop.py", {}, None, "uvloop")["clicks"] >= 2


def test_pygame() -> None:
    need(has("pygame"), "pygame")
    quiet = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    assert under_load("pygame_window.py", quiet)["clicks"] >= 2


def test_qt() -> None:
    need(has("PySide6"), "PySide6")
    assert under_load("qt_window.py", {"QT_QPA_PLATFORM": "offscreen"})["clicks"] >= 2


def test_the_readmes_qt() -> None:
    need(has("PySide6"), "PySide6")
    (program,) = (block for block in WINDOWS_OF_THE_README if "PySide6" in block)
    run(program, {"QT_QPA_PLATFORM": "offscreen"})


def test_the_readmes_tk() -> None:
    need(has("tkinter"), "tkinter")
    (program,) = (block for block in WINDOWS_OF_THE_README if "tkinter" in block)
    with display() as screen:
        run(program, {"DISPLAY": screen})


def run(program: str, environment: dict[str, str]) -> None:
    words = [sys.executable, "-c", program]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SECONDS_MOST, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr


def test_ipython() -> None:
    """At its prompt on a real terminal, where nobody types: clients are answered, and then a command is."""
    need(has("IPython"), "IPython")
    with session() as (say, hear):
        hear(b"In [1]")
        say(b"%gui partway\r")
        hear(b"In [2]")
        say(b"print('PORT', listener.address.port)\r")
        port = int(hear(rb"PORT (\d+)\r").group(1))
        hear(b"In [3]")
        talk = Talk(port)
        for _ in range(3):
            assert talk.ask(b"hello\n") == b"HELLO\n"
        say(b"6 * 7\r")
        hear(rb"42")
        assert talk.ask(b"still here\n") == b"STILL HERE\n"
        talk.close()


@contextmanager
def session() -> Iterator[tuple[Callable[[bytes], object], Callable[[bytes], "re.Match[bytes]"]]]:
    """An IPython session on a terminal, with a server in it."""
    ours, theirs = os.openpty()
    code = (
        "import sys; sys.path.insert(0, %r); from common import *; from partway.engine.adapters.ipython import attach;"
    )
    code += "reactor = Reactor(); listener = reactor.listen('127.0.0.1:0', Shout); attach(reactor)"
    words = [
        sys.executable,
        "-m",
        "IPython",
        "--no-banner",
        "--quick",
        "--colors=NoColor",
        "-i",
        "-c",
        code % str(WINDOWS),
    ]
    environment = {**os.environ, "TERM": "vt100", "PROMPT_TOOLKIT_NO_CPR": "1"}
    heard = b""

    def hear(what: bytes) -> "re.Match[bytes]":
        nonlocal heard
        end = time.monotonic() + SECONDS_MOST
        while True:
            found = re.search(what if b"(" in what else re.escape(what), heard)
            if found:
                heard = heard[found.end() :]
                return found
            assert select.select([ours], [], [], end - time.monotonic())[0], heard[-500:]
            heard += re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", os.read(ours, 65536))

    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield lambda data: os.write(ours, data), hear
        finally:
            process.kill()
            os.close(ours)


def test_tk() -> None:
    need(has("tkinter"), "tkinter")
    need(shutil.which("xdotool"), "xdotool")
    with display() as screen:
        environment = {"DISPLAY": screen}

        def click(where: str) -> None:
            words = ["xdotool", "mousemove", *where.split(), "click", "1"]
            subprocess.run(words, env={**os.environ, **environment}, check=True, timeout=SECONDS_MOST)
            time.sleep(0.3)

        assert under_load("tk_window.py", environment, click)["clicks"] == 1
