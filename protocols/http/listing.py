"""A folder's entries, by name, size or date, as a body that is pulled: what they look like is the page's business.

A folder may be large, and a client slow. So the page is made in bounded steps (names by the thousand, their sizes and
dates by the hundred, one sort, then rows as the client takes them), and what is kept for the client is little: neither
the descriptor nor a row that has left, and of the others some 45 bytes.
"""

import os
import re
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, NamedTuple

from ...engine import NEXT, Want
from ..open_file import ChangedError
from .listing_page import COLUMNS, ENDING, TABLE_ENDING, opening_of, row_of

NAMES_A_STEP = 1000
"""Read by one step: half a millisecond. Names alone are cheap, for the kernel hands them out many at a time."""
STATUSES_A_STEP = 100
"""Asked for by one step: 0.3 ms where the folder is in the kernel's cache, and each may wait for a disk where not."""
PACKED_A_STEP = 500
"""Sorted entries that one step writes shortly: half a millisecond."""
PIECE_BYTES = 16 * 1024
"""A piece is full from here on: about a hundred rows, half a millisecond."""
NAME_BYTES, ENTRY_BYTES = 80, 280
"""What a name and an `Entry` take in memory, about."""

_READING, _LOOKING, _SORTING, _PACKING, _SENDING, _SENT = range(6)
_BY_DESCRIPTOR = os.scandir in os.supports_fd and os.stat in os.supports_dir_fd
_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


class Entry(NamedTuple):
    """One line of a listing, as it is sorted."""

    order: str
    """What it is sorted by as a name."""
    name: str
    size: int
    """Bytes; -1 for what has no size to show."""
    date: float
    """When it was last modified, in seconds since 1970."""
    is_folder: bool


class Listing:
    """The body of a page that lists a folder.

    `descriptor` is the open folder, the listing's own from now on; -1 where the platform opens no folders, and `path`
    is used instead, as it is after a thaw. `name` is the decoded path of the URL, from "/" to "/"; `query` the raw
    query with its question mark; `hidden` shows names that begin with a dot; `most` entries at most are shown, and a
    line says so where there are more, which are those that the platform happens to name last.

    `step` raises OSError where the folder cannot be read, and ChangedError where a thawed listing finds another one.
    """

    __slots__ = (
        "_descriptor",
        "_found",
        "_identity",
        "column",
        "descending",
        "entries",
        "hidden",
        "more",
        "most",
        "name",
        "names",
        "opening",
        "path",
        "rows",
        "stage",
    )
    size: int | None = None

    def __init__(self, descriptor: int, path: str, name: bytes, query: bytes, hidden: bool, most: int) -> None:
        self._descriptor = -1  # until nothing can fail any more: whoever gave it would close it, too
        self._identity = _identity_of(descriptor) if descriptor >= 0 else None
        self._found: os._ScandirIterator[str] | None = None
        self.path = path
        self.name = name
        self.column, self.descending = order_of(query)
        self.hidden = hidden
        self.most = most
        self.more = False
        self.names: list[str] = []  # that have not been looked at
        self.entries: list[Entry] = []  # that have been, and once they are sorted, the last first
        self.rows = bytearray()  # that have not left, packed, each with a slash at its end
        self.opening = ""  # the page as far as its rows, until it has left
        self.stage = _READING
        self._descriptor = descriptor

    def __del__(self) -> None:
        if hasattr(self, "_found"):
            self._let_go()  # one that was frozen goes on elsewhere, and nobody closes what is left here

    def step(self) -> Want:
        """Do a bounded piece of work, and return a piece of the page, b"" for none yet, `NEXT` after the last."""
        if self.stage == _SENT:
            return NEXT
        work: tuple[Callable[[], bytes], ...] = (self._read, self._look, self._sort, self._pack, self._send)
        return work[self.stage]()

    @property
    def held(self) -> int:
        """About so many bytes of memory."""
        return len(self.names) * NAME_BYTES + len(self.entries) * ENTRY_BYTES + len(self.rows) + len(self.opening)

    def close(self) -> None:
        """Close the folder and forget the entries."""
        self._let_go()
        self.names, self.entries, self.rows, self.stage = [], [], bytearray(), _SENT

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(getattr(self, slot) for slot in _KEPT)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for slot, value in zip(_KEPT, state, strict=True):
            setattr(self, slot, value)
        self._descriptor, self._found = -1, None

    def _folder(self) -> int | str:
        """Return what the platform reads a folder by. After a thaw its descriptor is opened anew."""
        if not _BY_DESCRIPTOR:
            return self.path
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, _FLAGS)
            if self._identity not in (None, _identity_of(self._descriptor)):
                self._let_go()
                raise ChangedError(f"{self.path!r} has changed")
        return self._descriptor

    def _let_go(self) -> None:
        if self._found is not None:
            self._found.close()
            self._found = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bytes:
        """Read some names, from the beginning after a thaw. A name too many ends it: the folder may be endless."""
        if self._found is None:
            self._found = os.scandir(self._folder())
            self.names = []
        names = [entry.name for entry in islice(self._found, NAMES_A_STEP)]
        self.names += names if self.hidden else [name for name in names if not name.startswith(".")]
        self.more = len(self.names) > self.most
        if self.more or len(names) < NAMES_A_STEP:
            self._found.close()
            self._found = None
            del self.names[self.most :]
            self.stage = _LOOKING
        return b""

    def _look(self) -> bytes:
        """Ask for some sizes and dates. What cannot be asked about could not be served either, and is left out."""
        folder = self._folder()
        for name in self.names[-STATUSES_A_STEP:]:
            try:
                self.entries.append(entry_of(folder, name))
            except OSError:  # most likely it has gone meanwhile
                pass
        del self.names[-STATUSES_A_STEP:]
        if not self.names:
            self._let_go()  # what remains can take a slow client long, and descriptors are few
            self.stage = _SORTING
        return b""

    def _sort(self) -> bytes:
        """Sort everything, which takes 5 ms for ten thousand: as sorting is stable, by what counts least first."""
        backwards = self.descending and self.column == "name"
        self.entries.sort(key=attrgetter("name"), reverse=backwards)
        self.entries.sort(key=attrgetter("order"), reverse=backwards)
        if self.column != "name":
            self.entries.sort(key=attrgetter(self.column), reverse=self.descending)
        self.entries.sort(key=attrgetter("is_folder"), reverse=True)
        self.entries.reverse()
        folders = sum(entry.is_folder for entry in self.entries)
        files = len(self.entries) - folders
        self.opening = opening_of(self.name, folders, files, self.more, self.column, self.descending)
        self.stage = _PACKING
        return b""

    def _pack(self) -> bytes:
        """Pack some entries, for a slow client keeps them long: an `Entry` has 280 bytes."""
        for entry in reversed(self.entries[-PACKED_A_STEP:]):
            self.rows += packed(entry)
        del self.entries[-PACKED_A_STEP:]
        if not self.entries:
            self.stage = _SENDING
        return b""

    def _send(self) -> bytes:
        """Return the next rows, which are then forgotten."""
        lines, length, self.opening = [self.opening], len(self.opening), ""
        while self.rows and length < PIECE_BYTES:
            end = self.rows.index(b"/")
            lines.append(row_of(bytes(self.rows[:end])))
            del self.rows[: end + 1]
            length += len(lines[-1])
        if not self.rows:
            lines.append(TABLE_ENDING * (len(lines) > 1) + ENDING)  # a last piece without a row has no table
            self.stage = _SENT
        return "".join(lines).encode()


_KEPT = tuple(slot for slot in Listing.__slots__ if slot not in ("_descriptor", "_found"))


def order_of(query: bytes) -> tuple[str, bool]:
    """Return which column a raw query sorts by, and whether descending. What it says otherwise is not looked at."""
    said = query[1:].split(b"&")
    column = next((column for column in COLUMNS if f"sort={column}".encode() in said), "name")
    return column, b"order=desc" in said


def entry_of(folder: int | str, name: str) -> Entry:
    """Ask for an entry's kind, size and date; `folder` is its descriptor or path. Raises OSError where it is not there.

    A link may lead out of the folder, to what is not served, so nothing is told of its other end but whether that is a
    folder: without this it could not be listed as one. Its date is its own, and it has no size.
    """
    status = _status(folder, name, False)
    is_folder = S_ISDIR(status.st_mode)
    if S_ISLNK(status.st_mode):
        try:
            is_folder = S_ISDIR(_status(folder, name, True).st_mode)
        except OSError:  # it leads nowhere, or in a circle
            pass
    size = status.st_size if S_ISREG(status.st_mode) else -1
    return Entry(natural(name), name, size, status.st_mtime, is_folder)


def _status(folder: int | str, name: str, follow: bool) -> os.stat_result:
    if isinstance(folder, str):
        return os.stat(os.path.join(folder, name), follow_symlinks=follow)
    return os.stat(name, dir_fd=folder, follow_symlinks=follow)


def _identity_of(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def natural(name: str) -> str:
    """Return what to sort a name by: capitals don't matter, and numbers count as such, so file2 precedes file10."""
    return _NUMBER.sub(_as_number, name.casefold())


def _as_number(found: re.Match[str]) -> str:
    digits = found[0].lstrip("0")
    return f"0{chr(len(digits))}{digits}"  # a "0" to stand where digits do; then the longer number is the greater


_NUMBER = re.compile("[0-9]+")


def packed(entry: Entry) -> bytes:
    """Write an entry shortly, with a slash at its end, the one byte besides NUL that is in no name."""
    return b"%d %d %d %s/" % (entry.is_folder, entry.size, entry.date // 1, os.fsencode(entry.name))
