"""A client writes a file: blocks come in, and what has come in order is acknowledged, once a window.

A window that has lost a block is acknowledged up to there, at once and only once (RFC 7440, 4). What comes again is
acknowledged again where a whole window of it has: then that acknowledgement was lost. So the last one is, for some
seconds after the end (RFC 1350, 6, calls it dallying).
"""

from typing import TYPE_CHECKING

from ...engine import CLOSE, DatagramRow, Idle, PeerError, Want
from .netascii import decoded
from .packets import DATA, DISK_FULL, HEAD_BYTES, ILLEGAL, Terms, ack, oack
from .transfer import Transfer
from .upload import Upload

if TYPE_CHECKING:
    from .service import Tftp

PAUSE_SECONDS = 8.0  # and twice the client's own time-out, where it has told: see `Writing.pause_for`
REPEATS_MOST = 6  # 56 seconds
DALLY_SECONDS = 10.0  # clients say a thing again after 1 to 6 seconds (tftp-hpa 1, atftp 5, curl 6)


class Writing(Transfer):
    """The receiving side."""

    __slots__ = (
        "dallies_until",
        "lost_told",
        "pending",
        "received",
        "said",
        "size_most",
        "text",
        "upload",
        "window",
        "written",
    )

    hears = DATA
    repeats_most = REPEATS_MOST

    def __init__(
        self,
        row: DatagramRow,
        service: "Tftp",
        request: bytes,
        name: bytes,
        terms: Terms,
        upload: Upload,
        text: bool,
        size_most: int,
    ) -> None:
        super().__init__(row, service, request, name, terms)
        service.counters.writes += 1
        self.upload = upload
        self.text = text
        self.size_most = size_most
        self.received = 0  # the last block that has come in order
        self.window = 1  # the block that begins the sender's window
        self.said = False  # the first answer has been given
        self.lost_told = False  # the sender has been told that blocks were lost
        self.pending = False  # a CR of netascii waits for what follows
        self.written = 0  # bytes
        self.dallies_until = 0.0

    def pause_for(self, timeout: int) -> float:
        """Return more than the client's own time-out: it is the client that says lost blocks again.

        None may do so for an acknowledgement that comes twice (RFC 1123, 4.2.3.1), and some begin to wait anew with
        each one: told more often than they lose patience, they would wait for ever (tftp-hpa, 5 s).
        """
        return 2.0 * timeout or PAUSE_SECONDS

    @property
    def finished(self) -> bool:
        """The file is whole, and has its name."""
        return self.upload.done

    @property
    def over(self) -> bool:
        """Only duplicates are waited for."""
        return self.upload.done

    def hear(self, number: int, letter: bytes) -> bytes | None:
        """Take a block, and say so when the window is full, when it has a gap, or when all has come."""
        ahead = (number - self.received) & 0xFFFF
        behind = -ahead & 0xFFFF
        if ahead == 1 and not self.finished:
            self._take(letter[HEAD_BYTES:])
            return self._acknowledge() if self.finished or self._window_is_full() else None
        if behind < self.windowsize and behind < self.received:
            self.window = min(self.window, self.received - behind)  # the sender has gone back to there
            return self._acknowledge() if behind == 0 and (self.finished or self._window_is_full()) else None
        if 1 < ahead <= self.windowsize and not self.lost_told:
            self.lost_told = True
            return self._acknowledge()
        return None

    def _window_is_full(self) -> bool:
        return self.received - self.window + 1 >= self.windowsize

    def _take(self, payload: bytes) -> None:
        """Write the next block. Raises PeerError."""
        size = len(payload)
        if size > self.blksize:
            raise PeerError("block is too long", ILLEGAL)
        ends = size < self.blksize
        if self.text:
            payload, self.pending = decoded(payload, self.pending)
            if ends and self.pending:
                payload += b"\r"
        if self.written + len(payload) > self.size_most:
            raise PeerError("file is too large", DISK_FULL)
        if payload:
            self.upload.write(payload, self.written)
        self.written += len(payload)
        self.received += 1
        self.lost_told = False
        self.prove()
        self.progress(1, self.first_pause)
        if ends:
            self.upload.finish()
            self.dallies_until = self.row.now + DALLY_SECONDS

    def _acknowledge(self) -> bytes:
        self.said = True
        self.window = self.received + 1
        return oack(self.granted) if self.received == 0 and self.granted else ack(self.received)

    def repeat(self) -> bytes:
        """Acknowledge again what has come."""
        self.lost_told = False
        return self._acknowledge()

    def go_on(self) -> Want:
        """Answer the request, or wait."""
        return self.rest() if self.said else self._acknowledge()

    def linger(self) -> Want:
        """Stay for a while: the last acknowledgement may have been lost."""
        left = self.dallies_until - self.row.now
        return Idle(left) if left > 0 else CLOSE

    def release(self) -> None:
        """Remove what has been written, unless it is whole."""
        self.upload.discard()

    def describe(self) -> str:
        """Say how far it is."""
        return f"writes {self.name!r}, {self.written} bytes so far"
