"""Requests' bodies: framed by a length or in chunks, collected or taken as they arrive, and every way to do that wrong.

What a body's bytes mean must not depend on how they came, so good ones go through `check_machine`, and all chunks, good
and bad, are held against a second reading of RFC 9112, 7.1, that is slow and knows nothing of pieces.
"""

import errno
import os
from collections.abc import Callable
from io import BytesIO
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asking import (
    BIG,
    GET,
    answers,
    ask,
    asked,
    chunked,
    heard_of,
    move,
    post,
    post_chunks,
    request,
    returns,
    rig_of,
    status_of,
)
from checker import check_machine
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.engine import CLOSE, IDLE, NEXT, PARK, READ, Cause, Inbox, Limits, PeerError, Read, Row, Wait, Want
from partway.protocols.http import Answered, Http, Request, Response, Server, Taker
from partway.protocols.http import spool as spools
from partway.protocols.http.connection import CONTINUE
from partway.protocols.http.framing import CHUNKS_A_STEP, Framing
from partway.protocols.http.head import CHUNKED
from partway.protocols.http.spool import Spool
from worlds import SEEDS, Rig

LIMITS = Limits()
FIXED = settings(max_examples=300)
ODD = bytes(range(256)) + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"  # a body like this is nothing but bytes
NOBODY: Any = SimpleNamespace(reaped=True)  # a row that counts nothing


def shows(request: Request) -> Response:
    """Answer with all that came after the head."""
    body = b"" if request.body is None else request.body.open().read()
    return Response(200, (), body + b"".join(b"|%b=%b" % field for field in request.trailers))


# Bodies that are collected.


def test_bodies_with_a_length() -> None:
    data = post(b"") + post(ODD) + post(b"x") + post(b"then")
    said = check_machine(Server(shows), data, trailing=GET, seed=1, splits=3)
    assert [answer.body for answer in answers(said)] == [b"", ODD, b"x", b"then"]


BODIES = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "many": (chunked(*(b"%d" % number for number in range(40))), b"".join(b"%d" % number for number in range(40))),
    "odd": (chunked(ODD), ODD),
    "in capitals": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "in small letters": (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "with zeros before": (b"000000000000005\r\nhello\r\n00000\r\n\r\n", b"hello"),
    "extended": (b"5;a=b\r\nhello\r\n0;last\r\n\r\n", b"hello"),
    "extended with blanks": (b'5 \t; a = "b;c"\t;\xe9\r\nhello\r\n0\r\n\r\n', b"hello"),
    "with trailers": (b"5\r\nhello\r\n0\r\nX-T: v:w\r\ny:\t z \t\r\nE:\r\n\r\n", b"hello|x-t=v:w|y=z|e="),
    "with trailers alone": (b"0\r\nX: \xe9\r\n\r\n", b"|x=\xe9"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_chunks(name: str) -> None:
    wire, body = BODIES[name]
    assert [answer.body for answer in asked(post_chunks(wire) + post(b"then"), handler=shows)[0]] == [body, b"then"]


def test_bodies_in_chunks_however_they_come() -> None:
    data = b"".join(post_chunks(wire) for wire, _ in BODIES.values())
    said = check_machine(Server(shows), data, trailing=GET, seed=1, splits=3)
    assert [answer.body for answer in answers(said)] == [body for _, body in BODIES.values()]


@pytest.mark.parametrize(
    "data",
    [post(b"x" * 4000), post_chunks(chunked(*[b"x"] * 700)), post_chunks(b"5;" + b"e" * 1000 + b"\r\nhello\r\n" * 3)],
    ids=["a length", "small chunks", "a long line"],
)
def test_a_long_body_costs_the_same_a_byte(data: bytes) -> None:
    check_machine(Server(shows), b"", seed=1, splits=0, long_input=data)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_that_ends_within_a_body_gets_no_answer(seed: int) -> None:
    for data in (post(b"hello")[:-1], post_chunks(chunked(b"hello"))[:-1], post_chunks(b"")):
        rig = rig_of(shows, seed)
        peer = rig.dial()
        peer.say(GET + data)
        peer.half_close()
        rig.run(1)
        assert len(answers(peer.heard())) == 1 and peer.ended
        assert rig.ended == {str(Cause.CUT_SHORT): 1}


def test_a_body_before_1_1() -> None:
    data = post(b"hello", b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    found, peer, _ = asked(data * 2, handler=returns)
    assert [answer.body for answer in found] == [b"hello"] * 2
    assert not peer.ended


def test_bodies_count_in_the_table_while_they_are_collected() -> None:
    rig = rig_of(shows)
    peer = ask(rig, post(b"x" * 1000)[:-1], 0.1)
    assert rig.rows[0].held == rig.reactor.table.held == 999
    assert rig.reactor.row(rig.rows[0].key).machine == "takes the body of POST"  # type: ignore[union-attr]
    peer.say(b"x")
    rig.run(0.1)
    assert rig.reactor.table.held == 0


# Spools.


def spool_of(rig: Rig) -> Spool:
    """What collects the body of the only row."""
    machine = cast(Http, rig.rows[0].machine)
    assert machine.intake is not None
    return cast(Any, machine.intake.taker).spool  # type: ignore[no-any-return]


SMALL = Limits(spool_bytes=1000, body_bytes=5000)


@pytest.mark.parametrize("framed", [post, lambda body: post_chunks(chunked(body))], ids=["length", "chunks"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_body_is_in_memory_up_to_a_limit_and_then_in_a_file(seed: int, framed: Callable[[bytes], bytes]) -> None:
    for size in (1000, 1001, 5000):
        rig = rig_of(shows, seed, limits=SMALL)
        data = framed(BIG[:size])
        peer = ask(rig, data[:-1])
        spool = spool_of(rig)
        assert (spool._file is None) is (size <= 1000 or len(spool) <= 1000)
        assert len(spool._memory) == (0 if spool._file is not None else len(spool))
        peer.say(data[-1:])
        rig.run(0.1)
        assert answers(peer.heard())[0].body == BIG[:size]
        assert spool._file is None and rig.reactor.table.held == 0
        rig.reactor.close()


@pytest.mark.parametrize("size", [10, 3000])
@pytest.mark.parametrize("how", ["aborted", "killed", "ended", "closed"])
def test_a_body_is_forgotten_however_its_row_ends(size: int, how: str) -> None:
    rig = rig_of(shows, limits=SMALL)
    peer = ask(rig, post(BIG[:size])[:-1])
    spool = spool_of(rig)
    assert (spool._file is None) is (size == 10)
    if how == "aborted":
        peer.abort()
    elif how == "killed":
        rig.reactor.kill(rig.rows[0].key)
    elif how == "ended":
        peer.close()
    else:
        rig.reactor.close()
    if how != "closed":
        rig.run(6)
    assert not rig.rows
    assert spool._file is None and len(spool._memory) == 0
    assert rig.reactor.table.held == 0


def test_a_spool_is_read_as_often_as_one_likes() -> None:
    for most in (3, 1000):
        row: Any = SimpleNamespace(reaped=True, limits=Limits(spool_bytes=most))
        spool = Spool(row)
        for piece in (b"he", b"l", b"lo"):
            spool.feed(piece)
        assert len(spool) == 5
        assert spool.open().read(3) == b"hel"
        assert spool.open().read() == spool.value() == b"hello"
        spool.close()
        spool.close()
        assert spool.value() == b""


@pytest.mark.parametrize("size", [10, 3000])
def test_frozen_within_a_body(size: int) -> None:
    rig = rig_of(returns, limits=SMALL)
    data = post(BIG[:size]) + post_chunks(chunked(BIG[:3], BIG[3:size]), b"Expect: 100-continue")
    peer = rig.dial()
    for place in range(0, len(data), size // 10):
        peer.say(data[place : place + size // 10])
        rig.run(0.01)
        move(rig)
        assert rig.rows[0].held <= max(size // 10, SMALL.spool_bytes) + 100
    heard = peer.heard().replace(CONTINUE, b"")
    assert [answer.body for answer in answers(heard)] == [BIG[:size]] * 2
    assert rig.rows[0].held == 0


def test_a_body_whose_row_has_gone_thaws_as_nothing() -> None:
    spool: Any = Spool.__new__(Spool)
    spool.__setstate__((None, b"hello"))
    assert len(spool) == 0


class FullDisk(BytesIO):
    """A file on a disk that takes no more: what Python has buffered fails when it leaves, and again at closing."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_descriptor() -> BytesIO:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("disk", [FullDisk, no_descriptor])
def test_a_full_disk_is_503(disk: Callable[[], BytesIO], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BytesIO] = []

    def temporary() -> BytesIO:
        made.append(disk())
        return made[-1]

    monkeypatch.setattr(spools, "_temporary_file", temporary)
    log: list[Answered] = []
    rig = rig_of(returns, limits=SMALL, log=log.append)
    peer = ask(rig, post(BIG[:3000]) + GET)
    other = ask(rig, post(b"small"))
    assert [answer.status for answer in answers(peer.heard())] == [503]
    assert peer.ended and not peer.reset
    assert answers(other.heard())[0].body == b"small"
    rig.run(6)
    assert rig.kinds() == []
    assert all(file.closed for file in made)
    assert [answered.status for answered in log] == [200, 503]


# How large a body may be.


@pytest.mark.parametrize("size", [5000, 5001, 10**18 - 1])
def test_a_length_that_is_too_much_is_refused_at_once(size: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size
    rig = rig_of(returns, limits=SMALL)
    peer = ask(rig, head)
    heard = peer.heard()
    if size == 5000:
        assert heard == CONTINUE
        return
    assert [answer.status for answer in answers(heard)] == [413]
    assert peer.ended and not peer.reset


@pytest.mark.parametrize("seed", SEEDS)
def test_chunks_that_are_too_much_are_refused_as_soon_as_they_are(seed: int) -> None:
    chunk = chunked(BIG[:1000])[: -len(b"0\r\n\r\n")]
    found, _, _ = asked(post_chunks(chunk * 5 + b"0\r\n\r\n"), handler=returns, limits=SMALL, seed=seed)
    assert found[0].body == BIG[:1000] * 5
    rig = rig_of(returns, seed, limits=SMALL)
    peer = rig.dial()
    peer.say(post_chunks(chunk * 1000))
    most = 0
    while not (heard := peer.heard()):
        rig.reactor.step(1)
        most = max(most, rig.reactor.table.held)
    assert [answer.status for answer in answers(heard)] == [413]
    assert most <= SMALL.spool_bytes + 2 * LIMITS.receive_bytes
    rig.run(6)
    assert peer.ended or peer.reset
    assert not rig.rows


def test_a_chunk_that_promises_too_much_is_refused_when_it_gives_it() -> None:
    assert status_of(post_chunks(b"%x\r\n" % (1 << 59) + BIG[:5001]), handler=returns, limits=SMALL) == 413


# Chunks that are none.

TRAILERS_MOST = b"".join(b"X-%d: y\r\n" % number for number in range(100))
MALFORMED = {
    "a plus": (b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "a minus": (b"-5\r\nhello\r\n0\r\n\r\n", 400),
    "an underscore": (b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n", 400),
    "0x": (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "a blank before": (b" 5\r\nhello\r\n0\r\n\r\n", 400),
    "a blank behind": (b"5 \r\nhello\r\n0\r\n\r\n", 400),
    "a tab behind": (b"5\t\r\nhello\r\n0\r\n\r\n", 400),
    "a blank within": (b"1 0\r\n0123456789abcdef\r\n0\r\n\r\n", 400),
    "no size": (b"\r\nhello\r\n0\r\n\r\n", 400),
    "an extension alone": (b";a=b\r\nhello\r\n0\r\n\r\n", 400),
    "no digit": (b"g\r\nhello\r\n0\r\n\r\n", 400),
    "a comma": (b"5,5\r\nhello\r\n0\r\n\r\n", 400),
    "a digit from elsewhere": ("５\r\nhello\r\n0\r\n\r\n".encode(), 400),
    "sixteen digits": (b"0000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    "over 64 bits": (b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    "all ones": (b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
    "a bare LF": (b"5\nhello\r\n0\r\n\r\n", 400),
    "a bare CR": (b"5\rhello\r\n0\r\n\r\n", 400),
    "CR CR LF": (b"5\r\r\nhello\r\n0\r\n\r\n", 400),
    "a NUL": (b"5\0\r\nhello\r\n0\r\n\r\n", 400),
    "nothing after the data": (b"5\r\nhello0\r\n\r\n", 400),
    "a bare LF after the data": (b"5\r\nhello\n0\r\n\r\n", 400),
    "a bare CR after the data": (b"5\r\nhello\r0\r\n\r\n", 400),
    "one byte more than it says": (b"5\r\nhello!", 400),
    "more data than it says": (b"5\r\nhello!\r\n0\r\n\r\n", 400),
    "less data than it says": (b"5\r\nhell\r\n0\r\n\r\n", 400),
    "a control in an extension": (b"5;a\x01\r\nhello\r\n0\r\n\r\n", 400),
    "a NUL in an extension": (b"5;a\0\r\nhello\r\n0\r\n\r\n", 400),
    "DEL in an extension": (b"5;a\x7f\r\nhello\r\n0\r\n\r\n", 400),
    "a bare LF in an extension": (b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "a bare CR in an extension": (b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    "a line that is too long": (b"5;" + b"x" * (LIMITS.chunk_line_bytes - 1) + b"\r\nhello\r\n0\r\n\r\n", 400),
    "a line without end": (b"5;" + b"x" * 2 * LIMITS.chunk_line_bytes, 400),
    "a later chunk": (b"5\r\nhello\r\n5 \r\nhello\r\n0\r\n\r\n", 400),
    "a trailer without colon": (b"0\r\nX\r\n\r\n", 400),
    "a trailer without name": (b"0\r\n: x\r\n\r\n", 400),
    "a blank before a trailer's colon": (b"0\r\nX : y\r\n\r\n", 400),
    "a folded trailer": (b"0\r\nX: y\r\n z\r\n\r\n", 400),
    "a control in a trailer": (b"0\r\nX: \x01\r\n\r\n", 400),
    "a bare LF in a trailer": (b"0\r\nX: y\nZ: z\r\n\r\n", 400),
    "a bare CR in a trailer": (b"0\r\nX: y\rz\r\n\r\n", 400),
    "a bare CR before the end": (b"0\r\n\rX: y\r\n\r\n", 400),
    "too many trailers": (b"0\r\n" + TRAILERS_MOST + b"X: y\r\n\r\n", 431),
    "trailers that are too long": (b"0\r\nX: " + b"y" * (LIMITS.head_bytes - 6) + b"\r\n\r\n", 431),
    "trailers without end": (b"0\r\n" + b"X: y\r\n" * 10_000, 431),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_chunks_are_refused_and_the_connection_is_closed(name: str) -> None:
    wire, status = MALFORMED[name]
    handled: list[Request] = []

    def handler(request: Request) -> Response:
        handled.append(request)
        return Response(200)

    assert status_of(post_chunks(wire), handler=handler) == status
    assert not handled
    found, peer, _ = asked(GET + post_chunks(wire + GET))
    assert [answer.status for answer in found] == [200, status]
    assert peer.ended


NARROW = Limits(chunk_line_bytes=100, line_bytes=100, head_bytes=200, headers_max=3)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"5;" + b"x" * 98 + b"\r\nhello\r\n0\r\n\r\n", 200),
        (b"5;" + b"x" * 99 + b"\r\nhello\r\n0\r\n\r\n", 400),
        (b"0\r\n" + b"X: y\r\n" * 3 + b"\r\n", 200),
        (b"0\r\n" + b"X: y\r\n" * 4 + b"\r\n", 431),
        (b"0\r\nX: " + b"y" * (200 - len(b"X: \r\n\r\n")) + b"\r\n\r\n", 200),
        (b"0\r\nX: " + b"y" * (201 - len(b"X: \r\n\r\n")) + b"\r\n\r\n", 431),
    ],
)
def test_as_much_around_a_body_as_may_be_however_it_comes(wire: bytes, status: int) -> None:
    """A line's end can come in halves."""
    for pieces in ([wire], [bytes([byte]) for byte in wire]):
        rig = rig_of(shows, limits=NARROW)
        peer = rig.dial()
        peer.say(post_chunks(b""))
        for piece in pieces:
            rig.run(0.01)
            peer.say(piece)
        rig.run(0.01)
        assert [answer.status for answer in answers(peer.heard())] == [status]
        rig.reactor.close()


# The same, read a second time.

TIGHT = Limits(chunk_line_bytes=12, line_bytes=20, head_bytes=20, headers_max=2)
BAD, MORE = "bad", "more"
Reading = tuple[str | int, bytes, tuple[tuple[bytes, bytes], ...], bytes]


def read_slowly(data: bytes) -> Reading:
    """Read a whole chunked body as RFC 9112, 7.1, puts it: how it ended, the body, its trailers, what is left.

    What an extension says is nobody's business as long as it is text. How long numbers and lines may be is ours.
    """
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if len(line) > TIGHT.chunk_line_bytes + (not end):
            return 400, body, (), b""
        if not end:
            return MORE, body, (), b""
        size, mark, extension = line.partition(b";")
        digits = size.rstrip(b" \t") if mark else size
        if not digits or len(digits) > 15 or any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
            return 400, body, (), b""
        if any(byte != 9 and (byte < 32 or byte == 127) for byte in extension):
            return 400, body, (), b""
        count = 0
        for digit in digits.lower():
            count = 16 * count + b"0123456789abcdef".index(digit)
        if not count:
            return read_trailers(body, rest)
        body += rest[:count]
        data = rest[count:]
        if not b"\r\n".startswith(data[:2]):
            return 400, body, (), b""
        if len(data) < 2:
            return MORE, body, (), b""
        data = data[2:]


def read_trailers(body: bytes, data: bytes) -> Reading:
    fields: list[tuple[bytes, bytes]] = []
    if data.startswith(b"\r\n"):
        return "done", body, (), data[2:]
    section, end, rest = data.partition(b"\r\n\r\n")
    if len(section + end) > TIGHT.head_bytes:
        return 431, body, (), b""
    if not end:
        return MORE, body, (), b""
    lines = section.split(b"\r\n")
    if len(lines) > TIGHT.headers_max:
        return 431, body, (), b""
    for line in lines:
        name, colon, value = line.partition(b":")
        token = all(byte in b"!#$%&'*+-.^_`|~" or (byte < 128 and chr(byte).isalnum()) for byte in name)
        if not (name and token and colon) or any(byte != 9 and (byte < 32 or byte == 127) for byte in value):
            return 400, body, (), b""
        fields.append((name.lower(), value.strip(b" \t")))
    return "done", body, tuple(fields), rest


def read_by_framing(pieces: list[bytes]) -> Reading:
    """What `Framing` makes of these pieces."""
    framing, inbox = Framing(CHUNKED), Inbox(NOBODY)
    body = b""
    for piece in pieces:
        inbox.feed(piece)
        try:
            while True:
                before = len(inbox)
                body += framing.take(inbox, TIGHT)
                if len(inbox) == before or framing.done:
                    break
        except PeerError as error:
            return error.hint, body, (), b""
    if not framing.done:
        return MORE, body, (), b""
    return "done", body, framing.trailers, inbox.take()


def assert_same_reading(data: bytes, random: Random) -> str | int:
    expected = read_slowly(data)
    whole = read_by_framing([data])
    bytewise = read_by_framing([data[place : place + 1] for place in range(len(data))])
    cut = random.randrange(len(data) + 1)
    halves = read_by_framing([data[:cut], data[cut:]])
    for how, got in (("whole", whole), ("byte by byte", bytewise), (f"cut at {cut}", halves)):
        assert got[0] == expected[0], f"{how}: {data!r}: {got} instead of {expected}"
        if expected[0] == "done":
            assert got[:3] == expected[:3], f"{how}: {data!r}: {got} instead of {expected}"
        else:
            assert expected[1].startswith(got[1]), f"{how}: {data!r}: a body of {got[1]!r}"
    assert whole[3] == expected[3]
    return expected[0]


SIZES: tuple[bytes, ...] = (b"0", b"00", b"1", b"3", b"5", b"a", b"A", b"00b", b"10", b"f" * 15, b"1" * 16)
SIZES += (b"+1", b"-1", b"0x1", b"1_0", b" 1", b"1 ", b"", b"g")
MARKS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b";", b" ;x=y", b";\x01", b"X: y", b":", b" ")
PIECES = st.one_of(st.sampled_from(SIZES), st.sampled_from(MARKS), st.binary(max_size=16))


@FIXED
@given(pieces=st.lists(PIECES, max_size=12), seed=st.integers(0, 9))
def test_anything_is_read_as_the_book_says(pieces: list[bytes], seed: int) -> None:
    assert_same_reading(b"".join(pieces), Random(seed))


def test_damaged_chunks_are_read_as_the_book_says() -> None:
    random = Random(7)
    good = [wire for wire, _ in BODIES.values() if len(wire) < 200]
    good += [b"3;a\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\nGET /", b"1\r\na\r\n2 ;b\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n"]
    telling = b'\0\t\n\r 019aAfFgxX+-_;:,="\x7f\x80\xff'
    seen: dict[str | int, int] = {}
    for _ in range(3000):
        data = bytearray(random.choice(good))
        for _ in range(random.randrange(3)):
            place = random.randrange(len(data))
            data[place : place + random.randrange(3)] = random.choices(telling, k=random.randrange(3))
        how = assert_same_reading(bytes(data), random)
        seen[how] = seen.get(how, 0) + 1
    assert min(seen[how] for how in ("done", MORE, 400)) > 100, f"hardly worth the trouble: {seen}"


def test_one_step_reads_so_many_chunks() -> None:
    framing, inbox = Framing(CHUNKED), Inbox(NOBODY)
    inbox.feed(chunked(*[b"x"] * (2 * CHUNKS_A_STEP)))
    assert [len(framing.take(inbox, LIMITS)) for _ in range(3)] == [CHUNKS_A_STEP, CHUNKS_A_STEP, 0]
    assert framing.done
    assert framing.take(inbox, LIMITS) == b""


# Bodies that are taken as they arrive.


class Taking:
    """A handler that has its bodies taken; `act(taker, request)` is what a taker's step does."""

    def __init__(self, act: Callable[["Taken"], Any]) -> None:
        self.act = act
        self.made: list[Taken] = []

    def begin(self, request: Request) -> Taker | None:
        if request.method == "GET":
            return None
        self.made.append(Taken(request, self.act))
        return self.made[-1]

    def __call__(self, request: Request) -> Response:
        return Response(200, (), b"got")


class Taken:
    """Takes a body and remembers how it came."""

    def __init__(self, request: Request, act: Callable[["Taken"], Any]) -> None:
        self.request = request
        self.act = act
        self.fed: list[bytes] = []
        self.steps = 0
        self.closed = 0

    @property
    def over(self) -> bool:
        return b"" in self.fed

    def feed(self, data: bytes) -> None:
        assert not self.over, "fed after the end"
        self.fed.append(data)

    def step(self) -> Want | Response:
        self.steps += 1
        return self.act(self)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed += 1


def whole(taker: Taken) -> Any:
    """Ask for more until all is there."""
    return Response(200, (), b"%d" % len(b"".join(taker.fed))) if taker.over else READ


FRAMED = pytest.mark.parametrize(
    "framed", [post, lambda body, *lines: post_chunks(chunked(body), *lines)], ids=["length", "chunks"]
)


@FRAMED
@pytest.mark.parametrize("seed", SEEDS)
def test_a_taker_has_the_body_as_it_arrives(seed: int, framed: Callable[[bytes], bytes]) -> None:
    handler = Taking(whole)
    rig = rig_of(handler, seed)
    peer = rig.dial()
    data = framed(BIG[:90_000])
    for place in range(0, len(data), 10_000):
        peer.say(data[place : place + 10_000])
        rig.run(0.1)
        if place < 80_000:
            assert len(b"".join(handler.made[0].fed)) > place - 1000
            assert rig.reactor.table.held == 0
    assert answers(peer.heard())[0].body == b"90000"
    assert b"".join(handler.made[0].fed) == BIG[:90_000]
    assert handler.made[0].fed[-1] == b"" and handler.made[0].closed == 1
    peer.say(GET)
    rig.run(0.1)
    assert answers(peer.heard())[0].body == b"got", "the connection did not go on"


def test_a_taker_of_nothing_is_told_so() -> None:
    handler = Taking(whole)
    data = post(b"") + post_chunks(b"0\r\nX: y\r\n\r\n") + b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n" + GET
    assert [answer.body for answer in asked(data, handler=handler)[0]] == [b"0", b"0", b"0", b"got"]
    assert [taker.fed for taker in handler.made] == [[b""]] * 3
    assert [taker.request.trailers for taker in handler.made] == [(), ((b"x", b"y"),), ()]


def parks(taker: Taken) -> Any:
    """Take one piece, and then no more until woken."""
    if taker.over:
        return Response(200)
    return READ if taker.steps % 2 else PARK


@FRAMED
@pytest.mark.parametrize("seed", SEEDS)
def test_a_taker_that_is_parked_holds_its_client_back(seed: int, framed: Callable[[bytes], bytes]) -> None:
    handler = Taking(parks)
    rig = rig_of(handler, seed)
    peer = ask(rig, framed(BIG))
    for _ in range(1000):
        if handler.made[0].over:
            break
        assert rig.states == ["WAITING"]
        before = (len(handler.made[0].fed), rig.rows[0].received)
        rig.run(1)
        assert (len(handler.made[0].fed), rig.rows[0].received) == before, "fed although it did not ask"
        assert rig.reactor.table.held <= LIMITS.receive_bytes
        rig.rows[0].wake()
        rig.run(0.01)
    assert b"".join(handler.made[0].fed) == BIG
    assert [answer.status for answer in answers(peer.heard())] == [200]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_taker_that_wakes_finds_what_had_come(seed: int) -> None:
    """All chunks have come, more than one step reads; nothing else will, and still it must get all of them."""
    handler = Taking(parks)
    rig = rig_of(handler, seed)
    peer = ask(rig, post_chunks(chunked(*[b"x"] * 200)), 0.1)
    for _ in range(20):
        if rig.states == ["WAITING"]:
            rig.rows[0].wake()
        rig.run(0.01)
    assert [answer.status for answer in answers(peer.heard())] == [200]
    assert b"".join(handler.made[0].fed) == b"x" * 200
    assert max(map(len, handler.made[0].fed)) == CHUNKS_A_STEP


def test_a_taker_that_is_woken_is_fed_no_more_until_it_asks() -> None:
    asks = [False]

    def stubborn(taker: Taken) -> Any:
        return READ if asks.pop() else PARK

    handler = Taking(stubborn)
    rig = rig_of(handler)
    ask(rig, post_chunks(chunked(*[b"x"] * 200)), 0.1)
    for _ in range(3):
        asks.append(False)
        rig.rows[0].wake()
        rig.run(0.1)
        assert handler.made[0].fed == [b"x" * CHUNKS_A_STEP]
    asks += [False, True]
    rig.rows[0].wake()
    rig.run(0.1)
    assert handler.made[0].fed == [b"x" * CHUNKS_A_STEP] * 2
    rig.reactor.close()


def test_a_taker_that_waits_is_stepped_when_its_time_has_come() -> None:
    def slowly(taker: Taken) -> Any:
        if taker.steps == 1:
            return Wait(20.0)
        return b"" if taker.steps < 5 else Response(200, (), b"%d" % taker.steps)

    rig = rig_of(Taking(slowly))
    peer = ask(rig, post(b"hello"), 19)
    assert peer.heard() == b"" and rig.states == ["WAITING"]
    rig.run(2)
    assert answers(peer.heard())[0].body == b"5"


def test_a_taker_that_waits_too_long_is_504() -> None:
    rig = rig_of(Taking(lambda taker: PARK))
    peer = ask(rig, post(b"hello"), LIMITS.waiting_seconds - 1)
    assert peer.heard() == b""
    rig.run(2)
    assert [answer.status for answer in answers(peer.heard())] == [504]


@FRAMED
def test_an_answer_before_the_bodys_end_closes_the_connection(framed: Callable[[bytes], bytes]) -> None:
    handler = Taking(lambda taker: Response(200, (), b"enough") if taker.steps > 1 else READ)
    rig = rig_of(handler)
    peer = rig.dial()
    peer.say(framed(BIG)[:5000])
    rig.run(0.1)
    peer.say(GET * 1000)
    rig.run(0.1)
    found = answers(peer.heard())
    assert [answer.body for answer in found] == [b"enough"]
    assert found[0].headers["connection"] == "close"
    assert peer.ended and not peer.reset
    assert handler.made[0].closed == 1


WRONG = (NEXT, IDLE, CLOSE, b"data", (b"a",), None, Read(1.0), "READ", 200)


@pytest.mark.parametrize("want", WRONG, ids=repr)
def test_what_a_taker_may_not_want_is_a_failure(want: Any) -> None:
    handler = Taking(lambda taker: want)
    found, peer, rig = asked(post(b"hello") + GET, handler=handler)
    assert [answer.status for answer in found] == [500]
    assert peer.ended and not peer.reset
    assert "Taken.step() returned" in rig.notices[0].text
    rig.run(6)
    assert handler.made[0].closed == 1


def test_asking_for_more_than_all_is_a_failure() -> None:
    found, _, rig = asked(post(b"hello"), handler=Taking(lambda taker: READ))
    assert [answer.status for answer in found] == [500]
    assert "Taken asks for more than the whole body" in rig.notices[0].text


@pytest.mark.parametrize(
    ("error", "status"),
    [(lambda: PeerError("no", 422), 422), (lambda: PeerError("no"), 400), (lambda: KeyError("x"), 500)],
)
def test_a_taker_that_raises(error: Callable[[], Exception], status: int) -> None:
    def raises(taker: Taken) -> Any:
        raise error()

    handler = Taking(raises)
    found, peer, rig = asked(post(b"hello") + GET, handler=handler)
    assert [answer.status for answer in found] == [status]
    assert peer.ended
    rig.run(6)
    assert handler.made[0].closed == 1


@pytest.mark.parametrize("how", ["aborted", "killed", "drained", "ended", "too slow"])
def test_a_taker_is_closed_once_however_its_row_ends(how: str) -> None:
    handler = Taking(whole)
    rig = rig_of(handler)
    peer = ask(rig, post(b"hello")[:-1], 0.1)
    assert handler.made[0].closed == 0
    if how == "aborted":
        peer.abort()
    elif how == "killed":
        rig.reactor.kill(rig.rows[0].key)
    elif how == "drained":
        rig.reactor.drain(1.0)
    elif how == "ended":
        peer.close()
    rig.run(60)
    assert handler.made[0].closed == 1
    assert not rig.rows


def test_a_taker_needs_nothing_but_feed_and_step() -> None:
    class Bare:
        def feed(self, data: bytes) -> None:
            self.over = not data

        def step(self) -> Any:
            return Response(200) if self.over else READ

    class Barely:
        def begin(self, request: Request) -> Taker:
            return Bare()

        def __call__(self, request: Request) -> Response:
            raise AssertionError("it had a taker")

    assert [answer.status for answer in asked(post(b"x") * 2, handler=Barely())[0]] == [200, 200]


def test_a_taker_whose_close_fails_says_nothing_after_its_answer() -> None:
    """Words that nobody has asked for would be taken for the next request's answer."""

    class Failing(Taken):
        def close(self) -> None:
            raise RuntimeError("a bug")

    class Makes:
        def begin(self, request: Request) -> Taker:
            return Failing(request, whole)

        __call__ = begin

    rig = rig_of(cast(Any, Makes()))
    peer = ask(rig, post(b"hello"))
    assert [answer.body for answer in answers(peer.heard())] == [b"5"]
    assert rig.kinds() == ["machine error"]


# Expect.

EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


EITHER = pytest.mark.parametrize("make", [lambda: returns, lambda: Taking(whole)], ids=["collected", "taken"])


@EITHER
@pytest.mark.parametrize("frozen", [False, True])
def test_a_client_that_waits_is_told_once(make: Callable[[], Any], frozen: bool) -> None:
    rig = rig_of(make())
    peer = ask(rig, EXPECTING)
    assert peer.heard() == CONTINUE
    if frozen:
        move(rig)
    for byte in b"hello":
        peer.say(bytes([byte]))
        rig.run(0.1)
    assert [answer.status for answer in answers(peer.heard())] == [200]
    peer.say(EXPECTING)
    rig.run(1)
    assert peer.heard() == CONTINUE, "each request is asked for its own body"
    assert rig.reactor.totals().requests == 1


def test_a_client_that_waits_for_chunks_is_told() -> None:
    rig = rig_of(returns)
    peer = ask(rig, post_chunks(b"", b"Expect: 100-Continue"))
    assert peer.heard() == CONTINUE
    peer.say(chunked(b"hello"))
    rig.run(1)
    assert answers(peer.heard())[0].body == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        EXPECTING + b"h",
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"100-continue", b"anything"),
        EXPECTING.replace(b"Expect", b"X-Expect"),
    ],
    ids=["not waiting", "1.0", "anything in 1.0", "not asking"],
)
def test_a_client_that_does_not_wait_is_not(data: bytes) -> None:
    rig = rig_of(returns)
    peer = ask(rig, data)
    assert peer.heard() == b""
    peer.say(b"hello"[data.endswith(b"h") :])
    rig.run(1)
    assert answers(peer.heard())[0].body == b"hello"


@pytest.mark.parametrize("line", [b"", b"Content-Length: 0\r\n"])
def test_a_client_that_expects_to_be_asked_for_nothing_is_answered(line: bytes) -> None:
    data = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + line + b"\r\n"
    assert [answer.status for answer in asked(data + GET, handler=returns)[0]] == [200, 200]


@pytest.mark.parametrize("status", [200, 405, 413])
def test_an_answer_at_once_instead(status: int) -> None:
    class Decided:
        def begin(self, request: Request) -> Response:
            return Response(status)

        __call__ = begin

    assert status_of(EXPECTING, handler=Decided()) == status


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, more", b"100-continue;x", b"100"])
@pytest.mark.parametrize("length", [b"Content-Length: 5", b"Content-Length: 0", b"X: y"])
def test_another_expectation_is_417_and_nobody_is_asked(value: bytes, length: bytes) -> None:
    handler = Taking(whole)
    data = request(b"Expect: " + value, length, start=b"POST / HTTP/1.1")
    assert status_of(data, handler=handler) == 417
    assert not handler.made


# How long it may take.


def test_an_honest_upload_of_an_hour_lives() -> None:
    """20 KB/s: 72 MB, of which nothing is held."""
    counted = [0]

    def counts(taker: Taken) -> Any:
        counted[0] += sum(map(len, taker.fed))
        over = taker.over
        taker.fed.clear()
        return Response(200, (), b"%d" % counted[0]) if over else READ

    rig = rig_of(Taking(counts), observed=False)
    peer = rig.dial()
    peer.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 72000000\r\n\r\n")
    second = BIG[:20_000]
    for _ in range(3600):
        peer.say(second)
        rig.run(1)
    assert rig.simulation.now() >= 1000 + 3600
    assert answers(peer.heard())[0].body == b"72000000"
    assert not peer.ended


@EITHER
@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_408(make: Callable[[], Any], framing: bytes) -> None:
    rig = rig_of(make())
    peer = rig.dial()
    peer.say(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + b"fffff\r\n" * framing.endswith(b"chunked"))
    start = rig.simulation.now()
    while not (heard := peer.heard()):
        peer.say(b"x")
        rig.run(1)
        assert rig.simulation.now() - start < 35
    assert [answer.status for answer in answers(heard)] == [408]
    rig.run(0.1)
    peer.heard()
    assert peer.ended and not peer.reset


def test_a_body_that_stops_is_408() -> None:
    rig = rig_of(returns)
    peer = ask(rig, post(BIG[:100_000])[:50_000], 0.1)
    assert [answer.status for answer in answers(heard_of(rig, peer, 21))] == [408]


def test_rows_of_the_same_server_have_limits_of_their_own() -> None:
    server = Server(returns)

    def factory(row: Row) -> Http:
        row.limits = SMALL if row.key % 2 else LIMITS
        return server(row)

    rig = Rig(factory)
    peers = rig.dials(4)
    for peer in peers:
        peer.say(post(BIG[:6000]))
    rig.run(1)
    assert sorted(answers(peer.heard())[0].status for peer in peers) == [200, 200, 413, 413]


def test_a_spool_that_is_dropped_closes_its_file() -> None:
    """What was frozen goes on elsewhere, and nobody closes what is left here."""
    spool = Spool(SimpleNamespace(reaped=True, limits=Limits(spool_bytes=10)))  # type: ignore[arg-type]
    spool.feed(b"more than ten bytes")
    file = spool._file
    assert file is not None and not file.closed
    del spool
    assert file.closed
