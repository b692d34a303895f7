"""No reactor: for each connection a child at once, which reads and answers; nothing is looked at before.

It has all that partway's has imported, so that each fork has as much to copy.
"""

import os
import socket
import sys
from typing import NoReturn

from partway.engine import Reactor


def answer(channel: socket.socket) -> NoReturn:
    """Read a line and answer it; be no more."""
    line = b""
    while not line.endswith(b"\n") and (data := channel.recv(65536)):
        line += data
    channel.sendall(line.upper())
    os._exit(0)


def serve(port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()  # it has nothing to do
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        print("PORT", listener.getsockname()[1], flush=True)
        while True:
            channel, _ = listener.accept()
            if not os.fork():
                listener.close()
                reactor.close()
                answer(channel)
            channel.close()
            while wait():
                pass


def wait() -> int:
    """Reap a child that has ended."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


if __name__ == "__main__":
    serve(int(sys.argv[1]))
