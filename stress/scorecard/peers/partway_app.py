"""The same application on partway's own HTTP server: partway_app.py PORT."""

import sys

from partway.engine import NEXT, Reactor, Want
from partway.protocols.http import Request, Response, Server

PIECE, PIECES = bytes(65536), 256


class Large:
    """A body that is pulled, piece by piece."""

    size = len(PIECE) * PIECES

    def __init__(self) -> None:
        self.left = PIECES

    def step(self) -> Want:
        if not self.left:
            return NEXT
        self.left -= 1
        return PIECE

    def close(self) -> None:
        pass


def answer(request: Request) -> Response:
    return Response(200, body=Large()) if request.target == b"/large" else Response(200, body=b"hello\n")


if __name__ == "__main__":
    reactor = Reactor()
    reactor.listen(f"127.0.0.1:{sys.argv[1]}", Server(answer))
    reactor.run()
