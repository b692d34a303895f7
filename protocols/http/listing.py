"""A folder as a page: its entries by name, size or date, in HTML that needs nothing else.

A folder may be large, and a client slow. So the page is made in bounded steps (names by the thousand, their sizes and
dates by the hundred, one sort, then rows as the client takes them), and what is kept for the client is little: neither
the descriptor nor a row that has left, and of the others some 45 bytes. The page is plain links and one style sheet: no
script, no picture, no other request.

Names are the hostile part. In a link they are percent-encoded from their real bytes, after "./", so that no name is a
scheme, a host, a query or a way out; as text they are escaped, and what would break a line or turn the direction of
what follows is shown as a mark instead.
"""

import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import escape
from itertools import islice
from operator import attrgetter
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, NamedTuple
from urllib.parse import quote

from ...engine import NEXT, Want
from .message import FIRST_SECOND, LAST_SECOND
from .open_file import ChangedError

KIND = "text/html; charset=utf-8"
"""The page's Content-Type."""

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
CRUMBS_MAX = 16
"""Parts of the path that are links, the last ones. Each link climbs from here, so all of them would grow as a square:
24 MB for the longest target through a folder that holds a link to itself."""

COLUMNS = {"name": "Name", "date": "Modified (UTC)", "size": "Size"}
"""What may be sorted by, in a query's word, and the column's heading."""

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
        self._descriptor = descriptor
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
        self.opening = self._opening()
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
            lines.append("</table>\n" * (len(lines) > 1) + "</main>\n")  # a last piece without a row has no table
            self.stage = _SENT
        return "".join(lines).encode()

    def _opening(self) -> str:
        title = escape(showable(self.name))
        folders = sum(entry.is_folder for entry in self.entries)
        counts = (_counted(folders, "folder"), _counted(len(self.entries) - folders, "file"))
        count = ", ".join(filter(None, counts)) or "This folder is empty."
        if self.more:
            count = f"Only {self.most:,} of this folder’s entries are shown."
        crumbs, up = crumbs_of(self.name)
        up = f'<a class="up" href="{up}"><span aria-hidden="true">↑ </span>Up</a> ' if up else ""
        headings = "".join(self._heading(column) for column in COLUMNS)
        table = f"<table>\n<thead><tr>{headings}</thead>\n<tbody>\n" if self.entries else ""
        return (
            f'{_HEAD}<title>{title}</title>\n{_STYLE}<main>\n<nav aria-label="Path"><h1>{crumbs}</h1></nav>\n'
            f"<p>{up}<span>{count}</span></p>\n{table}"
        )

    def _heading(self, column: str) -> str:
        """Return a column's heading, a link that sorts by it, and turns the order where that is so already."""
        if column != self.column:
            return f'<th scope="col"><a href="?sort={column}&amp;order=asc">{COLUMNS[column]}</a>'
        now, after, arrow = ("descending", "asc", "▼") if self.descending else ("ascending", "desc", "▲")
        return (
            f'<th scope="col" aria-sort="{now}"><a href="?sort={column}&amp;order={after}">{COLUMNS[column]}'
            f'<span aria-hidden="true"> {arrow}</span></a>'
        )


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


def showable(name: bytes) -> str:
    """Return a name as text on one line, in one direction: U+FFFD, or a picture of it, for what would not be that."""
    return name.decode("utf-8", "replace").translate(_SHOWN)


_SHOWN = {number: 0x2400 + number for number in range(0x20)}  # the pictures of control characters
_SHOWN |= {0x7F: 0x2421, **dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029), 0xFFFD)}
_SHOWN |= dict.fromkeys((0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
"""By number: C0 and DEL; C1, line and paragraph separator; what marks, embeds, overrides or isolates a direction."""


def size_of(count: int) -> str:
    """Write a number of bytes for people: powers of 1000, two digits or three."""
    if count < 1000:
        return f"{count} B"
    amount, unit = count / 1000, 0
    while amount >= 999.5:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.{int(amount < 9.95)}f} {'kMGTPE'[unit]}B"


def date_of(seconds: int) -> str:
    """Write a time as `2026-11-22 12:34`, in UTC, the years from 1 to 9999."""
    return (_EPOCH + timedelta(seconds=min(max(seconds, FIRST_SECOND), LAST_SECOND))).isoformat(" ", "minutes")


_EPOCH = datetime(1970, 1, 1)  # added to instead of converted from: some platforms convert nothing before it


def packed(entry: Entry) -> bytes:
    """Write an entry shortly, with a slash at its end, the one byte besides NUL that is in no name."""
    return b"%d %d %d %s/" % (entry.is_folder, entry.size, entry.date // 1, os.fsencode(entry.name))


def row_of(row: bytes) -> str:
    """Return a packed entry's row. End tags that HTML lets go are left out, as there are many rows."""
    is_folder, count, seconds, name = row.split(b" ", 3)
    slash = "/" if is_folder == b"1" else ""
    size = size_of(int(count)) if count != b"-1" else ""
    exact = f' title="{int(count):,} bytes"' if int(count) >= 1000 else ""
    date = date_of(int(seconds))
    return (
        f'<tr><td><a href="./{quote(name)}{slash}">{_isolated(name)}{slash}</a>'
        f'<td><time datetime="{date.replace(" ", "T")}Z">{date}</time><td{exact}>{size}\n'
    )


def crumbs_of(name: bytes) -> tuple[str, str]:
    """Return the links for the parts of a path, and the link to the folder above, "" for none.

    They climb from where the page is, so they hold wherever the server is mounted. A doubled slash counts as a step, as
    it does for a browser, but is no part.
    """
    steps = name.split(b"/")[1:-1]
    parts = [("../" * (len(steps) - place), part) for place, part in enumerate(steps, 1) if part]
    if not parts:
        return '<span aria-current="page">/</span>', ""
    top = "../" * len(steps)
    above = parts[:-1]
    crumbs = [f'<a href="{top}" aria-label="Top folder">/</a>', *(["… /"] if len(above) > CRUMBS_MAX else [])]
    crumbs += [f'<a href="{link}">{_isolated(part)}</a> /' for link, part in above[-CRUMBS_MAX:]]
    crumbs.append(f'<span aria-current="page">{_isolated(parts[-1][1])}</span>')
    return " ".join(crumbs), above[-1][0] if above else top


def _isolated(name: bytes) -> str:
    return f"<bdi>{escape(showable(name), False)}</bdi>"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count > 1)}" * (count > 0)


_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""
_STYLE = """<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2127; --faint: #59616c; --link: #0b57b8; --line: #dfe3e8;
 --lit: #eff4fb; --folder: #b7791f; --file: #7b8490 }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --faint: #a0a8b3; --link: #8ab9ff;
 --line: #2d333b; --lit: #1e242d; --folder: #e0b050; --file: #828b98 } }
* { box-sizing: border-box }
html { scroll-padding-top: 3rem }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem .5rem 3rem }
h1 { margin: 0; padding: 0 .5rem; font-size: 1.375rem; line-height: 1.4; overflow-wrap: anywhere }
p { margin: .25rem 0 1rem; padding: 0 .5rem; color: var(--faint) }
a { color: var(--link); text-decoration: none }
a:hover { text-decoration: underline }
a:focus-visible { outline: 2px solid; outline-offset: -2px; border-radius: 4px }
h1 a, .up { padding: .25rem; margin: 0 -.25rem }
.up { display: inline-block; margin-right: .5rem; font-weight: 600 }
bdi { white-space: pre-wrap }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
thead { position: sticky; top: 0; z-index: 1; background: var(--paper); box-shadow: inset 0 -1px var(--line) }
th { padding: 0; font-size: .875rem; font-weight: 600; white-space: nowrap }
th a { display: block; padding: .5rem; color: var(--faint) }
th[aria-sort] a { color: var(--ink) }
td { padding: 0 .5rem; color: var(--faint); white-space: nowrap; vertical-align: baseline }
th, td { text-align: right }
th:first-child, td:first-child { width: 100%; padding: 0; text-align: left }
td:first-child { white-space: normal; overflow-wrap: anywhere }
tbody tr { border-bottom: 1px solid var(--line) }
tbody tr:hover { background: var(--lit) }
td a { display: block; position: relative; padding: .375rem .5rem .375rem 2.25rem }
td a::before { content: ""; position: absolute; left: .625rem; top: .75rem; width: .8125rem; height: .9375rem;
 background: var(--file); clip-path: polygon(0 0, 60% 0, 100% 32%, 100% 100%, 0 100%) }
td a[href$="/"]::before { width: 1rem; background: var(--folder);
 clip-path: polygon(0 5%, 40% 5%, 52% 20%, 100% 20%, 100% 95%, 0 95%) }
@media screen and (max-width: 40rem) {
 main { padding: .75rem 0 2rem }
 tr { display: flex; flex-wrap: wrap; justify-content: space-between }
 th:first-child { width: auto; flex: 1 }
 td { padding: 0 .5rem .5rem 2.25rem; font-size: .875rem }
 td:first-child { font-size: 1rem }
 td:first-child a { padding-bottom: .125rem }
}
@media print {
 :root { color-scheme: light; --paper: none; --ink: #000; --faint: #000; --link: #000; --line: #999 }
 main { max-width: none; padding: 0 }
 thead { display: table-header-group; position: static; box-shadow: none; border-bottom: 1px solid }
 tr { break-inside: avoid }
 td a { padding: .125rem .5rem }
 .up, td a::before, th span { display: none }
}
</style>
"""
