"""What a server does when it is told by a signal: to stop, or to open its files anew."""

import signal
import socket
from collections.abc import Callable

from ..engine import Reactor

ENDING = (signal.SIGTERM, signal.SIGINT)
HANGUPS = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


class Signals:
    """SIGTERM and SIGINT drain, a second one stops; at SIGHUP a function is called.

    A pipe wakes the reactor: a handler alone doesn't end its wait.
    """

    def __init__(self, reactor: Reactor, hung_up: Callable[[], None]) -> None:
        self._reactor = reactor
        self._hung_up = hung_up
        self._reader, self._writer = socket.socketpair()

    def __enter__(self) -> None:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._reactor.watch(self._reader.fileno(), self._woken)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in (*ENDING, *HANGUPS)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reactor.unwatch(self._reader.fileno())
        self._reader.close()
        self._writer.close()

    def _woken(self) -> None:
        numbers = self._reader.recv(64)
        if any(number in HANGUPS for number in numbers):
            self._hung_up()
        ending = sum(number in ENDING for number in numbers)
        if ending and (self._reactor.draining or ending > 1):
            self._reactor.stop()
        elif ending:
            self._reactor.drain()
