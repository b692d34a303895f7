"""A place for datagrams on the simulation, its service, and those outside who send something there."""

from collections.abc import Callable
from typing import Any

from partway.engine import DatagramRow, Endpoint, Limits, Notice, Reactor, Reason, Row
from partway.engine.network_datagrams import DatagramPeer
from partway.engine.simulation import Simulation
from worlds import assert_conserved

SERVER = "udp:server:7"


class Trouble(Exception):
    """What code with a bug raises."""


class Fails:
    """A machine that raises where it is told to, and otherwise says what it is given to say."""

    def __init__(self, row: Row, where: str, want: Any) -> None:
        self.where = where
        self.want = want
        self.fed = 0
        self.reason: Reason | None = None

    def _may_fail(self, where: str) -> None:
        if self.where == where:
            raise Trouble(f"in {where}")

    def feed(self, data: bytes) -> None:
        self.fed += 1
        if self.fed > 1:
            self._may_fail("feed again")
        self._may_fail("feed")

    def step(self) -> Any:
        self._may_fail("step")
        return self.want

    @property
    def duplex(self) -> bool:
        self._may_fail("duplex")
        return True

    def remaining(self) -> int | None:
        self._may_fail("remaining")
        return None

    def refuse(self, reason: Reason) -> bytes:
        self._may_fail("refuse")
        return b"sorry"

    def describe(self) -> str:
        self._may_fail("describe")
        return "fails"

    def ended(self, reason: Reason) -> None:
        self.reason = reason
        self._may_fail("ended")


class Service:
    """A service made of functions. `begins` makes the machines where `admit` is not given."""

    def __init__(
        self,
        begins: Callable[[DatagramRow], Any] | None = None,
        admit: Callable[[bytes, Any], Any] | None = None,
        route: Callable[[bytes, Any], Any] | None = None,
    ) -> None:
        self.admit = admit or (lambda data, peer: begins)
        if route is not None:
            self.route = route


class PlaceRig:
    """A reactor on a simulation, with one endpoint and whatever its observer heard."""

    def __init__(
        self,
        service: Any,
        *,
        address: str = SERVER,
        limits: Limits | None = None,
        endpoint_limits: Limits | None = None,
        seed: int = 1,
        schedule: Any = "fair",
        alone: bool = False,
        **simulation: Any,
    ) -> None:
        self.simulation = Simulation(seed, **simulation)
        self.notices: list[Notice] = []
        self.reactor = Reactor(self.simulation, limits=limits, schedule=schedule, observer=self.notices.append)
        self.address = address
        self.endpoint: Endpoint = self.reactor.bind(address, service, endpoint_limits, alone=alone)

    def dial(self, link: Any = None) -> DatagramPeer:
        return self.simulation.dial_datagrams(self.address, link)

    def run(self, seconds: float = 0.01, turns: int = 20_000) -> None:
        """Let simulated time pass; check after each turn that no byte was counted twice or forgotten."""
        until = self.simulation.now() + seconds
        for _ in range(turns):
            left = until - self.simulation.now()
            if left <= 0:
                return
            self.reactor.step(left)
            assert_conserved(self.reactor)
            assert self.endpoint.rows == sum(row.endpoint is self.endpoint for row in self.rows)
        raise AssertionError(f"{self.simulation!r}: {turns} turns were not enough for {seconds} simulated seconds")

    def ask(self, peer: DatagramPeer, *data: bytes) -> list[bytes]:
        """Have somebody send something, and return what is heard soon after."""
        for one in data:
            peer.say(one)
        self.run()
        return peer.heard()

    def arrive(self) -> None:
        """Let all that is on its way arrive, without a turn of the reactor."""
        self.simulation.travel()

    @property
    def rows(self) -> list[DatagramRow]:
        return [row for row in self.reactor.table.rows.values() if isinstance(row, DatagramRow)]

    @property
    def row(self) -> DatagramRow:
        (row,) = self.rows
        return row

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.reactor.rows()]

    @property
    def ended(self) -> dict[str, int]:
        return self.reactor.totals().ended

    @property
    def dropped(self) -> dict[str, int]:
        return self.reactor.totals().dropped

    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]


def assert_nothing_left(reactor: Reactor) -> None:
    """Nothing of an endpoint is left behind anywhere."""
    table: Any = reactor.table
    platform: Any = reactor.platform
    assert not table.rows
    assert not table.doors
    assert not table.doomed
    assert not reactor.endpoints
    assert (table.held, table.kept, table.alone, table.per_peer) == (0, 0, 0, {})
    if isinstance(platform, Simulation):
        assert platform.descriptors_used() == 0
        assert not any(platform.poller.asks(descriptor) for descriptor in range(100))
