"""A folder that is asked directly: each answer read to its last byte and closed, as the connection does it.

No row is needed for that, only what a folder asks of one. Its date is so late that every file of today is old; a test
that wants a young one says when it is.
"""

import os
from os import pread
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from partway.engine import NEXT, File, Limits, PeerError
from partway.protocols.http import Body, Folder, Request
from partway.protocols.http.head import Head

LATER = 2_500_000_000.0  # in 2049
SMALL = bytes(range(250)) * 4  # its bytes are at hand when it is answered
LARGE = bytes(range(251)) * 400  # is sent from the file; no part of it looks like the next


class Visitor:
    """What a folder asks of a row; `kept_most` are the bytes that the table lets caches keep."""

    def __init__(self, limits: Limits | None = None, kept_most: int = 1 << 20) -> None:
        self.limits = limits or Limits()
        self.wall = LATER
        self.random = Random(1)
        self.table = SimpleNamespace(kept=0, held_bytes_max=4 * kept_most)


def head_of(target: bytes | str, method: str = "GET", **headers: str) -> Head:
    """Make a head; a header is given with underscores: `if_none_match='"x"'`."""
    raw = target.encode() if isinstance(target, str) else target
    fields = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Head(method, raw, (1, 1), ((b"host", b"a"), *fields))


def pulled(body: bytes | Body) -> bytes:
    """Read a body to its end, and close it."""
    if isinstance(body, bytes):
        return body
    pieces = []
    try:
        while (want := body.step()) is not NEXT:
            if isinstance(want, File):
                want = pread(want.file.fileno(), want.count, want.offset)
            assert isinstance(want, bytes)
            pieces.append(want)
    finally:
        body.close()
    data = b"".join(pieces)
    assert body.size in (None, len(data))
    return data


class Answer:
    """An answer, taken apart; a refusal is a status alone. `remembered` ones came from the head's memo."""

    def __init__(self, folder: Folder, head: Head, row: Any) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = True  # the body was bytes
        whole = None if head.memo is None else folder.remembered(head, b"Date: today\r\n")
        self.remembered = whole is not None
        if whole is not None:
            self._read(*whole.split(b"Date: today\r\n"))
            return
        try:
            response = folder.begin(Request(head, row))
        except PeerError as error:
            self.status = error.hint
            return
        self.status = response.status
        for name, value in response.headers:
            assert name.lower() not in self.headers, f"{name} comes twice"
            self.headers[name.lower()] = value
        response.prepare()
        self.whole = isinstance(response.body, bytes)
        self.body = pulled(response.body)

    def _read(self, start: bytes, rest: bytes) -> None:
        first, *lines = start.decode("latin-1").removesuffix("\r\n").split("\r\n")
        self.status = int(first.split(" ")[1])
        length, mark, self.body = rest.partition(b"\r\n\r\n")
        assert mark and length == b"Content-Length: %d" % len(self.body)
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert self.headers.pop("server") == "partway"


class Site:
    """A folder to serve, `site` below a folder of the test's own."""

    def __init__(self, base: Path, row: Visitor | None = None, **options: Any) -> None:
        self.root = base / "site"
        self.root.mkdir(exist_ok=True)
        self.row: Any = row or Visitor()
        self.folder = Folder(str(self.root), **options)

    def write(self, name: str | bytes, data: bytes, modified: int | None = None) -> Path:
        """Write a file, and the folders that it lies in; `modified` in seconds since 1970."""
        path = os.path.join(os.fsencode(self.root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        if modified is not None:
            os.utime(path, (modified, modified))
        return Path(os.fsdecode(path))

    def link(self, name: str, target: str) -> None:
        """Make a symbolic link."""
        (self.root / name).symlink_to(target)

    def get(self, target: bytes | str, method: str = "GET", **headers: str) -> Answer:
        """Ask for something."""
        return Answer(self.folder, head_of(target, method, **headers), self.row)

    def again(self, head: Head) -> Answer:
        """Ask with a head that may have been asked with before."""
        return Answer(self.folder, head, self.row)

    def close(self) -> None:
        """Let go of what is open."""
        self.folder.files.clear(self.row)
        self.folder.beneath.close()
