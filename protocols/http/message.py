"""What a handler is given and what it gives back: requests, answers, and bodies that are pulled.

A handler is a function from `Request` to `Response`. It is called when the request's body is whole; one that wants to
decide earlier, or to take the body as it arrives, has a method `begin` besides (see `Handler`).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple, Protocol

from ...engine import Row, Want
from .head import Head
from .spool import Spool

JOIN_BYTES = 16 * 1024  # an answer up to here leaves in one piece: copying it costs less than a second send

BODILESS = frozenset({100, 101, 204, 304})  # answers without body or length (RFC 9110, 8.6)

Headers = tuple[tuple[str, str], ...]

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999; file systems know others

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """One request: its head, the row that it came through, and its body once that is whole.

    `body` is None for a request without one, and until the body is whole. `trailers` are the fields after a chunked
    body, names in lower case.
    """

    __slots__ = ("body", "head", "row", "trailers")

    def __init__(self, head: Head, row: Row) -> None:
        self.head = head
        self.row = row
        self.body: Spool | None = None
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def method(self) -> str:
        """The method, in capitals as it came."""
        return self.head.method

    @property
    def target(self) -> bytes:
        """The target as it came, percent-encoded."""
        return self.head.target

    @property
    def version(self) -> tuple[int, int]:
        """(1, 0) or (1, 1)."""
        return self.head.version

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """All headers, names in lower case; one that comes twice is there twice."""
        return self.head.headers

    @property
    def peer(self) -> object:
        """Who asks: (host, port), or a path."""
        return self.row.peer

    @property
    def wall(self) -> float:
        """Seconds since 1970, for dates."""
        return self.row.wall

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, given in lower case."""
        return self.head.header(name)


class Body(Protocol):
    """An answer's body that is pulled, piece by piece. Its state is plain data, so that its row freezes.

    `size` is the number of its bytes; None where it is not known, and then it leaves in chunks, or until the
    connection ends for a client of HTTP/1.0. A body that ends early or late for its size is a bug, and resets.
    One that holds much in memory has a property `held` besides, its bytes, which then count as the row's.
    """

    size: int | None

    def step(self) -> Want:
        """Return the next piece of bytes or `File`, or wait (`PARK`, `Wait`); `NEXT` when all has been handed over.

        b"" means: not yet, step again. Do one bounded piece of work.
        """
        ...

    def close(self) -> None:
        """Let go of what is open. Called once, also where the answer was cut off or its body was not wanted."""
        ...


class Response:
    """One answer. `headers` need no Content-Length, Date or Connection: those are the connection's business.

    A response whose body is bytes may be returned again and again; its first lines are put together only once.
    """

    __slots__ = ("body", "closes", "headers", "rest", "start", "status", "whole")

    def __init__(self, status: int, headers: Headers = (), body: bytes | Body = b"", start: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.start = start  # the status line and the headers, from `start_of`
        self.rest = b""  # for a body of bytes: its length, the head's end, and itself unless it is long
        self.closes = False  # the connection ends after it, whatever the client wishes
        self.whole = False  # both have been put together, and the body is in there

    def prepare(self) -> None:
        """Put together what leaves. Raises ValueError for what cannot be: see `start_of`, and a 204 with a body."""
        if self.status in BODILESS and self.body != b"":
            raise ValueError(f"a {self.status} has no body")
        if not self.start:
            self.start = start_of(self.status, self.headers)
        if isinstance(self.body, bytes):
            self.whole = len(self.body) <= JOIN_BYTES
            if self.status in BODILESS:
                self.rest = b"\r\n"
            else:
                self.rest = b"Content-Length: %d\r\n\r\n%b" % (len(self.body), self.body if self.whole else b"")


class Taker(Protocol):
    """What takes a request's body as it arrives, instead of having it collected. Plain data, as a machine is."""

    def feed(self, data: bytes, /) -> None:
        """Store bytes of the body; b"" once, when it is whole."""
        ...

    def step(self) -> Want | Response:
        """Say `READ` for more of the body, `PARK` or `Wait`, b"" to be stepped again; or answer.

        An answer before the body's end leaves the rest of it unread, and the connection is closed after it.
        """
        ...


class Handler(Protocol):
    """Answers requests. It may have a method `begin(request) -> Response | Taker | None` besides.

    `begin` is called when the head has come and before a body is asked for: it may answer at once, return what takes
    the body as it arrives, or None to have the body collected. And it may have a method `tick(row)`, called once a
    second while it is asked; and `remembered(head, date) -> bytes | None`, asked first for a simple head whose `memo`
    the handler has set: the whole answer to the same bytes, with this Date header in it.
    """

    def __call__(self, request: Request, /) -> Response:
        """Answer a request whose body, if any, is whole."""
        ...


class Answered(NamedTuple):
    """One line of an access log: what was asked and what was answered. `head` is None where none was read."""

    peer: object
    wall: float
    head: Head | None
    status: int
    sent: int
    """Bytes of the answer's body that have left."""


Log = Callable[[Answered], None]


@lru_cache(maxsize=256)
def start_of(status: int, headers: Headers) -> bytes:
    """Return the status line and headers as bytes. Raises ValueError for no status, or a header with a line break."""
    if not 100 <= status <= 599:
        raise ValueError(f"{status} is no status (RFC 9110, 15)")
    first = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"
    lines = [first, "Server: partway", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in an answer's header")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def page(status: int, text: str, headers: Headers = ()) -> Response:
    """Answer with one sentence."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"), *headers), f"{text}\n".encode())


@lru_cache(maxsize=64)
def refusal(status: int) -> Response:
    """Answer with a status and its name."""
    return page(status, f"{status} {_PHRASES[status]}")


@lru_cache(maxsize=256)
def http_date(seconds: int) -> str:
    """Write a time as HTTP does (RFC 9110, 5.6.7), whatever the locale."""
    moment = datetime.fromtimestamp(min(max(seconds, FIRST_SECOND), LAST_SECOND), UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"
