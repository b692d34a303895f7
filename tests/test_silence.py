"""Silence costs nothing: rows on which nothing happens make no wake-up but those that a deadline asked for.

Ten thousand of them on the simulation, whose polls are counted, and two thousand real connections on the kernel.
"""

import resource
import selectors
import socket
from collections.abc import Callable

import pytest
from partway.engine import IDLE, OPENING, PARK, READ, Limits, Reactor, Wait, Want
from partway.engine.kernel import Kernel
from partway.engine.selector import LeanEpollSelector
from worlds import Acts, Rig, echo, script

PATIENT = Limits(idle_seconds=1e6, opening_seconds=1e6, request_seconds=1e6, waiting_seconds=1e6, accepts_a_turn=20_000)


@pytest.mark.parametrize("want", [IDLE, READ, OPENING, PARK, Wait(1e6)], ids=str)
def test_ten_thousand_silent_rows_and_not_one_wake_up(want: Want) -> None:
    count = 10_000 if want is IDLE else 1000
    rig = Rig(script(want), limits=PATIENT)
    rig.dials(count)
    while len(rig.rows) < count:
        rig.reactor.step(1.0)
    while not rig.simulation.quiet():
        rig.reactor.step(0.01)
    polls, turns = rig.simulation.polls, rig.reactor.totals().turns
    rig.simulation.run(rig.reactor, 10.0)
    assert rig.simulation.polls - polls == 1, "the one poll that lasts ten seconds"
    assert rig.reactor.totals().turns - turns == 1


def test_only_deadlines_wake() -> None:
    """Rows that came in ten groups, a second apart: ten deadlines, ten wake-ups."""
    rig = Rig(script(IDLE), limits=Limits(idle_seconds=100, accepts_a_turn=1000))
    for _ in range(10):
        rig.dials(100)
        rig.run(1.0)
    for _ in range(100):
        if rig.simulation.quiet():
            break
        rig.reactor.step(0.01)
    polls = rig.simulation.polls
    rig.run(85.0)
    assert rig.simulation.polls - polls <= 1
    assert len(rig.rows) == 1000
    turns = rig.reactor.totals().turns
    rig.run(16.0)
    assert not rig.rows
    assert rig.reactor.totals().turns - turns <= 10 * 4, "each group came within a millisecond or two"


def test_a_silent_reactor_says_when_it_is_needed() -> None:
    rig = Rig(script(IDLE), limits=Limits(idle_seconds=15))
    assert rig.reactor.next_deadline() is None
    rig.dial()
    rig.run(0.1)
    due = rig.reactor.next_deadline()
    assert due is not None
    assert 14 < due - rig.simulation.now() <= 15


def test_a_peer_that_has_gone_while_nobody_reads_does_not_spin() -> None:
    """A parked row whose peer ends, or resets: told once, then silence."""
    rig = Rig(Acts(lambda machine: PARK), limits=PATIENT)
    for client in rig.dials(100):
        client.say(b"unread")
        rig.simulation.after(0.5, client.half_close)
    rig.run(1.0)
    turns = rig.reactor.totals().turns
    rig.run(100.0)
    assert rig.reactor.totals().turns - turns <= 1
    assert len(rig.rows) == 100


SELECTORS: dict[str, Callable[[], selectors.BaseSelector]] = {
    "lean": LeanEpollSelector,
    "epoll": selectors.EpollSelector,
    "poll": selectors.PollSelector,
}


@pytest.mark.parametrize("name", SELECTORS)
def test_two_thousand_real_connections(name: str) -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(2000 if name == "lean" else 300, (soft - 200) // 2)
    reactor = Reactor(Kernel(SELECTORS[name]()), limits=PATIENT)
    acts = Acts(echo)
    listener = reactor.listen("127.0.0.1:0", acts)
    clients = []
    for _ in range(count):
        clients.append(socket.create_connection(("127.0.0.1", listener.address.port)))
        if len(clients) % 100 == 0:
            reactor.step(0)
    for _ in range(1000):
        if len(acts.made) == count and not reactor.step(0):
            break
        reactor.step(0.01)
    assert len(acts.made) == count
    turns = reactor.totals().turns
    for _ in range(5):
        reactor.step(0.06)
    assert reactor.totals().turns - turns == 5, "step() returns once a timeout, and would have earlier for an event"
    began = reactor.platform.now()
    reactor.step(0.2)
    assert reactor.platform.now() - began >= 0.199, "something woke it"
    reactor.close()
    for client in clients:
        client.close()


@pytest.mark.parametrize("name", SELECTORS)
def test_one_timer_takes_one_turn(name: str) -> None:
    """Rounded up, never down: a poller that cuts 50.9 ms to whole ones would spin for the last."""
    reactor = Reactor(Kernel(SELECTORS[name]()))
    called: list[bool] = []
    reactor.after(0.0509, lambda: called.append(True))
    turns = 0
    while not called:
        reactor.step()
        turns += 1
    assert turns == 1
    reactor.close()
