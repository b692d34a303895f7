"""Echo (RFC 862): send back what comes. The smallest machine there is, and the measure of what the engine costs."""

from ..engine import IDLE, Row, Want, Where


class Echo:
    """Send back what comes, chunk by chunk. Holds one read at the most: it is not fed again before that has gone."""

    __slots__ = ("data",)

    def __init__(self, row: Row) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.data = data

    def step(self) -> Want:
        """Hand it back."""
        data = self.data
        if not data:
            return IDLE
        self.data = b""
        return data


RESERVED_PORTS = 1024


class EchoDatagrams:
    """Send back each datagram. No row is ever made.

    Not to a reserved port: behind one of those may be another server that answers whatever comes, and a datagram with a
    forged sender would go back and forth between the two for ever.
    """

    def admit(self, data: bytes, peer: Where) -> bytes | None:
        """Hand it back."""
        return data if type(peer) is not tuple or peer[1] >= RESERVED_PORTS else None
