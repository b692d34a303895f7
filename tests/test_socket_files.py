"""UNIX sockets: their files, permissions and abstract names, and who is at the other end."""

import fcntl
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import pytest
from partway.engine import IDLE, Reactor, Row, parse_address, socket_files
from partway.engine.kernel import Kernel
from partway.engine.platform import Credentials
from partway.engine.simulation import Simulation
from partway.protocols.echo import Echo
from worlds import Acts, Rig

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor(Kernel())
    yield reactor
    reactor.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def echoes(reactor: Reactor, where: str) -> bool:
    """Whether a client at an address gets its bytes back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(where)
        client.send(b"hello")
        for _ in range(5):
            reactor.step(0.01)
        return client.recv(100) == b"hello"


# Permissions.


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0])
def test_a_file_has_the_permissions_that_were_asked_for(reactor: Reactor, tmp_path: Path, mode: int, mask: int) -> None:
    with umask(mask):
        reactor.listen(f"unix:{tmp_path}/here", Echo, mode=mode)
    assert mode_of(tmp_path / "here") == mode


def test_without_a_mode_the_umask_decides(reactor: Reactor, tmp_path: Path) -> None:
    with umask(0o027):
        reactor.listen(f"unix:{tmp_path}/here", Echo)
    assert mode_of(tmp_path / "here") == 0o750


@linux
def test_a_file_never_has_more_permissions(reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between `bind` and `chmod` anybody could connect: so the file appears as it is to be."""
    monkeypatch.setattr(os, "chmod", lambda path, mode: pytest.fail("it was open to others"))
    with umask(0):
        reactor.listen(f"unix:{tmp_path}/here", Echo, mode=0o600)
    assert mode_of(tmp_path / "here") == 0o600


def test_datagrams_have_permissions_too(tmp_path: Path) -> None:
    channel = Kernel().bind(parse_address(f"unixgram:{tmp_path}/here"), 0o620)
    assert mode_of(tmp_path / "here") == 0o620
    channel.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["127.0.0.1:0", "unix:@name"])
def test_what_has_no_file_has_no_permissions(reactor: Reactor, address: str) -> None:
    with pytest.raises(ValueError, match="no file"):
        reactor.listen(address, Echo, mode=0o600)


def test_a_file_that_cannot_be_given_them_is_not_left(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with umask(0o077), pytest.raises(PermissionError):
        reactor.listen(f"unix:{tmp_path}/here", Echo, mode=0o666)
    assert not list(tmp_path.iterdir())


# Stale files.


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()


def is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_from_the_look_to_listening_nobody_else_may_look(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has bound and does not listen yet is refused to who knocks: it looks like somebody who has gone."""
    seen = []
    is_stale, listen = socket_files._is_stale, socket.socket.listen

    def looks(path: str) -> bool:
        seen.append(("looks", is_locked(tmp_path)))
        return is_stale(path)

    def listens(channel: socket.socket, backlog: int) -> None:
        seen.append(("listens", is_locked(tmp_path)))
        listen(channel, backlog)

    leave_stale(tmp_path / "here")
    monkeypatch.setattr(socket_files, "_is_stale", looks)
    monkeypatch.setattr(socket.socket, "listen", listens)
    reactor.listen(f"unix:{tmp_path}/here", Echo)
    assert seen == [("looks", True), ("listens", True)]
    assert not is_locked(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder whose lock somebody else keeps."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    flock(descriptor, LOCK_EX)
    yield tmp_path
    os.close(descriptor)


def test_a_lock_that_somebody_keeps_stops_nobody(
    reactor: Reactor, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_files, "LOCK_TRIES", 10)
    leave_stale(locked / "here")
    reactor.listen(f"unix:{locked}/here", Echo)
    assert echoes(reactor, f"{locked}/here")


def test_a_file_is_left_to_whoever_is_just_about_to_bind(
    reactor: Reactor, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_files, "LOCK_TRIES", 10)
    listener = reactor.listen(f"unix:{locked}/here", Echo)
    listener.close()
    assert (locked / "here").is_socket(), "it may be another's by now"
    os.unlink(locked / "here")


def test_a_folder_that_cannot_be_locked(reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "not permitted")

    leave_stale(tmp_path / "here")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        listener = reactor.listen(f"unix:{tmp_path}/here", Echo)
        assert echoes(reactor, f"{tmp_path}/here")
        listener.close()
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks(reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(folder: int, how: int) -> None:
        asked.append(how)
        raise OSError(37, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    leave_stale(tmp_path / "here")
    listener = reactor.listen(f"unix:{tmp_path}/here", Echo)
    listener.close()
    assert len(asked) == 2, "once to bind and once to remove"
    assert not list(tmp_path.iterdir())


def test_a_file_that_goes_while_it_is_looked_at(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_stale = socket_files._is_stale
    path = tmp_path / "here"

    def goes_first(where: str) -> bool:
        path.unlink()
        return is_stale(where)

    leave_stale(path)
    monkeypatch.setattr(socket_files, "_is_stale", goes_first)
    reactor.listen(f"unix:{path}", Echo)
    assert echoes(reactor, str(path))


def test_a_socket_that_cannot_listen_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(channel: socket.socket, backlog: int) -> None:
        raise OSError(12, "no memory")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    with pytest.raises(OSError, match="no memory"):
        Kernel().listen(parse_address(f"unix:{tmp_path}/here"), 1, 1)
    assert not list(tmp_path.iterdir())


# Abstract names.


@linux
def test_an_abstract_name(reactor: Reactor, tmp_path: Path) -> None:
    name = f"partway-{os.getpid()}-{tmp_path.name}"
    listener = reactor.listen(f"unix:@{name}", Echo)
    assert listener.name == f"unix:@{name}" and not Path(f"@{name}").exists()
    assert echoes(reactor, f"\0{name}")
    with pytest.raises(OSError, match="in use"):
        reactor.listen(f"unix:@{name}", Echo)
    listener.close()
    reactor.listen(f"unix:@{name}", Echo)  # nothing is left of it


@linux
def test_connecting_to_an_abstract_name(reactor: Reactor, tmp_path: Path) -> None:
    name = f"partway-{os.getpid()}-{tmp_path.name}"
    reactor.listen(f"unix:@{name}", Echo)
    machine = Acts(lambda acts: IDLE if acts.data or acts.steps > 1 else b"hello")
    reactor.connect(f"unix:@{name}", machine)
    assert next(reactor.rows()).peer == f"unix:@{name}"
    for _ in range(10):
        reactor.step(0.01)
    assert machine.only.data == b"hello"


@linux
def test_datagrams_at_an_abstract_name(tmp_path: Path) -> None:
    channel = Kernel().bind(parse_address(f"unixgram:@partway-{os.getpid()}-{tmp_path.name}"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", channel.where().host)
        assert channel.receive(100)[0] == b"hello"
    channel.close()


def test_elsewhere_there_are_no_abstract_names(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="only Linux"):
        reactor.listen("unix:@name", Echo)


# Who is there.


@linux
def test_who_has_connected(reactor: Reactor, tmp_path: Path) -> None:
    rows: list[Row] = []

    def factory(row: Row) -> Echo:
        rows.append(row)
        return Echo(row)

    reactor.listen(f"unix:{tmp_path}/here", factory)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/here")
        reactor.step(1)
        assert rows[0].credentials == Credentials(os.getpid(), os.getuid(), os.getgid())
        assert [row.peer for row in reactor.rows()] == [f"unix:pid={os.getpid()},uid={os.getuid()}"]
        rows[0].close()
        assert rows[0].credentials is None


def test_nobody_can_tell_who_came_by_network(reactor: Reactor) -> None:
    rows: list[Row] = []

    def factory(row: Row) -> Echo:
        rows.append(row)
        return Echo(row)

    listener = reactor.listen("127.0.0.1:0", factory)
    with socket.create_connection(("127.0.0.1", listener.address.port)):
        reactor.step(1)
        assert rows[0].credentials is None


def test_where_the_system_does_not_tell(reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    reactor.listen(f"unix:{tmp_path}/here", Echo)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/here")
        reactor.step(1)
        assert [row.peer for row in reactor.rows()] == ["unix:"]


def test_of_a_socket_that_is_closed_nothing_is_known() -> None:
    """It is the program's own that was adopted, say: a listing must not fail for it."""
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    assert Kernel().credentials(ours) is None


def test_in_the_simulation() -> None:
    rig = Rig(Echo)
    rig.reactor.listen("unix:/here", Echo)
    rig.dial()
    rig.simulation.dial("unix:/here")
    rig.run(1.0)
    assert {row.listener: row.credentials for row in rig.rows} == {"server:7": None, "unix:/here": Simulation.everybody}
