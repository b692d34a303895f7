"""Requests: what is admitted, from which port it is answered, and who else may speak to a transfer. And confinement."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from partway.engine import Address, DatagramRow, Endpoint, Limits, Reactor
from partway.protocols.tftp import Bounds, Tftp
from partway.protocols.tftp.names import UNFINISHED
from test_endpoint_referral import link_local
from tftp_client import Client, Desk, ack, code_of, data, error, options_of, request, rrq, wrq

SECRET = b"what lies outside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "f").write_bytes(b"f" * 600)
    (root / "sub" / "f").write_bytes(b"sub/f")
    (root / "back\\slash").write_bytes(b"backslash")
    (root / "..dots").write_bytes(b"dots")
    (root / "link").symlink_to("sub/f")
    (root / "leaves").symlink_to("../secret")
    (root / "away").symlink_to("..")
    (root / "absolute").symlink_to(tmp_path / "secret")
    (root / "device").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe")
    (tmp_path / "secret").write_bytes(SECRET)
    return root


@pytest.fixture
def desks() -> Iterator[Any]:
    made: list[Desk] = []

    def make(*arguments: Any, **options: Any) -> Desk:
        made.append(Desk(*arguments, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


def said_to(desk: Desk, packet: bytes) -> list[bytes]:
    """What comes for a first packet, and the row with it is ended."""
    peer = desk.peer()
    peer.say(packet)
    desk.run()
    letters = peer.letters()
    for _, where in letters:
        peer.say(error(0), where)
    desk.run()
    assert desk.rows == 0
    return [heard for heard, _ in letters]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"f", b"f" * 512),
        (b"/f", b"f" * 512),
        (b"./f", b"f" * 512),
        (b"sub/f", b"sub/f"),
        (b"//sub/./f", b"sub/f"),
        (b"link", b"sub/f"),
        (b"back\\slash", b"backslash"),
        (b"..dots", b"dots"),
        (b"none", 1),
        (b"none/f", 1),
        (b"f/f", 1),
        (b"sub\\f", 1),
        (b"..\\secret", 1),
        (b"/etc/passwd", 1),
        (b"\xff\xfe", 1),
        (b"x" * 300, 1),
        (b"leaves", 1),
        (b"absolute", 1),
        (b"away/secret", 1),
        (b"device", 1),
        (b"../secret", 2),
        (b"sub/../../secret", 2),
        (b"/../secret", 2),
        (b"..", 2),
        (b".", 2),
        (b"/", 2),
        (b"sub", 2),
        (b"sub/", 2),
        (b"f/", 2),
        (b"pipe", 2),
        (UNFINISHED + b"00", 2),
    ],
)
@pytest.mark.parametrize("one_port", [False, True])
def test_names(desks: Any, folder: Path, name: bytes, expected: bytes | int, one_port: bool) -> None:
    desk = desks(folder, one_port=one_port)
    (answer,) = said_to(desk, rrq(name))
    assert code_of(answer) == expected if isinstance(expected, int) else answer == data(1, expected)
    assert SECRET not in answer


def test_a_file_that_may_not_be_read(desks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desks(folder)

    def denied(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "denied")

    with monkeypatch.context() as patched:
        patched.setattr(type(desk.service.beneath), "open", denied)
        (answer,) = said_to(desk, rrq(b"f"))
    assert code_of(answer) == 2


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (rrq(b"f", b"mail"), 4),
        (rrq(b"f", b"binary"), 4),
        (rrq(b"f", b""), 4),
        (rrq(b""), 4),
        (b"\0\1", 4),
        (b"\0\1f", 4),
        (b"\0\1f\0", 4),
        (b"\0\1f\0octet", 4),
        (b"\0\1f\0octe", 4),
        (b"\0\1\0\0\0\0", 4),
        (rrq(b"f")[:-1], 4),
        (rrq(b"f")[:-1] + b"!", 4),
        (rrq(b"x" * 600), 4),
        (rrq(b"f") + b"blksize\0", 8),
        (rrq(b"f") + b"blksize\x008\0blksize\x009\0", 8),
        (rrq(b"f") + b"blksize\x008\0BLKSIZE\x009\0", 8),
        (rrq(b"f") + b"".join(b"o%d\0x\0" % number for number in range(17)), 8),
        (rrq(b"f") + b"\0\0" * 200, 8),
        (wrq(b"new"), 2),
    ],
)
def test_bad_requests(desks: Any, folder: Path, packet: bytes, code: int) -> None:
    desk = desks(folder, limits=Limits(amplification_max=100))
    (answer,) = said_to(desk, packet)
    assert code_of(answer) == code
    assert len(answer) < 50


def test_a_short_request_is_told_what_is_wrong_with_it(desks: Any, folder: Path) -> None:
    """With the limits of any endpoint: three bytes for each of the request's."""
    for packet in (rrq(b"x"), rrq(b"x", b"octets"), wrq(b"x")):
        assert len(said_to(desks(folder), packet)) == 1


@pytest.mark.parametrize(
    "packet",
    [b"", b"\0", b"\0\0", b"\0\3", data(1), data(0, b"x"), ack(0), ack(1), error(0), b"\0\6", b"\0\7x\0octet\0", b"no"],
)
@pytest.mark.parametrize("one_port", [False, True])
def test_what_is_no_request_is_for_nobody(desks: Any, folder: Path, packet: bytes, one_port: bool) -> None:
    assert said_to(desks(folder, one_port=one_port), packet) == []


@pytest.mark.parametrize("mode", [b"octet", b"OCTET", b"Octet", b"netascii", b"NetASCII"])
def test_modes(desks: Any, folder: Path, mode: bytes) -> None:
    assert said_to(desks(folder), rrq(b"sub/f", mode)) == [data(1, b"sub/f")]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ({"blksize": 8}, {"blksize": 8}),
        ({"blksize": 65464}, {"blksize": 65464}),
        ({"BlkSize": 1000}, {"blksize": 1000}),
        ({"blksize": 7}, None),
        ({"blksize": 0}, None),
        ({"blksize": 65465}, None),
        ({"blksize": -512}, None),
        ({"blksize": "512x"}, None),
        ({"blksize": ""}, None),
        ({"blksize": "9" * 200}, None),
        ({"windowsize": 1}, {"windowsize": 1}),
        ({"windowsize": 64}, {"windowsize": 64}),
        ({"windowsize": 65535}, {"windowsize": 64}),
        ({"windowsize": 0}, None),
        ({"windowsize": 65536}, None),
        ({"timeout": 1}, {"timeout": 1}),
        ({"timeout": 255}, {"timeout": 255}),
        ({"timeout": 0}, None),
        ({"timeout": 256}, None),
        ({"tsize": 0}, {"tsize": 600}),
        ({"tsize": 10**9}, {"tsize": 600}),
        ({"tsize": "much"}, None),
        ({"multicast": ""}, None),
        ({"multicast": "", "tsize": 0, "blksize": 9}, {"tsize": 600, "blksize": 9}),
        ({"blksize": 512}, {"blksize": 512}),
    ],
)
def test_options(desks: Any, folder: Path, asked: dict[str, Any], granted: dict[str, int] | None) -> None:
    (answer,) = said_to(desks(folder), rrq(b"f", **asked))
    if granted is None:
        assert answer == data(1, b"f" * 512), "as if nothing had been asked for"
    else:
        assert list(options_of(answer).items()) == list(granted.items())


def test_bounds(desks: Any, folder: Path) -> None:
    desk = desks(folder, bounds=Bounds(blksize=1000, windowsize=3))
    (answer,) = said_to(desk, rrq(b"f", blksize=1001, windowsize=4))
    assert options_of(answer) == {"blksize": 1000, "windowsize": 3}


# A port for each transfer.


def begun(desk: Desk, packet: bytes) -> tuple[Any, list[bytes], Any]:
    """A peer who has asked, what it has heard, and from where."""
    peer = desk.peer()
    peer.say(packet)
    desk.run()
    letters = peer.letters()
    return peer, [heard for heard, _ in letters], letters[0][1] if letters else None


def test_a_stranger_is_told_so_and_disturbs_nobody(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    peer, _, port = begun(desk, rrq(b"f"))
    stranger = desk.peer()
    for packet in (ack(1), data(1, b"x"), error(0), b"\0\6", rrq(b"f"), b"", b"noise"):
        stranger.say(packet, port)
        desk.run(0.05)
    letters = stranger.letters()
    assert [code_of(heard) for heard, _ in letters] == [5] * 4, "but an ERROR is not answered, nor noise"
    assert {where for _, where in letters} == {port}
    assert peer.heard() == []
    peer.say(ack(1), port)
    desk.run()
    assert peer.heard() == [data(2, b"f" * 88)]


def test_a_request_that_is_repeated_is_one(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    peer, heard, port = begun(desk, rrq(b"f"))
    peer.say(rrq(b"f"))
    desk.run()
    assert (heard, peer.heard(), desk.rows) == ([data(1, b"f" * 512)], [], 1)
    peer.say(ack(1), port)
    desk.run()
    peer.heard()
    peer.say(rrq(b"f"))
    desk.run()
    ((again, where),) = peer.letters()
    assert again == data(1, b"f" * 512) and where != port, "it is a new one once the first has been answered"
    assert desk.rows == 2
    assert said(desk, peer, error(0), port) == []
    assert said(desk, peer, rrq(b"f")) == [] and desk.rows == 1, "the end of the first makes nobody forget the second"


def test_another_request_is_another_transfer(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    peer, _, port = begun(desk, rrq(b"f"))
    peer.say(rrq(b"sub/f"))
    desk.run()
    ((heard, where),) = peer.letters()
    assert heard == data(1, b"sub/f") and where != port
    assert desk.rows == 2


def test_a_request_to_a_transfers_own_port_is_for_nobody(desks: Any, folder: Path) -> None:
    desk = desks(folder, create=True)
    peer, _, port = begun(desk, wrq(b"new"))
    peer.say(data(1, b"all"), port)
    desk.run()
    assert peer.heard() == [ack(1)]
    peer.say(rrq(b"f"), port)
    desk.run()
    assert peer.heard() == []


def test_no_descriptor_left(desks: Any, folder: Path) -> None:
    desk = desks(folder, descriptors=2)
    first, heard, port = begun(desk, rrq(b"f"))
    assert heard == [data(1, b"f" * 512)]
    (answer,) = said(desk, desk.peer(), rrq(b"f"))
    assert answer == error(0, b"server is busy")
    first.say(error(0), port)
    desk.run()
    assert begun(desk, rrq(b"f"))[1] == [data(1, b"f" * 512)]


def said(desk: Desk, peer: Any, packet: bytes, to: Any = None) -> list[bytes]:
    peer.say(packet, to)
    desk.run()
    heard: list[bytes] = peer.heard()
    return heard


def test_too_many_of_one_peer(desks: Any, folder: Path) -> None:
    desk = desks(folder, limits=Limits(rows_per_peer_max=2))
    answers = [said(desk, desk.peer(), rrq(b"f")) for _ in range(3)]
    assert [code_of(answer) for (answer,) in answers] == [None, None, 0]
    assert desk.rows == 2
    assert len(desk.reactor.endpoints) == 3


def test_a_server_for_all_addresses_answers_from_the_one_that_was_asked(desks: Any, folder: Path) -> None:
    desk = desks(folder, address="udp:0.0.0.0:69")
    _, _, port = begun(desk, rrq(b"f"))
    assert port[0] == "server"
    assert {endpoint.address.host for endpoint in desk.reactor.endpoints} == {"0.0.0.0", "server"}


def test_a_link_local_address_is_bound_with_its_link(folder: Path) -> None:
    """Without it the kernel does not know where that is."""
    bound: list[Address] = []

    class Full:
        def bind(self, address: Address, *_: Any, **__: Any) -> Endpoint:
            bound.append(address)
            raise OSError(24, "no descriptor")

    class Asked:
        asked = ("fe80::1", 69, 0, 0)
        limits = Limits()

    service = Tftp(Full(), str(folder))  # type: ignore[arg-type]
    service.opened(Asked())  # type: ignore[arg-type]
    assert code_of(service.admit(rrq(b"f"), ("fe80::2", 1000, 0, 2))) == 0  # type: ignore[arg-type]
    assert bound == [Address("udp", "fe80::1%2", 0)]
    service.close()


def test_one_service_serves_one_endpoint(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    with pytest.raises(ValueError, match="one endpoint"):
        desk.service.opened(desk.endpoint)


def test_a_drain_lets_transfers_end(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    peer, _, port = begun(desk, rrq(b"f"))
    desk.reactor.drain()
    assert said(desk, desk.peer(), rrq(b"f")) == []
    assert said(desk, peer, ack(1), port) == [data(2, b"f" * 88)]
    assert said(desk, peer, ack(2), port) == []
    assert desk.rows == 0


# One port for all.


def test_one_port_answers_from_there(desks: Any, folder: Path) -> None:
    desk = desks(folder, one_port=True)
    peers = [begun(desk, rrq(b"f")) for _ in range(3)]
    assert {port for _, _, port in peers} == {("server", 69)}
    assert desk.simulation.descriptors_used() == 1
    for peer, _, _ in peers:
        assert said(desk, peer, ack(1)) == [data(2, b"f" * 88)]


def test_one_port_grants_a_liar_one_packet_for_each_of_his(desks: Any, folder: Path) -> None:
    desk = desks(folder, one_port=True, create=True)
    (answer,) = said_to(desk, rrq(b"f", blksize=65464, windowsize=64, tsize=0))
    assert options_of(answer) == {"blksize": 1468, "windowsize": 1, "tsize": 600}
    (answer,) = said_to(desk, wrq(b"new", blksize=8192, windowsize=64))
    assert options_of(answer) == {"blksize": 8192, "windowsize": 16}, "who writes is sent little anyway"


def test_one_port_and_a_second_request(desks: Any, folder: Path) -> None:
    desk = desks(folder, one_port=True)
    peer, _, _ = begun(desk, rrq(b"f"))
    assert said(desk, peer, rrq(b"f")) == [], "the same again is no other"
    (answer,) = said(desk, peer, rrq(b"sub/f"))
    assert code_of(answer) == 0
    assert said(desk, peer, ack(1)) == [data(2, b"f" * 88)], "and the first goes on"


@pytest.mark.parametrize("written", [False, True])
def test_one_port_and_the_next_request(desks: Any, folder: Path, written: bool) -> None:
    """Who asks for something else has heard the last answer, or has sent an acknowledgement that was lost."""
    desk = desks(folder, one_port=True, create=True)
    peer, _, _ = begun(desk, wrq(b"new") if written else rrq(b"sub/f"))
    if written:
        assert said(desk, peer, data(1, b"all")) == [ack(1)]
    assert code_of(said(desk, peer, rrq(b"none"))[0]) == 1
    assert desk.rows == 1, "it waits still"
    row: Any = next(iter(desk.reactor.table.rows.values()))
    before, files = row.machine, psutil.Process().num_fds()
    before.feed(rrq(b"f"))
    before.feed(b"noise")
    row.wake()
    desk.run()
    assert peer.heard() == [data(1, b"f" * 512)]
    assert (desk.rows, row.held, row.machine is before) == (1, 0, False)
    assert psutil.Process().num_fds() == files + written, "the first file has been closed"
    assert said(desk, peer, ack(1)) == [data(2, b"f" * 88)]
    assert said(desk, peer, ack(2)) == []
    assert desk.rows == 0


def test_one_port_and_the_next_request_together_with_the_last_acknowledgement(desks: Any, folder: Path) -> None:
    desk = desks(folder, one_port=True)
    peer, _, _ = begun(desk, rrq(b"sub/f"))
    peer.say(ack(1))
    assert said(desk, peer, rrq(b"f")) == [data(1, b"f" * 512)]


def test_unix_sockets_have_one_port(desks: Any, folder: Path) -> None:
    desk = desks(folder, address="unixgram:/here")
    peer = desk.simulation.dial_datagrams("unixgram:/here")
    peer.say(rrq(b"f", windowsize=4))
    desk.run()
    assert options_of(peer.heard()[0]) == {"windowsize": 4}
    peer.say(ack(0))
    desk.run()
    assert peer.heard() == [data(1, b"f" * 512), data(2, b"f" * 88)]


# The constructor, the operator.


def test_a_folder_that_is_made_anew(desks: Any, folder: Path, tmp_path: Path) -> None:
    desk = desks(folder)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "sub" / "f").write_bytes(b"new")
    assert said_to(desk, rrq(b"sub/f")) == [data(1, b"new")]


def test_a_folder_that_is_none(desks: Any, folder: Path) -> None:
    with pytest.raises(NotADirectoryError):
        desks(folder / "f")


def test_writing_without_descriptors_of_folders(folder: Path, desks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(ValueError, match="writing needs"):
        desks(folder, create=True)


def test_what_an_operator_sees(desks: Any, folder: Path) -> None:
    desk = desks(folder, create=True)
    begun(desk, rrq(b"f"))
    writer, _, port = begun(desk, wrq(b"new"))
    said(desk, writer, data(1, bytes(512)), port)
    told = [row.machine.describe() for row in desk.reactor.table.rows.values()]
    assert told == ["reads b'f', block 0 of 2", "writes b'new', 512 bytes so far"]


def test_a_bug_is_told_to_the_client(desks: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desks(folder)
    peer, _, port = begun(desk, rrq(b"f"))
    row: DatagramRow = next(iter(desk.reactor.table.rows.values()))
    monkeypatch.setattr(type(row.machine), "hear", lambda *_: 1 // 0)
    (answer,) = said(desk, peer, ack(1), port)
    assert answer == error(0, b"server failed")
    assert [notice.kind for notice in desk.notices] == ["machine error"]
    desk.notices.clear()


def test_many_at_once(desks: Any, folder: Path) -> None:
    desk = desks(folder)
    clients = [Client(desk).fetch(b"f") for _ in range(300)]
    desk.until(lambda: all(client.done for client in clients))
    assert {bytes(client.data) for client in clients} == {b"f" * 600}


def test_unknown_kinds_of_requests(desks: Any, folder: Path) -> None:
    assert said_to(desks(folder), request(7, b"f")) == []


HOSTS = [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2")]
HOSTS += [("[::]", "::1")] * os.path.exists("/proc/net/if_inet6")
HOSTS += [("[::]", "%".join(found))] if (found := link_local()) else []


@pytest.mark.parametrize(("bound", "host"), HOSTS)
def test_real_sockets(folder: Path, bound: str, host: str) -> None:
    """A server for all addresses, on the kernel: a transfer's port is at the address that was asked."""
    reactor = Reactor()
    service = Tftp(reactor, str(folder))
    port = reactor.bind(f"udp:{bound}:0", service).address.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        where = socket.getaddrinfo(host, port, type=peer.type)[0][4]
        peer.sendto(rrq(b"sub/f"), where)
        for _ in range(20):
            reactor.step(0.01)
        heard, where = peer.recvfrom(1000)
        assert heard == data(1, b"sub/f")
        assert where[0] == host.partition("%")[0] and where[1] != port
        peer.sendto(ack(1), where)
        for _ in range(20):
            reactor.step(0.01)
    assert not reactor.table.rows and len(reactor.endpoints) == 1
    reactor.close()
    service.close()
