"""A transfer that is frozen and thawed after every turn goes on as if nothing had been."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from partway.engine.faults import Faults
from partway.engine.freeze import freeze, thaw
from tftp_client import Client, Desk, ack, code_of, data, rrq, wrq

CONTENT = bytes(Random(1).choices(b"\r\n\0abc", k=6000))


def thaw_all(desk: Desk) -> None:
    """Put in the place of each machine what it is frozen as."""
    rows: Any = desk.reactor.table.rows
    for row in rows.values():
        machine = row.machine
        machine.weight.set(0)  # it is counted again
        row.machine = thaw(freeze(machine, [desk.service]), rows.get, [desk.service])
        if machine.peer is not None:
            desk.service.transfers[machine.peer] = row.machine


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", [b"octet", b"netascii"])
@pytest.mark.parametrize("one_port", [False, True])
def test_after_every_turn(tmp_path: Path, seed: int, mode: bytes, one_port: bool) -> None:
    faults = Faults(datagram_lost=0.05, datagram_doubled=0.05, datagram_late=0.05)
    desk = Desk(tmp_path, seed, faults=faults, create=True, one_port=one_port)
    (tmp_path / "there").write_bytes(CONTENT)
    wire = CONTENT.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n") if mode == b"netascii" else CONTENT
    fetch = Client(desk).fetch(b"there", mode, blksize=100, windowsize=3)
    put = Client(desk).put(b"here", wire, mode, blksize=100, windowsize=3)
    while not (fetch.over and put.over):
        desk.reactor.step(1)
        thaw_all(desk)
    assert (fetch.error, put.error) == (None, None)
    assert fetch.data == wire
    assert (tmp_path / "here").read_bytes() == CONTENT
    desk.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


@pytest.mark.parametrize("opcode", [rrq, wrq])
def test_another_file_in_its_place_is_an_error(tmp_path: Path, opcode: Any) -> None:
    (tmp_path / "f").write_bytes(bytes(2000))
    desk = Desk(tmp_path, create=True, overwrite=True)
    peer = desk.peer()
    peer.say(opcode(b"f"))
    desk.run()
    ((_, port),) = peer.letters()
    if opcode is wrq:
        peer.say(data(1, bytes(512)), port)
        desk.run()
    (path,) = [path for path in tmp_path.iterdir() if opcode is rrq or path.name != "f"]
    path.rename(tmp_path / "away")
    path.write_bytes(bytes(2000))
    thaw_all(desk)
    peer.heard()
    peer.say(ack(1) if opcode is rrq else data(2, bytes(512)), port)
    desk.run()
    assert [code_of(packet) for packet in peer.heard()] == [0 if opcode is rrq else 2]
    desk.close()
