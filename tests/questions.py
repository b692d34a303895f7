"""Questions to a DNS server in memory: zones from text, messages by dnspython, which reads every answer, too."""

from collections.abc import Sequence
from random import Random
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from partway.protocols.dns import Server, parse_zone

PEER = ("192.0.2.200", 5353)
HEAD = """$ORIGIN {origin}
$TTL 3600
@ SOA ns1 host 7 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.1
"""
CLIENT_COOKIE = b"clientck"


class Clock:
    """Seconds that pass when a test says so. It pickles, as a platform's clock need not."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def zone_text(records: str, origin: str = "example.") -> str:
    return HEAD.format(origin=origin) + records


def server_of(records: str = "", *more: str, clock: Clock | None = None, unproven_max: float = 1e9) -> Server:
    """A server for the zone `example.` with these records, and for other zones by their whole text."""
    zones = [parse_zone(text) for text in (zone_text(records), *more)]
    return Server(zones, clock or Clock(), Random(1), unproven_max)


def query(name: str, kind: str = "A", *, size: int | None = None, **options: Any) -> dns.message.Message:
    """A query with a fixed id, without EDNS unless a size is given."""
    if size is not None:
        options |= {"use_edns": 0, "payload": size}
    message = dns.message.make_query(name, kind, id=0x1234, **options)
    message.flags = 0
    return message


def cookie_option(cookie: bytes) -> dns.edns.GenericOption:
    return dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)


def with_cookie(name: str, cookie: bytes = CLIENT_COOKIE, kind: str = "A", size: int = 1232) -> bytes:
    return query(name, kind, size=size, options=[cookie_option(cookie)]).to_wire()


def read(answer: bytes | None) -> dns.message.Message:
    """An answer, read by somebody else; it must have nothing behind it."""
    assert answer is not None, "silence"
    return dns.message.from_wire(answer)


def cookie_of(message: dns.message.Message) -> bytes:
    """The cookie in an answer, client's part and all; b"" for none."""
    found = [option.to_wire() or b"" for option in message.options if option.otype == dns.edns.OptionType.COOKIE]
    assert len(found) <= 1
    return found[0] if found else b""


def ask(server: Server, name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    """Ask over UDP; the answer must belong to the question."""
    question = query(name, kind, **options)
    answer = read(server.admit(question.to_wire(), PEER))
    assert question.is_response(answer)
    return answer


def lines(section: Sequence[dns.rrset.RRset]) -> list[str]:
    """The records of a section, one a line, without order."""
    return sorted(line for records in section for line in records.to_text().splitlines())


def told(answer: dns.message.Message) -> tuple[str, bool, list[str], list[str], list[str]]:
    """What an answer says: result, AA, and the records of its sections."""
    return (
        dns.rcode.to_text(answer.rcode()),
        bool(answer.flags & dns.flags.AA),
        lines(answer.answer),
        lines(answer.authority),
        lines(answer.additional),
    )
