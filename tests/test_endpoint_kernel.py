"""Endpoints on real sockets: the same scenario as in the simulation, and what the kernel alone knows.

Which of our addresses was asked, who is at the other end of a UNIX socket, and that nobody is there.
"""

import os
import selectors
import socket
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from partway.engine import (
    CLOSE,
    IDLE,
    NEXT,
    READ,
    Cause,
    Credentials,
    DatagramRow,
    Notice,
    Reactor,
    Want,
    parse_address,
)
from partway.engine.datagram_sockets import ConnectedSocket, DatagramSocket, WildcardSocket, WildcardSocket6
from partway.engine.kernel import Kernel
from partway.engine.simulation import Simulation
from places import PlaceRig, Service, Trouble, assert_nothing_left
from worlds import SEEDS, SELECTORS, Acting, Acts, echo

HAVE_IP6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
on = pytest.mark.parametrize
needs_ip6 = pytest.mark.skipif(not HAVE_IP6, reason="no IPv6 here")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other kernels know less of datagrams")

TURNS_MOST = 1000
TURN_SECONDS = 0.002


class Far:
    """Somebody outside with a socket."""

    def __init__(self, family: int, name: Any, to: Any) -> None:
        self.channel = socket.socket(family, socket.SOCK_DGRAM)
        if name is not None:
            self.channel.bind(name)
        self.channel.setblocking(False)
        self.to = to
        self.letters: list[tuple[bytes, Any]] = []

    @property
    def where(self) -> Any:
        return self.channel.getsockname()

    def say(self, data: bytes) -> None:
        self.channel.sendto(data, self.to)

    def pump(self) -> None:
        while True:
            try:
                self.letters.append(self.channel.recvfrom(1 << 16))
            except (BlockingIOError, ConnectionRefusedError):
                return

    def heard(self) -> list[bytes]:
        self.pump()
        found, self.letters = [data for data, _ in self.letters], []
        return found


class World:
    """A reactor over the kernel, and who sends something there."""

    def __init__(self, selector: str = "lean") -> None:
        self.notices: list[Notice] = []
        self.reactor = Reactor(Kernel(SELECTORS[selector]()), observer=self.notices.append)
        self.fars: list[Far] = []

    def far(self, family: int = socket.AF_INET, name: Any = ("127.0.0.1", 0), to: Any = None) -> Far:
        self.fars.append(Far(family, name, to))
        return self.fars[-1]

    def until(self, predicate: Any) -> None:
        for _ in range(TURNS_MOST):
            if predicate():
                return
            self.reactor.step(TURN_SECONDS)
            for far in self.fars:
                far.pump()
        assert predicate(), [list(self.reactor.rows()), self.reactor.totals(), self.notices]

    def turns(self, count: int = 5) -> None:
        for _ in range(count):
            self.reactor.step(TURN_SECONDS)

    @property
    def row(self) -> DatagramRow:
        (row,) = self.reactor.table.rows.values()
        assert isinstance(row, DatagramRow)
        return row

    def close(self) -> None:
        for far in self.fars:
            far.channel.close()
        self.reactor.close()
        assert_nothing_left(self.reactor)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


# The same everywhere.


def scenario(reactor: Reactor, address: str, dial: Any, settle: Any) -> list[Any]:
    """Everything that an endpoint does, in small; returns all that can be seen of it."""

    def act(machine: Acting) -> Want:
        data = machine.take()
        if data == b"raise":
            raise Trouble("as it was asked to")
        if data == b"bye":
            return CLOSE
        machine.memory = not machine.memory
        return (data or IDLE) if data else IDLE if machine.memory else NEXT

    def admit(data: bytes, peer: Any) -> Any:
        if data == b"drop":
            return None
        return data.upper() if data.startswith(b"?") else Acts(act)

    endpoint = reactor.bind(address, Service(admit=admit))
    to = endpoint.address
    first, second = dial(to), dial(to)
    seen: list[Any] = []

    def ask(peer: Any, *data: bytes) -> None:
        for one in data:
            peer.say(one)
            settle()
        seen.append(peer.heard())
        seen.append(sorted((row.state, row.requests, row.received, row.sent) for row in reactor.rows()))

    ask(first, b"?what", b"drop", b"?" * 1000)
    ask(first, b"hello", b"", b"more")
    ask(second, b"raise", b"hello", b"?why")
    ask(second, bytes(20_000), b"bye")
    endpoint.retire()
    ask(second, b"?too late", b"too late")
    ask(first, b"still")
    ask(first, b"bye")
    totals = reactor.totals()
    seen += [totals.ended, totals.dropped, totals.requests, totals.received, totals.sent]
    seen += [totals.datagrams_received, totals.datagrams_sent, totals.held, totals.kept]
    assert_nothing_left(reactor)
    return seen


def simulated(address: str, seed: int = 1) -> list[Any]:
    simulation = Simulation(seed)
    reactor = Reactor(simulation)
    dial = simulation.dial_datagrams
    return scenario(reactor, address, dial, lambda: simulation.run(reactor, 0.01))


@on("seed", SEEDS)
def test_the_scenario_is_one_in_the_simulation(seed: int) -> None:
    seen = simulated("udp:server:7", seed)
    assert seen == simulated("udp:0.0.0.0:7")
    assert seen[0] == [b"?WHAT", b"?" * 1000]
    assert seen[2] == [b"hello", b"more"]
    assert seen[4] == [b"hello", b"?why"], "whoever has a row is answered by it"
    assert seen[8] == [], "nothing begins any more"
    assert seen[-9] == {str(Cause.MACHINE_ERROR): 1, str(Cause.DONE): 2}


FAMILIES = ["ip4", "ip4-all", "unix", "abstract"] + ["ip6", "ip6-all"] * HAVE_IP6


@on("family", FAMILIES)
@on("selector", SELECTORS)
def test_the_scenario_is_one_everywhere(selector: str, family: str, tmp_path: Path) -> None:
    world = World(selector)
    address = {
        "ip4": "udp:127.0.0.1:0",
        "ip4-all": "udp:0.0.0.0:0",
        "ip6": "udp:[::1]:0",
        "ip6-all": "udp:[::]:0",
        "unix": f"unixgram:{tmp_path}/here",
        "abstract": f"unixgram:@partway-{os.getpid()}",
    }[family]

    def dial(to: Any) -> Far:
        if to.kind == "unixgram":
            return world.far(socket.AF_UNIX, str(tmp_path / f"far-{len(world.fars)}"), to.host)
        if ":" in to.host:
            return world.far(socket.AF_INET6, ("::1", 0), ("::1", to.port))
        return world.far(socket.AF_INET, ("127.0.0.1", 0), ("127.0.0.1", to.port))

    def settle() -> None:
        world.turns(3)

    place = "unixgram:/here" if "unix" in address else "udp:server:7"
    assert scenario(world.reactor, address, dial, settle) == simulated(place)
    world.close()


# Which address was asked.


def tells(data: bytes, peer: Any) -> Any:
    return data if data == b"?" else Acts(echo)


@on("asked", ["127.0.0.1", "127.0.0.3", "127.1.2.3"])
def test_an_endpoint_for_all_addresses_answers_from_the_one_that_was_asked(world: World, asked: str) -> None:
    port = world.reactor.bind("udp:0.0.0.0:0", Service(admit=tells)).address.port
    far = world.far(to=(asked, port))
    far.say(b"?")
    far.say(b"begin")
    world.until(lambda: len(far.letters) == 2)
    assert far.letters == [(b"?", (asked, port)), (b"begin", (asked, port))]
    assert world.row.local == (asked, port)
    assert world.row.peer == far.where
    assert next(world.reactor.rows()).peer == f"udp:127.0.0.1:{far.where[1]}"
    world.row.wake()
    far.say(b"again")
    world.until(lambda: len(far.letters) == 3)
    assert far.letters[2] == (b"again", (asked, port))


def test_who_asks_two_addresses_has_two_rows(world: World) -> None:
    port = world.reactor.bind("udp:0.0.0.0:0", Service(Acts(echo))).address.port
    far = world.far(to=("127.0.0.1", port))
    far.say(b"one")
    far.to = ("127.0.0.2", port)
    far.say(b"two")
    world.until(lambda: len(far.letters) == 2)
    assert {where for _, where in far.letters} == {("127.0.0.1", port), ("127.0.0.2", port)}
    assert len(world.reactor.table.rows) == 2


@needs_ip6
def test_the_same_over_ip6(world: World) -> None:
    port = world.reactor.bind("udp:[::]:0", Service(admit=tells)).address.port
    far = world.far(socket.AF_INET6, ("::1", 0), ("::1", port))
    far.say(b"?")
    far.say(b"begin")
    world.until(lambda: len(far.letters) == 2)
    assert [where[:2] for _, where in far.letters] == [("::1", port)] * 2
    assert world.row.local[:2] == ("::1", port)
    assert world.row.peer[:2] == far.where[:2]
    assert next(world.reactor.rows()).peer == f"udp:[::1]:{far.where[1]}"


@on("address", ["udp:127.0.0.1:0", "udp:0.0.0.0:0", "udp:[::1]:0", "udp:[::]:0"])
def test_a_row_begun_to_somebody_who_has_not_asked(world: World, address: str) -> None:
    if "[" in address and not HAVE_IP6:
        pytest.skip("no IPv6 here")
    six = "[" in address
    far = world.far(*((socket.AF_INET6, ("::1", 0)) if six else (socket.AF_INET, ("127.0.0.1", 0))))
    endpoint = world.reactor.bind(address, Service(admit=lambda data, peer: None))

    def factory(row: Any) -> Acting:
        row.proven = True
        return Acting(row, lambda machine: b"hello" if machine.steps == 1 else echo(machine))

    row = endpoint.begin(far.where, factory)
    world.until(lambda: far.letters)
    assert far.letters[0][0] == b"hello"
    assert far.letters[0][1][1] == endpoint.address.port
    assert row.local[1] == endpoint.address.port
    assert row.peer[:2] == far.where[:2]
    if "0.0.0.0" not in address and "[::]" not in address:
        far.to = far.letters[0][1]
        far.say(b"and back")
        world.until(lambda: len(far.letters) == 2)
        assert far.letters[1][0] == b"and back"
    with pytest.raises(OSError):
        endpoint.begin(("no address", 1), factory)


# Addresses as few bytes.


def packed(channel: DatagramSocket, sender: Any, size: int) -> Any:
    few = channel.pack(sender)
    assert isinstance(few, bytes)
    assert len(few) == size
    return channel.unpack(few)


IP4 = [("127.0.0.1", 1), ("0.0.0.0", 0), ("255.255.255.255", 65535), ("1.2.3.4", 258)]
IP6 = [("::1", 1, 0, 0), ("fe80::1", 65535, 0, 7), ("2001:db8::ff", 258, 0, 0)]


def test_addresses_as_few_bytes() -> None:
    kernel = Kernel()
    four, all_four = (kernel.bind(parse_address(text)) for text in ("udp:127.0.0.1:0", "udp:0.0.0.0:0"))
    assert isinstance(all_four, WildcardSocket)
    for where in IP4:
        assert packed(four, where, 6) == where
        assert packed(all_four, (where, b"\x7f\0\0\x03"), 10) == (where, b"\x7f\0\0\x03")
        assert packed(all_four, (where, b""), 6) == (where, b"")
    assert len({four.pack(where) for where in IP4}) == len(IP4)
    assert all_four._local_of(b"\1\0\0\0" + b"\x7f\0\0\3" + b"\xff" * 4) == b"\x7f\0\0\3", "nobody is everybody"
    for channel in (four, all_four):
        channel.close()
    kernel.poller.close()


@needs_ip6
def test_addresses_of_ip6_as_few_bytes() -> None:
    kernel = Kernel()
    six, all_six = (kernel.bind(parse_address(text)) for text in ("udp:[::1]:0", "udp:[::]:0"))
    assert isinstance(all_six, WildcardSocket6)
    ours = socket.inet_pton(socket.AF_INET6, "fe80::2") + b"\x07\0\0\0"
    for where in IP6:
        assert packed(six, where, 22) == where
        assert packed(all_six, (where, ours), 42) == (where, ours)
        assert packed(all_six, (where, b""), 22) == (where, b"")
    assert six.pack(("fe80::1%eth0", 5, 99, 7)) == six.pack(("fe80::1", 5, 0, 7)), "the scope is a number"
    assert six.pack(("fe80::1", 5, 0, 7)) != six.pack(("fe80::1", 5, 0, 8))
    assert six.pack(("::1", 5)) == six.pack(("::1", 5, 0, 0))
    group = socket.inet_pton(socket.AF_INET6, "ff02::1") + b"\x07\0\0\0"
    assert all_six._local_of(group) == bytes(16) + b"\x07\0\0\0"
    assert all_six._local_of(ours) == ours
    for channel in (six, all_six):
        channel.close()
    kernel.poller.close()


# UNIX sockets.


@on("place", ["path", "abstract"])
@on("name", ["path", "abstract"])
def test_peers_of_a_unix_socket(world: World, place: str, name: str, tmp_path: Path) -> None:
    here = f"unixgram:@partway-{os.getpid()}" if place == "abstract" else f"unixgram:{tmp_path}/here"
    endpoint = world.reactor.bind(here, Service(Acts(echo)))
    far = world.far(
        socket.AF_UNIX,
        f"\0partway-far-{os.getpid()}" if name == "abstract" else str(tmp_path / "far"),
        endpoint.address.host,
    )
    far.say(b"begin")
    world.until(lambda: far.letters)
    assert world.row.peer == far.where
    assert world.row.credentials == Credentials(os.getpid(), os.getuid(), os.getgid())
    assert world.row.proven
    shown = f"unixgram:@partway-far-{os.getpid()}" if name == "abstract" else f"unixgram:{tmp_path}/far"
    assert [row.peer for row in world.reactor.rows()] == [shown]
    far.say(b"again")
    world.until(lambda: len(far.letters) == 2)
    assert len(world.reactor.table.rows) == 1
    endpoint.close()
    world.turns()
    assert not (tmp_path / "here").exists()


def test_a_nameless_peer_may_speak_but_not_be_answered(world: World, tmp_path: Path) -> None:
    asked: list[tuple[bytes, Any]] = []

    def admit(data: bytes, peer: Any) -> Any:
        asked.append((data, peer))
        return Acts(echo) if data == b"row" else data if data == b"answer" else None

    world.reactor.bind(f"unixgram:{tmp_path}/here", Service(admit=admit))
    far = world.far(socket.AF_UNIX, None, str(tmp_path / "here"))
    for data in (b"row", b"answer", b"log this"):
        far.say(data)
    world.until(lambda: len(asked) == 3)
    assert asked == [(b"row", ""), (b"answer", ""), (b"log this", "")]
    assert sum(world.reactor.totals().dropped.values()) == 2
    assert not world.reactor.table.rows


@on("mode", [0o600, 0o666])
def test_the_mode_of_a_unix_sockets_file(world: World, mode: int, tmp_path: Path) -> None:
    world.reactor.bind(f"unixgram:{tmp_path}/here", Service(Acts(echo)), mode=mode)
    assert S_IMODE((tmp_path / "here").stat().st_mode) == mode


@on("credited", [False, True])
def test_descriptors_that_somebody_sends_along_are_not_kept(world: World, credited: bool, tmp_path: Path) -> None:
    """Nothing that a peer sends may use up our descriptors."""
    got: list[bytes] = []

    def admit(data: bytes, peer: Any) -> None:
        got.append(data)

    world.reactor.bind(f"unixgram:{tmp_path}/here", Service(admit=admit))
    far = world.far(socket.AF_UNIX, str(tmp_path / "far"), str(tmp_path / "here"))
    if credited:
        far.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]).tobytes())
        far.channel.sendmsg([b"x"], [rights], 0, far.to)
    world.until(lambda: len(got) == 5)
    assert len(os.listdir("/proc/self/fd")) == before


# Clients.


@on("address", ["udp:127.0.0.1:0", "udp:0.0.0.0:0", "unixgram:@partway-here", "unixgram:here"])
def test_a_client_asks_and_ends(world: World, address: str, tmp_path: Path) -> None:
    if address == "unixgram:here":
        address = f"unixgram:{tmp_path}/here"
    server = world.reactor.bind(address, Service(admit=lambda data, peer: data.upper()))
    to = str(server.address).replace("0.0.0.0", "127.0.0.4")
    acts = Acts(lambda machine: b"question" if machine.steps == 1 else CLOSE if machine.data else READ)
    row: Any = world.reactor.connect(to, acts)
    assert isinstance(row.endpoint.channel, ConnectedSocket)
    assert row.proven
    assert row.endpoint.address.kind == server.address.kind
    if server.address.kind == "unixgram":
        assert row.local == os.fsencode(row.endpoint.address.host)
    world.until(lambda: world.reactor.totals().ended)
    assert acts.only.data == b"QUESTION"
    assert world.reactor.totals().ended == {str(Cause.DONE): 1}
    assert world.reactor.endpoints == [server]
    assert world.reactor.table.alone == 0


def test_a_client_hears_its_server_alone(world: World) -> None:
    server = world.far()
    acts = Acts(lambda machine: b"x" if machine.steps == 1 else READ)
    row: Any = world.reactor.connect(f"udp:127.0.0.1:{server.where[1]}", acts)
    stranger = world.far(to=row.local)
    stranger.say(b"let me in")
    world.until(lambda: server.letters)
    server.to = server.letters[0][1]
    assert server.to == row.local
    server.say(b"hello")
    world.until(lambda: acts.only.data)
    assert acts.only.data == b"hello"
    assert row.peer == server.where


@on("family", ["ip4", "ip6"])
def test_a_client_with_nobody_there(world: World, family: str) -> None:
    if family == "ip6" and not HAVE_IP6:
        pytest.skip("no IPv6 here")
    gone = world.far(*((socket.AF_INET6, ("::1", 0)) if family == "ip6" else (socket.AF_INET, ("127.0.0.1", 0))))
    port = gone.where[1]
    gone.channel.close()
    world.fars.clear()
    acts = Acts(lambda machine: b"anybody?" if machine.steps == 1 else READ)
    world.reactor.connect(f"udp:[::1]:{port}" if family == "ip6" else f"udp:127.0.0.1:{port}", acts)
    world.until(lambda: world.reactor.totals().ended)
    assert world.reactor.totals().ended == {str(Cause.PEER_LOST): 1}
    assert acts.only.reason is not None
    assert acts.only.reason.detail == "ECONNREFUSED"
    assert not world.reactor.endpoints


def test_a_client_of_a_unix_socket_that_is_not_there(world: World, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        world.reactor.connect(f"unixgram:{tmp_path}/nowhere", Acts(echo))
    with pytest.raises(ConnectionRefusedError):
        world.reactor.connect("unixgram:@partway-nowhere", Acts(echo))
    assert not world.reactor.endpoints


def test_two_reactors(world: World) -> None:
    """One waits within the other's turn, and neither notices."""
    other = World()
    server = other.reactor.bind("udp:127.0.0.1:0", Service(Acts(lambda machine: machine.take()[::-1] or IDLE)))
    said: list[bytes] = []

    def act(machine: Acting) -> Want:
        if machine.steps == 1:
            return b"0123"
        if not machine.data:
            return READ
        said.append(machine.take())
        return said[-1] + b"." if len(said) < 5 else CLOSE

    world.reactor.connect(str(server.address), Acts(act))

    def over() -> bool:
        other.reactor.step(0)
        return bool(world.reactor.totals().ended)

    world.until(over)
    assert said == [b"3210", b".0123", b".3210.", b"..0123.", b"..3210.."]
    other.close()


def test_the_address_of_a_row_that_has_ended(world: World) -> None:
    seen: list[Any] = []

    class Last(Acting):
        def ended(self, reason: Any) -> None:
            row: Any = self.row
            seen.extend((row.local, row.peer))

    server = world.far()
    world.reactor.connect(f"udp:127.0.0.1:{server.where[1]}", lambda row: Last(row, lambda machine: CLOSE))
    world.until(lambda: seen)
    assert seen == ["", server.where]
    assert not world.notices


def test_sockets_that_are_closed_wake_nobody() -> None:
    world = World()
    selector: Any = world.reactor.table.poller
    world.reactor.bind("udp:127.0.0.1:0", Service(admit=tells)).close()
    assert_nothing_left(world.reactor)
    assert not isinstance(selector, selectors.BaseSelector) or not selector.get_map()
    world.close()


def test_simulation_and_kernel_agree_on_a_place_for_all() -> None:
    rig = PlaceRig(Service(Acts(echo)), address="udp:0.0.0.0:7")
    peer = rig.simulation.dial_datagrams("udp:127.0.0.3:7")
    peer.say(b"x")
    rig.run()
    assert peer.letters() == [(b"x", ("127.0.0.3", 7))]
    assert rig.row.local == ("127.0.0.3", 7)
    assert rig.row.peer == peer.where
