"""Endpoints: what becomes of a datagram that belongs to no row, how one finds its row, and how endpoints end.

Whatever a service, a machine or a peer does wrong, the next datagram is looked at as if nothing had happened, and what
is dropped is counted by why.
"""

from errno import EADDRINUSE, EBADF, EIO, EMFILE
from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, Cause, DatagramRow, Limits, Want
from partway.engine.endpoint import CUT, FAILED, NAMELESS, NO_ROW, TOO_MUCH
from partway.engine.faults import Faults
from places import Fails, PlaceRig, Service, Trouble
from worlds import SEEDS, Acting, Acts, echo, script

on = pytest.mark.parametrize


def answers(data: bytes, peer: Any) -> bytes:
    """Send back what comes, without a row."""
    return data


def stateless(rig: PlaceRig) -> tuple[int, int, int, int, int]:
    totals = rig.reactor.totals()
    return totals.datagrams_received, totals.datagrams_sent, totals.received, totals.sent, totals.requests


# Without a row.


@on("seed", SEEDS)
def test_an_answer_at_once(seed: int) -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: b"%s:%d" % (data, peer[1])), seed=seed)
    peers = [rig.dial() for _ in range(5)]
    for number, peer in enumerate(peers):
        peer.say(b"%d to you, and many of them" % number)
    rig.run()
    for number, peer in enumerate(peers):
        heard = peer.letters()
        assert heard == [(b"%d to you, and many of them:%d" % (number, peer.where[1]), ("server", 7))]
    assert not rig.rows
    assert not rig.dropped
    assert stateless(rig) == (5, 5, 5 * 26, 5 * 32, 5)
    assert rig.reactor.totals().ended == {}


def test_none_drops_a_datagram_which_counts_for_nothing() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: data if data == b"please" else None))
    assert rig.ask(rig.dial(), b"hello", b"please", b"hello") == [b"please"]
    assert stateless(rig) == (3, 1, 6, 6, 1)
    assert not rig.dropped


def test_a_datagram_without_bytes_is_one_and_may_be_answered_with_one() -> None:
    rig = PlaceRig(Service(admit=answers))
    assert rig.ask(rig.dial(), b"", b"") == [b"", b""]
    assert stateless(rig) == (2, 2, 0, 0, 2)
    assert not rig.dropped


def test_no_more_than_arrived_in_its_turn_is_taken() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagrams_a_turn=3))
    peer = rig.dial()
    for _ in range(8):
        peer.say(b"x")
    rig.arrive()
    taken = []
    for _ in range(4):
        rig.reactor.step(0)
        taken.append(rig.reactor.totals().datagrams_received)
    assert taken == [3, 6, 8, 8]


def test_one_that_is_too_long_is_no_part_taken_of() -> None:
    asked: list[bytes] = []
    rig = PlaceRig(Service(admit=lambda data, peer: asked.append(data)), limits=Limits(datagram_bytes=10))
    rig.ask(rig.dial(), bytes(11), bytes(10), bytes(12))
    assert asked == [bytes(10)]
    assert rig.dropped == {CUT: 2}
    assert rig.reactor.totals().datagrams_received == 3


def test_one_that_is_too_long_for_its_row_is_not_fed() -> None:
    acts = Acts(echo)
    rig = PlaceRig(Service(acts), limits=Limits(datagram_bytes=10))
    peer = rig.dial()
    assert rig.ask(peer, b"first", bytes(11), b"last") == [b"first", b"last"]
    assert rig.dropped == {CUT: 1}
    assert rig.row.received == 9


@on("seed", SEEDS)
def test_one_that_was_cut_on_its_way_is_dropped(seed: int) -> None:
    rig = PlaceRig(Service(admit=answers), seed=seed, faults=Faults(datagram_cut=0.5))
    peer = rig.dial()
    for _ in range(20):
        rig.ask(peer, b"hello")
    assert rig.dropped[CUT] > 3
    assert rig.dropped == {CUT: 20 - rig.reactor.totals().datagrams_sent}


def test_an_answer_too_large_for_a_peer_that_has_proven_nothing() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: bytes(31) if data[:1] == b"x" else bytes(30)))
    peer = rig.dial()
    assert rig.ask(peer, b"x" * 10, b"y" * 10, b"x" * 11) == [bytes(30), bytes(31)]
    assert rig.dropped == {TOO_MUCH: 1}
    assert stateless(rig) == (3, 2, 31, 61, 3)
    assert rig.ask(peer, b"") == [], "three times nothing is nothing"


def test_a_peer_of_a_unix_socket_is_who_it_says() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: bytes(1000)), address="unixgram:/here")
    assert rig.ask(rig.dial(), b"x") == [bytes(1000)]
    assert not rig.dropped


@on("schedule", ["fair", "shortest"])
@on("faults", [{"not_ready": 0.3}, {"interrupted": 0.3}], ids=str)
def test_a_call_that_fails_for_now_loses_nothing(faults: dict[str, float], schedule: str) -> None:
    rig = PlaceRig(Service(admit=answers), faults=Faults(**faults), schedule=schedule)
    peer = rig.dial()
    said = [b"%d" % number for number in range(100)]
    for data in said:
        peer.say(data)
    rig.run(1.0)
    assert peer.heard() == said
    assert rig.simulation.met.keys() == faults.keys()
    assert not rig.dropped


def test_a_signal_while_one_is_received_does_not_end_the_turns_share() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagrams_a_turn=2))
    channel = rig.endpoint.channel
    peer = rig.dial()
    peer.say(b"x")
    rig.arrive()
    receive, fails = channel.receive, [InterruptedError()]

    def interrupted(size: int) -> Any:
        if fails:
            raise fails.pop()
        return receive(size)

    channel.receive = interrupted  # type: ignore[method-assign]
    rig.reactor.step(0)
    assert rig.reactor.totals().datagrams_received == 1


def test_an_endpoint_whose_socket_fails_has_its_next_chance_in_the_next_turn() -> None:
    rig = PlaceRig(Service(Acts(echo)))
    channel = rig.endpoint.channel
    peer = rig.dial()
    assert rig.ask(peer, b"x") == [b"x"]
    receive, tried = channel.receive, [0]

    def failing(size: int) -> Any:
        tried[0] += 1
        if tried[0] < 4:
            raise OSError(EIO, "trouble")
        return receive(size)

    channel.receive = failing  # type: ignore[method-assign]
    peer.say(b"y")
    rig.arrive()
    for turn in range(1, 4):
        rig.reactor.step(0)
        assert tried == [turn]
    assert rig.ask(peer) == [b"y"]
    assert not rig.ended, "its rows live: whose failure it was nobody knows"


# A service that fails.


def test_admit_that_raises_loses_that_datagram_alone() -> None:
    def admit(data: bytes, peer: Any) -> bytes:
        if data == b"bad":
            raise Trouble("in admit")
        return data

    rig = PlaceRig(Service(admit=admit))
    assert rig.ask(rig.dial(), b"one", b"bad", b"two") == [b"one", b"two"]
    assert rig.dropped == {FAILED: 1}
    assert stateless(rig) == (3, 2, 6, 6, 2)
    (notice,) = rig.notices
    assert notice.kind == "machine error"
    assert notice.text.startswith("admit of udp:server:7: Traceback")
    assert "in admit" in notice.text


def test_route_that_raises_loses_that_datagram_alone() -> None:
    def route(data: bytes, peer: Any) -> Any:
        if data == b"bad":
            raise Trouble("in route")
        return [] if data == b"unhashable" else data[:1]

    rig = PlaceRig(Service(Acts(echo), route=route))
    assert rig.ask(rig.dial(), b"one", b"bad", b"unhashable", b"two") == [b"one", b"two"]
    assert rig.dropped == {FAILED: 2}
    assert rig.kinds() == ["machine error"] * 2
    assert rig.notices[0].text.startswith("route of udp:server:7: Traceback")
    assert len(rig.rows) == 2


def test_route_that_raises_only_when_a_row_begins() -> None:
    asked: list[bytes] = []

    def route(data: bytes, peer: Any) -> Any:
        asked.append(data)
        if data == b"bad" and asked.count(data) == 2:
            raise Trouble("in route")
        return data

    rig = PlaceRig(Service(Acts(echo), route=route))
    assert rig.ask(rig.dial(), b"bad", b"good") == [b"good"]
    assert rig.dropped == {FAILED: 1}
    assert "in route" in rig.notices[0].text
    assert len(rig.rows) == 1


def test_a_service_that_begins_a_row_by_itself_and_then_admits_another_for_the_same_peer() -> None:
    rig: PlaceRig

    def admit(data: bytes, peer: Any) -> Any:
        rig.endpoint.begin(peer, Acts(echo))
        return Acts(echo)

    rig = PlaceRig(Service(admit=admit))
    peer = rig.dial()
    assert rig.ask(peer, b"lost") == []
    assert rig.dropped == {FAILED: 1}
    assert "belongs to <Row 1" in rig.notices[0].text
    assert rig.ask(peer, b"fed") == [b"fed"]
    rig.row.close()
    rig.run()
    assert not rig.rows


def test_an_answer_that_is_none_ends_as_a_factory_that_cannot_be_called() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: bytearray(b"bytes are asked for")))
    assert rig.ask(rig.dial(), b"x") == []
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert "'bytearray' object is not callable" in rig.notices[0].text


def test_what_is_no_exception_leaves_and_is_counted_before() -> None:
    def admit(data: bytes, peer: Any) -> bytes:
        if data == b"stop":
            raise KeyboardInterrupt
        return data

    rig = PlaceRig(Service(admit=admit))
    peer = rig.dial()
    with pytest.raises(KeyboardInterrupt):
        rig.ask(peer, b"one", b"stop", b"two")
    assert stateless(rig) == (1, 1, 3, 3, 1)
    assert rig.ask(peer) == [b"one", b"two"]


# Machines that fail.


@on("schedule", ["fair", "shortest"])
@on("where", ["feed", "feed again", "step", "ended", "refuse", "describe"])
def test_a_machine_that_fails_loses_its_row_alone(where: str, schedule: str) -> None:
    def admit(data: bytes, peer: Any) -> Any:
        return (lambda row: Fails(row, where, IDLE)) if data == b"bad" else Acts(echo)

    rig = PlaceRig(Service(admit=admit), schedule=schedule)
    bad, good = rig.dial(), rig.dial()
    for _ in range(3):
        assert rig.ask(good, b"still here") == [b"still here"]
        bad.say(b"bad")
        rig.run()
        list(rig.reactor.rows())
    if where == "refuse":
        rig.run(20.0)
        assert rig.ended == {str(Cause.IDLE_TOO_LONG): 2}
        assert rig.kinds() == ["machine error"]
    elif where == "ended":
        (row,) = [row for row in rig.rows if isinstance(row.machine, Fails)]
        row.close()
        rig.run()
        assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
        assert rig.kinds() == ["machine error"]
    elif where == "describe":
        assert not rig.ended
    else:
        died = {"feed": 3, "feed again": 1, "step": 3}[where]
        assert rig.ended == {str(Cause.MACHINE_ERROR): died}
        assert rig.kinds() == ["machine error"] * died
        assert f"in {where}" in rig.notices[0].text
        assert rig.notices[0].key == 2
        assert bad.heard() == [b"sorry"] * died, "as a row of streams, it has its last word"
    assert rig.ask(good, b"and after") == [b"and after"]


def test_a_factory_that_raises() -> None:
    def factory(row: DatagramRow) -> Acting:
        raise Trouble("in the factory")

    rig = PlaceRig(Service(factory))
    assert rig.ask(rig.dial(), b"x") == []
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert not rig.rows
    assert rig.notices[0].text.startswith("factory of udp:server:7: Traceback")
    assert not rig.dropped


def test_a_factory_that_raises_for_a_row_that_the_program_begins() -> None:
    def factory(row: DatagramRow) -> Acting:
        raise Trouble("in the factory")

    rig = PlaceRig(Service(Acts(echo)))
    assert rig.endpoint.begin(("far", 1), factory).reason is not None
    rig.run()
    assert rig.kinds() == ["machine error"]
    assert not rig.rows


def test_a_factory_that_closes_its_row() -> None:
    def factory(row: DatagramRow) -> Acting:
        row.close("not you")
        return acts(row)

    acts = Acts(echo)
    rig = PlaceRig(Service(factory))
    assert rig.ask(rig.dial(), b"x") == []
    assert rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert acts.only.steps == 0
    assert acts.only.reason is not None


# How a datagram finds its row.


@on("seed", SEEDS)
def test_rows_are_found_by_where_datagrams_come_from(seed: int) -> None:
    acts = Acts(echo)
    rig = PlaceRig(Service(acts), seed=seed)
    first, second = rig.dial(), rig.dial()
    assert rig.ask(first, b"begins") == [b"begins"]
    assert rig.ask(second, b"begins too") == [b"begins too"]
    assert rig.ask(first, b"goes on") == [b"goes on"]
    assert len(acts.made) == 2
    assert [row.peer for row in rig.rows] == [first.where, second.where]
    assert {row.local for row in rig.rows} == {("server", 7)}
    assert [row.listener for row in rig.rows] == ["udp:server:7"] * 2
    assert [(row.received, row.sent) for row in rig.rows] == [(13, 13), (10, 10)]
    totals = rig.reactor.totals()
    assert (totals.datagrams_received, totals.datagrams_sent, totals.received, totals.sent) == (3, 3, 23, 23)
    assert (totals.rows, totals.accepted, totals.requests) == (2, 2, 0)


def test_an_address_is_free_again_when_its_row_has_left() -> None:
    acts = script(CLOSE)
    rig = PlaceRig(Service(acts))
    peer = rig.dial()
    for _ in range(3):
        rig.ask(peer, b"x")
    assert len(acts.made) == 3
    assert rig.ended == {str(Cause.DONE): 3}


def test_what_comes_after_a_row_has_ended_begins_another_in_that_turn() -> None:
    acts = script(CLOSE)
    rig = PlaceRig(Service(acts))
    peer = rig.dial()
    peer.say(b"x")
    peer.say(b"y")
    rig.arrive()
    rig.run()
    assert rig.dropped == {}
    assert [machine.data for machine in acts.made] == [b"x", b"y"]


def first_letter(data: bytes, peer: Any) -> bytes | None:
    return data[:1] or None


def test_rows_are_found_by_what_the_service_says() -> None:
    acts = Acts(echo)
    rig = PlaceRig(Service(acts, route=first_letter))
    here, there = rig.dial(), rig.dial()
    assert rig.ask(here, b"a1") == [b"a1"]
    assert rig.ask(here, b"b1") == [b"b1"]
    there.say(b"a2")
    rig.run()
    assert here.heard() == [b"a2"], "a row answers where it has begun, until it follows"
    assert there.heard() == []
    assert len(acts.made) == 2


def test_rows_without_a_route_are_found_by_nothing() -> None:
    acts = Acts(echo)
    rig = PlaceRig(Service(acts, route=first_letter))
    peer = rig.dial()
    rig.ask(peer, b"", b"")
    assert [row.routes for row in rig.rows] == [(), ()]
    for row in rig.rows:
        row.close()
    rig.run()
    assert rig.endpoint.rows == 0


def test_a_route_of_no_letters_is_one_too() -> None:
    rig = PlaceRig(Service(Acts(echo), route=lambda data, peer: ""))
    assert rig.ask(rig.dial(), b"x") == [b"x"]
    assert rig.ask(rig.dial(), b"y") == []
    assert rig.row.received == 2


def test_routes_that_a_machine_adds() -> None:
    added: list[bool] = []

    def act(machine: Acting) -> Want:
        row: Any = machine.row
        data = machine.take()
        if data[1:2] == b"+":
            added.append(row.add_route(data[2:3]))
        return data or IDLE

    rig = PlaceRig(Service(Acts(act), route=first_letter))
    peer = rig.dial()
    rig.ask(peer, b"a+x", b"b+x", b"b+a", b"a+a")
    assert added == [True, False, False, False]
    assert [row.routes for row in rig.rows] == [(b"a", b"x"), (b"b",)]
    rig.ask(peer, b"x?")
    assert [row.received for row in rig.rows] == [8, 6]
    first = rig.rows[0]
    first.close()
    assert not first.add_route(b"z"), "it has ended"
    assert not rig.rows[1].add_route(None), "that is no route: nothing would come by it, or everything"
    rig.run()
    assert not first.add_route(b"z")
    assert rig.ask(peer, b"x1", b"z1") == [b"x1", b"z1"], "they lead to new rows"
    assert len(rig.rows) == 3


@on("where", ["feed", "step"])
def test_following_a_peer_to_where_it_is_now(where: str) -> None:
    class Follows(Acting):
        def feed(self, data: bytes) -> None:
            super().feed(data)
            if where == "feed":
                self.row.follow()  # type: ignore[attr-defined]

        def step(self) -> Want:
            if where == "step" and self.data:
                self.row.follow()  # type: ignore[attr-defined]
            return super().step()

    rig = PlaceRig(Service(lambda row: Follows(row, echo), route=first_letter))
    here, there = rig.dial(), rig.dial()
    assert rig.ask(here, b"a1") == [b"a1"]
    rig.row.proven = True
    assert rig.ask(there, b"a2") == [b"a2"]
    assert rig.row.peer == there.where
    assert not rig.row.proven
    assert here.heard() == []


# Room.


def test_rows_that_a_program_begins() -> None:
    acts = Acts(lambda machine: b"hello" if machine.steps == 1 else echo(machine))
    rig = PlaceRig(Service(admit=lambda data, peer: None))
    peer = rig.dial()
    row = rig.endpoint.begin(peer.where, acts)
    assert not row.proven
    assert rig.dropped == {TOO_MUCH: 1}, "nothing has come from there"
    row = rig.row
    rig.run()
    assert peer.heard() == []
    assert rig.ask(peer, b"goes on") == [b"goes on"]
    with pytest.raises(OSError, match="takes no row for") as caught:
        rig.endpoint.begin(peer.where, acts)
    assert caught.value.errno == EADDRINUSE
    assert rig.reactor.row(row.key) is not None


def test_rows_that_a_program_begins_find_no_room() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: None), limits=Limits(datagram_rows_max=1))
    rig.endpoint.begin(("far", 1), Acts(echo))
    with pytest.raises(OSError, match="takes no row for") as caught:
        rig.endpoint.begin(("far", 2), Acts(echo))
    assert caught.value.errno == EMFILE
    rig.row.close()
    rig.run()
    rig.endpoint.begin(("far", 2), Acts(echo))


def test_rows_that_a_program_begins_where_ways_are_the_services_own() -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: None, route=first_letter))
    peer = rig.dial()
    row = rig.endpoint.begin(peer.where, Acts(echo))
    rig.endpoint.begin(peer.where, Acts(echo))
    assert rig.ask(peer, b"x") == []
    assert row.add_route(b"x")
    assert rig.ask(peer, b"x") == [b"x"]


@on("end", ["retire", "close"])
def test_an_endpoint_that_is_to_close_begins_no_rows(end: str) -> None:
    rig = PlaceRig(Service(Acts(echo)))
    peer = rig.dial()
    rig.ask(peer, b"x")
    getattr(rig.endpoint, end)()
    with pytest.raises(OSError, match="closed") as caught:
        rig.endpoint.begin(("far", 1), Acts(echo))
    assert caught.value.errno == EBADF
    rig.ask(rig.dial(), b"x")
    assert len(rig.rows) == (end == "retire")


def test_a_full_endpoint_says_so_once_until_half_have_left() -> None:
    rig = PlaceRig(Service(Acts(echo)), limits=Limits(datagram_rows_max=4))
    peers = [rig.dial() for _ in range(8)]
    for peer in peers:
        rig.ask(peer, b"x")
    assert rig.dropped == {NO_ROW: 4}
    assert rig.kinds() == ["endpoint full"]
    assert rig.notices[0].text == "udp:server:7: 4 rows, and no more are begun"

    def close(count: int) -> None:
        for row in rig.rows[:count]:
            row.close()
        rig.run()

    close(2)
    assert [rig.ask(peer, b"x") for peer in peers[4:7]] == [[b"x"], [b"x"], []]
    assert rig.kinds() == ["endpoint full"], "they come and go at the limit"
    close(3)
    for peer in peers:
        rig.ask(peer, b"x")
    assert rig.kinds() == ["endpoint full"] * 2


def test_a_full_table_has_room_for_rows_that_need_no_descriptor() -> None:
    rig = PlaceRig(Service(Acts(echo)), limits=Limits(rows_max=1))
    rig.reactor.listen("server:8", Acts(echo))
    client = rig.simulation.dial("server:8")
    client.say(b"x")
    rig.run()
    assert client.heard() == b"x"
    assert rig.reactor.table.full()
    assert [rig.ask(rig.dial(), b"x") for _ in range(5)] == [[b"x"]] * 5
    assert len(rig.reactor.table.rows) == 6
    for attempt in (
        lambda: rig.reactor.bind("udp:server:9", Service(Acts(echo)), alone=True),
        lambda: rig.reactor.connect("udp:server:7", Acts(echo)),
    ):
        with pytest.raises(OSError, match="full") as caught:
            attempt()
        assert caught.value.errno == EMFILE
    rig.reactor.bind("udp:server:9", Service(Acts(echo)))


def test_a_nameless_peer_of_a_unix_socket_has_no_row() -> None:
    rig = PlaceRig(Service(Acts(echo)), address="unixgram:/here")
    channel: Any = rig.endpoint.channel
    channel.take(b"x", "", False, "/here")
    rig.run()
    assert rig.dropped == {NAMELESS: 1}
    assert not rig.rows
