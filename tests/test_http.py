"""HTTP on the simulation: every rule of a connection, every limit, every way in which an answer can fail.

A client here is bytes at simulated times, so a head that drips for ten seconds takes no time, and a run is decided by
its seed. What requests' bodies and answers' bodies do besides is in test_http_body.py and test_http_answers.py.
"""

import os
from pathlib import Path
from typing import cast

import pytest
from asking import BIG, GET, answers, ask, asked, chunked, heard_of, move, post, returns, rig_of, status_of
from partway.engine import Cause, File, Limits, PeerError, Reason, Row, Want
from partway.engine.freeze import freeze, thaw
from partway.engine.machine import Machine
from partway.protocols.http import Folder, Http, Request, Response, Server
from partway.protocols.http.file_body import FileBody
from partway.protocols.http.head import Head
from partway.protocols.http.message import JOIN_BYTES, http_date
from partway.protocols.open_file import ChangedError, OpenFile
from worlds import SEEDS, Rig

LIMITS = Limits()


def fails(request: Request) -> Response:
    """Fail for one target, answer every other."""
    if request.target == b"/fail":
        raise RuntimeError("a bug")
    if request.target == b"/mistake":
        raise PeerError("teapot", 418)
    if request.target == b"/vague":
        raise PeerError("no hint")
    return Response(200)


# Answers.


def test_one_answer_to_the_byte() -> None:
    rig = rig_of(lambda request: Response(200, (("Content-Type", "text/plain"),), b"hello"))
    peer = ask(rig, GET)
    assert peer.heard() == (
        b"HTTP/1.1 200 OK\r\n"
        b"Server: partway\r\n"
        b"Content-Type: text/plain\r\n"
        b"Date: Sun, 09 Sep 2001 02:03:20 GMT\r\n"
        b"Content-Length: 5\r\n"
        b"\r\n"
        b"hello"
    )
    assert not peer.ended
    assert rig.states == ["IDLE"]
    assert rig.reactor.totals().requests == 1


def test_what_a_handler_sees() -> None:
    seen: list[Request] = []
    walls: list[float] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        walls.append(request.wall)
        return Response(200)

    _, peer, _ = asked(b"PUT /x?y HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n", handler=handler)
    assert seen[0].head == Head("PUT", b"/x?y", (1, 1), ((b"host", b"a"), (b"x-y", b"z")))
    assert (seen[0].method, seen[0].target, seen[0].version) == ("PUT", b"/x?y", (1, 1))
    assert (seen[0].header(b"x-y"), seen[0].header(b"y")) == (b"z", None)
    assert (seen[0].body, seen[0].trailers) == (None, ())
    assert seen[0].peer == peer.where
    assert walls == [pytest.approx(1_000_001_000, abs=1)]


@pytest.mark.parametrize("target", ["small", "big", "empty", "", "none"])
def test_head_is_get_without_its_body(tmp_path: Path, target: str) -> None:
    for name, data in (("small", b"small"), ("big", BIG), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    rig = rig_of(Folder(str(tmp_path)), capacity_bytes=1 << 22)
    asked_twice = "".join(f"{method} /{target} HTTP/1.1\r\nHost: a\r\n\r\n" for method in ("HEAD", "GET"))
    head, get = answers(ask(rig, asked_twice.encode()).heard(), "HEAD")
    assert head.body == b""
    assert (head.status, head.headers) == (get.status, get.headers)


@pytest.mark.parametrize(
    ("version", "connection", "goes_on", "told"),
    [
        ("1.1", "", True, None),
        ("1.1", "keep-alive", True, None),
        ("1.1", "close", False, "close"),
        ("1.1", "Close", False, "close"),
        ("1.1", "x, close", False, "close"),
        ("1.0", "", False, "close"),
        ("1.0", "keep-alive", True, "keep-alive"),
        ("1.0", "Keep-Alive", True, "keep-alive"),
        ("1.0", "keep-alive, close", False, "close"),
        ("1.0", "close", False, "close"),
    ],
)
def test_how_long_a_connection_lives(version: str, connection: str, goes_on: bool, told: str | None) -> None:
    line = f"Connection: {connection}\r\n" if connection else ""
    found, peer, rig = asked(f"GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n".encode() * 2)
    assert len(found) == (2 if goes_on else 1)
    assert found[0].headers.get("connection") == told
    assert peer.ended is not goes_on
    assert not peer.reset
    assert rig.states == (["IDLE"] if goes_on else ["LINGERING"])


def test_without_a_host_in_1_0() -> None:
    assert asked(b"GET / HTTP/1.0\r\n\r\n")[0][0].status == 200


@pytest.mark.parametrize("seed", SEEDS)
def test_many_requests_in_one_write_are_answered_in_order(seed: int) -> None:
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200))
    found, _, rig = asked(data, seed=seed)
    assert [answer.body for answer in found] == [b"/%d" % number for number in range(200)]
    assert rig.reactor.totals().requests == 200


def test_one_request_a_step() -> None:
    handled: list[Request] = []

    def handler(request: Request) -> Response:
        handled.append(request)
        return Response(200)

    rig = rig_of(handler, limits=Limits(quantum_bytes=1))
    peer = rig.dial()
    peer.say(GET * 100)
    turns: list[int] = []
    while len(handled) < 100:
        before = len(handled)
        rig.reactor.step(1)
        turns.append(len(handled) - before)
    assert max(turns) == 1, "a visit with no room left went on parsing"


def test_a_good_request_before_bad_bytes_is_answered() -> None:
    found, peer, _ = asked(GET + b"BREW / HTTP/1.1\r\n\r\n" + GET)
    assert [answer.status for answer in found] == [200, 501]
    assert peer.ended


@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n" * 50, b"\n", b"\n\n\r\n"])
def test_blank_lines_before_a_request(blank: bytes) -> None:
    assert [answer.status for answer in asked(blank + GET + blank + GET)[0]] == [200, 200]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_request_in_any_pieces(seed: int) -> None:
    rig = rig_of(seed=seed)
    peer = rig.dial()
    random = rig.simulation.random
    data = (GET + b"\r\n" + GET.replace(b"/ ", b"/second ")) * 3
    while data:
        size = random.randrange(1, 20)
        peer.say(data[:size])
        data = data[size:]
        rig.run(0.01)
    assert [answer.body for answer in answers(peer.heard())] == [b"/", b"/second"] * 3


def test_an_unfinished_request_at_the_end_is_not_answered() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(GET + GET[:-1])
    peer.half_close()
    rig.run(1)
    assert [answer.status for answer in answers(peer.heard())] == [200]
    assert peer.ended
    assert rig.ended == {str(Cause.CUT_SHORT): 1}


def test_a_client_that_ends_its_side_gets_all_its_answers() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(GET * 3)
    peer.half_close()
    rig.run(1)
    assert len(answers(peer.heard())) == 3
    assert rig.ended == {str(Cause.DONE): 1}


# Refusals.


def lines(*names: bytes) -> bytes:
    return b"".join(name + b"\r\n" for name in names)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + lines(*[b"X: y"] * 100) + b"\r\n", 431),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    assert status_of(data) == status


def test_as_many_headers_as_may_be() -> None:
    found, _, _ = asked(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines(*[b"X: y"] * 99) + b"\r\n")
    assert found[0].status == 200


def request_line(size: int) -> bytes:
    """A request line of this many bytes, its end not counted."""
    return b"GET /" + b"x" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"


@pytest.mark.parametrize("whole", [True, False])
def test_the_longest_request_line(whole: bool) -> None:
    rest = b"\r\nHost: a\r\n\r\n" if whole else b""
    assert asked(request_line(LIMITS.line_bytes) + rest + b"\r\nHost: a\r\n\r\n" * (not whole))[0][0].status == 200
    assert status_of(request_line(LIMITS.line_bytes + 1) + rest) == 414
    assert status_of(b"x" * (LIMITS.line_bytes + 1)) == 414


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("size", "rest", "status"),
    [
        (LIMITS.line_bytes, b"\r\nHost: a\r\n\r\n", 200),
        (LIMITS.line_bytes, b"\rx\r\nHost: a\r\n\r\n", 414),
        (LIMITS.line_bytes + 1, b"\r\nHost: a\r\n\r\n", 414),
    ],
)
def test_the_end_of_the_longest_request_line_may_come_in_halves(size: int, rest: bytes, status: int, cut: int) -> None:
    rig = rig_of()
    peer = ask(rig, request_line(size) + rest[:cut])
    peer.say(rest[cut:])
    rig.run(1)
    assert [answer.status for answer in answers(peer.heard())] == [status]


def head_of(size: int) -> bytes:
    """A whole head of this many bytes."""
    start, end = b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


def test_the_largest_head() -> None:
    assert asked(head_of(LIMITS.head_bytes))[0][0].status == 200
    assert status_of(head_of(LIMITS.head_bytes + 1)) == 431


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_without_end_is_refused_before_it_costs_memory(seed: int) -> None:
    rig = rig_of(seed=seed)
    peer = rig.dial()
    peer.say(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100_000)
    most = 0
    while not rig.ended and not (heard := peer.heard()):
        rig.reactor.step(1)
        most = max(most, rig.reactor.table.held)
    assert most <= LIMITS.head_bytes + LIMITS.receive_bytes
    assert answers(heard)[0].status == 431


def test_a_head_that_drips_costs_the_same_a_byte() -> None:
    """What is looked at again with each byte is bounded by `line_bytes`, not by what has come."""
    rig = rig_of()
    peer = rig.dial()
    peer.say(head_of(LIMITS.head_bytes)[:-1])
    rig.run(1)
    machine = rig.rows[0].machine
    assert isinstance(machine, Http)
    assert machine.inbox.scanned == len(machine.inbox)


# Time.


def test_a_silent_client_is_closed_without_words() -> None:
    rig = rig_of()
    peer = ask(rig, b"", LIMITS.idle_seconds - 0.1)
    assert not peer.heard() and not peer.ended
    rig.run(0.3)
    assert peer.heard() == b""
    assert peer.ended and not peer.reset
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


def test_idling_after_an_answer_counts_from_the_answer() -> None:
    rig = rig_of()
    peer = rig.dial()
    for _ in range(4):
        rig.run(LIMITS.idle_seconds - 1)
        peer.say(GET)
        rig.run(0.1)
    assert len(answers(peer.heard())) == 4 and not peer.ended
    rig.run(LIMITS.idle_seconds + 0.1)
    assert peer.heard() == b"" and peer.ended


def test_blank_lines_for_ever_are_idle() -> None:
    rig = rig_of()
    peer = rig.dial()
    start = rig.simulation.now()
    while not peer.ended:
        assert peer.heard() == b""
        peer.say(b"\r\n\r\n")
        rig.run(0.25)
    assert LIMITS.idle_seconds <= rig.simulation.now() - start <= LIMITS.idle_seconds + 1
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


@pytest.mark.parametrize("piece", [b"x", b"X: y\r\n", b"X" * 200 + b": y\r\n"])
@pytest.mark.parametrize("first", [b"", GET])
def test_a_head_has_its_seconds_whatever_arrives(first: bytes, piece: bytes) -> None:
    rig = rig_of(limits=Limits(head_bytes=1 << 20))
    peer = rig.dial()
    peer.say(first)
    rig.run(3)
    peer.heard()
    peer.say(b"GET / HTTP/1.1\r\nHost: a\r\n")
    start = rig.simulation.now()
    while not (heard := peer.heard()):
        peer.say(piece)
        rig.run(0.25)
    assert LIMITS.head_seconds <= rig.simulation.now() - start <= LIMITS.head_seconds + 1
    assert [answer.status for answer in answers(heard)] == [408]
    assert rig.ended == {} and rig.states == ["LINGERING"]


def test_a_burst_buys_a_head_no_time() -> None:
    rig = rig_of()
    peer = ask(rig, GET[:5], LIMITS.head_seconds / 2)
    peer.say(head_of(5000)[5:-1])  # by the rate alone, another period
    rig.run(LIMITS.head_seconds / 2 - 0.5)
    assert not peer.heard()
    rig.run(1)
    assert [answer.status for answer in answers(peer.heard())] == [408]


def test_each_head_has_its_own_seconds() -> None:
    rig = rig_of()
    peer = rig.dial()
    for _ in range(4):
        for byte in GET[:-1]:
            peer.say(bytes([byte]))
        rig.run(LIMITS.head_seconds - 1)
        peer.say(GET[-1:])
        rig.run(0.1)
    assert len(answers(peer.heard())) == 4
    assert not peer.ended


def test_a_head_that_stops_is_refused_by_the_rate_where_that_is_stricter() -> None:
    rig = rig_of(limits=Limits(head_seconds=60, request_seconds=5))
    peer = ask(rig, GET[:-1], 5.5)
    assert [answer.status for answer in answers(peer.heard())] == [408]
    assert rig.states == ["LINGERING"]


def test_a_client_that_never_reads_is_reset() -> None:
    rig = rig_of(lambda request: Response(200, (), BIG))
    peer = ask(rig, GET, LIMITS.stall_seconds - 0.5)
    assert rig.states == ["WRITING"]
    rig.run(1)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}
    heard = peer.heard()
    assert peer.reset
    assert heard.count(b"HTTP/1.1") == 1, "words fell into the middle of an answer"
    assert rig.reactor.table.held == 0


def test_a_client_that_reads_slowly_is_not() -> None:
    rig = rig_of(lambda request: Response(200, (), BIG), capacity_bytes=4096)
    peer = ask(rig, GET)
    heard = bytearray()
    while len(heard) < 100_000:
        heard += peer.heard(500)
        rig.run(1)
    assert rig.simulation.now() > 1000 + 5 * LIMITS.stall_seconds
    assert rig.states == ["WRITING"]


# The end of the road.


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.REQUEST_TOO_SLOW, 408),
        (Cause.MACHINE_ERROR, 500),
        (Cause.EVICTED, 0),
        (Cause.WAITED_TOO_LONG, 504),
        (Cause.IDLE_TOO_LONG, 0),
        (Cause.DRAINED, 0),
        (Cause.CLOSED_BY_PROGRAM, 0),
    ],
)
def test_last_words_are_never_in_the_middle_of_an_answer(cause: Cause, status: int) -> None:
    rig = rig_of(lambda request: Response(200, (), BIG))
    peer = rig.dial()
    rig.run(0.1)
    machine = cast(Http, rig.rows[0].machine)
    words = machine.refuse(Reason(cause))
    assert words is not None
    assert [answer.status for answer in answers(words)] == ([status] if status else [])
    peer.say(GET)
    rig.run(0.1)
    assert rig.states == ["WRITING"]
    assert machine.refuse(Reason(cause)) is None
    assert machine.refuse(Reason(Cause.PEER_ERROR, "", 400)) is None


def test_a_failing_handler_costs_its_own_row_alone() -> None:
    rig = rig_of(fails)
    others = rig.dials(3)
    peer = ask(rig, b"GET /fail HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert [answer.status for answer in answers(peer.heard())] == [500]
    assert peer.ended
    assert rig.kinds() == ["machine error"]
    assert "RuntimeError: a bug" in rig.notices[0].text
    for other in others:
        other.say(GET)
    rig.run(1)
    assert [answers(other.heard())[0].status for other in others] == [200] * 3


@pytest.mark.parametrize(("target", "status"), [("/mistake", 418), ("/vague", 400)])
def test_a_handler_may_refuse(target: str, status: int) -> None:
    assert status_of(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), handler=fails) == status


@pytest.mark.parametrize(
    "response",
    [
        Response(0),
        Response(99),
        Response(600),
        Response(204, (), b"text"),
        Response(304, (), BIG),
        Response(200, (("X", "\u20ac"),)),
        Response(200, (("X", "a\r\nSet-Cookie: b"),)),
        Response(200, (("X", "a\nb"),)),
        Response(200, (("X\r\nY", "b"),)),
        Response(200, (), cast(bytes, "text")),
        Response(200, (), cast(bytes, bytearray(b"text"))),
        cast(Response, None),
    ],
)
@pytest.mark.parametrize("data", [GET, post(b"body")])
def test_an_impossible_response_is_a_failure(response: Response, data: bytes) -> None:
    found, peer, rig = asked(data + GET, handler=lambda request: response)
    assert [answer.status for answer in found] == [500]
    assert found[0].headers["connection"] == "close"
    assert peer.ended and not peer.reset
    rig.run(10)
    assert rig.kinds() == ["machine error"]


def test_a_status_without_a_name() -> None:
    assert asked(GET, handler=lambda request: Response(299))[0][0].status == 299


@pytest.mark.parametrize("status", [0, 204, 304])
def test_an_impossible_response_with_a_file_leaks_no_descriptor(tmp_path: Path, status: int) -> None:
    (tmp_path / "file").write_bytes(BIG)
    opened: list[OpenFile] = []

    def handler(request: Request) -> Response:
        opened.append(OpenFile(str(tmp_path / "file")))
        return Response(status, (), FileBody(opened[0], [(0, 10)]))

    rig = rig_of(handler)
    peer = ask(rig, GET, LIMITS.linger_seconds + 1)
    assert [answer.status for answer in answers(peer.heard())] == [500]
    assert opened[0]._descriptor == -1, "the file was left open"


def test_no_content_has_no_length() -> None:
    peer = ask(rig_of(lambda request: Response(204)), GET)
    assert b"content-length" not in peer.heard().lower()  # RFC 9110, 8.6


class Hasty:
    """Answers before a body is asked for, and takes none."""

    def begin(self, request: Request) -> Response:
        return Response(200, (), request.target)

    __call__ = begin


@pytest.mark.parametrize("seed", SEEDS)
def test_a_body_that_nobody_takes_ends_the_connection_after_the_answer(seed: int) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    data = head + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * 25_000
    found, peer, rig = asked(data, handler=Hasty(), seed=seed)
    assert [answer.body for answer in found] == [b"/x"]
    assert found[0].headers["connection"] == "close"
    assert peer.ended and not peer.reset
    assert rig.ended == {} and rig.states == ["LINGERING"]


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_body_of_any_framing_that_nobody_takes_does(framing: bytes) -> None:
    data = b"GET /x HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + GET
    found, peer, _ = asked(data, handler=Hasty())
    assert [answer.body for answer in found] == [b"/x"]
    assert found[0].headers["connection"] == "close"
    assert peer.ended and not peer.reset


def test_a_body_of_nothing_does_not() -> None:
    found, peer, _ = asked(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" + GET, handler=Hasty())
    assert [answer.body for answer in found] == [b"/x", b"/"]
    assert not peer.ended


@pytest.mark.parametrize("seed", SEEDS)
def test_a_body_that_was_taken_whole_does_not(seed: int) -> None:
    chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x", BIG[:9999])
    found, peer, rig = asked((post(b"hello") + GET + chunks) * 3, handler=returns, seed=seed)
    assert [answer.body for answer in found] == [b"hello", b"", b"x" + BIG[:9999]] * 3
    assert not any("connection" in answer.headers for answer in found)
    assert not peer.ended and rig.states == ["IDLE"]
    assert rig.reactor.totals().requests == 9


def test_a_drain_lets_an_answer_end() -> None:
    rig = rig_of(lambda request: Response(200, (), BIG))
    peer = rig.dial()
    peer.say(GET)
    idle = rig.dial()
    rig.run(0.1)
    rig.reactor.drain()
    heard = bytearray()
    while not peer.ended and not peer.reset:
        heard += peer.heard()
        rig.run(0.01)
    assert answers(bytes(heard))[0].body == BIG
    assert idle.heard() == b"" and idle.ended


# Files.


class Spy(Http):
    """Remembers what it wanted."""

    def __init__(self, row: Row, server: Server) -> None:
        super().__init__(row, server)
        self.wants: list[Want] = []

    def step(self) -> Want:
        self.wants.append(super().step())
        return self.wants[-1]


def site(folder: Path, size: int, name: str = "file") -> tuple[Folder, bytes]:
    data = (BIG * (size // len(BIG) + 1))[:size]
    (folder / name).write_bytes(data)
    return Folder(str(folder)), data


FILE = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, JOIN_BYTES, JOIN_BYTES + 1, 100_000])
def test_a_small_file_leaves_with_its_head_in_one_send(tmp_path: Path, size: int) -> None:
    folder, data = site(tmp_path, size)
    server = Server(folder)
    made: list[Spy] = []

    def factory(row: Row) -> Spy:
        made.append(Spy(row, server))
        return made[-1]

    rig = Rig(factory)
    peer = ask(rig, FILE, 0.1)
    found = answers(heard_of(rig, peer))
    assert found[0].body == data
    sent = [want for want in made[0].wants if isinstance(want, File) or (isinstance(want, bytes) and want)]
    assert len(sent) == (1 if size <= JOIN_BYTES else 2)
    assert made[0].body is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_file_to_a_slow_reader(tmp_path: Path, seed: int) -> None:
    folder, data = site(tmp_path, 3_000_000)
    rig = rig_of(folder, seed=seed, capacity_bytes=8192)
    peer = ask(rig, FILE + FILE, 0.1)
    found = answers(heard_of(rig, peer, 40, most=3000))
    assert [answer.body for answer in found] == [data, data]


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    folder, _ = site(tmp_path, 3_000_000)
    rig = rig_of(folder, capacity_bytes=8192)
    peer = ask(rig, FILE, 0.1)
    for _ in range(100):
        peer.heard()
        rig.run(0.01)
        assert rig.reactor.table.held < 1000
    rig.reactor.close()


def test_files_are_closed_whatever_happens(tmp_path: Path) -> None:
    """`nothing_leaks` looks at the descriptors; this brings about all the ends that a file can have."""
    folder, _ = site(tmp_path, 300_000)
    rig = rig_of(folder)
    ended, aborted, stalled, killed, whole = peers = rig.dials(5)
    for peer in peers:
        peer.say(FILE)
    rig.run(0.1)
    assert rig.states == ["WRITING"] * 5
    ended.close()
    aborted.abort()
    rig.reactor.kill(rig.rows[3].key)
    rig.run(0.1)
    assert len(heard_of(rig, whole, 1)) > 300_000
    rig.run(40)
    stalled.heard()
    killed.heard()
    assert stalled.reset and killed.reset
    assert not rig.rows


def test_a_closed_reactor_closes_files(tmp_path: Path) -> None:
    rig = rig_of(site(tmp_path, 300_000)[0])
    ask(rig, FILE, 0.1)
    rig.reactor.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_that_shrinks_ends_its_row_alone(tmp_path: Path, seed: int) -> None:
    folder, _ = site(tmp_path, 300_000)
    (tmp_path / "other").write_bytes(b"other")
    rig = rig_of(folder, seed=seed)
    peer = ask(rig, FILE, 0.1)
    os.truncate(tmp_path / "file", 100_000)
    other = ask(rig, b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", 0.1)
    heard = heard_of(rig, peer, 1)
    assert peer.reset, "a promised length was not kept, and the client was told that all is well"
    assert len(heard) < 300_000
    assert heard.count(b"HTTP/1.1 ") == 1
    assert rig.ended == {str(Cause.FILE_CUT_SHORT): 1}
    assert answers(other.heard())[0].body == b"other"


def test_a_file_that_vanishes_is_sent_all_the_same(tmp_path: Path) -> None:
    folder, data = site(tmp_path, 300_000)
    rig = rig_of(folder)
    peer = ask(rig, FILE, 0.1)
    (tmp_path / "file").unlink()
    assert answers(heard_of(rig, peer, 1))[0].body == data


def test_a_file_that_is_replaced_is_sent_as_it_was(tmp_path: Path) -> None:
    folder, data = site(tmp_path, 300_000)
    rig = rig_of(folder)
    peer = ask(rig, FILE, 0.1)
    (tmp_path / "new").write_bytes(b"new" * 200_000)
    os.replace(tmp_path / "new", tmp_path / "file")
    assert answers(heard_of(rig, peer, 1))[0].body == data


def test_a_file_that_grows_is_sent_as_it_was(tmp_path: Path) -> None:
    folder, data = site(tmp_path, 300_000)
    rig = rig_of(folder)
    peer = ask(rig, FILE, 0.1)
    with open(tmp_path / "file", "ab") as file:
        file.write(b"more")
    assert answers(heard_of(rig, peer, 1))[0].body == data


def test_post_to_a_folder(tmp_path: Path) -> None:
    found, _, _ = asked(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", handler=Folder(str(tmp_path)))
    assert (found[0].status, found[0].headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_what_an_operator_sees(tmp_path: Path) -> None:
    folder, _ = site(tmp_path, 300_000)
    rig = rig_of(folder)
    rig.dial()
    rig.run(0.1)
    ask(rig, GET[:10], 0.1)
    ask(rig, FILE, 0.1)
    told = [row.machine for row in rig.reactor.rows()]
    assert told == ["HTTP", "10 bytes of a head", f"sends {tmp_path}/file"]
    rig.reactor.close()


def test_what_remains_is_told(tmp_path: Path) -> None:
    folder, _ = site(tmp_path, 300_000)
    rig = rig_of(folder)
    ask(rig, FILE, 0.1)
    machine = cast(Http, rig.rows[0].machine)
    assert machine.remaining() == 0
    assert rig.rows[0].output is not None
    machine.outgoing = (b"xx", b"yyy")
    machine.owed = 10
    assert machine.remaining() == 15
    machine.owed = -1
    assert machine.remaining() is None
    rig.reactor.close()


# Freezing.


@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_at_every_byte_of_a_request(seed: int) -> None:
    rig = rig_of(seed=seed, delay_seconds=(0.0, 0.0))
    peer = rig.dial()
    for byte in (GET + b"\r\n" + GET.replace(b"/ ", b"/second ")) * 2:
        peer.say(bytes([byte]))
        rig.run(0.001)
        move(rig)
    assert [answer.body for answer in answers(peer.heard())] == [b"/", b"/second"] * 2


def test_a_frozen_head_keeps_its_time() -> None:
    rig = rig_of()
    peer = ask(rig, GET[:5], LIMITS.head_seconds - 1)
    move(rig)
    rig.run(1.5)
    assert answers(peer.heard())[0].status == 408


def test_frozen_in_mid_answer(tmp_path: Path) -> None:
    folder, data = site(tmp_path, 300_000)
    rig = rig_of(folder)
    peer = ask(rig, FILE + FILE, 0.1)
    heard = bytearray()
    for _ in range(200):
        heard += peer.heard(5000)
        rig.run(0.01)
        move(rig)
    assert [answer.body for answer in answers(bytes(heard))] == [data, data]
    assert rig.states == ["IDLE"]


@pytest.mark.parametrize("how", ["replaced", "changed", "gone"])
def test_a_file_that_changed_while_its_answer_was_frozen(tmp_path: Path, how: str) -> None:
    folder, _ = site(tmp_path, 300_000)
    rig = rig_of(folder)
    peer = ask(rig, FILE, 0.1)
    other = rig.dial()
    move(rig)
    if how == "replaced":
        (tmp_path / "new").write_bytes(b"x" * 300_000)
        os.replace(tmp_path / "new", tmp_path / "file")
    elif how == "changed":
        os.utime(tmp_path / "file", (1, 1))
    else:
        (tmp_path / "file").unlink()
    heard = heard_of(rig, peer, 1)
    assert len(heard) < 300_000 and heard.count(b"HTTP/1.1 ") == 1
    assert peer.reset, "half an answer ended as if it were whole"
    assert str(Cause.PEER_LOST) not in rig.ended, "a file's failure was taken for the peer's"
    assert len(rig.rows) == 1
    other.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    rig.run(1)
    assert answers(other.heard())[0].status == 200


def test_an_open_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = OpenFile(str(path))
    again = cast(OpenFile, thaw(freeze(cast(Machine, file)), lambda key: None))
    file.close()
    assert again.identity == file.identity
    assert os.pread(again.fileno(), 3, 4) == b"456"
    again.close()
    again.close()


def test_an_open_file_that_is_shared_closes_with_its_last_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    file = OpenFile(str(tmp_path / "file"))
    assert file.share() is file
    file.close()
    assert os.pread(file.fileno(), 3, 0) == b"x"
    file.close()
    assert file._descriptor == -1


def test_an_open_file_finds_another_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = OpenFile(str(path))
    again = cast(OpenFile, thaw(freeze(cast(Machine, file)), lambda key: None))
    file.close()
    (tmp_path / "new").write_bytes(b"0123456789")
    os.replace(tmp_path / "new", path)
    with pytest.raises(ChangedError, match="has changed"):
        again.fileno()


@pytest.mark.parametrize("kind", ["folder", "fifo", "none"])
def test_no_regular_file_cannot_be_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(OSError, match=kind):
        OpenFile(str(path))


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784111777.9, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951782400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
    ],
)
def test_dates(seconds: float, date: str) -> None:
    assert http_date(seconds) == date


@pytest.mark.parametrize("seconds", [1 << 40, -(1 << 40), 1e18])
def test_a_date_beyond_the_calendar(seconds: float) -> None:
    """Some file systems have them (tmpfs): a file's odd date must not cost its answer."""
    assert http_date(seconds).endswith(" GMT")
