"""How the protocols besides echo, lines and HTTP are served in a simulation."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from ...engine import ABORT, READ, Cause, Limits, Reactor, Reason, Row, Want
from ...engine.machine import Machine
from ...engine.outside import Client
from ...engine.platform import Where
from ...engine.simulation import Simulation
from ...protocols.chat import Room
from ...protocols.control import Control
from ...protocols.echo import Echo
from ...protocols.forward import Forward, Half
from ..clients import dialogue as dialogues
from ..clients.chat import KNOCKED, Chat, Record
from ..clients.control import Operate
from ..clients.dialogue import Dialogue
from ..clients.kinds import KINDS, Place
from ..clients.script import Script
from ..clients.unheard import Unheard
from .held import held_by
from .scripted import Scripted
from .served import SERVER, TIMED_OUT, Served, Service
from .shout import Shout
from .stage import Stage

KINDS_STOCK = tuple(name for name in KINDS if name != "flood")


# A server that does as it is told.


def _begin_script(reactor: Reactor, simulation: Simulation) -> Service:
    stage = Stage(reactor)
    reactor.listen(SERVER, lambda row: Scripted(row, stage))
    return Service(lambda place: Script(place.random), stage.file.close, shared=(stage,))


def _script_holds(limits: Limits) -> int:
    """A line that is not whole, or what was read ahead, and one read more."""
    return max(limits.line_bytes, limits.receive_bytes) + limits.receive_bytes


SCRIPT = Served(_begin_script, _script_holds)


# The operator's door.


def _begin_control(reactor: Reactor, simulation: Simulation) -> Service:
    control = Control(reactor)
    reactor.listen(SERVER, control)
    return Service(lambda place: Operate(place.random, f"client:{place.key}"), shared=(control, reactor))


def _line_holds(limits: Limits) -> int:
    """A line that is not whole, and one read more."""
    return limits.line_bytes + limits.receive_bytes


CONTROL = Served(
    _begin_control,
    _line_holds,
    kinds=tuple(name for name in KINDS_STOCK if name != "garbage"),  # a wrong key ends somebody else's row
)


# A chat.


class KnockedRoom(Room):
    """A room that answers a knock after a while, when all who have spoken may have gone to sleep."""

    seconds = (0.0, 0.01, 0.05)

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        self.reactor = reactor
        self.knocks = 0

    def say(self, author: int, text: str, most: int) -> None:
        """Put a message into the log; and one more later, where this one knocks."""
        super().say(author, text, most)
        found = KNOCKED.fullmatch(text.partition(": ")[2]) if author else None
        if found:
            key, number = int(found[1]), int(found[2])
            self.reactor.after(self.seconds[number % 3], lambda: self._answer(key, number, most))

    def _answer(self, key: int, number: int, most: int) -> None:
        self.knocks += 1
        self.say(0, f"* the {self.knocks}th knock was A{key} {number}", most)


BACKLOG_LINES = (20, 100_000)
"""Of which the first is soon met in a crowd, and the second never."""


def _begin_chat(reactor: Reactor, simulation: Simulation) -> Service:
    record = Record()
    backlog_lines = BACKLOG_LINES[simulation.seed % 2]
    reactor.listen(SERVER, KnockedRoom(reactor), replace(reactor.limits, backlog_lines=backlog_lines))
    came = 0

    def dialogue(place: Place) -> Dialogue:
        nonlocal came
        came += 1
        return Chat(place.random, place.key, record, talks=min(0.7, 10 / came))  # each line goes to everybody

    def excuse(client: Client, reason: Reason | None) -> bool:
        """Who is too far behind is let go."""
        behind = reason is not None and reason.cause is Cause.PEER_ERROR and "messages behind" in reason.detail
        return behind and backlog_lines == BACKLOG_LINES[0]

    return Service(dialogue, excuse=excuse)


CHAT = Served(
    _begin_chat,
    _line_holds,
    # Noise would be said to all under a member's name; and who ends his side leaves before a knock is answered.
    kinds=tuple(name for name in KINDS_STOCK if name not in ("garbage", "half-close")),
    freezes=False,  # a room's members freeze only together
)


# A tunnel.


class Mute:
    """Takes all and never answers."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def feed(self, data: bytes) -> None:
        """Drop what came."""

    def step(self) -> Want:
        """Wait for more."""
        return READ


class Resetting(Mute):
    """Resets as soon as a byte has come."""

    def step(self) -> Want:
        """Wait for one."""
        return ABORT if self.row.received else READ


TARGET = "server:8"
NOBODY = "server:9"
ANSWERING: tuple[tuple[Callable[[Row], Machine], Callable[[Place], Dialogue]], ...] = (
    (Echo, lambda place: dialogues.Echo(place.random)),
    (Shout, lambda place: dialogues.Shout(place.random)),
)
FAILING: tuple[tuple[Callable[[Row], Machine], str], ...] = ((Mute, TARGET), (Resetting, TARGET), (Mute, NOBODY))
FAILING_SEEDS = 5  # one in so many


class Tunnels:
    """The rows that belong together, by the client's address: who has ended a tunnel is found among them."""

    def __init__(self, reactor: Reactor, simulation: Simulation, target: str) -> None:
        self.reactor = reactor
        self.simulation = simulation
        self.forward = Forward(reactor, target)
        self.rows: dict[Where, list[Row]] = {}
        self.clients: dict[Where, Where] = {}  # by the address from which the tunnel goes on

    def __call__(self, row: Row) -> Half:
        """Begin a tunnel."""
        near = self.forward(row)
        self.rows[row.peer] = [row]
        if near.partner is not None:
            far = near.partner.row
            self.rows[row.peer].append(far)
            self.clients[far.local] = row.peer
        return near

    def arrived(self, row: Row) -> None:
        """A tunnel's far end has come to the target."""
        self.rows[self.clients[row.peer]].append(row)

    def excuse(self, client: Client, reason: Reason | None) -> bool:
        """Tell whether some row of a client's tunnel has met what a tunnel cannot survive."""
        rows = self.rows.get(client.local, [])
        causes = {row.reason.cause for row in rows if row.reason is not None}
        met, limits = self.simulation.met, self.reactor.limits
        most = ROWS_A_TUNNEL * len(self.rows)  # at any one time, at most
        full = most > self.simulation.descriptors - LISTENERS or 0 < limits.rows_max < most or met["queue_full"] > 0
        kept_waiting = full or met["accept_no_descriptor"] or met["accept_no_buffers"]
        if limits.waiting_seconds > LONG_SECONDS:
            causes.discard(Cause.WAITED_TOO_LONG)  # nothing in any world takes so long: somebody was not woken
        late = kept_waiting or met["clock_jump"] or client._end.link.faults.lost
        refused = met["accept_aborted"] > 0 or limits.rows_per_peer_max > 0
        return bool(
            self.reactor.draining
            or (len(rows) < 2 and full)
            or (causes & TIMED_OUT and late)
            or (Cause.NOT_CONNECTED in causes and full)
            or (len(rows) < ROWS_A_TUNNEL and refused)  # it never came to the target
            or (Cause.EVICTED in causes and limits.held_bytes_max)
        )


LONG_SECONDS = 100  # more than any clock jumps, or any segment takes
LISTENERS = 2
ROWS_A_TUNNEL = 3


def _begin_forward(reactor: Reactor, simulation: Simulation) -> Service:
    """Serve a tunnel, and what it leads to, over a network in which calls fail but no connection breaks."""
    random = Random(simulation.seed)
    unbroken = replace(simulation.faults, reset=0.0, broken_pipe=0.0, no_buffers=0.0, lost=0.0, vanished=0.0)
    simulation.link = simulation.new_link(simulation.seed, faults=unbroken)
    if random.random() * FAILING_SEEDS < 1:
        machine, target = random.choice(FAILING)
        reactor.listen(TARGET, machine)
        reactor.listen(SERVER, Forward(reactor, target))
        return Service(lambda place: Unheard(place.random), excuse=lambda client, reason: True)
    answers, dialogue = random.choice(ANSWERING)
    tunnels = Tunnels(reactor, simulation, TARGET)

    def answering(row: Row) -> Machine:
        tunnels.arrived(row)
        return answers(row)

    reactor.listen(TARGET, answering)
    reactor.listen(SERVER, tunnels)
    return Service(dialogue, excuse=tunnels.excuse)


def _tunnel_holds(limits: Limits) -> int:
    """What is read ahead, or a line that is not whole; and one read more."""
    return max(limits.relay_bytes, limits.line_bytes) + limits.receive_bytes


def _held_by_half(machine: object) -> int:
    """Measure one half alone: what its partner holds is counted on the partner's row."""
    return len(machine.inbox) if isinstance(machine, Half) else held_by(machine)


FORWARD = Served(
    _begin_forward,
    _tunnel_holds,
    freezes=False,  # a tunnel's halves freeze only together
    held_by=_held_by_half,
)
