"""What a piece of work does, counted instead of timed: look-ups, calls, steps of the interpreter, allocations.

A time says little on a shared machine, and nothing of why. A count is the same at every run, so a turn that began to
walk over all rows shows at ten thousand of them as surely as at a million. Each count has a run of its own, for what
counts would be counted by the others.
"""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ...engine import Reactor

Work = Callable[[], object]


class Counted(MutableMapping[Any, Any]):
    """A mapping that counts what is asked of it: a walk over it counts for each of its entries."""

    def __init__(self, whole: MutableMapping[Any, Any]) -> None:
        self.whole = whole  # no copy: of a million rows that would be a figure of its own
        self.touched = 0

    def __len__(self) -> int:
        return len(self.whole)

    def __contains__(self, key: object) -> bool:
        self.touched += 1
        return key in self.whole

    def __getitem__(self, key: Any) -> Any:
        self.touched += 1
        return self.whole[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.touched += 1
        self.whole[key] = value

    def __delitem__(self, key: Any) -> None:
        self.touched += 1
        del self.whole[key]

    def __iter__(self) -> Iterator[Any]:
        for key in self.whole:
            self.touched += 1
            yield key


def look_ups(reactor: Reactor, work: Work) -> dict[str, int]:
    """Count the entries that are touched of each mapping in which a row or its alarm stands."""
    table = reactor.table
    places = [(table, "rows"), (table, "by_descriptor"), (table, "doors"), (table, "calls"), (table.timers, "_slots")]
    poller = table.poller
    places += [(poller, name) for name in ("_interest", "_touched", "pollables") if hasattr(poller, name)]
    counted = [(owner, name, Counted(getattr(owner, name))) for owner, name in places]
    try:
        for owner, name, mapping in counted:
            setattr(owner, name, mapping)
        work()
    finally:
        for owner, name, mapping in counted:
            setattr(owner, name, mapping.whole)
    return {f"look-ups in {name.lstrip('_')}": mapping.touched for _, name, mapping in counted}


def calls(work: Work) -> dict[str, int]:
    """Count the calls of Python's functions and of C's, those of the timers, and what goes through a heap."""
    found: Counter[str] = Counter()

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found["calls"] += 1
            if frame.f_code.co_filename.endswith("timers.py"):
                found["timers' calls"] += 1
        elif event == "c_call":
            found["calls in C"] += 1
            if argument.__name__ in ("heappush", "heappop", "heapify"):
                found["heap moves"] += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return {name: found[name] for name in ("calls", "calls in C", "timers' calls", "heap moves")}


@contextmanager
def _each_instruction(look: Callable[[], None]) -> Iterator[None]:
    """Have a function called before each instruction that the interpreter carries out within the block's calls."""

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return within

    def within(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            look()
        return within

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def instructions(work: Work) -> int:
    """Count the interpreter's instructions."""
    count = 0

    def look() -> None:
        nonlocal count
        count += 1

    with _each_instruction(look):
        work()
    return count


def allocations(work: Work) -> int:
    """Count the blocks of memory that are taken, as far as they are still there at the next instruction.

    Slow where there are many blocks already: Python counts them by a walk over its pools.
    """
    count = 0
    blocks = sys.getallocatedblocks()

    def look() -> None:
        nonlocal blocks, count
        now = sys.getallocatedblocks()
        if now > blocks:
            count += now - blocks
        blocks = now

    with _each_instruction(look):
        work()
    return count


def peak_bytes(work: Work) -> int:
    """Return by how many bytes the memory of Python's objects grew at the most meanwhile: a copy of a table shows."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's collector away, which comes when it wants and allocates too."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
