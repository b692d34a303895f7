"""A folder as a handler for HTTP: whole files, index pages and listings; nothing outside the folder.

A name is taken apart before its percent-encoding is undone, so an encoded slash never makes a new part; parts that
climb or hide are not found; and what a path leads to, links followed, must lie in the folder.
"""

import os
import string
from errno import EINVAL, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOTDIR, ENXIO
from html import escape
from mimetypes import guess_type
from urllib.parse import quote, unquote_to_bytes

from ...engine import PeerError
from .connection import Request, Response, http_date
from .head import Head
from .open_file import OpenFile

ALLOWED = "GET, HEAD"
INDEX = "index.html"


class Folder:
    """Serve the files below `root`. Raises NotADirectoryError where that is no folder."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        if not os.path.isdir(self.root):
            raise NotADirectoryError(f"{root} is not a folder")

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        head = request.head
        if head.method not in ("GET", "HEAD"):
            return page(405, "This server only serves files.", (("Allow", ALLOWED),))
        try:
            return self._find(head)
        except PermissionError:
            return page(403, "This file may not be read.")
        except OSError as error:
            if error.errno in _NOT_THERE:
                return page(404, "There is no such file.")
            if error.errno in (EMFILE, ENFILE):
                return page(503, "Too many files are open.")
            raise

    def _find(self, head: Head) -> Response:
        name = head.path
        if not name.startswith(b"/"):
            raise PeerError("the target is not a path", 400)
        path = self._inside(*(os.fsdecode(part) for part in parts_of(name)))
        if not os.path.isdir(path):
            if name.endswith(b"/"):
                raise FileNotFoundError(ENOENT, "a file is no folder")
            return whole_file(path)
        if not name.endswith(b"/"):
            # A location of //host would be another server.
            location = "/" + quote(name.lstrip(b"/"), safe="/%") + "/" + quote(head.query, safe=string.punctuation)
            return page(301, "It is a folder.", (("Location", location),))
        index = self._inside(path, INDEX) if os.path.isfile(os.path.join(path, INDEX)) else None
        return listing(path, unquote_to_bytes(name)) if index is None else whole_file(index)

    def _inside(self, *parts: str) -> str:
        """Return where a path leads, links followed. Raises FileNotFoundError where that is not in the folder."""
        path = os.path.realpath(os.path.join(self.root, *parts))
        if path != self.root and not path.startswith(self.root.rstrip("/") + "/"):
            raise FileNotFoundError(ENOENT, "outside the folder")
        return path


_NOT_THERE = frozenset({ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, ENXIO, ENODEV, EINVAL})
"""What opening says of a name that leads to no file: nowhere, in a circle, too far, to a socket or a device."""


def parts_of(name: bytes) -> list[bytes]:
    """Return a path in parts, decoded. Raises FileNotFoundError for one that climbs or hides."""
    parts = [unquote_to_bytes(part) for part in name.split(b"/") if part]
    if any(part.startswith(b".") or b"/" in part or b"\0" in part for part in parts):
        raise FileNotFoundError(ENOENT, "no such name")
    return parts


def whole_file(path: str) -> Response:
    """Answer with a file."""
    file = OpenFile(path)
    kind, encoding = guess_type(path)
    kind = "application/octet-stream" if kind is None or encoding else kind
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return Response(200, (("Content-Type", kind), ("Last-Modified", http_date(file.modified))), file)


def page(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Answer with one sentence."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"), *headers), f"{text}\n".encode())


def listing(path: str, name: bytes) -> Response:
    """Answer with what is in a folder, folders first."""
    with os.scandir(path) as found:
        entries = sorted((not _is_folder(entry), entry.name) for entry in found if not entry.name.startswith("."))
    title = escape(name.decode("utf-8", "replace"))
    lines = ['<li><a href="../">../</a></li>'] if name != b"/" else []
    for is_file, entry in entries:
        shown = entry if is_file else entry + "/"
        lines.append(f'<li><a href="./{quote(os.fsencode(shown))}">{escape(_showable(shown))}</a></li>')
    text = _PAGE.format(title=title, lines="\n".join(lines) or "<li>nothing here</li>")
    return Response(200, (("Content-Type", "text/html; charset=utf-8"),), text.encode())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle is none
        return False


def _showable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
ul {{ list-style: none; padding: 0 }}
a {{ display: block; padding: .2rem .4rem; text-decoration: none; overflow-wrap: anywhere }}
a:hover, a:focus {{ text-decoration: underline }}
</style>
</head>
<body>
<h1>{title}</h1>
<ul>
{lines}
</ul>
</body>
</html>
"""
