"""Programs of asyncore's and asynchat's shape on a reactor: what their documentation shows, and what they relied on.

The examples are rewritten from what the standard library's documentation says of them.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from partway.engine import IDLE, Reactor, Want
from partway.engine.adapters import asynchat, asyncore

SECONDS_MOST = 20.0
LOCAL = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A reactor and a map for each test, and nothing left in them."""
    asyncore.socket_map.clear()
    asyncore.reactor = Reactor()
    yield
    asyncore.close_all()
    reactor, asyncore.reactor = asyncore.reactor, None
    reactor.close()
    assert (asyncore._asked, reactor.table.doors) == ({}, {})


def until(predicate: Any) -> None:
    end = time.monotonic() + SECONDS_MOST
    while not predicate():
        assert time.monotonic() < end
        asyncore.loop(0.05, count=1)


class EchoHandler(asyncore.dispatcher_with_send):
    """Sends back what comes, as the documentation's does."""

    def handle_read(self) -> None:
        data = self.recv(8192)
        if data:
            self.send(data)


class EchoServer(asyncore.dispatcher):
    """Accepts, and makes a handler of each."""

    def __init__(self, handler: Any = EchoHandler) -> None:
        super().__init__()
        self.handler = handler
        self.handlers: list[Any] = []
        self.create_socket()
        self.set_reuse_addr()
        self.bind(LOCAL)
        self.listen(5)
        assert self.socket is not None
        self.where = self.socket.getsockname()

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        self.handlers.append(self.handler(sock))


class HTTPClient(asyncore.dispatcher):
    """Asks for a page, and keeps what comes until the end."""

    def __init__(self, where: Any, path: str) -> None:
        super().__init__()
        self.create_socket()
        self.connect(where)
        self.buffer = f"GET {path} HTTP/1.0\r\n\r\n".encode()
        self.heard = b""
        self.events: list[str] = []

    def handle_connect(self) -> None:
        self.events.append("connect")

    def handle_close(self) -> None:
        self.events.append("close")
        self.close()

    def handle_read(self) -> None:
        self.heard += self.recv(8192)

    def writable(self) -> bool:
        return len(self.buffer) > 0

    def handle_write(self) -> None:
        self.buffer = self.buffer[self.send(self.buffer) :]


class PageHandler(asynchat.async_chat):
    """An HTTP server's channel: a head up to an empty line, then perhaps a body of so many bytes."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.set_terminator(b"\r\n\r\n")
        self.head = b""
        self.bodies: list[bytes] = []

    def collect_incoming_data(self, data: bytes) -> None:
        self._collect_incoming_data(data)

    def found_terminator(self) -> None:
        if not self.head:
            self.head = self._get_data()
            if self.head.startswith(b"POST"):
                self.set_terminator(int(self.head.rpartition(b" ")[2]))
                return
        self.set_terminator(None)
        body = self._get_data()
        self.push(b"HTTP/1.0 200 OK\r\n\r\n")
        self.push_with_producer(asynchat.simple_producer(body or b"x" * 200_000))
        self.close_when_done()


def test_an_echo_server() -> None:
    server = EchoServer()
    with socket.create_connection(server.where) as client:
        client.sendall(b"hello")
        until(lambda: server.handlers and server.handlers[0].out_buffer == b"" and waiting(client) >= 5)
        assert client.recv(100) == b"hello"
    until(lambda: len(asyncore.socket_map) == 1)
    assert repr(server).startswith("<EchoServer listening ('127.0.0.1', ")


def waiting(channel: socket.socket) -> int:
    """How many bytes can be received now."""
    channel.setblocking(False)
    try:
        return len(channel.recv(65536, socket.MSG_PEEK))
    except BlockingIOError:
        return 0
    finally:
        channel.setblocking(True)


def test_a_client_and_a_server_of_pages() -> None:
    """Both in one loop, which ends when nobody is left."""
    server = EchoServer(PageHandler)
    clients = [HTTPClient(server.where, f"/{number}") for number in range(5)]
    until(lambda: all(client.events == ["connect", "close"] for client in clients))
    assert {client.heard for client in clients} == {b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000}
    server.close()
    asyncore.loop(0.1)
    assert asyncore.socket_map == {}


def test_a_body_of_so_many_bytes() -> None:
    server = EchoServer(PageHandler)
    with socket.create_connection(server.where) as client:
        client.sendall(b"POST 6\r\n\r\nabc")
        until(lambda: server.handlers and server.handlers[0].get_terminator() == 3)
        client.sendall(b"def")
        until(lambda: not server.handlers[0].connected)
        data = b""
        while part := client.recv(100):
            data += part
    assert data.endswith(b"\r\n\r\nabcdef")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_mark_that_comes_in_parts(size: int) -> None:
    said = b"one--\r--\r\n--two--\r\n----\r\n--\r\n----"
    found: list[bytes] = []

    class Chat(asynchat.async_chat):
        ac_in_buffer_size = size

        def collect_incoming_data(self, data: bytes) -> None:
            self._collect_incoming_data(data)

        def found_terminator(self) -> None:
            found.append(self._get_data())

    ours, theirs = socket.socketpair()
    with theirs:
        chat = Chat(ours)
        chat.set_terminator(b"\r\n--")
        theirs.sendall(said)
        until(lambda: len(found) == 4)
        assert found == said.split(b"\r\n--")[:4]
        chat.discard_buffers()
        chat.close()


def test_marks() -> None:
    chat = asynchat.async_chat()
    with pytest.raises(ValueError, match="positive"):
        chat.set_terminator(-1)
    chat.use_encoding = True
    chat.set_terminator("end")
    assert chat.get_terminator() == b"end"
    with pytest.raises(TypeError, match="byte-ish"):
        chat.push("text")
    for method in (chat.found_terminator, lambda: chat.collect_incoming_data(b"")):
        with pytest.raises(NotImplementedError):
            method()
    assert asynchat.find_prefix_at_end(b"qwerty\r", b"\r\n") == 1
    assert asynchat.find_prefix_at_end(b"qwertydkjf", b"\r\n") == 0


def test_what_a_handler_raises_is_told_it() -> None:
    """And nobody else; `handle_error` closes it."""
    caught: list[Any] = []

    class Failing(EchoHandler):
        def handle_read(self) -> None:
            raise RuntimeError("a bug")

        def handle_error(self) -> None:
            caught.append(sys.exc_info()[1])
            self.close()

    server = EchoServer(Failing)
    with socket.create_connection(server.where) as client:
        client.sendall(b"hello")
        until(lambda: caught)
        until(lambda: len(asyncore.socket_map) == 1)
    assert str(caught[0]) == "a bug"


@pytest.mark.parametrize("kind", [asyncore.ExitNow, KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop(kind: type[BaseException]) -> None:
    class Leaving(EchoHandler):
        def handle_read(self) -> None:
            raise kind("enough")

    server = EchoServer(Leaving)
    with socket.create_connection(server.where) as client, pytest.raises(kind):
        client.sendall(b"hello")
        asyncore.loop(1.0)


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(LOCAL) as free:
        where = free.getsockname()
    client = HTTPClient(where, "/")
    until(lambda: client.events)
    assert client.events == ["close"]
    assert "error: uncaptured python exception, closing channel <HTTPClient" in capsys.readouterr().out


def test_a_reset_is_an_end() -> None:
    server = EchoServer()
    with socket.create_connection(server.where) as client:
        until(lambda: server.handlers)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: not server.handlers[0].connected)


def test_what_is_not_handled_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()

    class Talking(asyncore.dispatcher):
        ignore_log_types = frozenset()

        def writable(self) -> bool:
            return False

    with theirs, ours:
        one = Talking(ours)
        for event in ("read", "write", "connect", "expt", "close"):
            getattr(one, f"handle_{event}")()
        one.handle_accepted(ours, "")
        one.log("a line")
    said = capsys.readouterr()
    assert said.out.count("warning: unhandled ") == 6
    assert said.err == "log: a line\n"


def test_it_sleeps_while_nothing_happens() -> None:
    """Who does not want to write is not asked about it: a turn waits until something comes."""
    server = EchoServer()
    assert asyncore.reactor is not None
    asyncore.loop(0.01, count=1)
    turns = asyncore.reactor.totals().turns
    began = time.process_time()
    asyncore.loop(0.2, count=3)
    assert asyncore.reactor.totals().turns - turns == 3
    assert time.process_time() - began < 0.2
    server.close()


def test_rows_beside_dispatchers() -> None:
    """One loop serves both."""

    class Shout:
        def __init__(self, row: Any) -> None:
            self.data = b""

        def feed(self, data: bytes) -> None:
            self.data += data

        def step(self) -> Want:
            data, self.data = self.data, b""
            return data.upper() or IDLE

    server = EchoServer()
    assert asyncore.reactor is not None
    listener = asyncore.reactor.listen("127.0.0.1:0", Shout)
    with (
        socket.create_connection(server.where) as one,
        socket.create_connection((listener.address.host, listener.address.port)) as other,
    ):
        one.sendall(b"hello")
        other.sendall(b"hello")
        until(lambda: waiting(one) and waiting(other))
        assert (one.recv(10), other.recv(10)) == (b"hello", b"HELLO")


def test_a_map_of_ones_own() -> None:
    mine: dict[int, Any] = {}
    ours, theirs = socket.socketpair()
    with theirs:
        one = EchoHandler(ours, mine)
        assert list(mine.values()) == [one] and not asyncore.socket_map
        theirs.sendall(b"hello")
        for _ in range(10):
            asyncore.loop(0.1, map=mine, count=1)
        assert theirs.recv(10) == b"hello"
        asyncore.close_all(mine)
        assert mine == {}


def test_closing_all_whatever_they_raise() -> None:
    class Stubborn(EchoHandler):
        def close(self) -> None:
            if self.connected:
                self.connected = False
                raise RuntimeError("not now")
            super().close()

    ours, theirs = socket.socketpair()
    with theirs:
        one = Stubborn(ours)
        with pytest.raises(RuntimeError):
            asyncore.close_all()
        one.connected = True
        asyncore.close_all(ignore_all=True)
        assert asyncore.socket_map == {}
        one.close()


FTP_SERVER = '''
import sys
from partway.engine.adapters import asynchat, asyncore
sys.modules["asyncore"], sys.modules["asynchat"] = asyncore, asynchat  # where Python has none any more
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import _IOLoop, _read, _write
from pyftpdlib.servers import FTPServer
import logging, functools

logging.basicConfig(level=logging.CRITICAL)

class Loop(_IOLoop):
    """pyftpdlib's loop, over a reactor."""

    def register(self, fd, instance, events):
        if fd not in self.socket_map:
            self.socket_map[fd] = instance
            self.modify(fd, events)

    def modify(self, fd, events):
        instance = self.socket_map[fd]
        reads = functools.partial(_read, instance) if events & self.READ else None
        writes = functools.partial(_write, instance) if events & self.WRITE else None
        asyncore.our_reactor().watch(fd, reads, writes)

    def unregister(self, fd):
        if self.socket_map.pop(fd, None) is not None:
            asyncore.our_reactor().unwatch(fd)

    def poll(self, timeout):
        asyncore.our_reactor().step(timeout)

authorizer = DummyAuthorizer()
authorizer.add_user("user", "secret", sys.argv[1], perm="elradfmw")
FTPHandler.authorizer = authorizer
server = FTPServer(("127.0.0.1", 0), FTPHandler, ioloop=Loop())
print(server.socket.getsockname()[1], flush=True)
server.serve_forever(handle_exit=False)
'''


def test_pyftpdlib_as_it_is(tmp_path: Path) -> None:
    """Without a patch: its own way to another loop, and this module where the standard library's is gone."""
    pytest.importorskip("pyftpdlib")
    from ftplib import FTP

    (tmp_path / "file").write_bytes(b"contents" * 10_000)
    with subprocess.Popen(
        [sys.executable, "-c", FTP_SERVER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            with FTP() as ftp:
                ftp.connect("127.0.0.1", port, SECONDS_MOST)
                ftp.login("user", "secret")
                heard: list[bytes] = []
                ftp.retrbinary("RETR file", heard.append)
                assert b"".join(heard) == b"contents" * 10_000
                with (tmp_path / "file").open("rb") as file:
                    ftp.storbinary("STOR copy", file)
                assert sorted(ftp.nlst()) == ["copy", "file"]
                ftp.quit()
        finally:
            process.kill()
            process.communicate()
    assert (tmp_path / "copy").read_bytes() == b"contents" * 10_000
