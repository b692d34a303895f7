"""Lines to a file, a pipe or a terminal, without ever waiting for whoever reads them.

There is one thread, so a pager that waits or a terminal that was stopped would stop the server. What is written in a
turn is therefore only kept, and handed over after it, as much as is taken. What finds no room is dropped by whole
lines and counted, and once it flows again one line tells how many that were.
"""

import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress

BUFFER_BYTES = 1024 * 1024  # some seven thousand lines of an access log
RETRY_SECONDS = 0.1  # a reader that was slow is asked again so soon
PIPE_BYTES = getattr(select, "PIPE_BUF", 512)  # a pipe that is ready takes that much
FILE_BYTES = BUFFER_BYTES  # in one write: 0.2 ms where the disk keeps up

After = Callable[[float, Callable[[], None]], object]
"""Has a function called after some seconds, as `Reactor.after` does."""

_NOWHERE = -1
_FILE_MODE = 0o644
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)


class Output:
    """Whole lines to a descriptor, or to the end of a file.

    `where` is a descriptor, which stays the caller's, or a path, which is made where it is missing. `after` is the
    reactor's. At most `bytes_max` bytes are kept. `lost` is how many lines have been dropped since that was last told.
    Raises OSError for what cannot be opened.
    """

    def __init__(self, where: int | str, after: After, bytes_max: int = BUFFER_BYTES) -> None:
        self.path = where if isinstance(where, str) else None
        self.bytes_max = bytes_max
        self.lost = 0
        self._after = after
        self._waiting = False
        self._buffer = bytearray()
        self._descriptor = _NOWHERE
        if isinstance(where, str):
            self._become(_open(where), own=True)
        else:
            terminal = _open_terminal(where)
            self._become(where if terminal is None else terminal, own=terminal is not None)

    def write(self, lines: bytes) -> None:
        """Keep whole lines, to be written with all else that comes in this turn; or drop and count them. Never raises.

        Once lines were dropped, so are all others until what is kept has gone: the gap is one, and told in its place.
        """
        if len(self._buffer) + len(lines) > self.bytes_max and not self.lost:
            self.flush()  # a file has room at once
        if self.lost or self._descriptor < 0 or len(self._buffer) + len(lines) > self.bytes_max:
            self.lost += lines.count(b"\n")
        else:
            self._buffer += lines
        if self._descriptor >= 0:
            self._wait(0)

    def show(self, picture: bytes) -> bool:
        """Write what is taken at once, and drop the rest. Returns False where nobody looks any more.

        The next picture makes up for it. Not for an output that has lines.
        """
        try:
            write_some(self._descriptor, bytearray(picture), self._piece)
        except (OSError, ValueError):  # the latter for an output that was closed
            return False
        return True

    def flush(self) -> None:
        """Write what is taken now; the rest is tried again later. Never raises."""
        if self._descriptor < 0:
            return
        try:
            write_some(self._descriptor, self._buffer, self._piece)
            if self.lost and not self._buffer:
                self._buffer += b"partway: lines that were lost here: %d\n" % self.lost
                self.lost = 0
                write_some(self._descriptor, self._buffer, self._piece)
        except OSError:
            if not self._is_file:  # a full disk will have room again; a reader that has gone stays away
                self._give_up()
        if self._buffer:
            self._wait(RETRY_SECONDS)

    def reopen(self) -> None:
        """Open the path anew, as whoever has renamed the file asks for; an output without a path stays as it is.

        Raises OSError where that fails, and goes on as before.
        """
        if self.path is None:
            return
        descriptor = _open(self.path)
        self.flush()
        if self._buffer:  # its first line may have begun in the old file
            del self._buffer[: self._buffer.find(b"\n") + 1]
            self.lost += 1
        self._release()
        self._become(descriptor, own=True)
        self.flush()

    def close(self) -> None:
        """Write what is taken now and let go of the descriptor. What is written later is dropped."""
        self.flush()
        self._give_up()

    def _become(self, descriptor: int, own: bool) -> None:
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._piece = FILE_BYTES if self._is_file else PIPE_BYTES
        self._descriptor, self._own = descriptor, own

    def _release(self) -> None:
        if self._own and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = _NOWHERE

    def _give_up(self) -> None:
        self.lost += self._buffer.count(b"\n")
        self._buffer.clear()
        self._release()

    def _wait(self, seconds: float) -> None:
        if not self._waiting:
            self._waiting = True
            self._after(seconds, self._again)

    def _again(self) -> None:
        self._waiting = False
        self.flush()


def write_some(descriptor: int, data: bytearray, piece: int = PIPE_BYTES) -> None:
    """Write what a descriptor takes without waiting, and cut it off `data`. Raises OSError, though not for a full one.

    It leaves in pieces of at most `piece` bytes that end with a line where they can: others may write there, too.
    """
    with suppress(BlockingIOError):
        while data and _is_ready(descriptor):
            end = data.rfind(b"\n", 0, piece) + 1 or piece
            del data[: os.write(descriptor, data[:end])]


def _is_ready(descriptor: int) -> bool:
    """Tell whether a write would do something at once, if only to fail. Not select: that knows 1024 descriptors."""
    if not hasattr(select, "poll"):
        return True  # there is no way to know
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(0))


def _open(path: str) -> int:
    """Open for appending. A pipe without a reader is an error rather than a wait."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAIT, _FILE_MODE)


def _open_terminal(descriptor: int) -> int | None:
    """Open the terminal behind a descriptor anew; None where that isn't one.

    A terminal that is ready may take a single byte and let the second wait. So it needs O_NONBLOCK, which belongs to
    all who share an open file, our user's shell among them: hence one of our own.
    """
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | _NO_WAIT)
    except (OSError, AttributeError):  # not every platform has terminals
        return None
