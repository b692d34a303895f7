"""One case, turn by turn: what was asked of the poller and what it said, who moved, and the table as it then stood.

A `Recorder` is a `World` that writes down what happens in it. It changes nothing: what a replay comes to is what the
run came to.
"""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import groupby, islice
from typing import NamedTuple

from ...engine import Row
from ...engine import row as rows
from ...engine.machine import Want
from ...engine.outside import Client
from ...engine.platform import BROKEN, HUNG_UP, PEER_ENDED, READABLE, WRITABLE, Events
from ...engine.report import report_row, show_where
from ...protocols.watch import HEADER, line_of
from .case import Case, Visitor
from .examine import AGAIN, FREEZING, Broken, broken_by, examine
from .many import LEAK_CLIENTS
from .report import wrapped
from .shrink import PLAIN_KNOBS, PLAIN_LINK, counted, size_of
from .world import World, kind_of

TURNS_SHOWN = 20
ROWS_SHOWN = 8  # in a table
CLIENTS_SHOWN = 12  # of a crowd
SHOWN_BYTES = 24  # of what was said or heard
WIDTH = 110
MASK_LETTERS = ((READABLE, "r"), (WRITABLE, "w"), (PEER_ENDED, "e"), (BROKEN, "b"), (HUNG_UP, "h"))
NOBODY = ": nobody"
FROZEN = "a row was frozen and thawed"


class Turn(NamedTuple):
    """What happened in one turn, as lines. A quiet one has none of them."""

    number: int
    seconds: float  # simulated, since the beginning
    poll: str
    happened: list[str]
    met: Counter[str]  # faults
    table: list[str]

    @property
    def quiet(self) -> bool:
        """Nobody was called ready, and nothing has come of it."""
        return not self.happened and self.poll.endswith(NOBODY)

    def lines(self) -> list[str]:
        """Show it."""
        return [
            f"turn {self.number}  at {self.seconds:.6f} s  {self.poll}",
            *(f"    {line}" for line in self.happened),
            *([f"    faults: {_listed(self.met)}"] if self.met else []),
            *(f"  {line}" for line in self.table),
        ]


class Recorder(World):
    """A world that writes down each turn."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._happened: list[str] = []
        self._poll = ""
        self._turn = 0
        self._met: Counter[str] = Counter()
        self._moved_keys: dict[int, None] = {}  # rows, in this turn
        self._counts: dict[int, tuple[int, int, int]] = {}  # of each row, at the turn's beginning
        self._reasons = 0
        self._frozen = 0
        poller = self.reactor.table.poller
        self._ready = poller.ready
        poller.ready = self._polled  # type: ignore[method-assign]

    def turns(self, finishes: bool = True) -> Iterator[Turn]:
        """Run to the end, and check what is left. Raises what the run raises, after the turn in which that happened."""
        goes_on = True
        while goes_on:
            self._turn += 1
            error: Exception | None = None
            with recorded(self._moved):
                try:
                    goes_on = self.step()
                except Exception as failure:
                    error = failure
            yield self._written()
            if error is not None:
                raise error
        if finishes:
            self.finish()

    def end(self) -> None:
        """Free what an unfinished run has open. What is wrong with it then is no news."""
        with suppress(Exception):
            self.close()

    # What happens in a turn.

    def _polled(self, seconds: float | None, most: int) -> Events:
        asked = "for ever" if seconds is None else f"{seconds:g} s"
        self._poll = f"poll: at most {asked}"
        pairs = self._ready(seconds, most)
        called = ", ".join(self._called(descriptor, mask) for descriptor, mask in pairs)
        self._poll += f": {called}" if called else NOBODY
        return pairs

    def _called(self, descriptor: int, mask: int) -> str:
        row = self.reactor.table.by_descriptor.get(descriptor)
        letters = "".join(letter for bit, letter in MASK_LETTERS if mask & bit)
        return f"{'door' if row is None else row.key} {letters}"

    def _moved(self, row: Row, event: int, state: int) -> None:
        became = rows.STATES[state] if state >= 0 else "nothing that is legal"
        self._moved_keys[row.key] = None
        self._happened.append(f"row {row.key}: {rows.STATES[row.state]} {rows.EVENTS[event]} -> {became}")

    def _enter(self, visitor: Visitor) -> None:
        super()._enter(visitor)
        client = self.clients[-1]
        kind = kind_of(client)
        step, feed = kind.step, kind.feed

        def heard(data: bytes) -> None:
            self._happened.append(f"{self._name(client)} hears {_shown(data) if data else 'the end'}")
            feed(data)

        def stepped() -> Want:
            want = step()
            if isinstance(want, bytes):
                self._happened.append(f"{self._name(client)} says {_shown(want)}")
            elif not isinstance(want, tuple):
                self._happened.append(f"{self._name(client)} wants {want!r}")
            return want

        kind.feed = heard  # type: ignore[method-assign]
        kind.step = stepped  # type: ignore[method-assign]
        self._happened.append(f"{self._name(client)} comes")

    def _name(self, client: Client) -> str:
        return f"client {client.key} ({self.visitors[client.local].kind})"

    # What is written of it.

    def _written(self) -> Turn:
        happened, self._happened = self._happened, []
        happened += self._bytes_moved()
        happened += self._reasons_told()
        if self.watch.frozen > self._frozen:
            happened.append(FROZEN)
            self._frozen = self.watch.frozen
        met, self._met = self.simulation.met - self._met, self.simulation.met.copy()
        return Turn(self._turn, self.simulation.now() - self.began, self._poll, _folded(happened), met, self._table())

    def _bytes_moved(self) -> list[str]:
        told, counts = [], {}
        for row in self.reactor.table.rows.values():
            count = counts[row.key] = (row.received, row.sent, row.requests)
            before = self._counts.get(row.key, (0, 0, 0))
            if count != before:
                self._moved_keys[row.key] = None
                received, sent, requests = (now - then for now, then in zip(count, before, strict=True))
                answered = f", {counted(requests, 'request')} done" if requests else ""
                told.append(f"row {row.key}: received {received}, sent {sent}{answered}")
        self._counts = counts
        return told

    def _reasons_told(self) -> list[str]:
        reasons = list(self.watch.reasons.items())
        told = [f"the row of {show_where(peer)} has ended: {reason}" for peer, reason in reasons[self._reasons :]]
        self._reasons = len(reasons)
        return told

    def _table(self) -> list[str]:
        """Show the rows, those that moved in this turn first where there are too many."""
        table = self.reactor.table.rows
        keys = [key for key in self._moved_keys if key in table]
        keys += islice((key for key in table if key not in self._moved_keys), ROWS_SHOWN)
        if not keys:
            return []
        lines = [HEADER, *(line_of(report_row(table[key]))[:WIDTH] for key in sorted(keys[:ROWS_SHOWN]))]
        if len(table) > ROWS_SHOWN:
            lines.append(f"... and {len(table) - ROWS_SHOWN} more")
        self._moved_keys.clear()
        return lines


class _Telling(tuple):  # type: ignore[type-arg]
    """One state's row of the engine's table of transitions, which tells when it is used.

    Only `advance(row, event)` looks into that table, so the row is in the frame that asks.
    """

    tell: Callable[[Row, int, int], None]

    def __getitem__(self, event: int) -> int:  # type: ignore[override]
        state: int = super().__getitem__(event)
        self.tell(sys._getframe(1).f_locals["row"], event, state)
        return state


@contextmanager
def recorded(tell: Callable[[Row, int, int], None]) -> Iterator[None]:
    """Have each transition told, as long as this lasts."""
    plain = rows._NEXT
    telling = tuple(_Telling(events) for events in plain)
    for events in telling:
        events.tell = tell
    rows._NEXT = telling  # type: ignore[misc]
    try:
        yield
    finally:
        rows._NEXT = plain  # type: ignore[misc]


def _folded(lines: Iterable[str]) -> list[str]:
    """Write a line once that stands there several times in succession."""
    folded = []
    for line, same in groupby(lines):
        count = sum(1 for _ in same)
        folded.append(line if count == 1 else f"{line} ({count} times)")
    return folded


def _listed(met: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(met.items()))


def _shown(data: bytes) -> str:
    piece = repr(data[:SHOWN_BYTES])
    return f"{piece} ({len(data)} bytes)" if len(data) > SHOWN_BYTES else piece


# A whole replay.


class Block(NamedTuple):
    """Turns shown together: one, or a quiet stretch by its last."""

    before: Sequence[Turn]
    last: Turn

    @property
    def first(self) -> int:
        """The number of the first."""
        return self.before[0].number if self.before else self.last.number

    def lines(self) -> list[str]:
        """Show them."""
        if not self.before:
            return self.last.lines()
        met = sum((turn.met for turn in self.before), Counter())
        faults = f", faults: {_listed(met)}" if met else ""
        count = counted(len(self.before), "turn")
        return [f"{count} from {self.first} on: nothing happens{faults}", *self.last.lines()]


class Replay:
    """A case being replayed. `broken` is what it came to, once all `blocks` have been taken."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.broken: Broken | None = None
        self._parted: list[str] = []  # the first turn in which two runs differ

    def blocks(self) -> Iterator[Block]:
        """Take the turns; afterwards see whether further runs of the case come to the same."""
        for quiet, turns in groupby(self._turns(), lambda turn: turn.quiet):
            if quiet:
                *before, last = turns
                yield Block(before, last)
            else:
                yield from (Block((), turn) for turn in turns)

    def _turns(self) -> Iterator[Turn]:
        try:
            recorder = Recorder(self.case)
        except Exception as error:
            self.broken = broken_by(error)
            return
        try:
            yield from recorder.turns()
        except Exception as error:
            self.broken = broken_by(error)
        finally:
            recorder.end()
        if self.broken is None:
            self.broken = examine(self.case, again=True, memory=len(self.case.crowd) <= LEAK_CLIENTS).broken
        if self.broken is not None and self.broken.invariant in (AGAIN, FREEZING):
            self._parted = parting(self.case, replace(self.case, freezes=0.0) if self.case.freezes else self.case)

    def verdict(self) -> list[str]:
        """Say what it came to: in the last line."""
        return [*self._parted, "all holds" if self.broken is None else f"BROKEN: {self.broken}"]

    def tail(self, turns_most: int) -> list[str]:
        """Take all, and show how it ends: one line for all before, the last turns, and the verdict."""
        last: deque[Block] = deque(maxlen=turns_most)
        for block in self.blocks():
            last.append(block)
        lines = []
        if last and last[0].first > 1:
            lines.append(f"turns 1 to {last[0].first - 1} are not shown (--turns {turns_most} shows the last ones)")
        for block in last:
            lines += block.lines()
        return lines + self.verdict()


def parting(case: Case, other: Case) -> list[str]:
    """Show the first turn in which the runs of two cases differ."""
    recorders = Recorder(case), Recorder(other)  # at once in one process: what each leaves open, nobody could tell
    try:
        for one, two in zip(*(recorder.turns(finishes=False) for recorder in recorders), strict=False):
            left, right = ([line for line in turn.happened if line != FROZEN] for turn in (one, two))
            if (one.poll, left, one.met) != (two.poll, right, two.met):
                return ["one run:", *one.lines(), "the other, which differs here for the first time:", *two.lines()]
            if one.seconds != two.seconds:
                return [f"turn {one.number} ends at {one.seconds} s in one run, at {two.seconds} s in the other"]
    except Exception as error:
        return [f"one of the runs ends with {broken_by(error)}"]
    finally:
        for recorder in recorders:
            recorder.end()
    return []


def about(case: Case) -> list[str]:
    """Say what a case is."""
    knobs = {name: getattr(case, name) for name, plain in PLAIN_KNOBS.items() if getattr(case, name) != plain}
    lines = [f"{case.protocol}, seed {case.seed}: {size_of(case)}"]
    for name, values in (("faults", case.faults), ("limits", case.limits), ("world", knobs)):
        if values:
            lines += wrapped(f"  {name}: ", [f"{key} {_number(value)}" for key, value in values.items()])
    lines += [f"  {_about_visitor(one)}" for one in case.crowd[:CLIENTS_SHOWN]]
    if len(case.crowd) > CLIENTS_SHOWN:
        lines.append(f"  ... and {len(case.crowd) - CLIENTS_SHOWN} clients more")
    return lines


def _about_visitor(visitor: Visitor) -> str:
    told = [
        f"{name} {_number(getattr(visitor, name))}"
        for name, plain in PLAIN_LINK.items()
        if getattr(visitor, name) != plain
    ]
    told += ["sheltered"] * visitor.sheltered
    asks = counted(visitor.requests, "request")
    return ", ".join((f"{visitor.kind} client, {asks}", *told))


def _number(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_number, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
