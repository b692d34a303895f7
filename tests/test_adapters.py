"""What carries existing handlers: where requests end, what stands for a socket, handlers and generators as machines."""

import io
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, NEXT, PARK, READ, Call, Cause, Limits, PeerError, Read, Row, Wait
from partway.engine.adapters.buffered import Answer, Buffered
from partway.engine.adapters.connection import Blocking, Connection, Memory
from partway.engine.adapters.framing import Framer, OneHttpRequest, OneLine
from partway.engine.adapters.generator import LINE, machine_of
from partway.engine.adapters.switching import Switching
from partway.engine.buffers import Inbox
from worlds import SEEDS, Rig, in_pieces


def inbox() -> Inbox:
    return Inbox(SimpleNamespace(held=0, reaped=False, table=SimpleNamespace(held=0)))  # type: ignore[arg-type]


LIMITS = Limits(line_bytes=20, head_bytes=100, body_bytes=50)


# Where a request ends.


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("framer", "requests"),
    [
        (OneLine, [b"one\n", b"\n", b"another\r\n"]),
        (
            OneHttpRequest,
            [
                b"GET / HTTP/1.1\r\n\r\n",
                b"POST / HTTP/1.1\r\ncontent-LENGTH: 7\r\n\r\nbody\r\n\r",
                b"GET /\r\nA: b\n\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length:0\r\n\r\n",
            ],
        ),
    ],
)
def test_requests_are_cut_where_they_end(framer: Callable[[], Framer], requests: list[bytes], size: int) -> None:
    """However they come."""
    one, data, found = framer(), inbox(), []
    for piece in in_pieces(b"".join(requests) + b"rest", [size] * 200):
        if piece:
            data.feed(piece)
        while (count := one.measure(data, LIMITS)) is not None:
            one.next()
            found.append(data.take(count))
    assert found == requests
    assert data.take() == b"rest"


@pytest.mark.parametrize(
    ("framer", "said", "status"),
    [
        (OneLine, b"x" * 20, None),
        (OneLine, b"x" * 20 + b"\n", None),
        (OneHttpRequest, b"GET / HTTP/1.1\r\nA: " + b"x" * 100, 431),
        (OneHttpRequest, b"GET / HTTP/1.1\r\nA: " + b"x" * 100 + b"\r\n\r\n", 431),
        (OneHttpRequest, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (OneHttpRequest, b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (OneHttpRequest, b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (OneHttpRequest, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (OneHttpRequest, b"POST / HTTP/1.1\r\nContent-Length: 51\r\n\r\n", 413),
    ],
)
def test_requests_that_are_refused(framer: Callable[[], Framer], said: bytes, status: int | None) -> None:
    data = inbox()
    data.feed(said)
    with pytest.raises(PeerError) as caught:
        framer().measure(data, LIMITS)
    assert caught.value.hint == status


# What stands for a socket.


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours)
        connection.way = Blocking(ours, b"read before, ", None)
        yield connection, theirs


def test_a_connections_methods(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(b"and after")
    assert connection.recv(5) == b"read "
    buffer = bytearray(20)
    assert connection.recv_into(buffer) == 8
    assert connection.recv_into(memoryview(buffer)[8:], 3) == 3
    assert bytes(buffer[:11]) == b"before, and"
    assert connection.recv(0) == b""
    assert connection.send(memoryview(b"one ")) == 4
    connection.sendall(bytearray(b"two "))
    assert connection.sendmsg([b"thr", b"ee"]) == 5
    assert connection.send(b"") == 0
    assert peer.recv(100) == b"one two three"
    assert connection.family == socket.AF_UNIX and connection.type == socket.SOCK_STREAM and connection.proto == 0
    assert connection.getsockname() == connection.getpeername() == ""
    assert connection.fileno() == connection.channel.fileno()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 10_000
    with pytest.raises(ValueError, match="flags"):
        connection.recv(10, socket.MSG_PEEK)
    with pytest.raises(AttributeError):
        connection.recvfrom(10)  # type: ignore[attr-defined]


def test_a_file_is_sent(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    file = io.BytesIO(bytes(range(256)))
    assert connection.sendfile(file, 10, 20) == 20
    assert connection.sendfile(file) == 226
    assert peer.recv(1000) == bytes(range(10, 256))


def test_timeouts(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    connection.recv(100)
    connection.settimeout(0.01)
    assert (connection.gettimeout(), connection.getblocking()) == (0.01, True)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.setblocking(False)
    assert not connection.getblocking()
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    connection.setblocking(True)
    assert connection.gettimeout() is None


def test_its_files(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(b"line\nmore\n")
    with connection:
        reader, writer = connection.makefile("rb"), connection.makefile("wb", 100)
        both, text = connection.makefile("rwb"), connection.makefile("r", encoding="ascii", newline="\n")
        raw = connection.makefile("rb", 0)
        assert raw.readable() and not raw.writable() and raw.fileno() == connection.fileno()
        assert (raw.read(5), reader.readline()) == (b"read ", b"before, line\n")
        writer.write(b"answer")
        assert peer.recv(0) == b""
        writer.flush()
        both.write(b" both")
        both.flush()
        assert peer.recv(100) == b"answer both"
    assert connection.fileno() == -1
    assert reader.readline() == b"more\n", "a file lives longer than what it was made of"
    for file in (reader, writer, both, text, raw):
        file.close()
        file.close()
    with pytest.raises(OSError, match="closed by its handler"):
        connection.recv(1)
    connection.shutdown(socket.SHUT_RDWR)
    for mode, size in (("a", -1), ("r", 0)):
        with pytest.raises(ValueError, match=r"invalid mode|must be binary"):
            connection.makefile(mode, size)


def test_our_side_is_ended(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    connection.shutdown(socket.SHUT_RD)
    connection.sendall(b"x")
    connection.shutdown(socket.SHUT_WR)
    assert (peer.recv(10), peer.recv(10)) == (b"x", b"")


def test_a_request_in_memory() -> None:
    written: list[Any] = []
    way = Memory(b"request", written.append)
    assert (way.read(3), way.wanted_more, way.read(10), way.wanted_more) == (b"req", False, b"uest", False)
    assert (way.read(1), way.wanted_more) == (b"", True)
    way.write(b"answer")
    way.half_close()
    way.set_timeout(1.0)
    assert written == [b"answer"]


def test_a_long_answer_goes_to_disk() -> None:
    answer = Answer(10)
    answer.write(b"12345")
    assert answer.want() == b"12345"
    answer.write(bytearray(b"678901"))
    answer.write(memoryview(b"2"))
    want: Any = answer.want()
    assert (want.offset, want.count) == (0, 12)
    assert os.pread(want.file.fileno(), 100, 0) == b"123456789012"
    answer.close()
    assert answer.file is None


# Machines, in the simulation.


class Handler:
    """What a server would call: reads lines, and answers them in capitals."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def __call__(self, connection: Connection) -> None:
        try:
            for line in connection.makefile("rb"):
                if line == b"late\n":
                    connection.settimeout(0.5)
                    with pytest.raises(TimeoutError):
                        connection.recv(10)
                    connection.settimeout(0)
                    with pytest.raises(BlockingIOError):
                        connection.recv(10)
                    connection.settimeout(None)
                connection.sendall(line.upper())
            self.ends.append("end")
        except OSError as error:
            self.ends.append(type(error).__name__)
            with pytest.raises(OSError, match=r".*"):
                connection.sendall(b"nobody hears it")
            connection.shutdown(socket.SHUT_WR)


def switching(handler: Handler) -> Callable[[Row], Switching]:
    def make(row: Row) -> Switching:
        connection = Connection(socket.socket())
        connection.channel.close()
        return Switching(row, connection, lambda: handler(connection))

    return make


@pytest.mark.parametrize("seed", SEEDS)
def test_a_handler_that_waits(seed: int) -> None:
    handler = Handler()
    rig = Rig(switching(handler), seed=seed)
    peers = rig.dials(20)
    for number, peer in enumerate(peers):
        for piece in in_pieces(b"line %d\nanother\n" % number, [1] * 30):
            peer.say(piece)
    rig.run(2.0)
    assert [bytes(peer.heard()) for peer in peers] == [b"LINE %d\nANOTHER\n" % number for number in range(20)]
    assert rig.states == ["IDLE"] * 20
    assert {row.requests for row in rig.rows} <= {1, 2}, "as often as it waited for more after an answer"
    for peer in peers:
        peer.half_close()
    rig.run(10.0)
    assert handler.ends == ["end"] * 20 and rig.ended == {Cause.DONE: 20}


def test_its_timeouts() -> None:
    handler = Handler()
    rig = Rig(switching(handler))
    peer = rig.dial()
    peer.say(b"late\n")
    rig.run(0.3)
    assert peer.heard() == b""
    rig.run(1.0)
    assert peer.heard() == b"LATE\n"
    rig.reactor.close()  # else its greenlet would keep it for ever


@pytest.mark.parametrize(
    ("way", "end"),
    [
        ("reset", "ConnectionResetError"),
        ("killed", "ConnectionAbortedError"),
        ("idle", "end"),
        ("within", "TimeoutError"),
        ("drained", "end"),
        ("closed", "ConnectionAbortedError"),
    ],
)
def test_how_a_handler_hears_of_its_rows_end(way: str, end: str) -> None:
    """By what a socket would have raised; an idle one by an end, as if its client had gone."""
    handler = Handler()
    rig = Rig(switching(handler), limits=Limits(idle_seconds=5, request_seconds=5))
    peer = rig.dial()
    peer.say(b"one\nhalf a l" if way == "within" else b"one\n")
    rig.run(1.0)
    if way == "within":
        peer.say(b"i")
    elif way == "reset":
        peer.abort()
    elif way == "killed":
        rig.reactor.kill(1)
    elif way == "drained":
        rig.reactor.drain()
    elif way == "closed":
        rig.reactor.close()
    if way != "closed":
        rig.run(20.0)
    assert handler.ends == [end]
    assert rig.notices == []


def buffered(serve: Callable[[Connection], None], framer: Callable[[], Framer] = OneLine) -> Any:
    def make(row: Row) -> Buffered:
        channel = socket.socket()
        channel.close()
        return Buffered(row, Connection(channel), framer(), serve, lambda: None)

    return make


def echo_once(connection: Connection) -> None:
    connection.sendall(connection.recv(100).upper())


def echo_on(connection: Connection) -> None:
    while data := connection.recv(100):
        connection.sendall(data.upper())


def test_a_request_that_is_buffered() -> None:
    """Served when it is whole; a handler that reads on keeps the connection, one that does not has ended it."""
    rig = Rig(buffered(echo_on))
    peer = rig.dial()
    peer.say(b"one\ntwo\nhalf")
    rig.run(1.0)
    assert peer.heard() == b"ONE\nTWO\n"
    peer.half_close()
    rig.run(1.0)
    assert peer.heard() == b"HALF" and peer.ended

    rig = Rig(buffered(echo_once))
    peer = rig.dial()
    peer.say(b"one\ntwo\n")
    rig.run(1.0)
    assert peer.heard() == b"ONE\n" and peer.ended


def test_a_buffered_request_that_is_refused() -> None:
    rig = Rig(buffered(echo_once, OneHttpRequest))
    peer = rig.dial()
    peer.say(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    rig.run(1.0)
    assert peer.heard().startswith(b"HTTP/1.1 411 Length Required\r\n") and peer.ended


def test_a_buffered_answer_that_nobody_takes() -> None:
    """Its file is closed when its row ends."""
    made: list[Any] = []
    make = buffered(lambda connection: connection.sendall(bytes(1_000_000)))
    rig = Rig(lambda row: made.append(make(row)) or made[-1], limits=Limits(spool_bytes=1000))
    peer = rig.dial()
    peer.say(b"one\n")
    rig.run(1.0)
    assert made[0].answer.file is not None
    peer.abort()
    rig.run(1.0)
    assert made[0].answer is None


# Generators.


def conversation(row: Row) -> Any:
    name = yield LINE
    yield b"hello " + name
    data = yield READ
    yield b"heard ", data
    outcome = yield Call(int, b"41", how="thread")
    yield b"%d\n" % (outcome.result() + 1)
    assert (yield Wait(0.5)) is None
    assert (yield Read(0.5)) is None
    rest = yield LINE
    yield b"at last " + rest
    yield NEXT
    yield PARK if rest == b"park" else b""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generator_is_a_machine(seed: int) -> None:
    rig = Rig(machine_of(conversation), seed=seed, delay_seconds=(0.0, 0.0))
    peer = rig.dial()
    heard = rig.hears(peer)
    peer.say(b"na")
    rig.run(0.1)
    peer.say(b"me\n")
    rig.run(0.1)
    assert heard == b"hello name\n"
    peer.say(b"abc")
    rig.run(0.5)
    assert heard == b"hello name\nheard abc42\n"
    assert next(iter(rig.reactor.rows())).machine.startswith("conversation at ")
    rig.run(2.0)
    peer.say(b"no end of line")
    peer.half_close()
    rig.run(1.0)
    assert heard.endswith(b"at last no end of line") and peer.ended
    assert rig.ended == {Cause.DONE: 1} and rig.notices == []


def test_a_generator_that_is_left_runs_its_finally() -> None:
    done: list[str] = []

    def waiting(row: Row) -> Any:
        try:
            yield IDLE
        finally:
            done.append("finally")

    rig = Rig(machine_of(waiting))
    peer = rig.dial()
    rig.run(0.1)
    assert rig.states == ["IDLE"]
    peer.abort()
    rig.run(0.1)
    assert done == ["finally"]


def test_a_generator_that_fails_ends_its_row_alone() -> None:
    def failing(row: Row) -> Any:
        line = yield LINE
        yield b"%d" % int(line)
        yield CLOSE

    rig = Rig(machine_of(failing))
    bad, good = rig.dials(2)
    bad.say(b"x\n")
    good.say(b"7\n")
    rig.run(1.0)
    assert (good.heard(), bad.heard()) == (b"7", b"")
    assert rig.ended[Cause.MACHINE_ERROR] == 1


def test_a_line_that_is_too_long_is_the_peers_mistake() -> None:
    rig = Rig(machine_of(conversation), limits=Limits(line_bytes=10))
    rig.dial().say(b"x" * 20)
    rig.run(10.0)
    assert rig.ended == {Cause.PEER_ERROR: 1}
