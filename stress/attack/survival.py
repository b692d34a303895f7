"""How long clients are let live, of whom some were still there when the time was over."""

from collections.abc import Sequence
from itertools import groupby


def survivors(lived: Sequence[float], ages: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return a curve (Kaplan and Meier's): times, and the part that is still there from each on.

    `lived` are the seconds of those who have gone, `ages` of those who had not when the time was over, and of whom it
    is only known that they live longer. The curve ends with the oldest.
    """
    there, part = len(lived) + len(ages), 1.0
    times, parts = [0.0], [1.0]
    events = sorted([(seconds, 0) for seconds in lived] + [(seconds, 1) for seconds in ages])
    for seconds, group in groupby(events, key=lambda event: event[0]):
        kinds = [kind for _, kind in group]
        part *= 1 - kinds.count(0) / there
        there -= len(kinds)
        times.append(seconds)
        parts.append(part)
    return times, parts


def half_gone(lived: Sequence[float], ages: Sequence[float]) -> float | None:
    """Return within how many seconds half of the clients had gone; None where they had not by the end."""
    for seconds, part in zip(*survivors(lived, ages), strict=True):
        if part <= 0.5:
            return seconds
    return None
