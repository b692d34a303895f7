"""How rows end: in order, with the engine's last word, by a lost peer, or by a failure of their machine's.

Closing is polite: our side ends, and the row lingers for the peer's end, because closing a socket with bytes unread
resets the connection, and a reset destroys what the peer has not read of its answer yet.
"""

from collections.abc import Callable
from errno import errorcode
from typing import TypeVar

from .machine import Cause, PeerError, Reason
from .row import CLOSED, LINGERING, LINGERS, IllegalTransition, Row, advance
from .stream_row import StreamRow
from .table import trace
from .timers import NEVER

AnyRow = TypeVar("AnyRow", bound=Row)


def half_close(row: StreamRow) -> None:
    """End our side, once; reading goes on. A row that its own machine has just closed has no side any more."""
    if row.half_closed or row.state == CLOSED:
        return
    row.half_closed = True
    try:
        row.table.platform.half_close(row.channel)
    except OSError as error:
        lost(row, error)


def discard(row: StreamRow) -> None:
    """Read on after our end, so that the peer gets all of the answer instead of a reset."""
    assert row.reason is not None
    try:
        if row.channel.recv(row.limits.receive_bytes):
            return
    except (BlockingIOError, InterruptedError):
        return
    except OSError:
        pass
    row.table.doom(row, row.reason)


def close(row: StreamRow, reason: Reason) -> None:
    """End our side and linger for the peer's end, which may have come already."""
    if row.end_fed:
        row.table.doom(row, reason)  # closing ends our side too
        return
    half_close(row)
    if row.state == CLOSED:
        return
    row.reason = reason
    advance(row, LINGERS)
    row.since = row.table.now
    row.until = NEVER
    row.table.ask(row)
    row.table.arm(row)


def refuse(row: StreamRow, reason: Reason, reset: bool = False) -> None:
    """End a row on the engine's account, with its machine's last word, unless that would fall into an answer."""
    words: bytes | None = b""
    if row.table.called.get(row.key):
        words = None  # whoever it is lent to may have said something
    elif row.output is None and not row.half_closed and row.state < LINGERING:
        words = last_words(row, reason)
    if words:
        try:
            row.sent += row.channel.send(words)
        except OSError:
            words = b""  # not worth waiting for: it is the last thing that this row says
    if row.output is not None or words is None:
        row.table.doom(row, reason, reset=True)  # half an answer must not look like a whole one
    elif words or reason.cause is Cause.PEER_ERROR:
        close(row, reason)
    else:
        row.table.doom(row, reason, reset)


def last_words(row: Row, reason: Reason) -> bytes | None:
    """Ask a machine what to say when the engine ends its row: b"" for nothing; None where an answer has begun."""
    say = getattr(row.machine, "refuse", None)
    if say is None:
        return b""
    try:
        said = say(reason)
        return None if said is None else b"" + said
    except Exception as error:
        row.table.tell("machine error", f"refuse() of {type(row.machine).__name__}: {error!r}", row)
        return b""


def lost(row: StreamRow, error: OSError) -> bool:
    """End a row whose channel has failed, and return True; "not now" is no failure, nor is a signal (EINTR).

    Python itself calls again after a signal (PEP 475); a channel that is no socket may not.
    """
    if isinstance(error, (BlockingIOError, InterruptedError)):
        return False
    row.table.doom(row, Reason(Cause.PEER_LOST, errorcode.get(error.errno or 0, str(error))))
    return True


def failed(row: StreamRow, error: Exception) -> None:
    """End a row whose peer made a mistake, or whose machine has a bug: no other row notices."""
    end_failed(row, error, refuse)


def end_failed(row: AnyRow, error: Exception, refuse: Callable[[AnyRow, Reason, bool], None]) -> None:
    """End a row for what its machine has raised, by its kind's own `refuse`, and say where that was."""
    if isinstance(error, PeerError):
        refuse(row, Reason(Cause.PEER_ERROR, error.reason, error.hint), False)
        return
    if isinstance(error, IllegalTransition):
        row.table.doom(row, Reason(Cause.ILLEGAL, str(error)), reset=True)
        return
    name = type(row.machine).__name__
    row.table.tell("machine error", f"{name}: {trace(error)}", row)
    refuse(row, Reason(Cause.MACHINE_ERROR, f"{name}: {error!r}"), True)
