"""Buffers: the same lines however the bytes are cut, in time that does not grow with what is held, and counted once.

The cost is not timed but counted: a spy in place of the bytearray tells how many bytes each search has looked at.
"""

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from partway.engine import IDLE, Inbox, LineBuffer, PeerError, Reactor, Row, Want
from partway.engine.buffers import first_of, hold, rest_of
from partway.engine.simulation import Simulation
from worlds import SEEDS, Rig, assert_conserved, in_pieces


class FakeTable:
    held = 0


class FakeRow:
    """What a buffer needs of a row."""

    def __init__(self) -> None:
        self.table = FakeTable()
        self.held = 0
        self.reaped = False


def new_row() -> Any:
    return FakeRow()


DATA = some.binary(max_size=60)
SIZES = some.lists(some.integers(0, 20), max_size=20)
TEXT = some.lists(some.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b""]), max_size=40).map(b"".join)


@given(DATA, SIZES, SIZES)
def test_an_inbox_is_a_queue_of_bytes(data: bytes, fed: list[int], taken: list[int]) -> None:
    row = new_row()
    inbox = Inbox(row)
    out, model = b"", b""
    takes = iter(taken)
    for piece in in_pieces(data, fed):
        inbox.feed(piece)
        model += piece
        count = next(takes, None)
        if count is not None:
            out += inbox.take(count)
            model = model[count:]
        assert len(inbox) == len(model) == row.held == row.table.held
        assert inbox.find(b"\0") == model.find(b"\0")
    out += inbox.take()
    assert out == data
    assert row.held == row.table.held == 0


@given(DATA, SIZES, SIZES)
def test_dropping_is_taking_without_a_copy(data: bytes, fed: list[int], dropped: list[int]) -> None:
    row = new_row()
    inbox = Inbox(row)
    model = b""
    drops = iter(dropped)
    for piece in in_pieces(data, fed):
        inbox.feed(piece)
        model += piece
        count = next(drops, 0)
        inbox.drop(count)
        model = model[count:]
        assert len(inbox) == len(model) == row.held == row.table.held
    assert inbox.take() == model


@given(TEXT, SIZES, some.integers(0, 5))
def test_skip_and_peek(data: bytes, fed: list[int], count: int) -> None:
    inbox = Inbox(new_row())
    for piece in in_pieces(data, fed):
        inbox.feed(piece)
    assert inbox.peek(count) == data[:count]
    inbox.skip(b"\r\n")
    assert inbox.peek(100) == data.lstrip(b"\r\n")
    assert len(inbox) == inbox.row.held
    assert inbox.take() == data.lstrip(b"\r\n")


def test_one_mark_after_another() -> None:
    """A search in vain for one mark must not hide another that lies before."""
    inbox = Inbox(new_row())
    inbox.feed(b"head: x\r\n\r\nbody")
    assert inbox.find(b"\0") == -1
    assert inbox.find(b"\r\n\r\n") == 7


def test_a_mark_across_pieces() -> None:
    mark = b"\r\n\r\n"
    for cut in range(1, len(mark)):
        inbox = Inbox(new_row())
        inbox.feed(b"head" + mark[:cut])
        assert inbox.find(mark) == -1
        inbox.feed(mark[cut:])
        assert inbox.find(mark) == 4


def lines_of(data: bytes, sizes: list[int], limit: int) -> tuple[list[bytes], bool]:
    """All lines, and whether they ended in a PeerError."""
    row = new_row()
    buffer = LineBuffer(row, limit)
    lines: list[bytes] = []
    for piece in in_pieces(data, sizes):
        buffer.feed(piece)
        try:
            while (line := buffer.take()) is not None:
                lines.append(line)
        except PeerError:
            return lines, True
        assert row.held == len(buffer) == row.table.held
    return lines, False


@given(TEXT, SIZES, some.integers(1, 12))
@example(b"aaaaa\r\nb\n", [6], 6)
@example(b"aaaaaa\n", [6], 6)
def test_the_same_lines_however_they_are_cut(data: bytes, sizes: list[int], limit: int) -> None:
    whole, bytewise = lines_of(data, [], limit), lines_of(data, [1] * len(data), limit)
    assert lines_of(data, sizes, limit)[0] == whole[0]
    assert bytewise == whole
    joined = b"".join(whole[0])
    assert data.startswith(joined)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 and len(line) <= limit for line in whole[0])
    if not whole[1]:
        assert b"\n" not in data[len(joined) :]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_line_of_the_limit_passes_and_one_byte_more_does_not(limit: int) -> None:
    good, bad = b"a" * (limit - 1) + b"\n", b"a" * limit + b"\n"
    for sizes in ([], [1] * limit):
        assert lines_of(good, sizes, limit) == ([good], False)
        assert lines_of(bad, sizes, limit) == ([], True)
        assert lines_of(good + bad, sizes, limit) == ([good], True)


def test_a_peer_that_never_ends_its_line_is_stopped() -> None:
    buffer = LineBuffer(new_row(), 100)
    with pytest.raises(PeerError, match="100"):
        for _ in range(200):
            buffer.feed(b"x")
            buffer.take()


class Spy(bytearray):
    """Counts the bytes that searches have looked at."""

    looked = 0

    def find(self, mark: Any, start: Any = 0, end: Any = None) -> int:
        place = super().find(mark, start)
        Spy.looked += (place if place >= 0 else len(self)) - int(start)
        return place


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_each_byte_is_looked_at_twice_at_most(size: int) -> None:
    Spy.looked = 0
    inbox = Inbox(new_row())
    inbox.feed(b"x")
    inbox.feed(b"x")
    assert isinstance(inbox.data, bytearray)
    inbox.data = Spy(inbox.data)
    fed = 2
    while fed < 20_000:
        inbox.feed(b"x" * size)
        fed += size
        assert inbox.find(b"\n") == -1
    assert isinstance(inbox.data, Spy), "the buffer was copied"
    assert fed * 0.9 <= Spy.looked <= 2 * fed


def test_many_lines_in_one_piece_are_looked_at_once() -> None:
    Spy.looked = 0
    inbox = Inbox(new_row())
    inbox.feed(b"x")
    inbox.feed(b"y\n" + b"line\n" * 5000)
    inbox.data = Spy(inbox.data)
    while (place := inbox.find(b"\n")) >= 0:
        inbox.drop(place + 1)
    assert Spy.looked <= 2 * 25_003


PIECES = some.lists(some.binary(max_size=8), max_size=8)


@given(PIECES, some.integers(1, 70))
def test_first_of(pieces: list[bytes], most: int) -> None:
    first, count = first_of(pieces, most)
    assert b"".join(first) == b"".join(pieces)[:most]
    assert count == min(most, sum(map(len, pieces)))


@given(PIECES)
def test_rest_of(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    for sent in range(len(whole) + 1):
        left = rest_of(pieces, sent)
        assert b"".join(left) == whole[sent:]
        assert all(len(piece) for piece in left) or not all(pieces)
    cuts = list(accumulate(map(len, pieces)))
    for cut in cuts:
        assert len(rest_of([piece for piece in pieces if piece], cut)) <= len(pieces)


def test_neither_copies() -> None:
    big = b"x" * 1000
    first, _ = first_of([big], 10)
    (left,) = rest_of([big], 10)
    assert isinstance(first[0], memoryview)
    assert first[0].obj is big
    assert isinstance(left, memoryview)
    assert left.obj is big


class Random:
    """Keeps and gives back bytes as its seed has it."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.inbox = Inbox(row)

    def feed(self, data: bytes) -> None:
        self.inbox.feed(data)

    def step(self) -> Want:
        random = self.row.random
        if not self.inbox or random.random() < 0.4:
            return IDLE
        if random.random() < 0.3:
            return self.inbox.take(3), self.inbox.take()
        return self.inbox.take(random.randrange(1, 5000))


@pytest.mark.parametrize("seed", [*SEEDS, 4, 5, 6])
def test_the_table_counts_what_its_rows_hold(seed: int) -> None:
    rig = Rig(Random, seed=seed, capacity_bytes=5000)
    random = rig.simulation.random
    clients = rig.dials(20)
    for _ in range(200):
        client = random.choice(clients)
        client.say(b"x" * random.randrange(4000))
        if random.random() < 0.7:
            client.heard(random.randrange(1, 9000))
        if random.random() < 0.1:
            clients.remove(client)
            random.choice([client.close, client.abort, client.half_close])()
            clients.append(rig.dial())
        rig.run(0.001)  # which checks that the sums agree after each turn
    assert rig.reactor.table.held > 0
    rig.reactor.close()
    assert rig.reactor.table.held == 0


def test_hold_counts_on_the_row_and_on_the_table() -> None:
    reactor = Reactor(Simulation(1))
    reactor.listen("server:7", Random)
    row = reactor.connect("server:7", Random)
    hold(row, 10)
    assert row.held == reactor.table.held == 10
    assert_conserved(reactor)
    hold(row, -10)
    reactor.close()
    assert reactor.table.held == 0
