"""A report in words, and the figures of it that gates look at."""

from collections.abc import Iterator, Mapping
from typing import Any

from .latency import QUANTILES

OUTSIDE = {"refused", "never connected"}  # they have not come in at all


def figures_of(report: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what gates may name, times in seconds; None for what could not be measured."""
    crowds, during = report["crowds"].values(), report["probe"]["during"]
    visits, started = during["visits"], sum(crowd["started"] for crowd in crowds)
    survivors = sum(crowd["survivors"] for crowd in crowds)
    found: dict[str, float | None] = {name: during[name] for name in (*QUANTILES, "max")}
    found["errors"] = during["errors"] if visits else None
    found["errors%"] = during["errors"] / visits if visits else None
    found["survivors"] = survivors
    found["survivors%"] = survivors / started if started else None
    return found


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what came of it."""
    broken = f", interrupted after {report['lasted']:.1f} s" if report["interrupted"] else ""
    yield f"against {report['target']}{broken}"
    for kind, crowd in report["crowds"].items():
        yield from _crowd(kind, crowd)
    yield "an honest client"
    for name, key in (("without them", "before"), ("beside them", "during")):
        yield f"  {name}: {visits_of(report['probe'][key])}"
    yield from _server(report["samples"])


def _crowd(kind: str, crowd: Mapping[str, Any]) -> Iterator[str]:
    yield f"{kind}: {crowd['started']} clients, at most {crowd['peak']} at once"
    if crowd["unable"]:
        yield f"  no more could begin: {crowd['unable']}"
    if outcomes_of(crowd):
        yield f"  of them: {outcomes_of(crowd)}"
    if crowd["statuses"]:
        yield "  they were told: " + ", ".join(f"{count} x {status}" for status, count in crowd["statuses"].items())
    if crowd["asked"]:
        yield f"  they asked {crowd['asked']} times, and have read {crowd['answered']} whole answers"
    lived = crowd["lived"]
    if lived and not crowd["returns"] and not set(crowd["outcomes"]) <= OUTSIDE:
        yield f"  gone after {lived[0]:.1f} to {lived[-1]:.1f} s, half of them within {lived[len(lived) // 2]:.1f} s"


def outcomes_of(crowd: Mapping[str, Any]) -> str:
    """Say what became of a crowd."""
    outcomes = [f"{count} {what}" for what, count in crowd["outcomes"].items()]
    if crowd["survivors"]:
        outcomes.append(f"{crowd['survivors']} still there")
    return ", ".join(outcomes)


def visits_of(figures: Mapping[str, Any]) -> str:
    """Say what the honest client has seen."""
    if not figures["visits"]:
        return "no visits"
    failures = "".join(f", {count} {what}" for what, count in figures["failures"].items())
    if figures["p50"] is None:
        return f"{figures['visits']} visits{failures}"
    times = ", ".join(f"{name} {duration(figures[name])}" for name in (*QUANTILES, "max"))
    return f"{figures['visits']} visits, {times}{failures}"


def duration(seconds: float) -> str:
    """Write a time with three digits that count."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _server(samples: list[dict[str, Any]]) -> Iterator[str]:
    readings = [sample for sample in samples if "cpu" in sample]
    if len(readings) > 1:
        first, last = readings[0], readings[-1]
        memory = max(sample["memory"] for sample in readings)
        descriptors = max(sample["descriptors"] for sample in readings)
        yield (
            f"the server: {last['cpu'] - first['cpu']:.2f} s of CPU time in {last['at'] - first['at']:.1f} s, "
            f"at most {memory / 2**20:.1f} MiB and {descriptors} descriptors"
        )
