"""A body that is collected: in memory while it is small, in a temporary file from then on.

What is in memory counts as the row's; what is in the file costs a descriptor. It pickles with all that it holds, which
a limit bounds.
"""

from contextlib import suppress
from io import BytesIO
from typing import IO

from ...engine import Inbox, PeerError, Row


class Spool:
    """Bytes in at the end; when all are in, out as bytes or as a file."""

    __slots__ = ("_file", "_memory", "_row", "_size")

    def __init__(self, row: Row) -> None:
        self._row = row
        self._memory = Inbox(row)
        self._file: IO[bytes] | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises PeerError (503) where the disk takes no more."""
        self._size += len(data)
        if self._file is None and self._size <= self._row.limits.spool_bytes:
            self._memory.feed(data)
            return
        try:
            if self._file is None:
                self._file = _temporary_file()
                self._file.write(self._memory.take())
            self._file.write(data)
            self._file.flush()  # a full disk is this body's failure, not its reader's
        except OSError as error:
            raise PeerError(f"no room for a body: {error.strerror}", 503) from None

    def open(self) -> IO[bytes]:
        """Return it as a file that stands at its beginning. It is the spool's: not for others to close."""
        if self._file is None:
            return BytesIO(self._memory.peek(len(self._memory)))
        self._file.seek(0)
        return self._file

    def value(self) -> bytes:
        """Return all of it."""
        return self.open().read()

    def close(self) -> None:
        """Forget all of it."""
        self._memory.drop(len(self._memory))
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # a full disk, once more; it is closed all the same
                file.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._close_file()  # one that was frozen goes on elsewhere, and nobody closes what is left here

    def __getstate__(self) -> tuple[Row, bytes]:
        return self._row, self.value()

    def __setstate__(self, state: tuple[Row, bytes]) -> None:
        """Thaw: what is over the limit goes to a file again."""
        self.__init__(state[0])  # type: ignore[misc]
        if state[0] is not None:  # its row may have gone meanwhile
            self.feed(state[1])


def _temporary_file() -> IO[bytes]:
    from tempfile import TemporaryFile  # not before it is needed: few bodies are that long

    return TemporaryFile(prefix="partway-")
