"""What an honest client sees beside a crowd of all kinds, and what the crowd costs: one server at a time."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...engine import Reactor
from ..attack.kinds import ATTACKS
from ..attack.orders import Order as Attack
from ..attack.orders import shares
from ..attack.run import Run
from ..attack.summary import duration
from ..attack.target import parse_target
from .card import Tell
from .servers import Entry
from .started import FailedError, Started
from .words import aligned

SECONDS = 40
CALM_SECONDS = 5.0
RAMP_SECONDS = 10.0
VISITS_A_SECOND = 50.0
MIB = 1 << 20
COLUMNS = ("server", "p50", "beside", "", "p99", "beside", "", "max", "failed", "CPU", "memory", "most")


class Order(NamedTuple):
    """Which servers, with their versions, beside how many clients, for how many seconds."""

    entries: dict[Entry, str]
    clients: int
    seconds: float


class Beside:
    """One server after the other."""

    def __init__(self, order: Order, reactor: Reactor, scratch: Path, site: Path, tell: Tell) -> None:
        self.order = order
        self.reactor = reactor
        self.scratch = scratch
        self.site = site
        self.tell = tell
        self.interrupted = False
        self._run: Run | None = None

    def go(self) -> dict[str, Any]:
        """Run it to its end; return the report."""
        date = datetime.now(UTC).isoformat(timespec="seconds")
        servers, missing = {}, {}
        for number, entry in enumerate(self.order.entries):
            if self.interrupted:
                break
            self.tell(f"{entry.name}: {number + 1} of {len(self.order.entries)}")
            try:
                with Started(entry, self.site, self.scratch / str(number)) as started:
                    started.wait()
                    servers[entry.name] = self._attack(started.port)
            except FailedError as failure:
                missing[entry.name] = str(failure)
        return {
            "date": date,
            "clients": self.order.clients,
            "seconds": self.order.seconds,
            "interrupted": self.interrupted,
            "versions": {entry.name: version for entry, version in self.order.entries.items()},
            "missing": missing,
            "servers": servers,
        }

    def interrupt(self) -> None:
        """End it now, and report what there is."""
        self.interrupted = True
        if self._run is not None:
            self._run.interrupt()

    def _attack(self, port: int) -> dict[str, Any]:
        target = parse_target(f"http://127.0.0.1:{port}/", "http", owned=False)
        kinds = shares(self.order.clients, {name: 1 for name, attack in ATTACKS.items() if attack.suits(target)})
        order = Attack(kinds, target, RAMP_SECONDS, None, self.order.seconds, CALM_SECONDS, VISITS_A_SECOND, seed=0)
        self._run = Run(order, self.reactor)
        return self._run.go()


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what came of it."""
    broken = " (interrupted)" if report["interrupted"] else ""
    yield (
        f"An honest client without, and beside, {report['clients']} clients of all kinds, "
        f"{report['seconds']:g} s each{broken}"
    )
    yield ""
    rows = [list(COLUMNS)]
    rows += [_row(f"{name} {report['versions'][name]}", run) for name, run in report["servers"].items()]
    yield from aligned(rows)
    yield ""
    yield "failed: visits that were not answered within 10 s. CPU: the server's, memory: before and at most."
    for name, why in report["missing"].items():
        yield f"{name}: {why}"


def _row(name: str, run: Mapping[str, Any]) -> list[str]:
    before, during = run["probe"]["before"], run["probe"]["during"]
    cells = [name]
    for quantile in ("p50", "p99"):
        one, other = before[quantile], during[quantile]
        cells += [_time(one), _time(other), f"{other / one:.2f} x" if one and other else "–"]
    failed = f"{100 * during['errors'] / during['visits']:.1f} %" if during["visits"] else "–"
    return [*cells, _time(during["max"]), failed, *_costs(run["samples"])]


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def _costs(samples: list[Mapping[str, Any]]) -> list[str]:
    known = [sample for sample in samples if "cpu" in sample]
    if not known:
        return ["–"] * 3
    most = max(sample["memory"] for sample in known)
    cpu = known[-1]["cpu"] - known[0]["cpu"]
    return [duration(cpu), f"{known[0]['memory'] / MIB:.0f} MiB", f"{most / MIB:.0f} MiB"]
