"""The shape of `asynchat`, which left the standard library with Python 3.12: protocols that talk up to a mark.

For programs that were written for it: `from partway.engine.adapters import asynchat` in place of the import that is
gone. `asyncore` beside it is what it stands on, and whose `loop` takes its turns.
"""

import socket
from collections import deque
from typing import Any

from .asyncore import Map, dispatcher


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
