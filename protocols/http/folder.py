"""A folder as a handler for HTTP: files, index pages and listings; nothing outside the folder.

A name is taken apart before its percent-encoding is undone, so an encoded slash never makes a new part; parts that
climb or hide are not found; and the rest is opened beneath the folder's own descriptor (see `beneath.py`).
"""

import os
import string
from errno import (
    EAGAIN,
    EBUSY,
    EILSEQ,
    EINVAL,
    ELOOP,
    EMFILE,
    ENAMETOOLONG,
    ENFILE,
    ENODEV,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
)
from functools import lru_cache
from typing import cast
from urllib.parse import quote, unquote_to_bytes

from ...engine import PeerError, Row
from ..beneath import Beneath
from .coding import accepted
from .conditions import conditional, evaluate, range_holds
from .file_body import FileBody
from .files import NEIGHBOURS, Entry, Files
from .head import CHOICES, Head
from .listing import Listing
from .listing_page import KIND
from .message import Headers, Request, Response, page, start_of
from .ranges import content_range, parts_of, read_ranges, unsatisfied

ALLOWED = "GET, HEAD, OPTIONS"
OFFERED = tuple(NEIGHBOURS)

_NOT_THERE = frozenset({ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EILSEQ, EINVAL, ENXIO, EOPNOTSUPP, ENODEV})
"""What opening says of a name that leads to no file: nowhere, in a circle, too far, to a socket or a device."""


class Folder:
    """Serve the files below `root`. Raises NotADirectoryError where that is no folder.

    `index` is what a folder's own page is called; without one it is listed, if `listing`. `spa`: what is not there
    and has no dot in its last part is answered with the root's index, for an application that reads the path itself.
    `dotfiles`: show what begins with a dot. `cache_control` is that header for files and pages; `cors` the origin
    that may read answers from scripts, or "*". `file_cache`: keep small files' bytes and large files open.
    """

    def __init__(
        self,
        root: str,
        *,
        index: str = "index.html",
        listing: bool = True,
        spa: bool = False,
        dotfiles: bool = False,
        cache_control: str = "",
        cors: str = "",
        file_cache: bool = True,
    ) -> None:
        self.beneath = Beneath(root)
        self.index = os.fsencode(index)
        self.listing = listing
        self.spa = spa
        self.dotfiles = dotfiles
        self.shared: Headers = _cors_headers(cors)  # with every answer
        self.caching: Headers = (("Cache-Control", cache_control),) if cache_control else ()
        start_of(200, self.caching + self.shared)  # it raises now rather than in each answer
        self.files = Files(self.beneath, self.caching + self.shared, file_cache)
        self.remembered = self.files.again

    def begin(self, request: Request) -> Response:
        """Answer one request; a body that comes with it is not wanted."""
        row, head = request.row, request.head
        try:
            if head.method in ("GET", "HEAD"):
                return self._find(head, row)
            return self._other(head)
        except PermissionError:
            return self._page(403, "This file may not be read.")
        except OSError as error:
            if error.errno in _NOT_THERE:
                return self._page(404, "There is no such file.")
            if error.errno in (EMFILE, ENFILE):
                self.files.clear(row)
                return self._page(503, "Too many files are open.")
            if error.errno in (EBUSY, EAGAIN):  # EAGAIN: another process has a lease on it
                return self._page(503, "This file is being changed.")
            raise

    __call__ = begin

    def tick(self, row: Row) -> None:
        """Follow a folder that was replaced, or a link to it that was turned. Called once a second, while asked."""
        if self.beneath.refresh():
            self.files.clear(row)
        self.files.tick(row)

    def _find(self, head: Head, row: Row) -> Response:
        path = head.path
        name = relative(path, self.dotfiles)
        try:
            if path[-1:] == b"/":
                return self._folder(head, row, name)
            entry = self.files.find(name, row)
        except FileNotFoundError:
            if not self.spa or b"." in name[name.rfind(b"/") + 1 :]:
                raise
            return self._application(head, row)
        if entry is None:
            return self._redirect(head)
        return self._file(head, row, name, entry)

    def _application(self, head: Head, row: Row) -> Response:
        """Answer with the root's index, whatever was asked for."""
        entry = self.files.find(self.index, row)
        if entry is None:
            raise FileNotFoundError(ENOENT, "no index")
        response = self._file(head, row, self.index, entry)
        head.memo = None  # by the next time there may be a file
        return response

    def _redirect(self, head: Head) -> Response:
        # A location of //host would be another server.
        location = "/" + quote(head.path.lstrip(b"/"), safe="/%") + "/" + quote(head.query, safe=string.punctuation)
        return self._page(301, "It is a folder.", (("Location", location),))

    def _folder(self, head: Head, row: Row, name: bytes) -> Response:
        """Answer with a folder's index, or its listing."""
        index = name + b"/" + self.index if name else self.index
        try:
            entry = self.files.find(index, row)
        except FileNotFoundError:
            entry = None
        if entry is not None:
            return self._file(head, row, index, entry)
        descriptor = self.beneath.open(name)
        try:
            if not self.listing:
                raise FileNotFoundError(ENOENT, "no listing")
            shown = unquote_to_bytes(head.path)
            most = row.limits.listing_entries_max
            body = Listing(descriptor, self.beneath.where(name), shown, head.query, self.dotfiles, most)
        except BaseException:
            os.close(descriptor)
            raise
        return Response(200, (("Content-Type", KIND), _NO_SCRIPTS, *self.caching, *self.shared), body)

    def _file(self, head: Head, row: Row, name: bytes, entry: Entry) -> Response:
        """Answer with a file that was found, or with what the client asks of it."""
        response = entry.response
        if response is not None and CHOICES.isdisjoint(head.names):
            if head.simple and self.beneath.root >= 0:
                head.memo = entry
            entry.release()
            return response
        coded = self._coded(head, row, name, entry)
        try:
            return self._version(head, row, coded or entry)
        finally:
            entry.release()
            if coded is not None:
                coded.release()

    def _coded(self, head: Head, row: Row, name: bytes, entry: Entry) -> Entry | None:
        """Return a neighbour that is coded as the client likes best, unless it is older than the file."""
        for offer in accepted(head.joined(b"accept-encoding"), OFFERED):
            found = self.files.neighbour(name, row, offer)
            if found is not None:
                if found.modified_ns >= entry.modified_ns:
                    return found
                found.release()
        return None

    def _version(self, head: Head, row: Row, entry: Entry) -> Response:
        """Answer with a version of a file, under the client's conditions, and with the ranges that it wants."""
        version = entry.version
        if conditional(head):
            verdict = evaluate(head, version.etag, version.modified, row.wall)
            if verdict == 304:
                return Response(304, tuple(pair for pair in version.headers if pair[0] in _OF_A_304))
            if verdict == 412:
                return self._page(412, "It has changed.")
        ranges = None
        wanted = head.joined(b"range") if head.method == "GET" else None  # two of them are none that can be read
        if wanted is not None and range_holds(head, version.etag, version.modified, row.wall):
            ranges = read_ranges(wanted, version.size, row.limits.ranges_max)
        if ranges is None:
            return entry.response or Response(200, version.headers, _body(entry, [(0, version.size)]), version.start)
        if not ranges:
            return self._page(416, "There is no such range.", (("Content-Range", unsatisfied(version.size)),))
        return self._parts(row, entry, ranges)

    def _parts(self, row: Row, entry: Entry, ranges: list[tuple[int, int]]) -> Response:
        version = entry.version
        if len(ranges) == 1:
            headers = (*version.headers, ("Content-Range", content_range(*ranges[0], version.size)))
            return Response(206, headers, _body(entry, [ranges[0]]))
        boundary = f"{row.random.getrandbits(128):032x}"
        heads, tail, _ = parts_of(ranges, version.size, version.kind, boundary)
        pieces = [piece for part in zip(heads, ranges, strict=True) for piece in part]
        kind = f"multipart/byteranges; boundary={boundary}"
        return Response(206, (("Content-Type", kind), *version.headers[1:]), _body(entry, [*pieces, tail]))

    def _other(self, head: Head) -> Response:
        """Answer to a method that asks for no file."""
        if head.method != "OPTIONS":
            refused = self._page(405, "This server only serves files.", (("Allow", ALLOWED),))
            refused.closes = True  # as with other requests that nobody should have sent
            return refused
        if head.path != b"*":
            relative(head.path, self.dotfiles)
        extra = _PREFLIGHT if self.shared else ()
        return Response(204, (("Allow", ALLOWED), *self.shared, *extra))

    def _page(self, status: int, text: str, headers: Headers = ()) -> Response:
        return page(status, text, headers + self.shared)


_NO_SCRIPTS = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")  # whatever a name may do
_OF_A_304 = frozenset({"ETag", "Last-Modified", "Vary", "Cache-Control", "Access-Control-Allow-Origin"})
_PREFLIGHT: Headers = (
    ("Access-Control-Allow-Methods", ALLOWED),
    (
        "Access-Control-Allow-Headers",
        "Range, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since",
    ),
    ("Access-Control-Max-Age", "600"),
)


def _cors_headers(origin: str) -> Headers:
    if not origin:
        return ()
    exposed = ("Access-Control-Expose-Headers", "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag")
    return (("Access-Control-Allow-Origin", origin), exposed)


def _body(entry: Entry, pieces: list[bytes | tuple[int, int]]) -> bytes | FileBody:
    """Return parts of a file: bytes where they are at hand, else as a body that shares the open file."""
    if entry.file is not None:
        return FileBody(entry.file.share(), pieces)
    assert entry.response is not None
    data = cast(bytes, entry.response.body)
    return b"".join(piece if isinstance(piece, bytes) else data[piece[0] : piece[0] + piece[1]] for piece in pieces)


@lru_cache(maxsize=256)
def relative(path: bytes, dotfiles: bool) -> bytes:
    """Return a target's path as a name below the folder, decoded.

    Raises PeerError (400) for what is no path, FileNotFoundError for one that climbs or hides.
    """
    if not path.startswith(b"/"):
        raise PeerError("the target is not a path", 400)
    parts = [unquote_to_bytes(part) for part in path.split(b"/") if part]
    for part in parts:
        if part in (b".", b"..") or b"/" in part or b"\0" in part or (part.startswith(b".") and not dotfiles):
            raise FileNotFoundError(ENOENT, "no such name")
    return b"/".join(parts)
