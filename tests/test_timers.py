"""Alarms: none early, none lost, and as cheap with many rows as with few.

A row that rings too early spins, one that is forgotten lives for ever; both are checked against a plain sorted list.
"""

import math
from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some
from partway.engine import IDLE, Limits, Wait, Want
from partway.engine.timers import NEVER, TICKS, Timers
from worlds import SEEDS, Acting, Acts, Rig, echo, script


def test_nothing_is_set() -> None:
    timers = Timers()
    assert timers.next() is None
    assert not timers.due(1e12)
    assert timers.ring(1e12, 10) == []


@given(some.lists(some.floats(0, 1e6), max_size=60), some.lists(some.floats(0, 1e6), max_size=20))
def test_none_early_none_lost_none_twice(dues: list[float], nows: list[float]) -> None:
    timers = Timers()
    for key, due in enumerate(dues):
        timers.set(due, key)
    rung: list[int] = []
    for now in [*sorted(nows), 2e6]:
        ringing = timers.ring(now, 1000)
        for key in ringing:
            assert dues[key] <= now, "early"
        rung += ringing
        left = [due for key, due in enumerate(dues) if key not in rung]
        assert all(due > now - 1 / TICKS for due in left), "late by more than a tick"
        assert timers.entries == len(left)
    assert sorted(rung) == list(range(len(dues)))


@given(some.floats(0, 1e7))
def test_next_is_when_it_rings(due: float) -> None:
    timers = Timers()
    timers.set(due, 1)
    at = timers.next()
    assert at is not None
    assert due <= at < due + 1 / TICKS + 1e-6
    assert timers.due(at)
    assert not timers.due(math.nextafter(at, 0)) or at == 0
    assert timers.ring(at, 1) == [1]


def test_ringing_is_taken_in_bites() -> None:
    timers = Timers()
    for key in range(10):
        timers.set(1.0 + (key // 5) * 0.5, key)
    assert timers.ring(2.0, 3) == [0, 1, 2]
    assert timers.due(2.0)
    assert timers.ring(2.0, 4) == [3, 4, 5, 6]
    assert timers.ring(2.0, 100) == [7, 8, 9]
    assert timers.ring(2.0, 100) == []
    assert timers.entries == 0


def test_pruning_keeps_what_it_is_given() -> None:
    timers = Timers()
    for key in range(1000):
        timers.set(float(key), key)
    timers.prune([(5.0, 5), (3.0, 3), (3.0, 4)])
    assert timers.entries == 3
    assert timers.next() == 3.0
    assert timers.ring(10.0, 10) == [3, 4, 5]


def test_setting_costs_the_same_at_any_size() -> None:
    """Rows that come in one turn share a tick: the heap has an entry a tick, however many rows there are."""
    timers = Timers()
    for key in range(100_000):
        timers.set(15.0 + key / 1e7, key)
    assert len(timers._heap) <= 12


@pytest.mark.parametrize("seed", SEEDS)
def test_alarms_do_not_pile_up(seed: int) -> None:
    """A deadline moves with each request, and rows come and go: neither may leave an alarm behind for each time."""
    rig = Rig(Acts(echo), seed=seed, limits=Limits(idle_seconds=1000))
    client = rig.dial()
    for _ in range(3000):
        client.say(b"x")
        rig.run(0.002)
        client.heard()
    assert rig.reactor.totals().alarms <= 2
    for _ in range(3000):
        other = rig.dial()
        rig.run(0.004)
        other.close()
    rig.run(0.01)
    assert rig.reactor.totals().alarms <= 2 * len(rig.rows) + 1024 + 2


def test_alarms_of_a_machine_that_waits_briefly_do_not_pile_up() -> None:
    def act(machine: Acting) -> Want:
        return Wait(0.001) if machine.steps % 2 else b"" if machine.row.key % 2 else Wait(0.002)

    rig = Rig(Acts(act))
    rig.dials(20)
    rig.run(10)
    assert rig.reactor.totals().alarms <= 2 * 20 + 1024 + 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_deadlines_at_random(seed: int) -> None:
    random = Random(seed)
    rig = Rig(script(IDLE), seed=seed)
    called: list[tuple[float, float]] = []
    start = rig.simulation.now()
    cancelled = []
    for _ in range(1000):
        due = random.choice([1.0, 2.0, random.uniform(0, 50)])
        key = rig.reactor.after(due, lambda due=due: called.append((due, rig.simulation.now() - start)))
        if random.random() < 0.3:
            cancelled.append(key)
    for key in cancelled:
        rig.reactor.cancel(key)
    rig.run(60)
    assert len(called) == 1000 - len(cancelled)
    for due, at in called:
        assert due <= at < due + 0.05
    assert rig.reactor.totals().turns < 3500


def test_after_within_after() -> None:
    rig = Rig(script(IDLE))
    called: list[int] = []

    def again() -> None:
        called.append(len(called))
        if len(called) < 5:
            rig.reactor.after(0, again)

    rig.reactor.after(0, again)
    rig.run(1)
    assert called == [0, 1, 2, 3, 4]


def test_never_is_for_ever() -> None:
    rig = Rig(script(IDLE))
    key = rig.reactor.after(math.inf, lambda: None)
    rig.run(1)
    rig.reactor.cancel(key)
    assert math.inf == NEVER
    assert not rig.reactor.table.calls


def test_a_bite_of_many_moves_nobody_else() -> None:
    """A crowd whose deadlines share a tick rings in order, and a bite costs what it takes out, not what it leaves."""
    timers = Timers()
    for key in range(1000):
        timers.set(1.0, key)
    assert timers.ring(2.0, 100) == list(range(100))
    assert isinstance(timers._slots[TICKS], deque), "a list would move all that is left"
    timers.set(1.0, 1000)  # somebody joins it meanwhile
    assert [key for _ in range(10) for key in timers.ring(2.0, 100)] == list(range(100, 1001))
    assert timers.entries == 0 and timers.next() is None
