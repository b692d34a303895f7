"""A member of a chat room who knows what everybody may say, and hears whether it comes whole, in order and in time.

What anybody says carries its author and a number, and text that follows from both. So whoever hears the others can tell
a line that is missing, doubled, late, cut or not its author's. A line that *knocks* is answered by the room some time
later, when its author has nothing more to say: who is not woken then waits in vain.
"""

import re
from collections import Counter, deque
from random import Random

from .dialogue import SHOWN, WrongError

HELP = "* /name NAME, /who, /quit"
WHO = ""  # among what is expected: a list of names, of any length
NAME = r"(guest\d+|n\d+x\d+)"
GREETING = re.compile(rf"\* You are {NAME}, one of [1-9]\d*\. /name NAME, /who, /quit")
SAID = re.compile(rf"{NAME}: (A(\d+) (\d+) (\d+) .*)")
COME = re.compile(rf"\* {NAME} has come")
GONE = re.compile(rf"\* {NAME} has gone")
RENAMED = re.compile(rf"\* {NAME} is now {NAME}")
LISTED = re.compile(rf"\* {NAME}")
KNOCKED = re.compile(r"A(\d+) (\d+) \d+ knock .*")
ANSWERED = re.compile(r"\* the (\d+)th knock was A(\d+) (\d+)")


def said_by(author: int, number: int, names: int, knocks: bool) -> str:
    """Return what an author says: the number counts all that he says, `names` how often he has changed his."""
    word = "knock" if knocks else "say"
    return f"A{author} {number} {names} {word} " + f"\u00e9{(author * 7919 + number) % 9973:04d}" * (1 + number % 40)


class Record:
    """What was said in a room by anybody, as far as its members know: each adds what he says before he says it."""

    def __init__(self) -> None:
        self.said: dict[tuple[int, int], str] = {}  # by author and number
        self.authors: Counter[int] = Counter()  # how much each has said


class Chat:
    """One member."""

    def __init__(self, random: Random, key: int, record: Record, talks: float) -> None:
        self.random = random
        self.key = key
        self.record = record
        self.talks = talks  # the odds that a request says something to all
        self.asked = 0
        self.answered = 0
        self.last = False
        self.names = 0  # how often this member has asked for another name
        self.name = ""  # the one that it has, as far as it was told
        self.rest = b""  # of a line that has not come whole
        self.expected: deque[str] = deque()  # answers, in this order; `WHO` for a list
        self.knocks: set[int] = set()  # numbers of lines that the room will answer
        self.listed: list[str] | None = None  # names of the list that is coming
        self.list_over = False
        self.heard: dict[int, int] = {}  # the number of the last line of each author
        self.knock = 0  # the number of the last knock of all that was answered
        self.fresh: set[str] = set()  # who has come since, and has said nothing yet
        self.gone: set[str] = set()  # names that nobody has any more

    # What it says.

    def ask(self) -> bytes:
        """Say something, or ask the room for something."""
        self.asked += 1
        random = self.random
        if random.random() < self.talks:
            return b"".join(self._say(False) for _ in range(random.choice((0, 0, 1, 2)))) + self._say(True)
        draw = random.random()
        if draw < 0.05 and not self.expected and not self.knocks:
            self.last = True
            self.answered += 1
            return b"/quit\n"
        if draw < 0.3:
            self.expected += (WHO, HELP)
            return b"/who\n/help\n"
        if draw < 0.6:
            self.names += 1
            self.expected.append(f"* you are now {self._own_name()}")
            return f"/name {self._own_name()}\n".encode()
        if draw < 0.8 and self.names:
            self.expected.append(f"* {self._own_name()} is taken")
            return f"/name  {self._own_name()}\r\n".encode()
        if draw < 0.9:
            self.expected.append("* a name has 1 to 24 letters")
            return random.choice((b"/name\n", b"/name " + b"x" * 25 + b"\n"))
        self.expected.append(HELP)
        return b"\n \r\n/whatever\n"

    def _own_name(self) -> str:
        return f"n{self.key}x{self.names}"

    def _say(self, knocks: bool) -> bytes:
        """Say a line; a control character in it is a blank to those who hear it."""
        number = self.record.authors[self.key]
        self.record.authors[self.key] += 1
        text = said_by(self.key, number, self.names, knocks)
        self.record.said[self.key, number] = text
        if knocks:
            self.knocks.add(number)
        return text.replace(" ", self.random.choice(" \x07")).encode() + b"\n"

    # What it hears.

    def hear(self, data: bytes) -> None:
        """Take whole lines."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            try:
                self._hear_line(line.decode())
            except UnicodeDecodeError as error:
                raise WrongError(f"cut within a letter: {line[:SHOWN]!r}") from error

    def _hear_line(self, line: str) -> None:
        if not self.name:
            self.name = _match(GREETING, line)[1]
        elif self.expected and self.expected[0] == line:
            self._take_answer(line)
        elif self.expected and self.expected[0] == WHO and self._hear_list(line):
            return
        elif found := SAID.fullmatch(line):
            self._hear_said(found[1], found[2], int(found[3]), int(found[4]), int(found[5]))
        elif found := COME.fullmatch(line):
            self._check_present(found[1], line)
            self.fresh.add(found[1])
        elif found := GONE.fullmatch(line):
            self._check_present(found[1], line)
            self.gone.add(found[1])
        elif found := RENAMED.fullmatch(line):
            self._hear_rename(found[1], found[2], line)
        else:
            found = _match(ANSWERED, line)
            self._hear_knock(int(found[1]), int(found[2]), int(found[3]))

    def _take_answer(self, line: str) -> None:
        self.expected.popleft()
        self.answered += 1
        if line.startswith("* you are now "):
            self.name = line.removeprefix("* you are now ")

    def _hear_list(self, line: str) -> bool:
        """Take a line of the list that is owed, or the one behind it; False for what stands before or after it."""
        if found := LISTED.fullmatch(line):
            if self.list_over or found[1] in self.gone:
                raise WrongError(f"{line!r} comes after the list, or has gone")
            self.listed = [*(self.listed or ()), found[1]]
            return True
        self.list_over = self.listed is not None
        if line != self.expected[1]:
            return False
        names = self.listed or []
        if names.count(self.name) != 1 or len(set(names)) != len(names):
            raise WrongError(f"{names} are here, and I am {self.name}")
        self.listed, self.list_over = None, False
        self.expected.popleft()
        self._take_answer(line)
        return True

    def _hear_said(self, name: str, text: str, author: int, number: int, names: int) -> None:
        if author == self.key or self.record.said.get((author, number)) != text:
            raise WrongError(f"nobody else has said {text[:SHOWN]!r}")
        if name != f"n{author}x{names}" and (names or not name.startswith("guest")):
            raise WrongError(f"{name} says what A{author} has said under another name")
        self._check_present(name, text)
        due = 0 if name in self.fresh else self.heard.get(author, number - 1) + 1
        if number != due:
            raise WrongError(f"A{author} has said {number}, and {due} was due")
        self.fresh.discard(name)
        self.heard[author] = number

    def _hear_rename(self, old: str, new: str, line: str) -> None:
        self._check_present(old, line)
        self._check_present(new, line)
        self.gone.add(old)
        if old in self.fresh:
            self.fresh.remove(old)
            self.fresh.add(new)

    def _hear_knock(self, count: int, author: int, number: int) -> None:
        if count != self.knock + 1 and self.knock:
            raise WrongError(f"knock {count} was answered after {self.knock}")
        if KNOCKED.fullmatch(self.record.said.get((author, number), "")) is None:
            raise WrongError(f"A{author} has not knocked with {number}")
        self.knock = count
        if author == self.key:
            if number not in self.knocks:
                raise WrongError(f"my knock {number} was answered twice")
            self.knocks.remove(number)
            self.answered += 1

    def _check_present(self, name: str, line: str) -> None:
        if name in self.gone or name == self.name:
            raise WrongError(f"{name} has gone, or it is I: {line[:SHOWN]!r}")


def _match(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.fullmatch(line)
    if found is None:
        raise WrongError(f"nobody owes {line[:SHOWN]!r}")
    return found
