"""The command line: where it listens, how it ends, and what it says of a mistake: one line, and the right exit code.

Whoever starts a server from a script or a unit file has nothing but its first line, its signals and its exit code, so
these are tested on real processes. Mistakes end before anything is opened and are tested in this one, which also shows
that they leave nothing behind. No test here waits for a clock but to learn that something does *not* happen.
"""

import fcntl
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tty
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from io import StringIO
from pathlib import Path

import pytest
from partway.engine import Limits, Notice, Reactor
from partway.protocols.command import main
from partway.protocols.outputs import Outputs

SECONDS_MOST = 10.0  # nothing here takes as long, unless it hangs
HAVE_IP6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
START = (sys.executable, "-W", "error", "-m", "partway.protocols")


class Served:
    """A server in a process of its own. `addresses` are those of its first line."""

    def __init__(self, process: subprocess.Popen[bytes], command: str) -> None:
        self.process = process
        self.first = self.line()
        match = re.fullmatch(rf"partway {command}: listening on (.*)\n", self.first)
        assert match, f"{self.first!r} {self.rest()!r}"
        self.addresses = match[1].split(", ")

    def line(self) -> str:
        """The next line of stderr."""
        assert self.process.stderr is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.process.stderr], [], [], SECONDS_MOST)[0], f"silent after {line!r}"
            letter = os.read(self.process.stderr.fileno(), 1)
            if not letter:
                break
            line += letter
        return line.decode()

    def rest(self) -> str:
        """What is still said on stderr, until the end."""
        assert self.process.stderr is not None
        said = b""
        while select.select([self.process.stderr], [], [], SECONDS_MOST)[0]:
            data = os.read(self.process.stderr.fileno(), 4096)
            if not data:
                return said.decode()
            said += data
        raise AssertionError(f"does not end; said {said!r}")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit code."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(SECONDS_MOST)

    def lives(self, seconds: float = 0.2) -> bool:
        """Tell whether it is still there after a while."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def dial(self, number: int = 0) -> socket.socket:
        """Connect to one of its addresses."""
        address = self.addresses[number].removeprefix("http://")
        if address.startswith("unix:"):
            channel = socket.socket(socket.AF_UNIX)
            channel.settimeout(SECONDS_MOST)
            channel.connect(address.removeprefix("unix:"))
            return channel
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), SECONDS_MOST)


@contextmanager
def served(
    command: str,
    *options: str,
    fds: Sequence[int] = (),
    folder: Path | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Iterator[Served]:
    """Start a server; whatever happens, it is gone afterwards."""
    process = subprocess.Popen([*START, command, *options], stdout=stdout, stderr=stderr, pass_fds=fds, cwd=folder)
    with process:
        try:
            yield Served(process, command)
        finally:
            process.kill()


@contextmanager
def terminal(raw: bool = True) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal; one that is raw shows what it is given, and nothing else."""
    master, slave = os.openpty()
    if raw:
        tty.setraw(slave)
    try:
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def served_on_a_terminal(command: str, *options: str) -> Iterator[Served]:
    """Start a server whose stderr is a terminal."""
    with terminal() as (master, slave):
        process = subprocess.Popen([*START, command, *options], stdout=subprocess.DEVNULL, stderr=slave)
        process.stderr = os.fdopen(os.dup(master), "rb", 0)
        with process:
            try:
                yield Served(process, command)
            finally:
                process.kill()


def answered(channel: socket.socket, said: bytes, until: bytes) -> bytes:
    """Say something, and read until the answer ends so; closes the channel."""
    with channel:
        channel.sendall(said)
        heard = b""
        while not heard.endswith(until):
            data = channel.recv(65536)
            assert data, f"ended after {heard!r}"
            heard += data
        return heard


def read_all(channel: socket.socket) -> bytes:
    with channel:
        return b"".join(iter(lambda: channel.recv(65536), b""))


LOCAL = ("--bind", "127.0.0.1:0")
GET = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ought to be refused must not hang the tests."""

    def run(reactor: Reactor) -> None:
        raise AssertionError("it serves")

    monkeypatch.setattr(Reactor, "run", run)


IN_THIS_PROCESS = pytest.mark.usefixtures("no_server")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"the file")
    return tmp_path


# Servers.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_http(site: Path, number: int) -> None:
    with served("http", *LOCAL, str(site)) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", server.addresses[0])
        assert answered(server.dial(), GET, b"the file").startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.end(number) == 0
        assert server.rest() == ""


def test_http_of_this_folder(site: Path) -> None:
    with served("http", *LOCAL, folder=site) as server:
        assert answered(server.dial(), GET, b"the file")
        assert server.end() == 0


def test_echo() -> None:
    with served("echo", *LOCAL) as server:
        assert answered(server.dial(), b"hello", b"hello") == b"hello"
        assert server.end() == 0
        assert server.rest() == ""


def test_chat() -> None:
    with served("chat", *LOCAL) as server:
        with server.dial() as one:
            one.recv(100)
            assert answered(server.dial(), b"/name ann\nhi\n", b"ann\n")
            assert answered(one, b"", b"ann: hi\n* ann has gone\n")
        assert server.end() == 0


def test_forward() -> None:
    with served("echo", *LOCAL) as target, served("forward", *LOCAL, target.addresses[0]) as server:
        with server.dial() as channel:
            channel.sendall(b"hello")
            channel.shutdown(socket.SHUT_WR)
            assert read_all(channel) == b"hello"
        assert server.end() == 0


# Where.


@pytest.mark.skipif(not HAVE_IP6, reason="no IPv6 here")
def test_several_addresses(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with served("echo", "--bind", "127.0.0.1:0", "--bind", "[::1]:0", "--bind", f"unix:{path}") as server:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", server.addresses[0])
        assert re.fullmatch(r"\[::1\]:\d+", server.addresses[1])
        assert server.addresses[2] == f"unix:{path}"
        for number in range(3):
            assert answered(server.dial(number), b"x", b"x") == b"x"
        assert server.end() == 0
        assert not path.exists()


def test_an_inherited_descriptor() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        name = f"127.0.0.1:{listening.getsockname()[1]}"
        with served("echo", "--bind", f"fd:{listening.fileno()}", fds=[listening.fileno()]) as server:
            assert server.addresses == [name]
            assert answered(server.dial(), b"x", b"x") == b"x"
            assert server.end() == 0


def test_a_name_is_looked_up() -> None:
    with served("echo", "--bind", "localhost:0") as server:
        for number in range(len(server.addresses)):
            assert answered(server.dial(number), b"x", b"x") == b"x"
        assert server.end() == 0


@pytest.mark.parametrize("selector", ["epoll", "poll", "select"])
def test_each_selector_and_another_schedule(selector: str) -> None:
    with served("echo", *LOCAL, "--selector", selector, "--schedule", "shortest") as server:
        assert answered(server.dial(), b"x", b"x") == b"x"
        assert server.end() == 0


@pytest.mark.parametrize("schedule", ["fair", "shortest"])
def test_the_schedule_is_the_reactors(schedule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def no_reactor(*_: object, **options: object) -> None:
        told.append(options["schedule"])
        raise OSError("seen")

    monkeypatch.setattr("partway.protocols.command.Reactor", no_reactor)
    assert main(["echo", *LOCAL, "--selector", "select", "--schedule", schedule]) == 1
    assert told == [schedule]


@pytest.mark.parametrize("command", ["http", "echo"])
def test_notices_are_said(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def no_reactor(*_: object, **options: Callable[[Notice], None]) -> None:
        options["observer"](Notice("kind", "two\nlines"))
        raise OSError("seen")

    monkeypatch.setattr("partway.protocols.command.Reactor", no_reactor)
    assert main([command, *LOCAL, "--selector", "select"]) == 1
    assert capsys.readouterr().err == "partway: kind: two\nlines\npartway: seen\n"


# How it ends.


def test_a_drain_waits_for_a_request_under_way(site: Path) -> None:
    with served("http", *LOCAL, str(site)) as server:
        idle, busy = server.dial(), server.dial()
        busy.sendall(GET)
        assert busy.recv(65536).endswith(b"the file")
        busy.sendall(GET[:-1])
        assert answered(server.dial(), GET, b"the file")  # so that half a request has arrived
        server.send(signal.SIGTERM)
        assert read_all(idle) == b""
        assert server.lives()
        assert answered(busy, GET[-1:], b"the file")
        assert server.wait() == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(site: Path, first: int) -> None:
    with served("http", *LOCAL, "--drain-seconds", "60", str(site)) as server:
        with server.dial() as busy:
            busy.sendall(GET[:-1])
            assert answered(server.dial(), GET, b"the file")
            server.send(first)
            assert server.lives()
            assert server.end(signal.SIGTERM) == 0
        assert server.rest() == ""


def test_two_signals_at_once_end_it_at_once(site: Path) -> None:
    with served("http", *LOCAL, "--drain-seconds", "60", str(site)) as server, server.dial() as busy:
        busy.sendall(GET[:-1])
        assert answered(server.dial(), GET, b"the file")
        server.send(signal.SIGSTOP)
        server.send(signal.SIGTERM)
        server.send(signal.SIGINT)
        assert server.end(signal.SIGCONT) == 0


def test_a_drain_has_its_seconds(site: Path) -> None:
    with served("http", *LOCAL, "--drain-seconds", "0.1", str(site)) as server, server.dial() as busy:
        busy.sendall(GET[:-1])
        assert answered(server.dial(), GET, b"the file")
        assert server.end() == 0


def test_a_drain_without_end() -> None:
    with served("echo", *LOCAL, "--drain-seconds", "inf") as server:
        assert server.end() == 0
        assert server.rest() == ""


@pytest.mark.parametrize("seconds", ["inf", "3e6", "1e300"])
def test_patience_without_end(seconds: str) -> None:
    """epoll(7) waits for 24 days at the most."""
    with served("echo", *LOCAL, "--idle-seconds", seconds) as server:
        with server.dial() as channel:
            channel.sendall(b"x")
            assert channel.recv(10) == b"x"
            assert server.lives(0.1)
            assert answered(channel, b"y", b"y") == b"y"
        assert server.end() == 0
        assert server.rest() == ""


EAGER = """
import os, signal, sys
from partway.protocols.command import main

class Eager:
    def write(self, text):
        sys.__stderr__.write(text)
        sys.__stderr__.flush()
        if "listening" in text:
            os.kill(os.getpid(), signal.{name})

    def flush(self):
        pass

sys.stderr = Eager()
sys.exit(main(["echo", "--bind", "127.0.0.1:0"]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_right_behind_the_first_line(name: str) -> None:
    """Whoever reads that line may act on it at once."""
    done = run(sys.executable, "-c", EAGER.format(name=name))
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1


# The access log.

SHOWN = r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /%s HTTP/1\.1" %s "-" "-"\n'


def get(server: Served, name: str, status: int = 404) -> None:
    """Ask for a file, and read the answer's first line."""
    with server.dial() as channel:
        channel.sendall(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
        assert channel.recv(65536).startswith(b"HTTP/1.1 %d " % status)


def test_a_log(site: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served("http", *LOCAL, "--log", str(log), str(site)) as server:
        get(server, "file", 200)
        get(server, "nothing")
        assert server.end() == 0
        assert server.rest() == ""
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 2
    assert re.fullmatch(SHOWN % ("file", "200 8"), lines[0])
    assert re.fullmatch(SHOWN % ("nothing", r"404 \d+"), lines[1])


def test_a_log_tells_of_answers_that_the_end_cut_off(site: Path) -> None:
    with (site / "large").open("wb") as file:
        file.truncate(100_000_000)
    log = site / "log"
    with served("http", *LOCAL, "--log", str(log), str(site)) as server, server.dial() as channel:
        channel.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert channel.recv(1)
        server.send(signal.SIGTERM)
        assert server.lives(0.1)
        assert server.end() == 0
    assert re.fullmatch(SHOWN % ("large", r"200 \d{1,8}"), log.read_text())


def test_a_log_is_reopened_on_sighup(site: Path) -> None:
    """As logrotate does it: rename, and tell."""
    log = site / "log"
    with served("http", *LOCAL, "--log", str(log), str(site)) as server:
        get(server, "first")
        log.rename(site / "log.1")
        get(server, "second")
        server.send(signal.SIGHUP)
        get(server, "between")  # by the end of which the signal has come
        get(server, "third")
        server.send(signal.SIGHUP)  # of no consequence
        assert server.end() == 0
        assert server.rest() == ""
    old, new = (site / "log.1").read_text(), log.read_text()
    assert old.startswith("127.0.0.1 - - [") and "GET /first " in old and "GET /second " in old
    assert "GET /third " in new and "GET /third " not in old
    assert (old + new).count("\n") == 4


def test_a_log_that_cannot_be_reopened_is_kept(site: Path) -> None:
    folder = site / "two\nlines"
    folder.mkdir()
    with served("http", *LOCAL, "--log", str(folder / "log"), str(site)) as server:
        folder.rename(site / "old")
        server.send(signal.SIGHUP)
        line = server.line()
        assert line.startswith("partway: log: [Errno 2] No such file or directory: ") and "two" in line
        get(server, "file", 200)
        assert server.end() == 0
        assert server.rest() == ""
    assert (site / "old" / "log").read_text().count("\n") == 1


@pytest.mark.parametrize("command", ["http", "echo"])
def test_sighup_ends_nothing(command: str, site: Path) -> None:
    with served(command, *LOCAL, folder=site) as server:
        for _ in range(3):
            server.send(signal.SIGHUP)
            assert answered(server.dial(), GET, b"the file" if command == "http" else GET)
        server.send(signal.SIGHUP)
        assert server.end() == 0
        assert server.rest() == ""


def test_a_hangup_and_an_end_drain(site: Path) -> None:
    """Both in one: it is not the second signal that ends a server at once."""
    with served("http", *LOCAL, str(site)) as server, server.dial() as busy:
        busy.sendall(GET[:-1])
        assert answered(server.dial(), GET, b"the file")
        server.send(signal.SIGSTOP)
        server.send(signal.SIGHUP)
        server.send(signal.SIGTERM)
        server.send(signal.SIGCONT)
        assert server.lives()
        assert answered(busy, GET[-1:], b"the file")
        assert server.wait() == 0


def test_a_terminal_shows_a_line_for_each_answer(site: Path) -> None:
    with served_on_a_terminal("http", *LOCAL, str(site)) as server:
        get(server, "file", 200)
        assert re.fullmatch(SHOWN % ("file", "200 8"), server.line())
        get(server, "nothing")
        assert re.fullmatch(SHOWN % ("nothing", r"404 \d+"), server.line())
        assert server.end() == 0


@pytest.mark.parametrize("option", ["--quiet", "--log", "--watch"])
def test_a_terminal_that_is_to_show_nothing(option: str, site: Path) -> None:
    """`--watch` draws on it: a line would tear the picture."""
    options = (option, str(site / "log")) if option == "--log" else (option,)
    with served_on_a_terminal("http", *LOCAL, *options, str(site)) as server:
        get(server, "file", 200)
        assert server.end() == 0
        assert server.process.stderr is not None
        assert select.select([server.process.stderr], [], [], 0)[0] == []


def test_a_terminal_that_is_not_read_stops_nobody(site: Path) -> None:
    with served_on_a_terminal("http", *LOCAL, str(site)) as server:
        name = "x" * 2000
        with server.dial() as channel:
            for _ in range(100):
                channel.sendall(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
                assert channel.recv(65536).startswith(b"HTTP/1.1 404 ")
        assert server.end() == 0


def test_a_terminal_that_is_closed_ends_nothing(site: Path) -> None:
    master, slave = os.openpty()
    with served("http", *LOCAL, "--watch", "--log", str(site / "log"), str(site), stdout=slave) as server:
        os.close(slave)
        os.close(master)
        assert server.lives(0.7)  # a frame finds nobody
        get(server, "file", 200)
        assert server.end() == 0
        assert server.rest() == ""
    assert (site / "log").read_text().count("\n") == 1


class _Calls:
    """The reactor's `after`, by hand."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], None]] = []

    def __call__(self, seconds: float, function: Callable[[], None]) -> None:
        self.functions.append(function)


def test_notices_and_lines_share_what_is_kept_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """So neither stands within the other, and nobody who doesn't read them can stop the server."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reader, "rb", 0) as reading, os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setattr(stderr, "isatty", lambda: True, raising=False)
        calls = _Calls()
        outputs = Outputs(calls)
        log = outputs.open_log(Namespace(log=None, quiet=False, watch=False))
        assert log is not None
        for number in range(200):
            log.write(b"line %d %b\n" % (number, b"x" * 100))
            outputs.tell(Notice("kind", f"number {number} \u20ac\ud800"))
        heard = b""
        while calls.functions:
            calls.functions.pop()()
            if select.select([reading], [], [], 0)[0]:
                heard += reading.read(65536)
        outputs.close()
    lines = heard.decode().splitlines()
    assert lines[::2] == [f"line {number} {'x' * 100}" for number in range(200)]
    assert lines[1::2] == [f"partway: kind: number {number} \u20ac\\ud800" for number in range(200)]


def test_notices_where_stderr_is_somebodys_object(monkeypatch: pytest.MonkeyPatch) -> None:
    said = StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    outputs = Outputs(_Calls())
    assert outputs.open_log(Namespace(log=None, quiet=False, watch=False)) is None
    outputs.tell(Notice("kind", "text"))
    outputs.close()
    assert said.getvalue() == "partway: kind: text\n"


# What `partway http` is told.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("--index", "home.htm"), {"index": "home.htm"}),
        (("--index", ".home", "--dotfiles"), {"index": ".home", "dotfiles": True}),
        (("--no-listing",), {"listing": False}),
        (("--spa",), {"spa": True}),
        (("--dotfiles",), {"dotfiles": True}),
        (("--cache-control", "max-age=60, \u00e9"), {"cache_control": "max-age=60, \u00e9"}),
        (("--cors",), {"cors": "*"}),
        (("--cors", "*"), {"cors": "*"}),
        (("--cors", "null"), {"cors": "null"}),
        (("--cors", "https://a.example:8443"), {"cors": "https://a.example:8443"}),
        (("--cors=http://[::1]:80",), {"cors": "http://[::1]:80"}),
        (("--no-file-cache",), {"file_cache": False}),
    ],
)
def test_what_the_folder_is_told(
    words: tuple[str, ...], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def folder(root: str, **options: object) -> None:
        told.append((root, options))
        raise OSError("seen")

    monkeypatch.setattr("partway.protocols.http.Folder", folder)
    assert main(["http", *LOCAL, "site", *words]) == 1
    defaults = {"index": "index.html", "listing": True, "spa": False, "dotfiles": False}
    defaults |= {"cache_control": "", "cors": "", "file_cache": True}
    assert told == [("site", {**defaults, **expected})]


def test_what_comes_of_it(site: Path) -> None:
    (site / "home.htm").write_bytes(b"home")
    (site / ".hidden").write_bytes(b"hidden")
    options = ["--index", "home.htm", "--spa", "--dotfiles", "--no-file-cache", "--no-listing"]
    options += ["--cache-control", "max-age=60", "--cors"]
    with served("http", *LOCAL, str(site), *options) as server:
        for path, body in ((b"/", b"home"), (b"/some/where", b"home"), (b"/.hidden", b"hidden")):
            said = answered(server.dial(), b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, body)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert b"\r\ncache-control: max-age=60\r\n" in said.lower()
            assert b"\r\naccess-control-allow-origin: *\r\n" in said.lower()
        assert server.end() == 0


# Control, and watching.


def test_control(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with served("echo", *LOCAL, "--control", str(path), "--rows-max", "7") as server:
        assert answered(server.dial(), b"x", b"x")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(SECONDS_MOST)
            channel.connect(str(path))
            stats = answered(channel, b"stats\n", b"\n.\n").decode().splitlines()
        assert "rows_max 7" in stats
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(SECONDS_MOST)
            channel.connect(str(path))
            assert answered(channel, b"drain\n", b"draining\n") == b"draining\n"
        assert server.wait() == 0
        assert server.rest() == ""
    assert not path.exists()


@pytest.mark.parametrize("mode", ["660", "0604"])
def test_the_mode_of_a_socket_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "here"
    with served("echo", *LOCAL, "--bind", f"unix:{path}", "--socket-mode", mode) as server:
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
        assert server.end() == 0
    assert not path.exists()


@IN_THIS_PROCESS
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((*LOCAL, "--socket-mode", "660"), "no address has a socket file"),
        (("--bind", "unix:@name", "--socket-mode", "660"), "no address has a socket file"),
        (("--bind", "unix:here", "--socket-mode", "680"), "'680' are no permissions in octal"),
        (("--bind", "unix:here", "--socket-mode", "rw"), "'rw' are no permissions in octal"),
        (("--bind", "unix:here", "--socket-mode", "1777"), "'1777' are no permissions in octal"),
        (
            (
                "--bind",
                "unix:@",
            ),
            "'unix:@': unix: needs a name after the @",
        ),
    ],
)
def test_what_has_no_mode(words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = one_line(capsys, "echo", *words)
    assert code == 2 and why in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
def test_an_abstract_name(tmp_path: Path) -> None:
    name = f"partway-{os.getpid()}-{tmp_path.name}"
    with served("echo", "--bind", f"unix:@{name}") as server, socket.socket(socket.AF_UNIX) as channel:
        assert f"unix:@{name}" in server.first
        channel.settimeout(SECONDS_MOST)
        channel.connect(f"\0{name}")
        assert answered(channel, b"x", b"x") == b"x"
        channel.close()
        assert server.end() == 0


def test_a_control_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with served("echo", *LOCAL, "--control", str(path)) as server:
        assert answered(server.dial(), b"x", b"x")
        assert server.end() == 0
    assert not path.exists()


@IN_THIS_PROCESS
def test_a_control_that_is_something_else_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "control"
    path.write_text("precious")
    code, said = one_line(capsys, "echo", *LOCAL, "--control", str(path))
    assert code == 1 and "Address already in use" in said
    assert path.read_text() == "precious"


def test_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with served("echo", *LOCAL, "--watch") as server:
        stdout = server.process.stdout
        assert stdout is not None
        said = b""
        with server.dial() as channel:
            channel.sendall(b"x")
            while b" Echo\n" not in said:
                assert len(said) < 20_000 and select.select([stdout], [], [], SECONDS_MOST)[0], said
                said += os.read(stdout.fileno(), 65536)
        assert said.startswith(b"partway echo   rows 0 of ")
        assert b"\x1b" not in said
        assert server.end() == 0


def test_a_watch_that_nobody_reads_any_more() -> None:
    """`partway echo --watch | head` is no reason to stop serving."""
    with served("echo", *LOCAL, "--watch") as server:
        stdout = server.process.stdout
        assert stdout is not None
        stdout.close()
        assert server.lives(0.7)
        assert answered(server.dial(), b"x", b"x") == b"x"
        assert server.end() == 0


def test_a_watch_that_is_read_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that was stopped, a pager that waits: nobody's reading may stop the server."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "100")
    with served("echo", *LOCAL, "--watch") as server, ExitStack() as channels:
        stdout = server.process.stdout
        assert stdout is not None
        fcntl.fcntl(stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(90):
            channels.enter_context(server.dial())
        assert server.lives(1.2)  # some frames of 7 KiB each
        assert answered(server.dial(), b"x", b"x") == b"x"
        assert server.end() == 0


def test_a_watch_on_a_terminal_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is ready may yet wait, unlike a pipe."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "200")
    with ExitStack() as stack:
        _, slave = stack.enter_context(terminal(raw=False))
        server = stack.enter_context(served("echo", *LOCAL, "--watch", stdout=slave))
        for _ in range(180):
            stack.enter_context(server.dial())
        assert server.lives(1.2)  # two frames of 18 KiB, and it holds some 20 KiB
        assert answered(server.dial(), b"x", b"x") == b"x"
        assert server.end() == 0
        assert os.get_blocking(slave)


# Mistakes.


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command that must say one line; return its exit code and that line."""
    code = main(words)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    assert said.err.startswith("partway: ") or said.err.startswith("partway bench: ")
    return code, said.err.strip()


MISTAKES = {
    "no command": ((), "COMMAND"),
    "unknown command": (("serve",), "invalid choice: 'serve'"),
    "unknown option": (("echo", "--bogus"), "unrecognized arguments: --bogus"),
    "shortened option": (("echo", "--sel", "poll"), "unrecognized arguments: --sel"),
    "option of two lines": (("echo", "--bogus\nx"), "--bogus"),
    "too many folders": (("http", "a", "b"), "unrecognized arguments: b"),
    "folder for echo": (("echo", "a"), "unrecognized arguments: a"),
    "missing folder": (("http", "/nope", *LOCAL), "/nope"),
    "missing folder of two lines": (("http", "/nope\nx", *LOCAL), "nope"),
    "file for a folder": (("http", __file__, *LOCAL), "test_command"),
    "no target": (("forward",), "TARGET"),
    "target of no port": (("forward", "localhost", *LOCAL), "'localhost'"),
    "target that is a descriptor": (("forward", "fd:3", *LOCAL), "fd:3"),
    "target of no such name": (("forward", "nonexistent.invalid:80", *LOCAL), "nonexistent.invalid"),
    "address of no port": (("echo", "--bind", "127.0.0.1"), "'127.0.0.1'"),
    "address of a port too high": (("echo", "--bind", "127.0.0.1:65536"), "65535"),
    "address of a negative port": (("echo", "--bind", "127.0.0.1:-1"), "127.0.0.1:-1"),
    "address of a port by name": (("echo", "--bind", "127.0.0.1:http"), "127.0.0.1:http"),
    "address of IPv6 without brackets": (("echo", "--bind", "::1:80"), "::1:80"),
    "address of no path": (("echo", "--bind", "unix:"), "unix:"),
    "address of no descriptor": (("echo", "--bind", "fd:x"), "fd:x"),
    "address of an impossible descriptor": (("echo", "--bind", "fd:99999999999999999999"), "fd:9999"),
    "address of a descriptor too high": (("echo", "--bind", "fd:3000000000"), "fd:3000000000"),
    "address of no such name": (("echo", "--bind", "nonexistent.invalid:80"), "nonexistent.invalid"),
    "address of no possible name": (("echo", "--bind", f"{'x' * 70}.y:80"), "x.y:80"),
    "empty address": (("echo", "--bind", ""), "''"),
    "second address wrong": (("echo", *LOCAL, "--bind", "x"), "'x'"),
    "unknown selector": (("echo", "--selector", "magic"), "'magic'"),
    "selector of another system": (("echo", *LOCAL, "--selector", "kqueue"), "kqueue"),
    "unknown schedule": (("echo", "--schedule", "magic"), "'magic'"),
    "negative limit": (("echo", "--idle-seconds=-1", *LOCAL), "idle_seconds"),
    "limit of zero": (("echo", "--receive-bytes", "0", *LOCAL), "receive_bytes"),
    "limit that is no number": (("echo", "--idle-seconds", "nan", *LOCAL), "idle_seconds"),
    "limits that contradict": (("echo", "--line-bytes", "99999", *LOCAL), "line_bytes"),
    "limit beyond the kernel's": (("echo", "--backlog", "99999999999", *LOCAL), "backlog"),
    "another beyond the kernel's": (("echo", "--notsent-bytes", "99999999999", *LOCAL), "notsent_bytes"),
    "index that is no name": (("http", "--index", "", *LOCAL), "--index: ''"),
    "index elsewhere": (("http", "--index", "a/b", *LOCAL), "'a/b'"),
    "index above": (("http", "--index", "..", "--dotfiles", *LOCAL), "'..'"),
    "index that is the folder": (("http", "--index", ".", "--dotfiles", *LOCAL), "'.'"),
    "index of two strings": (("http", "--index", "a\0b", *LOCAL), "--index"),
    "index that hides": (("http", "--index", ".a", *LOCAL), "--dotfiles"),
    "header with a line break": (("http", "--cache-control", "a\r\nb", *LOCAL), "--cache-control"),
    "header with a tab": (("http", "--cache-control", "a\tb", *LOCAL), "--cache-control"),
    "header with a control": (("http", "--cache-control", "a\x7fb", *LOCAL), "--cache-control"),
    "header with another control": (("http", "--cache-control", "a\x9bb", *LOCAL), "--cache-control"),
    "header beyond latin-1": (("http", "--cache-control", "a\u0100", *LOCAL), "--cache-control"),
    "header of no text": (("http", "--cache-control", *LOCAL), "expected one argument"),
    "origin that is a folder": (("http", *LOCAL, "--cors", "site"), "DIR stands before --cors"),
    "origin with a path": (("http", *LOCAL, "--cors", "https://a.example/"), "'https://a.example/'"),
    "two origins": (("http", *LOCAL, "--cors", "https://a.example,https:b"), "a.example"),
    "origin with a line break": (("http", *LOCAL, "--cors", "https://a\r\nb"), "--cors"),
    "origin beyond ASCII": (("http", *LOCAL, "--cors", "https://\u00e9"), "--cors"),
    "empty origin": (("http", *LOCAL, "--cors="), "--cors"),
    "log and no log": (("http", *LOCAL, "--quiet", "--log", "/nope/nope"), "not allowed with argument --quiet"),
    "log of an echo": (("echo", *LOCAL, "--log", "/nope/nope"), "unrecognized arguments: --log"),
    "silence of an echo": (("echo", *LOCAL, "--quiet"), "unrecognized arguments: --quiet"),
    "bench of nothing": (("bench",), "echo|memory"),
    "bench of something else": (("bench", "nope"), "'nope'"),
    "bench with an unknown option": (("bench", "echo", "--bogus"), "--bogus"),
}


@IN_THIS_PROCESS
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, expected = MISTAKES[name]
    code, said = one_line(capsys, *words)
    assert code == 2
    assert expected in said


@IN_THIS_PROCESS
@pytest.mark.parametrize("field", [field.name for field in fields(Limits)])
def test_every_limit_is_an_option(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = "--" + field.replace("_", "-")
    code, said = one_line(capsys, "http", option, "many")
    assert code == 2 and said.startswith(f"partway: argument {option}: invalid")
    code, said = one_line(capsys, "http", f"{option}=-1", *LOCAL)
    assert code == 2 and said.startswith(f"partway: {field} must not be negative")


@IN_THIS_PROCESS
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bind", "unix:/nope/nope"), "No such file or directory"),
        (("--bind", "fd:999"), "Bad file descriptor"),
        (("--bind", "192.0.2.1:0"), "Cannot assign requested address"),
        ((*LOCAL, "--control", "/nope/nope"), "No such file or directory"),
        (("--bind", "unix:" + "x" * 200), "too long"),
    ],
)
def test_what_the_system_refuses_is_one_line_and_exit_1(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = one_line(capsys, "echo", *words)
    assert code == 1
    assert said in line


@IN_THIS_PROCESS
def test_a_log_that_cannot_be_opened(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, said in ((site / "no" / "log", "No such file"), (site, "Is a directory")):
        code, line = one_line(capsys, "http", *LOCAL, "--log", str(path), str(site))
        assert code == 1 and said in line and str(path) in line


@IN_THIS_PROCESS
def test_a_mistake_makes_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert one_line(capsys, "http", *LOCAL, "--log", str(tmp_path / "log"), "/nope")[0] == 2
    assert list(tmp_path.iterdir()) == []


@IN_THIS_PROCESS
def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        name = f"127.0.0.1:{taken.getsockname()[1]}"
        code, line = one_line(capsys, "echo", "--bind", name)
        assert code == 1
        assert "Address already in use" in line
        assert name in line, "which of several addresses it was"
        assert one_line(capsys, "echo", *LOCAL, "--bind", name)[0] == 1


@IN_THIS_PROCESS
def test_a_descriptor_that_does_not_listen(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as idle:
        assert one_line(capsys, "echo", "--bind", f"fd:{idle.fileno()}")[0] == 1


def test_exit_codes_of_the_process() -> None:
    for words, code in (((), 2), (("echo", "--bind", "unix:/nope/nope"), 1), (("--help",), 0), (("bench", "x"), 2)):
        done = run(*START, *words)
        assert done.returncode == code, words
        assert code == 0 or done.stderr.count("\n") == 1, done.stderr


def test_http_without_its_parsers() -> None:
    words = "import sys; sys.modules['httptools'] = sys.modules['h11'] = None\n"
    words += "from partway.protocols.command import main; sys.exit(main(['http', '--bind', '127.0.0.1:0']))"
    done = run(sys.executable, "-c", words)
    assert done.returncode == 2
    assert done.stderr == "partway: HTTP needs httptools or h11: pip install 'partway[http]'\n"


@pytest.mark.parametrize("command", ["http", "echo", "chat", "forward"])
def test_help_tells_every_limit_and_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for field in fields(Limits):
        assert re.search(rf"--{field.name.replace('_', '-')} N \(default: [^)]+\)", said), field.name
    assert "--idle-seconds N (default: " + {"chat": "3600", "forward": "300"}.get(command, "15") in said
