"""The head of an HTTP/1 request, parsed by a library: httptools where it has wheels, h11 elsewhere.

A live parser doesn't know where in a chunk it stands and doesn't pickle, so neither is kept: the machine collects the
raw head until it is whole, and a parser sees it in one piece and is done. Both give the same `Head` or the same error;
where they would differ, the stricter answer is given, by the checks here that precede them.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from ...engine import PeerError

LINE_END = b"\r\n"
HEAD_END = b"\r\n\r\n"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"})


class Head(NamedTuple):
    """What a request's head says. Header names are in lower case; a header that comes twice is there twice."""

    method: str
    target: bytes
    version: tuple[int, int]
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def path(self) -> bytes:
        """The target's path, still encoded: "/" for a URL without one, "*" for the server as a whole."""
        target = self.target.partition(b"?")[0]
        scheme, mark, rest = target.partition(b"://")
        return b"/" + rest.partition(b"/")[2] if mark and scheme.isalpha() else target

    @property
    def query(self) -> bytes:
        """What follows the path's question mark, with it; b"" where there is none."""
        return b"".join(self.target.partition(b"?")[1:])

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, given in lower case."""
        return next((value for found, value in self.headers if found == name), None)

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the members of a header that is a list, in lower case (RFC 9110, 5.6.1)."""
        values = b",".join(value for found, value in self.headers if found == name)
        return {token.strip(b" \t").lower() for token in values.split(b",")} - {b""}

    @property
    def keeps_alive(self) -> bool:
        """True where the client wishes the connection to go on (RFC 9112, 9.3)."""
        tokens = self.tokens(b"connection")
        if b"close" in tokens:
            return False
        return self.version >= (1, 1) or b"keep-alive" in tokens

    @property
    def has_body(self) -> bool:
        """True where a body follows, or may."""
        length = self.header(b"content-length")
        return self.header(b"transfer-encoding") is not None or (length is not None and length.strip() != b"0")


def parse_head(raw: bytes, headers_max: int) -> Head:
    """Parse a whole head, its last empty line counted. Raises PeerError with the status to refuse with."""
    if raw.count(LINE_END) - 2 > headers_max:
        raise PeerError(f"over {headers_max} header lines", 431)
    _check_bytes(raw)
    _check_request_line(raw[: raw.index(LINE_END)])
    _check_framing(raw)
    try:
        return PARSERS[DEFAULT](raw)
    except PeerError:
        raise
    except Exception as error:  # each library has exceptions of its own
        raise PeerError(f"malformed head: {error}", 400) from None


def _check_bytes(raw: bytes) -> None:
    """Refuse what proxies and servers read differently: bare CR or LF, folded lines, controls (RFC 9112, 2.2, 5.2)."""
    lines = raw.count(LINE_END)
    if raw.count(b"\n") != lines or raw.count(b"\r") != lines:
        raise PeerError("a bare CR or LF in the head", 400)
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise PeerError("a folded header line", 400)
    if _CONTROL.search(raw):
        raise PeerError("a control character in the head", 400)


def _check_request_line(line: bytes) -> None:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1] or not parts[2].startswith(b"HTTP/"):
        raise PeerError("malformed request line", 400)
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise PeerError("unknown HTTP version", 505 if _VERSION.fullmatch(parts[2]) else 400)
    if parts[0].decode("latin-1") not in METHODS:
        raise PeerError("unknown method", 501)
    if not (_AUTHORITY if parts[0] == b"CONNECT" else _TARGET).fullmatch(parts[1]):
        raise PeerError("malformed target", 400)


def _check_framing(raw: bytes) -> None:
    """Refuse what could be framed or routed in two ways (RFC 9112, 3.2 and 6.3), before a parser smooths it over."""
    found: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    for name, value in _FRAMING.findall(raw):
        found[name.lower()].append(value.strip(b" "))
    hosts, lengths, codings = found.values()
    modern = raw[: raw.index(LINE_END)].endswith(b"1.1")
    if len(hosts) > 1 or (modern and not hosts):
        raise PeerError("one Host header is needed", 400)
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise PeerError("malformed Content-Length", 400)
    if codings and (lengths or not modern or len(codings) > 1 or codings[0].lower() != b"chunked"):
        raise PeerError("malformed Transfer-Encoding", 400)


_FRAMING = re.compile(rb"\r\n(host|content-length|transfer-encoding):([^\r]*)", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HOST = rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]*)?"
_TARGET = re.compile(rb"\*|(?:[Hh][Tt][Tt][Pp][Ss]?://" + _HOST + rb")?/[!-\"$-~]*|[Hh][Tt][Tt][Pp][Ss]?://" + _HOST)
"""A path, `*`, or a whole URL; no fragment, nothing but ASCII, and only such hosts as need no second thought."""
_AUTHORITY = re.compile(_HOST)


class _Collector:
    """httptools' callbacks, collecting one head."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.rstrip(b" \t")
        self.headers.append((name, value.lower() if name == b"transfer-encoding" else value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _with_httptools(raw: bytes) -> Head:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the head was read; what follows is not our business here
    if not collector.complete:
        raise PeerError("malformed head", 400)
    major, _, minor = parser.get_http_version().partition(".")
    headers = tuple(collector.headers)
    return Head(parser.get_method().decode("ascii"), collector.target, (int(major), int(minor)), headers)


def _with_h11(raw: bytes) -> Head:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 1)
    connection.receive_data(raw)
    event = connection.next_event()
    if not isinstance(event, h11.Request):
        raise PeerError("malformed head", 400)
    major, _, minor = event.http_version.partition(b".")
    headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
    return Head(event.method.decode("ascii"), bytes(event.target), (int(major), int(minor)), headers)


PARSERS: dict[str, Callable[[bytes], Head]] = {}
"""The parsers that are installed, by their library's name, the faster first."""

try:
    import httptools

    PARSERS["httptools"] = _with_httptools
except ImportError:
    pass
try:
    import h11

    PARSERS["h11"] = _with_h11
except ImportError:
    pass
if not PARSERS:
    raise ImportError("HTTP needs httptools or h11: pip install 'partway[http]'")
DEFAULT = next(iter(PARSERS))
