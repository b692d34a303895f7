"""A TCP proxy: two rows, one here and one to the target, and each sends what the other has received.

Memory is bounded by reading no more than `relay_bytes` ahead of the slower side; half-closing is kept, so a client that
ends its side still gets its answer. A side that is lost resets the other, for an orderly end would be a lie.

To the engine a tunnel is one long request, so that a drain waits for it: its halves say `READ`, and `NEXT` whenever
something has moved, in either direction. While a half sends, its own patience with the peer is the tunnel's.
"""

from dataclasses import replace

from ..engine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    NEXT,
    PARK,
    READ,
    Address,
    Cause,
    Inbox,
    Limits,
    Reactor,
    Read,
    Reason,
    Row,
    Wait,
    Want,
)


def tunnel_limits(limits: Limits) -> Limits:
    """Return limits for a tunnel: nothing is too slow, but one in which nothing moves for `idle_seconds` ends."""
    return replace(limits, request_seconds=limits.idle_seconds, rate_min=0)


class Forward:
    """Makes a tunnel of each row that comes in: `reactor.listen(address, Forward(reactor, target))`."""

    def __init__(self, reactor: Reactor, target: str | Address) -> None:
        self.reactor = reactor
        self.target = target

    def __call__(self, row: Row) -> "Half":
        """Begin a connection to the target, and return the half that belongs to this row."""
        near = Half(row)
        try:
            self.reactor.connect(self.target, lambda far: Half(far, near), row.limits)
        except OSError:
            near.partner = None  # no descriptor, no route: its first step resets the row
        return near


class Half:
    """One row of a tunnel: what has come in here and is to go out there."""

    __slots__ = ("half_closed", "inbox", "moved", "partner", "peer_ended", "row", "sending")

    def __init__(self, row: Row, partner: "Half | None" = None) -> None:
        self.row = row
        row.limits = tunnel_limits(row.limits)
        self.inbox = Inbox(row)
        self.partner = partner
        self.peer_ended = False
        self.half_closed = False
        self.moved = False  # something has come in or gone out since the last `NEXT`
        self.sending = False  # what the partner received is leaving here, and has not all left
        if partner is not None:
            partner.partner = self

    @property
    def duplex(self) -> bool:
        """Read on while the other direction is blocked, up to the limit."""
        return len(self.inbox) < self.row.limits.relay_bytes

    @property
    def pause(self) -> float:
        """How long to rest while the partner sends, in seconds: it looks twice before its patience would end."""
        return self.row.limits.idle_seconds / 3

    def feed(self, data: bytes) -> None:
        """Store what came, for the other half to send."""
        if data:
            self.inbox.feed(data)
            self.moved = True
        else:
            self.peer_ended = True
        if self.partner is not None:
            self.partner.row.wake()

    def step(self) -> Want:
        """Send what the other half has; end our side after it; read while there is room."""
        partner = self.partner
        if partner is None:
            return ABORT
        if self.sending:  # the last piece has left
            self.sending = False
            self.moved = partner.moved = True  # the partner sees it in time: it never pauses for long
        data = partner.inbox.take()
        if data:
            self.sending = True
            partner.row.wake()  # it may have been waiting for room
            return data
        if self.moved or (partner.sending and self.row.active_at + self.pause <= self.row.now):
            self.moved = False
            return NEXT
        if partner.peer_ended and not self.half_closed:
            self.half_closed = True
            partner.row.wake()
            return HALF_CLOSE
        return self._rest(partner)

    def _rest(self, partner: "Half") -> Want:
        """Say what to wait for, with nothing to send: while the partner sends, not without end."""
        if not self.peer_ended and self.duplex:
            return Read(self.pause) if partner.sending else READ
        if self.half_closed and self.peer_ended and not len(self.inbox):
            return CLOSE
        return Wait(self.pause) if partner.sending else PARK

    def ended(self, reason: Reason) -> None:
        """Take the other half along, unless all was said in both directions."""
        self.sending = False
        if reason.cause is not Cause.DONE and self.partner is not None:
            self.partner.row.close(f"other half: {reason}", reset=True)

    def describe(self) -> str:
        """Say how much waits to go to the other side."""
        other = "nobody" if self.partner is None else f"row {self.partner.row.key}"
        return f"tunnel to {other}, {len(self.inbox)} bytes to relay"
