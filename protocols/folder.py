"""A folder as a handler for HTTP: whole files, index pages and listings; nothing outside the folder.

A name is taken apart before its percent-encoding is undone, so an encoded slash never makes a new part; parts that
climb or hide are not found; and what a path leads to, links followed, must lie in the folder.
"""

import os
from html import escape
from mimetypes import guess_type
from urllib.parse import quote, unquote_to_bytes

from ..engine import PeerError
from .http import Request, Response, http_date
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
        name = head.target.partition(b"?")[0]
        parts = parts_of(name)
        if parts is None:
            return page(404, "There is no such file.")
        path = os.path.realpath(os.path.join(self.root, *(os.fsdecode(part) for part in parts)))
        if path != self.root and not path.startswith(self.root.rstrip("/") + "/"):
            return page(404, "There is no such file.")
        try:
            if os.path.isdir(path):
                return self._folder(path, name)
            if name.endswith(b"/"):
                return page(404, "There is no such folder.")
            return whole_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return page(404, "There is no such file.")
        except PermissionError:
            return page(403, "This file may not be read.")

    def _folder(self, path: str, name: bytes) -> Response:
        if not name.endswith(b"/"):
            location = "/" + quote(name.lstrip(b"/"), safe="/%") + "/"  # never //host, which is another server
            return page(301, "It is a folder.", (("Location", location),))
        index = os.path.join(path, INDEX)
        if os.path.isfile(index):
            return whole_file(index)
        return listing(path, unquote_to_bytes(name))


def parts_of(name: bytes) -> list[bytes] | None:
    """Return a target's path in parts, decoded; None where it climbs, hides or isn't one. Raises PeerError for none."""
    if not name.startswith(b"/"):
        raise PeerError("the target is not a path", 400)
    parts = [unquote_to_bytes(part) for part in name.split(b"/") if part]
    if any(part.startswith(b".") or b"/" in part or b"\0" in part for part in parts):
        return None
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
        entries = sorted((not entry.is_dir(), entry.name) for entry in found if not entry.name.startswith("."))
    title = escape(name.decode("utf-8", "replace"))
    lines = ['<li><a href="../">../</a></li>'] if name != b"/" else []
    for is_file, entry in entries:
        shown = entry if is_file else entry + "/"
        lines.append(f'<li><a href="./{quote(os.fsencode(shown))}">{escape(_showable(shown))}</a></li>')
    text = _PAGE.format(title=title, lines="\n".join(lines) or "<li>nothing here</li>")
    return Response(200, (("Content-Type", "text/html; charset=utf-8"),), text.encode())


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
