"""Processes of the bench, and what the kernel says that they have cost.

The figure is CPU time, never wall time. A neighbour on a shared machine makes every second longer;
to the CPU time of a pinned process it can only add (cold caches, a slower clock), so the least of
several rounds is closest to the truth. What is not a request stays outside: starting, accepting and
closing happen before the first reading or after the last. Each process is pinned to a core,
bounded by an alarm that survives `exec`, and ended by its id.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PEERS = Path(__file__).with_name("peers")
CHILD_SECONDS_MAX = 300  # if the bench is killed outright, nothing that it started outlives this
START_SECONDS_MAX = 10
LOAD_SECONDS_MAX = 65  # the load ends by itself after 60
SETTLE_SECONDS_MAX = 1
CONNECT_SECONDS_MAX = 10
END_SECONDS_MAX = 5  # nginx's keeper takes up to 4
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # where nginx is for users who have no such places on their path
SOURCES = 8  # loopback addresses that silent connections come from: one may run out of ports
NANOSECONDS_A_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class UnableError(Exception):
    """Why there is no figure: what it needs is missing, or it failed."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server to be measured. `python` is its interpreter, "" for C; `version` that one's, or its own if known."""

    name: str
    command: tuple[str, ...]
    python: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used. Ticks tell user from system; nanoseconds are exact, but for children's, or stay 0."""

    nanoseconds: int
    user_ticks: int
    system_ticks: int
    sleeps: int
    requests: int = 0

    def since(self, before: "Usage", requests: int) -> "Usage":
        """What so many requests have used; told from ticks if the exact time did not move."""
        user = self.user_ticks - before.user_ticks
        system = self.system_ticks - before.system_ticks
        exact = self.nanoseconds - before.nanoseconds
        sleeps = self.sleeps - before.sleeps
        return Usage(exact or (user + system) * NANOSECONDS_A_TICK, user, system, sleeps, requests)


class Child:
    """A process that the bench started, pinned to one core. Leaving its `with` block ends it.

    `pid` is the process whose time counts: this one, or the one that does the work for it.
    """

    def __init__(self, command: Sequence[str], core: int, import_path: str = "") -> None:
        def prepare() -> None:
            os.sched_setaffinity(0, {core})
            signal.alarm(CHILD_SECONDS_MAX)

        paths = [path for path in (import_path, os.environ.get("PYTHONPATH")) if path]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            preexec_fn=prepare,
        )
        self.pid = self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> str:
        """End the process, wait for it, close its pipes; the last line of its complaints."""
        complaints = b""
        for stop in self.process.terminate, self.process.kill:
            stop()
            with suppress(subprocess.TimeoutExpired):
                _, complaints = self.process.communicate(timeout=END_SECONDS_MAX)
                break
        return (complaints.decode(errors="replace").strip().splitlines() or [""])[-1]

    def line(self, beginning: str, seconds: float) -> str:
        """The rest of the child's next line, which must begin so and come in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        text = self.process.stdout.readline().decode() if ready else f"- silent for {seconds} s"
        word, _, rest = text.strip().partition(" ")
        if word == beginning:
            return rest
        raise UnableError(self.end() or rest or "ended without a word")

    def port(self) -> int:
        """Where a server listens, once it does; if it names another process with it, that is the one that counts."""
        port, _, worker = self.line("PORT", START_SECONDS_MAX).partition(" ")
        self.pid = int(worker or self.pid)
        return int(port)

    def ask(self, number: int) -> None:
        """Write a number to the child's stdin; that it has gone shows when its answer is read."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(b"%d\n" % number)
            self.process.stdin.flush()


def exact_nanoseconds(task: Path) -> int:
    """CPU time of one task as the scheduler counts it; 0 on a kernel that doesn't tell."""
    try:
        return int(task.joinpath("schedstat").read_text().split()[0])
    except OSError:
        return 0


def usage(pid: int) -> Usage:
    """What the process has used until now, all its threads together, and the children that it has waited for."""
    process = Path(f"/proc/{pid}")
    nanoseconds = sleeps = 0
    try:
        for task in process.joinpath("task").iterdir():
            nanoseconds += exact_nanoseconds(task)
            status = task.joinpath("status").read_text()
            sleeps += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        after_name = process.joinpath("stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError) as error:  # somebody else's child, which has been waited for
        raise UnableError("the server has ended") from error
    user, system, childrens_user, childrens_system = map(int, after_name[11:15])  # proc(5), utime and on
    childrens = childrens_user + childrens_system
    if nanoseconds:
        nanoseconds += childrens * NANOSECONDS_A_TICK
    return Usage(nanoseconds, user + childrens_user, system + childrens_system, sleeps)


def settled_usage(pid: int) -> Usage:
    """The same once the process has gone to sleep: a running one's time is not yet booked."""
    now, deadline = usage(pid), time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        before = now
        time.sleep(0.005)
        now = usage(pid)
        if now == before:
            break
    return now


def memory(pid: int) -> dict[str, int]:
    """Resident KiB. `Anonymous` is what the process allocated; the others have libraries too."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = dict(line.split()[:2] for line in lines)
    return {name: int(sizes[f"{name}:"]) for name in ("Anonymous", "Rss", "Pss")}


def compile_c(name: str, folder: str) -> str:
    """The path of a program made from one of the C files among the peers."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnableError("this machine has no cc")
    program = str(Path(folder, name))
    command = [compiler, "-O2", "-o", program, str(PEERS / f"{name}.c")]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if outcome.returncode:
        raise UnableError(f"cc: {(outcome.stderr.splitlines() or ['failed'])[0]}")
    return program


def version_of(python: str) -> str:
    """The version that an interpreter says of itself, with its name if it is not CPython."""
    script = "import platform as p; print(p.python_implementation(), p.python_version())"
    try:
        answer = subprocess.check_output([python, "-c", script], text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnableError(f"not a Python that runs: {python}") from error
    return answer.strip().removeprefix("CPython ")


def find_nginx() -> tuple[str, str]:
    """The path of nginx, and its version."""
    path = shutil.which("nginx") or shutil.which("nginx", path=SYSTEM_PATH)
    if path is None:
        raise UnableError("this machine has no nginx")
    try:
        outcome = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnableError(f"not an nginx that runs: {path}") from error
    return path, outcome.stderr.strip().rpartition("/")[2]


def make_importable(folder: str) -> str:
    """A directory from which any interpreter imports this very copy of partway."""
    package = Path(folder, "import", "partway")
    package.mkdir(parents=True)
    # A package with this file goes before any namespace, so another copy, installed, can't win.
    package.joinpath("__init__.py").touch()
    for name in ("engine", "protocols", "stress"):
        package.joinpath(name).symlink_to(Path(__file__).resolve().parents[2] / name)
    return str(package.parent)


class Bench:
    """How servers are run: on which core, under which load, with partway imported from where."""

    def __init__(self, folder: str) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.load_core, self.server_core = cores[0], cores[-1]  # interrupts prefer the first
        self.folder = folder
        self.import_path = make_importable(folder)

    def start(self, server: Server) -> Child:
        """A server's process, on its core, on a port of its own choice."""
        return Child([*server.command, "0"], self.server_core, self.import_path)

    def find_load(self) -> tuple[str, ...]:
        """The load generator's command: in C, or in Python where nothing compiles C."""
        try:
            return (compile_c("load", self.folder),)
        except UnableError:
            return (sys.executable, str(PEERS / "load.py"))

    @contextmanager
    def loaded(self, server: Server, load: Sequence[str], words: Sequence[str]) -> Iterator[Callable[[int], Usage]]:
        """A server with its load; what this yields does so many requests, and tells their cost.

        `words` are the load's: connections, bytes in an answer, and the requests of HTTP if it is that.
        """

        def work(requests: int) -> Usage:
            before = settled_usage(process.pid)
            generator.ask(requests)
            try:
                generator.line("DONE", LOAD_SECONDS_MAX)
            except UnableError as reason:  # the server may know why
                complaint = process.end()
                raise UnableError(f"{reason}; {complaint}" if complaint else reason) from reason
            return settled_usage(process.pid).since(before, requests)

        with self.start(server) as process:
            command = [*load, str(process.port()), *words]
            with Child(command, self.load_core) as generator:
                yield work

    def memory(self, server: Server, marks: Sequence[int], said: bytes) -> list[dict[str, int]]:
        """Memory with no connection, and with as many as each mark says, which have said so much and then nothing."""
        with ExitStack() as stack:
            process = stack.enter_context(self.start(server))
            port = process.port()
            settled_usage(process.pid)
            figures, files, opened = [memory(process.pid)], open_files(process.pid), 0
            for mark in marks:
                for number in range(opened, mark):
                    add_silent(stack, port, f"127.0.0.{1 + number % SOURCES}", said)
                opened = mark
                wait_for_files(process.pid, files + mark)
                settled_usage(process.pid)
                figures.append(memory(process.pid))
                if (kept := open_files(process.pid) - files) < mark:
                    raise UnableError(f"had only {kept} of {mark} silent connections")
            return figures


def add_silent(stack: ExitStack, port: int, source: str, said: bytes) -> None:
    """Add a connection that says so much and then nothing; bounded, for a full backlog drops it without an answer."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS_MAX, (source, 0))
        stack.enter_context(connection).sendall(said)
    except OSError as error:
        raise UnableError(f"a silent connection failed: {error}") from error


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def wait_for_files(pid: int, count: int) -> None:
    """Wait until the server has accepted everybody: the kernel is ahead of it with connecting."""
    deadline = time.monotonic() + CONNECT_SECONDS_MAX
    while open_files(pid) < count and time.monotonic() < deadline:
        time.sleep(0.01)
