"""The run queue, watched: nobody is in it twice, out of turn, or for too long, and a turn has a budget."""

from collections import Counter

from ...engine import Row
from ...engine.schedule import AGEING, Schedule, bytes_remaining
from ...engine.stream_row import StreamRow
from ...engine.table import Table
from .broken import BrokenError
from .visits import WORDS_BYTES, Visits

ROUNDS_MOST = 20  # `shortest` lets a row wait for 16 times what all newcomers get
COMPARED_MOST = 50  # rows in the queue with which one that is served is compared


class WatchedQueue:
    """The table's run queue, and what is known of those in it."""

    def __init__(self, queue: Schedule, table: Table, visits: Visits) -> None:
        self.inline = queue.inline
        self._queue = queue
        self._table = table
        self._visits = visits
        self._ranked = not queue.inline
        self._waiting: dict[int, tuple[int, int, float]] = {}  # by key: the turn, the work and the rank it came with
        self._served: Counter[int] = Counter()  # by key: how often in this turn
        self._work = 0  # that was done for the queue before this turn
        self._quanta: list[tuple[int, Row]] = []  # of those served in this turn

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: int) -> bool:
        return key in self._waiting

    def push(self, row: Row, work: int) -> None:
        """Add a row."""
        self._queue.push(row, work)
        if row.key in self._waiting:
            raise BrokenError("the run queue", f"{row} is in it twice")
        rank = bytes_remaining(row) if self._ranked else 0.0
        self._waiting[row.key] = (self._table.totals.turns, work, rank)

    def pop(self) -> Row:
        """Take out the row that goes next."""
        first = next(iter(self._waiting), None)
        row = self._queue.pop()
        key = row.key
        if key not in self._waiting:
            raise BrokenError("the run queue", f"{row} was served and not in it")
        if self.inline and key != first:
            raise BrokenError("the run queue", f"{row} was served before row {first}, which came first")
        if self.inline and self._served[key]:  # by rank, who joins meanwhile may well be the next
            raise BrokenError("the run queue", f"{row} was served twice in a turn")
        _, work, _ = self._waiting.pop(key)
        if self._ranked and len(self._waiting) <= COMPARED_MOST:
            self._check_ageing(row, work)
        self._served[key] += 1
        self._quanta.append((row.limits.quantum_bytes, row))
        if isinstance(row, StreamRow):
            self._visits.begins(row)
        return row

    def _check_ageing(self, row: Row, work: int) -> None:
        """Who has r bytes left waits until 16 r bytes have gone to those who came later, and no longer."""
        for key, (_, then, rank) in self._waiting.items():
            if work * AGEING > then * AGEING + rank:
                raise BrokenError("a row starved", f"row {key} has waited since {then} bytes, {row} since {work}")

    def served(self, row: Row) -> int:
        """Return how often a row was served in this turn."""
        return self._served[row.key]

    def turn_ends(self) -> None:
        """Check that the turn has kept its budget, and that all whom it could not serve stay in the queue."""
        table = self._table
        done, self._work = table.queue_work - self._work, table.queue_work
        limits = table.limits
        if done > limits.turn_bytes:
            largest = max(
                max(quantum, row.limits.quantum_bytes) + row.limits.request_bytes for quantum, row in self._quanta
            )
            if done > limits.turn_bytes + largest + limits.step_bytes + WORDS_BYTES:
                raise BrokenError("a turn over its budget", f"{done} bytes' work was done from the queue in one turn")
        if self._quanta:
            self._quanta.clear()
            self._served.clear()
        if len(self._waiting) != len(self._queue):
            raise BrokenError("the run queue", f"{len(self._waiting)} rows were queued, {len(self._queue)} are")

    def check_wait(self, key: int) -> None:
        """Check that a row in the queue has its turn when all others have had theirs, at the latest."""
        turn, work, rank = self._waiting[key]
        if self._ranked and (self._table.queue_work - work) * AGEING <= rank:
            return  # newcomers with less to send still go first, however many turns that takes
        waited = self._table.totals.turns - turn
        limits = self._table.limits
        visit = limits.quantum_bytes + limits.receive_bytes + 2 * limits.request_bytes
        turns_a_round = 2 + len(self._table.rows) * visit / limits.turn_bytes
        if waited > ROUNDS_MOST * turns_a_round:
            raise BrokenError("a row starved", f"row {key} has waited for {waited} turns")
