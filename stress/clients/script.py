"""A client that tells its server what to do: a request is a program for `Scripted`, its answer known to the byte.

A program is a line of `verb:number:number`, blanks between them, and behind the line the bytes that it asks for. Most
verbs move the server through its states; some answer with a part of TEXT; the last program of all may end the
connection in any way that there is.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ...engine import Cause
from .dialogue import SHOWN, Owed, WrongError, some_size

TEXT = bytes(Random(7).choices(b"abcdefghijklmnopqrstuvwxyz", k=65521)) * 16
"""Repeated after a prime: no part comes again at a round place."""

MARK = b"!"
"""Begins the server's last words, and is in no answer."""

OUTPUTS = ("bytes", "bytes", "array", "view", "tuple", "file")
SERIES = ("many", "files")
PAUSES = 3  # ways to rest for a time: Read, Idle, Wait
READINGS = 4  # ways to read on: Read, READ, Idle, and IDLE or OPENING
MOVES = ("pause", "pause", "park", "late", "next", "empty", "wake", "poke", "report", "become", "duplex", "call")
PAUSE_MOST = 30  # milliseconds
OWN_ENDS = 15  # wants that a machine may still return once it has closed its own row
SPOILT = ("feed", "refuse", "ended", "describe")  # members that fail on purpose

PATIENCE = frozenset(
    {Cause.OPENING_TOO_LONG, Cause.IDLE_TOO_LONG, Cause.REQUEST_TOO_SLOW, Cause.WAITED_TOO_LONG},
)
"""What the server may say at any time between two answers. A slow answer is pending output, and gets no words."""


def words_of(cause: Cause) -> bytes:
    """Return what the server says when it ends a connection for this."""
    return MARK + str(cause).encode() + b"\n"


class Script(Owed):
    """Says programs. What a connection's violent end may destroy is `welcome`: it may come, and is not owed."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.starts: list[int] = []  # where each answer begins that is not whole yet
        self.welcome = b""
        self.welcomed = 0
        self.words = b""
        self.causes = set(PATIENCE)

    def ask(self) -> bytes:
        """Return the next program."""
        start = self.promised
        said = super().ask()
        if self.promised > start:
            self.starts.append(start)
        return said

    def exchange(self) -> tuple[bytes, bytes]:
        """Make up a program."""
        program = Program(self.random)
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 5, 8))):
            program.move()
        if self.random.random() < 0.04:
            self.last = True
            return self._farewell(program)
        if self.random.random() < 0.8:
            program.answer()
        return program.said(), bytes(program.owed)

    def _farewell(self, program: "Program") -> tuple[bytes, bytes]:
        """End the connection: in order after an answer, or by force where nothing is owed that a reset destroys."""
        random = self.random
        if self.owed or random.random() < 0.3:
            program.answer()
            program.verbs.append(random.choice(("close", "half", "half pause:2:5 close")))
            return program.said(), bytes(program.owed)
        farewell = random.choice(FAREWELLS)
        program.verbs.append(farewell.verbs(random))
        if farewell.answers:
            program.answer()
        if farewell.cause is not None:
            self.causes.add(farewell.cause)
        self.welcome = bytes(program.owed)
        return program.said(), b""

    def hear(self, data: bytes) -> None:
        """Compare: first what is owed, then what is welcome; the server's last words where an answer may begin."""
        found = -1 if self.words else data.find(MARK)
        answers = b"" if self.words else data if found < 0 else data[:found]
        size = len(self.owed)
        super().hear(answers[:size])
        del self.starts[: len(self.starts) - len(self.ends)]
        if len(answers) > size:
            self._take_welcome(answers[size:])
        if len(answers) < len(data):
            self._hear_words(data[len(answers) :])

    def _take_welcome(self, data: bytes) -> None:
        end = self.welcomed + len(data)
        if self.welcome[self.welcomed : end] != data:
            raise WrongError(f"welcome {self.welcome[self.welcomed :][:SHOWN]!r}, heard {data[:SHOWN]!r}")
        self.welcomed = end

    def _hear_words(self, data: bytes) -> None:
        self.words += data
        if (self.starts and self.heard != self.starts[0]) or self.welcomed not in (0, len(self.welcome)):
            raise WrongError(f"{self.words[:SHOWN]!r} in the middle of an answer")
        if not any(words_of(cause).startswith(self.words) for cause in self.causes):
            raise WrongError(f"last words that nobody has a reason for: {self.words[:SHOWN]!r}")


class Program:
    """A program while it is made up: its verbs, the bytes behind its line, and what is owed for it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.verbs: list[str] = []
        self.body = bytearray()
        self.owed = bytearray()

    def said(self) -> bytes:
        """Return the request."""
        return " ".join(self.verbs).encode() + b"\n" + self.body

    def move(self) -> None:
        """Add something that the server is to do."""
        draw = self.random.random()
        if draw < 0.35:
            self.answer()
        elif draw < 0.5:
            self._echo()
        else:
            self._rest()

    def answer(self) -> None:
        """Add a part of an answer: in one want, or in many."""
        random = self.random
        if random.random() < 0.1:
            count = random.choice((2, 5, 20, 200))
            size = random.randint(1, 200_000 // count)  # mostly more than a quantum: a visit ends before they do
            verb = f"{random.choice(SERIES)}:{count}"
        else:
            count, size = 1, some_size(random, 300_000) - (random.random() < 0.02)
            verb = random.choice(OUTPUTS)
        start = random.randrange(len(TEXT) - count * size)
        self.verbs.append(f"{verb}:{size}:{start}")
        self.owed += TEXT[start : start + count * size]

    def _echo(self) -> None:
        random = self.random
        size = some_size(random, 50_000)
        start = random.randrange(len(TEXT) - size)
        self.verbs.append(f"echo:{random.randrange(READINGS)}:{size}")
        self.body += TEXT[start : start + size]
        self.owed += TEXT[start : start + size]

    def _rest(self) -> None:
        random = self.random
        verb = random.choice(MOVES)
        milliseconds = random.choice((0, 1, random.randrange(PAUSE_MOST)))
        numbers: tuple[int, ...] = ()
        if verb == "pause":
            numbers = random.randrange(PAUSES), milliseconds
        elif verb in ("park", "late"):
            numbers = milliseconds, random.randint(1, 3)
        elif verb == "poke":
            numbers = (random.randint(1, 5),)
        elif verb == "become":
            numbers = (random.randrange(3),)
        elif verb in ("duplex", "call"):
            numbers = (random.randrange(2),)
        self.verbs.append(":".join((verb, *map(str, numbers))))


class Farewell(NamedTuple):
    """A violent end."""

    verbs: Callable[[Random], str]
    cause: Cause | None = None
    """What the server may say last words for."""

    answers: bool = False
    """It goes on answering meanwhile."""


FAREWELLS = (
    Farewell(lambda random: "abort"),
    Farewell(lambda random: "mistake", Cause.PEER_ERROR),
    Farewell(lambda random: "bug", Cause.MACHINE_ERROR),
    Farewell(lambda random: "nonsense", Cause.MACHINE_ERROR),
    Farewell(lambda random: "pause:0:1 illegal"),
    Farewell(lambda random: f"own:{random.randrange(2)}:{random.randrange(OWN_ENDS)}"),
    Farewell(lambda random: f"own:{random.randrange(2)}:{random.randrange(OWN_ENDS)}"),
    Farewell(lambda random: f"killed:{random.randrange(PAUSE_MOST)}:{random.randrange(2)} never"),
    Farewell(lambda random: f"killed:{random.randrange(PAUSE_MOST)}:{random.randrange(2)}", answers=True),
    Farewell(lambda random: "never"),
    Farewell(lambda random: "cut:1000"),
    Farewell(lambda random: "gone:1000"),
    Farewell(lambda random: "half bytes:10:0"),
    Farewell(lambda random: f"spoil:{random.randrange(len(SPOILT))} report", Cause.MACHINE_ERROR),
    Farewell(lambda random: f"spoil:{random.randrange(len(SPOILT))} bug", Cause.MACHINE_ERROR),
)
