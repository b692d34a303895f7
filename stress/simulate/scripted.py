"""A server that does as its client says: every want and every member of a machine, in any order, from any state.

A line is a program of verbs (`stress/clients/script.py` makes them up). A machine that is told wrongly, stepped too
early or fed what it did not ask for raises ContractError: a machine's own view of what the engine owes it.
"""

import atexit
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from tempfile import mkstemp

from ...engine import (
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
    LineBuffer,
    PeerError,
    Reactor,
    Read,
    Reason,
    Row,
    Wait,
    Want,
)
from ..clients.script import SPOILT, TEXT, words_of
from .served import DeliberateError

DIGITS_MOST = 7
COUNT_MOST = 500  # of steps, calls, neighbours
MILLISECONDS_MOST = 10_000
SMALL_QUANTUM = 3000
LARGE_READ = 20_000


class ContractError(Exception):
    """The engine owed this machine something else."""


class TextFile:
    """TEXT as a real file: one for the process, opened anew for each run."""

    def __init__(self) -> None:
        self.descriptor = os.open(_text_path(), os.O_RDONLY)

    def fileno(self) -> int:
        """Return its descriptor. Raises OSError once it is closed."""
        if self.descriptor < 0:
            raise OSError("the file is closed")
        return self.descriptor

    def close(self) -> None:
        """Close it. A second call does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


@cache
def _text_path() -> str:
    descriptor, path = mkstemp(prefix="partway-")
    atexit.register(os.unlink, path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(TEXT)
    return path


class Gone:
    """A file that is not there any more."""

    def fileno(self) -> int:
        """Raise OSError."""
        raise OSError("the file has gone")


class Stage:
    """What all rows of a run have in common: whom else there is to wake, who calls back, and the file."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.file = TextFile()
        self.rows: dict[int, Row] = {}

    def __call__(self, row: Row) -> "Scripted":
        """Let a row in."""
        self.rows[row.key] = row
        return Scripted(row, self)

    def call(self, row: Row, ticket: int, seconds: float) -> None:
        """Have an outcome come back to a row after these seconds, whatever has become of the row by then."""
        self.reactor.after(seconds, lambda: _come_back(row, ticket))

    def kill(self, row: Row, seconds: float, reset: bool) -> None:
        """Have a row closed from outside after these seconds."""
        self.reactor.after(seconds, lambda: row.close("by another", reset=reset))

    def poke(self, count: int) -> None:
        """Wake so many rows, whatever they are doing."""
        for row in list(islice(self.rows.values(), count)):
            row.wake()

    def report(self) -> None:
        """Read the whole table as an operator does: its sums must agree at any time."""
        rows, totals = list(self.reactor.rows()), self.reactor.totals()
        if not len(rows) == totals.rows == sum(totals.states.values()):
            raise ContractError(f"{len(rows)} rows are listed, {totals}")
        if sum(row.held for row in rows) != totals.held:
            raise ContractError(f"rows hold {sum(row.held for row in rows)} bytes, {totals}")


def _come_back(row: Row, ticket: int) -> None:
    machine = row.machine
    if isinstance(machine, Scripted):
        machine.outcome = max(machine.outcome, ticket)
    row.wake()


_READS = (READ, IDLE, OPENING)
_FIRST: tuple[Want, ...] = (OPENING, READ, Wait(0.001), b"")
"""With what a row begins, before anybody has told it anything."""


class Scripted:
    """One connection."""

    def __init__(self, row: Row, stage: Stage) -> None:
        self.row = row
        self.stage = stage
        self.lines = LineBuffer(row, row.limits.line_bytes)
        self.program: list[bytes] = []  # verbs that are still to be done
        self.running = False  # one has begun, and `NEXT` was not said for it
        self.answering = False  # a part of its answer has gone
        self.fresh = True  # not stepped yet
        self.opening = True  # `OPENING` may still be said
        self.reads = False  # it may be fed: the last want reads, or another's unread bytes come
        self.end_fed = False
        self.over = False
        self.reads_ahead = False
        self.until: float | None = None  # when a pause ends
        self.tickets = 0  # calls that were made
        self.outcome = 0  # the last one that has come back
        self.awaited = 0  # the one that is waited for
        self.fate: Cause | None = None  # what it must end with from now on
        self.spoilt: tuple[str, ...] = ()  # members that fail on purpose

    # The contract.

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if self.over or self.end_fed or not (self.reads or self.duplex):
            raise ContractError(f"fed {len(data)} bytes out of turn")
        if data:
            self.lines.feed(data)
        else:
            self.end_fed = True
        self._fail_if_spoilt("feed")

    def step(self) -> Want:
        """Do the next verb."""
        if self.over or self.row.output is not None:
            raise ContractError("stepped after the end, or while output is pending")
        want = self._work()
        self.reads = want in _READS or isinstance(want, (Read, Idle))
        if want is not OPENING and want != b"":
            self.opening = False
        if isinstance(want, (bytes, bytearray, memoryview, tuple, File)) and len(want):
            self.answering = True
        return want

    @property
    def duplex(self) -> bool:
        """True while it reads ahead, up to one read."""
        return self.reads_ahead and len(self.lines) < self.row.limits.receive_bytes

    def ended(self, reason: Reason) -> None:
        """Leave, and wake somebody on the way out."""
        if self.over or (self.fate is not None and reason.cause is not self.fate):
            raise ContractError(f"ended by {reason}, and expected {self.fate}")
        self.over = True
        self.stage.rows.pop(self.row.key, None)
        self.stage.poke(1)
        self._fail_if_spoilt("ended")

    def refuse(self, reason: Reason) -> bytes | None:
        """Say why, unless a part of an answer has gone."""
        if self.over or self.row.output is not None:
            raise ContractError("asked for last words after the end, or while output is pending")
        self._fail_if_spoilt("refuse")
        return None if self.answering else words_of(reason.cause)

    def remaining(self) -> int | None:
        """Say how much the program will answer, as far as it is understood."""
        return sum(map(_size_of, self.program)) if self.program else None

    def describe(self) -> str:
        """Say how far the program is."""
        self._fail_if_spoilt("describe")
        return f"{len(self.program)} verbs left, {len(self.lines)} bytes"

    def _fail_if_spoilt(self, member: str) -> None:
        if member in self.spoilt:
            raise DeliberateError(member)

    # The program.

    def _work(self) -> Want:
        if self.fresh:
            self.fresh = False
            return _FIRST[self.row.key % len(_FIRST)]
        while True:
            while self.program:
                want = self._do(self.program.pop(0))
                if want is not None:
                    return want
            if self.running:
                self.running = self.answering = False
                return NEXT
            line = self.lines.take()
            if line is None:
                return OPENING if self.opening else READ if len(self.lines) else IDLE
            self.program = line.split()
            self.running = True

    def _do(self, verb: bytes) -> Want | None:
        """Do one verb; None where it wants nothing of the engine."""
        name, *numbers = verb.split(b":")
        found = VERBS.get(name)
        if found is None or not all(number.isdigit() and len(number) <= DIGITS_MOST for number in numbers):
            raise PeerError(f"no such verb: {verb[:20]!r}")
        method, *most = found
        values = tuple(map(int, numbers))
        if len(values) != len(most) or any(value > limit for value, limit in zip(values, most, strict=True)):
            raise PeerError(f"not its numbers: {verb[:20]!r}")
        return method(self, *values)

    def _again(self, verb: str, *numbers: int) -> None:
        self.program.insert(0, ":".join((verb, *map(str, numbers))).encode())

    def _bytes(self, size: int, start: int) -> Want:
        return TEXT[start : start + size]

    def _array(self, size: int, start: int) -> Want:
        return bytearray(self._bytes(size, start))  # type: ignore[arg-type]

    def _view(self, size: int, start: int) -> Want:
        """Return a view whose items are wider than a byte, where that goes."""
        view = memoryview(TEXT)[start : start + size]
        return view.cast("I") if size and not size % 4 else view

    def _tuple(self, size: int, start: int) -> Want:
        text = TEXT[start : start + size]
        third = size // 3
        pieces = (text[:third], b"", bytearray(text[third : 2 * third]), memoryview(text)[2 * third :])
        return pieces if size else ()

    def _file(self, size: int, start: int) -> Want:
        return File(self.stage.file, start, size)

    def _many(self, count: int, size: int, start: int) -> Want | None:
        if not count:
            return None
        self._again("many", count - 1, size, start + size)
        return self._bytes(size, start)

    def _files(self, count: int, size: int, start: int) -> Want | None:
        if not count:
            return None
        self._again("files", count - 1, size, start + size)
        return self._file(size, start)

    def _empty(self) -> Want:
        return b""

    def _next(self) -> Want:
        return NEXT

    def _echo(self, how: int, size: int) -> Want | None:
        """Hand back bytes from behind the line as they come."""
        data = self.lines.inbox.take(size)
        if len(data) < size:
            self._again("echo", how, size - len(data))
            return data or self._reading(how, 1.0)
        return data or None

    def _pause(self, how: int, milliseconds: int) -> Want | None:
        """Rest for a while, in one of the ways; whoever is stepped too early rests on."""
        if self.until is None:
            self.until = self.row.now + milliseconds / 1000
        left = self.until - self.row.now
        if left <= 0:
            self.until = None
            return None
        self._again("pause", how, milliseconds)
        full = len(self.lines) >= self.row.limits.line_bytes
        return Wait(left) if self.end_fed or full or how == 2 else self._reading(2 * (how == 1), left)

    def _reading(self, how: int, seconds: float) -> Want:
        """Return one of the wants that read: the even ones have a time. `OPENING` where it may still be said."""
        if how == 3 and self.opening:
            return OPENING
        return (Read(seconds), READ, Idle(seconds), IDLE)[how]

    def _park(self, milliseconds: int, times: int) -> Want | None:
        """Wait for an outcome, which comes back several times."""
        if not self.awaited:
            self._late(milliseconds, times)
            self.awaited = self.tickets
        elif self.outcome >= self.awaited:
            self.awaited = 0
            return None
        self._again("park", milliseconds, times)
        return PARK

    def _late(self, milliseconds: int, times: int) -> Want | None:
        """Have an outcome come back that nobody waits for: in any state, or after the row has gone."""
        self.tickets += 1
        for count in range(1, times + 1):
            self.stage.call(self.row, self.tickets, count * milliseconds / 1000)
        return None

    def _wake(self) -> Want | None:
        self.row.wake()
        return None

    def _poke(self, count: int) -> Want | None:
        self.stage.poke(count)
        return None

    def _report(self) -> Want | None:
        self.stage.report()
        return None

    def _become(self, how: int) -> Want:
        """Hand over to another of this kind, with what is left to do, all unread bytes, and perhaps other limits."""
        limits = self.row.limits
        others = (
            None,
            replace(limits, quantum_bytes=min(limits.quantum_bytes, SMALL_QUANTUM)),
            replace(limits, receive_bytes=max(limits.receive_bytes, LARGE_READ)),
        )
        self.over = True
        heir = Scripted(self.row, self.stage)
        heir.fresh, heir.reads, heir.running = False, True, True
        heir.program, heir.answering, heir.reads_ahead = self.program, self.answering, self.reads_ahead
        heir.tickets = heir.outcome = self.tickets
        heir.spoilt = self.spoilt
        return Become(heir, self.lines.inbox.take(), others[how])

    def _duplex(self, on: int) -> Want | None:
        self.reads_ahead = bool(on)
        return None

    # Its end.

    def _half(self) -> Want:
        return HALF_CLOSE

    def _close(self) -> Want:
        return CLOSE

    def _abort(self) -> Want:
        self.fate = Cause.ABORTED
        return ABORT

    def _mistake(self) -> Want:
        raise PeerError("as it was told")

    def _bug(self) -> Want:
        raise DeliberateError("as it was told")

    def _nonsense(self) -> Want:
        return DeliberateError("no want")  # type: ignore[return-value]

    def _illegal(self) -> Want:
        return OPENING

    def _own(self, reset: int, then: int) -> Want:
        """Close its own row, and still want something."""
        self.row.close("by itself", reset=bool(reset))
        self.fate = Cause.CLOSED_BY_PROGRAM
        if then >= len(_AFTER_ITS_END):
            raise (PeerError("too late"), DeliberateError("too late"))[then - len(_AFTER_ITS_END)]
        return _AFTER_ITS_END[then]()

    def _killed(self, milliseconds: int, reset: int) -> Want | None:
        self.stage.kill(self.row, milliseconds / 1000, bool(reset))
        return None

    def _never(self) -> Want:
        """Wait for an outcome that never comes."""
        self._again("never")
        return PARK

    def _cut(self, size: int) -> Want:
        return File(self.stage.file, len(TEXT), size)

    def _gone(self, size: int) -> Want:
        return File(Gone(), 0, size)

    def _spoil(self, member: int) -> Want | None:
        self.spoilt += (SPOILT[member],)
        return None


_AFTER_ITS_END: tuple[Callable[[], Want], ...] = (
    lambda: b"too late",
    lambda: (b"too", b"late"),
    lambda: bytearray(b"too late"),
    lambda: File(Gone(), 0, 1 << 22),
    lambda: NEXT,
    lambda: READ,
    lambda: IDLE,
    lambda: PARK,
    lambda: Wait(0.01),
    lambda: OPENING,
    lambda: HALF_CLOSE,
    lambda: CLOSE,
    lambda: ABORT,
)

SIZE_MOST = len(TEXT)

VERBS: dict[bytes, tuple[Callable[..., Want | None], *tuple[int, ...]]] = {
    b"bytes": (Scripted._bytes, SIZE_MOST, SIZE_MOST),
    b"array": (Scripted._array, SIZE_MOST, SIZE_MOST),
    b"view": (Scripted._view, SIZE_MOST, SIZE_MOST),
    b"tuple": (Scripted._tuple, SIZE_MOST, SIZE_MOST),
    b"file": (Scripted._file, SIZE_MOST, SIZE_MOST),
    b"many": (Scripted._many, COUNT_MOST, SIZE_MOST, 2 * SIZE_MOST),
    b"files": (Scripted._files, COUNT_MOST, SIZE_MOST, 2 * SIZE_MOST),
    b"empty": (Scripted._empty,),
    b"next": (Scripted._next,),
    b"echo": (Scripted._echo, 3, SIZE_MOST),
    b"pause": (Scripted._pause, 3, MILLISECONDS_MOST),
    b"park": (Scripted._park, MILLISECONDS_MOST, COUNT_MOST),
    b"late": (Scripted._late, MILLISECONDS_MOST, COUNT_MOST),
    b"wake": (Scripted._wake,),
    b"poke": (Scripted._poke, COUNT_MOST),
    b"report": (Scripted._report,),
    b"become": (Scripted._become, 2),
    b"duplex": (Scripted._duplex, 1),
    b"half": (Scripted._half,),
    b"close": (Scripted._close,),
    b"abort": (Scripted._abort,),
    b"mistake": (Scripted._mistake,),
    b"bug": (Scripted._bug,),
    b"nonsense": (Scripted._nonsense,),
    b"illegal": (Scripted._illegal,),
    b"own": (Scripted._own, 1, len(_AFTER_ITS_END) + 1),
    b"killed": (Scripted._killed, MILLISECONDS_MOST, 1),
    b"never": (Scripted._never,),
    b"cut": (Scripted._cut, SIZE_MOST),
    b"gone": (Scripted._gone, SIZE_MOST),
    b"spoil": (Scripted._spoil, len(SPOILT) - 1),
}
"""Every verb: how it is done, and the most of each of its numbers."""


def _size_of(verb: bytes) -> int:
    """Return how much a verb will answer; 0 for what is not understood."""
    name, *numbers = verb.split(b":")
    if not all(number.isdigit() and len(number) <= DIGITS_MOST for number in numbers):
        return 0
    if name in (b"many", b"files") and len(numbers) == 3:
        return int(numbers[0]) * int(numbers[1])
    return int(numbers[0]) if name in (b"bytes", b"array", b"view", b"tuple", b"file") and numbers else 0
