"""How long the honest client had to wait: a histogram, and what did not work."""

from collections import Counter
from typing import Any

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from .probe import OK, Outcome

MICROSECONDS = 1e6
LONGEST = 3600  # seconds that are told apart; what takes longer counts as that
DIGITS = 3
QUANTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9}


class Latency:
    """Times of visits that were answered, and the outcomes of all."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._times = HdrHistogram(1, LONGEST * int(MICROSECONDS), DIGITS)

    def add(self, outcome: Outcome) -> None:
        """Count one visit."""
        self.outcomes[outcome.what] += 1
        if outcome.what == OK:
            micros = round(outcome.seconds * MICROSECONDS)
            self._times.record_value(min(max(micros, 1), LONGEST * int(MICROSECONDS)))

    @property
    def visits(self) -> int:
        """All that have an outcome."""
        return sum(self.outcomes.values())

    @property
    def answered(self) -> int:
        """Those that were answered as they should."""
        return self.outcomes[OK]

    @property
    def errors(self) -> int:
        """Those that were not answered as they should."""
        return self.visits - self.answered

    def quantiles(self) -> dict[str, float | None]:
        """Return p50, p99, p99.9 and max in seconds; None for all where nobody has been answered."""
        times = self._times
        if not self.answered:
            return dict.fromkeys([*QUANTILES, "max"])
        found = {name: times.get_value_at_percentile(part) / MICROSECONDS for name, part in QUANTILES.items()}
        return {**found, "max": times.get_max_value() / MICROSECONDS}

    def figures(self) -> dict[str, Any]:
        """Return all of it for a report."""
        failures = {what: count for what, count in sorted(self.outcomes.items()) if what != OK}
        return {"visits": self.visits, "errors": self.errors, "failures": failures, **self.quantiles()}
