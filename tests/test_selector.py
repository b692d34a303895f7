"""The lean selector keeps the interface of the `selectors` module, and the pollers theirs.

Whoever injects a selector, or takes ours to use elsewhere, must find what the standard library promises: so each
operation is done on ours and on the stock class, and the two must agree, exceptions included.
"""

import selectors
import socket
from collections.abc import Callable, Iterator
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Any

import pytest
from partway.engine.platform import FAILED, PEER_ENDED, READABLE, WRITABLE
from partway.engine.selector import LeanEpollSelector, SelectorPoller, poller_for

BOTH = EVENT_READ | EVENT_WRITE
KINDS = [LeanEpollSelector, selectors.EpollSelector]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Operation = Callable[[BaseSelector, socket.socket, socket.socket], Any]


def found(selector: BaseSelector) -> list[tuple[Any, ...]]:
    return [(key.data, key.events, events) for key, events in selector.select(0)]


def asked(selector: BaseSelector, file: socket.socket, events: int = BOTH) -> Any:
    return selector.register(file, events, 9).data


def closed_meanwhile(selector: BaseSelector, ours: socket.socket, theirs: socket.socket) -> Any:
    copy = ours.dup()
    selector.register(copy, EVENT_READ, "copy")
    copy.close()
    return selector.unregister(copy).data


def hung_up(selector: BaseSelector, ours: socket.socket, theirs: socket.socket) -> Any:
    selector.register(ours, EVENT_READ)
    theirs.shutdown(socket.SHUT_RDWR)
    ours.shutdown(socket.SHUT_RDWR)
    return [events for _, events in selector.select(0)]


OPERATIONS: dict[str, Operation] = {
    "nothing": lambda it, ours, theirs: found(it),
    "register": lambda it, ours, theirs: it.register(ours, BOTH, "data") == (ours, ours.fileno(), BOTH, "data"),
    "register by number": lambda it, ours, theirs: it.register(ours.fileno(), EVENT_READ).fileobj == ours.fileno(),
    "register twice": lambda it, ours, theirs: [it.register(ours, EVENT_READ) for _ in range(2)],
    "register nothing": lambda it, ours, theirs: it.register(ours, 0),
    "register nonsense": lambda it, ours, theirs: it.register(ours, 8),
    "register no file": lambda it, ours, theirs: it.register("text", EVENT_READ),
    "register a negative": lambda it, ours, theirs: it.register(-1, EVENT_READ),
    "register a closed": lambda it, ours, theirs: (ours.close(), it.register(ours, EVENT_READ)),
    "unregister": lambda it, ours, theirs: (asked(it, ours), it.unregister(ours).events, found(it)),
    "unregister unknown": lambda it, ours, theirs: it.unregister(ours),
    "unregister a closed": closed_meanwhile,
    "modify": lambda it, ours, theirs: (asked(it, ours), it.modify(ours, EVENT_WRITE, 5).data, found(it)),
    "modify unknown": lambda it, ours, theirs: it.modify(ours, EVENT_READ),
    "writable": lambda it, ours, theirs: (asked(it, ours), found(it)),
    "readable": lambda it, ours, theirs: (asked(it, ours), theirs.send(b"x"), found(it)),
    "readable, not asked": lambda it, ours, theirs: (asked(it, ours, EVENT_WRITE), theirs.send(b"x"), found(it)),
    "end of file": lambda it, ours, theirs: (asked(it, ours, EVENT_READ), theirs.close(), found(it)),
    "hung up": hung_up,
    "get_key": lambda it, ours, theirs: (asked(it, ours), it.get_key(ours).data),
    "get_key by number": lambda it, ours, theirs: (asked(it, ours), it.get_key(ours.fileno()).data),
    "get_key unknown": lambda it, ours, theirs: it.get_key(ours),
    "get_map": lambda it, ours, theirs: (asked(it, ours), it.get_map()[ours].data, len(it.get_map())),
    "in map": lambda it, ours, theirs: (asked(it, ours), ours in it.get_map(), theirs in it.get_map()),
    "negative timeout": lambda it, ours, theirs: it.select(-1),
    "with": lambda it, ours, theirs: it.__enter__() is it,
    "many": lambda it, ours, theirs: (asked(it, ours), asked(it, theirs), len(found(it))),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_ours_does_as_the_stock_one_does(name: str) -> None:
    outcomes = []
    for kind in KINDS:
        ours, theirs = socket.socketpair()
        with ours, theirs, kind() as selector:
            try:
                outcomes.append(OPERATIONS[name](selector, ours, theirs))
            except Exception as error:
                outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_after_close() -> None:
    for kind in KINDS:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            selector = kind()
            selector.register(ours, EVENT_READ)
            selector.close()
            with pytest.raises((RuntimeError, KeyError)):
                selector.get_key(ours)


def test_a_selector_is_a_descriptor_that_turns_readable(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with LeanEpollSelector() as inner, selectors.SelectSelector() as outer:
        inner.register(ours, EVENT_READ)
        outer.register(inner.fileno(), EVENT_READ)
        assert not outer.select(0)
        theirs.send(b"x")
        assert outer.select(0)


POLLERS = [LeanEpollSelector, selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector]


@pytest.mark.parametrize("kind", POLLERS)
def test_every_poller_names_each_ready_descriptor_before_long(kind: type[BaseSelector]) -> None:
    """`ready` honours `most`, and takes turns among those for whom there was no room."""
    pairs = [socket.socketpair() for _ in range(20)]
    poller = poller_for(kind())
    for ours, theirs in pairs:
        poller.register(ours.fileno(), READABLE)
        theirs.send(b"x")
    named: set[int] = set()
    for _ in range(12):
        events = poller.ready(0, 3)
        assert len(events) <= 3
        assert all(mask == READABLE for _, mask in events)
        named |= {descriptor for descriptor, _ in events}
    assert named == {ours.fileno() for ours, _ in pairs}
    poller.close()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("kind", POLLERS)
def test_every_poller_registers_modifies_and_forgets(
    kind: type[BaseSelector], pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    poller = poller_for(kind())
    poller.register(ours.fileno(), READABLE)
    assert list(poller.ready(0, 10)) == []
    poller.modify(ours.fileno(), READABLE | WRITABLE)
    assert list(poller.ready(0, 10)) == [(ours.fileno(), WRITABLE)]
    theirs.send(b"x")
    assert list(poller.ready(0, 10)) == [(ours.fileno(), READABLE | WRITABLE)]
    poller.unregister(ours.fileno())
    assert list(poller.ready(0, 10)) == []
    poller.register(ours.fileno(), READABLE)
    assert list(poller.ready(None, 10)) == [(ours.fileno(), READABLE)]
    poller.close()


def test_the_lean_poller_tells_the_peers_end_without_reading(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    poller = poller_for(LeanEpollSelector())
    poller.register(ours.fileno(), PEER_ENDED)
    theirs.send(b"x")
    assert list(poller.ready(0, 10)) == []
    theirs.shutdown(socket.SHUT_WR)
    assert list(poller.ready(0, 10)) == [(ours.fileno(), PEER_ENDED)]
    theirs.close()
    ((_, mask),) = poller.ready(0, 10)
    assert mask & FAILED
    poller.close()


def test_the_leanest_poller_is_taken() -> None:
    selector = LeanEpollSelector()
    assert poller_for(selector) is selector.lean
    selector.close()
    stock = selectors.PollSelector()
    poller = poller_for(stock)
    assert isinstance(poller, SelectorPoller)
    assert poller.fileno() is None
    poller.close()


def test_rotation_of_a_selector_of_ones_own() -> None:
    """A selector that names everybody each time, in one order: all are served, whatever the numbers divide by."""

    class Always(selectors.SelectSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            return [(key, EVENT_READ) for key in self.get_map().values()]

    for count in range(1, 30):
        for most in range(1, 12):
            selector = Always()
            for descriptor in range(count):
                selector.register(descriptor, EVENT_READ)
            poller = SelectorPoller(selector)
            named = {descriptor for _ in range(2 * count) for descriptor, _ in poller.ready(0, most)}
            assert len(named) == count, (count, most)
