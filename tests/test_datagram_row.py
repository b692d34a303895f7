"""Rows of datagrams: fed one datagram at a time, stepped until they rest, and ended when patience ends.

What a peer merely sends, and what is sent to it again because it was silent, moves no deadline: else a half-done
exchange could be kept half done for ever.
"""

import sys
from typing import Any

import pytest
from partway.engine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Cause,
    File,
    Idle,
    Inbox,
    Limits,
    PeerError,
    Read,
    Row,
    Wait,
    Want,
)
from partway.engine.endpoint import NOT_READ
from partway.engine.freeze import freeze, thaw
from partway.engine.timers import NEVER
from places import Fails, PlaceRig, Service
from worlds import SEEDS, Acting, Acts, echo, script

on = pytest.mark.parametrize
PATIENT = Limits(idle_seconds=1000, request_seconds=1000, opening_seconds=1000, waiting_seconds=1000)


def begun(acts: Any, **options: Any) -> tuple[PlaceRig, Any]:
    """A rig with one row, begun by one datagram."""
    rig = PlaceRig(Service(acts), **options)
    peer = rig.dial()
    peer.say(b"begin")
    rig.run()
    return rig, peer


def together(rig: PlaceRig, peer: Any, *data: bytes) -> list[bytes]:
    """Have datagrams arrive in one turn; return what is heard."""
    for one in data:
        peer.say(one)
    rig.arrive()
    rig.run()
    heard: list[bytes] = peer.heard()
    return heard


def cause(rig: PlaceRig) -> str:
    (name,) = rig.ended
    return name


# Being fed.


@on("seed", SEEDS)
def test_one_datagram_a_feed_and_one_a_want(seed: int) -> None:
    fed: list[bytes] = []

    class Keeps(Acting):
        def feed(self, data: bytes) -> None:
            fed.append(data)
            self.memory = [data, b"", (b"two ", memoryview(b"parts")), bytearray(b"array"), IDLE]

    rig = PlaceRig(Service(lambda row: Keeps(row, lambda machine: machine.memory.pop(0))), seed=seed)
    peer = rig.dial()
    answer = [b"", b"two parts", b"array"]
    heard = together(rig, peer, b"a lot of bytes", b"and more of them")
    assert fed == [b"a lot of bytes", b"and more of them"]
    assert heard == [b"a lot of bytes", *answer, b"and more of them", *answer]
    assert rig.row.sent == sum(map(len, heard))
    assert rig.reactor.totals().datagrams_sent == 8
    assert rig.row.requests == 0


def test_a_row_that_wakes_itself_as_it_begins_is_fed_what_began_it() -> None:
    def factory(row: Row) -> Acting:
        row.wake()
        return Acting(row, echo)

    rig, peer = begun(factory)
    assert peer.heard() == [b"begin"]
    assert rig.ask(peer, b"more") == [b"more"]


def test_what_began_a_row_is_fed() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    assert rig.ask(rig.dial(), b"begin") == [b"begin"]
    assert (rig.row.received, rig.row.sent) == (5, 5)


@on("want", [IDLE, READ, Idle(100), Read(100)], ids=str)
@on("schedule", ["fair", "shortest"])
def test_a_row_that_was_woken_while_it_reads_goes_on_reading(want: Want, schedule: str) -> None:
    rig, peer = begun(Acts(lambda machine: machine.take() or want), schedule=schedule)
    peer.heard()
    state = rig.states
    peer.say(b"x")
    rig.arrive()
    rig.row.wake()
    assert rig.states == state
    assert rig.row.queued
    assert rig.ask(peer) == [b"x"]
    assert rig.states == state
    assert not rig.row.queued
    assert not rig.dropped


def test_all_rows_woken_by_a_timer_lose_nothing() -> None:
    """A game that sends the state of its world thirty times a second, and hears its players meanwhile."""
    rig = PlaceRig(Service(Acts(lambda machine: machine.take() or IDLE)))
    peers = [rig.dial() for _ in range(10)]

    def tick() -> None:
        for row in rig.rows:
            row.wake()

    for _ in range(5):
        rig.reactor.after(0, tick)
        rig.arrive()
        rig.reactor.step(0)
        assert all(row.queued for row in rig.rows)
        for peer in peers:
            peer.say(b"x")
        rig.arrive()
        rig.run()
        assert [peer.heard() for peer in peers] == [[b"x"]] * 10
    assert not rig.dropped


def test_a_row_that_was_woken_is_stepped_before_it_is_drained() -> None:
    rig, peer = begun(Acts(lambda machine: machine.take() or machine.memory or IDLE))
    peer.heard()
    machine: Any = rig.row.machine

    def act(machine: Acting) -> Want:
        said, machine.memory = machine.memory, None
        return said or IDLE

    machine.act, machine.memory = act, b"bye"
    rig.row.wake()
    rig.reactor.drain()
    rig.run()
    assert peer.heard() == [b"bye"]
    assert rig.ended == {str(Cause.DRAINED): 1}


@on(("want", "state"), [(PARK, "WAITING"), (Wait(100), "WAITING")], ids=str)
def test_what_comes_while_nobody_reads_is_lost_and_counted(want: Want, state: str) -> None:
    rig, peer = begun(script(want))
    machine: Any = rig.row.machine
    type(machine).duplex = True
    try:
        rig.ask(peer, b"one", b"two")
    finally:
        del type(machine).duplex
    assert rig.states == [state]
    assert machine.data == b"begin"
    assert rig.dropped == {NOT_READ: 2}
    assert rig.row.received == 11
    rig.row.wake()
    assert rig.states == ["WORKING"]


@on("duplex", [False, True])
def test_what_comes_for_a_row_that_has_ended_is_not_fed(duplex: bool) -> None:
    class Duplex(Acting):
        pass

    if duplex:
        Duplex.duplex = True  # type: ignore[attr-defined]
    made: list[Acting] = []

    def factory(row: Row) -> Acting:
        made.append(Duplex(row, lambda machine: CLOSE))
        return made[-1]

    rig = PlaceRig(Service(factory))
    together(rig, rig.dial(), b"one", b"two")
    assert [machine.data for machine in made] == [b"one", b"two"], "it begins another"
    assert rig.dropped == {}
    assert rig.reactor.totals().received == 6


def busy(machine: Acting) -> Want:
    """Has a lot to say to whoever says anything, a quantum of it a turn."""
    if machine.data:
        machine.take()
        machine.memory = 3
    if not machine.memory:
        return IDLE
    machine.memory -= 1
    return b"x"


SMALL = Limits(quantum_bytes=1, step_bytes=1)


@on("duplex", [False, True])
@on("opened", [False, True])
@on("schedule", ["fair", "shortest"])
def test_what_comes_while_it_is_on_the_run_queue(schedule: str, opened: bool, duplex: bool) -> None:
    class Duplex(Acting):
        pass

    if duplex:
        Duplex.duplex = True  # type: ignore[attr-defined]
    rig = PlaceRig(Service(lambda row: Duplex(row, busy)), limits=SMALL, schedule=schedule)
    peer = rig.dial()
    if opened:
        rig.ask(peer, b"1")
        peer.heard()
    peer.say(b"2")
    peer.say(b"3")
    rig.arrive()
    rig.reactor.step(0)
    assert rig.states == ["WORKING" if opened else "OPENING"]
    assert rig.row.queued
    assert rig.dropped == ({} if duplex else {NOT_READ: 1})
    rig.run()
    assert peer.heard() == [b"x"] * (4 if duplex else 3)
    assert rig.states == ["IDLE"]


@on("where", ["duplex", "feed again"])
def test_a_machine_that_fails_while_it_is_on_the_run_queue(where: str) -> None:
    rig = PlaceRig(Service(lambda row: Fails(row, where, b"x")), limits=SMALL)
    rig.reactor.bind("udp:server:8", Service(Acts(echo)))
    good = rig.simulation.dial_datagrams("udp:server:8")
    assert rig.ask(good, b"x") == [b"x"]
    peer = rig.dial()
    peer.say(b"hello")
    rig.arrive()
    rig.reactor.step(0)
    assert not rig.ended
    peer.say(b"hello")
    rig.run(0.001)
    rig.run(0.001)
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert rig.kinds() == ["machine error"]
    assert f"in {where}" in rig.notices[0].text
    assert rig.ask(good, b"and after") == [b"and after"]


def test_a_machine_whose_rank_fails() -> None:
    rig = PlaceRig(Service(lambda row: Fails(row, "remaining", b"x")), limits=SMALL, schedule="shortest")
    rig.ask(rig.dial(), b"hello")
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert "rank of Fails" in rig.notices[0].text
    assert not rig.reactor.table.queue


def test_an_error_of_the_peers() -> None:
    class Refuses(Acting):
        def refuse(self, reason: Any) -> bytes:
            return b"%s %d" % (reason.detail.encode(), reason.hint)

    def act(machine: Acting) -> Want:
        if machine.data:
            raise PeerError("what?", 400)
        return READ

    rig = PlaceRig(Service(lambda row: Refuses(row, act)))
    assert rig.ask(rig.dial(), b"hello") == [b"what? 400"]
    assert rig.ended == {str(Cause.PEER_ERROR): 1}
    assert not rig.notices


def test_a_machine_that_closes_its_row_and_then_fails_has_no_last_word() -> None:
    class Says(Acting):
        def refuse(self, reason: Any) -> bytes:
            return b"sorry"

    def act(machine: Acting) -> Want:
        machine.row.close()
        raise PeerError("no")

    rig, peer = begun(lambda row: Says(row, act))
    assert peer.heard() == []
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}


# Wants.


@on(
    ("want", "state"),
    [
        (READ, "READING"),
        (Read(5), "READING"),
        (IDLE, "IDLE"),
        (Idle(5), "IDLE"),
        (PARK, "WAITING"),
        (Wait(5), "WAITING"),
        (OPENING, "OPENING"),
    ],
    ids=str,
)
def test_how_a_row_rests(want: Any, state: str) -> None:
    rig, _ = begun(script(want))
    assert rig.states == [state]
    assert rig.row.until == (rig.row.since + 5 if hasattr(want, "seconds") else NEVER)


@on(("want", "why"), [(CLOSE, Cause.DONE), (ABORT, Cause.ABORTED)], ids=str)
def test_how_a_row_ends_itself(want: Want, why: Cause) -> None:
    rig, peer = begun(script(b"bye", want))
    assert peer.heard() == [b"bye"]
    assert rig.ended == {str(why): 1}
    assert not rig.rows
    assert rig.endpoint.open


@on("want", [HALF_CLOSE, File(sys.stdin, 0, 1), None, "text", 7], ids=lambda want: type(want).__name__)
def test_what_is_no_want_of_a_datagram_row(want: Any) -> None:
    rig, _ = begun(script(want))
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert "which is no want of a datagram row" in rig.notices[0].text


def test_an_opening_that_comes_too_late_is_illegal() -> None:
    rig, peer = begun(script(IDLE, OPENING))
    rig.ask(peer, b"x")
    assert rig.ended == {str(Cause.ILLEGAL): 1}


def test_next_counts_requests() -> None:
    rig, _ = begun(script(NEXT, NEXT, IDLE))
    assert rig.row.requests == 2
    assert rig.reactor.totals().requests == 2


def test_a_row_that_closes_itself_says_nothing_more() -> None:
    def act(machine: Acting) -> Want:
        machine.row.close("enough")
        return b"not heard"

    acts = Acts(act)
    rig, peer = begun(acts)
    assert peer.heard() == []
    assert acts.only.steps == 1
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    acts.only.row.wake()
    rig.run()
    assert acts.only.steps == 1


def test_kill() -> None:
    rig, _ = begun(script(PARK))
    assert rig.reactor.kill(rig.row.key)
    rig.run()
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert not rig.reactor.kill(1)


def test_becoming_another() -> None:
    after = Acts(lambda machine: machine.take() or READ)
    limits = Limits(request_seconds=77)
    first = Acts(lambda machine: Become(after(machine.row), machine.take()[1:], limits))
    rig, peer = begun(first)
    assert peer.heard() == [b"egin"]
    assert rig.ask(peer, b"more") == [b"more"]
    assert rig.states == ["READING"]
    assert rig.row.deadline() == rig.row.active_at + 77
    assert first.only.reason is None
    rig.row.close()
    rig.run()
    assert (first.only.reason, after.only.reason is None) == (None, False)


def test_becoming_another_without_anything_unread_feeds_nothing() -> None:
    after = Acts(lambda machine: PARK)
    rig, _ = begun(Acts(lambda machine: Become(after(machine.row))))
    assert (after.only.data, after.only.over, after.only.steps) == (b"", False, 1)
    assert rig.row.limits is rig.endpoint.limits


def test_another_may_open_anew() -> None:
    after = script(OPENING)
    first = Acts(lambda machine: IDLE if machine.steps == 1 else Become(after(machine.row)))
    rig, peer = begun(first, limits=Limits(opening_seconds=5))
    rig.run(3)
    rig.ask(peer, b"x")
    assert rig.states == ["OPENING"]
    rig.run(4.5)
    assert rig.states == ["OPENING"], "its time begins when it does"
    rig.run(1)
    assert cause(rig) == Cause.OPENING_TOO_LONG


def test_one_that_becomes_another_for_ever_is_a_guest_like_others() -> None:
    rig, _ = begun(Acts(lambda machine: Become(machine)), limits=Limits(quantum_bytes=10, step_bytes=5))
    assert rig.states == ["OPENING"]
    machine: Any = rig.row.machine
    steps = machine.steps
    rig.reactor.step(0)
    assert machine.steps == steps + 2


def test_another_has_its_own_limits_at_once() -> None:
    after = Acts(lambda machine: b"")
    first = Acts(lambda machine: Become(after(machine.row), b"", Limits(quantum_bytes=150, step_bytes=100)))
    rig = PlaceRig(Service(first), limits=Limits(quantum_bytes=150, step_bytes=1, turn_bytes=1))
    peer = rig.dial()
    peer.say(b"x")
    rig.arrive()
    rig.reactor.step(0)
    assert after.only.steps == 3, "one in the visit that is left of the first's, two in the next"


def test_another_whose_feed_closes_the_row() -> None:
    class Closes(Acting):
        def feed(self, data: bytes) -> None:
            self.row.close()

    after: list[Acting] = []

    def act(machine: Acting) -> Want:
        after.append(Closes(machine.row, echo))
        return Become(after[0], b"x")

    rig, _ = begun(Acts(act))
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert after[0].steps == 0


# The quantum.


@on("schedule", ["fair", "shortest"])
def test_a_row_that_sends_a_lot_goes_through_the_run_queue(schedule: str) -> None:
    def act(machine: Acting) -> Want:
        return bytes(100) if machine.steps <= 10 else IDLE

    rig = PlaceRig(Service(Acts(act)), limits=Limits(quantum_bytes=300, step_bytes=50), schedule=schedule)
    peer = rig.dial()
    peer.say(bytes(1000))
    rig.arrive()
    sent = []
    for _ in range(5):
        queued = rig.reactor.step(0)
        sent.append((rig.row.sent, queued))
    assert sent == [(400, True), (600, True), (800, True), (1000, True), (1000, False)]
    rig.run()
    assert peer.heard() == [bytes(100)] * 10
    assert rig.states == ["IDLE"]


def test_steps_and_requests_count_too() -> None:
    for want, each in ((b"", 7), (NEXT, 30)):
        rig = PlaceRig(
            Service(Acts(lambda machine, want=want: want)),
            limits=Limits(quantum_bytes=90, step_bytes=7, request_bytes=30, turn_bytes=1),
        )
        peer = rig.dial()
        peer.say(b"x")
        rig.arrive()
        rig.reactor.step(0)
        machine: Any = rig.row.machine
        steps = -(-90 // each)
        assert machine.steps in (steps, 2 * steps)
        rig.reactor.step(0)
        assert machine.steps in (2 * steps, 3 * steps)
        rig.reactor.close()


def test_rows_take_turns() -> None:
    order: list[int] = []

    def act(machine: Acting) -> Want:
        order.append(machine.row.key)
        return b"x" if machine.steps < 6 else IDLE

    rig = PlaceRig(Service(Acts(act)), limits=SMALL)
    peers = [rig.dial() for _ in range(3)]
    for peer in peers:
        peer.say(b"a lot of bytes")
    rig.arrive()
    rig.run()
    assert sorted(order[-9:]) == [1, 1, 1, 2, 2, 2, 3, 3, 3], "the last three of each, side by side"


def test_a_row_that_wakes_itself_is_in_the_queue_once() -> None:
    def act(machine: Acting) -> Want:
        machine.row.wake()
        return b"x"

    rig = PlaceRig(Service(Acts(act)), limits=SMALL)
    peer = rig.dial()
    peer.say(b"a lot of bytes")
    rig.arrive()
    for _ in range(3):
        rig.reactor.step(0)
        assert rig.reactor.totals().queued == 1


def test_a_row_that_ends_while_it_is_queued_is_not_run() -> None:
    acts = Acts(lambda machine: b"x")
    rig = PlaceRig(Service(acts), limits=SMALL)
    peer = rig.dial()
    peer.say(b"a lot of bytes")
    rig.arrive()
    rig.reactor.step(0)
    steps = acts.only.steps
    rig.row.close()
    rig.reactor.step(0)
    assert acts.only.steps == steps
    assert not rig.reactor.table.queue
    assert not rig.rows


# Patience.


STATES = {
    "idle_seconds": (IDLE, Cause.IDLE_TOO_LONG),
    "request_seconds": (READ, Cause.REQUEST_TOO_SLOW),
    "opening_seconds": (OPENING, Cause.OPENING_TOO_LONG),
    "waiting_seconds": (PARK, Cause.WAITED_TOO_LONG),
}


@on("name", STATES)
def test_how_long_a_row_may_be_in_each_state_whatever_comes(name: str) -> None:
    want, why = STATES[name]
    rig, peer = begun(script(want), limits=Limits(**{name: 5.0}))
    for _ in range(9):
        rig.ask(peer, b"x")
        rig.run(0.5)
    assert len(rig.rows) == 1
    rig.run(1.0)
    assert rig.ended == {str(why): 1}


@on("name", ["idle_seconds", "request_seconds"])
def test_what_is_answered_counts(name: str) -> None:
    want, why = STATES[name]
    rig, peer = begun(Acts(lambda machine: machine.take() or want), limits=Limits(**{name: 5.0}))
    for _ in range(6):
        rig.run(2.0)
        assert rig.ask(peer, b"x")
        assert rig.row.key == 1, "it is still the first"
    rig.run(4.9)
    assert len(rig.rows) == 1
    rig.run(0.2)
    assert cause(rig) == why


@on("name", ["opening_seconds", "idle_seconds", "request_seconds"])
def test_what_is_sent_again_does_not(name: str) -> None:
    want, why = STATES[name]
    timed = Idle(1) if want is IDLE else Read(1)

    def act(machine: Acting) -> Want:
        machine.memory = not machine.memory
        if name == "opening_seconds":
            if machine.memory:
                machine.row.table.call_at(machine.row.now + 1, machine.row.wake)
                return b"again"
            return OPENING
        return b"again" if machine.memory else timed

    limits = Limits(**{name: 5.0})
    rig = PlaceRig(Service(Acts(act)), limits=limits)
    peer = rig.dial()
    rig.ask(peer, bytes(1000))
    for again in range(1, 5):
        assert peer.heard() == [b"again"] * (again > 1), again
        rig.run(1.0)
    assert len(rig.rows) == 1
    rig.run(1.0)
    assert cause(rig) == why


def test_next_counts_as_an_answer() -> None:
    rig, _ = begun(Acts(lambda machine: NEXT if machine.steps % 2 else Idle(2)), limits=Limits(idle_seconds=5))
    rig.run(30)
    assert len(rig.rows) == 1


def test_an_answer_that_waits_for_somebody_else_is_one() -> None:
    """A forwarder's: each question waits for another server, and nobody says NEXT."""

    def act(machine: Acting) -> Want:
        if machine.data:
            machine.memory = machine.take()
            return Wait(1)
        said, machine.memory = machine.memory, None
        return said or IDLE

    rig, peer = begun(Acts(act), limits=Limits(idle_seconds=5))
    for _ in range(5):
        rig.run(3)
        assert peer.heard()
        assert rig.row.key == 1, "it is still the first"
        peer.say(b"x")
    rig.run(5.9)
    assert len(rig.rows) == 1
    rig.run(0.2)
    assert cause(rig) == Cause.IDLE_TOO_LONG


def test_an_answer_that_takes_many_turns_is_one() -> None:
    rig = PlaceRig(Service(Acts(busy)), limits=SMALL)
    peer = rig.dial()
    peer.say(b"x")
    rig.arrive()
    rig.reactor.step(0)
    first = rig.row.active_at
    rig.run()
    assert len(peer.heard()) == 3
    assert rig.row.active_at > first


@on("want", [Idle(1), Read(1)], ids=str)
def test_what_is_sent_again_is_none_although_something_has_come_meanwhile(want: Want) -> None:
    """Whoever sends nonsense now and then must not keep a row that answers only its own timer."""

    def act(machine: Acting) -> Want:
        machine.memory = not machine.memory
        if machine.data:
            machine.take()
            machine.memory = False
        return b"again" if machine.memory else want

    rig, peer = begun(Acts(act), limits=Limits(idle_seconds=5, request_seconds=5))
    rig.row.proven = True
    for _ in range(3):
        rig.run(1.5)
        peer.say(b"nonsense")
    assert len(peer.heard()) >= 3
    rig.run(1.0)
    assert len(rig.ended) == 1


def test_waiting_has_its_own_time_or_the_machines() -> None:
    rig, _ = begun(script(Wait(50), PARK), limits=Limits(waiting_seconds=5))
    rig.run(49)
    assert rig.states == ["WAITING"]
    rig.run(5)
    assert rig.states == ["WAITING"]
    rig.run(2)
    assert cause(rig) == Cause.WAITED_TOO_LONG


@on("want", [Read(2), Idle(2), Wait(2)], ids=str)
def test_seconds_after_which_a_machine_is_stepped(want: Want) -> None:
    acts = script(want)
    rig, _ = begun(acts, limits=PATIENT)
    rig.run(1.9)
    assert acts.only.steps == 1
    rig.run(0.2)
    assert acts.only.steps == 2
    rig.run(10)
    assert acts.only.steps == 7


def test_idle_forgets_the_seconds_of_the_idle_before() -> None:
    acts = script(Idle(2), IDLE)
    rig, peer = begun(acts, limits=PATIENT)
    rig.ask(peer, b"x")
    rig.run(10)
    assert acts.only.steps == 2


def test_seconds_that_pass_on_the_run_queue_step_nobody_twice() -> None:
    def act(machine: Acting) -> Want:
        return Read(1) if machine.steps == 1 else b"x" if machine.steps < 5 else IDLE

    acts = Acts(act)
    rig = PlaceRig(Service(acts), limits=Limits(quantum_bytes=1, step_bytes=1, turn_bytes=1))
    peer = rig.dial()
    rig.ask(peer, b"a lot of bytes")
    peer.say(b"x")
    rig.arrive()
    rig.reactor.step(0)
    before = acts.only.steps
    rig.simulation._clock += 5.0
    rig.row.alarm = min(rig.row.alarm, 0.0)
    rig.reactor.table.timers.set(rig.simulation.now(), rig.row.key)
    rig.reactor.step(0)
    assert acts.only.steps == before + 1
    assert rig.row.until == NEVER


def test_an_alarm_of_a_row_that_has_just_ended() -> None:
    acts = script(Read(1))
    rig, _ = begun(acts)
    rig.simulation.travel(2.0)
    rig.row.close()
    rig.reactor.step(0)
    assert acts.only.steps == 1
    assert not rig.rows


def test_the_engines_last_word_when_patience_ends() -> None:
    class Says(Acting):
        def refuse(self, reason: Any) -> bytes:
            return b"too slow"

    rig = PlaceRig(Service(lambda row: Says(row, lambda machine: READ)), limits=Limits(request_seconds=1))
    peer = rig.dial()
    rig.ask(peer, b"hello")
    rig.run(1.1)
    assert peer.heard() == [b"too slow"]


def test_nobody_wakes_for_a_row_that_has_no_patience_to_lose() -> None:
    never = float("inf")
    rig, _ = begun(script(IDLE), limits=Limits(idle_seconds=never, opening_seconds=never))
    polls = rig.simulation.polls
    rig.run(1000)
    assert rig.simulation.polls == polls + 1


# In the table.


@on("seed", SEEDS)
def test_eviction_takes_those_who_hold_most(seed: int) -> None:
    class Hoards(Acting):
        def __init__(self, row: Row) -> None:
            super().__init__(row, lambda machine: READ)
            self.inbox = Inbox(row)

        def feed(self, data: bytes) -> None:
            self.inbox.feed(data)

    rig = PlaceRig(Service(Hoards), limits=Limits(held_bytes_max=10_000), seed=seed)
    peers = [rig.dial() for _ in range(4)]
    for peer in peers[:3]:
        rig.ask(peer, bytes(2000))
    for _ in range(3):
        rig.ask(peers[3], bytes(2000))
    assert rig.ended == {str(Cause.EVICTED): 1}
    assert [row.held for row in rig.rows] == [2000] * 3
    assert rig.reactor.table.held == 6000


def test_a_report() -> None:
    rig, peer = begun(script(NEXT, READ))
    (report,) = rig.reactor.rows()
    assert report.listener == "udp:server:7"
    assert report.peer == f"udp:client:{peer.where[1]}"
    assert (report.state, report.requests, report.received, report.sent, report.to_send) == ("READING", 1, 5, 0, 0)
    assert report.interest == "-"
    assert report.deadline_in == pytest.approx(10, abs=0.1)
    assert report.machine == "Acting"
    assert repr(rig.row) == f"<Row 1 READING {peer.where!r}>"
    unix = PlaceRig(Service(script(READ)), address="unixgram:/here")
    other = unix.dial()
    unix.ask(other, b"x")
    assert [row.peer for row in unix.reactor.rows()] == [f"unixgram:{other.where}"]


def test_rows_have_no_more_than_their_slots() -> None:
    rig, _ = begun(script(READ))
    assert not hasattr(rig.row, "__dict__")
    assert not hasattr(rig.row, "descriptor")


class Counts:
    """A machine that freezes: it counts its datagrams, and knows its row."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.count = 0
        self.fresh = False

    def feed(self, data: bytes) -> None:
        self.count += 1
        self.fresh = True

    def step(self) -> Want:
        if not self.fresh:
            return READ
        self.fresh = False
        return b"%d" % self.count


def test_frozen_and_thawed() -> None:
    rig, peer = begun(Counts)
    assert peer.heard() == [b"1"]
    rig.ask(peer, b"x")
    row = rig.row
    frozen = freeze(row.machine)
    assert b"Endpoint" not in frozen
    assert len(frozen) < 200
    row.machine = thaw(frozen, lambda key: row if key == row.key else None)
    assert rig.ask(peer, b"x") == [b"3"]
