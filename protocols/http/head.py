"""The head of an HTTP/1 request, parsed by a library: httptools where it has wheels, h11 elsewhere.

A live parser doesn't know where in a chunk it stands and doesn't pickle, so neither is kept: the machine collects the
raw head until it is whole, and a parser sees it in one piece and is done. Both give the same `Head` or the same error;
where they would differ, the stricter answer is given, by the checks here that precede them.
"""

import re
from collections.abc import Callable
from typing import Any

from ...engine import PeerError

LINE_END = b"\r\n"
HEAD_END = b"\r\n\r\n"
CHUNKED = -1

Fields = tuple[tuple[bytes, bytes], ...]

CONDITIONS = frozenset({b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"})
"""The headers that make a request conditional."""
CHOICES = CONDITIONS | {b"accept-encoding", b"range"}
"""The headers that ask for another answer than the whole as it is."""
_NOT_SIMPLE = CHOICES | {b"connection", b"content-length", b"expect", b"transfer-encoding"}

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"})


class Head:
    """What a request's head says. Header names are in lower case; a header that comes twice is there twice.

    One head may serve many requests that are equal to the byte, so what it implies is worked out once: `path` is the
    target's, still encoded ("/" for a URL without one, "*" for the server as a whole), `query` what follows it with its
    question mark; `names` are those of the headers; `keeps_alive` tells whether the client wishes the connection to go
    on (RFC 9112, 9.3); `length` how many bytes of body follow, or CHUNKED (6.3); `expects_continue` whether it waits to
    be told that its body is wanted (RFC 9110, 10.1.1); `simple` whether it is HTTP/1.1's plain GET, with nothing that
    asks for another answer than the whole as it is, kept alive. `memo` is the handler's, for such a head.
    """

    __slots__ = (
        "expects_continue",
        "headers",
        "keeps_alive",
        "length",
        "memo",
        "method",
        "names",
        "path",
        "query",
        "simple",
        "target",
        "version",
    )

    def __init__(self, method: str, target: bytes, version: tuple[int, int], headers: Fields) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self._find_path()
        self.names = names = frozenset([name for name, _ in headers])
        modern = version >= (1, 1)
        tokens = self.tokens(b"connection") if b"connection" in names else ()
        self.keeps_alive = b"close" not in tokens and (modern or b"keep-alive" in tokens)
        self.length = CHUNKED if b"transfer-encoding" in names else int(self.header(b"content-length") or 0)
        self.expects_continue = (
            b"expect" in names and modern and self.length != 0 and self.tokens(b"expect") == {b"100-continue"}
        )
        self.simple = method == "GET" and modern and names.isdisjoint(_NOT_SIMPLE)
        self.memo: Any = None

    def _find_path(self) -> None:
        self.path, mark, query = self.target.partition(b"?")
        self.query = mark + query
        if not self.path.startswith(b"/"):
            self.path = _path_of(self.path)

    def with_target(self, target: bytes) -> "Head":
        """Return a head that says the same of another target."""
        head = Head.__new__(Head)
        head.method, head.version, head.headers, head.names = self.method, self.version, self.headers, self.names
        head.keeps_alive, head.length, head.simple = self.keeps_alive, self.length, self.simple
        head.expects_continue = self.expects_continue
        head.target = target
        head.memo = None
        head._find_path()
        return head

    @property
    def parts(self) -> tuple[str, bytes, tuple[int, int], Fields]:
        """Method, target, version and headers: all that it says."""
        return self.method, self.target, self.version, self.headers

    def __repr__(self) -> str:
        return f"Head{self.parts!r}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Head) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __reduce__(self) -> tuple[type["Head"], tuple[str, bytes, tuple[int, int], Fields]]:
        return Head, self.parts

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, given in lower case."""
        if name not in self.names:
            return None
        return next(value for found, value in self.headers if found == name)

    def joined(self, name: bytes) -> bytes | None:
        """Return all values of a header that is a list, as one (RFC 9110, 5.3); None where there is none."""
        if name not in self.names:
            return None
        return b", ".join([value for found, value in self.headers if found == name])

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the members of a header that is a list, in lower case (RFC 9110, 5.6.1)."""
        return {token.strip(b" \t").lower() for token in (self.joined(name) or b"").split(b",")} - {b""}


def _path_of(target: bytes) -> bytes:
    """Return the path of a whole URL (RFC 9112, 3.2.2)."""
    scheme, mark, rest = target.partition(b"://")
    return b"/" + rest.partition(b"/")[2] if mark and scheme.isalpha() else target


def parse_head(raw: bytes, headers_max: int) -> Head:
    """Parse a whole head, its last empty line counted. Raises PeerError with the status to refuse with."""
    if raw.count(LINE_END) - 2 > headers_max:
        raise PeerError(f"over {headers_max} header lines", 431)
    _check_bytes(raw)
    check_request_line(raw[: raw.index(LINE_END)])
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


def check_request_line(line: bytes) -> list[bytes]:
    """Take a request line apart: method, target and version. Raises PeerError (400, 501, 505)."""
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1] or not parts[2].startswith(b"HTTP/"):
        raise PeerError("malformed request line", 400)
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise PeerError("unknown HTTP version", 505 if _VERSION.fullmatch(parts[2]) else 400)
    if parts[0].decode("latin-1") not in METHODS:
        raise PeerError("unknown method", 501)
    if not (_AUTHORITY if parts[0] == b"CONNECT" else _TARGET).fullmatch(parts[1]):
        raise PeerError("malformed target", 400)
    return parts


def _check_framing(raw: bytes) -> None:
    """Refuse what could be framed or routed in two ways (RFC 9112, 3.2 and 6.3), before a parser smooths it over."""
    found: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    for name, value in _FRAMING.findall(raw):
        found[name.lower()].append(value.strip(b" "))
    hosts, lengths, codings = found.values()
    modern = raw[: raw.index(LINE_END)].endswith(b"1.1")
    if len(hosts) > 1 or (modern and not hosts):
        raise PeerError("one Host header is needed", 400)
    if hosts and not (_AUTHORITY.fullmatch(hosts[0]) or not hosts[0]):
        raise PeerError("malformed Host", 400)
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise PeerError("malformed Content-Length", 400)
    if codings and (lengths or not modern or len(codings) > 1 or not _CODINGS.fullmatch(codings[0])):
        raise PeerError("malformed Transfer-Encoding", 400)
    if codings and codings[0].lower() != b"chunked":
        before = [coding.strip().lower() for coding in codings[0].split(b",")][:-1]
        raise PeerError("unknown transfer coding", 400 if b"chunked" in before else 501)  # chunked is the last, once


_FRAMING = re.compile(rb"\r\n(host|content-length|transfer-encoding):([^\r]*)", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_CODINGS = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
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
