"""The kinds of attackers, by name. Most are the simulation's own clients; here are those that go on for ever."""

from typing import ClassVar, NamedTuple

from ...engine import ABORT, CLOSE, PARK, READ, Read, Wait, Want
from ..clients.dialogue import Dialogue
from ..clients.kinds import Churner, Deaf, Garbler, HalfCloser, Hasty, Kind, Mute, Place, Silent, SlowReader
from .target import PROTOCOLS, Target, is_loopback
from .words import Asking

DRIP_SECONDS = 1.0  # between two bytes
PIPELINED = 100
CLIENT_HELLO = bytes.fromhex("1603010200 010001fc 0303")  # of 512 bytes, which never come (RFC 8446, 4.1.2 and 5.1)


class Drip(Kind):
    """Begins a request, and goes on with it byte by byte, for ever."""

    behaves: ClassVar[bool] = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.said = -1  # bytes of it, after its beginning
        self.due = row.now

    @property
    def words(self) -> Asking:
        """The dialogue, which must be one that has something to drip."""
        assert isinstance(self.dialogue, Asking)
        return self.dialogue

    def act(self) -> Want:
        """Say the next byte when it is time, whatever comes meanwhile."""
        if self.over:
            return CLOSE
        if self.row.now < self.due:
            return Read(self.due - self.row.now)
        self.due = self.row.now + DRIP_SECONDS
        self.said += 1
        return self.begin() if self.said == 0 else self.drip(self.said - 1)

    def begin(self) -> bytes:
        """Return how it begins."""
        return self.words.words.begun

    def drip(self, place: int) -> bytes:
        """Return one byte of what is said again and again."""
        more = self.words.words.more
        return more[place % len(more) :][:1]


class DripBody(Drip):
    """Promises a long body, and sends it byte by byte."""

    def begin(self) -> bytes:
        """Return the head."""
        upload = self.words.words.upload
        assert upload is not None
        return upload

    def drip(self, place: int) -> bytes:
        """Return a byte of the body."""
        return b"x"


class NoReader(Deaf):
    """Asks a hundred times at once, again and again, and never reads."""

    def act(self) -> Want:
        """Ask, and take nothing."""
        assert isinstance(self.dialogue, Asking)
        return self.dialogue.ask_many(PIPELINED) if self.dialogue.asked < self.requests else PARK


class Resetter(Kind):
    """Resets the connection in the middle of a request: the first client after no byte, the next after one..."""

    behaves: ClassVar[bool] = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.steps = 0

    def act(self) -> Want:
        """Say a part, let it arrive, and go."""
        self.steps += 1
        if self.steps == 1:
            request = self.dialogue.ask()
            return request[: self.row.key % (len(request) + 1)]
        return Wait(0.0) if self.steps == 2 else ABORT


class TlsStaller(Kind):
    """Begins a TLS handshake, and stays."""

    behaves: ClassVar[bool] = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.unsaid = CLIENT_HELLO

    def hear(self) -> None:
        """An alert, perhaps: it is no answer."""
        self.unheard = []

    def act(self) -> Want:
        """Say the beginning, once."""
        unsaid, self.unsaid = self.unsaid, b""
        return unsaid or (CLOSE if self.over else READ)


class Flooder(Kind):
    """Sends datagrams, one every `pause` seconds, and hears what comes back."""

    behaves: ClassVar[bool] = False
    pause = 1.0

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.due = row.now

    def act(self) -> Want:
        """Send one when it is time: what comes meanwhile is heard, and moves nothing."""
        if self.row.now < self.due:
            return Read(self.due - self.row.now)
        self.due = max(self.due, self.row.now - 1.0) + self.pause
        return self.dialogue.ask()


class Attack(NamedTuple):
    """A kind: its machine, what it does, and how often it asks. `returns`: who has gone is replaced by another.

    `blind`: it reads little or nothing, and so cannot see that the server has ended. `protocols` are those that it is
    for, on connections, or with so many `datagrams` a second each over UDP; `unsealed` is one that speaks no TLS where
    others do. `machine` is None where senders are forged, and no client hears its own answers (`spoof.py`).
    """

    machine: type[Kind] | None
    about: str
    requests: int = 0
    returns: bool = False
    blind: bool = False
    unsealed: bool = False
    protocols: tuple[str, ...] = PROTOCOLS
    datagrams: int = 0

    def suits(self, target: Target) -> bool:
        """Tell whether it can be made on a target: senders are forged in IPv4's loopback network alone."""
        spoken = "raw" if target.secure and self.unsealed else target.protocol
        return (
            spoken in self.protocols
            and target.address.datagrams == bool(self.datagrams)
            and (self.machine is not None or is_loopback(target.address))
        )


ATTACKS: dict[str, Attack] = {
    "silent": Attack(Mute, "connects, and says nothing"),
    "drip-head": Attack(Drip, "begins a request, a byte a second"),
    "drip-body": Attack(DripBody, "promises a long body, and sends a byte a second", protocols=("http",)),
    "no-read": Attack(NoReader, "asks again and again, and reads nothing", 10_000, blind=True),
    "slow-read": Attack(SlowReader, "asks, and reads a little now and then", 1000, blind=True),
    "idle-keepalive": Attack(Silent, "asks once, and stays", 1),
    "churn": Attack(Churner, "connects and goes", returns=True),
    "reset": Attack(Resetter, "resets the connection within a request, at every byte", 1, returns=True),
    "half-close": Attack(HalfCloser, "asks, ends its side, and waits for the answer", 1, returns=True),
    "garbage": Attack(Garbler, "says what means nothing", 3, returns=True),
    "pipeline": Attack(Hasty, f"sends {PIPELINED} requests at once", PIPELINED, returns=True),
    "tls-stall": Attack(TlsStaller, "begins a TLS handshake, and stays", unsealed=True, protocols=("raw",)),
    "datagram-flood": Attack(Flooder, "sends datagrams, 100 a second each", returns=True, datagrams=100),
    "spoof": Attack(None, "sends datagrams from forged addresses, one a second each", returns=True, datagrams=1),
}
