"""Echo (RFC 862): send back what comes. The smallest machine there is, and the measure of what the engine costs."""

from ..engine import IDLE, Row, Want


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
