"""Clients within TLS, against a server of the same kind: honest, hostile, and what is no TLS at all."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, READ, Limits, Reactor, Row, Want, parse_address
from partway.engine.simulation import Simulation
from partway.protocols.echo import Echo
from partway.protocols.http import Response, Server
from partway.stress.attack.crowd import Crowd, Plan
from partway.stress.attack.kinds import ATTACKS
from partway.stress.attack.probe import Outcome, Prober
from partway.stress.attack.target import Target, parse_target
from partway.stress.attack.tls import Sealed, sealer
from partway.stress.attack.words import words_of

TARGET = Target("https://server/", "http", parse_address("server:443"), "server", "/", True)
BODY = b"x" * 300_000  # many records


class World:
    """A server of pages within TLS, on one reactor with its clients."""

    def __init__(self, factory: Any = None, seconds: float = 10.0) -> None:
        self.simulation = Simulation(1)
        self.reactor = Reactor(self.simulation)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(Path(__file__).parent / "tls.pem")
        self.pages = Server(lambda request: Response(200, body=BODY))
        limits = Limits(request_seconds=seconds, idle_seconds=20)
        self.reactor.listen("server:443", factory or self.make, limits)
        self.names: list[str | None] = []

    def make(self, row: Row) -> Sealed:
        self.context.sni_callback = lambda sealed, name, context: self.names.append(name)
        http: Any = self.pages(row)
        return Sealed(http, lambda *bios, server_hostname: self.context.wrap_bio(*bios, server_side=True), None, print)

    def attack(self, kind: str, seconds: float, count: int = 5) -> Crowd:
        crowd = Crowd(self.reactor, TARGET, ATTACKS[kind], words_of(TARGET, None), Plan(count, 0.0, 0))
        crowd.begin()
        self.simulation.run(self.reactor, seconds)
        return crowd

    def probe(self, seconds: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        prober = Prober(self.reactor, TARGET, words_of(TARGET, None), 10, 0.5, outcomes.append, self.reactor.stop)
        prober.begin()
        self.simulation.run(self.reactor, seconds)
        return outcomes


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        made.append(World(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.reactor.close()


def test_an_honest_client(world: Any) -> None:
    one = world()
    outcomes = one.probe(1.95)
    assert [outcome.what for outcome in outcomes] == ["ok"] * 20
    assert one.names == ["server"] * 20


@pytest.mark.parametrize(
    ("kind", "outcome", "statuses"),
    [
        ("half-close", "served", {"200": 5}),
        ("pipeline", "served", {"200": 500}),
        ("churn", "left", {}),
        ("idle-keepalive", "cut off", {"200": 5}),
        ("drip-head", "cut off", {}),
        ("silent", "cut off", {}),
        ("tls-stall", "reset", {}),
    ],
)
def test_attackers(world: Any, kind: str, outcome: str, statuses: dict[str, int]) -> None:
    """All but one of them within TLS: that one begins the handshake, and stays."""
    one = world()
    crowd = one.attack(kind, 60.0)
    assert crowd.outcomes == {outcome: 5}
    assert crowd.statuses == statuses
    assert len(one.names) == (0 if kind == "tls-stall" else 5)


def test_who_does_not_read_is_not_made_to_by_tls(world: Any) -> None:
    crowd = world().attack("no-read", 10.0)
    assert (crowd.alive, crowd.statuses) == (5, {})
    assert crowd.tally.asked >= 500


def says(*wants: Want) -> Any:
    class Machine:
        def __init__(self, row: Row) -> None:
            self.wants = iter(wants)

        def feed(self, data: bytes) -> None:
            pass

        def step(self) -> Want:
            return next(self.wants, IDLE)

    return Machine


@pytest.mark.parametrize(
    ("factory", "what"),
    [
        (Echo, "nonsense"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "nonsense"),
        (says(CLOSE), "ended early"),
        (says(READ), "timed out"),
    ],
    ids=["echo", "http", "end", "silence"],
)
def test_a_server_that_speaks_no_tls(world: Any, factory: Any, what: str) -> None:
    assert {outcome.what for outcome in world(factory).probe(1.5)} == {what}


def test_an_end_in_the_middle_of_the_handshake(world: Any) -> None:
    crowd = world(says(CLOSE)).attack("silent", 5.0)
    assert crowd.outcomes == {"cut off": 5}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://127.0.0.1:8443/x", "127.0.0.1"),
        ("https://localhost:8443/x", "localhost"),
        ("https://localhost/x", "localhost"),
        ("https://[::1]:8443/", "::1"),
    ],
)
def test_the_name_that_is_asked_for(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = parse_target(url, None, owned=False)
    assert (target.secure, target.protocol) == (True, "http")
    assert target.address.port == (8443 if "8443" in url else 443)
    assert sealer(target)(Echo(None), print).tls.server_hostname == name  # type: ignore[arg-type]
