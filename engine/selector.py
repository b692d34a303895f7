"""Pollers over the kernel: a lean selector for epoll, and an adapter that drives any `selectors` selector.

epoll keys on a descriptor *and* the open file behind it, so a closed and reused number must never stay registered: the
table unregisters before it closes. Through the stock class an event costs 225 ns more than by `ready`, which hands on
the kernel's own pairs, and a change of interest four times as much.
"""

import select
from collections.abc import Mapping
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import Any

from .platform import FAILED, READABLE, WRITABLE, Events, Poller

HAVE_EPOLL = hasattr(select, "epoll")


class LeanEpoll:
    """epoll(7), level-triggered, as the engine's poller. Masks are the kernel's own."""

    def __init__(self) -> None:
        epoll = select.epoll()
        self.register = epoll.register
        self.modify = epoll.modify
        self.unregister = epoll.unregister
        self.ready = epoll.poll  # waits in whole milliseconds, rounded up
        self.fileno = epoll.fileno
        self.close = epoll.close


class LeanEpollSelector(BaseSelector):
    """A `selectors` selector over `LeanEpoll`: what is registered here gets keys, what is asked of `lean` gets none."""

    def __init__(self) -> None:
        self.lean = LeanEpoll()
        self._keys: dict[int, SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Begin to ask about a file. Raises ValueError for wrong events, KeyError for a file that is registered."""
        descriptor = _descriptor_of(fileobj)
        if not events or events & ~(EVENT_READ | EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        if descriptor in self._keys:
            raise KeyError(f"{fileobj!r} (FD {descriptor}) is already registered")
        self.lean.register(descriptor, _mask_of(events))
        key = self._keys[descriptor] = SelectorKey(fileobj, descriptor, events, data)
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        """Ask no more. Raises KeyError for a file that is not registered."""
        key = self._keys.pop(_descriptor_of(fileobj))
        self.lean.unregister(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait and return (key, events) pairs, an error counting as everything that was asked for."""
        seconds = None if timeout is None else max(timeout, 0)
        found = []
        for descriptor, mask in self.lean.ready(seconds, max(len(self._keys), 1)):
            key = self._keys.get(descriptor)
            if key is not None:
                found.append((key, key.events if mask & FAILED else _events_of(mask) & key.events))
        return found

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """Return the keys by descriptor."""
        return self._keys

    def fileno(self) -> int:
        """Return epoll's descriptor: readable when something is ready."""
        return self.lean.fileno()

    def close(self) -> None:
        """Free it."""
        self._keys.clear()
        self.lean.close()


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


def poller_for(selector: BaseSelector) -> Poller:
    """Return the leanest poller that drives this selector."""
    return selector.lean if isinstance(selector, LeanEpollSelector) else SelectorPoller(selector)


def _descriptor_of(fileobj: Any) -> int:
    descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if descriptor < 0:
        raise ValueError(f"Invalid file descriptor: {descriptor}")
    return int(descriptor)


def _mask_of(events: int) -> int:
    return (READABLE if events & EVENT_READ else 0) | (WRITABLE if events & EVENT_WRITE else 0)


def _events_of(mask: int) -> int:
    return (EVENT_READ if mask & READABLE else 0) | (EVENT_WRITE if mask & WRITABLE else 0)
