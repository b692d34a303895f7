"""Turns within a budget of time, and what foreign loops are told: each lasts one machine's step too long at the most.

On the host platform, whose clock goes on by a millisecond whenever a machine, a factory or a function of the program's
is called. Then whole simulated servers all of whose turns are as short as can be, or every third of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from partway.engine import CLOSE, IDLE, NEXT, PARK, READ, Limits, Reactor, Reason, Row, Want
from partway.engine.host import Host
from partway.stress.simulate.case import draw
from partway.stress.simulate.examine import examine

STEP_SECONDS = 0.001
HERE = "here:1"
LIMITS = Limits(accepts_a_turn=100)


class World:
    """A host with a clock that goes on while somebody works, and what has been done."""

    def __init__(self, act: Callable[["Working"], Want], limits: Limits = LIMITS, schedule: str = "fair") -> None:
        self.clock = 0.0
        self.done: list[str] = []
        self.act = act
        self.host = Host(lambda: self.clock, seed=1)
        self.reactor = Reactor(self.host, limits=limits, schedule=schedule)
        self.reactor.listen(HERE, lambda row: Working(self, row))

    def works(self, what: str) -> None:
        self.clock += STEP_SECONDS
        self.done.append(what)

    def opens(self, count: int) -> list[int]:
        """Let so many connect and become idle."""
        numbers = [self.host.open(HERE) for _ in range(count)]
        while self.reactor.step(0):
            pass
        self.done.clear()
        return numbers

    def turn(self, steps: float) -> list[str]:
        """Take a turn within as many steps' time; return what was done in it."""
        self.done.clear()
        begun = self.clock
        self.reactor.step(0, steps * STEP_SECONDS)
        assert self.clock - begun < (steps + 1) * STEP_SECONDS + 1e-9, "it overran by more than a step"
        return self.done.copy()

    def turns(self, steps: float) -> list[str]:
        """Take turns until there is nothing to do; return all that was done."""
        done = []
        for _ in range(1000):
            some = self.turn(steps)
            done += some
            if not some and self.reactor.seconds_left() != 0:
                return done
        raise AssertionError("it goes on for ever")


class Working:
    """Does as the function says in each step, which takes a while."""

    def __init__(self, world: World, row: Row) -> None:
        self.world = world
        self.row = row
        self.data = b""
        world.done.append(f"make {row.key}")

    def feed(self, data: bytes) -> None:
        self.data += data

    def step(self) -> Want:
        self.world.works(f"step {self.row.key}")
        return self.world.act(self)

    def refuse(self, reason: Reason) -> bytes:
        self.world.works(f"refuse {self.row.key}")
        return b"too late"

    def ended(self, reason: Reason) -> None:
        self.world.works(f"end {self.row.key}")


def echo(machine: Working) -> Want:
    data, machine.data = machine.data, b""
    return data or IDLE


def for_ever(machine: Working) -> Want:
    return b"x" if machine.data else IDLE


# Each part of a turn.


@pytest.mark.parametrize("schedule", ["fair", "shortest"])
@pytest.mark.parametrize("steps", [0, 0.5, 1, 3, 7])
def test_ready_rows(steps: float, schedule: str) -> None:
    """All in turn: nobody has a second step before everybody has had one."""
    world = World(echo, schedule=schedule)
    numbers = world.opens(20)
    for number in numbers:
        world.host.feed(number, b"hello")
    assert 1 <= len(world.turn(steps)) <= steps + 1
    assert world.reactor.next_deadline() == world.clock, "there is work left"
    world.turns(steps)
    keys = world.reactor.keys()
    assert all(row.sent == 5 for row in world.reactor.rows())
    for number in numbers:
        world.host.feed(number, b"again")
    first = world.turns(steps)[:20]
    assert sorted(first) == sorted(f"step {key}" for key in keys) or schedule == "shortest"


def test_it_says_whether_work_is_left() -> None:
    world = World(echo)
    (number,) = world.opens(1)
    world.host.feed(number, b"hello")
    assert world.reactor.step(0, 0.5 * STEP_SECONDS), "it has answered, and would rest"
    assert not world.reactor.step(0, 5 * STEP_SECONDS)
    assert world.reactor.seconds_left() == LIMITS.idle_seconds or (world.reactor.seconds_left() or 0) > 1


def test_one_that_never_ends_has_one_step_at_a_time() -> None:
    world = World(for_ever)
    one, other = world.opens(2)
    world.host.feed(one, b"!")
    world.host.feed(other, b"!")
    for _ in range(10):
        done = world.turn(4)
        assert sorted(map(done.count, set(done))) == [2, 2]


def test_requests_that_come_in_one_piece() -> None:
    def answer(machine: Working) -> Want:
        if not machine.data:
            return IDLE
        machine.data = machine.data[1:]
        return NEXT

    world = World(answer)
    (number,) = world.opens(1)
    world.host.feed(number, b"x" * 30)
    assert len(world.turn(5)) == 5
    assert len(world.turns(5)) == 30 + 1 - 5


def test_those_who_come() -> None:
    """A factory and a first step each; those who are not heard at once are told of by the poller."""
    world = World(echo)
    for _ in range(10):
        world.host.feed(world.host.open(HERE), b"hello")
    assert world.turn(1) == ["make 1", "step 1"]
    world.turns(3)
    assert [row.sent for row in world.reactor.rows()] == [5] * 10


@pytest.mark.parametrize("speaks", [True, False])
def test_one_who_comes_and_is_answered_for_ever(speaks: bool) -> None:
    """With the step of its admission, or when it is heard at once."""
    world = World(for_ever if speaks else lambda machine: b"x")
    number = world.host.open(HERE)
    if speaks:
        world.host.feed(number, b"!")
    assert len(world.turn(3)) <= 5, "made, and stepped as often as there was time"


def test_several_doors() -> None:
    """Each is opened, but not all in a turn that has no time."""
    world = World(echo)
    for place in range(2, 8):
        world.reactor.listen(f"here:{place}", lambda row: Working(world, row))
        world.host.open(f"here:{place}")
    assert len(world.turn(0)) == 2, "one was made and stepped"
    world.turns(0)
    assert len(world.reactor.keys()) == 6


def test_datagrams() -> None:
    class Service:
        def admit(self, data: bytes, peer: object) -> bytes:
            world.works("admit")
            return data

    world = World(echo)
    world.reactor.bind("udp:127.0.0.1:5", Service())
    for number in range(20):
        world.host.datagram("udp:127.0.0.1:5", b"hello", ("127.0.0.1", 1000 + number))
    assert world.turn(4) == ["admit"] * 4
    assert world.turns(4) == ["admit"] * 16
    assert len(world.host.take_datagrams("udp:127.0.0.1:5")) == 20


def test_a_row_of_datagrams() -> None:
    class Service:
        def admit(self, data: bytes, peer: object) -> Callable[[Row], Working]:
            return lambda row: Working(world, row)

    world = World(lambda machine: b"x" if len(machine.data) else IDLE)
    world.reactor.bind("udp:127.0.0.1:5", Service())
    world.host.datagram("udp:127.0.0.1:5", b"hello", ("127.0.0.1", 1000))
    assert world.turn(1)[:2] == ["make 1", "step 1"]
    assert world.turn(3) == ["step 1"] * 3


def test_alarms_ring_once_and_in_order() -> None:
    """Also when nobody has taken a turn for long."""
    world = World(lambda machine: READ if machine.data else IDLE, Limits(request_seconds=5, rate_min=0))
    for number in world.opens(10):
        world.clock += 0.01
        world.host.feed(number, b"x")
        world.reactor.step(0)
    for delay in (3.0, 1.0, 2.0):
        world.reactor.after(delay, lambda delay=delay: world.works(f"after {delay}"))  # type: ignore[misc]
    keys = world.reactor.keys()
    world.clock += 100
    done = [*world.turn(2), *world.turns(2)]
    afters = ["after 1.0", "after 2.0", "after 3.0"]
    assert [what for what in done if not what.startswith("end")] == [*afters, *(f"refuse {key}" for key in keys)]


def test_ends() -> None:
    world = World(lambda machine: CLOSE if machine.data else IDLE)
    world.opens(10)
    keys = world.reactor.keys()
    for key in keys:
        world.reactor.kill(key)
    assert len(world.turn(3)) == 3
    assert world.reactor.next_deadline() == world.clock
    assert len(world.turns(3)) == 7
    assert world.reactor.keys() == []


def test_a_watched_descriptor_is_not_forgotten() -> None:
    """Nor starved by others: with no time at all each turn still does one thing of each kind."""
    world = World(for_ever)
    (number,) = world.opens(1)
    world.host.feed(number, b"!")
    world.turn(0)
    world.host.open(HERE)
    world.reactor.after(0, lambda: world.works("after"))
    seen: list[str] = []
    for _ in range(4):
        world.done.clear()
        world.reactor.step(0, 0)
        seen += [what.split()[0] for what in world.done]
    assert {"make", "step", "after"} <= set(seen)


def test_a_program_that_fails_in_a_turn_leaves_the_next_as_it_was() -> None:
    world = World(for_ever)
    (number,) = world.opens(1)

    def fail() -> None:
        raise KeyError("the program's")

    world.reactor.after(0, fail)
    world.clock += 1.0
    with pytest.raises(KeyError):
        world.reactor.step(0, 1.0)
    world.host.feed(number, b"!")
    for _ in range(2):  # at the door, and from the queue
        world.done.clear()
        world.reactor.step(0)
        assert len(world.done) > 3, "a turn without a budget has a whole quantum again"


def test_who_was_left_in_line_is_served_once_in_the_next_turn() -> None:
    """He is ready for the poller, too."""
    world = World(echo)
    for number in world.opens(3):
        world.host.feed(number, b"hello")
    assert len(world.turn(0)) == 1
    world.done.clear()
    world.reactor.step(0)
    assert [world.done.count(f"step {key}") for key in world.reactor.keys()[1:]] == [2, 2], "answered, and at rest"


# Whole servers.


@contextmanager
def budgets(choose: Callable[[int], float | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have each turn of all reactors as long as a function of its number says."""
    step = Reactor.step

    def within(self: Reactor, timeout: float | None = None, budget_seconds: float | None = None) -> bool:
        return step(self, timeout, choose(self.table.totals.turns))

    with monkeypatch.context() as patch:
        patch.setattr(Reactor, "step", within)
        yield


@pytest.mark.parametrize("seed", range(25))
def test_servers_all_of_whose_turns_are_short(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with budgets(lambda turn: 0.0, monkeypatch):
        assert examine(draw(seed)).broken is None


@pytest.mark.parametrize("seed", [*range(25), 87, 112])
def test_servers_some_of_whose_turns_are_short(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds 87 and 112: ready in a short turn, given work in hand by a long one, and then taken for ready."""
    with budgets(lambda turn: None if turn % 3 else 0.0, monkeypatch):
        assert examine(draw(seed)).broken is None


# What a foreign loop is told.


def test_it_is_told_when_there_is_something_to_do_earlier() -> None:
    world = World(lambda machine: PARK)
    world.opens(3)
    told: list[float | None] = []
    world.reactor.on_hurry(lambda: told.append(world.reactor.seconds_left()))
    rows = list(world.reactor.table.rows.values())
    for act in (
        rows[0].wake,
        lambda: world.reactor.kill(rows[1].key),
        lambda: world.reactor.after(0.5, lambda: None),
        lambda: rows[2].close(),
        lambda: world.reactor.drain(),
    ):
        told.clear()
        act()
        assert told and all(seconds is not None and seconds < 0.51 for seconds in told)
        told.clear()
        world.reactor.step(0)
        assert not told, "in a turn nobody needs to be told"


def test_in_a_turn_nobody_is_told() -> None:
    """The turn's end sees to it."""
    world = World(lambda machine: PARK)
    world.opens(1)
    (row,) = world.reactor.table.rows.values()
    world.reactor.after(0, row.wake)
    told: list[bool] = []
    world.reactor.on_hurry(lambda: told.append(world.reactor.stepping))
    world.clock += 1.0
    world.reactor.step(0)
    assert row.queued and told == []


def test_two_loops_cannot_have_one_reactor() -> None:
    reactor = World(echo).reactor
    reactor.on_hurry(print)
    with pytest.raises(RuntimeError, match="another loop has this reactor"):
        reactor.on_hurry(print)
    reactor.on_hurry(None)
    reactor.on_hurry(print)
