"""The access log: exactly the combined format, one line for each answer, whatever a client puts into its request."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from partway.protocols import access_log
from partway.protocols.access_log import AccessLog
from partway.protocols.http.head import Head, parse_head
from partway.protocols.http.message import Answered, http_date

WALL = 1_795_350_896.75  # 2026-11-22 12:34:56 UTC
HEAD = Head(
    "GET", b"/x", (1, 1), ((b"host", b"a"), (b"referer", b"https://example.org/"), (b"user-agent", b"curl/8.5"))
)
ANSWERED = Answered(("192.0.2.1", 40000), WALL, HEAD, 200, 1024)
LINE = re.compile(
    rb'(?P<host>[^ ]+) - - \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<size>\d+|-)'
    rb' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"\n'
)


def lines_of(*answers: Answered) -> list[bytes]:
    lines: list[bytes] = []
    log = AccessLog(lines.append)
    for answered in answers:
        log(answered)
    return lines


def line_of(answered: Answered) -> bytes:
    (line,) = lines_of(answered)
    return line


def plain(escaped: bytes) -> bytes:
    """Undo the escapes."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), escaped)


def test_a_line() -> None:
    assert line_of(ANSWERED) == (
        b'192.0.2.1 - - [22/Nov/2026:12:34:56 +0000] "GET /x HTTP/1.1" 200 1024 "https://example.org/" "curl/8.5"\n'
    )


def test_of_a_head_as_it_is_parsed() -> None:
    raw = b'HEAD /a%20b?c=%22 HTTP/1.0\r\nUser-Agent: it\x80 "is"\r\nREFERER: /\r\n\r\n'
    assert line_of(ANSWERED._replace(head=parse_head(raw, 100), status=404, sent=0)) == (
        rb'192.0.2.1 - - [22/Nov/2026:12:34:56 +0000] "HEAD /a%20b?c=%22 HTTP/1.0" 404 - "/" "it\x80 \x22is\x22"'
        + b"\n"
    )


def test_where_there_is_nothing() -> None:
    assert line_of(ANSWERED._replace(head=None, status=408, sent=0)) == (
        b'192.0.2.1 - - [22/Nov/2026:12:34:56 +0000] "-" 408 - "-" "-"\n'
    )
    for headers in ((), ((b"referer", b""), (b"user-agent", b""))):
        head = Head("GET", b"/x", (1, 1), headers)
        assert line_of(ANSWERED._replace(head=head)).endswith(b' "GET /x HTTP/1.1" 200 1024 "-" "-"\n')


def test_the_first_of_two_counts() -> None:
    twice = ((b"referer", b"r1"), (b"user-agent", b"a1"), (b"referer", b"r2"), (b"user-agent", b"a2"))
    assert line_of(ANSWERED._replace(head=Head("GET", b"/x", (1, 1), twice))).endswith(b' "r1" "a1"\n')


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        (("192.0.2.1", 1), b"192.0.2.1"),
        (("2001:db8::1", 1, 0, 0), b"2001:db8::1"),
        (("fe80::1%eth0", 1, 0, 2), b"fe80::1%eth0"),
        ("", b"unix:"),
        ("/run/somebody's own\nname", b"unix:"),
        (b"\0abstract", b"unix:"),
        (None, b"unix:"),
        (('a\n"b\\\x1b\u20ac', 1), rb"a\x0a\x22b\x5c\x1b\xe2\x82\xac"),
        (("\ud800", 1), b"?"),
    ],
)
def test_peers(peer: object, host: bytes) -> None:
    assert line_of(ANSWERED._replace(peer=peer)).startswith(host + b" - - [22/Nov/2026:")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'"', rb"\x22"),
        (b"\\", rb"\x5c"),
        (b"\\x22", rb"\x5cx22"),
        (b"\r\n", rb"\x0d\x0a"),
        (b"\0\t\x1b[2J\x7f", rb"\x00\x09\x1b[2J\x7f"),
        (b"\x80\x9b\xff", rb"\x80\x9b\xff"),
        (b" !#[]~", b" !#[]~"),
    ],
)
def test_escapes(data: bytes, shown: bytes) -> None:
    head = Head("GET", data, (1, 1), ((b"referer", data), (b"user-agent", data)))
    line = line_of(ANSWERED._replace(head=head))
    assert line.endswith(b'] "GET ' + shown + b' HTTP/1.1" 200 1024 "' + shown + b'" "' + shown + b'"\n')


@pytest.mark.parametrize("place", range(3))
def test_one_bad_field_is_enough(place: int) -> None:
    """Also one that has just the bytes that another has too few of."""
    fields = [b"/x", b"r", b"a"]
    fields[place] = b'"'
    head = Head("GET", fields[0], (1, 1), ((b"referer", fields[1]), (b"user-agent", fields[2])))
    assert line_of(ANSWERED._replace(head=head)).count(b'"') == 6


@given(target=st.binary(), referer=st.binary(min_size=1), agent=st.binary(min_size=1))
@example(target=b'"', referer=b"\n", agent=b'\n"')
@example(target=b'/ HTTP/1.1" 200 1 "-" "-"\n192.0.2.2 - - [', referer=b"\\", agent=b"\x1b")
def test_any_bytes_make_one_line_that_reads_back(target: bytes, referer: bytes, agent: bytes) -> None:
    head = Head("GET", target, (1, 1), ((b"referer", referer), (b"user-agent", agent)))
    line = line_of(ANSWERED._replace(head=head))
    match = LINE.fullmatch(line)
    assert match and all(0x20 <= byte < 0x7F for byte in line[:-1])
    assert plain(match["request"]) == b"GET " + target + b" HTTP/1.1"
    assert (plain(match["referer"]), plain(match["agent"])) == (referer, agent)


def test_the_time_is_put_together_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(second: int) -> str:
        made.append(second)
        return http_date(second)

    lines: list[bytes] = []
    log = AccessLog(lines.append)
    monkeypatch.setattr(access_log, "http_date", counted)
    for wall in (WALL, WALL + 0.2, WALL + 0.3, WALL + 2, WALL, WALL + 0.1):
        log(ANSWERED._replace(wall=wall))
    assert made == [int(WALL), int(WALL) + 1, int(WALL) + 2, int(WALL)]
    seconds = [line.partition(b"] ")[0][-8:-6] for line in lines]
    assert seconds == [b"56", b"56", b"57", b"58", b"56", b"56"]


@pytest.mark.parametrize(
    ("wall", "shown"),
    [
        (0.0, b"01/Jan/1970:00:00:00"),
        (-1.0, b"31/Dec/1969:23:59:59"),
        (1e15, b"31/Dec/9999:23:59:59"),
        (951_782_400.0, b"29/Feb/2000:00:00:00"),
    ],
)
def test_times(wall: float, shown: bytes) -> None:
    assert b" [" + shown + b" +0000] " in line_of(ANSWERED._replace(wall=wall))


def test_it_is_utc_and_english_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        http_date.cache_clear()
        assert b"[22/Nov/2026:12:34:56 +0000]" in line_of(ANSWERED)
    finally:
        monkeypatch.undo()
        time.tzset()
