"""What all of one DNS server's sockets have in common: the zones, the cookies, the counters; and one answer for all."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from ...engine import Row
from .answer import Zones
from .cookies import Cookies
from .counters import Counters
from .load import Load
from .message import (
    COOKIE_CLIENT_BYTES,
    CUT,
    OWN_BYTES,
    PLAIN_BYTES,
    WRONG_COOKIE,
    WRONG_VERSION,
    Edns,
    Query,
    bare,
    cut,
    opt,
    read_query,
    without_question,
)
from .stream import DnsStream
from .wire import BADCOOKIE, BADVERS, FORMERR, HEADER_BYTES, MESSAGE_BYTES_MAX, NOERROR, NOTIMP, Body, Malformed
from .zone import Zone

UNPROVEN_MAX: Final = 1000  # a second: far more than resolvers without cookies ask of a small server


class Server:
    """Answers from zones: `admit` is asked about a datagram, `stream` makes a machine for a row of TCP.

    `now` tells seconds on a clock that never jumps, `random` gives the secrets of cookies; both are the platform's.
    `unproven_max` is how many queries a second are answered over UDP of those that carry no valid server cookie. Where
    more come, they are told to bring one (BADCOOKIE), or to come over TCP; `inf` turns that off.

    It guards itself against forged senders: what the engine would not let it send to those, it may.

    Plain data but for `now`. A machine refers to its server: freeze it with the server in `shared`.
    """

    guards: Final = True

    def __init__(
        self, zones: Iterable[Zone], now: Callable[[], float], random: Random, unproven_max: float = UNPROVEN_MAX
    ) -> None:
        self.zones = Zones(zones)
        self.now = now
        self.cookies = Cookies(now, random)
        self.load = Load(unproven_max)
        self.counters = Counters()

    def stream(self, row: Row) -> DnsStream:
        """Make a machine for one connection: `reactor.listen(address, server.stream)`."""
        return DnsStream(row, self)

    def admit(self, data: bytes, peer: Any) -> bytes | None:
        """Return the answer to one datagram; None for silence. `peer` is its sender, as the platform names him."""
        self.counters.udp += 1
        return self._answer(data, peer, True)

    def answer(self, data: bytes, peer: Any) -> bytes | None:
        """Return the answer to one message that came over TCP, which nobody forges; None for silence."""
        self.counters.stream += 1
        return self._answer(data, peer, False)

    def _answer(self, data: bytes, peer: Any, forgeable: bool) -> bytes | None:
        counters = self.counters
        if len(data) < HEADER_BYTES:
            counters.short += 1
            return None
        first = data[2]
        if first & 0xF8:
            return self._unwanted(data)
        try:
            query = read_query(data)
        except Malformed:
            counters.codes[FORMERR] += 1
            return bare(data, FORMERR)
        end, key, kind, edns = query
        most = MESSAGE_BYTES_MAX
        if edns is None:
            record = b""
            if forgeable:
                most = PLAIN_BYTES
            if forgeable and self.load.too_many(self.now()):
                counters.put_off += 1
                body = CUT
            else:
                body = self.zones.find(key, kind)
            head = body.heads[first & 1]
        else:
            if forgeable:
                most = min(max(edns.size, PLAIN_BYTES), OWN_BYTES)
            if not key:
                return self._cookie_alone(data, edns, peer)
            body, record = self._with_edns(query, edns, peer, forgeable)
            head = body.heads[2 | first & 1]
        counters.codes[body.code] += 1
        answer = b"".join((data[:2], head, data[HEADER_BYTES:end], body.tail, record))
        if len(answer) > most:
            counters.cut += 1
            return cut(data, head, end, record)
        return answer

    def _unwanted(self, data: bytes) -> bytes | None:
        """Answer what is no query. Not at all, if it is an answer: two servers could talk to each other for ever."""
        if data[2] & 0x80:
            self.counters.responses += 1
            return None
        self.counters.codes[NOTIMP] += 1
        try:
            edns = read_query(data).edns  # other operations have the same shape, as a rule
        except Malformed:
            edns = None
        return bare(data, NOTIMP) if edns is None else without_question(data, NOTIMP, opt(NOTIMP, edns.dnssec))

    def _with_edns(self, query: Query, edns: Edns, peer: Any, forgeable: bool) -> tuple[Body, bytes]:
        """Return the answer to a query with OPT, and the OPT for it."""
        if edns.version:
            return WRONG_VERSION, opt(WRONG_VERSION.code, edns.dnssec)
        cookie, proven = b"", False
        if edns.cookie:
            cookie, proven = self.cookies.check(edns.cookie, host_of(peer))
        if forgeable and not proven and self.load.too_many(self.now()):
            if cookie:
                return WRONG_COOKIE, opt(WRONG_COOKIE.code, edns.dnssec, cookie)
            self.counters.put_off += 1
            return CUT, opt(NOERROR, edns.dnssec)
        body = self.zones.find(query.key, query.kind)
        return body, opt(NOERROR, edns.dnssec, cookie)

    def _cookie_alone(self, data: bytes, edns: Edns, peer: Any) -> bytes:
        """Answer a query without a question: it asks for a cookie, or whether its own is good (RFC 7873, 5.4)."""
        code, cookie = BADVERS, b""
        if not edns.version:
            cookie, proven = self.cookies.check(edns.cookie, host_of(peer))
            code = NOERROR if proven or len(edns.cookie) == COOKIE_CLIENT_BYTES else BADCOOKIE
        self.counters.codes[code] += 1
        return without_question(data, code, opt(code, edns.dnssec, cookie))


def host_of(peer: Any) -> str:
    """Return the part of a peer's address that its cookie is good for: any port, as each query has its own."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else str(peer)
