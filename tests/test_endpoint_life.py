"""How endpoints end: closed or retired, within their own loop too, with their last row, and those of clients.

Nothing of one may be left behind: no door, no descriptor, no question to the poller, no byte that is counted.
"""

from collections.abc import Callable
from errno import EADDRINUSE, EIO, ENOSPC
from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, NEXT, PARK, READ, Cause, Limits, Want
from partway.engine.endpoint import NOT_READ
from partway.engine.faults import Faults
from partway.engine.outbox import UNDELIVERABLE
from partway.engine.platform import WRITABLE
from places import PlaceRig, Service, Trouble, assert_nothing_left
from worlds import Acting, Acts, echo, script

on = pytest.mark.parametrize


def answers(data: bytes, peer: Any) -> bytes:
    """Send back what comes, without a row."""
    return data


def first_letter(data: bytes, peer: Any) -> bytes | None:
    return data[:1] or None


# Ending.


def test_close_ends_rows_and_frees_the_address() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    peers = [rig.dial() for _ in range(3)]
    for peer in peers:
        rig.ask(peer, b"x")
    rig.endpoint.close()
    rig.run()
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 3}
    assert not rig.endpoint.open
    assert_nothing_left(rig.reactor)
    rig.endpoint.close()
    again = rig.reactor.bind(rig.address, Service(Acts(echo)))
    assert again.descriptor == rig.endpoint.descriptor
    assert rig.ask(peers[0], b"again") == [b"again"]
    assert repr(again) == "<Endpoint udp:server:7>"


def test_close_without_rows_is_at_once() -> None:
    rig = PlaceRig(Service(admit=answers))
    rig.endpoint.close()
    assert_nothing_left(rig.reactor)


@on("route", [None, first_letter])
def test_close_is_one_endpoints(route: Any) -> None:
    rig = PlaceRig(Service(Acts(echo), route=route))
    other = rig.reactor.bind("udp:server:8", Service(Acts(echo)))
    rig.ask(rig.dial(), b"x")
    peer = rig.simulation.dial_datagrams("udp:server:8")
    rig.ask(peer, b"x")
    rig.endpoint.close()
    rig.run()
    assert rig.reactor.endpoints == [other]
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert rig.ask(peer, b"y") == [b"y"]


def test_retire_lets_rows_end_and_begins_no_more() -> None:
    acts = Acts(lambda machine: CLOSE if machine.data == b"bye" else echo(machine))
    rig = PlaceRig(Service(admit=lambda data, peer: data if data == b"?" else acts))
    first, second = rig.dial(), rig.dial()
    rig.ask(first, b"x")
    rig.endpoint.retire()
    assert rig.ask(first, b"y") == [b"y"]
    assert rig.ask(second, b"x", b"?") == []
    assert len(rig.rows) == 1
    assert rig.endpoint.open
    rig.ask(first, b"bye")
    assert not rig.endpoint.open
    assert_nothing_left(rig.reactor)
    assert not rig.dropped


def test_drain() -> None:
    busy = Acts(lambda machine: machine.take() or (READ if machine.memory != 1 else IDLE))
    rig = PlaceRig(Service(busy))
    rig.reactor.bind("udp:server:8", Service(Acts(echo)))
    reading, idle = rig.dial(), rig.simulation.dial_datagrams("udp:server:8")
    rig.ask(reading, b"x")
    rig.ask(idle, b"x")
    rig.reactor.drain()
    rig.run()
    assert rig.ended == {str(Cause.DRAINED): 1}
    assert [str(endpoint.address) for endpoint in rig.reactor.endpoints] == ["udp:server:7"]
    assert rig.ask(reading, b"y") == [b"y"]
    busy.only.memory = 1
    assert rig.ask(reading, b"z") == [b"z"], "one that turns idle ends then"
    assert rig.ended == {str(Cause.DRAINED): 2}
    rig.reactor.run()
    assert_nothing_left(rig.reactor)


def closing(rig: Callable[[], PlaceRig], where: str) -> Service:
    """A service that closes its endpoint within its own loop."""

    class Closes(Acting):
        def feed(self, data: bytes) -> None:
            super().feed(data)
            if where == "feed":
                rig().endpoint.close()

        def step(self) -> Want:
            if where == "step" and self.data == b"bad":
                rig().endpoint.close()
            return super().step()

        def ended(self, reason: Any) -> None:
            super().ended(reason)
            if where == "ended":
                rig().endpoint.close()

    def act(machine: Acting) -> Want:
        return CLOSE if where == "ended" and machine.data == b"bad" else PARK if machine.take() == b"bad" else IDLE

    def admit(data: bytes, peer: Any) -> Any:
        if data == b"bad":
            if where == "admit":
                rig().endpoint.close()
            if where == "answer":
                rig().endpoint.close()
                return b"x"
        return lambda row: Closes(row, act)

    return Service(admit=admit)


@on("others", [0, 3])
@on("schedule", ["fair", "shortest"])
@on("where", ["admit", "answer", "feed", "step", "ended"])
def test_an_endpoint_that_is_closed_within_its_own_loop(where: str, schedule: str, others: int) -> None:
    rig: PlaceRig
    rig = PlaceRig(closing(lambda: rig, where), schedule=schedule, limits=Limits(rows_per_peer_max=100))
    if where != "feed":
        for _ in range(others):
            rig.ask(rig.dial(), b"good")
    peers = [rig.dial() for _ in range(4)]
    for peer in peers:
        peer.say(b"bad")
    rig.arrive()
    rig.run()
    assert not rig.endpoint.open
    assert_nothing_left(rig.reactor)
    assert rig.kinds() == []
    rig.reactor.bind(rig.address, Service(Acts(echo)))
    assert rig.ask(peers[0], b"again")[-1:] == [b"again"]


@on("seed", range(6))
def test_what_was_told_of_a_closed_endpoint_is_not_told_of_who_has_its_descriptor(seed: int) -> None:
    """A connection that has just begun must not be taken for one that stands."""
    rig: PlaceRig

    def admit(data: bytes, peer: Any) -> None:
        other.close()
        rig.reactor.connect("server:9", Acts(lambda machine: b"x" if machine.steps == 1 else READ))

    rig = PlaceRig(Service(admit=admit), seed=seed)
    other = rig.reactor.bind("udp:server:8", Service(admit=answers))
    rig.dial().say(b"x")
    rig.simulation.dial_datagrams("udp:server:8").say(b"x")
    rig.arrive()
    rig.run()
    assert rig.ended == {str(Cause.NOT_CONNECTED): 1}
    assert rig.reactor.totals().connected == 0


def test_a_machine_may_close_another_whose_datagram_comes_in_the_same_turn() -> None:
    rig: PlaceRig

    def act(machine: Acting) -> Want:
        data = machine.take()
        if data == b"kill":
            for row in rig.rows:
                if row is not machine.row:
                    row.close()
        return data or IDLE

    rig = PlaceRig(Service(Acts(act)))
    killer, victim = rig.dial(), rig.dial()
    rig.ask(victim, b"x")
    rig.ask(killer, b"x")
    killer.say(b"kill")
    victim.say(b"never fed")
    rig.arrive()
    victims, killers = rig.ask(victim), killer.heard()
    assert (victims, killers) in (([], [b"kill"]), ([b"never fed"], [b"kill"]))
    assert rig.dropped.get(NOT_READ, 0) == (victims == [])
    assert len(rig.rows) == 1


def test_the_reactor_closes_endpoints_and_what_waits_there() -> None:
    rig = PlaceRig(Service(Acts(echo)), limits=Limits(rows_per_peer_max=9))
    rig.reactor.bind("udp:server:8", Service(admit=answers))
    rig.reactor.bind("udp:server:9", Service(admit=answers), alone=True)
    rig.reactor.connect("udp:server:8", Acts(echo))
    rig.ask(rig.dial(), b"x")
    rig.reactor.close()
    assert_nothing_left(rig.reactor)
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 2}


def test_binding_twice() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    with pytest.raises(OSError, match="in use") as caught:
        rig.reactor.bind(rig.address, Service(Acts(echo)))
    assert caught.value.errno == EADDRINUSE
    with pytest.raises(ValueError, match="permissions"):
        rig.reactor.bind("udp:server:9", Service(Acts(echo)), mode=0o600)
    assert rig.simulation.descriptors_used() == 1


@on("way", ["bind", "alone", "connect"])
def test_a_poller_that_takes_no_more(way: str) -> None:
    rig = PlaceRig(Service(Acts(echo)))

    def full(descriptor: int, mask: int) -> None:
        raise OSError(ENOSPC, "no watches left")

    rig.simulation.poller.register = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="watches"):
        if way == "connect":
            rig.reactor.connect("udp:server:7", Acts(echo))
        else:
            rig.reactor.bind("udp:server:8", Service(Acts(echo)), alone=way == "alone")
    assert rig.simulation.descriptors_used() == 1
    assert rig.reactor.table.alone == 0
    assert rig.reactor.endpoints == [rig.endpoint]


# One that is alone.


def test_alone_it_closes_with_its_last_row() -> None:
    rig = PlaceRig(Service(script(NEXT, READ, CLOSE)), alone=True)
    assert rig.reactor.table.alone == 1
    first, second = rig.dial(), rig.dial()
    rig.ask(first, b"x")
    rig.ask(second, b"x")
    rig.ask(first, b"y")
    assert rig.endpoint.open
    rig.ask(first, b"x")
    rig.ask(second, b"y")
    assert rig.endpoint.open, "another has begun meanwhile"
    rig.ask(first, b"y")
    assert not rig.endpoint.open
    assert_nothing_left(rig.reactor)


def test_alone_it_waits_for_its_first_row_although_it_has_answered() -> None:
    rig = PlaceRig(
        Service(admit=lambda data, peer: data if data == b"?" else Acts(echo)),
        alone=True,
        faults=Faults(not_ready=0.5),
    )
    peer = rig.dial()
    for _ in range(20):
        assert rig.ask(peer, b"?") == [b"?"]
    assert rig.simulation.met["not_ready"] > 5
    assert rig.ask(peer, b"x") == [b"x"]


def test_room_that_one_alone_leaves_is_anothers() -> None:
    rig = PlaceRig(Service(Acts(echo)), limits=Limits(rows_max=1), alone=True)
    rig.reactor.listen("server:8", Acts(echo))
    client = rig.simulation.dial("server:8")
    client.say(b"x")
    rig.run()
    assert rig.kinds() == ["table full"]
    assert client.heard() == b""
    rig.endpoint.close()
    rig.run()
    assert client.heard() == b"x"


def test_alone_a_failing_socket_ends_its_rows() -> None:
    rig = PlaceRig(Service(Acts(echo)), alone=True)
    peer = rig.dial()
    rig.ask(peer, b"x")

    def failing(size: int) -> Any:
        raise OSError(EIO, "trouble")

    rig.endpoint.channel.receive = failing  # type: ignore[method-assign]
    reasons = [row.machine for row in rig.rows]
    rig.ask(peer, b"y")
    assert rig.ended == {str(Cause.PEER_LOST): 1}
    assert reasons[0].reason.detail == "EIO"  # type: ignore[attr-defined]
    assert_nothing_left(rig.reactor)


# Clients.


def test_a_client_is_a_row_of_its_own_endpoint() -> None:
    acts = Acts(lambda machine: b"question" if machine.steps == 1 else CLOSE if machine.data else READ)
    rig = PlaceRig(Service(admit=lambda data, peer: bytes(3) + data))
    row: Any = rig.reactor.connect("udp:server:7", acts)
    assert row.proven, "it was we who asked"
    assert rig.reactor.table.alone == 1
    assert (row.peer, row.endpoint.alone) == (("server", 7), True)
    rig.run()
    assert acts.only.data == bytes(3) + b"question"
    assert rig.ended == {str(Cause.DONE): 1}
    assert rig.reactor.endpoints == [rig.endpoint]
    assert rig.reactor.table.alone == 0


def test_a_client_hears_its_server_alone() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    row: Any = rig.reactor.connect("udp:server:7", Acts(lambda machine: b"x" if machine.steps == 1 else READ))
    rig.run()
    stranger = rig.simulation.dial_datagrams(row.endpoint.address)
    stranger.say(b"let me in")
    rig.run()
    assert row.machine.data == b"x"
    assert row.received == 1


@on("first", [b"anybody?", READ])
def test_a_client_with_nobody_there_is_told(first: Any) -> None:
    rig = PlaceRig(Service(Acts(echo)))
    acts = Acts(lambda machine: first if machine.steps == 1 else READ)
    row = rig.reactor.connect("udp:server:9", acts)
    rig.run()
    if first is READ:
        assert row.machine is acts.only
        acts.only.act = lambda machine: b"anybody?" if machine.steps == 2 else READ
        row.wake()
        rig.run()
    assert rig.ended == {str(Cause.PEER_LOST): 1}
    assert acts.only.reason is not None
    assert acts.only.reason.detail == "ECONNREFUSED"
    assert rig.reactor.endpoints == [rig.endpoint]
    assert rig.simulation.descriptors_used() == 1


def not_now(size: int) -> Any:
    raise BlockingIOError


def test_a_client_that_is_told_when_it_sends() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    acts = Acts(lambda machine: READ)
    row: Any = rig.reactor.connect("udp:server:9", acts)
    row.endpoint.channel.send_to(b"anybody?", ("server", 9))
    rig.simulation.travel()
    acts.only.act = lambda machine: b"x" if machine.steps < 9 else READ
    row.wake()
    rig.endpoint.table.poller.modify(row.endpoint.descriptor, WRITABLE)
    row.endpoint.channel.receive = not_now  # it is the send that is told
    rig.reactor.step(0)
    assert acts.only.reason is not None
    assert acts.only.reason.detail == "ECONNREFUSED"
    assert acts.only.steps == 2
    assert rig.dropped == {UNDELIVERABLE: 1}
    assert rig.reactor.endpoints == [rig.endpoint]


def test_many_clients_of_nobody_cost_no_walk_over_all_rows() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    for _ in range(3):
        rig.ask(rig.dial(), b"x")
    row: Any = rig.reactor.connect("udp:server:9", Acts(lambda machine: READ))
    rig.reactor.table.rows = NoWalk(rig.reactor.table.rows)
    row.endpoint.channel.refused()
    rig.reactor.step(0)
    assert row.reason is not None


class NoWalk(dict[int, Any]):
    def values(self) -> Any:
        raise AssertionError("all rows were walked over")


def test_a_client_whose_factory_raises_leaves_nothing() -> None:
    def factory(row: Any) -> Acting:
        raise Trouble("in the factory")

    rig = PlaceRig(Service(Acts(echo)))
    row = rig.reactor.connect("udp:server:7", factory)
    assert row.reason is not None
    rig.run()
    assert rig.reactor.table.alone == 0
    rig.endpoint.close()
    assert_nothing_left(rig.reactor)
