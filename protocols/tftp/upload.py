"""A file that is being written: it has its name when it is whole, and leaves nothing behind when it never is.

Until then it is a temporary file in the same folder, made when the first bytes come. Both are reached through the
folder's descriptor, so whoever moves the folder or swaps it for a link meanwhile moves nothing outside. It freezes as
names; the descriptors are opened anew when they are asked for.
"""

import os
from contextlib import suppress
from errno import ENODEV, ENOSYS, EOPNOTSUPP, EPERM
from stat import S_ISREG

from ...engine import PeerError
from ..beneath import Beneath
from .names import UNFINISHED, refusal
from .packets import EXISTS, FORBIDDEN, NOT_FOUND

_FLAGS = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = (EPERM, EOPNOTSUPP, ENOSYS)  # what file systems without hard links say, such as FAT


class Policy:
    """What may be written: files that are not there yet (`create`), and those that are (`overwrite`)."""

    __slots__ = ("create", "overwrite")

    def __init__(self, create: bool, overwrite: bool) -> None:
        self.create = create
        self.overwrite = overwrite


class Upload:
    """One file beneath a folder, to be written from its beginning to its end.

    `name` is beneath the folder, `unfinished` what it is called until it is whole, without its beginning. Raises
    PeerError where it may not be written, as far as that can be known now.
    """

    __slots__ = ("_beneath", "_descriptor", "_folder", "_identity", "_in", "_last", "_overwrite", "_unfinished", "done")

    def __init__(self, beneath: Beneath, name: bytes, policy: Policy, unfinished: bytes) -> None:
        self._descriptor = self._folder = -1
        self._beneath = beneath
        self._in, _, self._last = name.rpartition(b"/")
        self._unfinished = UNFINISHED + unfinished
        self._overwrite = policy.overwrite
        self._identity = (0, 0)  # of the file that is being written
        self.done = False
        self._may(policy)

    def _may(self, policy: Policy) -> None:
        if not policy.create and not policy.overwrite:
            raise PeerError("writing is not allowed", FORBIDDEN)
        try:
            folder = self._beneath.open(self._in)
            try:
                mode = os.stat(self._last, dir_fd=folder, follow_symlinks=False).st_mode
            except FileNotFoundError:
                mode = 0
            finally:
                os.close(folder)
        except OSError as error:
            raise refusal(error) from None
        if not mode and not policy.create:
            raise PeerError("file not found", NOT_FOUND)
        if mode and not S_ISREG(mode):
            raise PeerError("access violation", FORBIDDEN)
        if mode and not policy.overwrite:
            raise PeerError("file exists", EXISTS)

    def write(self, data: bytes, offset: int) -> None:
        """Write bytes at an offset. Raises PeerError where the system refuses."""
        try:
            descriptor = self._open()
            view = memoryview(data)
            while view:
                count = os.pwrite(descriptor, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise refusal(error) from None

    def finish(self) -> None:
        """Give it its name. Raises PeerError where another file has it by now, or the system refuses."""
        try:
            self._open()
            if self._overwrite or not self._is_linked():
                os.replace(self._unfinished, self._last, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            else:
                os.unlink(self._unfinished, dir_fd=self._folder)
        except OSError as error:
            raise refusal(error) from None
        self.done = True
        self._close()

    def _is_linked(self) -> bool:
        """Give it its name beside its own, where nobody has that yet; False for an empty file in its stead.

        That is what can be done without hard links. Raises OSError.
        """
        at = self._folder
        try:
            os.link(self._unfinished, self._last, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(self._last, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=at))
            return False
        return True

    def discard(self) -> None:
        """Remove what has been written, unless it is whole."""
        if not self.done and self._identity != (0, 0):
            with suppress(OSError, PeerError):
                self._open()
                os.unlink(self._unfinished, dir_fd=self._folder)
        self._close()

    def _open(self) -> int:
        """Return the file's descriptor: make the file at first, find it again after a thaw. Raises OSError."""
        if self._descriptor < 0:
            if self._folder < 0:
                self._folder = self._beneath.open(self._in)
            making = self._identity == (0, 0)
            flags = _FLAGS | (os.O_CREAT | os.O_EXCL if making else 0)
            self._descriptor = os.open(self._unfinished, flags, 0o666, dir_fd=self._folder)
            status = os.fstat(self._descriptor)
            if making:
                self._identity = (status.st_dev, status.st_ino)
            elif self._identity != (status.st_dev, status.st_ino):
                raise OSError(ENODEV, "another file is there", self._unfinished)
        return self._descriptor

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._folder = -1

    def __del__(self) -> None:
        if getattr(self, "_folder", -1) >= 0:
            self._close()  # one that was frozen goes on elsewhere

    def __getstate__(self) -> tuple[object, ...]:
        return self._beneath, self._in, self._last, self._unfinished, self._overwrite, self._identity, self.done

    def __setstate__(self, state: tuple[object, ...]) -> None:
        for name, value in zip(_STATE, state, strict=True):
            setattr(self, name, value)
        self._descriptor = self._folder = -1


_STATE = ("_beneath", "_in", "_last", "_unfinished", "_overwrite", "_identity", "done")


def check_writing() -> None:
    """Raise ValueError where files cannot be written safely: where folders have no descriptors."""
    if not {os.open, os.stat, os.link, os.unlink, os.rename} <= os.supports_dir_fd or not hasattr(os, "pwrite"):
        raise ValueError("writing needs descriptors of folders, which this system has not")
