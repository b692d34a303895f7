"""dig, over real TCP and UDP: somebody else's idea of what a query is, and of what an answer has to look like.

Skipped where dig is not installed, but in CI that is a failure (see `test_real_clients.py`).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from questions import zone_text
from real import client
from test_command import served
from test_real_clients import run

ZONE = "www A 192.0.2.2\nalias CNAME www\nsub NS ns.sub\nns.sub A 192.0.2.3\n" + "".join(
    f"big TXT {'x' * 240}{number}\n" for number in range(200)
)


@pytest.fixture(params=["+tcp", "+notcp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """A server's port, and the way there, as dig is told."""
    client("dig")
    path = tmp_path / "example.zone"
    path.write_text(zone_text(ZONE))
    with served("dns", str(path), "--bind", "127.0.0.1:0") as server:
        yield "-p", server.addresses[0].rpartition(":")[2], request.param
        assert server.end() == 0


def dig(place: tuple[str, ...], *words: str) -> str:
    """Ask; dig must find nothing to warn of."""
    said = run(client("dig"), *place, "@127.0.0.1", "+tries=1", "+time=5", "+norecurse", *words).decode()
    assert "warn" not in said.lower() and "malformed" not in said.lower(), said
    return said


def test_dig_gets_an_answer_and_a_cookie_it_likes(place: tuple[str, ...]) -> None:
    said = dig(place, "+cookie", "www.example", "A")
    assert "status: NOERROR" in said and "flags: qr aa;" in said
    assert "192.0.2.2" in said
    assert "(good)" in said
    assert "udp: 1232" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("alias.example", "A"), ["NOERROR", "CNAME\twww.example.", "192.0.2.2"]),
        (("nowhere.example", "A"), ["NXDOMAIN", "SOA\tns1.example."]),
        (("www.example", "AAAA"), ["NOERROR", "ANSWER: 0", "SOA\tns1.example."]),
        (("a.sub.example", "A"), ["NOERROR", "ANSWER: 0", "AUTHORITY: 1", "ADDITIONAL: 2", "192.0.2.3"]),
        (("www.example", "ANY"), ["NOERROR", 'HINFO\t"RFC8482"']),
        (("www.elsewhere", "A"), ["REFUSED"]),
        (("version.bind", "CH", "TXT"), ["REFUSED"]),
        (("+opcode=STATUS", "www.example", "A"), ["NOTIMP"]),
        (("+edns=1", "+noednsneg", "www.example", "A"), ["BADVERS"]),
        (("+noedns", "www.example", "A"), ["NOERROR", "ADDITIONAL: 0"]),
        (("+dnssec", "www.example", "A"), ["NOERROR", "flags: do"]),
        (("+header-only", "+noedns", "www.example", "A"), ["FORMERR"]),
        (("+nsid", "+subnet=192.0.2.0/24", "+expire", "+padding=128", "www.example", "A"), ["NOERROR"]),
    ],
)
def test_dig_reads(place: tuple[str, ...], words: tuple[str, ...], told: list[str]) -> None:
    said = dig(place, *words)
    for word in told:
        assert word in said, said


def test_dig_gets_a_long_answer_whole(place: tuple[str, ...]) -> None:
    assert dig(place, "+short", "big.example", "TXT").count("x" * 240) == 200


def test_dig_keeps_its_connection(place: tuple[str, ...]) -> None:
    words = ("+keepopen", "www.example", "A", "+keepopen", "alias.example", "A", "+keepopen", "big.example", "TXT")
    assert dig(place, *words).count("status: NOERROR") == 3


def test_dig_gets_no_transfer(place: tuple[str, ...]) -> None:
    assert "Transfer failed" in run(client("dig"), *place, "@127.0.0.1", "example", "AXFR").decode()


def test_dnsperf_loses_nothing(place: tuple[str, ...], tmp_path: Path) -> None:
    """Four clients with twenty queries under way: 800 in all, which is fewer than the unproven are allowed a second."""
    names = ("www", "alias", "sub", "a.sub", "nowhere", "none", "nobody", "big")
    (tmp_path / "asked").write_text("".join(f"{name}.example A\n" for name in names))
    mode = "tcp" if place[2] == "+tcp" else "udp"
    words = (
        "-d",
        str(tmp_path / "asked"),
        "-n",
        "100",
        "-s",
        "127.0.0.1",
        *place[:2],
        "-m",
        mode,
        "-c",
        "4",
        "-q",
        "20",
    )
    said = " ".join(run(client("dnsperf"), *words).decode().split())
    assert "Queries sent: 800 Queries completed: 800 (100.00%) Queries lost: 0 (0.00%)" in said
    assert "NOERROR 500 (62.50%), NXDOMAIN 300 (37.50%)" in said
