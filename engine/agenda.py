"""What will happen in a simulation, and when."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Agenda:
    """Instants still to come. What is due at the same one happens in the order in which it was said."""

    __slots__ = ("_due", "instants")

    def __init__(self) -> None:
        self.instants: list[float] = []  # a heap: the first is the next
        self._due: dict[float, list[tuple[Callable[[Any], None], Any]]] = {}

    def put(self, instant: float, what: Callable[[Any], None], argument: Any) -> None:
        """Have `what(argument)` called at an instant."""
        due = self._due
        if instant in due:
            due[instant].append((what, argument))
        else:
            due[instant] = [(what, argument)]
            heappush(self.instants, instant)

    def happen(self) -> None:
        """Let all that is due at the next instant happen. What it adds for the same instant is for one of its own."""
        for what, argument in self._due.pop(heappop(self.instants)):
            what(argument)
