"""In loops of others: what `attach` promises, whoever's loop it is; with windows in `test_real_loops.py`."""

import asyncio
import importlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from partway.engine import IDLE, PARK, Cause, Limits, Reactor, Row, Want
from partway.engine.adapters import asyncio as our_asyncio
from partway.engine.adapters import selector as our_selector
from partway.engine.adapters.foreign import Foreign
from partway.engine.host import Host

SECONDS_MOST = 20.0
LOCAL = "127.0.0.1:0"


class Echo:
    """Sends back what comes; parks until it is woken where it hears `park`."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.data = b""
        self.parked = False

    def feed(self, data: bytes) -> None:
        self.data += data

    def step(self) -> Want:
        if self.data == b"park":
            if not self.parked:
                self.parked = True
                return PARK
            self.data = b"woken"
        data, self.data = self.data, b""
        return data or IDLE


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    one = Reactor()
    yield one
    one.close()


async def dial(reactor: Reactor, listener: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", listener.address.port)


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), SECONDS_MOST))


# asyncio.


def test_rows_and_coroutines_in_one_thread(reactor: Reactor) -> None:
    async def main() -> None:
        threads = threading.active_count()
        listener = reactor.listen(LOCAL, Echo)
        turns = our_asyncio.attach(reactor)
        reader, writer = await dial(reactor, listener)
        for word in (b"one", b"another"):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word
        assert threading.active_count() == threads
        writer.close()
        turns.detach()

    run(main)


def test_nothing_is_polled_while_nothing_happens(reactor: Reactor) -> None:
    async def main() -> None:
        reactor.listen(LOCAL, Echo)
        turns = our_asyncio.attach(reactor)
        await asyncio.sleep(0.01)
        before = reactor.totals().turns
        await asyncio.sleep(0.1)
        assert reactor.totals().turns == before
        turns.detach()

    run(main)


def test_a_timer_is_not_set_anew_for_each_request(reactor: Reactor) -> None:
    """Deadlines move on with each; a timer that must not ring earlier is left alone, and rings in vain at the most."""

    async def main() -> None:
        listener = reactor.listen(LOCAL, Echo, Limits(idle_seconds=0.2))
        turns = our_asyncio.attach(reactor)
        reader, writer = await dial(reactor, listener)
        timers = []
        call_later = turns.loop.call_later
        turns.loop.call_later = lambda *words: timers.append(words) or call_later(*words)  # type: ignore
        for _ in range(20):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert len(timers) < 5
        assert await reader.read() == b"", "and it rings all the same: nobody has said anything for long"
        writer.close()
        turns.detach()

    run(main)


def test_what_the_program_does_outside_of_a_turn_is_done_at_once(reactor: Reactor) -> None:
    """A row is woken, or ended, by a coroutine; a call is scheduled."""

    async def main() -> None:
        listener = reactor.listen(LOCAL, Echo)
        turns = our_asyncio.attach(reactor)
        reader, writer = await dial(reactor, listener)
        writer.write(b"park")
        while [row.state for row in reactor.rows()] != ["WAITING"]:
            await asyncio.sleep(0.001)
        (row,) = reactor.table.rows.values()
        row.wake()
        assert await reader.readexactly(5) == b"woken"
        called = asyncio.Event()
        reactor.after(0.01, called.set)
        await called.wait()
        reactor.kill(row.key)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        turns.detach()

    run(main)


def test_a_loop_that_is_late(reactor: Reactor) -> None:
    """Deadlines ring once, in their order, when it comes to it."""
    order: list[int] = []

    async def main() -> None:
        limits = Limits(idle_seconds=0.01)
        listener = reactor.listen(LOCAL, Echo, limits)
        turns = our_asyncio.attach(reactor)
        reader, writer = await dial(reactor, listener)
        while not reactor.keys():
            await asyncio.sleep(0.001)
        for number in (3, 1, 2):
            reactor.after(number * 0.005, lambda number=number: order.append(number))  # type: ignore[misc]
        time.sleep(0.05)
        assert await reader.read() == b""
        while len(order) < 3:
            await asyncio.sleep(0.001)
        writer.close()
        turns.detach()

    run(main)
    assert order == [1, 2, 3]
    assert reactor.totals().ended == {Cause.IDLE_TOO_LONG: 1} or reactor.rows()


def test_two_reactors_side_by_side(reactor: Reactor) -> None:
    other = Reactor()

    async def main() -> None:
        ends = []
        for one in (reactor, other):
            listener = one.listen(LOCAL, Echo)
            our_asyncio.attach(one)
            ends.append(await dial(one, listener))
        for reader, writer in ends:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()

    run(main)
    other.close()


def test_what_the_programs_own_code_raises_goes_to_the_loop(reactor: Reactor) -> None:
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        turns = our_asyncio.attach(reactor)
        called = asyncio.Event()

        def fail() -> None:
            raise KeyError("the program's")

        reactor.after(0, fail)
        reactor.after(0.01, called.set)
        await called.wait()
        turns.detach()

    run(main)
    assert [type(error) for error in told] == [KeyError]


def test_no_loop_runs(reactor: Reactor) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        our_asyncio.attach(reactor)


def test_who_has_let_go_has_let_go(reactor: Reactor) -> None:
    async def main() -> None:
        turns = our_asyncio.attach(reactor)
        with pytest.raises(RuntimeError, match="another loop has this reactor"):
            our_asyncio.attach(reactor)
        turns.detach()
        before = reactor.totals().turns
        reactor.after(0, lambda: None)
        await asyncio.sleep(0.02)
        assert reactor.totals().turns == before
        our_asyncio.attach(reactor).detach()

    run(main)


def test_letting_go_of_a_reactor_that_is_closed() -> None:
    async def main() -> None:
        reactor = Reactor()
        turns = our_asyncio.attach(reactor)
        reactor.after(0.01, lambda: None)
        reactor.close()
        turns.detach()
        await asyncio.sleep(0.02)

    run(main)


def test_without_a_descriptor_there_is_a_turn_now_and_then() -> None:
    """On a host, whose poller has none; and where the loop cannot watch any."""

    async def main() -> None:
        host = Host(time.monotonic)
        reactor = Reactor(host)
        reactor.listen("host:1", Echo)
        turns = our_asyncio.attach(reactor)
        number = host.open("host:1")
        host.feed(number, b"hello")
        while host.take(number) != b"hello":
            await asyncio.sleep(0.001)
        turns.detach()
        reactor.close()

    run(main)


def test_a_loop_that_watches_no_descriptors(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    def add_reader(self: Any, *words: Any) -> None:
        raise NotImplementedError

    async def main() -> None:
        listener = reactor.listen(LOCAL, Echo)
        with monkeypatch.context() as patch:
            patch.setattr(type(asyncio.get_running_loop()), "add_reader", add_reader)
            turns = our_asyncio.attach(reactor)
        reader, writer = await dial(reactor, listener)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        turns.detach()

    run(main)


def test_a_machine_that_runs_the_loop_that_runs_it(reactor: Reactor) -> None:
    """Is refused, with a clear error; its row ends, and nobody else notices."""
    loops: list[Foreign] = []

    class Nested(Echo):
        def step(self) -> Want:
            if self.data == b"nest":
                loops[0].turn()
            return super().step()

    async def main() -> None:
        listener = reactor.listen(LOCAL, Nested)
        loops.append(our_asyncio.attach(reactor))
        reader, writer = await dial(reactor, listener)
        writer.write(b"nest")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        loops[0].detach()

    notices: list[str] = []
    reactor.table._observer = lambda notice: notices.append(notice.text)
    run(main)
    assert "a machine of this reactor's runs the loop that runs the reactor" in notices[0]


def test_a_second_thread_is_refused_while_a_turn_is_under_way(reactor: Reactor) -> None:
    failures: list[RuntimeError] = []

    def beside() -> None:
        try:
            reactor.step(0)
        except RuntimeError as error:
            failures.append(error)

    def within() -> None:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()

    reactor.after(0, within)
    while not failures:
        reactor.step(0.01)
    assert "or beside one" in str(failures[0])
    beside()
    assert len(failures) == 1, "afterwards it may"


# A selector of the program's own.


@pytest.mark.parametrize("kind", [selectors.DefaultSelector, selectors.SelectSelector])
def test_in_a_loop_over_a_selector(reactor: Reactor, kind: type[selectors.BaseSelector]) -> None:
    ours, theirs = socket.socketpair()
    listener = reactor.listen(LOCAL, Echo)
    with kind() as selector, ours, theirs, socket.create_connection(("127.0.0.1", listener.address.port)) as client:
        turns = our_selector.attach(reactor, selector)
        selector.register(ours, selectors.EVENT_READ, "ours")
        client.sendall(b"hello")
        theirs.send(b"!")
        seen: set[str] = set()
        client.setblocking(False)
        end = time.monotonic() + SECONDS_MOST
        while seen != {"ours", "hello"} and time.monotonic() < end:
            for key, _ in selector.select(turns.timeout(0.05)):
                if key.data == "ours":
                    ours.recv(1)
                    seen.add("ours")
            turns.turn()
            try:
                seen.add(client.recv(10).decode())
            except BlockingIOError:
                pass
        assert seen == {"ours", "hello"}
        reactor.after(0.5, lambda: None)
        left = turns.timeout()
        assert left is not None and 0 < left < 0.6
        assert turns.timeout(0.01) == 0.01
        turns.detach()
        assert [key.data for key in selector.get_map().values()] == ["ours"]


def test_a_selector_without_a_descriptor_of_the_reactors() -> None:
    host = Host(time.monotonic)
    reactor = Reactor(host)
    with selectors.DefaultSelector() as selector:
        turns = our_selector.attach(reactor, selector)
        left = turns.timeout()
        assert left is not None and left <= 0.02, "it is looked at now and then"
        turns.turn()
        turns.detach()
    reactor.close()


# IPython's prompt.


def test_the_input_hook_takes_turns_until_a_key_is_pressed(reactor: Reactor) -> None:
    pytest.importorskip("IPython")
    from partway.engine.adapters import ipython

    reading, writing = os.pipe()
    listener = reactor.listen(LOCAL, Echo)
    client = socket.create_connection(("127.0.0.1", listener.address.port), SECONDS_MOST)

    class Context:
        def fileno(self) -> int:
            return reading

        def input_is_ready(self) -> bool:
            return bool(pressed)

    pressed: list[bool] = []

    def press() -> None:
        pressed.append(True)
        os.write(writing, b"x")

    client.sendall(b"hello")
    reactor.after(0.05, press)
    ipython.hook_of(reactor)(Context())
    assert client.recv(10) == b"hello"
    client.close()
    os.close(reading)
    os.close(writing)


# What is not installed.


@pytest.mark.parametrize(("adapter", "module", "extra"), [("qt", "PySide6", "qt"), ("ipython", "IPython", "ipython")])
def test_a_toolkit_that_is_missing(adapter: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"partway.engine.adapters.{adapter}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'partway\[{extra}\]'"):
        importlib.import_module(f"partway.engine.adapters.{adapter}")
