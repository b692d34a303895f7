"""What a terminal shows while an attack goes on."""

from io import StringIO
from typing import Any

import pytest
from partway.engine import Reactor
from partway.engine.simulation import Simulation
from partway.protocols.echo import Echo
from partway.stress.attack.attackers import Attackers
from partway.stress.attack.live import Screen, picture_of
from partway.stress.attack.orders import Order, orders_of
from partway.stress.attack.probe import Outcome
from partway.stress.attack.run import Run
from partway.stress.attack.target import parse_target
from rich.console import Console


@pytest.fixture
def run() -> Any:
    """As if its attackers were here, and not in a process of their own."""
    simulation = Simulation(1)
    reactor = Reactor(simulation)
    reactor.listen("127.0.0.1:7", Echo)
    target = parse_target("127.0.0.1:7", None, owned=False)
    order = Order({"silent": 5, "half-close": 2}, target, 0.0, 10, 20.0, 2.0, 10.0)
    run = Run(order, reactor)
    run.began = simulation.now()
    attackers = Attackers(reactor, orders_of(order)[0], run.troops[0]._hear)
    attackers.hear(b"begin")
    simulation.run(reactor, 1.1)
    yield run
    reactor.close()


def drawn(run: Run) -> str:
    text = StringIO()
    Console(file=text, width=100).print(picture_of(run))
    return text.getvalue()


def test_who_is_there_and_who_has_gone(run: Run) -> None:
    lines = drawn(run).splitlines()
    (silent,) = [line.split() for line in lines if line.startswith("silent")]
    (closer,) = [line.split() for line in lines if line.startswith("half-close")]
    assert silent == ["silent", "5", "5"]
    assert closer[1] == "0" and closer[3:] == [closer[2], "served"]
    assert "1 of 22 s" in lines[0] and "the calm before" in lines[0]
    assert any(line.startswith("connections: ") and "5 idle" in line for line in lines)


def test_the_honest_client_lately(run: Run) -> None:
    assert "has not been answered lately" in drawn(run)
    now = run.began + run.seconds
    run.visits = [Outcome(now - 100, 9.0, "ok"), Outcome(now - 1, 0.002, "ok"), Outcome(now - 0.5, 0.0, "refused")]
    said = drawn(run)
    assert "an honest client: p50 2 ms, at most 2 ms  1 of 2 failed" in said
    run.visits = run.visits[2:]
    assert "an honest client:   1 of 1 failed" in drawn(run)


def test_what_the_server_costs(run: Run) -> None:
    assert "the server:" not in drawn(run)
    costs = {"memory": 5 << 20, "descriptors": 9, "clients": {}}
    run.samples = [{"at": 0.0, "cpu": 1.0, **costs}, {"at": 0.5, "cpu": 1.25, **costs}]
    assert "the server: 50 % of a core, 5.0 MiB, 9 descriptors" in drawn(run)


def test_why_no_more_can_begin(run: Run) -> None:
    run.troops[0].seen["silent"]["unable"] = "out of ports"
    assert "out of ports" in drawn(run)


@pytest.mark.parametrize(("seconds", "said"), [(1, "the calm before"), (3, "under attack"), (23, "the last visits")])
def test_what_it_is_about(run: Run, seconds: float, said: str) -> None:
    run.began = run.reactor.platform.now() - seconds
    assert said in drawn(run).splitlines()[0]


def test_a_screen_is_drawn_over_itself_and_leaves_nothing(run: Run) -> None:
    text = StringIO()
    with Screen(Console(file=text, width=100, force_terminal=True)) as screen:
        screen.show(run)
        screen.show(run)
    said = text.getvalue()
    assert said.count("half-close") >= 2
    assert said.endswith("\x1b[1A\x1b[2K")
