"""Clients of datagrams: each sends again what has no answer, as all must whose words may be lost on the way.

They speak a protocol of requests in parts (`stress/simulate/exchange.py`): a part is sent when the one before it has
been taken; the answer to the last is all of them, back to front. The dialogue knows what is owed, a kind how and when
something is sent, and `Correspondent` moves both in the simulation.
"""

from collections.abc import Callable
from random import Random
from typing import ClassVar

from ...engine import CLOSE, NEXT, Cause, PeerError, Read, Reason, Wait, Want, Where
from ...engine.network import Link
from ...engine.simulation import Simulation
from .dialogue import WrongError, noise, some_size
from .kinds import Kind, Place

TAKEN, ANSWER, AGAIN = range(3)  # what a server says of a part
HEAD_BYTES = 6  # a request's number, the part's, and how many there are, or what the server says
PARTS_MOST = 3
PART_BYTES_MOST = 1000
TRIES_MOST = 60
PAUSE_SECONDS_MOST = 2.0
RECEIVED_BYTES_MOST = 60_000  # of one datagram: longer ones are none of ours


class Parts:
    """One client's requests. `message` is what should be on its way now, None between two requests."""

    last = False

    def __init__(self, random: Random) -> None:
        self.random = random
        self.asked = 0
        self.answered = 0
        self.parts: list[bytes] = []
        self.part = 0
        self.whole = False  # its last part has been said, perhaps before it had to begin again
        self.message: bytes | None = None
        self.fresh = False  # the message has not been sent yet

    def ask(self) -> bytes:
        """Begin the next request; return its first part."""
        random = self.random
        self.asked += 1
        self.whole = False
        count = random.randint(1, PARTS_MOST)
        self.parts = [noise(random, some_size(random, PART_BYTES_MOST) - 1) for _ in range(count)]
        return self._say(0)

    def hear(self, data: bytes) -> None:
        """Take one datagram. Raises WrongError for one that nobody owes."""
        number, part, said = int.from_bytes(data[:4], "big"), *data[4:HEAD_BYTES]
        body = data[HEAD_BYTES:]
        if not 0 < number <= self.asked or said not in (TAKEN, ANSWER, AGAIN) or (body and said != ANSWER):
            raise WrongError(f"asked {self.asked} times, heard {data[:20]!r}")
        if number < self.asked or self.message is None:
            return  # of one that has its answer: it was on its way for longer
        if said == ANSWER:
            if body != b"".join(self.parts)[::-1] or not self.whole:
                raise WrongError(f"owed {len(self.parts)} parts back to front, heard {len(body)} bytes: {body[:20]!r}")
            self.answered += 1
            self.message = None
        elif said == AGAIN:
            self._say(0)
        elif part == self.part:
            if part == len(self.parts) - 1:
                raise WrongError("the last part was taken, and not answered")
            self._say(part + 1)

    def _say(self, part: int) -> bytes:
        self.part = part
        self.whole = self.whole or part == len(self.parts) - 1
        self.fresh = True
        self.message = self.asked.to_bytes(4, "big") + bytes((part, len(self.parts))) + self.parts[part]
        return self.message


class Asker(Kind):
    """Asks, sends again with growing pauses, and is owed every answer as long as the server takes anybody."""

    duplex: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    dialogue: Parts

    def __init__(self, row: Place, dialogue: Parts, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.pause = row.random.choice((0.3, 1.0))
        self.thinks = row.random.choice((0.0, 0.0, 0.5, 3.0))
        self.due = 0.0
        self.tries = 0
        self.left = 0  # copies of the message that are still to be sent
        self.until = 0.0  # it thinks until then
        self.gave_up = False

    def feed(self, data: bytes) -> None:
        """Store what came: no bytes are a datagram, too."""
        self.unheard.append(data)

    def hear(self) -> None:
        """Take each datagram by itself."""
        unheard, self.unheard = self.unheard, []
        for data in unheard:
            self.dialogue.hear(data)

    def act(self) -> Want:
        """Send what is due, and wait for what comes."""
        dialogue, now = self.dialogue, self.row.now
        if self.left and dialogue.message is not None and not dialogue.fresh:
            self.left -= 1
            return dialogue.message
        if dialogue.message is None:
            if dialogue.asked >= self.requests:
                return CLOSE
            if self.until <= now:
                self.until = now + self.thinks * self.row.random.random()
                dialogue.ask()
            else:
                return Wait(self.until - now)
        if dialogue.fresh:
            dialogue.fresh = False
            self.tries = 0
        elif now < self.due:
            return Read(self.due - now)
        self.tries += 1
        self.due = now + min(self.pause * 2**self.tries, PAUSE_SECONDS_MOST)
        if self.tries > TRIES_MOST:
            self.gave_up = True
            return CLOSE
        self.left = self.copies
        return b""


class Twice(Asker):
    """Sends everything twice."""

    copies: ClassVar[int] = 2


class Hasty(Asker):
    """Sends again long before an answer can have come."""

    def __init__(self, row: Place, dialogue: Parts, requests: int) -> None:
        super().__init__(row, dialogue, requests)
        self.pause = 0.01


class Leaver(Asker):
    """Sends a first part, and is never heard of again."""

    behaves: ClassVar[bool] = False

    def act(self) -> Want:
        """Say it, and go."""
        if self.dialogue.asked:
            return CLOSE
        return self.dialogue.ask()


class Noisy(Asker):
    """Sends what means nothing, of any length, none and too much among them; sometimes into a request of its own."""

    behaves: ClassVar[bool] = False

    def hear(self) -> None:
        """Nobody owes it anything."""
        self.unheard.clear()

    def act(self) -> Want:
        """Say something a few times."""
        dialogue, random = self.dialogue, self.row.random
        if dialogue.asked >= 3 * self.requests:
            return CLOSE
        message = dialogue.ask()
        draw = random.random()
        if draw < 0.3:
            return message[: random.randrange(len(message))]
        if draw < 0.6:
            place = random.randrange(HEAD_BYTES)
            return message[:place] + random.randbytes(1) + message[place + 1 :]
        return message if draw < 0.8 else noise(random, random.choice((1, 5, 6, 7, 1500, 60_001)))


LETTER_KINDS: dict[str, Callable[[Place, Parts, int], Asker]] = {
    "asks": Asker,
    "asks-twice": Twice,
    "asks-hastily": Hasty,
    "asks-and-leaves": Leaver,
    "asks-nonsense": Noisy,
}
"""Every kind by its name."""


class Correspondent:
    """A client of datagrams, moved by its machine; to that it is its row."""

    def __init__(
        self, simulation: Simulation, address: str, factory: Callable[["Correspondent"], Asker], link: Link
    ) -> None:
        self._simulation = simulation
        self._link = link
        self._peer = simulation.dial_datagrams(address, link)
        self._peer.watcher = self._move
        self._alarm = 0  # the number of the wait that counts
        self._moving = False
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.harmed = False
        self.reason: Reason | None = None
        self.machine = factory(self)
        simulation.after(0.0, self._move)

    def __repr__(self) -> str:
        return f"<Correspondent {self.local!r}>"

    @property
    def key(self) -> int:
        """A number of its own."""
        return int(self.local[1])

    @property
    def now(self) -> float:
        """The simulated time."""
        return self._simulation.now()

    @property
    def random(self) -> Random:
        """The link's own random numbers."""
        return self._link.random

    @property
    def local(self) -> Where:
        """Its own address, as the server sees it."""
        return self._peer.where

    def _move(self) -> None:
        """Feed the machine what has come, and step it until it rests."""
        if self._moving or self.reason is not None:
            return
        self._moving = True
        try:
            for data in self._peer.heard(RECEIVED_BYTES_MOST + 1):
                self.received += len(data)
                if len(data) <= RECEIVED_BYTES_MOST:  # else its end is missing
                    self.machine.feed(data)
            while self.reason is None and self._goes_on(self.machine.step()):
                pass
        except PeerError as error:
            self._end(Reason(Cause.PEER_ERROR, error.reason))
        except Exception as error:
            self._end(Reason(Cause.MACHINE_ERROR, f"{type(self.machine).__name__}: {error!r}"))
        finally:
            self._moving = False

    def _goes_on(self, want: Want) -> bool:
        """Carry out a want; True where the machine is stepped again at once."""
        if want is NEXT:
            self.requests += 1
        elif isinstance(want, bytes):
            if want:
                self._say(want)
        elif want is CLOSE:
            self._end(Reason(Cause.DONE))
        else:
            assert isinstance(want, (Read, Wait)), want
            self._alarm = alarm = self._alarm + 1
            self._simulation.after(want.seconds, lambda: self._ring(alarm))
            return False
        return True

    def _say(self, data: bytes) -> None:
        faults = self._link.faults
        if faults.vanished and self.random.random() < faults.vanished:
            self._link.met["vanished"] += 1
            self.harmed = True
            self._end(Reason(Cause.PEER_LOST, "vanished"))
            return
        self.sent += len(data)
        self._peer.say(data)

    def _ring(self, alarm: int) -> None:
        if alarm == self._alarm:
            self._move()

    def _end(self, reason: Reason) -> None:
        self.reason = reason
        self._peer.close()
