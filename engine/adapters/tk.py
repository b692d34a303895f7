"""In Tk's main loop: a program with windows that is a server, too. README shows it.

Tk draws what has changed when nothing else is to be done, which on a busy server is never: so a turn sees to it.
"""

import tkinter

from ..reactor import Reactor
from .foreign import BUDGET_SECONDS, Foreign

FRAME_SECONDS = 1 / 60


def attach(reactor: Reactor, root: tkinter.Misc, *, budget_seconds: float | None = BUDGET_SECONDS) -> "TkTurns":
    """Have Tk's loop take the reactor's turns."""
    return TkTurns(reactor, root, budget_seconds)


class TkTurns(Foreign):
    """Turns in Tk's loop: a file handler of it where there are such, and a timer."""

    def __init__(self, reactor: Reactor, root: tkinter.Misc, budget_seconds: float | None) -> None:
        self.root = root
        self._timer = ""
        self._drawn = reactor.platform.now()
        super().__init__(reactor, budget_seconds)

    def turn(self, *_: object) -> None:
        """Take a turn; draw what has changed."""
        super().turn()
        now = self.reactor.platform.now()
        if now - self._drawn >= FRAME_SECONDS:
            self._drawn = now
            self.root.update_idletasks()

    def _watch(self, descriptor: int) -> bool:
        create = getattr(self.root.tk, "createfilehandler", None)
        if create is None:  # Windows has none
            return False
        create(descriptor, tkinter.READABLE, self.turn)
        return True

    def _unwatch(self, descriptor: int) -> None:
        self.root.tk.deletefilehandler(descriptor)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer:
            self.root.after_cancel(self._timer)
        self._timer = "" if seconds is None else self.root.after(-int(-seconds * 1000 // 1), self.turn)
