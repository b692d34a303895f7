"""The shape of `asyncore` and `asynchat`, which left the standard library with Python 3.12, on a reactor.

For programs that were written for them: `from partway.engine.adapters import asyncore` in place of the import that is
gone, and `asyncore.async_chat` for `asynchat.async_chat`. Who is readable and writable is asked of each dispatcher
before each turn, as it always was, so a turn costs what there is, not what happens; new code is better off with rows.

All maps share `reactor`, which may have listeners of its own beside them. Files (`file_dispatcher`) are left out.
"""

import socket
import sys
from collections import deque
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


class simple_producer:  # noqa: N801
    """Cuts bytes into pieces."""

    def __init__(self, data: bytes, buffer_size: int = 512) -> None:
        self.data = data
        self.buffer_size = buffer_size

    def more(self) -> bytes:
        """Return the next piece; b"" at the end."""
        piece, self.data = self.data[: self.buffer_size], self.data[self.buffer_size :]
        return piece


class async_chat(dispatcher):  # noqa: N801
    """A dispatcher of protocols that say something up to a mark, and then answer.

    `collect_incoming_data(data)` and `found_terminator()` are to be written.
    """

    ac_in_buffer_size = 65536
    ac_out_buffer_size = 65536
    use_encoding = False
    encoding = "latin-1"

    def __init__(self, sock: socket.socket | None = None, map: Map | None = None) -> None:
        self.ac_in_buffer = b""
        self.incoming: list[bytes] = []
        self.producer_fifo: deque[Any] = deque()
        self.terminator: bytes | int | None = None
        super().__init__(sock, map)

    def collect_incoming_data(self, data: bytes) -> None:
        """Keep what came before a mark."""
        raise NotImplementedError("must be implemented in subclass")

    def found_terminator(self) -> None:
        """The mark has come."""
        raise NotImplementedError("must be implemented in subclass")

    def _collect_incoming_data(self, data: bytes) -> None:
        self.incoming.append(data)

    def _get_data(self) -> bytes:
        data = b"".join(self.incoming)
        self.incoming.clear()
        return data

    def set_terminator(self, term: str | bytes | int | None) -> None:
        """Say what the mark is: bytes, so many bytes from here, or None for what never comes."""
        if isinstance(term, str) and self.use_encoding:
            term = term.encode(self.encoding)
        elif isinstance(term, int) and term < 0:
            raise ValueError("the number of received bytes must be positive")
        assert not isinstance(term, str), "bytes, unless use_encoding says otherwise"
        self.terminator = term

    def get_terminator(self) -> bytes | int | None:
        """Return the mark, or how many bytes are left until it."""
        return self.terminator

    # Coming in.

    def handle_read(self) -> None:
        """Cut what has come at the marks."""
        try:
            data = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError:
            self.handle_error()
            return
        if isinstance(data, str) and self.use_encoding:
            data = data.encode(self.encoding)
        self.ac_in_buffer += data
        while self.ac_in_buffer and self._cut():
            pass

    def _cut(self) -> bool:
        """Hand on what lies before the mark; False where it may yet come."""
        data, mark = self.ac_in_buffer, self.get_terminator()
        if not mark:
            self.ac_in_buffer = b""
            self.collect_incoming_data(data)
        elif isinstance(mark, int):
            taken = data[:mark]
            self.ac_in_buffer = data[mark:]
            self.terminator = mark - len(taken)
            self.collect_incoming_data(taken)
            if not self.terminator:
                self.found_terminator()
        else:
            return self._cut_at(data, mark)
        return True

    def _cut_at(self, data: bytes, mark: bytes) -> bool:
        place = data.find(mark)
        if place >= 0:
            self.ac_in_buffer = data[place + len(mark) :]
            if place:
                self.collect_incoming_data(data[:place])
            self.found_terminator()
            return True
        kept = find_prefix_at_end(data, mark)
        if kept < len(data):
            self.ac_in_buffer = data[len(data) - kept :]
            self.collect_incoming_data(data[: len(data) - kept])
        return False

    # Going out.

    def push(self, data: Any) -> None:
        """Send bytes after all that is to be sent already. Raises TypeError for anything else."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        view = memoryview(data)
        size = self.ac_out_buffer_size
        self.producer_fifo.extend(bytes(view[place : place + size]) for place in range(0, len(view), size))
        self.initiate_send()

    def push_with_producer(self, producer: Any) -> None:
        """Send what a producer's `more()` returns, until that is b""."""
        self.producer_fifo.append(producer)
        self.initiate_send()

    def close_when_done(self) -> None:
        """Close when all has been sent."""
        self.producer_fifo.append(None)

    def discard_buffers(self) -> None:
        """Forget what came and what was to be sent."""
        self.ac_in_buffer = b""
        self.incoming.clear()
        self.producer_fifo.clear()

    def initiate_send(self) -> None:
        """Send what can be sent now."""
        fifo = self.producer_fifo
        while fifo and self.connected:
            first = fifo[0]
            if first is None:
                fifo.popleft()
                self.handle_close()
            elif not isinstance(first, (bytes, bytearray, memoryview, str)):
                data = first.more()
                if data:
                    fifo.appendleft(data)
                else:
                    fifo.popleft()
            elif not first:
                fifo.popleft()
            else:
                self._send_first(first.encode(self.encoding) if isinstance(first, str) else first)
                return

    def _send_first(self, data: Any) -> None:
        """Send the first of what is to be sent, or a part of it."""
        try:
            sent = self.send(data[: self.ac_out_buffer_size])
        except OSError:
            self.handle_error()
            return
        if self.producer_fifo:  # else a failure has emptied it
            self.producer_fifo.popleft()
            if sent < len(data):
                self.producer_fifo.appendleft(data[sent:])

    def handle_write(self) -> None:
        """There is room."""
        self.initiate_send()

    def handle_close(self) -> None:
        """The other side has ended, or all has been sent."""
        self.close()

    def readable(self) -> bool:
        """It always reads."""
        return True

    def writable(self) -> bool:
        """It wants to write while something is to be sent, and until it is connected."""
        return bool(self.producer_fifo) or not self.connected


def find_prefix_at_end(haystack: bytes, needle: bytes) -> int:
    """Return how many bytes at the end of one are the beginning of the other."""
    most = min(len(haystack), len(needle) - 1)
    return next((size for size in range(most, 0, -1) if haystack.endswith(needle[:size])), 0)
