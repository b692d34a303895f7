"""`partway dns` as its user has it: zone files in, answers over UDP and TCP on one port out, mistakes in one line."""

import socket
import sys
from pathlib import Path

import pytest
from test_command import LOCAL, SECONDS_MOST, Served, answered, one_line, served

dns = pytest.importorskip("dns.message")
query = pytest.importorskip("dns.query")

ZONE = """$ORIGIN example.test.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
www IN A 10.0.0.1
"""


@pytest.fixture
def zone(tmp_path: Path) -> str:
    path = tmp_path / "example.zone"
    path.write_text(ZONE)
    return str(path)


def asked(server: Served, name: str, number: int, kind: str = "A") -> str:
    """The answer section, asked over the address of this number."""
    host, _, port = server.addresses[number].removeprefix("udp:").rpartition(":")
    ask = query.udp if server.addresses[number].startswith("udp:") else query.tcp
    answer = ask(dns.make_query(name, kind), host, SECONDS_MOST, int(port))
    return "\n".join(map(str, answer.answer)) or str(answer.rcode().name)


def test_one_port_for_both_ways(zone: str) -> None:
    with served("dns", zone, *LOCAL) as server:
        tcp, udp = server.addresses
        assert udp == f"udp:{tcp}"
        for number in (0, 1):
            assert asked(server, "www.example.test.", number) == "www.example.test. 300 IN A 10.0.0.1"
            assert asked(server, "none.example.test.", number) == "NXDOMAIN"
        assert server.end() == 0
        assert server.rest() == ""


def test_one_way_alone(zone: str) -> None:
    with served("dns", zone, "--bind", "udp:127.0.0.1:0") as server:
        assert [address.partition(":")[0] for address in server.addresses] == ["udp"]
        assert asked(server, "ns.example.test.", 0).endswith("127.0.0.1")
        assert server.end() == 0


def test_several_zones_and_an_origin(zone: str, tmp_path: Path) -> None:
    other = tmp_path / "other.test.zone"
    other.write_text(ZONE.replace("$ORIGIN example.test.\n", ""))
    with served("dns", zone, str(other), *LOCAL) as server:
        assert asked(server, "www.example.test.", 1) == "www.example.test. 300 IN A 10.0.0.1"
        assert asked(server, "www.other.test.", 1) == "www.other.test. 300 IN A 10.0.0.1"
        assert server.end() == 0
    with served("dns", str(other), "--origin", "third.test", *LOCAL) as server:
        assert asked(server, "www.third.test.", 1) == "www.third.test. 300 IN A 10.0.0.1"
        assert server.end() == 0


def test_who_proves_nothing_is_put_off_under_load(zone: str, tmp_path: Path) -> None:
    control = tmp_path / "control"
    with served("dns", zone, *LOCAL, "--unproven-max", "0", "--control", str(control)) as server:
        host, _, port = server.addresses[0].rpartition(":")
        message = dns.make_query("www.example.test.", "A")
        answer, over_tcp = query.udp_with_fallback(message, host, SECONDS_MOST, int(port))
        assert over_tcp and len(answer.answer) == 1
        with socket.socket(socket.AF_UNIX) as operator:
            operator.connect(str(control))
            said = answered(operator, b"stats\n", b"\n.\n").decode().splitlines()
        assert {"protocol.put_off 1", "protocol.udp 1", "protocol.stream 1", "protocol.NOERROR 2"} <= set(said)
        assert server.end() == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("{zone}", "{zone}"), "two zones with the origin example.test"),
        (("{zone}", "{zone}", "--origin", "x.test"), "--origin: of several zones each has its own"),
        (("{broken}",), "broken.zone:2"),
        (("{zone}", "--unproven-max", "-1"), "'-1' is no number of queries a second"),
        (("{zone}", "--unproven-max", "many"), "'many' is no number of queries a second"),
        (("{zone}", "--bind", "unixgram:{zone}/x"), None),
        ((), "ZONEFILE"),
    ],
)
def test_mistakes(words: tuple[str, ...], why: str | None, zone: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Path(zone).with_name("broken.zone")
    broken.write_text("$ORIGIN example.test.\nwww IN A nowhere\n")
    code, said = one_line(capsys, "dns", *(word.format(zone=zone, broken=broken) for word in words))
    assert (code, why is None or why in said) == (2 if why else 1, True)


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = one_line(capsys, "dns", str(tmp_path / "none"))
    assert code == 1 and "No such file" in said


def test_without_dnspython(zone: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("dns", "partway.protocols.dns"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dns", None)
    code, said = one_line(capsys, "dns", zone)
    assert code == 2 and "pip install 'partway[dns]'" in said
