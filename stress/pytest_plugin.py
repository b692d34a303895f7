"""The pytest plugin: the fixtures `simulate` and `simulation`, and two options that choose their seeds.

    from partway.stress.testing import Says

    def test_my_machine(simulate):
        simulate(MyMachine, Says(b"hello\\n", hears=b"HELLO\\n"))

pytest loads this file wherever partway is installed, so it imports nothing that a test has not asked for.
"""

from argparse import ArgumentTypeError
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.simulation import Simulation
    from .testing import Result

SEEDS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("partway", "partway: machines in simulations")
    group.addoption("--partway-seed", type=int, metavar="N", help="run simulations with this seed alone")
    group.addoption(
        "--partway-seeds", type=_count, default=SEEDS, metavar="N", help=f"run so many seeds a test (default: {SEEDS})"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of seeds")
    return int(text)


@pytest.fixture
def simulate(request: pytest.FixtureRequest) -> "Callable[..., Result]":
    """Test a machine: `partway.stress.testing.simulate` with the seeds that the command line has chosen."""
    from .testing import simulate

    seed = request.config.getoption("--partway-seed")
    if seed is not None:
        return partial(simulate, seed=seed)  # even where a test says itself how many there are
    return partial(simulate, seeds=range(request.config.getoption("--partway-seeds")))


@pytest.fixture
def simulation(request: pytest.FixtureRequest) -> "Simulation":
    """Make a simulation, for a test that moves its clients itself; its seed is `--partway-seed`, or 0."""
    from ..engine.simulation import Simulation

    seed = request.config.getoption("--partway-seed") or 0
    request.node.add_report_section("setup", "partway", f"seed {seed}; again: --partway-seed {seed}")
    return Simulation(seed)
