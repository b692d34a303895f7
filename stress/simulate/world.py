"""One run: a server and its crowd from a case, watched from the first turn to the last descriptor."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from random import Random
from typing import NamedTuple

from ...engine import Cause, Limits, Notice, Reactor
from ...engine.buffers import hold
from ...engine.faults import Faults
from ...engine.freeze import freeze, thaw
from ...engine.network import NO_FAULTS
from ...engine.outside import Client
from ...engine.platform import Where, parse_address
from ...engine.row import LINGERING
from ...engine.simulation import Simulation, StuckError
from ..clients.dialogue import WrongError
from ..clients.kinds import Kind, Place
from .broken import BrokenError
from .case import ALL_KINDS, Case, Visitor
from .excuses import excused
from .protocols import PROTOCOLS
from .served import SERVER, Served, is_deliberate
from .watch import Watch

ADDRESS = parse_address(SERVER)
SECONDS_MOST = 30_000.0  # simulated; nobody reads or says a megabyte as slowly as that
TURNS_MOST = 2_000_000


class Outcome(NamedTuple):
    """What came of a run."""

    requests: int  # answers that clients have heard whole
    turns: int
    seconds: float  # simulated
    rows: int
    ended: dict[str, int]  # rows by their reason
    met: dict[str, int]  # faults by name
    digest: int  # of how much every client has said and heard, and of the time: equal for equal runs


class World:
    """A case, set up and running. `step` is one turn."""

    def __init__(self, case: Case, served: Mapping[str, Served] = PROTOCOLS) -> None:
        self.case = case
        self.protocol = served[case.protocol]
        self.simulation = Simulation(
            case.seed,
            capacity_bytes=case.capacity_bytes,
            descriptors=case.descriptors,
            grain_seconds=case.grain_seconds,
            faults=Faults(**case.faults),
        )
        self.watch = Watch(self.simulation, self.protocol.held_most, self.protocol.held_by)
        self.notices: list[Notice] = []
        self.reactor = Reactor(
            self.simulation, limits=Limits(**case.limits), schedule=case.schedule, observer=self.notices.append
        )
        if case.seed % 2:
            self.reactor.table.prune_slack = 10  # else a run would seldom live to see it
        self.watch.begin(self.reactor)
        self.service = self.protocol.begin(self.reactor, self.simulation)
        self.clients: list[Client] = []
        self.visitors: dict[Where, Visitor] = {}
        self.over = False
        self.closed = False
        self._freezing = Random(case.seed)  # of its own: that rows are frozen must change nothing else
        for visitor in case.crowd:
            self.simulation.after(visitor.enters, lambda visitor=visitor: self._enter(visitor))  # type: ignore[misc]
        self.began = self.simulation.now()
        if case.drains_after is not None:
            self.reactor.after(case.drains_after, self.reactor.drain)

    def _enter(self, visitor: Visitor) -> None:
        link = self.simulation.new_link(
            visitor.seed,
            delay_seconds=visitor.delay_seconds,
            bytes_a_second=visitor.bytes_a_second,
            faults=NO_FAULTS if visitor.sheltered else self.simulation.faults,
        )

        def factory(client: Place) -> Kind:
            return ALL_KINDS[visitor.kind](client, self.service.dialogue(client), visitor.requests)

        if self.service.enter is not None:
            client = self.service.enter(factory, link)
        else:
            client = self.simulation.enter(ADDRESS, factory, limits_of_client(visitor.receive_bytes), link)
        self.clients.append(client)
        self.visitors[client.local] = visitor
        self.watch.entered(client)

    def step(self) -> bool:
        """Take one turn; False once everybody has gone. Raises BrokenError for a broken invariant."""
        reactor = self.reactor
        try:
            reactor.step(None)
        except StuckError as error:
            if reactor.table.rows:
                raise BrokenError("rows that nothing will ever end", f"{len(reactor.table.rows)} rows") from error
            self.over = True
        self.watch.turn()
        if self.case.freezes and self._freezing.random() < self.case.freezes:
            self._freeze()
        if self.over or (not reactor.table.rows and len(self.clients) == len(self.case.crowd) and self._all_gone()):
            self.over = True
            return False
        if self.simulation.now() - self.began > SECONDS_MOST or reactor.table.totals.turns > TURNS_MOST:
            raise BrokenError("the run does not end", f"{len(reactor.table.rows)} rows are left")
        return True

    def _all_gone(self) -> bool:
        return all(client.reason is not None for client in self.clients)

    def _freeze(self) -> None:
        """Freeze a row and thaw it at once: nothing may come of it."""
        rows = [row for row in self.reactor.table.rows.values() if row.state < LINGERING]
        if rows:
            row = self._freezing.choice(rows)
            held, shared = self.protocol.held_by(row.machine), self.service.shared
            try:
                row.machine = thaw(freeze(row.machine, shared), self.reactor.table.rows.get, shared)
            except Exception as error:
                raise BrokenError(
                    "a machine that does not freeze", f"{type(row.machine).__name__}: {error!r}"
                ) from error
            hold(row, -held)  # what has thawed counts itself
            self.watch.frozen += 1

    def close(self) -> None:
        """Free what it holds, broken or whole. A second call does nothing."""
        if not self.closed:
            self.closed = True
            with suppress(Exception):  # where it is broken, so may be its end; `Watch.end` sees what is left
                self.reactor.close()
            self.service.close()

    def finish(self) -> Outcome:
        """End the run: check what every client got, and that nothing is left behind."""
        for client in self.clients:
            check_client(self, client)
        for notice in self.notices:
            if notice.kind == "machine error" and not is_deliberate(notice):
                raise BrokenError("a machine has failed", notice.text)
        totals = self.reactor.totals()
        self.close()
        self.watch.end()
        requests = sum(kind_of(client).dialogue.answered for client in self.clients)
        digest = hash(tuple((client.received, client.sent, client.requests) for client in self.clients))
        return Outcome(
            requests,
            totals.turns,
            self.simulation.now() - self.began,
            totals.accepted,
            totals.ended,
            dict(self.simulation.met),
            hash((digest, self.simulation.now(), totals.turns)),
        )


@cache
def limits_of_client(receive_bytes: int) -> Limits:
    """Return a client's limits: how much it reads at once, the only one that counts there."""
    return Limits(receive_bytes=receive_bytes)


def run(case: Case) -> Outcome:
    """Run a case to its end. Raises BrokenError for a broken invariant."""
    world = World(case)
    try:
        while world.step():
            pass
        return world.finish()
    finally:
        world.close()


def kind_of(client: Client) -> Kind:
    """Return the machine of a client of these."""
    assert isinstance(client.machine, Kind)
    return client.machine


def listen(kind: Kind) -> None:
    """Have a client hear what came while its own words were still on their way, when it ended."""
    try:
        kind.hear()
    except WrongError as error:
        raise BrokenError("a client has heard what nobody owes it", f"{type(kind).__name__}: {error}") from error


def check_client(world: World, client: Client) -> None:
    """What a client got is a prefix of what it was owed, and all of it where it behaved and nothing befell it."""
    kind = kind_of(client)
    reason = client.reason
    listen(kind)
    if reason is not None and reason.cause is Cause.PEER_ERROR:
        raise BrokenError("a client has heard what nobody owes it", f"{type(kind).__name__} {client.local}: {reason}")
    if reason is not None and reason.cause is Cause.MACHINE_ERROR:
        raise BrokenError("a client has a bug", f"{type(kind).__name__} {client.local}: {reason}")
    if kind.satisfied or not kind.behaves or client.harmed:
        return
    row_reason = world.watch.reasons.get(client.local)  # None where it never became a row
    if excused(world.case, world.visitors[client.local], client, row_reason, world.simulation.met):
        return
    if client.reason is not None and world.service.excuse(client, row_reason):
        return
    raise BrokenError(
        "a client that behaved has not got all",
        f"{type(kind).__name__} {client.local}: {kind.dialogue.answered} of {kind.requests} requests answered, "
        f"ended by {reason}, its row by {row_reason}",
    )
