"""Gates for somebody's CI: `--fail-if p99>50ms` makes a run fail whose figures are worse than that."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ...protocols.addresses import MistakeError
from .summary import duration

UNITS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "%": 0.01}
SECONDS = ("p50", "p99", "p99.9", "max")
NAMES = (*SECONDS, "errors", "survivors")
GATE = re.compile(r"([a-z0-9.]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|%|)")
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


class Gate(NamedTuple):
    """What a run must not come to. `bound` is in seconds where the figure is a time, else a number or a part of all."""

    text: str
    name: str
    comparison: str
    bound: float

    def fails(self, figures: Mapping[str, float | None]) -> bool:
        """Tell whether a run with these figures has failed. What could not be measured at all fails every gate."""
        value = figures[self.name]
        return value is None or COMPARISONS[self.comparison](value, self.bound)

    def tell(self, figures: Mapping[str, float | None]) -> str:
        """Say what it came to."""
        value = figures[self.name]
        if value is None:
            return "not measured"
        return duration(value) if self.name in SECONDS else f"{100 * value:.3g} %" if "%" in self.name else f"{value:g}"


def parse_gate(text: str) -> Gate:
    """Read a gate: NAME, a comparison, a number and its unit. Raises MistakeError."""
    match = GATE.fullmatch(text.strip())
    if match is None:
        raise MistakeError(f"--fail-if {text}: not a figure, a comparison and a number, such as p99>50ms")
    name, comparison, number, unit = match.groups()
    if name not in NAMES:
        raise MistakeError(f"--fail-if {text}: {name} is none of {', '.join(NAMES)}")
    if (name in SECONDS) != (unit in ("us", "ms", "s")):
        raise MistakeError(f"--fail-if {text}: {name} {'needs us, ms or s' if name in SECONDS else 'is no time'}")
    if unit == "%":
        name = f"{name}%"
    return Gate(text.strip(), name, comparison, float(number) * UNITS[unit])
