"""The access log: a line for each answer, in the combined format that every tool for logs reads.

    192.0.2.1 - - [22/Nov/2026:12:34:56 +0000] "GET /x HTTP/1.1" 200 1024 "https://example.org/" "curl/8.5"

What a client has chosen can neither make a line of its own, nor end its field, nor steer the terminal that shows it:
all but printable ASCII, the quote and the backslash are written as \\xhh.
"""

from collections.abc import Callable

from .http.message import Answered, http_date

_LINE = b'%b - - [%b] "%b" %d %b "%b" "%b"\n'
_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
_FRAME = b'""""""\n'  # what is left of a line without its plain bytes
_ESCAPED = tuple(bytes([byte]) if byte in _PLAIN else b"\\x%02x" % byte for byte in range(256))


class AccessLog:
    """Writes a line for each answer by `write`, which is given whole lines. The time in it is UTC.

    A `-` stands for what there is not: a head that was not read, a body, a header. The host is `unix:` for a peer that
    has none.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write
        self._second = 0
        self._time = _time_of(0)

    def __call__(self, answered: Answered) -> None:
        """Write one line."""
        peer, wall, head, status, sent = answered
        second = int(wall)
        if second != self._second:
            self._second, self._time = second, _time_of(second)
        host = str(peer[0]).encode("utf-8", "replace") if isinstance(peer, tuple) else b"unix:"
        request = referer = agent = b"-"
        if head is not None:
            request = b"%b %b HTTP/%d.%d" % (head.method.encode(), head.target, *head.version)
            referer = head.header(b"referer") or b"-"
            agent = head.header(b"user-agent") or b"-"
        size = b"%d" % sent if sent else b"-"
        line = _LINE % (host, self._time, request, status, size, referer, agent)
        if line.translate(None, _PLAIN) != _FRAME:  # one look at a whole line is cheaper than one at each field
            line = _LINE % (_escape(host), self._time, _escape(request), status, size, _escape(referer), _escape(agent))
        self.write(line)


def _time_of(second: int) -> bytes:
    _, day, month, year, time, _ = http_date(second).split(" ")
    return f"{day}/{month}/{year}:{time} +0000".encode()


def _escape(data: bytes) -> bytes:
    return b"".join([_ESCAPED[byte] for byte in data])
