"""The honest client beside an attack: what it measures, what it calls a failure, and that it omits nothing."""

from typing import Any

import pytest
from partway.engine import ABORT, CLOSE, IDLE, PARK, Reactor, Row, Wait, Want, parse_address
from partway.engine.simulation import Simulation
from partway.protocols.echo import EchoDatagrams
from partway.protocols.http import Response, Server
from partway.stress.attack.latency import Latency
from partway.stress.attack.probe import Outcome, Prober
from partway.stress.attack.target import Target
from partway.stress.attack.words import words_of

HTTP = Target("http://server/", "http", parse_address("server:80"), "server", "/")
RAW = HTTP._replace(protocol="raw")


class World:
    def __init__(
        self, factory: Any, target: Target = RAW, rate: float = 10.0, patience: float = 3.0, service: Any = None
    ) -> None:
        self.simulation = Simulation(1)
        self.reactor = Reactor(self.simulation)
        if factory is not None:
            self.reactor.listen("server:80", factory)
        if service is not None:
            self.reactor.bind("udp:server:7", service)
        self.outcomes: list[Outcome] = []
        self.began = self.simulation.now()
        words = words_of(target, None)
        self.prober = Prober(self.reactor, target, words, rate, patience, self.outcomes.append, self.reactor.stop)
        self.prober.begin()

    def run(self, seconds: float) -> list[Outcome]:
        self.simulation.run(self.reactor, seconds)
        return self.outcomes

    def begun(self) -> list[float]:
        return [round(outcome.began - self.began, 3) for outcome in self.outcomes]


def machine(*wants: Want) -> Any:
    """What wants these, one after the other, when something has come, and then nothing."""

    class Machine:
        def __init__(self, row: Row) -> None:
            self.wants = iter(wants)
            self.asked = False

        def feed(self, data: bytes) -> None:
            self.asked = self.asked or bool(data)

        def step(self) -> Want:
            return next(self.wants, IDLE) if self.asked else IDLE

    return Machine


def test_all_is_well() -> None:
    world = World(Server(lambda request: Response(200, body=b"hello")), HTTP)
    outcomes = world.run(1.95)
    assert [outcome.what for outcome in outcomes] == ["ok"] * 20
    assert world.begun() == [pytest.approx(number / 10) for number in range(20)]
    assert all(0 < outcome.seconds < 0.02 for outcome in outcomes)
    assert not any(row.listener.startswith("to ") for row in world.reactor.table.rows.values())


def test_a_server_that_stands_still_is_met_by_all_who_came_meanwhile() -> None:
    """Who waits for his answer before he asks again would have met it once in thirty visits."""
    world: Any = None

    class Stalls:
        def __init__(self, row: Row) -> None:
            self.row = row
            self.asked = self.answered = False

        def feed(self, data: bytes) -> None:
            self.asked = True

        def step(self) -> Want:
            at = self.row.now - world.began
            if not self.asked or self.answered:
                return IDLE
            if 1.0 <= at < 1.999:
                return Wait(2.0 - at)
            self.answered = True
            return b"answer"

    world = World(Stalls)
    outcomes = world.run(3.0)
    slow = {round(outcome.began - world.began, 1): outcome.seconds for outcome in outcomes if outcome.seconds > 0.05}
    assert slow == {1 + tenth / 10: pytest.approx(1 - tenth / 10, abs=0.02) for tenth in range(10)}
    latency = Latency()
    for outcome in outcomes:
        latency.add(outcome)
    figures = latency.quantiles()
    assert figures["max"] == pytest.approx(1.0, abs=0.02)
    assert figures["p50"] is not None and figures["p50"] < 0.02


@pytest.mark.parametrize(
    ("factory", "target", "what"),
    [
        (None, RAW, "refused"),
        (machine(CLOSE), RAW, "ended early"),
        (machine(ABORT), RAW, "reset"),
        (machine(PARK), RAW, "timed out"),
        (machine(b"nonsense"), HTTP, "nonsense"),
        (machine(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", CLOSE), HTTP, "ended early"),
        (machine(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", ABORT), HTTP, "reset"),
        (machine(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), HTTP, "timed out"),
        (Server(lambda request: Response(503)), HTTP, "status 503"),
        (Server(lambda request: Response(404)), HTTP, "status 404"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_work(factory: Any, target: Target, what: str) -> None:
    world = World(factory, target, patience=1.0)
    outcomes = world.run(2.5)
    assert {outcome.what for outcome in outcomes} == {what}
    assert all((outcome.seconds > 0.9) == (what == "timed out") for outcome in outcomes)
    assert len(outcomes) >= 14


@pytest.mark.parametrize(("served", "what"), [(True, "ok"), (False, "reset")])
def test_over_udp(served: bool, what: str) -> None:
    """Nobody there: the kernel is told so, by ICMP."""
    target = RAW._replace(address=parse_address("udp:server:7"))
    world = World(None, target, patience=1.0, service=EchoDatagrams() if served else None)
    outcomes = world.run(1.95)
    assert {outcome.what for outcome in outcomes} == {what}
    assert len(outcomes) == 20


def test_a_datagram_that_nobody_answers() -> None:
    class Silence:
        def admit(self, data: bytes, peer: Any) -> None:
            return None

    world = World(None, RAW._replace(address=parse_address("udp:server:7")), patience=1.0, service=Silence())
    assert {outcome.what for outcome in world.run(2.5)} == {"timed out"}


def test_the_last_are_waited_for() -> None:
    """They are the slowest: to leave them out would flatter the server."""
    world = World(machine(Wait(1.0), b"answer"))
    world.run(0.95)
    assert world.outcomes == []
    world.prober.end()
    world.reactor.run()
    assert len(world.outcomes) == 10
    assert world.simulation.now() - world.began == pytest.approx(1.9, abs=0.05)


def test_who_has_nobody_under_way_ends_at_once() -> None:
    world = World(machine(b"answer"))
    world.run(0.95)
    world.reactor.after(0.0, world.prober.end)
    world.reactor.run()
    assert world.simulation.now() - world.began < 1.0


def test_figures() -> None:
    latency = Latency()
    assert latency.figures() == {
        "visits": 0,
        "errors": 0,
        "failures": {},
        "p50": None,
        "p99": None,
        "p99.9": None,
        "max": None,
    }
    for millisecond in range(1, 1001):
        latency.add(Outcome(0.0, millisecond / 1000, "ok"))
    latency.add(Outcome(0.0, 10.0, "timed out"))
    latency.add(Outcome(0.0, 0.0, "refused"))
    figures = latency.figures()
    assert (figures["visits"], figures["errors"]) == (1002, 2)
    assert figures["failures"] == {"refused": 1, "timed out": 1}
    for name, seconds in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
        assert figures[name] == pytest.approx(seconds, rel=0.002)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
def test_times_that_no_histogram_holds(seconds: float) -> None:
    latency = Latency()
    latency.add(Outcome(0.0, seconds, "ok"))
    assert latency.quantiles()["max"] == pytest.approx(3600 if seconds > 1 else 1e-6, rel=0.002)
