"""Which edges of the engine's table were met."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ...engine import row as rows


class Edges:
    """How often each (state, event) pair was met. A table that counts stands in for the engine's own."""

    def __init__(self) -> None:
        self.met: Counter[tuple[int, int]] = Counter()

    @contextmanager
    def counted(self) -> Iterator["Edges"]:
        """Count, as long as this lasts."""
        plain = rows._NEXT
        rows._NEXT = tuple(_Counting(self.met, state, events) for state, events in enumerate(plain))  # type: ignore[misc]
        try:
            yield self
        finally:
            rows._NEXT = plain  # type: ignore[misc]


class _Counting(tuple):  # type: ignore[type-arg]
    """One state's row of the table, which counts."""

    def __new__(cls, met: Counter[tuple[int, int]], state: int, events: tuple[int, ...]) -> "_Counting":
        found = super().__new__(cls, events)
        found.met = met  # type: ignore[attr-defined]
        found.state = state  # type: ignore[attr-defined]
        return found

    def __getitem__(self, event: int) -> int:  # type: ignore[override]
        self.met[self.state, event] += 1  # type: ignore[attr-defined]
        found: int = super().__getitem__(event)
        return found
