"""What a name in a request means within the folder, and which ERROR an error of the system becomes."""

from errno import (
    EACCES,
    EAGAIN,
    EDQUOT,
    EEXIST,
    EFBIG,
    EISDIR,
    ELOOP,
    EMFILE,
    ENAMETOOLONG,
    ENFILE,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENXIO,
    EPERM,
    EROFS,
)

from ...engine import PeerError
from .packets import DISK_FULL, EXISTS, FORBIDDEN, NOT_FOUND, UNDEFINED

UNFINISHED = b".partway-tftp-"
"""Begins the names of files that are being written; nobody can ask for those."""

_NO_FILE = (NOT_FOUND, "file not found")
_DENIED = (FORBIDDEN, "access violation")
_FULL = (DISK_FULL, "disk full")
_BUSY = (UNDEFINED, "server is busy")
_CODES = {
    **dict.fromkeys((ENOENT, ENOTDIR, ENAMETOOLONG), _NO_FILE),
    **dict.fromkeys((EACCES, EPERM, EISDIR, ELOOP, ENODEV, ENXIO, EROFS), _DENIED),
    **dict.fromkeys((ENOSPC, EDQUOT, EFBIG), _FULL),
    **dict.fromkeys((EMFILE, ENFILE, EAGAIN), _BUSY),
    EEXIST: (EXISTS, "file exists"),
}


def resolved(name: bytes) -> bytes:
    """Return the name beneath the folder: a slash at the beginning means the folder, and one too many means nothing.

    Raises PeerError for a name that climbs, for that of a folder, and for that of a file that is being written.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or name.endswith(b"/") or parts[-1].startswith(UNFINISHED):
        raise PeerError("access violation", FORBIDDEN)
    return b"/".join(parts)


def refusal(error: OSError) -> PeerError:
    """Return what a client is told of an error of the system."""
    code, text = _CODES.get(error.errno or 0, (UNDEFINED, "server failed"))
    return PeerError(text, code)
