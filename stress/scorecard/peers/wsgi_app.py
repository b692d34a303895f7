"""An application for servers of WSGI: a word, a body that is read to its end, and what takes long to be sent."""

from collections.abc import Callable, Iterable
from typing import Any

PIECE, PIECES = bytes(65536), 256


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    large = environ["PATH_INFO"] == "/large"
    length = len(PIECE) * PIECES if large else len(b"hello\n")
    start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))])
    return (PIECE for _ in range(PIECES)) if large else [b"hello\n"]
