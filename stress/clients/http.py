"""HTTP as its clients speak it: what they ask a folder for, what they ask of an application, and what is owed for it.

Most requests are the same each time, so they are put together once, with their answers. What ends the connection is
drawn last of all, and then nothing more is asked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple
from zlib import crc32

from .dialogue import NOISE, noise, some_size
from .http_answers import CHUNKED, CONTINUE, OF_ITSELF, TO_THE_END, Answer, Answers, Fields, refusal

Exchange = tuple[bytes, Answer]

SMALL = 16 * 1024  # bytes of a file that is asked for often
HOST = b"Host: server\r\n"
ALLOWED = ((b"allow", b"GET, HEAD, OPTIONS"),)
PATTERN = NOISE[: 1 << 18]  # what an application's long answers are made of


class Resource(NamedTuple):
    """Something that a folder serves."""

    target: bytes
    body: bytes
    etag: bytes = b""
    """Without one it is made anew for each answer, and leaves in chunks."""

    modified: bytes = b""
    kind: bytes = b"application/octet-stream"
    coding: bytes = b""
    """It is only for those who take this coding."""

    @property
    def fields(self) -> Fields:
        """The headers that it must have."""
        fields = [(b"content-type", self.kind)]
        if self.etag:
            fields += [(b"etag", self.etag), (b"last-modified", self.modified), (b"accept-ranges", b"bytes")]
        if self.coding:
            fields.append((b"content-encoding", self.coding))
        return tuple(fields)

    @property
    def length(self) -> int:
        """Its bytes, or that it leaves in chunks."""
        return len(self.body) if self.etag else CHUNKED

    @property
    def whole(self) -> Answer:
        """All of it."""
        return Answer(200, self.body, self.length, self.fields)


class Site:
    """A folder, as its clients know it: what it holds, what it doesn't, and what is always asked in the same way.

    `files` don't change, each of `folders` is a target without its last slash, and `absent` are targets of nothing.
    `pages` are the server's own words.
    """

    def __init__(
        self,
        files: Sequence[Resource],
        listings: Sequence[Resource],
        folders: Sequence[bytes],
        absent: Sequence[bytes],
        pages: Mapping[int, bytes],
    ) -> None:
        self.pages = pages
        self.files = [file for file in files if not file.coding]
        small = [file for file in self.files if len(file.body) <= SMALL]
        self.common = [(asking(file.target), file.whole) for file in small]
        self.rare = [exchange for file in files for exchange in _of_file(file)]
        self.rare += [exchange for listing in listings for exchange in _of_listing(listing)]
        for target in folders:
            self.rare += _both(target, _own(301, (b"location", target + b"/")))
        for target in absent:
            self.rare += _both(target, _own(404))
        options = Answer(204, b"", TO_THE_END, ALLOWED, bare=True)
        self.rare += [(asking(target, method=b"OPTIONS"), options) for target in (b"/", b"*", *folders)]
        self.endings = [exchange for file in small for exchange in _that_end(file)]
        self.endings += [exchange for listing in listings for exchange in _listed_at_the_end(listing)]
        refused = _own(405, *ALLOWED)._replace(closes=True)
        target = small[0].target
        self.endings += [(asking(target, method=method), refused) for method in (b"PUT", b"DELETE", b"PATCH")]
        self.endings.append((asking(target, b"Content-Length: 5\r\n", b"POST", body=b"hello"), refused))
        self.endings.append((asking(target, b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"POST"), refused))
        self.endings += mistakes()


def asking(
    target: bytes, lines: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1", body: bytes = b""
) -> bytes:
    """Return a request; `lines` are headers besides Host, each with its end."""
    return b"%b %b HTTP/%b\r\n%b%b\r\n%b" % (method, target, version, HOST, lines, body)


def _own(status: int, *fields: tuple[bytes, bytes]) -> Answer:
    """Return an answer in the server's own words."""
    return Answer(status, None, OF_ITSELF, fields)


def _both(target: bytes, answer: Answer) -> list[Exchange]:
    return [(asking(target), answer), (asking(target, method=b"HEAD"), answer._replace(bare=True))]


def _of_file(file: Resource) -> Iterable[Exchange]:
    """Ask for a file in each way that leaves the connection open."""
    target, whole = file.target, file.whole
    lines = b"Accept-Encoding: %b\r\n" % file.coding if file.coding else b""
    unchanged = Answer(304, b"", TO_THE_END, ((b"etag", file.etag),), bare=True)
    changed = _own(412)
    yield asking(target, lines), whole
    yield asking(target, lines, b"HEAD"), whole._replace(bare=True)
    yield asking(b"http://server" + target, lines), whole
    yield asking(target + b"?a=%20b", b"Accept: */*\r\nUser-Agent: a client\r\n" + lines), whole
    yield asking(target, b"Connection: keep-alive\r\n" + lines, version=b"1.0"), whole._replace(keeps=True)
    for condition, answer in (
        (b"If-None-Match: %b" % file.etag, unchanged),
        (b'If-None-Match: "0", W/%b' % file.etag, unchanged),
        (b'If-None-Match: "0"', whole),
        (b"If-Modified-Since: %b" % file.modified, unchanged),
        (b"If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT", whole),
        (b"If-Match: %b" % file.etag, whole),
        (b'If-Match: "0"', changed),
        (b"If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT", changed),
    ):
        yield asking(target, condition + b"\r\n" + lines), answer


def _of_listing(listing: Resource) -> Iterable[Exchange]:
    yield asking(listing.target), listing.whole
    yield asking(listing.target, method=b"HEAD"), listing.whole._replace(bare=True)


def _that_end(file: Resource) -> Iterable[Exchange]:
    ending = file.whole._replace(closes=True)
    yield asking(file.target, b"Connection: close\r\n"), ending
    yield asking(file.target, version=b"1.0"), ending
    yield asking(file.target, method=b"HEAD", version=b"1.0"), ending._replace(bare=True)
    unchanged = Answer(304, b"", TO_THE_END, ((b"etag", file.etag),), bare=True, closes=True)
    yield asking(file.target, b"Connection: close\r\nIf-None-Match: %b\r\n" % file.etag), unchanged


def _listed_at_the_end(listing: Resource) -> Iterable[Exchange]:
    """A client of HTTP/1.0 knows no chunks, so the connection's end is the page's."""
    yield asking(listing.target, b"Connection: close\r\n"), listing.whole._replace(closes=True)
    ending = listing.whole._replace(length=TO_THE_END, closes=True)
    yield asking(listing.target, version=b"1.0"), ending
    yield asking(listing.target, b"Connection: keep-alive\r\n", version=b"1.0"), ending


def mistakes() -> list[Exchange]:
    """Return what no server may take, and the status to be refused with, if anything is said."""
    said = {
        b"GET / HTTP/1.1\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n": 400,
        b"GET / HTTP/1.1\nHost: a\r\n\r\n": 400,
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
        b"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n": 400,
        asking(b"/", b"Content-Length: -1\r\n", b"POST"): 400,
        asking(b"/", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"POST"): 400,
        asking(b"/", b"Transfer-Encoding: gzip\r\n", b"POST"): 501,
        asking(b"/", method=b"BREW"): 501,
        asking(b"/", version=b"2.0"): 505,
        asking(b"/", b"Expect: a miracle\r\n"): 417,
        asking(b"/" + b"a" * 9000): 414,
        asking(b"/", b"X: y\r\n" * 100): 431,
    }
    return [(raw, refusal(status)) for raw, status in said.items()]


class Browse(Answers):
    """Asks a folder for its files, most often for the small ones, and in every other way there is."""

    def __init__(self, random: Random, site: Site) -> None:
        super().__init__(random, site.pages)
        self.site = site

    def exchange(self) -> Exchange:
        """Draw one."""
        draw = self.random.random()
        if draw < 0.8:
            return self.random.choice(self.site.common)
        if draw < 0.93:
            return self.random.choice(self.site.rare)
        if draw < 0.97:
            return self._ranged(self.random.choice(self.site.files))
        if draw < 0.99:
            return self._wide(self.random.choice(self.site.files))
        return self.random.choice(self.site.endings)

    def _wide(self, file: Resource) -> Exchange:
        """Ask with many headers, long ones or both."""
        random = self.random
        count = random.randrange(1, 90)
        lines = b"".join(
            b"X-%d: %b\r\n" % (number, b"x" * random.randrange(1, 8000 // count)) for number in range(count)
        )
        return asking(file.target, lines), file.whole

    def _ranged(self, file: Resource) -> Exchange:
        """Ask for one part or several, or for what is not there."""
        random, size = self.random, len(file.body)
        draw = random.random()
        if draw < 0.1 or not size:
            first = size + random.randrange(1000)
            return _with_range(file, b"%d-" % first), _own(416, (b"content-range", b"bytes */%d" % size))
        if draw < 0.3 and size > 100:
            cuts = sorted(random.sample(range(size), 2 * random.randrange(2, 6)))
            ranges = [(first, last - first) for first, last in zip(cuts[::2], cuts[1::2], strict=True)]
            random.shuffle(ranges)
            spec = b", ".join([b"%d-%d" % (first, first + count - 1) for first, count in ranges])
            fields = tuple(field for field in file.fields if field[0] != b"content-type")
            return _with_range(file, spec), Answer(206, file.body, 0, fields, ranges=tuple(ranges), kind=file.kind)
        first, last = sorted((random.randrange(size), random.randrange(size)))
        spec = b"%d-%d" % (first, last)
        if draw < 0.5:
            last, spec = size - 1, b"%d-" % first
        elif draw < 0.6:
            first, last, spec = size - 1 - last, size - 1, b"-%d" % (last + 1)
        elif draw < 0.7:
            last, spec = size - 1, b"%d-%d" % (first, size + random.randrange(100))
        if draw > 0.9:
            return _with_range(file, spec, b'If-Range: "0"\r\n'), file.whole
        part = file.body[first : last + 1]
        fields = (*file.fields, (b"content-range", b"bytes %d-%d/%d" % (first, last, size)))
        lines = b"If-Range: %b\r\n" % file.etag if draw > 0.8 else b""
        return _with_range(file, spec, lines), Answer(206, part, len(part), fields)


def _with_range(file: Resource, spec: bytes, lines: bytes = b"") -> bytes:
    return asking(file.target, b"Range: bytes=%b\r\n%b" % (spec, lines))


class Terms(NamedTuple):
    """What an application's clients know of it besides its paths."""

    body_most: int
    """Bytes of a body that it collects."""

    pages: Mapping[int, bytes]
    """The server's own words."""


class Converse(Answers):
    """Sends an application bodies in every framing, and hears its answers in every framing.

    `/echo` sends a body back; `/count/PAUSE` takes one in pieces and tells its size and checksum; `/enough/SIZE` has
    heard enough after so many bytes, and `/closed` before the first; `/stream/SIZE/PIECE/PAUSE/FRAMING` answers with so
    much of the pattern in pieces; PAUSE is in milliseconds. Anything else is a 204.
    """

    def __init__(self, random: Random, terms: Terms) -> None:
        super().__init__(random, terms.pages)
        self.body_most = terms.body_most
        self.unsaid: Exchange | None = None  # a body that waits to be asked for

    def exchange(self) -> Exchange:
        """Draw one, or say the body of the one before."""
        if self.unsaid is not None:
            exchange, self.unsaid = self.unsaid, None
            return exchange
        make: Callable[[Converse], Exchange] = self.random.choices(_MAKERS, cum_weights=_ODDS)[0]
        return make(self)

    def _echo(self) -> Exchange:
        body = noise(self.random, some_size(self.random, min(self.body_most, 100_000)))
        return self._upload(b"/echo", body, Answer(200, body, len(body)))

    def _empty(self) -> Exchange:
        return self._upload(self.random.choice((b"/echo", b"/count/0")), b"", None)

    def _count(self) -> Exchange:
        body = noise(self.random, some_size(self.random, 2 * self.body_most))
        return self._upload(b"/count/%d" % self.random.choice((0, 0, 1, 10)), body, None)

    def _nothing(self) -> Exchange:
        answer = Answer(204, b"", TO_THE_END, bare=True)
        method = self.random.choice((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))
        return asking(b"/", method=method), answer

    def _stream(self) -> Exchange:
        """Hear a long answer, or a short one in many pieces."""
        random = self.random
        size = random.choice((0, some_size(random, len(PATTERN))))
        piece = max(some_size(random, 20_000), size // 50)
        pause = random.choice((0, 0, 1, 20))
        framing = random.choice((b"sized", b"chunked"))
        target = b"/stream/%d/%d/%d/%b" % (size, piece, pause, framing)
        answer = Answer(200, PATTERN[:size], CHUNKED if framing == b"chunked" else size)
        if random.random() < 0.1:
            return asking(target, method=b"HEAD"), answer._replace(bare=True)
        if random.random() < 0.05:
            return self._stream_to_the_end(target, answer)
        return asking(target), answer

    def _stream_to_the_end(self, target: bytes, answer: Answer) -> Exchange:
        if answer.length == CHUNKED:
            answer = answer._replace(length=TO_THE_END)
        return asking(target, version=b"1.0"), answer._replace(closes=True)

    def _upload(self, target: bytes, body: bytes, answer: Answer | None) -> Exchange:
        """Send a body by its length or in chunks, at once or when it is asked for. None: its size and checksum."""
        random = self.random
        if answer is None:
            text = body if target == b"/echo" else b"%d %08x\n" % (len(body), crc32(body))
            answer = Answer(200, text, len(text))
        method = random.choice((b"POST", b"PUT", b"PATCH", b"GET"))
        lines = b"Content-Length: %d\r\n" % len(body)
        said = body
        if random.random() < 0.4:
            lines = b"Transfer-Encoding: chunked\r\n"
            trailers = b"X-Check: %08x\r\n" % crc32(body) * (random.random() < 0.3)
            said = chunked(random, body, trailers)
        if random.random() < 0.1 and said:
            self.unsaid = said, answer
            head = asking(target, lines + b"Expect: 100-continue\r\n", method)
            return head, Answer(CONTINUE, b"", TO_THE_END, bare=True)
        return asking(target, lines, method, body=said), answer

    def _ending(self) -> Exchange:
        """End the connection in one of the ways there are."""
        random = self.random
        body = noise(random, some_size(random, self.body_most))
        length = b"Content-Length: %d\r\n" % len(body)
        draw = random.randrange(6)
        if draw == 0:
            return asking(b"/closed", length, b"POST", body=body), Answer(403, None, OF_ITSELF, closes=True)
        if draw == 1:
            expects = b"Expect: 100-continue\r\n"
            return asking(b"/closed", length + expects, b"POST"), Answer(403, None, OF_ITSELF, closes=True)
        if draw == 2:
            target = b"/enough/%d" % random.randrange(len(body) + 1)
            return asking(target, length, b"PUT", body=body), Answer(200, b"enough\n", 7, closes=True)
        if draw == 3:
            too_long = b"Content-Length: %d\r\n" % (self.body_most + 1)
            return asking(b"/echo", too_long, b"POST"), refusal(413)
        if draw == 4:
            return self._wrongly_framed(body)
        return asking(b"/echo", length + b"Connection: close\r\n", b"POST", body=body), Answer(
            200, body, len(body), closes=True
        )

    def _wrongly_framed(self, body: bytes) -> Exchange:
        """Send chunks that are too long in all, or not what they say."""
        random = self.random
        lines = b"Transfer-Encoding: chunked\r\n"
        if random.random() < 0.3:
            too_long = NOISE[: self.body_most + 1]
            return asking(b"/echo", lines, b"POST", body=chunked(random, too_long)), refusal(413)
        wrong = random.choice((b"0x5\r\nhello\r\n", b"4\r\nhello\r\n", b"-5\r\nhello\r\n", b"\r\nhello\r\n"))
        said = chunked(random, body).removesuffix(b"0\r\n\r\n") + wrong
        return asking(b"/echo", lines, b"POST", body=said), refusal(400)

    def _mistake(self) -> Exchange:
        return self.random.choice(_MISTAKES)


def chunked(random: Random, body: bytes, trailers: bytes = b"") -> bytes:
    """Put a body into chunks, few or many, with whatever may stand in their first lines."""
    most = max(1, len(body) // random.choice((1, 2, 10, 100)))
    said = []
    place = 0
    while place < len(body):
        size = random.randrange(1, most + 1)
        chunk = body[place : place + size]
        place += size
        said.append(b"%x%b\r\n%b\r\n" % (len(chunk), random.choice((b"", b"", b";a=b")), chunk))
    return b"".join((*said, b"0\r\n", trailers, b"\r\n"))


_MISTAKES = mistakes()
_ASKED: dict[Callable[[Converse], Exchange], int] = {
    Converse._echo: 40,
    Converse._empty: 5,
    Converse._count: 20,
    Converse._nothing: 8,
    Converse._stream: 25,
    Converse._mistake: 1,
    Converse._ending: 1,
}
"""What is asked, and how often in a hundred times."""
_MAKERS, _ODDS = tuple(_ASKED), tuple(accumulate(_ASKED.values()))
