"""Echo, the smallest machine: what comes goes back, whatever its pieces, and never more than one read is held.

It is also the measure of the engine, so what it must not do is tested as well: count chunks as requests, keep a byte
after it has gone, or take more in than it has sent.
"""

from random import Random

import pytest
from checker import check_machine
from partway.engine import Cause, Limits
from partway.protocols.echo import Echo
from worlds import SEEDS, Rig


@pytest.mark.parametrize("data", [b"x", b"hello\r\n", bytes(range(256)) * 3, b"\0" * 100])
def test_any_pieces_come_back_the_same(data: bytes) -> None:
    check_machine(Echo, data, expected=data, trailing=b"and more", seed=1)


def test_nothing_is_echoed_of_nothing() -> None:
    check_machine(Echo, b"", expected=b"", seed=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_that_does_not_read_costs_one_read(seed: int) -> None:
    limits = Limits(receive_bytes=1000)
    rig = Rig(Echo, seed=seed, limits=limits, capacity_bytes=2000)
    peer = rig.dial()
    peer.say(bytes(100_000))
    for _ in range(2000):
        rig.reactor.step(0.01)
        assert rig.reactor.table.held <= limits.receive_bytes
        for row in rig.rows:
            assert len(getattr(row.machine, "data", b"")) <= limits.receive_bytes
    assert rig.states == ["WRITING"]


@pytest.mark.parametrize("seed", SEEDS)
def test_many_clients_at_once(seed: int) -> None:
    print(f"seed {seed}")
    random = Random(seed)
    rig = Rig(Echo, seed=seed, capacity_bytes=3000)
    said = [random.randbytes(random.randrange(20_000)) for _ in range(20)]
    peers = rig.dials(len(said))
    for peer, data in zip(peers, said, strict=True):
        peer.say(data)
        peer.half_close()
    heard = [bytearray() for _ in peers]
    while not all(peer.ended for peer in peers):
        for peer, got in zip(peers, heard, strict=True):
            got += peer.heard(random.randrange(1, 5000))
        rig.run(0.005)
    assert heard == said
    assert rig.ended == {str(Cause.DONE): len(said)}


def test_silence_ends_a_row() -> None:
    rig = Rig(Echo)
    peer = rig.dial()
    rig.run(Limits().idle_seconds + 1)
    assert peer.heard() == b"" and peer.ended


def test_talk_keeps_it() -> None:
    rig = Rig(Echo)
    peer = rig.dial()
    for _ in range(10):
        peer.say(b"x")
        rig.run(Limits().idle_seconds - 1)
    assert peer.heard() == b"x" * 10
    assert not peer.ended
