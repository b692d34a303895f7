"""The engine's patience: what happens when a deadline has come.

Bytes alone move no deadline. A request that arrives, and an answer that leaves, must make `rate_min` in each period,
looked at once a period: so it costs nothing a byte, and a burst cannot be saved up for a silence.
"""

from .ending import refuse
from .machine import Cause, Reason
from .row import CLOSED, IDLE, LINGERING, OPENING, READING, WAITING, WRITING
from .stream import visit
from .stream_row import BURST, StreamRow
from .timers import NEVER

_PATIENCE = {
    OPENING: (Cause.OPENING_TOO_LONG, True),
    IDLE: (Cause.IDLE_TOO_LONG, False),
    READING: (Cause.REQUEST_TOO_SLOW, False),
    WAITING: (Cause.WAITED_TOO_LONG, False),
    WRITING: (Cause.ANSWER_TOO_SLOW, True),
}
"""What a state's end of patience is called, and whether the connection is then reset."""


def expire(row: StreamRow) -> None:
    """Look at a row whose alarm has rung: step it, renew its period, end it, or set its next alarm."""
    row.alarm = NEVER
    now = row.table.now
    if row.state == CLOSED:
        return
    if row.deadline() <= now and not _earned_a_period(row):
        if row.state == LINGERING:
            assert row.reason is not None
            reason = Reason(Cause.LINGERED_TOO_LONG) if row.reason.cause is Cause.DONE else row.reason
            row.table.doom(row, reason, reset=True)
        else:
            cause, reset = _PATIENCE[row.state]
            refuse(row, Reason(cause), reset)
    elif row.until <= now:
        row.until = NEVER
        if not row.queued:
            visit(row)
    if row.state != CLOSED:
        row.table.arm(row)


def _earned_a_period(row: StreamRow) -> bool:
    """True where enough has moved in the period that has just ended; then the next one begins."""
    if row.state == WRITING:
        return _is_taken(row)
    limits = row.limits
    if row.state == OPENING and row.queued and row.sent >= limits.quantum_bytes:  # it talks, and has never rested
        row.since = row.table.now
        return True
    if row.state != READING or row.received - row.mark < max(1, limits.rate_min * limits.request_seconds):
        return False
    row.since = row.table.now
    row.mark = row.received
    return True


def _is_taken(row: StreamRow) -> bool:
    """True where a period of an answer goes on, or has ended with enough for another.

    What counts is what the peer's side has taken: the kernels' buffers hold minutes of a slow reader's answer, so
    little need leave our hands, and they swallow a burst for who reads nothing. So the kernel is asked, once that burst
    is over and again at the period's end.
    """
    limits = row.limits
    taken = row.sent - max(0, row.table.platform.unsent(row.channel))
    if row.taken < 0:
        row.taken = taken
        return True
    if taken - row.taken < max(1, limits.rate_min * limits.stall_seconds * (1 - BURST)):
        return False
    row.taken = -1
    row.since = row.table.now
    return True
