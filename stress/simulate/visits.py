"""What one turn may do to a row: how much it may send, and that bytes alone move no deadline.

Each row that the poller names, or that comes from the run queue, is noted as it was, and looked at when the turn ends.
"""

from collections.abc import Callable
from typing import NamedTuple

from ...engine import Row
from ...engine.machine import Machine
from ...engine.platform import BROKEN, HUNG_UP, PEER_ENDED
from ...engine.row import IDLE, LINGERING, OPENING, READING, WAITING, WORKING, deadline
from ...engine.table import Table
from ...engine.timers import NEVER
from .broken import BrokenError

WORDS_BYTES = 4096  # of the engine's last word besides
CLOCKED = (OPENING, IDLE, READING, LINGERING)  # states whose deadline only moves with an answer or a request


class Before(NamedTuple):
    """A row as it was when its turn began."""

    row: Row
    machine: Machine
    state: int
    phase: int
    since: float
    paused_at: float
    due: float
    requests: int
    requests_then: int
    sent: int
    quantum: int
    told: bool  # of the peer's end, while it waited
    queued: bool
    named: bool  # by the poller


class Visits:
    """The rows of one turn."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._before: dict[int, Before] = {}

    def begins(self, row: Row, mask: int = 0) -> None:
        """Note a row as it is before it is visited in this turn."""
        if row.key not in self._before:
            told = row.state == WAITING and bool(mask & (PEER_ENDED | HUNG_UP)) and not mask & BROKEN
            self._before[row.key] = Before(
                row,
                row.machine,
                row.state,
                row.phase,
                row.since,
                row.paused_at,
                deadline(row),
                row.requests,
                row.requests_then,
                row.sent,
                row.limits.quantum_bytes,
                told,
                row.queued or not mask,
                bool(mask),
            )

    def end(self, served: Callable[[Row], int]) -> None:
        """Look at all of them when the turn has ended; `served` tells how often one came from the queue in it."""
        now = self.table.now
        for before in self._before.values():
            row = before.row
            _check_budget(before, before.named + served(row) + 1)
            if row.requests != before.requests or row.sent != before.sent:
                if row.state == IDLE and row.active_at != now and row.machine is before.machine:
                    raise BrokenError("an idle clock that stands", f"{row} has answered at {now}: {row.active_at}")
            elif row.state == before.state and row.state in CLOCKED and before.due > now and not before.queued:
                _check_clock(before)
            if before.paused_at != NEVER and row.phase == row.state == before.phase and row.paused_at == NEVER:
                _check_pause(before, now)
            if before.named and row.mask and before.state == row.state == WORKING and not served(row):
                raise BrokenError("interest not withdrawn", f"{row} has work in hand and is called ready all the same")
            if before.told and row.state == WAITING and not row.queued and row.paused_at < now:
                raise BrokenError("a lost wake-up", f"{row} was not told of its peer's end")
        self._before.clear()


def _check_budget(before: Before, visits: int) -> None:
    """A visit sends no more than a quantum, and answers as many requests as one is worth.

    A row is visited when it is named by the poller, when it comes from the queue, and perhaps when its time has come.
    """
    row = before.row
    quantum = max(before.quantum, row.limits.quantum_bytes)
    if row.sent - before.sent > visits * quantum + WORDS_BYTES:
        raise BrokenError("a row over its quantum", f"{row} has sent {row.sent - before.sent} bytes in a turn")
    if row.requests - before.requests > visits * (quantum // row.limits.request_bytes + 1):
        raise BrokenError("a row over its quantum", f"{row} ended {row.requests - before.requests} requests in a turn")


def _check_clock(before: Before) -> None:
    row = before.row
    if row.machine is before.machine and row.phase == before.phase and deadline(row) > before.due + 1e-9:
        raise BrokenError("a deadline moved by bytes", f"{row} was due at {before.due}, now at {deadline(row)}")


def _check_pause(before: Before, now: float) -> None:
    """A phase's clock stands still while its machine waits, and goes on from there."""
    row = before.row
    same = row.machine is before.machine and row.requests == before.requests == before.requests_then
    if same and not row.queued and abs(row.since - (before.since + now - before.paused_at)) > 1e-9:
        raise BrokenError("a wait charged to the request", f"{row} began at {before.since}, now at {row.since}")
