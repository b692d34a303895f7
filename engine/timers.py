"""Alarms, flat to a million rows.

A deadline moves with nearly every request and fires almost never, so moving it must cost nothing. An alarm is
therefore not the deadline but a promise to look again: whoever rings compares the row's real deadline and sets the
next alarm if it has moved on. Only a deadline that comes *earlier* than the alarm needs a new one.

Alarms are grouped by tick of 1/1024 s, rounded up: the kernel waits in whole milliseconds anyway, rows that came in one
turn share a tick, and setting one is an append to a list. Keys, not rows, are kept: a stale key finds nobody, and a row
that has gone is not held in memory by its alarm.
"""

from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from math import ceil

TICKS = 1024
"""Ticks in a second: a power of two, so that a tick divides exactly."""

NEVER = float("inf")
FOREVER = 1e12  # seconds, some thirty thousand years: a tick that far still fits where it must


class Timers:
    """Keys to be looked at, by the tick at which to look. Setting and ringing cost the same at any size."""

    __slots__ = ("_heap", "_slots", "entries")

    def __init__(self) -> None:
        self._slots: dict[int, list[int] | deque[int]] = {}
        self._heap: list[int] = []
        self.entries = 0

    def set(self, due: float, key: int) -> None:
        """Ring for `key` at `due` (seconds on the platform's clock) or within a tick after it; not at all for NEVER."""
        if due > FOREVER:
            return
        tick = ceil(due * TICKS)
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [key]
            heappush(self._heap, tick)
        else:
            slot.append(key)
        self.entries += 1

    def next(self) -> float | None:
        """Return when the first alarm rings, or None where there is none."""
        return self._heap[0] / TICKS if self._heap else None

    def due(self, now: float) -> bool:
        """Tell whether an alarm would ring."""
        return bool(self._heap) and self._heap[0] <= now * TICKS

    def ring(self, now: float, most: int) -> list[int]:
        """Take out the keys whose tick has come, `most` at the most: those that are left ring at the next call."""
        tick = now * TICKS
        ringing: list[int] = []
        while self._heap and self._heap[0] <= tick and len(ringing) < most:
            first = self._heap[0]
            slot = self._slots[first]
            room = most - len(ringing)
            if len(slot) <= room:
                ringing += slot
                del self._slots[heappop(self._heap)]
                continue
            if isinstance(slot, list):  # a bite of many: what is left must not move up each time
                slot = self._slots[first] = deque(slot)
            ringing += [slot.popleft() for _ in range(room)]
        self.entries -= len(ringing)
        return ringing

    def prune(self, alarms: Iterable[tuple[float, int]]) -> None:
        """Forget all, and set these (due, key) anew: for when most that is kept belongs to rows that have gone."""
        self._slots.clear()
        self._heap.clear()
        self.entries = 0
        for due, key in alarms:
            tick = ceil(due * TICKS)
            self._slots.setdefault(tick, []).append(key)
            self.entries += 1
        self._heap = list(self._slots)
        heapify(self._heap)
