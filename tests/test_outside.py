"""Those outside: each want of a client's machine is carried out as the engine would, and its failures end there.

A client here is a second reading of the contract between engine and machine. Where the two must agree, the same machine
is tried as a client and as a row.
"""

from collections.abc import Callable
from typing import Any

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
    PeerError,
    Read,
    Reason,
    Wait,
    Want,
    parse_address,
)
from partway.engine.faults import Faults
from partway.engine.outside import Client, Peer
from partway.engine.platform import WRITABLE
from partway.engine.simulation import Simulation
from worlds import SEEDS, Acting, Acts, Rig, echo, script

SERVER = "server:7"


class Party(Rig):
    """A server of one machine, and clients of another."""

    def __init__(self, server: Any = echo, **options: Any) -> None:
        super().__init__(server if isinstance(server, Acts) else Acts(server), **options)

    def enter(self, machine: Any, **options: Any) -> Client:
        """Let a client in, moved by a function or a factory."""
        acts = machine if isinstance(machine, Acts) else Acts(machine)
        return self.simulation.enter(SERVER, acts, **options)  # type: ignore[arg-type]


def acting(client: Client) -> Acting:
    assert isinstance(client.machine, Acting)
    return client.machine


def held_open(machine: Acting) -> Want:
    """Take what comes, and stay to the end."""
    return READ if not machine.over else CLOSE


# What reads.


@pytest.mark.parametrize("want", [READ, IDLE, OPENING, Read(1e6), Idle(1e6)], ids=["READ", "IDLE", "OPENING", "R", "I"])
def test_wants_that_read(want: Want) -> None:
    party = Party(Acts(lambda machine: b"hello" if machine.steps == 1 else IDLE))
    client = party.enter(lambda machine: want)
    party.run(1.0)
    assert acting(client).data == b"hello"
    assert acting(client).steps == 2, "once at the beginning, once for what came"
    assert client.received == 5
    assert client.reason is None


@pytest.mark.parametrize("want", [Read(2.0), Idle(2.0), Wait(2.0)], ids=["Read", "Idle", "Wait"])
def test_wants_that_end_with_time(want: Want) -> None:
    times: list[float] = []

    def act(machine: Acting) -> Want:
        times.append(machine.row.now)
        return want if len(times) < 4 else CLOSE

    party = Party()
    client = party.enter(act)
    party.run(20.0)
    assert [later - times[0] for later in times] == pytest.approx([0, 2, 4, 6], abs=0.001)
    assert client.reason == Reason(Cause.DONE)


def test_a_wait_that_has_been_overtaken_does_not_ring() -> None:
    party = Party()
    client = party.enter(lambda machine: Read(2.0) if machine.steps < 3 else READ)
    party.simulation.after(1.0, client.wake)
    party.run(10.0)
    assert acting(client).steps == 3, "begun, woken, rung: the first two seconds were given up"


def test_who_parks_takes_nothing_until_it_is_woken() -> None:
    party = Party(Acts(lambda machine: b"hello" if machine.steps == 1 else IDLE))
    client = party.enter(lambda machine: PARK if machine.steps < 3 else READ)
    party.run(1.0)
    assert (acting(client).steps, acting(client).data) == (1, b"")
    client.wake()
    assert (acting(client).steps, acting(client).data) == (2, b"")
    client.wake()
    assert (acting(client).steps, acting(client).data) == (4, b"hello")


def test_a_wake_before_it_is_connected_or_after_it_has_ended_does_nothing() -> None:
    party = Party()
    client = party.enter(lambda machine: CLOSE)
    client.wake()
    assert acting(client).steps == 0
    party.run(1.0)
    assert acting(client).steps == 1
    client.wake()
    assert acting(client).steps == 1


# What is sent.


@pytest.mark.parametrize(
    "want",
    [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), (b"a", bytearray(b"b"), b"", memoryview(b"cd"))],
    ids=["bytes", "bytearray", "memoryview", "tuple"],
)
def test_output(want: Any) -> None:
    party = Party()
    client = party.enter(lambda machine: want if machine.steps == 1 else READ)
    party.run(1.0)
    assert acting(client).data == b"abcd"
    assert client.sent == client.received == 4


def test_a_memoryview_of_wider_items() -> None:
    data = bytes(range(256)) * 400
    rows = Acts(lambda machine: READ)
    party = Party(rows, capacity_bytes=1000)
    client = party.enter(lambda machine: memoryview(data).cast("I") if machine.steps == 1 else READ)
    party.run(5.0)
    assert rows.only.data == data
    assert client.sent == len(data)


@pytest.mark.parametrize("empty", [b"", (), (b"", b""), bytearray()])
def test_no_bytes_mean_step_again(empty: Any) -> None:
    party = Party()
    client = party.enter(lambda machine: empty if machine.steps < 5 else READ)
    party.run(1.0)
    assert acting(client).steps == 5
    assert client.sent == 0


def test_next_counts_requests() -> None:
    party = Party()
    client = party.enter(lambda machine: NEXT if machine.steps < 4 else READ)
    party.run(1.0)
    assert client.requests == 3


class Duplex(Acting):
    duplex = True


@pytest.mark.parametrize("duplex", [True, False])
def test_who_is_blocked_is_fed_only_if_it_is_duplex(duplex: bool) -> None:
    kind = Duplex if duplex else Acting
    party = Party(Acts(lambda machine: b"hello" if machine.steps == 1 else PARK), capacity_bytes=1000)
    made: list[Acting] = []

    def factory(client: Any) -> Acting:
        made.append(kind(client, lambda machine: bytes(50_000) if machine.steps == 1 else READ))
        return made[-1]

    client = party.simulation.enter(SERVER, factory)
    party.run(1.0)
    assert client.sent == 1000, "the server takes nothing"
    assert (made[0].data, made[0].steps) == (b"hello" if duplex else b"", 1)
    client.wake()
    assert made[0].steps == 1, "output goes first"


@pytest.mark.parametrize("duplex", [True, False])
def test_what_came_before_it_was_blocked_is_fed_too(duplex: bool) -> None:
    kind = Duplex if duplex else Acting
    party = Party(Acts(lambda machine: b"hello" if machine.steps == 1 else PARK), capacity_bytes=1000)
    made: list[Acting] = []

    def factory(client: Any) -> Acting:
        made.append(kind(client, lambda machine: Wait(0.5) if machine.steps == 1 else bytes(50_000)))
        return made[-1]

    client = party.simulation.enter(SERVER, factory)
    party.run(1.0)
    assert client.sent == 1000, "the server takes nothing"
    assert made[0].data == (b"hello" if duplex else b"")


# What changes.


def test_become() -> None:
    party = Party(Acts(lambda machine: b"PROXY\nrest" if machine.steps == 1 else IDLE))
    later = Acts(lambda machine: b"thanks" if machine.steps == 1 else READ)
    limits = Limits(receive_bytes=1000)

    def act(machine: Acting) -> Want:
        _, mark, unread = machine.data.partition(b"\n")
        return Become(later(machine.row), unread, limits) if mark else READ

    client = party.enter(act)
    party.run(1.0)
    assert client.machine is later.only
    assert (later.only.data, later.only.over) == (b"rest", False)
    assert client.limits is limits
    assert client.sent == 6


def test_becoming_another_with_nothing_left_is_no_end() -> None:
    party = Party()
    later = Acts(lambda machine: READ)
    party.enter(lambda machine: Become(later(machine.row)))
    party.run(1.0)
    assert not later.only.over


def test_becoming_another_after_the_end_tells_it() -> None:
    party = Party(script(b"bye", CLOSE))
    later = Acts(lambda machine: CLOSE)
    party.enter(lambda machine: Become(later(machine.row), machine.data) if machine.over else READ)
    party.run(1.0)
    assert (later.only.data, later.only.over) == (b"bye", True)


# What ends.


def test_half_close() -> None:
    party = Party(lambda machine: READ if not machine.over else b"all" if machine.steps < 3 else CLOSE)
    client = party.enter(lambda machine: HALF_CLOSE if machine.steps < 3 else READ)
    party.run(1.0)
    assert acting(client).data == b"all"
    assert party.simulation.met["half_close"] == 1
    assert client.reason == Reason(Cause.DONE)


def test_half_close_where_both_sides_have_ended_does_nothing() -> None:
    party = Party(Acts(lambda machine: PARK if not machine.row.peer_ended else CLOSE))
    client = party.enter(lambda machine: HALF_CLOSE if machine.steps in (1, 3) else CLOSE if machine.over else READ)
    party.run(1.0)
    assert acting(client).steps == 4
    assert client.reason == Reason(Cause.DONE)


@pytest.mark.parametrize("want", [CLOSE, ABORT], ids=["close", "abort"])
def test_close_and_abort(want: Want) -> None:
    party = Party(held_open)
    client = party.enter(lambda machine: b"bye" if machine.steps == 1 else want)
    party.run(1.0)
    assert client.reason == Reason(Cause.DONE if want is CLOSE else Cause.ABORTED)
    assert acting(client).reason == client.reason
    assert party.ended == {str(Cause.DONE if want is CLOSE else Cause.PEER_LOST): 1}


@pytest.mark.parametrize("want", [READ, IDLE], ids=["READ", "IDLE"])
def test_after_the_servers_end_reading_means_close(want: Want) -> None:
    party = Party(script(b"bye", CLOSE))
    client = party.enter(lambda machine: want)
    party.run(1.0)
    assert acting(client).over
    assert acting(client).data == b"bye"
    assert client.reason == Reason(Cause.DONE)
    assert party.ended == {str(Cause.DONE): 1}


def test_the_servers_end_is_told_to_who_takes_no_bytes() -> None:
    party = Party(script(b"unread", CLOSE))
    client = party.enter(lambda machine: CLOSE if machine.row.peer_ended else PARK)
    party.run(1.0)
    assert acting(client).steps == 2
    assert acting(client).data == b""
    assert client.reason == Reason(Cause.DONE)


def test_who_stays_parked_after_the_servers_end_is_told_once() -> None:
    party = Party(script(CLOSE), limits=Limits(linger_seconds=1000))
    client = party.enter(lambda machine: PARK)
    party.run(10.0)
    assert (acting(client).steps, client.peer_ended, client.reason) == (2, True, None)


def test_who_is_told_of_room_is_not_told_of_the_end_again() -> None:
    plan = [HALF_CLOSE, Wait(1.0), READ]
    party = Party(Acts(lambda machine: plan[min(machine.steps, 3) - 1]), capacity_bytes=1000)
    client = party.enter(lambda machine: bytes(900) if machine.steps == 1 else PARK)
    party.run(0.5)
    assert not client._end.readiness(WRITABLE), "somebody asks, and will be told"
    steps = acting(client).steps
    party.run(1.0)
    assert client._end.readiness(WRITABLE)
    assert acting(client).steps == steps == 3


@pytest.mark.parametrize("want", [READ, PARK, bytes(1_000_000)], ids=["reading", "parked", "blocked"])
def test_a_reset_is_a_lost_server(want: Want) -> None:
    party = Party(Acts(lambda machine: Wait(0.5) if machine.steps == 1 else ABORT))
    client = party.enter(lambda machine: want)
    party.run(1.0)
    assert client.reason == Reason(Cause.PEER_LOST, "ECONNRESET")
    assert acting(client).reason == client.reason


def test_nobody_listens() -> None:
    party = Party()
    party.listener.close()
    client = party.enter(lambda machine: READ)
    party.run(1.0)
    assert client.reason == Reason(Cause.NOT_CONNECTED, "ECONNREFUSED")
    assert acting(client).steps == 0


def test_nobody_listens_at_a_path_and_a_full_queue_there() -> None:
    simulation = Simulation(1)
    simulation.listen(parse_address("unix:/here"), 0)
    clients = [
        simulation.enter(f"unix:{place}", Acts(lambda machine: READ))  # type: ignore[arg-type]
        for place in ("/here", "/here", "/there")
    ]
    peers = [simulation.dial("unix:/here"), simulation.dial("unix:/there")]
    simulation.travel()
    assert [client.reason and client.reason.detail for client in clients] == [None, "EAGAIN", "ECONNREFUSED"]
    assert all(client.reason is None or client.reason.cause is Cause.NOT_CONNECTED for client in clients)
    for peer in peers:
        peer.heard()
    assert [peer.refused for peer in peers] == [True, True]


@pytest.mark.parametrize("address", ["server:9", "unix:/there"])
@pytest.mark.parametrize("ends", [True, False])
def test_who_has_spoken_before_it_is_refused_is_not_reset(address: str, ends: bool) -> None:
    simulation = Simulation(1)
    peer = simulation.dial(address)
    peer.say(b"hello")
    if ends:
        peer.half_close()
    simulation.travel()
    assert peer.heard() == b""
    assert (peer.refused, peer.reset) == (True, False)


def test_closed_by_the_program() -> None:
    party = Party(held_open)
    politely, rudely = party.enter(held_open), party.enter(held_open)
    party.run(0.1)
    politely.close("enough")
    rudely.close(reset=True)
    politely.close("again")
    party.run(1.0)
    assert politely.reason == Reason(Cause.CLOSED_BY_PROGRAM, "enough")
    assert rudely.reason == Reason(Cause.CLOSED_BY_PROGRAM)
    assert party.ended == {str(Cause.DONE): 1, str(Cause.PEER_LOST): 1}


# What fails.


def failing(where: str, error: Exception) -> Callable[[Any], Any]:
    """A factory of machines that raise somewhere."""

    class Failing(Acting):
        @property
        def duplex(self) -> bool:
            if where == "duplex":
                raise error
            return False

        def feed(self, data: bytes) -> None:
            if where == "feed":
                raise error

        def ended(self, reason: Reason) -> None:
            super().ended(reason)
            if where == "ended":
                raise error

    def act(machine: Acting) -> Want:
        if where == "step" and machine.steps == 2:
            raise error
        if where == "duplex":
            return bytes(1_000_000)
        return CLOSE if where == "ended" else READ

    return lambda client: Failing(client, act)


@pytest.mark.parametrize("where", ["step", "feed", "duplex", "ended"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, OSError, PeerError])
def test_what_a_clients_machine_raises_ends_that_client_alone(where: str, kind: type[Exception]) -> None:
    error = kind("three", 400)
    party = Party(Acts(lambda machine: b"hello" if machine.steps == 1 else machine.take() or IDLE), capacity_bytes=1000)
    bystander = party.enter(lambda machine: b"still here" if machine.steps == 1 else READ)
    client = party.simulation.enter(SERVER, failing(where, error))
    party.run(1.0)
    reason = client.reason
    assert reason is not None
    if isinstance(error, PeerError) and where != "ended":
        assert reason == Reason(Cause.PEER_ERROR, "three", 400)
    else:
        assert reason.cause is Cause.MACHINE_ERROR
        assert "Failing" in reason.detail
        assert repr(error) in reason.detail
    assert isinstance(client.machine, Acting)
    assert client.machine.reason is not None, "it was told that it has ended, once"
    assert party.ended == {str(Cause.DONE if where == "ended" else Cause.PEER_LOST): 1}
    assert acting(bystander).data == b"hellostill here"
    assert bystander.reason is None


@pytest.mark.parametrize("want", [File(open, 0, 1), None, 7], ids=["File", "None", "7"])  # type: ignore[arg-type]
def test_what_a_client_cannot_carry_out_is_its_machines_failure(want: Any) -> None:
    party = Party()
    client = party.enter(lambda machine: want)
    party.run(1.0)
    assert client.reason is not None
    assert client.reason.cause is Cause.MACHINE_ERROR
    assert repr(want) in client.reason.detail


def test_a_factory_that_raises_is_whoevers_who_called_it() -> None:
    party = Party(held_open)

    def factory(client: Client) -> Acting:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        party.simulation.enter(SERVER, factory)
    party.run(1.0)
    assert not party.rows, "its connection is not left behind"


# The same as a client and as a row.


def told(rest: Want) -> Callable[[Acting], Want]:
    def act(machine: Acting) -> Want:
        if machine.steps == 1:
            return (b"a", b"b")
        if machine.steps == 2:
            return Wait(0.2)
        if machine.steps < 5:
            return NEXT
        return HALF_CLOSE if machine.steps == 5 else machine.take() or rest

    return act


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rest", [READ, IDLE, CLOSE, PARK], ids=["READ", "IDLE", "CLOSE", "PARK"])
def test_a_machine_cannot_tell_which_side_it_is_on(rest: Want, seed: int) -> None:
    """It is stepped as often, hears and says the same, whether the engine moves it or the simulation."""
    rows = Acts(told(rest))
    server = Party(rows, seed=seed)
    peer = server.dial()
    heard = server.hears(peer)
    server.run(1.0)
    outer = Acts(told(rest))
    inner = Party(Acts(lambda machine: PARK if machine.over else READ), seed=seed)
    client = inner.enter(outer)
    inner.run(1.0)
    assert bytes(heard) == b"ab"
    assert (client.sent, client.requests) == (2, 2)
    assert rows.only.steps == outer.only.steps


# A peer that a test moves.


def test_a_peer_says_more_than_there_is_room_for() -> None:
    party = Party(capacity_bytes=1000)
    peer = party.dial()
    heard = party.hears(peer)
    data = bytes(range(256)) * 100
    peer.say(data)
    assert peer.unsent == len(data), "it is not connected yet"
    peer.half_close()
    party.run(5.0)
    assert bytes(heard) == data
    assert peer.unsent == 0
    assert peer.ended
    assert not peer.reset


def test_a_peer_reads_no_more_than_it_is_asked_for() -> None:
    party = Party(Acts(lambda machine: b"hello world" if machine.steps == 1 else READ))
    peer = party.dial()
    party.run(1.0)
    assert [peer.heard(5), peer.heard(100), peer.heard(100)] == [b"hello", b" world", b""]


@pytest.mark.parametrize("ends", ["reset", "ended", "refused", "reset after its end"])
def test_a_peer_tells_how_it_has_ended(ends: str) -> None:
    party = Party(script(ABORT if ends == "reset" else CLOSE), limits=Limits(linger_seconds=0.5))
    if ends == "refused":
        party.listener.close()
    peer = party.dial()
    party.run(0.1)
    if ends == "reset after its end":
        party.run(1.0)
    peer.heard()
    assert (peer.reset, peer.ended, peer.refused) == (
        ends.startswith("reset"),
        ends in ("ended", "reset after its end"),
        ends == "refused",
    )


def test_a_peer_that_has_closed_hears_and_says_nothing() -> None:
    party = Party()
    peer = party.dial()
    party.run(0.1)
    peer.close()
    peer.say(b"too late")
    peer.half_close()
    assert peer.heard() == b""
    party.run(1.0)
    assert (peer.reset, peer.ended, peer.unsent) == (False, False, 8)
    assert party.ended == {str(Cause.DONE): 1}


def test_one_that_vanishes_takes_nobody_along() -> None:
    """They share a link, and nothing else."""
    party = Party(faults=Faults())
    gone, here = party.dial(), party.dial()
    client = party.enter(lambda machine: b"x" if machine.steps == 1 else READ)
    party.run(0.1)
    gone.vanish()
    gone.say(b"nobody hears this")
    here.say(b"hello")
    party.run(0.1)
    assert here.heard() == b"hello"
    assert gone.heard() == b""
    assert acting(client).data == b"x"
    assert not client.harmed
    client.vanish()
    assert client.harmed
    assert client.reason == Reason(Cause.PEER_LOST, "vanished")


def test_watcher_is_called_when_something_has_come() -> None:
    party = Party()
    peer: Peer = party.dial()
    called: list[bytes] = []
    peer.watcher = lambda: called.append(peer.heard())
    peer.say(b"x")
    party.run(0.1)
    assert b"".join(called) == b"x"
