"""dig, over real TCP: somebody else's idea of what a query is, and of what an answer has to look like.

Skipped where dig is not installed, but in CI that is a failure (see `test_real_clients.py`).
"""

import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from questions import zone_text
from test_real_clients import SECONDS_MOST, client, run

ZONE = "www A 192.0.2.2\nalias CNAME www\nsub NS ns.sub\nns.sub A 192.0.2.3\n" + "".join(
    f"big TXT {'x' * 240}{number}\n" for number in range(200)
)

# Until the command line has it: the same server, made by hand.
SERVER = """
import signal, sys
from random import SystemRandom
from partway.engine import Reactor
from partway.protocols.dns import Server, load_zone

reactor = Reactor()
server = Server([load_zone(sys.argv[1])], reactor.platform.now, SystemRandom())
listener = reactor.listen("127.0.0.1:0", server.stream)
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
print(listener.address, flush=True)
while not ended:
    reactor.step(0.1)
reactor.close()
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """A server's port."""
    client("dig")
    path = tmp_path / "example.zone"
    path.write_text(zone_text(ZONE))
    with subprocess.Popen([sys.executable, "-c", SERVER, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], SECONDS_MOST)[0], "the server says nothing"
            yield process.stdout.readline().decode().strip().rpartition(":")[2]
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_MOST) == 0
        finally:
            process.kill()


def dig(port: str, *words: str) -> str:
    """Ask; dig must find nothing to warn of."""
    said = run(client("dig"), "-p", port, "@127.0.0.1", "+tcp", "+tries=1", "+time=5", "+norecurse", *words).decode()
    assert "warn" not in said.lower() and "malformed" not in said.lower(), said
    return said


def test_dig_gets_an_answer_and_a_cookie_it_likes(port: str) -> None:
    said = dig(port, "+cookie", "www.example", "A")
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
def test_dig_reads(port: str, words: tuple[str, ...], told: list[str]) -> None:
    said = dig(port, *words)
    for word in told:
        assert word in said, said


def test_dig_gets_a_long_answer_whole(port: str) -> None:
    assert dig(port, "+short", "big.example", "TXT").count("x" * 240) == 200


def test_dig_keeps_its_connection(port: str) -> None:
    words = ("+keepopen", "www.example", "A", "+keepopen", "alias.example", "A", "+keepopen", "big.example", "TXT")
    assert dig(port, *words).count("status: NOERROR") == 3


def test_dig_gets_no_transfer(port: str) -> None:
    assert "Transfer failed" in run(client("dig"), "-p", port, "@127.0.0.1", "example", "AXFR").decode()
