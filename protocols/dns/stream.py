"""DNS over TCP as a machine (RFC 7766): each message has its length before it, answers come in the order of queries."""

from typing import TYPE_CHECKING, Final

from ...engine import IDLE, NEXT, READ, Inbox, PeerError, Row, Want

if TYPE_CHECKING:
    from .server import Server

QUERY_BYTES_MAX: Final = 4096  # a question has at most 271; the rest is for padding and signatures
LENGTH_BYTES: Final = 2


class DnsStream:
    """One connection. Queries may be pipelined; each is answered in a step of its own."""

    __slots__ = ("answered", "inbox", "row", "server")

    def __init__(self, row: Row, server: "Server") -> None:
        self.row = row
        self.server = server
        self.inbox = Inbox(row)
        self.answered = False

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.inbox.feed(data)

    def step(self) -> Want:
        """Answer one query; say that it has ended; wait for the next."""
        if self.answered:
            self.answered = False
            return NEXT
        held = len(self.inbox)
        if held < LENGTH_BYTES:
            return READ if held else IDLE
        size = int.from_bytes(self.inbox.peek(LENGTH_BYTES), "big")
        if size > QUERY_BYTES_MAX:
            raise PeerError(f"a query of {size} bytes")
        if held < LENGTH_BYTES + size:
            return READ
        answer = self.server.answer(self.inbox.take(LENGTH_BYTES + size)[LENGTH_BYTES:], self.row.peer)
        if answer is None:
            raise PeerError("what is no query, or too short for one")
        self.answered = True
        return len(answer).to_bytes(LENGTH_BYTES, "big") + answer
