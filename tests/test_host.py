"""The host platform: bytes that somebody else moves, by number, with nothing of a socket in sight."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from partway.engine import ABORT, CLOSE, HALF_CLOSE, IDLE, PARK, Cause, Limits, Reactor, Row, Want
from partway.engine.host import CAPACITY_BYTES, Host
from partway.engine.machine import Machine
from worlds import Acting, Acts, assert_conserved, echo, script


class Outside:
    """A host with a clock that a test moves."""

    def __init__(self, factory: Callable[[Row], Machine], limits: Limits | None = None) -> None:
        self.clock = 100.0
        self.host = Host(lambda: self.clock, lambda: 1e9, seed=1)
        self.reactor = Reactor(self.host, limits=limits)
        self.listener = self.reactor.listen("here:1", factory)

    def open(self) -> int:
        number = self.host.open("here:1", "somebody")
        self.turns()
        return number

    def turns(self, count: int = 5) -> None:
        for _ in range(count):
            self.reactor.step(0)
            assert_conserved(self.reactor)

    def taken(self, number: int) -> bytes:
        data = self.host.take(number)
        self.host.sent(number, len(data))
        return data


def test_echo() -> None:
    outside = Outside(Acts(echo))
    number = outside.open()
    assert outside.host.feed(number, b"hello") == 5
    outside.turns()
    assert outside.host.take(number) == b"hello"
    assert outside.host.take(number, 2) == b"he"
    outside.host.sent(number, 3)
    assert outside.host.take(number) == b"lo"
    outside.host.sent(number, 2)
    assert outside.host.take(number) == b""
    assert [row.peer for row in outside.reactor.rows()] == ["unix:somebody"]


def test_numbers_are_not_mixed_up_and_not_reused() -> None:
    outside = Outside(Acts(echo))
    numbers = [outside.open() for _ in range(50)]
    for number in numbers:
        outside.host.feed(number, b"%d" % number)
    outside.turns()
    assert [outside.taken(number) for number in numbers] == [b"%d" % number for number in numbers]
    outside.host.lost(numbers[0])
    outside.turns()
    assert outside.open() not in numbers


def test_the_peers_end_and_ours() -> None:
    outside = Outside(Acts(lambda machine: machine.take() or IDLE))
    number = outside.open()
    outside.host.feed(number, b"last")
    outside.host.end(number)
    outside.turns()
    assert outside.host.outcome(number) == "open", "there are bytes to take first"
    assert outside.taken(number) == b"last"
    assert outside.host.outcome(number) == "ended"
    assert outside.reactor.totals().ended == {str(Cause.DONE): 1}
    outside.host.forget(number)


def test_half_close_reads_on() -> None:
    acts = script(b"bye", HALF_CLOSE, IDLE)
    outside = Outside(acts)
    number = outside.open()
    assert outside.taken(number) == b"bye"
    assert outside.host.outcome(number) == "ended"
    outside.host.feed(number, b"more")
    outside.turns()
    assert acts.only.data == b"more"


@pytest.mark.parametrize(("want", "outcome"), [(CLOSE, "ended"), (ABORT, "reset")])
def test_how_the_engine_ends_it(want: Want, outcome: str) -> None:
    outside = Outside(Acts(lambda machine: want if machine.take() else IDLE))
    number = outside.open()
    outside.host.feed(number, b"x")
    outside.turns()
    assert outside.host.outcome(number) == outcome


def test_a_lost_connection() -> None:
    acts = Acts(echo)
    outside = Outside(acts)
    number = outside.open()
    outside.host.lost(number)
    outside.turns()
    assert acts.only.reason is not None
    assert acts.only.reason.cause is Cause.PEER_LOST


def test_no_more_is_taken_than_there_is_room_for() -> None:
    outside = Outside(Acts(lambda machine: machine.memory or PARK))
    number = outside.open()
    data = bytes(1000)
    taken = 0
    for _ in range(200):
        taken += outside.host.feed(number, data)
        outside.turns(1)
    assert taken == CAPACITY_BYTES
    assert not outside.host.wants(number)
    assert outside.host.feed(number, b"x") == 0


def test_what_was_not_taken_goes_on_when_it_is_wanted() -> None:
    gate = [False]
    acts = Acts(lambda machine: (machine.take() or IDLE) if gate[0] else PARK)
    outside = Outside(acts)
    number = outside.open()
    data = b"".join(b"%6d" % count for count in range(40_000))
    place = 0
    while count := outside.host.feed(number, data[place : place + 5000]):
        place += count
    gate[0] = True
    acts.only.row.wake()
    heard = bytearray()
    for _ in range(10_000):
        if outside.host.wants(number):
            place += outside.host.feed(number, data[place : place + 5000])
        outside.turns(1)
        heard += outside.taken(number)
        if len(heard) == len(data):
            break
    assert heard == data


def test_a_host_that_does_not_take_blocks_the_machine() -> None:
    outside = Outside(script(*[b"x" * 10_000] * 20, IDLE), limits=Limits(stall_seconds=5))
    number = outside.open()
    assert len(outside.host.take(number, 1 << 20)) == CAPACITY_BYTES
    assert [row.state for row in outside.reactor.rows()] == ["WRITING"]
    outside.clock += 6
    outside.turns()
    assert outside.host.outcome(number) == "reset"
    assert outside.reactor.totals().ended == {str(Cause.ANSWER_TOO_SLOW): 1}


def test_deadlines_are_on_the_hosts_clock() -> None:
    outside = Outside(Acts(echo), limits=Limits(idle_seconds=15))
    number = outside.open()
    due = outside.reactor.next_deadline()
    assert due == pytest.approx(115, abs=0.01)
    outside.clock = due - 0.01
    outside.turns()
    assert outside.host.outcome(number) == "open"
    outside.clock = due
    outside.turns()
    assert outside.host.outcome(number) == "ended"


def test_feeding_one_that_the_engine_has_ended_does_no_harm() -> None:
    outside = Outside(Acts(lambda machine: ABORT))
    number = outside.open()
    assert outside.host.outcome(number) == "reset"
    assert outside.host.feed(number, b"hello") == 5
    outside.host.end(number)
    outside.turns()
    outside.host.forget(number)


@pytest.mark.parametrize("gone", ["never opened", "lost", "forgotten"])
@pytest.mark.parametrize(
    "call",
    [
        lambda host, number: host.feed(number, b"x"),
        lambda host, number: host.wants(number),
        lambda host, number: host.end(number),
        lambda host, number: host.lost(number),
        lambda host, number: host.take(number),
        lambda host, number: host.sent(number, 1),
        lambda host, number: host.outcome(number),
        lambda host, number: host.forget(number),
    ],
    ids=["feed", "wants", "end", "lost", "take", "sent", "outcome", "forget"],
)
def test_a_number_that_nobody_has(gone: str, call: Callable[[Host, int], object]) -> None:
    """The host is told which, and its other connections go on."""
    outside = Outside(Acts(echo))
    other, number = outside.open(), outside.open()
    if gone == "never opened":
        number += 7
    elif gone == "lost":
        outside.host.lost(number)
    else:
        outside.host.forget(number)
    with pytest.raises(LookupError, match=f"there is no connection {number}: it was never opened, or is forgotten"):
        call(outside.host, number)
    outside.turns()
    outside.host.feed(other, b"hello")
    outside.turns()
    assert outside.taken(other) == b"hello"


@pytest.mark.parametrize("address", ["here:2", "udp:here:1", "unix:/here"])
def test_a_connection_for_nobody(address: str) -> None:
    outside = Outside(Acts(echo))
    with pytest.raises(LookupError, match=f"nobody listens at {address}"):
        outside.host.open(address)
    with pytest.raises(LookupError, match=f"nobody takes datagrams at {address}"):
        outside.host.datagram(address, b"x", ("there", 1))


def test_what_is_no_bytes_is_refused_and_not_counted() -> None:
    outside = Outside(Acts(echo))
    number = outside.open()
    for wrong in ("text", ["a", "list"]):
        with pytest.raises(TypeError):
            outside.host.feed(number, wrong)  # type: ignore[arg-type]
    assert outside.host.feed(number, b"x" * CAPACITY_BYTES) == CAPACITY_BYTES


@pytest.mark.parametrize("count", [-1, 6, 1 << 40])
def test_more_than_there_was_cannot_have_been_sent(count: int) -> None:
    outside = Outside(Acts(echo))
    number = outside.open()
    outside.host.feed(number, b"hello")
    outside.turns()
    with pytest.raises(ValueError, match=f"{count} bytes of connection {number} cannot have been sent: there are 5"):
        outside.host.sent(number, count)
    assert outside.taken(number) == b"hello"
    outside.host.sent(number, 0)


def test_nothing_is_kept_of_those_who_have_gone() -> None:
    acts = Acts(echo)
    outside = Outside(acts)
    for count in range(300):
        number = outside.open()
        outside.host.feed(number, b"x")
        outside.turns(1)
        if count % 3 == 0:
            outside.host.lost(number)
        elif count % 3 == 1:
            outside.host.end(number)
            outside.turns(2)
            outside.host.forget(number)
        else:
            acts.made[-1].row.close()
            outside.turns(2)
            outside.host.forget(number)
        outside.turns(1)
    assert not outside.reactor.table.rows
    assert len(outside.host.poller.pollables) <= 1, "only the listener is left"
    assert not outside.host._outside


def test_a_closed_listener_takes_nobody() -> None:
    outside = Outside(Acts(echo))
    waiting = outside.host.open("here:1")
    outside.listener.close()
    outside.turns()
    assert outside.host.outcome(waiting) == "reset"
    with pytest.raises(LookupError):
        outside.host.open("here:1")
    with pytest.raises(LookupError):
        outside.host.open("elsewhere:1")


def test_connecting_out_is_refused_in_words() -> None:
    outside = Outside(Acts(echo))
    with pytest.raises(OSError, match="cannot connect"):
        outside.reactor.connect("there:1", Acts(echo))
    assert not outside.reactor.table.rows


def test_a_turn_never_waits() -> None:
    """The host has a loop of its own: whatever timeout it names, there is nothing here to wait for."""
    outside = Outside(Acts(echo))
    outside.reactor.step(None)
    outside.reactor.step(1000)
    assert outside.reactor.fileno() is None


def test_machines_see_the_hosts_calendar_and_no_socket() -> None:
    seen: list[float] = []

    def act(machine: Acting) -> Want:
        seen.append(machine.row.wall)
        return IDLE

    outside = Outside(Acts(act))
    outside.open()
    assert seen == [1e9]
    code = "import sys, partway.engine.host, partway.engine.reactor; print('socket' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", done.stderr
