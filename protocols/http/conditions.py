"""Conditional requests: entity tags, HTTP's dates, and whether an answer is wanted at all (RFC 9110, 8.8 and 13).

All of it is decided from the head and two validators, the entity tag and the time of the last change. What cannot be
read is no condition where it should be a date, and matches nothing where it should be a tag. Everything takes a time
that grows with the header and no faster.
"""

import re
from datetime import UTC, date, datetime

from .head import CONDITIONS, Head


def conditional(head: Head) -> bool:
    """Whether a head has any of the `CONDITIONS`. Most have none, and then nothing else here need be asked."""
    return not CONDITIONS.isdisjoint(head.names)


def etag_of(modified_ns: int, size: int, coding: str = "") -> str:
    """Return a strong entity tag, quotes included, for a file changed at this time in nanoseconds, of `size` bytes.

    Each content coding of the same file has a tag of its own, as its bytes differ (RFC 9110, 8.8.3.3).
    """
    return f'"{modified_ns:x}-{size:x}-{coding}"' if coding else f'"{modified_ns:x}-{size:x}"'


def evaluate(head: Head, etag: str, modified: int, now: float) -> int:
    """Return 0 where the request goes on, or the status to answer with: 304 or 412 (RFC 9110, 13.2.2).

    It is to be asked where the answer would be a success otherwise: an error precedes every condition (13.2.1). `etag`
    is the tag of what is there now, "" where it has none; `modified` its last change, in whole seconds since 1970;
    `now` is in seconds since 1970.
    """
    if head.method in _UNCONDITIONAL:
        return 0
    reads = head.method in ("GET", "HEAD")
    tags = _value(head, b"if-match")
    if tags is not None:
        if not _matches_strongly(tags, etag):
            return 412
    elif _unchanged_since(head, b"if-unmodified-since", modified, now) is False:
        return 412
    tags = _value(head, b"if-none-match")
    if tags is not None:
        if _matches_weakly(tags, etag):
            return 304 if reads else 412
    elif reads and _unchanged_since(head, b"if-modified-since", modified, now):
        return 304
    return 0


def range_holds(head: Head, etag: str, modified: int, now: float) -> bool:
    """Whether a Range may be used, as far as If-Range goes (RFC 9110, 13.1.5). The arguments are those of `evaluate`.

    A date tells two versions apart only when its second was over: what changes twice in one has one date for both.
    """
    value = _value(head, b"if-range")
    if value is None:
        return True
    if value.startswith('"'):
        return value == etag
    return modified <= now - 1 and read_date(value, now) == modified


def read_date(text: str, now: float) -> int | None:
    """Read one of HTTP's three forms of a date as seconds since 1970, None for anything else (RFC 9110, 5.6.7).

    `now`, in seconds since 1970, decides which century a year of two digits is in. A leap second is the one after it.
    The day of the week must be one, but not the right one.
    """
    found = _IMF_FIXDATE.fullmatch(text) or _RFC_850.fullmatch(text) or _ASCTIME.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    month, year = _MONTHS.index(found["month"]) + 1, int(found["year"])
    if len(found["year"]) == 2:
        year = _whole_year(year, (month, day, hour, minute, second), now)
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _whole_year(digits: int, rest: tuple[int, ...], now: float) -> int:
    """Return the last year that ends in two digits and is not over 50 years away; `rest` is the month to the second."""
    today = datetime.fromtimestamp(now, UTC)
    last = today.year + 50
    year = last - (last - digits) % 100
    return year - 100 if year == last and rest > today.timetuple()[1:6] else year


def _value(head: Head, name: bytes) -> str | None:
    """Return a header's lines as one list, None where there is none. Two dates are a list, and so no date."""
    value = head.joined(name)
    return None if value is None else value.decode("latin-1").strip(" \t")


def _matches_strongly(tags: str, etag: str) -> bool:
    return tags == "*" or (not etag.startswith("W/") and etag in _TAGS.findall(tags))


def _matches_weakly(tags: str, etag: str) -> bool:
    return tags == "*" or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in _TAGS.findall(tags)]


def _unchanged_since(head: Head, name: bytes, modified: int, now: float) -> bool | None:
    """Whether the last change is not after the date in this header; None where there is no such header or no date."""
    value = _value(head, name)
    since = None if value is None else read_date(value, now)
    return None if since is None else modified <= since


_UNCONDITIONAL = frozenset({"CONNECT", "OPTIONS", "TRACE"})
"""What neither reads nor changes what is there ignores conditions (RFC 9110, 13.2.1)."""

_TAGS = re.compile(r'(?:^|,)[ \t]*+((?:W/)?"[!#-~\x80-\xff]*+")[ \t]*+(?=,|\Z)')
"""The members of a list that are entity tags. One that is none is passed over, up to the next comma.

A quote is looked at from no place but its own, and no further than to the next one, so the time is linear.
"""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_IMF_FIXDATE = re.compile(f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_RFC_850 = re.compile(
    f"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
)
_ASCTIME = re.compile(f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")
