"""The engine's patience: what happens when a deadline has come.

Bytes alone move no deadline. A request that arrives, and an answer that leaves, must make `rate_min` in each period,
looked at once a period: so it costs nothing a byte, and a burst cannot be saved up for a silence.
"""

from .ending import refuse
from .machine import Cause, Reason
from .row import CLOSED, IDLE, LINGERING, OPENING, READING, WAITING, WRITING, Row, deadline
from .stream import visit
from .timers import NEVER

_PATIENCE = {
    OPENING: (Cause.OPENING_TOO_LONG, True),
    IDLE: (Cause.IDLE_TOO_LONG, False),
    READING: (Cause.REQUEST_TOO_SLOW, False),
    WAITING: (Cause.WAITED_TOO_LONG, False),
    WRITING: (Cause.ANSWER_TOO_SLOW, True),
}
"""What a state's end of patience is called, and whether the connection is then reset."""


def expire(row: Row) -> None:
    """Look at a row whose alarm has rung: step it, renew its period, end it, or set its next alarm."""
    row.alarm = NEVER
    now = row.table.now
    if row.state == CLOSED:
        return
    if deadline(row) <= now and not _earned_a_period(row):
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


def _earned_a_period(row: Row) -> bool:
    """True where enough has moved in the period that has just ended; then the next one begins."""
    limits = row.limits
    if row.state == READING:
        moved, seconds, count = row.received - row.mark, limits.request_seconds, row.received
    elif row.state == WRITING:
        moved, seconds, count = row.sent - row.mark, limits.stall_seconds, row.sent
    else:
        return False
    if moved < max(1, limits.rate_min * seconds):
        return row.state == WRITING and _is_taking(row)
    # An answer's next period begins when something last left: else a burst into the kernel's buffers would buy two.
    row.since = row.active_at if row.state == WRITING else row.table.now
    row.mark = count
    row.taken = -1
    return True


def _is_taking(row: Row) -> bool:
    """Ask the kernel, twice, whether the peer takes what left our hands long ago: its buffers hold minutes of that.

    The first time the row gets `stall_look_seconds` more; the second time, a new period if enough has been taken.
    """
    limits, now = row.limits, row.table.now
    unsent = row.table.platform.unsent(row.channel)
    if unsent < 0:
        return False
    taken, before = row.sent - unsent, row.taken
    if before < 0:
        row.taken = taken
        row.since = now + limits.stall_look_seconds - limits.stall_seconds
        return unsent > 0
    row.taken = -1
    row.since = now
    row.mark = row.sent
    return taken - before >= max(1, limits.rate_min * limits.stall_look_seconds)
