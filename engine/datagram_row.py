"""A row of datagrams: one peer's exchange at an endpoint that it shares with all others.

There may be a million of them on one descriptor, so a row keeps little: its peer as few bytes, no descriptor, no book
of what arrives at what rate. Their patience counts from the last datagram that the machine had an answer to, or `NEXT`:
what a peer merely sends moves no deadline, nor does what is sent to it again because it was silent.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from .limits import Limits
from .platform import Credentials, Where
from .row import CLOSED, IDLE, OPENING, READING, WAITING, WRITING, Row
from .timers import NEVER

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .table import Table


class DatagramRow(Row):
    """One peer's place at an endpoint.

    Besides what every row has, a machine uses `proven` (set it once the peer has shown that it receives what is sent to
    it: until then no more than `amplification_max` times what came from it is sent there), `add_route` and `follow`.
    """

    __slots__ = (
        "asked",
        "credentials",
        "endpoint",
        "more_routes",
        "proven",
        "received_then",
        "route",
        "sender",
        "sent_then",
    )

    credentials: Credentials | None

    def __init__(self, endpoint: "Endpoint", key: int, sender: Hashable, limits: Limits) -> None:
        super().__init__(key, limits, endpoint.table.now)
        self.endpoint = endpoint
        self.sender = sender  # the peer, and which address of ours it has asked, as the channel keeps it
        self.route: Hashable = None  # by which datagrams find this row: nearly always one, and then no tuple of one
        self.more_routes: tuple[Hashable, ...] = ()
        self.proven = False
        self.received_then = self.sent_then = 0  # the counts before this address was the peer's: it has no credit yet
        self.credentials = None
        self.asked = False  # it was fed, and has not rested to read since: what it sends now is an answer

    @property
    def table(self) -> "Table":
        """The table that it is in."""
        return self.endpoint.table

    @property
    def listener(self) -> str:
        """The endpoint, in words, for the operator."""
        return self.endpoint.name

    @property
    def peer(self) -> Where:
        """The peer's address."""
        return self.endpoint.channel.peer(self.endpoint.channel.unpack(self.sender))

    @property
    def local(self) -> Where:
        """Our own address that the peer has asked, from which it is answered; "" once this row has ended."""
        return "" if self.state == CLOSED else self.endpoint.channel.local(self.endpoint.channel.unpack(self.sender))

    @property
    def routes(self) -> tuple[Hashable, ...]:
        """All ways by which datagrams find this row."""
        return () if self.route is None else (self.route, *self.more_routes)

    @routes.setter
    def routes(self, routes: tuple[Hashable, ...]) -> None:
        self.route, self.more_routes = (routes[0], routes[1:]) if routes else (None, ())

    def add_route(self, route: Hashable) -> bool:
        """Have datagrams for which the service's `route` returns this come to this row, too (a connection identifier).

        Returns False, and changes nothing, where it leads to another row, or this one has `routes_max` already.
        """
        return self.endpoint.add_route(self, route)

    def follow(self) -> None:
        """Answer from now on to where the datagram that was fed last has come from; that address is yet to be proven.

        For protocols that know a peer by more than its address, and in `feed` or the step after it alone: later, or
        where the peer is still where it was, nothing changes.
        """
        sender, size = self.endpoint.last_sender(self)
        if sender == self.sender:
            return
        counted = self.table.forget_peer(self)
        self.sender = sender
        if counted:
            self.table.too_many_from(self)
        self.proven = self.endpoint.trusted
        self.received_then = self.received - size
        self.sent_then = self.sent

    def may_send(self, size: int) -> bool:
        """Tell whether so many bytes are not too much for a peer that may not be who it says."""
        most = self.limits.amplification_max * (self.received - self.received_then)
        return self.proven or self.sent - self.sent_then + size <= most

    def deadline(self) -> float:
        """Return when the engine's own patience with this row ends, by its state alone."""
        state, limits = self.state, self.limits
        if state == IDLE:
            return self.active_at + limits.idle_seconds
        if state == READING:
            return self.active_at + limits.request_seconds
        if state == OPENING:
            return self.born + limits.opening_seconds
        if state == WRITING:
            return self.since + limits.stall_seconds
        if state == WAITING and self.until == NEVER:
            return self.since + limits.waiting_seconds
        return NEVER

    def fall_mute(self) -> None:
        """Be found no more: what its peer sends in the rest of this turn may be the beginning of something new."""
        self.endpoint.unroute(self)

    def leave(self, channel: object, reset: bool) -> None:
        """Give up the place at the endpoint."""
        if self.state == CLOSED:
            self.endpoint.forget(self)
