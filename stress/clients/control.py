"""An operator who counts along: what `rows` and `stats` say of its own row is known to the byte, the rest by sums."""

from collections import deque
from itertools import pairwise
from random import Random
from typing import NamedTuple

from ...engine import TotalsReport
from ...engine.row import STATES
from .dialogue import SHOWN, WrongError

HEADER = "key state age deadline in out held requests interest peer listener machine"
FIELDS = len(HEADER.split())
PIECE_ROWS = 64  # of a list, sent at once
COMMANDS = "commands: rows, stats, kill KEY, drain"
NOBODY = "no such row"
SIMPLE = (
    (b"kill 0", NOBODY),
    (b"kill", NOBODY),
    (b"kill nobody", NOBODY),
    (b"kill -1", NOBODY),
    (b"kill " + b"9" * 15, NOBODY),
    (b"kill " + b"9" * 5000, NOBODY),
    (b"help", COMMANDS),
    (b"row", COMMANDS),
    (b"\xff\xfe", COMMANDS),
)
PARTS = ("states", "ended", "dropped")  # of the totals: several numbers each
GROWING = (
    *("accepted", "connected", "requests", "received", "sent", "turns"),
    *("datagrams_received", "datagrams_sent"),
)
"""What never gets less; nor does the number of those who have ended for any one reason."""


class Command(NamedTuple):
    """One that was said, and is not answered yet."""

    answer: str
    """Its only line; else "rows" or "stats"."""

    said: int
    """Bytes that this client had said, this command included."""

    before: int
    """Commands that it had said before."""

    closes: bool
    """It is the last of its request."""


class Operate:
    """One operator."""

    def __init__(self, random: Random, peer: str) -> None:
        self.random = random
        self.peer = peer  # our own address, as the server writes it
        self.asked = 0
        self.answered = 0
        self.last = False
        self.key = 0  # of our own row, once it was seen in a list
        self.said = 0
        self.commands = 0
        self.expected: deque[Command] = deque()
        self.rest = b""
        self.heard = 0  # bytes of whole lines
        self.lines: list[str] | None = None  # of the list that is coming
        self.starts: list[int] = []  # where each of them began
        self.totals: dict[str, int] = {}  # the last that were told

    # What it says.

    def ask(self) -> bytes:
        """Say some commands; the last of all may end our own row, which is not answered."""
        self.asked += 1
        random = self.random
        if self.key and not self.expected and random.random() < 0.05:
            self.last = True
            self.answered += 1
            return b"kill %d\n" % self.key
        count = random.choice((1, 1, 2, 4))
        return b"".join(self._command(place == count - 1) for place in range(count))

    def _command(self, closes: bool) -> bytes:
        random = self.random
        line, answer = random.choice(((b"rows", "rows"), (b"stats", "stats"), random.choice(SIMPLE)))
        said = random.choice((b"", b"", b"\n", b" \r\n")) + line + random.choice((b"\n", b"\r\n", b" \n"))
        self.said += len(said)
        self.expected.append(Command(answer, self.said, self.commands, closes))
        self.commands += 1
        return said

    # What it hears.

    def hear(self, data: bytes) -> None:
        """Take whole lines."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._hear_line(line.decode("ascii", "replace"))
            self.heard += len(line) + 1

    def _hear_line(self, line: str) -> None:
        if not self.expected:
            raise WrongError(f"nobody has asked for {line[:SHOWN]!r}")
        command = self.expected[0]
        if command.answer not in ("rows", "stats"):
            if line != command.answer:
                raise WrongError(f"owed {command.answer!r}, heard {line[:SHOWN]!r}")
            self._answered(command)
            return
        if self.lines is None:
            self.lines, self.starts = [], []
            if command.answer == "rows":
                if line != HEADER:
                    raise WrongError(f"no header: {line[:SHOWN]!r}")
                return
        if line != ".":
            self.lines.append(line)
            self.starts.append(self.heard)
            return
        if command.answer == "rows":
            self._check_rows(command, self.lines)
        else:
            self._check_stats(command, self.lines)
        self.lines = None
        self._answered(command)

    def _answered(self, command: Command) -> None:
        self.expected.popleft()
        self.answered += command.closes

    def _check_rows(self, command: Command, lines: list[str]) -> None:
        """One line a row, oldest first; and what is said of our own is what we know of it."""
        keys = []
        own = []
        for place, line in enumerate(lines):
            fields = line.split(" ", FIELDS - 1)
            if len(fields) != FIELDS or fields[1] not in STATES or not set(fields[8]) <= set("rwe-"):
                raise WrongError(f"no row: {line[:SHOWN]!r}")
            keys.append(_number(fields[0]))
            counts = [_number(field) for field in fields[4:8]]
            if float(fields[2]) < 0 or (fields[3] != "-" and float(fields[3]) < 0):
                raise WrongError(f"a negative time: {line[:SHOWN]!r}")
            if fields[9] == self.peer:
                own.append(place)
                self._check_own(command, place, counts, line)
                self.key = keys[-1]
        if len(own) != 1 or any(key >= later for key, later in pairwise(keys)):
            raise WrongError(f"{len(own)} rows are mine, keys {keys[:20]}")

    def _check_own(self, command: Command, place: int, counts: list[int], line: str) -> None:
        received, sent, _, requests = counts
        gone = self.starts[place - place % PIECE_ROWS]  # all before this piece had left
        if not command.said <= received <= self.said or sent != gone or requests != command.before:
            known = f"{command.said} to {self.said} bytes said, {gone} heard, {command.before} commands"
            raise WrongError(f"{known}, and the server says {line[:SHOWN]!r}")

    def _check_stats(self, command: Command, lines: list[str]) -> None:
        """A name and a number a line, which agree with each other, with what we know, and with those before."""
        totals: dict[str, int] = {}
        for line in lines:
            name, _, number = line.partition(" ")
            if name in totals or name.partition(".")[0] not in TotalsReport._fields:
                raise WrongError(f"no total: {line[:SHOWN]!r}")
            totals[name] = _number(number)
        sums = {part: sum(totals[name] for name in totals if name.startswith(part + ".")) for part in PARTS}
        if set(TotalsReport._fields) - set(PARTS) != {name for name in totals if "." not in name}:
            raise WrongError(f"not the names of totals: {list(totals)}")
        if not sums["states"] == totals["rows"] == totals["accepted"] - sums["ended"] <= totals["rows_max"]:
            raise WrongError(f"sums that don't agree: {totals}")
        least = {"requests": command.before, "received": command.said, "sent": self._heard_before()}
        if any(totals[name] < count for name, count in least.items()):
            raise WrongError(f"less than my own {least}: {totals}")
        growing = [name for name in self.totals if name in GROWING or name.startswith("ended.")]
        if any(totals.get(name, 0) < self.totals[name] for name in growing):
            raise WrongError(f"less than before: {self.totals}, {totals}")
        self.totals = totals

    def _heard_before(self) -> int:
        """Return how much had come when the list that is coming began."""
        return self.starts[0] if self.starts else self.heard


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise WrongError(f"no number: {text[:SHOWN]!r}")
    return int(text)
