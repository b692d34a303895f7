"""In a loop of one's own over a `selectors` selector: the reactor is one descriptor of it, and a timeout.

README shows it. The key's data are what `attach` returns; a turn for each time that `select` has returned will do.
"""

from selectors import EVENT_READ, BaseSelector

from ..reactor import Reactor
from ..timers import NEVER
from .foreign import Foreign


def attach(reactor: Reactor, selector: BaseSelector, *, budget_seconds: float | None = None) -> "SelectorTurns":
    """Register the reactor's descriptor, if it has one, with a selector."""
    return SelectorTurns(reactor, selector, budget_seconds)


class SelectorTurns(Foreign):
    """Turns in somebody's own loop. `timeout` says how long it may wait; a turn that is not needed does no harm."""

    def __init__(self, reactor: Reactor, selector: BaseSelector, budget_seconds: float | None) -> None:
        self.selector = selector
        super().__init__(reactor, budget_seconds)

    def timeout(self, most: float | None = None) -> float | None:
        """Return how long may be waited, at most so many seconds; None for without end."""
        left = None if self._due == NEVER else max(0.0, self._due - self.reactor.platform.now())
        return left if most is None or (left is not None and left < most) else most

    def _watch(self, descriptor: int) -> bool:
        self.selector.register(descriptor, EVENT_READ, self)
        return True

    def _unwatch(self, descriptor: int) -> None:
        self.selector.unregister(descriptor)

    def _set_timer(self, seconds: float | None) -> None:
        """Nothing is to be set: the loop asks for its timeout each time."""
