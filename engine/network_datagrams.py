"""Datagrams in the simulation: places at which they arrive, and what may become of them on their way.

Over `udp` each may be lost, doubled, late or cut, and one that finds the receiver's queue full is gone, of which nobody
is told. Without such faults they arrive in their order. Over `unixgram` the kernel itself carries them: none is lost,
and who sends to a full queue is told "not now"; the poller does not tell when there is room again, as Linux doesn't.
"""

from collections import deque
from collections.abc import Callable, Hashable
from errno import EADDRINUSE, EAGAIN, EBADF, ECONNREFUSED, EINTR, EINVAL, EMSGSIZE, ENOBUFS
from os import strerror
from typing import TYPE_CHECKING, cast

from .machine import Piece
from .network import Link
from .platform import BROKEN, READABLE, WRITABLE, Address, Credentials, Sender, Where, datagrams_only, where_of

if TYPE_CHECKING:
    from .simulation import Simulation

UDP_BYTES_MOST = 65_507  # what fits into a packet of IPv4
UNIX_QUEUE_MOST = 11  # net.unix.max_dgram_qlen, and one more
OVERHEAD_BYTES = 512  # of the receiver's room, for each datagram: else one without bytes would take none
ALL_HOSTS = ("0.0.0.0", "::")  # a place there is one at every host, for whoever has no place of its own
LATE_SECONDS = 0.1  # at the most


class DatagramEnd:
    """A place at which datagrams arrive and from which they leave: a `DatagramChannel`.

    A sender is the peer's address; at a place for all hosts it is that, and the host of ours that was asked. `only` is
    whom a connected one hears, who may turn out not to be there.
    """

    def __init__(
        self, post: "Datagrams", address: Address, link: Link, descriptor: int = -1, only: Where | None = None
    ) -> None:
        self._post = post
        self._address = address
        self._only = only
        self._refused = False
        self.plain = address.host not in ALL_HOSTS
        self.trusted = address.kind == "unixgram" or only is not None
        self.waits = address.kind != "unixgram"
        self.link = link
        self.descriptor = descriptor
        self.arrived: deque[tuple[bytes, Sender, bool]] = deque()
        self.room = post.simulation.capacity_bytes
        self.clear_at = 0.0  # when the last one that it sent, and that was not late, will have arrived
        self.blocked = False  # the way out is full
        self.closed = False
        self.watcher: Callable[[], None] | None = None

    def fileno(self) -> int:
        """Return its descriptor; -1 where no poller knows it."""
        return -1 if self.closed else self.descriptor

    def readiness(self, asked: int) -> int:
        """Return the mask that the poller reports when it is asked for this one."""
        mask = ((READABLE if self.arrived else 0) | (0 if self.blocked else WRITABLE)) & asked
        return mask | READABLE & asked | BROKEN if self._refused else mask

    def receive(self, size: int) -> tuple[bytes, Sender]:
        """Return the beginning of the next datagram, and its sender. Raises as a socket does.

        One that is to be cut turns out longer than whatever was asked for.
        """
        self._may_fail(sends=False)
        self._may_be_refused()
        if not self.arrived:
            raise BlockingIOError(EAGAIN, "no datagram has arrived")
        data, sender, cut = self.arrived.popleft()
        self._post.received += self.descriptor >= 0
        self.room += len(data) + OVERHEAD_BYTES
        return (data.ljust(size, b"?") if cut else data)[:size], sender

    def send_to(self, data: Piece, sender: Sender) -> int:
        """Send one datagram. Raises as a socket does."""
        self._may_fail(sends=True)
        self._may_be_refused()
        where, host = (sender, None) if self.plain else sender
        own = where_of(self._address)
        self._post.send(self, bytes(data), where, own if host is None else (host, own[1]))
        self._post.sent += self.descriptor >= 0
        return len(data)

    def sender(self, peer: Where) -> Sender:
        """Return what stands for a peer."""
        return peer if self.plain else (peer, None)

    def peer(self, sender: Sender) -> Where:
        """Return the peer's address."""
        return sender if self.plain else sender[0]

    def local(self, sender: Sender) -> Where:
        """Return the address that was asked."""
        own = where_of(self._address)
        return own if self.plain or sender[1] is None else (sender[1], own[1])

    def credentials(self, sender: Sender) -> Credentials | None:
        """Return the simulation's `everybody` for a UNIX socket."""
        return self._post.simulation.everybody if self._address.kind == "unixgram" else None

    def pack(self, sender: Sender) -> Hashable:
        """As it is."""
        return cast(Hashable, sender)

    def unpack(self, packed: Hashable) -> Sender:
        """As it is."""
        return packed

    def refused(self) -> None:
        """Nobody is where a connected one has sent something (ICMP); without a connection nobody is told."""
        if self._only is not None and not self.closed:
            self._refused = True
            self._post.changed(self)

    def _may_be_refused(self) -> None:
        if self._refused:
            self._refused = False
            raise ConnectionRefusedError(ECONNREFUSED, strerror(ECONNREFUSED))

    def where(self) -> Address:
        """Return its address."""
        return self._address

    def close(self) -> None:
        """Free it; what is on its way to it is lost."""
        if not self.closed:
            self._post.close(self)
            self.closed = True
            self.arrived.clear()

    def has_room(self, size: int) -> bool:
        """Tell whether a datagram of so many bytes fits into the queue; into an empty one any does."""
        return not self.arrived or size + OVERHEAD_BYTES <= self.room

    def take(self, data: bytes, sender: Where, cut: bool, asked: Where) -> None:
        """A datagram has come; where there is no room for it, nobody ever hears of it."""
        if self.closed or not self.has_room(len(data)) or self._only not in (None, sender):
            return
        if not self.plain:
            sender = sender, asked[0]
        self.room -= len(data) + OVERHEAD_BYTES
        self.arrived.append((data, sender, cut))
        self._post.changed(self)

    def _may_fail(self, sends: bool) -> None:
        """Fail where the descriptor is closed, or as the faults of calls will have it, for whom a poller asks."""
        if self.closed:
            raise OSError(EBADF, strerror(EBADF))
        faults, random = self.link.faults, self.link.random
        if self.descriptor < 0:
            return
        if sends and self.waits:
            self._may_be_blocked()
        for odds, name, error in (
            (faults.not_ready, "not_ready", EAGAIN),
            (faults.interrupted, "interrupted", EINTR),
            (faults.no_buffers if sends else 0.0, "no_buffers", ENOBUFS),
        ):
            if odds and random.random() < odds:
                self.link.met[name] += 1
                raise OSError(error, strerror(error))

    def _may_be_blocked(self) -> None:
        faults, random = self.link.faults, self.link.random
        if not self.blocked and faults.datagram_blocked and random.random() < faults.datagram_blocked:
            self.link.met["datagram_blocked"] += 1
            self.blocked = True
            self._post.simulation.after(faults.blocked_seconds * random.random(), self._unblock)
        if self.blocked:
            raise BlockingIOError(EAGAIN, "the way out is full")

    def _unblock(self) -> None:
        self.blocked = False
        if not self.closed:
            self._post.changed(self)


class Datagrams:
    """All places of one simulation, and the way between them; `received` and `sent` are counts of the server's."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.received = self.sent = 0
        self._places: dict[Where, DatagramEnd] = {}

    def bind(self, address: Address) -> DatagramEnd:
        """Make a place of the server's. Raises OSError where there is one already."""
        datagrams_only(address)
        simulation = self.simulation
        if address.kind == "udp" and address.port == 0:
            address = address._replace(port=simulation.new_port())
        if where_of(address) in self._places:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        end = DatagramEnd(self, address, simulation.link, simulation.take_descriptor())
        simulation.poller.pollables[end.descriptor] = end
        self._places[where_of(address)] = end
        return end

    def bind_to(self, peer: Address) -> DatagramEnd:
        """Make a place of the server's that hears one peer alone."""
        datagrams_only(peer)
        simulation = self.simulation
        port = simulation.new_port()
        address = Address("udp", "server", port) if peer.kind == "udp" else Address("unixgram", f"\0server-{port}")
        descriptor = simulation.take_descriptor()
        end = DatagramEnd(self, address, simulation.link, descriptor, only=where_of(peer))
        simulation.poller.pollables[descriptor] = self._places[where_of(address)] = end
        return end

    def outside(self, kind: str, link: Link) -> DatagramEnd:
        """Make a place outside, with an address of its own."""
        port = self.simulation.new_port()
        address = Address("udp", "client", port) if kind == "udp" else Address("unixgram", f"client-{port}")
        end = self._places[where_of(address)] = DatagramEnd(self, address, link)
        return end

    def send(self, sender: DatagramEnd, data: bytes, where: Where, own: Where) -> None:
        """Let a datagram set out from an address of the sender's own. Raises OSError where it cannot even do that."""
        unix = sender.where().kind == "unixgram"
        if unix != isinstance(where, str):
            raise OSError(EINVAL, f"{sender.where()} cannot send to {where!r}")
        if len(data) > (self.simulation.capacity_bytes if unix else UDP_BYTES_MOST):
            raise OSError(EMSGSIZE, strerror(EMSGSIZE))
        where = where if unix else tuple(where[:2])
        receiver = self._places.get(where)
        if receiver is None and not unix:
            receiver = self._at_all_hosts(where[1])
        if unix:
            if receiver is None:
                raise OSError(ECONNREFUSED, strerror(ECONNREFUSED))
            if len(receiver.arrived) >= UNIX_QUEUE_MOST or not receiver.has_room(len(data)):
                raise BlockingIOError(EAGAIN, "the receiver's queue is full")
            receiver.take(data, own, False, where)
        elif receiver is not None:
            self._carry(sender, receiver, data, own, where)
        else:
            self.simulation.after(sum(sender.link.delay_seconds), sender.refused)

    def _at_all_hosts(self, port: int) -> DatagramEnd | None:
        for host in ALL_HOSTS:
            if (host, port) in self._places:
                return self._places[host, port]
        return None

    def _carry(self, sender: DatagramEnd, receiver: DatagramEnd, data: bytes, own: Where, asked: Where) -> None:
        """Draw what becomes of a datagram on the way of whichever of the two is outside."""
        link = receiver.link if receiver.descriptor < 0 else sender.link
        faults, random, met = link.faults, link.random, link.met
        if faults.datagram_lost and random.random() < faults.datagram_lost:
            met["datagram_lost"] += 1
            return
        copies = 1
        if faults.datagram_doubled and random.random() < faults.datagram_doubled:
            met["datagram_doubled"] += 1
            copies = 2
        for _ in range(copies):
            self._carry_one(sender, receiver, data, link, own, asked)

    def _carry_one(
        self, sender: DatagramEnd, receiver: DatagramEnd, data: bytes, link: Link, own: Where, asked: Where
    ) -> None:
        faults, random, met = link.faults, link.random, link.met
        cut = False
        if faults.datagram_cut and data and random.random() < faults.datagram_cut:
            met["datagram_cut"] += 1
            cut, data = True, data[: random.randrange(len(data))]
        least, most = link.delay_seconds
        arrival = self.simulation.now() + least + (most - least) * random.random()
        if link.bytes_a_second:
            arrival += len(data) / link.bytes_a_second
        if faults.datagram_late and random.random() < faults.datagram_late:
            met["datagram_late"] += 1
            arrival = max(arrival, sender.clear_at) + LATE_SECONDS * random.random()
        else:
            sender.clear_at = arrival = max(arrival, sender.clear_at)
        self.simulation.after(arrival - self.simulation.now(), lambda: receiver.take(data, own, cut, asked))

    def changed(self, end: DatagramEnd) -> None:
        """Have the poller, or who moves a place outside, look at it."""
        if end.descriptor >= 0:
            self.simulation.poller.touch(end.descriptor)
        elif end.watcher is not None:
            end.watcher()

    def close(self, end: DatagramEnd) -> None:
        """Forget a place."""
        del self._places[where_of(end.where())]
        if end.descriptor >= 0:
            self.simulation.give_descriptor(end.descriptor)


class DatagramPeer:
    """Somebody outside who sends datagrams to one place, and hears what comes; moved by a test.

    `watcher`, where it is set, is called whenever something has come.
    """

    def __init__(self, end: DatagramEnd, to: Address) -> None:
        self._end = end
        self._to = where_of(to)

    @property
    def where(self) -> Where:
        """Its own address, as the server sees it."""
        return where_of(self._end.where())

    @property
    def watcher(self) -> Callable[[], None] | None:
        """Whom to call when something has come."""
        return self._end.watcher

    @watcher.setter
    def watcher(self, watcher: Callable[[], None] | None) -> None:
        self._end.watcher = watcher

    def say(self, data: bytes, to: Where | None = None) -> None:
        """Send one datagram: to the place that was dialled, or to another. Raises OSError as a socket does."""
        self._end.send_to(data, self._to if to is None else to)

    def letters(self, size: int = 1 << 16) -> list[tuple[bytes, Where]]:
        """Return the datagrams that have come and were not heard yet, with the addresses that they came from."""
        found = []
        while self._end.arrived:
            found.append(self._end.receive(size))
        return found

    def heard(self, size: int = 1 << 16) -> list[bytes]:
        """Return the datagrams that have come and were not heard yet."""
        return [data for data, _ in self.letters(size)]

    def close(self) -> None:
        """Be gone; what comes later is lost."""
        self._end.close()
