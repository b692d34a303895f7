"""A server of half-done exchanges: each peer's first datagram begins a row, each later one is answered by its machine.

All live on one real UDP socket. An exchange is as a transfer has it: a block that was asked for, a count, a deadline.
`PORT` says where it listens; then each line on stdin is answered by how many rows there are, and what Python's own
collection takes.
"""

import sys

from partway.engine import IDLE, DatagramRow, Limits, Reactor, Where

ROWS_MAX = 1_000_000
SILENCE_SECONDS = 3600.0  # an exchange may rest for so long


class Exchange:
    """Answer each datagram with itself: half done for as long as the peer asks for no more."""

    __slots__ = ("asked", "begun", "block", "data", "row", "sent", "tries", "until")

    def __init__(self, row: DatagramRow) -> None:
        self.row = row
        self.data = b""
        self.block = self.sent = self.tries = 0
        self.asked: bytes | None = None
        self.begun = self.until = row.now

    def feed(self, data: bytes) -> None:
        self.data = data

    def step(self) -> object:
        data, self.data = self.data, b""
        if not data:
            return IDLE
        self.row.proven = True
        self.block += 1
        return data


class Exchanges:
    """Everybody may begin an exchange."""

    def admit(self, data: bytes, peer: Where) -> object:
        return Exchange


def serve(port: int) -> None:
    """Serve for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    limits = Limits(datagram_rows_max=ROWS_MAX, idle_seconds=SILENCE_SECONDS)
    endpoint = reactor.bind(f"udp:127.0.0.1:{port}", Exchanges(), limits)  # type: ignore[arg-type]
    print("PORT", endpoint.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
