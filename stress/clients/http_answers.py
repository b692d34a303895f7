"""HTTP's answers as a client reads them: piece by piece, in bounded memory, each byte once.

It is a second reading of RFC 9112: not a line of the server's is used. What is owed is known before it comes: status,
headers, framing and body; of a body that is the server's own words, only its length where those are not known.
"""

import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from random import Random
from typing import NamedTuple
from zlib import crc32

from .dialogue import SHOWN, WrongError

LINE_END = b"\r\n"
HEAD_END = b"\r\n\r\n"
VERSION = b"HTTP/1.1 "
HEAD_MOST = 16 * 1024  # bytes of an answer's head
SIZE_MOST = 20  # of a chunk's first line

# In place of a length.
CHUNKED = -1
TO_THE_END = -2  # of the connection, or nothing at all
OF_ITSELF = -3  # the answer says it: the body is the server's own words

CONTINUE = 100
TIMED_OUT = frozenset({408, 504})
"""What the server may say at any time in place of an answer, if it closes: that its patience has ended."""

Fields = tuple[tuple[bytes, bytes], ...]


class Answer(NamedTuple):
    """What is owed for one request."""

    status: int
    body: bytes | None = b""
    """None for the server's own words, whatever they are."""

    length: int = 0
    """Bytes, or one of the above."""

    fields: Fields = ()
    """Headers that it must have, besides those of its framing."""

    bare: bool = False
    """No body follows, whatever its length says: HEAD's, and those of some statuses."""

    closes: bool = False
    """The connection ends after it."""

    keeps: bool = False
    """It says that the connection goes on, as a client of HTTP/1.0 must be told."""

    ranges: tuple[tuple[int, int], ...] = ()
    """It has several parts, (offset, count) of the body, whose boundary it tells itself."""

    kind: bytes = b""
    """The content type of each part."""

    certain: bool = True
    """Without it nothing need be said at all: it is the last word to somebody who has made a mistake."""


def refusal(status: int) -> Answer:
    """Return what may be said to somebody who has made a mistake, or has taken too long."""
    return Answer(status, None, OF_ITSELF, closes=True, certain=False)


class Head(NamedTuple):
    """What the first lines of an answer say."""

    status: int
    fields: dict[bytes, bytes]
    length: int
    closes: bool
    keeps: bool


@lru_cache(maxsize=512)
def read_head(raw: bytes) -> Head:
    """Read an answer's first lines, up to the empty one. Raises WrongError for what is not HTTP."""
    first, *lines = raw.removesuffix(HEAD_END).split(LINE_END)
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise WrongError(f"this is no status line: {first[:SHOWN]!r}")
    fields = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise WrongError(f"this is no header: {line[:SHOWN]!r}")
        name = field[1].lower()
        if name in fields:
            raise WrongError(f"this header comes twice: {line[:SHOWN]!r}")
        fields[name] = field[2]
    status = int(found[1])
    if status >= 200:
        _check_date(fields.get(b"date", b""))
    tokens = {token.strip().lower() for token in fields.get(b"connection", b"").split(b",")}
    return Head(status, fields, _length(fields), b"close" in tokens, b"keep-alive" in tokens)


def _length(fields: dict[bytes, bytes]) -> int:
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if length is not None and coding is not None:
        raise WrongError("an answer says its length twice")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise WrongError(f"nobody has asked for this coding: {coding[:SHOWN]!r}")
        return CHUNKED
    if length is None:
        return TO_THE_END
    if not _LENGTH.fullmatch(length):
        raise WrongError(f"this is no length: {length[:SHOWN]!r}")
    return int(length)


def _check_date(value: bytes) -> None:
    """Check that it is a date of this century, and on the right day of the week."""
    found = _DATE.fullmatch(value)
    if found is not None and found[3] in _MONTHS:
        day, year, hour, minute, second = (int(found[place]) for place in (2, 4, 5, 6, 7))
        try:
            moment = datetime(year, _MONTHS.index(found[3]) + 1, day, hour, minute, second)
        except ValueError:
            pass
        else:
            if 2000 <= year < 2100 and _DAYS[moment.weekday()] == found[1]:
                return
    raise WrongError(f"this is no date: {value[:SHOWN]!r}")


_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [\t -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?|)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_DATE = re.compile(rb"(\w{3}), (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_BOUNDARY = re.compile(rb"multipart/byteranges; *boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")

_HEAD, _BODY, _SIZE, _CHUNK_END, _LAST = range(5)


class Answers:
    """A client's side of HTTP that hears: a subclass gives `exchange`, a request and what is owed for it.

    `pages` are the server's own words by status, as far as they are known.
    """

    def __init__(self, random: Random, pages: Mapping[int, bytes]) -> None:
        self.random = random
        self.pages = pages
        self.asked = 0
        self.answered = 0
        self.last = False
        self.refused = 0  # with this status, in place of the answers that were owed
        self.finals = 0  # answers that came whole and were no 100
        self.statuses = 0  # a digest of theirs
        self.owed: deque[Answer] = deque()
        self.awaited = False  # a body that the server has asked for, and that was not said yet
        self.stage = _HEAD
        self.line = bytearray()  # what has come of a head, or of a chunk's first line
        self.chunked = False
        self.body: bytes | None = None
        self.heard = 0  # bytes of it
        self.left = 0  # bytes of the body or the chunk that have not come

    def exchange(self) -> tuple[bytes, Answer]:
        """Return a request and what is owed for it."""
        raise NotImplementedError

    def ask(self) -> bytes:
        """Return the next request, and remember what is owed for it."""
        said, answer = self.exchange()
        self.asked += 1
        self.owed.append(answer)
        if answer.closes:
            self.last = True
            if not answer.certain:
                self.answered += 1
        return said

    def hear(self, data: bytes) -> None:
        """Compare with what is owed. Raises WrongError."""
        place, size = 0, len(data)
        while place < size:
            if self.stage == _HEAD:
                place = self._hear_head(data, place)
            elif self.stage == _BODY:
                place = self._hear_body(data, place)
            else:
                place = self._hear_line(data, place)

    def _gather(self, data: bytes, place: int, mark: bytes, most: int) -> tuple[bytes, int]:
        """Take bytes up to and with a mark, b"" where it has not come; each is looked at once."""
        line = self.line
        before = len(line)
        if not before:
            end = data.find(mark, place, place + most)
            if end >= 0:
                end += len(mark)
                return data[place:end], end
        line += data[place : place + most - before]
        end = line.find(mark, max(0, before - len(mark) + 1))
        if end >= 0:
            end += len(mark)
            taken = bytes(line[:end])
            line.clear()
            return taken, place + end - before
        if len(line) >= most:
            raise WrongError(f"{mark!r} does not come, but {bytes(line[:SHOWN])!r}")
        return b"", len(data)

    def _hear_head(self, data: bytes, place: int) -> int:
        if not self.owed:
            if not self.awaited:
                raise WrongError(f"nothing is owed, heard {data[place : place + SHOWN]!r}")
            self.owed.append(refusal(0))  # none but the end of the server's patience
        raw, place = self._gather(data, place, HEAD_END, HEAD_MOST)
        if not raw:
            if not VERSION.startswith(self.line[: len(VERSION)]):
                raise WrongError(f"no answer begins like this: {bytes(self.line[:SHOWN])!r}")
            return place
        head = read_head(raw)
        answer = self.owed[0]
        if answer.status == CONTINUE and head.status != CONTINUE and len(self.owed) > 1:
            self._whole()  # the body was said before it was asked for: then it need not be
            answer = self.owed[0]
        if head.status in TIMED_OUT and head.status != answer.status:
            self.refused = head.status
            self.owed.clear()  # nothing is owed after it
            self.last = True
            answer = refusal(head.status)
            self.owed.append(answer)
        self._begin(answer, head)
        return place

    def _begin(self, answer: Answer, head: Head) -> None:
        """Check an answer's first lines, and begin with its body."""
        status, body, length = answer.status, answer.body, answer.length
        if head.status != status:
            raise WrongError(f"owed a {status}, heard a {head.status}")
        if head.closes != answer.closes or head.keeps != answer.keeps:
            raise WrongError(f"a {status} that {'closes' if head.closes else 'does not close'} the connection")
        for name, value in answer.fields:
            if head.fields.get(name) != value:
                raise WrongError(f"owed {name!r}: {value!r}, heard {head.fields.get(name)!r}")
        if body is None:
            body = self.pages.get(status)
        if length == OF_ITSELF:
            if head.length < 0:
                raise WrongError(f"a {status} without a length")
            length = head.length if body is None else len(body)
        elif answer.ranges:
            body = _parts(answer, head)
            length = len(body)
        if head.length != length:
            raise WrongError(f"owed a body of {length} bytes, heard of {head.length}")
        if answer.bare or not length or (length == TO_THE_END and not body):
            self._whole()
            return
        self.body = body
        self.heard = 0
        self.chunked = length == CHUNKED
        self.stage = _SIZE if self.chunked else _BODY
        if not self.chunked:
            self.left = length if body is None else len(body)

    def _hear_body(self, data: bytes, place: int) -> int:
        count = min(self.left, len(data) - place)
        body = self.body
        if body is not None:
            heard = self.heard
            if data[place : place + count] != body[heard : heard + count]:
                owed = body[heard : heard + min(count, SHOWN)]
                raise WrongError(f"at {heard} of a body owed {owed!r}, heard {data[place : place + SHOWN]!r}")
            self.heard = heard + count
        self.left -= count
        if not self.left:
            if self.chunked:
                self.stage = _CHUNK_END
            else:
                self._whole()
        return place + count

    def _hear_line(self, data: bytes, place: int) -> int:
        """Hear a chunk's first line, or the empty one after it or after the last."""
        line, place = self._gather(data, place, LINE_END, SIZE_MOST if self.stage == _SIZE else len(LINE_END))
        if not line:
            return place
        if self.stage == _CHUNK_END:
            self.stage = _SIZE
        elif self.stage == _LAST:
            self._whole()
        else:
            found = _SIZE_LINE.fullmatch(line)
            if found is None:
                raise WrongError(f"this is no chunk's size: {line!r}")
            self.left = int(found[1], 16)
            self.stage = _BODY if self.left else _LAST
            if self.body is not None:
                self._check_chunk(len(self.body) - self.heard)
        return place

    def _check_chunk(self, missing: int) -> None:
        if self.left > missing or (missing and not self.left):
            raise WrongError(f"{missing} bytes of a body are owed, its chunk has {self.left}")

    def _whole(self) -> None:
        """An answer has come whole."""
        answer = self.owed.popleft()
        self.stage = _HEAD
        self.body = None
        if answer.certain:
            self.answered += 1
        self.awaited = answer.status == CONTINUE
        if not self.awaited:
            self.finals += 1
            self.statuses = digest_of(self.statuses, answer.status)


def digest_of(statuses: int, status: int) -> int:
    """Return a digest of one status more."""
    return crc32(b"%d" % status, statuses)


def _parts(answer: Answer, head: Head) -> bytes:
    """Return a body of several parts, by the boundary that the answer has chosen (RFC 9110, 14.6)."""
    found = _BOUNDARY.fullmatch(head.fields.get(b"content-type", b""))
    whole = answer.body
    if found is None or whole is None:
        raise WrongError("several parts and no boundary")
    kind = answer.kind
    pieces = []
    for offset, count in answer.ranges:
        where = b"bytes %d-%d/%d" % (offset, offset + count - 1, len(whole))
        pieces.append(b"--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n" % (found[1], kind, where))
        pieces += [whole[offset : offset + count], LINE_END]
    return b"".join((*pieces, b"--%b--\r\n" % found[1]))
