"""Parts of a file: RFC 9110's own examples, and each Range header against a slow model that looks at every byte.

The model takes a header apart by hand and asks of each position whether it was asked for, so it can be wrong only where
the RFC was misread, not by one. Its headers come from a fixed seed.
"""

from email import message_from_bytes
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from partway.protocols.http.ranges import DIGITS_MAX, content_range, parts_of, read_ranges, unsatisfied

FIXED = settings(max_examples=300)
HEAD_BYTES = 32 * 1024
LINEAR_SECONDS = 0.5  # what is linear takes less than 1 ms


def selected(value: bytes, data: bytes, most: int) -> list[bytes] | None:
    """What a Range header selects of these bytes, position by position; None where it is to be ignored."""
    unit, mark, listed = value.decode("latin-1").partition("=")
    members = [member.strip(" \t") for member in listed.split(",")]
    specs = [member for member in members if member]
    if unit not in ("bytes", "Bytes", "BYTES") or not mark:
        return None
    if not specs or len(specs) > most or len(members) > 2 * most + 1:
        return None
    pieces = []
    for spec in specs:
        first, dash, last = spec.partition("-")
        if not dash or not first + last or set(first + last) - set("0123456789") or max(len(first), len(last)) > 32:
            return None
        if first and last and int(last) < int(first):
            return None
        places = range(len(data))
        if first:
            wanted = [place for place in places if place >= int(first) and (not last or place <= int(last))]
        else:
            wanted = [place for place in places if place >= len(data) - int(last)]
        pieces.append(bytes(data[place] for place in wanted))
    pieces = [piece for piece in pieces if piece]
    return None if sum(map(len, pieces)) > len(data) else pieces


def sliced(value: bytes, data: bytes, most: int) -> list[bytes] | None:
    """The same, by way of what is tested. Asserts that nothing lies outside."""
    ranges = read_ranges(value, len(data), most)
    if ranges is None:
        return None
    assert all(count > 0 and offset >= 0 and offset + count <= len(data) for offset, count in ranges), ranges
    return [data[offset : offset + count] for offset, count in ranges]


@pytest.mark.parametrize(
    ("value", "expected"),
    [  # RFC 9110, 14.1.2, of 10,000 bytes
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=500-999", [(500, 500)]),
        (b"bytes=-500", [(9500, 500)]),
        (b"bytes=9500-", [(9500, 500)]),
        (b"bytes=0-0,-1", [(0, 1), (9999, 1)]),
        (b"bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 1000), (9000, 1000)]),
        (b"bytes=500-600,601-999", [(500, 101), (601, 399)]),
        (b"bytes=500-700,601-999", [(500, 201), (601, 399)]),
    ],
)
def test_the_rfcs_examples(value: bytes, expected: list[tuple[int, int]]) -> None:
    assert read_ranges(value, 10_000, 3) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-", [(0, 10)]),
        (b"bytes=0-9", [(0, 10)]),
        (b"bytes=0-10", [(0, 10)]),
        (b"bytes=9-9", [(9, 1)]),
        (b"bytes=9-", [(9, 1)]),
        (b"bytes=9-99999", [(9, 1)]),
        (b"bytes=-1", [(9, 1)]),
        (b"bytes=-10", [(0, 10)]),
        (b"bytes=-11", [(0, 10)]),
        (b"bytes=007-08", [(7, 2)]),
        (b"bytes=0-18446744073709551615", [(0, 10)]),
        (b"bytes=-18446744073709551615", [(0, 10)]),
        (b"Bytes=0-1", [(0, 2)]),  # a unit is case-insensitive
        (b"BYTES=0-1", [(0, 2)]),
        (b"bytes=5-6,0-1", [(5, 2), (0, 2)]),  # in the order asked for
        (b"bytes=,\t0-1 ,, 5-6\t,", [(0, 2), (5, 2)]),
        (b"bytes=0-4,5-9", [(0, 5), (5, 5)]),
        (b"bytes=0-1,10-20", [(0, 2)]),  # what lies outside is left out
        (b"bytes=-0,0-1", [(0, 2)]),
        (b"bytes=10-,0-1,99-", [(0, 2)]),
    ],
)
def test_what_is_given(value: bytes, expected: list[tuple[int, int]]) -> None:
    assert read_ranges(value, 10, 4) == expected


@pytest.mark.parametrize(
    "value", [b"bytes=10-", b"bytes=10-10", b"bytes=-0", b"bytes=10-,-0,11-12", b"bytes=99999999999999999999999-"]
)
def test_what_is_not_there(value: bytes) -> None:
    assert read_ranges(value, 10, 4) == []


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=0-0", b"bytes=-1", b"bytes=0-,-5"])
def test_nothing_has_no_parts(value: bytes) -> None:
    assert read_ranges(value, 0, 4) == []


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"bytes", b"bytes=", b"bytes=,", b"bytes= , ,", b"=0-1", b"0-1", b"-", b"bytes=-", b"bytes=--1"),
        *(b"items=0-1", b"byte=0-1", b"bytes =0-1", b" bytes=0-1", b"bytes:0-1", b"bytes 0-1/10", b"bytes==0-1"),
        *(b"bytes=1", b"bytes=a-b", b"bytes=0-b", b"bytes=a-0", b"bytes=0 -1", b"bytes=0- 1", b"bytes=0-1-2"),
        *(b"bytes=0--1", b"bytes=+0-1", b"bytes=0-+1", b"bytes=0_0-1", b"bytes=0x0-1", b"bytes=0.0-1", b"bytes=1e0-"),
        *(b"bytes=0-1;2-3", b"bytes=0-1 2-3", b"bytes=0-1, x", b"bytes=0-1,bytes=2-3", b"bytes=0-\xb2", b"bytes=\xff-"),
        *(b"bytes=1-0", b"bytes=20-19", b"bytes=0-1,1-0", b"bytes=9-8,0-1", b"bytes=-1-", b"bytes=0-1\n", b"none"),
    ],
)
def test_what_is_malformed_is_ignored(value: bytes) -> None:
    assert read_ranges(value, 10, 4) is None


@pytest.mark.parametrize(
    "value",
    [b"bytes=0-,0-", b"bytes=0-5,5-9", b"bytes=-10,0-0", b"bytes=0-,-1", b"bytes=0-4,0-4,0-0", b"bytes=0-,0-0,99-"],
)
def test_more_than_the_whole_is_ignored(value: bytes) -> None:
    assert read_ranges(value, 10, 4) is None


def test_so_many_and_no_more() -> None:
    assert read_ranges(b"bytes=0-0,2-2,4-4", 10, 3) == [(0, 1), (2, 1), (4, 1)]
    assert read_ranges(b"bytes=0-0,2-2,4-4,6-6", 10, 3) is None
    assert read_ranges(b"bytes=0-0,10-,11-,12-", 10, 3) is None, "what lies outside counts too"
    assert read_ranges(b"bytes=0-0", 10, 1) == [(0, 1)]
    assert read_ranges(b"bytes=0-0", 10, 0) is None


def test_so_many_commas_and_no_more() -> None:
    assert read_ranges(b"bytes=0-0" + b"," * 6, 10, 3) == [(0, 1)]
    assert read_ranges(b"bytes=0-0" + b"," * 7, 10, 3) is None


def test_so_many_digits_and_no_more() -> None:
    longest = b"%0*d" % (DIGITS_MAX, 1)
    assert read_ranges(b"bytes=" + longest + b"-" + longest, 10, 1) == [(1, 1)]
    assert read_ranges(b"bytes=-" + longest, 10, 1) == [(9, 1)]
    for value in (b"bytes=0%s-1", b"bytes=0-0%s", b"bytes=-0%s"):
        assert read_ranges(value % longest, 10, 1) is None


SIZES = st.integers(0, 12)
PLACES = st.integers(0, 14).map(str) | st.sampled_from(["00", "007", "99999999999999999999", "1" * 32, "1" * 33])
SPECS = st.one_of(
    st.tuples(PLACES, PLACES).map("-".join),
    PLACES.map(lambda place: f"{place}-"),
    PLACES.map(lambda place: f"-{place}"),
    st.just(""),
)
SPACES = st.sampled_from(["", "", "", " ", "\t "])
MEMBERS = st.tuples(SPACES, SPECS, SPACES).map("".join)
WELL_FORMED = st.tuples(
    st.sampled_from(["bytes=", "Bytes=", "bytes=", "items="]), st.lists(MEMBERS, max_size=5).map(",".join)
).map("".join)
LOOSE = st.lists(st.sampled_from([*"0019--, x=", "bytes=", "\t"]), max_size=8).map("".join).map("bytes={}".format)


@FIXED
@given(WELL_FORMED, SIZES, st.integers(0, 4))
@example("bytes=0-0,-1", 10, 2)
def test_the_slow_model_selects_the_same(text: str, size: int, most: int) -> None:
    data = bytes(range(65, 65 + size))
    assert sliced(text.encode(), data, most) == selected(text.encode(), data, most)


@FIXED
@given(LOOSE, SIZES, st.integers(0, 4))
@example("bytes=0-1,,", 10, 1)
@example("bytes=0-1,,,", 10, 1)
def test_and_ignores_the_same(text: str, size: int, most: int) -> None:
    data = bytes(range(65, 65 + size))
    assert sliced(text.encode(), data, most) == selected(text.encode(), data, most)


HOSTILE = [b",", b"0-0,", b"0", b"9", b"-", b" ", b" ,", b"0-", b"=", b"0-0 ", b"\t,0"]


@pytest.mark.parametrize("piece", HOSTILE, ids=str)
def test_a_whole_head_of_it_takes_no_time(piece: bytes) -> None:
    before = process_time()
    for start in (b"bytes=", b"bytes=0-", b"bytes=-", b"bytes=0-0,", b""):
        value = start + piece * (HEAD_BYTES // len(piece))
        assert piece == b" " or read_ranges(value, 10, 16) is None  # spaces are nothing
        assert read_ranges(value + b"x", 10, 16) is None
    assert process_time() - before < LINEAR_SECONDS


# How they are sent.


def test_what_a_part_says_of_itself() -> None:
    assert content_range(42, 1192, 1234) == "bytes 42-1233/1234"  # RFC 9110, 14.4
    assert content_range(0, 1, 1) == "bytes 0-0/1"
    assert unsatisfied(1234) == "bytes */1234"
    assert unsatisfied(0) == "bytes */0"


def test_several_parts() -> None:
    heads, closing, total = parts_of([(500, 500), (7000, 1000)], 8000, "application/pdf", "THIS_STRING_SEPARATES")
    assert heads == [  # RFC 9110, 15.3.7.2
        b"--THIS_STRING_SEPARATES\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-999/8000\r\n\r\n",
        b"\r\n--THIS_STRING_SEPARATES\r\nContent-Type: application/pdf\r\nContent-Range: bytes 7000-7999/8000\r\n\r\n",
    ]
    assert closing == b"\r\n--THIS_STRING_SEPARATES--\r\n"
    assert total == len(heads[0]) + 500 + len(heads[1]) + 1000 + len(closing)


@pytest.mark.parametrize("value", [b"bytes=0-0", b"bytes=0-3,5-9", b"bytes=-3,0-2,4-4", b"bytes=9-9,8-8,7-7,6-6"])
def test_a_reader_of_mail_takes_them_apart_again(value: bytes) -> None:
    data = b"abc\r\nde\nfg"
    ranges = read_ranges(value, len(data), 4)
    assert ranges
    heads, closing, total = parts_of(ranges, len(data), "text/plain; charset=utf-8", "x1")
    pieces = [data[offset : offset + count] for offset, count in ranges]
    body = b"".join(head + piece for head, piece in zip(heads, pieces, strict=True)) + closing
    assert len(body) == total
    message = message_from_bytes(b"Content-Type: multipart/byteranges; boundary=x1\r\n\r\n" + body)
    assert not message.defects
    parts = [part for part in message.walk() if part is not message]
    assert [part["Content-Range"] for part in parts] == [content_range(*part, len(data)) for part in ranges]
    assert [part["Content-Type"] for part in parts] == ["text/plain; charset=utf-8"] * len(ranges)
    assert [part.get_payload(decode=True) for part in parts] == pieces


@pytest.mark.parametrize(("kind", "boundary"), [("a/b\r\nX: y", "b"), ("a/b\n", "b"), ("a/b", "b\r"), ("a/b", "\nb")])
def test_no_line_break_gets_into_a_part(kind: str, boundary: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        parts_of([(0, 1)], 1, kind, boundary)
