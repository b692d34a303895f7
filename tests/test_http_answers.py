"""Answers: bodies of every kind to clients of every kind, how they are framed, cut off, logged and remembered.

What a client hears is cut into answers by its own reading of the framing (see `asking.py`), so a byte too many or too
few anywhere spoils all that follows. Bodies here count how often they are closed: once, whatever happens.
"""

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from asking import (
    BIG,
    GET,
    NO_BODY,
    answers,
    ask,
    asked,
    chunked,
    dechunked,
    heard_of,
    move,
    post,
    request,
    returns,
    rig_of,
    status_of,
    tells,
)
from partway.engine import NEXT, PARK, READ, Cause, File, Limits, PeerError, Reason, Row, Wait, Want
from partway.engine.simulation import Peer
from partway.protocols.http import Answered, Body, Folder, Http, Request, Response, Server, page
from partway.protocols.http.connection import CONTINUE
from partway.protocols.http.file_body import FileBody
from partway.protocols.http.files import Files
from partway.protocols.http.message import JOIN_BYTES, http_date, refusal
from partway.protocols.http.recall import HEAD_BYTES_MAX, HEADS_MAX
from partway.protocols.open_file import OpenFile
from worlds import SEEDS, Rig

LIMITS = Limits()
OLD = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
DATE = "Sun, 09 Sep 2001 02:03:20 GMT"


class Pieces:
    """A body of these wants."""

    def __init__(self, *wants: Any, size: int | None = None) -> None:
        self.wants = list(wants[::-1])
        self.size = size
        self.closed = 0

    def step(self) -> Want:
        assert not self.closed, "asked for more although closed"
        return self.wants.pop() if self.wants else NEXT

    def close(self) -> None:
        self.closed += 1


class Giving:
    """A handler that answers with bodies that are made for it."""

    def __init__(self, make: Callable[[], Body | bytes], status: int = 200) -> None:
        self.make = make
        self.status = status
        self.made: list[Any] = []

    def __call__(self, request: Request) -> Response:
        self.made.append(self.make())
        return Response(self.status, (("X-Y", "z"),), self.made[-1])


def giving(*wants: Any, size: int | None = None) -> Giving:
    return Giving(lambda: Pieces(*wants, size=size))


WIDE = memoryview(array("I", [1, 2, 3]))  # three items, of more than one byte each
KINDS = (b"bytes", bytearray(b"array"), memoryview(b"view"), b"", WIDE, memoryview(b""), bytearray())
ALL = b"".join(bytes(kind) for kind in KINDS)


# Framing.


@pytest.mark.parametrize(("size", "sends"), [(0, 1), (JOIN_BYTES, 1), (JOIN_BYTES + 1, 2), (100_000, 2)])
def test_a_short_answer_leaves_in_one_piece_and_a_long_one_is_not_copied(size: int, sends: int) -> None:
    wants: list[Any] = []
    body = BIG[:size]

    class Spy(Http):
        def step(self) -> Want:
            wants.append(super().step())
            return cast(Want, wants[-1])

    server = Server(Giving(lambda: body))
    rig = Rig(lambda row: Spy(row, server), capacity_bytes=1 << 20)
    assert answers(ask(rig, GET).heard())[0].body == body
    pieces = [want for want in wants if isinstance(want, bytes)]
    assert len(pieces) == sends
    assert sends == 1 or pieces[1] is body


@pytest.mark.parametrize("body", [b"short", BIG[: JOIN_BYTES + 1]])
def test_a_response_of_bytes_may_be_given_again_and_again(body: bytes) -> None:
    response = Response(200, (("X-Y", "z"),), body)
    found, _, _ = asked((GET + HEAD) * 3, *["GET", "HEAD"] * 3, handler=lambda request: response)
    assert [answer.body for answer in found] == [body, b""] * 3
    assert len({tuple(answer.headers.items()) for answer in found}) == 1


def test_a_body_with_a_size() -> None:
    handler = giving(*KINDS, size=len(ALL))
    found, peer, _ = asked(GET * 3 + OLD, handler=handler)
    assert [answer.body for answer in found] == [ALL] * 4
    assert found[0].headers == {
        "server": "partway",
        "x-y": "z",
        "date": DATE,
        "content-length": str(len(ALL)),
    }
    assert peer.ended and not peer.reset
    assert [body.closed for body in handler.made] == [1] * 4


def test_a_body_without_a_size_leaves_in_chunks() -> None:
    handler = giving(*KINDS)
    rig = rig_of(handler)
    heard = ask(rig, GET * 2).heard()
    assert heard.count(chunked(*(bytes(kind) for kind in KINDS if len(kind)))) == 2
    found = answers(heard)
    assert [answer.body for answer in found] == [ALL] * 2
    assert found[0].headers == {"server": "partway", "x-y": "z", "date": DATE, "transfer-encoding": "chunked"}
    assert [body.closed for body in handler.made] == [1] * 2


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n"])
def test_a_body_without_a_size_ends_with_the_connection_before_1_1(line: bytes) -> None:
    handler = giving(*KINDS)
    found, peer, _ = asked(b"GET / HTTP/1.0\r\n" + line + b"\r\n" + GET, handler=handler)
    assert [answer.body for answer in found] == [ALL]
    assert found[0].headers == {"server": "partway", "x-y": "z", "date": DATE, "connection": "close"}
    assert peer.ended and not peer.reset
    assert handler.made[0].closed == 1


@pytest.mark.parametrize("size", [0, None])
def test_a_body_of_nothing(size: int | None) -> None:
    for wants in ((), (b"",), (b"", b"", b"")):
        found, _, _ = asked(GET * 2, handler=giving(*wants, size=size))
        assert [answer.body for answer in found] == [b""] * 2


def test_empty_pieces_never_end_the_chunks() -> None:
    heard = ask(rig_of(giving(b"", b"a", b"", b"", b"b", b"")), GET).heard()
    assert heard.partition(b"\r\n\r\n")[2] == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sized", [True, False])
def test_parts_of_files(tmp_path: Path, seed: int, sized: bool) -> None:
    (tmp_path / "file").write_bytes(BIG)
    expected = b"<" + BIG[5:200_005] + b"|" + BIG[-3:] + b">"

    def make() -> Body:
        file = OpenFile(str(tmp_path / "file"))
        body = FileBody(file, [b"<", (5, 200_000), b"|", (0, 0), (len(BIG) - 3, 3), b">"])
        assert body.size == len(expected)
        body.size = body.size if sized else None
        return body

    rig = rig_of(Giving(make), seed, capacity_bytes=8192)
    found = answers(heard_of(rig, ask(rig, GET * 2, 0.01), 3, most=3000))
    assert [answer.body for answer in found] == [expected] * 2


MAKERS: dict[str, Callable[[], Body | bytes]] = {
    "nothing": lambda: b"",
    "short": lambda: b"short",
    "long": lambda: BIG[: JOIN_BYTES + 1],
    "sized": lambda: Pieces(b"piece", size=5),
    "chunked": lambda: Pieces(b"piece"),
    "waiting": lambda: Pieces(PARK, size=5),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_head_has_the_same_headers_and_no_body(name: str, version: bytes) -> None:
    handler = Giving(MAKERS[name])
    data = b"HEAD / HTTP/%b\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" % version
    rig = rig_of(handler)
    peer = ask(rig, data)
    (head,) = answers(peer.heard(), "HEAD")
    assert peer.ended is (head.headers.get("connection") == "close")
    get = ask(rig, data.replace(b"HEAD", b"GET")).heard().partition(b"\r\n\r\n")[0]
    lines = get.decode().split("\r\n")[1:]
    assert head.headers | {"date": ""} == {name.lower(): value for name, value in (x.split(": ") for x in lines)} | {
        "date": ""
    }
    body = handler.made[0]
    assert isinstance(body, bytes) or body.closed == 1
    rig.reactor.close()


def test_head_then_get_on_one_connection() -> None:
    handler = giving(b"piece")
    found, _, _ = asked((HEAD + GET) * 2, "HEAD", "GET", "HEAD", "GET", handler=handler)
    assert [answer.body for answer in found] == [b"", b"piece"] * 2


@pytest.mark.parametrize("status", NO_BODY)
@pytest.mark.parametrize("data", [GET, HEAD])
def test_answers_that_have_no_body_have_no_length(status: int, data: bytes) -> None:
    heard = ask(rig_of(lambda request: Response(status, (("ETag", '"x"'),))), data + GET).heard()
    found = answers(heard)
    assert [(answer.status, answer.body) for answer in found] == [(status, b"")] * 2
    assert set(found[0].headers) == {"server", "date", "etag"}
    assert heard.endswith(b"\r\n\r\n")


# Keep-alive.

CLOSES = "close"
KEEPS = "keep-alive"
WISHES = [
    ("1.1", (), None),
    ("1.1", ("keep-alive",), None),
    ("1.1", ("close",), CLOSES),
    ("1.1", ("CLOSE",), CLOSES),
    ("1.1", ("upgrade, Close",), CLOSES),
    ("1.1", ("close, upgrade",), CLOSES),
    ("1.1", ("keep-alive, close",), CLOSES),
    ("1.1", ("close, keep-alive",), CLOSES),
    ("1.1", ("keep-alive", "close"), CLOSES),
    ("1.1", ("close", "keep-alive"), CLOSES),
    ("1.1", (" ,\tclose ,",), CLOSES),
    ("1.1", ("closed",), None),
    ("1.1", ("x-close",), None),
    ("1.1", ("",), None),
    ("1.0", (), CLOSES),
    ("1.0", ("keep-alive",), KEEPS),
    ("1.0", ("Keep-Alive",), KEEPS),
    ("1.0", ("te, KEEP-ALIVE",), KEEPS),
    ("1.0", ("te", "keep-alive"), KEEPS),
    ("1.0", ("keep-alive, close",), CLOSES),
    ("1.0", ("close", "keep-alive"), CLOSES),
    ("1.0", ("keepalive",), CLOSES),
]


@pytest.mark.parametrize(("version", "wishes", "told"), WISHES)
def test_how_long_a_connection_lives(version: str, wishes: tuple[str, ...], told: str | None) -> None:
    lines = "".join(f"Connection: {wish}\r\n" for wish in wishes)
    data = f"GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n".encode()
    for make in (MAKERS["short"], MAKERS["sized"]):
        found, peer, _ = asked(data * 2, handler=Giving(make))
        assert [answer.headers.get("connection") for answer in found] == [told] * (1 if told == CLOSES else 2)
        assert peer.ended is (told == CLOSES) and not peer.reset


# Bodies that fail.


@pytest.mark.parametrize(
    ("wants", "size", "why"),
    [
        ((b"12345",), 6, "Pieces ended 1 bytes early"),
        ((), 1, "Pieces ended 1 bytes early"),
        ((b"12345", b"67"), 6, "Pieces gave 1 bytes too many"),
        ((b"1",), 0, "Pieces gave 1 bytes too many"),
        ((b"1", READ), 6, "Pieces.step() returned READ, which is no piece of a body"),
        ((b"1", (b"2", b"3")), 6, "which is no piece of a body"),
        ((b"1", None), 6, "which is no piece of a body"),
        ((b"1", "text"), None, "which is no piece of a body"),
    ],
)
def test_a_body_that_breaks_its_promise_resets(wants: tuple[Any, ...], size: int | None, why: str) -> None:
    handler = giving(*wants, size=size)
    rig = rig_of(handler)
    other = rig.dial()
    peer = ask(rig, GET + GET)
    heard = peer.heard()
    assert peer.reset, "half an answer ended as if it were whole"
    assert heard.count(b"HTTP/1.1") <= 1
    assert len(heard.partition(b"\r\n\r\n")[2]) <= (size if size is not None else 6)
    assert handler.made[0].closed == 1 and len(handler.made) == 1
    assert rig.kinds() == ["machine error"] and why in rig.notices[0].text
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    handler.make = lambda: b"fine"
    other.say(GET)
    rig.run(1)
    assert answers(other.heard())[0].body == b"fine"


@pytest.mark.parametrize("body", [{}, 3, "text", None, ["a"]])
def test_what_is_no_body_is_500(body: Any) -> None:
    rig = rig_of(lambda request: Response(200, (), body))
    peer = ask(rig, GET + GET, 6)
    assert [answer.status for answer in answers(peer.heard())] == [500]
    assert rig.kinds() == ["machine error"]


@pytest.mark.parametrize("headers", [(("X", "a\r\nY: b"),), (("X", "a\nY: b"),), (("X\r\nY", "b"),), (("X", "€"),)])
@pytest.mark.parametrize("make", [MAKERS["short"], MAKERS["sized"], MAKERS["long"]])
def test_a_header_that_cannot_be_is_500(headers: Any, make: Callable[[], Any]) -> None:
    made: list[Any] = []

    def handler(request: Request) -> Response:
        made.append(make())
        return Response(200, headers, made[-1])

    rig = rig_of(handler)
    peer = ask(rig, GET)
    heard = peer.heard()
    assert [answer.status for answer in answers(heard)] == [500]
    assert b"Y: b" not in heard
    assert peer.ended and not peer.reset
    rig.run(6)
    assert rig.kinds() == ["machine error"]
    assert isinstance(made[0], bytes) or made[0].closed == 1


def test_one_sentence_and_a_status_of_its_own() -> None:
    response = page(418, "Short and stout.", (("X-Y", "z"),))
    assert (response.status, response.body) == (418, b"Short and stout.\n")
    assert refusal(404).body == b"404 Not Found\n"
    assert refusal(404) is refusal(404)


# Bodies that wait.


@pytest.mark.parametrize("size", [10, None])
def test_a_parked_body_goes_on_when_woken(size: int | None) -> None:
    handler = giving(PARK, b"first", PARK, b"later", PARK, size=size)
    rig = rig_of(handler)
    peer = ask(rig, GET + GET)
    for _ in range(3):
        rig.run(LIMITS.waiting_seconds - 10)
        assert rig.states == ["WAITING"] and len(handler.made) == 1
        rig.rows[0].wake()
        rig.run(1)
    handler.made[1].wants = [b"firstlater"]
    rig.rows[0].wake()
    rig.run(1)
    assert [answer.body for answer in answers(peer.heard())] == [b"firstlater"] * 2


@pytest.mark.parametrize("size", [10, None])
def test_a_body_that_waits_goes_on_by_itself(size: int | None) -> None:
    rig = rig_of(giving(Wait(100.0), b"first", Wait(200.0), b"later", size=size))
    peer = ask(rig, GET, 290)
    assert rig.states == ["WAITING"] and len(peer.heard()) > 20
    rig = rig_of(giving(Wait(100.0), b"first", Wait(200.0), b"later", size=size))
    assert answers(ask(rig, GET, 310).heard())[0].body == b"firstlater"


@pytest.mark.parametrize(("asked", "size"), [(GET, 10), (GET, None), (b"GET / HTTP/1.0\r\n\r\n", None)])
def test_a_body_that_nobody_wakes_ends_its_row_without_words(asked: bytes, size: int | None) -> None:
    """And with a reset: to a client of HTTP/1.0 an end in order would say that this was the whole answer."""
    handler = giving(b"first", PARK, size=size)
    rig = rig_of(handler)
    peer = ask(rig, asked, LIMITS.waiting_seconds - 2)
    assert peer.heard().count(b"HTTP/1.1") == 1
    rig.run(4.0)
    peer.heard()
    assert peer.reset
    assert rig.ended == {str(Cause.WAITED_TOO_LONG): 1}
    assert handler.made[0].closed == 1


def test_the_last_request_of_a_connection_counts() -> None:
    rig = rig_of(giving(b"first", size=5))
    ask(rig, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert rig.reactor.totals().requests == 1


def test_what_fails_at_the_end_keeps_nothing_else_from_ending() -> None:
    class Stubborn:
        size: int | None = 10

        def step(self) -> Want:
            return PARK

        def close(self) -> None:
            raise RuntimeError("a bug")

    log: list[Answered] = []
    rig = rig_of(lambda request: Response(200, (), Stubborn()), log=log.append)
    peer = ask(rig, GET)
    peer.abort()
    rig.run(1.0)
    assert rig.states == []
    assert [answered.status for answered in log] == [200]


# Every end of a body.


class Endless:
    """A body that never ends."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.closed = 0

    def step(self) -> Want:
        return BIG[:10_000]

    def close(self) -> None:
        self.closed += 1


def aborts(rig: Rig, peer: Peer) -> None:
    peer.abort()


def leaves(rig: Rig, peer: Peer) -> None:
    peer.close()


def is_killed(rig: Rig, peer: Peer) -> None:
    rig.reactor.kill(rig.rows[0].key)


def is_drained(rig: Rig, peer: Peer) -> None:
    rig.reactor.drain(2.0)


def stalls(rig: Rig, peer: Peer) -> None:
    """It reads no more."""


def is_evicted(rig: Rig, peer: Peer) -> None:
    rig.reactor.table.doom(rig.rows[0], Reason(Cause.EVICTED), reset=True)


@pytest.mark.parametrize("size", [1 << 40, None])
@pytest.mark.parametrize("how", [aborts, leaves, is_killed, is_drained, stalls, is_evicted])
def test_a_body_is_closed_once_however_it_is_cut_off(how: Callable[[Rig, Peer], None], size: int | None) -> None:
    handler = Giving(lambda: Endless(size))
    log: list[Answered] = []
    rig = rig_of(handler, log=log.append)
    peer = ask(rig, GET, 0.1)
    assert len(peer.heard()) > 10_000
    rig.run(0.1)
    assert handler.made[0].closed == 0 and not log
    how(rig, peer)
    rig.run(LIMITS.stall_seconds + 1)
    assert handler.made[0].closed == 1
    assert not rig.rows
    assert [(answered.status, answered.sent > 60_000) for answered in log] == [(200, True)]
    if how not in (aborts, leaves):
        peer.heard()
        assert peer.reset, "half an answer ended as if it were whole"


def test_a_body_is_closed_when_all_is_closed() -> None:
    handler = Giving(lambda: Endless(None))
    rig = rig_of(handler)
    ask(rig, GET, 0.1)
    rig.reactor.close()
    assert handler.made[0].closed == 1


def test_a_drain_lets_a_body_end() -> None:
    handler = giving(*[b"x" * 1000] * 300)
    rig = rig_of(handler)
    peer = ask(rig, GET, 0.1)
    rig.reactor.drain()
    found = answers(heard_of(rig, peer, 1))
    assert found[0].body == b"x" * 300_000
    assert rig.states == ["LINGERING"]
    peer.close()
    rig.run(0.1)
    assert rig.ended == {str(Cause.DRAINED): 1}
    assert handler.made[0].closed == 1


def test_a_client_that_ends_its_side_gets_all_of_a_body() -> None:
    rig = rig_of(giving(b"first", Wait(5.0), b"later"))
    peer = rig.dial()
    peer.say(GET)
    peer.half_close()
    rig.run(6)
    assert answers(peer.heard())[0].body == b"firstlater"
    assert peer.ended and rig.ended == {str(Cause.DONE): 1}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_an_honest_download_of_an_hour_lives(version: bytes) -> None:
    """20 KB/s of a body that never ends: 72 MB, of which the table holds a piece."""
    rig = rig_of(Giving(lambda: Endless(None)), observed=False)
    peer = ask(rig, b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version, 0.1)
    count = 0
    for _ in range(3600):
        count += len(peer.heard(20_000))
        rig.run(1)
        assert rig.reactor.table.held <= 10_100
    assert count >= 3599 * 20_000
    assert rig.states == ["WRITING"]
    rig.reactor.close()


class Echoing:
    """Reads what was sent, while it answers."""

    def __init__(self, request: Request) -> None:
        assert request.body is not None
        self.file = request.body.open()
        self.size: int | None = None
        self.closed = 0

    def step(self) -> Want:
        return self.file.read(1000) or NEXT

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("how", ["done", "aborted"])
def test_a_requests_body_is_there_while_its_answer_reads_it(how: str) -> None:
    made: list[Echoing] = []

    def handler(request: Request) -> Response:
        made.append(Echoing(request))
        return Response(200, (), made[-1])

    rig = rig_of(handler, limits=Limits(spool_bytes=100_000))
    peer = ask(rig, post(BIG[:900_000]), 0.1)
    file = made[0].file
    assert not file.closed
    if how == "done":
        assert answers(heard_of(rig, peer, 1))[0].body == BIG[:900_000]
    else:
        peer.abort()
        rig.run(0.1)
    assert file.closed and made[0].closed == 1


# Many requests at once.


@pytest.mark.parametrize("seed", SEEDS)
def test_pipelined_requests_of_every_kind_are_answered_in_order(tmp_path: Path, seed: int) -> None:
    (tmp_path / "file").write_bytes(BIG[:50_000])
    number = [0]

    def handler(request: Request) -> Response:
        number[0] += 1
        text = b"%d:" % number[0] + (b"" if request.body is None else request.body.value())
        kind = int(request.target[1:])
        if kind == 0:
            return Response(200, (), text)
        if kind == 1:
            return Response(200, (), text + BIG[: JOIN_BYTES + 1])
        if kind == 2:
            return Response(200, (), Pieces(text, b"", b"end", size=len(text) + 3))
        if kind == 3:
            return Response(200, (), Pieces(text, b"", b"end"))
        return Response(200, (), FileBody(OpenFile(str(tmp_path / "file")), [text, (0, 50_000)]))

    rig = rig_of(handler, seed)
    random = rig.simulation.random
    data, expected = b"", []
    for place in range(100):
        kind = random.randrange(5)
        body = BIG[: random.choice((0, 0, 5, 3000))]
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\n" % kind
        if random.randrange(2):
            data += head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            data += head + b"Transfer-Encoding: chunked\r\n\r\n" + (chunked(body) if body else b"0\r\n\r\n")
        ends = (b"", BIG[: JOIN_BYTES + 1], b"end", b"end", BIG[:50_000])
        expected.append(b"%d:" % (place + 1) + body + ends[kind])
    found = answers(heard_of(rig, ask(rig, data, 0.01), 2))
    assert [answer.body for answer in found] == expected
    assert rig.reactor.totals().requests == 100
    assert rig.reactor.table.held == 0


@pytest.mark.parametrize("name", ["short", "sized", "chunked"])
def test_pipelined_requests_keep_nobody_waiting(name: str) -> None:
    """A visit has room for so many, and a turn may visit a row twice: when bytes have come, and from the queue."""
    order: list[bytes] = []

    def handler(request: Request) -> Response:
        order.append(request.target)
        return Response(200, (), MAKERS[name]())

    rig = rig_of(handler, capacity_bytes=1 << 20)
    greedy, modest = rig.dials(2)
    rig.run(0.1)
    greedy.say(GET * 300)
    rig.travel()
    modest.say(request(start=b"GET /modest HTTP/1.1"))
    rig.travel()
    most = 0
    while len(order) < 301:
        before = len(order)
        rig.reactor.step(1)
        most = max(most, len(order) - before)
        rig.travel()
    assert most <= 2 * (LIMITS.quantum_bytes // LIMITS.request_bytes)
    assert order.index(b"/modest") <= most
    rig.run(0.1)
    assert len(answers(greedy.heard())) == 300


# Dates.


def test_the_date_is_the_clocks_second() -> None:
    ticks: list[float] = []

    class Ticking:
        def __call__(self, request: Request) -> Response:
            return Response(200)

        def tick(self, row: Row) -> None:
            ticks.append(row.now)

    rig = rig_of(Ticking())
    peer = rig.dial()
    walls = []
    for _ in range(100):
        walls.append(http_date(int(rig.simulation.wall())))
        peer.say(GET)
        rig.run(0.05)
    dates = [answer.headers["date"] for answer in answers(peer.heard())]
    assert all(date in pair for date, pair in zip(dates, zip(walls, walls[1:] + walls[-1:], strict=True), strict=True))
    assert len(set(dates)) == 5
    assert len(ticks) == len(set(dates)), "once a second"
    rig.run(10)
    assert len(ticks) == len(set(dates)), "while it is asked"


def test_the_date_of_a_refusal() -> None:
    rig = rig_of()
    rig.run(3)
    assert answers(ask(rig, b"x\r\n\r\n").heard())[0].headers["date"] == "Sun, 09 Sep 2001 02:03:23 GMT"


# The log.


def logged(data: bytes, handler: Any, **options: Any) -> tuple[list[Answered], list[Any], Rig, Peer]:
    """What is logged of what is answered to these bytes, when all is over."""
    log: list[Answered] = []
    rig = rig_of(handler, log=log.append, **options)
    peer = ask(rig, data)
    heard = peer.heard()
    peer.half_close()
    rig.run(6)
    methods = [answered.head.method for answered in log if answered.head is not None]
    return log, answers(heard, *methods), rig, peer


@pytest.mark.parametrize(
    ("data", "make", "status", "sent"),
    [
        (GET, MAKERS["nothing"], 200, 0),
        (GET, MAKERS["short"], 200, 5),
        (GET, MAKERS["long"], 200, JOIN_BYTES + 1),
        (GET, MAKERS["sized"], 200, 5),
        (GET, MAKERS["chunked"], 200, len(chunked(b"piece"))),
        (OLD, MAKERS["chunked"], 200, 5),
        (HEAD, MAKERS["short"], 200, 0),
        (HEAD, MAKERS["long"], 200, 0),
        (HEAD, MAKERS["sized"], 200, 0),
        (HEAD, MAKERS["chunked"], 200, 0),
        (GET, MAKERS["nothing"], 204, 0),
        (GET, MAKERS["nothing"], 304, 0),
        (HEAD, MAKERS["nothing"], 304, 0),
        (GET, MAKERS["short"], 404, 5),
        (post(b"hello"), MAKERS["short"], 201, 5),
        (post(b"hello", b"Expect: 100-continue"), MAKERS["short"], 201, 5),
    ],
)
def test_each_answer_is_logged(data: bytes, make: Callable[[], Any], status: int, sent: int) -> None:
    log, _, _, peer = logged(data * 2, Giving(make, status))
    count = 1 if data is OLD else 2
    assert [(answered.status, answered.sent) for answered in log] == [(status, sent)] * count
    assert all(answered.head is not None and answered.head.method.encode() in data for answered in log)
    assert [answered.peer for answered in log] == [peer.where] * count
    assert [answered.wall for answered in log] == [pytest.approx(1_000_001_000, abs=1)] * count


def test_each_answer_is_logged_when_it_has_left() -> None:
    log: list[Answered] = []
    rig = rig_of(giving(b"first", PARK, b"later", size=10), log=log.append)
    ask(rig, GET)
    assert not log
    rig.rows[0].wake()
    rig.run(0.1)
    assert [(answered.status, answered.sent) for answered in log] == [(200, 10)]


def test_what_was_asked_to_be_continued_is_no_answer() -> None:
    log: list[Answered] = []
    rig = rig_of(returns, log=log.append)
    peer = ask(rig, post(b"hello", b"Expect: 100-continue")[:-5])
    assert peer.heard() == CONTINUE and not log
    peer.say(b"hello")
    rig.run(1)
    assert [(answered.status, answered.sent) for answered in log] == [(200, 5)]


def raises(error: Exception) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        raise error

    return handler


def large(request: Request) -> Response:
    return Response(200, (("X", "a\nb"),), b"never")


@pytest.mark.parametrize(
    ("data", "handler", "status", "method"),
    [
        (b"hello\r\n\r\n", tells, 400, None),
        (b"BREW / HTTP/1.1\r\n\r\n", tells, 501, None),
        (b"x" * 9000, tells, 414, None),
        (request(b"Expect: x"), tells, 417, "GET"),
        (request(b"Content-Length: 1048577", start=b"PUT / HTTP/1.1"), tells, 413, "PUT"),
        (request(b"Transfer-Encoding: chunked", start=b"PUT / HTTP/1.1", body=b"x\r\n"), tells, 400, "PUT"),
        (GET, raises(PeerError("teapot", 418)), 418, "GET"),
        (GET, raises(KeyError("bug")), 500, "GET"),
        (post(b"x"), raises(KeyError("bug")), 500, "POST"),
        (GET, large, 500, "GET"),
    ],
)
def test_each_refusal_is_logged_with_what_was_read(data: bytes, handler: Any, status: int, method: str | None) -> None:
    log, found, _, _ = logged(GET[:0] + data, handler)
    assert [answer.status for answer in found] == [status]
    assert [(answered.status, answered.sent) for answered in log] == [(status, len(found[0].body))]
    assert (None if log[0].head is None else log[0].head.method) == method


def test_a_head_that_was_answered_before_is_not_blamed_for_a_refusal() -> None:
    log, found, _, _ = logged(GET + post(b"x") + b"hello\r\n\r\n", returns)
    assert [answer.status for answer in found] == [200, 200, 400]
    assert [answered.head and answered.head.method for answered in log] == ["GET", "POST", None]


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
@pytest.mark.parametrize("error", [KeyError("bug"), PeerError("teapot", 418)])
def test_a_refusal_of_head_has_no_body_either(method: bytes, error: Exception) -> None:
    log: list[Answered] = []
    rig = rig_of(raises(error), log=log.append)
    start, _, body = ask(rig, request(start=method + b" / HTTP/1.1"), 6).heard().partition(b"\r\n\r\n")
    assert b"Content-Length: " in start and b"Connection: close" in start
    assert (body == b"") is (method == b"HEAD")
    assert [answered.sent for answered in log] == [len(body)]


def test_one_that_came_too_slowly_is_logged() -> None:
    log: list[Answered] = []
    rig = rig_of(returns, log=log.append)
    ask(rig, GET[:-1], 20)
    ask(rig, post(b"hello")[:-1], 30)
    assert [(answered.status, answered.head and answered.head.method) for answered in log] == [
        (408, None),
        (408, "POST"),
    ]


def test_who_asks_nothing_is_not_logged() -> None:
    log: list[Answered] = []
    rig = rig_of(log=log.append)
    ask(rig, b"", 20)
    ask(rig, b"\r\n", 20)
    ask(rig, GET[:-1]).abort()
    ask(rig, post(b"hello")[:-1]).abort()
    rig.run(1)
    assert not rig.rows and not log


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [lambda: BIG, lambda: Endless(None), lambda: Endless(1 << 40)])
def test_an_answer_that_is_cut_off_is_logged_with_what_has_left(seed: int, make: Callable[[], Any]) -> None:
    log: list[Answered] = []
    rig = rig_of(Giving(make), seed, log=log.append)
    peer = ask(rig, GET, 0.1)
    heard = peer.heard(30_000)
    rig.run(0.1)
    row = rig.rows[0]
    expected = row.sent - heard.index(b"\r\n\r\n") - 4
    assert expected > 60_000 and not log
    peer.abort()
    rig.run(0.1)
    assert [(answered.status, answered.sent) for answered in log] == [(200, expected)]


def test_an_answer_of_which_nothing_has_left_counts_nothing() -> None:
    log: list[Answered] = []
    rig = rig_of(giving(PARK, size=5), log=log.append, capacity_bytes=20)
    ask(rig, GET, 0.1).abort()
    rig.run(0.1)
    assert [(answered.status, answered.sent) for answered in log] == [(200, 0)]


def test_a_log_that_fails_costs_its_row_alone_and_nobody_hears_of_it() -> None:
    failing = [True]

    def log(answered: Answered) -> None:
        if failing.pop():
            raise OSError("the disk is full")

    rig = rig_of(log=log)
    peer = ask(rig, GET)
    assert [answer.status for answer in answers(peer.heard())] == [200], "words that nobody has asked for"
    assert rig.kinds() == ["machine error"]
    failing.append(False)
    assert [answer.status for answer in answers(ask(rig, GET).heard())] == [200]


# Freezing.


@pytest.mark.parametrize("size", [3000, None])
def test_frozen_within_a_body(tmp_path: Path, size: int | None) -> None:
    server = Server(pieces_of_3000 if size else pieces_unsized)
    rig = Rig(server, capacity_bytes=100)
    peer = ask(rig, GET * 2, 0.01)
    heard = bytearray()
    for _ in range(200):
        heard += peer.heard(50)
        rig.run(0.01)
        move(rig)
    assert [answer.body for answer in answers(bytes(heard + heard_of(rig, peer, 1)))] == [b"0123456789" * 300] * 2


def pieces_of_3000(request: Request) -> Response:
    return Response(200, (), Pieces(*[b"0123456789" * 30] * 10, size=3000))


def pieces_unsized(request: Request) -> Response:
    return Response(200, (), Pieces(*[b"0123456789" * 30] * 10))


def test_a_frozen_machine_has_a_server_of_its_own() -> None:
    rig = Rig(Server(tells))
    peer = ask(rig, GET)
    move(rig)
    peer.say(GET)
    rig.run(1)
    assert len(answers(peer.heard())) == 2


# Heads that come again.


class Remembering:
    """Answers by itself the first time, from memory then, unless told not to."""

    def __init__(self) -> None:
        self.asked = 0
        self.again = 0
        self.memo: Any = "memo"
        self.forgets = False

    def __call__(self, request: Request) -> Response:
        self.asked += 1
        if request.head.simple:
            request.head.memo = self.memo
        return Response(200, (), b"asked" if request.body is None else request.body.value())

    def remembered(self, head: Any, date: bytes) -> bytes | None:
        assert head.memo == "memo"
        self.again += 1
        return None if self.forgets else b"HTTP/1.1 200 OK\r\n" + date + b"Content-Length: 5\r\n\r\nagain"


def one_by_one(rig: Rig, *data: bytes) -> list[bytes]:
    """The bodies that are answered to these bytes, each said when the last was answered."""
    peer = rig.dial()
    for piece in data:
        peer.say(piece)
        rig.run(0.1)
    return [answer.body for answer in answers(peer.heard())]


def test_the_same_bytes_are_answered_from_memory() -> None:
    handler = Remembering()
    rig = rig_of(handler)
    assert one_by_one(rig, GET, GET, GET) == [b"asked", b"again", b"again"]
    assert one_by_one(rig, GET) == [b"again"], "another connection"
    assert rig.reactor.totals().requests == 4
    assert (handler.asked, handler.again) == (1, 3)
    heard = ask(rig, GET).heard()
    assert answers(heard)[0].headers["date"] == http_date(int(rig.simulation.wall()) - 1)


def test_other_bytes_are_not() -> None:
    handler = Remembering()
    rig = rig_of(handler)
    assert one_by_one(rig, GET, GET.replace(b"Host: a", b"Host:  a"), request(b"X: y")) == [b"asked"] * 3
    assert one_by_one(rig, GET + GET, GET[:9], GET[9:]) == [b"asked"] * 3, "several, or in pieces"
    assert handler.again == 0


def test_a_head_without_a_memo_is_not() -> None:
    handler = Remembering()
    handler.memo = None
    assert one_by_one(rig_of(handler), GET, GET) == [b"asked"] * 2
    assert handler.again == 0


def test_a_handler_may_have_forgotten() -> None:
    handler = Remembering()
    handler.forgets = True
    assert one_by_one(rig_of(handler), GET, GET, GET) == [b"asked"] * 3
    assert (handler.asked, handler.again) == (3, 2)


def test_nothing_is_answered_from_memory_while_there_is_a_log() -> None:
    log: list[Answered] = []
    handler = Remembering()
    assert one_by_one(rig_of(handler, log=log.append), GET, GET) == [b"asked"] * 2
    assert handler.again == 0 and len(log) == 2


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        OLD,
        request(b"Range: bytes=0-1"),
        request(b'If-None-Match: "x"'),
        request(b"Accept-Encoding: gzip"),
        request(b"Connection: close"),
        request(start=b"OPTIONS / HTTP/1.1"),
    ],
)
def test_only_a_plain_get_is_answered_from_memory(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a folder; without its cache, which takes no file of today in a simulation of 2001."""
    (tmp_path / "index.html").write_bytes(b"hello")
    asked_again: list[bool] = []
    again = Files.again

    def spy(self: Files, head: Any, date: bytes) -> Any:
        whole = again(self, head, date)
        asked_again.append(whole is not None)
        return whole

    monkeypatch.setattr(Files, "again", spy)
    rig = rig_of(Folder(str(tmp_path), file_cache=False))
    assert one_by_one(rig, GET, GET, GET) == [b"hello"] * 3
    first, second = (ask(rig, GET, 0.1).heard() for _ in range(2))
    assert first == second
    assert asked_again == [True] * 4
    (tmp_path / "index.html").write_bytes(b"other")
    assert one_by_one(rig, GET) == [b"other"]
    del asked_again[:]
    method = data.split(b" ")[0].decode()
    first, second = (ask(rig, data, 0.1).heard() for _ in range(2))
    assert answers(first, method)[0].headers == answers(second, method)[0].headers
    assert asked_again == []


def test_bytes_of_a_body_are_never_taken_for_a_head() -> None:
    handler = Remembering()
    rig = rig_of(handler)
    head = post(b"x" * len(GET)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert one_by_one(rig, GET, GET, head, GET, GET) == [b"asked", b"again", GET, b"again"]
    chunk = request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1")
    size = b"%x\r\n" % len(GET)
    assert one_by_one(rig, chunk, size, GET, b"\r\n0\r\n\r\n", GET) == [GET, b"again"]


def test_bytes_within_a_head_are_never_taken_for_another() -> None:
    rig = rig_of(Remembering())
    assert one_by_one(rig, GET, GET) == [b"asked", b"again"]
    found = answers(ask(rig, b"GET /x HTTP/1.1\r\nX: ").heard())
    peer = rig.dial()
    for piece in (b"GET /x HTTP/1.1\r\nX: ", GET):
        peer.say(piece)
        rig.run(0.1)
    assert [answer.body for answer in answers(peer.heard())] == [b"asked"] and not found


def test_what_is_remembered_holds_under_its_own_limits() -> None:
    handler = Remembering()
    server = Server(handler)
    narrow = Limits(headers_max=1)
    data = request(b"X: y")

    def factory(row: Row) -> Http:
        row.limits = narrow if row.key > 3 else LIMITS
        return server(row)

    rig = Rig(factory, limits=LIMITS)
    assert [one_by_one(rig, data) for _ in range(3)][1:] == [[b"again"]] * 2
    peer = ask(rig, data)
    assert [answer.status for answer in answers(peer.heard())] == [431]


def test_heads_are_remembered_up_to_a_number_and_a_size() -> None:
    server = Server(tells)
    rig = Rig(server)
    peer = rig.dial()
    for number in range(2 * HEADS_MAX + 10):
        peer.say(request(start=b"GET /%d HTTP/1.1" % number))
        rig.run(0.01)
        assert len(server.recall.whole) <= HEADS_MAX
    assert len(answers(peer.heard())) == 2 * HEADS_MAX + 10
    assert len(server.recall.whole) == 10
    for size, known in ((HEAD_BYTES_MAX, 11), (HEAD_BYTES_MAX + 1, 11)):
        rest = size - len(request(b"X: "))
        peer.say(request(b"X: " + b"y" * rest))
        rig.run(0.01)
        assert len(server.recall.whole) == known
    assert max(map(len, server.recall.whole)) == HEAD_BYTES_MAX


def test_what_was_refused_is_not_remembered() -> None:
    server = Server(tells)
    ask(Rig(server), b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not server.recall.whole
    assert status_of(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n") == 501


# What remains.


@pytest.mark.parametrize(("size", "expected"), [(10, [10, 5, 0]), (None, [None] * 3)])
def test_what_remains_is_told(size: int | None, expected: list[int | None]) -> None:
    remains: list[int | None] = []
    machines: list[Http] = []

    class Telling(Pieces):
        def step(self) -> Want:
            remains.append(machines[0].remaining())
            return super().step()

    server = Server(Giving(lambda: Telling(b"first", b"later", size=size)))

    def factory(row: Row) -> Http:
        machines.append(server(row))
        return machines[0]

    ask(Rig(factory), GET)
    assert remains == expected
    assert machines[0].remaining() == 0


def test_the_shortest_answer_first(tmp_path: Path) -> None:
    """`remaining()` serves the schedule: a row of unknown length goes last, and nobody is forgotten."""
    (tmp_path / "file").write_bytes(BIG)

    def handler(request: Request) -> Response:
        if request.target == b"/file":
            return Response(200, (), FileBody(OpenFile(str(tmp_path / "file")), [(0, len(BIG))]))
        return Response(200, (), Pieces(*[b"x" * 1000] * 100))

    rig = rig_of(handler, schedule="shortest", capacity_bytes=1 << 21)
    peers = rig.dials(4)
    for peer, target in zip(peers, (b"/", b"/file", b"/", b"/file"), strict=True):
        peer.say(request(start=b"GET %b HTTP/1.1" % target))
    rig.run(1)
    sizes = [len(answers(peer.heard())[0].body) for peer in peers]
    assert sizes == [100_000, len(BIG), 100_000, len(BIG)]


def test_chunks_are_read_back_by_the_test_itself() -> None:
    assert dechunked(chunked(b"ab", b"c") + b"rest") == (b"abc", b"rest")
    for bad in (b"", b"2\r\nab", b"2\r\nabc\r\n0\r\n\r\n", b"02\r\nab\r\n0\r\n\r\n", b"2\r\nab\r\n"):
        with pytest.raises((AssertionError, ValueError)):
            dechunked(bad)
    assert isinstance(File(cast(Any, None), 0, 5), File)
