"""A server that does as its client says: every want and every member of a machine, in any order, from any state.

A line is a program of verbs (`stress/clients/script.py` makes them up). A machine that is told wrongly, stepped too
early or fed what it did not ask for raises ContractError: a machine's own view of what the engine owes it.
"""

from ...engine import (
    IDLE,
    NEXT,
    OPENING,
    READ,
    Cause,
    File,
    Idle,
    LineBuffer,
    Outcome,
    PeerError,
    Read,
    Reason,
    Row,
    Wait,
    Want,
)
from ..clients.script import words_of
from .served import DeliberateError
from .stage import ContractError, Stage
from .verbs import DIGITS_MOST, VERBS, size_of

_READS = (READ, IDLE, OPENING)
_FIRST: tuple[Want, ...] = (OPENING, READ, Wait(0.001), b"")
"""With what a row begins, before anybody has told it anything."""


class Scripted:
    """One connection."""

    def __init__(self, row: Row, stage: Stage) -> None:
        self.row = row
        self.stage = stage
        stage.rows[row.key] = row
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
        self.calls = 0
        self.in_flight: set[int] = set()  # calls of which nothing has been told yet
        self.away = 0  # the one that the row waits for
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
        if self.over or self.row.output is not None or self.away:
            raise ContractError("stepped after the end, while output is pending, or before a call was over")
        want = self._work()
        self.reads = want in _READS or isinstance(want, (Read, Idle))
        if want is not OPENING and want != b"":
            self.opening = False
        if isinstance(want, (bytes, bytearray, memoryview, tuple, File)) and len(want):
            self.answering = True
        return want

    def resume(self, outcome: Outcome) -> None:
        """Hear what came of a call: of each once, of one that was waited for first."""
        number = outcome.tag or self.away
        if self.over or number not in self.in_flight or (outcome.error is None and outcome.value != number):
            raise ContractError(f"told of {outcome} although {self.in_flight} are in flight")
        self.in_flight.remove(number)
        if number == self.away:
            self.away = 0

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
        return sum(map(size_of, self.program)) if self.program else None

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
