"""The shape of `asyncore`, which left the standard library with Python 3.12, on a reactor; `asynchat` stands beside it.

For programs that were written for it: `from partway.engine.adapters import asyncore` in place of the import that is
gone. Who is readable and writable is asked of each dispatcher before each turn, as it always was, so a turn costs what
there is, not what happens; new code is better off with rows.

All maps share `reactor`, which may have listeners of its own beside them. Files (`file_dispatcher`) are left out.
"""

import socket
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from errno import (
    EAGAIN,
    EALREADY,
    EBADF,
    ECONNABORTED,
    ECONNRESET,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EPIPE,
    ESHUTDOWN,
    EWOULDBLOCK,
    errorcode,
)
from functools import partial
from os import strerror
from typing import Any

from ..reactor import Reactor

Map = MutableMapping[int, Any]
DISCONNECTED = frozenset({ECONNRESET, ENOTCONN, ESHUTDOWN, ECONNABORTED, EPIPE, EBADF})

socket_map: Map = {}
"""All dispatchers that were made without a map of their own, by descriptor."""

reactor: Reactor | None = None
"""Whose turns `loop` takes: the program's, if it has put one here, else made by the first `loop`."""


class ExitNow(Exception):
    """Raised by a handler to leave `loop`."""


_PASSED_ON = (ExitNow, KeyboardInterrupt, SystemExit)


def loop(timeout: float = 30.0, use_poll: bool = False, map: Map | None = None, count: int | None = None) -> None:
    """Take turns, `count` of them or until no dispatcher is left. A turn waits `timeout` seconds at the most.

    `use_poll` is taken for the sake of those who say it: which poller there is, is the reactor's affair.
    """
    dispatchers = socket_map if map is None else map
    turns = our_reactor()
    try:
        while dispatchers and (count is None or count > 0):
            for descriptor, one in [*dispatchers.items()]:
                _ask(descriptor, one)
            turns.step(timeout)
            count = None if count is None else count - 1
    finally:
        for descriptor in [*dispatchers]:
            _forget(descriptor)


def our_reactor() -> Reactor:
    """Return the reactor whose turns are taken; make it if there is none."""
    global reactor
    if reactor is None:
        reactor = Reactor()
    return reactor


_asked: dict[int, tuple[int, bool, bool]] = {}
"""What the poller is asked, by descriptor: for which dispatcher, and whether it reads and writes."""


def _ask(descriptor: int, one: Any) -> None:
    """Have the poller look at a dispatcher for what it wants now."""
    reads, writes = bool(one.readable()), bool(one.writable() and not one.accepting)
    wanted = id(one), reads, writes
    if _asked.get(descriptor) == wanted:
        return
    if not (reads or writes):
        _forget(descriptor)
        return
    _asked[descriptor] = wanted
    our_reactor().watch(descriptor, partial(read, one) if reads else None, partial(write, one) if writes else None)


def _forget(descriptor: int) -> None:
    """Have the poller look no more: before the descriptor is closed, for somebody else may have it next."""
    if _asked.pop(descriptor, None) is not None:
        our_reactor().unwatch(descriptor)


def close_all(map: Map | None = None, ignore_all: bool = False) -> None:
    """Close all dispatchers of a map; with `ignore_all` whatever they raise."""
    dispatchers = socket_map if map is None else map
    for one in [*dispatchers.values()]:
        try:
            one.close()
        except OSError as error:
            if error.errno != EBADF and not ignore_all:
                raise
        except _PASSED_ON:
            raise
        except Exception:
            if not ignore_all:
                raise
    dispatchers.clear()


def read(one: Any) -> None:
    """Have a dispatcher read; what it raises it is told itself."""
    _tell(one, one.handle_read_event)


def write(one: Any) -> None:
    """Have a dispatcher write; what it raises it is told itself."""
    _tell(one, one.handle_write_event)


def _tell(one: Any, event: Callable[[], None]) -> None:
    try:
        event()
    except _PASSED_ON:
        raise
    except OSError as error:
        if error.errno in DISCONNECTED:
            one.handle_close()
        else:
            one.handle_error()
    except Exception:
        one.handle_error()


class dispatcher:  # noqa: N801
    """A socket and what is to be done when it is ready."""

    debug = False
    connected = False
    accepting = False
    connecting = False
    closing = False
    addr: Any = None
    ignore_log_types = frozenset({"warning"})

    def __init__(self, sock: socket.socket | None = None, map: Map | None = None) -> None:
        self._map = socket_map if map is None else map
        self._fileno: int | None = None
        self.socket: socket.socket | None = None
        if sock is None:
            return
        sock.setblocking(False)
        self.set_socket(sock, map)
        self.connected = True
        try:
            self.addr = sock.getpeername()
        except OSError as error:
            if error.errno not in (ENOTCONN, EINVAL):  # it has gone, and nothing remains to be done for it
                self.del_channel(map)
                raise
            self.connected = False

    def __repr__(self) -> str:
        state = "listening" if self.accepting and self.addr else "connected" if self.connected else ""
        words = [type(self).__qualname__, state, str(self.addr or "")]
        return f"<{' '.join(word for word in words if word)}>"

    # Its place in the map.

    def add_channel(self, map: Map | None = None) -> None:
        """Enter a map, from which on it is asked what it wants."""
        assert self._fileno is not None
        (self._map if map is None else map)[self._fileno] = self

    def del_channel(self, map: Map | None = None) -> None:
        """Leave the map."""
        if self._fileno is not None:
            _forget(self._fileno)
            (self._map if map is None else map).pop(self._fileno, None)
        self._fileno = None

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        """Make a socket that does not block, and enter the map with it."""
        self.family_and_type = family, type
        made = socket.socket(family, type)
        made.setblocking(False)
        self.set_socket(made)

    def set_socket(self, sock: socket.socket, map: Map | None = None) -> None:
        """Take a socket, and enter the map with it."""
        self.socket = sock
        self._fileno = sock.fileno()
        self.add_channel(map)

    def set_reuse_addr(self) -> None:
        """Let the address be bound again soon, where that can be said."""
        with suppress(OSError):
            self._open().setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def _open(self) -> socket.socket:
        if self.socket is None:
            raise OSError(EBADF, strerror(EBADF))
        return self.socket

    # What it is asked before each turn.

    def readable(self) -> bool:
        """Tell whether it wants to read. To be overridden."""
        return True

    def writable(self) -> bool:
        """Tell whether it wants to write. To be overridden."""
        return True

    # What a socket does.

    def listen(self, num: int) -> None:
        """Listen, with a backlog of `num`."""
        self.accepting = True
        self._open().listen(num)

    def bind(self, addr: Any) -> None:
        """Bind to an address."""
        self.addr = addr
        self._open().bind(addr)

    def connect(self, address: Any) -> None:
        """Begin to connect; `handle_connect` tells that it is done. Raises OSError where it cannot begin."""
        self.connected, self.connecting = False, True
        code = self._open().connect_ex(address)
        if code in (EINPROGRESS, EALREADY, EWOULDBLOCK):
            self.addr = address
        elif code in (0, EISCONN):
            self.addr = address
            self.handle_connect_event()
        else:
            raise OSError(code, errorcode.get(code, str(code)))

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Return the next connection and its address, or None where it has gone again."""
        try:
            return self._open().accept()
        except OSError as error:
            if error.errno in (EWOULDBLOCK, EAGAIN, ECONNABORTED):
                return None
            raise

    def send(self, data: Any) -> int:
        """Send what can be sent now; return how many bytes."""
        try:
            return self._open().send(data)
        except OSError as error:
            if error.errno in (EWOULDBLOCK, EAGAIN):
                return 0
            if error.errno in DISCONNECTED:
                self.handle_close()
                return 0
            raise

    def recv(self, buffer_size: int) -> bytes:
        """Return what has come; at its end b"", and then `handle_close` has been called."""
        try:
            data = self._open().recv(buffer_size)
        except OSError as error:
            if error.errno not in DISCONNECTED:
                raise
            data = b""
        if not data:
            self.handle_close()
        return data

    def close(self) -> None:
        """Leave the map and close the socket."""
        self.connected = self.accepting = self.connecting = False
        self.del_channel()
        if self.socket is not None:
            with suppress(OSError):
                self.socket.close()

    # What a turn calls.

    def handle_read_event(self) -> None:
        """It is readable: somebody knocks, or it is connected at last, or bytes have come."""
        if self.accepting:
            self.handle_accept()
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_read()

    def handle_connect_event(self) -> None:
        """The attempt to connect is over. Raises OSError where it has failed."""
        code = self._open().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, errorcode.get(code, str(code)))
        self.handle_connect()
        self.connected, self.connecting = True, False

    def handle_write_event(self) -> None:
        """It is writable: it is connected at last, or there is room."""
        if self.accepting:
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_write()

    # What is to be overridden.

    def handle_read(self) -> None:
        """Bytes have come."""
        self.log_info("unhandled read event", "warning")

    def handle_write(self) -> None:
        """There is room."""
        self.log_info("unhandled write event", "warning")

    def handle_connect(self) -> None:
        """It is connected."""
        self.log_info("unhandled connect event", "warning")

    def handle_close(self) -> None:
        """The other side has ended."""
        self.log_info("unhandled close event", "warning")
        self.close()

    def handle_accept(self) -> None:
        """Somebody knocks."""
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        """A connection has come."""
        sock.close()
        self.log_info("unhandled accepted event", "warning")

    def handle_expt(self) -> None:
        """Urgent data have come: never called, for no reactor asks for them."""
        self.log_info("unhandled incoming priority event", "warning")

    def handle_error(self) -> None:
        """A handler has raised something."""
        kind, error, _ = sys.exc_info()
        self.log_info(f"uncaptured python exception, closing channel {self!r} ({kind}: {error})", "error")
        self.handle_close()

    def log(self, message: str) -> None:
        """Write a line to stderr."""
        print(f"log: {message}", file=sys.stderr)

    def log_info(self, message: str, type: str = "info") -> None:
        """Say something of a type, unless that is ignored."""
        if type not in self.ignore_log_types:
            print(f"{type}: {message}")


class dispatcher_with_send(dispatcher):  # noqa: N801
    """A dispatcher that keeps what could not be sent at once."""

    def __init__(self, sock: socket.socket | None = None, map: Map | None = None) -> None:
        super().__init__(sock, map)
        self.out_buffer = b""

    def initiate_send(self) -> None:
        """Send what can be sent now."""
        sent = super().send(self.out_buffer[:65536])
        self.out_buffer = self.out_buffer[sent:]

    def handle_write(self) -> None:
        """There is room."""
        self.initiate_send()

    def writable(self) -> bool:
        """It wants to write while something is kept, and until it is connected."""
        return not self.connected or len(self.out_buffer) > 0

    def send(self, data: Any) -> int:
        """Send, now or later; return how much that is."""
        self.out_buffer += bytes(data)
        self.initiate_send()
        return len(data)
