"""`partway tftp` as its user has it: a folder in, transfers out, what it counts, mistakes in one line."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from partway.protocols.tftp import Bounds
from test_command import LOCAL, SECONDS_MOST, Served, answered, one_line, served
from tftp_client import ack, code_of, data, options_of, rrq, wrq


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "there").write_bytes(b"x" * 600)
    return folder


class Peer:
    """A socket; it answers whoever has spoken to it last."""

    def __init__(self, channel: socket.socket, address: str) -> None:
        host, _, port = address.removeprefix("udp:").rpartition(":")
        self.server = self.where = (host, int(port))
        self.socket = channel
        self.socket.settimeout(SECONDS_MOST)

    def ask(self, packet: bytes) -> bytes:
        self.socket.sendto(packet, self.server)
        return self.hear()

    def say(self, packet: bytes) -> bytes:
        self.socket.sendto(packet, self.where)
        return self.hear()

    def hear(self) -> bytes:
        heard, self.where = self.socket.recvfrom(65536)
        return heard


@pytest.fixture
def dial() -> Iterator[Callable[..., Peer]]:
    """Return a new peer of a server's address of this number."""
    with ExitStack() as stack:

        def dial(server: Served, number: int = 0) -> Peer:
            channel = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            return Peer(channel, server.addresses[number])

        yield dial


def stats(control: Path) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as operator:
        operator.connect(str(control))
        said = answered(operator, b"stats\n", b"\n.\n").decode().splitlines()
    return {name: number for name, _, number in (line.partition(" ") for line in said) if name.startswith("protocol.")}


def test_reads_and_what_is_counted(folder: Path, tmp_path: Path, dial: Callable[..., Peer]) -> None:
    control = tmp_path / "control"
    with served("tftp", str(folder), *LOCAL, *LOCAL, "--control", str(control)) as server:
        for number in (0, 1):
            peer = dial(server, number)
            assert peer.ask(rrq(b"there")) == data(1, b"x" * 512)
            assert peer.where != peer.server, "a transfer has a port of its own"
            assert peer.say(ack(1)) == data(2, b"x" * 88)
            peer.socket.sendto(ack(2), peer.where)
        assert code_of(dial(server).ask(rrq(b"none"))) == 1
        assert code_of(dial(server).ask(wrq(b"new"))) == 2
        stranger = dial(server)
        stranger.socket.sendto(b"nonsense", stranger.server)
        assert code_of(stranger.ask(rrq(b"../there"))) == 2  # so what came before has been looked at
        assert stats(control) == {
            "protocol.reads": "2",
            "protocol.done": "2",
            "protocol.ignored": "1",
            "protocol.NOT_FOUND": "1",
            "protocol.FORBIDDEN": "2",
        }
        assert server.end() == 0
        assert server.rest() == ""


@pytest.mark.parametrize(("option", "new", "old"), [("--create", 4, 6), ("--overwrite", 1, 4)])
def test_who_may_write(folder: Path, option: str, new: int, old: int, dial: Callable[..., Peer]) -> None:
    """Opcode 4 acknowledges; the codes of errors are 1, what is not there, and 6, what is."""
    with served("tftp", str(folder), *LOCAL, option, "--one-port") as server:
        for name, expected in (("new", new), ("there", old)):
            peer = dial(server)
            heard = peer.ask(wrq(name.encode()))
            assert peer.where == peer.server
            if expected == 4:
                assert heard == ack(0)
                assert peer.say(data(1, b"short")) == ack(1)
                assert (folder / name).read_bytes() == b"short"
            else:
                assert code_of(heard) == expected
        assert server.end() == 0


def test_bounds(folder: Path, dial: Callable[..., Peer]) -> None:
    bounds = ("--blksize-max", "100", "--windowsize-max", "3", "--written-bytes-max", "150")
    with served("tftp", str(folder), *LOCAL, *bounds, "--create") as server:
        peer = dial(server)
        granted = options_of(peer.ask(rrq(b"there", blksize=500, windowsize=5)))
        assert granted == {"blksize": 100, "windowsize": 3}
        peer = dial(server)
        assert options_of(peer.ask(wrq(b"new", blksize=100))) == {"blksize": 100}
        assert peer.say(data(1, bytes(100))) == ack(1)
        assert code_of(peer.say(data(2, bytes(51)))) == 3
        assert not (folder / "new").exists()
        assert server.end() == 0


def test_what_help_says_is_so() -> None:
    assert Bounds() == (65464, 64, 1 << 30)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("{folder}/none",), "none is not a folder"),
        (("{folder}/there",), "there is not a folder"),
        (("{folder}", "--blksize-max", "7"), "a block has 8 to 65464 bytes, not 7"),
        (("{folder}", "--blksize-max", "65465"), "a block has 8 to 65464 bytes, not 65465"),
        (("{folder}", "--blksize-max", "big"), "invalid int value: 'big'"),
        (("{folder}", "--windowsize-max", "0"), "a window has 1 to 65535 blocks, not 0"),
        (("{folder}", "--windowsize-max", "65536"), "a window has 1 to 65535 blocks, not 65536"),
        (("{folder}", "--written-bytes-max", "-1"), "no file has -1 bytes"),
        (("{folder}", "--bind", "tcp:127.0.0.1:0"), "tftp serves datagrams, not connections"),
        (("{folder}", "--bind", "unix:{folder}/x"), "tftp serves datagrams, not connections"),
    ],
)
def test_mistakes(words: tuple[str, ...], why: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = one_line(capsys, "tftp", *(word.format(folder=folder) for word in words))
    assert (code, why in said) == (2, True), said
