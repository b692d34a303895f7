"""One attack, from the calm before it to the report."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

from ...engine import Reactor
from .crowd import Crowd, Plan
from .gauge import Gauge
from .kinds import ATTACKS
from .latency import Latency
from .probe import READY, Outcome
from .target import Target
from .words import words_of

SAMPLE_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # of the honest client
PIPE_BYTES = 1 << 16


class Order(NamedTuple):
    """What the user has asked for. Times are in seconds, `visits` are the honest client's a second."""

    kinds: dict[str, int]  # how many clients of each
    target: Target
    plan: Plan
    duration: float
    calm: float
    visits: float
    say: bytes | None = None


class Run:
    """The crowd in this process, the honest client in another, and what is read off the server meanwhile."""

    def __init__(self, order: Order, reactor: Reactor, show: "Callable[[Run], None] | None" = None) -> None:
        self.order = order
        self.reactor = reactor
        self.show = show  # is called after each sample
        words, shares = words_of(order.target, order.say), sum(order.kinds.values())
        self.crowds = {
            kind: Crowd(
                reactor,
                order.target,
                ATTACKS[kind],
                words,
                order.plan._replace(clients=count, rate=order.plan.rate * count / shares),
            )
            for kind, count in order.kinds.items()
        }
        self.gauge = Gauge(order.target.address)
        self.before, self.during = Latency(), Latency()
        self.visits: list[Outcome] = []
        self.samples: list[dict[str, Any]] = []
        self.interrupted = False
        self.began = 0.0
        self.attacked = float("inf")  # since when
        self.failed = False  # the honest client has, without which there is nothing to tell
        self.survivors: dict[str, list[float]] | None = None  # how long each has been there, when the time is over
        self._unread = b""
        self._input: IO[bytes] | None = None  # the honest client's, which ends when this does
        self._date = datetime.now(UTC)

    def go(self) -> dict[str, Any]:
        """Run it to its end; return the report."""
        reactor = self.reactor
        with subprocess.Popen(self._probe(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as probe:
            assert probe.stdout is not None and probe.stdin is not None
            descriptor = probe.stdout.fileno()
            os.set_blocking(descriptor, False)
            reactor.watch(descriptor, lambda: self._hear(descriptor))
            try:
                self._input = probe.stdin
                reactor.run()
                self._end()
            finally:
                reactor.unwatch(descriptor)
                probe.terminate()
        return self._report()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return self.reactor.platform.now() - self.began

    def interrupt(self) -> None:
        """End it now, and report what there is."""
        self.interrupted = True
        self.reactor.stop()

    def _probe(self) -> list[str]:
        order = self.order
        words = [order.target.text, order.target.protocol, str(order.visits), str(PATIENCE_SECONDS)]
        return [sys.executable, "-m", "partway.stress.attack.probe", *words, *([order.say.hex()] if order.say else [])]

    def _begin(self) -> None:
        """The honest client is there: from now on time counts."""
        order, reactor = self.order, self.reactor
        self.began = reactor.platform.now()
        self._sample()
        reactor.after(order.calm, self._attack)
        reactor.after(order.calm + order.duration, self._stop)

    def _attack(self) -> None:
        self.attacked = self.reactor.platform.now()
        for crowd in self.crowds.values():
            crowd.begin()

    def _stop(self) -> None:
        """The time is over. The crowd stays until the last visit of the honest client has its outcome."""
        self._end()
        assert self._input is not None
        self._input.close()

    def _end(self) -> None:
        if self.survivors is None:
            self.survivors = {kind: crowd.ages() for kind, crowd in self.crowds.items()}
            for crowd in self.crowds.values():
                crowd.end()

    def _hear(self, descriptor: int) -> None:
        """Take what the honest client tells. It does so on the same clock."""
        while True:
            try:
                data = os.read(descriptor, PIPE_BYTES)
            except BlockingIOError:
                return
            if not data:
                self.failed = self.survivors is None
                self.reactor.stop()
                return
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                if line == READY:
                    self._begin()
                    continue
                began, seconds, what = line.decode().split(" ", 2)
                outcome = Outcome(float(began), float(seconds), what)
                self.visits.append(outcome)
                (self.before if outcome.began < self.attacked else self.during).add(outcome)

    def _sample(self) -> None:
        reading = self.gauge.read()
        clients = {kind: crowd.alive for kind, crowd in self.crowds.items()}
        sample: dict[str, Any] = {"at": self.seconds, "clients": clients}
        if reading is not None:
            sample.update(reading._asdict())
        self.samples.append(sample)
        if self.show is not None:
            self.show(self)
        self.reactor.after(SAMPLE_SECONDS, self._sample)

    def _report(self) -> dict[str, Any]:
        order, survivors = self.order, self.survivors or {}
        return {
            "target": order.target.text,
            "protocol": order.target.protocol,
            "date": self._date.isoformat(timespec="seconds"),
            "plan": order.plan._asdict(),
            "seconds": {"calm": order.calm, "attack": order.duration},
            "interrupted": self.interrupted,
            "crowds": {kind: crowd.figures(survivors.get(kind, [])) for kind, crowd in self.crowds.items()},
            "probe": {"before": self.before.figures(), "during": self.during.figures()},
            "visits": [[round(one.began - self.began, 4), round(one.seconds, 6), one.what] for one in self.visits],
            "samples": self.samples,
        }
