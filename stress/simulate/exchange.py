"""A protocol of datagrams for the simulation: requests in parts, of which a half-done one is a row.

Nothing is lost to it for good: a part that comes again is answered again, what was taken is said again where the next
part is long in coming, and who speaks of a request that nobody knows, for its row has ended, is told to begin again.
"""

from typing import Any

from ...engine import IDLE, NEXT, DatagramRow, PeerError, Reactor, Read, Reason, Want, Weight, Where
from ...engine.endpoint import RowFactory
from ...engine.network import Link
from ...engine.simulation import Simulation
from ..clients.letters import (
    AGAIN,
    ANSWER,
    HEAD_BYTES,
    LETTER_KINDS,
    PART_BYTES_MOST,
    PARTS_MOST,
    TAKEN,
    Correspondent,
    Parts,
)
from .served import Served, Service
from .stage import ContractError

ADDRESS = "udp:server:7"
TOLD_AGAIN_MOST = 3
CROWDED = 1000  # rows: where fewer are allowed, somebody may never have become one
PAUSE_SECONDS = 0.5


class Exchange:
    """The server's side of one client."""

    def __init__(self, row: DatagramRow) -> None:
        self.row = row
        self.weight = Weight(row)
        self.number = 0
        self.parts: list[bytes] = []
        self.said = b""  # last, of this request
        self.data: bytes | None = None
        self.due = 0.0  # when it is said again
        self.told = 0  # how often it has been
        self.under_way = False
        self.answered = False
        self.owed = Owed(row)

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.owed.fed(data)
        self.data = data

    def step(self) -> Want:
        """Answer one part; wait for the next."""
        self.owed.check()
        return self.owed.wants(self._step())

    def _step(self) -> Want:
        if self.answered:
            self.answered = False
            self.row.proven = True
            return NEXT
        if self.data is None:
            return self._rest()
        data, self.data = self.data, None
        if not data:
            return self._rest()  # no answer to that, and no end either
        number, part, count, body = read(data)
        if number == self.number and part < len(self.parts):
            return self.said
        if part == 0:
            self.number, self.parts, self.under_way = number, [], True
        elif number != self.number or part > len(self.parts) or not self.under_way:
            return head(number, part, AGAIN)
        return self._take(part, count, body)

    def _take(self, part: int, count: int, body: bytes) -> Want:
        next(iter(self.row.table.rows.values())).wake()  # somebody, whatever it is doing
        self.parts.append(body)
        self.told = 0
        self.due = self.row.now + PAUSE_SECONDS
        if len(self.parts) == count:
            self.under_way, self.answered = False, True
            self.said = head(self.number, part, ANSWER) + b"".join(self.parts)[::-1]
        else:
            self.said = head(self.number, part, TAKEN)
        self.weight.set(sum(map(len, self.parts)) + len(self.said))
        return self.said

    def _rest(self) -> Want:
        if not self.under_way:
            return IDLE
        if self.due <= self.row.now and self.told < TOLD_AGAIN_MOST:
            self.told += 1
            self.due = self.row.now + PAUSE_SECONDS * 2**self.told
            return self.said
        return Read(max(0.0, self.due - self.row.now) if self.told < TOLD_AGAIN_MOST else 1e6)

    def refuse(self, reason: Reason) -> bytes:
        """Say nothing: who asks again begins anew."""
        return b""


class Owed:
    """What the engine owes such a row, as its machine sees it."""

    def __init__(self, row: DatagramRow) -> None:
        self.row = row
        self.active_at = row.now
        self.requests = 0
        self.said = 0  # bytes, at the most
        self.fed_since = False  # it has rested

    def fed(self, data: bytes) -> None:
        """A datagram has come. Raises ContractError where it should not have."""
        if len(data) > self.row.limits.datagram_bytes:
            raise ContractError(f"fed {len(data)} bytes of a datagram, which may have been more")
        self.check()
        self.fed_since = True

    def wants(self, want: Want) -> Want:
        """Note what the machine wants, and return it."""
        if want is NEXT:
            self.requests += 1
        if want is NEXT or (self.fed_since and isinstance(want, bytes)):
            self.active_at = self.row.now
        if isinstance(want, bytes):
            self.said += len(want)
        elif want is not NEXT:
            self.fed_since = False
        return want

    def check(self) -> None:
        """Compare with the row. Raises ContractError."""
        row = self.row
        if row.output is not None:
            raise ContractError("stepped or fed while its output waits")
        if row.active_at != self.active_at:
            raise ContractError(f"active at {row.active_at}, last answered at {self.active_at}")
        if row.requests != self.requests or row.sent > self.said:
            raise ContractError(f"{row.requests} requests and {row.sent} bytes, of {self.requests} and {self.said}")
        if not row.proven and row.sent > row.limits.amplification_max * row.received:
            raise ContractError(f"unproven, and sent {row.sent} bytes for {row.received}")


def read(data: bytes) -> tuple[int, int, int, bytes]:
    """Return a request's number, the part's, how many there are, and the part. Raises PeerError for nonsense."""
    if not HEAD_BYTES <= len(data) <= HEAD_BYTES + PART_BYTES_MOST:
        raise PeerError(f"{len(data)} bytes")
    number, part, count = int.from_bytes(data[:4], "big"), data[4], data[5]
    if not number or not part < count <= PARTS_MOST:
        raise PeerError(f"part {part} of {count} of request {number}")
    return number, part, count, data[HEAD_BYTES:]


def head(number: int, part: int, said: int) -> bytes:
    """Begin an answer."""
    return number.to_bytes(4, "big") + bytes((part, said))


class Exchanges:
    """Whoever begins a request gets a row; who speaks of one that is not there is told so without one."""

    def admit(self, data: bytes, peer: Where) -> bytes | RowFactory | None:
        """Decide about a datagram."""
        try:
            number, part, _, _ = read(data)
        except PeerError:
            return None
        return head(number, part, AGAIN) if part else Exchange


def begin(reactor: Reactor, simulation: Simulation) -> Service:
    """Serve it."""
    endpoint = reactor.bind(ADDRESS, Exchanges())

    def excuse(client: Correspondent, reason: Reason | None) -> bool:
        crowded = endpoint.limits.datagram_rows_max < CROWDED
        return client.machine.gave_up and (reactor.draining or crowded)

    def enter(factory: Any, link: Link) -> Any:
        return Correspondent(simulation, ADDRESS, factory, link)

    return Service(lambda place: Parts(place.random), excuse=excuse, enter=enter)  # type: ignore[arg-type]


EXCHANGE = Served(
    begin,
    lambda limits: 2 * PARTS_MOST * PART_BYTES_MOST + 2 * HEAD_BYTES,
    kinds=tuple(LETTER_KINDS),
)
