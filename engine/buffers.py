"""Bytes that are held for a row, and their one count.

`hold` is the only code that changes a row's `held`, and with it the table's total, so that the sums agree at any time
(asyncio counts what it adds and what it subtracts in two places, and a datagram transport ends up with ghost bytes).
A buffer finds its way in time that does not grow with what it holds: it remembers how far it has looked.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .machine import PeerError, Piece

if TYPE_CHECKING:
    from .row import Row
    from .table import Table


def hold(row: "Row", count: int) -> None:
    """Count bytes that are now buffered for a row, or, where negative, no longer are."""
    if row.reaped:
        return  # somebody empties the buffer of a row that has gone
    row.held += count
    row.table.held += count


class HasTable(Protocol):
    """A row, or what else belongs to a table."""

    @property
    def table(self) -> "Table":
        """The table that it is in."""
        ...


def keep(keeper: HasTable, count: int) -> bool:
    """Count bytes kept for all rows in common (a cache) or, where negative, no longer; the table's budget holds them.

    Returns False, and counts nothing, where all that is kept would take more than a quarter of the budget.
    """
    table = keeper.table
    if count > 0 and table.kept + count > table.held_bytes_max // 4:
        return False
    table.kept += count
    return True


def flat(piece: Piece) -> memoryview:
    """Return a view of bytes: what counts for the engine is bytes, not a view's items, which may be wider."""
    return memoryview(piece).cast("B")


def first_of(pieces: Sequence[Piece], most: int) -> tuple[list[Piece], int]:
    """Return the first `most` bytes of several pieces, and how many bytes that is. Copies nothing."""
    first: list[Piece] = []
    count = 0
    for piece in pieces:
        if len(piece) > most - count:
            piece = memoryview(piece)[: most - count]
        first.append(piece)
        count += len(piece)
        if count == most:
            break
    return first, count


def rest_of(pieces: Sequence[Piece], sent: int) -> list[Piece]:
    """Return what is left of several pieces after `sent` bytes of them have gone. Copies nothing."""
    left: list[Piece] = []
    for piece in pieces:
        size = len(piece)
        if sent >= size:
            sent -= size
        elif sent:
            left.append(memoryview(piece)[sent:])
            sent = 0
        else:
            left.append(piece)
    return left


class Weight:
    """Bytes that a machine holds otherwise than in these buffers, counted on the row; set anew as they change."""

    __slots__ = ("count", "row")

    def __init__(self, row: "Row") -> None:
        self.row = row
        self.count = 0

    def set(self, count: int) -> None:
        """Count so many bytes instead of those until now."""
        hold(self.row, count - self.count)
        self.count = count

    def __getstate__(self) -> tuple["Row", int]:
        return self.row, self.count

    def __setstate__(self, state: tuple["Row", int]) -> None:
        """Thaw: they count on the row that it is now."""
        self.row, self.count = state
        if self.row is not None:  # its row may have gone meanwhile
            hold(self.row, self.count)


class Inbox:
    """Bytes in the order in which they came, made when first needed, counted on the row.

    One chunk alone is kept as it came; a second makes it a bytearray, which grows in place. So a peer that sends byte
    by byte costs a constant time a byte, and one that sends whole requests costs no copy at all.
    """

    __slots__ = ("data", "row", "scanned", "sought", "start")

    def __init__(self, row: "Row") -> None:
        self.row = row
        self.data: bytes | bytearray = b""
        self.start = 0  # what lies before it has been taken
        self.scanned = 0  # what lies before it has been looked at in vain
        self.sought = b""  # for this

    def __len__(self) -> int:
        return len(self.data) - self.start

    def __getstate__(self) -> tuple["Row", bytes]:
        return self.row, self.peek(len(self))

    def __setstate__(self, state: tuple["Row", bytes]) -> None:
        """Thaw: the bytes are counted on the row that it is now."""
        self.row, self.data = state
        self.start = self.scanned = 0
        self.sought = b""
        if self.row is not None:  # its row may have gone meanwhile
            hold(self.row, len(self.data))

    def feed(self, data: bytes) -> None:
        """Add bytes at the end."""
        hold(self.row, len(data))
        if self.start == len(self.data):
            self.data = data
            self.start = self.scanned = 0
            return
        if not isinstance(self.data, bytearray):
            self.data = bytearray(memoryview(self.data)[self.start :])
        elif self.start:
            del self.data[: self.start]
        self.scanned = max(0, self.scanned - self.start)
        self.start = 0
        self.data += data

    def find(self, mark: bytes) -> int:
        """Return how many bytes lie before the first `mark`, or -1; bytes looked at in vain are not looked at again."""
        if mark != self.sought:
            self.sought = mark
            self.scanned = 0
        place = self.data.find(mark, max(self.start, self.scanned - len(mark) + 1))
        if place < 0:
            self.scanned = len(self.data)
            return -1
        return place - self.start

    def peek(self, count: int) -> bytes:
        """Return a copy of the first `count` bytes, which stay."""
        return bytes(memoryview(self.data)[self.start : self.start + count])

    def skip(self, letters: bytes) -> None:
        """Forget bytes at the beginning, as long as they are among these."""
        if self.start < len(self.data) and self.data[self.start] in letters:
            left = self.peek(len(self)).lstrip(letters)
            self.drop(len(self) - len(left))

    def take(self, count: int | None = None) -> bytes:
        """Take out the first `count` bytes, or all of them."""
        size = len(self)
        count = size if count is None else min(count, size)
        if not count:
            return b""
        if count == len(self.data):
            taken = bytes(self.data)  # no copy where it is bytes already
        else:
            taken = bytes(memoryview(self.data)[self.start : self.start + count])
        if count == size:
            self.data = b""
            self.start = self.scanned = 0
        else:
            self.start += count
        hold(self.row, -count)
        return taken

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        count = min(count, len(self))
        self.start += count
        hold(self.row, -count)
        if self.start == len(self.data):
            self.data = b""
            self.start = self.scanned = 0


class LineBuffer:
    r"""Bytes in, lines out. A line is returned with its end (\n or \r\n), as `readline` does.

    `limit` is the length of the longest line in bytes, its end counted. What comes after the last end is not a line.
    """

    __slots__ = ("inbox", "limit")

    def __init__(self, row: "Row", limit: int) -> None:
        self.inbox = Inbox(row)
        self.limit = limit

    def __len__(self) -> int:
        return len(self.inbox)

    def feed(self, data: bytes) -> None:
        """Store bytes."""
        self.inbox.feed(data)

    def take(self) -> bytes | None:
        """Return the next line, or None where it has not arrived whole. Raises PeerError for one over the limit."""
        size = self.inbox.find(b"\n") + 1
        if size > self.limit or (not size and len(self.inbox) >= self.limit):
            raise PeerError(f"a line of over {self.limit} bytes")
        return self.inbox.take(size) if size else None
