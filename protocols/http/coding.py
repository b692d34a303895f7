"""Which content codings a client takes, and which it likes best (RFC 9110, 12.5.3)."""

import re
from collections.abc import Sequence
from functools import lru_cache

MEMBERS_MAX = 64
"""Members of an Accept-Encoding that is read at all: several times as many as there are codings."""

REMEMBERED_BYTES_MAX = 256
"""An Accept-Encoding's length up to which what came of it is kept: `gzip, deflate, br, zstd` has 23."""


def accepted(value: bytes | None, offered: Sequence[str]) -> list[str]:
    """Return those of the `offered` codings, the server's favourite first, that a client takes, its favourite first.

    `value` is that of Accept-Encoding, None where there is none. Where the list is empty, or none of it is at hand, the
    answer goes out as it is, which is never wrong. A client that would rather have it so than coded gets it so.
    Malformed members are ignored, and so is the whole where it has over `MEMBERS_MAX`.
    """
    if not value:
        return []
    ranked = _ranked if len(value) <= REMEMBERED_BYTES_MAX else _ranked.__wrapped__
    return list(ranked(value, tuple(offered)))


@lru_cache(maxsize=256)
def _ranked(value: bytes, offered: tuple[str, ...]) -> tuple[str, ...]:
    if value.count(b",") >= MEMBERS_MAX:
        return ()
    weights: dict[str, float] = {}
    for member in value.decode("latin-1").split(","):
        found = _MEMBER.fullmatch(member.strip(" \t"))
        if found is not None:
            coding = found[1].lower()
            weights[_ALIASES.get(coding, coding)] = float(found[2] or 1)
    rest, least = weights.get("*", 0.0), weights.get("identity", 0.0)
    pairs = [(coding, weights.get(coding, rest)) for coding in offered]
    taken = [(coding, weight) for coding, weight in pairs if weight > 0 and weight >= least]
    return tuple(coding for coding, _ in sorted(taken, key=lambda pair: -pair[1]))


_ALIASES = {"x-gzip": "gzip"}  # RFC 9110, 8.4.1.3
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]++)(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
