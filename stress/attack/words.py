"""What clients say to a server that nobody knows, in the protocol that it speaks, and what is an answer to it."""

from collections import Counter
from typing import NamedTuple, Protocol

import httptools

from ..clients.dialogue import WrongError
from .target import Target

UPLOAD_BYTES = 500_000  # promised, and never sent; no more than most servers take


class Words(NamedTuple):
    """What is said. `begun` is a request that is not whole, and never is, however often `more` follows.

    `upload` is one whose body is promised; None where the protocol has no such thing.
    """

    request: bytes
    begun: bytes
    more: bytes
    upload: bytes | None = None


def words_of(target: Target, say: bytes | None) -> Words:
    """Return the words for a target; `say` is the user's own request."""
    if target.protocol == "http":
        host, path = target.host.encode("idna" if not target.host.isascii() else "ascii"), target.path.encode()
        head = b" %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: partway-stress\r\nAccept: */*\r\n" % (path, host)
        length = b"Content-Length: %d\r\n\r\n" % UPLOAD_BYTES
        return Words(say or b"GET" + head + b"\r\n", b"GET" + head, b"X-Drip: drip\r\n", b"POST" + head + length)
    request = say or b"hello\n"
    return Words(request, request.rstrip(b"\n")[:1], b"o")


class Ear(Protocol):
    """Counts the answers on one connection."""

    def hear(self, data: bytes) -> int:
        """Take what has come; return how many answers have become whole. Raises WrongError for what is none."""
        ...


class HttpEar:
    """Counts answers of HTTP/1, and their statuses."""

    def __init__(self, statuses: Counter[str]) -> None:
        self.statuses = statuses
        self.whole = 0
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        """An answer is whole."""
        status = self.parser.get_status_code()
        self.statuses[str(status)] += 1
        if status >= 200:
            self.whole += 1

    def hear(self, data: bytes) -> int:
        """Parse."""
        self.whole = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise WrongError(f"no answer of HTTP: {error}") from None
        return self.whole


class LineEar:
    """Counts lines."""

    def hear(self, data: bytes) -> int:
        """Count line feeds."""
        return data.count(b"\n")


class RawEar:
    """Takes whatever comes for an answer."""

    def hear(self, data: bytes) -> int:
        """Count."""
        return 1 if data else 0


def ear_of(target: Target, statuses: Counter[str]) -> Ear:
    """Return what hears a target's answers on one connection; statuses are counted, where there are any."""
    if target.protocol == "http":
        return HttpEar(statuses)
    return LineEar() if target.protocol == "lines" else RawEar()


class Tally:
    """What all clients of a crowd have asked, and what was answered."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0


class Asking:
    """A dialogue (see `clients/dialogue.py`) with a server of which nothing is known but its protocol."""

    last = False

    def __init__(self, words: Words, ear: Ear, tally: Tally) -> None:
        self.words = words
        self.ear = ear
        self.tally = tally
        self.asked = 0
        self.answered = 0

    def ask(self) -> bytes:
        """Return the next request."""
        return self.ask_many(1)

    def ask_many(self, count: int) -> bytes:
        """Return so many at once."""
        self.asked += count
        self.tally.asked += count
        return self.words.request * count

    def hear(self, data: bytes) -> None:
        """Count answers. Raises WrongError for what is none."""
        answers = min(self.ear.hear(data), self.asked - self.answered)
        self.answered += answers
        self.tally.answered += answers
