"""A service hands a peer over to an endpoint of its own: which address was asked, and a row that begins with it."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from partway.engine import CLOSE, IDLE, Address, Cause, DatagramRow, Endpoint, Limits, Reactor, Want
from partway.engine.endpoint import TOO_MUCH
from partway.engine.kernel import Kernel
from partway.engine.simulation import Simulation


class Repeat:
    """Says again what it has heard, as often as it is told to."""

    def __init__(self, row: DatagramRow, times: int = 1) -> None:
        self.times = times
        self.left: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.left += [data] * self.times

    def step(self) -> Want:
        return self.left.pop() if self.left else IDLE


class Once:
    """Answers one datagram, and has ended."""

    def __init__(self, row: DatagramRow) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data = data

    def step(self) -> Want:
        data, self.data = self.data, b""
        return data or CLOSE


class Onces:
    """Admits each as `Once`."""

    def admit(self, data: bytes, peer: object) -> type[Once]:
        return Once


class Silent:
    """Admits nobody."""

    def admit(self, data: bytes, peer: object) -> None:
        return None


class Refer:
    """Has each peer answered from another port of the address that it asked."""

    def __init__(self, reactor: Reactor, factory: Callable[[DatagramRow], Repeat] = Repeat) -> None:
        self.reactor = reactor
        self.factory = factory
        self.endpoint: Endpoint | None = None
        self.asked: list[tuple[str, int]] = []
        self.rows: list[DatagramRow] = []

    def opened(self, endpoint: Endpoint) -> None:
        assert self.endpoint is None
        self.endpoint = endpoint

    def admit(self, data: bytes, peer: tuple[str, int]) -> None:
        assert self.endpoint is not None
        host, port = self.endpoint.asked[:2]
        self.asked.append((host, port))
        near = self.reactor.bind(Address("udp", host, 0), Silent(), self.endpoint.limits, alone=True)
        self.rows.append(near.begin(peer, self.factory, data))


@pytest.mark.parametrize("bound", ["udp:server:7", "udp:0.0.0.0:7"])
def test_a_service_learns_which_address_was_asked(bound: str) -> None:
    simulation = Simulation(1)
    reactor = Reactor(simulation)
    service = Refer(reactor)
    endpoint = reactor.bind(bound, service)
    assert service.endpoint is endpoint
    peer = simulation.dial_datagrams("udp:server:7")
    peer.say(b"hello")
    simulation.run(reactor, 0.1)
    assert service.asked == [("server", 7)]
    ((heard, where),) = peer.letters()
    assert heard == b"hello"
    assert where[0] == "server" and where[1] != 7
    peer.say(b"again", where)
    simulation.run(reactor, 0.1)
    assert peer.letters() == [(b"again", where)]
    reactor.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_real_socket_for_all_addresses_tells_it_too(host: str) -> None:
    reactor = Reactor(Kernel())
    service = Refer(reactor)
    port = reactor.bind("udp:0.0.0.0:0", service).address.port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        peer.sendto(b"hello", (host, port))
        for _ in range(100):
            reactor.step(0.01)
            if service.rows:
                break
        heard, where = peer.recvfrom(100)
    assert service.asked == [(host, port)]
    assert heard == b"hello"
    assert where[0] == host and where[1] != port
    reactor.close()


def test_what_the_peer_has_said_elsewhere_counts() -> None:
    simulation = Simulation(1)
    reactor = Reactor(simulation)
    service = Refer(reactor, lambda row: Repeat(row, times=5))
    reactor.bind("udp:server:7", service)
    peer = simulation.dial_datagrams("udp:server:7")
    peer.say(b"hello")
    simulation.run(reactor, 0.1)
    assert peer.heard() == [b"hello"] * 3, "three times what it has said"
    assert (service.rows[0].received, reactor.totals().dropped[TOO_MUCH]) == (5, 2)
    reactor.close()
    assert reactor.totals().received == 5, "and once"


def test_such_a_row_has_come_in() -> None:
    simulation = Simulation(1)
    reactor = Reactor(simulation, limits=Limits(rows_per_peer_max=2))
    service = Refer(reactor)
    reactor.bind("udp:server:7", service)
    peers = [simulation.dial_datagrams("udp:server:7") for _ in range(3)]
    for peer in peers:
        peer.say(b"hello")
    simulation.run(reactor, 0.1)
    assert sorted(len(peer.heard()) for peer in peers) == [0, 1, 1], "they come from one host"
    assert reactor.totals().ended == {Cause.TOO_MANY_FROM_PEER: 1}
    assert len(reactor.endpoints) == 3, "and the endpoint of the third is closed"
    reactor.close()


def test_a_row_that_has_ended_is_not_found_in_the_rest_of_the_turn() -> None:
    """A client may send its last word and the next request at once: tftp-hpa does, and asks again only after 5 s."""
    simulation = Simulation(1)
    reactor = Reactor(simulation)
    reactor.bind("udp:server:7", Onces())
    peer = simulation.dial_datagrams("udp:server:7")
    for data in (b"one", b"two", b"three"):
        peer.say(data)
    simulation.travel()
    reactor.step(0)
    simulation.run(reactor, 0.1)
    assert peer.heard() == [b"one", b"two", b"three"]
    assert reactor.totals().ended == {Cause.DONE: 3}
    reactor.close()


def link_local() -> tuple[str, str] | None:
    """An address of this machine that means something on one link alone, and the link's name."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return None
    for digits, *_, name in map(str.split, lines):
        if digits.startswith("fe80"):
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), name
    return None


@pytest.mark.parametrize("numbered", [False, True])
def test_an_address_of_one_link_is_bound_with_its_link(numbered: bool) -> None:
    found = link_local()
    if found is None:
        pytest.skip("no link has an address of its own")
    host, link = found
    reactor = Reactor(Kernel())
    zone = str(socket.if_nametoindex(link)) if numbered else link
    port = reactor.bind(Address("udp", f"{host}%{zone}", 0), Onces()).address.port
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.sendto(b"hello", (host, port, 0, socket.if_nametoindex(link)))
        for _ in range(10):
            reactor.step(0.01)
        heard, where = peer.recvfrom(100)
    assert heard == b"hello" and where[0] == host
    with pytest.raises(OSError):
        reactor.bind(Address("udp", f"{host}%nowhere", 0), Onces())
    reactor.close()
