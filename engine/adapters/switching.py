"""Handlers that wait as if they had a thread of their own, and have a greenlet: the way that changes nothing of them.

`rfile.readline()` in a handler lets the reactor go on; when its bytes have come, it returns. A greenlet is a stack of
its own, a few KiB of it where it waits, and cannot be frozen: such a row is drained, never moved. What a handler does
without waiting for its peer, everybody waits for.
"""

from collections.abc import Callable
from dataclasses import replace
from errno import ECONNRESET
from typing import Any

from ..buffers import Inbox
from ..machine import CLOSE, HALF_CLOSE, IDLE, NEXT, READ, Cause, Idle, Read, Reason, Want
from ..row import Row
from .connection import Connection, Data

try:
    from greenlet import getcurrent, greenlet
except ImportError as error:
    raise ImportError("switching handlers need greenlet: pip install 'partway[socketserver]'") from error


class Switching:
    """A machine around a function that waits: what it waits for in its greenlet is what the machine wants."""

    def __init__(self, row: Row, connection: Connection, run: Callable[[], None]) -> None:
        self.row = row
        self.inbox = Inbox(row)
        self.over = False  # the peer's end has come
        self.answered = False  # something was sent since the last byte was read
        self.idle = False  # it waits for a request, of which nothing has come
        self.timeout = connection.gettimeout()
        self.failure: OSError | None = None  # the row has ended: nothing can be said any more
        self.greenlet: Any = greenlet(run)
        self.outer: Any = None  # who steps
        connection.way = self

    # What the engine calls.

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if data:
            self.inbox.feed(data)
        else:
            self.over = True

    def step(self) -> Want:
        """Let the handler go on until it waits for something."""
        want: Want = self._go_on()
        return CLOSE if self.greenlet.dead else want

    def ended(self, reason: Reason) -> None:
        """Tell the handler where it waits: an idle one of an end, others by an exception. Its `finally` is run."""
        self.failure = _failure_of(reason)
        if self.greenlet and not self.greenlet.dead:
            self.over = True
            self._go_on(None if self.idle and reason.cause in _ORDERLY else self.failure)

    def describe(self) -> str:
        """Say that this is a handler that waits."""
        return f"switching, {len(self.inbox)} bytes unread"

    def _go_on(self, error: OSError | None = None) -> Any:
        self.outer = self.greenlet.parent = getcurrent()
        return self.greenlet.switch() if error is None else self.greenlet.throw(error)

    # What the handler calls, in its greenlet.

    def _want(self, want: Want) -> None:
        if self.failure is not None:
            raise self.failure
        self.outer.switch(want)

    def read(self, size: int) -> bytes:
        """Return what has come, once there is something. Raises TimeoutError, and OSError when the row has ended."""
        if not self.inbox and not self.over:
            self._wait()
        return self.inbox.take(size)

    def _wait(self) -> None:
        """Wait for bytes. Between what was sent last and what comes next nobody has asked for anything."""
        self.idle = idle = self.answered or not self.row.received
        if self.answered:
            self.answered = False
            self._want(NEXT)
        if self.timeout is None:
            while not self.inbox and not self.over:
                self._want(IDLE if idle else READ)
        else:
            self._wait_for(self.timeout, idle)
        self.idle = False

    def _wait_for(self, seconds: float, idle: bool) -> None:
        if not seconds:
            raise BlockingIOError("nothing has come")
        due = self.row.now + seconds
        while not self.inbox and not self.over:
            left = due - self.row.now
            if left <= 0:
                raise TimeoutError("timed out")
            self._want(Idle(left) if idle else Read(left))

    def write(self, data: Data) -> None:
        """Send all of it, however long the peer takes."""
        self.answered = True
        self._want(data)

    def half_close(self) -> None:
        """End our side, as soon as all has gone."""
        if self.failure is None:
            self._want(HALF_CLOSE)

    def set_timeout(self, seconds: float | None) -> None:
        """Wait so long for bytes that come, and for an answer to be taken."""
        self.timeout = seconds
        if seconds:
            self.row.limits = replace(self.row.limits, stall_seconds=seconds)


_ORDERLY = (Cause.DRAINED, Cause.IDLE_TOO_LONG)
"""To who is idle then, they are what a client's end would be."""


def _failure_of(reason: Reason) -> OSError:
    """Return what a socket would have raised."""
    if reason.cause is Cause.PEER_LOST:
        return ConnectionResetError(ECONNRESET, str(reason))
    if reason.cause in (Cause.ANSWER_TOO_SLOW, Cause.IDLE_TOO_LONG, Cause.REQUEST_TOO_SLOW, Cause.WAITED_TOO_LONG):
        return TimeoutError(str(reason))
    return ConnectionAbortedError(str(reason))
