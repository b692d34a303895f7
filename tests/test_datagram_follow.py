"""Peers that prove who they are, and peers that move: how much is sent to whom before anything is proven.

An address is what a sender says it is. Whoever may have bytes sent to somebody else must not have many sent, neither by
a first datagram nor by one that says that the peer has moved.
"""

from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, READ, Cause, DatagramRow, Limits, PeerError, Want
from partway.engine.endpoint import TOO_MUCH
from partway.engine.simulation import Simulation
from places import PlaceRig, Service
from worlds import Acting, Acts, echo

on = pytest.mark.parametrize


def of_session(data: bytes, peer: Any) -> bytes:
    """What a datagram is found by: its first letter."""
    return data[:1]


def follows(machine: Acting) -> Want:
    """Answer as many bytes as are asked for, to wherever one was asked from."""
    data = machine.take()
    if not data:
        return IDLE
    row: Any = machine.row
    row.follow()
    return bytes(int(data[1:].split(b" ")[0]))


def question(count: int, size: int) -> bytes:
    return (b"s%d " % count).ljust(size, b".")


def roaming(**options: Any) -> tuple[PlaceRig, Any, Any]:
    rig = PlaceRig(Service(Acts(follows), route=of_session), **options)
    return rig, rig.dial(), rig.dial()


def test_a_row_sends_so_much_until_its_peer_is_proven() -> None:
    rig, peer, _ = roaming()
    assert rig.ask(peer, question(31, 10)) == []
    assert rig.dropped == {TOO_MUCH: 1}
    assert rig.ask(peer, question(31, 10)) == [bytes(31)], "what comes counts together"
    assert rig.ask(peer, question(60, 10)) == []
    assert rig.ask(peer, question(60, 10)) == [bytes(60)]
    rig.row.proven = True
    assert rig.ask(peer, question(1000, 10)) == [bytes(1000)]
    assert rig.dropped == {TOO_MUCH: 2}


def test_a_row_that_may_send_no_more_goes_on() -> None:
    rig = PlaceRig(Service(Acts(lambda machine: bytes(1000) if machine.steps == 1 else echo(machine))))
    assert rig.ask(rig.dial(), b"hello") == [b"hello"]


def test_whoever_has_moved_must_prove_it_anew_and_has_no_credit() -> None:
    rig, here, there = roaming()
    rig.ask(here, question(0, 1000))
    rig.row.proven = True
    assert rig.ask(there, question(31, 10)) == []
    assert not rig.row.proven
    assert rig.dropped == {TOO_MUCH: 1}
    assert rig.ask(there, question(60, 10)) == [bytes(60)]


def test_whoever_has_moved_has_no_debt() -> None:
    rig, here, there = roaming()
    rig.ask(here, question(0, 10))
    rig.row.proven = True
    rig.ask(here, question(10_000, 10))
    assert rig.ask(there, question(30, 10)) == [bytes(30)]
    assert rig.ask(there, question(1, 0)) == [bytes(1)]


def test_coming_and_going_earns_nothing() -> None:
    rig, here, there = roaming()
    rig.ask(here, question(0, 10))
    for _ in range(5):
        assert rig.ask(there, question(31, 10)) == []
        assert rig.ask(here, question(31, 10)) == []


def test_who_has_not_moved_stays_proven() -> None:
    rig, here, _ = roaming()
    rig.ask(here, question(0, 10))
    rig.row.proven = True
    assert rig.ask(here, question(100, 10)) == [bytes(100)]
    assert rig.row.proven


def test_where_addresses_can_be_relied_on_who_moves_is_proven() -> None:
    rig = PlaceRig(Service(Acts(follows), route=of_session), address="unixgram:/here")
    rig.ask(rig.dial(), question(0, 10))
    assert rig.ask(rig.dial(), question(1000, 10)) == [bytes(1000)]
    assert rig.row.proven


def test_following_somebody_elses_datagram_is_following_nobody() -> None:
    """A step that comes later, from the run queue: meanwhile others have been fed, or asked the service."""
    rig, here, there = roaming()
    rig.ask(here, b"a0")
    rig.ask(there, b"b0")
    first = rig.rows[0]
    first.follow()
    assert first.peer == here.where
    rig.ask(here, b"a0")
    first.close()
    rig.run()
    rig.rows[0].follow()
    assert rig.row.peer == there.where


def test_following_where_nothing_has_come() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    row = rig.endpoint.begin(("far", 1), Acts(echo))
    row.proven = True
    row.follow()
    assert (row.peer, row.proven) == (("far", 1), True)


class Hosts(PlaceRig):
    """Those outside are each at a host of their own."""

    def from_host(self, host: str, data: bytes) -> None:
        channel: Any = self.endpoint.channel
        channel.take(data, (host, 1), False, ("server", 7))
        self.run()


def per_peer(rig: PlaceRig) -> dict[str, set[int]]:
    return rig.reactor.table.per_peer


def test_a_row_counts_where_its_peer_is_now() -> None:
    rig = Hosts(Service(Acts(follows), route=of_session), limits=Limits(rows_per_peer_max=1))
    rig.from_host("here", b"s0")
    assert per_peer(rig) == {"here": {1}}
    rig.from_host("there", b"s0")
    assert per_peer(rig) == {"there": {1}}
    rig.from_host("there", b"t0")
    assert rig.ended == {str(Cause.TOO_MANY_FROM_PEER): 1}
    rig.from_host("here", b"u0")
    rig.from_host("there", b"u0")
    assert len(rig.rows) == 2, "who comes there by moving is let in"
    for row in rig.rows:
        row.close()
    rig.run()
    assert per_peer(rig) == {}


def test_a_row_that_was_not_counted_is_not_counted_by_moving() -> None:
    rig = Hosts(Service(Acts(follows), route=of_session), limits=Limits(rows_per_peer_max=1))
    rig.endpoint.begin(("here", 1), Acts(follows)).add_route(b"s")
    rig.from_host("there", b"s0")
    assert rig.row.peer == ("there", 1)
    assert per_peer(rig) == {}
    rig.row.close()
    rig.run()
    assert per_peer(rig) == {}


def test_the_last_word_too_must_not_be_too_much() -> None:
    class Rude(Acting):
        def refuse(self, reason: Any) -> bytes:
            return bytes(31)

    def act(machine: Acting) -> Want:
        if machine.data.startswith(b"bad"):
            raise PeerError("bad")
        return READ

    rig = PlaceRig(Service(lambda row: Rude(row, act)))
    assert rig.ask(rig.dial(), b"bad".ljust(10)) == []
    assert rig.dropped == {TOO_MUCH: 1}
    assert rig.ask(rig.dial(), b"bad".ljust(11)) == [bytes(31)]
    assert rig.ended == {str(Cause.PEER_ERROR): 2}
    assert rig.reactor.totals().datagrams_sent == 1
    assert rig.reactor.totals().sent == 31


def test_a_row_that_has_ended_has_no_address_of_its_own() -> None:
    seen: list[Any] = []

    class Last(Acting):
        def ended(self, reason: Any) -> None:
            row: Any = self.row
            seen.extend((row.peer, row.local, row.credentials, isinstance(row, DatagramRow)))

    rig = PlaceRig(Service(lambda row: Last(row, lambda machine: CLOSE)))
    peer = rig.dial()
    rig.ask(peer, b"x")
    assert seen == [peer.where, "", None, True]


def test_credentials_of_who_began_a_row() -> None:
    rig = PlaceRig(Service(Acts(echo)), address="unixgram:/here")
    rig.ask(rig.dial(), b"x")
    assert rig.row.credentials == Simulation.everybody
