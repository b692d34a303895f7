"""One attack, from the calm before it to the report."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ...engine import Reactor
from . import attackers, probe
from .attackers import together
from .children import Child
from .crowd import NOTHING
from .gauge import Gauge
from .latency import Latency
from .orders import Order, orders_of
from .probe import Outcome
from .troop import Troop

SAMPLE_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # of the honest client


class Run:
    """Attackers and an honest client, in processes of their own, and what is read off the server meanwhile.

    `seen` is what is told of each kind; in the end, all of it.
    """

    def __init__(self, order: Order, reactor: Reactor, show: "Callable[[Run], None] | None" = None) -> None:
        self.order = order
        self.reactor = reactor
        self.show = show  # is called after each sample
        self.gauge = Gauge(order.target.address)
        self.before, self.during = Latency(), Latency()
        self.visits: list[Outcome] = []
        self.samples: list[dict[str, Any]] = []
        self.interrupted = False
        self.began = 0.0
        self.attacked = float("inf")  # since when
        self.failed = ""  # who has, without whom there is nothing to tell
        self.troops = [
            Troop(
                reactor,
                orders,
                None if order.seed is None else order.seed + number,
                self._ready,
                self._told,
                self._fail,
                order.eager,
            )
            for number, orders in enumerate(orders_of(order))
        ]
        self._probe: Child | None = None
        self._unready = 1 + len(self.troops)
        self._ending = False
        self._lasted = 0.0  # seconds of attack
        self._date = datetime.now(UTC)

    def go(self) -> dict[str, Any]:
        """Run it to its end; return the report."""
        order = self.order
        visits = probe.Order(order.target.text, order.target.protocol, order.visits, PATIENCE_SECONDS, order.say.hex())
        try:
            self._probe = Child(self.reactor, probe.MODULE, probe.words_for([visits]), self._hear, self._probe_ended)
            for troop in self.troops:
                troop.enlist()
            self.reactor.run()
        finally:
            if self._probe is not None:
                self._probe.close()
            for troop in self.troops:
                troop.close()
        return self._report()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return self.reactor.platform.now() - self.began

    @property
    def seen(self) -> dict[str, dict[str, Any]]:
        """What is known of each kind."""
        parts = [troop.seen for troop in self.troops]
        return {kind: together([NOTHING, *(part[kind] for part in parts if kind in part)]) for kind in self.order.kinds}

    @property
    def states(self) -> dict[str, int]:
        """How many of the attackers' connections are in which state."""
        return together([troop.states for troop in self.troops])

    def interrupt(self) -> None:
        """End it now, and report what there is. The second time nobody is waited for."""
        if self.interrupted:
            self.reactor.stop()
        self.interrupted = True
        self._stop()

    def _ready(self) -> None:
        """One of the processes is. When all are, time begins to count."""
        self._unready -= 1
        if self._unready:
            return
        order, reactor = self.order, self.reactor
        self.began = reactor.platform.now()
        assert self._probe is not None
        self._probe.say(attackers.BEGIN)
        self._sample()
        reactor.after(order.calm, self._attack)
        reactor.after(order.calm + order.duration, self._stop)

    def _fail(self, who: str) -> None:
        """Give it up: nothing can be told without them."""
        self.failed = who
        self.reactor.stop()

    def _told(self) -> None:
        """A troop has told all. When every one has, the honest client may end, too; who is there stays until then."""
        if not self._ending or not all(troop.over for troop in self.troops):
            return
        assert self._probe is not None
        if self.interrupted:
            self.reactor.stop()
        else:
            self._probe.end_input()

    def _attack(self) -> None:
        self.attacked = self.reactor.platform.now()
        for troop in self.troops:
            troop.say(attackers.BEGIN)

    def _stop(self) -> None:
        """The time is over."""
        if not self._ending:
            self._ending = True
            self._lasted = max(0.0, self.reactor.platform.now() - self.attacked)
            for troop in self.troops:
                troop.say(attackers.END)
            self._told()

    def _hear(self, line: bytes) -> None:
        """Take what the honest client tells. It does so on the same clock."""
        if line == attackers.READY:
            self._ready()
            return
        _, outcome = probe.parse_line(line)
        self.visits.append(outcome)
        (self.before if outcome.began < self.attacked else self.during).add(outcome)

    def _probe_ended(self) -> None:
        if not self._ending:
            self._fail("the honest client has failed")
        self.reactor.stop()

    def _sample(self) -> None:
        reading = self.gauge.read()
        clients = {kind: figures["alive"] for kind, figures in self.seen.items()}
        sample: dict[str, Any] = {"at": self.seconds, "clients": clients}
        if reading is not None:
            sample.update(reading._asdict())
        self.samples.append(sample)
        if self.show is not None:
            self.show(self)
        self.reactor.after(SAMPLE_SECONDS, self._sample)

    def _report(self) -> dict[str, Any]:
        order = self.order
        return {
            "target": order.target.text,
            "protocol": order.target.protocol,
            "date": self._date.isoformat(timespec="seconds"),
            "plan": {"clients": sum(order.kinds.values()), "ramp": order.ramp, "rate": order.rate, "jobs": order.jobs},
            "seconds": {"calm": order.calm, "attack": order.duration},
            "interrupted": self.interrupted,
            "lasted": round(self._lasted, 3),
            "crowds": self.seen,
            "probe": {"before": self.before.figures(), "during": self.during.figures()},
            "visits": [[round(one.began - self.began, 4), round(one.seconds, 6), one.what] for one in self.visits],
            "samples": self.samples,
        }
