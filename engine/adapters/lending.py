"""Machines that look first, and that have somebody else finish a connection: a child, a thread, whoever may wait."""

from collections.abc import Callable
from typing import Any

from ..buffers import Inbox
from ..machine import CLOSE, IDLE, READ, Become, Call, Machine, Outcome, Want
from ..row import Row


class Choosing:
    """Shows what has come to `choose` until it says how to go on, and becomes what `make` returns for that."""

    def __init__(self, row: Row, choose: Callable[[bytes], str | None], make: Callable[[str], Machine]) -> None:
        self.row = row
        self.choose = choose
        self.make = make
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

    def describe(self) -> str:
        """Say how far it is."""
        return f"choosing, by {len(self.inbox)} bytes"


class Lending:
    """Lends its connection to `serve(channel, unread)`, run as `how` says, and ends when that has."""

    def __init__(
        self, row: Row, how: str, serve: Callable[[Any, bytes], None], over: Callable[[Exception | None], None]
    ) -> None:
        self.row = row
        self.how = how
        self.serve = serve
        self.over = over
        self.inbox = Inbox(row)
        self.lent = False

    def feed(self, data: bytes) -> None:
        """Store what came before it was lent."""
        self.inbox.feed(data)

    def resume(self, outcome: Outcome) -> None:
        """Hear that it is over."""
        assert outcome.error is None or isinstance(outcome.error, Exception)
        self.over(outcome.error)

    def step(self) -> Want:
        """Lend it; end it."""
        if self.lent:
            return CLOSE
        self.lent = True
        return Call(self.serve, self.inbox.take(), how=self.how, lend=True)

    def describe(self) -> str:
        """Say who has it."""
        return "finished elsewhere"
