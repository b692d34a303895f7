"""The files of UNIX sockets: bound, replaced where nobody listens any more, given permissions, and removed.

Whether a file is stale can only be told by knocking, and who has bound but does not listen yet looks like somebody who
has gone. So two programs that start at once would each remove the other's file: all of it, from the look to `listen`,
is done under a lock, flock(2) on the folder itself, which leaves nothing behind. A lock is a help and no need: where
there is none, or somebody else keeps it, things are as they were without.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from stat import S_IMODE, S_ISSOCK

Identity = tuple[int, int]
"""A file's device and inode: a path may come to be another's."""

LOCK_TRIES = 20_000  # some tens of ms: who holds it binds and listens, which takes microseconds


def bind(channel: socket.socket, path: str, mode: int | None, listen: Callable[[], None]) -> Identity:
    """Bind to a path, in place of a socket file that nobody listens at any more, and begin to listen.

    `mode` are the file's permissions, from its first moment on; None leaves them to the umask. Raises OSError.
    """
    with _Lock(path, LOCK_TRIES):
        if mode is not None and hasattr(os, "fchmod"):
            with suppress(OSError):  # on Linux, what the socket has, less the umask, its file has when it appears
                os.fchmod(channel.fileno(), mode)
        try:
            channel.bind(path)
        except OSError as error:
            if error.errno != EADDRINUSE or not _is_stale(path):
                raise
            with suppress(FileNotFoundError):
                os.unlink(path)
            channel.bind(path)
        status = os.stat(path)
        identity = status.st_dev, status.st_ino
        try:
            if mode is not None and S_IMODE(status.st_mode) != mode:
                os.chmod(path, mode)
            listen()
        except BaseException:
            _unlink(path, identity)
            raise
    return identity


def remove(path: str, identity: Identity) -> None:
    """Remove a socket file, if it is the one that was bound and nobody has put another there since.

    Where somebody else is just about to bind, it is left: it is stale now, and will be replaced.
    """
    with _Lock(path, 1) as lock:
        if not lock.others:
            _unlink(path, identity)


def _unlink(path: str, identity: Identity) -> None:
    with suppress(OSError):
        status = os.stat(path)
        if (status.st_dev, status.st_ino) == identity:
            os.unlink(path)


class _Lock:
    """The lock of a path's folder, held within a block where there is one; `others` tells that somebody keeps it."""

    def __init__(self, path: str, tries: int) -> None:
        self.others = False
        self._path = path
        self._tries = tries
        self._folder = -1

    def __enter__(self) -> "_Lock":
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
            from os import sched_yield

            self._folder = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY)
        except (ImportError, OSError):
            return self
        for _ in range(self._tries):
            self.others = False
            try:
                flock(self._folder, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                self.others = True
                sched_yield()
            except OSError:  # a file system without locks
                break
            else:
                break
        return self

    def __exit__(self, *raised: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)


def _is_stale(path: str) -> bool:
    try:
        if not S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:  # it has gone meanwhile
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:  # it is refused by none that is open
        try:
            probe.setblocking(False)
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False
