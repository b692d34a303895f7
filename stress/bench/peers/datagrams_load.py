"""The load for servers of datagrams: sockets in a closed loop, each of which sends, waits for its answer, sends again.

With messages (in hexadecimal) they are sent in turn, each with two other bytes in front, an answer must begin with the
same two, and be one to it: DNS. Without, an echo is wanted to the byte. What is lost is sent again after a second, and
counts once.
"""

import select
import signal
import socket
import sys
import time

SHIFTS = 251  # prime: neighbouring messages differ, and one that is another's is seen
PATTERN = bytes(number % SHIFTS for number in range(32_768 + SHIFTS))
AGAIN_SECONDS = 1.0
LOST_MOST = 0.01  # of the requests: beyond that it is no measurement


class Load:
    """So many sockets, one message each on its way."""

    def __init__(self, port: int, count: int, size: int, messages: list[bytes]) -> None:
        self.size = size
        self.messages = messages
        self.poller = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.sent: dict[int, bytes] = {}  # what is on its way, by descriptor
        self.number = 0
        self.lost = 0
        for _ in range(count):
            channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            channel.connect(("127.0.0.1", port))
            channel.setblocking(False)
            self.sockets[channel.fileno()] = channel
            self.poller.register(channel.fileno(), select.EPOLLIN)

    def message(self) -> bytes:
        """The next message."""
        self.number += 1
        if self.messages:
            return (self.number & 0xFFFF).to_bytes(2, "big") + self.messages[self.number % len(self.messages)][2:]
        turn = self.number % SHIFTS
        return PATTERN[turn : turn + self.size]

    def is_answer(self, data: bytes, sent: bytes) -> bool:
        """Compare an answer with what was sent."""
        if not self.messages:
            return data == sent
        return data[:2] == sent[:2] and len(data) > 12 and bool(data[2] & 0x80) and data[3] & 0x0F in (0, 3)

    def begin(self, descriptor: int) -> None:
        """Send a socket's next message."""
        self.sent[descriptor] = message = self.message()
        self.sockets[descriptor].send(message)

    def run(self, requests: int) -> None:
        """Do exactly so many requests."""
        begun = min(requests, len(self.sockets))
        done = 0
        for descriptor in list(self.sockets)[:begun]:
            self.begin(descriptor)
        while done < requests:
            ready = self.poller.poll(AGAIN_SECONDS)
            if not ready:
                self.again()
            for descriptor, _ in ready:
                data = self.sockets[descriptor].recv(65536)
                sent = self.sent.pop(descriptor, b"")
                if not self.is_answer(data, sent):
                    sys.exit("load: an answer is wrong")
                done += 1
                if begun < requests:
                    self.begin(descriptor)
                    begun += 1
        if self.lost > max(1, LOST_MOST * requests):
            sys.exit(f"load: {self.lost} datagrams were lost")

    def again(self) -> None:
        """Nothing has come for a while: send once more what has no answer."""
        for descriptor, message in self.sent.items():
            self.lost += 1
            self.sockets[descriptor].send(message)


def main() -> None:
    """Do as many requests as each line on stdin says, and say when they are done."""
    signal.alarm(60)
    port, count, size = (int(argument) for argument in sys.argv[1:4])
    load = Load(port, count, size, [bytes.fromhex(argument) for argument in sys.argv[4:]])
    for line in sys.stdin:
        before = time.monotonic()
        signal.alarm(60)
        load.run(int(line))
        print(f"DONE {int(line)} {time.monotonic() - before:.6f}", flush=True)


if __name__ == "__main__":
    main()
