"""load.c in Python, for machines without a compiler: the same command line, the same lines, the same checks.

It is slower than load.c, so servers find fewer requests in each poll and pay more for them: compare
figures only within one report.
"""

import re
import select
import signal
import socket
import sys
import time
from itertools import cycle

SHIFTS = 251  # prime: neighbouring messages differ, and a lost or repeated one is seen
PERIOD = 32_768 + SHIFTS  # of the pattern that bodies are made of; odd, so what is out of place is seen
READ_BYTES = 256 * 1024
PATTERN = bytes(i * 2654435761 % 2**32 >> 24 for i in range(PERIOD))
REPEATED = PATTERN * (READ_BYTES // PERIOD + 2)  # what one read brings is a slice of it
STATUS = b"HTTP/1.1 200 "
HEAD_END = b"\r\n\r\n"
HEAD_MAX_BYTES = 4096


class Load:
    """Connections in a closed loop: each sends a request, waits for its answer, and sends again."""

    def __init__(self, port: int, count: int, size: int) -> None:
        self.size = size
        self.poller = select.epoll()
        self.connections: dict[int, socket.socket] = {}
        self.turns: dict[int, int] = {}
        self.received: dict[int, int] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            descriptor = connection.fileno()
            self.connections[descriptor] = connection
            self.turns[descriptor] = descriptor % SHIFTS
            self.poller.register(descriptor, select.EPOLLIN)

    def request(self, descriptor: int) -> bytes:
        """The connection's next message: another window of the pattern each time."""
        self.turns[descriptor] = turn = (self.turns[descriptor] + 1) % SHIFTS
        return PATTERN[turn : turn + self.size]

    def take(self, descriptor: int, data: bytes) -> bool:
        """Compare what has come; true when the echo is whole."""
        before = self.received[descriptor]
        self.received[descriptor] = after = before + len(data)
        if after > self.size:
            sys.exit("load: an answer is too long")
        turn = self.turns[descriptor]
        if data != PATTERN[turn + before : turn + after]:
            sys.exit("load: an answer has wrong bytes")
        return after == self.size

    def begin(self, descriptor: int) -> None:
        """Send the connection's next request."""
        self.received[descriptor] = 0
        self.connections[descriptor].sendall(self.request(descriptor))

    def advance(self, descriptor: int) -> bool:
        """Read what has come; true when the answer is whole."""
        data = self.connections[descriptor].recv(READ_BYTES)
        if not data:
            sys.exit("load: the server closed a connection")
        return self.take(descriptor, data)

    def run(self, requests: int) -> None:
        """Do exactly so many requests."""
        begun = done = 0
        for descriptor in list(self.connections)[:requests]:
            self.begin(descriptor)
            begun += 1
        while done < requests:
            for descriptor, _ in self.poller.poll():
                if not self.advance(descriptor):
                    continue
                done += 1
                if begun < requests:
                    self.begin(descriptor)
                    begun += 1


class HttpLoad(Load):
    """The same with requests of HTTP, in turn, and the pattern as each answer's body."""

    def __init__(self, port: int, count: int, size: int, requests: list[bytes]) -> None:
        super().__init__(port, count, size)
        self.requests = cycle(requests)
        self.heads: dict[int, bytes] = {}  # as far as they have come
        self.head_size = 0  # of every answer, as of the first
        first = next(iter(self.connections))
        self.begin(first)
        while not self.advance(first):
            pass

    def request(self, descriptor: int) -> bytes:
        """The next request, whoever sends it."""
        self.heads[descriptor] = b""
        return next(self.requests)

    def take(self, descriptor: int, data: bytes) -> bool:
        """Compare what has come; true when the answer is whole."""
        head = self.heads[descriptor]
        if not head.endswith(HEAD_END):
            whole = head + data
            size = whole.find(HEAD_END) + len(HEAD_END)
            if size < len(HEAD_END):
                size = len(whole)
            data = whole[size:]
            self.heads[descriptor] = head = whole[:size]
            self.check(head)
        before = self.received[descriptor]
        self.received[descriptor] = after = before + len(data)
        if after > self.size:
            sys.exit("load: an answer is too long")
        place = before % PERIOD
        if data != REPEATED[place : place + len(data)]:
            sys.exit("load: an answer has wrong bytes")
        return after == self.size and head.endswith(HEAD_END)

    def check(self, head: bytes) -> None:
        """Compare a head, as far as it has come, with the first."""
        if not head.startswith(STATUS[: len(head)]):
            sys.exit("load: an answer is not 200")
        if not head.endswith(HEAD_END):
            if len(head) > (self.head_size or HEAD_MAX_BYTES):
                sys.exit("load: a head has another length" if self.head_size else "load: the first answer has no head")
            return
        if not self.head_size:
            length = re.search(rb"\r\nContent-Length:[ \t]*(\d+)", head, re.IGNORECASE)
            if length is None or int(length[1]) != self.size:
                sys.exit("load: the first answer has another Content-Length")
            self.head_size = len(head)
        if len(head) != self.head_size:
            sys.exit("load: a head has another length")


def main() -> None:
    """Do as many requests as each line on stdin says, and say when they are done."""
    signal.alarm(60)
    port, count, size = (int(argument) for argument in sys.argv[1:4])
    requests = [argument.encode() for argument in sys.argv[4:]]
    load = HttpLoad(port, count, size, requests) if requests else Load(port, count, size)
    for line in sys.stdin:
        before = time.monotonic()
        signal.alarm(60)
        load.run(int(line))
        print(f"DONE {int(line)} {time.monotonic() - before:.6f}", flush=True)


if __name__ == "__main__":
    main()
