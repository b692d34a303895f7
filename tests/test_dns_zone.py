"""Zone files: where a zone's origin comes from, and what is said of a file that makes no sense."""

from pathlib import Path

import partway.protocols.dns
import pytest
from partway.protocols.dns import load_zone, parse_zone
from questions import ask, server_of, told

BARE = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("example.com.zone", "example.com."),
        ("db.example.com", "example.com."),
        ("example.com", "example.com."),
        ("example.com.", "example.com."),
        ("example.com.db", "example.com."),
        ("example.com.txt", "example.com."),
        ("2.0.192.in-addr.arpa.hosts", "2.0.192.in-addr.arpa."),
    ],
)
def test_the_origin_is_the_files_name(tmp_path: Path, name: str, origin: str) -> None:
    path = tmp_path / name
    path.write_text(BARE)
    assert load_zone(path).text == origin
    assert load_zone(str(path)).text == origin
    assert load_zone(path, "given.org").text == "given.org."


@pytest.mark.parametrize("start", ["", "\n\n", "; a comment\n", "$TTL 60\n", "  ; a\r\n\t\n$ttl 5 ; b\n", "\n" * 5000])
def test_the_origin_stands_in_the_file(start: str) -> None:
    for word in ("$ORIGIN example.org.\n", "$origin  example.org.;here\n", "$Origin\texample.org. ; here\r\n"):
        zone = parse_zone(start + word + BARE, None, "other.zone")
        assert zone.text == "example.org."


def test_an_origin_needs_its_dot() -> None:
    with pytest.raises(ValueError, match=r"the.zone: the first .ORIGIN, example.org, has no dot at its end"):
        parse_zone("$ORIGIN example.org\n" + BARE, None, "the.zone")


def test_an_origin_that_stands_later_is_not_the_zones() -> None:
    zone = parse_zone(BARE + "$ORIGIN sub.example.org.\nwww A 192.0.2.2\n", None, "example.org.zone")
    assert zone.text == "example.org."
    assert b"\3www\3sub\7example\3org\0" in zone.nodes


def test_what_is_given_counts_more_than_the_file() -> None:
    with pytest.raises(ValueError, match=r"no SOA record at the origin, example\.net\."):
        parse_zone("$ORIGIN example.org.\n" + BARE, "example.net.")


def test_many_blank_lines_cost_little() -> None:
    with pytest.raises(ValueError):
        parse_zone("\n \t\r" * 3000 + "$TTL 5 ;" * 300 + "\n" + ";;\n" * 3000 + "x")


WRONG = [
    ("x 60 A 192.0.2\n", "the.zone:5: "),
    ("x 60 A 192.0.2.1\nx NONSENSE 5\n", r"the.zone:6: unknown rdatatype 'NONSENSE'"),
    ("x CNAME y\nx A 192.0.2.1\n", "the.zone:6: "),
    ("x TXT (\n a\n b\n", "the.zone:"),
    ("x TXT (\n a\n b )\ny A z\n", "the.zone:8: "),
    ("a" * 64 + " A 192.0.2.1\n", "the.zone:5: "),
    ("$INCLUDE /nowhere/at.all\n", "the.zone:5: .*at.all"),
    ("$TTL never\n", "the.zone:5: "),
    ("x CH A 192.0.2.1\n", "the.zone:5: "),
    ("*.x NS ns\n", r"the.zone: \*\.x\.example\. has NS or DNAME"),
    ("* DNAME ns\n", r"the.zone: \*\.example\. has NS or DNAME"),
    ("x DNAME ns\ny.x A 192.0.2.1\n", r"the.zone: y\.x\.example\. lies below a DNAME"),
    ("".join(f"x TXT {'t' * 240} {n}\n" for n in range(300)), r"the.zone: x\.example\. has more TXT records than fit"),
]


@pytest.mark.parametrize(("records", "told"), WRONG)
def test_a_wrong_file_is_one_clear_error(records: str, told: str) -> None:
    with pytest.raises(ValueError, match="^" + told) as caught:
        parse_zone(BARE + records, "example.", "the.zone")
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the.zone: no SOA record at the origin, the."),
        ("; nothing\n", "the.zone: no SOA record at the origin, the."),
        ("$ORIGIN example.\n@ 60 NS ns\n", "the.zone: no SOA record at the origin, example."),
        ("@ 60 SOA a b 1 2 3 4 5\n", "the.zone: no NS record at the origin, the."),
        ("www 60 A 192.0.2.1\n", "the.zone: no SOA record at the origin, the."),
    ],
)
def test_what_every_zone_has(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="^" + told + "$"):
        parse_zone(text, None, "the.zone")


@pytest.mark.parametrize("origin", ["a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_an_origin_that_is_none(origin: str) -> None:
    with pytest.raises(ValueError, match=r"^the.zone: "):
        parse_zone(BARE, origin, "the.zone")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "example.zone"
    with pytest.raises(FileNotFoundError):
        load_zone(path)
    path.write_bytes(BARE.encode() + b"x TXT \xff\n")
    with pytest.raises(ValueError, match=r"example\.zone:5: this is not UTF-8"):
        load_zone(path)
    (tmp_path / "more").write_text("www A 192.0.2.2\n")
    path.write_text(BARE + f"$INCLUDE {tmp_path / 'more'}\n")
    assert b"\3www\7example\0" in load_zone(path).nodes
    (tmp_path / "more").write_text("www A 192.0.2.2\nftp A nonsense\n")
    with pytest.raises(ValueError, match=r"more:\d: "):
        load_zone(path)


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "example.zone"
    path.write_text(BARE + f"$INCLUDE {path}\n")
    with pytest.raises(ValueError, match="include each other go 16 deep"):
        load_zone(path)


SIGNED = """
www A 192.0.2.2
www RRSIG A 8 2 60 20300101000000 20200101000000 1 example. AAAA
www RRSIG NSEC 8 2 60 20300101000000 20200101000000 1 example. BBBB
www NSEC example. A RRSIG NSEC
alias CNAME www
alias RRSIG CNAME 8 2 60 20300101000000 20200101000000 1 example. CCCC
@ DNSKEY 256 3 8 AAAA
"""


def test_a_signed_zones_records_are_served_as_they_are() -> None:
    server = server_of(SIGNED)
    assert len(told(ask(server, "www.example.", "RRSIG"))[2]) == 2
    assert len(told(ask(server, "www.example.", "A", size=1232, want_dnssec=True))[2]) == 1
    assert len(told(ask(server, "alias.example.", "RRSIG"))[2]) == 1
    for name, kind in (("www.example.", "NSEC"), ("example.", "DNSKEY")):
        assert len(told(ask(server, name, kind))[2]) == 1


def test_below_a_cut_nothing_is_wrong_that_is_not_ours() -> None:
    """Not even a name below a DNAME: it is glue, if anything."""
    server = server_of("sub NS x.d.sub\nx.d.sub A 192.0.2.9\nd.sub DNAME y\n")
    assert told(ask(server, "sub.example."))[4] == ["x.d.sub.example. 3600 IN A 192.0.2.9"]


def test_generated_names() -> None:
    server = server_of("$GENERATE 1-20 host$ A 192.0.2.$\n")
    assert told(ask(server, "host17.example."))[2] == ["host17.example. 3600 IN A 192.0.2.17"]


def test_what_lies_outside_is_left_out() -> None:
    server = server_of("www.other. A 192.0.2.1\n")
    assert told(ask(server, "www.other."))[0] == "REFUSED"


def test_what_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match=r"module 'partway\.protocols\.dns' has no attribute 'save_zone'"):
        getattr(partway.protocols.dns, "save_zone")  # noqa: B009
    assert not hasattr(partway.protocols.dns, "save_zone")
