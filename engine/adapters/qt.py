"""In Qt's event loop, by PySide6: a program with windows that is a server, too. README shows it."""

from math import ceil

try:
    from PySide6.QtCore import QSocketNotifier, QTimer
except ImportError as error:
    raise ImportError("this needs PySide6: pip install 'partway[qt]'") from error

from ..reactor import Reactor
from .foreign import BUDGET_SECONDS, Foreign


def attach(reactor: Reactor, *, budget_seconds: float | None = BUDGET_SECONDS) -> "QtTurns":
    """Have Qt's loop take the reactor's turns, once there is a QApplication. Keep what is returned: Qt does not."""
    return QtTurns(reactor, budget_seconds)


class QtTurns(Foreign):
    """Turns in Qt's loop: a socket notifier and a timer."""

    def __init__(self, reactor: Reactor, budget_seconds: float | None) -> None:
        self._notifier: QSocketNotifier | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.turn)
        super().__init__(reactor, budget_seconds)

    def _watch(self, descriptor: int) -> bool:
        self._notifier = QSocketNotifier(descriptor, QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self.turn)
        return True

    def _unwatch(self, descriptor: int) -> None:
        assert self._notifier is not None
        self._notifier.setEnabled(False)
        self._notifier = None

    def _set_timer(self, seconds: float | None) -> None:
        if seconds is None:
            self._timer.stop()
        else:
            self._timer.start(min(ceil(seconds * 1000), 2**31 - 1))  # milliseconds, in a C int
