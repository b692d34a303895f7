"""Machines that look first, and that have somebody else finish a connection: a child, a thread, whoever may wait."""

from collections.abc import Callable
from typing import Any

from ..buffers import Inbox
from ..machine import CLOSE, IDLE, READ, Become, Call, Machine, Outcome, Reason, Want
from ..row import Row

HOWS = ("switching", "buffered", "fork", "thread", "inline")


def check_how(how: str) -> None:
    """Check what a server has chosen. Raises ValueError."""
    if how not in HOWS:
        raise ValueError(f"choose() returned {how!r}, which is none of {', '.join(HOWS)}")


class Choosing:
    """Shows what has come to `choose` until it says how to go on, and becomes what `make` returns for that.

    `over()` is called where it ends before.
    """

    def __init__(
        self,
        row: Row,
        choose: Callable[[bytes], str | None],
        make: Callable[[str], Machine],
        over: Callable[[], None],
    ) -> None:
        self.row = row
        self.choose = choose
        self.make = make
        self.over = over
        self.inbox = Inbox(row)

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.inbox.feed(data)

    def step(self) -> Want:
        """Ask, when there is something to ask about."""
        how = self.choose(self.inbox.peek(len(self.inbox))) if self.inbox else None
        if how is None:
            return READ if self.inbox else IDLE
        return Become(self.make(how), self.inbox.take())

    def ended(self, reason: Reason) -> None:
        """Say that nothing has come of it."""
        self.over()

    def describe(self) -> str:
        """Say how far it is."""
        return f"choosing, by {len(self.inbox)} bytes"


class Lending:
    """Lends its connection to `serve(channel, unread)`, run as `how` says, and ends when that has.

    `ask(begin)` is asked before, and calls `begin` if it is to be. `over(error)` is called once, whatever comes of it.
    """

    def __init__(
        self,
        row: Row,
        how: str,
        ask: Callable[[Callable[[], None]], None],
        serve: Callable[[Any, bytes], None],
        over: Callable[[Exception | None], None],
    ) -> None:
        self.row = row
        self.how = how
        self.ask = ask
        self.serve = serve
        self.over: Callable[[Exception | None], None] | None = over
        self.inbox = Inbox(row)
        self.lent = False

    def feed(self, data: bytes) -> None:
        """Store what came before it was lent."""
        self.inbox.feed(data)

    def resume(self, outcome: Outcome) -> None:
        """Hear that it is over."""
        assert outcome.error is None or isinstance(outcome.error, Exception)
        self._end(outcome.error)

    def step(self) -> Want:
        """Lend it; end it."""
        if not self.lent:
            self.ask(self._begin)
            if self.lent:
                return Call(self.serve, self.inbox.take(), how=self.how, lend=True)
        return CLOSE

    def ended(self, reason: Reason) -> None:
        """Say that it is over, if nobody has been told of an outcome."""
        self._end(None)

    def _begin(self) -> None:
        self.lent = True

    def _end(self, error: Exception | None) -> None:
        over, self.over = self.over, None
        if over is not None:
            over(error)

    def describe(self) -> str:
        """Say who has it."""
        return "finished elsewhere"
