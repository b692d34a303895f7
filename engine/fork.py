"""A call in a forked child: it has all that the program has, by the kernel's own copy on write, but its descriptors.

The engine has no thread of its own, so a fork is what it was before there were threads: a whole copy, with no lock left
locked by somebody who is not there. A child keeps descriptors 0, 1 and 2, the connection that it was lent, and a pipe
through which it tells what came of it. It is reaped by its own number; pidfd_open(2) gives a descriptor that turns
readable when it has ended, by which one is seen that was killed.
"""

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from traceback import format_exception
from typing import Any, NoReturn, cast

from .machine import Call, CallError, Outcome
from .platform import Channel

READ_BYTES = 64 * 1024  # what a pipe holds
DESCRIPTORS_MOST = 2**31 - 1


class Child:
    """A call that a forked child runs."""

    def __init__(self, call: Call, channel: Channel | None, bytes_max: int, waits: bool) -> None:
        self._bytes_max = bytes_max
        self._said = bytearray()
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        try:
            self._pid = _fork(call, channel, writing)
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)
        self.name = f"fork {self._pid}"
        self._status: int | None = None
        self._handle = _handle_of(self._pid) if waits else -1
        self.descriptors: tuple[int, ...] = (self._reading, self._handle) if self._handle >= 0 else ()

    def poll(self) -> Outcome | None:
        """Return what it has told, or how it has ended without; None while it runs."""
        over = self._reap()
        self._hear()
        if len(self._said) > self._bytes_max:
            self.cancel()
        return self._outcome() if over else None

    def _hear(self) -> None:
        """Read what it has written so far: else it would wait for us at a full pipe."""
        with suppress(BlockingIOError):
            while len(self._said) <= self._bytes_max:
                data = os.read(self._reading, READ_BYTES)
                if not data:
                    self.descriptors = self.descriptors[1:]  # it is readable for ever; the other tells of the end
                    return
                self._said += data

    def _reap(self) -> bool:
        """Ask whether it has ended; True from then on."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # somebody in this program waits for all children, or SIGCHLD is ignored
                pid, status = self._pid, 0
            if pid:
                self._status = status
        return self._status is not None

    def _outcome(self) -> Outcome:
        if len(self._said) > self._bytes_max:
            return Outcome(error=CallError(f"{self.name} told more than call_bytes_max, {self._bytes_max}"))
        if self._status:
            return Outcome(error=CallError(f"{self.name} {_how(self._status)} without telling what came of it"))
        try:
            value, error = pickle.loads(self._said)
        except Exception as unreadable:
            return Outcome(error=CallError(f"{self.name} told what cannot be unpickled: {unreadable!r}"))
        return Outcome(value, error)

    def cancel(self) -> None:
        """Kill it. It is still to be reaped."""
        if self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Leave no zombie and no descriptor behind. One that has not ended was killed, and is waited for."""
        if self._status is None:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        os.close(self._reading)
        if self._handle >= 0:
            os.close(self._handle)


def _fork(call: Call, channel: Channel | None, writing: int) -> int:
    """Fork, and return the child's number; the child never comes back."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()  # else both would say it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none is for the child yet
    try:
        pid = os.fork()
        if not pid:
            _live(call, channel, writing, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(call: Call, channel: Channel | None, writing: int, mask: Any) -> NoReturn:
    """Be the child. Nothing of what the program would do at its end is done here: no `finally`, no `atexit`."""
    code = 1
    try:
        gc.freeze()  # what was there before is the parent's: a collection would copy it all
        _forget_signals()
        kept = [0, 1, 2, writing] if channel is None else [0, 1, 2, writing, channel.fileno()]
        _close_all_but(sorted(kept))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _tell(writing, _do(call, channel))
        code = 0
    except BaseException:
        sys.excepthook(*cast(Any, sys.exc_info()))
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _do(call: Call, channel: Any) -> Outcome:
    arguments = call.arguments
    try:
        if channel is not None:
            channel.setblocking(True)
            arguments = (channel, *arguments)
        return Outcome(call.function(*arguments))
    except Exception as error:
        error.add_note("".join(format_exception(error)))  # the parent's traceback will not have been here
        return Outcome(error=error)
    except BaseException as error:  # sys.exit() ends this child, and must not end the parent
        return Outcome(error=CallError(f"the child ended by {error!r}"))


def _tell(writing: int, outcome: Outcome) -> None:
    """Tell the parent, in words where it cannot be pickled."""
    value, error, _ = outcome
    try:
        data = pickle.dumps((value, error))
        if error is not None:
            pickle.loads(data)  # an exception may pickle, and not come back
    except Exception as failure:
        words = f"what a call returned cannot be pickled: {failure!r}" if error is None else f"{error!r}"
        data = pickle.dumps((None, CallError(words)))
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view) :]


def _forget_signals() -> None:
    """Leave the parent's handlers to the parent. Ctrl-C reaches us too, but it is the parent's to answer: it drains."""
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _close_all_but(kept: list[int]) -> None:
    """Close all descriptors but these, which are in order."""
    first = 0
    for descriptor in kept:
        if first < descriptor:  # closerange(0, 0) closes all there are (CPython 3.11: it becomes close_range(0, -1))
            os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, DESCRIPTORS_MOST)


def _handle_of(pid: int) -> int:
    """Return a descriptor that turns readable when a child has ended; -1 where there is no such thing."""
    open_handle: Callable[[int], int] | None = getattr(os, "pidfd_open", None)
    if open_handle is None:
        return -1
    try:
        return open_handle(pid)
    except OSError:  # Linux before 5.3, or forbidden
        return -1


def _how(status: int) -> str:
    """Say how a child has ended."""
    if os.WIFSIGNALED(status):
        try:
            return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
        except ValueError:
            return f"was killed by signal {os.WTERMSIG(status)}"
    return f"has ended with exit code {os.waitstatus_to_exitcode(status)}"
