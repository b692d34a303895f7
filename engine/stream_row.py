"""A row of a stream: one connection, its descriptor, and what the poller is asked about it."""

from contextlib import suppress
from errno import EPIPE
from typing import TYPE_CHECKING, Final

from .limits import Limits
from .machine import Piece
from .platform import PEER_ENDED, READABLE, WRITABLE, Channel, Credentials, Where
from .row import CLOSED, IDLE, LINGERING, OPENING, READING, WAITING, WRITING, Row
from .timers import NEVER

if TYPE_CHECKING:
    from .table import Table


class StreamRow(Row):
    """One connection's place in the table. It never learns what kind of descriptor it stands on."""

    __slots__ = (
        "channel",
        "connecting",
        "descriptor",
        "end_fed",
        "half_closed",
        "intake",
        "listener",
        "mark",
        "mask",
        "paused_at",
        "peer",
        "peer_ended",
        "pending",
        "phase",
        "requests_then",
        "table",
        "taken",
        "wide",
    )

    listener: str
    peer: Where
    table: "Table"

    def __init__(self, table: "Table", key: int, channel: Channel, peer: Where, listener: str, limits: Limits) -> None:
        super().__init__(key, limits, table.now)
        self.table = table
        self.channel = channel
        self.descriptor = channel.fileno()
        self.peer = peer
        self.listener = listener
        self.phase = OPENING  # the state whose deadline runs: neither the run queue nor a wait starts it afresh
        self.mask = 0
        self.pending = 0  # what the poller has told and nobody has acted on yet
        self.intake = limits.receive_short_bytes  # what one read asks for, until the peer has filled it
        self.requests_then = 0  # the count of requests at `since`
        self.mark = 0  # the count of bytes at `since`, for the rate
        self.paused_at = NEVER
        self.taken = -1  # bytes that the peer's side had taken when the kernel was asked in this period; -1: not yet
        self.wide = False  # a long file is being sent, of which the kernel takes more
        self.connecting = False
        self.peer_ended = False
        self.end_fed = False  # the machine has been fed that end
        self.half_closed = False  # we have ended our side

    @property
    def local(self) -> Where:
        """Our own address of this connection; "" once it has ended."""
        return "" if self.state == CLOSED else self.table.platform.local(self.channel)

    @property
    def credentials(self) -> Credentials | None:
        """Who has connected to a UNIX socket; None where that cannot be known, and once it has ended."""
        return None if self.state == CLOSED else self.table.platform.credentials(self.channel)

    def deadline(self) -> float:
        """Return when the engine's own patience with this row ends, by its state alone."""
        state = self.state
        limits = self.limits
        if state == IDLE:
            return self.active_at + limits.idle_seconds
        if state == READING:
            return self.since + limits.request_seconds
        if state == WRITING:
            return self.since + limits.stall_seconds * (BURST if self.taken < 0 else 1)
        if state == OPENING:
            return self.since + limits.opening_seconds
        if state == WAITING and self.until == NEVER:
            return self.paused_at + limits.waiting_seconds
        if state == LINGERING:
            return self.since + limits.linger_seconds
        return NEVER

    def fall_mute(self) -> Channel:
        """Put a channel that is closed in place of the real one, so that the hot path need not ask."""
        channel, self.channel = self.channel, MUTE
        return channel

    def leave(self, channel: Channel | None, reset: bool) -> None:
        """Close the connection, in order or with a reset."""
        assert channel is not None
        table = self.table
        table.withdraw(self)
        del table.by_descriptor[self.descriptor]
        with suppress(OSError):  # an error of the past; the descriptor is free all the same
            if reset:
                table.platform.abort(channel)
            else:
                channel.close()


def interest(row: StreamRow) -> int:
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
