"""HTTP/1.0 and 1.1 as a machine: heads in, answers out, one request a step.

What a half-done request is: the bytes of its head that have come (kept raw until the head is whole), or what is left of
its answer. Nothing else lives in the machine, so it freezes at any byte. What is answered is a handler's business: a
function from `Request` to `Response`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from ...engine import CLOSE, IDLE, NEXT, Cause, File, Inbox, PeerError, Read, Reason, Row, Want
from .head import HEAD_END, LINE_END, Head, parse_head
from .open_file import OpenFile

JOIN_BYTES = 16 * 1024  # an answer up to here leaves in one piece: copying it costs less than a second send

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999; file systems know others

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Request(NamedTuple):
    """One request, as a handler sees it."""

    head: Head
    peer: object
    wall: float
    """Seconds since 1970, for dates."""


class Response(NamedTuple):
    """One answer. `body` is bytes, or an open file that is sent whole and then closed."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | OpenFile = b""


Handler = Callable[[Request], Response]


class Http:
    """One HTTP connection. `reactor.listen(address, Server(handler))` makes one for each row."""

    __slots__ = ("answering", "closing", "file", "handler", "head_until", "inbox", "outgoing", "row")

    def __init__(self, row: Row, handler: Handler) -> None:
        self.row = row
        self.handler = handler
        self.inbox = Inbox(row)
        self.head_until = 0.0  # when a head that has begun must be whole; 0 while none has
        self.outgoing: list[bytes | File] = []  # what is left of the answer, the last piece first
        self.file: OpenFile | None = None  # the file that is being sent
        self.answering = False  # an answer has begun and not ended
        self.closing = False  # it is the last on this connection

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.inbox.feed(data)

    def step(self) -> Want:
        """Hand over the next piece of an answer, or end it, or begin the next request's."""
        if self.outgoing:
            return self.outgoing.pop()
        if self.answering:
            self._close_file()
            self.answering = False
            return CLOSE if self.closing else NEXT
        self.inbox.skip(LINE_END)  # blank lines before a request are no request (RFC 9112, 2.2)
        size = self.inbox.find(HEAD_END)
        if size < 0:
            return self._wait_for_head()
        self.head_until = 0.0
        raw = self.inbox.take(size + len(HEAD_END))
        self._check_size(raw)
        self._answer(parse_head(raw, self.row.limits.headers_max))
        return self.outgoing.pop()

    def refuse(self, reason: Reason) -> bytes:
        """Say why, unless an answer has begun or nobody has asked anything."""
        status = _REFUSALS.get(reason.cause, 0)
        if reason.cause is Cause.PEER_ERROR:
            status = reason.hint or 400
        if self.answering or not status:
            return b""
        text = f"{status} {HTTPStatus(status).phrase}\n".encode()
        return self._head(Response(status, (("Content-Type", "text/plain"),)), len(text), b"close") + text

    def ended(self, reason: Reason) -> None:
        """Close what is open."""
        self._close_file()

    def remaining(self) -> int:
        """Return how much is left to send after the piece that the engine has."""
        return sum(len(piece) for piece in self.outgoing)

    def describe(self) -> str:
        """Say what is being sent, or how much of a head has come."""
        if self.file is not None:
            return f"sends {self.file.path}"
        return f"{len(self.inbox)} bytes of a head" if self.inbox else "HTTP"

    def _wait_for_head(self) -> Want:
        limits = self.row.limits
        if not self.inbox:
            return IDLE
        if len(self.inbox) > limits.line_bytes:
            self._check_size(self.inbox.peek(limits.line_bytes + len(LINE_END)))
            if len(self.inbox) > limits.head_bytes:
                raise PeerError("head too large", 431)
        if not self.head_until:
            self.head_until = self.row.now + limits.head_seconds
        left = self.head_until - self.row.now
        if left <= 0:
            raise PeerError(f"head not whole after {limits.head_seconds} s", 408)
        return Read(left)

    def _check_size(self, raw: bytes) -> None:
        limits = self.row.limits
        line = raw.find(LINE_END)
        if line > limits.line_bytes or (line < 0 and len(raw) > limits.line_bytes):
            raise PeerError("request line too long", 414)
        if len(raw) > limits.head_bytes:
            raise PeerError("head too large", 431)

    def _answer(self, head: Head) -> None:
        response = self.handler(Request(head, self.row.peer, self.row.wall))
        try:
            self._begin(head, response)
        except BaseException:
            if isinstance(response, Response) and isinstance(response.body, OpenFile):
                response.body.close()
            raise

    def _begin(self, head: Head, response: Response) -> None:
        body = response.body
        self.closing = not head.keeps_alive or head.has_body  # a body that nobody reads is left to the lingering close
        keeps = b"close" if self.closing else b"keep-alive" if head.version < (1, 1) else b""
        size = len(body) if isinstance(body, bytes) else body.size
        start = self._head(response, size, keeps)
        if isinstance(body, bytes):
            self.outgoing = [start + body if head.method != "HEAD" else start]
        elif head.method == "HEAD" or not size:
            body.close()
            self.outgoing = [start]
        elif size <= JOIN_BYTES:
            self.outgoing = [start + _whole(body)]
        else:
            self.file = body
            self.outgoing = [File(body, 0, size), start]
        self.answering = True

    def _head(self, response: Response, size: int, connection: bytes) -> bytes:
        lines = [
            f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
            f"Date: {http_date(self.row.wall)}",
            "Server: partway",
            *(f"{name}: {value}" for name, value in response.headers),
        ]
        if response.status != HTTPStatus.NO_CONTENT:  # which has no length (RFC 9110, 8.6)
            lines.append(f"Content-Length: {size}")
        if connection:
            lines.append(f"Connection: {connection.decode()}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in an answer's header")
        return "\r\n".join(lines).encode("latin-1") + HEAD_END

    def _close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class Server:
    """Makes an `Http` of each row, with one handler for all."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, row: Row) -> Http:
        """Make one."""
        return Http(row, self.handler)


_REFUSALS = {
    Cause.REQUEST_TOO_SLOW: 408,
    Cause.MACHINE_ERROR: 500,
    Cause.WAITED_TOO_LONG: 504,
    Cause.EVICTED: 503,
}


def _whole(file: OpenFile) -> bytes:
    """Read a small file and close it. Raises OSError where it is shorter than it was."""
    try:
        data = file.read(file.size)
    finally:
        file.close()
    if len(data) != file.size:
        raise OSError(f"{file.path!r} changed while it was read")
    return data


def http_date(seconds: float) -> str:
    """Write a time as HTTP does (RFC 9110, 5.6.7), whatever the locale."""
    moment = datetime.fromtimestamp(int(min(max(seconds, FIRST_SECOND), LAST_SECOND)), UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"
