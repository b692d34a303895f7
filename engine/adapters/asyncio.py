"""In asyncio's loop, or uvloop's: rows beside coroutines, in one thread. README shows it."""

import asyncio

from ..reactor import Reactor
from .foreign import Foreign


def attach(
    reactor: Reactor, loop: asyncio.AbstractEventLoop | None = None, *, budget_seconds: float | None = None
) -> "AsyncioTurns":
    """Have a loop take the reactor's turns, by default the running one. Raises RuntimeError where there is none."""
    return AsyncioTurns(reactor, loop or asyncio.get_running_loop(), budget_seconds)


class AsyncioTurns(Foreign):
    """Turns in an asyncio loop: a reader of it, and a timer."""

    def __init__(self, reactor: Reactor, loop: asyncio.AbstractEventLoop, budget_seconds: float | None) -> None:
        self.loop = loop
        self._timer: asyncio.TimerHandle | None = None
        super().__init__(reactor, budget_seconds)

    def _watch(self, descriptor: int) -> bool:
        try:
            self.loop.add_reader(descriptor, self.turn)
        except NotImplementedError:  # Windows' proactor
            return False
        return True

    def _unwatch(self, descriptor: int) -> None:
        self.loop.remove_reader(descriptor)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.turn)
