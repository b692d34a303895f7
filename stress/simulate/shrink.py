"""A failing case made smaller, as long as it breaks the same invariant.

Each step tries a simpler case and keeps it where that still fails: fewer clients first, for they cost most, then fewer
faults, stock limits, plain knobs, and clients that ask less and behave. What is left is what the failure needs. A
client has random numbers of its own, so that taking another away mostly changes nothing for it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from .case import Case, Visitor
from .examine import AGAIN, MEMORY, Broken, examine

RUNS_MOST = 400
SECONDS_MOST = 60.0  # CPU

PLAIN_KNOBS: dict[str, Any] = {
    one.name: one.default
    for one in fields(Case)
    if one.name in ("schedule", "capacity_bytes", "descriptors", "grain_seconds", "drains_after", "freezes")
}
PLAIN_LINK: dict[str, Any] = {
    one.name: one.default
    for one in fields(Visitor)
    if one.name in ("enters", "delay_seconds", "bytes_a_second", "receive_bytes")
}


class OverError(Exception):
    """All runs that were allowed have been made."""


class Shrinking:
    """A case on its way to a small one. `case` and `broken` are the smallest failure as yet."""

    def __init__(
        self,
        case: Case,
        broken: Broken,
        *,
        runs_most: int = RUNS_MOST,
        seconds_most: float = SECONDS_MOST,
        tell: Callable[["Shrinking"], None] | None = None,
    ) -> None:
        self.case = case
        self.broken = broken
        self.runs = 0
        self._runs_most = runs_most
        self._until = time.process_time() + seconds_most
        self._tell = tell or (lambda shrinking: None)

    def shrink(self) -> None:
        """Make it as small as can be within the runs that are allowed."""
        try:
            before = None
            while before != self.case:
                before = self.case
                self._shrink_crowd()
                self._shrink_world()
                self._shrink_visitors()
        except OverError:
            pass

    def _fails(self, case: Case) -> bool:
        """Keep a simpler case if it breaks the same invariant."""
        if case == self.case:
            return False
        if self.runs >= self._runs_most or time.process_time() >= self._until:
            raise OverError
        self.runs += 1
        broken = self.examined(case)
        if broken is None or broken.invariant != self.broken.invariant:
            return False
        self.case, self.broken = case, broken
        self._tell(self)
        return True

    def examined(self, case: Case) -> Broken | None:
        """Run a case. Who has other ways to run one overrides this."""
        invariant = self.broken.invariant
        return examine(case, again=invariant == AGAIN, memory=invariant == MEMORY).broken

    def _shrink_crowd(self) -> None:
        """Delta debugging: take away halves, then quarters, and so on, down to single clients."""
        size = (len(self.case.crowd) + 1) // 2
        while size and len(self.case.crowd) > 1:
            place = 0
            while place < len(self.case.crowd) > 1:
                left = self.case.crowd[:place] + self.case.crowd[place + size :]
                if not left or not self._fails(self.case.without(left)):
                    place += size
            size //= 2

    def _shrink_world(self) -> None:
        """No faults, stock limits, plain knobs: all at once, and then each that is left."""
        self._fails(replace(self.case, faults={}, limits={}, **PLAIN_KNOBS))
        for part in ("faults", "limits"):
            if not self._fails(_changed(self.case, part, {})):
                for name in list(getattr(self.case, part)):
                    left = {other: value for other, value in getattr(self.case, part).items() if other != name}
                    self._fails(_changed(self.case, part, left))
        for name, value in PLAIN_KNOBS.items():
            self._fails(_changed(self.case, name, value))

    def _shrink_visitors(self) -> None:
        """All clients at once, and then each."""
        for simpler in simplifications():
            if not self._fails(self.case.without([simpler(one) for one in self.case.crowd])):
                for place in range(len(self.case.crowd)):
                    self._simplify(place, simpler)

    def _simplify(self, place: int, simpler: Callable[[Visitor], Visitor]) -> None:
        """Make one client simpler, and again as long as that changes it."""
        crowd = self.case.crowd
        while self._fails(self.case.without([*crowd[:place], simpler(crowd[place]), *crowd[place + 1 :]])):
            crowd = self.case.crowd


def _changed(case: Case, name: str, value: Any) -> Case:
    changes: dict[str, Any] = {name: value}
    return replace(case, **changes)


def simplifications() -> Iterator[Callable[[Visitor], Visitor]]:
    """Yield what makes a client simpler, the greatest steps first."""
    yield lambda one: replace(one, requests=1)
    yield lambda one: replace(one, requests=max(1, one.requests // 2))
    yield lambda one: replace(one, requests=max(1, one.requests - 1))
    yield lambda one: replace(one, kind="honest")
    for name, value in PLAIN_LINK.items():
        yield lambda one, name=name, value=value: replace(one, **{name: value})  # type: ignore[misc]


def size_of(case: Case) -> str:
    """Say how large a case is."""
    return ", ".join(
        (
            counted(len(case.crowd), "client"),
            counted(sum(one.requests for one in case.crowd), "request"),
            counted(len(fault_names(case)), "fault"),
            counted(len(case.limits), "limit"),
        )
    )


def fault_names(case: Case) -> Sequence[str]:
    """Name the faults that may happen in a case."""
    return [name for name in case.faults if not name.endswith("_seconds")]


def counted(count: int, name: str) -> str:
    """Write a number of things."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"
