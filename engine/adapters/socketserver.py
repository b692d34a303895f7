"""The standard library's server classes, multiplexed: existing handlers, unmodified, for thousands of slow clients.

    class Server(MultiplexingMixIn, http.server.HTTPServer):
        pass

`MultiplexingMixIn` stands where `ThreadingMixIn` would, and everything else of `socketserver` stays as it is: the
constructor, the hooks and the order in which they are called, and the handler classes. What differs is that a handler
which waits for its client keeps nobody else waiting. `how` says by which means:

- "switching": each handler has a greenlet (an extra); nothing of it need be known;
- "buffered": the handler runs in one go on a request that has come whole; no dependency;
- "fork", "thread": a child or a thread finishes it, so many of them at once; `ForkingMixIn` and `ThreadingMixIn`;
- "inline": it runs here and now on a socket that blocks, as it would without any mix-in.

A handler whose `handle()` is a generator is driven by the engine itself (`generator`), whatever `how` says. And
`choose()` may look at what has come, and answer for each request separately.
"""

import inspect
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ..limits import Limits
from ..listener import Listener
from ..machine import Machine
from ..reactor import Reactor
from ..row import Row
from .connection import Blocking, Connection
from .datagrams import DatagramRequests
from .framing import Framer, OneHttpRequest
from .lending import HOWS, Choosing, Lending, check_how
from .listening import ServerListening

NEVER = float("inf")
PATIENT = Limits(
    opening_seconds=NEVER,
    idle_seconds=NEVER,
    request_seconds=NEVER,
    stall_seconds=NEVER,
    waiting_seconds=NEVER,
    rate_min=0,
)
"""What the standard library's servers bound of time: nothing. A server's own `limits` may say otherwise."""

BaseServer = socketserver.BaseServer
BaseRequestHandler = socketserver.BaseRequestHandler
StreamRequestHandler = socketserver.StreamRequestHandler
DatagramRequestHandler = socketserver.DatagramRequestHandler
"""As they are: what is ours is the mix-in."""


class MultiplexingMixIn(socketserver.BaseServer):
    """Serves each request of a `socketserver` server as a row of a reactor, in one thread. Stands before the server.

    A subclass may set:

    - `how`: see above;
    - `framer`: what finds the end of a buffered request; `OneHttpRequest` for handlers of `http.server`;
    - `limits`: how patient it is (`Limits`), by default as the standard library, which is without end;
    - `max_children`: children and threads at once; who comes then waits for one of them to end;
    - `block_on_close`: whether `server_close()` lets requests in progress end, for `limits.drain_seconds`.

    TLS by a wrapped listening socket is refused: its handshake would block. Nor does it go together with the standard
    library's `ThreadingMixIn` or `ForkingMixIn`, for which this module has its own.
    """

    how: str = "switching"
    framer: Callable[[], Framer] | None = None
    limits: Limits = PATIENT
    max_children: int = 40
    block_on_close: bool = True
    request_queue_size: int = 1024  # five, as the standard library has it, are for servers of a few clients

    socket: socket.socket
    reactor: Reactor | None = None
    """Whose turns it is served in, from `attach` on."""

    def __init__(self, *words: Any, **named: Any) -> None:
        if self.how not in HOWS:
            raise ValueError(f"{type(self).__name__}.how is one of {', '.join(HOWS)}, and not {self.how!r}")
        for other in ("ThreadingMixIn", "ForkingMixIn"):
            if isinstance(self, getattr(socketserver, other, ())):
                raise TypeError(f"{type(self).__name__}: MultiplexingMixIn goes with this module's own {other}")
        self._owned = False  # the reactor is ours alone
        self._door: Listener | DatagramRequests | None = None
        self._patience: float | None = None  # the listening socket's own timeout
        self._begun = 0  # requests
        self._ended = 0
        self._begin_elsewhere: Callable[[], None] | None = None  # what `process_request` is asked for
        self._stopping = False
        self._serving: int | None = None  # the thread that serves for ever
        self._bell: socket.socket | None = None
        self._stopped = threading.Event()
        super().__init__(*words, **named)

    def choose(self, request: Any, client_address: Any, data: bytes) -> str | None:
        """Say how to serve a request of which so much has come; None to see more. May be overridden.

        The default says `how`, before anything has come. A datagram has come whole: None stands for `how` then.
        """
        return self.how

    # Serving.

    def attach(self, reactor: Reactor | None = None) -> Reactor:
        """Begin to serve in a reactor's turns: in that one, whoever steps it, or in one of our own. Return it.

        Raises TypeError for what cannot be multiplexed, ImportError where greenlet is missing. A second call changes
        nothing.
        """
        if self.reactor is not None:
            return self.reactor
        if hasattr(self.socket, "context"):
            raise TypeError("TLS cannot be multiplexed here, its handshake blocks: put a proxy in front")
        datagrams = self.socket.type == socket.SOCK_DGRAM
        make = None if datagrams else self._maker()
        self._owned = reactor is None
        self.reactor = reactor or Reactor(limits=replace(self.limits, calls_max=self.max_children))
        self._patience = self.socket.gettimeout()
        self.socket.setblocking(False)
        if make is None:
            self._door = DatagramRequests(self.reactor, self)
        else:
            listening = ServerListening(self)
            self._door = self.reactor.admit_from(listening, partial(self._begin, listening, make), self.limits)
        return self.reactor

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until `shutdown()`, then let what has begun end, in this thread, as `block_on_close` says.

        A `service_actions()` of one's own is called as often as by the original.
        """
        reactor = self.attach()
        acts = type(self).service_actions is not socketserver.BaseServer.service_actions
        self._stopped.clear()
        self._bell, rung = socket.socketpair()
        reactor.watch(rung.fileno(), lambda: None)
        self._serving = threading.get_ident()
        try:
            while not self._stopping:
                reactor.step(poll_interval if acts else None)
                if acts and not self._stopping:
                    self.service_actions()
            self._end()
        finally:
            self._stopping, self._serving = False, None
            if self.reactor is not None:
                reactor.unwatch(rung.fileno())
            self._bell.close()
            rung.close()
            self._stopped.set()

    def shutdown(self) -> None:
        """End `serve_forever()`, from wherever: from its own thread it ends after this turn, else this waits for it.

        Where nobody serves, whoever is about to does not. (The original waits for ever for that, and for itself.)
        """
        self._stopping = True
        serving, bell = self._serving, self._bell
        if serving is None or bell is None:
            return
        with suppress(OSError):  # it has just ended
            bell.send(b"!")
        if serving != threading.get_ident():
            self._stopped.wait()

    def handle_request(self) -> None:
        """Serve until a request has ended, or `timeout` has passed; others that have begun go on in the next call.

        So a silent client that came first keeps nobody waiting. `handle_timeout()` is called where nobody came.
        """
        reactor = self.attach()
        seconds = [limit for limit in (self._patience, self.timeout) if limit is not None]
        late: list[bool] = []
        alarm = reactor.after(min(seconds), lambda: late.append(True)) if seconds else 0
        begun, ended = self._begun, self._ended
        while self._ended == ended and not late:
            reactor.step()
        reactor.cancel(alarm)
        if late and self._begun == begun:
            self.handle_timeout()

    def server_close(self) -> None:
        """Stop listening, let what has begun end, as `block_on_close` says, and free all.

        From within a handler it only stops listening. Handlers that switch go on in no other thread than theirs.
        """
        self._end()
        super().server_close()

    def _end(self) -> None:
        """Admit nobody any more, and end what has begun. In a reactor that was given to `attach` requests live on."""
        reactor, door, self._door = self.reactor, self._door, None
        if door is not None:
            door.close()
        if reactor is None or reactor.stepping:
            return
        self.reactor = None
        if self._owned:
            if self.block_on_close:
                self._drain(reactor, door)
            reactor.close()

    def _drain(self, reactor: Reactor, door: Listener | DatagramRequests | None) -> None:
        """Take turns until all that has begun has ended, or the time for that has passed."""
        late: list[bool] = []
        reactor.drain(self.limits.drain_seconds)
        reactor.after(self.limits.drain_seconds, lambda: late.append(True))
        while reactor.table.rows or (not late and self._elsewhere(reactor, door)):
            reactor.step()

    def _elsewhere(self, reactor: Reactor, door: Listener | DatagramRequests | None) -> int:
        """Count threads and children that have no row, and datagrams that they have not answered."""
        letters = door.elsewhere if isinstance(door, DatagramRequests) else 0
        return letters + reactor.totals().calls

    # One request.

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a request finished: here, or where `process_request_thread` does it."""
        begin, self._begin_elsewhere = self._begin_elsewhere, None
        if begin is None:
            super().process_request(request, client_address)
        else:
            begin()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Finish a request in a thread, as the original's does; or in a child."""
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def serve(self, request: Any, client_address: Any) -> None:
        """Run the handler, by the hooks that the original calls, in its order."""
        try:
            self.process_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise

    def serve_elsewhere(self, request: Any, client_address: Any, begin: Callable[[], None]) -> None:
        """Have `process_request` call `begin`; one that is overridden may do without."""
        self._begin_elsewhere = begin
        try:
            self.serve(request, client_address)
        finally:
            self._begin_elsewhere = None

    def began(self) -> None:
        """Count a request that has begun."""
        self._begun += 1

    def ended(self) -> None:
        """Count a request that has ended."""
        self._ended += 1

    def failed(self, request: Any, client_address: Any, error: Exception) -> None:
        """Tell `handle_error` of what went wrong elsewhere."""
        try:
            raise error
        except Exception:
            self.handle_error(request, client_address)

    def _maker(self) -> Callable[[Row, Connection, str], Machine]:
        """Return what makes a row's machine; what it needs is looked for now."""
        if inspect.isgeneratorfunction(getattr(self._handler(), "handle", None)):
            if self._handler() is not self.RequestHandlerClass:
                raise TypeError("a handler whose handle() is a generator gets no arguments")
            from .generator import Handling

            return lambda row, connection, how: Handling(row, connection, self)
        if self.how == "switching":
            from . import switching  # noqa: F401
        elif self.how == "buffered":
            self._framer()
        return self._machine

    def _begin(self, listening: ServerListening, make: Callable[[Row, Connection, str], Machine], row: Row) -> Machine:
        connection = listening.latest
        self.began()
        if type(self).choose is MultiplexingMixIn.choose:
            return make(row, connection, self.how)
        return Choosing(row, partial(self.choose, connection, row.peer), partial(make, row, connection), self.ended)

    def _machine(self, row: Row, connection: Connection, how: str) -> Machine:
        address = row.peer
        check_how(how)
        if how == "switching":
            from .switching import Switching

            return Switching(row, connection, partial(self._serve_here, connection, address))
        if how == "buffered":
            from .buffered import Buffered

            return Buffered(row, connection, self._framer(), lambda one: self._serve_here(one, address), self.ended)
        return Lending(
            row,
            how,
            lambda begin: self.serve_elsewhere(connection, address, begin),
            partial(self._serve_lent, connection, address),
            partial(self._over, connection, address, how),
        )

    def _framer(self) -> Framer:
        if self.framer is not None:
            return self.framer()
        http, handler = sys.modules.get("http.server"), self._handler()
        if http is not None and isinstance(handler, type) and issubclass(handler, http.BaseHTTPRequestHandler):
            return OneHttpRequest()
        raise TypeError(f"{type(self).__name__}.framer has to say where a buffered request ends")

    def _handler(self) -> Any:
        """Return the class of the handlers, which may be given some of their arguments by `functools.partial`."""
        handler: Any = self.RequestHandlerClass
        return handler.func if isinstance(handler, partial) else handler

    def _serve_here(self, request: Connection, address: Any) -> None:
        try:
            self.serve(request, address)
        finally:
            self.ended()

    def _serve_lent(self, connection: Connection, address: Any, channel: Any, unread: bytes) -> None:
        """Run the handler where it may block."""
        connection.way = Blocking(channel, unread, connection.gettimeout())
        self.process_request_thread(connection, address)

    def _over(self, connection: Any, address: Any, how: str, error: Exception | None) -> None:
        """A child or a thread has ended."""
        self.ended()
        if how == "fork":
            self.close_request(connection)  # the original closes what its child has, too
        if error is not None:
            self.failed(connection, address, error)


class ForkingMixIn(MultiplexingMixIn):
    """Each request in a child, `max_children` of them at once; the row stays in the table until it ends."""

    how = "fork"


class ThreadingMixIn(MultiplexingMixIn):
    """Each request in a thread, `max_children` of them at once."""

    how = "thread"


class TCPServer(MultiplexingMixIn, socketserver.TCPServer):
    """Streams over TCP."""


class UDPServer(MultiplexingMixIn, socketserver.UDPServer):
    """Datagrams over UDP."""


if hasattr(socket, "AF_UNIX"):

    class UnixStreamServer(MultiplexingMixIn, socketserver.UnixStreamServer):
        """Streams over a UNIX socket."""

    class UnixDatagramServer(MultiplexingMixIn, socketserver.UnixDatagramServer):
        """Datagrams over a UNIX socket."""
