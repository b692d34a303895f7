"""What foreign loops have in common: a turn when the reactor's descriptor is readable, and when its time has come.

In between nothing runs, and no thread waits. Where the poller has no descriptor, or the loop cannot watch one, a timer
looks now and then. Each loop stands in a file of its own beside this, with an `attach`.

Deadlines move on with nearly every request, so as in `timers` a timer is a promise to look, and only one that must ring
earlier is set anew: a loop's timers cost it more than a turn costs us.
"""

from ..reactor import Reactor
from ..timers import NEVER

POLL_SECONDS = 0.02  # how often there is a turn where nothing can tell that one is needed
BUDGET_SECONDS = 0.005  # of a turn in a loop that draws windows as well: a third of a frame


class Foreign:
    """A reactor whose turns a foreign loop takes, from now until `detach`. Each kind of loop has a subclass.

    Raises RuntimeError where another loop has the reactor. What a turn raises is the program's own, and goes to the
    loop.
    """

    def __init__(self, reactor: Reactor, budget_seconds: float | None) -> None:
        self.reactor = reactor
        self.budget_seconds = budget_seconds
        self._due = NEVER  # when the timer rings, on the platform's clock
        reactor.on_hurry(self._arm)
        self._descriptor = reactor.fileno()
        if self._descriptor is not None and not self._watch(self._descriptor):
            self._descriptor = None
        self._arm()

    def turn(self, *_: object) -> None:
        """Take a turn, and sleep until the next is needed."""
        if self.reactor.stepping:
            raise RuntimeError("a machine of this reactor's runs the loop that runs the reactor")
        try:
            self.reactor.step(0, self.budget_seconds)
        finally:
            if self._due <= self.reactor.platform.now():  # it has rung, or is about to
                self._due = NEVER
            self._arm()

    def detach(self) -> None:
        """Let the loop alone, before the reactor is closed or after. Another loop may have it then."""
        self.reactor.on_hurry(None)
        self._set_timer(None)
        if self._descriptor is not None:
            self._unwatch(self._descriptor)
            self._descriptor = None

    def _arm(self) -> None:
        """See to it that the timer rings in time."""
        now = self.reactor.platform.now()
        due = self.reactor.next_deadline()
        if self._descriptor is None:
            due = now + POLL_SECONDS if due is None else min(due, now + POLL_SECONDS)
        if due is not None and due < self._due:
            self._due = due
            self._set_timer(max(0.0, due - now))

    # What the loop has to know.

    def _watch(self, descriptor: int) -> bool:
        """Have `turn` called while a descriptor is readable; False where this loop cannot."""
        raise NotImplementedError

    def _unwatch(self, descriptor: int) -> None:
        """Call that off."""
        raise NotImplementedError

    def _set_timer(self, seconds: float | None) -> None:
        """Have `turn` called after so many seconds, instead of when it was to be until now; None for not at all."""
        raise NotImplementedError
