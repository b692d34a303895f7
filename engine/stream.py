"""Streams: bytes are received, machines are stepped, wants are carried out, connections end.

`visit` is the heart of the engine: it steps one machine until the row comes to rest or its quantum is spent. Output is
pulled: what a machine hands over is sent at once, and the machine is not asked for more until it has gone, so nothing
can pile up. Whatever a machine raises ends at its row's edge.

The trap here is whose OSError it was: one from the channel means that the peer is lost, one from a machine (say, a
file) is that machine's failure. So each call on a channel has a `try` of its own, which costs nothing unless it raises.
"""

from collections.abc import Callable, Mapping
from errno import errorcode
from typing import Final

from .buffers import first_of, flat, hold, rest_of
from .ending import close, discard, failed, half_close, lost
from .machine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Call,
    Cause,
    File,
    Idle,
    Machine,
    Piece,
    Read,
    Reason,
    Wait,
    Want,
)
from .platform import BROKEN, FAILED, HUNG_UP, PEER_ENDED, READABLE, WRITABLE, Events
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
    WORKING,
    WRITING,
    advance,
)
from .row import IDLE as IDLE_STATE
from .row import OPENING as OPENING_STATE
from .stream_row import StreamRow
from .timers import NEVER

_BLOCKED = -(1 << 62)  # in place of the room that is left: the kernel takes no more, or the row has ended


_AT_THE_DOOR: Final = 8
"""How often a request counts that is not served from the queue: of pipelined ones two are, by the stock limits, and
then their row lines up. Hundreds of rows may be ready at once, and somebody among them has asked only once."""


def serve(
    events: Events,
    rows: Mapping[int, StreamRow],
    now: float,
    other: Callable[[int, int], None],
    weight: int = _AT_THE_DOOR,
    least_room: int = 0,
) -> None:
    """Act on (descriptor, mask) pairs: receive, feed, and step each row until it rests. The heart of the engine.

    A mask of 0 means that the row was woken or is left over. A visit ends when the machine rests, its output blocks or
    its quantum is spent but for `least_room` bytes, against which each request counts `weight` times. Nothing that a
    peer or a machine does is raised. `other` is called for what is not a row.

    This is the hot path, one function because calls were the largest part of its cost: an idle row that answers and is
    idle again changes nothing but its counts.
    """
    idle, idle_state, never = IDLE, IDLE_STATE, NEVER  # local names: meant to be cheaper, gain not shown
    for descriptor, mask in events:
        try:
            row = rows[descriptor]
        except KeyError:
            other(descriptor, mask)
            continue
        state, machine, limits = row.state, row.machine, row.limits
        room = limits.quantum_bytes
        try:
            if mask:
                if state != idle_state and state != READING and not _receives(row):
                    _ready_otherwise(row, mask)
                    continue
                try:
                    data = row.channel.recv(row.intake)
                except OSError as error:
                    if lost(row, error) or mask == _UNASKED:
                        continue  # else the poller was wrong; a wake may have come with it, so it is stepped
                else:
                    if data:
                        row.received += (size := len(data))
                        if size >= row.intake:
                            row.intake = limits.receive_bytes
                    else:
                        row.end_fed = row.peer_ended = True
                        state = CLOSED  # to this visit: a wish to read will not leave the row as it is
                    machine.feed(data)
            elif row.output is not None and (room := _flush(row, room)) <= 0:
                _stop(row, room)
                continue
            while True:
                want = machine.step()
                if want is idle and state == idle_state:
                    row.until = never
                    break
                if type(want) is bytes and 0 < (size := len(want)) <= room:
                    try:
                        sent = row.channel.send(want)
                    except OSError as error:
                        lost(row, error)
                        sent = 0
                    if sent:
                        row.sent += sent
                        row.active_at = now
                    if sent == size:
                        room -= size + limits.step_bytes
                        if room > least_room:  # and not by `while`: only a near jump's comparison is specialised
                            continue
                    else:
                        room = _cut_short(row, want, sent)
                elif want is NEXT:
                    row.requests += 1
                    row.active_at = now
                    room -= limits.request_bytes * weight
                elif isinstance(want, _OUTPUT):
                    room = _send(row, want, room)
                elif want is HALF_CLOSE or isinstance(want, Become):
                    machine = _change(row, want)
                    limits, state = row.limits, CLOSED if row.end_fed else row.state
                    room -= limits.step_bytes
                else:
                    _rest(row, want)
                    break
                if room <= least_room or row.state == CLOSED:  # by its own machine, in this step
                    _stop(row, room)
                    break
        except Exception as error:
            failed(row, error)


def visit(row: StreamRow) -> None:
    """Step a row that nobody has told anything of, until it rests."""
    table = row.table
    serve(((row.descriptor, 0),), table.by_descriptor, table.now, _nobody, _AT_THE_DOOR, table.least_room)


def hear_at_once(row: StreamRow) -> None:
    """Read from a new row without asking the poller: most peers speak as soon as they have connected.

    It saves those a turn. On a busy server that is most of what they wait for.
    """
    table = row.table
    if row.state == IDLE_STATE or row.state == READING or _receives(row):
        unasked = ((row.descriptor, _UNASKED),)
        serve(unasked, table.by_descriptor, table.now, _nobody, _AT_THE_DOOR, table.least_room)


_UNASKED: Final = READABLE | 1 << 16  # the poller has told nothing: where nothing has come, nothing has happened


def run(row: StreamRow) -> None:
    """Move a row that comes from the run queue, unless it has ended: its descriptor may be another row's by now.

    One that was woken, and then made a call in that visit, waits for the call.
    """
    row.queued = False
    mask, row.pending = row.pending, 0
    if row.state == WORKING:  # it has got work in hand since: what the poller told is told again when it rests
        mask = 0
    table = row.table
    if not mask and row.key in table.called:
        return
    if row.state < LINGERING or (row.state == LINGERING and mask):
        serve(((row.descriptor, mask),), table.by_descriptor, table.now, _nobody, 1, table.least_room)


def _ready_otherwise(row: StreamRow, mask: int) -> None:
    """Act on readiness in the states in which a row does not simply receive."""
    state = row.state
    if state == WRITING:
        if mask & READABLE and getattr(row.machine, "duplex", False) and not row.end_fed:
            _receive_while_blocked(row)
        if mask & (WRITABLE | FAILED):
            visit(row)
    elif state == OPENING_STATE and row.connecting:
        if mask & (WRITABLE | FAILED):  # else it was told of who has had this descriptor before, in this very turn
            _connected(row)
    elif state == WORKING or state == OPENING_STATE:
        row.table.withdraw(row)
    elif state == WAITING:
        _told_while_waiting(row, mask)
    elif state == LINGERING:
        discard(row)


_OUTPUT = (bytes, bytearray, memoryview, tuple, File)


def _keep(row: StreamRow, want: Piece | tuple[Piece, ...] | File) -> None:
    """Put what is to be sent into the row, if it is anything: else it only means "step again"."""
    if isinstance(want, File):
        row.output = want if want.count else None
        if want.count > _LONG_FILE * row.limits.quantum_bytes and not row.wide:
            _widen(row, True)
    elif isinstance(want, tuple):
        pieces: list[Piece] = [flat(piece) for piece in want if len(piece)]
        row.output = pieces or None
        hold(row, sum(map(len, pieces)))
    elif len(want):
        row.output = flat(want)
        hold(row, len(row.output))


def _send(row: StreamRow, want: Piece | tuple[Piece, ...] | File, room: int) -> int:
    """Send what is no plain bytes, or too much for a visit. Returns what `_flush` does."""
    _keep(row, want)
    return _flush(row, room)


_LONG_FILE = 4  # quanta: what is sent in one go or nearly so needs no other buffers


def _widen(row: StreamRow, wide: bool) -> None:
    """Let the kernel take more of a long file than of other bytes, which would be copies in its memory."""
    row.wide = wide
    limits = row.limits
    row.table.platform.let_take(row.channel, limits.notsent_file_bytes if wide else limits.notsent_bytes)


def _has_file(row: StreamRow, output: File) -> bool:
    """Ask for the descriptor first: a file that cannot be opened anew is not the peer's failure."""
    try:
        output.file.fileno()
    except OSError as error:
        row.table.doom(row, Reason(Cause.FILE_CUT_SHORT, str(error)), reset=True)
        return False
    return True


def _cut_short(row: StreamRow, want: bytes, sent: int) -> int:
    """Keep what the kernel did not take."""
    _keep(row, memoryview(want)[sent:])
    return _BLOCKED


def _flush(row: StreamRow, room: int) -> int:
    """Send what the row has to send, up to `room` bytes.

    Returns what is left of the room once all has gone, 0 where it was too small, or _BLOCKED.
    """
    output = row.output
    left: memoryview | list[Piece] | File | None
    try:
        if output is None:
            return room - row.limits.step_bytes
        if isinstance(output, memoryview):
            tried = min(len(output), room)
            sent = row.channel.send(output[:tried])
            left = output[sent:] if sent < len(output) else None
        elif isinstance(output, File):
            if not _has_file(row, output):
                return _BLOCKED
            tried = min(output.count, room)
            sent = row.table.platform.send_file(row.channel, output.file, output.offset, tried)
            if not sent:
                row.table.doom(row, Reason(Cause.FILE_CUT_SHORT), reset=True)
                return _BLOCKED
            output.offset += sent
            output.count -= sent
            left = output if output.count else None
        else:
            pieces, tried = first_of(output, room)
            sent = row.table.platform.send_many(row.channel, pieces)
            left = rest_of(output, sent) or None
    except OSError as error:
        lost(row, error)
        return _BLOCKED
    row.output = left
    row.sent += sent
    row.active_at = row.table.now
    if not isinstance(output, File):
        hold(row, -sent)
    elif row.wide and left is None:
        _widen(row, False)
    if sent < tried:
        return _BLOCKED
    return max(0, room - sent - row.limits.step_bytes) if left is None else 0


def _stop(row: StreamRow, room: int) -> None:
    """Let a row rest whose output the kernel does not take, or put one that has used up its quantum on the queue."""
    if row.state == CLOSED:
        return
    if room == _BLOCKED:
        _settle(row, BLOCKED, NEVER)
    else:
        advance(row, QUEUED)  # even where its own wake has put it there before: it is idle no more
        if not row.queued:
            row.table.enqueue(row)


def _rest(row: StreamRow, want: Want) -> None:
    """Carry out a want after which the machine is not stepped at once, unless it has closed its row in that step."""
    if row.state == CLOSED:
        return
    now = row.table.now
    if want is CLOSE:
        close(row, Reason(Cause.DONE))
    elif want is ABORT:
        row.table.doom(row, Reason(Cause.ABORTED), reset=True)
    elif want is PARK:
        _settle(row, WANTS_WAITING, NEVER)
    elif isinstance(want, Wait):
        _settle(row, WANTS_WAITING, now + want.seconds)
    elif want is IDLE or want is READ or want is OPENING or isinstance(want, (Idle, Read)):
        idle = want is IDLE or isinstance(want, Idle)
        if row.end_fed:
            close(row, Reason(Cause.DONE if idle else Cause.CUT_SHORT))
        elif idle and row.table.draining:
            close(row, Reason(Cause.DRAINED))
        else:
            event = WANTS_IDLE if idle else WANTS_OPENING if want is OPENING else WANTS_READING
            _settle(row, event, now + want.seconds if isinstance(want, (Idle, Read)) else NEVER)
    elif isinstance(want, Call):
        _settle(row, WANTS_WAITING, NEVER)
        row.table.offload.ask(row, want)
    else:
        raise TypeError(f"{type(row.machine).__name__}.step() returned {want!r}, which is no want")


def _settle(row: StreamRow, event: int, until: float) -> None:
    """Come to rest: the one place where a machine's row changes its state, and with it deadline and interest.

    A phase's clock starts when its state begins or a request has ended meanwhile, and stands still while the machine
    waits; it never starts because bytes came, or because the row was on the run queue meanwhile.
    """
    table = row.table
    advance(row, event)
    state, now = row.state, table.now
    if row.paused_at != NEVER:
        row.since += now - row.paused_at
        row.paused_at = NEVER
    if state == WAITING:
        row.paused_at = now
    elif state != row.phase or row.requests != row.requests_then:
        row.phase = state
        row.requests_then = row.requests
        row.since = now
        row.mark = row.received
        row.taken = -1
    row.until = until
    table.ask(row)
    table.arm(row)


def _nobody(descriptor: int, mask: int) -> None:
    """A row that is visited is in the table."""


def _receives(row: StreamRow) -> bool:
    return row.state == OPENING_STATE and not row.connecting and not row.queued


def _change(row: StreamRow, want: Want) -> Machine:
    """Carry out a want after which the row goes on otherwise; return the machine that is stepped from now."""
    if not isinstance(want, Become):
        half_close(row)
        return row.machine
    machine = want.machine
    row.machine = machine
    if row.table.calling is not None:
        row.table.calling.cancel(row.key)
    if want.limits is not None:
        row.limits = want.limits
        row.intake = want.limits.receive_bytes
    advance(row, BECAME)
    row.phase = OPENING_STATE
    row.since = row.table.now
    if want.unread:
        machine.feed(want.unread)
    if row.end_fed:
        machine.feed(b"")
    return machine


def _receive_while_blocked(row: StreamRow) -> None:
    """Feed a duplex machine whose output is blocked: it is stepped when that has gone, and bounds what it takes."""
    try:
        data = row.channel.recv(row.limits.receive_bytes)
    except OSError as error:
        lost(row, error)
        return
    row.received += len(data)
    if not data:
        row.end_fed = row.peer_ended = True
    try:
        row.machine.feed(data)
    except Exception as error:
        failed(row, error)
        return
    row.table.ask(row)


def _connected(row: StreamRow) -> None:
    code = row.table.platform.failure(row.channel)
    if code:
        row.table.doom(row, Reason(Cause.NOT_CONNECTED, errorcode.get(code, str(code))))
        return
    row.connecting = False
    row.table.totals.connected += 1
    visit(row)


def _told_while_waiting(row: StreamRow, mask: int) -> None:
    """The peer has ended or gone while the machine wanted no bytes: the end may have bytes before it, a failure not."""
    if mask & BROKEN:
        row.table.doom(row, Reason(Cause.PEER_LOST, "while waiting"))
    elif mask & (PEER_ENDED | HUNG_UP):
        row.peer_ended = True
        row.table.ask(row)
        row.table.wake(row)
