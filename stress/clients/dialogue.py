"""What a client of a protocol says and what it is owed for it: the knowledge that all kinds of clients share.

A kind of client (`kinds.py`) decides how and when something is said; a dialogue, what, and whether the answers are the
right ones. It is the oracle: what comes must be a prefix of what is owed, byte for byte.
"""

from random import Random
from typing import Protocol

from ...engine import PeerError

SHOWN = 60  # bytes of a wrong answer that are shown


class WrongError(PeerError):
    """The server has said what it does not owe."""


class Dialogue(Protocol):
    """One client's side of a protocol, on one connection. Its state is plain data."""

    asked: int
    """Requests that were made."""

    answered: int
    """Requests whose answer has come whole."""

    last: bool
    """What was asked last ends the connection: nothing more may be asked."""

    def ask(self) -> bytes:
        """Return the next request."""
        ...

    def hear(self, data: bytes) -> None:
        """Take what has come. Raises WrongError where nobody owes it."""
        ...


class Owed:
    """A dialogue whose answers are known to the byte: a subclass gives `exchange`."""

    last = False

    def __init__(self, random: Random) -> None:
        self.random = random
        self.asked = 0
        self.answered = 0
        self.owed = bytearray()
        self.ends: list[int] = []  # where each answer that is not whole yet ends, counted from the first byte of all
        self.promised = 0
        self.heard = 0

    def exchange(self) -> tuple[bytes, bytes]:
        """Return a request and its answer."""
        raise NotImplementedError

    def ask(self) -> bytes:
        """Return the next request, and remember what is owed for it."""
        said, owed = self.exchange()
        self.asked += 1
        self.owed += owed
        self.promised += len(owed)
        if owed:
            self.ends.append(self.promised)
        else:
            self.answered += 1
        return said

    def hear(self, data: bytes) -> None:
        """Compare."""
        if not self.owed.startswith(data):
            raise WrongError(f"owed {bytes(self.owed[:SHOWN])!r}, heard {bytes(data[:SHOWN])!r}")
        del self.owed[: len(data)]
        self.heard += len(data)
        while self.ends and self.ends[0] <= self.heard:
            del self.ends[0]
            self.answered += 1


class Echo(Owed):
    """Bytes come back as they are. A request is as many as were said at once."""

    def exchange(self) -> tuple[bytes, bytes]:
        """Say a few bytes, or now and then very many."""
        data = noise(self.random, some_size(self.random, 100_000))
        return data, data


class Shout(Owed):
    """A line comes back in capitals."""

    def exchange(self) -> tuple[bytes, bytes]:
        """Say a line."""
        line = noise(self.random, some_size(self.random, 2000) // 2).hex().encode()
        return line + self.random.choice((b"\n", b"\r\n")), line.upper() + b"\n"


NOISE = Random(0).randbytes(1 << 20)


def noise(random: Random, size: int) -> bytes:
    """Draw a place in a lot of noise: a hundredth of what drawing the bytes would cost. At most 1 MiB."""
    start = int(random.random() * (len(NOISE) - size))
    return NOISE[start : start + size]


def some_size(random: Random, most: int) -> int:
    """Draw a size: mostly small, sometimes large, at most `most`, never 0."""
    draw = random.random()
    if draw < 0.8:
        return 1 + int(draw * 100)
    return 1 + int(most ** random.random())
