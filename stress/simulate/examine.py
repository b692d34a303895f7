"""All that is checked of one case: its run, and what further runs of it must have in common with that.

A run checks itself as it goes on (`watch.py`). Beyond that, a case that is run again must come to the same; a case
whose rows are frozen and thawed in mid-run, to the same as if nobody had touched them; runs leave nothing in memory.
"""

import gc
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ...engine import Row
from .broken import BrokenError
from .case import Case
from .edges import Edges
from .world import Outcome, run

AGAIN = "a case that is run again comes to the same"
FREEZING = "a row frozen and thawed changes nothing"
MEMORY = "memory is back where it began"

PACKAGE = Path(__file__).parents[2]
WARM_RUNS = 2  # before memory is looked at: caches fill
MEMORY_RUNS = 4  # that must all grow, before it is called a leak


class Broken(NamedTuple):
    """What did not hold: `invariant` is the same for the same failure, `detail` says where it was met this time."""

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


class Examined(NamedTuple):
    """What came of a case: an outcome, or what was broken."""

    outcome: Outcome | None
    broken: Broken | None
    seconds: float  # CPU, of the run itself
    more_seconds: float  # of all further runs of the case


def examine(case: Case, *, again: bool = False, memory: bool = False, edges: Edges | None = None) -> Examined:
    """Run a case, and again for what is asked; the edges of the first run are counted."""
    began = time.process_time()
    outcome, broken, ended = None, None, 0.0
    try:
        with (edges or Edges()).counted():
            outcome = run(case)
        ended = time.process_time()
        untouched = run(replace(case, freezes=0.0)) if case.freezes else outcome
        if again or untouched != outcome:
            _check_same(AGAIN, outcome, run(case))  # else nothing could be said of freezing
        _check_same(FREEZING, untouched, outcome)
        if memory:
            check_memory(case)
    except Exception as error:
        broken = broken_by(error)
    ended = ended or time.process_time()
    return Examined(outcome, broken, ended - began, time.process_time() - ended)


def _check_same(invariant: str, one: Outcome, other: Outcome) -> None:
    """Compare all that both runs tell of."""
    for name, left, right in zip(Outcome._fields, one, other, strict=True):
        if left != right:
            raise BrokenError(invariant, f"{name} {_shown(left)} in one run, {_shown(right)} in the other")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_memory(case: Case) -> None:
    """Run a case over and over: nothing may grow each time, and no row may live on."""
    gc.collect()
    known = _rows_alive()
    for _ in range(WARM_RUNS):
        run(case)
    before, least = _blocks(), sys.maxsize
    for _ in range(MEMORY_RUNS):
        run(case)
        now = _blocks()
        least = min(least, now - before)
        before = now
    ours = [row for row in _rows_alive() if all(row is not other for other in known)]
    if ours:
        raise BrokenError(MEMORY, f"{len(ours)} rows live on after {WARM_RUNS + MEMORY_RUNS} runs: {ours[0]}")
    if least > 0:
        raise BrokenError(MEMORY, f"each run leaves {least} or more blocks of memory behind")


def _blocks() -> int:
    """Count what is allocated, once all that is garbage has gone.

    CPython's cache of look-ups keeps a name of each slot that was thawed, in up to 4,096 places: it grows for a while.
    """
    clear = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache  # since 3.13 under another name
    clear()
    gc.collect()
    return sys.getallocatedblocks()


def _rows_alive() -> list[Row]:
    return [thing for thing in gc.get_objects() if isinstance(thing, Row)]


def broken_by(error: Exception) -> Broken:
    """Name what an exception tells: a broken invariant, or a bug by its type and place."""
    if isinstance(error, BrokenError):
        return Broken(error.invariant, error.detail)
    place, line = _place(error.__traceback__)
    text = traceback.format_exception_only(error)[-1].strip()
    return Broken(f"{type(error).__name__} in {place}", f"line {line}: {text}")


def _place(trace: TracebackType | None) -> tuple[str, int]:
    """Return the innermost function of this package in a traceback, and the line."""
    found = ("?", 0)
    for frame in traceback.extract_tb(trace):
        path = Path(frame.filename)
        if path.is_relative_to(PACKAGE):
            found = (f"{path.relative_to(PACKAGE).as_posix()}, {frame.name}()", frame.lineno or 0)
    return found
