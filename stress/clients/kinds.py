"""The kinds of clients: how and when something is said and heard, whatever the protocol.

Each is a machine with a dialogue. `behaves` tells that it is owed every answer to its last byte, as long as no fault
harms it and no limit is hit; the others are only owed that nothing wrong comes. What a kind draws, it draws once, from
its own row's random numbers.
"""

from random import Random
from typing import ClassVar, Protocol

from ...engine import ABORT, CLOSE, HALF_CLOSE, NEXT, PARK, READ, Read, Wait, Want
from .dialogue import Dialogue, noise, some_size


class Place(Protocol):
    """What a client's machine uses of its row: a `Row` on real sockets, a `Client` in the simulation."""

    @property
    def random(self) -> Random:
        """Random numbers."""
        ...

    @property
    def key(self) -> int:
        """A number of its own."""
        ...

    @property
    def now(self) -> float:
        """The time in seconds."""
        ...


class Kind:
    """A client that asks `requests` times, each time when the last answer is whole, and then ends in order.

    It asks less often where a request ends the connection.
    """

    behaves: ClassVar[bool] = True
    duplex: ClassVar[bool] = True  # it reads while it says a long request: else both sides could wait for each other

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        self.row = row
        self.dialogue = dialogue
        self.requests = requests
        self.unheard: list[bytes] = []
        self.over = False  # the server has ended
        self.counted = 0
        self.half_closed = False

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if data:
            self.unheard.append(data)
        else:
            self.over = True

    def step(self) -> Want:
        """Listen, and then say what this kind says."""
        if self.unheard:
            self.hear()
        dialogue = self.dialogue
        if self.counted < dialogue.answered:
            self.counted += 1
            return NEXT
        if dialogue.last:
            self.requests = dialogue.asked
        return self.act()

    def hear(self) -> None:
        """Take what has come. Raises WrongError where nobody owes it."""
        if self.unheard:
            unheard, self.unheard = self.unheard, []
            self.dialogue.hear(b"".join(unheard))

    def act(self) -> Want:
        """Return the next want."""
        dialogue = self.dialogue
        if dialogue.answered < dialogue.asked:
            return READ
        return self.ask() if dialogue.asked < self.requests else self.finish()

    def ask(self) -> Want:
        """Return the next request: the last answer is whole."""
        return self.dialogue.ask()

    def finish(self) -> Want:
        """End our side, and read on to the server's end."""
        if not self.half_closed:
            self.half_closed = True
            return HALF_CLOSE
        return READ

    @property
    def satisfied(self) -> bool:
        """All was asked, and every answer has come whole."""
        asked = self.dialogue.asked
        return asked == self.dialogue.answered and (self.dialogue.last or asked == self.requests)


class Honest(Kind):
    """Asks, reads the answer, thinks for a while, asks again."""

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.thinks = row.random.choice((0.0, 0.0, 0.01, 0.5))  # seconds, at most
        self.thought = 0  # how many had been asked when it last thought: not before the first

    def ask(self) -> Want:
        """Think before each request but the first."""
        if self.thinks and self.thought < self.dialogue.asked:
            self.thought = self.dialogue.asked
            return Wait(self.row.random.random() * self.thinks)
        return self.dialogue.ask()


class Hasty(Kind):
    """Says all requests at once, without waiting for answers, and reads what comes meanwhile."""

    def act(self) -> Want:
        """Ask as long as there is something to ask."""
        if self.dialogue.asked < self.requests:
            return self.dialogue.ask()
        return super().act()


class HalfCloser(Hasty):
    """Says all at once, ends its side, and still is owed every answer."""

    def act(self) -> Want:
        """End our side as soon as all is said."""
        if self.dialogue.asked < self.requests:
            return self.dialogue.ask()
        return self.finish()


class Dripper(Kind):
    """Says each request in small pieces, at once or within a time that no limit minds."""

    seconds_most: ClassVar[float] = 0.5

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.unsaid = b""
        self.least = row.random.choice((1, 1, 2, 7, 50))
        self.piece = 1
        self.seconds = row.random.choice((0.0, row.random.random() * self.seconds_most))  # for a whole request
        self.pause = 0.0
        self.paused = False

    def act(self) -> Want:
        """Say the next piece."""
        if not self.unsaid and self.dialogue.asked < self.requests and self.dialogue.asked == self.dialogue.answered:
            self.unsaid = self.dialogue.ask()
            self.piece = max(self.least, len(self.unsaid) // 60)
            self.pause = self.seconds * min(1.0, self.piece / max(1, len(self.unsaid)))
        if not self.unsaid:
            return super().act()
        self.paused = not self.paused
        if self.paused and self.pause:
            return Read(self.pause)
        piece, self.unsaid = self.unsaid[: self.piece], self.unsaid[self.piece :]
        return piece


class Slow(Dripper):
    """Drips so slowly that a deadline comes before the request is whole."""

    behaves = False
    seconds_most = 100.0


class SlowReader(Hasty):
    """Asks for all at once, and reads a little now and then."""

    behaves = False
    duplex = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.pause = row.random.random() * 5
        self.reads = False

    def act(self) -> Want:
        """Take nothing for a while, then what is there."""
        if self.dialogue.asked < self.requests:
            return self.dialogue.ask()
        if self.dialogue.answered == self.dialogue.asked:
            return self.finish()
        self.reads = not self.reads
        return Wait(self.pause) if self.reads else Read(0.01)


class Deaf(Hasty):
    """Asks and never reads."""

    behaves = False
    duplex = False

    def act(self) -> Want:
        """Ask, and take nothing."""
        return self.dialogue.ask() if self.dialogue.asked < self.requests else PARK


class Silent(Kind):
    """Says nothing, or nothing more after a few requests, and stays."""

    behaves = False

    def finish(self) -> Want:
        """Stay."""
        return CLOSE if self.over else READ


class Mute(Silent):
    """Never says a word."""

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, 0)


class Cutter(Kind):
    """Goes away in the middle: after some bytes of a request, or of an answer, with a reset or an end."""

    behaves = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        random = row.random
        self.way = random.choice((ABORT, ABORT, CLOSE, HALF_CLOSE))
        self.cut_at = random.randrange(requests)
        self.waits = random.choice((0.0, random.random() * 0.01))
        self.cut = False
        self.waited = False

    def act(self) -> Want:
        """Ask as others do, until it is time."""
        if self.cut:
            return self._go()
        if self.dialogue.asked == self.cut_at < self.requests and self.dialogue.answered == self.dialogue.asked:
            self.cut = True
            request = self.dialogue.ask()
            return request[: self.row.random.randrange(len(request) + 1)]
        return super().act()

    def _go(self) -> Want:
        if not self.waited:
            self.waited = True
            return Wait(self.waits)
        if self.way is HALF_CLOSE:
            return self.finish()
        return self.way


class Garbler(Kind):
    """Says what nobody understands: noise, or a request in which some bytes are wrong. Nothing is owed for it."""

    behaves = False

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.left = requests

    def step(self) -> Want:
        """Don't listen to what it says."""
        self.hear()
        return self.act()

    def hear(self) -> None:
        """Throw it away."""
        self.unheard = []

    def act(self) -> Want:
        """Say noise, then stay for a while."""
        random = self.row.random
        if self.over:
            return CLOSE
        if not self.left:
            return self.finish()
        self.left -= 1
        if random.random() < 0.5:
            return noise(random, some_size(random, 20_000))
        request = bytearray(self.dialogue.ask())
        for _ in range(random.randrange(1, 4)):
            if request:
                request[random.randrange(len(request))] = random.randrange(256)
        return bytes(request)


class Flooder(Garbler):
    """Begins a request, and goes on with one byte, over and over: a line, a length or a head without end."""

    seconds_most: ClassVar[float] = 10.0

    def __init__(self, row: Place, dialogue: Dialogue, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.most = getattr(dialogue, "flood_bytes", 1 << 18)
        self.until = row.now + self.seconds_most
        self.byte = row.random.choice((b"\xff", b"a", row.random.randbytes(1)))
        self.begins = row.random.random() < 0.5
        self.said = 0

    def act(self) -> Want:
        """Say more of it."""
        if self.over:
            return CLOSE
        if self.begins:
            self.begins = False
            return self.dialogue.ask()[:-1]
        if self.said >= self.most or self.row.now >= self.until:
            return self.finish()
        self.said += 4096
        return self.byte * 4096


class Churner(Kind):
    """Connects and goes."""

    behaves = False

    def act(self) -> Want:
        """Go."""
        return CLOSE


KINDS: dict[str, type[Kind]] = {
    "honest": Honest,
    "hasty": Hasty,
    "half-close": HalfCloser,
    "drip": Dripper,
    "slow": Slow,
    "slow-read": SlowReader,
    "no-read": Deaf,
    "idle": Silent,
    "silent": Mute,
    "cut": Cutter,
    "garbage": Garbler,
    "flood": Flooder,
    "churn": Churner,
}
"""Every kind by its name."""
