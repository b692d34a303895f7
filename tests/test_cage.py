"""Where no thread and no process can be started: in a cage of the kernel's own, which kills whoever tries (`cage.py`).

First that the cage does kill. Then the tests of real sockets, and whole servers, inside it.
"""

import http.client
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cage import CALLS

CAGE = str(Path(__file__).with_name("cage.py"))
SECONDS_MOST = 60.0
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in CALLS, reason="the cage is made for Linux on two processors"
)


def caged(*words: str) -> list[str]:
    """A command of this interpreter in the cage."""
    return [sys.executable, CAGE, sys.executable, *words]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    here = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}  # how we are run
    return subprocess.run(caged(*words), capture_output=True, text=True, timeout=SECONDS_MOST, env=here)


# The cage.


@pytest.mark.parametrize(
    "code",
    [
        "import threading; threading.Thread(target=print).start()",
        "import _thread; _thread.start_new_thread(print, ())",
        "import os; os.fork()",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.forkpty()",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        "import concurrent.futures as f; f.ThreadPoolExecutor().submit(print)",
        "import ctypes; ctypes.CDLL(None).fork()",
    ],
)
def test_it_kills(code: str) -> None:
    """Each way of starting a thread or a process, those of C libraries too."""
    assert run("-c", code).returncode == -signal.SIGSYS


def test_it_lets_all_else_be() -> None:
    done = run("-c", "import socket, selectors; socket.socketpair(); print(open('/proc/self/status').read())")
    assert done.returncode == 0
    assert "\nThreads:\t1\n" in done.stdout and "\nSeccomp:\t2\n" in done.stdout


# In the cage.


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("test_conformance.py", 300),
        ("test_conformance_kernel.py", 60),
        ("test_endpoint_kernel.py", 50),
        ("test_selector.py", 30),
        ("test_socket_files.py", 30),
        ("test_slow_clients.py", 50),
    ],
)
def test_the_tests_of_real_sockets(file: str, least: int) -> None:
    """As they are, on this Python. None of them is left out."""
    done = run("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(Path(__file__).with_name(file)))
    assert done.returncode == 0, done.stdout[-2000:]
    passed = sum(line.count(".") for line in done.stdout.splitlines() if line.endswith("%]"))
    assert passed >= least


@contextmanager
def serving(*words: str) -> Iterator[tuple[int, int]]:
    """A command of ours in the cage; its port and its process."""
    command = caged("-m", "partway.protocols", *words)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            assert "listening on" in line, line
            yield int(line.strip().rstrip("/").rpartition(":")[2]), server.pid
            server.send_signal(signal.SIGTERM)
            assert server.wait(SECONDS_MOST) == 0
        finally:
            server.kill()


def test_http_in_the_cage(tmp_path: Path) -> None:
    """Eight requests at once, each partway, and all answered; one thread all the while."""
    (tmp_path / "file").write_bytes(b"contents" * 1000)
    with serving("http", str(tmp_path), "--bind", "127.0.0.1:0", "--quiet") as (port, process):
        channels = [socket.create_connection(("127.0.0.1", port), SECONDS_MOST) for _ in range(8)]
        for channel in channels:
            channel.sendall(b"GET /file HTTP/1.1\r\nHo")
        time.sleep(0.05)
        status = Path(f"/proc/{process}/status").read_text()
        assert "\nThreads:\t1\n" in status and "\nSeccomp:\t2\n" in status
        for channel in channels:
            channel.sendall(b"st: x\r\nConnection: close\r\n\r\n")
        for channel in channels:
            answer = http.client.HTTPResponse(channel)
            answer.begin()
            assert answer.read() == b"contents" * 1000
            answer.close()
            channel.close()


def test_an_echo_in_the_cage() -> None:
    with (
        serving("echo", "--bind", "127.0.0.1:0") as (port, _),
        socket.create_connection(("127.0.0.1", port)) as channel,
    ):
        channel.sendall(b"hello")
        assert channel.recv(10) == b"hello"


def test_datagrams_in_the_cage() -> None:
    with (
        serving("echo", "--bind", "udp:127.0.0.1:0") as (port, _),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel,
    ):
        channel.settimeout(SECONDS_MOST)
        channel.sendto(b"hello", ("127.0.0.1", port))
        assert channel.recv(10) == b"hello"


def test_only_the_call_fails_that_wants_a_thread() -> None:
    """Not by the cage, which kills, but where the system says no: as it does where there are none."""
    script = (
        "import resource; from partway.engine import Reactor\n"
        "import _thread\n"
        'def refuse(*words, **named): raise RuntimeError("can\'t start new thread")\n'
        "_thread.start_new_thread = refuse\n"
        "import os; del os.fork\n"
        "import threading; threading._start_new_thread = threading._start_joinable_thread = refuse\n"
        "reactor, told = Reactor(), []\n"
        "for how in ('thread', 'fork', 'inline'): reactor.call(len, 'abc', how=how, tell=told.append)\n"
        "while len(told) < 3: reactor.step()\n"
        "print(sorted(str(outcome.error or outcome.value) for outcome in told)); reactor.close()"
    )
    done = run("-c", script)
    assert done.stdout == "['3', '[Errno 38] this platform has no fork', \"can't start new thread\"]\n", done.stderr
