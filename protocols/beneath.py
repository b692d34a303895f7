"""Files below one folder, opened so that nothing outside it is ever reached, whoever swaps what while we look.

Checking where a path leads and then opening it asks the kernel twice, and between the two a folder can become a link.
So a folder is held by a descriptor, and names are resolved from there, in the best of three ways that works here:

- "openat2": the kernel resolves the whole name and refuses to leave the folder (openat2(2), Linux 5.6);
- "walk": every part is opened from the one before it, and none may be a link;
- "path": the real path is looked up, checked and opened, where `os.open` knows no descriptors of folders. Here such a
  swap does lead outside: it is for systems on which nobody else writes.

Links are followed as long as they end in the folder. One that leaves it on its way, as an absolute one always does, is
first resolved on paper, and the name that comes of it is opened with no link allowed: so a lie told by then is found
out. A hard link or another file system mounted within belongs to the folder.
"""

import os
import sys
from collections.abc import Callable
from errno import EAGAIN, EINTR, ELOOP, EMLINK, ENOENT, ENOSYS, ENOTDIR, EXDEV
from stat import S_ISDIR, S_ISLNK
from struct import pack

WAYS = ("openat2", "walk", "path")
"""The better first."""


def _flags(*names: str) -> int:
    """Return those flags of `os.open` that this system knows."""
    flags = 0
    for name in names:
        flags |= getattr(os, name, 0)
    return flags


READ = os.O_RDONLY | _flags("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_LARGEFILE", "O_BINARY")
"""O_NONBLOCK: opening a FIFO must not wait for its writer; O_NOCTTY: a terminal must not become ours; O_LARGEFILE:
`os.open` sets it itself, openat2 does not."""
READ_NO_LINK = READ | _flags("O_NOFOLLOW")
_PASS = _flags("O_PATH") or os.O_RDONLY  # O_PATH needs no right to list a folder
_PASS |= _flags("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")

_NO_MAGIC_LINKS, _NO_LINKS, _BENEATH = 0x02, 0x04, 0x08  # RESOLVE_NO_MAGICLINKS and so on, linux/openat2.h
_HOW = pack("=3Q", READ, 0, _BENEATH | _NO_MAGIC_LINKS)  # struct open_how: flags, mode, resolve
_HOW_NO_LINKS = pack("=3Q", READ, 0, _BENEATH | _NO_LINKS)
_HOW_PROBE = pack("=3Q", _PASS, 0, _BENEATH | _NO_MAGIC_LINKS | _NO_LINKS)
_OPENAT2 = 437  # but on Alpha and MIPS: there the probe fails
_TRIES = 4

_DOTS = frozenset({b"", b".", b".."})
_SLASH = ord("/")  # as a number it is found in a tenth of the time
_HAS_DESCRIPTORS = {os.open, os.stat} <= os.supports_dir_fd

Identity = tuple[int, int]


class _Openat2:
    """The system call openat2(2), which `os` has not. Raises ImportError, OSError or AttributeError without ctypes."""

    __slots__ = ("_call", "_errno", "_number", "_size")

    def __init__(self) -> None:
        import ctypes  # takes 2 ms, and is not everywhere

        self._call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
        self._errno: Callable[[], int] = ctypes.get_errno
        # Objects of the width that the kernel reads; as `argtypes` they would cost 0.4 µs more a call.
        self._number = ctypes.c_long(_OPENAT2)
        self._size = ctypes.c_size_t(len(_HOW))

    def open(self, folder: int, name: bytes, how: bytes) -> int:
        """Return a descriptor. `name` must hold no NUL: for C it would end there. Raises OSError."""
        descriptor = self._call(self._number, folder, name, how, self._size)
        return descriptor if descriptor >= 0 else self._again(folder, name, how)

    def _again(self, folder: int, name: bytes, how: bytes) -> int:
        """Try again where that may help: after a signal, and up to four times in all after EAGAIN.

        That one says that the kernel went up a `..` in a link while something, anywhere on the system, was renamed or
        mounted, and can't tell whether it has left the folder. The next try mostly meets no renaming.
        """
        tries = _TRIES
        while (code := self._errno()) == EINTR or (code == EAGAIN and (tries := tries - 1)):
            descriptor = self._call(self._number, folder, name, how, self._size)
            if descriptor >= 0:
                return descriptor
        raise OSError(code, os.strerror(code), name)


def _openat2_for(folder: int) -> _Openat2 | None:
    """Return openat2 where it works: not on an old kernel, and not behind a filter that knows no such call."""
    if sys.platform != "linux" or hasattr(sys, "getandroidapilevel"):
        return None  # Android's filter doesn't say no, it kills
    try:
        call = _Openat2()
        os.close(call.open(folder, b".", _HOW_PROBE))
    except (ImportError, AttributeError, OSError, MemoryError):  # the last one is SELinux's answer to ctypes
        return None
    return call


class Beneath:
    """Opens what lies below the folder `path`, and nothing else.

    `how` forces a way, for tests. Raises NotADirectoryError where `path` is no folder, OSError where it can't be opened
    or the way forced does not work here, ValueError for a way that there is not.

    `path` is absolute, with its links left in, so that `refresh` sees when they change; `how` is the way in use;
    `root` is the folder's descriptor, -1 in way "path" and when closed. It pickles as its path and the way asked for,
    and a thawed one holds the folder that the path leads to by then.
    """

    __slots__ = ("_asked", "_identity", "_inside", "_openat2", "how", "path", "root")

    def __init__(self, path: str, how: str = "") -> None:
        if how not in ("", *WAYS):
            raise ValueError(f"{how} is none of {', '.join(WAYS)}")
        self.path = os.path.abspath(path)
        if not os.path.isdir(self.path):
            raise NotADirectoryError(f"{path} is not a folder")
        self._asked = how
        self._openat2: _Openat2 | None = None
        self.how = "walk" if _HAS_DESCRIPTORS and how != "path" else "path"
        self._inside, self.root, self._identity = self._look()
        if self.how == "walk" and how != "walk":
            self._openat2 = _openat2_for(self.root)
            self.how = "walk" if self._openat2 is None else "openat2"
        if how and how != self.how:
            self.close()
            raise OSError(ENOSYS, f"there is no {how} here")

    def __reduce__(self) -> tuple[type["Beneath"], tuple[str, str]]:
        return Beneath, (self.path, self._asked)

    def close(self) -> None:
        """Let go of the folder, once. Nothing else may be called then."""
        if self.root >= 0:
            descriptor, self.root = self.root, -1
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "root", -1) >= 0:
            self.close()

    def open(self, name: bytes) -> int:
        """Return a descriptor for reading what a name leads to: a file, a folder or something else, so look.

        `name` is relative, such as b"a/b/c.txt"; b"" is the folder itself. Names that begin with a dot are names like
        others. Raises FileNotFoundError for what is not there or lies outside, for an absolute name, and for one with a
        NUL, an empty part, `.` or `..`; otherwise OSError as the kernel says, so ELOOP for links in a circle, ENXIO for
        a socket, and BlockingIOError where another process has a lease on the file and must be given time to end it.
        """
        if _SLASH in name or self.how == "path":
            if 0 in name or (name and not _DOTS.isdisjoint(name.split(b"/"))):
                raise _nowhere(name)
        else:
            if name in _DOTS:
                if name:
                    raise _nowhere(name)
                name = b"."
            try:  # one part and no link can't leave, and openat2 by ctypes costs 0.4 µs more
                return os.open(name, READ_NO_LINK, dir_fd=self.root)
            except OSError as error:
                if error.errno not in (ELOOP, EMLINK):  # EMLINK: FreeBSD
                    raise
            except ValueError:
                raise _nowhere(name) from None
        if self._openat2 is not None:
            return self._by_openat2(self._openat2, name)
        return self._by_path(name) if self.how == "path" else self._by_walk(name)

    def stat(self, name: bytes) -> os.stat_result:
        """Return the status of what a name that `open` has taken leads to now, links followed. Raises OSError.

        Links are followed out of the folder too! Use it for nothing but to see whether a file that `open` opened
        earlier under this name is still the one there. What it says, or that it raised, is to be shown to nobody.
        """
        if self.how == "path":
            return os.stat(self._inside + name)
        return os.stat(name or b".", dir_fd=self.root)

    def refresh(self) -> bool:
        """Hold the folder that `path` leads to now. True where that is another one; where there is none, none changes.

        So a deploy may swap a link, or remove the folder and make it anew.
        """
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                return False
            found = self._look()
        except OSError:
            return False
        self.close()
        self._inside, self.root, self._identity = found
        return True

    def where(self, name: bytes) -> str:
        """Return the path of a name, for the operator and for a thaw, which must see whether it is the same still."""
        return os.path.join(self.path, "") + os.fsdecode(name)

    def _look(self) -> tuple[bytes, int, Identity]:
        """Return the real path of the folder, with a slash at its end, and its descriptor, which is new, and identity.

        The path serves to resolve links on paper: if it is outdated, they lead nowhere, but never outside.
        """
        path = os.path.realpath(os.fsencode(self.path))
        if self.how == "path":
            descriptor, status = -1, os.stat(path)
            if not S_ISDIR(status.st_mode):
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path)
        else:
            descriptor = os.open(path, _PASS)
            status = os.fstat(descriptor)
        return os.path.join(path, b""), descriptor, (status.st_dev, status.st_ino)

    def _by_openat2(self, openat2: _Openat2, name: bytes) -> int:
        try:
            return openat2.open(self.root, name, _HOW)
        except OSError as error:
            if error.errno not in (EXDEV, EAGAIN):
                raise
        # There is no `..` in such a name: if it is still EAGAIN, it is somebody's lease, and not for us to answer.
        return openat2.open(self.root, self._on_paper(name), _HOW_NO_LINKS)

    def _by_walk(self, name: bytes) -> int:
        try:
            return self._walk(name)
        except OSError as error:
            if error.errno != ELOOP:
                raise
        return self._walk(self._on_paper(name))

    def _by_path(self, name: bytes) -> int:
        return os.open(self._inside + self._on_paper(name), READ_NO_LINK)

    def _walk(self, name: bytes) -> int:
        """Open a name part by part. Raises OSError with ELOOP where one of them is a link."""
        *folders, last = name.split(b"/")
        here = self.root
        try:
            for part in folders:
                below = _open_at(here, part, _PASS)
                above, here = here, below
                if above != self.root:
                    os.close(above)
            return _open_at(here, last, READ_NO_LINK)
        finally:
            if here != self.root:
                os.close(here)

    def _on_paper(self, name: bytes) -> bytes:
        """Return the name without links that a name led to just now. Raises FileNotFoundError where that is outside."""
        try:
            path = os.path.realpath(self._inside + name)
        except RecursionError:  # a link to a link to a link ...
            raise OSError(ELOOP, os.strerror(ELOOP), name) from None
        except OSError:  # a link that may not be read, as in /proc, or is gone by now
            raise _nowhere(name) from None
        if not os.path.join(path, b"").startswith(self._inside):
            raise _nowhere(name)
        return path[len(self._inside) :] or b"."


def _open_at(folder: int, part: bytes, flags: int) -> int:
    """Open one part of a name. Raises OSError, with ELOOP where it is a link, whatever the system calls that."""
    try:
        return os.open(part, flags, dir_fd=folder)
    except OSError as error:
        if error.errno not in (ENOTDIR, EMLINK):  # O_DIRECTORY calls a link no folder
            raise
        if not S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
    raise OSError(ELOOP, os.strerror(ELOOP), part)


def _nowhere(name: bytes) -> FileNotFoundError:
    return FileNotFoundError(ENOENT, os.strerror(ENOENT), name)
