"""Where a request ends, for protocols in which that can be seen before anybody understands it.

A framer looks at what has come and says how long the first request is, or None while its end has not come. It keeps
what it knows of a request that is not whole, so that a request costs what its bytes cost, however they come.
"""

from typing import Protocol

from ..buffers import Inbox
from ..limits import Limits
from ..machine import PeerError


class Framer(Protocol):
    """Finds the end of one request after the other, on one connection."""

    def measure(self, inbox: Inbox, limits: Limits) -> int | None:
        """Return the length of the first request in bytes, None if it is not whole. Raises PeerError."""
        ...

    def next(self) -> None:
        """That request was taken out: forget it."""
        ...


class OneLine:
    """A request is one line."""

    def measure(self, inbox: Inbox, limits: Limits) -> int | None:
        """Return the length of the first line, its end counted."""
        size = inbox.find(b"\n") + 1
        if size > limits.line_bytes or (not size and len(inbox) >= limits.line_bytes):
            raise PeerError(f"a line of over {limits.line_bytes} bytes")
        return size or None

    def next(self) -> None:
        """Nothing is kept."""


class OneHttpRequest:
    """A request is a head, and the body whose length it tells. A chunked body is refused: its end is not looked for."""

    def __init__(self) -> None:
        self._size: int | None = None  # head and body

    def measure(self, inbox: Inbox, limits: Limits) -> int | None:
        """Return the length of head and body."""
        if self._size is None:
            end = inbox.find(b"\n\r\n")
            if end < 0 or end > limits.head_bytes:
                if len(inbox) > limits.head_bytes:
                    raise PeerError(f"a head of over {limits.head_bytes} bytes", 431)
                return None
            self._size = end + 3 + _body_bytes(inbox.peek(end + 1), limits)
        return self._size if len(inbox) >= self._size else None

    def next(self) -> None:
        """Forget the last one."""
        self._size = None


def _body_bytes(head: bytes, limits: Limits) -> int:
    """Return the length that a head tells of its body (RFC 9112, 6.3). Raises PeerError."""
    lengths = set()
    for line in head.split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding":
            raise PeerError("a body whose length is not told", 411)
        if name.lower() == b"content-length":
            lengths.add(value.strip())
    if not lengths:
        return 0
    told = lengths.pop()
    if lengths or not told.isdigit() or len(told) > 18:
        raise PeerError("a body's length that cannot be read", 400)
    if int(told) > limits.body_bytes:
        raise PeerError(f"a body of over {limits.body_bytes} bytes", 413)
    return int(told)
