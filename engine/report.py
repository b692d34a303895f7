"""The table as data: one record a row, and the totals. Tests, stress tools and operators read the engine through this.

Nothing here is on the hot path, and nothing here changes a row. A listing of many rows is an iterator, so that whoever
prints it can do so in pieces.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .datagram_row import DatagramRow
from .platform import PEER_ENDED, READABLE, WRITABLE, Where
from .row import STATES, Row
from .table import Table
from .timers import NEVER


class RowReport(NamedTuple):
    """One row. Times in seconds, sizes in bytes; `deadline_in` is None where the row has none.

    `calls` tells where its calls run: "fork 1234", "thread", "queued", several with commas, "" for none.
    """

    key: int
    listener: str
    peer: str
    state: str
    age: float
    since: float
    deadline_in: float | None
    requests: int
    received: int
    sent: int
    held: int
    to_send: int
    interest: str
    calls: str
    machine: str


class TotalsReport(NamedTuple):
    """The whole table: what there is, and what has happened since it was made."""

    rows: int
    rows_max: int
    states: dict[str, int]
    queued: int
    calls: int
    calls_waiting: int
    alarms: int
    held: int
    kept: int
    accepted: int
    connected: int
    ended: dict[str, int]
    requests: int
    received: int
    sent: int
    datagrams_received: int
    datagrams_sent: int
    dropped: dict[str, int]
    turns: int


def report_row(row: Row) -> RowReport:
    """Describe one row."""
    now = row.table.now
    due = min(row.deadline(), row.until)
    return RowReport(
        key=row.key,
        listener=row.listener,
        peer=_peer(row),
        state=STATES[row.state],
        age=now - row.born,
        since=now - (row.since if row.paused_at == NEVER else row.paused_at),
        deadline_in=None if due == NEVER else due - now,
        requests=row.requests,
        received=row.received,
        sent=row.sent,
        held=row.held,
        to_send=row.to_send,
        interest=show_mask(row.mask),
        calls=_calls(row),
        machine=printable(_describe(row)),
    )


def report_rows(table: Table) -> Iterator[RowReport]:
    """Describe all rows, oldest first. Rows that end meanwhile are left out, new ones too."""
    for key in list(table.rows):
        row = table.rows.get(key)
        if row is not None:
            yield report_row(row)


def report_totals(table: Table) -> TotalsReport:
    """Sum up the table. Costs a walk over all rows."""
    totals = table.totals
    rows = table.rows.values()
    return TotalsReport(
        rows=len(rows),
        rows_max=table.rows_max,
        states=dict(Counter(STATES[row.state] for row in rows)),
        queued=len(table.queue),
        calls=len(table.calling) if table.calling is not None else 0,
        calls_waiting=table.calling.waiting if table.calling is not None else 0,
        alarms=table.timers.entries,
        held=table.held,
        kept=table.kept,
        accepted=totals.accepted,
        connected=totals.connected,
        ended={str(cause): count for cause, count in totals.ended.items()},
        requests=totals.requests + sum(row.requests for row in rows),
        received=totals.received + sum(row.received for row in rows),
        sent=totals.sent + sum(row.sent for row in rows),
        datagrams_received=totals.datagrams_received,
        datagrams_sent=totals.datagrams_sent,
        dropped=dict(totals.dropped),
        turns=totals.turns,
    )


def show_where(where: Where) -> str:
    """Write an address of the platform's as people do."""
    if isinstance(where, tuple):
        host, port = where[0], where[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(where, bytes):
        return "unix:@" + where[1:].decode("utf-8", "backslashreplace")
    return f"unix:{where}".replace(":\0", ":@", 1)


def printable(text: str) -> str:
    """Return text without control characters: what a peer has chosen must neither steer a terminal nor make a line."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def show_mask(mask: int) -> str:
    """Write what a row asks of the poller: r, w, e (the peer's end) or - for nothing."""
    letters = ((READABLE, "r"), (WRITABLE, "w"), (PEER_ENDED, "e"))
    return "".join(letter for bit, letter in letters if mask & bit) or "-"


def _peer(row: Row) -> str:
    """Return the peer's address, or who it is where it has none: a client of a UNIX socket seldom binds its own."""
    if row.peer == "":
        who = row.credentials
        return "unix:" if who is None else f"unix:pid={who.pid},uid={who.uid}"
    shown = show_where(row.peer)
    if isinstance(row, DatagramRow):
        shown = shown.replace("unix:", "unixgram:", 1) if shown.startswith("unix:") else f"udp:{shown}"
    return printable(shown)


def _calls(row: Row) -> str:
    calling = row.table.calling
    return "" if calling is None else ", ".join(calling.names(row.key))


def _describe(row: Row) -> str:
    describe = getattr(row.machine, "describe", None)
    name = type(row.machine).__name__
    if describe is None:
        return name
    try:
        return str(describe())
    except Exception as error:  # a bug in a description must not cost the operator the table
        return f"{name}: {error!r}"
