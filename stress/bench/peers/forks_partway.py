"""Machines that look at what has come, and then have a child answer it: by a `Call` ("call"), or by a plain fork.

The plain one does what can be done in three lines, and no more: its child keeps all descriptors of its parent, and
nobody else is served until it has ended.
"""

import os
import sys
from typing import Any, NoReturn

from partway.engine import CLOSE, IDLE, READ, Call, Outcome, Reactor, Row, Want


def answer(channel: Any, line: bytes) -> None:
    """Answer, in a child."""
    channel.sendall(line.upper())


def answer_and_end(channel: Any, line: bytes) -> NoReturn:
    """Answer, and be no more."""
    answer(channel, line)
    os._exit(0)


class Asking:
    """Waits for a line and has it answered."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.line = b""
        self.over = False

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.line += data

    def resume(self, outcome: Outcome) -> None:
        """The child has ended."""
        self.over = True

    def step(self) -> Want:
        """Wait for the line, then for the child."""
        if self.over:
            return CLOSE
        if not self.line.endswith(b"\n"):
            return READ if self.line else IDLE
        return self.fork()

    def fork(self) -> Want:
        """Ask for a child."""
        return Call(answer, self.line, how="fork", lend=True)


class Forking(Asking):
    """Forks by itself."""

    def fork(self) -> Want:
        """Fork, and wait for the child."""
        child = os.fork()
        if not child:
            answer_and_end(self.row.channel, self.line)  # type: ignore[attr-defined]
        os.waitpid(child, 0)
        return CLOSE


def serve(how: str, port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    listener = reactor.listen(f"127.0.0.1:{port}", Asking if how == "call" else Forking)
    print("PORT", listener.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
