"""An application for HTTP's clients to talk to: it does all that a handler may, and knows what `Converse` says."""

import re
from zlib import crc32

from ...engine import NEXT, READ, Inbox, Wait, Want
from ...protocols.http import Request, Response, Taker, page
from ..clients.http import PATTERN

_PATHS = re.compile(
    rb"/(?P<name>echo|closed|count|enough|stream|)"
    rb"(?:/(?P<first>[0-9]{1,6})(?:/(?P<piece>[0-9]{1,6})/(?P<pause>[0-9]{1,2})/(?P<framing>sized|chunked))?)?"
)
PIECES_MOST = 100  # of an answer with pauses between them


class Application:
    """Answers as the paths say; see `Converse`. What they don't say is a 404: some clients garble theirs."""

    def begin(self, request: Request) -> Response | Taker | None:
        """Decide before the body comes, or take it in pieces; None to have it collected."""
        found = _PATHS.fullmatch(request.head.path)
        name, first = (b"", 0) if found is None else (found["name"], int(found["first"] or 0))
        if name == b"closed":
            return page(403, "Nobody may.")
        if name == b"count":
            return Count(request, min(first, 10) / 1000)
        if name == b"enough":
            return Enough(first)
        return None

    def __call__(self, request: Request) -> Response:
        """Answer a request whose body, if any, is whole."""
        found = _PATHS.fullmatch(request.head.path)
        name = b"" if found is None else found["name"]
        if name == b"echo":
            body = b"" if request.body is None else request.body.value()
            if request.trailers not in ((), ((b"x-check", b"%08x" % crc32(body)),)):
                return page(500, "Those were other trailers.")
            return Response(200, (), body)
        if name == b"stream" and found is not None and found["piece"] is not None:
            size, piece, pause = min(int(found["first"]), len(PATTERN)), int(found["piece"]) or 1, int(found["pause"])
            if not pause or size < PIECES_MOST * piece:
                return Response(200, (), Stream(size, piece, pause / 1000, found["framing"] == b"sized"))
        return Response(204) if name == b"" and found is not None else page(404, "There is no such file.")


class Stream:
    """So many bytes of the pattern, in pieces of each kind that there is, with pauses."""

    def __init__(self, size: int, piece: int, pause: float, sized: bool) -> None:
        self.size: int | None = size if sized else None
        self.place = 0
        self.end = size
        self.piece = piece
        self.pause = pause
        self.steps = 0

    def step(self) -> Want:
        """Return the next piece, wait, or do nothing for a step."""
        self.steps += 1
        if self.steps % 7 == 3:
            return b""
        if self.pause and self.steps % 3 == 2:
            return Wait(self.pause)
        if self.place >= self.end:
            return NEXT
        begin, self.place = self.place, min(self.end, self.place + self.piece)
        piece = PATTERN[begin : self.place]
        return memoryview(piece) if self.steps % 2 else piece

    def close(self) -> None:
        """Nothing is open."""


class Count:
    """Takes a body in pieces and with pauses, and tells its size and checksum."""

    def __init__(self, request: Request, pause: float) -> None:
        self.inbox = Inbox(request.row)
        self.pause = pause
        self.paused = False
        self.whole = False
        self.size = 0
        self.check = 0

    def feed(self, data: bytes) -> None:
        """Store it."""
        if data:
            self.inbox.feed(data)
        else:
            self.whole = True

    def step(self) -> Want | Response:
        """Look at what has come, after a pause."""
        self.paused = bool(self.pause) and not self.paused
        if self.paused and self.inbox:
            return Wait(self.pause)
        data = self.inbox.take()
        self.size += len(data)
        self.check = crc32(data, self.check)
        if not self.whole:
            return READ
        return Response(200, (), b"%d %08x\n" % (self.size, self.check))

    def close(self) -> None:
        """Forget it."""
        self.inbox.take()


class Enough:
    """Hears so many bytes, and no more."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.whole = False

    def feed(self, data: bytes) -> None:
        """Count it."""
        self.left -= len(data)
        self.whole = self.whole or not data

    def step(self) -> Want | Response:
        """Ask for more, or say that it is enough."""
        if self.left > 0 and not self.whole:
            return READ
        enough = Response(200, (), b"enough\n")
        enough.closes = True
        return enough
