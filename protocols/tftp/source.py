"""A file that is being read, block by block, from any place again.

A place is a plain number, so a sender that goes back needs to remember nothing but numbers: the offset in the file, or
in netascii twice that, and one more where the second byte of a pair is next.
"""

import os

from ...engine import PeerError
from ..open_file import OpenFile
from .names import refusal
from .netascii import encoded, taken
from .packets import UNDEFINED


class Source:
    """The blocks of one file, which it closes. What counts is the size that the file has at the beginning.

    What is added later is not sent. A file that has become shorter ends the transfer: a block that is not full would
    tell the client that it has all.
    """

    __slots__ = ("_blksize", "_file", "_text", "size")

    def __init__(self, file: OpenFile, blksize: int, text: bool) -> None:
        self._file = file
        self._blksize = blksize
        self._text = text
        self.size = os.fstat(file.fileno()).st_size

    @property
    def told_size(self) -> int | None:
        """How many bytes the client will get; None where that is not known before they are read."""
        return None if self._text else self.size

    def resize(self, blksize: int) -> None:
        """Set the bytes of a block."""
        self._blksize = blksize

    def block(self, place: int) -> tuple[bytes, int]:
        """Return the block that begins at a place, which is not full where it is the last, and the next one's place.

        Raises PeerError where the file cannot be read or has become shorter.
        """
        if not self._text:
            payload = self._read(place)
            return payload, place + len(payload)
        offset, within = divmod(place, 2)
        payload = encoded(self._read(offset))[within:][: self._blksize]
        ended, splits = taken(payload)
        return payload, 2 * (offset + ended) + splits

    def _read(self, offset: int) -> bytes:
        """Return as many bytes as a block can need. A pair's second byte is no reason to need more."""
        count = min(self._blksize, self.size - offset)
        try:
            found = os.pread(self._file.fileno(), count, offset)
        except OSError as error:
            raise refusal(error) from None
        if len(found) < count:
            raise PeerError("file has become shorter", UNDEFINED)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()
