"""One row: a request that has begun and not ended, its state, and the only code that may change that state.

States and events are small ints with names (a dict keyed by pairs of enums costs 211 to 434 ns a look-up, these 57 to
93), and a row changes its state only when it comes to *rest*, not at each step that its machine makes. `TRANSITIONS`
is the whole truth about which state may follow which; a pair that is not in it ends the row. A row never learns what
kind of descriptor it stands on, and never reads a clock: the turn's time is on its table.
"""

from collections.abc import Mapping
from errno import EPIPE
from random import Random
from typing import TYPE_CHECKING, Final

from .limits import Limits
from .machine import Cause, File, Machine, Piece, Reason
from .platform import PEER_ENDED, READABLE, WRITABLE, Channel, Credentials, Where
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


class _Hot:
    """The slots that every visit touches, side by side.

    CPython lays out a base class's slots before a class's own. Scattered over a row's five cache lines they seemed to
    cost an echo one to two per cent, which is about what two runs differ by.
    """

    __slots__ = (
        "active_at",
        "channel",
        "intake",
        "limits",
        "machine",
        "output",
        "received",
        "sent",
        "state",
        "table",
        "until",
    )

    active_at: float
    channel: Channel
    intake: int
    limits: Limits
    machine: Machine
    output: memoryview | list[Piece] | File | None
    received: int
    sent: int
    state: int
    table: "Table"
    until: float


class Row(_Hot):
    """One connection's place in the table, and what its machine may see and do.

    A machine uses `key` (never reused), `peer`, `local`, `credentials`, `now`, `wall`, `limits`, `random`,
    `peer_ended`, `wake()` and `close()`; the rest belongs to the engine. The machine that a row begins with may give it
    other `limits`, a later one gets them with `Become`. Times are seconds on the platform's clock.
    """

    __slots__ = (
        "alarm",
        "born",
        "connecting",
        "descriptor",
        "end_fed",
        "half_closed",
        "held",
        "key",
        "listener",
        "mark",
        "mask",
        "paused_at",
        "peer",
        "peer_ended",
        "pending",
        "phase",
        "queued",
        "reaped",
        "reason",
        "requests",
        "requests_then",
        "since",
        "taken",
        "wide",
    )

    def __init__(self, table: "Table", key: int, channel: Channel, peer: Where, listener: str, limits: Limits) -> None:
        self.table = table
        self.key = key
        self.channel = channel
        self.descriptor = channel.fileno()
        self.peer = peer
        self.listener = listener  # what it came through, in words, for the operator
        self.limits = limits
        self.machine = GONE
        self.state = OPENING
        self.phase = OPENING  # the state whose deadline runs: neither the run queue nor a wait starts it afresh
        self.mask = 0  # what the poller has been asked for
        self.pending = 0  # what the poller has told and nobody has acted on yet
        self.output = None  # what is left of a want that was cut short
        self.intake = limits.receive_short_bytes  # what one read asks for, until the peer has filled it
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.requests_then = 0  # the same count at `since`
        self.held = 0  # bytes buffered for this row; only buffers.py changes it
        self.born = self.active_at = self.since = table.now
        self.mark = 0  # the count of bytes at `since`, for the rate
        self.paused_at = NEVER  # when the wait began that the phase's clock stands still for
        self.until = NEVER  # when the machine wants to be stepped in any case
        self.alarm = NEVER  # when the timers will look at this row
        self.taken = -1  # bytes that the peer's side had taken when the kernel was asked in this period; -1: not yet
        self.wide = False  # a long file is being sent, of which the kernel takes more
        self.queued = False
        self.connecting = False
        self.peer_ended = False  # the peer's end is known; bytes before it may still be unread
        self.end_fed = False  # the machine has been fed that end
        self.half_closed = False  # we have ended our side
        self.reaped = False  # the channel is closed, and what is held is counted no more
        self.reason: Reason | None = None

    def __repr__(self) -> str:
        return f"<Row {self.key} {STATES[self.state]} {self.peer!r}>"

    @property
    def now(self) -> float:
        """The turn's time, in seconds on a clock that never jumps."""
        return self.table.now

    @property
    def wall(self) -> float:
        """Seconds since 1970, for a date that people read."""
        return self.table.platform.wall()

    @property
    def random(self) -> Random:
        """The platform's random numbers: seeded in the simulation."""
        return self.table.platform.random

    @property
    def local(self) -> Where:
        """Our own address of this connection; "" once it has ended."""
        return "" if self.state == CLOSED else self.table.platform.local(self.channel)

    @property
    def credentials(self) -> Credentials | None:
        """Who has connected to a UNIX socket; None where that cannot be known, and once it has ended."""
        return None if self.state == CLOSED else self.table.platform.credentials(self.channel)

    def wake(self) -> None:
        """Have the machine stepped soon, unless its output is blocked (then it is stepped when that has gone)."""
        self.table.wake(self)

    def close(self, detail: str = "", reset: bool = False) -> None:
        """End this row at this turn's end, whatever it is doing. A second call does nothing.

        With `reset` the peer sees that something was cut off, instead of an orderly end.
        """
        self.table.doom(self, Reason(Cause.CLOSED_BY_PROGRAM, detail), reset)


def advance(row: Row, event: int) -> None:
    """Move a row to the state that `TRANSITIONS` names. The only writer of `row.state`.

    Raises IllegalTransition where it names none.
    """
    state = _NEXT[row.state][event]
    if state == _ILLEGAL:
        raise IllegalTransition(f"{STATES[row.state]} row {EVENTS[event]}")
    row.state = state


def interest(row: Row) -> int:
    """Return what the poller is to be asked for: a pure function of the row. 0 means: not registered at all."""
    state = row.state
    if state == IDLE or state == READING or state == LINGERING:
        return 0 if row.end_fed else READABLE
    if state == WRITING:
        reads = getattr(row.machine, "duplex", False) and not row.end_fed
        return WRITABLE | READABLE if reads else WRITABLE
    if state == OPENING:
        return WRITABLE if row.connecting else READABLE
    if state == WAITING:
        return PEER_ENDED if row.table.platform.tells_peer_end and not row.peer_ended else 0
    return 0


BURST: Final = 1 / 6
"""The part of an answer's period before what counts begins: a burst fills the kernels' buffers first."""


def deadline(row: Row) -> float:
    """Return when the engine's own patience with this row ends, by its state alone."""
    state = row.state
    limits = row.limits
    if state == IDLE:
        return row.active_at + limits.idle_seconds
    if state == READING:
        return row.since + limits.request_seconds
    if state == WRITING:
        return row.since + limits.stall_seconds * (BURST if row.taken < 0 else 1)
    if state == OPENING:
        return row.since + limits.opening_seconds
    if state == WAITING and row.until == NEVER:
        return row.paused_at + limits.waiting_seconds
    if state == LINGERING:
        return row.since + limits.linger_seconds
    return NEVER


class _Gone:
    """The machine of a row that has none yet, or no longer: breaks the cycle of row and machine when a row is freed."""

    __slots__ = ()

    def feed(self, data: bytes) -> None:
        """Nobody feeds it."""

    def step(self) -> Piece:
        """Nobody steps it."""
        raise AssertionError("a row without a machine was stepped")


GONE: Final = _Gone()


class _Mute:
    """The channel of a row that has been doomed: whoever still wants to use it is told that it is closed."""

    __slots__ = ()

    def fileno(self) -> int:
        """There is none."""
        return -1

    def recv(self, size: int) -> bytes:
        """Raise BrokenPipeError."""
        raise BrokenPipeError(EPIPE, "the row has ended")

    def send(self, data: Piece) -> int:
        """Raise BrokenPipeError."""
        raise BrokenPipeError(EPIPE, "the row has ended")

    def close(self) -> None:
        """The reaper has the real one."""


MUTE: Final = _Mute()
