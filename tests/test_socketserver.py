"""Handlers of the standard library, unmodified, under its own threads and under everything that we have for them.

The same tests for each: what they say of a server made by the standard library they say of ours.
"""

import http.client
import http.server
import os
import socket
import socketserver
import ssl
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import handlers
import pytest
from partway import socketserver as short
from partway.engine import NEXT, READ, Call, Limits, Reactor
from partway.engine.adapters import socketserver as ours
from partway.engine.adapters.framing import OneLine
from partway.engine.adapters.generator import LINE

SECONDS_MOST = 20.0
LOCAL = ("127.0.0.1", 0)
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.* may lead to deadlocks:DeprecationWarning"),
]


class Switching(ours.MultiplexingMixIn):
    """Each handler in a greenlet."""


class Lines(ours.MultiplexingMixIn):
    """Each line of a connection by a handler of its own."""

    how = "buffered"
    framer = OneLine


class Whole(ours.MultiplexingMixIn):
    """Each HTTP request by a handler of its own."""

    how = "buffered"


class Three(ours.MultiplexingMixIn, socketserver.TCPServer):
    """The first word of a request says how it is served."""

    def choose(self, request: Any, client_address: Any, data: bytes) -> str | None:
        return data.split()[0].decode() if b" " in data else None


WAITING = {
    "stdlib": socketserver.ThreadingMixIn,
    "switching": Switching,
    "fork": ours.ForkingMixIn,
    "thread": ours.ThreadingMixIn,
}
"""Those in which a handler may wait for its client as it likes."""

waiting = pytest.mark.parametrize("mixin", WAITING.values(), ids=WAITING)
lines = pytest.mark.parametrize("mixin", [*WAITING.values(), Lines], ids=[*WAITING, "buffered"])
pages = pytest.mark.parametrize("mixin", [*WAITING.values(), Whole], ids=[*WAITING, "buffered"])


def made(mixin: type, base: type = socketserver.TCPServer, **members: Any) -> Any:
    """A server class of a mix-in and a server; errors are kept instead of printed."""

    def handle_error(self: Any, request: Any, client_address: Any) -> None:
        self.errors.append(sys.exc_info()[1])

    return type("Server", (mixin, base), {"handle_error": handle_error, "errors": [], **members})


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Serve for ever in a thread, and until the end of the test."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(SECONDS_MOST)
        server.server_close()
        assert not thread.is_alive()


def dial(server: Any) -> socket.socket:
    return socket.create_connection(server.server_address[:2], SECONDS_MOST)


def hear(channel: socket.socket) -> bytes:
    """All until the end."""
    data = b""
    while part := channel.recv(65536):
        data += part
    return data


# Streams.


@lines
def test_line_by_line(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Capitals)) as server, dial(server) as client:
        file = client.makefile("rwb")
        for word in (b"one\n", b"another\n"):
            file.write(word)
            file.flush()
            assert file.readline() == word.upper()
        client.shutdown(socket.SHUT_WR)
        assert file.read() == b""
        file.close()
    assert server.errors == []


@lines
def test_the_others_are_served_while_one_is_slow(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Capitals)) as server, dial(server) as slow, dial(server) as silent:
        slow.sendall(b"half a li")
        with dial(server) as quick:
            quick.sendall(b"quick\n")
            assert quick.recv(100) == b"QUICK\n"
        slow.sendall(b"ne\n")
        assert slow.recv(100) == b"HALF A LINE\n"
        silent.shutdown(socket.SHUT_WR)
        assert hear(silent) == b""


@waiting
def test_the_socket_itself(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Raw)) as server, dial(server) as client:
        client.sendall(b"byte by byte, ")
        client.sendall(b"until the end\n")
        assert hear(client) == b"byte by byte, until the end\n"


@lines
def test_a_handler_that_fails(mixin: type) -> None:
    """Is told to `handle_error`, where that is in this process, and costs nobody else anything."""
    with serving(made(mixin)(LOCAL, handlers.Capitals)) as server:
        with dial(server) as client:
            client.sendall(b"fail\n")
            assert hear(client) == b""
        with dial(server) as client:
            client.sendall(b"fine\n")
            assert client.recv(100) == b"FINE\n"
    told = [str(error) for error in server.errors]
    assert told == ([] if mixin is ours.ForkingMixIn else ["as it was told"])


@lines
def test_who_serves_whom(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Where)) as server, dial(server) as client:
        client.sendall(b"?\n")
        pid, host, port = client.makefile("rb").readline().split()
        assert (host.decode(), int(port)) == client.getsockname()[:2]
        assert (int(pid) == os.getpid()) == (mixin is not ours.ForkingMixIn)


@waiting
def test_a_buffered_answer(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Buffered)) as server, dial(server) as client:
        client.sendall(b"abc\ndef\n\n")
        assert hear(client) == b"\ncba\nfed"


@waiting
def test_a_handler_with_a_timeout(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Impatient)) as server, dial(server) as client:
        client.sendall(b"in time\n")
        assert hear(client) == b"in time\ntoo late\n"


@lines
def test_a_large_answer_to_a_slow_reader(mixin: type) -> None:
    size = 3_000_000
    with serving(made(mixin)(LOCAL, handlers.Large)) as server, dial(server) as client:
        client.sendall(b"%d\n" % size)
        time.sleep(0.05)
        with dial(server) as other:
            other.sendall(b"5\n")
            assert other.recv(100) == b"xxxxx"
        client.shutdown(socket.SHUT_WR)
        assert len(hear(client)) == size


@lines
def test_over_a_unix_socket(mixin: type, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        serving(made(mixin, socketserver.UnixStreamServer)(path, handlers.Capitals)),
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.settimeout(SECONDS_MOST)
        client.connect(path)
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"


@lines
def test_a_client_that_resets(mixin: type) -> None:
    with serving(made(mixin)(LOCAL, handlers.Capitals)) as server:
        with dial(server) as client:
            client.sendall(b"x\nhalf")
            assert client.recv(100) == b"X\n"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with dial(server) as client:
            client.sendall(b"fine\n")
            assert client.recv(100) == b"FINE\n"
    assert all(isinstance(error, OSError) for error in server.errors)


# Datagrams.


@pytest.mark.parametrize("handler", [handlers.Answer, handlers.Letters])
@waiting
def test_datagrams(mixin: type, handler: type) -> None:
    with (
        serving(made(mixin, socketserver.UDPServer)(LOCAL, handler)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(SECONDS_MOST)
        for number in range(3):
            client.sendto(b"hello %d" % number, server.server_address)
        assert {client.recv(100) for _ in range(3)} == {b"HELLO %d" % number for number in range(3)}


@waiting
def test_datagrams_of_a_unix_socket(mixin: type, tmp_path: Path) -> None:
    where = str(tmp_path / "server")
    with (
        serving(made(mixin, socketserver.UnixDatagramServer)(where, handlers.Letters)),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(SECONDS_MOST)
        client.bind(str(tmp_path / "client"))
        client.sendto(b"hello", where)
        assert client.recv(100) == b"HELLO"


# Servers built on it.


@pages
def test_http_kept_alive(mixin: type) -> None:
    with serving(made(mixin, http.server.HTTPServer)(LOCAL, handlers.Pages)) as server:
        client = http.client.HTTPConnection(*server.server_address, timeout=SECONDS_MOST)
        for path, body in (("/a", None), ("/b", b"posted"), ("/c", None)):
            client.request("GET" if body is None else "POST", path, body)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, path.encode() if body is None else body[::-1])
            assert client.sock is not None, "it was kept"
        client.close()
    assert server.errors == []


@pages
def test_files_over_http(mixin: type, tmp_path: Path) -> None:
    """A file larger than what is kept in memory of a buffered answer."""
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4000)

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(tmp_path))

        def log_message(self, *words: object) -> None:
            pass

    with serving(made(mixin, http.server.HTTPServer)(LOCAL, Files)) as server:
        client = http.client.HTTPConnection(*server.server_address, timeout=SECONDS_MOST)
        client.request("GET", "/large")
        assert client.getresponse().read() == bytes(range(256)) * 4000
        client.request("GET", "/none")
        assert client.getresponse().status == 404
        client.close()


@pages
def test_xmlrpc(mixin: type) -> None:
    class Quiet(SimpleXMLRPCRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    with serving(made(mixin, SimpleXMLRPCServer)(LOCAL, Quiet)) as server:
        server.register_function(pow)
        with xmlrpc.client.ServerProxy("http://{}:{}".format(*server.server_address)) as proxy:
            assert proxy.pow(2, 10) == 1024
            with pytest.raises(xmlrpc.client.Fault):
                proxy.pow("x", 1)


@pages
def test_wsgiref(mixin: type) -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode(), environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))]

    with serving(made(mixin, WSGIServer)(LOCAL, Quiet)) as server:
        server.set_app(application)
        client = http.client.HTTPConnection(*server.server_address, timeout=SECONDS_MOST)
        client.request("POST", "/path", b"body")
        assert client.getresponse().read() == b"/pathbody"
        client.close()


# The hooks, and their order.


@pytest.mark.parametrize("mixin", [socketserver.ForkingMixIn, *WAITING.values()], ids=["stdlib fork", *WAITING])
def test_the_hooks_are_called_in_their_order(mixin: type) -> None:
    called: list[str] = []

    def hook(name: str) -> Callable[..., Any]:
        def call(self: Any, *words: Any) -> Any:
            called.append(name)
            return getattr(super(kind, self), name)(*words)

        return call

    class Handler(handlers.Capitals):
        def setup(self) -> None:
            called.append("setup")
            super().setup()

        def finish(self) -> None:
            called.append("finish")
            super().finish()

    names = ["server_bind", "server_activate", "get_request", "verify_request", "process_request"]
    names += ["finish_request", "shutdown_request", "close_request", "server_close"]
    kind = made(mixin, **{name: hook(name) for name in names})
    with serving(kind(LOCAL, Handler)) as server, dial(server) as client:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        assert hear(client) == b"HELLO\n"
    while "get_request" in called[3:]:
        called.pop(3 + called[3:].index("get_request"))  # whoever does not block looks once more
    here = ["process_request", "finish_request", "setup", "finish", "shutdown_request", "close_request"]
    if mixin in (socketserver.ForkingMixIn, ours.ForkingMixIn):
        here = ["process_request", "close_request"]  # the others are called in the child
    assert called == ["server_bind", "server_activate", "get_request", "verify_request", *here, "server_close"]


@waiting
def test_requests_that_are_refused(mixin: type) -> None:
    def verify_request(self: Any, request: Any, client_address: Any) -> bool:
        self.seen.append(client_address)
        return len(self.seen) > 1

    with serving(made(mixin, verify_request=verify_request, seen=[])(LOCAL, handlers.Capitals)) as server:
        with dial(server) as client:
            assert hear(client) == b""
            first = client.getsockname()
        with dial(server) as client:
            client.sendall(b"hello\n")
            assert client.recv(10) == b"HELLO\n"
    assert server.seen[0] == first


@waiting
def test_a_server_that_accepts_otherwise(mixin: type) -> None:
    """An address of one's own for each request is what handlers are told."""

    def get_request(self: Any) -> tuple[Any, Any]:
        channel, _ = self.socket.accept()
        return channel, ("somebody", 7)

    with serving(made(mixin, get_request=get_request)(LOCAL, handlers.Where)) as server, dial(server) as client:
        client.sendall(b"?\n")
        assert client.makefile("rb").readline().split()[1:] == [b"somebody", b"7"]


@waiting
def test_finish_request_of_ones_own(mixin: type) -> None:
    def finish_request(self: Any, request: Any, client_address: Any) -> None:
        request.sendall(b"no handler was asked\n")

    with serving(made(mixin, finish_request=finish_request)(LOCAL, handlers.Where)) as server, dial(server) as client:
        assert hear(client) == b"no handler was asked\n"


@waiting
def test_process_request_of_ones_own(mixin: type) -> None:
    """It is called in the server's own process and thread, before anybody else has the request; or it sends it away."""

    def process_request(self: Any, request: Any, client_address: Any) -> None:
        self.seen.append((os.getpid(), threading.get_ident(), client_address))
        if len(self.seen) == 1:
            super(kind, self).process_request(request, client_address)
        elif len(self.seen) == 2:
            self.shutdown_request(request)
        else:
            raise RuntimeError("one's own")

    kind = made(mixin, process_request=process_request, seen=[])
    with serving(kind(LOCAL, handlers.Where)) as server:
        with dial(server) as client:
            client.sendall(b"?\n")
            assert client.recv(10)
        for _ in range(2):
            with dial(server) as client:
                assert hear(client) == b""
    (serves,) = {seen[:2] for seen in server.seen}
    assert serves[0] == os.getpid() and serves[1] != threading.get_ident()
    assert len({seen[2] for seen in server.seen}) == 3
    assert [str(error) for error in server.errors] == ["one's own"]


@waiting
def test_service_actions(mixin: type) -> None:
    done = threading.Event()

    def service_actions(self: Any) -> None:
        self.actions += 1
        if self.actions == 5:
            done.set()

    with serving(made(mixin, service_actions=service_actions, actions=0)(LOCAL, handlers.Capitals)):
        assert done.wait(SECONDS_MOST)


@waiting
def test_handle_request_and_its_timeout(mixin: type) -> None:
    timeouts: list[int] = []
    kind = made(mixin, timeout=0.01, handle_timeout=lambda self: timeouts.append(1))
    with kind(LOCAL, handlers.Where) as server:
        server.handle_request()
        assert timeouts == [1]
        with dial(server) as client:
            client.sendall(b"?\n")
            server.timeout = None
            server.handle_request()
            assert client.makefile("rb").readline()
        assert timeouts == [1]


def test_attributes_of_the_class_and_of_the_server() -> None:
    class Server(ours.TCPServer):
        allow_reuse_address = True
        request_queue_size = 3

    with Server(LOCAL, handlers.Where, bind_and_activate=False) as server:
        server.server_bind()
        server.server_activate()
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert server.fileno() == server.socket.fileno()
        assert server.server_address == server.socket.getsockname()
        assert (server.request_queue_size, ours.TCPServer.request_queue_size) == (3, 1024)
        assert (server.timeout, server.RequestHandlerClass) == (None, handlers.Where)
        assert ours.UDPServer.max_packet_size == socketserver.UDPServer.max_packet_size


# What is ours alone.


def test_handle_request_is_not_deaf() -> None:
    """A silent client came first. The original would wait for it."""
    with ours.TCPServer(LOCAL, handlers.Where) as server, dial(server) as silent, dial(server) as client:
        client.sendall(b"?\n")
        server.handle_request()
        assert client.makefile("rb").readline()
        assert "IDLE" in [row.state for row in server.reactor.rows()]
        silent.close()


@pytest.mark.parametrize("mixin", [Switching, Lines, Three, ours.ForkingMixIn])
def test_handle_request_counts_who_leaves_without_a_word(mixin: type) -> None:
    """And each request once: who came later is served by the next call."""
    with made(mixin)(LOCAL, handlers.Capitals) as server:
        with dial(server):
            pass
        server.handle_request()
        assert server._ended == 1
        with dial(server) as client:
            client.sendall(b"fork and\n")
            client.shutdown(socket.SHUT_WR)
            server.handle_request()
            assert client.recv(100) == b"FORK AND\n"
        assert server._ended == 2
        while server.reactor.table.rows:
            server.reactor.step(1.0)
        assert server._ended == 2


def test_a_row_that_is_killed_ends_a_request() -> None:
    with made(ours.ForkingMixIn)(LOCAL, handlers.Capitals) as server, dial(server) as client:
        client.sendall(b"half")
        reactor = server.attach()
        while not (calls := [row for row in reactor.rows() if row.calls]):
            reactor.step(1.0)
        reactor.kill(calls[0].key)
        server.handle_request()
        assert (server._begun, server._ended) == (1, 1)


@pytest.mark.parametrize("how", ["switching", "thread", "fork"])
@pytest.mark.parametrize("fate", ["served", "refused", "verify fails", "unanswerable", "sent away"])
def test_handle_request_of_datagrams(how: str, fate: str) -> None:
    """Each ends, whatever becomes of it; what goes wrong is told to `handle_error` and leaves nobody's turn."""

    def verify_request(self: Any, request: Any, client_address: Any) -> bool:
        if fate == "verify fails":
            raise RuntimeError("verify")
        return fate != "refused"

    def process_request(self: Any, request: Any, client_address: Any) -> None:
        if fate != "sent away":
            super(kind, self).process_request(request, client_address)

    hooks = {"verify_request": verify_request, "process_request": process_request}
    kind = made(Switching, socketserver.UDPServer, how=how, **hooks)
    with (
        kind(LOCAL, handlers.TooMuch if fate == "unanswerable" else handlers.Letters) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(SECONDS_MOST)
        client.sendto(b"hello", server.server_address)
        server.handle_request()
        assert (server._begun, server._ended) == (1, 1)
        if fate == "served":
            assert client.recv(100) == b"HELLO"
    assert len(server.errors) == (fate in ("verify fails", "unanswerable"))


def test_closing_waits_for_datagrams_that_are_served_elsewhere() -> None:
    with (
        made(ours.ThreadingMixIn, socketserver.UDPServer)(LOCAL, handlers.LateLetter) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(SECONDS_MOST)
        client.sendto(b"hello", server.server_address)
        reactor = server.attach()
        while not reactor.totals().calls:
            reactor.step(1.0)
        server.server_close()
        assert server._ended == 1


def test_a_thread_that_takes_too_long_does_not_hold_the_end() -> None:
    """Of a datagram no row tells: `server_close` waits for its thread, but for `drain_seconds` at the most."""
    done = threading.Event()
    threads: list[threading.Thread] = []

    class Endless(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            threads.append(threading.current_thread())
            done.wait()

    limits = Limits(drain_seconds=0.05)
    with (
        made(ours.ThreadingMixIn, socketserver.UDPServer, limits=limits)(LOCAL, Endless) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"hello", server.server_address)
        try:
            reactor = server.attach()
            while not threads:
                reactor.step(0.01)
            server.server_close()
            assert threads[0].is_alive()
        finally:
            done.set()
            for thread in threads:
                thread.join()


class ThreeOfLetters(ours.MultiplexingMixIn, socketserver.UDPServer):
    """The first word of a datagram says how it is served."""

    def choose(self, request: Any, client_address: Any, data: bytes) -> str | None:
        return data.decode() if data != b"default" else None


@pytest.mark.parametrize("how", ["inline", "fork", "thread", "default", "magic"])
def test_each_datagram_in_its_own_way(how: str) -> None:
    kind = made(ThreeOfLetters, socketserver.UDPServer)
    with kind(LOCAL, handlers.WhereLetter) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS_MOST)
        client.sendto(how.encode(), server.server_address)
        server.handle_request()
        if how == "magic":
            assert "choose() returned 'magic'" in str(server.errors[0])
            return
        here = os.getpid(), threading.get_ident()
        pid, thread = map(int, client.recv(100).split())
        assert (pid == here[0], thread == here[1]) == {"fork": (False, True), "thread": (True, False)}.get(
            how, (True, True)
        )


def test_shutdown_from_within_a_handler() -> None:
    """Where the original would wait for itself."""

    class Last(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.server.shutdown()
            self.request.sendall(b"good bye\n")

    kind = made(ours.TCPServer, limits=Limits(linger_seconds=0.1))
    with kind(LOCAL, Last) as server, dial(server) as client:
        server.serve_forever()
        server.server_close()
        assert hear(client) == b"good bye\n"


def test_shutdown_before_it_serves() -> None:
    """Whoever is about to serve does not; the next one does."""
    with serving(ours.TCPServer(LOCAL, handlers.Where)) as server:
        pass
    with ours.TCPServer(LOCAL, handlers.Where) as server:
        server.shutdown()
        server.serve_forever()
        with serving(server), dial(server) as client:
            client.sendall(b"?\n")
            assert client.recv(1)


def test_one_reactor_for_several_servers() -> None:
    reactor = Reactor()
    with ours.TCPServer(LOCAL, handlers.Where) as one, ours.UDPServer(LOCAL, handlers.Answer) as other:
        assert one.attach(reactor) is other.attach(reactor) is one.attach() is reactor
        with dial(one) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as letters:
            client.sendall(b"?\n")
            letters.sendto(b"hello", other.server_address)
            for channel in (client, letters):
                channel.setblocking(False)
            heard: set[bytes] = set()
            end = time.monotonic() + SECONDS_MOST
            while len(heard) < 2 and time.monotonic() < end:
                reactor.step(0.01)
                for channel in (client, letters):
                    with suppress(BlockingIOError):
                        heard.add(channel.recv(100)[:5])
    assert b"HELLO" in heard and len(heard) == 2
    reactor.close()


@pytest.mark.parametrize("how", ["switching", "fork", "thread", "inline"])
def test_each_request_in_its_own_way(how: str) -> None:
    with serving(Three(LOCAL, handlers.Raw)) as server, dial(server) as client:
        client.sendall(how[:2].encode())
        time.sleep(0.02)
        client.sendall(how[2:].encode() + b" and more to the ")
        client.sendall(b"end\n")
        assert hear(client) == how.encode() + b" and more to the end\n"


def test_a_way_that_there_is_not() -> None:
    class Wrong(Three):
        errors: list[Any] = []  # noqa: RUF012

    with serving(Wrong(LOCAL, handlers.Raw)) as server, dial(server) as client:
        client.sendall(b"magic please\n")
        with suppress(ConnectionResetError):
            assert hear(client) == b""
        reactor = server.reactor
    assert reactor.totals().ended == {"machine failed": 1}


def calls_of(server: Any) -> list[str]:
    """Where the calls of all rows run."""
    return [row.calls for row in (server.reactor.rows() if server.reactor else ()) if row.calls]


def test_children_are_rows_beside_others() -> None:
    """The table shows plain, forked and waiting rows side by side; those over the cap wait for one to end."""

    class Few(Three):
        max_children = 1

    with serving(Few(LOCAL, handlers.Raw)) as server:
        clients = [dial(server) for _ in range(3)]
        for client, words in zip(clients, (b"switching ...", b"fork ...", b"fork ..."), strict=True):
            client.sendall(words)
        end = time.monotonic() + SECONDS_MOST
        while len(calls := sorted(call.split()[0] for call in calls_of(server))) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert calls == ["fork", "queued"]
        for client in clients:
            client.sendall(b" end\n")
        assert [hear(client)[-4:] for client in clients] == [b"end\n"] * 3
        for client in clients:
            client.close()


def test_a_child_that_is_killed_is_an_error_like_another() -> None:
    with serving(made(ours.ForkingMixIn)(LOCAL, handlers.Raw)) as server, dial(server) as client:
        client.sendall(b"half")
        end = time.monotonic() + SECONDS_MOST
        while not (calls := [call for call in calls_of(server) if call.startswith("fork")]):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(int(calls[0].split()[1]), 9)
        with suppress(ConnectionResetError):
            assert hear(client) == b""
        while not server.errors:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert "was killed by SIGKILL" in str(server.errors[0])


class Yields(socketserver.BaseRequestHandler):
    """A handler that is a generator."""

    def setup(self) -> None:
        self.server.steps.append("setup")

    def handle(self) -> Any:
        while line := (yield LINE):
            if line == b"fail\n":
                raise RuntimeError("as it was told")
            if line == b"raw\n":
                line = yield READ
            outcome = yield Call(bytes.upper, line, how="thread")
            yield outcome.result()
            yield NEXT

    def finish(self) -> None:
        self.server.steps.append("finish")


def test_a_handler_that_is_a_generator() -> None:
    steps: list[str] = []
    kind = made(Switching, steps=steps)
    with serving(kind(LOCAL, Yields)) as server, dial(server) as client, dial(server) as other:
        file = client.makefile("rwb", buffering=0)
        for words in (b"hello\n", b"again\n"):
            file.write(words)
            assert file.readline() == words.upper()
        other.sendall(b"half")
        file.write(b"raw\n")
        time.sleep(0.02)
        file.write(b"no line")
        assert file.read(7) == b"NO LINE"
        other.sendall(b" a line without an end")
        other.shutdown(socket.SHUT_WR)
        assert hear(other) == b"HALF A LINE WITHOUT AN END"
        file.write(b"fail\n")
        assert hear(client) == b""
        file.close()
    assert sorted(steps) == ["finish", "finish", "setup", "setup"]
    assert [str(error) for error in server.errors] == ["as it was told"]


def test_limits_of_ones_own() -> None:
    """Who says nothing for long is sent away, if a server says so."""
    limits = Limits(idle_seconds=0.05)
    with serving(made(Switching, limits=limits)(LOCAL, handlers.Capitals)) as server, dial(server) as client:
        assert hear(client) == b""


@pytest.mark.parametrize("block", [True, False])
def test_closing_lets_requests_end_or_not(block: bool) -> None:
    kind = made(Switching, block_on_close=block, limits=Limits(drain_seconds=SECONDS_MOST, linger_seconds=0.1))
    server = kind(LOCAL, handlers.Large)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = dial(server)
    client.sendall(b"30000000\n")
    assert client.recv(1) == b"x"
    reader = threading.Thread(target=lambda: heard.append(hear_what_comes(client)))
    heard: list[int] = []
    if block:
        reader.start()
    server.shutdown()
    thread.join()
    server.server_close()
    if not block:
        reader.start()
    reader.join()
    client.close()
    assert (heard[0] == 29_999_999) == block


def hear_what_comes(channel: socket.socket) -> int:
    count = 0
    with suppress(ConnectionResetError):
        while data := channel.recv(65536):
            count += len(data)
    return count


def test_the_short_name() -> None:
    """It has what programs take from `socketserver`, and nothing of its own."""
    for name in short.__all__:
        assert getattr(short, name) is getattr(ours, name)
    missing = set(socketserver.__all__) - set(short.__all__)
    assert all(name.startswith(("Threading", "Forking")) for name in missing), missing


# What cannot be.


@pytest.mark.parametrize("theirs", [socketserver.ThreadingMixIn, socketserver.ForkingMixIn])
def test_not_together_with_the_originals(theirs: type) -> None:
    kind = type("Server", (ours.MultiplexingMixIn, theirs, socketserver.TCPServer), {})
    with pytest.raises(TypeError, match=f"{theirs.__name__} of its own|this module's own {theirs.__name__}"):
        kind(LOCAL, handlers.Where)


def test_a_how_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="how is one of switching, buffered"):
        made(Switching, how="magic")(LOCAL, handlers.Where)


def test_buffered_needs_to_know_the_end() -> None:
    with (
        made(Switching, how="buffered")(LOCAL, handlers.Where) as server,
        pytest.raises(TypeError, match="framer has to say where"),
    ):
        server.handle_request()


def test_greenlet_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    monkeypatch.delitem(sys.modules, "partway.engine.adapters.switching", raising=False)
    monkeypatch.delattr("partway.engine.adapters.switching", raising=False)
    with (
        ours.TCPServer(LOCAL, handlers.Where) as server,
        pytest.raises(ImportError, match=r"pip install 'partway\[socketserver\]'"),
    ):
        server.handle_request()


def test_tls_is_refused() -> None:
    with ours.TCPServer(LOCAL, handlers.Where) as server:
        server.socket = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(server.socket, server_side=True)
        with pytest.raises(TypeError, match="put a proxy in front"):
            server.handle_request()
