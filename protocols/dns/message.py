"""Queries as they come (RFC 1035, 4.1; RFC 6891), read by hand within bounds; and the small answers that are made here.

Only what an answer depends on is read: one question, and an OPT record among the additional ones. Other records (TSIG,
what a later RFC will add) are stepped over, and must fit.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from .wire import (
    BADCOOKIE,
    BADVERS,
    HEADER_BYTES,
    OPT,
    REFUSED,
    RESPONSE,
    TRUNCATED,
    Body,
    Malformed,
    name_end,
    skip_name,
)

RECORDS_MAX: Final = 32  # in one query besides its question: honest ones have an OPT, a TSIG, an SOA
PLAIN_BYTES: Final = 512  # an answer over UDP to somebody without EDNS (RFC 1035, 2.3.4), or with nonsense in it
OWN_BYTES: Final = 1232  # the longest over UDP in any case: fits into IPv6's least MTU, 1280 (DNS flag day 2020)
COOKIE: Final = 10  # the option's number
COOKIE_CLIENT_BYTES: Final = 8

OPT_BYTES: Final = 11  # of one without options

_ONE_QUESTION: Final = b"\0\1\0\0\0\0\0\0"  # counts of a query that is nothing else
_ONE_OPT: Final = b"\0\1\0\0\0\0\0\1"  # or an OPT besides, most likely
_OPT_START: Final = b"\0" + OPT.to_bytes(2, "big")


class Edns(NamedTuple):
    """What a query's OPT record says: the longest answer in bytes, EDNS's version, DO, and a cookie (b"" for none)."""

    size: int
    version: int
    dnssec: bool
    cookie: bytes


class Query(NamedTuple):
    """A query that was read: `end` is where its question ends in the message, `kind` its type and class.

    `key` is the name in lower case; b"" where there is no question, but a cookie (RFC 7873, 5.4).
    """

    end: int
    key: bytes
    kind: bytes
    edns: Edns | None


def read_query(data: bytes) -> Query:
    """Read a query of at least twelve bytes. Raises Malformed."""
    counts = data[4:HEADER_BYTES]
    if counts[:2] != b"\0\1":
        return _read_cookie_query(data, counts)
    stop = name_end(data, HEADER_BYTES)
    end = stop + 4
    size = len(data)
    key = data[HEADER_BYTES:stop].lower()
    kind = data[stop:end]
    if counts == _ONE_QUESTION:
        if end != size:
            raise Malformed("a question cut short, or something behind it")
        return Query(end, key, kind, None)
    if counts == _ONE_OPT and data[end : end + 3] == _OPT_START:  # as most are: no need to look for it
        length = size - end - OPT_BYTES
        if length == 0 and data[-2:] == b"\0\0":
            return Query(end, key, kind, _read_bare_opt(data[end:]))
        if length > 0 and length == int.from_bytes(data[end + 9 : end + OPT_BYTES], "big"):
            return Query(end, key, kind, _read_opt(data, end + 1, size))
    return Query(end, key, kind, _read_records(data, end, counts))


@lru_cache(maxsize=64)
def _read_bare_opt(record: bytes) -> Edns:
    """Read a whole OPT of no options. They are few different ones."""
    return _read_opt(record, 1, OPT_BYTES)


def _read_cookie_query(data: bytes, counts: bytes) -> Query:
    """Read a query without a question, which has to have a cookie."""
    if counts[:2] != b"\0\0":
        raise Malformed("more than one question")
    edns = _read_records(data, HEADER_BYTES, counts)
    if edns is None or not (edns.cookie or edns.version):
        raise Malformed("no question")
    return Query(HEADER_BYTES, b"", b"", edns)


def _read_records(data: bytes, place: int, counts: bytes) -> Edns | None:
    """Step over all records, of which one may be OPT. Raises Malformed where they don't fit, or something is left."""
    ahead = int.from_bytes(counts[2:4], "big") + int.from_bytes(counts[4:6], "big")  # OPT may not be among these
    total = ahead + int.from_bytes(counts[6:8], "big")
    if total > RECORDS_MAX:
        raise Malformed("too many records")
    edns: Edns | None = None
    size = len(data)
    for number in range(total):
        start = place
        place = skip_name(data, place)
        stop = place + 10 + int.from_bytes(data[place + 8 : place + 10], "big")
        if stop > size:
            raise Malformed("a record cut short")
        if data[place : place + 2] == _OPT_START[1:]:
            if edns is not None or number < ahead or data[start]:
                raise Malformed("more than one OPT, or one that is out of place")
            edns = _read_opt(data, place, stop)
        place = stop
    if place != size:
        raise Malformed("something behind the last record")
    return edns


def _read_opt(data: bytes, place: int, stop: int) -> Edns:
    """Read OPT from its type on (RFC 6891, 6.1.2). Raises Malformed; other versions' options are not looked at."""
    size = data[place + 2] << 8 | data[place + 3]
    version = data[place + 5]
    dnssec = data[place + 6] >= 0x80
    cookie = b""
    place += 10
    while place < stop and not version:
        start = place + 4
        place = start + int.from_bytes(data[place + 2 : start], "big")
        if place > stop:
            raise Malformed("an option cut short")
        if data[start - 4] == 0 and data[start - 3] == COOKIE and not cookie:  # the first alone counts (RFC 7873, 5.2)
            cookie = data[start:place]
            if len(cookie) != COOKIE_CLIENT_BYTES and not 16 <= len(cookie) <= 40:
                raise Malformed("a cookie of no possible length")
    return Edns(size, version, dnssec, cookie)


def opt(code: int, dnssec: bool, cookie: bytes = b"") -> bytes:
    """Return our own OPT record, with a result code's upper bits, DO as it came, and a cookie where there is one."""
    return _opt_start(code, dnssec, len(cookie)) + cookie


@lru_cache(maxsize=64)
def _opt_start(code: int, dnssec: bool, size: int) -> bytes:
    option = COOKIE.to_bytes(2, "big") + size.to_bytes(2, "big") if size else b""
    flags = bytes((code >> 4, 0, 0x80 if dnssec else 0, 0))
    length = (len(option) + size).to_bytes(2, "big")
    return _OPT_START + OWN_BYTES.to_bytes(2, "big") + flags + length + option


CUT: Final = Body(TRUNCATED, 0, [0, 0, 0], b"")  # "ask again over TCP": no record, so nothing that could be half
OUTSIDE: Final = Body(0, REFUSED, [0, 0, 0], b"")
WRONG_VERSION: Final = Body(0, BADVERS, [0, 0, 0], b"")
WRONG_COOKIE: Final = Body(0, BADCOOKIE, [0, 0, 0], b"")


def bare(data: bytes, code: int) -> bytes:
    """Answer with a header alone: for what could not be read, or would mean who knows what (FORMERR, NOTIMP)."""
    flags = RESPONSE | (data[2] & 0x79) << 8 | code
    return data[:2] + flags.to_bytes(2, "big") + bytes(8)


def without_question(data: bytes, code: int, record: bytes) -> bytes:
    """Answer with an OPT record alone."""
    return bare(data, code & 15)[:-1] + b"\1" + record


def cut(data: bytes, head: bytes, end: int, record: bytes) -> bytes:
    """Return an answer that was too long with its flags, TC, and no records (RFC 2181, 9): it is had over TCP."""
    flags = int.from_bytes(head[:2], "big") | TRUNCATED
    counts = _ONE_OPT if record else _ONE_QUESTION
    return b"".join((data[:2], flags.to_bytes(2, "big"), counts, data[HEADER_BYTES:end], record))
