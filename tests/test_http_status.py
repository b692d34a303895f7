"""Every status that a folder's server can answer, as data: what gets it, and whether the connection lives on.

Each line of the table is asked of a new server with the limits that users have, once with each parser behind it, while
a second connection asks before and after and must notice nothing. What is not here cannot be had: a folder takes no
body (so no 413, and chunks that are none are in test_http_body.py), and none of its answers waits (so no 504).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from asking import BIG, Answer, answers, heard_of, post, request, rig_of
from partway.engine import Limits
from partway.engine.simulation import Peer
from partway.protocols.beneath import Beneath
from partway.protocols.http import Folder
from partway.protocols.http import head as http_head
from worlds import Rig

LIMITS = Limits()
FILE = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"
SECONDS = LIMITS.head_seconds + 1
FAILURES: dict[bytes, tuple[type[Exception], int]] = {
    b"forbidden": (OSError, errno.EACCES),
    b"crowded": (OSError, errno.EMFILE),
    b"crowded-all": (OSError, errno.ENFILE),
    b"broken": (OSError, errno.EIO),
    b"buggy": (RuntimeError, 0),
}
"""What opening some files raises: root may read everything, and disks rarely break when one wants them to."""


class Case(NamedTuple):
    data: bytes
    status: int
    closes: bool = False
    header: tuple[str, str] = ("server", "partway")
    """One that must be there."""


def get(target: bytes = b"/file", *lines: bytes, version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    return request(*lines, start=b" ".join((method, target, version)))


def head_of(*lines: bytes, start: bytes = b"GET /file HTTP/1.1") -> bytes:
    """A head of these lines alone, without a Host."""
    return b"\r\n".join((start, *lines, b"", b""))


def bad(data: bytes, status: int = 400) -> Case:
    """A refusal, after which the connection ends."""
    return Case(data, status, closes=True, header=("connection", "close"))


STATUSES = {
    # What is there.
    "a file": Case(get(), 200, header=("content-length", "5")),
    "a file's head": Case(get(method=b"HEAD"), 200, header=("content-length", "5")),
    "a large file": Case(get(b"/large"), 200, header=("content-length", str(len(BIG)))),
    "a large file's head": Case(get(b"/large", method=b"HEAD"), 200, header=("content-length", str(len(BIG)))),
    "an empty file": Case(get(b"/empty"), 200, header=("content-length", "0")),
    "a listing": Case(get(b"/folder/"), 200),
    "a listing's head": Case(get(b"/folder/", method=b"HEAD"), 200),
    "a whole URL": Case(get(b"http://a/file"), 200),
    "a file before 1.1": Case(get(version=b"HTTP/1.0"), 200, closes=True),
    "a file before 1.1, and more": Case(get(b"/file", b"Connection: keep-alive", version=b"HTTP/1.0"), 200),
    "the last": Case(get(b"/file", b"Connection: close"), 200, closes=True),
    "a file for nobody's body": Case(get(b"/file", b"Content-Length: 5") + b"hello", 200, closes=True),
    "a file for no body": Case(get(b"/file", b"Content-Length: 0"), 200),
    "a file for a promise kept": Case(get(b"/file", b"Expect: 100-continue"), 200),
    "an empty Host": Case(head_of(b"Host:"), 200),
    "no Host before 1.1": Case(head_of(start=b"GET /file HTTP/1.0"), 200, closes=True),
    "a range too many": Case(get(b"/file", b"Range: bytes=" + b",".join([b"0-0"] * 17)), 200),
    "options": Case(get(method=b"OPTIONS"), 204, header=("allow", "GET, HEAD, OPTIONS")),
    "options of all": Case(get(b"*", method=b"OPTIONS"), 204, header=("allow", "GET, HEAD, OPTIONS")),
    "a range": Case(get(b"/file", b"Range: bytes=1-3"), 206, header=("content-range", "bytes 1-3/5")),
    "a range of a large file": Case(get(b"/large", b"Range: bytes=-3"), 206, header=("content-length", "3")),
    "two ranges": Case(get(b"/large", b"Range: bytes=0-1, 5-6"), 206),
    "a folder without its slash": Case(get(b"/folder?x"), 301, header=("location", "/folder/?x")),
    "not modified": Case(get(b"/file", b"If-None-Match: *"), 304),
    "not modified since": Case(get(b"/large", b"If-Modified-Since: Wed, 01 Jan 2200 00:00:00 GMT"), 304),
    # What is not.
    "forbidden": Case(get(b"/forbidden"), 403),
    "nothing there": Case(get(b"/none"), 404),
    "nothing there's head": Case(get(b"/none", method=b"HEAD"), 404),
    "outside": Case(get(b"/../secret"), 404),
    "outside, encoded": Case(get(b"/%2e%2e/secret"), 404),
    "hidden": Case(get(b"/.hidden"), 404),
    "a NUL, encoded": Case(get(b"/a%00b"), 404),
    "a file with a slash": Case(get(b"/file/"), 404),
    "an endless name": Case(get(b"/" + b"x" * 4000), 404),
    "no method for files": Case(get(method=b"DELETE"), 405, closes=True, header=("allow", "GET, HEAD, OPTIONS")),
    "an upload": Case(post(b"hello", target=b"/file"), 405, closes=True, header=("allow", "GET, HEAD, OPTIONS")),
    "an upload that waits": bad(post(b"hello", b"Expect: 100-continue"), 405),
    "an upload in chunks": bad(get(b"/file", b"Transfer-Encoding: chunked", method=b"PUT") + b"0\r\n\r\n", 405),
    "an upload without end": bad(get(b"/", b"Content-Length: " + b"9" * 18, method=b"PUT") + b"x" * 9999, 405),
    "a tunnel": bad(get(b"a:443", method=b"CONNECT"), 405),
    "a trace": bad(get(method=b"TRACE"), 405),
    "changed": Case(get(b"/file", b'If-Match: "x"'), 412),
    "changed since": Case(get(b"/file", b"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"), 412),
    "no such range": Case(get(b"/file", b"Range: bytes=5-"), 416, header=("content-range", "bytes */5")),
    "a bug": bad(get(b"/buggy"), 500),
    "a broken disk": bad(get(b"/broken"), 500),
    "too many files": Case(get(b"/crowded"), 503),
    "too many files of all": Case(get(b"/crowded-all"), 503),
    # Too long, too slow.
    "a head that stops": bad(FILE[:-1], 408),
    "a head that hardly begins": bad(b"G", 408),
    "a request line too long": bad(get(b"/" + b"x" * LIMITS.line_bytes), 414),
    "a request line without end": bad(b"GET /" + b"x" * 2 * LIMITS.line_bytes, 414),
    "a head too large": bad(get(b"/file", *[b"X: " + b"y" * 8000] * 5), 431),
    "a head without end": bad(FILE[:-2] + b"X: y\r\n" * 6000, 431),
    "too many headers": bad(get(b"/file", *[b"X: y"] * LIMITS.headers_max), 431),
    # Malformed.
    "no request line": bad(b"hello\r\n\r\n"),
    "no version": bad(head_of(b"Host: a", start=b"GET /")),
    "no path": bad(get(b"*")),
    "a path without slash": bad(get(b"file")),
    "a fragment": bad(get(b"/file#x")),
    "a path that is not encoded": bad(get(b"/\xe9")),
    "two blanks": bad(head_of(b"Host: a", start=b"GET  /file HTTP/1.1")),
    "a bare LF ends a line": bad(FILE.replace(b"\r\nHost", b"\nHost")),
    "a bare LF in a header": bad(get(b"/file", b"X: a\nY: b")),
    "a bare CR in a header": bad(get(b"/file", b"X: a\rY: b")),
    "a NUL in a header": bad(get(b"/file", b"X: a\0")),
    "a control in a header": bad(get(b"/file", b"X: a\x0b")),
    "whitespace before a colon": bad(get(b"/file", b"X : a")),
    "a tab before a colon": bad(get(b"/file", b"X\t: a")),
    "a folded header": bad(get(b"/file", b"X: a", b" b")),
    "a header that is folded first": bad(head_of(b" X: a", b"Host: a")),
    "a header without colon": bad(get(b"/file", b"X")),
    "a header without name": bad(get(b"/file", b": a")),
    "no Host": bad(head_of()),
    "two Hosts": bad(get(b"/file", b"Host: b")),
    "the same Host twice": bad(get(b"/file", b"Host: a")),
    "two Hosts before 1.1": bad(get(b"/file", b"Host: a", version=b"HTTP/1.0")),
    "a malformed Host": bad(head_of(b"Host: a b")),
    "a Host with a path": bad(head_of(b"Host: a/b")),
    "two lengths": bad(get(b"/file", b"Content-Length: 5", b"Content-Length: 6")),
    "the same length twice": bad(get(b"/file", b"Content-Length: 5", b"Content-Length: 5")),
    "a list of lengths": bad(get(b"/file", b"Content-Length: 5, 5")),
    "a length with a sign": bad(get(b"/file", b"Content-Length: +5")),
    "a length with an underscore": bad(get(b"/file", b"Content-Length: 1_0")),
    "a length beyond everything": bad(get(b"/file", b"Content-Length: " + b"9" * 19)),
    "a length and chunks": bad(get(b"/file", b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    "chunks before 1.1": bad(get(b"/file", b"Transfer-Encoding: chunked", version=b"HTTP/1.0")),
    "chunks twice": bad(get(b"/file", b"Transfer-Encoding: chunked, chunked")),
    "chunks before another coding": bad(get(b"/file", b"Transfer-Encoding: chunked, gzip")),
    "TLS": bad(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    # Unknown.
    "an unknown expectation": bad(get(b"/file", b"Expect: 200-ok"), 417),
    "an unknown method": bad(get(method=b"BREW"), 501),
    "a method in small letters": bad(get(method=b"get"), 501),
    "an unknown coding": bad(get(b"/file", b"Transfer-Encoding: gzip, chunked"), 501),
    "an unknown coding alone": bad(get(b"/file", b"Transfer-Encoding: gzip"), 501),
    "an old version": bad(get(version=b"HTTP/0.9"), 505),
    "a later version": bad(get(version=b"HTTP/1.2"), 505),
    "another version": bad(get(version=b"HTTP/2.0"), 505),
    "HTTP/2 at once": bad(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
}


@contextmanager
def parsing_with(name: str) -> Iterator[None]:
    before, http_head.DEFAULT = http_head.DEFAULT, name
    try:
        yield
    finally:
        http_head.DEFAULT = before


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few files, some of which cannot be opened."""
    root = tmp_path / "site"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    for name, data in (("file", b"hello"), ("empty", b""), ("large", BIG), (".hidden", b"x"), ("folder/x", b"x")):
        (root / name).write_bytes(data)
    opens = Beneath.open

    def fails(self: Beneath, name: bytes) -> int:
        if name in FAILURES:
            kind, code = FAILURES[name]
            raise kind(code, "it fails")
        return opens(self, name)

    monkeypatch.setattr(Beneath, "open", fails)
    return root


def neighbour_is_well(rig: Rig, neighbour: Peer) -> None:
    neighbour.say(FILE)
    rig.run(0.1)
    assert [answer.body for answer in answers(neighbour.heard())] == [b"hello"]
    assert not neighbour.ended and not neighbour.reset


@pytest.mark.parametrize("name", STATUSES)
def test_status(site: Path, name: str) -> None:
    case = STATUSES[name]
    for parser in sorted(http_head.PARSERS):
        with parsing_with(parser):
            check(site, case)


def check(site: Path, case: Case) -> None:
    rig = rig_of(Folder(str(site)), capacity_bytes=1 << 21)
    neighbour, peer = rig.dials(2)
    neighbour_is_well(rig, neighbour)
    peer.say(case.data)
    rig.run(0.1)
    if case.status == HTTPStatus.REQUEST_TIMEOUT:
        rig.run(SECONDS)
    neighbour_is_well(rig, neighbour)
    method = case.data.partition(b" ")[0].decode("latin-1")
    (answer,) = answers(peer.heard(), method)
    assert answer.status == case.status
    assert answer.headers.get(case.header[0]) == case.header[1]
    assert (answer.headers.get("connection") == "close") is case.closes
    assert peer.ended is case.closes and not peer.reset
    peer.say(FILE)
    rig.run(0.1)
    assert [answer.status for answer in answers(peer.heard())] == ([] if case.closes else [200])
    assert not peer.reset
    neighbour_is_well(rig, neighbour)
    assert rig.kinds() == (["machine error"] if case.status == HTTPStatus.INTERNAL_SERVER_ERROR else [])
    rig.reactor.close()


def test_the_table_has_every_status_that_there_is() -> None:
    assert {case.status for case in STATUSES.values()} == {
        *(200, 204, 206, 301, 304),
        *(400, 403, 404, 405, 408, 412, 414, 416, 417, 431),
        *(500, 501, 503, 505),
    }


def test_what_is_answered_says_so_in_words(site: Path) -> None:
    for case in STATUSES.values():
        if case.status >= 400 and case.status != HTTPStatus.REQUEST_TIMEOUT and not case.data.startswith(b"HEAD"):
            rig = rig_of(Folder(str(site)))
            peer = rig.dial()
            peer.say(case.data)
            rig.run(0.1)
            (answer,) = answers(peer.heard())
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.body.strip()
            rig.reactor.close()


# The same, with everything on one connection, and at random.


def test_all_that_keep_a_connection_on_one_connection(site: Path) -> None:
    cases = [case for case in STATUSES.values() if not case.closes]
    found: dict[str, list[Answer]] = {}
    for parser in sorted(http_head.PARSERS):
        with parsing_with(parser):
            rig = rig_of(Folder(str(site)))
            peer = rig.dial()
            peer.say(b"".join(case.data for case in cases))
            methods = [case.data.partition(b" ")[0].decode() for case in cases]
            found[parser] = answers(heard_of(rig, peer, 1), *methods)
            assert not peer.ended
            rig.reactor.close()
    assert [answer.status for answer in found["h11"]] == [case.status for case in cases]
    assert found["h11"] == found["httptools"]


TELLING = b"\r\n\0\t :;,/%?#-_+aAzZ019\x7f\xff"


def said_to(rig: Rig, data: bytes) -> tuple[bytes, bool, bool]:
    peer = rig.dial()
    peer.say(data)
    rig.run(0.01)
    heard = peer.heard()
    peer.abort()
    return heard, peer.ended, peer.reset


@pytest.mark.parametrize("seed", range(3))
def test_servers_with_either_parser_answer_damaged_requests_alike(site: Path, seed: int) -> None:
    """Down to the byte, and none of them with a bug."""
    random = Random(seed)
    whole = [case.data for case in STATUSES.values() if case.status < 400 and len(case.data) < 200]
    rigs = {}
    for parser in sorted(http_head.PARSERS):
        rigs[parser] = rig_of(Folder(str(site)), seed, capacity_bytes=1 << 21)
    statuses = set()
    for _ in range(400):
        data = bytearray(random.choice(whole))
        for _ in range(random.randrange(1, 3)):
            place = random.randrange(len(data))
            put = random.choices(TELLING, k=random.randrange(3))
            data[place : place + random.randrange(2)] = put
        said = {}
        for parser, rig in rigs.items():
            with parsing_with(parser):
                said[parser] = said_to(rig, bytes(data))
        assert said["h11"] == said["httptools"], f"{bytes(data)!r}: {said}"
        statuses.add(said["h11"][0][9:12])
    for rig in rigs.values():
        assert rig.kinds() == []
        rig.reactor.close()
    assert len(statuses) > 5, statuses
