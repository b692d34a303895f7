"""What an existing handler has instead of a socket: the same methods, over whatever moves the bytes.

Handlers of `socketserver` and `http.server` were written for a socket that blocks. They get this, and one of the ways
underneath: greenlets that switch, a request in memory, or a real socket that does block, in a child or a thread.
Nothing of `socket` is patched; only this one object is ours.
"""

import io
import socket
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NoReturn, Protocol

Data = bytes | bytearray | memoryview

SEND_FILE_BYTES = 64 * 1024


class Way(Protocol):
    """How the bytes move."""

    def read(self, size: int) -> bytes:
        """Return at least one byte and `size` at the most, or b"" at the end."""
        ...

    def write(self, data: Data) -> None:
        """Send all of it."""
        ...

    def half_close(self) -> None:
        """End our side."""
        ...

    def set_timeout(self, seconds: float | None) -> None:
        """Let `read` raise TimeoutError after so many seconds, or never for None."""
        ...


class Nowhere:
    """The way of a connection on which nothing can be said yet, or any more."""

    def __init__(self, why: str) -> None:
        self._why = why

    def read(self, size: int) -> bytes:
        """Raise OSError."""
        self._fail()

    def write(self, data: Data) -> None:
        """Raise OSError."""
        self._fail()

    def half_close(self) -> None:
        """Our side has ended."""

    def set_timeout(self, seconds: float | None) -> None:
        """Nothing has to be waited for."""

    def _fail(self) -> NoReturn:
        raise OSError(self._why)


class Connection:
    """A connection as a handler sees it: `recv`, `sendall`, `makefile` and the rest of a stream socket's methods.

    What it lacks of a socket's methods is an AttributeError. Its options are those of the real one.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.way: Way = Nowhere("nobody serves this connection yet")
        self._timeout: float | None = socket.getdefaulttimeout()
        self._files = 0
        self._closed = False

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection {type(self.way).__name__}>"

    # The real socket's.

    @property
    def family(self) -> int:
        """Its address family."""
        return self.channel.family

    @property
    def type(self) -> int:
        """SOCK_STREAM."""
        return self.channel.type

    @property
    def proto(self) -> int:
        """Its protocol's number."""
        return self.channel.proto

    def fileno(self) -> int:
        """Return the real descriptor. Who reads or writes there speaks past the engine."""
        return -1 if self._closed else self.channel.fileno()

    def getpeername(self) -> Any:
        """Return the peer's address."""
        return self.channel.getpeername()

    def getsockname(self) -> Any:
        """Return our own address."""
        return self.channel.getsockname()

    def getsockopt(self, *words: Any) -> Any:
        """Return an option."""
        return self.channel.getsockopt(*words)

    def setsockopt(self, *words: Any) -> None:
        """Set an option."""
        self.channel.setsockopt(*words)

    # Reading.

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has come, `size` bytes at the most: wait for it as `socket.recv` does. b"" at the end."""
        if flags:
            raise ValueError("recv() with flags goes past the engine: choose() is shown what has come")
        return self.way.read(size) if size > 0 else b""

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes."""
        view = memoryview(buffer).cast("B")
        data = self.recv(min(size or len(view), len(view)), flags)
        view[: len(data)] = data
        return len(data)

    # Writing.

    def send(self, data: Data, flags: int = 0) -> int:
        """Send all of it, and return how many bytes that was."""
        view = memoryview(data)
        if view.nbytes:
            self.way.write(data)
        return view.nbytes

    def sendall(self, data: Data, flags: int = 0) -> None:
        """Send all of it."""
        self.send(data)

    def sendmsg(self, pieces: Iterable[Data]) -> int:
        """Send several pieces; return how many bytes that was."""
        return self.send(b"".join(pieces))

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        """Send a part of an open file; return how many bytes that was."""
        if offset:
            file.seek(offset)
        sent = 0
        while count is None or sent < count:
            most = SEND_FILE_BYTES if count is None else min(SEND_FILE_BYTES, count - sent)
            data = file.read(most)
            if not data:
                break
            sent += self.send(data)
        return sent

    # Waiting and ending.

    def settimeout(self, seconds: float | None) -> None:
        """Let what waits longer raise TimeoutError. 0 means not to wait at all."""
        self._timeout = seconds
        self.way.set_timeout(seconds)

    def gettimeout(self) -> float | None:
        """Return it."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait without end, or not at all."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Tell whether it waits."""
        return self._timeout != 0

    def shutdown(self, how: int) -> None:
        """End our side, where `how` says so. Reading on is up to the handler."""
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self.way.half_close()

    def close(self) -> None:
        """Let nothing be said any more, once all files made of it are closed."""
        self._closed = True
        if not self._files:
            self.way = Nowhere("closed by its handler")

    # Files.

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Return a file, as `socket.makefile` does. Raises ValueError for a mode that makes no sense."""
        if not set(mode) <= set("rwb"):
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        writing = "w" in mode
        raw = _Raw(self, "r" in mode or not writing, writing)
        self._files += 1
        if buffering is None or buffering < 0:
            buffering = io.DEFAULT_BUFFER_SIZE
        if buffering == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        kinds: dict[tuple[bool, bool], Callable[[Any, int], Any]] = {
            (True, False): io.BufferedReader,
            (False, True): io.BufferedWriter,
            (True, True): lambda raw, size: io.BufferedRWPair(raw, raw, size),
        }
        file = kinds[raw.readable(), raw.writable()](raw, buffering)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

    def forget_file(self) -> None:
        """A file was closed."""
        self._files -= 1
        if self._closed:
            self.close()


class _Raw(io.RawIOBase):
    """The file beneath the buffered ones."""

    def __init__(self, connection: Connection, reads: bool, writes: bool) -> None:
        self._connection = connection
        self._reads = reads
        self._writes = writes

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def fileno(self) -> int:
        return self._connection.fileno()

    def readinto(self, buffer: Any) -> int:
        return self._connection.recv_into(buffer)

    def write(self, data: Any) -> int:
        return self._connection.send(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection.forget_file()


class Blocking:
    """A real socket that waits, in a child or in a thread; first comes what had been read of it before."""

    def __init__(self, channel: socket.socket, unread: bytes, timeout: float | None) -> None:
        self._channel = channel
        self._unread = unread
        self.set_timeout(timeout)

    def read(self, size: int) -> bytes:
        """Return what has come before, then what comes."""
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        return self._channel.recv(size)

    def write(self, data: Data) -> None:
        """Send all of it."""
        self._channel.sendall(data)

    def half_close(self) -> None:
        """End our side."""
        self._channel.shutdown(socket.SHUT_WR)

    def set_timeout(self, seconds: float | None) -> None:
        """Have the socket wait so long."""
        self._channel.settimeout(seconds)


class Memory:
    """A whole request in memory, and an answer that is put together there."""

    def __init__(self, request: bytes, write: Callable[[Data], None]) -> None:
        self._request = request
        self._place = 0
        self._write = write
        self.wanted_more = False  # the handler would have read on: it has not closed the connection

    def read(self, size: int) -> bytes:
        """Return a part of the request; at its end b"", as if the peer had ended."""
        data = self._request[self._place : self._place + size]
        self._place += len(data)
        self.wanted_more = self.wanted_more or not data
        return data

    def write(self, data: Data) -> None:
        """Put it behind the answer."""
        self._write(data)

    def half_close(self) -> None:
        """The answer is whole when the handler has ended."""

    def set_timeout(self, seconds: float | None) -> None:
        """Nothing is waited for."""
