"""What a client that does not read cannot see, and the kernel tells: real connections, and what /proc says of them."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from partway.stress.attack import hidden
from partway.stress.attack.hidden import served_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")
PIECE = bytes(1 << 16)


@pytest.fixture(params=["127.0.0.1", "::1"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as server:
        yield server


def fill(connection: socket.socket) -> None:
    """Send until the kernel takes no more: an end stands behind all that."""
    connection.setblocking(False)
    try:
        while True:
            connection.send(PIECE)
    except BlockingIOError:
        pass


def test_an_end_behind_what_nobody_reads(listening: socket.socket) -> None:
    where = listening.getsockname()
    with socket.create_connection(where[:2]) as one, socket.create_connection(where[:2]) as other:
        ports = {one.getsockname()[1], other.getsockname()[1]}
        assert served_ports(where[1]) == ports, "also before they are accepted"
        accepted = [listening.accept()[0] for _ in ports]
        for connection in accepted:
            fill(connection)
        assert served_ports(where[1]) == ports
        accepted[0].close()
        assert served_ports(where[1]) == {other.getsockname()[1]}
        other.shutdown(socket.SHUT_WR)
        assert served_ports(where[1]) == {other.getsockname()[1]}, "the client's end is not the server's"
        accepted[1].close()
        assert served_ports(where[1]) == set()


def test_another_port_is_of_no_interest(listening: socket.socket) -> None:
    where = listening.getsockname()
    with socket.create_connection(where[:2]):
        assert served_ports(1) == set()


def test_where_nobody_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hidden, "TABLES", (str(tmp_path / "none"), str(tmp_path)))
    assert served_ports(80) is None
