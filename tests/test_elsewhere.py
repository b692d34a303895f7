"""Calls on a real system: real children, threads and processes, under each selector and where nobody can wait.

What is tested is what comes of them, and that nothing is left of them: no zombie, no descriptor on either side.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver, resource_tracker
from typing import Any

import psutil
import pytest
from partway.engine import IDLE, Call, Limits, Outcome, Reactor, Row, Want
from partway.engine.elsewhere import Outside
from partway.engine.host import Host
from partway.engine.kernel import Kernel
from worlds import SELECTORS, RealWorld

SECONDS_MOST = 20.0
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.* may lead to deadlocks:DeprecationWarning"),  # the tests have threads
]


class Asking:
    """Makes a call of each line that it hears by `act`, and answers with what came of it."""

    def __init__(self, row: Row, act: Callable[[str], Want]) -> None:
        self.row = row
        self.act = act
        self.data = b""
        self.outcomes: list[Outcome] = []

    def feed(self, data: bytes) -> None:
        self.data += data

    def resume(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def step(self) -> Want:
        if self.outcomes:
            value, error, _ = self.outcomes.pop()
            return f"{value if error is None else repr(error)}\n".encode()
        line, end, rest = self.data.partition(b"\n")
        if not end:
            return IDLE
        self.data = rest
        return self.act(line.decode())


class Desk:
    """A server of `Asking` machines on real sockets, and one client."""

    def __init__(self, act: Callable[[str], Want], selector: str = "lean", **options: Any) -> None:
        self.threads = threading.active_count()
        self.children = children()
        self.descriptors = descriptors()
        self.world = RealWorld(selector, "ip4", "", **options)
        self.reactor = self.world.reactor
        self.world.listen(lambda row: Asking(row, act))
        self.client = self.world.dial()

    def ask(self, words: str) -> str:
        """Say a line and return the next one that is heard."""
        self.client.say(words.encode() + b"\n")
        return self.hear()

    def hear(self) -> str:
        self.until(lambda: b"\n" in self.client.heard)
        line, _, rest = bytes(self.client.heard).partition(b"\n")
        self.client.heard[:] = rest
        return line.decode()

    def until(self, predicate: Callable[[], object]) -> None:
        """Take turns until it is true; what other processes do takes the time that it takes."""
        end = time.monotonic() + SECONDS_MOST
        while not predicate():
            assert time.monotonic() < end, list(self.reactor.rows())
            self.world.step()

    def calls(self) -> str:
        return ", ".join(row.calls for row in self.reactor.rows())

    def close(self) -> None:
        self.world.close()
        self.settle()

    def settle(self) -> None:
        """Check that nothing is left, once threads that have nothing to do any more have ended."""
        end = time.monotonic() + SECONDS_MOST
        while threading.active_count() > self.threads:
            assert time.monotonic() < end, "a thread is left"
            time.sleep(0.001)
        assert children() == self.children, "a child or a zombie is left"
        assert descriptors() <= self.descriptors, "a descriptor is left"


def children() -> set[int]:
    """All children of this process, zombies too."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(word) for word in file.read().split()}


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(*arguments: Any, **options: Any) -> Desk:
        desks.append(Desk(*arguments, **options))
        return desks[-1]

    yield make
    for one in desks:
        one.close()


@pytest.fixture
def processes() -> Iterator[None]:
    """For who starts processes of `multiprocessing`: they end some time after their reactor, and their server never."""
    threads = threading.active_count()
    yield
    end = time.monotonic() + SECONDS_MOST
    while threading.active_count() > threads:  # who ends them
        assert time.monotonic() < end
        time.sleep(0.01)
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def calling(function: Callable[[str], Any], how: Any, lend: bool = False) -> Callable[[str], Call]:
    return lambda line: Call(function, line, how=how, lend=lend)


def evaluate(words: str) -> Any:
    return eval(words)


def upper(words: str) -> str:
    return words.upper()


# What comes of it.


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("how", ["inline", "fork", "thread"])
def test_there_and_back(desk: Any, how: str, selector: str) -> None:
    one = desk(calling(upper, how), selector)
    assert [one.ask("hello"), one.ask("again")] == ["HELLO", "AGAIN"]


def test_in_a_fresh_process(processes: None) -> None:
    """Which has none of our connections: its descriptors are those that its fork server gives it."""
    one = Desk(calling(evaluate, "process"))
    seen = int(one.ask("__import__('os').getpid()"))
    assert seen != os.getpid()
    held = one.ask("[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n > '2']")
    assert "CallError" not in held
    one.world.close()


def test_in_an_executor_of_the_programs_own(desk: Any) -> None:
    with ThreadPoolExecutor(1, "mine") as executor:
        one = desk(calling(lambda line: threading.current_thread().name, executor))
        assert one.ask("") == "mine_0"


def test_a_way_that_there_is_not(desk: Any) -> None:
    one = desk(calling(upper, "by magic"))
    assert "how is inline, fork, thread or process" in one.ask("hello")


@pytest.mark.parametrize("how", ["inline", "fork", "thread"])
def test_what_a_function_raises(desk: Any, how: str) -> None:
    one = desk(calling(evaluate, how))
    assert one.ask("1/0") == "ZeroDivisionError('division by zero')"
    assert one.ask("1+1") == "2"


def test_a_childs_traceback_comes_along() -> None:
    reactor = Reactor()
    told: list[Outcome] = []
    reactor.call(evaluate, "1/0", how="fork", tell=told.append)
    end = time.monotonic() + SECONDS_MOST
    while not told and time.monotonic() < end:
        reactor.step(0.1)
    error = told[0].error
    assert isinstance(error, ZeroDivisionError) and "in evaluate" in error.__notes__[0]
    reactor.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("os._exit(3)", "has ended with exit code 3 without telling what came of it"),
        ("os._exit(0)", "None"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL without telling what came of it"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "was killed by SIGTERM without telling"),
        ("sys.exit('gone')", "the child ended by SystemExit('gone')"),
        ("lambda: 3", "what a call returned cannot be pickled"),
        ("raises()", "Unpicklable("),
        ("'x' * 3_000_000", "told more than call_bytes_max, 1000000"),
    ],
)
def test_a_child_that_does_not_tell(desk: Any, words: str, told: str) -> None:
    one = desk(calling(evaluate, "fork"), limits=Limits(call_bytes_max=1_000_000))
    assert told in one.ask(words)
    assert one.ask("1+1") == "2"


class Unpicklable(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__("only one argument is kept")


def raises() -> None:
    raise Unpicklable(1, 2)


class Odd:
    """What compares as an array does, whose answer is no truth."""

    def __eq__(self, other: object) -> Any:
        raise ValueError("ambiguous")

    def __str__(self) -> str:
        return "odd"


def test_what_it_returns_is_compared_with_nothing(desk: Any) -> None:
    assert desk(calling(lambda line: Odd(), "fork")).ask("") == "odd"


def test_a_long_tale(desk: Any) -> None:
    """Nobody need read while the child writes."""
    one = desk(calling(lambda line: "y" * 1_000_000, "fork"))
    assert one.ask("") == "y" * 1_000_000


def test_a_tale_that_cannot_be_read(desk: Any) -> None:
    """Somebody else has written there."""

    def spoil(line: str) -> None:
        (name,) = (name for name in os.listdir("/proc/self/fd") if kind_of(name).startswith("/memfd:call"))
        os.write(int(name), b"x")
        os._exit(0)

    assert "told what cannot be unpickled" in desk(calling(spoil, "fork")).ask("")


def kind_of(name: str) -> str:
    """What a descriptor of this process is; "" for one that is gone."""
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def test_a_tale_that_cannot_be_written(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not taken for one of nothing."""

    def write(file: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    def fill(line: str) -> str:
        os.write = write
        return "a tale"

    assert "has ended with exit code 1 without telling" in desk(calling(fill, "fork")).ask("")


class Broken:
    """A stream of the program's own, with a bug."""

    def flush(self) -> None:
        raise RuntimeError("a bug")

    def write(self, words: str) -> int:
        return len(words)


def test_a_child_that_cannot_flush_ends_all_the_same(desk: Any) -> None:
    """Whatever is raised there, a child never comes back: it would be a second server."""

    def spoil(line: str) -> str:
        sys.stdout = Broken()  # type: ignore[assignment]
        return f"told by {os.getpid()}"

    one = desk(calling(spoil, "fork"))
    assert one.ask("").startswith("told by ") and one.ask("") != f"told by {os.getpid()}"
    assert children() == one.children


def test_without_files_in_memory(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert desk(calling(upper, "fork")).ask("hello") == "HELLO"


def test_a_child_that_closes_all_it_has_and_lives_on(desk: Any) -> None:
    """It is told of when it ends, and until then nobody is woken."""
    one = desk(lambda line: Call(close_and_wait, how="fork"))
    one.client.say(b"go\n")
    one.until(lambda: one.calls().startswith("fork"))
    one.reactor.step(0.05)
    turns = one.reactor.totals().turns
    one.reactor.step(0.1)
    assert one.reactor.totals().turns - turns == 1
    os.kill(int(one.calls().split()[1]), signal.SIGKILL)
    assert "was killed by SIGKILL" in one.hear()


def test_who_kills_a_child_kills_what_it_has_started(desk: Any) -> None:
    one = desk(lambda line: Call(start_and_wait, how="fork"))
    one.client.say(b"go\n")
    one.until(lambda: one.calls().startswith("fork"))
    child = psutil.Process(int(one.calls().split()[1]))
    one.until(child.children)
    (grandchild,) = child.children()
    one.reactor.kill(one.reactor.keys()[0])
    one.until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)
    one.until(lambda: len(one.reactor.table.offload) == 0)


def start_and_wait() -> None:
    subprocess.run(["sleep", "1000"], check=False)


def close_and_wait() -> None:
    os.closerange(3, 1000)
    wait()


def wait() -> None:
    while True:
        signal.pause()


# What a child has.


def test_a_child_has_none_of_our_descriptors(desk: Any) -> None:
    def look(line: str) -> list[str]:
        kinds = [kind_of(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]
        return [kind.split()[0] for kind in kinds if kind]

    one = desk(calling(look, "fork"))
    others = [one.world.dial() for _ in range(5)]
    assert one.ask("") == "['/memfd:call']"
    assert len(others) == 5


def test_a_child_does_not_answer_signals_for_its_parent(desk: Any) -> None:
    """Its parent's handlers are gone, and what wakes the parent. The parent has what it had."""

    def look(line: str) -> tuple[Any, Any, int]:
        handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        return (*handlers, signal.set_wakeup_fd(-1))

    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    woken = signal.set_wakeup_fd(writing)
    try:
        told = desk(calling(look, "fork")).ask("")
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.set_wakeup_fd(-1) == writing
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.set_wakeup_fd(woken)
        os.close(reading)
        os.close(writing)
    assert told == f"{(signal.SIG_DFL, signal.SIG_DFL, -1)}"


def test_a_child_of_another_thread_does_not_either() -> None:
    """Its parent's thread must not touch handlers. The child's only thread is its main one, and may."""
    script = (
        "import os, signal, threading\n"
        "signal.signal(signal.SIGTERM, lambda *words: None)\n"
        "reading, writing = os.pipe(); os.set_blocking(writing, False); signal.set_wakeup_fd(writing)\n"
        "def look(): return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.set_wakeup_fd(-1)\n"
        "def here(): print(call(look, how='fork'))\n"
        "thread = threading.Thread(target=here); thread.start(); thread.join()\n"
        "print(callable(signal.getsignal(signal.SIGTERM)), signal.set_wakeup_fd(-1) == writing)"
    )
    assert run(script, "-W", "ignore::DeprecationWarning") == "(True, -1)\nTrue True\n"


def test_what_was_said_before_is_said_once() -> None:
    """What stands in a buffer when the child begins is its parent's; what the child says is not lost at its end."""
    assert run("print('before'); call(print, 'child', how='fork')") == "before\nchild\n"


def test_a_fork_needs_no_thread_and_imports_none() -> None:
    """In a program that has no thread of its own, and is warned of none."""
    names = "threading concurrent multiprocessing asyncio queue logging subprocess socketserver"
    script = f"assert call(len, 'abc', how='fork') == 3; print(set('{names}'.split()) & set(sys.modules))"
    assert run(script) == "set()\n"


def run(script: str, *options: str) -> str:
    """Run a program that may `call` something elsewhere, and nothing else; return what it has said."""
    program = (
        "import sys\n"
        "from partway.engine import Reactor\n"
        "def call(*words, how):\n"
        "    reactor, told = Reactor(), []\n"
        "    reactor.call(*words, how=how, tell=told.append)\n"
        "    while not told: reactor.step()\n"
        "    reactor.close()\n"
        "    return told[0].result()\n"
    ) + script
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", program], capture_output=True, text=True, timeout=SECONDS_MOST
    )
    assert done.stderr == ""
    return done.stdout


# Lending.


def whoami(channel: Any, words: str) -> str:
    """Answer as long as it may, on a socket that blocks."""
    channel.sendall(b"lent: ")
    heard = channel.recv(100)
    channel.sendall(heard)
    return f"{words} {os.getpid() != os.getppid()}"


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("how", ["fork", "thread"])
def test_a_connection_is_lent_and_comes_back(desk: Any, how: str, selector: str) -> None:
    """The function waits for its client; everybody else is served meanwhile, and this row goes on afterwards."""
    one = desk(lambda line: Call(whoami, line, how=how, lend=True) if line == "lend" else Call(upper, line), selector)
    other = one.world.dial()
    one.client.say(b"lend\n")
    one.until(lambda: one.client.heard == b"lent: ")
    (report,) = (row for row in one.reactor.rows() if row.calls)
    assert (report.state, report.calls.split()[0]) == ("WAITING", how)
    other.say(b"me too\n")
    one.until(lambda: other.heard == b"ME TOO\n")
    one.client.say(b"what I say\n")
    assert one.hear() == "lent: what I say"
    assert one.hear() == "lend True"
    assert one.ask("and on") == "AND ON"


def test_inline_it_is_lent_too(desk: Any) -> None:
    def say(channel: Any, words: str) -> str:
        channel.sendall(b"here: ")
        return words

    assert desk(calling(say, "inline", lend=True)).ask("x") == "here: x"


@pytest.mark.parametrize("how", ["process", "executor"])
def test_where_it_cannot_be_lent(desk: Any, how: str) -> None:
    with ThreadPoolExecutor(1) as executor:
        one = desk(calling(upper, executor if how == "executor" else how, lend=True))
        assert "a connection can be lent inline, to a child or to a thread" in one.ask("x")


def wait_for_more(channel: Any, words: str) -> None:
    ends.append(channel.recv(100))


ends: list[bytes] = []


@pytest.mark.parametrize("how", ["fork", "thread"])
def test_a_row_that_ends_while_it_is_lent(desk: Any, how: str) -> None:
    """A child is killed, a thread that reads is told of an end; the peer is reset, and nothing is said to it."""
    ends.clear()
    one = desk(calling(wait_for_more, how, lend=True), limits=Limits(waiting_seconds=0.05))
    one.client.say(b"go\n")
    one.until(lambda: one.client.over)
    assert one.client.reset and one.client.heard == b""
    one.until(lambda: len(one.reactor.table.offload) == 0)
    assert ends == ([b""] if how == "thread" else [])


def test_a_thread_that_sends_to_nobody_is_woken(desk: Any) -> None:
    """Its peer does not read: without help it would wait as long as the peer likes."""

    def send(channel: Any, words: str) -> None:
        try:
            channel.sendall(bytes(1 << 26))
        except OSError as error:
            failures.append(error)

    failures: list[OSError] = []
    one = desk(calling(send, "thread", lend=True), limits=Limits(waiting_seconds=0.1))
    one.client.reading = False
    one.client.say(b"go\n")
    one.until(lambda: failures)
    one.until(lambda: len(one.reactor.table.offload) == 0)


def test_a_thread_that_never_begins_gives_the_connection_back(desk: Any) -> None:
    """More calls than threads: not by `calls_max`, which is the same, but by an executor that is busy."""
    gate = threading.Event()
    one = desk(
        lambda line: Call(wait_for_more, line, how="thread", lend=True) if line else Call(gate.wait, how="thread")
    )
    offload = one.reactor.table.offload
    one.reactor.table.limits = Limits(calls_max=2)
    offload._elsewhere._calls_max = 1
    one.client.say(b"\n")
    other = one.world.dial()
    one.until(lambda: "thread" in one.calls())
    other.say(b"go\n")
    one.until(lambda: one.calls() == "thread, thread")
    one.reactor.kill(one.reactor.keys()[1])
    one.until(lambda: len(offload) == 1)
    assert not gate.is_set()
    gate.set()
    assert one.hear() == "True"


# What is missing, and what goes away.


def test_no_fork_here(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    assert "this platform has no fork" in desk(calling(upper, "fork")).ask("x")


def test_a_fork_that_fails(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of processes: the call has failed, and its pipe is gone."""

    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    assert "Resource temporarily unavailable" in desk(calling(upper, "fork")).ask("x")


def test_a_connection_that_was_to_be_lent_blocks_nobody_when_that_fails(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    one = desk(lambda line: Call(whoami, line, how="fork", lend=True))
    assert "Resource temporarily unavailable" in one.ask("x")
    (row,) = one.reactor.table.rows.values()
    assert not os.get_blocking(row.descriptor)
    assert "Resource temporarily unavailable" in one.ask("again")


def test_no_thread_here(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert desk(calling(upper, "thread")).ask("x") == 'RuntimeError("can\'t start new thread")'


@pytest.mark.parametrize("how", ["fork", "thread"])
def test_without_a_descriptor_to_wait_for(desk: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has to look now and then; when nothing is in flight, nobody does."""
    monkeypatch.setattr(Kernel, "elsewhere", lambda self, calls, size: Outside(calls, size, waits=False))
    one = desk(calling(upper, how))
    assert one.ask("hello") == "HELLO"
    assert one.reactor.table.calls == {}


def test_without_pidfd(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    one = desk(calling(evaluate, "fork"))
    assert one.ask("1+1") == "2"
    assert "SIGKILL" in one.ask("os.kill(os.getpid(), signal.SIGKILL)")


def test_without_eventfd(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd")
    assert desk(calling(upper, "thread")).ask("hello") == "HELLO"


def test_somebody_else_reaps_all_children(desk: Any) -> None:
    """Then how it ended is not known, but what it told is."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert desk(calling(upper, "fork")).ask("hello") == "HELLO"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_the_reactor_closes_while_children_run() -> None:
    one = Desk(lambda line: Call(wait, how="fork"))
    one.client.say(b"go\n")
    one.until(lambda: one.calls().startswith("fork"))
    one.close()


def test_the_reactor_closes_while_a_thread_runs() -> None:
    """What rings afterwards rings nobody else's descriptor."""
    gate = threading.Event()
    one = Desk(lambda line: Call(gate.wait, how="thread"))
    one.client.say(b"go\n")
    one.until(lambda: one.calls() == "thread")
    one.world.close()
    gate.set()
    one.settle()


def test_children_that_are_killed_in_the_middle() -> None:
    """Ten at once, each by somebody else: ten outcomes, no zombie."""
    one = Desk(lambda line: Call(wait, how="fork"))
    clients = [one.world.dial() for _ in range(10)]
    for client in clients:
        client.say(b"go\n")
    one.until(lambda: one.calls().count("fork") == 10)
    for row in list(one.reactor.rows()):
        if row.calls:
            os.kill(int(row.calls.split()[1]), signal.SIGKILL)
    one.until(lambda: all(client.heard.endswith(b"telling what came of it')\n") for client in clients))
    assert [row.state for row in one.reactor.rows()] == ["IDLE"] * 11
    one.close()


def test_a_process_that_is_killed_costs_its_calls_and_no_later_ones(processes: None) -> None:
    one = Desk(calling(evaluate, "process"))
    assert "BrokenProcessPool" in one.ask("os.kill(os.getpid(), signal.SIGKILL)")
    assert one.ask("1+1") == "2"
    one.world.close()


# The host.


def test_on_a_host_platform() -> None:
    """Where nobody can wait for a descriptor: inline at once, an executor by asking now and then."""
    clock = time.monotonic
    host = Host(clock)
    reactor = Reactor(host)
    reactor.listen("host:1", lambda row: Asking(row, lambda line: Call(upper, line, how=executor)))
    number = host.open("host:1")
    host.feed(number, b"hello\n")
    with ThreadPoolExecutor(1) as executor:
        end = time.monotonic() + SECONDS_MOST
        while host.take(number) != b"HELLO\n":
            assert time.monotonic() < end
            reactor.step(0)
    told: list[Outcome] = []
    reactor.call(upper, "inline", tell=told.append)
    while not told:
        reactor.step(0)
    assert told == [Outcome("INLINE")]
    reactor.close()
