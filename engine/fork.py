"""A call in a forked child: it has all that the program has, by the kernel's own copy on write, but its descriptors.

The engine has no thread of its own, so a fork is what it was before there were threads: a whole copy, with no lock left
locked by somebody who is not there. A child keeps descriptors 0, 1 and 2, the connection that it was lent, and a file
in which it writes what came of it. It is reaped by its own number; pidfd_open(2) gives a descriptor that turns readable
when it has ended, by which one is seen that was killed. It is the first of a process group: Ctrl-C is for the parent to
answer, which lets its children end, and who kills it kills what it has started.

After a fork each page that either side writes to is copied, and Python writes to whatever it looks at. So little is
looked at here: `signal` makes enums of all that it returns, and those cost more than the fork, on both sides.
"""

import _signal as signals  # type: ignore[import-not-found]
import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from traceback import format_exception
from typing import Any, NoReturn

from .elsewhere import arguments_of
from .machine import Call, CallError, Outcome
from .platform import Channel

DESCRIPTORS_MOST = 2**31 - 1
HANDLED = [
    int(getattr(signal, name))
    for name in ["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGIO"]
    if hasattr(signal, name)
]
"""Signals that programs have handlers for, which are not the child's."""


class Child:
    """A call that a forked child runs."""

    def __init__(self, call: Call, channel: Channel | None, bytes_max: int, waits: bool) -> None:
        self._file = _file_in_memory()
        try:
            self._pid = _fork(call, channel, self._file, bytes_max)
        except BaseException:
            os.close(self._file)
            raise
        self.name = f"fork {self._pid}"
        self._status: int | None = None
        self._handle = _handle_of(self._pid) if waits else -1
        self.descriptors: tuple[int, ...] = (self._handle,) if self._handle >= 0 else ()

    def poll(self) -> Outcome | None:
        """Return what it has told, or how it has ended without; None while it runs."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # somebody in this program waits for all children, or SIGCHLD is ignored
                pid, status = self._pid, 0
            if not pid:
                return None
            self._status = status
        if self._status:
            return Outcome(error=CallError(f"{self.name} {_how(self._status)} without telling what came of it"))
        return self._told() if os.fstat(self._file).st_size else Outcome()  # who says nothing has returned None

    def _told(self) -> Outcome:
        try:
            with os.fdopen(os.dup(self._file), "rb") as file:
                file.seek(0)
                value, error = pickle.load(file)
        except Exception as unreadable:
            return Outcome(error=CallError(f"{self.name} told what cannot be unpickled: {unreadable!r}"))
        return Outcome(value, error)

    def cancel(self) -> None:
        """Kill it, and what it has started. It is still to be reaped."""
        if self._status is None:
            for kill in (os.killpg, os.kill):  # it may not have come so far as to have a group
                with suppress(ProcessLookupError, PermissionError):
                    kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Leave no zombie and no descriptor behind. One that has not ended was killed, and is waited for."""
        if self._status is None:
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        os.close(self._file)
        if self._handle >= 0:
            os.close(self._handle)


def _file_in_memory() -> int:
    """Return a descriptor of a file that has no name, in memory where the system has such files (memfd_create(2))."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("call", os.MFD_CLOEXEC)
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        return os.dup(file.fileno())


def _fork(call: Call, channel: Channel | None, file: int, bytes_max: int) -> int:
    """Fork, and return the child's number; the child never comes back."""
    _flush()  # else both would say it
    kept = [0, 1, 2, file] if channel is None else [0, 1, 2, file, channel.fileno()]
    kept.sort()
    arguments = arguments_of(call, channel)
    mask = signals.pthread_sigmask(signals.SIG_BLOCK, HANDLED)  # until a child has forgotten its parent's handlers
    try:
        pid = os.fork()
        if not pid:
            _live(kept, mask, call.function, arguments, file, bytes_max)
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, mask)
    return pid


def _live(
    kept: list[int],
    mask: set[int],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    file: int,
    bytes_max: int,
) -> NoReturn:
    """Be the child. Nothing of what the program would do at its end is done here: no `finally`, no `atexit`."""
    code = 1
    try:
        gc.freeze()  # what was there before is the parent's: a collection would copy it all
        os.setpgid(0, 0)
        _close_all_but(kept)
        signals.set_wakeup_fd(-1)
        for number in HANDLED:
            if callable(signals.getsignal(number)):
                signals.signal(number, signals.SIG_DFL)
        signals.pthread_sigmask(signals.SIG_SETMASK, mask)
        value = function(*arguments)
        if value is not None:  # that goes without saying
            _say(file, value, None, bytes_max)
        code = 0
    except Exception as error:
        error.add_note("".join(format_exception(error)))  # the parent's traceback will not have been here
        _say(file, None, error, bytes_max)
        code = 0
    except BaseException as error:  # sys.exit() ends this child, and must not end the parent
        _say(file, None, CallError(f"the child ended by {error!r}"), bytes_max)
        code = 0
    finally:
        try:
            _flush()
        finally:  # whatever is raised: who came back from here would be a second server
            os._exit(code)


def _flush() -> None:
    """Let what was printed go out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # there is none, it is full or closed, or it is somebody's own and has a bug
            pass


def _say(file: int, value: Any, error: Exception | None, bytes_max: int) -> None:
    """Write it down for the parent, in words where it cannot be pickled or is too much."""
    try:
        data = pickle.dumps((value, error))
        if error is not None:
            pickle.loads(data)  # an exception may pickle, and not come back
    except Exception as failure:
        words = f"what a call returned cannot be pickled: {failure!r}" if error is None else f"{error!r}"
        data = pickle.dumps((None, CallError(words)))
    if len(data) > bytes_max:
        data = pickle.dumps((None, CallError(f"fork {os.getpid()} told more than call_bytes_max, {bytes_max}")))
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


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
