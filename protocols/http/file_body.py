"""An answer's body that is parts of a file."""

from ...engine import NEXT, File, Want
from ..open_file import OpenFile


class FileBody:
    """An answer's body made of parts of one file, and of bytes between them. Closes its file.

    `pieces` are bytes or (offset, count); `size` is the sum of their bytes.
    """

    __slots__ = ("file", "pieces", "size")

    def __init__(self, file: OpenFile, pieces: list[bytes | tuple[int, int]]) -> None:
        self.file = file
        self.pieces = pieces[::-1]
        self.size: int | None = sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)

    def step(self) -> Want:
        """Hand over the next piece."""
        if not self.pieces:
            return NEXT
        piece = self.pieces.pop()
        return piece if isinstance(piece, bytes) else File(self.file, *piece)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __str__(self) -> str:
        return self.file.path
