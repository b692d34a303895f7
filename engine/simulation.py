"""The simulation as a platform: a seeded network, clock and poller, with the same engine and the same machines.

Nothing is mocked: the engine cannot tell it from the kernel, and a run is decided by its seed alone. Time passes only
when everybody waits, and then jumps to what happens next, so hours of idling take no time and a test never sleeps.
With `faults` it does all that kernels and networks may do to a server. Public, so that users test their own machines:

    simulation = Simulation(seed=1)
    reactor = Reactor(simulation)
    reactor.listen("server:7", Echo)
    peer = simulation.dial("server:7")
    peer.say(b"hello")
    simulation.run(reactor, 1.0)
    assert peer.heard() == b"hello"

A `Peer` is moved by the test, a `Client` by a machine of its own (`simulation.enter`).
"""

from collections import Counter
from collections.abc import Callable
from errno import EADDRINUSE, EAGAIN, ECONNREFUSED, EMFILE, ETIMEDOUT
from heapq import heappop, heappush
from math import ceil
from os import strerror
from random import Random
from typing import TYPE_CHECKING, Any

from .agenda import Agenda
from .faults import Faults
from .limits import Limits
from .machine import HasDescriptor
from .memory import End, MemoryStreams, end_of
from .memory_poller import MemoryPoller
from .network import GONE, NO_FAULTS, FaultyEnd, Link, SimulatedEnd, SimulatedListening
from .network_datagrams import DatagramEnd, DatagramPeer, Datagrams
from .outside import Client, Factory, Peer
from .platform import READABLE, WRITABLE, Address, Channel, Credentials, parse_address, streams_only
from .simulated_calls import SimulatedElsewhere

if TYPE_CHECKING:
    from .reactor import Reactor

__all__ = ["Client", "Faults", "Link", "Peer", "Simulation", "StuckError"]

FIRST_PORT = 49152
TURN_SECONDS = 1e-6  # what a poll takes: so that a server that is always busy doesn't stop the clock
KNOCKS_MOST = 6  # at a full accept queue: after 1, 2, 4... seconds (tcp_syn_retries of Linux), then ETIMEDOUT


class StuckError(Exception):
    """The reactor would wait without end, for nothing will ever happen."""


class Simulation(MemoryStreams):
    """A network, a clock and a poller from a seed.

    `delay_seconds` is the least and the most that anything takes to travel; `capacity_bytes` what a connection holds in
    each direction; `descriptors` how many channels the server can have. What goes through a connection arrives at
    multiples of `grain_seconds`, so the coarser, the more are ready at once; 0 for any time. `met` counts what was met
    of `faults`, and more.
    """

    tells_peer_end = True
    everybody = Credentials(2, 1000, 1000)  # at the other end of each UNIX socket

    def __init__(
        self,
        seed: int = 0,
        *,
        delay_seconds: tuple[float, float] = (0.0, 0.001),
        capacity_bytes: int = 64 * 1024,
        descriptors: int = 20_000,
        grain_seconds: float = 0.0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.capacity_bytes = capacity_bytes
        self.descriptors = descriptors
        self.grain_seconds = grain_seconds
        self.faults = faults
        self.met: Counter[str] = Counter()
        self.link = Link(self.random, self.met, delay_seconds=delay_seconds, faults=faults)
        self.poller = MemoryPoller(self)
        self.datagrams = Datagrams(self)
        self.polls = 0  # wake-ups of the reactor
        self.held = 0  # bytes that machines outside have buffered: to them, this is their table
        self._clock = 1000.0
        self.calendar = 1_000_000_000.0  # the date when the clock showed 0; a run may set another
        self._agenda = Agenda()
        self._free: list[int] = []
        self._used = 2  # like a process: 0 to 2 are taken
        self.listening: dict[Address, SimulatedListening] = {}
        self._last_port = FIRST_PORT
        self.polls_fail = any((faults.spurious, faults.early, faults.clock_jump, faults.wall_jump))

    def __repr__(self) -> str:
        return f"Simulation(seed={self.seed})"

    # The clock.

    def now(self) -> float:
        """Return the simulated monotonic time in seconds."""
        return self._clock

    def wall(self) -> float:
        """Return a date: 2001-09-09 and what has passed since."""
        return self.calendar + self._clock

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Have something happen in the world, in so many seconds."""
        self._agenda.put(self._clock + seconds, _call, function)

    def spend(self, seconds: float) -> None:
        """Let time pass in the middle of a turn: the server does what takes so long, and the world goes on."""
        until = self._clock + seconds
        instants = self._agenda.instants
        while instants and instants[0] <= until:
            self._clock = max(self._clock, instants[0])
            self._agenda.happen()
        self._clock = max(self._clock, until)

    def run(self, reactor: "Reactor", seconds: float) -> None:
        """Take turns until so many simulated seconds have passed."""
        until = self._clock + seconds
        while self._clock < until:
            reactor.step(until - self._clock)

    def travel(self, seconds: float = 0.01) -> None:
        """Let all that is on its way arrive, without a turn of the reactor."""
        until = self._clock + seconds
        while self.happens(until):
            pass

    def quiet(self) -> bool:
        """Tell whether nothing is on its way, and nothing will happen by itself."""
        return not self._agenda.instants

    def poll_begins(self, seconds: float | None) -> float | None:
        """Let happen what is due by now: the world goes on although the reactor is busy."""
        self.polls += 1
        self._clock += TURN_SECONDS
        if self.polls_fail and self._disturbed(seconds):
            seconds = 0.0
        agenda = self._agenda
        while agenda.instants and agenda.instants[0] <= self._clock:
            agenda.happen()
        return None if seconds is None else self._clock + seconds

    def happens(self, until: float | None) -> bool:
        """Let time jump to what is due next, if that is by then."""
        instants = self._agenda.instants
        if instants and (until is None or instants[0] <= until):
            self._clock = max(self._clock, instants[0])
            self._agenda.happen()
            return True
        if until is None:
            raise StuckError(f"{self!r}: nothing will ever happen")
        self._clock = max(self._clock, until)
        return False

    def arrange(self, pairs: list[tuple[int, int]]) -> None:
        """Readiness comes in no order that anybody may rely on, and now and then for nothing."""
        if len(pairs) > 1:
            self.random.shuffle(pairs)
        if self.faults.spurious and self.random.random() < self.faults.spurious:
            self._call_ready(pairs)

    def _disturbed(self, seconds: float | None) -> bool:
        """Let the clock or the calendar jump; True where the poll ends before its time."""
        faults, random = self.faults, self.random
        if random.random() < faults.clock_jump:
            self.met["clock_jump"] += 1
            self._clock += random.random() * faults.jump_seconds
        if random.random() < faults.wall_jump:
            self.met["wall_jump"] += 1
            self.calendar += random.uniform(-1.0, 1.0) * faults.jump_seconds
        if (seconds is None or seconds > 0) and random.random() < faults.early:
            self.met["early"] += 1
            return True
        return False

    def _call_ready(self, pairs: list[tuple[int, int]]) -> None:
        """Call somebody ready who isn't, as select(2) may; never one that is connecting: no kernel does that."""
        descriptor, mask = self.poller.anybody(self.random)
        end = self.poller.pollables.get(descriptor)
        mask &= READABLE | WRITABLE
        if mask and all(descriptor != one for one, _ in pairs) and not (isinstance(end, End) and end.connecting):
            self.met["spurious"] += 1
            pairs.append((descriptor, mask))

    # The network.

    def rows_max(self) -> int:
        """Return how many channels there can be."""
        return self.descriptors

    def memory(self) -> int:
        """Return 2 GiB."""
        return 2 << 30

    def listen(
        self, address: Address, backlog: int, notsent_bytes: int = 0, mode: int | None = None
    ) -> "SimulatedListening":
        """Begin to listen; port 0 picks one. Raises OSError where somebody listens already."""
        streams_only(address)
        if address.kind == "tcp" and address.port == 0:
            address = address._replace(port=self.new_port())
        if address in self.listening:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        listening = SimulatedListening(self, address, backlog, self.take_descriptor())
        self.listening[address] = listening
        return listening

    def connect(self, address: Address) -> Channel:
        """Begin to connect from the server's side. Raises OSError where a UNIX socket takes nobody, at once."""
        streams_only(address)
        error = self._refusal(address) if address.kind == "unix" else 0
        if error:
            raise OSError(error, strerror(error))
        end = self._new_end(self.link, self.take_descriptor())
        self.begin(end, address, self.link)
        return end

    def dial(self, address: str | Address, link: Link | None = None) -> Peer:
        """Begin to connect from the outside: a client that the test, not the reactor, moves."""
        return Peer(self._outside(address, link))

    def enter(
        self, address: str | Address, factory: Factory, limits: Limits | None = None, link: Link | None = None
    ) -> Client:
        """Begin to connect from the outside: a client that a machine moves, made by `factory(client)`."""
        return Client(self, self._outside(address, link), factory, limits or Limits())

    def new_link(
        self,
        seed: int,
        *,
        delay_seconds: tuple[float, float] | None = None,
        bytes_a_second: float = 0.0,
        faults: Faults | None = None,
    ) -> Link:
        """Make a link with random numbers of its own: what happens on it does not depend on who else is there."""
        return Link(
            Random(seed),
            self.met,
            delay_seconds=self.link.delay_seconds if delay_seconds is None else delay_seconds,
            bytes_a_second=bytes_a_second,
            faults=self.faults if faults is None else faults,
        )

    def bind(self, address: Address, mode: int | None = None) -> DatagramEnd:
        """Begin to take datagrams; port 0 picks one. Raises OSError where somebody does already."""
        return self.datagrams.bind(address)

    def bind_to(self, peer: Address) -> DatagramEnd:
        """Begin to take datagrams of one peer alone."""
        return self.datagrams.bind_to(peer)

    def dial_datagrams(self, address: str | Address, link: Link | None = None) -> DatagramPeer:
        """Return somebody outside who sends datagrams to an address and hears what comes back."""
        if isinstance(address, str):
            address = parse_address(address)
        return DatagramPeer(self.datagrams.outside(address.kind, link or self.link), address)

    def elsewhere(self, calls_max: int, bytes_max: int) -> SimulatedElsewhere:
        """Return what does calls at once, and tells of them later."""
        return SimulatedElsewhere(self)

    def take_back(self, channel: Channel) -> None:
        """Nothing is ever lent."""

    def abort(self, channel: Channel) -> None:
        """Close with a reset."""
        end_of(channel).abort()

    def credentials(self, channel: Channel) -> Credentials | None:
        """Return `everybody` for a UNIX socket: its own address is a path, or nothing."""
        return self.everybody if isinstance(end_of(channel).where, str) else None

    def send_file(self, channel: Channel, file: HasDescriptor, offset: int, count: int) -> int:
        """Send what can be sent of a file's part; the disk may be slow, and then all wait."""
        faults = self.faults
        if faults.slow_disk and self.random.random() < faults.slow_disk:
            self.met["slow_disk"] += 1
            self._clock += self.random.random() * faults.disk_seconds
        if faults.short_file and count > 1 and self.random.random() < faults.short_file:
            self.met["short_file"] += 1
            count = self.random.randrange(1, count)
            end_of(channel).starved = True
        return super().send_file(channel, file, offset, count)

    def _outside(self, address: str | Address, link: Link | None) -> SimulatedEnd:
        if isinstance(address, str):
            address = parse_address(address)
        link = link or self.link
        end = SimulatedEnd(self, self.capacity_bytes, link)
        self.begin(end, address, link)
        return end

    def begin(self, end: SimulatedEnd, address: Address, link: Link) -> None:
        """Begin to connect an end to an address: what `connect` and `dial` have in common."""
        far = self._new_end(link, -1)
        end.other, far.other = far, end
        end.connecting = True
        unix = address.kind == "unix"
        end.where = far.peer = "" if unix else ("client", self.new_port())
        end.peer = far.where = address.host if unix else (address.host, address.port)
        if unix:
            self._arrive((far, address, 0))  # there is no way between them
        else:
            self.carry(end, self._arrive, (far, address, 0))

    def new_port(self) -> int:
        """Return a port that nobody has had yet."""
        self._last_port += 1
        return self._last_port

    def _refusal(self, address: Address) -> int:
        """Return the error number with which an address takes nobody now; 0 where it takes one."""
        listening = self.listening.get(address)
        if listening is None:
            return ECONNREFUSED
        if len(listening.waiting) <= listening.backlog:  # as Linux: one more than was asked for
            return 0
        self.met["queue_full"] += 1
        return EAGAIN

    def _arrive(self, knock: tuple[SimulatedEnd, Address, int]) -> None:
        """A connection has come to its address; at a full queue it knocks again later, as TCP does."""
        far, address, knocks = knock
        near = far.other
        if near.closed or far.fate == GONE:
            return  # who knocked has given up meanwhile
        error = self._refusal(address)
        if error == EAGAIN and address.kind == "tcp":
            if knocks < KNOCKS_MOST:
                self._agenda.put(self._clock + (1 << knocks), self._arrive, (far, address, knocks + 1))
            else:
                near.connected(ETIMEDOUT)
            return
        if not error:
            listening = self.listening[address]
            listening.waiting.append(far)
            self.poller.touch(listening.descriptor)
        self.carry(far, near.connected, error)

    def _new_end(self, link: Link, descriptor: int) -> SimulatedEnd:
        kind = FaultyEnd if link.faults.on_calls else SimulatedEnd
        end = kind(self, self.capacity_bytes, link, descriptor)
        if descriptor >= 0:
            self.poller.pollables[descriptor] = end
        return end

    # What ends call.

    def carry(self, end: End, what: Callable[[Any], None], argument: Any) -> None:
        """Let it arrive after a delay, but not before what the same end has sent before."""
        assert isinstance(end, SimulatedEnd)  # all ends here are
        link = end.link
        least, most = link.delay_seconds
        arrival = self._clock + least + (most - least) * link.random.random()
        if not link.plain:
            size = len(argument) if type(argument) is bytes else 0
            arrival = max(arrival, end.clear_at) + link.trouble(size)
            if what == end.other.end_came and link.random.random() < link.faults.end_with_data:
                self.met["end_with_data"] += 1
                arrival = self._clock
        if arrival < end.clear_at:
            arrival = end.clear_at
        end.clear_at = arrival
        if self.grain_seconds:
            arrival = ceil(arrival / self.grain_seconds) * self.grain_seconds
        if end.fate != GONE:
            self._agenda.put(arrival, what, argument)

    def changed(self, end: End) -> None:
        """Have the poller, or who moves an end outside, look at it."""
        if end.descriptor >= 0:
            self.poller.touch(end.descriptor)
        elif end.watcher is not None:
            end.watcher(end)

    def freed(self, end: End) -> None:
        """Take the descriptor back."""
        if end.descriptor >= 0:
            self.give_descriptor(end.descriptor)
            end.descriptor = -1

    # Descriptors: the lowest free number, as the kernel gives them, so that a stale one hits somebody else.

    def take_descriptor(self) -> int:
        """Return the lowest free number. Raises OSError where there is none."""
        if self._free:
            return heappop(self._free)
        if self._used >= self.descriptors + 2:
            raise OSError(EMFILE, strerror(EMFILE))
        self._used += 1
        return self._used

    def give_descriptor(self, descriptor: int) -> None:
        """Take a number back."""
        del self.poller.pollables[descriptor]
        heappush(self._free, descriptor)

    def descriptors_used(self) -> int:
        """Return how many descriptors the server holds now."""
        return self._used - 2 - len(self._free)


def _call(function: Callable[[], None]) -> None:
    function()
