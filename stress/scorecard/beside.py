"""What an honest client sees beside a crowd of all kinds, and what the crowd costs: one server at a time."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...engine import Reactor
from ..attack.kinds import ATTACKS
from ..attack.latency import QUANTILES
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
COLUMNS = ("server", "p50", "p99", "failed", "CPU", "memory")
KINDS = [
    name for name, attack in ATTACKS.items() if attack.suits(parse_target("http://127.0.0.1:1/", "http", owned=False))
]
LEGEND = (
    "Without them → beside them. failed: visits that were not answered within 10 s; –: so many that there is no such "
    "figure. CPU: the server's. memory: before → at most."
)


class Order(NamedTuple):
    """Which servers, with their versions, beside how many clients, for how many seconds; of which kinds, if not all.

    `eager` is as in `attack.orders.Order`.
    """

    entries: dict[Entry, str]
    clients: int
    seconds: float
    kinds: Sequence[str] | None = None
    eager: bool = False


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
            "kinds": self.order.kinds,
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
        kinds = shares(self.order.clients, dict.fromkeys(self.order.kinds or KINDS, 1))
        seconds = self.order.seconds
        calm, ramp = min(CALM_SECONDS, seconds / 4), min(RAMP_SECONDS, seconds / 4)
        order = Attack(kinds, target, ramp, None, seconds, calm, VISITS_A_SECOND, seed=0, eager=self.order.eager)
        self._run = Run(order, self.reactor)
        return self._run.go()


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what came of it."""
    broken = " (interrupted)" if report["interrupted"] else ""
    yield (
        f"An honest client without, and beside, {report['clients']} clients of {kinds_of(report)}, "
        f"{report['seconds']:g} s each{broken}"
    )
    yield ""
    yield from aligned([COLUMNS, *rows_of(report)])
    yield ""
    yield LEGEND
    for name, why in report["missing"].items():
        yield f"{name}: {why}"


def kinds_of(report: Mapping[str, Any]) -> str:
    """Say which kinds the crowd was of."""
    return "all kinds" if report["kinds"] is None else " and ".join(report["kinds"])


def rows_of(report: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of cells for each server, see `COLUMNS`."""
    return [_row(f"{name} {report['versions'][name]}", run) for name, run in report["servers"].items()]


def _row(name: str, run: Mapping[str, Any]) -> list[str]:
    before, during = run["probe"]["before"], run["probe"]["during"]
    times = [_change(of_all(before, quantile), of_all(during, quantile)) for quantile in ("p50", "p99")]
    failed = f"{100 * during['errors'] / during['visits']:.1f} %" if during["visits"] else "–"
    return [name, *times, failed, *_costs(run["samples"])]


def of_all(figures: Mapping[str, Any], quantile: str) -> float | None:
    """Return what so many of all visits have not exceeded; None where that many were not answered at all."""
    part = QUANTILES[quantile] / 100
    return None if figures["errors"] > (1 - part) * figures["visits"] else figures[quantile]


def _change(one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return f"{duration(one)} → –" if one is not None else "–"
    ratio = other / one
    return f"{duration(one)} → {duration(other)}, {ratio:.{0 if ratio >= 10 else 2}f} x"


def _costs(samples: list[Mapping[str, Any]]) -> list[str]:
    known = [sample for sample in samples if "cpu" in sample]
    if not known:
        return ["–"] * 2
    most = max(sample["memory"] for sample in known)
    cpu = known[-1]["cpu"] - known[0]["cpu"]
    return [duration(cpu), f"{known[0]['memory'] / MIB:.0f} → {most / MIB:.0f} MiB"]
