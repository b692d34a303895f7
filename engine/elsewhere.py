"""Where calls run on a real system: here, in a forked child, in threads, in other processes, in anybody's executor.

None of these is imported before a call asks for it: there are platforms that lack each. What a system lacks is an error
of the call that wanted it, and of nothing else.
"""

import os
from errno import ENOSYS
from typing import TYPE_CHECKING, Any

from .machine import Call, Outcome
from .platform import Channel, Work

if TYPE_CHECKING:
    from .executors import Executors
    from .fork import Child


class Outside:
    """Where calls run: `calls_max` at once. `waits` tells whether the poller can wait for a descriptor of theirs."""

    def __init__(self, calls_max: int, bytes_max: int, waits: bool = True) -> None:
        self._calls_max = calls_max
        self._bytes_max = bytes_max
        self._waits = waits
        self._child: type[Child] | None = None
        self._executors: Executors | None = None

    def begin(self, call: Call, channel: Channel | None) -> Work:
        """Begin a call. Raises OSError, RuntimeError or ImportError where the system lacks the way, or room for it."""
        how: Any = call.how
        if how == "inline":
            return Inline(call, channel)
        if how == "fork":
            if not hasattr(os, "fork") or not hasattr(os, "waitpid"):
                raise OSError(ENOSYS, "this platform has no fork")
            if self._child is None:  # to import it anew each time costs something after each fork
                from .fork import Child

                self._child = Child
            return self._child(call, channel, self._bytes_max, self._waits)
        if how not in ("thread", "process") and not callable(getattr(how, "submit", None)):
            raise ValueError(f"{call!r}: how is inline, fork, thread or process, or has a submit()")
        if self._executors is None:
            from .executors import Executors

            self._executors = Executors(self._calls_max, self._waits)
        return self._executors.begin(call, channel)

    def close(self, wait: bool) -> None:
        """Begin nothing more; what a thread has begun it does to the end."""
        if self._executors is not None:
            self._executors.close(wait)


def outcome_of(call: Call, channel: Any = None) -> Outcome:
    """Do a call here and now."""
    try:
        return Outcome(call.function(*arguments_of(call, channel)))
    except Exception as error:
        return Outcome(error=error)


def arguments_of(call: Call, channel: Any = None) -> tuple[Any, ...]:
    """Return a call's arguments; a connection that is lent to it comes first, and blocks from now on."""
    if channel is None:
        return call.arguments
    channel.setblocking(True)
    return (channel, *call.arguments)


class Inline:
    """Work that is done when it has begun."""

    name = "inline"
    descriptors: tuple[int, ...] = ()

    def __init__(self, call: Call, channel: Channel | None) -> None:
        self._outcome = outcome_of(call, channel)

    def poll(self) -> Outcome:
        """Return what came of it."""
        return self._outcome

    def cancel(self) -> None:
        """It is over."""

    def close(self) -> None:
        """There is nothing to free."""
