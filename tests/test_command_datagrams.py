"""Datagrams on the command line: `partway echo` on all kinds of addresses at once, and commands that take none."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_command import HAVE_IP6, LOCAL, SECONDS_MOST, Served, answered, one_line, served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="wildcards and abstract names as on Linux")


@contextmanager
def knocking(address: str) -> Iterator[socket.socket]:
    """A socket that has sent nothing yet, connected to such an address, so that it hears answers from there alone."""
    kind, _, rest = address.partition(":")
    with tempfile.TemporaryDirectory(prefix="partway") as folder:
        if kind == "unixgram":
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            channel.bind(f"{folder}/own")
            where: str | tuple[str, int] = rest.replace("@", "\0", 1)
        else:
            host, _, port = rest.rpartition(":")
            host = host.strip("[]").replace("0.0.0.0", "127.0.0.3")
            channel = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            where = ("::1" if host == "::" else host, int(port))
        with channel:
            channel.settimeout(SECONDS_MOST)
            channel.connect(where)
            yield channel


def echoed(server: Served, number: int) -> list[bytes]:
    """What comes back from one of its addresses, and whether from where it was sent to."""
    with knocking(server.addresses[number]) as channel:
        for data in (b"hello", b"", bytes(9000)):
            channel.send(data)
        return [channel.recv(65536) for _ in range(3)]


@pytest.mark.skipif(not HAVE_IP6, reason="no IPv6 here")
def test_echo_on_everything_at_once(tmp_path: Path) -> None:
    path = tmp_path / "datagrams"
    name = f"partway-{os.getpid()}-{tmp_path.name}"
    places = ("tcp:127.0.0.1:0", "udp:127.0.0.1:0", "udp:[::1]:0", "udp:0.0.0.0:0", "udp:[::]:0")
    places += (f"unix:{tmp_path}/streams", f"unixgram:{path}", f"unixgram:@{name}")
    with served("echo", *(word for place in places for word in ("--bind", place))) as server:
        assert [address.rpartition(":")[0] for address in server.addresses[:5]] == [
            "127.0.0.1",
            "udp:127.0.0.1",
            "udp:[::1]",
            "udp:0.0.0.0",
            "udp:[::]",
        ]
        assert server.addresses[5:] == list(places[5:])
        for number in (0, 5):
            assert answered(server.dial(number), b"x", b"x") == b"x"
        for number in (1, 2, 3, 4, 6, 7):
            assert echoed(server, number) == [b"hello", b"", bytes(9000)]
        assert server.end() == 0
        assert server.rest() == ""
    assert not path.exists()


def test_a_reserved_port_is_not_answered() -> None:
    if os.geteuid():
        pytest.skip("only root may use a reserved port")
    with served("echo", "--bind", "udp:127.0.0.1:0") as server, knocking(server.addresses[0]) as channel:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
            reserved.bind(("127.0.0.9", 7))
            reserved.sendto(b"x", channel.getpeername())
            channel.send(b"hello")
            assert channel.recv(10) == b"hello", "what came before it has been looked at"
            reserved.setblocking(False)
            with pytest.raises(BlockingIOError):
                reserved.recv(10)
        assert server.end() == 0


def test_permissions_of_a_socket_for_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "here"
    with served("echo", "--bind", f"unixgram:{path}", "--socket-mode", "620") as server:
        assert path.stat().st_mode & 0o777 == 0o620
        assert server.end() == 0


def test_statistics_tell_of_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with served("echo", "--bind", "udp:127.0.0.1:0", "--datagram-bytes", "10", "--control", str(path)) as server:
        with knocking(server.addresses[0]) as channel:
            for data in (b"hello", bytes(11), b"again"):
                channel.send(data)
            assert [channel.recv(100) for _ in range(2)] == [b"hello", b"again"]
        with socket.socket(socket.AF_UNIX) as operator:
            operator.connect(str(path))
            said = answered(operator, b"stats\n", b"\n.\n").decode().splitlines()
        assert {"datagrams_received 3", "datagrams_sent 2", "dropped.longer-than-datagram_bytes 1"} <= set(said)
        assert server.end() == 0


@pytest.mark.parametrize("command", ["http", "chat"])
def test_streams_only(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for place in ("udp:127.0.0.1:0", f"unixgram:{tmp_path}/x"):
        code, said = one_line(capsys, command, *LOCAL, "--bind", place)
        assert code == 2
        assert said == f"partway: {place}: {command} serves connections, not datagrams"


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        code, said = one_line(capsys, "echo", "--bind", place)
    assert code == 1 and said.startswith(f"partway: {place}: Address already in use")
