"""Machines that look at what has come, and then have a child answer it: by a `Call`, or by forking themselves.

"plain" does by hand what it takes to go on serving meanwhile: its child's handle is watched, and reaped. "blocking" is
three lines, and no server: nobody else is served until its child has ended. The children of both keep all descriptors,
all handlers of signals and all output of their parent; what goes wrong in them nobody is told.
"""

import os
import sys
from functools import partial
from typing import Any, NoReturn

from partway.engine import CLOSE, IDLE, PARK, READ, Call, Outcome, Reactor, Row, Want


def answer(channel: Any, line: bytes) -> None:
    """Answer, in a child."""
    channel.sendall(line.upper())


def answer_and_end(channel: Any, line: bytes) -> NoReturn:
    """Answer, and be no more."""
    channel.setblocking(True)
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


class Plain(Asking):
    """Forks by itself, and goes on."""

    reactor: Reactor

    def fork(self) -> Want:
        """Fork, and have the child's handle watched."""
        child = os.fork()
        if not child:
            answer_and_end(self.row.channel, self.line)  # type: ignore[attr-defined]
        handle = os.pidfd_open(child)
        self.reactor.watch(handle, partial(self.reap, child, handle))
        return PARK

    def reap(self, child: int, handle: int) -> None:
        """The child has ended."""
        self.reactor.unwatch(handle)
        os.close(handle)
        os.waitpid(child, 0)
        self.over = True
        self.row.wake()


class Blocking(Asking):
    """Forks by itself, and lets everybody wait."""

    def fork(self) -> Want:
        """Fork, and wait for the child."""
        child = os.fork()
        if not child:
            answer_and_end(self.row.channel, self.line)  # type: ignore[attr-defined]
        os.waitpid(child, 0)
        return CLOSE


MACHINES = {"call": Asking, "plain": Plain, "blocking": Blocking}


def serve(how: str, port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    Plain.reactor = reactor
    listener = reactor.listen(f"127.0.0.1:{port}", MACHINES[how])
    print("PORT", listener.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
