"""A generator function as a machine, for who prefers `line = yield LINE` to a state of one's own.

    def shout(row):
        while line := (yield LINE):
            yield line.upper()

    reactor.listen("127.0.0.1:7007", machine_of(shout))

What is yielded is a want, as a machine returns it; `READ` and `IDLE` come back with the bytes that have come, `LINE`
with a whole line, `Call` with its outcome; b"" is the peer's end, and None a `Read(seconds)` whose time is over. It
costs a generator's frame a row, and its place in its code is no data: such a row cannot be frozen, and is drained.
"""

from collections.abc import Callable, Generator
from typing import Any

from ..buffers import LineBuffer
from ..machine import CLOSE, IDLE, READ, Idle, Outcome, PeerError, Read, Reason, Signal, Want
from ..row import Row
from .connection import Nowhere

LINE = Signal("LINE")
"""Wait for a whole line, and come back with it, its end counted; with b"" at the peer's end."""

Steps = Generator[Any, Any, None]


def machine_of(function: Callable[[Row], Steps]) -> Callable[[Row], "Generating"]:
    """Return a factory of machines, each of which runs `function(row)`."""
    return lambda row: Generating(row, function(row))


class Generating:
    """A machine around a generator. It goes on when what it waits for has come."""

    def __init__(self, row: Row, steps: Steps) -> None:
        self.row = row
        self.steps = steps
        self.name: str = getattr(steps, "__name__", "generator")
        self.lines = LineBuffer(row, row.limits.line_bytes)
        self.over = False
        self.waits: Any = None  # what was yielded last
        self.outcome: Outcome | None = None

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if data:
            self.lines.feed(data)
        else:
            self.over = True

    def resume(self, outcome: Outcome) -> None:
        """Store what came of a call."""
        self.outcome = outcome

    def step(self) -> Want:
        """Go on with what has come, if that is what was waited for."""
        waits = self.waits
        value: Any = None
        if waits is LINE:
            value = self._line()
            if value is None:
                return READ if len(self.lines) else IDLE
        elif waits is READ or waits is IDLE:
            value = self.lines.inbox.take()
            if not value and not self.over:
                return waits
        elif isinstance(waits, (Read, Idle)):
            value = self.lines.inbox.take() or (b"" if self.over else None)
        elif self.outcome is not None:
            value, self.outcome = self.outcome, None
        try:
            self.waits = want = self.steps.send(value)
        except StopIteration:
            return CLOSE
        if want is LINE or want is READ or want is IDLE:
            return b""  # what it waits for may have come already: an empty output means to step again
        return want  # type: ignore[no-any-return]

    def _line(self) -> bytes | None:
        """Return a line, at the peer's end what is left, or None where neither has come."""
        if self.over and self.lines.inbox.find(b"\n") < 0:
            return self.lines.inbox.take()
        return self.lines.take()

    def ended(self, reason: Reason) -> None:
        """Close the generator where it stands: its `finally` is run."""
        self.steps.close()

    def describe(self) -> str:
        """Say what it is, and what it waits for."""
        return f"{self.name} at {self.waits!r}"


class Handling(Generating):
    """A request handler of `socketserver` whose `handle()` is a generator.

    `setup()` and `finish()` are called before and after it, `handle_error()` for an exception. `self.request` tells
    addresses and sets options; what is read and written is yielded. `process_request()` and `finish_request()` are not
    asked: they would have run the handler to its end; nor is `__init__()`, for the same reason.
    """

    def __init__(self, row: Row, connection: Any, server: Any) -> None:
        connection.way = Nowhere("a handler that is a generator yields what it wants to read and to send")
        kind = server.RequestHandlerClass
        self.connection = connection
        self.server = server
        self.handler = handler = kind.__new__(kind)
        handler.request, handler.client_address, handler.server = connection, row.peer, server
        super().__init__(row, self._live())
        self.name = kind.__name__

    def _live(self) -> Steps:
        self.handler.setup()
        try:
            yield from self.handler.handle()
        finally:
            self.handler.finish()

    def step(self) -> Want:
        """Go on. An exception of the handler's is told to its server, as it would have been."""
        try:
            return super().step()
        except PeerError:
            raise
        except Exception:
            self.server.handle_error(self.connection, self.row.peer)
            return CLOSE

    def ended(self, reason: Reason) -> None:
        """Close the generator, which lets the handler finish, whatever has come between."""
        try:
            super().ended(reason)
        except Exception:
            self.server.handle_error(self.connection, self.row.peer)
        finally:
            self.server.shutdown_request(self.connection)
            self.server.ended()
