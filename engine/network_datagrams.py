"""Datagrams in the simulation: places at which they arrive, and what may become of them on their way.

Over `udp` each may be lost, doubled, late or cut, and one that finds the receiver's queue full is gone, of which nobody
is told. Without such faults they arrive in their order. Over `unixgram` the kernel itself carries them: none is lost,
and who sends to a full queue is told "not now"; the poller does not tell when there is room again, as Linux doesn't.
"""

from collections import deque
from collections.abc import Callable
from errno import EADDRINUSE, EAGAIN, EBADF, ECONNREFUSED, EINTR, EINVAL, EMSGSIZE, ENOBUFS
from os import strerror
from typing import TYPE_CHECKING

from .machine import Piece
from .network import Link
from .platform import READABLE, WRITABLE, Address, Where, datagrams_only

if TYPE_CHECKING:
    from .simulation import Simulation

UDP_BYTES_MOST = 65_507  # what fits into a packet of IPv4
UNIX_QUEUE_MOST = 11  # net.unix.max_dgram_qlen, and one more
OVERHEAD_BYTES = 512  # of the receiver's room, for each datagram: else one without bytes would take none
LATE_SECONDS = 0.1  # at the most


class DatagramEnd:
    """A place at which datagrams arrive and from which they leave: a `DatagramChannel`."""

    def __init__(self, post: "Datagrams", address: Address, link: Link, descriptor: int = -1) -> None:
        self._post = post
        self._address = address
        self.link = link
        self.descriptor = descriptor
        self.arrived: deque[tuple[bytes, Where, bool]] = deque()
        self.room = post.simulation.capacity_bytes
        self.clear_at = 0.0  # when the last one that it sent, and that was not late, will have arrived
        self.closed = False
        self.watcher: Callable[[], None] | None = None

    def fileno(self) -> int:
        """Return its descriptor; -1 where no poller knows it."""
        return -1 if self.closed else self.descriptor

    def readiness(self, asked: int) -> int:
        """Return the mask that the poller reports when it is asked for this one."""
        return ((READABLE if self.arrived else 0) | WRITABLE) & asked

    def receive(self, size: int) -> tuple[bytes, Where, bool]:
        """Return the next datagram, its sender, and whether it was cut. Raises as a socket does."""
        self._may_fail(sends=False)
        if not self.arrived:
            raise BlockingIOError(EAGAIN, "no datagram has arrived")
        data, sender, cut = self.arrived.popleft()
        self.room += len(data) + OVERHEAD_BYTES
        return data[:size], sender, cut or len(data) > size

    def send_to(self, data: Piece, where: Where) -> None:
        """Send one datagram. Raises as a socket does."""
        self._may_fail(sends=True)
        self._post.send(self, bytes(data), where)

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

    def take(self, data: bytes, sender: Where, cut: bool) -> None:
        """A datagram has come; where there is no room for it, nobody ever hears of it."""
        if self.closed or not self.has_room(len(data)):
            return
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
        for odds, name, error in (
            (faults.not_ready, "not_ready", EAGAIN),
            (faults.interrupted, "interrupted", EINTR),
            (faults.no_buffers if sends else 0.0, "no_buffers", ENOBUFS),
        ):
            if odds and random.random() < odds:
                self.link.met[name] += 1
                raise OSError(error, strerror(error))


class Datagrams:
    """All places of one simulation, and the way between them."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self._places: dict[Where, DatagramEnd] = {}

    def bind(self, address: Address) -> DatagramEnd:
        """Make a place of the server's. Raises OSError where there is one already."""
        datagrams_only(address)
        simulation = self.simulation
        if address.kind == "udp" and address.port == 0:
            address = address._replace(port=simulation.new_port())
        if _where(address) in self._places:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        end = DatagramEnd(self, address, simulation.link, simulation.take_descriptor())
        simulation.poller.pollables[end.descriptor] = end
        self._places[_where(address)] = end
        return end

    def outside(self, kind: str, link: Link) -> DatagramEnd:
        """Make a place outside, with an address of its own."""
        port = self.simulation.new_port()
        address = Address("udp", "client", port) if kind == "udp" else Address("unixgram", f"client-{port}")
        end = self._places[_where(address)] = DatagramEnd(self, address, link)
        return end

    def send(self, sender: DatagramEnd, data: bytes, where: Where) -> None:
        """Let a datagram set out. Raises OSError where it cannot even do that."""
        unix = sender.where().kind == "unixgram"
        if unix != isinstance(where, str):
            raise OSError(EINVAL, f"{sender.where()} cannot send to {where!r}")
        if len(data) > (self.simulation.capacity_bytes if unix else UDP_BYTES_MOST):
            raise OSError(EMSGSIZE, strerror(EMSGSIZE))
        receiver = self._places.get(where if unix else tuple(where[:2]))
        if unix:
            if receiver is None:
                raise OSError(ECONNREFUSED, strerror(ECONNREFUSED))
            if len(receiver.arrived) >= UNIX_QUEUE_MOST or not receiver.has_room(len(data)):
                raise BlockingIOError(EAGAIN, "the receiver's queue is full")
            receiver.take(data, _where(sender.where()), False)
        elif receiver is not None:
            self._carry(sender, receiver, data)

    def _carry(self, sender: DatagramEnd, receiver: DatagramEnd, data: bytes) -> None:
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
            self._carry_one(sender, receiver, data, link)

    def _carry_one(self, sender: DatagramEnd, receiver: DatagramEnd, data: bytes, link: Link) -> None:
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
        came_from = _where(sender.where())
        self.simulation.after(arrival - self.simulation.now(), lambda: receiver.take(data, came_from, cut))

    def changed(self, end: DatagramEnd) -> None:
        """Have the poller, or who moves a place outside, look at it."""
        if end.descriptor >= 0:
            self.simulation.poller.touch(end.descriptor)
        elif end.watcher is not None:
            end.watcher()

    def close(self, end: DatagramEnd) -> None:
        """Forget a place."""
        del self._places[_where(end.where())]
        if end.descriptor >= 0:
            self.simulation.give_descriptor(end.descriptor)


class DatagramPeer:
    """Somebody outside who sends datagrams to one place, and hears what comes; moved by a test.

    `watcher`, where it is set, is called whenever something has come.
    """

    def __init__(self, end: DatagramEnd, to: Address) -> None:
        self._end = end
        self._to = _where(to)

    @property
    def where(self) -> Where:
        """Its own address, as the server sees it."""
        return _where(self._end.where())

    @property
    def watcher(self) -> Callable[[], None] | None:
        """Whom to call when something has come."""
        return self._end.watcher

    @watcher.setter
    def watcher(self, watcher: Callable[[], None] | None) -> None:
        self._end.watcher = watcher

    def say(self, data: bytes) -> None:
        """Send one datagram. Raises OSError as a socket does."""
        self._end.send_to(data, self._to)

    def heard(self, size: int = 1 << 16) -> list[bytes]:
        """Return the datagrams that have come and were not heard yet."""
        found = []
        while self._end.arrived:
            found.append(self._end.receive(size)[0])
        return found

    def close(self) -> None:
        """Be gone; what comes later is lost."""
        self._end.close()


def _where(address: Address) -> Where:
    return address.host if address.kind == "unixgram" else (address.host, address.port)
