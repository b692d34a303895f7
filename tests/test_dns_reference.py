"""The same questions to a second server that is as plain and as slow as the RFCs are, and to ours; and noise.

The reference looks at all names of a zone for each question, and at dnspython's objects alone. Zones and questions are
random, from seeds that are printed; so are the mutations of queries, which nobody has to answer well.
"""

import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from partway.protocols.dns import Server, parse_zone
from questions import PEER, Clock, query, read, told, with_cookie, zone_text

LABELS = ("a", "b", "c", "*", "A")
KINDS = ("A", "AAAA", "TXT", "MX", "CNAME", "NS", "DNAME", "DS", "SRV", "PTR")
ASKED = (*KINDS, "ANY", "SOA", "HTTPS")
Told = tuple[str, bool, list[str], list[str], list[str]]


class Reference:
    """RFC 1034, 4.3.2 over all names of some zones, one after the other."""

    def __init__(self, texts: list[str]) -> None:
        self.zones = [dns.zone.from_text(text, relativize=False) for text in texts]

    def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Told:
        self.sections: list[list[str]] = [[], [], []]
        self.kind = kind
        zones = [zone for zone in self.zones if name.is_subdomain(self.origin(zone))]
        zones.sort(key=lambda zone: len(self.origin(zone)))
        if not zones:
            return "REFUSED", False, [], [], []
        self.zone = zones.pop()
        if kind == dns.rdatatype.DS and self.zone.origin == name and zones and self.cut_of(zones[-1], name) == name:
            self.zone = zones[-1]
        self.authoritative = True
        self.seen: list[dns.name.Name] = []
        self.renamed: list[dns.name.Name] = []
        code = "NOERROR"
        following: dns.name.Name | None = name
        while following is not None and len(self.seen) < 16:
            code, following = self.look(following)
        first, second, third = (sorted(section) for section in self.sections)
        return code, self.authoritative, first, second, third

    @staticmethod
    def origin(zone: dns.zone.Zone) -> dns.name.Name:
        assert zone.origin is not None
        return zone.origin

    def cut_of(self, zone: dns.zone.Zone, name: dns.name.Name) -> dns.name.Name | None:
        """The topmost name at or above this one at which the zone ends."""
        cuts = [
            owner
            for owner in zone.nodes
            if name.is_subdomain(owner) and owner != zone.origin and zone.get_rdataset(owner, "NS") is not None
        ]
        return min(cuts, key=len, default=None)

    def exists(self, name: dns.name.Name) -> bool:
        return any(owner.is_subdomain(name) for owner in self.zone.nodes)

    def put(self, section: int, owner: dns.name.Name, kind: str, place: dns.name.Name | None = None) -> bool:
        records = self.zone.get_rdataset(place or owner, kind)
        if records is None:
            return False
        ttl = records.ttl
        if kind == "SOA":
            ttl = min(ttl, records[0].minimum) if section else ttl
        self.sections[section] += [f"{owner} {ttl} IN {kind} {record}" for record in records]
        return True

    def nothing(self, code: str) -> tuple[str, None]:
        self.put(1, self.origin(self.zone), "SOA")
        return code, None

    def look(self, name: dns.name.Name) -> tuple[str, dns.name.Name | None]:
        """What there is at one name, and the name to go on with."""
        deepest = [zone for zone in self.zones if name.is_subdomain(self.origin(zone))]
        best = max(deepest, key=lambda zone: len(self.origin(zone)), default=None)
        at_the_cut = self.kind == dns.rdatatype.DS and self.cut_of(self.zone, name) == name
        if best is None or (best is not self.zone and not (at_the_cut and best.origin == name)):
            return "NOERROR", None  # a chain has left the zone
        cut = self.cut_of(self.zone, name)
        if cut is not None and not at_the_cut:
            return self.refer(cut)
        if self.exists(name):
            return self.take(name, name)
        encloser = name.parent()
        while not self.exists(encloser):
            encloser = encloser.parent()
        if self.zone.get_rdataset(encloser, "DNAME") is not None:
            return self.rename(name, encloser)
        wildcard = dns.name.from_text("*", encloser)
        if wildcard not in self.zone.nodes and not self.exists(wildcard):
            return self.nothing("NXDOMAIN")
        return self.take(name, wildcard)

    def take(self, name: dns.name.Name, place: dns.name.Name) -> tuple[str, dns.name.Name | None]:
        kind = dns.rdatatype.to_text(self.kind)
        if self.put(0, name, kind, place):
            return "NOERROR", None
        cname = self.zone.get_rdataset(place, "CNAME")
        if kind == "ANY" and place in self.zone.nodes:
            if not self.put(0, name, "CNAME", place):
                self.sections[0].append(f'{name} 3600 IN HINFO "RFC8482" ""')
            return "NOERROR", None
        if cname is None:
            return self.nothing("NOERROR")
        self.put(0, name, "CNAME", place)
        return self.go_on(name, cname[0].target)

    def go_on(self, name: dns.name.Name, target: dns.name.Name) -> tuple[str, dns.name.Name | None]:
        self.seen.append(name)
        return "NOERROR", None if target in self.seen else target

    def rename(self, name: dns.name.Name, encloser: dns.name.Name) -> tuple[str, dns.name.Name | None]:
        records = self.zone.find_rdataset(encloser, "DNAME")
        if encloser in self.renamed:
            return "NOERROR", None
        self.renamed.append(encloser)
        self.put(0, encloser, "DNAME")
        try:
            target = name.relativize(encloser) + records[0].target
        except dns.name.NameTooLong:
            return "YXDOMAIN", None
        self.sections[0].append(f"{name} {records.ttl} IN CNAME {target}")
        return self.go_on(name, target)

    def refer(self, cut: dns.name.Name) -> tuple[str, None]:
        self.authoritative = bool(self.sections[0])
        self.put(1, cut, "NS")
        for record in self.zone.find_rdataset(cut, "NS"):
            if self.cut_of(self.zone, record.target) is not None:
                self.put(2, record.target, "A")
                self.put(2, record.target, "AAAA")
        return "NOERROR", None


def random_name(random: Random, deep: int = 4) -> str:
    labels = [random.choice(LABELS) for _ in range(random.randrange(1, deep))]
    return ".".join([*labels, random.choice(["example", "example", "example", "a.example", "other"])]) + "."


def random_record(random: Random) -> str:
    kind = random.choice(KINDS)
    target = random_name(random)
    data = {
        "A": f"192.0.2.{random.randrange(256)}",
        "AAAA": f"2001:db8::{random.randrange(256)}",
        "TXT": f'"{random.randrange(256)}"',
        "MX": f"{random.randrange(256)} {target}",
        "DS": f"{random.randrange(256)} 8 2 " + "00" * 32,
        "SRV": f"1 2 3 {target}",
    }.get(kind, target)
    return f"{random_name(random)} {random.randrange(600)} {kind} {data}\n"


def random_zone(random: Random, origin: str) -> str:
    """A zone's text, of records that fit with each other."""
    text = zone_text("", origin)
    for _ in range(random.randrange(5, 40)):
        more = text + random_record(random)
        try:
            parse_zone(more)
        except ValueError:
            continue
        text = more
    return text


def plain(said: Told) -> Told:
    """Names as they are compared: ours keeps a name's case as it was asked, the reference as it stands in the file."""
    code, authoritative, *sections = said
    first, second, third = (sorted({line.lower() for line in section}) for section in sections)
    return code, authoritative, first, second, third


@pytest.mark.parametrize("seed", range(60))
def test_ours_says_what_the_reference_says(seed: int) -> None:
    print(f"seed {seed}")
    random = Random(seed)
    texts = [random_zone(random, "example.")]
    texts += [
        random_zone(random, origin) for origin in ("a.example.", "b.a.example.", "*.example.") if random.random() < 0.3
    ]
    print("\n".join(texts))
    server = Server([parse_zone(text) for text in texts], Clock(), Random(seed), 1e9)
    reference = Reference(texts)
    for _ in range(120):
        name, kind = random_name(random, 6), random.choice(ASKED)
        due = plain(reference.ask(dns.name.from_text(name), dns.rdatatype.from_text(kind)))
        for _ in range(2):  # what was remembered must be the same
            answer = read(server.answer(query(name, kind, size=65535).to_wire(), PEER))
            assert plain(told(answer)) == due, f"{name} {kind}"


ZONE = "www A 192.0.2.2\nalias CNAME www\nsub NS ns.sub\nns.sub A 192.0.2.3\n*.wild TXT x\nold DNAME www\n" + "".join(
    f"big TXT {'x' * 200}{number}\n" for number in range(30)
)


OTHER = ("198.51.100.1", 53)  # whose cookie it isn't


def seeds_of_queries(server: Server) -> list[bytes]:
    cookie = read(server.admit(with_cookie("www.example."), PEER)).options[0].to_wire()
    return [
        query("www.example.").to_wire(),
        query("alias.example.", "AAAA", size=4096, want_dnssec=True).to_wire(),
        query("x.sub.example.", "MX", size=512).to_wire(),
        query("x.wild.example.", "TXT").to_wire(),
        query("x.y.old.example.", "A", size=1232).to_wire(),
        query("big.example.", "TXT", size=65535).to_wire(),
        with_cookie("big.example.", cookie, "TXT"),
        query("example.", "IXFR").to_wire(),
        b"\0\1" * 3000,
    ]


def mutated(random: Random, queries: list[bytes]) -> bytes:
    data = bytearray(random.choice(queries))
    for _ in range(random.choice([1, 1, 2, 3, 10])):
        place = random.randrange(len(data) + 1)
        match random.randrange(6):
            case 0:
                data[place : place + 1] = random.randbytes(1)
            case 1:
                data[place : place + 1] = bytes([random.choice([0, 1, 41, 63, 64, 128, 192, 255])])
            case 2:
                del data[place : place + random.randrange(1, 12)]
            case 3:
                data[place:place] = random.randbytes(random.randrange(1, 12))
            case 4:
                other = random.choice(queries)
                data[place:] = other[random.randrange(len(other)) :]
            case _:
                start = random.randrange(len(data) + 1)
                data[place:place] = data[start : start + random.randrange(1, 40)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("unproven_max", [0, 1e9])
def test_noise(seed: int, unproven_max: float) -> None:
    """Whatever comes: no exception, no answer that is too long, none that cannot be read."""
    print(f"seed {seed}")
    random = Random(seed)
    server = Server([parse_zone(zone_text(ZONE))], Clock(), Random(seed), unproven_max)
    queries = seeds_of_queries(server)
    before = server.counters.udp
    silent = answered = 0
    for _ in range(2000):
        data = mutated(random, queries)
        answer, whole = server.admit(data, OTHER), server.answer(data, PEER)
        if answer is None or whole is None:
            assert answer is whole and (len(data) < 12 or data[2] & 0x80)
            silent += 1
            continue
        answered += 1
        assert len(answer) <= 1232 and len(whole) <= 65535
        assert unproven_max or len(answer) <= len(data) + 32
        for got in (answer, whole):
            message = dns.message.from_wire(got)
            assert message.id == int.from_bytes(data[:2], "big")
            assert got[2] & 0x80 and got[3] & 0xF0 == 0
            assert server.admit(got, PEER) is None
    assert silent and answered
    counters = server.counters
    assert counters.udp - before == 2000 + 2 * answered


LONG_NAME = b"\1a" * 123 + b"\7example\0"
WORST = {
    "labels of a byte": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\0\0" + LONG_NAME + b"\0\1\0\1",
    "a name without end": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\0\0" + b"\1a" * 2042,
    "records": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\xff\xff" + b"\0\0\1\0\1" + (b"\0" + bytes(10)) * 370,
    "records' names": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\0\x20\0\0\1\0\1" + (b"\1a" * 60 + b"\0" + bytes(10)) * 31,
    "options": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\4\0\0\0\0\0\x0f\xe0" + bytes(4064),
    "a loop of DNAME": b"\0\1" + bytes(2) + b"\0\1\0\0\0\0\0\0" + b"\1a" * 110 + b"\4loop\7example\0\0\1\0\1",
}


@pytest.mark.parametrize("name", WORST)
def test_no_message_costs_much(name: str) -> None:
    """Lines of Python for the worst messages that a connection may send."""
    server = Server([parse_zone(zone_text(ZONE + "loop DNAME x.loop\n"))], Clock(), Random(1), 1e9)
    lines = lines_of(lambda: server.answer(WORST[name], PEER))
    assert lines < 10_000
    assert lines_of(lambda: server.answer(query("www.example.", "A").to_wire(), PEER)) < 1000


def lines_of(function: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "partway" in frame.f_globals.get("__name__", "") else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count
