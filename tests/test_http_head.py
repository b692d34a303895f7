"""Two parsers, one answer: what httptools reads and what h11 reads must be the same request, or the same refusal.

Where two parsers differ, a request means one thing to a proxy and another to the server behind it: that is how requests
are smuggled; and a server that runs on h11 in one place and on httptools in another must not be two servers. So each
head here goes through `parse_head` once with each library behind it. Heads that are broken at random come from a fixed
seed, so a run can be had again.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.engine import Limits, PeerError
from partway.protocols.http import head as http_head
from partway.protocols.http.head import CHUNKED, Head, parse_head
from partway.protocols.http.recall import Recall

Outcome = Head | int
BOTH = pytest.mark.parametrize("parser", sorted(http_head.PARSERS))
FIXED = settings(max_examples=400)
HEADERS_MAX = 10
RECALLING = Limits(headers_max=HEADERS_MAX)


@contextmanager
def parsing_with(name: str) -> Iterator[None]:
    """Have `parse_head` use one parser for a while."""
    before, http_head.DEFAULT = http_head.DEFAULT, name
    try:
        yield
    finally:
        http_head.DEFAULT = before


def outcome(parser: str, raw: bytes) -> Outcome:
    """What `parse_head` says: a head, or the status of its refusal. Any other exception is a bug and goes through."""
    with parsing_with(parser):
        try:
            return parse_head(raw, HEADERS_MAX)
        except PeerError as error:
            assert isinstance(error.hint, int), f"no status: {error!r}"
            return error.hint


def outcomes(raw: bytes) -> dict[str, Outcome]:
    return {parser: outcome(parser, raw) for parser in http_head.PARSERS}


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A whole head of these lines."""
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def test_both_parsers_are_here() -> None:
    assert set(http_head.PARSERS) == {"httptools", "h11"}, "the test extra installs both"
    assert http_head.DEFAULT == "httptools"


# What is well-formed.


@BOTH
@pytest.mark.parametrize("method", sorted(http_head.METHODS - {"CONNECT"}))
def test_every_method(parser: str, method: str) -> None:
    raw = head(start=method.encode() + b" /x HTTP/1.1")
    assert outcome(parser, raw) == Head(method, b"/x", (1, 1), ((b"host", b"a"),))


@BOTH
@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"//",
        b"/a/b?c=d&e=%20",
        b"/?",
        b"/a?b?c",
        b"/%00%zz",
        b"/a|b",
        b"/a:b@c",
        b'/"<>^`{}\\',
        b"/" + b"x" * 8000,
        b"*",
        b"http://a",
        b"http://a:80/x?y",
        b"HTTP://A/",
        b"http://[::1]:80/",
    ],
)
def test_targets(parser: str, target: bytes) -> None:
    got = outcome(parser, head(start=b"OPTIONS " + target + b" HTTP/1.1"))
    assert isinstance(got, Head)
    assert got.target == target


@BOTH
def test_a_tunnel_wish(parser: str) -> None:
    raw = head(start=b"CONNECT a:443 HTTP/1.1")
    assert outcome(parser, raw) == Head("CONNECT", b"a:443", (1, 1), ((b"host", b"a"),))


@BOTH
@pytest.mark.parametrize("version", [(1, 0), (1, 1)])
def test_versions(parser: str, version: tuple[int, int]) -> None:
    got = outcome(parser, head(start=b"GET / HTTP/%d.%d" % version))
    assert isinstance(got, Head)
    assert got.version == version


@BOTH
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"X: a", b"a"),
        (b"X:a", b"a"),
        (b"X:   a  ", b"a"),
        (b"X:\ta\t", b"a"),
        (b"X: \t a \t ", b"a"),
        (b"X:", b""),
        (b"X:   ", b""),
        (b"X: a b\tc", b"a b\tc"),
        (b"X: \xe9\xff", b"\xe9\xff"),  # obs-text
        (b"X: a:b", b"a:b"),
        (b'X: "a, \\"b"', b'"a, \\"b"'),
        (b"X: " + b"y" * 20_000, b"y" * 20_000),
    ],
)
def test_header_values(parser: str, line: bytes, expected: bytes) -> None:
    assert outcome(parser, head(line)) == Head("GET", b"/", (1, 1), ((b"host", b"a"), (b"x", expected)))


@BOTH
def test_names_are_in_lower_case_and_doubles_stay(parser: str) -> None:
    got = outcome(parser, head(b"COOKIE: a", b"Cookie: b", b"!#$%&'*+-.^_`|~0: c"))
    assert isinstance(got, Head)
    assert got.headers[1:] == ((b"cookie", b"a"), (b"cookie", b"b"), (b"!#$%&'*+-.^_`|~0", b"c"))
    assert got.header(b"cookie") == b"a"
    assert got.header(b"none") is None


@BOTH
def test_a_wish_to_upgrade_is_read(parser: str) -> None:
    got = outcome(parser, head(b"Connection: upgrade", b"Upgrade: websocket"))
    assert isinstance(got, Head)
    assert got.header(b"upgrade") == b"websocket"


@BOTH
@pytest.mark.parametrize(
    "value",
    [b"a", b"a:80", b"a:", b"", b"A.b-c_d~e", b"127.0.0.1:8000", b"[::1]", b"[::1]:80", b" a ", b"xn--e1afmkfd"],
)
def test_hosts(parser: str, value: bytes) -> None:
    got = outcome(parser, head(host=b"Host:" + value))
    assert isinstance(got, Head)
    assert got.header(b"host") == value.strip()


@BOTH
def test_as_many_headers_as_may_be(parser: str) -> None:
    lines = [b"X: %d" % number for number in range(HEADERS_MAX - 1)]
    got = outcome(parser, head(*lines))
    assert isinstance(got, Head)
    assert len(got.headers) == HEADERS_MAX
    assert outcome(parser, head(*lines, b"X: too many")) == 431


@BOTH
def test_no_header_at_all(parser: str) -> None:
    assert outcome(parser, b"GET / HTTP/1.0\r\n\r\n") == Head("GET", b"/", (1, 0), ())


# What is not.

REFUSED = {
    "no version": (head(start=b"GET /"), 400),
    "empty version": (head(start=b"GET / "), 400),
    "no target": (head(start=b"GET  HTTP/1.1"), 400),
    "method alone": (head(start=b"GET"), 400),
    "nothing": (head(start=b""), 400),
    "two blanks": (head(start=b"GET  / HTTP/1.1"), 400),
    "a fourth word": (head(start=b"GET / x HTTP/1.1"), 400),
    "a tab for a blank": (head(start=b"GET\t/\tHTTP/1.1"), 400),
    "a blank behind": (head(start=b"GET / HTTP/1.1 "), 400),
    "a blank before": (head(start=b" GET / HTTP/1.1"), 400),
    "HTTP/2.0": (head(start=b"GET / HTTP/2.0"), 505),
    "HTTP/1.2": (head(start=b"GET / HTTP/1.2"), 505),
    "HTTP/0.9": (head(start=b"GET / HTTP/0.9"), 505),
    "HTTP/1.10": (head(start=b"GET / HTTP/1.10"), 400),
    "HTTP/11": (head(start=b"GET / HTTP/11"), 400),
    "HTTP/1,1": (head(start=b"GET / HTTP/1,1"), 400),
    "HTTP/x.1": (head(start=b"GET / HTTP/x.1"), 400),
    "HTTP/": (head(start=b"GET / HTTP/"), 400),
    "HTTP/superscript": (head(start=b"GET / HTTP/1.\xb9"), 400),
    "http/1.1": (head(start=b"GET / http/1.1"), 400),
    "another protocol": (head(start=b"GET / ICY/1.1"), 400),
    "method in lower case": (head(start=b"get / HTTP/1.1"), 501),
    "unknown method": (head(start=b"BREW / HTTP/1.1"), 501),
    "empty method": (head(start=b" / HTTP/1.1"), 501),
    "method of no letters": (head(start=b"\xff\xfe / HTTP/1.1"), 501),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "obs-text in the target": (head(start=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "obs-text in the query": (head(start=b"GET /?\xe9 HTTP/1.1"), 400),
    "control in the target": (head(start=b"GET /\x01 HTTP/1.1"), 400),
    "DEL in the target": (head(start=b"GET /\x7f HTTP/1.1"), 400),
    "tab in the target": (head(start=b"GET /\t HTTP/1.1"), 400),
    "bare LF ends a line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF in a value": (head(b"X: a\nY: b"), 400),
    "bare CR in a value": (head(b"X: a\rb"), 400),
    "CR CR LF": (head(b"X: a\r"), 400),
    "NUL in a value": (head(b"X: a\0b"), 400),
    "NUL in a name": (head(b"X\0: a"), 400),
    "NUL in the target": (head(start=b"GET /\0 HTTP/1.1"), 400),
    "folded by a blank": (head(b"X: a", b" b"), 400),
    "folded by a tab": (head(b"X: a", b"\tb"), 400),
    "folded first line": (head(b"Y: a", host=b" Host: a"), 400),
    "blank before the colon": (head(b"X : a"), 400),
    "tab before the colon": (head(b"X\t: a"), 400),
    "blank in a name": (head(b"X y: a"), 400),
    "no colon": (head(b"nocolon"), 400),
    "empty name": (head(b": a"), 400),
    "control in a name": (head(b"X\x01: a"), 400),
    "DEL in a name": (head(b"X\x7f: a"), 400),
    "obs-text in a name": (head(b"X\xe9: a"), 400),
    "brackets in a name": (head(b"(x): a"), 400),
    "vertical tab in a value": (head(b"X: a\x0bb"), 400),
    "form feed in a value": (head(b"X: a\x0c"), 400),
    "length with a sign": (head(b"Content-Length: +5"), 400),
    "negative length": (head(b"Content-Length: -5"), 400),
    "length in hexadecimal": (head(b"Content-Length: 0x5"), 400),
    "empty length": (head(b"Content-Length:"), 400),
    "two lengths": (head(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "a list of lengths": (head(b"Content-Length: 5, 6"), 400),
    "a length beyond everything": (head(b"Content-Length: 1" + b"0" * 20), 400),
    "unknown coding": (head(b"Transfer-Encoding: gzip"), 501),
    "unknown coding before chunked": (head(b"Transfer-Encoding: gzip, chunked"), 501),
    "several unknown codings": (head(b"Transfer-Encoding: a ,\tb,c"), 501),
    "identity": (head(b"Transfer-Encoding: identity"), 501),
    "a coding that is no chunked": (head(b"Transfer-Encoding: xchunked"), 501),
    "chunked not last": (head(b"Transfer-Encoding: chunked, gzip"), 400),
    "chunked twice": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "chunked twice in one": (head(b"Transfer-Encoding: chunked, Chunked"), 400),
    "no coding": (head(b"Transfer-Encoding:"), 400),
    "quoted coding": (head(b'Transfer-Encoding: "chunked"'), 400),
    "two words of coding": (head(b"Transfer-Encoding: chunked x"), 400),
    "coding behind a control": (head(b"Transfer-Encoding: \x0bchunked"), 400),
    "unknown coding before 1.1": (head(b"Transfer-Encoding: gzip", start=b"GET / HTTP/1.0"), 400),
    "unknown coding and a length": (head(b"Transfer-Encoding: gzip", b"Content-Length: 5"), 400),
    "chunked before 1.1": (head(b"Transfer-Encoding: chunked", start=b"GET / HTTP/1.0"), 400),
    "chunked with an argument": (head(b"Transfer-Encoding: chunked;q=1"), 400),
}
"""Both parsers, behind the checks, refuse these with this status."""


@BOTH
@pytest.mark.parametrize("name", REFUSED)
def test_refused(parser: str, name: str) -> None:
    raw, status = REFUSED[name]
    assert outcome(parser, raw) == status


CONTESTED = {
    "no Host in 1.1": head(host=b""),
    "two Hosts in 1.1": head(b"Host: b"),
    "two Hosts in 1.0": head(b"Host: b", start=b"GET / HTTP/1.0"),
    "control in a value": head(b"X: a\x01b"),
    "unit separator in a value": head(b"X: a\x1fb"),
    "DEL in a value": head(b"X: a\x7f"),
    "the same length twice": head(b"Content-Length: 5", b"Content-Length: 5"),
    "a list of the same lengths": head(b"Content-Length: 5, 5"),
    "length and coding": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "an empty coding before chunked": head(b"Transfer-Encoding: ,chunked"),
    "target that is no path": head(start=b"GET a HTTP/1.1"),
    "target that is a query": head(start=b"GET ?a HTTP/1.1"),
    "target that begins with a backslash": head(start=b"GET \\a HTTP/1.1"),
    "target of a scheme with digits": head(start=b"GET h-t+p.1://h/ HTTP/1.1"),
    "target of a scheme alone": head(start=b"GET http:/a HTTP/1.1"),
    "tunnel to no authority": head(start=b"CONNECT a|b:443 HTTP/1.1"),
    "Host of two words": head(host=b"Host: a b"),
    "Host of two names": head(host=b"Host: a,b"),
    "Host with a user": head(host=b"Host: u@a"),
    "Host with a path": head(host=b"Host: a/b"),
    "Host with a scheme": head(host=b"Host: http://a"),
    "Host with a port of letters": head(host=b"Host: a:b"),
    "Host with two ports": head(host=b"Host: a:1:2"),
    "Host of a port alone": head(host=b"Host: :80"),
    "Host of half brackets": head(host=b"Host: [::1"),
    "Host of obs-text": head(host=b"Host: \xe9"),
    "Host that is encoded": head(host=b"Host: %61"),
    "malformed Host in 1.0": head(host=b"Host: a b", start=b"GET / HTTP/1.0"),
}
"""Of these one library is known to accept what the other refuses: the stricter one must be right."""


@BOTH
@pytest.mark.parametrize("name", CONTESTED)
def test_the_stricter_answer_is_given(parser: str, name: str) -> None:
    assert outcome(parser, CONTESTED[name]) == 400


@pytest.mark.parametrize("value", [b"CHUNKED", b"Chunked", b"chunked\t", b"chunked "])
def test_a_coding_is_read_alike(value: bytes) -> None:
    got = outcomes(head(b"Transfer-Encoding: " + value))
    assert got["h11"] == got["httptools"]


# Heads that are broken at random.

GOOD = (
    head(),
    head(b"Connection: keep-alive", b"X: a,b", start=b"GET /x?y=%20 HTTP/1.0"),
    head(b"Content-Length: 10", start=b"POST /p HTTP/1.1"),
    head(b"Transfer-Encoding: chunked", start=b"PUT /p HTTP/1.1"),
    head(b"Connection: upgrade", b"Upgrade: h2c", start=b"GET http://a/b HTTP/1.1"),
    head(start=b"OPTIONS * HTTP/1.1"),
    head(b"X:\t b \xe9\t", start=b"HEAD / HTTP/1.1"),
    head(start=b"CONNECT a:443 HTTP/1.1"),
    head(b"Expect: 100-continue", b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1", host=b"Host: [::1]:80"),
    head(b"Range: bytes=0-4", b'If-Match: "x", W/"y"', b"Accept-Encoding: gzip;q=0.5, br", host=b"Host: a.b:8000"),
)
TELLING = b'\0\1\t\n\r "#%,/:;?@[\\]^_{|}~\x7f\x80\xff059AZaz+-*'
"""Bytes that mean something in a head, or must mean nothing."""


def damaged(raw: bytes, random: Random) -> bytes:
    """Delete, insert, replace, swap or repeat some bytes."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        place, other = random.randrange(len(data)), random.randrange(len(data))
        match random.randrange(5):
            case 0:
                del data[place]
            case 1:
                data.insert(place, random.choice(TELLING))
            case 2:
                data[place] = random.choice(TELLING)
            case 3:
                data[place], data[other] = data[other], data[place]
            case _:
                data[place:place] = data[other : other + random.randrange(1, 6)]
    return bytes(data)


def first_head(raw: bytes) -> bytes | None:
    """What the machine would hand over of these bytes: the first whole head behind blank lines."""
    raw = raw.lstrip(b"\r\n")
    size = raw.find(http_head.HEAD_END)
    return None if size < 0 else raw[: size + len(http_head.HEAD_END)]


def assert_agreement(raw: bytes) -> Outcome:
    got = outcomes(raw)
    assert got["httptools"] == got["h11"], f"{raw!r}: {got}"
    return got["h11"]


def recalled(recall: Recall, raw: bytes) -> Outcome:
    """What a server says that has read much the same before."""
    try:
        return recall.parse(raw, RECALLING)
    except PeerError as error:
        return cast(int, error.hint)


@pytest.mark.parametrize("seed", range(10))
def test_damaged_heads_are_read_alike(seed: int) -> None:
    """Twenty thousand in all. What one library alone would refuse is refused by both: that is what the checks do."""
    random = Random(seed)
    recall = Recall()
    read = refused = 0
    for good in GOOD * 200:
        raw = first_head(damaged(good, random))
        if raw is not None:
            got = assert_agreement(raw)
            assert recalled(recall, raw) == got, f"{raw!r}: read otherwise beside heads that are alike"
            read += isinstance(got, Head)
            refused += not isinstance(got, Head)
    assert min(read, refused) > 200, f"{read} read and {refused} refused: hardly worth the trouble"


@FIXED
@given(data=st.data(), good=st.sampled_from(GOOD))
def test_heads_with_bytes_replaced_are_read_alike(data: st.DataObject, good: bytes) -> None:
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        size = data.draw(st.integers(0, 2))
        raw[place : place + size] = data.draw(st.binary(max_size=3))
        if not raw:
            return
    head = first_head(bytes(raw))
    if head is not None:
        assert_agreement(head)


@FIXED
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for parser in http_head.PARSERS:
        got = outcome(parser, data + http_head.HEAD_END)
        assert isinstance(got, Head) or got in (400, 431, 501, 505)


def test_what_is_read_has_no_line_ends() -> None:
    random = Random(99)
    for good in GOOD * 100:
        raw = first_head(damaged(good, random))
        got = None if raw is None else outcome("httptools", raw)
        if isinstance(got, Head):
            assert not set(b"\r\n\0") & set(got.target + b"".join(map(b"".join, got.headers)))


# What a head means.


def meaning(*lines: bytes, version: bytes = b"1.1") -> Head:
    got = parse_head(head(*lines, start=b"GET / HTTP/" + version), 100)
    assert isinstance(got, Head)
    return got


@pytest.mark.parametrize(
    ("version", "lines", "keeps"),
    [
        (b"1.1", (), True),
        (b"1.0", (), False),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: CLOSE",), False),
        (b"1.1", (b"Connection: keep-alive",), True),
        (b"1.0", (b"Connection: keep-alive",), True),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: keep-alive, close",), False),
        (b"1.1", (b"Connection: x, close\t,",), False),
        (b"1.1", (b"Connection: x", b"Connection: close"), False),
        (b"1.0", (b"Connection: x", b"Connection: keep-alive"), True),
        (b"1.1", (b"Connection: closed",), True),
        (b"1.1", (b"Connection:",), True),
        (b"1.1", (b"Proxy-Connection: close",), True),
    ],
)
def test_whether_the_connection_goes_on(version: bytes, lines: tuple[bytes, ...], keeps: bool) -> None:
    assert meaning(*lines, version=version).keeps_alive is keeps


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 00",), 0),
        ((b"Content-Length: 1",), 1),
        ((b"Content-Length: 0123",), 123),
        ((b"Content-Length: " + b"9" * 18,), 10**18 - 1),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
    ],
)
def test_how_long_a_body_follows(lines: tuple[bytes, ...], length: int) -> None:
    assert meaning(*lines).length == length


@pytest.mark.parametrize(
    ("version", "lines", "expects"),
    [
        (b"1.1", (b"Expect: 100-continue", b"Content-Length: 1"), True),
        (b"1.1", (b"Expect: 100-Continue", b"Transfer-Encoding: chunked"), True),
        (b"1.1", (b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 1"), True),
        (b"1.1", (b"Content-Length: 1",), False),
        (b"1.1", (b"Expect: 100-continue",), False),  # there is nothing to be asked for
        (b"1.1", (b"Expect: 100-continue", b"Content-Length: 0"), False),
        (b"1.1", (b"Expect: 100-continue, x", b"Content-Length: 1"), False),
        (b"1.1", (b"Expect: x", b"Content-Length: 1"), False),
        (b"1.0", (b"Expect: 100-continue", b"Content-Length: 1"), False),  # which knows no such thing
    ],
)
def test_whether_it_waits_to_be_told(version: bytes, lines: tuple[bytes, ...], expects: bool) -> None:
    assert meaning(*lines, version=version).expects_continue is expects


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/b?c=d?e", b"/a/b", b"?c=d?e"),
        (b"/a?", b"/a", b"?"),
        (b"//a", b"//a", b""),
        (b"*", b"*", b""),
        (b"http://a", b"/", b""),
        (b"http://a/", b"/", b""),
        (b"HTTPS://a:80/b//c?d://e/f", b"/b//c", b"?d://e/f"),
        (b"a:443", b"a:443", b""),
    ],
)
def test_a_targets_path_and_query(target: bytes, path: bytes, query: bytes) -> None:
    got = Head("GET", target, (1, 1), ())
    assert (got.path, got.query) == (path, query)


SPECIAL = (
    *(b"Accept-Encoding", b"Connection", b"Content-Length", b"Expect", b"If-Match", b"If-Modified-Since"),
    *(b"If-None-Match", b"If-Unmodified-Since", b"Range", b"Transfer-Encoding"),
)


def test_a_simple_head() -> None:
    fields = ((b"host", b"a"), (b"user-agent", b"x"))
    assert Head("GET", b"/", (1, 1), fields).simple
    assert not Head("GET", b"/", (1, 0), fields).simple
    assert not Head("HEAD", b"/", (1, 1), fields).simple
    for name in SPECIAL:
        assert not Head("GET", b"/", (1, 1), (*fields, (name.lower(), b"1"))).simple, name


def test_heads_are_equal_by_what_they_say_and_freeze() -> None:
    got = meaning(b"X: a")
    got.memo = object()
    again = pickle.loads(pickle.dumps(got))
    assert again == got and hash(again) == hash(got) and again is not got
    assert again.memo is None, "a handler's memo left with the head"
    assert again != meaning(b"X: b") and again != got.parts
    assert repr(got) == r"Head('GET', b'/', (1, 1), ((b'host', b'a'), (b'x', b'a')))"


def test_members_of_a_list() -> None:
    assert meaning(b"X: A, ,b\t,", b"X: c").tokens(b"x") == {b"a", b"b", b"c"}
    assert meaning().tokens(b"x") == set()
