"""What leaves an endpoint: datagrams that the kernel takes at once, and a bounded queue of those that it doesn't.

A row whose datagram waits rests until that has gone; an answer without a row waits by itself. What finds the queue full
is dropped and counted. On a UNIX socket nothing waits: there "not now" speaks of the receiver's queue, of which no
poller tells when it has room again.
"""

import errno
from collections import deque
from errno import EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOBUFS, ENOMEM, EPERM, errorcode

from .buffers import hold, keep
from .datagram_row import DatagramRow
from .limits import Limits
from .machine import Cause, Reason
from .platform import READABLE, WRITABLE, DatagramChannel, Sender
from .row import CLOSED, QUEUED, WRITING, advance
from .table import Table

ENTRY_BYTES = 128  # what an answer takes in the queue besides its bytes

NO_ROOM = "no room to send"
UNDELIVERABLE = "could not be sent"

_PASSING = frozenset(
    {ENOBUFS, ENOMEM, EPERM, ENETDOWN, ENETUNREACH, EHOSTUNREACH, getattr(errno, "EHOSTDOWN", EHOSTUNREACH)}
)  # WASI has no EHOSTDOWN
"""Errors that say nothing of the peer itself, or nothing lasting: the datagram is lost, and the next may not be."""


class Outbox:
    """The way out of one endpoint. `waits` is false where nobody would tell when there is room again."""

    def __init__(self, table: Table, channel: DatagramChannel, limits: Limits, waits: bool) -> None:
        self.table = table
        self._channel = channel
        self._limits = limits
        self._waits = waits
        self.waiting: deque[tuple[bytes, Sender, DatagramRow | None]] = deque()
        self.queued_bytes = 0

    def send(self, data: bytes, sender: Sender, row: DatagramRow | None = None) -> bool:
        """Send a datagram, of a row's or of none; False where it waits, and its row with it."""
        if self.waiting:
            return self._enqueue(data, sender, row)
        try:
            self._channel.send_to(data, sender)
        except OSError as error:
            return self.failed(data, sender, row, error)
        self._sent(len(data), row)
        return True

    def failed(self, data: bytes, sender: Sender, row: DatagramRow | None, error: OSError) -> bool:
        """Go on with a datagram that the kernel has not taken: return what `send` does."""
        if not isinstance(error, (BlockingIOError, InterruptedError)):
            self._lose(row, error)
        elif self._waits:
            return self._enqueue(data, sender, row)
        else:
            self._drop(NO_ROOM)
        return True

    def flush(self) -> None:
        """Send what waits, as long as the kernel takes it, as much as one turn may; wake the rows whose it was."""
        for _ in range(self.table.limits.datagrams_a_turn):
            if not self.waiting:  # all sent, or cleared by who ranks the rows that go on
                break
            data, sender, row = self.waiting[0]
            if row is None or row.state != CLOSED:
                try:
                    self._channel.send_to(data, sender)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError as error:
                    self._lose(row, error)
                else:
                    self._sent(len(data), row)
            self.waiting.popleft()
            self._release(data, row)
        if not self.waiting:
            self.table.poller.modify(self._channel.fileno(), READABLE)

    def clear(self) -> None:
        """Forget what waits."""
        while self.waiting:
            data, _, row = self.waiting.popleft()
            self._release(data, row)

    def _enqueue(self, data: bytes, sender: Sender, row: DatagramRow | None) -> bool:
        size = len(data) + ENTRY_BYTES
        if self.queued_bytes + size > self._limits.datagram_queue_bytes or (row is None and not keep(self, size)):
            self._drop(NO_ROOM)
            return True
        if not self.waiting:
            self.table.poller.modify(self._channel.fileno(), READABLE | WRITABLE)
        self.queued_bytes += size
        self.waiting.append((data, sender, row))
        if row is not None:
            row.output = memoryview(data)
            hold(row, len(data))
        return False

    def _release(self, data: bytes, row: DatagramRow | None) -> None:
        """Count a datagram no more that has waited; its row goes on."""
        size = len(data) + ENTRY_BYTES
        self.queued_bytes -= size
        if row is None:
            keep(self, -size)
            return
        row.output = None
        hold(row, -len(data))
        if row.state == WRITING:
            advance(row, QUEUED)
            if not row.queued:
                self.table.enqueue(row)

    def _sent(self, size: int, row: DatagramRow | None) -> None:
        totals = self.table.totals
        totals.datagrams_sent += 1
        if row is None:
            totals.sent += size
        else:
            row.sent += size

    def _lose(self, row: DatagramRow | None, error: OSError) -> None:
        """Drop what cannot be sent; a row whose peer can never be reached ends."""
        self._drop(UNDELIVERABLE)
        if row is not None and error.errno not in _PASSING:
            self.table.doom(row, Reason(Cause.PEER_LOST, errorcode.get(error.errno or 0, str(error))))

    def _drop(self, why: str) -> None:
        self.table.totals.dropped[why] += 1
