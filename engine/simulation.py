"""The simulation as a platform: a seeded network, clock and poller, with the same engine and the same machines.

Nothing is mocked: the engine cannot tell it from the kernel, and a run is decided by its seed alone. Time passes only
when everybody waits, and then jumps to what happens next, so hours of idling take no time and a test never sleeps.
Public, so that users test their own machines with it:

    simulation = Simulation(seed=1)
    reactor = Reactor(simulation)
    reactor.listen("server:7", Echo)
    client = simulation.dial("server:7")
    client.say(b"hello")
    simulation.run(reactor, 1.0)
    assert client.heard() == b"hello"
"""

from collections import deque
from collections.abc import Callable
from errno import EADDRINUSE, ECONNREFUSED, EMFILE
from heapq import heappop, heappush
from os import strerror
from random import Random
from typing import TYPE_CHECKING

from .memory import End, MemoryListening, MemoryPoller, MemoryStreams, end_of
from .platform import Address, Channel, Where, parse_address

if TYPE_CHECKING:
    from .reactor import Reactor

FIRST_PORT = 49152
TURN_SECONDS = 1e-6  # what a poll takes: so that a server that is always busy doesn't stop the clock


class StuckError(Exception):
    """The reactor would wait without end, for nothing will ever happen."""


class Simulation(MemoryStreams):
    """A network, a clock and a poller from a seed.

    `delay_seconds` is the least and the most that anything takes to travel; `capacity_bytes` what a connection holds in
    each direction; `descriptors` how many channels the server can have.
    """

    tells_peer_end = True

    def __init__(
        self,
        seed: int = 0,
        *,
        delay_seconds: tuple[float, float] = (0.0, 0.001),
        capacity_bytes: int = 64 * 1024,
        descriptors: int = 20_000,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.delay_seconds = delay_seconds
        self.capacity_bytes = capacity_bytes
        self.descriptors = descriptors
        self.poller = MemoryPoller(self)
        self.polls = 0  # wake-ups of the reactor
        self._clock = 1000.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._travelling: dict[End, float] = {}  # when the last thing that an end sent will have arrived
        self._free: list[int] = []
        self._used = 2  # like a process: 0 to 2 are taken
        self._listening: dict[tuple[str, str, int], SimulatedListening] = {}
        self._last_port = FIRST_PORT

    def __repr__(self) -> str:
        return f"Simulation(seed={self.seed})"

    # The clock.

    def now(self) -> float:
        """Return the simulated monotonic time in seconds."""
        return self._clock

    def wall(self) -> float:
        """Return a date: 2001-09-09 and what has passed since."""
        return 1_000_000_000.0 + self._clock

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Have something happen in the world, in so many seconds."""
        self._order += 1
        heappush(self._agenda, (self._clock + seconds, self._order, function))

    def run(self, reactor: "Reactor", seconds: float) -> None:
        """Take turns until so many simulated seconds have passed."""
        until = self._clock + seconds
        while self._clock < until:
            reactor.step(until - self._clock)

    def poll_begins(self, seconds: float | None) -> float | None:
        """Let happen what is due by now: the world goes on although the reactor is busy."""
        self.polls += 1
        self._clock += TURN_SECONDS
        while self._agenda and self._agenda[0][0] <= self._clock:
            heappop(self._agenda)[2]()
        return None if seconds is None else self._clock + seconds

    def happens(self, until: float | None) -> bool:
        """Let time jump to what is due next, if that is by then."""
        if self._agenda and (until is None or self._agenda[0][0] <= until):
            due, _, function = heappop(self._agenda)
            self._clock = max(self._clock, due)
            function()
            return True
        if until is None:
            raise StuckError(f"{self!r}: nothing will ever happen")
        self._clock = max(self._clock, until)
        return False

    def arrange(self, pairs: list[tuple[int, int]]) -> None:
        """Readiness comes in no order that anybody may rely on."""
        self.random.shuffle(pairs)

    # The network.

    def rows_max(self) -> int:
        """Return how many channels there can be."""
        return self.descriptors

    def memory(self) -> int:
        """Return 2 GiB."""
        return 2 << 30

    def listen(self, address: Address, backlog: int, notsent_bytes: int = 0) -> "SimulatedListening":
        """Begin to listen; port 0 picks one. Raises OSError where somebody listens already."""
        if address.kind == "tcp" and address.port == 0:
            self._last_port += 1
            address = address._replace(port=self._last_port)
        if address in self._listening:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        listening = SimulatedListening(self, address, backlog, self._take_descriptor())
        self._listening[address] = listening
        return listening

    def connect(self, address: Address) -> Channel:
        """Begin to connect from the server's side."""
        end = self._new_end(self._take_descriptor())
        self._begin(end, address)
        return end

    def dial(self, address: str | Address) -> "Peer":
        """Begin to connect from the outside: a client that the test, not the reactor, moves."""
        if isinstance(address, str):
            address = parse_address(address)
        return Peer(self, address)

    def abort(self, channel: Channel) -> None:
        """Close with a reset."""
        end_of(channel).abort()

    def _begin(self, end: End, address: Address) -> None:
        self._last_port += 1
        far = self._new_end(-1)
        end.other, far.other = far, end
        end.connecting = True
        unix = address.kind == "unix"
        end.where = far.peer = "" if unix else ("client", self._last_port)
        end.peer = far.where = address.host if unix else (address.host, address.port)
        self._carry(end, lambda: self._arrive(far, address))

    def _arrive(self, far: End, address: Address) -> None:
        listening = self._listening.get((address.kind, address.host, address.port))
        near = far.other
        if listening is None or len(listening.waiting) >= listening.backlog:
            self._carry(far, lambda: near.connected(ECONNREFUSED))
            return
        listening.waiting.append(far)
        self.poller.touch(listening.descriptor)
        self._carry(far, near.connected)

    def _new_end(self, descriptor: int) -> End:
        end = End(self._carry, self._changed, self.capacity_bytes, descriptor, self._freed)
        if descriptor >= 0:
            self.poller.pollables[descriptor] = end
        return end

    def _carry(self, end: End, what: Callable[[], None]) -> None:
        """Let it arrive after a delay, but not before what the same end has sent before."""
        arrival = max(self._clock + self.random.uniform(*self.delay_seconds), self._travelling.get(end, 0.0))
        self._travelling[end] = arrival
        self._order += 1
        heappush(self._agenda, (arrival, self._order, what))

    def _changed(self, end: End) -> None:
        if end.descriptor >= 0:
            self.poller.touch(end.descriptor)

    def _freed(self, end: End) -> None:
        self._travelling.pop(end, None)
        if end.descriptor >= 0:
            self._give_descriptor(end.descriptor)
            end.descriptor = -1

    # Descriptors: the lowest free number, as the kernel gives them, so that a stale one hits somebody else.

    def _take_descriptor(self) -> int:
        if self._free:
            return heappop(self._free)
        if self._used >= self.descriptors + 2:
            raise OSError(EMFILE, strerror(EMFILE))
        self._used += 1
        return self._used

    def _give_descriptor(self, descriptor: int) -> None:
        del self.poller.pollables[descriptor]
        heappush(self._free, descriptor)

    def descriptors_used(self) -> int:
        """Return how many descriptors the server holds now."""
        return self._used - 2 - len(self._free)


class SimulatedListening(MemoryListening):
    """A place at which simulated connections arrive."""

    def __init__(self, simulation: Simulation, address: Address, backlog: int, descriptor: int) -> None:
        super().__init__(address, descriptor)
        self._simulation = simulation
        self.backlog = backlog
        self.failures: deque[int] = deque()  # error numbers that the next calls of accept raise
        simulation.poller.pollables[descriptor] = self

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection, with a descriptor. Raises OSError as the kernel does."""
        if self.waiting and self.failures:
            error = self.failures.popleft()
            raise OSError(error, strerror(error))
        simulation = self._simulation
        descriptor = simulation._take_descriptor() if self.waiting else -1
        channel, peer = super().accept()
        end = end_of(channel)
        end.descriptor = descriptor
        simulation.poller.pollables[descriptor] = end
        return end, peer

    def close(self) -> None:
        """Stop listening, and free the descriptor."""
        del self._simulation._listening[self.address]
        self._simulation._give_descriptor(self.descriptor)
        super().close()


class Peer:
    """A client outside the reactor. What it does happens at once; what it hears has travelled."""

    def __init__(self, simulation: Simulation, address: Address) -> None:
        self._end = simulation._new_end(-1)
        simulation._begin(self._end, address)
        self._unsent = bytearray()
        self._end_when_sent = False
        self.reset = False
        self.refused = False
        self.ended = False
        self._simulation = simulation
        self._end._changed = lambda end: self._push()

    @property
    def where(self) -> Where:
        """The client's own address, as the server sees it."""
        return self._end.where

    def say(self, data: bytes) -> None:
        """Send; what the connection has no room for follows as room comes."""
        self._unsent += data
        self._push()

    def heard(self, most: int = 1 << 30) -> bytes:
        """Read what has arrived and was not read yet. Sets `ended`, `reset` or `refused` when that is what came."""
        found = bytearray()
        while len(found) < most:
            try:
                data = self._end.recv(most - len(found))
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self.refused = True
                break
            except ConnectionError:
                self.reset = True
                break
            if not data:
                self.ended = True
                break
            found += data
        return bytes(found)

    def half_close(self) -> None:
        """End the client's side once all is sent; it goes on reading."""
        self._end_when_sent = True
        self._push()

    def close(self) -> None:
        """Close; with a reset where something was left unread."""
        self._end.close()

    def abort(self) -> None:
        """Reset."""
        self._end.abort()

    def _push(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: self._end.send(bytes(self._unsent[: 1 << 16]))]
            except BlockingIOError:
                return
            except OSError:
                self.reset = True
                self._unsent.clear()
        if self._end_when_sent and not self._end.connecting:
            self._end.half_close()
