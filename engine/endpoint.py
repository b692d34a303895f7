"""Endpoints: where datagrams come in, find their row or are admitted, and from which answers leave.

A service says what becomes of a datagram that belongs to no row: nothing, a whole answer at once, or a row. So a
stateless protocol costs no row at all, and a half-done exchange is one like any other. Nothing that peers do makes an
endpoint grow: rows are capped, and what cannot be taken or sent is dropped and counted, which is what becomes of
datagrams anyway.
"""

from collections.abc import Callable, Hashable
from errno import EADDRINUSE, EBADF, EMFILE, errorcode
from typing import Protocol, cast

from .datagram import feed, give, step
from .datagram_row import DatagramRow
from .limits import Limits
from .machine import Cause, Machine, Reason
from .outbox import Outbox
from .platform import READABLE, WRITABLE, Address, DatagramChannel, Sender, Where
from .row import CLOSED
from .table import Table, trace

CUT = "longer than datagram_bytes"
NO_ROW = "no room for a row"
NOT_READ = "came while nobody reads"
TOO_MUCH = "too much for an unproven peer"
FAILED = "service failed"
NAMELESS = "from a UNIX socket without an address"
"""Why datagrams are dropped, as `totals.dropped` counts them; the rest is in outbox.py."""

RowFactory = Callable[[DatagramRow], Machine]
"""Makes the machine of a new row: a class will do."""


class Service(Protocol):
    """Who decides about datagrams that belong to no row.

    Optional beside `admit`: `route(data, peer)` returns by what a datagram finds its row, None for by nothing; without
    it that is where it comes from, and which address of ours it came to. `guards`, if true: the service itself sees to
    it that who forges a sender gains nothing, and `amplification_max` does not hold for its answers. `opened(endpoint)`
    is called once it is bound.
    """

    def admit(self, data: bytes, peer: Where, /) -> bytes | RowFactory | None:
        """Return None to drop a datagram, its whole answer, or what makes the machine of a new row, which is fed it.

        An answer longer than `amplification_max` times the question is not sent: nothing proves who has asked.
        """
        ...


class Endpoint:
    """One address at which datagrams arrive, the service that admits them, and the rows that live on it.

    With `alone` it closes when its last row has left: for a client, or for one transfer on a port of its own.
    """

    def __init__(
        self, table: Table, channel: DatagramChannel, service: Service, limits: Limits, alone: bool = False
    ) -> None:
        self.table = table
        self.channel = channel
        self.service = service
        self.limits = limits
        self.alone = alone
        self.address: Address = channel.where()
        self.name = str(self.address)
        self.descriptor = channel.fileno()
        self.trusted = channel.trusted
        self.rows = 0
        self.open = True
        self.outbox = Outbox(table, channel, limits, waits=channel.waits)
        self._routes: dict[Hashable, DatagramRow] = {}
        self._route = getattr(service, "route", None)
        guarded = channel.trusted or getattr(service, "guards", False)
        self._most = float("inf") if guarded else limits.amplification_max  # bytes of an answer for one of a question
        self._retired = False
        self._told_full = False
        self._admitted: Sender = None  # who has sent what is being admitted, where a sender is more than an address
        self._last: tuple[DatagramRow, Sender, int] | None = None  # what a row was fed last: from where, how much
        try:
            table.poller.register(self.descriptor, READABLE)
        except BaseException:  # out of epoll watches
            channel.close()
            raise
        table.doors[self.descriptor] = self
        table.alone += alone
        opened = getattr(service, "opened", None)
        if opened is not None:
            opened(self)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    # Coming in.

    def ready(self, mask: int) -> None:
        """Send what waits, then take what has come, each as much as one turn may."""
        if mask & WRITABLE:
            self.outbox.flush()
            self._close_if_done()
        if mask & ~WRITABLE and self.open:
            self._receive()

    def _receive(self) -> None:
        """Take datagrams, and answer those that a service answers at once. The hot path of stateless services."""
        channel, outbox = self.channel, self.outbox
        receive, send_to, plain, waiting = channel.receive, channel.send_to, channel.plain, outbox.waiting
        admit = self._nobody if self._retired else self.service.admit
        routes = self._routes if self._route is None else True  # with ways of its own a service may always find a row
        too_long = self.limits.datagram_bytes + 1
        most = self._most
        up = self.table.time_is_up
        others = answered = unsent = asked = sent = 0
        try:
            for _ in range(self.table.limits.datagrams_a_turn):
                if up is not None and others + answered and up():
                    break
                try:
                    data, sender = receive(too_long)
                except OSError as error:
                    if self._nothing_came(error):
                        break
                    continue
                size = len(data)
                if routes or size == too_long:
                    if size == too_long:
                        self._drop(CUT)
                    if size == too_long or self._take(data, sender):
                        others += 1
                        continue
                self._sender = sender
                try:
                    answer = admit(data, sender if plain else self._stranger(sender))
                except Exception as error:
                    self._service_failed("admit", error)
                    answer = None
                if type(answer) is not bytes:
                    others += 1
                    if answer is not None:
                        self._begin(cast(RowFactory, answer), data, sender)
                    continue
                answered += 1
                asked += size
                if len(answer) > size and len(answer) > most * size:
                    self._drop(TOO_MUCH)
                    unsent += 1
                elif waiting:
                    outbox.send(answer, sender)
                    unsent += 1
                else:
                    try:
                        sent += send_to(answer, sender)
                    except OSError as error:
                        outbox.failed(answer, sender, None, error)
                        unsent += 1
        finally:
            totals = self.table.totals
            totals.datagrams_received += answered + others
            totals.datagrams_sent += answered - unsent
            totals.received += asked
            totals.requests += answered
            totals.sent += sent

    def _nobody(self, data: bytes, peer: Where) -> None:
        """Admit nobody: the server is stopping."""

    def _nothing_came(self, error: OSError) -> bool:
        """Receiving has failed; True where it is of no use to try again in this turn."""
        if isinstance(error, BlockingIOError):
            return True
        if isinstance(error, InterruptedError):
            return False
        if self.alone:  # the kernel has been told that nobody is there: ECONNREFUSED on a connected socket
            for row in self._all_rows():
                self.table.doom(row, Reason(Cause.PEER_LOST, errorcode.get(error.errno or 0, str(error))))
        return True

    def _take(self, data: bytes, sender: Sender) -> bool:
        """Feed a datagram to its row, if it has one; True where nothing is left to do."""
        try:
            row = self._routes.get(self._route_of(data, sender))
        except Exception as error:
            self._service_failed("route", error)
            return True
        if row is None:
            return False
        self._last = row, sender, len(data)
        if not feed(row, data):
            self._drop(NOT_READ)
        return True

    def _route_of(self, data: bytes, sender: Sender) -> Hashable:
        if self._route is None:
            return self.channel.pack(sender)
        route: Hashable = self._route(data, self.channel.peer(sender))
        return route

    def _stranger(self, sender: Sender) -> Where:
        """Return who asks to be admitted, and remember which address of ours he has asked."""
        self._admitted = sender
        return self.channel.peer(sender)

    @property
    def asked(self) -> Where:
        """Our own address that the datagram came to which is being admitted; for services, within `admit`."""
        return self.channel.local(self._admitted)

    # Rows.

    def begin(self, peer: Where, factory: RowFactory, data: bytes | None = None) -> DatagramRow:
        """Begin a row for a peer that has not said anything here, and step its machine. Raises OSError where it cannot.

        What comes from there finds it by the peer's address, or by what its machine calls `add_route` with. `data` is
        what the peer has said elsewhere: the machine is fed it first, and the row counts as one that has come in.
        """
        if self._retired:
            raise OSError(EBADF, f"{self.name} is closed or will be")
        sender = self.channel.sender(peer)
        route = self.channel.pack(sender) if self._route is None else None
        if self.rows >= self.limits.datagram_rows_max or route in self._routes:
            raise OSError(EADDRINUSE if route in self._routes else EMFILE, f"{self.name} takes no row for {peer}")
        row = self._add(sender, route)
        if data is not None and self.table.too_many_from(row):
            self.table.doom(row, Reason(Cause.TOO_MANY_FROM_PEER))
        elif self._make_machine(row, factory):
            if data is None:
                self.table.totals.connected += 1
                step(row)
            else:
                self.table.totals.accepted += 1
                row.received = len(data)
                give(row, data)
        return row

    def _begin(self, factory: RowFactory, data: bytes, sender: Sender) -> None:
        """Begin a row with the datagram that has opened it, where there is room for one."""
        if self._retired:  # by its own service, just now
            return
        try:
            route = self._route_of(data, sender)
            if route in self._routes:
                raise ValueError(f"admitted what belongs to {self._routes[route]!r} by now")
        except Exception as error:
            self._service_failed("route", error)
            return
        if route == "" and self._route is None:
            self._drop(NAMELESS)
            return
        if self.rows >= self.limits.datagram_rows_max:
            self._drop(NO_ROW)
            if not self._told_full:
                self._told_full = True
                self.table.tell("endpoint full", f"{self.name}: {self.rows} rows, and no more are begun")
            return
        row = self._add(sender, route)
        self.table.totals.accepted += 1
        row.credentials = self.channel.credentials(sender)
        if self.table.too_many_from(row):
            self.table.doom(row, Reason(Cause.TOO_MANY_FROM_PEER))
        elif self._make_machine(row, factory):
            row.received = len(data)
            give(row, data)

    def _add(self, sender: Sender, route: Hashable) -> DatagramRow:
        packed: Hashable = self.channel.pack(sender)
        row = DatagramRow(self, self.table.new_key(), packed if packed != route else route, self.limits)
        row.proven = self.trusted
        self.table.rows[row.key] = row
        self.rows += 1
        if route is not None:
            self.add_route(row, route)
        return row

    def _make_machine(self, row: DatagramRow, factory: RowFactory) -> bool:
        try:
            row.machine = factory(row)
        except Exception as error:
            self.table.tell("machine error", f"factory of {self.name}: {trace(error)}", row)
            self.table.doom(row, Reason(Cause.MACHINE_ERROR, f"factory: {error!r}"))
        return row.state != CLOSED

    def row_at(self, route: Hashable) -> DatagramRow | None:
        """Return the row to which a route leads."""
        return self._routes.get(route)

    def add_route(self, row: DatagramRow, route: Hashable) -> bool:
        """See `DatagramRow.add_route`."""
        if row.state == CLOSED or route is None or route in self._routes or len(row.routes) >= self.limits.routes_max:
            return False
        self._routes[route] = row
        row.routes = (*row.routes, route)
        return True

    def send(self, row: DatagramRow, data: bytes) -> bool:
        """Send a row's datagram; False where it waits, and the row with it."""
        if not row.may_send(len(data)):
            self._drop(TOO_MUCH)
            return True
        return self.outbox.send(data, self.channel.unpack(row.sender), row)

    def send_last(self, row: DatagramRow, data: bytes) -> None:
        """Send the last word of a row that is about to end: it waits, if it must, without the row."""
        if row.may_send(len(data)):
            self.outbox.send(data, self.channel.unpack(row.sender))
        else:
            self._drop(TOO_MUCH)

    def last_sender(self, row: DatagramRow) -> tuple[Hashable, int]:
        """Return who has sent the datagram that came last, as the channel packs it, and its size.

        That is the row's own peer where another row was fed since.
        """
        if self._last is None or self._last[0] is not row:
            return row.sender, 0
        return self.channel.pack(self._last[1]), self._last[2]

    def unroute(self, row: DatagramRow) -> None:
        """Have no datagram find a row any more."""
        for route in row.routes:
            del self._routes[route]
        row.routes = ()

    def forget(self, row: DatagramRow) -> None:
        """A row has left."""
        self.rows -= 1
        if self.rows < self.limits.datagram_rows_max // 2:
            self._told_full = False
        if self.alone and not self.rows:
            self._retired = True
        self._close_if_done()

    # Going.

    def retire(self) -> None:
        """Begin no more rows and give no more answers without one; close when the last row has left."""
        self._retired = True
        self._close_if_done()

    def close(self) -> None:
        """End all rows, and close when the last has left, which is at once where there is none."""
        for row in self._all_rows():
            self.table.doom(row, Reason(Cause.CLOSED_BY_PROGRAM, "endpoint closed"))
        self.outbox.clear()
        self.retire()

    def _close_if_done(self) -> None:
        if self.open and not self.rows and not self.outbox.waiting and self._retired:
            self.open = False
            self.table.alone -= self.alone
            self.table.poller.unregister(self.descriptor)
            del self.table.doors[self.descriptor]
            self.channel.close()
            self.table.tell_room()

    def _all_rows(self) -> list[DatagramRow]:
        if self._route is None:  # each has a route: a lost client must not cost a walk over everybody's rows
            return list(dict.fromkeys(self._routes.values()))
        return [row for row in self.table.rows.values() if isinstance(row, DatagramRow) and row.endpoint is self]

    def _service_failed(self, what: str, error: Exception) -> None:
        self._drop(FAILED)
        self.table.tell("machine error", f"{what} of {self.name}: {trace(error)}")

    def _drop(self, why: str) -> None:
        self.table.totals.dropped[why] += 1
