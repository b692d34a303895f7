"""When a client that behaved need not have got all: a limit that it met, a drain, a world in which it could not.

Narrow on purpose: each excuse names what in the case, or in what happened, makes it one. A client on a sheltered link,
in a world whose clock does not jump, has nearly none.
"""

from ...engine import Cause, Reason
from ...engine.outside import Client
from .case import Case, Visitor
from .served import TIMED_OUT

TIMED_OUT_HINT = 408  # of an HTTP head that was not whole in time
THIN_LIMIT = {Cause.IDLE_TOO_LONG: "idle_seconds", Cause.LINGERED_TOO_LONG: "linger_seconds"}
"""Limits that are shorter than what a long answer or upload takes on a thin link, where they aren't the stock ones."""


def excused(case: Case, visitor: Visitor, client: Client, row: Reason | None, met: dict[str, int]) -> bool:
    """Tell whether there is a reason for which a behaving client may have got less than all."""
    if client.reason is None:
        return False  # it waits for something that will never come
    if case.drains_after is not None and (row is None or row.cause is Cause.DRAINED):
        return True
    if row is None:  # it never became one
        return bool(met.get("accept_aborted") or met.get("queue_full"))
    if row.cause in TIMED_OUT or (row.cause is Cause.PEER_ERROR and row.hint == TIMED_OUT_HINT):
        stood_still = met.get("clock_jump") or met.get("slow_disk")
        lost = not visitor.sheltered and case.faults.get("lost")
        thin = visitor.bytes_a_second and THIN_LIMIT.get(row.cause) in case.limits  # its answer is still on its way
        return bool(stood_still or lost or thin)
    if row.cause is Cause.EVICTED:
        return "held_bytes_max" in case.limits
    if row.cause is Cause.TOO_MANY_FROM_PEER:
        return "rows_per_peer_max" in case.limits
    return False
