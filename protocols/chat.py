"""A chat room: a broadcast that wakes rows, and copies nothing for each.

The room keeps one log, and each member only a place in it. So a message costs the same memory for ten members and for
ten thousand, and a member who doesn't read falls behind in the log, and is let go, instead of filling a queue.
"""

from collections import deque

from ..engine import CLOSE, NEXT, PeerError, Reason, Row, Want
from .lines import Lines

NAME_LETTERS_MAX = 24


class Room:
    """Who is here, and the last messages. `reactor.listen(address, Room())`."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.waiting: dict[int, Member] = {}  # those who have seen all: nobody else needs to be woken
        self.log: deque[tuple[int, bytes]] = deque()  # (author's key, or 0 for the room itself; line)
        self.said = 0  # messages ever: the log has the last of them

    def __call__(self, row: Row) -> "Member":
        """Let somebody in."""
        return Member(row, self)

    def say(self, author: int, text: str, most: int) -> None:
        """Put a message into the log, which keeps `most`, and wake everybody."""
        self.log.append((author, text.encode() + b"\n"))
        self.said += 1
        while len(self.log) > most:
            self.log.popleft()
        waiting, self.waiting = self.waiting, {}
        for member in waiting.values():
            member.row.wake()


class Member(Lines):
    """Somebody in the room."""

    def __init__(self, row: Row, room: Room) -> None:
        super().__init__(row)
        self.room = room
        self.name = f"guest{row.key}"
        self.place = room.said  # how much of what was said this member has seen

    def greet(self) -> bytes:
        """Enter."""
        self.room.members[self.row.key] = self
        self._say(f"* {self.name} has come", 0)
        self.place = self.room.said
        return f"* You are {self.name}, one of {len(self.room.members)}. /name NAME, /who, /quit\n".encode()

    def step(self) -> Want:
        """Hand over what was said since the last time, then see to what this member says."""
        room = self.room
        if self.greeted and self.place < room.said:
            behind = room.said - self.place
            if behind > len(room.log):
                raise PeerError(f"{behind} messages behind")
            news = [room.log[place] for place in range(len(room.log) - behind, len(room.log))]
            self.place = room.said
            return b"".join(line for author, line in news if author != self.row.key)
        if self.row.key in room.members:
            room.waiting[self.row.key] = self
        return super().step()

    def answer(self, line: bytes) -> Want:
        """Carry out a command, or say what was typed."""
        text = printable(line).strip()
        command, _, rest = text.partition(" ")
        if command == "/quit":
            self._leave()
            return CLOSE
        if command == "/who":
            return "".join(f"* {member.name}\n" for member in self.room.members.values()).encode()
        if command == "/name":
            return self._rename(rest.strip())
        if text.startswith("/"):
            return b"* /name NAME, /who, /quit\n"
        if not text:
            return b""
        self._say(f"{self.name}: {text}", self.row.key)
        return NEXT

    def ended(self, reason: Reason) -> None:
        """Leave."""
        self._leave()

    def _leave(self) -> None:
        self.room.waiting.pop(self.row.key, None)
        if self.room.members.pop(self.row.key, None) is not None:
            self._say(f"* {self.name} has gone", 0)

    def describe(self) -> str:
        """Say who it is and how far behind."""
        return f"{self.name}, {self.room.said - self.place} messages behind"

    def _rename(self, name: str) -> bytes:
        if not name or len(name) > NAME_LETTERS_MAX:
            return f"* a name has 1 to {NAME_LETTERS_MAX} letters\n".encode()
        if any(member.name == name for member in self.room.members.values()):
            return f"* {name} is taken\n".encode()
        old, self.name = self.name, name
        self._say(f"* {old} is now {name}", self.row.key)
        return f"* you are now {name}\n".encode()

    def _say(self, text: str, author: int) -> None:
        self.room.say(author, text, self.row.limits.backlog_lines)


def printable(line: bytes) -> str:
    """Return text without control characters: one member's bytes must not steer another's terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in line.decode("utf-8", "replace"))
