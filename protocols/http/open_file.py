"""A file that is being sent: an open descriptor that freezes as its path.

A machine must pickle at any byte, an open file doesn't. So what is kept is the path and which file it was; the
descriptor is opened when it is first asked for, and a thawed one that finds another file there fails instead of sending
the wrong bytes.
"""

import os
from errno import ENODEV
from stat import S_ISREG

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""O_NONBLOCK: opening a FIFO must not wait for its writer; O_NOCTTY: a terminal must not become ours."""


class ChangedError(OSError):
    """The path names another file than when it was opened first."""


class OpenFile:
    """A regular file, open for reading. `size` in bytes and `modified` in seconds since 1970, as they were at opening.

    Raises OSError for what cannot be opened or is no regular file.
    """

    __slots__ = ("_descriptor", "identity", "modified", "path", "size")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(self._descriptor)
            if not S_ISREG(status.st_mode):
                raise OSError(ENODEV, "no regular file", path)
        except BaseException:
            self.close()
            raise
        self.size = status.st_size
        self.modified = status.st_mtime
        self.identity = (status.st_dev, status.st_ino, status.st_mtime_ns)

    def fileno(self) -> int:
        """Return its descriptor, opened anew after a thaw. Raises ChangedError where that is another file."""
        if self._descriptor < 0:
            again = OpenFile(self.path)
            if again.identity != self.identity:
                again.close()
                raise ChangedError(f"{self.path!r} has changed")
            self._descriptor, again._descriptor = again._descriptor, -1
        return self._descriptor

    def read(self, count: int, offset: int = 0) -> bytes:
        """Return up to `count` bytes from `offset`."""
        return os.pread(self.fileno(), count, offset)

    def close(self) -> None:
        """Close it, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __getstate__(self) -> tuple[str, int, float, tuple[int, int, int]]:
        return self.path, self.size, self.modified, self.identity

    def __setstate__(self, state: tuple[str, int, float, tuple[int, int, int]]) -> None:
        self.path, self.size, self.modified, self.identity = state
        self._descriptor = -1
