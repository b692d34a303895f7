"""The load for servers that fork: so many clients, each with a connection for each line, until the server's end."""

import select
import signal
import socket
import sys
import time

SHIFTS = 26


class Load:
    """So many clients, each of whom asks again when it has been answered."""

    def __init__(self, port: int, count: int, size: int) -> None:
        self.port = port
        self.count = count
        self.size = size
        self.poller = select.epoll()
        self.clients: dict[int, tuple[socket.socket, bytes]] = {}  # and what is wanted of it still
        self.number = 0

    def begin(self) -> None:
        """Connect, and say a line."""
        self.number += 1
        line = bytes([97 + self.number % SHIFTS]) * (self.size - 1) + b"\n"
        channel = socket.create_connection(("127.0.0.1", self.port))
        channel.sendall(line)
        channel.setblocking(False)
        self.clients[channel.fileno()] = channel, line.upper()
        self.poller.register(channel.fileno(), select.EPOLLIN)

    def hear(self, descriptor: int) -> bool:
        """Read; True at the end."""
        channel, wanted = self.clients[descriptor]
        data = channel.recv(65536)
        if data:
            if not wanted.startswith(data):
                sys.exit("load: an answer is wrong")
            self.clients[descriptor] = channel, wanted[len(data) :]
            return False
        if wanted:
            sys.exit("load: an answer is cut short")
        del self.clients[descriptor]
        channel.close()
        return True

    def run(self, requests: int) -> None:
        """Do exactly so many requests."""
        begun = min(requests, self.count)
        for _ in range(begun):
            self.begin()
        while self.clients:
            for descriptor, _ in self.poller.poll():
                if self.hear(descriptor) and begun < requests:
                    self.begin()
                    begun += 1


def main() -> None:
    """Do as many requests as each line on stdin says, and say when they are done."""
    signal.alarm(60)
    port, count, size = map(int, sys.argv[1:4])
    load = Load(port, count, size)
    for line in sys.stdin:
        before = time.monotonic()
        signal.alarm(60)
        load.run(int(line))
        print(f"DONE {int(line)} {time.monotonic() - before:.6f}", flush=True)


if __name__ == "__main__":
    main()
