"""A report in words, and the figures of it that gates look at."""

from collections.abc import Iterator, Mapping
from typing import Any

from .latency import QUANTILES


def figures_of(report: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what gates may name, times in seconds; None for what could not be measured."""
    clients, during = report["clients"], report["probe"]["during"]
    visits, started = during["visits"], clients["started"]
    found: dict[str, float | None] = {name: during[name] for name in (*QUANTILES, "max")}
    found["errors"] = during["errors"] if visits else None
    found["errors%"] = during["errors"] / visits if visits else None
    found["survivors"] = clients["survivors"]
    found["survivors%"] = clients["survivors"] / started if started else None
    return found


def lines_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what came of it."""
    clients, probe = report["clients"], report["probe"]
    yield f"{report['kind']} against {report['target']}"
    yield f"  {clients['started']} clients, at most {clients['peak']} at once"
    if clients["unable"]:
        yield f"  no more could begin: {clients['unable']}"
    outcomes = [f"{count} {what}" for what, count in clients["outcomes"].items()]
    outcomes.append(f"{clients['survivors']} still there")
    yield f"  of them: {', '.join(outcomes)}"
    if clients["statuses"]:
        yield "  they were told: " + ", ".join(f"{count} x {status}" for status, count in clients["statuses"].items())
    lived = clients["lived"]
    if lived:
        yield f"  gone after {lived[0]:.1f} to {lived[-1]:.1f} s, half of them within {lived[len(lived) // 2]:.1f} s"
    yield "an honest client"
    for name, key in (("without them", "before"), ("beside them", "during")):
        yield f"  {name}: {_visits(probe[key])}"
    yield from _server(report["samples"])


def _visits(figures: Mapping[str, Any]) -> str:
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
