"""One checker for any machine: what it answers must depend on the bytes alone, never on how they came.

`check_machine` runs the real engine on a simulation without delays and feeds the same input whole, byte by byte, in
random pieces, and with bytes behind it; it freezes and thaws the machine at every byte; and it counts the work that is
done for a byte (lines of Python, and bytes that C looks at) at the beginning and at the end of a long input.

It raises AssertionError with the seed and the way of feeding at which a machine differs from itself.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import watched
from partway.engine import Become, Limits, Reactor, Row, Want
from partway.engine.freeze import freeze, thaw
from partway.engine.machine import Machine
from partway.engine.simulation import Peer, Simulation
from watched import COUNTED, Watched

Make = Callable[[Row], Machine]

PATIENT = Limits(
    idle_seconds=1e9, opening_seconds=1e9, request_seconds=1e9, waiting_seconds=1e9, stall_seconds=1e9, linger_seconds=1
)
GROWTH_MOST = 1.5
PARTS = 12  # of a long input, whose costs are compared
LONG_BYTES = 3000
STEPS_MOST = 5000
WATCHED = str(Path(watched.__file__))


class Run:
    """One connection to a machine, on a simulation of its own."""

    def __init__(self, make: Make, seed: int = 0) -> None:
        self.simulation = Simulation(seed, delay_seconds=(0.0, 0.0), capacity_bytes=1 << 30)
        self.notices: list[str] = []
        self.reactor = Reactor(
            self.simulation, limits=PATIENT, observer=lambda notice: self.notices.append(str(notice))
        )
        self.reactor.listen("server:1", make)
        self.client: Peer = self.simulation.dial("server:1")
        self.output = b""
        self.settle()

    def settle(self) -> None:
        """Take turns until nobody has anything to do."""
        for _ in range(STEPS_MOST):
            busy = self.reactor.step(0)
            if not busy and self.simulation.quiet():
                break
        else:
            raise AssertionError("the machine does not come to rest")
        self.output += self.client.heard()
        held = sum(row.held for row in self.reactor.table.rows.values())
        assert held == self.reactor.table.held, f"rows hold {held} bytes, the table counts {self.reactor.table.held}"

    def feed(self, pieces: Iterable[bytes], between: Callable[["Run"], None] | None = None) -> "Run":
        """Say these pieces, each when the last has been worked off."""
        for piece in pieces:
            if between is not None:
                between(self)
            self.client.say(piece)
            self.settle()
        return self

    def end(self) -> bytes:
        """End the client's side, let the machine finish, and return all that it said."""
        self.client.half_close()
        self.settle()
        output = self.output
        self.client.abort()
        self.reactor.close()
        assert not self.notices, f"the machine failed: {self.notices[0]}"
        assert self.reactor.table.held == 0, f"{self.reactor.table.held} bytes are still counted"
        return output

    @property
    def row(self) -> Row | None:
        """The machine's row, until it ends."""
        return next(iter(self.reactor.table.rows.values()), None)


def check_machine(
    make: Make,
    input_bytes: bytes,
    expected: bytes | None = None,
    trailing: bytes = b"",
    *,
    seed: int | None = None,
    splits: int = 5,
    freezes: bool = True,
    long_input: bytes | None = None,
) -> bytes:
    """Check one machine on one input; return its output.

    `expected` is what it should say, where the caller knows. `trailing` is more input that must not change what was
    said to `input_bytes`, only follow it. `freezes` is false for machines that cannot (TLS, a generator's adapter).
    `long_input` is what the cost is counted on; without it the input is repeated, unless that is empty.
    """
    seed = Random().randrange(1 << 32) if seed is None else seed
    print(f"check_machine: seed {seed}")
    whole = Run(make).feed([input_bytes]).end()
    if expected is not None:
        assert whole == expected, f"said {whole!r} instead of {expected!r}"
    _same(whole, Run(make).feed(_bytewise(input_bytes)).end(), "byte by byte")
    random = Random(seed)
    for number in range(splits):
        pieces = list(_random_pieces(input_bytes, random))
        _same(whole, Run(make).feed(pieces).end(), f"in random pieces, number {number} of seed {seed}: {pieces!r}")
    if trailing:
        _check_trailing(make, input_bytes, trailing, random)
    if freezes:
        _same(whole, Run(make).feed(_bytewise(input_bytes), _freeze_and_thaw).end(), "frozen and thawed at each byte")
    if long_input is None and input_bytes:
        long_input = input_bytes * (LONG_BYTES // len(input_bytes) + 1)
    if long_input:
        check_cost(make, long_input)
    return whole


def _check_trailing(make: Make, input_bytes: bytes, trailing: bytes, random: Random) -> None:
    """What is said to the input is said as well when more stands behind it, in one piece or in several."""
    before = Run(make).feed([input_bytes])
    said = before.output
    before.end()
    whole = Run(make).feed([input_bytes + trailing]).end()
    assert whole.startswith(said), f"with bytes behind it: {whole[: len(said) + 40]!r} instead of {said!r}..."
    _same(whole, Run(make).feed([input_bytes, trailing]).end(), "the trailing bytes in a piece of their own")
    pieces = list(_random_pieces(input_bytes + trailing, random))
    _same(whole, Run(make).feed(pieces).end(), f"with trailing bytes, in pieces: {pieces!r}")


def check_cost(make: Make, input_bytes: bytes) -> None:
    """The work for a byte must not grow with what has come before, byte by byte or in larger pieces."""
    part = len(input_bytes) // PARTS
    assert part >= 64, "too short an input to see what grows"
    for size in (1, 64):
        costs = _costs(make, input_bytes, part, size)
        first, last = sum(costs[: PARTS // 3]), sum(costs[-(PARTS // 3) :])
        assert last <= GROWTH_MOST * first + part, (
            f"cost grows, in pieces of {size}: {first} at first, {last} at last for as many bytes"
        )


def _costs(make: Make, input_bytes: bytes, part: int, size: int) -> list[int]:
    """The work for each part of the input, in pieces of this size."""
    watching: list[Watching] = []

    def factory(row: Row) -> Watching:
        watching.append(Watching(make(row)))
        return watching[0]

    run = Run(factory)
    costs: list[int] = []
    for place in range(0, part * PARTS, part):
        watching[0].work = COUNTED.touched = 0
        run.feed(_cut(input_bytes[place : place + part], size))
        costs.append(watching[0].work + COUNTED.touched)
    run.end()
    return costs


class Watching:
    """A machine that is fed watched bytes, and whose lines are counted as they are executed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.work = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def feed(self, data: bytes) -> None:
        self._traced(self.machine.feed, Watched(data))

    def step(self) -> Want:
        want: Want = self._traced(self.machine.step)
        if isinstance(want, Become):
            self.machine, want = want.machine, want
            unread = want.unread
            if unread:
                self.feed(unread)
            return b""
        return bytes(want) if isinstance(want, Watched) else want

    def _traced(self, function: Callable[..., Any], *arguments: Any) -> Any:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return function(*arguments)
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.work += 1
        return None if frame.f_code.co_filename == WATCHED else self._trace


def _same(expected: bytes, said: bytes, how: str) -> None:
    assert said == expected, f"{how}: said {said[:200]!r} instead of {expected[:200]!r}"


def _bytewise(data: bytes) -> list[bytes]:
    return _cut(data, 1)


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[place : place + size] for place in range(0, len(data), size)]


def _random_pieces(data: bytes, random: Random) -> Iterable[bytes]:
    place = 0
    while place < len(data):
        size = random.choice([1, 2, 3, random.randrange(1, len(data) + 1)])
        yield data[place : place + size]
        place += size


def _freeze_and_thaw(run: Run) -> None:
    row = run.row
    if row is not None and row.state < 6:  # beyond the machine there is nothing to freeze
        table = run.reactor.table
        row.machine = thaw(freeze(row.machine), lambda key: table.rows.get(key))
