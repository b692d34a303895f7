"""The honest client: what a real user sees while others attack.

    python -m partway.stress.attack.probe TARGET PROTOCOL RATE PATIENCE [SAY, IN HEX]

It comes at a fixed rate, each time on a connection of its own, whether or not earlier ones have been answered: a server
that stands still for a second is met by everybody who came in that second, not by one alone (who waits for an answer
before he asks again leaves out the very moments that matter: coordinated omission). Each time counts from when it was
to begin. It lives in a process of its own, where no attacker delays it. It says `ready`, and then each outcome in a
line: when it was to begin, how long it took, in seconds, and what came of it. When its standard input ends it begins no
more, and ends when all that it has begun have ended: the slowest are the last.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ...engine import ABORT, CLOSE, Cause, Limits, Reactor, Read, Reason, Row, Want
from .target import Target, parse_target
from .words import Words, ear_of, words_of

READY = b"ready"
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
                self.end(OK if worst < "500" else f"status {worst}")
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
    ) -> None:
        self.reactor = reactor
        self.target = target
        self.words = words
        self.pause = 1 / rate
        self.patience = patience
        self.limits = Limits(opening_seconds=patience, request_seconds=patience + 1, stall_seconds=patience, rate_min=0)
        self.tell = tell
        self.due = 0.0
        self.under_way = 0
        self.over = False

    def begin(self) -> None:
        """Begin with the first visit at once."""
        self.due = self.reactor.platform.now()
        self._visit()

    def end(self) -> None:
        """Begin no more; the reactor stops when the last has ended."""
        self.over = True
        self._stop_if_done()

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
            self._stop_if_done()

        def make(row: Row) -> Visit:
            return Visit(row, self.target, self.words, due + self.patience, tell)

        self.under_way += 1
        try:
            self.reactor.connect(self.target.address, make, self.limits)
        except OSError as error:
            tell(error.strerror or str(error))

    def _stop_if_done(self) -> None:
        if self.over and not self.under_way:
            self.reactor.stop()


def main(words: list[str]) -> None:
    """Probe until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who has started it, and will end its input
    text, protocol, rate, patience, *say = words
    target = parse_target(text, None if text.startswith("http:") else protocol, owned=True)
    reactor = Reactor()

    def tell(outcome: Outcome) -> None:
        os.write(1, f"{outcome.began!r} {outcome.seconds!r} {outcome.what}\n".encode())

    prober = Prober(
        reactor, target, words_of(target, bytes.fromhex(say[0]) if say else None), float(rate), float(patience), tell
    )
    os.write(1, READY + b"\n")
    prober.begin()

    def stop() -> None:
        reactor.unwatch(0)
        prober.end()

    reactor.watch(0, stop)
    reactor.run()
    reactor.close()


if __name__ == "__main__":
    main(sys.argv[1:])
