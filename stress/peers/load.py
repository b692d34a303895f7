"""load.c in Python, for machines without a compiler: the same command line, the same lines.

It is slower than load.c, so servers find fewer requests in each poll and pay more for them: compare
figures only within one report.
"""

import select
import signal
import socket
import sys
import time

SHIFTS = 251  # prime: neighbouring messages differ, and a lost or repeated one is seen


class Load:
    """Connections in a closed loop: each sends a message, waits for its echo, and sends again."""

    def __init__(self, port: int, count: int, size: int) -> None:
        pattern = bytes(i * 2654435761 % 2**32 >> 24 for i in range(size + SHIFTS))
        self.messages = [pattern[shift : shift + size] for shift in range(SHIFTS)]
        self.size = size
        self.poller = select.epoll()
        self.connections: dict[int, socket.socket] = {}
        self.turns: dict[int, int] = {}
        self.echoes: dict[int, bytes] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            descriptor = connection.fileno()
            self.connections[descriptor] = connection
            self.turns[descriptor] = descriptor % SHIFTS
            self.poller.register(descriptor, select.EPOLLIN)

    def begin(self, descriptor: int) -> None:
        """Send the connection's next message."""
        self.turns[descriptor] = turn = (self.turns[descriptor] + 1) % SHIFTS
        self.echoes[descriptor] = b""
        self.connections[descriptor].sendall(self.messages[turn])

    def advance(self, descriptor: int) -> bool:
        """Read what has come; true when the echo is whole."""
        data = self.connections[descriptor].recv(65536)
        if not data:
            sys.exit("load: the server closed a connection")
        self.echoes[descriptor] += data
        if len(self.echoes[descriptor]) < self.size:
            return False
        if self.echoes[descriptor] != self.messages[self.turns[descriptor]]:
            sys.exit("load: the echo has wrong bytes")
        return True

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


def main() -> None:
    """Do as many requests as each line on stdin says, and say when they are done."""
    signal.alarm(60)
    port, count, size = (int(argument) for argument in sys.argv[1:])
    load = Load(port, count, size)
    for line in sys.stdin:
        before = time.monotonic()
        signal.alarm(60)
        load.run(int(line))
        print(f"DONE {int(line)} {time.monotonic() - before:.6f}", flush=True)


if __name__ == "__main__":
    main()
