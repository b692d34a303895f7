"""A million peers in one process: a socket, and a loopback address of its own for each of them (IP_PKTINFO, ip(7)).

First every peer speaks once, which begins its exchange; after that each number on stdin is so many datagrams of peers
that are drawn at random, a few of them on their way at a time. The answer comes back to the peer's address, and so to
the same socket; it must be what was sent. What is lost is sent again after a second.
"""

import select
import signal
import socket
import struct
import sys
import time
from random import Random

PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Python names it from 3.14 on
INFO = struct.Struct("=i4s4s")
FIRST = 0x7F010001  # 127.1.0.1: clear of those that servers use
ON_THEIR_WAY = 64
AGAIN_SECONDS = 1.0
LOST_MOST = 0.01  # of all: beyond that it is no measurement


class Peers:
    """So many peers; `speak` has some of them say something and hear it again."""

    def __init__(self, port: int, count: int, size: int) -> None:
        self.server = ("127.0.0.1", port)
        self.count = count
        self.filling = b"." * (size - 8)
        self.channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.channel.bind(("0.0.0.0", 0))
        self.channel.setblocking(False)
        self.poller = select.epoll()
        self.poller.register(self.channel.fileno(), select.EPOLLIN)
        self.waiting: dict[bytes, int] = {}
        self.number = 0
        self.lost = 0

    def send(self, message: bytes, peer: int) -> None:
        """Send a datagram from a peer's own address."""
        address = (FIRST + peer).to_bytes(4, "big")
        ancillary = ((socket.IPPROTO_IP, PKTINFO, INFO.pack(0, address, b"")),)
        self.channel.sendmsg((message,), ancillary, 0, self.server)

    def begin(self, peer: int) -> None:
        """Have a peer say something that nobody has said before."""
        self.number += 1
        message = self.number.to_bytes(8, "big") + self.filling
        self.waiting[message] = peer
        self.send(message, peer)

    def speak(self, peers: list[int]) -> None:
        """Have these peers speak, each as soon as there is room for it, and hear all their answers."""
        peers.reverse()
        while peers or self.waiting:
            while peers and len(self.waiting) < ON_THEIR_WAY:
                self.begin(peers.pop())
            if not self.poller.poll(AGAIN_SECONDS):
                self.again()
            self.hear()

    def hear(self) -> None:
        """Take what has come."""
        while True:
            try:
                data = self.channel.recv(65536)
            except BlockingIOError:
                return
            if self.waiting.pop(data, None) is None and not self.lost:
                sys.exit("load: an answer is wrong")

    def again(self) -> None:
        """Nothing has come for a while: send once more what has no answer."""
        self.lost += len(self.waiting)
        if self.lost > max(1, LOST_MOST * self.number):
            sys.exit(f"load: {self.lost} datagrams were lost")
        for message, peer in self.waiting.items():
            self.send(message, peer)


def main() -> None:
    """Begin all exchanges, say so; then do as many datagrams as each line says, and say when they are done."""
    port, count, size = (int(argument) for argument in sys.argv[1:4])
    peers, random = Peers(port, count, size), Random(count)
    everybody = list(range(count))
    random.shuffle(everybody)
    peers.speak(everybody)
    print("READY", flush=True)
    for line in sys.stdin:
        before = time.monotonic()
        signal.alarm(60)
        peers.speak([random.randrange(count) for _ in range(int(line))])
        print(f"DONE {int(line)} {time.monotonic() - before:.6f}", flush=True)


if __name__ == "__main__":
    main()
