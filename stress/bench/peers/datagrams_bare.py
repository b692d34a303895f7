"""The fastest straightforward datagram echo in Python: epoll and one socket, nothing else.

It reads on until nothing is left or it has read 32, as libuv does. What partway costs above this is what its rows,
limits and counters cost.
"""

import select
import socket
import sys


def serve(port: int) -> None:
    """Echo for ever on the loopback address. Port 0 picks one."""
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind(("127.0.0.1", port))
    channel.setblocking(False)
    poller = select.epoll()
    poller.register(channel.fileno(), select.EPOLLIN)
    print("PORT", channel.getsockname()[1], flush=True)
    while True:
        poller.poll()
        try:
            for _ in range(32):
                data, peer = channel.recvfrom(65536)
                channel.sendto(data, peer)
        except BlockingIOError:
            pass


if __name__ == "__main__":
    serve(int(sys.argv[1]))
