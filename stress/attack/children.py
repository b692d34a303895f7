"""Processes that this one has begun, and that speak in lines: attackers, and the honest client."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from ...engine import Reactor

PIPE_BYTES = 1 << 16


class Child:
    """A module that runs in a process of its own. Its standard input is a rope: when that ends, so does the child.

    `hear` is called with each line that it says, and `ended` once, when it says no more.
    """

    def __init__(
        self,
        reactor: Reactor,
        module: str,
        words: Sequence[str],
        hear: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self.hear = hear
        self.ended = ended
        self._reactor = reactor
        self._unread: list[bytes] = []  # the beginning of a line
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._watched = True
        os.set_blocking(self._output.fileno(), False)
        reactor.watch(self._output.fileno(), self._readable)

    def say(self, line: bytes) -> None:
        """Tell it something."""
        try:
            os.write(self._input.fileno(), line + b"\n")
        except BrokenPipeError:
            pass  # it has died, and `ended` tells so

    def end_input(self) -> None:
        """Let go of the rope."""
        self._input.close()

    def close(self) -> None:
        """End it, whatever it does."""
        self._unwatch()
        self._process.terminate()
        self._process.wait()
        self._input.close()
        self._output.close()

    def _readable(self) -> None:
        while True:
            try:
                data = os.read(self._output.fileno(), PIPE_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._unwatch()
                self.ended()
                return
            first, *others = data.split(b"\n")
            self._unread.append(first)
            for other in others:
                line, self._unread = b"".join(self._unread), [other]
                self.hear(line)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._reactor.unwatch(self._output.fileno())


def rope(reactor: Reactor, hear: Callable[[bytes], None], ended: Callable[[], None]) -> None:
    """Be a child: hear the lines that the parent says, until it lets go."""
    unread = b""

    def readable() -> None:
        nonlocal unread
        data = os.read(0, PIPE_BYTES)
        if not data:
            reactor.unwatch(0)
            ended()
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            hear(line)

    reactor.watch(0, readable)
