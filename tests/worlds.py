"""Worlds in which an engine can be tried: the simulation, and real sockets under each selector, behind one face.

A test that is written against a world says what the engine owes whatever moves its bytes, so the simulation is checked
by the same tests as the kernel: a fake that is not verified would prove nothing. Nobody waits for a clock here: `until`
takes turns, a bounded number of them, and shows the table where they were not enough.
"""

import selectors
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from partway.engine import IDLE, Limits, Notice, Outcome, Reactor, Reason, Row, Want
from partway.engine import selector as pollers
from partway.engine.kernel import Kernel
from partway.engine.machine import Machine
from partway.engine.simulation import Peer, Simulation

TURNS_MOST = 1000
TURN_SECONDS = 0.002
SEEDS = (1, 2, 3)


class Acting:
    """A machine made of one function: bytes that came are in `data`, `over` tells the peer's end."""

    def __init__(self, row: Row, act: Callable[["Acting"], Want]) -> None:
        self.row = row
        self.act = act
        self.data = b""
        self.over = False
        self.steps = 0
        self.outcomes: list[Outcome] = []
        self.memory: Any = None  # whatever the function wants to remember
        self.reason: Reason | None = None

    def feed(self, data: bytes) -> None:
        self.data += data
        self.over = self.over or not data

    def resume(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def step(self) -> Want:
        self.steps += 1
        return self.act(self)

    def ended(self, reason: Reason) -> None:
        assert self.reason is None, "ended() was called twice"
        self.reason = reason

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


class Acts:
    """A factory of `Acting` machines that remembers what it has made."""

    def __init__(self, act: Callable[[Acting], Want]) -> None:
        self.act = act
        self.made: list[Acting] = []

    def __call__(self, row: Row) -> Acting:
        self.made.append(Acting(row, self.act))
        return self.made[-1]

    @property
    def only(self) -> Acting:
        """The one machine that was made."""
        assert len(self.made) == 1, f"{len(self.made)} machines were made"
        return self.made[0]


def script(*wants: Want) -> Acts:
    """A machine that says these wants one after another, and the last of them ever after."""

    def act(machine: Acting) -> Want:
        return wants[min(machine.steps, len(wants)) - 1]

    return Acts(act)


def echo(machine: Acting) -> Want:
    """Send back what came."""
    return machine.take() or IDLE


class Client:
    """The far side of a connection. It reads whenever the world turns, unless `reading` is false."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.reading = True
        self.ended = False
        self.reset = False
        self.refused = False

    @property
    def over(self) -> bool:
        """Nothing more can come."""
        return self.ended or self.reset or self.refused

    def say(self, data: bytes) -> None:
        raise NotImplementedError

    def half_close(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        raise NotImplementedError


class SimulatedClient(Client):
    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer

    def say(self, data: bytes) -> None:
        self.peer.say(data)

    def half_close(self) -> None:
        self.peer.half_close()

    def close(self) -> None:
        self.reading = False
        self.peer.close()

    def abort(self) -> None:
        self.reading = False
        self.peer.abort()

    def pump(self) -> None:
        if self.reading:
            self.heard += self.peer.heard()
            self.ended, self.reset, self.refused = self.peer.ended, self.peer.reset, self.peer.refused


class RealClient(Client):
    def __init__(self, channel: socket.socket) -> None:
        super().__init__()
        self.channel = channel
        self._unsent = bytearray()
        self._end_when_sent = False

    def say(self, data: bytes) -> None:
        self._unsent += data
        self._push()

    def half_close(self) -> None:
        self._end_when_sent = True
        self._push()

    def close(self) -> None:
        self.channel.close()

    def abort(self) -> None:
        if self.channel.fileno() >= 0:
            self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.channel.close()

    def pump(self) -> None:
        if self.channel.fileno() < 0:
            return
        self._push()
        while self.reading and not self.over:
            try:
                data = self.channel.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                self.reset = True
            else:
                self.heard += data
                self.ended = not data

    def _push(self) -> None:
        with suppress(BlockingIOError):
            try:
                while self._unsent:
                    del self._unsent[: self.channel.send(self._unsent[: 1 << 16])]
                if self._end_when_sent:
                    self._end_when_sent = False
                    self.channel.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                self.reset = True
                self._unsent.clear()


class World:
    """A reactor, its listener, and clients who dial it."""

    name: str
    tells_peer_end: bool
    resets: bool  # whether a reset can be told from an end: UNIX sockets know no RST that is forced
    real: bool

    def __init__(self, reactor: Reactor, notices: list[Notice]) -> None:
        self.reactor = reactor
        self.notices = notices
        self.clients: list[Client] = []
        self.address = ""

    def listen(self, factory: Callable[[Row], Machine], limits: Limits | None = None) -> str:
        """Begin to listen, and return the address to dial."""
        self.address = str(self.reactor.listen(self.address_to_listen(), factory, limits).address)
        return self.address

    def address_to_listen(self) -> str:
        raise NotImplementedError

    def new_client(self, address: str) -> Client:
        raise NotImplementedError

    def dial(self, address: str | None = None) -> Client:
        """Connect from outside."""
        client = self.new_client(address or self.address)
        self.clients.append(client)
        return client

    def step(self) -> None:
        """One turn, and what the clients do in it."""
        self.reactor.step(TURN_SECONDS)
        assert_conserved(self.reactor)
        for client in self.clients:
            client.pump()

    def until(self, predicate: Callable[[], object], turns: int = TURNS_MOST) -> None:
        """Take turns until the predicate is true. Raises AssertionError, with the table, where it never is."""
        for _ in range(turns):
            if predicate():
                return
            self.step()
        assert predicate(), f"{self!r}: not within {turns} turns\n{show(self)}"

    def turns(self, count: int) -> None:
        """Take some turns, for what ought not to happen."""
        for _ in range(count):
            self.step()

    def settle(self) -> None:
        """Take turns until every row has gone."""
        self.until(lambda: not self.reactor.table.rows)

    def seconds(self) -> float:
        """Read the platform's clock."""
        return self.reactor.platform.now()

    def ended(self) -> dict[str, int]:
        """How many rows have ended, by their cause."""
        return self.reactor.totals().ended

    def states(self) -> list[str]:
        """The states of all rows, oldest first."""
        return [row.state for row in self.reactor.rows()]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.reactor.close()


class SimulatedWorld(World):
    tells_peer_end = True
    resets = True
    real = False

    def __init__(
        self, seed: int = 1, *, limits: Limits | None = None, capacity_bytes: int = 1 << 16, **options: Any
    ) -> None:
        self.name = f"simulation-{seed}"
        self.simulation = Simulation(seed, capacity_bytes=capacity_bytes)
        notices: list[Notice] = []
        super().__init__(Reactor(self.simulation, limits=limits, observer=notices.append, **options), notices)

    def __repr__(self) -> str:
        return f"SimulatedWorld(seed={self.simulation.seed})"

    def address_to_listen(self) -> str:
        return "server:0"

    def new_client(self, address: str) -> Client:
        return SimulatedClient(self.simulation.dial(address))


_NAMES = {"lean": "LeanEpollSelector", "epoll": "EpollSelector", "poll": "PollSelector", "select": "SelectSelector"}
SELECTORS: dict[str, Callable[[], selectors.BaseSelector]] = {
    name: getattr(place, kind)
    for name, kind in _NAMES.items()
    for place in (pollers, selectors)
    if kind in vars(place)  # where there is no epoll, most of what uses this still runs
}


class RealWorld(World):
    real = True

    def __init__(
        self, selector: str, family: str, folder: str, *, limits: Limits | None = None, **options: Any
    ) -> None:
        self.name = f"{selector}-{family}"
        self.family = family
        self.folder = folder
        self.resets = family != "unix"
        self.tells_peer_end = selector == "lean"
        self._paths = 0
        notices: list[Notice] = []
        reactor = Reactor(Kernel(SELECTORS[selector]()), limits=limits, observer=notices.append, **options)
        super().__init__(reactor, notices)

    def __repr__(self) -> str:
        return f"RealWorld({self.name})"

    def address_to_listen(self) -> str:
        self._paths += 1
        return {"ip4": "127.0.0.1:0", "ip6": "[::1]:0", "unix": f"unix:{self.folder}/{self._paths}"}[self.family]

    def new_client(self, address: str) -> Client:
        kind = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6, "unix": socket.AF_UNIX}[self.family]
        channel = socket.socket(kind, socket.SOCK_STREAM)
        channel.setblocking(False)
        if self.family == "unix":
            where: Any = address.removeprefix("unix:")
        else:
            host, _, port = address.rpartition(":")
            where = (host.strip("[]"), int(port))
        try:
            channel.connect(where)
        except BlockingIOError:
            pass
        except OSError:
            channel.close()
            raise
        return RealClient(channel)


def assert_conserved(reactor: Reactor) -> None:
    """All bytes that rows hold are those that the table counts, and nobody holds less than none."""
    held = [row.held for row in reactor.table.rows.values()]
    assert sum(held) == reactor.table.held, f"rows hold {sum(held)} bytes, the table counts {reactor.table.held}"
    assert min(held, default=0) >= 0, "a row holds less than nothing"


def show(world: World) -> str:
    """The table, the totals and the notices, for a failing test."""
    lines = [str(row) for row in world.reactor.rows()]
    lines += [str(world.reactor.totals()), *map(str, world.notices)]
    lines += [f"client: {bytes(client.heard[:80])!r}, over: {client.over}" for client in world.clients]
    return "\n".join(lines)


class Rig:
    """A reactor on a simulation, with one listener and whatever its observer heard."""

    def __init__(
        self,
        factory: Callable[[Row], Machine],
        *,
        limits: Limits | None = None,
        seed: int = 1,
        schedule: Any = "fair",
        observed: bool = True,
        **simulation: Any,
    ) -> None:
        self.simulation = Simulation(seed, **simulation)
        self.notices: list[Notice] = []
        observer = self.notices.append if observed else None
        self.reactor = Reactor(self.simulation, limits=limits, schedule=schedule, observer=observer)
        self.listener = self.reactor.listen("server:7", factory)

    def dial(self) -> Peer:
        return self.simulation.dial("server:7")

    def dials(self, count: int) -> list[Peer]:
        return [self.dial() for _ in range(count)]

    def hears(self, peer: Peer) -> bytearray:
        """Have a client read whatever comes as soon as it comes; return what it will have heard."""
        heard = bytearray()
        peer.watcher = lambda: heard.extend(peer.heard())
        return heard

    def travel(self) -> None:
        """Let all that is on its way arrive, without a turn of the reactor."""
        self.simulation.travel()

    def run(self, seconds: float = 1.0, turns: int = 20_000) -> None:
        """Let simulated time pass; check after each turn that no byte was counted twice or forgotten."""
        until = self.simulation.now() + seconds
        for _ in range(turns):
            left = until - self.simulation.now()
            if left <= 0:
                return
            self.reactor.step(left)
            assert_conserved(self.reactor)
        raise AssertionError(f"{self.simulation!r}: {turns} turns were not enough for {seconds} simulated seconds")

    @property
    def ended(self) -> dict[str, int]:
        return self.reactor.totals().ended

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.reactor.rows()]

    @property
    def rows(self) -> list[Row]:
        return list(self.reactor.table.rows.values())

    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]


def in_pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut data into pieces of these sizes, and one for the rest."""
    place = 0
    for size in sizes:
        yield data[place : place + size]
        place += size
    yield data[place:]
