"""A kernel that takes no datagram now: transfers wait, hear a little meanwhile and no more, and lose nothing by it."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from partway.engine.faults import Faults
from partway.engine.network_datagrams import DatagramEnd
from partway.protocols.tftp.transfer import INTAKE_BYTES
from tftp_client import Client, Desk, ack, data, rrq, wrq


@pytest.mark.parametrize("seed", range(4))
def test_calls_that_fail_lose_nothing(tmp_path: Path, seed: int) -> None:
    desk = Desk(tmp_path, seed, faults=Faults(not_ready=0.2, interrupted=0.1), create=True)
    content = Random(seed).randbytes(300_000)
    (tmp_path / "there").write_bytes(content)
    fetch = Client(desk).fetch(b"there", blksize=1468, windowsize=16)
    put = Client(desk).put(b"here", content, blksize=1468, windowsize=16)
    start = desk.now
    desk.until(lambda: fetch.over and put.over)
    assert desk.now - start < 0.9, "without a single time-out"
    assert fetch.data == content
    assert (tmp_path / "here").read_bytes() == content
    desk.close()


class Blocked:
    """Nothing leaves, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
        self.going: Callable[..., int] = DatagramEnd.send_to
        self.is_blocked = True
        self.poller = desk.simulation.poller
        monkeypatch.setattr(DatagramEnd, "send_to", lambda *arguments: self._send(*arguments))

    def _send(self, end: DatagramEnd, *arguments: Any) -> int:
        if self.is_blocked and end.descriptor >= 0:
            raise BlockingIOError(11, "not now")
        return self.going(end, *arguments)


@pytest.mark.parametrize("payload", [b"", bytes(60_000)])
def test_what_waits_to_be_heard_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes) -> None:
    desk = Desk(tmp_path, create=True)
    peer = desk.peer()
    peer.say(wrq(b"new", blksize=60_000))
    desk.run()
    ((_, port),) = peer.letters()
    peer.say(data(1, bytes(60_000)), port)
    desk.run()
    blocked = Blocked(monkeypatch, desk)
    row: Any = next(iter(desk.reactor.table.rows.values()))
    for _ in range(20):
        for _ in range(1 if payload else 70):
            peer.say(data(1, payload), port)
        desk.simulation.travel()
        for _ in range(3):
            desk.reactor.step(0)
    assert INTAKE_BYTES <= row.held <= INTAKE_BYTES + 61_000 + 500
    assert row.machine.weight.count == sum(len(letter) + 64 for letter in row.machine.letters)
    blocked.is_blocked = False
    desk.run(0.1)
    assert row.held == 0
    assert peer.heard()
    desk.close()


def test_a_window_goes_on_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(bytes(5000))
    desk = Desk(tmp_path)
    peer = desk.peer()
    peer.say(rrq(b"f", windowsize=8))
    desk.run()
    ((_, port),) = peer.letters()
    blocked = Blocked(monkeypatch, desk)
    peer.say(ack(0), port)
    desk.run(0.01)
    blocked.is_blocked = False
    desk.run(0.1)
    assert [heard[3] for heard in peer.heard()] == list(range(1, 9))
    desk.close()
