"""The sending side, packet by packet: what a client that a test moves by hand is sent, when, and when no more."""

import os
from pathlib import Path
from typing import Any

import pytest
from partway.engine import Limits
from partway.protocols.tftp import tftp_limits
from tftp_client import Desk, ack, code_of, data, error, options_of, rrq

CONTENT = bytes(range(256)) * 20  # 5120 bytes: ten blocks of 512, and an empty one


class Reader:
    """A client that does nothing on its own account."""

    def __init__(self, folder: Path, request: bytes, **options: Any) -> None:
        self.path = folder / "f"
        if not self.path.exists():
            self.path.write_bytes(CONTENT)
        self.desk = Desk(folder, **options)
        self.wire = self.desk.peer()
        self.server: Any = None
        self.wire.say(request)

    def hear(self, seconds: float = 0.1) -> list[bytes]:
        """What comes within these seconds."""
        self.desk.run(seconds)
        letters = self.wire.letters()
        if letters:
            self.server = letters[0][1]
        return [packet for packet, _ in letters]

    def times(self, seconds: float) -> list[float]:
        """When something comes within these seconds, counted from now, in tenths."""
        start, came = self.desk.now, []
        while (passed := self.desk.now - start) < seconds:
            came += [round(passed, 1)] * len(self.hear(0.1))
        return came

    def say(self, *packets: bytes) -> list[bytes]:
        """Say something; what comes for it."""
        for packet in packets:
            self.wire.say(packet, self.server)
        return self.hear()

    def close(self) -> None:
        self.desk.close()


@pytest.fixture
def reader(tmp_path: Path) -> Any:
    made: list[Reader] = []

    def make(request: bytes = rrq(b"f"), **options: Any) -> Reader:
        made.append(Reader(tmp_path, request, **options))
        return made[0]

    yield make
    made[0].close()


def numbers(packets: list[bytes]) -> list[int]:
    assert all(packet[:2] == b"\0\3" for packet in packets), packets
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


def block(number: int, blksize: int = 512) -> bytes:
    return data(number, CONTENT[(number - 1) * blksize : number * blksize])


def test_block_by_block(reader: Any) -> None:
    client = reader()
    assert client.hear() == [block(1)]
    assert client.server != ("server", 69), "a transfer has a port of its own"
    for number in range(1, 11):
        assert client.say(ack(number)) == [block(number + 1)]
    assert client.desk.rows == 1
    assert client.say(ack(11)) == []
    assert client.desk.rows == 0
    assert client.desk.reactor.totals().requests == 1
    assert client.desk.simulation.descriptors_used() == 1


def test_silence_before_any_answer(reader: Any) -> None:
    """Three times and no more, and no ERROR, which a client that asks again would take for the answer."""
    client = reader()
    assert client.times(60) == [0.0, 1.0, 3.0]
    assert client.desk.rows == 0


def pause_of(client: Any) -> float:
    (row,) = client.desk.reactor.table.rows.values()
    return float(row.machine.pause)


def test_silence_later_on(reader: Any) -> None:
    client = reader(rrq(b"f", timeout=1))
    client.hear()
    assert client.say(ack(0)) == [block(1)]
    start, came = client.desk.now, []
    while client.desk.rows:
        came += [(round(client.desk.now - start), packet) for packet in client.hear(0.1)]
    assert [when for when, _ in came] == [1, 3, *range(7, 56, 8)], "doubled, but not beyond eight seconds"
    assert all(packet == block(1) for _, packet in came[:-1])
    assert code_of(came[-1][1]) == 0


def test_patience_begins_anew(reader: Any) -> None:
    client = reader(rrq(b"f", timeout=1))
    client.hear()
    assert client.say(ack(0)) == [block(1)]
    assert client.times(16)[:2] == [0.9, 2.9]
    assert client.say(ack(1)) == [block(2)]
    assert client.times(4)[:2] == [0.9, 2.9]


def test_a_client_that_answers_soon_is_not_waited_for_so_long(reader: Any) -> None:
    """Its answers take a tenth of a second: half as much is allowed for, four times over, until more is known."""
    client = reader()
    client.hear()
    assert client.say(ack(1)) == [block(2)]
    assert client.times(3) == pytest.approx([0.2, 0.8, 2.0], abs=0.11), "0.3 s, and doubled; 0.1 of it has passed"
    assert client.desk.rows == 1


def test_a_steady_client_is_known_better_and_better(reader: Any) -> None:
    client = reader()
    client.hear()
    for number in range(1, 10):
        assert client.say(ack(number)) == [block(number + 1)]
    assert pause_of(client) == pytest.approx(0.12, abs=0.01)
    assert client.times(0.1) == [0.0]


def test_nobody_is_told_again_within_20_milliseconds(reader: Any) -> None:
    client = reader()
    client.hear(0.005)
    for number in range(1, 10):
        client.wire.say(ack(number), client.server)
        assert client.hear(0.005) == [block(number + 1)]
    assert pause_of(client) == 0.02
    assert client.hear(0.014) == []
    assert client.hear(0.003) == [block(10)]


def test_what_was_said_twice_measures_nothing(reader: Any) -> None:
    """Nobody knows which of the two was answered (RFC 6298, 3); and the time-out is again what it was."""
    client = reader()
    client.hear()
    assert client.say(ack(1)) == [block(2)]
    assert client.times(0.5) == [0.2]
    assert client.say(ack(2)) == [block(3)]
    assert pause_of(client) == pytest.approx(0.3, abs=0.005)


def test_what_is_said_again_soon_costs_no_patience(reader: Any) -> None:
    client = reader()
    client.hear(0.005)
    for number in range(1, 10):
        client.wire.say(ack(number), client.server)
        client.hear(0.005)
    start = client.desk.now
    client.desk.until(lambda: not client.desk.rows)
    assert 50 < client.desk.now - start < 60
    came = client.hear()
    assert came[:-1] == [block(10)] * 14, "six within the first second and a half, and eight"
    assert code_of(came[-1]) == 0


@pytest.mark.parametrize("timeout", [2, 60, 255])
def test_the_clients_own_time_out(reader: Any, timeout: int) -> None:
    client = reader(rrq(b"f", timeout=timeout))
    assert options_of(client.hear()[0]) == {"timeout": timeout}
    assert client.times(2) == [0.9], "before it is proven, ours counts"
    assert client.say(ack(0)) == [block(1)]
    came = client.times(2.5 * timeout)
    assert came[0] == pytest.approx(timeout - 0.1, abs=0.15)
    assert client.desk.rows == 1
    if timeout > 4:
        assert came[1] == pytest.approx(2 * timeout - 0.1, abs=0.15), "it is not doubled beyond itself"


def test_a_duplicate_acknowledgement_makes_nothing_be_sent(reader: Any) -> None:
    client = reader()
    client.hear()
    assert client.say(ack(1), ack(1), ack(1)) == [block(2)]
    assert client.say(ack(1)) == []
    assert client.say(ack(2), ack(1), ack(2)) == [block(3)]


@pytest.mark.parametrize("number", [0, 3, 4, 100, 0x7FFF, 0x8000, 0xFFFF])
def test_an_acknowledgement_of_what_was_never_sent(reader: Any, number: int) -> None:
    client = reader()
    client.hear()
    client.say(ack(1))
    assert client.say(ack(number)) == []
    assert client.say(ack(2)) == [block(3)]


@pytest.mark.parametrize(
    "packet",
    [data(3, b"x"), data(2), b"", b"\0", b"\0\4", b"\0\4\0", b"\0\0\0\2", b"\0\7\0\2", b"\1\4\0\2", b"\0\6", rrq(b"f")],
)
def test_what_has_no_business_in_a_transfer(reader: Any, packet: bytes) -> None:
    client = reader()
    client.hear()
    client.say(ack(1))
    assert client.say(packet) == []
    assert client.say(ack(2)) == [block(3)]


def test_the_client_ends_it(reader: Any) -> None:
    client = reader()
    client.hear()
    assert client.say(error(3, b"no room")) == []
    assert client.desk.rows == 0


@pytest.mark.parametrize("packet", [ack(1), b"noise", data(9), rrq(b"g")])
def test_garbage_and_duplicates_keep_nobody_alive(reader: Any, packet: bytes) -> None:
    client = reader()
    client.hear()
    client.say(ack(1))
    start = client.desk.now
    while client.desk.rows:
        client.say(packet)
        assert client.desk.now - start < 60
    assert client.desk.now - start > 50


@pytest.mark.parametrize(("pause", "dies"), [(3.9, False), (10.0, True)])
def test_a_trickle(reader: Any, pause: float, dies: bool) -> None:
    client = reader(rrq(b"f", blksize=8))
    client.hear()
    start, number = client.desk.now, 0
    while client.desk.rows and number < 60:
        client.say(ack(number))
        client.hear(pause - 0.1)
        number += 1
    assert bool(client.desk.rows) is not dies
    assert not dies or 60 <= client.desk.now - start < 75


def test_what_was_fast_once_is_no_excuse(reader: Any) -> None:
    client = reader(rrq(b"f", blksize=8))
    client.hear()
    number = 0
    while number < 300:
        client.say(ack(number))
        number += 1
    start = client.desk.now
    while client.desk.rows:
        client.say(ack(number))
        client.hear(9.9)
        number += 1
    assert client.desk.now - start < 120


# Windows.


def test_nothing_but_an_oack_to_whom_nobody_has_proven(reader: Any) -> None:
    client = reader(rrq(b"f", blksize=8, windowsize=64))
    assert [options_of(packet) for packet in client.hear(30)] == [{"blksize": 8, "windowsize": 64}] * 3
    assert client.desk.rows == 0


def test_a_window_goes_out_at_once(reader: Any) -> None:
    client = reader(rrq(b"f", windowsize=4))
    client.hear()
    assert client.say(ack(0)) == [block(number) for number in range(1, 5)]
    assert client.say(ack(4)) == [block(number) for number in range(5, 9)]
    assert client.say(ack(8)) == [block(number) for number in range(9, 12)]
    assert client.say(ack(11)) == []
    assert client.desk.rows == 0


def test_an_acknowledgement_within_the_window_goes_back_to_there(reader: Any) -> None:
    client = reader(rrq(b"f", windowsize=4))
    client.hear()
    client.say(ack(0))
    assert numbers(client.say(ack(2))) == [3, 4, 5, 6]
    assert numbers(client.say(ack(2))) == [], "once: the second is a duplicate"
    assert numbers(client.hear(0.3)) == [3, 4, 5, 6], "but silence counts"
    assert numbers(client.say(ack(6), ack(3))) == [7, 8, 9, 10]


def test_going_back_before_the_last_block(reader: Any) -> None:
    client = reader(rrq(b"f", windowsize=16))
    client.hear()
    assert numbers(client.say(ack(0))) == list(range(1, 12))
    assert numbers(client.say(ack(9))) == [10, 11]
    assert client.desk.rows == 1
    assert client.say(ack(11)) == []
    assert client.desk.rows == 0


def test_a_transfer_holds_no_bytes(reader: Any) -> None:
    client = reader(rrq(b"f", windowsize=10))
    client.hear()
    assert len(client.say(ack(0))) == 10
    (row,) = client.desk.reactor.rows()
    assert row.held == 0
    assert client.desk.reactor.table.rows[row.key].machine.places == [512 * number for number in range(11)]


def test_a_window_is_no_longer_than_a_queue(reader: Any) -> None:
    client = reader(rrq(b"f", blksize=65464, windowsize=64))
    assert options_of(client.hear()[0]) == {"blksize": 65464, "windowsize": 2}


# The file.


def test_a_file_that_grows_meanwhile(reader: Any) -> None:
    client = reader(rrq(b"f", tsize=0, blksize=4096))
    assert options_of(client.hear()[0]) == {"tsize": 5120, "blksize": 4096}
    assert client.say(ack(0)) == [block(1, 4096)]
    with client.path.open("ab") as file:
        file.write(bytes(10_000))
    assert client.say(ack(1)) == [block(2, 4096)]
    assert client.say(ack(2)) == []
    assert client.desk.rows == 0


def test_a_file_that_shrinks_meanwhile(reader: Any) -> None:
    client = reader()
    client.hear()
    os.truncate(client.path, 700)
    (said,) = client.say(ack(1))
    assert code_of(said) == 0
    assert client.desk.rows == 0


def test_a_file_that_is_replaced_meanwhile(reader: Any, tmp_path: Path) -> None:
    client = reader()
    client.hear()
    (tmp_path / "new").write_bytes(bytes(10))
    (tmp_path / "new").rename(client.path)
    assert client.say(ack(1)) == [block(2)]


def test_a_file_that_cannot_be_read(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = reader()
    client.hear()

    def broken(*_: int) -> bytes:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "pread", broken)
    (said,) = client.say(ack(1))
    assert code_of(said) == 0


def test_a_size_that_nobody_knows_is_not_told(reader: Any) -> None:
    client = reader(rrq(b"f", b"netascii", tsize=0))
    assert client.hear()[0][:4] == data(1), "there is nothing to name in an OACK"


# Amplification.


def test_the_shortest_request_is_answered_thrice(reader: Any) -> None:
    client = reader(rrq(b"f"))
    assert len(client.hear(30)) == 3
    assert client.desk.reactor.totals().dropped == {}


def test_the_limits() -> None:
    stock = Limits()
    limits = tftp_limits(stock)
    assert (limits.request_seconds, limits.rate_min, limits.amplification_max) == (60.0, 60.0, 160.0)
    assert tftp_limits(Limits(request_seconds=100, rate_min=1, amplification_max=1000)).request_seconds == 100
    assert tftp_limits(stock) is limits, "they are made once"
