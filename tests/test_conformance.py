"""One conformance suite: the same tests on the simulation and on real sockets under four selectors.

Whatever moves the bytes, a machine must not be able to tell. Each test names one thing that the engine owes; it runs on
several seeds of the simulation, and over TCP and UNIX sockets on the kernel, so that neither can drift from the other.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from partway.engine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Cause,
    File,
    Idle,
    Limits,
    Read,
    Row,
    Wait,
    Want,
)
from worlds import SEEDS, Acting, Acts, Client, RealWorld, SimulatedWorld, World, echo, script

BIG = 1 << 20
HAVE_IP6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
REAL = ["lean-ip4", "lean-unix", "epoll-ip4", "poll-ip4", "poll-unix", "select-ip4", *["lean-ip6"] * HAVE_IP6]
SIMULATED = [f"simulation-{seed}" for seed in SEEDS]
EVERYWHERE = SIMULATED + REAL


@cache
def pattern(size: int) -> bytes:
    """Bytes of which no part looks like another."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def make_world(name: str, folder: str, limits: Limits | None = None) -> World:
    kind, _, rest = name.partition("-")
    return (
        SimulatedWorld(int(rest), limits=limits)
        if kind == "simulation"
        else RealWorld(kind, rest, folder, limits=limits)
    )


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="partway") as path:  # a UNIX socket's path is 107 bytes at most
        yield path


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest, folder: str) -> Iterator[World]:
    world = make_world(request.param, folder)
    yield world
    world.close()


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, folder: str) -> Iterator[RealWorld]:
    world = make_world(request.param, folder)
    assert isinstance(world, RealWorld)
    yield world
    world.close()


def served(world: World, factory: Acts) -> Client:
    """Listen with this factory, dial once."""
    world.listen(factory)
    return world.dial()


# Bytes.


def test_echo(world: World) -> None:
    client = served(world, Acts(echo))
    for _ in range(3):
        client.heard.clear()
        client.say(b"hello")
        world.until(lambda: client.heard == b"hello")
    assert world.states() == ["IDLE"]


def test_echo_of_a_mebibyte(world: World) -> None:
    client = served(world, Acts(echo))
    data = pattern(BIG)
    client.say(data)
    world.until(lambda: len(client.heard) == BIG)
    assert client.heard == data


def test_an_answer_larger_than_any_buffer(world: World) -> None:
    data = pattern(4 * BIG)
    client = served(world, script(data, CLOSE))
    world.until(lambda: client.over)
    assert client.heard == data
    assert client.ended


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_each_kind_of_piece(world: World, kind: type) -> None:
    data = pattern(BIG)
    client = served(world, script(kind(data), kind(b"the end"), CLOSE))
    world.until(lambda: client.over)
    assert client.heard == data + b"the end"


def test_a_memoryview_of_wider_items(world: World) -> None:
    data = pattern(BIG)
    client = served(world, script(memoryview(data).cast("I"), CLOSE))
    world.until(lambda: client.over)
    assert client.heard == data


def test_a_tuple_of_pieces(world: World) -> None:
    data = pattern(BIG)
    pieces = tuple(data[start : start + 100] for start in range(0, BIG, 100))
    client = served(world, script((*pieces, b"", bytearray(b"tail"), memoryview(b"end")), (), (b"", b""), CLOSE))
    world.until(lambda: client.over)
    assert client.heard == data + b"tailend"


def test_nothing_is_a_want_too(world: World) -> None:
    client = served(world, script(b"", bytearray(), memoryview(b""), b"x", (), b"", IDLE))
    world.until(lambda: client.heard == b"x")
    world.until(lambda: world.states() == ["IDLE"])


def test_the_server_speaks_first(world: World) -> None:
    client = served(world, script(b"220 ready\r\n", IDLE))
    world.until(lambda: client.heard == b"220 ready\r\n")
    assert world.states() == ["IDLE"]


def test_a_client_that_does_not_read_blocks_nobody_else(world: World) -> None:
    data = pattern(8 * BIG)
    world.listen(Acts(lambda machine: data if machine.take() else IDLE))
    deaf, other = world.dial(), world.dial()
    deaf.reading = False
    deaf.say(b"x")
    world.until(lambda: "WRITING" in world.states())
    other.say(b"x")
    world.until(lambda: len(other.heard) == len(data))
    assert other.heard == data
    assert "WRITING" in world.states()
    deaf.reading = True
    world.until(lambda: len(deaf.heard) == len(data))


def test_a_blocked_machine_is_not_fed(world: World) -> None:
    data = pattern(8 * BIG)
    acts = Acts(lambda machine: data if machine.take() else IDLE)
    client = served(world, acts)
    client.reading = False
    client.say(b"x")
    world.until(lambda: world.states() == ["WRITING"])
    client.say(b"y" * 1000)
    world.turns(20)
    assert acts.only.data == b""
    assert acts.only.row.received == 1


class Duplex(Acting):
    """Answers a byte with a lot, and takes bytes meanwhile."""

    duplex = True


def test_a_duplex_machine_is_fed_while_it_is_blocked(world: World) -> None:
    made: list[Duplex] = []
    data = pattern(8 * BIG)

    def factory(row: Row) -> Duplex:
        made.append(Duplex(row, lambda machine: data if machine.take() == b"x" else IDLE))
        return made[-1]

    world.listen(factory)
    client = world.dial()
    client.reading = False
    client.say(b"x")
    world.until(lambda: world.states() == ["WRITING"])
    client.say(b"y" * 1000)
    world.until(lambda: made[0].data == b"y" * 1000)
    client.half_close()
    world.until(lambda: made[0].over)
    assert world.states() == ["WRITING"]
    client.reading = True
    world.until(lambda: client.ended)
    assert client.heard == data


# Ends.


@pytest.mark.parametrize("rest", [IDLE, READ])
def test_reading_after_the_peers_end_means_close(world: World, rest: Want) -> None:
    acts = Acts(lambda machine: machine.take() or rest)
    client = served(world, acts)
    client.say(b"last words")
    client.half_close()
    world.settle()
    world.until(lambda: client.ended)
    assert client.heard == b"last words"
    assert acts.only.over
    assert world.ended() == {str(Cause.DONE if rest is IDLE else Cause.CUT_SHORT): 1}


def test_an_answer_still_owed_at_the_peers_end(world: World) -> None:
    def act(machine: Acting) -> Want:
        if not machine.over:
            return READ
        return machine.take()[::-1] or CLOSE

    client = served(world, Acts(act))
    client.say(pattern(BIG // 4))
    client.half_close()
    world.until(lambda: client.ended)
    assert client.heard == pattern(BIG // 4)[::-1]
    world.settle()
    assert world.ended() == {str(Cause.DONE): 1}


def test_half_close_by_the_machine(world: World) -> None:
    acts = script(b"bye", HALF_CLOSE, HALF_CLOSE, IDLE)
    client = served(world, acts)
    world.until(lambda: client.ended)
    assert client.heard == b"bye"
    assert len(world.states()) == 1
    client.say(b"still talking")
    world.until(lambda: acts.only.data == b"still talking")
    client.close()
    world.settle()
    assert world.ended() == {str(Cause.DONE): 1}


def test_a_half_closed_row_that_waits_hears_what_the_peer_said_last(world: World) -> None:
    def act(machine: Acting) -> Want:
        if machine.steps == 1:
            return HALF_CLOSE
        if machine.steps == 2:
            return Wait(0.05)
        return READ

    acts = Acts(act)
    client = served(world, acts)
    world.until(lambda: client.ended)
    client.say(b"last words")
    client.half_close()
    world.settle()
    assert acts.only.data == b"last words"
    assert acts.only.over


@pytest.mark.parametrize("unread", [b"", b"x" * 30_000], ids=["nothing", "much"])
def test_close_loses_nothing(world: World, unread: bytes) -> None:
    data = pattern(BIG)
    acts = script(data, CLOSE)
    world.listen(acts)
    client = world.dial()
    client.say(unread)
    world.until(lambda: client.over)
    assert client.ended, "the client was reset"
    assert client.heard == data
    client.close()
    world.settle()
    assert world.ended() == {str(Cause.DONE): 1}


def test_a_closed_row_lingers_for_the_peers_end(world: World) -> None:
    client = served(world, script(b"bye", CLOSE))
    world.until(lambda: client.ended)
    assert world.states() == ["LINGERING"]
    client.say(b"ignored" * 5000)
    world.turns(5)
    assert world.states() == ["LINGERING"]
    client.half_close()
    world.settle()


def test_abort_is_a_reset(world: World) -> None:
    client = served(world, Acts(lambda machine: ABORT if machine.take() else IDLE))
    client.say(b"x")
    world.until(lambda: client.over)
    world.settle()
    assert client.reset or not world.resets
    assert world.ended() == {str(Cause.ABORTED): 1}


def test_ended_comes_once_and_last(world: World) -> None:
    acts = Acts(echo)
    client = served(world, acts)
    client.say(b"x")
    world.until(lambda: client.heard)
    assert acts.only.reason is None
    client.close()
    world.settle()
    assert acts.only.reason is not None
    assert acts.only.reason.cause is Cause.DONE


@pytest.mark.parametrize("when", ["at once", "idle", "mid-request", "blocked", "parked", "lingering"])
def test_a_reset_at_any_moment(world: World, when: str) -> None:
    plans: dict[str, Acts] = {
        "at once": Acts(echo),
        "idle": Acts(echo),
        "mid-request": Acts(lambda machine: READ),
        "blocked": script(pattern(8 * BIG), CLOSE),
        "parked": Acts(lambda machine: Wait(0.05) if machine.steps < 4 else IDLE),
        "lingering": script(b"x", CLOSE),
    }
    states = {"idle": "IDLE", "mid-request": "READING", "blocked": "WRITING", "parked": "WAITING"}
    client = served(world, plans[when])
    if when == "blocked":
        client.reading = False
    if when == "lingering":
        world.until(lambda: world.states() == ["LINGERING"])
    elif when in states:
        world.until(lambda: world.states() == [states[when]])
    client.abort()
    world.until(lambda: not world.reactor.table.rows and (when == "at once" or world.ended()))
    other = world.dial()
    if when in ("at once", "idle"):
        other.say(b"alive")
        world.until(lambda: other.heard == b"alive")


# Waiting.


def test_park_and_wake(world: World) -> None:
    acts = Acts(lambda machine: machine.memory or PARK)
    client = served(world, acts)
    world.until(lambda: world.states() == ["WAITING"])
    client.say(b"nobody takes this")
    world.turns(5)
    assert acts.only.data == b""
    steps = acts.only.steps
    acts.only.memory = b"woken"
    world.turns(5)
    assert acts.only.steps == steps
    acts.only.row.wake()
    acts.only.row.wake()
    world.step()
    acts.only.memory = None
    world.until(lambda: client.heard)
    assert set(bytes(client.heard).split(b"woken")) == {b""}


def test_wait_for_seconds(world: World) -> None:
    began: list[float] = []

    def act(machine: Acting) -> Want:
        began.append(machine.row.now)
        return Wait(0.05) if len(began) < 3 else CLOSE

    client = served(world, Acts(act))
    world.until(lambda: client.ended)
    assert len(began) == 3
    for earlier, later in pairwise(began):
        assert 0.05 <= later - earlier < 5.0


@pytest.mark.parametrize("want", [Read(0.05), Idle(0.05)], ids=["Read", "Idle"])
def test_reading_for_some_seconds(world: World, want: Want) -> None:
    acts = Acts(lambda machine: machine.take() or (CLOSE if machine.steps > 3 else want))
    client = served(world, acts)
    client.say(b"heard at once")
    world.until(lambda: client.heard == b"heard at once")
    world.until(lambda: client.ended)


def test_the_peers_end_is_noticed_while_parked(world: World) -> None:
    acts = Acts(lambda machine: CLOSE if machine.row.peer_ended else PARK)
    client = served(world, acts)
    world.until(lambda: world.states() == ["WAITING"])
    client.say(b"unread")
    client.half_close()
    if world.tells_peer_end:
        world.until(lambda: client.ended)
        world.settle()
    else:
        world.turns(5)
        assert world.states() == ["WAITING"]
        assert [row.interest for row in world.reactor.rows()] == ["-"]


def test_bytes_before_the_peers_end_can_be_read_after_a_wait(world: World) -> None:
    acts = Acts(lambda machine: Wait(0.05) if machine.steps == 1 else machine.take() or READ)
    client = served(world, acts)
    client.say(pattern(50_000))
    client.half_close()
    world.until(lambda: client.ended)
    assert client.heard == pattern(50_000)


def test_a_row_wakes_another(world: World) -> None:
    waiting: list[Acting] = []

    def act(machine: Acting) -> Want:
        said = machine.take()
        if said == b"wait":
            waiting.append(machine)
            return PARK
        if machine in waiting:
            waiting.remove(machine)
            return b"woken"
        if said == b"go":
            for other in waiting:
                other.row.wake()
        return IDLE

    world.listen(Acts(act))
    waiters = [world.dial() for _ in range(3)]
    for waiter in waiters:
        waiter.say(b"wait")
    world.until(lambda: len(waiting) == 3)
    world.dial().say(b"go")
    world.until(lambda: all(waiter.heard == b"woken" for waiter in waiters))


def test_waking_an_idle_row_lets_it_speak(world: World) -> None:
    acts = Acts(lambda machine: machine.memory.pop() if machine.memory else IDLE)
    client = served(world, acts)
    world.until(lambda: world.states() == ["IDLE"])
    acts.only.memory = [b"broadcast"]
    acts.only.row.wake()
    world.until(lambda: client.heard == b"broadcast")


# Files.


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(pattern(BIG))
    return path


def test_a_file(world: World, big_file: Path) -> None:
    with open(big_file, "rb") as file:
        client = served(world, script(b"head:", File(file, 0, BIG), b":tail", File(file, 10, 5), CLOSE))
        world.until(lambda: client.over)
        assert client.heard == b"head:" + pattern(BIG) + b":tail" + pattern(BIG)[10:15]


def test_an_empty_file(world: World, big_file: Path) -> None:
    with open(big_file, "rb") as file:
        client = served(world, script(File(file, 0, 0), b"after", CLOSE))
        world.until(lambda: client.over)
        assert client.heard == b"after"


def test_a_file_that_is_truncated_meanwhile(world: World, big_file: Path) -> None:
    with open(big_file, "r+b") as file:
        client = served(world, script(File(file, 0, 16 * BIG), b"never", CLOSE))
        client.reading = False
        world.until(lambda: world.states() in (["WRITING"], []))
        file.truncate(100)
        client.reading = True
        world.until(lambda: client.over)
        assert client.reset or not world.resets
        assert b"never" not in client.heard
        world.settle()
        assert world.ended() == {str(Cause.FILE_CUT_SHORT): 1}


# Becoming.


@pytest.mark.parametrize("how", ["bytes left over", "nothing left over"])
def test_become(world: World, how: str) -> None:
    later = Acts(echo)

    def act(machine: Acting) -> Want:
        _, mark, unread = machine.data.partition(b"\n")
        return Become(later(machine.row), unread) if mark else READ

    client = served(world, Acts(act))
    client.say(b"PROXY\n" + (b"rest" if how == "bytes left over" else b""))
    world.until(lambda: later.made)
    client.say(b"more")
    world.until(lambda: client.heard == (b"restmore" if how == "bytes left over" else b"more"))
    assert later.only.reason is None
    client.close()
    world.settle()
    assert later.only.reason is not None


def test_become_from_idle_comes_to_rest_where_the_new_machine_does(world: World) -> None:
    later = Acts(lambda machine: machine.take() or IDLE)
    client = served(world, Acts(lambda machine: Become(later(machine.row)) if machine.take() else IDLE))
    world.until(lambda: world.states() == ["IDLE"])
    client.say(b"change")
    world.until(lambda: later.made)
    assert world.states() == ["IDLE"]


def test_become_with_limits(world: World) -> None:
    limits = Limits(idle_seconds=1e6)
    later = Acts(echo)
    client = served(world, Acts(lambda machine: Become(later(machine.row), machine.data, limits)))
    client.say(b"x")
    world.until(lambda: client.heard == b"x")
    assert later.only.row.limits is limits
    (row,) = world.reactor.rows()
    assert row.deadline_in is not None
    assert row.deadline_in > 1e5


def test_become_after_the_peers_end(world: World) -> None:
    later = Acts(lambda machine: machine.take() or READ)
    client = served(world, Acts(lambda machine: Become(later(machine.row), machine.take()) if machine.over else READ))
    client.say(b"all")
    client.half_close()
    world.until(lambda: client.ended)
    assert client.heard == b"all"
    assert later.only.over


@pytest.mark.parametrize("name", EVERYWHERE)
def test_opening_and_then_more_than_a_quantum(name: str, folder: str) -> None:
    world = make_world(name, folder, Limits(quantum_bytes=20_000, receive_bytes=1000))
    data = pattern(BIG)

    def act(machine: Acting) -> Want:
        if not machine.take() and machine.memory is None:
            return OPENING
        machine.memory = (machine.memory or 0) + 1
        return data if machine.memory == 1 else b"tail" if machine.memory == 2 else IDLE

    client = served(world, Acts(act))
    client.say(b"hello")
    world.until(lambda: client.heard)
    client.say(b"more" * 1000)
    world.until(lambda: len(client.heard) >= BIG + 4)
    assert client.heard == data + b"tail"
    world.close()


# Outgoing.


def test_connect(world: World) -> None:
    world.listen(Acts(echo))
    caller = script(b"hello", READ)
    row = world.reactor.connect(world.address, caller)
    world.until(lambda: caller.made and caller.only.data == b"hello")
    assert world.reactor.totals().connected == 1
    assert not world.real or row.channel.gettimeout() == 0  # type: ignore[attr-defined]
    row.close("enough")
    world.settle()
    assert caller.only.reason is not None
    assert caller.only.reason.cause is Cause.CLOSED_BY_PROGRAM


def test_connect_in_vain(world: World) -> None:
    listener = world.reactor.listen(world.address_to_listen(), Acts(echo))
    address = str(listener.address)
    listener.close()
    caller = script(b"hello", READ)
    try:
        world.reactor.connect(address, caller)
    except OSError:
        assert not world.reactor.table.rows
        return  # UNIX sockets, and some kernels on the loopback, say so at once
    world.settle()
    assert caller.only.steps == 0
    assert caller.only.reason is not None
    assert caller.only.reason.cause is Cause.NOT_CONNECTED
    assert "ECONNREFUSED" in caller.only.reason.detail


def test_woken_before_it_is_connected(world: World) -> None:
    world.listen(Acts(echo))
    states: list[object] = []

    def act(machine: Acting) -> Want:
        states.append(machine.row.connecting)
        return b"x" if machine.steps == 1 else READ

    caller = Acts(act)

    def factory(row: Row) -> Acting:
        row.wake()
        return caller(row)

    row = world.reactor.connect(world.address, factory)
    row.wake()
    world.until(lambda: caller.only.data == b"x")
    assert not any(states)


# Listeners.


def test_port_0_picks_one(world: World) -> None:
    first = world.reactor.listen(world.address_to_listen(), Acts(echo)).address
    second = world.reactor.listen(world.address_to_listen(), Acts(echo)).address
    assert first != second
    assert first.kind == "unix" or (first.port and second.port)


def test_a_closed_listener_refuses_and_its_rows_live(world: World) -> None:
    listener = world.reactor.listen(world.address_to_listen(), Acts(echo))
    client = world.dial(str(listener.address))
    client.say(b"x")
    world.until(lambda: client.heard == b"x")
    listener.close()
    listener.close()
    client.say(b"y")
    world.until(lambda: client.heard == b"xy")
    try:
        late = world.dial(str(listener.address))
    except OSError:
        return
    world.until(lambda: late.refused or late.reset)


def test_a_listener_closed_by_its_own_factory(world: World) -> None:
    acts = Acts(echo)

    def factory(row: Row) -> Acting:
        listener.close()
        return acts(row)

    listener = world.reactor.listen(world.address_to_listen(), factory)
    clients = [world.dial(str(listener.address)) for _ in range(3)]
    for client in clients:
        client.say(b"x")
    world.until(lambda: any(client.heard for client in clients))
    world.turns(30)
    assert len(acts.made) == 1
    assert not world.notices


def test_two_listeners_with_their_own_limits(world: World) -> None:
    short = Limits(idle_seconds=0.05)
    patient, hasty = (
        str(world.reactor.listen(world.address_to_listen(), Acts(echo), limits).address) for limits in (None, short)
    )
    first, second = world.dial(patient), world.dial(hasty)
    world.until(lambda: second.ended)
    assert not first.over


def test_many_connections_at_once(world: World) -> None:
    world.listen(Acts(echo))
    clients = [world.dial() for _ in range(200)]
    for number, client in enumerate(clients):
        client.say(b"%d" % number)
    world.until(lambda: all(client.heard == b"%d" % number for number, client in enumerate(clients)))
    assert world.reactor.totals().accepted == 200
    for client in clients:
        client.close()
    world.settle()


# The reactor.


def test_after_and_cancel(world: World) -> None:
    called: list[str] = []
    world.reactor.after(0.05, lambda: called.append("second"))
    world.reactor.after(0.01, lambda: called.append("first"))
    key = world.reactor.after(0.02, lambda: called.append("never"))
    world.reactor.cancel(key)
    world.reactor.cancel(key)
    world.until(lambda: len(called) == 2)
    world.turns(10)
    assert called == ["first", "second"]


def test_drain_ends_the_idle_and_awaits_the_busy(world: World) -> None:
    acts = Acts(lambda machine: b"done" if machine.take().endswith(b"\n") else READ if machine.row.received else IDLE)
    world.listen(acts)
    idle, busy = world.dial(), world.dial()
    busy.say(b"half")
    world.until(lambda: sorted(world.states()) == ["IDLE", "READING"])
    world.reactor.drain(60)
    world.reactor.drain(60)
    world.until(lambda: idle.ended)
    assert not busy.over
    busy.say(b"\n")
    world.until(lambda: busy.heard == b"done")
    busy.half_close()
    world.settle()
    assert world.reactor.table.draining


def test_drain_does_not_wait_for_ever(world: World) -> None:
    client = served(world, Acts(lambda machine: READ))
    world.until(lambda: world.states() == ["READING"])
    world.reactor.drain(0.05)
    world.settle()
    world.until(lambda: client.over)
    assert world.ended() == {str(Cause.DRAINED): 1}


def test_run_returns_after_a_drain(world: World) -> None:
    client = served(world, Acts(echo))
    world.until(lambda: world.states() == ["IDLE"])
    world.reactor.after(0.01, world.reactor.drain)
    world.reactor.run()
    client.pump()
    assert not world.reactor.table.rows


def test_stop_leaves_rows_as_they_are(world: World) -> None:
    served(world, Acts(echo))
    world.until(lambda: world.states() == ["IDLE"])
    world.reactor.after(0.01, world.reactor.stop)
    world.reactor.run()
    assert world.states() == ["IDLE"]


def test_close_ends_everything(world: World) -> None:
    acts = Acts(echo)
    client = served(world, acts)
    world.until(lambda: world.states() == ["IDLE"])
    world.reactor.close()
    assert not world.reactor.table.rows
    assert acts.only.reason is not None
    assert acts.only.reason.cause is Cause.CLOSED_BY_PROGRAM
    if world.real:
        for _ in range(1000):
            client.pump()
        assert client.ended


# The kernel alone.


def test_the_file_of_a_unix_socket_goes_with_its_listener(folder: str) -> None:
    world = RealWorld("lean", "unix", folder)
    path = f"{folder}/here"
    listener = world.reactor.listen(f"unix:{path}", Acts(echo))
    assert os.path.exists(path)
    listener.close()
    assert not os.path.exists(path)
    world.close()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(folder: str) -> None:
    world = RealWorld("lean", "unix", folder)
    path = f"{folder}/here"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
        stale.listen()
    listener = world.reactor.listen(f"unix:{path}", Acts(echo))
    client = world.dial(f"unix:{path}")
    client.say(b"x")
    world.until(lambda: client.heard == b"x")
    with pytest.raises(OSError, match="in use"):
        world.reactor.listen(f"unix:{path}", Acts(echo))
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(path)
        listener.close()
        assert os.path.exists(path), "a listener removed what another process had put there"
    world.close()


def test_a_plain_file_is_no_stale_socket(folder: str) -> None:
    world = RealWorld("lean", "unix", folder)
    Path(folder, "precious").write_text("text")
    with pytest.raises(OSError, match="in use"):
        world.reactor.listen(f"unix:{folder}/precious", Acts(echo))
    assert Path(folder, "precious").read_text() == "text"
    world.close()


def test_adopt_one_end_of_a_pair(real: RealWorld) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        real.reactor.adopt(ours, Acts(echo), "a friend")
        theirs.send(b"hello")
        real.turns(3)
        assert theirs.recv(100) == b"hello"
        assert [row.listener for row in real.reactor.rows()] == ["adopted"]
    real.settle()
    assert ours.fileno() == -1


@pytest.mark.parametrize("selector", ["lean", "epoll", "poll", "select"])
def test_an_inherited_listener(selector: str, folder: str) -> None:
    world = RealWorld(selector, "ip4", folder)
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    listener = world.reactor.listen(f"fd:{inherited.detach()}", Acts(echo))
    assert listener.address.port == port
    client = world.dial(str(listener.address))
    client.say(b"x")
    world.until(lambda: client.heard == b"x")
    world.close()


def test_a_descriptor_that_does_not_listen_is_refused(folder: str) -> None:
    world = RealWorld("lean", "ip4", folder)
    with socket.socket() as silent, pytest.raises(OSError, match="not a listening"):
        world.reactor.listen(f"fd:{silent.fileno()}", Acts(echo))
    world.close()


def test_sockets_have_their_options(folder: str) -> None:
    world = RealWorld("lean", "ip4", folder)
    acts = Acts(echo)
    world.listen(acts, Limits(notsent_bytes=12_345))
    client = world.dial()
    client.say(b"x")
    world.until(lambda: client.heard)
    channel = acts.only.row.channel
    assert isinstance(channel, socket.socket)
    assert channel.gettimeout() == 0
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 12_345
    assert not channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), "it ends honest slow readers"
    world.close()


def test_local_is_our_own_address(world: World) -> None:
    acts = Acts(echo)
    client = served(world, acts)
    client.say(b"x")
    world.until(lambda: client.heard)
    local = acts.only.row.local
    assert (local if isinstance(local, str) else str(local[1])) in world.address


def test_a_machine_that_closes_its_row_and_hands_over_a_long_file(folder: str, tmp_path: Path) -> None:
    """The row is mute from then on: nothing is asked of a socket any more, and nobody is blamed."""
    (tmp_path / "long").write_bytes(b"x" * 50_000)
    with (tmp_path / "long").open("rb") as file:

        def act(machine: Acting) -> Want:
            machine.row.close("enough")
            return File(file, 0, 50_000)

        world = RealWorld("lean", "ip4", folder, limits=Limits(quantum_bytes=10_000))
        world.listen(Acts(act))
        client = world.dial()
        world.until(lambda: client.over)
        assert world.notices == []
        world.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels are asked in other ways")
def test_what_the_peer_has_not_taken_is_told(folder: str) -> None:
    world = RealWorld("lean", "ip4", folder)
    acts = Acts(lambda machine: PARK)
    client = served(world, acts)
    world.until(lambda: acts.made)
    channel = acts.only.row.channel
    assert isinstance(channel, socket.socket)
    platform = world.reactor.platform
    assert platform.unsent(channel) == 0
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += channel.send(b"x" * 65536)
    assert 0 < platform.unsent(channel) < sent, "the peer's kernel has taken some, and no more"
    world.until(lambda: len(client.heard) == sent)
    world.until(lambda: platform.unsent(channel) == 0)
    platform.let_take(channel, 54_321)
    assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 54_321
    client.close()
    world.close()
    assert platform.unsent(channel) == -1, "a closed one tells nothing"


def test_a_name_is_not_looked_up(folder: str) -> None:
    world = RealWorld("lean", "ip4", folder)
    with pytest.raises(ValueError, match="numeric"):
        world.reactor.listen("localhost:0", Acts(echo))
    with pytest.raises(ValueError, match="numeric"):
        world.reactor.connect("example.org:80", Acts(echo))
    world.close()


def test_watch_calls_for_a_readable_descriptor(real: RealWorld) -> None:
    ours, theirs = socket.socketpair()
    called: list[bytes] = []
    with ours, theirs:
        real.reactor.watch(ours.fileno(), lambda: called.append(ours.recv(10)))
        real.turns(3)
        assert not called
        theirs.send(b"!")
        real.until(lambda: called == [b"!"])
        real.reactor.unwatch(ours.fileno())
        theirs.send(b"?")
        real.turns(3)
        assert called == [b"!"]


def test_what_cannot_be_watched(real: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that the engine has, one that cannot be polled, one for nothing: an error, and all is as before."""

    def refuse(descriptor: int, mask: int) -> None:
        raise PermissionError(1, "as epoll does for files")

    acts = Acts(echo)
    client = served(real, acts)
    reactor = real.reactor
    (listening,) = reactor.table.doors
    for descriptor in (listening, *reactor.table.by_descriptor):
        with pytest.raises(ValueError, match=f"descriptor {descriptor} is the engine's own"):
            reactor.watch(descriptor, lambda: None)
        with pytest.raises(ValueError, match=f"descriptor {descriptor} is the engine's own"):
            reactor.unwatch(descriptor)
    with pytest.raises(ValueError, match="a descriptor is watched for something"):
        reactor.watch(0)
    with open(__file__) as file, monkeypatch.context() as patch:
        patch.setattr(reactor.table.poller, "register", refuse)
        with pytest.raises(PermissionError):
            reactor.watch(file.fileno(), lambda: None)
        with pytest.raises(KeyError):
            reactor.unwatch(file.fileno())
    assert set(reactor.table.doors) == {listening}
    client.say(b"hello")
    real.until(lambda: client.heard == b"hello")
    client.close()


def test_requests_are_counted(world: World) -> None:
    acts = Acts(lambda machine: (machine.take(), NEXT)[1] if machine.data else IDLE)
    client = served(world, acts)
    client.say(b"x")
    world.until(lambda: world.reactor.totals().requests == 1)
    client.say(b"y")
    world.until(lambda: world.reactor.totals().requests == 2)
    client.close()
    world.settle()
    assert world.reactor.totals().requests == 2
    assert world.reactor.totals().received == 2
