"""The honest client: what a real user sees while others attack.

    python -m partway.stress.attack.probe ORDERS

It comes at a fixed rate, each time on a connection of its own, whether or not earlier ones have been answered: a server
that stands still for a second is met by everybody who came in that second, not by one alone (who waits for an answer
before he asks again leaves out the very moments that matter: coordinated omission). Each time counts from when it was
to begin. It lives in a process of its own, where no attacker delays it. It says `ready`; from the line `begin` on it
comes, and says each outcome in a line: at which target, when it was to begin, how long it took, in seconds, and what
came of it. When its standard input ends it begins no more, and ends when all that it has begun have ended: the slowest
are the last.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ...engine import ABORT, CLOSE, Cause, Limits, Machine, Reactor, Read, Reason, Row, Want
from .attackers import BEGIN, READY, more_descriptors, tell
from .children import rope
from .target import Target, parse_target
from .tls import sealer
from .words import Words, ear_of, words_of

MODULE = __name__ if __name__ != "__main__" else "partway.stress.attack.probe"
FIRST = -10  # where it may, it goes before others: who measures must not wait for what it measures
OK = "ok"
ENDED_EARLY = "ended early"
TIMED_OUT = "timed out"
FAILURES = {
    Cause.NOT_CONNECTED: "refused",
    Cause.OPENING_TOO_LONG: TIMED_OUT,
    Cause.ANSWER_TOO_SLOW: TIMED_OUT,
    Cause.PEER_LOST: "reset",
    Cause.PEER_ERROR: "nonsense",
}


class Order(NamedTuple):
    """Whom it visits (the user's own words, what it speaks, what is said in hex), how often a second, and how long it
    waits for an answer, in seconds."""

    target: str
    protocol: str
    rate: float
    patience: float
    say: str = ""


class Outcome(NamedTuple):
    """One visit: when it was to begin, how many seconds it took, and what came of it."""

    began: float
    seconds: float
    what: str


class Visit:
    """One request on a connection of its own, which has time `until` then."""

    def __init__(self, row: Row, target: Target, words: Words, until: float, tell: Callable[[str], None]) -> None:
        self.row = row
        self.until = until
        self.statuses: Counter[str] = Counter()
        self.ear = ear_of(target, self.statuses)
        self.unsaid = words.request
        self.tell: Callable[[str], None] | None = tell
        self.data: list[bytes] = []
        self.over = False

    def feed(self, data: bytes) -> None:
        """Store what came."""
        self.data.append(data)

    def step(self) -> Want:
        """Ask, and read until the answer is whole."""
        if self.unsaid:
            request, self.unsaid = self.unsaid, b""
            return request
        data, self.data = self.data, []
        for piece in data:
            if self.ear.hear(piece):
                worst = max(self.statuses, default="")
                self.end(OK if worst < "400" else f"status {worst}")
            elif not piece:
                self.end(ENDED_EARLY)
        if self.tell is None:
            return CLOSE
        left = self.until - self.row.now
        if left > 0:
            return Read(left)
        self.end(TIMED_OUT)
        return ABORT

    def end(self, what: str) -> None:
        """Tell what came of it, once."""
        tell, self.tell = self.tell, None
        if tell is not None:
            tell(what)

    def ended(self, reason: Reason) -> None:
        """The row has ended: with the answer, or without."""
        self.end(FAILURES.get(reason.cause, ENDED_EARLY))


class Prober:
    """Comes `rate` times a second, on a schedule that nothing moves."""

    def __init__(
        self,
        reactor: Reactor,
        target: Target,
        words: Words,
        rate: float,
        patience: float,
        tell: Callable[[Outcome], None],
        done: Callable[[], None],
    ) -> None:
        self.reactor = reactor
        self.target = target
        self.words = words
        self.pause = 1 / rate
        self.patience = patience
        self.limits = Limits(opening_seconds=patience, request_seconds=patience + 1, stall_seconds=patience, rate_min=0)
        self.tell = tell
        self.done = done
        self.seal = sealer(target) if target.secure else None
        self.due = 0.0
        self.under_way = 0
        self.over = False

    def begin(self) -> None:
        """Begin with the first visit at once."""
        self.due = self.reactor.platform.now()
        self._visit()

    def end(self) -> None:
        """Begin no more; `done` is called when the last has ended."""
        self.over = True
        self._done_if_over()

    def _visit(self) -> None:
        now = self.reactor.platform.now
        while self.due <= now() and not self.over:
            self._begin(self.due)
            self.due += self.pause
        if not self.over:
            self.reactor.after(max(0.0, self.due - now()), self._visit)

    def _begin(self, due: float) -> None:
        def tell(what: str) -> None:
            self.under_way -= 1
            self.tell(Outcome(due, self.reactor.platform.now() - due, what))
            self._done_if_over()

        def make(row: Row) -> Machine:
            visit = Visit(row, self.target, self.words, due + self.patience, tell)
            return visit if self.seal is None else self.seal(visit, visit.ended)

        self.under_way += 1
        try:
            self.reactor.connect(self.target.address, make, self.limits)
        except OSError as error:
            tell(error.strerror or str(error))

    def _done_if_over(self) -> None:
        if self.over and not self.under_way:
            self.done()


def words_for(orders: Sequence[Order]) -> list[str]:
    """Return what the process is told when it begins."""
    return [json.dumps(orders)]


def line_of(place: int, outcome: Outcome) -> bytes:
    """Write an outcome at the target in this place."""
    return f"{place} {outcome.began!r} {outcome.seconds!r} {outcome.what}".encode()


def parse_line(line: bytes) -> tuple[int, Outcome]:
    """Read it again."""
    place, began, seconds, what = line.decode().split(" ", 3)
    return int(place), Outcome(float(began), float(seconds), what)


def main(words: Sequence[str]) -> None:
    """Probe until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who has started it, and will end its input
    more_descriptors()
    with suppress(PermissionError):
        os.nice(FIRST)
    reactor = Reactor()
    orders = [Order(*order) for order in json.loads(words[0])]
    left = len(orders)

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            reactor.stop()

    probers = [prober_of(reactor, place, order, done) for place, order in enumerate(orders)]

    def hear(line: bytes) -> None:
        if line == BEGIN:
            for prober in probers:
                prober.begin()

    def ended() -> None:
        for prober in probers:
            prober.end()

    rope(reactor, hear, ended)
    tell(READY)
    reactor.run()
    reactor.close()


def prober_of(reactor: Reactor, place: int, order: Order, done: Callable[[], None]) -> Prober:
    """Return the honest client of one target, which tells what it sees."""
    target = parse_target(order.target, order.protocol, owned=True)  # the parent has asked
    words = words_of(target, bytes.fromhex(order.say) or None)
    return Prober(
        reactor, target, words, order.rate, order.patience, lambda outcome: tell(line_of(place, outcome)), done
    )


if __name__ == "__main__":
    main(sys.argv[1:])
