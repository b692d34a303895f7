"""Slow clients against many servers at once, each kind against a server of its own: who is cut off after how long.

They all run side by side, for slow clients cost next to nothing, and what is asked is a matter of seconds. Latency is
not: an honest client visits each of them only to see whether it is served at all.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...engine import Reactor
from ..attack import attackers, probe
from ..attack.children import Child
from ..attack.crowd import Plan
from ..attack.latency import Latency
from ..attack.troop import Troop
from .servers import Entry
from .started import FailedError, Started

KINDS = ("silent", "drip-head", "drip-body", "no-read", "slow-read", "idle-keepalive")
PATHS = {"no-read": "/large", "slow-read": "/large"}
SECONDS = 180
RAMP_SECONDS = 15.0  # so that the many servers do not stand in each other's way
VISITS_A_SECOND = 1.0
PATIENCE_SECONDS = 10.0
AT_ONCE = 4  # servers that are starting

Tell = Callable[[str], None]


class Order(NamedTuple):
    """Which servers, with their versions, by how many clients of each kind, for how many seconds.

    `eager` is as in `attack.orders.Order`.
    """

    entries: dict[Entry, str]
    clients: int
    seconds: float
    eager: bool = False
    kinds: Sequence[str] = KINDS


class Card:
    """One run: from the first server's start to the report."""

    def __init__(self, order: Order, reactor: Reactor, scratch: Path, site: Path, tell: Tell) -> None:
        self.order = order
        self.reactor = reactor
        self.scratch = scratch
        self.site = site
        self.tell = tell
        self.missing: dict[str, str] = {}
        self.places: list[tuple[Entry, str, Started]] = []  # each server that runs, and the kind that it is for
        self.honest: list[Latency] = []
        self.interrupted = False
        self._troop: Troop | None = None
        self._probe: Child | None = None
        self._unready = 2
        self._date = datetime.now(UTC)

    def go(self) -> dict[str, Any]:
        """Run it to its end; return the report."""
        with ExitStack() as stack:
            self._start(stack)
            if self.places:
                self._attack(stack)
        return self._report()

    def interrupt(self) -> None:
        """End it now, and report what there is. The second time nobody is waited for."""
        if self.interrupted:
            self.reactor.stop()
        self.interrupted = True
        self._end()

    def _start(self, stack: ExitStack) -> None:
        """Start all servers, a few at a time. One that fails for one kind is out."""
        starting: list[tuple[Entry, str, Started]] = []
        wanted = [(entry, kind) for entry in self.order.entries for kind in self.order.kinds]
        for number, (entry, kind) in enumerate(wanted):
            if self.interrupted:
                return
            if entry.name not in self.missing:
                self.tell(f"starting {entry.name}: {number + 1} of {len(wanted)}")
                started = stack.enter_context(Started(entry, self.site, self.scratch / str(number)))
                starting.append((entry, kind, started))
            if len(starting) == AT_ONCE or number + 1 == len(wanted):
                for place in starting:
                    self._wait(*place)
                starting = []
        self.places = [place for place in self.places if place[0].name not in self.missing]

    def _wait(self, entry: Entry, kind: str, started: Started) -> None:
        try:
            started.wait()
            self.places.append((entry, kind, started))
        except FailedError as failure:
            self.missing[entry.name] = str(failure)

    def _attack(self, stack: ExitStack) -> None:
        self.honest = [Latency() for _ in self.places]
        plan = Plan(self.order.clients, min(RAMP_SECONDS, self.order.seconds / 4), 0.0)
        attacks, visits = [], []
        for number, (_, kind, started) in enumerate(self.places):
            url = f"http://127.0.0.1:{started.port}"
            attacks.append(attackers.Order(str(number), kind, url + PATHS.get(kind, "/"), "http", plan))
            visits.append(probe.Order(f"{url}/", "http", VISITS_A_SECOND, PATIENCE_SECONDS))
        self._troop = Troop(self.reactor, attacks, None, self._ready, self._told, self._fail, self.order.eager)
        stack.callback(self._troop.close)
        self._troop.enlist()
        self._probe = Child(self.reactor, probe.MODULE, probe.words_for(visits), self._hear, self.reactor.stop)
        stack.callback(self._probe.close)
        self.reactor.run()

    def _ready(self) -> None:
        self._unready -= 1
        if self._unready or self._probe is None or self._troop is None:
            return
        self._troop.say(attackers.BEGIN)
        self._probe.say(attackers.BEGIN)
        self._began = self.reactor.platform.now()
        self._progress()
        self.reactor.after(self.order.seconds, self._end)

    def _progress(self) -> None:
        assert self._troop is not None
        seconds = self.reactor.platform.now() - self._began
        alive = sum(seen["alive"] for seen in self._troop.seen.values())
        self.tell(f"{seconds:.0f} of {self.order.seconds:g} s: {alive} clients are there")
        self.reactor.after(1.0, self._progress)

    def _hear(self, line: bytes) -> None:
        if line == attackers.READY:
            self._ready()
            return
        place, outcome = probe.parse_line(line)
        self.honest[place].add(outcome)

    def _end(self) -> None:
        if self._troop is not None:
            self._troop.say(attackers.END)

    def _told(self) -> None:
        assert self._probe is not None
        if self.interrupted:
            self.reactor.stop()
        else:
            self._probe.end_input()

    def _fail(self, who: str) -> None:
        self.tell(who)
        self.reactor.stop()

    def _report(self) -> dict[str, Any]:
        cells: dict[str, dict[str, Any]] = {}
        for number, (entry, kind, _) in enumerate(self.places):
            seen = self._troop.seen.get(str(number)) if self._troop is not None else None
            if seen is not None:
                cells.setdefault(entry.name, {})[kind] = {**seen, "honest": self.honest[number].figures()}
        return {
            "date": self._date.isoformat(timespec="seconds"),
            "clients": self.order.clients,
            "seconds": self.order.seconds,
            "interrupted": self.interrupted,
            "kinds": list(self.order.kinds),
            "versions": {entry.name: version for entry, version in self.order.entries.items()},
            "missing": self.missing,
            "servers": cells,
        }
