"""Each limit, by a test that fails when the limit is taken out.

A limit that nothing tests is a comment. Everything here runs on the simulation, so that an hour of a slow upload takes
no time, and each test says what the limit is for: somebody who does harm without it, somebody honest who lives with it.
"""

import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest
from partway.engine import (
    CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Cause,
    File,
    Idle,
    Limits,
    LineBuffer,
    Read,
    Reason,
    Row,
    Wait,
    Want,
    keep,
)
from partway.engine.memory import End
from partway.engine.platform import parse_address
from partway.engine.simulation import Peer, Simulation
from places import PlaceRig, Service
from worlds import SEEDS, Acting, Acts, Rig, echo, script

LATER = {"head_seconds", "line_bytes", "headers_max", "head_bytes", "backlog_lines", "relay_bytes"}
LATER |= {"body_bytes", "spool_bytes", "chunk_line_bytes", "ranges_max", "listing_entries_max", "files_kept_max"}
LATER |= {"calls_max", "calls_waiting_max", "call_bytes_max"}
"""Limits of protocols and of calls: their own tests are where they are."""

NAMES = [field.name for field in fields(Limits)]
ZERO_MEANS_OFF = {"rows_max", "rows_per_peer_max", "held_bytes_max", "rate_min"}


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed={seed}")
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def every(rig: Rig, seconds: float, times: int, act: Callable[[], None]) -> None:
    """Have the world do something so many times, each so many seconds."""
    for number in range(times):
        rig.simulation.after(seconds * (number + 1), act)


# Limits themselves.


def test_no_limit_without_a_test() -> None:
    source = Path(__file__).read_text()
    for name in NAMES:
        if name in LATER:
            continue
        assert re.search(rf"\b{name}=", source), f"nothing tests {name}"


def test_units_come_last_in_the_name() -> None:
    for name in NAMES:
        assert re.search(r"_(seconds|bytes|max|min|lines|turn)$|^(backlog|seconds_max)$", name), name


@pytest.mark.parametrize("name", NAMES)
def test_each_limit_refuses_nonsense(name: str) -> None:
    for nonsense in (-1, -0.5, math.nan):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: nonsense})
    if name in ZERO_MEANS_OFF:
        assert getattr(Limits(**{name: 0}), name) == 0
    else:
        with pytest.raises(ValueError, match=name):
            Limits(**{name: 0})


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if field.type is int])
def test_counts_are_whole_numbers(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 2.5})


def test_limits_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="accept_pause_seconds"):
        Limits(accept_pause_seconds=2.0, accept_pause_seconds_max=1.0)
    with pytest.raises(ValueError, match="receive_short_bytes"):
        Limits(receive_bytes=100, receive_short_bytes=101)
    with pytest.raises(ValueError, match="line_bytes"):
        Limits(line_bytes=1000, head_bytes=999)


def test_limits_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Limits().rows_max = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_seconds")])
def test_for_ever_is_a_time_too(name: str) -> None:
    changes = {name: math.inf, "accept_pause_seconds_max": math.inf}
    rig = Rig(Acts(echo), limits=Limits(**changes))
    client = rig.dial()
    client.say(b"x")
    rig.run(1.0)
    assert client.heard() == b"x"


# The table.


class Pondering:
    """Waits a little after each piece, and reads on."""

    def __init__(self, row: Row) -> None:
        self.pieces = 0

    def feed(self, data: bytes) -> None:
        self.pieces += 1

    def step(self) -> Want:
        if self.pieces:
            self.pieces = 0
            return Wait(0.2)
        return READ


def test_rows_max_keeps_a_crowd_at_the_door(seed: int) -> None:
    rig = Rig(Acts(echo), limits=Limits(rows_max=3), seed=seed)
    clients = rig.dials(5)
    for client in clients:
        client.say(b"x")
    rig.run(1.0)
    assert len(rig.rows) == 3
    assert rig.kinds() == ["table full"]
    polls = rig.simulation.polls
    rig.run(5.0)
    assert rig.simulation.polls - polls < 5, "a listener that must wait keeps the loop awake"
    inside = [client for client in clients if client.heard() == b"x"]
    assert len(inside) == 3
    inside[0].close()
    rig.run(1.0)
    assert len(rig.rows) == 3
    inside[1].close()
    rig.run(1.0)
    assert all(client.heard() == b"x" for client in clients if client not in inside)


def test_a_full_table_is_told_once_until_all_are_in() -> None:
    """With a crowd at the door each departure lets one in and fills the table again: that is no news."""
    rig = Rig(Acts(echo), limits=Limits(rows_max=3))
    waiting = rig.dials(10)
    for client in waiting:
        client.say(b"x")
    while waiting:
        rig.run(0.1)
        inside = next(client for client in waiting if client.heard() == b"x")
        inside.close()
        waiting.remove(inside)
    assert rig.kinds() == ["table full"]
    rig.run(0.1)
    rig.dials(4)
    rig.run(0.1)
    assert rig.kinds() == ["table full", "table full"]


def test_rows_max_is_the_platforms_where_it_is_0() -> None:
    rig = Rig(Acts(echo), limits=Limits(rows_max=0), descriptors=77)
    assert rig.reactor.totals().rows_max == 77


def test_rows_max_holds_for_connect_and_adopt() -> None:
    rig = Rig(Acts(echo), limits=Limits(rows_max=1))
    rig.reactor.connect("server:7", script(PARK))
    with pytest.raises(OSError, match="full"):
        rig.reactor.connect("server:7", script(PARK))
    end = End(rig.simulation, 100, descriptor=99)
    with pytest.raises(OSError, match="full"):
        rig.reactor.adopt(end, script(PARK))
    rig.reactor.close()


def test_rows_per_peer_max(seed: int) -> None:
    rig = Rig(Acts(echo), limits=Limits(rows_per_peer_max=2), seed=seed)
    clients = rig.dials(4)
    rig.run(1.0)
    assert len(rig.rows) == 2
    assert rig.ended == {str(Cause.TOO_MANY_FROM_PEER): 2}
    for client in clients:
        client.heard()
    assert sorted(client.reset for client in clients) == [False, False, True, True]
    next(client for client in clients if not client.reset).close()
    rig.run(1.0)
    late = rig.dial()
    late.say(b"x")
    rig.run(1.0)
    assert late.heard() == b"x", "a row that has gone still counts"


def test_rows_per_peer_max_tells_peers_apart_and_spares_unix_sockets() -> None:
    rig = Rig(Acts(echo), limits=Limits(rows_per_peer_max=1))
    rig.reactor.listen("unix:/here", Acts(echo))
    for _ in range(5):
        rig.simulation.dial("unix:/here")
    rig.run(1.0)
    assert len(rig.rows) == 5


def test_rows_per_peer_max_is_off_by_default() -> None:
    rig = Rig(Acts(echo))
    rig.dials(300)
    rig.run(1.0)
    assert len(rig.rows) == 300
    assert not rig.reactor.table.per_peer


class Hoarder:
    """Keeps all that it hears, as one who waits for the end of a line does."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 1 << 30)

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        return self.lines.take() or READ


def test_held_bytes_max_evicts_who_holds_most_and_progresses_least(seed: int) -> None:
    rig = Rig(Hoarder, limits=Limits(held_bytes_max=100_000, request_seconds=1e6), seed=seed)
    modest, greedy = rig.dials(2)
    rig.run(0.1)
    modest.say(b"x" * 20_000)
    greedy.say(b"y" * 60_000)
    rig.run(0.1)
    assert len(rig.rows) == 2
    greedy.say(b"y" * 60_000)
    rig.run(0.1)
    assert rig.ended == {str(Cause.EVICTED): 1}
    greedy.heard()
    assert greedy.reset
    modest.say(b"\n")
    rig.run(0.1)
    assert modest.heard() == b"x" * 20_000 + b"\n"
    assert rig.reactor.table.held == 0


def test_an_eviction_makes_room_for_more_than_the_next_byte(seed: int) -> None:
    """A crowd that stays at the limit would else be sorted at every turn."""
    rig = Rig(Hoarder, limits=Limits(held_bytes_max=160_000, request_seconds=1e6), seed=seed)
    clients = rig.dials(17)
    for client in clients:
        client.say(b"x" * 9_500)
    rig.run(1.0)
    assert rig.reactor.table.held <= 150_000
    assert rig.ended == {str(Cause.EVICTED): 2}, "one would do to be below the limit"


def test_held_bytes_max_of_two_equals_takes_the_older(seed: int) -> None:
    rig = Rig(Hoarder, limits=Limits(held_bytes_max=100_000, request_seconds=1e6), seed=seed)
    old = rig.dial()
    old.say(b"x" * 50_000)
    rig.run(50.0)
    new = rig.dial()
    new.say(b"x" * 51_000)
    rig.run(1.0)
    assert rig.ended == {str(Cause.EVICTED): 1}
    old.heard()
    assert old.reset


def test_held_bytes_max_counts_what_is_kept_for_all_and_lets_it_take_a_quarter() -> None:
    limits = Limits(held_bytes_max=100_000, request_seconds=1e6)
    rig = Rig(Hoarder, limits=limits)
    modest, greedy = rig.dials(2)
    rig.run(0.1)
    row = next(iter(rig.reactor.table.rows.values()))
    assert keep(row, 25_000)
    assert not keep(row, 1), "a quarter is all that a cache may have"
    assert rig.reactor.totals().kept == 25_000
    modest.say(b"x" * 20_000)
    greedy.say(b"y" * 50_000)
    rig.run(0.1)
    assert len(rig.rows) == 2
    greedy.say(b"y" * 6_000)
    rig.run(0.1)
    assert rig.ended == {str(Cause.EVICTED): 1}, "25,000 kept and 76,000 held are too many"
    assert keep(row, -25_000)
    assert rig.reactor.totals().kept == 0


def test_held_bytes_max_counts_output_that_waits() -> None:
    rig = Rig(script(b"x" * 500_000, IDLE), limits=Limits(held_bytes_max=1_000_000))
    rig.dials(6)
    rig.run(1.0)
    assert rig.reactor.table.held <= 1_000_000
    assert rig.ended[str(Cause.EVICTED)] >= 3


# One turn.


def test_accepts_a_turn() -> None:
    rig = Rig(Acts(echo), limits=Limits(accepts_a_turn=3), delay_seconds=(0, 0))
    rig.dials(10)
    rig.travel()
    counts = []
    for _ in range(8):
        rig.reactor.step(0.001)
        counts.append(rig.reactor.totals().accepted)
    steps = [later - earlier for earlier, later in pairwise([0, *counts])]
    assert max(steps) == 3
    assert counts[-1] == 10


def test_rows_a_turn() -> None:
    acts = Acts(echo)
    rig = Rig(acts, limits=Limits(rows_a_turn=5, accepts_a_turn=1000), delay_seconds=(0, 0))
    clients = rig.dials(50)
    rig.run(0.1)
    for client in clients:
        client.say(b"x")
    rig.travel()
    answered = []
    for _ in range(40):
        before = rig.reactor.totals().received
        rig.reactor.step(0)
        answered.append(rig.reactor.totals().received - before)
    assert max(answered) <= 5
    assert sum(answered) == 50


def test_expiries_a_turn() -> None:
    limits = Limits(expiries_a_turn=7, idle_seconds=5, accepts_a_turn=1000)
    rig = Rig(Acts(echo), limits=limits, delay_seconds=(0, 0))
    rig.dials(100)
    rig.run(1.0)
    assert len(rig.rows) == 100
    ended = []
    for _ in range(40):
        before = len(rig.rows)
        rig.reactor.step(10)
        ended.append(before - len(rig.rows))
    assert max(ended) <= 7
    assert sum(ended) == 100


def test_turn_bytes() -> None:
    limits = Limits(turn_bytes=10_000, quantum_bytes=5000, step_bytes=1, accepts_a_turn=20)
    rig = Rig(script(b"x" * 50_000, IDLE), limits=limits, delay_seconds=(0, 0))
    clients = rig.dials(20)
    rig.travel()
    rig.reactor.step(0)
    assert len(rig.rows) == 20
    sent = [rig.reactor.totals().sent]
    while rig.reactor.step(0):
        sent.append(rig.reactor.totals().sent)
    turns = [later - earlier for earlier, later in pairwise(sent)]
    assert max(turns) == 10_000
    assert len(turns) > 80
    rig.travel()
    assert all(len(client.heard()) == 50_000 for client in clients)


# One visit.


def test_receive_bytes() -> None:
    sizes: list[int] = []

    def act(machine: Acting) -> Want:
        sizes.append(len(machine.take()))
        return READ

    rig = Rig(Acts(act), limits=Limits(receive_bytes=1000))
    rig.dial().say(b"x" * 5500)
    rig.run(1.0)
    assert max(sizes) == 1000
    assert sum(sizes) == 5500


def test_receive_short_bytes_until_a_read_was_full() -> None:
    sizes: list[int] = []

    def act(machine: Acting) -> Want:
        if data := machine.take():
            sizes.append(len(data))
        return READ

    rig = Rig(Acts(act), limits=Limits(receive_bytes=1000, receive_short_bytes=100))
    client = rig.dial()
    for size in (99, 250, 1200):
        client.say(b"x" * size)
        rig.run(1.0)
    assert sizes == [99, 100, 150, 1000, 200]


def test_receive_bytes_of_the_limits_that_a_machine_became_with() -> None:
    sizes: list[int] = []
    limits = Limits(receive_bytes=1000, receive_short_bytes=100)

    def act(machine: Acting) -> Want:
        sizes.append(len(machine.take()))
        return READ

    def change(machine: Acting) -> Want:
        if not machine.data:
            return READ
        return Become(Acting(machine.row, act), machine.take(), replace(limits, receive_bytes=300))

    rig = Rig(Acts(change), limits=limits)
    rig.dial().say(b"x" * 2000)
    rig.run(1.0)
    assert max(sizes) == 300
    assert sum(sizes) == 2000


def test_quantum_bytes_lets_another_have_its_chance(seed: int) -> None:
    limits = Limits(quantum_bytes=10_000, step_bytes=1)
    rig = Rig(Acts(lambda machine: b"x" * 1000 if machine.data else IDLE), limits=limits, seed=seed)
    endless, other = rig.dials(2)
    rig.run(0.1)
    endless.say(b"x")
    rig.travel()
    rig.reactor.step(0)
    most = 0
    for _ in range(100):
        rig.travel()
        before = rig.reactor.totals().sent
        rig.reactor.step(0)
        most = max(most, rig.reactor.totals().sent - before)
        endless.heard()
    assert 0 < most <= 11_000
    other.say(b"x")
    for _ in range(20):
        rig.travel()
        rig.reactor.step(0)
        endless.heard()
    assert len(other.heard()) > 60_000


def test_quantum_bytes_cuts_one_large_answer() -> None:
    limits = Limits(quantum_bytes=10_000, turn_bytes=10_000)
    rig = Rig(script(b"x" * 50_000, IDLE), limits=limits)
    client = rig.dial()
    sent = []
    while not sent or sent[-1] < 50_000:
        rig.reactor.step(0.001)
        if rig.rows:
            sent.append(rig.reactor.totals().sent)
    assert len(sent) >= 4
    assert max(later - earlier for earlier, later in pairwise(sent)) <= 10_000
    rig.run(0.1)
    assert client.heard() == b"x" * 50_000


def most_steps_in_a_turn(want: Want, limits: Limits) -> int:
    """How often a machine that never rests is stepped in one turn."""
    acts = Acts(lambda machine: want if machine.steps < 5000 else CLOSE)
    rig = Rig(acts, limits=limits)
    rig.dial()
    while not acts.made:
        rig.reactor.step(0.001)
    most = 0
    for _ in range(50):
        before = acts.only.steps
        rig.reactor.step(0.001)
        most = max(most, acts.only.steps - before)
    return most


def test_step_bytes_counts_steps_that_send_nothing() -> None:
    assert most_steps_in_a_turn(b"", Limits(quantum_bytes=10_000, step_bytes=1000)) == 10


def test_request_bytes_count_against_the_turn_too() -> None:
    """Many small answers are as much work as a large one: whoever comes next must not wait for all of them."""
    limits = Limits(quantum_bytes=10_000, request_bytes=2000, step_bytes=1, turn_bytes=25_000)
    acts = Acts(lambda machine: NEXT if machine.steps % 2 else b"small")
    rig = Rig(acts, limits=limits)
    rig.dials(10)
    while len(acts.made) < 10:
        rig.reactor.step(0.001)
    for _ in range(20):
        before = [machine.steps for machine in acts.made]
        rig.reactor.step(0.001)
        moved = sum(now > then for now, then in zip([machine.steps for machine in acts.made], before, strict=True))
        assert moved == 3


def test_of_pipelined_requests_a_ready_row_is_served_two_before_it_lines_up() -> None:
    """Then it has its quantum like others in the queue, where the turn's bytes end: hundreds may be ready at once."""
    limits = Limits(quantum_bytes=16_000, request_bytes=1000, step_bytes=1, turn_bytes=16_000)
    rig = Rig(Acts(lambda machine: NEXT if machine.data else IDLE), limits=limits)
    clients = rig.dials(3)
    rig.run(0.1)
    for client in clients:
        client.say(b"a hundred requests")
    rig.travel()
    rig.reactor.step(0)
    assert sorted(row.requests for row in rig.reactor.table.rows.values()) == [2, 2, 18]


def test_request_bytes_counts_requests() -> None:
    assert most_steps_in_a_turn(NEXT, Limits(quantum_bytes=10_000, request_bytes=2000)) == 5


# How long.


def test_opening_seconds_hold_whatever_arrives(seed: int) -> None:
    rig = Rig(script(OPENING), limits=Limits(opening_seconds=10), seed=seed)
    client = rig.dial()
    every(rig, 0.5, 60, lambda: client.say(b"x"))
    rig.run(9.9)
    assert rig.states == ["OPENING"]
    rig.run(0.3)
    assert rig.ended == {str(Cause.OPENING_TOO_LONG): 1}
    client.heard()
    assert client.reset


def test_opening_seconds_hold_for_one_who_is_woken_and_busy() -> None:
    acts = Acts(lambda machine: b"" if machine.row.random.random() < 0.9 else OPENING)
    rig = Rig(acts, limits=Limits(opening_seconds=10))
    rig.dial()
    for number in range(100):
        rig.reactor.after(0.1 * (number + 1), lambda: acts.only.row.wake())
    rig.run(11)
    assert acts.only.steps > 100
    assert rig.ended == {str(Cause.OPENING_TOO_LONG): 1}


def test_opening_seconds_are_not_for_one_who_talks_without_a_pause() -> None:
    """It has connected, and never rested since, for its peer takes all at once: nobody is waited for."""

    def talk(machine: Acting) -> Want:
        rig.simulation.travel(0.01)  # it is some work
        return b"x" * 10_000

    rig = Rig(Acts(lambda machine: b"" if machine.take() else READ), capacity_bytes=1 << 20)
    talker = rig.reactor.connect("server:7", Acts(talk), Limits(opening_seconds=1, quantum_bytes=4096))
    rig.run(5.0)
    assert rig.ended == {}
    assert talker.sent > 1_000_000


def test_opening_seconds_hold_for_connecting() -> None:
    class Nowhere(Simulation):
        def begin(self, end: End, *where: object) -> None:
            end.connecting = True

    simulation = Nowhere(1)
    acts = Acts(echo)
    rig = Rig(acts, limits=Limits(opening_seconds=3))
    rig.simulation.begin = simulation.begin.__get__(rig.simulation)  # type: ignore[method-assign]
    rig.reactor.connect("server:9", acts)
    rig.run(2.9)
    assert rig.states == ["OPENING"]
    rig.run(0.2)
    assert rig.ended == {str(Cause.OPENING_TOO_LONG): 1}
    assert acts.only.steps == 0


class Liner:
    """One line at a time: a request is under way while a line is."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 1 << 30)
        self.answered = False

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        if self.answered:
            self.answered = False
            return NEXT
        line = self.lines.take()
        if line is None:
            return READ if self.lines else IDLE
        if line == b"\n":
            return b""
        self.answered = True
        return line

    def refuse(self, reason: Reason) -> bytes:
        return b"408" if reason.cause is Cause.REQUEST_TOO_SLOW else b"500"


def test_request_seconds_end_a_drip_at_the_end_of_a_period(seed: int) -> None:
    rig = Rig(Liner, limits=Limits(request_seconds=10, rate_min=240), seed=seed)
    client = rig.dial()
    rig.run(1.0)
    every(rig, 0.5, 100, lambda: client.say(b"x"))
    rig.run(10.4)
    assert rig.states == ["READING"]
    rig.run(0.3)
    assert rig.states == ["LINGERING"]
    assert client.heard() == b"408"
    client.close()
    rig.run(6.0)
    assert rig.ended == {str(Cause.REQUEST_TOO_SLOW): 1}


def test_rate_min_lets_an_honest_slow_upload_live_for_an_hour(seed: int) -> None:
    rig = Rig(Liner, limits=Limits(request_seconds=10, rate_min=240), seed=seed)
    client = rig.dial()
    heard = rig.hears(client)
    every(rig, 2.0, 1800, lambda: client.say(b"x" * 960))
    rig.run(3601)
    assert rig.states == ["READING"]
    client.say(b"\n")
    rig.run(1.0)
    assert len(heard) == 1800 * 960 + 1


def test_rate_min_cannot_be_banked_by_a_burst(seed: int) -> None:
    rig = Rig(Liner, limits=Limits(request_seconds=10, rate_min=240), seed=seed)
    client = rig.dial()
    client.say(b"x")
    rig.run(1.0)
    client.say(b"x" * 70_000)
    rig.run(20.1)
    assert rig.ended or rig.states == ["LINGERING"], "70 KB bought more than the period that they came in"


def test_rate_min_0_asks_for_any_byte_at_all() -> None:
    rig = Rig(Liner, limits=Limits(request_seconds=10, rate_min=0))
    drip, silent = rig.dials(2)
    silent.say(b"x")
    every(rig, 9.0, 20, lambda: drip.say(b"x"))
    rig.run(100)
    assert rig.states == ["READING"]
    silent.heard()
    assert silent.ended or silent.reset


def test_request_seconds_begin_anew_with_each_request(seed: int) -> None:
    rig = Rig(Liner, limits=Limits(request_seconds=10, idle_seconds=20), seed=seed)
    client = rig.dial()

    def half_and_half(count: int) -> None:
        client.say(b"half" if count % 2 == 0 else b"\n")

    for number in range(40):
        rig.simulation.after(1.0 + 6.0 * number, lambda number=number: half_and_half(number))
    rig.run(240)
    assert client.heard() == b"half\n" * 20
    assert not rig.ended


def test_request_seconds_of_one_pipelined_request_after_another() -> None:
    """The bytes of the next request come with the end of the last: it is NEXT that begins its period, not its bytes."""
    rig = Rig(Liner, limits=Limits(request_seconds=10, rate_min=240))
    client = rig.dial()
    client.say(b"a")
    every(rig, 8.0, 20, lambda: client.say(b"\na"))
    rig.run(100)
    assert rig.states == ["READING"]


def test_request_seconds_are_not_stretched_by_timed_reads() -> None:
    rig = Rig(script(Read(0.7)), limits=Limits(request_seconds=10))
    rig.dial()
    rig.run(11)
    assert rig.states in (["LINGERING"], [])
    rig = Rig(script(Read(0)), limits=Limits(request_seconds=10))
    rig.dial()
    rig.run(11)
    assert rig.states in (["LINGERING"], []), "a machine that reads for no time at all escapes request_seconds"


def test_request_seconds_stand_still_while_a_machine_waits_and_no_longer(seed: int) -> None:
    """A machine that waits once a piece must not keep a dripping peer alive; nor may a wait be held against a peer."""
    rig = Rig(Pondering, limits=Limits(request_seconds=10, rate_min=100), seed=seed)
    drip, honest = rig.dials(2)
    every(rig, 0.5, 200, lambda: drip.say(b"x"))
    every(rig, 0.5, 200, lambda: honest.say(b"x" * 400))
    rig.run(40)
    assert rig.ended == {str(Cause.REQUEST_TOO_SLOW): 1}
    assert [row.peer for row in rig.rows] == [honest.where]


def test_idle_seconds_are_not_moved_by_blank_input(seed: int) -> None:
    rig = Rig(Liner, limits=Limits(idle_seconds=15), seed=seed)
    client = rig.dial()
    every(rig, 1.0, 60, lambda: client.say(b"\n"))
    rig.run(14.9)
    assert rig.states == ["IDLE"]
    rig.run(0.3)
    assert not rig.rows or rig.states == ["LINGERING"]
    client.close()
    rig.run(6.0)
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


def test_idle_seconds_are_moved_by_answers(seed: int) -> None:
    rig = Rig(Acts(echo), limits=Limits(idle_seconds=15), seed=seed)
    client = rig.dial()
    every(rig, 10.0, 20, lambda: client.say(b"x"))
    rig.run(205)
    assert client.heard() == b"x" * 20
    assert rig.states == ["IDLE"]
    rig.run(15)
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


def test_idle_seconds_are_moved_by_next_without_an_answer() -> None:
    rig = Rig(Acts(lambda machine: NEXT if machine.take() else IDLE), limits=Limits(idle_seconds=15))
    client = rig.dial()
    every(rig, 10.0, 20, lambda: client.say(b"x"))
    rig.run(205)
    assert rig.states == ["IDLE"]
    assert rig.reactor.totals().requests == 20


@pytest.mark.parametrize("seconds", [4.0, 0.0])
def test_idle_seconds_hold_all_the_same_for_a_timed_idle(seconds: float) -> None:
    rig = Rig(script(Idle(seconds)), limits=Limits(idle_seconds=15))
    rig.dial()
    rig.run(14.9)
    assert rig.states == ["IDLE"]
    rig.run(1.0)
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


def test_waiting_seconds(seed: int) -> None:
    rig = Rig(script(PARK), limits=Limits(waiting_seconds=300), seed=seed)
    client = rig.dial()
    rig.run(299)
    assert rig.states == ["WAITING"]
    rig.run(2)
    client.heard()
    assert rig.ended == {str(Cause.WAITED_TOO_LONG): 1}
    assert client.ended


def test_waiting_seconds_are_not_for_a_wait_of_the_machines_own() -> None:
    rig = Rig(script(Wait(1000), b"woken", IDLE), limits=Limits(waiting_seconds=300))
    client = rig.dial()
    rig.run(999)
    assert rig.states == ["WAITING"]
    rig.run(2)
    assert client.heard() == b"woken"


def test_waiting_seconds_begin_anew_with_each_wait() -> None:
    acts = script(PARK)
    rig = Rig(acts, limits=Limits(waiting_seconds=300))
    rig.dial()
    for number in range(10):
        rig.reactor.after(200 * (number + 1), lambda: acts.only.row.wake())
    rig.run(2100)
    assert rig.states == ["WAITING"]
    rig.run(300)
    assert rig.ended == {str(Cause.WAITED_TOO_LONG): 1}


def test_stall_seconds_reset_who_does_not_read(seed: int) -> None:
    rig = Rig(script(b"x" * 1_000_000, CLOSE), limits=Limits(stall_seconds=30), seed=seed)
    client = rig.dial()
    rig.run(29.9)
    assert rig.states == ["WRITING"]
    rig.run(0.3)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}
    client.heard()
    assert client.reset
    assert rig.reactor.table.held == 0


def reading(rig: Rig, client: Peer, seconds: float, count: int, times: int) -> bytearray:
    heard = bytearray()
    every(rig, seconds, times, lambda: heard.extend(client.heard(count)))
    return heard


def test_stall_seconds_reset_who_reads_a_byte_now_and_then() -> None:
    rig = Rig(script(b"x" * 1_000_000, CLOSE), limits=Limits(stall_seconds=30, rate_min=240), capacity_bytes=3000)
    client = rig.dial()
    reading(rig, client, 1.0, 10, 300)
    rig.run(100)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}


def test_stall_seconds_do_not_count_a_burst(seed: int) -> None:
    """As with real sockets: the kernels' buffers take a burst after the first short write, and nothing more."""
    rig = Rig(script(b"x" * 1_000_000, CLOSE), limits=Limits(stall_seconds=30), capacity_bytes=3000, seed=seed)
    client = rig.dial()
    reading(rig, client, 0.1, 1000, 20)
    rig.run(29.5)
    assert rig.states == ["WRITING"]
    assert rig.reactor.totals().sent > 30 * 240
    rig.run(1.0)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}


@pytest.mark.parametrize(("rate", "lives"), [(0, False), (200, False), (280, True), (1000, True)])
def test_what_counts_for_stall_seconds_is_what_the_peer_takes(rate: int, lives: bool) -> None:
    """The kernel's buffers hold minutes of a slow reader's answer: nothing leaves our hands, and yet it is taken."""
    rig = Rig(script(b"x" * 1_000_000, CLOSE), limits=Limits(stall_seconds=30, rate_min=240), capacity_bytes=200_000)
    looks = []

    def unsent(channel: object) -> int:
        looks.append(rig.simulation.now())
        return max(0, 200_000 - int(rate * (rig.simulation.now() - start)))

    rig.dial()
    rig.run(0.1)
    start = rig.simulation.now()
    rig.simulation.unsent = unsent  # type: ignore[method-assign]
    rig.run(100.0)
    if lives:
        assert rig.states == ["WRITING"]
        assert [round(look - start) for look in looks] == [5, 30, 35, 60, 65, 90, 95]
    else:
        assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}
        assert [round(look - start) for look in looks] == [5, 30]


def test_a_platform_that_cannot_tell_what_is_unsent_tells_what_was_sent() -> None:
    rig = Rig(script(b"x" * 1_000_000, CLOSE), limits=Limits(stall_seconds=30), capacity_bytes=3000)
    rig.simulation.unsent = lambda channel: -1  # type: ignore[method-assign]
    client = rig.dial()
    reading(rig, client, 2.0, 1000, 20)
    rig.run(59.0)
    assert rig.states == ["WRITING"]
    rig.run(2.0)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}


def test_notsent_file_bytes_while_a_long_file_is_sent(tmp_path: Path) -> None:
    limits = Limits(notsent_file_bytes=5000, notsent_bytes=1000, quantum_bytes=10_000)
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "file").open("rb") as file:
        told: list[int] = []
        rig = Rig(script(File(file, 0, 40_000), File(file, 0, 100_000), b"more", IDLE), limits=limits)
        rig.simulation.let_take = lambda channel, count: told.append(count)  # type: ignore[method-assign]
        client = rig.dial()
        heard = 0
        for _ in range(20):
            rig.run(0.1)
            heard += len(client.heard())
        assert heard == 140_004
        assert told == [5000, 1000], "for the long one, and no longer"


def test_stall_seconds_spare_a_slow_but_honest_reader(seed: int) -> None:
    size = 400 * 1000
    limits = Limits(stall_seconds=30, rate_min=240)
    rig = Rig(script(b"x" * size, CLOSE), limits=limits, capacity_bytes=3000, seed=seed)
    client = rig.dial()
    heard = reading(rig, client, 2.0, 1000, 500)
    rig.run(1000)
    assert len(heard) == size
    assert str(Cause.ANSWER_TOO_SLOW) not in rig.ended


@pytest.mark.parametrize("drip", [False, True])
def test_linger_seconds(seed: int, drip: bool) -> None:
    rig = Rig(script(b"bye", CLOSE), limits=Limits(linger_seconds=5), seed=seed)
    client = rig.dial()
    if drip:
        every(rig, 0.5, 60, lambda: client.say(b"x"))
    rig.run(4.9)
    assert client.heard() == b"bye"
    assert rig.states == ["LINGERING"]
    rig.run(0.3)
    assert rig.ended == {str(Cause.LINGERED_TOO_LONG): 1}
    client.heard()
    assert client.reset


def test_a_drain_ends_a_crowd_in_bites(seed: int) -> None:
    """A million rows take many turns: other rows are served meanwhile."""
    acts = Acts(lambda machine: READ if machine.take() or machine.memory else IDLE)
    rig = Rig(acts, limits=Limits(expiries_a_turn=10, drain_seconds=3, request_seconds=1000), seed=seed)
    clients = rig.dials(100)
    rig.run(0.5)
    for machine in acts.made[50:]:
        machine.memory = True
    for client in clients:
        client.say(b"x" if clients.index(client) % 2 else b"")
    rig.run(0.5)
    rig.reactor.drain()
    ends = []
    while len(rig.rows) > 50:
        before = len(rig.rows)
        rig.reactor.step(1)
        ends.append(before - len(rig.rows))
    assert max(ends) <= 10 and "IDLE" not in rig.states
    rig.run(2.9)
    assert len(rig.rows) == 50
    rig.run(0.2)
    assert not rig.rows and rig.ended == {str(Cause.DRAINED): 100}


def test_drain_seconds(seed: int) -> None:
    rig = Rig(Acts(lambda machine: READ), limits=Limits(drain_seconds=3, request_seconds=1000), seed=seed)
    client = rig.dial()
    rig.run(1.0)
    rig.reactor.drain()
    rig.run(2.9)
    assert rig.states == ["READING"]
    rig.run(0.2)
    assert rig.ended == {str(Cause.DRAINED): 1}
    client.heard()
    assert client.reset


def test_drain_seconds_are_not_needed_by_one_who_finishes() -> None:
    """A request that is under way when the drain begins is answered; then its row closes of itself."""
    rig = Rig(Liner, limits=Limits(drain_seconds=100, linger_seconds=1))
    client = rig.dial()
    client.say(b"half")
    rig.run(1.0)
    rig.reactor.drain()
    client.say(b" and half\n")
    rig.run(1.0)
    assert client.heard() == b"half and half\n"
    assert client.ended or rig.states == ["LINGERING"]
    rig.run(2.0)
    assert rig.ended == {str(Cause.DRAINED): 1}


# The door.


def test_accept_pause_seconds_back_off_up_to_accept_pause_seconds_max() -> None:
    limits = Limits(accept_pause_seconds=0.1, accept_pause_seconds_max=0.8)
    rig = Rig(Acts(echo), limits=limits, delay_seconds=(0, 0))
    channel = rig.listener.channel
    tries: list[float] = []

    def accept() -> object:
        tries.append(rig.simulation.now())
        raise OSError(24, "EMFILE")

    channel.accept = accept  # type: ignore[method-assign, assignment]
    rig.dial()
    rig.run(5.0)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.8, 0.8], abs=0.01)
    assert rig.kinds() == ["accept paused"]


def test_backlog_is_how_many_wait_in_the_kernel() -> None:
    rig = Rig(Acts(echo), limits=Limits(backlog=4), delay_seconds=(0, 0))
    rig.listener.channel.failures.extend([24] * 3)  # type: ignore[attr-defined]
    clients = rig.dials(7)
    rig.run(0.05)
    for client in clients:
        client.half_close()
    rig.run(0.9)
    assert rig.simulation.met["queue_full"] == 2
    assert rig.listener.accepted == 5, "Linux lets one more wait; the other two knock again after a second"
    rig.run(0.2)
    assert rig.listener.accepted == 7


def test_who_knocks_too_long_is_told(seed: int) -> None:
    rig = Rig(Acts(echo), limits=Limits(backlog=1), delay_seconds=(0, 0), seed=seed)
    rig.listener.close()
    rig.simulation.listen(parse_address("server:9"), 1)  # nobody accepts
    clients = [rig.simulation.dial("server:9") for _ in range(3)]
    rig.run(62.0)
    assert [client.heard() or client.reset for client in clients] == [False, False, False]
    rig.run(2.0)
    assert [client.heard() or client.reset for client in clients] == [False, False, True]


def test_notsent_bytes_are_told_to_the_platform() -> None:
    """What the kernel makes of them is in test_conformance.py."""
    told: list[int] = []

    class Told(Simulation):
        def listen(self, address, backlog, notsent_bytes=0, mode=None):  # type: ignore[no-untyped-def]
            told.append(notsent_bytes)
            return super().listen(address, backlog)

    from partway.engine import Reactor

    Reactor(Told(1)).listen("server:1", Acts(echo), Limits(notsent_bytes=5))
    assert told == [5]


# Datagrams. What else becomes of them is in test_endpoint.py and the files beside it.


def answers(data: bytes, peer: object) -> bytes:
    return data


def test_datagrams_a_turn(seed: int) -> None:
    """A flood of datagrams must not keep a stream waiting for longer than its share of a turn."""
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagrams_a_turn=4), seed=seed)
    rig.reactor.listen("server:8", Acts(echo))
    client = rig.simulation.dial("server:8")
    rig.run()
    flood = [rig.dial() for _ in range(5)]
    for peer in flood:
        for _ in range(20):
            peer.say(b"x")
    client.say(b"y")
    rig.arrive()
    rig.reactor.step(0)
    rig.arrive()
    assert client.heard() == b"y"
    assert rig.reactor.totals().datagrams_received == 4
    rig.run()
    assert rig.reactor.totals().datagrams_received == 100


def test_datagrams_a_turn_of_those_that_wait() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagrams_a_turn=4))
    channel = rig.endpoint.channel
    send_to, channel.send_to = channel.send_to, _not_now  # type: ignore[method-assign]
    peer = rig.dial()
    for _ in range(10):
        peer.say(b"x")
    rig.arrive()
    for _ in range(4):
        rig.reactor.step(0)
    channel.send_to = send_to  # type: ignore[method-assign]
    rig.reactor.step(0)
    assert rig.reactor.totals().datagrams_sent == 4


def _not_now(data: object, sender: object) -> int:
    raise BlockingIOError


def test_datagram_bytes(seed: int) -> None:
    rig = PlaceRig(Service(admit=answers), endpoint_limits=Limits(datagram_bytes=100), seed=seed)
    assert rig.ask(rig.dial(), bytes(100), bytes(101)) == [bytes(100)]


def test_datagram_rows_max(seed: int) -> None:
    """Whoever forges senders fills an endpoint, and no more than that."""
    rig = PlaceRig(Service(Acts(echo)), endpoint_limits=Limits(datagram_rows_max=3, idle_seconds=5), seed=seed)
    first = rig.dial()
    rig.ask(first, b"x")
    for _ in range(10):
        rig.ask(rig.dial(), b"x")
    assert len(rig.rows) == 3
    assert rig.ask(first, b"x") == [b"x"], "who has a row goes on"
    rig.run(4.9)
    rig.run(0.3)
    assert rig.ask(rig.dial(), b"x") == [b"x"]


def test_datagram_queue_bytes() -> None:
    rig = PlaceRig(Service(admit=answers), endpoint_limits=Limits(datagram_queue_bytes=10_000))
    rig.endpoint.channel.send_to = _not_now  # type: ignore[method-assign]
    peer = rig.dial()
    for _ in range(20):
        peer.say(bytes(1000))
    rig.arrive()
    rig.reactor.step(0)
    assert 8000 < rig.reactor.totals().kept <= 10_000


@pytest.mark.parametrize("most", [1, 3, 4.5])
def test_amplification_max(most: float) -> None:
    def admit(data: bytes, peer: object) -> bytes:
        return bytes(int(data.split(b" ")[0]))

    rig = PlaceRig(Service(admit=admit), endpoint_limits=Limits(amplification_max=most))
    least = int(10 * most)
    assert rig.ask(rig.dial(), b"%-10d" % least, b"%-10d" % (least + 1)) == [bytes(least)]
    rows = PlaceRig(
        Service(Acts(lambda machine: admit(machine.take(), None) if machine.data else IDLE)),
        limits=Limits(amplification_max=most),
    )
    assert rows.ask(rows.dial(), b"%-10d" % least) == [bytes(least)]
    assert rows.ask(rows.dial(), b"%-10d" % (least + 1)) == []


def test_routes_max() -> None:
    rig = PlaceRig(Service(Acts(echo), route=lambda data, peer: data[:1]), endpoint_limits=Limits(routes_max=3))
    rig.ask(rig.dial(), b"a")
    assert [rig.row.add_route(route) for route in (b"b", b"c", b"d")] == [True, True, False]
    assert rig.row.routes == (b"a", b"b", b"c")


# Machines with limits of their own.


def test_a_listeners_limits_are_its_rows() -> None:
    rig = Rig(Acts(echo), limits=Limits(idle_seconds=100))
    rig.reactor.listen("server:8", Acts(echo), Limits(idle_seconds=1))
    rig.dial()
    hasty = rig.simulation.dial("server:8")
    rig.run(2.0)
    hasty.heard()
    assert hasty.ended
    assert rig.states == ["IDLE"]


def test_deadlines_hold_although_the_world_is_busy_elsewhere() -> None:
    """Things that happen in the world but to no row must not put a deadline off."""
    rig = Rig(Acts(echo), limits=Limits(idle_seconds=15))
    client = rig.dial()
    every(rig, 0.5, 200, lambda: None)
    rig.run(16)
    client.heard()
    assert client.ended
    assert rig.simulation.now() < 1000 + 17
