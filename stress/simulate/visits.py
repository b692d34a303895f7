"""What one turn may do to a row: how much it may send, and that bytes alone move no deadline.

Each row that the poller names, or that comes from the run queue, is noted as it was, and looked at when the turn ends.
"""

from collections.abc import Callable

from ...engine.machine import Machine
from ...engine.platform import BROKEN, HUNG_UP, PEER_ENDED
from ...engine.row import IDLE, LINGERING, OPENING, READING, WAITING, WORKING
from ...engine.stream_row import StreamRow
from ...engine.table import Table
from ...engine.timers import NEVER, Timers
from .broken import BrokenError

IDLE_VISITS_MOST = 3  # of one row, one after another, that come to nothing
WORDS_BYTES = 4096  # of the engine's last word besides
ENDED = PEER_ENDED | HUNG_UP
CLOCKED = (OPENING, IDLE, READING, LINGERING)  # states whose deadline only moves with an answer or a request

Before = tuple[StreamRow, Machine, int, int, float, float, float, int, int, int, int, int, int, bool]
"""A row, and as they were when its turn began: machine, state, phase, since, paused_at, active_at, requests,
requests_then, sent, received, quantum; what the poller has told of it; whether it stood in the queue or came from it.
"""


class WatchedTimers(Timers):
    """Timers that know who has rung in this turn."""

    def __init__(self) -> None:
        super().__init__()
        self.rang: set[int] = set()
        self.bites = False  # the last time, as many rang as may in one turn: others may still be due

    def ring(self, now: float, most: int) -> list[int]:
        """Take out the keys whose tick has come."""
        ringing = super().ring(now, most)
        self.rang.update(ringing)
        self.bites = len(ringing) >= most
        return ringing


class Visits:
    """The rows of one turn. Plain tuples, for this is done for every event of every run."""

    def __init__(self, table: Table, may_fail: bool) -> None:
        self.table = table
        self.may_fail = may_fail  # somebody may be called ready, and then have nothing to do
        self._idle: dict[int, int] = {}  # by key: turns one after another in which a visit came to nothing
        self.alarms = table.timers = WatchedTimers()
        self._before: dict[int, Before] = {}

    def begins(self, row: StreamRow, mask: int = 0) -> None:
        """Note a row as it is before it is visited in this turn."""
        key = row.key
        if key not in self._before:
            self._before[key] = (
                row,
                row.machine,
                row.state,
                row.phase,
                row.since,
                row.paused_at,
                row.active_at,
                row.requests,
                row.requests_then,
                row.sent,
                row.received,
                row.limits.quantum_bytes,
                mask,
                row.queued or not mask,
            )

    def end(self, served: Callable[[StreamRow], int]) -> None:
        """Look at all of them when the turn has ended; `served` tells how often one came from the queue in it."""
        now = self.table.now
        for before in self._before.values():
            (
                row,
                machine,
                state,
                phase,
                since,
                paused_at,
                active_at,
                requests,
                requests_then,
                sent,
                received,
                quantum,
                mask,
                queued,
            ) = before
            ended, moved = row.requests - requests, row.sent - sent
            if ended > 1 or moved > quantum:
                visits = bool(mask) + served(row) + (row.key in self.alarms.rang)
                _check_budget(row, ended, moved, max(quantum, row.limits.quantum_bytes), visits)
            if ended or moved:
                self._idle.pop(row.key, None)
                if row.state == IDLE and row.active_at != now and row.machine is machine:
                    raise BrokenError("an idle clock that stands", f"{row} has answered at {now}: {row.active_at}")
            elif row.state == state and state in CLOCKED and not queued and row.machine is machine:
                later = row.active_at - active_at if state == IDLE else row.since - since
                if later > 1e-9 and row.phase == phase and row.deadline() - later > now:
                    raise BrokenError("a deadline moved by bytes", f"{row} is due at {row.deadline()}, {later} s later")
            if not (ended or moved or self.may_fail) and mask and row.state == state and not row.queued:
                self._check_cause(row, received)
            if paused_at != NEVER and row.phase == row.state == phase and row.paused_at == NEVER and not row.queued:
                same = row.machine is machine and row.requests == requests == requests_then
                if same and abs(row.since - (since + now - paused_at)) > 1e-9:
                    raise BrokenError("a wait charged to the request", f"{row} began at {since}, now at {row.since}")
            if mask and state == WORKING == row.state and row.mask and not served(row):
                raise BrokenError("interest not withdrawn", f"{row} has work in hand and is called ready all the same")
            waits = state == WAITING == row.state and not row.queued and row.paused_at < now
            if waits and mask & ENDED and not mask & BROKEN and row.key not in self.table.called:
                raise BrokenError("a lost wake-up", f"{row} was not told of its peer's end")
        self._before.clear()
        self.alarms.rang.clear()

    def _check_cause(self, row: StreamRow, received: int) -> None:
        """Who is called ready has something to do: bytes, an end, or a state to leave."""
        if row.received != received:
            self._idle.pop(row.key, None)
            return
        self._idle[row.key] = idle = self._idle.get(row.key, 0) + 1
        if idle > IDLE_VISITS_MOST:
            raise BrokenError("a wake-up without a cause", f"{row} is called ready again and again")


def _check_budget(row: StreamRow, ended: int, moved: int, quantum: int, visits: int) -> None:
    """A visit sends no more than a quantum, and answers as many requests as one is worth.

    A row is visited when it is named by the poller, when it comes from the queue, and when its alarm has rung.
    """
    if moved > visits * quantum + (WORDS_BYTES if row.state >= LINGERING else 0):
        raise BrokenError("a row over its quantum", f"{row} has sent {moved} bytes in a turn")
    if ended > visits * (quantum // row.limits.request_bytes + 1):
        raise BrokenError("a row over its quantum", f"{row} ended {ended} requests in a turn")
