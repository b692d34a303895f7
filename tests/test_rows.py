"""Many rows, few of them active: what a turn does is the same in a table of a hundred rows and of ten thousand.

Counted, not timed: look-ups, calls, the interpreter's instructions, allocations. What walks over all rows is put in on
purpose, in each way in which that could hide, and must be seen by one of the counts: else they would show nothing.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from partway.engine import Limits
from partway.engine.reactor import Reactor
from partway.engine.table import Table
from partway.engine.timers import Timers
from partway.stress.bench import crowd as crowds
from partway.stress.bench import operations
from partway.stress.bench.crowd import Crowd
from partway.stress.bench.operations import Counted
from partway.stress.bench.tables import broken_goals

SIZES = (100, 1_000, 10_000)
ACTIVE = 20
BITE = 64


def figures(size: int) -> dict[str, Any]:
    """As the bench has them, for what it says of broken goals."""
    counts = Crowd(size).count(range(0, size, size // ACTIVE))
    cost = {"least": 1.0}
    costs = dict.fromkeys(("same", "others", "expiry", "walk_same", "walk_others"), cost)
    return {"name": str(size), "peak": 1, "operations": counts, **costs}


def test_a_turn_does_the_same_at_any_size() -> None:
    found = [figures(size) for size in SIZES]
    assert found[0]["operations"]["look-ups in by_descriptor"] == ACTIVE
    assert found[0]["operations"]["instructions"] > 100 * ACTIVE
    assert found[0]["operations"]["allocations, one row"] > 5
    assert broken_goals(found) == []


def walk_in_python(table: Table) -> object:
    return sum(row.held for row in table.rows.values())


def copy_in_c(table: Table) -> object:
    return list(table.by_descriptor)


def greatest_in_c(table: Table) -> object:
    return max(table.rows)


def compute(table: Table) -> object:
    return [None] * len(table.rows)


def count_up(table: Table) -> object:
    count = 0
    for _ in range(len(table.rows)):
        count += 1
    return count


def call_often(table: Table) -> object:
    return list(map(abs, range(len(table.rows))))


@pytest.mark.parametrize(
    ("walk", "seen"),
    [
        (walk_in_python, "look-ups in rows"),
        (walk_in_python, "instructions"),
        (walk_in_python, "calls"),
        (copy_in_c, "look-ups in by_descriptor"),
        (copy_in_c, "peak bytes"),
        (greatest_in_c, "look-ups in rows"),
        (compute, "peak bytes"),
        pytest.param(
            count_up,
            "instructions",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13), reason="3.13 does not trace each opcode of a bare loop"
            ),
        ),
        pytest.param(
            call_often,
            "allocations, one row",
            marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="3.13 counts these allocations otherwise"),
        ),
    ],
)
def test_what_walks_over_all_rows_is_seen(
    walk: Callable[[Table], object], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = Reactor._turn

    def walking(reactor: Reactor, timeout: float | None, serve: Callable[..., None]) -> None:
        turn(reactor, timeout, serve)
        walk(reactor.table)

    monkeypatch.setattr(Reactor, "_turn", walking)
    few, many = (figures(size) for size in SIZES[:2])
    assert any(goal.startswith(seen) for goal in broken_goals([few, many]))


def test_more_timers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Reactor._turn

    def setting(reactor: Reactor, timeout: float | None, serve: Callable[..., None]) -> None:
        turn(reactor, timeout, serve)
        for key in range(len(reactor.table.rows) // 100):
            reactor.table.timers.set(1e9, -1 - key)

    monkeypatch.setattr(Reactor, "_turn", setting)
    crowds = [Crowd(size) for size in SIZES[:2]]
    few, many = (crowd.count(range(ACTIVE)) for crowd in crowds)
    assert few["timers' calls"] < many["timers' calls"]
    assert few["look-ups in slots"] < many["look-ups in slots"]


def expiring(size: int) -> dict[str, int]:
    """What the first bites do where all deadlines have come."""
    crowd = Crowd(size, Limits(idle_seconds=1e6, expiries_a_turn=BITE))
    crowd.simulation.travel(2e6)
    found: dict[str, int] = {}

    def bite() -> None:
        left = len(crowd.reactor.table.rows)
        crowd.reactor.step(0)
        assert len(crowd.reactor.table.rows) == left - BITE

    with operations.uncollected():
        for count in (lambda: operations.look_ups(crowd.reactor, bite), lambda: operations.calls(bite)):
            crowd.simulation.travel(0.01)
            crowd.simulation.random.seed(1)
            found |= count()
        crowd.simulation.travel(0.01)
        crowd.simulation.random.seed(1)
        found["instructions"] = operations.instructions(bite)
    return found


def test_a_bite_of_deadlines_does_the_same_at_any_size() -> None:
    few, *more = (expiring(size) for size in (4 * BITE, 16 * BITE, 64 * BITE))
    assert few["look-ups in rows"] == 2 * BITE, "found by its key, and freed"
    assert few["timers' calls"] == 2
    for many in more:
        assert many == few


def test_all_deadlines_are_met_in_bites() -> None:
    crowd = Crowd(1000, Limits(idle_seconds=1e6, expiries_a_turn=300))
    costs, ended = crowd.expire()
    assert ended == [300, 300, 300, 100]
    assert len(costs) == len(ended) and min(costs) > 0
    assert all(client.end_arrived for client in crowd.clients)
    assert crowd.simulation.descriptors_used() == 1, "the listener's"


def test_deadlines_that_nobody_meets_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(10)
    monkeypatch.setattr(Timers, "due", lambda timers, now: False)
    with pytest.raises(AssertionError, match="10 rows are past their deadlines, and stay"):
        crowd.expire()


def test_a_wrong_echo_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(10)
    assert crowd.serve([1, 2]) > 0
    monkeypatch.setattr("partway.protocols.echo.Echo.feed", lambda echo, data: setattr(echo, "data", data[1:]))
    with pytest.raises(AssertionError, match="client 1 got a wrong echo"):
        crowd.serve([1])


def test_a_crowd_that_is_not_let_in_is_no_figure() -> None:
    with pytest.raises(AssertionError, match="5 rows of 10 clients"):
        Crowd(10, Limits(rows_max=5))


def test_the_control_looks_at_all_that_it_holds() -> None:
    walk = crowds.Walk(10)
    assert len({id(piece) for pieces in walk.table.values() for piece in pieces}) == 10 * crowds.PIECES
    assert walk.serve(range(10)) > 0
    with pytest.raises(KeyError):
        walk.serve([10])


def touches(mapping: Counted, work: Callable[[Any], object]) -> int:
    before = mapping.touched
    work(mapping)
    return mapping.touched - before


@pytest.mark.parametrize(
    ("work", "least"),
    [
        (lambda mapping: mapping[1], 1),
        (lambda mapping: 1 in mapping, 1),
        (lambda mapping: mapping.get(1), 1),
        (lambda mapping: mapping.pop(1), 1),
        (lambda mapping: mapping.update({1: 2}), 1),
        (lambda mapping: mapping.__delitem__(2), 1),
        (list, 100),
        (max, 100),
        (dict, 100),
        (lambda mapping: list(mapping.values()), 100),
        (lambda mapping: list(mapping.items()), 100),
        (lambda mapping: mapping.clear(), 100),
        (len, 0),
    ],
)
def test_what_is_touched_is_counted(work: Callable[[Any], object], least: int) -> None:
    mapping = Counted({key: key for key in range(100)})
    found = touches(mapping, work)
    assert least <= found <= 3 * least + (1 if least else 0)


def test_counting_leaves_nothing_behind() -> None:
    crowd = Crowd(10)
    table = crowd.reactor.table
    before: Iterable[object] = (table.rows, table.by_descriptor, table.doors, table.calls, table.timers._slots)
    gc.enable()
    looking = sys.gettrace(), sys.getprofile()
    crowd.count([1, 2, 3])
    assert (sys.gettrace(), sys.getprofile()) == looking
    assert gc.isenabled() and not tracemalloc.is_tracing()
    after = (table.rows, table.by_descriptor, table.doors, table.calls, table.timers._slots)
    assert all(one is other for one, other in zip(before, after, strict=True))
    with pytest.raises(ZeroDivisionError):
        operations.look_ups(crowd.reactor, lambda: 1 // 0)
    assert type(table.rows) is dict
    crowd.serve([1, 2, 3])
