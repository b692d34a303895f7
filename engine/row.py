"""What all rows have in common: a state, and the only code that may change it; what a machine may see and do.

States and events are small ints with names (a dict keyed by pairs of enums costs 211 to 434 ns a look-up, these 57 to
93), and a row changes its state only when it comes to *rest*, not at each step that its machine makes. `TRANSITIONS`
is the whole truth about which state may follow which; a pair that is not in it ends the row. A row never reads a
clock: the turn's time is on its table. What a row stands on is its own kind's affair: see `stream_row.py` and
`datagram_row.py`.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Final

from .limits import Limits
from .machine import Call, Cause, File, How, Machine, Piece, Reason
from .platform import Channel, Credentials, Where
from .timers import NEVER

if TYPE_CHECKING:
    from .table import Table

# States. Those from LINGERING on are beyond the machine: it is not stepped any more.
OPENING: Final = 0
IDLE: Final = 1
READING: Final = 2
WORKING: Final = 3
WAITING: Final = 4
WRITING: Final = 5
LINGERING: Final = 6
CLOSED: Final = 7
STATES: Final = ("OPENING", "IDLE", "READING", "WORKING", "WAITING", "WRITING", "LINGERING", "CLOSED")

# Events: how a row came to rest, or what was done to it.
WANTS_OPENING: Final = 0
WANTS_IDLE: Final = 1
WANTS_READING: Final = 2
WANTS_WAITING: Final = 3
BLOCKED: Final = 4
QUEUED: Final = 5
BECAME: Final = 6
LINGERS: Final = 7
ENDS: Final = 8
EVENTS: Final = (
    "wants opening",
    "wants idle",
    "wants reading",
    "wants waiting",
    "output blocked",
    "queued",
    "became another",
    "lingers",
    "ends",
)

_ALIVE: Final = {
    WANTS_IDLE: IDLE,
    WANTS_READING: READING,
    WANTS_WAITING: WAITING,
    BLOCKED: WRITING,
    QUEUED: WORKING,
    BECAME: OPENING,
    LINGERS: LINGERING,
    ENDS: CLOSED,
}

TRANSITIONS: Final[Mapping[int, Mapping[int, int]]] = {
    # A handshake may go on, and a row that is woken or left over within one is still opening: else a peer could
    # escape `opening_seconds`, which holds whatever arrives. Nobody goes back to opening but by becoming another.
    OPENING: _ALIVE | {WANTS_OPENING: OPENING, QUEUED: OPENING},
    IDLE: _ALIVE,
    READING: _ALIVE,
    WORKING: _ALIVE,
    WAITING: _ALIVE,
    WRITING: _ALIVE,
    LINGERING: {ENDS: CLOSED},
    CLOSED: {},
}

_ILLEGAL: Final = -1
_NEXT: Final = tuple(
    tuple(TRANSITIONS[state].get(event, _ILLEGAL) for event in range(len(EVENTS))) for state in range(len(STATES))
)


class IllegalTransition(Exception):
    """A pair of state and event that `TRANSITIONS` does not have: the row ends with `Cause.ILLEGAL`."""


class _Gone:
    """The machine of a row that has none yet, or no longer: breaks the cycle of row and machine when a row is freed."""

    __slots__ = ()

    def feed(self, data: bytes) -> None:
        """Nobody feeds it."""

    def step(self) -> Piece:
        """Nobody steps it."""
        raise AssertionError("a row without a machine was stepped")


GONE: Final = _Gone()


class _Hot:
    """The slots that every visit touches, side by side.

    CPython lays out a base class's slots before a class's own. Scattered over a row's five cache lines they seemed to
    cost an echo one to two per cent, which is about what two runs differ by.
    """

    __slots__ = ("active_at", "limits", "machine", "output", "received", "sent", "state", "until")

    active_at: float
    limits: Limits
    machine: Machine
    output: memoryview | list[Piece] | File | None
    received: int
    sent: int
    state: int
    until: float


class Row(_Hot):
    """One request's place in the table, and what its machine may see and do.

    A machine uses `key` (never reused), `peer`, `local`, `credentials`, `now`, `wall`, `limits`, `random`,
    `peer_ended`, `wake()`, `call()` and `close()`; the rest belongs to the engine. The machine that a row begins with
    may give it other `limits`, a later one gets them with `Become`. Times are seconds on the platform's clock.
    """

    __slots__ = ("alarm", "born", "held", "key", "queued", "reaped", "reason", "requests", "since")

    mask: int = 0  # what the poller has been asked for
    connecting: bool = False
    peer_ended: bool = False  # the peer's end is known; bytes before it may still be unread
    paused_at: float = NEVER  # when the wait began that the phase's clock stands still for

    def __init__(self, key: int, limits: Limits, now: float) -> None:
        self.key = key
        self.limits = limits
        self.machine: Machine = GONE
        self.state = OPENING
        self.output = None  # what is left of a want that was cut short
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.held = 0  # bytes buffered for this row; only buffers.py changes it
        self.born = self.active_at = self.since = now
        self.until = NEVER  # when the machine wants to be stepped in any case
        self.alarm = NEVER  # when the timers will look at this row
        self.queued = False
        self.reaped = False  # it has left, and what is held is counted no more
        self.reason: Reason | None = None

    def __repr__(self) -> str:
        return f"<Row {self.key} {STATES[self.state]} {self.peer!r}>"

    @property
    def now(self) -> float:
        """The turn's time, in seconds on a clock that never jumps."""
        return self.table.now

    @property
    def to_send(self) -> int:
        """How many bytes of the machine's last want have not gone yet."""
        output = self.output
        if output is None:
            return 0
        return sum(map(len, output)) if isinstance(output, list) else len(output)

    @property
    def wall(self) -> float:
        """Seconds since 1970, for a date that people read."""
        return self.table.platform.wall()

    @property
    def random(self) -> Random:
        """The platform's random numbers: seeded in the simulation."""
        return self.table.platform.random

    def wake(self) -> None:
        """Have the machine stepped soon, unless its output is blocked (then it is stepped when that has gone)."""
        self.table.wake(self)

    def call(self, function: Callable[..., Any], *arguments: Any, how: How = "inline", tag: Any = None) -> None:
        """Have a function run elsewhere while this row goes on: see `Call`.

        The machine's `resume(outcome)` is called in a later turn, with this tag in it, and the machine stepped soon, as
        by `wake`. Calls end in any order. Raises TypeError where the machine has no `resume`.
        """
        self.table.offload.ask_besides(self, Call(function, *arguments, how=how), tag)

    def close(self, detail: str = "", reset: bool = False) -> None:
        """End this row at this turn's end, whatever it is doing. A second call does nothing.

        With `reset` the peer sees that something was cut off, instead of an orderly end.
        """
        self.table.doom(self, Reason(Cause.CLOSED_BY_PROGRAM, detail), reset)

    # What each kind of row has of its own.

    @property
    def table(self) -> "Table":
        """The table that it is in."""
        raise NotImplementedError

    @property
    def listener(self) -> str:
        """What it came through, in words, for the operator."""
        raise NotImplementedError

    @property
    def peer(self) -> Where:
        """The peer's address."""
        raise NotImplementedError

    @property
    def local(self) -> Where:
        """Our own address of this row; "" once it has ended."""
        raise NotImplementedError

    @property
    def credentials(self) -> Credentials | None:
        """Who is at the other end of a UNIX socket; None where that cannot be known, and once the row has ended."""
        raise NotImplementedError

    def deadline(self) -> float:
        """Return when the engine's own patience with this row ends, by its state alone."""
        raise NotImplementedError

    def fall_mute(self) -> Channel | None:
        """Say nothing more from here on: the row is doomed. Return what the reaper will close."""
        raise NotImplementedError

    def leave(self, channel: Channel | None, reset: bool) -> None:
        """Give up what this row stands on. The reaper alone calls it."""
        raise NotImplementedError


def advance(row: Row, event: int) -> None:
    """Move a row to the state that `TRANSITIONS` names. The only writer of `row.state`.

    Raises IllegalTransition where it names none.
    """
    state = _NEXT[row.state][event]
    if state == _ILLEGAL:
        raise IllegalTransition(f"{STATES[row.state]} row {EVENTS[event]}")
    row.state = state
