"""Where a request's body ends: by its length, or chunk by chunk, with plain counters (RFC 9112, 6 and 7).

No library keeps its place in a half-read body as plain data, so this is our own. It is strict: what another server
might read in another way ends the connection.
"""

import re

from ...engine import Inbox, Limits, PeerError
from .head import CHUNKED, HEAD_END, LINE_END

CHUNKS_A_STEP = 32  # read in one step; a body of one-byte chunks has thousands in one receive

# What the next bytes are.
DATA, CHUNK_SIZE, CHUNK_END, TRAILERS, DONE = range(5)

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")


class Framing:
    """One body's frame: takes out of an inbox what belongs to the body.

    `length` is a head's: bytes, or CHUNKED. `trailers` are there once it is done.
    """

    __slots__ = ("chunked", "left", "next", "trailers")

    def __init__(self, length: int) -> None:
        self.chunked = length == CHUNKED
        self.left = 0 if self.chunked else length  # bytes of the body or the chunk that have not been taken
        self.next = CHUNK_SIZE if self.chunked else DATA if length else DONE
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def done(self) -> bool:
        """True once the body has been taken whole."""
        return self.next == DONE

    def take(self, inbox: Inbox, limits: Limits) -> bytes:
        """Take out what has come of the body, at most CHUNKS_A_STEP chunks; b"" where nothing has.

        Raises PeerError (400, 431) for a body that is framed wrongly.
        """
        if not self.chunked:
            return self._data(inbox)
        pieces = []
        for _ in range(CHUNKS_A_STEP):
            if self.next == CHUNK_SIZE and not self._size(inbox, limits):
                break
            if self.next == TRAILERS:
                self._trailers(inbox, limits)
                break
            pieces.append(self._data(inbox))
            if self.next != CHUNK_END or not self._end(inbox):
                break
        return b"".join(pieces)

    def _data(self, inbox: Inbox) -> bytes:
        if self.next != DATA:
            return b""
        data = inbox.take(self.left)
        self.left -= len(data)
        if not self.left:
            self.next = CHUNK_END if self.chunked else DONE
        return data

    def _size(self, inbox: Inbox, limits: Limits) -> bool:
        """Read a chunk's size, if its line has come."""
        length = inbox.find(LINE_END)
        if length > limits.chunk_line_bytes or (length < 0 and len(inbox) > limits.chunk_line_bytes + 1):  # "\r"
            raise PeerError("a chunk's first line is too long", 400)
        if length < 0:
            return False
        match = _CHUNK_LINE.fullmatch(inbox.take(length + len(LINE_END))[:length])
        if match is None:
            raise PeerError("malformed chunk size", 400)
        self.left = int(match[1], 16)
        self.next = DATA if self.left else TRAILERS
        return True

    def _end(self, inbox: Inbox) -> bool:
        """Read the empty line after a chunk's bytes, if it has come."""
        if inbox.peek(1) not in (b"", b"\r"):
            raise PeerError("a chunk is longer than it says", 400)
        if len(inbox) < len(LINE_END):
            return False
        if inbox.take(len(LINE_END)) != LINE_END:
            raise PeerError("a chunk is longer than it says", 400)
        self.next = CHUNK_SIZE
        return True

    def _trailers(self, inbox: Inbox, limits: Limits) -> None:
        """Read the fields after the last chunk up to their empty line, if all that has come."""
        if inbox.peek(len(LINE_END)) == LINE_END:
            inbox.drop(len(LINE_END))
            self.next = DONE
            return
        length = inbox.find(HEAD_END)
        if (len(inbox) if length < 0 else length + len(HEAD_END)) > limits.head_bytes:
            raise PeerError("trailers too large", 431)
        if length < 0:
            return
        lines = inbox.take(length + len(HEAD_END))[:length].split(LINE_END)
        if len(lines) > limits.headers_max:
            raise PeerError(f"over {limits.headers_max} trailers", 431)
        fields = [_TRAILER.fullmatch(line) for line in lines]
        if None in fields:
            raise PeerError("malformed trailer", 400)
        self.trailers = tuple((field[1].lower(), field[2].rstrip(b" \t")) for field in fields if field is not None)
        self.next = DONE
