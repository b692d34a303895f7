"""The clients of the page: what each kind says, and how slowly. Machines, as everywhere."""

from collections.abc import Callable
from typing import NamedTuple

from ...engine import ABORT, CLOSE, PARK, READ, Read, Reason, Want
from ...engine.outside import Client

PAGE, SONG, FILM = b"/page", b"/song", b"/film"
SIZES = {PAGE: 8 * 1024, SONG: 256 * 1024, FILM: 4 * 1024 * 1024}
"""What there is to ask for, in bytes."""

DRIP_SECONDS = 1.0  # between two bytes
PATIENCE_SECONDS = 30.0  # of an honest client
AT_ONCE_SECONDS = 1e-6  # less than that is no wait: sums of times are not exact

Told = Callable[["Guest"], None]


class Guest:
    """A client that asks for one thing, reads to the server's end, and leaves. `left` hears of that."""

    asks: bytes = FILM

    def __init__(self, client: Client, left: Told) -> None:
        self.client = client
        self.left = left
        self.heard = 0
        self.said = False
        self.over = False

    def feed(self, data: bytes) -> None:
        """Count what came."""
        self.heard += len(data)
        self.over = self.over or not data

    def step(self) -> Want:
        """Ask, then read."""
        if self.over:
            return CLOSE
        if not self.said:
            self.said = True
            return self.request()
        return self.rest()

    def request(self) -> Want:
        """Return what is said first."""
        return b"GET %b HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n" % self.asks

    def rest(self) -> Want:
        """Return what this kind wants once it has asked."""
        return READ

    def ended(self, reason: Reason) -> None:
        """Be gone."""
        self.left(self)

    @property
    def satisfied(self) -> bool:
        """It has got all that it asked for."""
        return self.over and self.heard > SIZES[self.asks]


class Honest(Guest):
    """Asks for a page, and has waited since it was due."""

    asks = PAGE

    def __init__(self, client: Client, left: Told) -> None:
        super().__init__(client, left)
        self.due = client.now

    def rest(self) -> Want:
        """Wait for the page, but not for ever."""
        left = self.due + PATIENCE_SECONDS - self.client.now
        return Read(left) if left > AT_ONCE_SECONDS else ABORT


class Downloader(Guest):
    """Takes a film as fast as it comes."""


class Modem(Guest):
    """Takes a song through a thin line."""

    asks = SONG


class Stuck(Guest):
    """Asks for a film, and never reads."""

    def rest(self) -> Want:
        """Take nothing."""
        return PARK


class Dripper(Guest):
    """Says its head a byte a second, and never ends it."""

    def request(self) -> Want:
        """Say the first byte."""
        self.unsaid = b"GET /film HTTP/1.1\r\nHost: server\r\nX-Patience: " + b"a" * 1024
        self.again = self.client.now
        return self.rest()

    def rest(self) -> Want:
        """Say a byte when it is time for one."""
        left = self.again - self.client.now
        if left > AT_ONCE_SECONDS:
            return Read(left)
        said, self.unsaid = self.unsaid[:1], self.unsaid[1:]
        self.again = self.client.now + DRIP_SECONDS
        return said


class Silent(Guest):
    """Connects, and says nothing."""

    def request(self) -> Want:
        """Say nothing."""
        return READ


class Kind(NamedTuple):
    """One kind of guests, and how many of them a page may ask for.

    Of the honest the number is how many come in a second; of all others, how many are there.
    """

    name: str
    title: str
    about: str
    machine: Callable[[Client, Told], Guest]
    usual: int
    most: int
    bytes_a_second: float = 0.0
    """Of the client's own line; 0 for as much as you like."""


KINDS = (
    Kind("honest", "honest, a second", "ask for a page of 8 KiB, each on a connection of its own", Honest, 8, 30),
    Kind("downloads", "downloads", "take a film of 4 MiB, at up to 2 MB/s each", Downloader, 40, 80, 2e6),
    Kind("modems", "modems", "take a song of 256 KiB, at 6 kB/s", Modem, 40, 200, 6e3),
    Kind("drips", "dripping heads", "say a byte of their request each second", Dripper, 60, 200),
    Kind("stuck", "never reading", "ask for a film, and take nothing", Stuck, 20, 100),
    Kind("silent", "silent", "connect, and say nothing", Silent, 40, 200),
)
HONEST = 0
"""The place of the honest among `KINDS`."""
