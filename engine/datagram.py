"""Visits to datagram rows: a machine is fed one datagram and stepped until it rests, one datagram for each bytes want.

The machine's contract is that of streams, less what datagrams have not: no end comes, nothing is cut short, nobody
lingers. What the peer sends while the machine does not read is lost, unless it is `duplex`: that is what datagrams do.
"""

from .datagram_row import DatagramRow
from .ending import end_failed, last_words
from .machine import (
    ABORT,
    CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Call,
    Cause,
    Idle,
    Machine,
    Read,
    Reason,
    Wait,
    Want,
)
from .row import (
    BECAME,
    BLOCKED,
    CLOSED,
    LINGERING,
    QUEUED,
    READING,
    WAITING,
    WANTS_IDLE,
    WANTS_OPENING,
    WANTS_READING,
    WANTS_WAITING,
    WRITING,
    advance,
)
from .row import IDLE as IDLE_STATE
from .row import OPENING as OPENING_STATE
from .timers import NEVER

_PATIENCE = {
    OPENING_STATE: Cause.OPENING_TOO_LONG,
    IDLE_STATE: Cause.IDLE_TOO_LONG,
    READING: Cause.REQUEST_TOO_SLOW,
    WAITING: Cause.WAITED_TOO_LONG,
    WRITING: Cause.ANSWER_TOO_SLOW,
}


def feed(row: DatagramRow, data: bytes) -> bool:
    """Feed a row the datagram that has come for it, and step it; False where its machine does not read now."""
    state = row.state
    row.received += len(data)
    if state == IDLE_STATE or state == READING or (state == OPENING_STATE and not row.queued):
        give(row, data)
        return True
    if state == WAITING or state == CLOSED:
        return False
    try:
        if not getattr(row.machine, "duplex", False):
            return False
        row.machine.feed(data)  # it is stepped when it has done or sent what it has in hand
        row.asked = True
    except Exception as error:
        end_failed(row, error, refuse)
    return True


def give(row: DatagramRow, data: bytes) -> None:
    """Feed a row that reads, or has just begun, and step it."""
    try:
        row.machine.feed(data)
    except Exception as error:
        end_failed(row, error, refuse)
    else:
        row.asked = True
        step(row)


def step(row: DatagramRow) -> None:
    """Step a row until it rests or its quantum is spent."""
    limits, machine, now = row.limits, row.machine, row.table.now
    room = limits.quantum_bytes
    try:
        while True:
            want = machine.step()
            if row.state == CLOSED:  # by its own machine, in this step
                return
            if isinstance(want, (bytes, bytearray, memoryview, tuple)):
                data = b"".join(want) if isinstance(want, tuple) else bytes(want)
                if row.asked:
                    row.active_at = now
                if not row.endpoint.send(row, data):
                    _settle(row, BLOCKED, NEVER)
                    return
                room -= len(data) + limits.step_bytes
            elif want is NEXT:
                row.requests += 1
                row.active_at = now
                room -= limits.request_bytes
            elif isinstance(want, Become):
                machine = _become(row, want)
                limits = row.limits
                room -= limits.step_bytes
            else:
                _rest(row, want)
                return
            if row.state == CLOSED:  # its peer is unreachable
                return
            if room <= row.table.least_room:
                advance(row, QUEUED)
                if not row.queued:
                    row.table.enqueue(row)
                return
    except Exception as error:
        end_failed(row, error, refuse)


def run(row: DatagramRow) -> None:
    """Move a row that comes from the run queue, unless it has ended meanwhile, or waits for room."""
    row.queued = False
    if row.state < LINGERING and row.state != WRITING and row.key not in row.table.called:
        step(row)


def expire(row: DatagramRow) -> None:
    """Look at a row whose alarm has rung: end it, step it, or set its next alarm."""
    row.alarm = NEVER
    now = row.table.now
    if row.state == CLOSED:
        return
    if row.deadline() <= now:
        refuse(row, Reason(_PATIENCE[row.state]))
    elif row.until <= now:
        row.until = NEVER
        if not row.queued:
            step(row)
    if row.state != CLOSED:
        row.table.arm(row)


def refuse(row: DatagramRow, reason: Reason, reset: bool = False) -> None:
    """End a row on the engine's account, with its machine's last word."""
    words = last_words(row, reason) if row.state < LINGERING and row.output is None else b""
    if words:
        row.endpoint.send_last(row, words)
    row.table.doom(row, reason)


def _become(row: DatagramRow, want: Become) -> Machine:
    """Hand the row to another machine."""
    row.machine = want.machine
    if row.table.calling is not None:
        row.table.calling.cancel(row.key)
    if want.limits is not None:
        row.limits = want.limits
    advance(row, BECAME)
    row.born = row.active_at = row.table.now
    if want.unread:
        want.machine.feed(want.unread)
    return want.machine


def _rest(row: DatagramRow, want: Want) -> None:
    """Carry out a want after which the machine is not stepped at once."""
    now = row.table.now
    if want is not PARK and not isinstance(want, (Wait, Call)):
        row.asked = False  # an answer may have to wait for somebody else; what is sent after this is none
    if want is IDLE or isinstance(want, Idle):
        if row.table.draining:
            row.table.doom(row, Reason(Cause.DRAINED))
        elif want is IDLE and row.state == IDLE_STATE:
            row.until = NEVER
        else:
            _settle(row, WANTS_IDLE, now + want.seconds if isinstance(want, Idle) else NEVER)
    elif want is READ:
        _settle(row, WANTS_READING, NEVER)
    elif isinstance(want, Read):
        _settle(row, WANTS_READING, now + want.seconds)
    elif want is PARK:
        _settle(row, WANTS_WAITING, NEVER)
    elif isinstance(want, Wait):
        _settle(row, WANTS_WAITING, now + want.seconds)
    elif want is OPENING:
        _settle(row, WANTS_OPENING, NEVER)
    elif isinstance(want, Call):
        _settle(row, WANTS_WAITING, NEVER)
        row.table.offload.ask(row, want)
    elif want is CLOSE:
        row.table.doom(row, Reason(Cause.DONE))
    elif want is ABORT:
        row.table.doom(row, Reason(Cause.ABORTED))
    else:
        raise TypeError(f"{type(row.machine).__name__}.step() returned {want!r}, which is no want of a datagram row")


def _settle(row: DatagramRow, event: int, until: float) -> None:
    """Come to rest: the one place where a visit changes a datagram row's state."""
    advance(row, event)
    row.since = row.table.now
    row.until = until
    row.table.arm(row)
