"""Calls in threads, in other processes, in anybody's executor: whatever keeps a promise of `concurrent.futures`.

Imported by the first such call. Whoever keeps the promise rings a bell from a thread of its own, a descriptor that the
poller waits for: eventfd(2), or a pipe where there is none. The processes are fresh ones, by a fork server where there
is one, so that they have none of our connections.
"""

import os
import socket as sockets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_all_start_methods, get_context
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SHUT_RD, SHUT_RDWR, socket
from typing import Any, cast

from .machine import Call, Outcome
from .platform import Channel


class Executors:
    """Our own threads and processes, made when they are first wanted, and those that others bring."""

    def __init__(self, calls_max: int, waits: bool) -> None:
        self._calls_max = calls_max
        self._waits = waits
        self._ours: dict[str, Executor] = {}

    def begin(self, call: Call, channel: Channel | None) -> "Promise":
        """Begin a call. Raises RuntimeError where no thread can be started, OSError where no process can."""
        how: Any = call.how
        if call.lend and how != "thread":
            raise ValueError(f"{call!r}: a connection can be lent inline, to a child or to a thread")
        if channel is not None:
            lent = cast(socket, channel).dup()
            lent.setblocking(True)
            try:
                future = self._submit(how, _with, lent, call.function, *call.arguments)
            except BaseException:
                lent.close()
                raise
            return Promise(future, how, self._waits, lent)
        name = how if isinstance(how, str) else type(how).__name__
        return Promise(self._submit(how, call.function, *call.arguments), name, self._waits)

    def _submit(self, how: Any, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        if not isinstance(how, str):
            return cast("Future[Any]", how.submit(function, *arguments))
        if how not in self._ours:
            self._ours[how] = self._make(how)
        try:
            return self._ours[how].submit(function, *arguments)
        except BrokenExecutor:  # one of its processes was killed: it takes nothing ever after
            self._ours[how] = self._make(how)
            return self._ours[how].submit(function, *arguments)

    def _make(self, how: str) -> Executor:
        if how == "thread":
            return ThreadPoolExecutor(self._calls_max, "partway")
        ways = get_all_start_methods()
        context = get_context("forkserver" if "forkserver" in ways else "spawn")
        return ProcessPoolExecutor(min(self._calls_max, os.cpu_count() or 1), context)

    def close(self, wait: bool) -> None:
        """Begin nothing more in ours. What a thread has begun it does to the end."""
        for executor in self._ours.values():
            executor.shutdown(wait, cancel_futures=True)
        self._ours.clear()


def _with(lent: socket, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(lent, *arguments)
    finally:
        lent.close()


class Promise:
    """A call that a future stands for. `lent` is another descriptor of the connection, closed by who has it."""

    def __init__(self, future: "Future[Any]", name: str, waits: bool, lent: socket | None = None) -> None:
        self.name = name
        self._future = future
        self._lent = lent
        self._lock = threading.Lock()
        self._bell = _Bell() if waits and _Bell.possible else None
        self._kept = False
        self.descriptors: tuple[int, ...] = (self._bell.reading,) if self._bell is not None else ()
        future.add_done_callback(self._keep)

    def _keep(self, future: "Future[Any]") -> None:
        """Ring, from whatever thread this is, unless nobody waits any more."""
        with self._lock:
            self._kept = True
            if self._bell is not None:
                self._bell.ring()

    def poll(self) -> Outcome | None:
        """Return what came of it; None while it runs."""
        if not self._kept:
            return None
        try:
            error = self._future.exception()
        except CancelledError as cancelled:
            error = cancelled
        return Outcome(self._future.result()) if error is None else Outcome(error=error)

    def cancel(self) -> None:
        """Take it back if it has not begun, else have it wake if it waits for the connection that it was lent."""
        if self._lent is None:
            self._future.cancel()
        elif self._future.cancel():
            self._lent.close()
        else:
            with suppress(OSError):  # it has been closed meanwhile
                _wake(self._lent)

    def close(self) -> None:
        """Hear nothing more of it."""
        with self._lock:
            if self._bell is not None:
                self._bell.close()
                self._bell = None


def _wake(lent: socket) -> None:
    """Wake the thread that waits on a connection. Its last descriptor closes with a reset, so no end may go before.

    Who waits for bytes is told of an end. Who waits for room would wait for the peer: the kernel gives that up at once.
    """
    if lent.family not in (AF_INET, AF_INET6):
        lent.shutdown(SHUT_RDWR)
        return
    patience = getattr(sockets, "TCP_USER_TIMEOUT", None)
    if patience is not None:
        lent.setsockopt(IPPROTO_TCP, patience, 1)  # milliseconds: tcp(7)
    lent.shutdown(SHUT_RD)


class _Bell:
    """A descriptor that turns readable when it is rung, once."""

    possible = hasattr(os, "eventfd") or sys.platform not in ("win32", "emscripten", "wasi")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.reading = self._writing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self.reading, self._writing = os.pipe()

    def ring(self) -> None:
        """Make it readable."""
        os.write(self._writing, b"\1\0\0\0\0\0\0\0")  # eventfd(2) takes eight bytes, not all of them 0

    def close(self) -> None:
        """Free it."""
        os.close(self.reading)
        if self._writing != self.reading:
            os.close(self._writing)
