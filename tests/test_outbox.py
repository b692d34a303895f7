"""What leaves an endpoint whose kernel takes nothing now: it waits in order and bounded, or is lost and counted."""

from collections.abc import Callable
from errno import (
    EACCES,
    ECONNREFUSED,
    EHOSTUNREACH,
    EINVAL,
    EMSGSIZE,
    ENETDOWN,
    ENETUNREACH,
    ENOBUFS,
    ENOMEM,
    EPERM,
    errorcode,
)
from typing import Any

import pytest
from partway.engine import CLOSE, IDLE, PARK, READ, Cause, Limits, PeerError, Read, Want
from partway.engine.faults import Faults
from partway.engine.outbox import ENTRY_BYTES, NO_ROOM, UNDELIVERABLE
from partway.engine.platform import READABLE, WRITABLE
from places import PlaceRig, Service, assert_nothing_left
from worlds import SEEDS, Acting, Acts, echo

on = pytest.mark.parametrize


class Valve:
    """Stands before a channel's `send_to`: fails with an error while there is one; counts what was tried."""

    def __init__(self, rig: PlaceRig, error: Callable[[], OSError] | None = BlockingIOError) -> None:
        self.rig = rig
        self.error = error
        self.tried: list[bytes] = []
        self.left = -1  # how many it lets through before it fails, where it is not negative
        channel: Any = rig.endpoint.channel
        self._send = channel.send_to
        channel.send_to = self.send_to

    def send_to(self, data: Any, sender: Any) -> Any:
        self.tried.append(bytes(data))
        if self.error is not None and self.left <= 0:
            raise self.error()
        self.left -= 1
        return self._send(data, sender)

    def open(self, count: int = -1) -> None:
        if count < 0:
            self.error = None
        self.left = count


def answers(data: bytes, peer: Any) -> bytes:
    return data


def asked(rig: PlaceRig) -> int:
    """What the poller is asked for."""
    poller: Any = rig.simulation.poller
    mask: int = poller._interest[rig.endpoint.descriptor]
    return mask


def said(rig: PlaceRig, peer: Any, *data: bytes) -> None:
    for one in data:
        peer.say(one)
    rig.arrive()
    for _ in range(3):
        rig.reactor.step(0)


# Waiting.


@on("error", [BlockingIOError, InterruptedError])
def test_answers_wait_in_their_order(error: Any) -> None:
    rig = PlaceRig(Service(admit=answers))
    peer, other = rig.dial(), rig.dial()
    valve = Valve(rig, error)
    said(rig, peer, b"one", b"two", b"three")
    said(rig, other, b"four")
    assert peer.heard() == []
    assert asked(rig) == READABLE | WRITABLE
    assert rig.reactor.totals().datagrams_sent == 0
    assert rig.reactor.totals().kept == 15 + 4 * ENTRY_BYTES
    assert set(valve.tried) == {b"one"}, "who is behind another does not try before it"
    valve.open()
    rig.run()
    assert peer.heard() == [b"one", b"two", b"three"]
    assert other.heard() == [b"four"]
    totals = rig.reactor.totals()
    assert (totals.datagrams_sent, totals.sent, totals.requests, totals.kept) == (4, 15, 4, 0)
    assert asked(rig) == READABLE
    assert not rig.dropped


def test_as_much_as_one_turn_may_leaves_the_queue() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagrams_a_turn=2))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, *[b"x"] * 5)
    assert len(rig.endpoint.outbox.waiting) == 5
    valve.open()
    left = []
    for _ in range(3):
        rig.reactor.step(0)
        left.append(len(rig.endpoint.outbox.waiting))
    assert left == [3, 1, 0]


def test_what_the_kernel_takes_of_the_queue_has_gone() -> None:
    rig = PlaceRig(Service(admit=answers))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"1", b"2", b"3", b"4")
    valve.open(2)
    rig.reactor.step(0)
    rig.arrive()
    assert peer.heard() == [b"1", b"2"]
    assert len(rig.endpoint.outbox.waiting) == 2
    assert asked(rig) == READABLE | WRITABLE
    assert rig.reactor.table.kept == 2 * (1 + ENTRY_BYTES)


def test_a_queue_is_bounded_and_what_finds_it_full_is_counted() -> None:
    entry = 100 + ENTRY_BYTES
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagram_queue_bytes=3 * entry + 50))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, *[bytes(100)] * 5)
    assert rig.dropped == {NO_ROOM: 2}
    assert rig.reactor.table.kept == 3 * entry
    valve.open()
    rig.run()
    assert len(peer.heard()) == 3
    assert rig.ask(peer, b"x") == [b"x"], "there is room again"
    valve.error = BlockingIOError
    said(rig, peer, *[bytes(100)] * 5)
    assert rig.dropped == {NO_ROOM: 4}


def test_answers_without_bytes_fill_a_queue_too() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(datagram_queue_bytes=1000))
    Valve(rig)
    said(rig, rig.dial(), *[b""] * 20)
    assert len(rig.endpoint.outbox.waiting) < 10
    assert rig.dropped == {NO_ROOM: 20 - len(rig.endpoint.outbox.waiting)}


def test_what_waits_without_a_row_is_a_part_of_what_may_be_kept() -> None:
    rig = PlaceRig(Service(admit=answers), limits=Limits(held_bytes_max=4 * (100 + ENTRY_BYTES) + 4))
    Valve(rig)
    said(rig, rig.dial(), bytes(100), bytes(100))
    assert rig.dropped == {NO_ROOM: 1}


# Rows.


def talks(count: int) -> Acts:
    def act(machine: Acting) -> Want:
        return b"%d" % machine.steps if machine.steps <= count else IDLE

    return Acts(act)


@on("schedule", ["fair", "shortest"])
@on("seed", SEEDS)
def test_rows_rest_until_their_datagram_has_gone(seed: int, schedule: str) -> None:
    acts = talks(3)
    rig = PlaceRig(Service(acts), seed=seed, schedule=schedule)
    peers = [rig.dial() for _ in range(3)]
    valve = Valve(rig)
    for peer in peers:
        said(rig, peer, b"hello, hello")
    assert rig.states == ["WRITING"] * 3
    assert [machine.steps for machine in acts.made] == [1, 1, 1]
    assert [row.held for row in rig.rows] == [1] * 3
    assert [row.sent for row in rig.rows] == [0] * 3
    assert [report.to_send for report in rig.reactor.rows()] == [1] * 3
    for row in rig.rows:
        row.wake()
    rig.reactor.step(0)
    assert [machine.steps for machine in acts.made] == [1, 1, 1], "its time comes when that has gone"
    valve.open()
    rig.run()
    assert [peer.heard() for peer in peers] == [[b"1", b"2", b"3"]] * 3
    assert rig.states == ["IDLE"] * 3
    assert rig.reactor.table.held == 0
    assert [row.sent for row in rig.rows] == [3] * 3
    assert [report.to_send for report in rig.reactor.rows()] == [0] * 3


def test_a_row_that_was_woken_before_its_datagram_waits_is_not_stepped() -> None:
    acts = talks(3)
    rig = PlaceRig(Service(acts))
    peer = rig.dial()
    said(rig, peer, b"x")
    acts.only.steps = 0
    valve = Valve(rig)
    rig.row.wake()
    said(rig, peer, b"hello, hello")
    assert rig.states == ["WRITING"]
    assert acts.only.steps == 1
    valve.open()
    rig.run()
    assert acts.only.steps == 4


def test_a_row_whose_datagram_goes_while_it_is_still_queued_is_queued_once() -> None:
    acts = Acts(lambda machine: machine.take() or IDLE)
    rig = PlaceRig(Service(acts), limits=Limits(turn_bytes=1))
    peers = [rig.dial(), rig.dial()]
    for peer in peers:
        said(rig, peer, b"x")
        peer.heard()
    valve = Valve(rig)
    for row in rig.rows:
        row.wake()
    peers[1].say(b"y")
    rig.arrive()
    rig.reactor.step(0)
    second = rig.rows[1]
    assert rig.states == ["IDLE", "WRITING"]
    assert second.queued
    steps = acts.made[1].steps
    valve.open()
    for _ in range(3):
        rig.reactor.step(0)
    assert acts.made[1].steps == steps + 1
    assert not rig.reactor.table.queue


@on("duplex", [False, True])
def test_what_comes_for_a_row_that_waits(duplex: bool) -> None:
    class Duplex(Acting):
        pass

    if duplex:
        Duplex.duplex = True  # type: ignore[attr-defined]
    rig = PlaceRig(Service(lambda row: Duplex(row, echo)))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"one", b"two")
    assert rig.states == ["WRITING"]
    assert sum(rig.dropped.values()) == (not duplex)
    valve.open()
    rig.run()
    assert peer.heard() == ([b"one", b"two"] if duplex else [b"one"])


def test_a_row_whose_datagram_finds_the_queue_full_goes_on() -> None:
    rig = PlaceRig(Service(talks(5)), limits=Limits(datagram_queue_bytes=ENTRY_BYTES + 1))
    first, second = rig.dial(), rig.dial()
    valve = Valve(rig)
    said(rig, first, b"hello, hello")
    said(rig, second, b"hello, hello")
    assert rig.states == ["WRITING", "IDLE"]
    assert rig.dropped == {NO_ROOM: 5}
    valve.open()
    rig.run()
    assert (len(first.heard()), len(second.heard())) == (5, 0)


@on("others", [0, 1])
def test_a_row_that_is_killed_while_its_datagram_waits(others: int) -> None:
    rig = PlaceRig(Service(echo_rows()))
    peer, other = rig.dial(), rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"never heard")
    if others:
        said(rig, other, b"heard")
    assert rig.reactor.kill(1)
    rig.run(0.001, turns=100_000)
    assert len(rig.rows) == others
    assert rig.reactor.table.held == others * 5
    valve.open()
    rig.run()
    assert peer.heard() == []
    assert other.heard() == [b"heard"] * others
    assert rig.reactor.table.held == 0
    assert not rig.endpoint.outbox.waiting
    assert asked(rig) == READABLE
    assert rig.reactor.totals().datagrams_sent == others


def echo_rows() -> Acts:
    return Acts(echo)


def test_a_row_whose_datagram_does_not_go_in_time() -> None:
    class Says(Acting):
        def refuse(self, reason: Any) -> bytes:
            raise AssertionError("it cannot speak now")

    rig = PlaceRig(Service(lambda row: Says(row, echo)), limits=Limits(stall_seconds=5, idle_seconds=1))
    peer = rig.dial()
    Valve(rig)
    peer.say(b"x")
    rig.arrive()
    rig.reactor.step(0)
    rig.simulation.poller.modify(rig.endpoint.descriptor, READABLE)  # else it is asked for ever, in no time
    rig.run(4.9)
    assert rig.states == ["WRITING"]
    rig.run(0.2)
    assert rig.ended == {str(Cause.ANSWER_TOO_SLOW): 1}
    assert not rig.notices


def test_the_last_word_waits_without_its_row() -> None:
    class Says(Acting):
        def refuse(self, reason: Any) -> bytes:
            return b"sorry"

    def act(machine: Acting) -> Want:
        if machine.data:
            raise PeerError("no")
        return READ

    rig = PlaceRig(Service(lambda row: Says(row, act)), alone=True)
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"hello")
    assert not rig.rows
    assert rig.endpoint.open, "it still has something to say"
    assert rig.reactor.table.kept == 5 + ENTRY_BYTES
    valve.open()
    rig.run()
    assert peer.heard() == [b"sorry"]
    assert_nothing_left(rig.reactor)


def test_room_that_comes_when_the_last_word_has_gone() -> None:
    class Says(Acting):
        def refuse(self, reason: Any) -> bytes:
            return b"sorry"

    rig = PlaceRig(
        Service(lambda row: Says(row, lambda machine: Read(100))),
        alone=True,
        limits=Limits(rows_max=1, request_seconds=1),
    )
    rig.reactor.listen("server:8", Acts(echo))
    client = rig.simulation.dial("server:8")
    client.say(b"x")
    valve = Valve(rig)
    said(rig, rig.dial(), b"hello")
    rig.run(0.9)
    assert rig.kinds() == ["table full"]
    rig.simulation._clock += 1.0
    for _ in range(5):
        rig.reactor.step(0)
    assert not rig.rows
    assert rig.endpoint.open
    valve.open()
    rig.run()
    assert not rig.endpoint.open
    assert client.heard() == b"x"


@on("end", ["close", "reactor"])
def test_an_endpoint_that_is_closed_while_something_waits(end: str) -> None:
    def admit(data: bytes, peer: Any) -> Any:
        return data if data == b"answer" else Acts(echo)

    rig = PlaceRig(Service(admit=admit))
    peer = rig.dial()
    Valve(rig)
    said(rig, peer, b"answer", b"row", b"answer")
    if end == "reactor":
        rig.reactor.close()
    else:
        rig.endpoint.close()
        rig.run()
    assert not rig.endpoint.outbox.waiting
    assert_nothing_left(rig.reactor)


def test_a_retired_endpoint_sends_what_waits_before_it_closes() -> None:
    rig = PlaceRig(Service(admit=answers))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"x")
    rig.endpoint.retire()
    assert rig.endpoint.open
    valve.open()
    rig.run()
    assert peer.heard() == [b"x"]
    assert_nothing_left(rig.reactor)


def test_who_ranks_rows_may_close_the_endpoint_whose_queue_is_sent() -> None:
    class Closes(Acting):
        def remaining(self) -> int:
            rig.endpoint.close()
            return 0

    rig = PlaceRig(Service(lambda row: Closes(row, echo)), schedule="shortest")
    peers = [rig.dial() for _ in range(3)]
    valve = Valve(rig)
    for peer in peers:
        said(rig, peer, b"x")
    assert rig.states == ["WRITING"] * 3
    valve.open()
    rig.run()
    assert_nothing_left(rig.reactor)


# Errors.


PASSING = [ENOBUFS, ENOMEM, EPERM, ENETDOWN, ENETUNREACH, EHOSTUNREACH]
LASTING = [EMSGSIZE, ECONNREFUSED, EINVAL, EACCES]


@on("code", PASSING + LASTING, ids=lambda code: errorcode[code])
@on("waits", [False, True])
def test_errors_of_a_rows_datagram(code: int, waits: bool) -> None:
    acts = Acts(lambda machine: machine.take() or IDLE)
    rig = PlaceRig(Service(acts))
    peer = rig.dial()
    valve = Valve(rig, BlockingIOError if waits else lambda: OSError(code, "no"))
    said(rig, peer, b"lost")
    valve.error = lambda: OSError(code, "no")
    rig.reactor.step(0)
    valve.open()
    rig.run()
    assert rig.dropped == {UNDELIVERABLE: 1}
    assert rig.reactor.table.held == 0
    if code in PASSING:
        assert rig.states == ["IDLE"]
        assert rig.ask(peer, b"next") == [b"next"]
    else:
        assert rig.ended == {str(Cause.PEER_LOST): 1}
        assert acts.only.reason is not None
        assert acts.only.reason.detail == errorcode[code]
        assert acts.only.steps == 1


def test_an_error_without_a_number_has_words() -> None:
    acts = echo_rows()
    rig = PlaceRig(Service(acts))
    Valve(rig, lambda: OSError("AF_UNIX path too long"))
    said(rig, rig.dial(), b"x")
    assert acts.only.reason is not None
    assert acts.only.reason.detail == "AF_UNIX path too long"


@on("waits", [False, True])
def test_errors_of_an_answer_without_a_row(waits: bool) -> None:
    rig = PlaceRig(Service(admit=answers))
    peer = rig.dial()
    valve = Valve(rig, BlockingIOError if waits else lambda: OSError(ECONNREFUSED, "no"))
    said(rig, peer, b"one", b"two")
    valve.error = lambda: OSError(ECONNREFUSED, "no")
    rig.reactor.step(0)
    assert rig.dropped == {UNDELIVERABLE: 2}
    assert rig.reactor.table.kept == 0
    assert rig.reactor.totals().datagrams_sent == 0
    valve.open()
    assert rig.ask(peer, b"x") == [b"x"]


@on("seed", SEEDS)
def test_a_kernel_without_buffers(seed: int) -> None:
    rig = PlaceRig(Service(echo_rows()), seed=seed, faults=Faults(no_buffers=0.3, not_ready=0.2, interrupted=0.2))
    peer = rig.dial()
    for _ in range(50):
        peer.say(b"x")
        rig.run()
    met = rig.simulation.met
    assert rig.dropped == {UNDELIVERABLE: met["no_buffers"]}
    assert len(peer.heard()) == 50 - met["no_buffers"]
    assert len(rig.rows) == 1


def test_too_large_for_any_packet() -> None:
    rig = PlaceRig(Service(Acts(lambda machine: bytes(70_000) if machine.data else READ)))
    rig.ask(rig.dial(), bytes(60_000))
    assert rig.ended == {str(Cause.PEER_LOST): 1}


# UNIX sockets.


@on("error", [BlockingIOError, InterruptedError])
def test_on_a_unix_socket_nothing_waits(error: Any) -> None:
    rig = PlaceRig(Service(admit=lambda data, peer: data if data == b"answer" else echo_rows()), address="unixgram:/x")
    peer = rig.dial()
    Valve(rig, error)
    said(rig, peer, b"answer", b"row")
    assert rig.dropped == {NO_ROOM: 2}
    assert rig.states == ["IDLE"]
    assert asked(rig) == READABLE
    assert not rig.endpoint.outbox.waiting


def test_a_peer_of_a_unix_socket_that_does_not_read() -> None:
    rig = PlaceRig(Service(echo_rows()), address="unixgram:/here")
    slow, quick = rig.dial(), rig.dial()
    for _ in range(20):
        slow.say(b"x")
        rig.run()
    assert rig.dropped == {NO_ROOM: 9}
    assert rig.ask(quick, b"x") == [b"x"]
    assert len(slow.heard()) == 11
    assert rig.ask(slow, b"x") == [b"x"]


def test_a_peer_of_a_unix_socket_that_has_gone() -> None:
    rig = PlaceRig(Service(Acts(lambda machine: PARK if machine.steps == 1 else b"x")), address="unixgram:/here")
    peer = rig.dial()
    rig.ask(peer, b"x")
    peer.close()
    rig.row.wake()
    rig.run()
    assert rig.ended == {str(Cause.PEER_LOST): 1}
    assert rig.dropped == {UNDELIVERABLE: 1}


def test_closing_after_the_answer_sends_it() -> None:
    """CLOSE comes only when the datagram before it has gone."""
    acts = Acts(lambda machine: b"bye" if machine.steps == 1 else CLOSE)
    rig = PlaceRig(Service(acts))
    peer = rig.dial()
    valve = Valve(rig)
    said(rig, peer, b"x")
    assert rig.states == ["WRITING"]
    valve.open()
    rig.run()
    assert peer.heard() == [b"bye"]
    assert rig.ended == {str(Cause.DONE): 1}
