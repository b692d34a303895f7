"""Which answer a question gets, rule by rule; dnspython reads every answer."""

import pickle
from random import Random

import dns.flags
import pytest
from partway.protocols.dns import Server, parse_zone
from partway.protocols.dns.answer import CHAIN_MAX, Zones
from partway.protocols.dns.recall import BODIES_BYTES_MAX, BODIES_MAX, BODY_BYTES, Recall
from partway.protocols.dns.wire import Body, Records
from questions import PEER, Clock, ask, query, read, server_of, told, zone_text

ZONE = """
@ MX 10 mail
@ MX 20 mail.other.
www A 192.0.2.2
www A 192.0.2.3
www AAAA 2001:db8::2
WWW TXT "a text"
alias CNAME www
alias2 CNAME alias
dangling CNAME nowhere
outward CNAME www.other.
away CNAME host.sub
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
*.wild A 192.0.2.9
*.wild MX 5 mail
towild CNAME any.wild
taken.wild TXT here
a.b.deep.wild A 192.0.2.10
*.cwild CNAME www
sub NS ns.sub
sub NS ns.sub2
sub NS ns1
sub NS ns.other.
sub DS 1 8 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
sub A 192.0.2.70
ns.sub A 192.0.2.71
ns.sub AAAA 2001:db8::71
sub2 NS ns.sub2
ns.sub2 A 192.0.2.72
deeper.sub NS ns.deeper.sub
ns.deeper.sub A 192.0.2.73
self2 NS self2
self2 A 192.0.2.74
old DNAME new
host.new A 192.0.2.11
odd HTTPS 1 . alpn=h2
odd TYPE97 \\# 1 07
svc SRV 1 2 3 www
"""
SOA = "example. 300 IN SOA ns1.example. host.example. 7 7200 900 1209600 300"
WWW = ["www.example. 3600 IN A 192.0.2.2", "www.example. 3600 IN A 192.0.2.3"]
REFERRAL = [
    "sub.example. 3600 IN NS ns.other.",
    "sub.example. 3600 IN NS ns.sub.example.",
    "sub.example. 3600 IN NS ns.sub2.example.",
    "sub.example. 3600 IN NS ns1.example.",
]
GLUE = [
    "ns.sub.example. 3600 IN A 192.0.2.71",
    "ns.sub.example. 3600 IN AAAA 2001:db8::71",
    "ns.sub2.example. 3600 IN A 192.0.2.72",
]
REFUSED = ("REFUSED", False, [], [], [])


def record(name: str, kind: str, data: str, ttl: int = 3600) -> str:
    return f"{name} {ttl} IN {kind} {data}"


POSITIVE = [
    ("www.example.", "A", WWW),
    ("www.example.", "AAAA", [record("www.example.", "AAAA", "2001:db8::2")]),
    ("www.example.", "TXT", [record("www.example.", "TXT", '"a text"')]),
    ("example.", "NS", [record("example.", "NS", "ns1.example.")]),
    ("example.", "SOA", [SOA.replace(" 300 IN", " 3600 IN")]),
    ("example.", "MX", [record("example.", "MX", "10 mail.example."), record("example.", "MX", "20 mail.other.")]),
    ("svc.example.", "SRV", [record("svc.example.", "SRV", "1 2 3 www.example.")]),
    ("alias.example.", "A", [record("alias.example.", "CNAME", "www.example."), *WWW]),
    (
        "alias2.example.",
        "A",
        [record("alias.example.", "CNAME", "www.example."), record("alias2.example.", "CNAME", "alias.example."), *WWW],
    ),
    ("alias2.example.", "CNAME", [record("alias2.example.", "CNAME", "alias.example.")]),
    ("outward.example.", "A", [record("outward.example.", "CNAME", "www.other.")]),
    ("self.example.", "A", [record("self.example.", "CNAME", "self.example.")]),
    (
        "loop1.example.",
        "A",
        [record("loop1.example.", "CNAME", "loop2.example."), record("loop2.example.", "CNAME", "loop1.example.")],
    ),
    ("any.wild.example.", "A", [record("any.wild.example.", "A", "192.0.2.9")]),
    ("any.thing.wild.example.", "MX", [record("any.thing.wild.example.", "MX", "5 mail.example.")]),
    ("*.wild.example.", "A", [record("*.wild.example.", "A", "192.0.2.9")]),
    (
        "towild.example.",
        "A",
        [record("any.wild.example.", "A", "192.0.2.9"), record("towild.example.", "CNAME", "any.wild.example.")],
    ),
    ("x.cwild.example.", "A", [*WWW, record("x.cwild.example.", "CNAME", "www.example.")]),
    ("sub.example.", "DS", None),
    ("old.example.", "DNAME", [record("old.example.", "DNAME", "new.example.")]),
    (
        "host.old.example.",
        "A",
        [
            record("host.new.example.", "A", "192.0.2.11"),
            record("host.old.example.", "CNAME", "host.new.example."),
            record("old.example.", "DNAME", "new.example."),
        ],
    ),
    ("odd.example.", "TYPE97", [record("odd.example.", "TYPE97", "\\# 1 07")]),
]


@pytest.mark.parametrize(("name", "kind", "records"), POSITIVE)
def test_what_there_is(name: str, kind: str, records: list[str] | None) -> None:
    server = server_of(ZONE)
    for _ in range(2):  # put together first, remembered then
        code, authoritative, answer, authority, additional = told(ask(server, name, kind))
        assert (code, authoritative, authority, additional) == ("NOERROR", True, [], [])
        assert answer == sorted(records) if records is not None else len(answer) == 1


NEGATIVE = [
    ("nowhere.example.", "A", "NXDOMAIN"),
    ("a.nowhere.example.", "A", "NXDOMAIN"),
    ("below.www.example.", "A", "NXDOMAIN"),
    ("www.example.", "MX", "NOERROR"),
    ("wild.example.", "A", "NOERROR"),  # exists, for a wildcard lies below it
    ("any.wild.example.", "TXT", "NOERROR"),
    ("taken.wild.example.", "A", "NOERROR"),  # a name that exists is not the wildcard's
    ("below.taken.wild.example.", "A", "NXDOMAIN"),  # and blocks it
    ("deep.wild.example.", "A", "NOERROR"),  # an empty non-terminal exists, too
    ("b.deep.wild.example.", "A", "NOERROR"),
    ("b.deep.wild.example.", "ANY", "NOERROR"),
    ("x.deep.wild.example.", "A", "NXDOMAIN"),
    ("new.example.", "A", "NOERROR"),
    ("nowhere.example.", "ANY", "NXDOMAIN"),
    ("sub2.example.", "DS", "NOERROR"),
    ("example.", "DS", "NOERROR"),
    ("odd.example.", "TYPE98", "NOERROR"),
]


@pytest.mark.parametrize(("name", "kind", "code"), NEGATIVE)
def test_what_there_is_not(name: str, kind: str, code: str) -> None:
    server = server_of(ZONE)
    for _ in range(2):
        assert told(ask(server, name, kind)) == (code, True, [], [SOA], [])


def test_a_type_is_not_another_in_lower_case() -> None:
    """HTTPS is 65, a capital A where a name has letters; 97 is the small one."""
    server = server_of(ZONE)
    assert len(ask(server, "odd.example.", "HTTPS").answer) == 1
    assert ask(server, "odd.example.", "HTTPS").answer != ask(server, "odd.example.", "TYPE97").answer


def test_the_soa_of_a_negative_answer_has_the_lesser_ttl() -> None:
    text = "$ORIGIN x.\n@ {ttl} SOA a. b. 1 2 3 4 {least}\n@ 60 NS a.\n"
    for ttl, least, given in ((100, 200, 100), (200, 100, 100), (0, 5, 0)):
        answer = ask(server_of("", text.format(ttl=ttl, least=least)), "none.x.")
        assert [records.ttl for records in answer.authority] == [given]


def test_negative_answers_of_all_lengths() -> None:
    server = server_of(ZONE)
    names = ["a" * size for size in range(1, 64)] + [
        ".".join(["b" * 60, "c" * 60, "d" * size]) for size in range(1, 64)
    ]
    for name in names * 2:
        assert told(ask(server, f"{name}.example."))[3] == [SOA], name


def test_a_negative_answer_doesnt_depend_on_who_asked_first() -> None:
    """Names of one length share it, whatever they have in common with the names in SOA."""
    server = server_of(ZONE)
    for name in ("a.ns1.example.", "b.www.example.", "c.abc.example.", "de.host.example.", "de.gast.example."):
        assert told(ask(server, name)) == ("NXDOMAIN", True, [], [SOA], [])


def test_a_chain_that_ends_in_nothing_says_so() -> None:
    """RFC 6604: the result is about the last name."""
    cname = record("dangling.example.", "CNAME", "nowhere.example.")
    assert told(ask(server_of(ZONE), "dangling.example.")) == ("NXDOMAIN", True, [cname], [SOA], [])
    cname = record("alias.example.", "CNAME", "www.example.")
    assert told(ask(server_of(ZONE), "alias.example.", "MX")) == ("NOERROR", True, [cname], [SOA], [])


def test_a_chain_is_bounded() -> None:
    server = server_of("".join(f"c{number} CNAME c{number + 1}\n" for number in range(100)) + "c100 A 192.0.2.1\n")
    code, authoritative, answer, authority, _ = told(ask(server, "c0.example.", size=1232))
    assert (code, authoritative, len(answer), authority) == ("NOERROR", True, CHAIN_MAX, [])
    assert len(ask(server, "c95.example.", size=1232).answer) == 6


@pytest.mark.parametrize("name", ["sub.example.", "a.sub.example.", "ns.sub.example.", "x.deeper.sub.example."])
@pytest.mark.parametrize("kind", ["A", "NS", "ANY", "SOA", "TXT"])
def test_a_referral(name: str, kind: str) -> None:
    server = server_of(ZONE)
    for _ in range(2):
        assert told(ask(server, name, kind)) == ("NOERROR", False, [], REFERRAL, GLUE)


def test_a_cut_that_is_its_own_server() -> None:
    servers = [record("self2.example.", "NS", "self2.example.")]
    glue = [record("self2.example.", "A", "192.0.2.74")]
    assert told(ask(server_of(ZONE), "x.self2.example.")) == ("NOERROR", False, [], servers, glue)


def test_ds_below_a_cut_is_the_childs_business() -> None:
    assert told(ask(server_of(ZONE), "a.sub.example.", "DS")) == ("NOERROR", False, [], REFERRAL, GLUE)


def test_a_loop_is_told_once() -> None:
    for name, count in (("self.example.", 1), ("loop1.example.", 2)):
        answer = server_of(ZONE).admit(query(name).to_wire(), PEER)
        assert answer is not None and answer[6:8] == bytes([0, count])


def test_glue_without_end_is_cut_and_costs_no_more_than_a_message() -> None:
    zone = parse_zone(zone_text("".join(f"cut NS ns{number}.cut\n" for number in range(100))))
    many = Records(1, 60)
    many.tails = (many.start + b"\0\4abcd",) * 1000
    zone.glue = {f"\3ns{number}\3cut\7example\0".encode(): (many,) for number in range(10)}
    zone.glue |= {f"\4ns{number}\3cut\7example\0".encode(): (many,) for number in range(10, 100)}
    answer = Server([zone], Clock(), Random(1)).answer(query("cut.example.").to_wire(), PEER)
    assert read(answer).flags & dns.flags.TC


def test_a_chain_that_leads_below_a_cut() -> None:
    cname = record("away.example.", "CNAME", "host.sub.example.")
    assert told(ask(server_of(ZONE), "away.example.")) == ("NOERROR", True, [cname], REFERRAL, GLUE)


def test_a_dname_makes_a_name_too_long() -> None:
    """RFC 6672, 2.2."""
    server = server_of("d DNAME " + ".".join(["t" * 60] * 3) + "\n")
    answer = ask(server, ".".join(["n" * 60] * 2) + ".d.example.", size=1232)
    assert told(answer)[0] == "YXDOMAIN"
    assert told(ask(server, "n.d.example.", size=1232))[0] == "NXDOMAIN"


def test_a_dname_that_leads_into_itself_ends() -> None:
    answer = told(ask(server_of("d DNAME d\n"), "n.d.example."))[2]
    assert answer == [record("d.example.", "DNAME", "d.example."), record("n.d.example.", "CNAME", "n.d.example.")]
    answer = told(ask(server_of("d DNAME x.d\n"), "n.d.example."))[2]
    assert answer == [record("d.example.", "DNAME", "x.d.example."), record("n.d.example.", "CNAME", "n.x.d.example.")]


def test_any_is_answered_with_little() -> None:
    """RFC 8482, 4.2; where there is a CNAME, with that."""
    server = server_of(ZONE)
    for name in ("www.example.", "example.", "any.wild.example."):
        hinfo = record(name, "HINFO", '"RFC8482" ""')
        assert told(ask(server, name, "ANY")) == ("NOERROR", True, [hinfo], [], [])
    cname = record("alias.example.", "CNAME", "www.example.")
    assert told(ask(server, "alias.example.", "ANY")) == ("NOERROR", True, [cname], [], [])


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_no_transfers(kind: str) -> None:
    server = server_of(ZONE)
    assert told(read(server.admit(query("example.", kind).to_wire(), PEER))) == REFUSED
    assert told(read(server.answer(query("example.", kind).to_wire(), PEER))) == REFUSED


@pytest.mark.parametrize("name", ["other.", ".", "com.", "xexample.", "example.com.", "www.other."])
def test_outside_our_zones(name: str) -> None:
    assert told(ask(server_of(ZONE), name)) == REFUSED


@pytest.mark.parametrize("kind", ["CH", "HS", "ANY", "NONE"])
def test_other_classes(kind: str) -> None:
    server = server_of(ZONE)
    ask(server, "www.example.")
    assert told(ask(server, "www.example.", rdclass=kind)) == REFUSED
    assert told(ask(server, "version.bind.", "TXT", rdclass=kind)) == REFUSED


CHILD = zone_text("www A 192.0.2.99\n", "sub.example.")
GRANDCHILD = zone_text("", "a.b.sub.example.")


def test_the_deepest_zone_answers() -> None:
    server = server_of(ZONE, GRANDCHILD, CHILD)
    soa = SOA.replace("example.", "sub.example.")
    www = record("www.sub.example.", "A", "192.0.2.99")
    assert told(ask(server, "www.sub.example.")) == ("NOERROR", True, [www], [], [])
    assert told(ask(server, "ns.sub.example.")) == ("NXDOMAIN", True, [], [soa], [])
    assert told(ask(server, "sub.example.")) == ("NOERROR", True, [], [soa], [])
    assert told(ask(server, "b.sub.example.")) == ("NXDOMAIN", True, [], [soa], [])
    soa = SOA.replace("example.", "a.b.sub.example.")
    assert told(ask(server, "x.a.b.sub.example.")) == ("NXDOMAIN", True, [], [soa], [])
    assert told(ask(server, "www.example.")) == ("NOERROR", True, WWW, [], [])


def test_ds_at_a_cut_is_the_parents_where_both_are_served() -> None:
    server = server_of(ZONE, CHILD, zone_text("", "sub2.example."), zone_text("", "nocut.example."))
    code, authoritative, answer, authority, _ = told(ask(server, "sub.example.", "DS"))
    assert (code, authoritative, len(answer), authority) == ("NOERROR", True, 1, [])
    assert told(ask(server, "sub2.example.", "DS")) == ("NOERROR", True, [], [SOA], [])
    own = SOA.replace("example.", "nocut.example.")
    assert told(ask(server, "nocut.example.", "DS")) == ("NOERROR", True, [], [own], [])


def test_a_chain_stays_in_its_zone() -> None:
    server = server_of("to CNAME www.sub\nwww2 CNAME nothing.other.\n", CHILD, zone_text("", "other."))
    cname = record("to.example.", "CNAME", "www.sub.example.")
    assert told(ask(server, "to.example.")) == ("NOERROR", True, [cname], [], [])
    cname = record("www2.example.", "CNAME", "nothing.other.")
    assert told(ask(server, "www2.example.")) == ("NOERROR", True, [cname], [], [])


def test_a_wildcard_stays_in_its_zone() -> None:
    """Even if somebody gives its name to a zone of its own."""
    child = zone_text("@ A 192.0.2.5\n", "*.example.")
    assert told(ask(server_of("x A 192.0.2.1\n", child), "y.example."))[0] == "NXDOMAIN"
    server = server_of("* A 192.0.2.1\n", child)
    assert told(ask(server, "y.example."))[2] == [record("y.example.", "A", "192.0.2.1")]
    assert told(ask(server, "*.example."))[2] == [record("*.example.", "A", "192.0.2.5")]


def test_the_root_is_a_zone() -> None:
    server = server_of("", "$ORIGIN .\n. 60 SOA a. b. 1 2 3 4 5\n. 60 NS a.\na. 60 A 192.0.2.1\n")
    assert told(ask(server, ".", "NS"))[2] == [". 60 IN NS a."]
    assert told(ask(server, "nothing."))[0] == "NXDOMAIN"
    assert told(ask(server, "ns1.example."))[0] == "NOERROR"


def test_zones_must_differ() -> None:
    with pytest.raises(ValueError, match=r"two zones with the origin EXAMPLE\."):
        server_of("", zone_text("", "EXAMPLE."))
    with pytest.raises(ValueError, match="no zone"):
        Zones([])


def test_names_are_compressed() -> None:
    """A name that stood before costs two bytes."""
    answer = server_of(ZONE).admit(query("alias2.example.", "A").to_wire(), PEER)
    assert answer is not None
    assert answer.count(b"\7example") == 1
    assert answer.count(b"\3www") == 1


def test_srv_is_not_compressed() -> None:
    """RFC 2782; and those who don't know a type couldn't read it otherwise (RFC 3597, 4)."""
    answer = server_of(ZONE).admit(query("svc.example.", "SRV").to_wire(), PEER)
    assert answer is not None and answer.count(b"\7example\0") == 2


def test_no_pointer_beyond_its_reach() -> None:
    """A pointer has 14 bits; what lies behind is written out."""
    names = {f"{number:04}{'m' * 50}.{number // 2:04}far.example." for number in range(400)}
    server = server_of("".join(f"@ MX 1 {name}\n" for name in names))
    answer = read(server.answer(query("example.", "MX").to_wire(), PEER))
    assert {record.exchange.to_text() for record in answer.answer[0]} == names


def test_case_is_kept_where_it_is_asked_and_where_it_is_told() -> None:
    server = server_of("UP CNAME Target\nTarget A 192.0.2.1\n")
    asked = query("uP.eXaMpLe.").to_wire()
    answer = server.admit(asked, PEER)
    assert answer is not None and answer[12 : len(asked)] == asked[12:]
    assert b"\6Target\xc0" in answer
    assert len(read(answer).answer) == 2


def test_rd_is_kept_and_ra_never_given() -> None:
    server = server_of(ZONE)
    for name in ("www.example.", "alias.example.", "nowhere.example.", "other."):
        for flags in (0, dns.flags.RD, dns.flags.RD | dns.flags.CD | dns.flags.AD, dns.flags.AD):
            for size in (None, 1232):
                message = query(name, size=size)
                message.flags = flags
                given = read(server.admit(message.to_wire(), PEER)).flags
                assert given & 0xFFF0 & ~(dns.flags.AA | dns.flags.RD) == dns.flags.QR
                assert given & dns.flags.RD == flags & dns.flags.RD


def test_what_is_remembered_is_bounded_in_number() -> None:
    recall = Recall()
    for number in range(3 * BODIES_MAX):
        recall.put(number.to_bytes(4, "big"), Body(0, 0, [0, 0, 0], b""))
        assert len(recall.bodies) <= BODIES_MAX
        assert recall.size == len(recall.bodies) * BODY_BYTES


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    recall = Recall()
    for number in range(200):
        recall.put(number.to_bytes(4, "big"), Body(0, 0, [0, 0, 0], bytes(60_000)))
        assert sum(len(body.tail) for body in recall.bodies.values()) <= recall.size <= BODIES_BYTES_MAX


def test_random_names_leave_nothing_behind() -> None:
    """A flood of names and types that don't exist changes neither the zones nor what is remembered of them."""
    server = server_of(ZONE)
    for name in ("www.example.", "alias.example.", "sub.example.", "x.wild.example.", "nope1.example."):
        ask(server, name)
        ask(server, name, "MX")
    nodes = server.zones.nodes
    before = len(pickle.dumps(server))
    for number in range(1000, 2000):
        for name in ("", "wild.", "sub.", "alias.", "old.", "cwild."):
            ask(server, f"x{number}.{name}example.")
        ask(server, "www.example.", f"TYPE{number}")
    assert len(pickle.dumps(server)) < before + 2000
    assert all(len(node.bodies) <= len(node.records) for node in nodes.values())


def test_an_alias_with_many_types_is_remembered_within_bounds() -> None:
    server = server_of(ZONE)
    for number in range(1000, 1000 + BODIES_MAX + 100):
        ask(server, "alias.example.", f"TYPE{number}")
    assert 0 < len(server.zones.recall.bodies) <= BODIES_MAX
