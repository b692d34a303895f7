"""Every pair of state and event, one by one, against the table of transitions; and what each state asks of the poller.

The table is data, so it can be enumerated: nothing about a row's life is left to an accident of call order.
"""

from collections.abc import Iterator
from itertools import product

import pytest
from partway.engine import (
    ABORT,
    CLOSE,
    IDLE,
    OPENING,
    PARK,
    READ,
    Address,
    Become,
    Cause,
    Idle,
    Limits,
    Reactor,
    Row,
    Want,
)
from partway.engine import row as rows
from partway.engine.platform import FAILED, PEER_ENDED, READABLE, WRITABLE
from partway.engine.row import EVENTS, STATES, TRANSITIONS, IllegalTransition, advance
from partway.engine.simulation import Simulation
from partway.engine.stream import serve
from partway.engine.stream_row import interest
from partway.engine.timers import NEVER
from worlds import Acting, Acts, Rig, echo, script

PAIRS = list(product(range(len(STATES)), range(len(EVENTS))))
NAMES = [f"{STATES[state]}-{EVENTS[event]}" for state, event in PAIRS]


class Duplex(Acting):
    duplex = True


@pytest.fixture
def row() -> Iterator[Row]:
    """A row outside any loop, to be put into whatever state."""
    reactor = Reactor(Simulation(1))
    reactor.listen("server:7", Acts(echo))
    row = reactor.connect(Address("tcp", "server", 7), Acts(echo))
    yield row
    row.channel.close()


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=NAMES)
def test_each_pair_is_in_the_table_or_raises(row: Row, state: int, event: int) -> None:
    row.state = state
    if event in TRANSITIONS[state]:
        advance(row, event)
        assert row.state == TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransition, match=STATES[state]):
            advance(row, event)
        assert row.state == state


def test_the_table_says_what_the_design_says() -> None:
    alive = {rows.OPENING, rows.IDLE, rows.READING, rows.WORKING, rows.WAITING, rows.WRITING}
    assert set(TRANSITIONS) == alive | {rows.LINGERING, rows.CLOSED}
    for state in alive:
        assert TRANSITIONS[state][rows.ENDS] == rows.CLOSED
        assert TRANSITIONS[state][rows.LINGERS] == rows.LINGERING
        assert TRANSITIONS[state][rows.BLOCKED] == rows.WRITING
        assert TRANSITIONS[state][rows.BECAME] == rows.OPENING
        assert TRANSITIONS[state][rows.WANTS_IDLE] == rows.IDLE
        assert TRANSITIONS[state][rows.WANTS_READING] == rows.READING
        assert TRANSITIONS[state][rows.WANTS_WAITING] == rows.WAITING
        assert (rows.WANTS_OPENING in TRANSITIONS[state]) is (state == rows.OPENING)
        assert TRANSITIONS[state][rows.QUEUED] == (rows.OPENING if state == rows.OPENING else rows.WORKING)
    assert dict(TRANSITIONS[rows.LINGERING]) == {rows.ENDS: rows.CLOSED}
    assert not TRANSITIONS[rows.CLOSED]


def test_states_beyond_the_machine_come_last() -> None:
    assert [state for state in range(len(STATES)) if state >= rows.LINGERING] == [rows.LINGERING, rows.CLOSED]


INTEREST = {
    rows.OPENING: READABLE,
    rows.IDLE: READABLE,
    rows.READING: READABLE,
    rows.WORKING: 0,
    rows.WAITING: PEER_ENDED,
    rows.WRITING: WRITABLE,
    rows.LINGERING: READABLE,
    rows.CLOSED: 0,
}
AFTER_THE_END = {**INTEREST, rows.IDLE: 0, rows.READING: 0, rows.LINGERING: 0, rows.WAITING: 0}


@pytest.mark.parametrize("state", INTEREST, ids=STATES)
def test_interest_by_state(row: Row, state: int) -> None:
    row.state, row.connecting = state, False
    assert interest(row) == INTEREST[state]


@pytest.mark.parametrize("state", [*range(rows.IDLE, rows.CLOSED + 1)], ids=STATES[1:])
def test_interest_after_the_peers_end(row: Row, state: int) -> None:
    row.state, row.connecting = state, False
    row.peer_ended = row.end_fed = True
    assert interest(row) == AFTER_THE_END[state]


def test_a_connecting_row_asks_whether_it_can_write(row: Row) -> None:
    assert row.connecting
    assert interest(row) == WRITABLE


def test_a_duplex_machine_reads_while_it_writes(row: Row) -> None:
    row.state, row.connecting = rows.WRITING, False
    row.machine = Duplex(row, echo)
    assert interest(row) == WRITABLE | READABLE
    row.machine.duplex = False
    assert interest(row) == WRITABLE
    row.machine.duplex = row.end_fed = True
    assert interest(row) == WRITABLE


def test_a_peers_end_known_but_unread_is_still_to_be_read(row: Row) -> None:
    row.connecting = False
    row.peer_ended = True
    row.state = rows.READING
    assert interest(row) == READABLE
    row.state = rows.WAITING
    assert interest(row) == 0


def test_a_waiting_row_asks_nothing_of_a_poller_that_cannot_tell(row: Row) -> None:
    row.state, row.connecting = rows.WAITING, False
    row.table.platform.tells_peer_end = False
    assert interest(row) == 0


DEADLINES = {
    rows.OPENING: "opening_seconds",
    rows.IDLE: "idle_seconds",
    rows.READING: "request_seconds",
    rows.WAITING: "waiting_seconds",
    rows.WRITING: "stall_seconds",
    rows.LINGERING: "linger_seconds",
}


@pytest.mark.parametrize("state", range(len(STATES)), ids=STATES)
def test_deadline_by_state(row: Row, state: int) -> None:
    row.state = state
    row.since = row.active_at = row.paused_at = 50.0
    row.taken = 0
    name = DEADLINES.get(state)
    assert row.deadline() == (50.0 + getattr(row.limits, name) if name else NEVER)


def test_an_answers_first_alarm_is_when_what_counts_begins(row: Row) -> None:
    row.state, row.since = rows.WRITING, 50.0
    assert row.deadline() == 50.0 + row.limits.stall_seconds / 6


def test_a_wait_of_the_machines_own_has_no_other_deadline(row: Row) -> None:
    row.state, row.until = rows.WAITING, 1e9
    assert row.deadline() == NEVER


@pytest.mark.parametrize("before", [IDLE, READ, PARK], ids=str)
def test_an_illegal_want_ends_its_row_alone(before: Want) -> None:
    def act(machine: Acting) -> Want:
        data = machine.take()
        if machine.steps == 1:
            return before
        return OPENING if data == b"bad" or before is PARK else data or IDLE

    acts = Acts(act)
    rig = Rig(acts)
    bad, good = rig.dials(2)
    rig.run(0.1)
    if before is PARK:
        acts.made[0].row.wake()
        rig.run(0.1)
        assert rig.ended == {str(Cause.ILLEGAL): 1}
        return
    bad.say(b"bad")
    good.say(b"good")
    rig.run(0.1)
    assert bad.heard() == b""
    assert bad.reset
    assert good.heard() == b"good"
    assert rig.ended == {str(Cause.ILLEGAL): 1}


def test_opening_again_is_legal_after_becoming_another() -> None:
    later = Acts(lambda machine: machine.take() or OPENING)
    rig = Rig(Acts(lambda machine: Become(later(machine.row)) if machine.take() else IDLE))
    client = rig.dial()
    rig.run(0.1)
    client.say(b"become")
    rig.run(0.1)
    assert rig.states == ["OPENING"]
    client.say(b"hello")
    rig.run(0.1)
    assert client.heard() == b"hello"


def test_each_state_can_be_seen_in_a_living_table() -> None:
    wants: dict[str, tuple[Want, ...]] = {
        "OPENING": (OPENING,),
        "IDLE": (IDLE,),
        "READING": (READ,),
        "WAITING": (PARK,),
        "WRITING": (b"x" * 1_000_000, IDLE),
        "LINGERING": (CLOSE,),
    }
    for state, said in wants.items():
        rig = Rig(script(*said))
        client = rig.dial()
        rig.run(0.1)
        assert rig.states == [state]
        client.abort()
    rig = Rig(script(ABORT))
    rig.dial()
    rig.run(0.1)
    assert rig.states == []
    rig = Rig(script(b"x" * 10_000, b"y", IDLE), limits=Limits(quantum_bytes=1000))
    rig.dial()
    while not rig.states:
        rig.reactor.step(0.01)
    assert rig.states == ["OPENING"]
    rig.run(1.0)
    assert rig.states == ["IDLE"]


def test_what_a_machine_sees_of_its_row() -> None:
    acts = Acts(echo)
    rig = Rig(acts, seed=5)
    client = rig.dial()
    rig.run(0.5)
    row = acts.only.row
    assert row.peer == client.where
    assert row.local == ("server", 7)
    assert row.now == rig.reactor.table.now
    assert row.wall == pytest.approx(1_000_000_000 + row.now, abs=1.0)
    assert row.random is rig.simulation.random
    assert row.limits is rig.reactor.limits
    assert not row.peer_ended
    assert "IDLE" in repr(row)


def test_keys_are_never_reused() -> None:
    rig = Rig(Acts(echo))
    keys = set()
    for _ in range(50):
        client = rig.dial()
        rig.run(0.01)
        (row,) = rig.rows
        assert row.key not in keys
        keys.add(row.key)
        client.close()
        rig.run(0.01)
        assert not rig.rows
        assert rig.simulation.descriptors_used() == 1, "only the listener's is left"


def test_a_timed_idle_is_over_once_something_came() -> None:
    def act(machine: Acting) -> Want:
        return machine.take() or (Idle(1.0) if not machine.row.received else IDLE)

    acts = Acts(act)
    rig = Rig(acts)
    client = rig.dial()
    rig.run(0.5)
    client.say(b"x")
    rig.run(0.1)
    steps = acts.only.steps
    rig.run(5.0)
    assert acts.only.steps == steps, "stepped at a time that it had asked for before"


def test_a_busy_row_asks_nothing_of_the_poller() -> None:
    """What a row does not read yet keeps its descriptor readable: it is unregistered, until it rests again."""
    acts = Acts(lambda machine: b"x" * 1000 if machine.row.received and machine.steps < 200 else READ)
    rig = Rig(acts, limits=Limits(quantum_bytes=2000, step_bytes=1), delay_seconds=(0.0, 0.0))
    client = rig.dial()
    rig.run(0.1)
    client.say(b"go")
    rig.travel()
    rig.reactor.step(0)
    client.say(b"more")
    rig.travel()
    for _ in range(3):
        rig.reactor.step(0)
    assert [(row.state, row.interest) for row in rig.reactor.rows()] == [("WORKING", "-")]
    assert acts.only.data == b"go"
    rig.hears(client)
    rig.run(1.0)
    assert acts.only.data == b"gomore"


def test_a_failure_that_is_told_alone_ends_a_blocked_row() -> None:
    """Some kernels tell of an error without saying that one may write."""
    rig = Rig(script(b"x" * 1_000_000, CLOSE))
    client = rig.dial()
    rig.run(0.1)
    (row,) = rig.rows
    client.abort()
    rig.travel()
    serve([(row.descriptor, FAILED)], rig.reactor.table.by_descriptor, row.now, lambda descriptor, mask: None)
    assert row.reason is not None
    assert row.reason.cause is Cause.PEER_LOST


def test_waking_twice_is_waking_once() -> None:
    acts = Acts(lambda machine: PARK)
    rig = Rig(acts)
    rig.dial()
    rig.run(0.1)
    for _ in range(3):
        acts.only.row.wake()
    assert len(rig.reactor.table.queue) == 1
    rig.run(0.1)
    assert acts.only.steps == 2
