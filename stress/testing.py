r"""Testing a machine of one's own.

    from partway.stress.testing import Says, simulate

    simulate(MyMachine, Says(b"hello\n", hears=b"HELLO\n"), seeds=range(100))

The clients say what they were given in all kinds of ways (whole, byte by byte, all at once, cut off, half closed), in
worlds whose faults and limits come from the seed, while every invariant is watched and rows are frozen and thawed. What
fails is made small, run again with its machines' steps written down, and raised as one AssertionError.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from random import Random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from ..engine import Inbox, Limits, Reactor, Reason, Row, Weight
from ..engine.faults import Faults
from ..engine.machine import Machine
from ..engine.row import LINGERING
from ..engine.simulation import Simulation
from .clients.dialogue import Dialogue, Owed
from .clients.kinds import KINDS, Place
from .simulate.broken import BrokenError
from .simulate.case import Case, Visitor, draw
from .simulate.examine import FREEZING, Broken
from .simulate.served import SERVER, Served, Service
from .simulate.shrink import Shrinking, size_of
from .simulate.world import Outcome, World

__all__ = ["Case", "Faults", "Limits", "Owed", "Result", "Says", "SimulationFailure", "Visitor", "simulate"]

HELD_MOST = 65536  # bytes of a machine beside one read, where the user says nothing
RESTLESS_MOST = 200  # times that a row is stepped without moving anything; and then no more than these:
RESTS_A_SECOND = 200  # a machine may look at something now and then
LINES_SHOWN = 16  # of the last steps before a failure
BYTES_SHOWN = 40
SHRINK_SECONDS_MOST = 10.0  # CPU

Exchange = tuple[bytes, bytes]
"""What a client says, and what it is owed for it."""


class Says:
    r"""A conversation: `Says(b"hello\n", hears=b"HELLO\n")`, or one of several exchanges, `Says((b"a", b"A"), ...)`.

    It begins again when it is over, as often as the seed has it, unless it is said `once`. A server that speaks first
    owes its `greeting` to everybody.
    """

    def __init__(
        self, *exchanges: bytes | Exchange, hears: bytes = b"", greeting: bytes = b"", once: bool = False
    ) -> None:
        if len(exchanges) == 1 and isinstance(exchanges[0], bytes):
            exchanges = ((exchanges[0], hears),)
        elif hears or not exchanges:
            raise TypeError('Says(b"...", hears=b"...") has one exchange; several are pairs: Says((b"a", b"A"), ...)')
        for exchange in exchanges:
            if not isinstance(exchange, tuple) or list(map(type, exchange)) != [bytes, bytes]:
                raise TypeError(f"an exchange is a pair of bytes, said and heard, and not {exchange!r}")
        self.exchanges: tuple[Exchange, ...] = exchanges  # type: ignore[assignment]
        self.greeting = greeting
        self.once = once


Talk = Says | Callable[[Random], Exchange] | type[Owed]
"""What a client talks about: a conversation, a function that draws the next exchange, or a dialogue with a memory."""


class Spoken(Owed):
    """The client's side of a conversation."""

    def __init__(self, random: Random, says: Says) -> None:
        super().__init__(random)
        self.says = says
        self.owed += says.greeting
        self.promised += len(says.greeting)

    def exchange(self) -> Exchange:
        """Return the next exchange."""
        exchanges = self.says.exchanges
        self.last = self.says.once and self.asked + 1 >= len(exchanges)
        return exchanges[self.asked % len(exchanges)]


class Drawn(Owed):
    """A dialogue whose exchanges are drawn one by one."""

    def __init__(self, random: Random, draws: Callable[[Random], Exchange]) -> None:
        super().__init__(random)
        self.draws = draws

    def exchange(self) -> Exchange:
        """Draw."""
        return self.draws(self.random)


class Result(NamedTuple):
    """What came of all runs, none of which has failed."""

    seeds: tuple[int, ...]
    requests: int  # answers that clients have heard whole
    rows: int
    turns: int
    met: Counter[str]  # faults by name


class SimulationFailure(AssertionError):
    """A machine has failed in a simulation: the seed, the invariant that is broken, and the smallest case found."""

    def __init__(self, text: str, invariant: str, case: Case) -> None:
        super().__init__(text)
        self.invariant = invariant
        self.case = case
        self.seed = case.seed

    def __reduce__(self) -> tuple[type["SimulationFailure"], tuple[str, str, Case]]:
        return type(self), (str(self), self.invariant, self.case)


def simulate(
    factory: Callable[[Row], Machine],
    clients: Talk | Sequence[Talk],
    *,
    seed: int | None = None,
    seeds: Iterable[int] = range(100),
    case: Case | None = None,
    faults: bool | Faults = True,
    limits: Limits | None = None,
    freezes: bool = True,
    held_most: int | None = None,
    shared: Sequence[object] = (),
    kinds: Sequence[str] = tuple(KINDS),
) -> Result:
    """Serve machines of `factory` to crowds of clients, one world a seed, and sum up what came of it.

    `seed` runs one alone, `case` one that a failure has shown. `faults` are drawn where True, `limits` where None. A
    machine may hold `held_most` bytes (64 KiB and one read). `freezes` False is for one that cannot be frozen. `shared`
    is what all rows have in common: it is neither frozen nor measured with one of them. `kinds` are the ways in which
    clients behave, by their names in `partway.stress.clients.kinds`.

    Raises SimulationFailure at the first failure.
    """
    __tracebackhide__ = True
    talks = tuple(clients) if isinstance(clients, Sequence) else (clients,)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not talks or not kinds:
        raise ValueError(f"there is no kind of client {unknown[0]!r}" if unknown else "nobody would come")
    read = 65536 if limits is None else limits.receive_bytes
    trial = Trial(
        factory, talks, faults, limits, freezes, held_most or HELD_MOST + read, (factory, *shared), tuple(kinds)
    )
    if case is not None:
        cases: Iterable[Case] = (case,)
    else:
        cases = map(trial.draw, seeds if seed is None else (seed,))
    done, met, requests, rows, turns = [], Counter[str](), 0, 0, 0
    for one in cases:
        try:
            outcome = trial.run(one)
        except BrokenError as error:
            failure = report(trial, one, Broken(error.invariant, error.detail), shrinks=case is None)
            raise failure from None
        except Exception as error:
            error.add_note(f"partway: in the simulation with seed {one.seed}")
            raise
        done.append(one.seed)
        met.update(outcome.met)
        requests, rows, turns = requests + outcome.requests, rows + outcome.rows, turns + outcome.turns
    return Result(tuple(done), requests, rows, turns, met)


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
            raise BrokenError(FREEZING, "what the clients have heard, or when, is not the same")
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
            world.reactor.close()
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


# What a machine holds.

NO_DATA = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, Row, Reactor, Simulation, Limits, Reason)
BYTES = (bytes, bytearray, memoryview, str)


def measured(machine: object, shared: Sequence[object], most: int) -> int:
    """Return how many bytes a machine's buffers have counted. Raises BrokenError where it holds more than `most`.

    Bytes in no buffer of the engine's are looked for too: nobody else would notice a list that grows without end.
    """
    counted = found = 0
    seen = {id(thing) for thing in shared}
    left = [machine]
    while left:
        thing = left.pop()
        if thing is None or id(thing) in seen or isinstance(thing, (int, float, Random, *NO_DATA)):
            continue
        seen.add(id(thing))
        if isinstance(thing, Inbox):
            counted += len(thing)
            found += len(thing)
        elif isinstance(thing, Weight):
            counted += thing.count
        elif isinstance(thing, BYTES):
            found += len(thing)
        elif isinstance(thing, Mapping):
            left += thing.keys()
            left += thing.values()
        elif isinstance(thing, (list, tuple, set, frozenset, deque)):
            left += thing
        else:
            left += parts(thing)
    if max(counted, found) > most:
        detail = f"{type(machine).__name__} holds {max(counted, found)} bytes of {most} (held_most)"
        raise BrokenError("a buffer over its cap", f"{detail}; the engine was told of {counted}")
    return counted


def parts(thing: object) -> list[object]:
    """Return what an object's attributes refer to."""
    slots = (name for base in type(thing).__mro__ for name in base.__dict__.get("__slots__", ()))
    return [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in slots)]


# What a failure says.


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


class Smaller(Shrinking):
    """A failing case of a trial on its way to a small one."""

    def __init__(self, trial: Trial, case: Case, broken: Broken) -> None:
        super().__init__(case, broken, seconds_most=SHRINK_SECONDS_MOST)
        self.trial = trial

    def shrink(self) -> None:
        """Freeze after each turn, where a row was frozen now and then: so it still is when the crowd has gone."""
        if self.case.freezes:
            self._fails(replace(self.case, freezes=1.0))
        super().shrink()

    def examined(self, case: Case) -> Broken | None:
        """Run a case as the trial does."""
        try:
            self.trial.run(case)
        except BrokenError as error:
            return Broken(error.invariant, error.detail)
        return None


def report(trial: Trial, case: Case, broken: Broken, shrinks: bool) -> SimulationFailure:
    """Make a failure's case small, run it again with its steps written down, and put it into words."""
    smaller = Smaller(trial, case, broken)
    if shrinks:
        smaller.shrink()
    small, broken = smaller.case, smaller.broken
    lines: deque[str] = deque(maxlen=LINES_SHOWN)
    try:
        trial.run_once(small, lines)
    except BrokenError:
        pass
    text = [
        f"seed {case.seed}: {broken.invariant}",
        trimmed(broken.detail),
        "",
        f"The smallest case found has {size_of(small)}; its last steps:",
        *(f"    {line}" for line in lines),
        "",
        f"Again: simulate({trial.name}, ..., seed={case.seed}), with pytest --partway-seed {case.seed}; the small one:",
        f"    case={written(small)}",
    ]
    return SimulationFailure("\n".join(text), broken.invariant, small)


def trimmed(detail: str) -> str:
    """Leave the middle out of a long detail: of a traceback, what the machine's caller did counts least."""
    lines = detail.rstrip().splitlines()
    return "\n".join(lines if len(lines) <= 10 else [lines[0], "  ...", *lines[-8:]])


def written(thing: Any) -> str:
    """Write a case as the call that makes it, without what it need not say."""
    if isinstance(thing, tuple) and thing and isinstance(thing[0], Visitor):
        return "(" + ", ".join(map(written, thing)) + ",)"
    if not isinstance(thing, (Case, Visitor)):
        return repr(thing)
    said = []
    for each in fields(thing):
        value = getattr(thing, each.name)
        stock = each.default_factory() if callable(each.default_factory) else each.default
        if value != stock:
            said.append(f"{each.name}={written(value)}")
    return f"{type(thing).__name__}({', '.join(said)})"
