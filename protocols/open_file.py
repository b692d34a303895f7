"""A file that is being sent: an open descriptor that freezes as its path.

A machine must pickle at any byte, an open file doesn't. So what is kept is the path and which file it was; the
descriptor is opened when it is first asked for, and a thawed one that finds another file there fails instead of sending
the wrong bytes.
"""

import os
from errno import ENODEV
from stat import S_ISREG

from .beneath import READ


class ChangedError(OSError):
    """The path names another file than when it was opened first."""


class OpenFile:
    """A regular file, open for reading, with as many users as have said so.

    `descriptor` is the file, open, and this object's from then on; without one the path is opened. Raises OSError for
    what cannot be opened or is no regular file.
    """

    __slots__ = ("_descriptor", "_users", "identity", "path")

    def __init__(self, path: str, descriptor: int = -1) -> None:
        self.path = path
        self._users = 1
        self._descriptor = os.open(path, READ) if descriptor < 0 else descriptor
        try:
            status = os.fstat(self._descriptor)
            if not S_ISREG(status.st_mode):
                raise OSError(ENODEV, "no regular file", path)
        except BaseException:
            self.close()
            raise
        self.identity = (status.st_dev, status.st_ino, status.st_ctime_ns)  # st_mtime can be set by anybody

    def fileno(self) -> int:
        """Return its descriptor, opened anew after a thaw. Raises ChangedError where that is another file."""
        if self._descriptor < 0:
            again = OpenFile(self.path)
            if again.identity != self.identity:
                again.close()
                raise ChangedError(f"{self.path!r} has changed")
            self._descriptor, again._descriptor = again._descriptor, -1
        return self._descriptor

    def share(self) -> "OpenFile":
        """Return it, for one user more, who closes it as well."""
        self._users += 1
        return self

    def close(self) -> None:
        """Close it, with its last user."""
        self._users -= 1
        if self._users <= 0 and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:  # a cache that is dropped as a whole closes nothing itself
            os.close(self._descriptor)

    def __getstate__(self) -> tuple[str, tuple[int, int, int]]:
        return self.path, self.identity

    def __setstate__(self, state: tuple[str, tuple[int, int, int]]) -> None:
        self.path, self.identity = state
        self._descriptor = -1
        self._users = 1
