"""Files as answers: what a version of a file is called, the bytes of small ones, and a small cache of both.

A version of a file is its time and size; from these come its tag and its headers, put together once. The cache keeps
the bytes of small files, and large ones open, and looks at each with stat(2) every time: it saves opening, never
looking. A file that has just been written may be written again within the same tick of the file system's clock, so
the bytes of one so young are not kept (as git does with its index).
"""

import os
from errno import EBUSY, ENODEV
from functools import lru_cache
from itertools import islice
from mimetypes import guess_type
from stat import S_ISDIR, S_ISREG

from ...engine import Row, keep
from ..beneath import READ_NO_LINK, Beneath
from ..open_file import OpenFile
from .conditions import etag_of
from .head import Head
from .message import JOIN_BYTES, Headers, Response, http_date, start_of

YOUNG_SECONDS = 2.0  # the coarsest clock of a file system in use (FAT's)
ENTRY_BYTES = 1024  # what an entry counts for besides its bytes
ABSENT_MAX = 1024
SWEPT_A_TICK = 8
NEIGHBOURS = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}  # codings by preference, and what names have for them
COPIES = 3  # of a small file's bytes: as they are, with their length before them, and in a dated answer
READ_TRIES = 3  # of a file that changes while it is read

_CODED_KINDS = {"gzip": "application/gzip", "br": "application/x-brotli", "compress": "application/x-compress"}
_TEXTS = ("text/", "application/javascript")


class Version:
    """A version of a file, as answers describe it. Plain data; equal files share one.

    `modified` is in whole seconds since 1970, `size` in bytes.
    """

    __slots__ = ("etag", "headers", "kind", "modified", "size", "start")

    def __init__(self, kind: str, coding: str, modified: int, modified_ns: int, size: int, extra: Headers) -> None:
        self.kind = kind
        self.size = size
        self.modified = modified
        self.etag = etag_of(modified_ns, size, coding)
        coded = (("Content-Encoding", coding),) if coding else ()
        self.headers: Headers = (
            ("Content-Type", kind),
            *coded,
            ("Last-Modified", http_date(self.modified)),
            ("ETag", self.etag),
            ("Accept-Ranges", "bytes"),
            ("Vary", "Accept-Encoding"),
            *extra,
        )
        self.start = start_of(200, self.headers)


_version = lru_cache(maxsize=256)(Version)


class Entry:
    """A file that was found: its version, and its bytes as a whole answer where it is small, or it open where not.

    `length` is what stands between that answer's Date and the file's bytes; `dated` is the answer whole, with the
    `date` that it was last given.
    """

    __slots__ = (
        "date",
        "dated",
        "file",
        "flat",
        "identity",
        "kept",
        "length",
        "modified_ns",
        "path",
        "response",
        "users",
        "version",
    )

    def __init__(self, path: bytes, version: Version, status: os.stat_result) -> None:
        self.path = path
        self.flat = b"/" not in path
        self.version = version
        self.identity = (status.st_ctime_ns, status.st_ino, status.st_size)  # no write leaves all of them as they were
        self.modified_ns = status.st_mtime_ns
        self.file: OpenFile | None = None
        self.response: Response | None = None
        self.date = self.dated = b""
        self.length = b""
        self.kept = 0  # bytes that it counts for in the cache; 0: it is not there
        self.users = 1  # who have found it and not released it: what they look for besides may push it out

    def hold(self, data: bytes) -> None:
        """Take the file's bytes."""
        self.response = Response(200, self.version.headers, data, self.version.start)
        self.response.prepare()
        self.length = self.response.rest.removesuffix(data)

    def redated(self, date: bytes) -> bytes:
        """Return the answer with another Date."""
        assert self.response is not None
        self.date, self.dated = date, self.version.start + date + self.response.rest
        return self.dated

    def release(self) -> None:
        """Be done with it, once for each time that it was found. Answers that have begun have what they need."""
        self.users -= 1
        self.let_go()

    def let_go(self) -> None:
        """Forget the bytes, or close the file, if neither the cache nor anybody else has it."""
        if not self.kept and not self.users:
            self.response = None
            self.date = self.dated = b""
            if self.file is not None:
                self.file.close()
                self.file = None


class Files:
    """The files below a folder, found by name. `extra` are headers for every file; `caches` turns the cache on."""

    def __init__(self, beneath: Beneath, extra: Headers = (), caches: bool = True) -> None:
        self.beneath = beneath
        self.extra = extra
        self.caches = caches
        self.entries: dict[tuple[bytes, str], Entry] = {}  # by path and coding: x.gz may be asked for by itself, too
        self.absent: set[tuple[bytes, str]] = set()  # neighbours that were looked for in vain, for a second

    def __getstate__(self) -> tuple[Beneath, Headers, bool]:
        return self.beneath, self.extra, self.caches

    def __setstate__(self, state: tuple[Beneath, Headers, bool]) -> None:
        """Thaw: the cache is empty, for what it kept counts in another table."""
        self.__init__(*state)  # type: ignore[misc]

    def neighbour(self, name: bytes, row: Row, coding: str) -> Entry | None:
        """Return a file's coded neighbour as a version of it; None where there is none. To be released after use."""
        key = name + NEIGHBOURS[coding], coding
        if key in self.absent:
            return None
        try:
            return self.find(name, row, coding)
        except OSError:
            if self.caches and len(self.absent) < ABSENT_MAX:
                self.absent.add(key)
            return None

    def find(self, name: bytes, row: Row, coding: str = "") -> Entry | None:
        """Return what is at a relative name; None for a folder. To be released after use.

        With a `coding` it is the neighbour that is found, as a version of `name`. Raises OSError where there is none.
        """
        path = name + NEIGHBOURS[coding] if coding else name
        entry = self.entries.get((path, coding))
        if entry is not None:
            if self.holds(entry):
                entry.users += 1
                return entry
            self.forget((path, coding), row)
        return self._open(path, kind_of(name), coding, row)

    def again(self, head: Head, date: bytes) -> bytes | None:
        """Answer a simple head as last time, whole, if that was with a small file that is as it was."""
        entry: Entry = head.memo
        try:
            if entry.kept:
                status = os.stat(entry.path, dir_fd=self.beneath.root)
                changed_ns, inode, size = entry.identity
                if status.st_ctime_ns == changed_ns and status.st_size == size and status.st_ino == inode:
                    return entry.dated if entry.date is date else entry.redated(date)
            elif not self.caches:
                if entry.flat:  # as `Beneath.open` does with a name that it has taken before
                    descriptor = os.open(entry.path, READ_NO_LINK, dir_fd=self.beneath.root)
                else:
                    descriptor = self.beneath.open(entry.path)
                try:
                    status = os.fstat(descriptor)
                    if entry.identity == (status.st_ctime_ns, status.st_ino, status.st_size):
                        data = os.read(descriptor, status.st_size + 1)
                        if len(data) == status.st_size:
                            return b"".join((entry.version.start, date, entry.length, data))
                finally:
                    os.close(descriptor)
        except OSError:
            pass  # it is looked for in earnest, and then it is said what is wrong
        return None

    def holds(self, entry: Entry) -> bool:
        """Tell whether a file in the cache is as it was, links to it and all."""
        try:
            status = self.beneath.stat(entry.path)
        except OSError:
            return False
        return entry.identity == (status.st_ctime_ns, status.st_ino, status.st_size)

    def _open(self, path: bytes, kind: str, coding: str, row: Row) -> Entry | None:
        descriptor = self.beneath.open(path)
        try:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode):
                if S_ISDIR(status.st_mode):
                    return None
                raise OSError(ENODEV, "no regular file")
            data, status = _read_small(descriptor, status)
            entry = Entry(path, self._version(kind, coding, status, row), status)
            if data is None:
                opened, descriptor = descriptor, -1
                entry.file = OpenFile(self.beneath.where(path), opened)
            else:
                entry.hold(data)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if self.caches:
            self._keep((path, coding), entry, row)
        return entry

    def _version(self, kind: str, coding: str, status: os.stat_result, row: Row) -> Version:
        """Describe a version; no file has been modified later than now (RFC 9110, 8.8.2.1)."""
        modified = min(status.st_mtime_ns // 1_000_000_000, int(row.wall))
        return _version(kind, coding, modified, status.st_mtime_ns, status.st_size, self.extra)

    def _keep(self, key: tuple[bytes, str], entry: Entry, row: Row) -> None:
        """Put a file into the cache, if it is not too young and there is room or older ones make some."""
        if entry.file is None and row.wall - entry.identity[0] / 1e9 < YOUNG_SECONDS:
            return
        size = ENTRY_BYTES + (COPIES * entry.version.size if entry.file is None else 0)
        while len(self.entries) >= row.limits.files_kept_max or not keep(row, size):
            if not self.entries:
                return
            self.forget(next(iter(self.entries)), row)
        entry.kept = size
        self.entries[key] = entry

    def forget(self, key: tuple[bytes, str], row: Row) -> None:
        """Take a file out of the cache."""
        entry = self.entries.pop(key)
        keep(row, -entry.kept)
        entry.kept = 0
        entry.let_go()

    def tick(self, row: Row) -> None:
        """Once a second: look for neighbours again, and let go of files that are not there any more, some at a time."""
        self.absent.clear()
        for key in list(islice(self.entries, SWEPT_A_TICK)):
            if self.holds(self.entries[key]):
                self.entries[key] = self.entries.pop(key)
            else:
                self.forget(key, row)

    def clear(self, row: Row) -> None:
        """Empty the cache."""
        self.absent.clear()
        while self.entries:
            self.forget(next(iter(self.entries)), row)


def _read_small(descriptor: int, status: os.stat_result) -> tuple[bytes | None, os.stat_result]:
    """Return a small file's bytes and the version of it that was read; None for a large file's bytes.

    Raises OSError where it never stands still.
    """
    for _ in range(READ_TRIES):
        if status.st_size > JOIN_BYTES:
            return None, status
        data = os.pread(descriptor, status.st_size + 1, 0)
        if len(data) == status.st_size:
            return data, status
        status = os.fstat(descriptor)
    raise OSError(EBUSY, "a file that changes all the time")


@lru_cache(maxsize=256)
def kind_of(name: bytes) -> str:
    """Return the media type of a file by its name."""
    kind, coding = guess_type("./" + os.fsdecode(name))  # it would take "data:text/html,a.txt" for a URL, and HTML
    if coding:
        return _CODED_KINDS.get(coding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith(_TEXTS) else kind
