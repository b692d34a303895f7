"""Names and records as they stand in a message (RFC 1035, 4.1), by hand: reading within bounds, writing compressed.

A name is bytes throughout: labels with their lengths before them, and a zero (`b"\\3www\\7example\\0"`). Its key is the
same in lower case, which `bytes.lower` makes: a length is at most 63, and letters begin at 65.
"""

from functools import lru_cache
from typing import Final

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
HINFO: Final = 13
MX: Final = 15
AAAA: Final = 28
DNAME: Final = 39
OPT: Final = 41
DS: Final = 43
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255
"""Types (RFC 1035, 3.2.2 and later ones), as far as an answer depends on them."""

IN: Final = b"\0\1"  # the only class that is served

NOERROR: Final = 0
FORMERR: Final = 1
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
YXDOMAIN: Final = 6
BADVERS: Final = 16
BADCOOKIE: Final = 23
"""Result codes; those above 15 have their upper bits in OPT."""

RESPONSE: Final = 0x8000
AUTHORITATIVE: Final = 0x0400
TRUNCATED: Final = 0x0200
RECURSION_DESIRED: Final = 0x0100
"""Flags of a header's second word."""

HEADER_BYTES: Final = 12
LABEL_BYTES_MAX: Final = 63  # the two upper bits of a length say that it is none
NAME_BYTES_MAX: Final = 255
POINTER: Final = 0xC000
POINTER_MAX: Final = 0x3FFF  # what lies behind it cannot be pointed at
MESSAGE_BYTES_MAX: Final = 65535


class Malformed(Exception):
    """What came is no message that can be read: the answer is FORMERR."""


def name_end(data: bytes, place: int) -> int:
    """Return where the name that begins at `place` ends. Raises Malformed for a pointer, or a name that is too long.

    A question's name stands first in its message, so a pointer in it could only lead into itself.
    """
    most = place + NAME_BYTES_MAX
    try:
        while size := data[place]:
            if size > LABEL_BYTES_MAX:
                raise Malformed("a pointer, or a label that is too long")
            place += size + 1
    except IndexError:
        raise Malformed("a name cut short") from None
    if place >= most:
        raise Malformed("a name that is too long")
    return place + 1


def skip_name(data: bytes, place: int) -> int:
    """Return where a record's name ends. A pointer ends it, and is not followed. Raises Malformed."""
    most = place + NAME_BYTES_MAX
    try:
        while size := data[place]:
            if size >= 0xC0:
                return place + 2
            if size > LABEL_BYTES_MAX:
                raise Malformed("a label of an unknown kind")
            place += size + 1
    except IndexError:
        raise Malformed("a name cut short") from None
    if place >= most:
        raise Malformed("a name that is too long")
    return place + 1


def parent_of(name: bytes) -> bytes:
    """Return a name without its first label; the root has none."""
    return name[name[0] + 1 :]


class Records:
    """Records of one name and type, ready to be written: all but their owner, and the names that may be compressed.

    `tails` are whole records from their type on, where no name within can be compressed (RFC 3597, 4: only in the types
    of RFC 1035). Otherwise `parts` has for each record what stands before its names, the names, and what stands after.
    """

    __slots__ = ("parts", "start", "tails")

    def __init__(self, kind: int, ttl: int) -> None:
        self.start = kind.to_bytes(2, "big") + IN + ttl.to_bytes(4, "big")
        self.tails: tuple[bytes, ...] = ()
        self.parts: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...] = ()

    def __len__(self) -> int:
        return len(self.tails) + len(self.parts)

    def add(self, before: bytes, names: tuple[bytes, ...] = (), after: bytes = b"") -> None:
        """Add a record by its data."""
        if names:
            self.parts += ((before, names, after),)
        else:
            self.tails += (self.start + len(before).to_bytes(2, "big") + before,)

    @property
    def size(self) -> int:
        """Bytes that they take at most, their owner left out."""
        names = sum(10 + len(before) + sum(map(len, names)) + len(after) for before, names, after in self.parts)
        return sum(map(len, self.tails)) + names


class Writer:
    """What follows the question of an answer, section after section; a name that stood before becomes a pointer."""

    __slots__ = ("base", "counts", "offsets", "out")

    def __init__(self, question: bytes) -> None:
        """Begin behind a question for this name, which stands at byte 12; names may point into it."""
        self.base = HEADER_BYTES + len(question) + 4
        self.out = bytearray()
        self.counts = [0, 0, 0]  # answers, authorities, additionals
        self.offsets: dict[bytes, int] = {}
        self._remember(question.lower(), HEADER_BYTES)

    def _remember(self, key: bytes, at: int) -> None:
        place = 0
        while size := key[place]:
            self.offsets[key[place:]] = at + place
            place += size + 1

    def name(self, name: bytes) -> None:
        """Write a name, as far as it has not stood before (RFC 1035, 4.1.4)."""
        key = name.lower()
        offsets = self.offsets
        here = self.base + len(self.out)
        place = 0
        while size := key[place]:
            rest = key[place:]
            at = offsets.get(rest)
            if at is not None:
                self.out += name[:place] + (POINTER | at).to_bytes(2, "big")
                return
            if here + place <= POINTER_MAX:
                offsets[rest] = here + place
            place += size + 1
        self.out += name

    def records(self, section: int, owner: bytes, records: Records) -> None:
        """Write records into a section: 0 for answers, 1 for authorities, 2 for additionals. Sections come in order."""
        self.counts[section] += len(records)
        out = self.out
        for tail in records.tails:
            self.name(owner)
            out += tail
        for before, names, after in records.parts:
            self.name(owner)
            out += records.start
            place = len(out)
            out += b"\0\0"
            out += before
            for name in names:
                self.name(name)
            out += after
            out[place : place + 2] = (len(out) - place - 2).to_bytes(2, "big")

    def body(self, flags: int, code: int) -> "Body":
        """Return what was written, for a header with these flags."""
        return Body(flags, code, self.counts, bytes(self.out))


@lru_cache(maxsize=1024)
def _heads(flags: int, answers: int, authorities: int, additionals: int) -> tuple[bytes, bytes, bytes, bytes]:
    def head(desired: int, extra: int) -> bytes:
        numbers = flags | desired, 1, answers, authorities, additionals + extra
        return b"".join(number.to_bytes(2, "big") for number in numbers)

    return head(0, 0), head(RECURSION_DESIRED, 0), head(0, 1), head(RECURSION_DESIRED, 1)


class Body:
    """All of an answer that does not depend on who asks: what stands around the question, and its result code.

    `heads` is what stands between id and question: for queries plain, with RD, with OPT, with both. `tail` follows the
    question, and points into it; it is good for every name of the same length and the same end.
    """

    __slots__ = ("code", "heads", "tail")

    def __init__(self, flags: int, code: int, counts: list[int], tail: bytes) -> None:
        self.code = code
        self.heads = _heads(RESPONSE | flags | code & 15, *counts)
        self.tail = tail
