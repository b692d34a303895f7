"""Failure stays in its row, and at the door.

Whatever a machine, a peer, the observer or the kernel does wrong, the other rows must not notice: each test here has a
row beside the failing one that goes on echoing, and asks the report why the failing one has ended.
"""

import errno
import os
from collections.abc import Callable
from typing import Any, cast

import pytest
from partway.engine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    PARK,
    READ,
    Become,
    Cause,
    File,
    Idle,
    Inbox,
    Limits,
    Notice,
    PeerError,
    Reactor,
    Read,
    Reason,
    Row,
    Wait,
    Want,
)
from partway.engine.network import SimulatedEnd
from partway.engine.simulation import Peer, Simulation
from worlds import SEEDS, Acting, Acts, Rig, echo


class Trouble(Exception):
    """What a machine with a bug raises."""


class Faulty:
    """Echoes until it hears the name of one of its own members, which then fails."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.data = b""
        self.broken = ""

    def feed(self, data: bytes) -> None:
        if data == b"feed":
            raise Trouble("in feed")
        if data in (b"ended", b"refuse", b"describe", b"remaining"):
            self.broken = data.decode()
        self.data = data

    def step(self) -> Want:
        data, self.data = self.data, b""
        if data == b"step":
            raise Trouble("in step")
        if data in (b"ended", b"refuse"):
            raise PeerError("for the sake of refuse")
        return data or IDLE

    def _may_fail(self, name: str) -> None:
        if self.broken == name:
            raise Trouble(f"in {name}")

    def ended(self, reason: Reason) -> None:
        self._may_fail("ended")

    def refuse(self, reason: Reason) -> bytes:
        self._may_fail("refuse")
        return b"sorry"

    def describe(self) -> str:
        self._may_fail("describe")
        return "faulty"

    def remaining(self) -> int | None:
        self._may_fail("remaining")
        return None


def trouble_beside_an_echo(
    word: bytes, factory: Callable[[Row], Any] = Faulty, schedule: str = "fair", **options: Any
) -> tuple[Rig, Peer]:
    """Have one client cause trouble; check that another is served before, meanwhile and after."""
    rig = Rig(factory, schedule=schedule, **options)
    rig.reactor.listen("server:8", Acts(echo))
    bad, good = rig.dial(), rig.simulation.dial("server:8")
    for _ in range(3):
        good.say(b"still here")
        rig.run(0.1)
        assert good.heard() == b"still here"
        bad.say(word)
    good.say(b"and after")
    rig.run(1.0)
    assert good.heard() == b"and after"
    assert sum(row.listener == "server:8" for row in rig.reactor.rows()) == 1
    return rig, bad


@pytest.mark.parametrize("schedule", ["fair", "shortest"])
@pytest.mark.parametrize("where", ["feed", "step"])
def test_a_machine_that_raises(where: str, schedule: str) -> None:
    rig, bad = trouble_beside_an_echo(where.encode(), schedule=schedule)
    assert bad.heard() == b"sorry"
    bad.close()
    rig.run(10)
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1, str(Cause.IDLE_TOO_LONG): 1} or rig.ended == {
        str(Cause.MACHINE_ERROR): 1
    }
    (notice,) = rig.notices
    assert notice.kind == "machine error"
    assert f"in {where}" in notice.text
    assert "Traceback" in notice.text
    assert notice.key is not None


def test_a_factory_that_raises() -> None:
    def factory(row: Row) -> Acting:
        raise Trouble("in the factory")

    rig, bad = trouble_beside_an_echo(b"x", factory)
    bad.heard()
    assert bad.reset
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert "in the factory" in rig.notices[0].text


def test_a_factory_of_an_outgoing_row_that_raises() -> None:
    def factory(row: Row) -> Acting:
        raise Trouble("in the factory")

    rig = Rig(Acts(echo))
    rig.reactor.connect("server:7", factory)
    rig.run(0.1)
    assert rig.ended[str(Cause.MACHINE_ERROR)] == 1


def test_ended_that_raises() -> None:
    rig, bad = trouble_beside_an_echo(b"ended")
    assert bad.heard() == b"sorry"
    bad.close()
    rig.run(6.0)
    assert any("in ended" in notice.text or "ended()" in notice.text for notice in rig.notices)
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


def test_refuse_that_raises() -> None:
    rig, bad = trouble_beside_an_echo(b"refuse")
    assert bad.heard() == b""
    assert bad.ended
    bad.close()
    rig.run(6.0)
    assert rig.kinds() == ["machine error"]
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


def test_describe_that_raises() -> None:
    rig, bad = trouble_beside_an_echo(b"describe")
    (described,) = [row.machine for row in rig.reactor.rows() if row.listener == "server:7"]
    assert "in describe" in described
    assert bad.heard() == b"describe" * 3


def test_remaining_that_raises() -> None:
    rig, _ = trouble_beside_an_echo(b"remaining", schedule="shortest")
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert any("in remaining" in notice.text for notice in rig.notices), "a machine's bug was not reported"


@pytest.mark.parametrize("nonsense", [None, 5, "text", [b"list"], object(), Cause.DONE, (1, 2), ("text",), True, 2.5])
def test_nonsense_wants(nonsense: Any) -> None:
    rig, bad = trouble_beside_an_echo(b"x", Acts(lambda machine: nonsense if machine.take() else IDLE))
    bad.heard()
    assert bad.reset
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert rig.notices[0].kind == "machine error"


@pytest.mark.parametrize("nonsense", ["text", 5, [b"x"], object(), b"x" * 10_000_000])
@pytest.mark.parametrize("when", ["expired", "peer error"])
def test_nonsense_from_refuse(nonsense: Any, when: str) -> None:
    class Refusing(Acting):
        def refuse(self, reason: Reason) -> Any:
            return nonsense

    def act(machine: Acting) -> Want:
        if machine.take() and when == "peer error":
            raise PeerError("bad")
        return READ

    limits = Limits(request_seconds=0.5)
    rig, bad = trouble_beside_an_echo(b"x", lambda row: Refusing(row, act), limits=limits)
    bad.close()
    rig.run(6)
    assert rig.ended == {str(Cause.PEER_ERROR if when == "peer error" else Cause.REQUEST_TOO_SLOW): 1}


def test_a_peers_mistake_is_refused_after_the_good_requests_before_it() -> None:
    class Digits(Acting):
        def refuse(self, reason: Reason) -> bytes:
            return f"{reason.detail}:{reason.hint}".encode()

    def act(machine: Acting) -> Want:
        if not machine.data:
            return IDLE
        digit, machine.data = machine.data[:1], machine.data[1:]
        if not digit.isdigit():
            raise PeerError("no digit", 400)
        return digit

    rig, bad = trouble_beside_an_echo(b"12x34", lambda row: Digits(row, act))
    assert bad.heard() == b"12no digit:400"
    assert bad.ended
    assert not rig.notices, "a peer's mistake is no news of the server's"
    bad.close()
    rig.run(6)
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


def test_a_peers_mistake_without_refuse() -> None:
    def act(machine: Acting) -> Want:
        raise PeerError("bad")

    _, bad = trouble_beside_an_echo(b"x", Acts(act))
    assert bad.heard() == b""
    assert bad.ended or bad.reset


def test_refuse_is_not_said_into_an_answer() -> None:
    class Refusing(Acting):
        def refuse(self, reason: Reason) -> bytes:
            return b"REFUSED"

    rig = Rig(lambda row: Refusing(row, lambda machine: b"x" * 1_000_000), limits=Limits(stall_seconds=1))
    client = rig.dial()
    rig.run(2)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}
    assert b"REFUSED" not in client.heard()


def test_refuse_is_not_said_into_an_answer_that_has_room_again() -> None:
    class Duplex(Acting):
        duplex = True

        def feed(self, data: bytes) -> None:
            if data == b"bad":
                raise PeerError("bad")

        def refuse(self, reason: Reason) -> bytes:
            return b"REFUSED"

    rig = Rig(lambda row: Duplex(row, lambda machine: b"x" * 50_000), capacity_bytes=10_000)
    client = rig.dial()
    rig.run(0.1)
    assert rig.states == ["WRITING"]
    heard = client.heard(9000)
    client.say(b"bad")
    rig.travel()
    rig.run(0.1)
    heard += client.heard()
    assert set(heard) == {ord("x")}
    assert client.reset, "half an answer must not look like a whole one"
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


@pytest.mark.parametrize(
    "want",
    [
        b"",
        b"x",
        (),
        (b"", b""),
        memoryview(b""),
        NEXT,
        HALF_CLOSE,
        "File",
        "Become",
        "become and speak",
        Wait(0),
        Read(0),
        Idle(0),
    ],
    ids=lambda want: "memoryview" if isinstance(want, memoryview) else str(want),
)
@pytest.mark.parametrize("schedule", ["fair", "shortest"])
def test_a_machine_that_never_rests_starves_nobody(want: Any, schedule: str) -> None:
    with open(os.devnull, "rb") as file:

        def act(machine: Acting) -> Want:
            if machine.steps > 300_000:
                raise AssertionError("stepped for ever within a turn")
            if want == "File":
                return File(file, 0, 0)
            if want == "Become":
                return Become(machine)
            if want == "become and speak":
                return Become(machine) if machine.steps % 2 else b"x"
            return want

        rig = Rig(Acts(act), schedule=schedule, delay_seconds=(0.0, 0.0))
        rig.reactor.listen("server:8", Acts(echo))
        rig.hears(rig.dial())
        good = rig.simulation.dial("server:8")
        heard = rig.hears(good)
        good.say(b"still here")
        for _ in range(100):
            rig.reactor.step(0.001)
        assert heard == b"still here"
        assert all("for ever" not in notice.text for notice in rig.notices)


# The door.


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR])
def test_a_connection_that_has_gone_before_it_was_accepted(error: int) -> None:
    rig = Rig(Acts(echo))
    rig.listener.channel.failures.extend([error] * 3)  # type: ignore[attr-defined]
    client = rig.dial()
    client.say(b"x")
    rig.run(0.05)
    assert client.heard() == b"x"
    assert not rig.notices


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_descriptors_left_pauses_the_listener(error: int, seed: int) -> None:
    rig = Rig(Acts(echo), seed=seed)
    rig.listener.channel.failures.extend([error] * 5)  # type: ignore[attr-defined]
    client = rig.dial()
    client.say(b"x")
    polls = rig.simulation.polls
    rig.run(0.9)
    assert rig.simulation.polls - polls < 40
    assert client.heard() == b""
    rig.run(5.0)
    assert client.heard() == b"x"
    assert rig.kinds() == ["accept paused", "accept resumed"]
    assert errno.errorcode[error] in rig.notices[0].text


@pytest.mark.parametrize("seed", SEEDS)
def test_a_really_full_descriptor_table(seed: int) -> None:
    rig = Rig(Acts(echo), seed=seed, descriptors=4, limits=Limits(rows_max=100, idle_seconds=1e6))
    clients = rig.dials(5)
    for client in clients:
        client.say(b"x")
    rig.run(1.0)
    assert len(rig.rows) == 3
    polls, turns = rig.simulation.polls, rig.reactor.totals().turns
    rig.run(60.0)
    assert rig.simulation.polls - polls < 200, "a busy loop"
    assert rig.reactor.totals().turns - turns < 200
    assert rig.kinds() == ["accept paused"]
    served = [client for client in clients if client.heard()]
    served[0].close()
    served[1].close()
    rig.run(3.0)
    assert all(client.heard() == b"x" for client in clients if client not in served)
    assert rig.kinds() == ["accept paused", "accept resumed"]


def test_the_second_shortage_is_told_again() -> None:
    rig = Rig(Acts(echo))
    for _ in range(2):
        rig.listener.channel.failures.append(errno.EMFILE)  # type: ignore[attr-defined]
        rig.dial()
        rig.run(2.0)
    assert rig.kinds() == ["accept paused", "accept resumed"] * 2


def test_a_closed_listener_does_not_come_back_from_its_pause() -> None:
    rig = Rig(Acts(echo))
    rig.listener.channel.failures.append(errno.EMFILE)  # type: ignore[attr-defined]
    rig.dial()
    rig.run(0.05)
    assert rig.kinds() == ["accept paused"]
    rig.listener.close()
    rig.run(2.0)
    assert not rig.rows
    assert not rig.reactor.table.doors


# The observer, the poller, the channel.


def test_an_observer_that_raises() -> None:
    def observer(notice: Notice) -> None:
        raise Trouble("in the observer")

    reactor = Reactor(simulation := Simulation(1), observer=observer)
    reactor.listen("server:7", Faulty)
    bad, good = simulation.dial("server:7"), simulation.dial("server:7")
    bad.say(b"step")
    good.say(b"x")
    simulation.run(reactor, 1.0)
    assert good.heard() == b"x"
    assert reactor.table.totals.observer_failures == 1


def test_nobody_needs_to_observe() -> None:
    rig = Rig(Faulty, observed=False)
    rig.dial().say(b"step")
    rig.run(1.0)


@pytest.mark.parametrize("method", ["register", "modify"])
def test_a_poller_that_refuses_one_row(method: str) -> None:
    rig = Rig(Acts(lambda machine: b"x" * 1_000_000 if machine.take() else IDLE))
    real = getattr(rig.simulation.poller, method)
    bad = rig.dial()
    if method == "modify":
        rig.run(0.1)

    def refuse(descriptor: int, mask: int, **options: Any) -> None:
        if not options:
            raise OSError(errno.ENOSPC, "no watches left")
        real(descriptor, mask, **options)

    setattr(rig.simulation.poller, method, refuse)
    bad.say(b"x")
    rig.run(0.1)
    setattr(rig.simulation.poller, method, real)
    assert rig.ended == {str(Cause.PEER_LOST): 1}
    good = rig.dial()
    heard = rig.hears(good)
    good.say(b"x")
    rig.run(1.0)
    assert len(heard) == 1_000_000


def test_a_channel_that_fails_to_close() -> None:
    rig = Rig(Acts(echo))
    bad, good = rig.dials(2)
    rig.run(0.1)
    row = next(row for row in rig.rows if row.peer == bad.where)

    class Failing(SimulatedEnd):
        __slots__ = ()

        def close(self) -> None:
            super().close()
            raise OSError(errno.EIO, "in close")

    cast(SimulatedEnd, row.channel).__class__ = Failing
    bad.close()
    rig.run(0.1)
    good.say(b"x")
    rig.run(0.1)
    assert good.heard() == b"x"
    assert len(rig.rows) == 1


@pytest.mark.parametrize("seed", range(40))
def test_resets_at_every_moment(seed: int) -> None:
    """Clients who reset after a random while, in the midst of anything; a good one beside them has its answer."""
    with open(__file__, "rb") as file:

        def act(machine: Acting) -> Want:
            random = machine.row.random
            if machine.over or random.random() < 0.05:
                return random.choice([CLOSE, READ, IDLE])
            if not machine.take():
                return random.choice([IDLE, READ, Wait(0.001)])
            return random.choice([b"x" * 50_000, (b"x", b"y" * 40_000), PARK, NEXT, HALF_CLOSE, File(file, 0, 3000)])

        rig = Rig(Acts(act), seed=seed, capacity_bytes=20_000, limits=Limits(quantum_bytes=10_000))
        rig.reactor.listen("server:8", Acts(echo))
        random = rig.simulation.random
        for _ in range(40):
            client = rig.dial()
            client.say(b"z" * random.randrange(60_000))
            rig.simulation.after(
                random.uniform(0, 0.02), random.choice([client.abort, client.close, client.half_close])
            )
        good = rig.simulation.dial("server:8")
        heard = rig.hears(good)
        for _ in range(20):
            good.say(b"good")
            rig.run(0.002)
        rig.run(0.1)
        assert heard == b"good" * 20
        good.close()
        rig.run(400)
        assert not rig.rows
        assert rig.reactor.table.held == 0
        assert rig.simulation.descriptors_used() == 2
        assert not rig.notices


# Closing from all sides.


def test_close_from_within_its_own_step() -> None:
    steps: list[Acting] = []

    def act(machine: Acting) -> Want:
        steps.append(machine)
        if machine.take():
            machine.row.close("had enough")
            machine.row.close("again")
            return b"too late"
        return IDLE

    acts = Acts(act)
    rig, bad = trouble_beside_an_echo(b"x", acts)
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    reason = acts.only.reason
    assert reason is not None
    assert reason.detail == "had enough"
    assert bad.heard() == b"", "a closed row went on speaking"
    assert bad.ended or bad.reset


def test_a_machine_that_closes_its_row_is_not_stepped_again() -> None:
    def act(machine: Acting) -> Want:
        machine.row.close()
        return NEXT

    acts = Acts(act)
    rig = Rig(acts)
    rig.dial()
    rig.run(0.1)
    assert acts.only.steps == 1


def test_close_from_the_factory() -> None:
    acts = Acts(echo)

    def factory(row: Row) -> Acting:
        row.close("not today")
        return acts(row)

    rig, _ = trouble_beside_an_echo(b"x", factory)
    assert acts.only.steps == 0
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("schedule", ["fair", "shortest"])
def test_close_from_another_rows_step(seed: int, schedule: str) -> None:
    def act(machine: Acting) -> Want:
        data = machine.take()
        if data == b"kill":
            for other in acts.made:
                if other is not machine:
                    other.row.close("killed")
        return data or IDLE

    acts = Acts(act)
    rig = Rig(acts, seed=seed, schedule=schedule)
    killer, *others = rig.dials(5)
    rig.run(0.1)
    killer.say(b"kill")
    for other in others:
        other.say(b"x")
    rig.run(1.0)
    assert killer.heard() == b"kill"
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 4}
    assert len(rig.rows) == 1


def test_close_from_outside_between_turns() -> None:
    acts = Acts(echo)
    rig = Rig(acts)
    client = rig.dial()
    rig.run(0.1)
    acts.only.row.close("by hand")
    assert rig.reactor.next_deadline() == rig.simulation.now()
    rig.reactor.step(0)
    assert not rig.rows
    rig.run(0.1)
    client.heard()
    assert client.ended
    acts.only.row.close("a row that has gone")
    acts.only.row.wake()
    rig.reactor.step(0)


def test_a_row_that_was_closed_when_its_time_comes_is_not_stepped() -> None:
    acts = Acts(lambda machine: Wait(1.0))
    rig = Rig(acts, delay_seconds=(0.0, 0.0))
    rig.dial()
    rig.reactor.after(1.0001, lambda: acts.only.row.close("in the same tick"))
    rig.run(0.5)
    assert acts.only.steps == 1
    rig.run(1.0)
    assert acts.only.steps == 1
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}


def test_ended_closes_another_row() -> None:
    def factory(row: Row) -> Acting:
        class Half(Acting):
            def ended(self, reason: Reason) -> None:
                super().ended(reason)
                for other in made:
                    other.row.close("the other half has gone")

        made.append(Half(row, echo))
        return made[-1]

    made: list[Acting] = []
    rig = Rig(factory)
    first, _ = rig.dials(2)
    rig.run(0.1)
    first.close()
    rig.run(0.1)
    assert not rig.rows
    assert [machine.reason is not None for machine in made] == [True, True]


def test_ended_may_drain_its_buffers() -> None:
    """What is taken from a row that has gone must not be counted twice."""

    class Keeping(Acting):
        def __init__(self, row: Row) -> None:
            super().__init__(row, lambda machine: READ)
            self.inbox = Inbox(row)

        def feed(self, data: bytes) -> None:
            self.inbox.feed(data)

        def ended(self, reason: Reason) -> None:
            assert self.inbox.take() == b"kept"

    rig = Rig(Keeping, limits=Limits(request_seconds=1))
    client = rig.dial()
    client.say(b"kept")
    rig.run(0.5)
    assert rig.reactor.table.held == 4
    client.abort()
    rig.run(2)
    assert not rig.rows
    assert not rig.notices
    assert rig.reactor.table.held == 0


def test_a_buffer_that_outlives_its_row_counts_no_more() -> None:
    rig = Rig(lambda row: kept.append(Inbox(row)) or Acting(row, lambda machine: READ))  # type: ignore[func-returns-value]
    kept: list[Inbox] = []
    client = rig.dial()
    rig.run(0.1)
    kept[0].feed(b"held")
    assert rig.reactor.table.held == 4
    client.abort()
    rig.run(0.1)
    assert rig.reactor.table.held == 0
    assert kept[0].take() == b"held"
    assert rig.reactor.table.held == 0
    kept[0].feed(b"more")
    assert rig.reactor.table.held == 0


def test_step_within_a_turn_raises() -> None:
    caught: list[str] = []

    def act(machine: Acting) -> Want:
        with pytest.raises(RuntimeError, match="within a turn"):
            rig.reactor.step(0)
        caught.append("yes")
        return machine.take() or IDLE

    rig = Rig(Acts(act))
    client = rig.dial()
    client.say(b"x")
    rig.run(0.1)
    assert client.heard() == b"x"
    assert caught


def test_what_the_program_raises_leaves_through_step_and_breaks_nothing() -> None:
    """A function of `after` is the program's own code; rows whose deadlines ring in the same tick still have them."""
    rig = Rig(Acts(echo), limits=Limits(idle_seconds=5))
    rig.dials(5)
    rig.run(0.1)
    due = rig.reactor.next_deadline()
    assert due is not None
    called: list[str] = []

    def fail() -> None:
        called.append("failed")
        raise Trouble("in the program")

    rig.reactor.after(due - rig.simulation.now() - 0.01, fail)
    rig.reactor.after(due - rig.simulation.now() - 0.01, lambda: called.append("second"))
    rig.simulation.after(0, lambda: None)
    with pytest.raises(Trouble):
        while True:
            rig.simulation._clock = max(rig.simulation._clock, due + 1)  # all ring at once
            rig.reactor.step(0)
    rig.run(10)
    assert called == ["failed", "second"]
    assert not rig.rows, "a deadline was forgotten"


# Rows that have gone.


def test_a_row_that_is_queued_when_it_goes_leaves_its_descriptors_next_owner_alone() -> None:
    """Descriptors are reused at once: what was queued for one that has gone must not move who comes after."""

    def act(machine: Acting) -> Want:
        if not machine.take():
            return IDLE
        for other in acts.made:
            if other is not machine:
                other.row.close()
        return b"x" * 5000

    acts = Acts(act)
    limits = Limits(turn_bytes=1000, quantum_bytes=1000)
    rig = Rig(acts, schedule=lambda row: row.key, limits=limits, delay_seconds=(0.0, 0.0))
    clients = rig.dials(4)
    rig.run(0.1)
    for client in clients:
        client.say(b"x")
    rig.travel()
    rig.reactor.step(0)
    (left,) = rig.rows
    gone = {machine.row.descriptor for machine in acts.made if machine.row is not left}
    callers = Acts(lambda machine: READ)
    rows = [rig.reactor.connect("server:7", callers) for _ in range(3)]
    assert {row.descriptor for row in rows} == gone
    assert all(row.connecting for row in rows)
    rig.simulation.link.delay_seconds = (1.0, 1.0)
    for _ in range(10):
        rig.reactor.step(0)
        for row in rows:
            assert row.connecting or not row.channel.connecting, "taken for connected before it was"  # type: ignore[attr-defined]


def test_a_drowned_end_is_not_a_row_any_more() -> None:
    """A closed end gives its descriptor back once only."""
    simulation = Simulation(1)
    end = SimulatedEnd(simulation, 100, simulation.link)
    end.close()
    end.close()
    end.abort()
    assert end.fileno() == -1


@pytest.mark.parametrize("state", ["IDLE", "WRITING", "LINGERING"])
def test_a_signal_is_no_failure_of_the_peer(state: str) -> None:
    """Seed 3 of the simulation: Python calls again after EINTR (PEP 475), but a channel may be no socket."""
    big = bytes(1_000_000)
    plans = {"IDLE": Acts(echo), "WRITING": Acts(lambda machine: big if machine.take() else IDLE)}
    rig = Rig(plans.get(state) or Acts(lambda machine: CLOSE))
    peer = rig.dial()
    if state == "WRITING":
        peer.say(b"x")
    rig.run(0.1)
    assert rig.states == [state]

    class Interrupted(SimulatedEnd):
        __slots__ = ()

        def recv(self, size: int) -> bytes:
            self.__class__ = SimulatedEnd  # type: ignore[assignment]
            raise InterruptedError(errno.EINTR, "interrupted")

        def send(self, data: Any) -> int:
            self.__class__ = SimulatedEnd  # type: ignore[assignment]
            raise InterruptedError(errno.EINTR, "interrupted")

    (row,) = rig.rows
    cast(SimulatedEnd, row.channel).__class__ = Interrupted
    if state == "WRITING":
        peer.heard()
    else:
        peer.say(b"x" * 10)
    rig.run(0.1)
    assert type(row.channel) is SimulatedEnd, "it was not called"
    assert rig.rows == [row]


@pytest.mark.parametrize("then", [HALF_CLOSE, CLOSE, ABORT, IDLE, b"words", NEXT, PeerError, ValueError], ids=str)
def test_whatever_follows_a_row_that_its_machine_has_closed(then: Any) -> None:
    """Seeds 1012 and 1043 of the simulation: half a close on a mute channel left the turn as an AttributeError."""

    def act(machine: Acting) -> Want:
        if machine.take():
            machine.row.close("enough")
            if isinstance(then, type):
                raise then("late")
            return cast(Want, then)
        return IDLE

    rig = Rig(Acts(act))
    bad, _ = rig.dials(2)
    bad.say(b"x")
    rig.run(0.1)
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert rig.kinds() == (["machine error"] if then is ValueError else [])
    assert rig.states == ["IDLE"]


@pytest.mark.parametrize("nothing", [b"", bytearray(), (), (b"",)], ids=repr)
def test_nothing_to_send_is_sent_to_nobody(nothing: Any) -> None:
    """After our end even no byte at all is one too many for a socket: EPIPE."""
    acts = Acts(lambda machine: (HALF_CLOSE, nothing, nothing, IDLE)[min(machine.steps, 4) - 1])
    rig = Rig(acts)
    peer = rig.dial()
    rig.run(0.1)
    assert rig.states == ["IDLE"]
    peer.say(b"heard")
    rig.run(0.1)
    assert acts.only.data == b"heard"
    rig.reactor.close()


def test_a_duplex_that_fails_is_its_own_rows_failure() -> None:
    """Whoever wakes a row that is blocked asks it whether it reads meanwhile."""

    class Fickle(Acting):
        broken = False

        @property
        def duplex(self) -> bool:
            if self.broken:
                raise Trouble("in duplex")
            return False

    made: list[Fickle] = []

    def factory(row: Row) -> Fickle:
        made.append(Fickle(row, lambda machine: bytes(1_000_000) if machine.take() == b"big" else IDLE))
        return made[-1]

    rig = Rig(factory)
    blocked, waker = rig.dials(2)
    blocked.say(b"big")
    rig.run(0.1)
    victim = next(machine for machine in made if machine.row.peer == blocked.where)
    other = next(machine for machine in made if machine is not victim)
    victim.broken = True

    def wake(machine: Acting) -> Want:
        if machine.take():
            victim.row.wake()
            return b"woken"
        return IDLE

    other.act = wake
    waker.say(b"x")
    rig.run(0.1)
    assert waker.heard() == b"woken"
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert victim.reason is not None and "in duplex" in victim.reason.detail
    assert rig.kinds() == ["machine error"]


@pytest.mark.parametrize("rest", [IDLE, READ], ids=str)
@pytest.mark.parametrize("change", [HALF_CLOSE, "become"], ids=str)
def test_an_end_is_fed_once_whatever_the_machine_does_then(change: Any, rest: Want) -> None:
    """An idle row whose machine changed something on hearing the end, and was idle again, was fed it at every turn."""
    ends: list[bytes] = []

    class Changing(Acting):
        def feed(self, data: bytes) -> None:
            super().feed(data)
            if not data:
                ends.append(data)

    def act(machine: Acting) -> Want:
        if machine.over and machine.memory is None:
            machine.memory = True
            return Become(machine) if change == "become" else cast(Want, change)
        return rest

    rig = Rig(lambda row: Changing(row, act))
    peer = rig.dial()
    rig.run(0.1)
    peer.half_close()
    rig.run(0.5)
    assert len(ends) == (2 if change == "become" else 1), "another machine is told as well"
    assert rig.rows == []


def test_who_holds_nothing_is_not_evicted_for_a_row_that_goes() -> None:
    """What the doomed hold is freed at this turn's end: nobody else must go for it."""

    class Hoarding(Acting):
        def __init__(self, row: Row, act: Callable[[Acting], Want]) -> None:
            super().__init__(row, act)
            self.inbox = Inbox(row)

        def feed(self, data: bytes) -> None:
            self.inbox.feed(data)

        def step(self) -> Want:
            if len(self.inbox) > 1000:
                self.row.close("enough")
            return IDLE

    rig = Rig(lambda row: Hoarding(row, echo), limits=Limits(held_bytes_max=1000))  # type: ignore[arg-type]
    greedy, *others = rig.dials(5)
    rig.run(0.1)
    greedy.say(bytes(2000))
    rig.run(0.1)
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert len(rig.rows) == len(others) == 4
