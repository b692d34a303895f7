"""TFTP's packets (RFC 1350), and the options of a request (RFC 2347, 2348, 2349, 7440).

All integers are two bytes, the higher first. A request is RRQ or WRQ, a name and a mode, and pairs of option and value,
each ended by a NUL. Block numbers here are whole numbers that never wrap; the wire has their lowest 16 bits, so after
65535 comes 0.
"""

from typing import NamedTuple

from ...engine import PeerError

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)

UNDEFINED, NOT_FOUND, FORBIDDEN, DISK_FULL, ILLEGAL, UNKNOWN_ID, EXISTS, NO_SUCH_USER, BAD_OPTIONS = range(9)
"""Codes of ERROR packets; the last one is RFC 2347's."""

REQUEST_BYTES = 512  # the longest request (RFC 2347)
OPTIONS_MAX = 16  # in one request; there are five that anybody knows
HEAD_BYTES = 4  # of DATA and ACK: what it is, and a block's number

BLKSIZE = 512  # where none is agreed upon
BLKSIZE_LEAST, BLKSIZE_MOST = 8, 65_464  # RFC 2348
WINDOWSIZE_MOST = 65_535  # RFC 7440
TIMEOUT_MOST = 255  # seconds (RFC 2349)
WINDOW_BYTES = 128 * 1024  # of one window: what a kernel keeps for a socket that nobody reads just now (Linux 208 KiB)


class Request(NamedTuple):
    """A request as it came: what is to be done (RRQ or WRQ), a name, a mode in small letters, and options so too."""

    opcode: int
    name: bytes
    mode: bytes
    options: tuple[tuple[bytes, bytes], ...]


class Terms(NamedTuple):
    """What holds in one transfer: bytes of a block, blocks of a window, seconds of the client's own time-out or 0.

    `granted` are the options that the OACK names; without any there is none.
    """

    blksize: int = BLKSIZE
    windowsize: int = 1
    timeout: int = 0
    granted: tuple[tuple[bytes, bytes], ...] = ()


class Bounds(NamedTuple):
    """What a server grants at the most: bytes of a block, blocks of a window, bytes of a file that is written."""

    blksize: int = BLKSIZE_MOST
    windowsize: int = 64
    written_bytes: int = 1 << 30

    def check(self) -> None:
        """Raise ValueError for numbers that no standard allows."""
        if not BLKSIZE_LEAST <= self.blksize <= BLKSIZE_MOST:
            raise ValueError(f"a block has {BLKSIZE_LEAST} to {BLKSIZE_MOST} bytes, not {self.blksize}")
        if not 1 <= self.windowsize <= WINDOWSIZE_MOST:
            raise ValueError(f"a window has 1 to {WINDOWSIZE_MOST} blocks, not {self.windowsize}")
        if self.written_bytes < 0:
            raise ValueError(f"no file has {self.written_bytes} bytes")


def opcode_of(packet: bytes) -> int:
    """Return what a packet is; 0 where it is too short, or nothing known."""
    return packet[1] if len(packet) >= 2 and packet[0] == 0 and 0 < packet[1] <= OACK else 0


def number_of(packet: bytes) -> int:
    """Return the block's number in DATA or ACK, 0 to 65535; -1 where it is cut off."""
    return packet[2] << 8 | packet[3] if len(packet) >= HEAD_BYTES else -1


def data(block: int, payload: bytes) -> bytes:
    """Return DATA of a block."""
    return b"\0\3" + (block & 0xFFFF).to_bytes(2, "big") + payload


def ack(block: int) -> bytes:
    """Return ACK of a block."""
    return b"\0\4" + (block & 0xFFFF).to_bytes(2, "big")


def error(code: int, text: str) -> bytes:
    """Return ERROR with a text of our own, in ASCII."""
    return b"\0\5" + code.to_bytes(2, "big") + text.encode("ascii") + b"\0"


def oack(granted: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Return OACK with these options."""
    return b"\0\6" + b"".join(b"%b\0%b\0" % option for option in granted)


def parse_request(packet: bytes) -> Request:
    """Read a request. Raises PeerError, whose hint is the code of the ERROR with which to answer."""
    if len(packet) > REQUEST_BYTES:
        raise PeerError("request is too long", ILLEGAL)
    if packet[-1:] != b"\0":
        raise PeerError("request is cut short", ILLEGAL)
    fields = packet[2:-1].split(b"\0")
    if len(fields) < 2 or not fields[0]:
        raise PeerError("name or mode is missing", ILLEGAL)
    name, mode, *rest = fields
    if len(rest) % 2:
        raise PeerError("option without value", BAD_OPTIONS)
    if len(rest) > 2 * OPTIONS_MAX:
        raise PeerError("too many options", BAD_OPTIONS)
    options = tuple(zip(map(bytes.lower, rest[::2]), rest[1::2], strict=True))
    if len(dict(options)) < len(options):
        raise PeerError("repeated option", BAD_OPTIONS)
    mode = mode.lower()
    if mode not in (b"octet", b"netascii"):
        raise PeerError("no such mode", ILLEGAL)  # mail among them, which RFC 1350 calls obsolete
    return Request(packet[1], name, mode, options)


def agree(request: Request, bounds: Bounds, size: int | None) -> Terms:
    """Return what holds in a transfer. `size` is that of the file to be read, None where it is not known.

    A value that is out of range is taken for an option that nobody knows: the OACK does not name it. Raises PeerError
    for a file that is said to be larger than may be written.
    """
    asked = {name: _number(value) for name, value in request.options}
    blksize, windowsize, timeout = asked.get(b"blksize", 0), asked.get(b"windowsize", 0), asked.get(b"timeout", 0)
    granted: dict[bytes, int] = {}
    if BLKSIZE_LEAST <= blksize <= BLKSIZE_MOST:
        granted[b"blksize"] = min(blksize, bounds.blksize)
    agreed = granted.get(b"blksize", BLKSIZE)
    if 1 <= windowsize <= WINDOWSIZE_MOST:
        granted[b"windowsize"] = max(1, min(windowsize, bounds.windowsize, WINDOW_BYTES // agreed))
    if 1 <= timeout <= TIMEOUT_MOST:
        granted[b"timeout"] = timeout
    said = asked.get(b"tsize", -1)
    if said >= 0:
        if request.opcode == WRQ:
            if said > bounds.written_bytes:
                raise PeerError("file is too large", DISK_FULL)
            granted[b"tsize"] = said
        elif size is not None:
            granted[b"tsize"] = size
    options = tuple((name, b"%d" % granted[name]) for name in asked if name in granted)
    return Terms(agreed, granted.get(b"windowsize", 1), granted.get(b"timeout", 0), options)


def _number(value: bytes) -> int:
    """Read a decimal number; -1 for what is none."""
    return int(value) if value.isdigit() else -1
