"""Calls: a machine leaves, and comes back exactly once, whatever happens meanwhile to it, to the work and to the rest.

On the simulation, where a call takes as long as the seed says. What runs in real children, threads and processes is
tested in `test_elsewhere.py`.
"""

from collections.abc import Callable
from errno import EAGAIN, EMFILE
from os import strerror
from typing import Any

import pytest
from partway.engine import IDLE, PARK, READ, Become, Call, CallError, Cause, Limits, Outcome, Reason, Row, Want
from partway.engine.simulation import Faults, Peer
from places import PlaceRig, Service
from worlds import SEEDS, Rig

UPPER = Call(bytes.upper, b"hello", how="thread")


class Asking:
    """Does what a function says for each line, and answers with what came of it."""

    def __init__(self, row: Row, act: Callable[["Asking", bytes], Want]) -> None:
        self.row = row
        self.act = act
        self.data = b""
        self.steps = 0
        self.outcomes: list[Outcome] = []
        self.told: list[Outcome] = []
        self.reason: Reason | None = None

    def feed(self, data: bytes) -> None:
        self.data += data

    def resume(self, outcome: Outcome) -> None:
        assert self.reason is None
        self.outcomes.append(outcome)
        self.told.append(outcome)

    def ended(self, reason: Reason) -> None:
        self.reason = reason

    def step(self) -> Want:
        self.steps += 1
        if self.outcomes:
            value, error, _ = self.outcomes.pop(0)
            return b"%s\n" % (value if error is None else repr(error).encode())
        line, end, rest = self.data.partition(b"\n")
        if not end:
            return IDLE
        self.data = rest
        return self.act(self, line)


class World(Rig):
    """A server whose machines do as the function says; all of them are kept to be looked at."""

    def __init__(self, act: Callable[[Asking, bytes], Want], **options: Any) -> None:
        self.machines: list[Asking] = []
        self.act = act
        super().__init__(self._make, **{"delay_seconds": (0.0, 0.0)} | options)

    def _make(self, row: Row) -> Asking:
        self.machines.append(Asking(row, self.act))
        return self.machines[-1]

    def asks(self, count: int, words: bytes = b"hello\n") -> list[Peer]:
        peers = self.dials(count)
        for peer in peers:
            peer.say(words)
        return peers

    def close(self) -> None:
        self.reactor.close()
        assert self.simulation.descriptors_used() == 0
        assert self.reactor.table.called == {}


def upper(machine: Asking, line: bytes) -> Call:
    return Call(bytes.upper, line, how="thread")


# A call that is waited for.


@pytest.mark.parametrize("seed", SEEDS)
def test_there_and_back(seed: int) -> None:
    world = World(upper, seed=seed)
    peer = world.dial()
    peer.say(b"hello\nagain\n")
    world.run(1.0)
    assert peer.heard() == b"HELLO\nAGAIN\n"
    assert world.states == ["IDLE"]
    assert world.machines[0].told == [Outcome(b"HELLO"), Outcome(b"AGAIN")]
    world.close()


def test_while_it_waits() -> None:
    """It takes no bytes, and the table says where it is."""
    world = World(upper, faults=Faults(call_seconds=100.0))
    peer = world.dial()
    peer.say(b"hello\n")
    world.run(0.001)
    peer.say(b"more")
    world.run(0.001)
    (row,) = world.reactor.rows()
    assert (row.state, row.interest, row.calls, row.received) == ("WAITING", "e", "thread", 6)
    totals = world.reactor.totals()
    assert (totals.calls, totals.calls_waiting) == (1, 0)
    world.close()
    assert world.machines[0].told == []


def test_what_goes_wrong_is_told_too() -> None:
    world = World(lambda machine, line: Call(int, line, how="process"))
    (peer,) = world.asks(1)
    world.run(1.0)
    assert peer.heard().startswith(b"ValueError(")
    with pytest.raises(ValueError, match="invalid literal"):
        world.machines[0].told[0].result()
    assert Outcome(3).result() == 3


def test_a_child_that_is_killed_is_an_outcome() -> None:
    world = World(upper, faults=Faults(call_killed=1.0))
    (peer,) = world.asks(1)
    world.run(1.0)
    assert b"CallError('thread was killed by SIGKILL" in peer.heard()
    assert world.states == ["IDLE"]


def test_a_wake_does_not_step_who_waits_for_a_call() -> None:
    world = World(upper, faults=Faults(call_seconds=100.0))
    (peer,) = world.asks(1)
    world.run(0.001)
    (machine,) = world.machines
    steps = machine.steps
    machine.row.wake()
    world.run(0.001)
    assert machine.steps == steps and world.states == ["WAITING"]
    world.run(100.0)
    assert peer.heard() == b"HELLO\n"


def test_who_woke_itself_before_it_called_is_not_stepped_either() -> None:
    def act(machine: Asking, line: bytes) -> Want:
        machine.row.wake()
        return Call(bytes.upper, line, how="thread")

    world = World(act, faults=Faults(call_seconds=100.0))
    (peer,) = world.asks(1)
    world.run(0.001)
    assert world.machines[0].steps == 1 + 1, "when it came, and when it was asked"
    world.run(100.0)
    assert peer.heard() == b"HELLO\n"


def test_the_peers_end_is_known_when_it_comes_back() -> None:
    """And steps nobody before."""
    world = World(upper, faults=Faults(call_seconds=100.0))
    (peer,) = world.asks(1)
    world.run(0.001)
    peer.half_close()
    (machine,) = world.machines
    steps = machine.steps
    world.run(0.001)
    assert machine.row.peer_ended and machine.steps == steps
    world.run(110.0)
    assert peer.heard() == b"HELLO\n" and peer.ended
    assert world.ended == {Cause.DONE: 1}


def test_inline_is_here_and_now() -> None:
    world = World(lambda machine, line: Call(bytes.upper, line))
    (peer,) = world.asks(1)
    world.run(0.2)
    assert peer.heard() == b"HELLO\n"


def test_over_datagrams() -> None:
    service = Service(lambda row: Asking(row, upper))
    rig = PlaceRig(service)
    peer = rig.dial()
    peer.say(b"hello\n")
    rig.run(1.0)
    assert peer.heard() == [b"HELLO\n"]


def test_a_row_of_datagrams_has_nothing_to_lend() -> None:
    service = Service(lambda row: Asking(row, lambda machine, line: Call(bytes.upper, line, lend=True)))
    rig = PlaceRig(service)
    peer = rig.dial()
    peer.say(b"hello" * 20 + b"\n")
    rig.run(1.0)
    assert peer.heard() == [b"ValueError('a row of datagrams has no connection to lend')\n"]


def test_the_simulation_lends_nothing() -> None:
    world = World(lambda machine, line: Call(bytes.upper, line, lend=True))
    (peer,) = world.asks(1)
    world.run(1.0)
    assert peer.heard().startswith(b"NotImplementedError('the simulation lends no connection")


def test_a_machine_that_could_not_be_told() -> None:
    class Deaf:
        def __init__(self, row: Row) -> None:
            pass

        def feed(self, data: bytes) -> None:
            pass

        def step(self) -> Want:
            return UPPER

    rig = Rig(Deaf)
    rig.dial()
    rig.run(1.0)
    assert rig.ended == {Cause.MACHINE_ERROR: 1}
    assert "Deaf has no resume()" in rig.notices[0].text
    assert len(rig.reactor.table.offload) == 0


def test_a_resume_that_fails_ends_its_row_alone() -> None:
    world = World(upper)
    one, other = world.asks(2)
    world.run(0.0001)

    def resume(outcome: Outcome) -> None:
        raise RuntimeError("a bug")

    world.machines[0].resume = resume  # type: ignore[method-assign]
    world.run(1.0)
    assert world.ended == {Cause.MACHINE_ERROR: 1}
    assert sorted([bytes(one.heard()), bytes(other.heard())]) == [b"", b"HELLO\n"]
    assert "resume of Asking" in world.notices[0].text


# A row that ends meanwhile.


@pytest.mark.parametrize("way", ["reset", "killed", "waited too long", "reactor closed"])
def test_a_row_that_ends_meanwhile(way: str) -> None:
    """The call is cancelled, its place is free, and nobody is told."""
    world = World(upper, faults=Faults(call_seconds=1e6), limits=Limits(waiting_seconds=20, calls_max=1))
    (peer,) = world.asks(1)
    world.run(0.001)
    (machine,) = world.machines
    if way == "reset":
        peer.abort()
    elif way == "killed":
        world.reactor.kill(machine.row.key)
    elif way == "reactor closed":
        world.close()
        assert machine.reason is not None and machine.told == []
        return
    else:
        world.run(19.9)
        assert machine.reason is None
    world.run(0.2)
    assert machine.reason is not None
    assert machine.reason.cause == {"reset": Cause.PEER_LOST, "killed": Cause.CLOSED_BY_PROGRAM}.get(
        way, Cause.WAITED_TOO_LONG
    )
    assert machine.told == [] and len(world.reactor.table.offload) == 0
    world.close()


def test_one_that_ends_while_its_call_is_queued() -> None:
    world = World(upper, faults=Faults(call_seconds=10.0), limits=Limits(calls_max=1))
    first, second, third = world.asks(3)
    world.run(0.001)
    assert sorted(row.calls for row in world.reactor.rows()) == ["queued", "queued", "thread"]
    assert world.reactor.totals().calls_waiting == 2
    for row in list(world.reactor.rows()):
        if row.calls == "queued":
            world.reactor.kill(row.key)
            break
    world.run(0.001)
    assert world.reactor.totals().calls_waiting == 1
    world.run(30.0)
    assert sorted([bytes(first.heard()), bytes(second.heard()), bytes(third.heard())]) == [b"", b"HELLO\n", b"HELLO\n"]
    world.close()


def test_who_has_become_another_hears_nothing_of_its_predecessors_calls() -> None:
    heard: list[Outcome] = []

    class Heir:
        def feed(self, data: bytes) -> None:
            pass

        def resume(self, outcome: Outcome) -> None:
            heard.append(outcome)

        def step(self) -> Want:
            return IDLE

    def act(machine: Asking, line: bytes) -> Want:
        machine.row.call(bytes.upper, line, how="thread")
        return Become(Heir())

    world = World(act)
    world.asks(1)
    world.run(1.0)
    assert heard == [] and world.states == ["IDLE"]
    assert len(world.reactor.table.offload) == 0
    world.close()


# Calls beside the row's own work.


@pytest.mark.parametrize("seed", SEEDS)
def test_several_at_once_in_any_order(seed: int) -> None:
    def act(machine: Asking, line: bytes) -> Want:
        for number in range(5):
            machine.row.call(bytes.upper, line + b"abcde"[number : number + 1], how="thread", tag=number)
        return READ

    world = World(act, seed=seed)
    (peer,) = world.asks(1, b"x\n")
    world.run(0.01)
    assert next(iter(world.reactor.rows())).state in ("READING", "IDLE")
    world.run(1.0)
    told = world.machines[0].told
    assert sorted(told) == [Outcome(b"X" + b"ABCDE"[number : number + 1], None, number) for number in range(5)]
    assert sorted(peer.heard().split()) == [b"XA", b"XB", b"XC", b"XD", b"XE"]
    world.close()


def test_nothing_comes_of_it_within_the_step_that_asked() -> None:
    """Inline too, and where it cannot even begin."""
    seen: list[int] = []

    def act(machine: Asking, line: bytes) -> Want:
        machine.row.call(bytes.upper, line, how="inline", tag="inline")
        seen.append(len(machine.told))
        return PARK

    world = World(act)
    (peer,) = world.asks(1)
    world.run(0.1)
    assert seen == [0]
    assert peer.heard() == b"HELLO\n"
    assert world.machines[0].told == [Outcome(b"HELLO", None, "inline")]


def test_one_that_is_cancelled_before_it_began() -> None:
    def act(machine: Asking, line: bytes) -> Want:
        machine.row.call(done.append, line)
        machine.row.close()
        return PARK

    done: list[bytes] = []
    world = World(act)
    world.asks(1)
    world.run(1.0)
    assert done == []
    world.close()


def test_a_connection_is_not_lent_beside_other_work() -> None:
    world = World(lambda machine, line: machine.row.table.offload.ask_besides(machine.row, Call(int, lend=True), 0))  # type: ignore[func-returns-value]
    world.asks(1)
    world.run(0.1)
    assert world.ended == {Cause.MACHINE_ERROR: 1}


# The program's own.


def test_the_programs_own_calls() -> None:
    world = World(upper)
    told: list[Outcome] = []
    world.reactor.call(bytes.upper, b"mine", how="thread", tell=told.append)
    world.reactor.call(told.append, "and nobody is told")
    world.run(1.0)
    assert sorted(map(str, told)) == sorted([str(Outcome(b"MINE")), "and nobody is told"])


def test_what_the_program_does_with_it_is_its_own_affair() -> None:
    world = World(upper)

    def fail(outcome: Outcome) -> None:
        raise KeyError("the program's")

    world.reactor.call(bytes.upper, b"mine", how="thread", tell=fail)
    with pytest.raises(KeyError):
        world.run(1.0)


def test_nor_does_it_keep_anybody_waiting() -> None:
    """Those who queue behind the call of a program that fails are served all the same."""
    world = World(upper, limits=Limits(calls_max=1))

    def fail(outcome: Outcome) -> None:
        raise KeyError("the program's")

    world.reactor.call(bytes.upper, b"mine", how="thread", tell=fail)
    world.reactor.call(bytes.upper, b"mine too", how="thread", tell=fail)
    (peer,) = world.asks(1)
    failed = 0
    for _ in range(3):
        try:
            world.run(1.0)
        except KeyError:
            failed += 1
    assert failed == 2 and peer.heard() == b"HELLO\n"
    assert len(world.reactor.table.offload) == 0
    world.close()


def test_what_ends_a_program_does_not_end_ours() -> None:
    """sys.exit() in a thread is an outcome like another."""
    world = World(upper)
    told: list[Outcome] = []
    offload = world.reactor.table.offload
    world.reactor.call(bytes.upper, b"mine", how="thread", tell=told.append)
    world.run(0.0001)
    (ticket,) = offload._running.values()
    ticket.work._outcome = Outcome(error=SystemExit(3))  # type: ignore[union-attr]
    world.run(1.0)
    assert isinstance(told[0].error, CallError) and "SystemExit(3)" in str(told[0].error)


# How many.


def test_so_many_at_once_and_the_rest_in_order() -> None:
    begun: list[bytes] = []
    limits = Limits(calls_max=3)
    world = World(lambda machine, line: Call(begun.append, line, how="thread"), limits=limits)
    for number in range(10):
        world.asks(1, b"%d\n" % number)
        world.travel()
        world.reactor.step(0)
        assert world.reactor.totals().calls <= 3
    assert begun[:3] == [b"0", b"1", b"2"]
    world.run(2.0)
    assert begun == [b"%d" % number for number in range(10)]


def test_a_queue_that_is_full_says_so() -> None:
    limits = Limits(calls_max=1, calls_waiting_max=2)
    world = World(upper, limits=limits, faults=Faults(call_seconds=10.0))
    peers = world.asks(5)
    world.run(40.0)
    answers = sorted(bytes(peer.heard()) for peer in peers)
    assert answers[2:] == [b"HELLO\n"] * 3 or answers[:3] == [b"HELLO\n"] * 3
    refused = [answer for answer in answers if answer != b"HELLO\n"]
    assert refused == [b"BlockingIOError(%d, 'too many calls wait already')\n" % EAGAIN] * 2


def test_no_descriptor_left_for_a_call() -> None:
    """That is the call's failure, and nobody else's."""
    world = World(upper, descriptors=2, limits=Limits(rows_max=1))
    (peer,) = world.asks(1)
    world.run(1.0)
    assert peer.heard() == f"{OSError(EMFILE, strerror(EMFILE))!r}\n".encode()
    assert world.states == ["IDLE"]
    world.close()
