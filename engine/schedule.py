"""Who moves next: the run queue and its policies.

A policy sees every row with work in hand, which no server built on stacks can offer. `Fair` is round robin, and ready
rows are served as the poller names them, without a queue. `Ranked` takes the lowest rank first, for which all ready
rows go through the queue. A sixteenth of what has been done meanwhile counts against whoever comes later, so nobody
starves: a row that is r bytes worse than all newcomers waits at most until 16 r bytes have gone to them.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from .row import Row

AGEING = 1 / 16  # the more, the fairer and the slower in the mean: 1/4 is three quarters of the way to `Fair`

Rank = Callable[[Row], float]
"""The user's own policy: a number for a row with work in hand; the lowest goes first."""


class Schedule(Protocol):
    """A run queue. A row is in it at most once (`row.queued`)."""

    inline: bool
    """True where a ready row may be served at once, without passing through the queue."""

    def push(self, row: Row, work: int) -> None:
        """Add a row, when so much has been done for rows from the queue in all, in bytes."""
        ...

    def pop(self) -> Row:
        """Take out the row that goes next. Raises IndexError where there is none."""
        ...

    def __len__(self) -> int: ...


class Fair:
    """Round robin: who came first goes first."""

    __slots__ = ("_rows",)
    inline = True

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()

    def push(self, row: Row, work: int) -> None:
        """Add a row at the end."""
        self._rows.append(row)

    def pop(self) -> Row:
        """Take out the oldest."""
        return self._rows.popleft()

    def __len__(self) -> int:
        return len(self._rows)


class Ranked:
    """The lowest rank first, aged so that nobody starves."""

    __slots__ = ("_heap", "_rank")
    inline = False

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._heap: list[tuple[float, int, Row]] = []

    def push(self, row: Row, work: int) -> None:
        """Add a row by its rank now. Rows of one rank go by their keys, oldest first."""
        heappush(self._heap, (self._rank(row) + work * AGEING, row.key, row))

    def pop(self) -> Row:
        """Take out the lowest."""
        return heappop(self._heap)[2]

    def __len__(self) -> int:
        return len(self._heap)


def bytes_remaining(row: Row) -> float:
    """Rank by how little is left to send; a row that has not begun to answer counts as nothing left."""
    told = getattr(row.machine, "remaining", None)
    count = told() if told is not None else None
    return float(row.to_send if count is None else row.to_send + count)


def schedule_by(policy: str | Rank) -> Schedule:
    """Make a run queue: "fair", "shortest", or by a function of rows. Raises ValueError for another name."""
    if policy == "fair":
        return Fair()
    if policy == "shortest":
        return Ranked(bytes_remaining)
    if callable(policy):
        return Ranked(policy)
    raise ValueError(f"{policy!r} is no schedule: fair, shortest, or a function of rows")
