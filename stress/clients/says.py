"""A conversation as its user writes it down, for clients of a machine of one's own."""

from collections.abc import Callable
from random import Random

from .dialogue import Owed

Exchange = tuple[bytes, bytes]
"""What a client says, and what it is owed for it."""


class Says:
    r"""A conversation: `Says(b"hello\n", hears=b"HELLO\n")`, or one of several exchanges, `Says((b"a", b"A"), ...)`.

    It begins again when it is over, as often as the seed has it, unless it is said `once`. A server that speaks first
    owes its `greeting` to everybody.
    """

    def __init__(
        self, *exchanges: bytes | Exchange, hears: bytes = b"", greeting: bytes = b"", once: bool = False
    ) -> None:
        if len(exchanges) == 1 and isinstance(exchanges[0], bytes):
            exchanges = ((exchanges[0], hears),)
        elif hears or not exchanges:
            raise TypeError('Says(b"...", hears=b"...") has one exchange; several are pairs: Says((b"a", b"A"), ...)')
        for exchange in exchanges:
            if not isinstance(exchange, tuple) or list(map(type, exchange)) != [bytes, bytes]:
                raise TypeError(f"an exchange is a pair of bytes, said and heard, and not {exchange!r}")
        self.exchanges: tuple[Exchange, ...] = exchanges  # type: ignore[assignment]
        self.greeting = greeting
        self.once = once


Talk = Says | Callable[[Random], Exchange] | type[Owed]
"""What a client talks about: a conversation, a function that draws the next exchange, or a dialogue with a memory."""


class Spoken(Owed):
    """The client's side of a conversation."""

    def __init__(self, random: Random, says: Says) -> None:
        super().__init__(random)
        self.says = says
        self.owed += says.greeting
        self.promised += len(says.greeting)

    def exchange(self) -> Exchange:
        """Return the next exchange."""
        exchanges = self.says.exchanges
        self.last = self.says.once and self.asked + 1 >= len(exchanges)
        return exchanges[self.asked % len(exchanges)]


class Drawn(Owed):
    """A dialogue whose exchanges are drawn one by one."""

    def __init__(self, random: Random, draws: Callable[[Random], Exchange]) -> None:
        super().__init__(random)
        self.draws = draws

    def exchange(self) -> Exchange:
        """Draw."""
        return self.draws(self.random)
