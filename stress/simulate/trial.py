"""A machine of the user's own on trial: worlds drawn and run, its steps written down where that is wanted."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ...engine import Limits, Reactor, Row
from ...engine.faults import Faults
from ...engine.machine import Machine
from ...engine.row import LINGERING
from ...engine.simulation import Simulation
from ..clients.dialogue import Dialogue
from ..clients.kinds import Place
from ..clients.says import Drawn, Says, Spoken, Talk
from .broken import BrokenError
from .case import Case, draw
from .examine import AGAIN, FREEZING
from .held import measured
from .served import SERVER, Served, Service
from .world import Outcome, World

RESTLESS_MOST = 200  # times that a row is stepped without moving anything; and then no more than these:
RESTS_A_SECOND = 200  # a machine may look at something now and then
BYTES_SHOWN = 40


@dataclass(frozen=True)
class Trial:
    """What `simulate` was asked for: runs one case after the other."""

    factory: Callable[[Row], Machine]
    talks: tuple[Talk, ...]
    faults: bool | Faults
    limits: Limits | None
    freezes: bool
    held_most: int
    shared: tuple[object, ...]
    kinds: tuple[str, ...]
    mistakes: list[Exception] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the machine is called."""
        return getattr(self.factory, "__name__", type(self.factory).__name__)

    def served(self, lines: "deque[str] | None" = None) -> Served:
        """Describe the protocol to the simulation; with `lines`, machines write down there what they do."""
        shared = self.shared if lines is None else (*self.shared, lines)

        def make(row: Row) -> Machine:
            machine = self.factory(row)
            return machine if lines is None else Noted(machine, row, lines)

        def begin(reactor: Reactor, simulation: Simulation) -> Service:
            reactor.listen(SERVER, make)
            return Service(self.dialogue, shared=shared)

        def held(machine: object) -> int:
            return measured(machine, shared, self.held_most)

        return Served(begin, lambda limits: self.held_most, self.kinds, self.freezes, held)

    def dialogue(self, place: Place) -> Dialogue:
        """Make a client's side: of one of the talks."""
        talk = place.random.choice(self.talks)
        dialogue: Any
        if isinstance(talk, Says):
            dialogue = Spoken(place.random, talk)
        else:
            dialogue = talk(place.random) if isinstance(talk, type) else Drawn(place.random, talk)
        dialogue.flood_bytes = 2 * self.held_most  # enough to break the cap, had the machine none
        dialogue.ask = self.guarded(dialogue.ask)
        return dialogue  # type: ignore[no-any-return]

    def guarded(self, ask: Callable[[], bytes]) -> Callable[[], bytes]:
        """Remember what the test's own code raises: to the simulation that is a client who has failed, as any other."""

        def guard() -> bytes:
            try:
                return ask()
            except Exception as error:
                self.mistakes.append(error)
                raise

        return guard

    def draw(self, seed: int) -> Case:
        """Draw a case from a seed, and hold to what was asked for."""
        case = draw(seed, (self.name,), {self.name: self.served()})
        if isinstance(self.faults, Faults):
            case = replace(case, faults=changed(self.faults, Faults()))
        elif not self.faults:
            case = replace(case, faults={})
        if self.limits is not None:
            case = replace(case, limits=changed(self.limits, Limits()))
        return case

    def run(self, case: Case) -> Outcome:
        """Run a case, and again without freezing where rows were frozen. Raises BrokenError."""
        outcome = self.run_once(case)
        if case.freezes and outcome.digest != self.run_once(replace(case, freezes=0.0)).digest:
            same = outcome.digest == self.run_once(case).digest  # else nothing can be said of freezing
            raise BrokenError(FREEZING if same else AGAIN, "what the clients have heard, or when, is not the same")
        return outcome

    def run_once(self, case: Case, lines: "deque[str] | None" = None) -> Outcome:
        """Run a case to its end, and leave nothing open. Raises BrokenError, and what the test's own code raised."""
        self.mistakes.clear()
        world = World(case, {case.protocol: self.served(lines)})
        try:
            restless = Restless(world)
            while world.step():
                if restless.found:
                    raise BrokenError("a busy loop", restless.found)
            outcome = world.finish()
        except BrokenError:
            if not self.mistakes:
                raise
        finally:
            world.close()
        if self.mistakes:
            raise self.mistakes[0]
        return outcome


class Restless:
    """Who rests or lines up again and again, and moves nothing in between: no byte, no request."""

    def __init__(self, world: World) -> None:
        self.rows: dict[int, tuple[tuple[int, ...], int, float]] = {}
        self.found = ""
        table = world.reactor.table
        arm, push = table.arm, table.queue.push

        def armed(row: Row) -> None:
            self.count(row)
            arm(row)

        def pushed(row: Row, work: int) -> None:
            self.count(row)
            push(row, work)

        table.arm = armed  # type: ignore[method-assign]
        table.queue.push = pushed  # type: ignore[method-assign]

    def count(self, row: Row) -> None:
        """Count one more time, which nobody can raise anything for: the engine would take it for the machine's."""
        if row.state >= LINGERING:
            return  # its machine is stepped no more; what it throws away is not counted
        moved = (row.received, row.sent, row.requests)
        last, times, since = self.rows.get(row.key, (None, 0, 0.0))
        if last != moved:
            self.rows[row.key] = moved, 0, row.table.now
            return
        self.rows[row.key] = moved, times + 1, since
        seconds = row.table.now - since
        if times >= RESTLESS_MOST and times > RESTS_A_SECOND * seconds:
            self.found = f"{row} was stepped for {times} turns in {seconds:.6f} s, and has moved nothing"


def changed(numbers: Any, stock: Any) -> dict[str, Any]:
    """Return the fields that are not the stock ones."""
    pairs = ((each.name, getattr(numbers, each.name)) for each in fields(numbers))
    return {name: value for name, value in pairs if value != getattr(stock, name)}


class Noted:
    """A machine that writes down what it was fed and what it wants, in place of the one that it wraps."""

    def __init__(self, machine: Machine, row: Row, lines: "deque[str]") -> None:
        self.machine = machine
        self.row = row
        self.lines = lines

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "machine":  # asked of one that is being thawed
            raise AttributeError(name)
        return getattr(self.machine, name)

    def feed(self, data: bytes) -> None:
        """Write it down."""
        self._note(f"is fed {shown(data)}" if data else "is fed the end")
        self.machine.feed(data)

    def step(self) -> Any:
        """Write it down."""
        try:
            want = self.machine.step()
        except Exception as error:
            self._note(f"raises {error!r}")
            raise
        self._note(f"wants {shown(want)}")
        return want

    def _note(self, text: str) -> None:
        self.lines.append(f"{self.row.now - 1000:11.6f} s  row {self.row.key} {text}")


def shown(want: Any) -> str:
    """Write bytes or a want, shortened."""
    if isinstance(want, (bytes, bytearray, memoryview)):
        more = f"... ({len(want)} bytes)" if len(want) > BYTES_SHOWN else ""
        return f"{bytes(want[:BYTES_SHOWN])!r}{more}"
    return f"({', '.join(map(shown, want))})" if isinstance(want, tuple) else repr(want)
