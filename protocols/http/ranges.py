"""Parts of a file, asked for by their bytes (RFC 9110, 14): what is asked for, and how several parts are wrapped.

A Range header may always be ignored, so whatever is odd is answered with the whole, which costs no more than a request
without one. What is asked for can't be more than the whole: overlapping ranges once had servers send a file a thousand
times over.
"""

import re
from collections.abc import Sequence

DIGITS_MAX = 32
"""Digits of a position: 2**64 has 20, and some clients say that, or pad with zeros."""


def read_ranges(value: bytes, size: int, most: int) -> list[tuple[int, int]] | None:
    """Return the parts that a Range header asks for as (offset, count) in bytes, in its order, within `size` bytes.

    None means that the header is to be ignored: it has another unit, is malformed, has over `most` ranges (or twice as
    many commas), or ranges that are more than the whole together. [] means 416: there are no such bytes. Ranges that
    lie outside are left out where others don't (RFC 9110, 14.1.2 and 14.2).
    """
    unit, _, listed = value.partition(b"=")
    if unit.lower() != b"bytes" or listed.count(b",") > 2 * most:
        return None
    specs = [spec for member in listed.split(b",") if (spec := member.strip(b" \t"))]
    if not 0 < len(specs) <= most:
        return None
    ranges = []
    for spec in specs:
        part = _part(spec, size)
        if part is None:
            return None
        if part[1]:
            ranges.append(part)
    return ranges if sum(count for _, count in ranges) <= size else None


def _part(spec: bytes, size: int) -> tuple[int, int] | None:
    """Return (offset, count) of one range, its count 0 where it lies outside; None where it is malformed."""
    found = _SPEC.fullmatch(spec)
    if found is None or found[0] == b"-":
        return None
    first, last = found.groups()
    if not first:
        count = min(int(last), size)
        return size - count, count
    offset, end = int(first), int(last) + 1 if last else size
    if last and end <= offset:
        return None
    return offset, max(0, min(end, size) - offset)


def content_range(offset: int, count: int, size: int) -> str:
    """Return Content-Range's value for `count` bytes, at least one, at `offset` of `size` (RFC 9110, 14.4)."""
    return f"bytes {offset}-{offset + count - 1}/{size}"


def unsatisfied(size: int) -> str:
    """Return Content-Range's value for a 416 about something of `size` bytes (RFC 9110, 14.4)."""
    return f"bytes */{size}"


def parts_of(ranges: Sequence[tuple[int, int]], size: int, kind: str, boundary: str) -> tuple[list[bytes], bytes, int]:
    """Wrap parts as multipart/byteranges (RFC 9110, 14.6): what goes before each, what ends all, all bytes' number.

    `ranges` are those of `read_ranges`, of something of `size` bytes with the content type `kind`. `boundary` stands in
    the answer's own Content-Type, and must not occur in the parts. Raises ValueError for one with a line break.
    """
    if not _LINE_BREAK.isdisjoint(kind + boundary):
        raise ValueError("a line break in a part's header")
    start = f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: "
    heads = [f"{start}{content_range(offset, count, size)}\r\n\r\n".encode("latin-1") for offset, count in ranges]
    heads[:1] = [head.removeprefix(b"\r\n") for head in heads[:1]]  # the first stands at a line's start already
    closing = f"\r\n--{boundary}--\r\n".encode("latin-1")
    total = sum(map(len, heads)) + sum(count for _, count in ranges) + len(closing)
    return heads, closing, total


_SPEC = re.compile(rb"([0-9]{0,%d})-([0-9]{0,%d})" % (DIGITS_MAX, DIGITS_MAX))
_LINE_BREAK = frozenset("\r\n")
