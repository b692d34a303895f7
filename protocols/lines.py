"""A base for line protocols: subclass it, say what a line is answered with, and there is a server.

class Shout(Lines):
    def answer(self, line):
        return line.upper() + b"\n"
"""

from ..engine import IDLE, NEXT, READ, LineBuffer, Row, Want


class Lines:
    """One answer to each line. A subclass gives `answer`, and `greet` where the server speaks first."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.lines = LineBuffer(row, row.limits.line_bytes)
        self.answered = False
        self.greeted = False

    def greet(self) -> bytes:
        """Return what is said before the first line comes."""
        return b""

    def answer(self, line: bytes) -> Want:
        """Return the answer to one line, which comes without its end; any want will do.

        `NEXT` for a request that needs no answer; b"" for what is no request: it doesn't keep an idle row alive.
        """
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.lines.feed(data)

    def step(self) -> Want:
        """Greet; answer one line; say that one request has ended; wait for the next."""
        if not self.greeted:
            self.greeted = True
            return self.greet()
        if self.answered:
            self.answered = False
            return NEXT
        line = self.lines.take()
        if line is None:
            return READ if len(self.lines) else IDLE
        answer = self.answer(line.rstrip(b"\r\n"))
        self.answered = answer != b"" and answer is not NEXT
        return answer
