"""Handlers that run on memory: the whole request first, then the handler in one go, then its answer leaves by and by.

No dependency, and no stack that waits; so slow clients cost a handler nothing, and it works wherever the engine does.
It takes a protocol whose requests end where that can be seen (`framing`). A handler that would read on when its request
is over has kept the connection: the next request gets a new handler. What a handler computes, everybody waits for.
"""

import tempfile
from collections.abc import Callable
from http import HTTPStatus
from typing import BinaryIO, cast

from ..buffers import Inbox
from ..machine import CLOSE, IDLE, NEXT, READ, Cause, File, Reason, Want
from ..row import Row
from .connection import Connection, Data, Memory
from .framing import Framer


class Answer:
    """What a handler has written: in memory, and on disk when it is long."""

    def __init__(self, spool_bytes: int) -> None:
        self._spool_bytes = spool_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self.file: BinaryIO | None = None

    def write(self, data: Data) -> None:
        """Put bytes behind it."""
        piece = bytes(data)
        self._size += len(piece)
        if self.file is None and self._size > self._spool_bytes:  # closed when it has been sent
            self.file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
            self.file.writelines(self._pieces)
            self._pieces.clear()
        if self.file is None:
            self._pieces.append(piece)
        else:
            self.file.write(piece)

    def want(self) -> Want:
        """Return it as what is to be sent."""
        if self.file is None:
            return b"".join(self._pieces)
        self.file.flush()
        return File(self.file, 0, self._size)

    def close(self) -> None:
        """Free it."""
        if self.file is not None:
            self.file.close()
            self.file = None


class Buffered:
    """A machine that runs `serve` once for each request, on a connection of its own in memory.

    `over()` is called where it ends before the first.
    """

    def __init__(
        self,
        row: Row,
        connection: Connection,
        framer: Framer,
        serve: Callable[[Connection], None],
        over: Callable[[], None],
    ) -> None:
        self.row = row
        self.connection = connection
        self.framer = framer
        self.serve = serve
        self.over_unserved: Callable[[], None] | None = over
        self.inbox = Inbox(row)
        self.over = False  # the peer's end has come
        self.goes_on = True  # the handler has kept the connection
        self.answered = False
        self.answer: Answer | None = None

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if data:
            self.inbox.feed(data)
        else:
            self.over = True

    def step(self) -> Want:
        """Run the handler on a request that is whole, and send its answer."""
        if self.answered:
            self.answered = False
            self._forget_answer()
            return NEXT
        if not self.goes_on:
            return CLOSE
        size = self.framer.measure(self.inbox, self.row.limits)
        if size is None:
            if not self.over:
                return READ if self.inbox else IDLE
            if not self.inbox:
                return CLOSE
            size = len(self.inbox)  # the handler sees a request that ends too early, as it would have
        self.framer.next()
        return self._run(self.inbox.take(size))

    def _run(self, request: bytes) -> Want:
        answer = self.answer = Answer(self.row.limits.spool_bytes)
        connection = Connection(self.connection.channel)
        way = connection.way = Memory(request, answer.write)
        self.over_unserved = None
        self.serve(connection)
        self.goes_on = way.wanted_more and not self.over
        self.answered = True
        return answer.want()

    def _forget_answer(self) -> None:
        if self.answer is not None:
            self.answer.close()
            self.answer = None

    def ended(self, reason: Reason) -> None:
        """Free what is left of an answer."""
        self._forget_answer()
        if self.over_unserved is not None:
            self.over_unserved()

    def refuse(self, reason: Reason) -> bytes | None:
        """Answer a mistake of the peer's that the protocol has a number for; else say nothing."""
        if self.answer is not None:
            return None
        if reason.cause is not Cause.PEER_ERROR or not isinstance(reason.hint, int):
            return b""
        status = HTTPStatus(reason.hint)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return head.encode("ascii")

    def describe(self) -> str:
        """Say that this is a handler that runs on memory."""
        return f"buffered, {len(self.inbox)} bytes of a request"
