"""Freezing: a machine as bytes at any byte of its input, with its row as a key and nothing else of the process."""

import pickle
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
    Cause,
    Idle,
    Inbox,
    LineBuffer,
    PeerError,
    Read,
    Reason,
    Row,
    Wait,
    Want,
)
from partway.engine.freeze import freeze, thaw
from worlds import Acts, Rig, script


class Liner:
    """A machine with a row, a buffer that knows the row too, and a want that it keeps."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.lines = LineBuffer(row, 1000)
        self.rest: Want = IDLE
        self.seen = [row.peer]

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        return self.lines.take() or self.rest


def frozen_in(rig: Rig, said: bytes) -> tuple[bytes, Row, Liner]:
    rig.dial().say(said)
    rig.run(0.1)
    row = rig.rows[-1]
    assert isinstance(row.machine, Liner)
    return freeze(row.machine), row, row.machine


def test_a_machine_and_its_row() -> None:
    rig = Rig(Liner)
    frozen, row, machine = frozen_in(rig, b"half a li")
    asked: list[int] = []

    def find(key: int) -> Row:
        asked.append(key)
        return row

    thawed: Any = thaw(frozen, find)
    assert set(asked) == {row.key}
    assert thawed is not machine
    assert thawed.row is row
    assert thawed.lines.inbox.row is row
    assert thawed.rest is IDLE
    thawed.feed(b"ne\nx")
    assert thawed.step() == b"half a line\n"
    assert thawed.step() is IDLE


def test_a_row_that_has_gone() -> None:
    frozen, _, _ = frozen_in(Rig(Liner), b"x")
    assert thaw(frozen, lambda key: None).row is None  # type: ignore[attr-defined]


def test_nothing_of_the_process_is_in_it() -> None:
    frozen, _, _ = frozen_in(Rig(Liner), b"half a line")
    assert b"half a line" in frozen
    for name in (b"Table", b"Simulation", b"Reactor", b"_SimulatedEnd"):
        assert name not in frozen
    assert len(frozen) < 600


def test_bytes_that_thaw_are_counted_on_their_new_row() -> None:
    first, second = Rig(Liner), Rig(script(PARK))
    frozen, _, _ = frozen_in(first, b"half a line")
    second.dial()
    second.run(0.1)
    (row,) = second.rows
    thawed: Any = thaw(frozen, lambda key: row)
    row.machine = thawed
    assert row.held == second.reactor.table.held == len(b"half a line")
    thawed.feed(b"\n")
    thawed.step()
    assert row.held == second.reactor.table.held == 0
    second.reactor.close()


def test_state_that_is_not_plain_data_says_so() -> None:
    rig = Rig(Liner)
    _, row, machine = frozen_in(rig, b"x")
    machine.seen.append(number for number in range(3))
    with pytest.raises(TypeError, match="generator"):
        freeze(machine)
    assert row.machine is machine


@pytest.mark.parametrize("want", [READ, IDLE, OPENING, NEXT, PARK, HALF_CLOSE, CLOSE, ABORT], ids=str)
def test_signals_stay_themselves(want: Want) -> None:
    assert pickle.loads(pickle.dumps(want)) is want


@pytest.mark.parametrize("want", [Read(1.5), Idle(2), Wait(0), Wait(0.0)], ids=repr)
def test_timed_wants(want: Any) -> None:
    again = pickle.loads(pickle.dumps(want, protocol=5))
    assert type(again) is type(want)
    assert again.seconds == want.seconds


def test_errors_and_reasons() -> None:
    error = pickle.loads(pickle.dumps(PeerError("bad head", 431)))
    assert (error.reason, error.hint) == ("bad head", 431)
    reason = Reason(Cause.PEER_ERROR, "bad head", 431)
    assert pickle.loads(pickle.dumps(reason)) == reason


def test_buffers_alone() -> None:
    rig = Rig(Acts(lambda machine: IDLE))
    rig.dial()
    rig.run(0.1)
    (row,) = rig.rows
    inbox = Inbox(row)
    for piece in (b"abc", b"def", b"ghi"):
        inbox.feed(piece)
    inbox.take(4)
    assert inbox.find(b"\n") == -1
    thawed: Any = thaw(freeze(inbox), lambda key: row)  # type: ignore[arg-type]
    assert thawed.take() == inbox.take() == b"efghi"


def test_what_is_shared_is_frozen_as_its_place() -> None:
    rig = Rig(Liner)
    _, row, machine = frozen_in(rig, b"x")
    here, there = [["one"], ["two"]], [["uno"], ["due"]]
    machine.seen = [here[1], here[0], ["mine"]]
    thawed: Any = thaw(freeze(machine, here), lambda key: row, there)
    assert thawed.seen == [["due"], ["uno"], ["mine"]]
    assert thawed.seen[0] is there[1]
    assert thawed.row is row
    row.machine = machine
