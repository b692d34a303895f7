"""Random packets at every point of a transfer: nobody raises, nothing leaks or is made outside, honest ones go on.

Each seed draws what is sent, from where and where to: requests, blocks and errors that are nearly right, spoilt copies
of what went by, and noise.
"""

from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from partway.engine import Limits
from partway.engine.faults import Faults
from partway.protocols.tftp.names import UNFINISHED
from tftp_client import Client, Desk, ack, data, error, request

NAMES: tuple[bytes, ...] = (
    b"f",
    b"g",
    b"new",
    b"sub/new",
    b"..",
    b"../outside",
    b"/etc/passwd",
    b"sub",
    b"",
    b"a" * 300,
    b"pipe",
)
NAMES += (b"sub/../../outside", b"link/x", b"\xff", b"\r\n", b"*", b".", UNFINISHED)
MODES = (b"octet", b"netascii", b"mail", b"", b"OCTET", b"x" * 50)
OPTIONS = ("blksize", "windowsize", "timeout", "tsize", "BLKSIZE", "multicast", "")
VALUES: tuple[int | str, ...] = (0, 1, 7, 8, 512, 65464, 65465, 10**30, -1, "", "x", 64, 255)


def packet(random: Random, seen: list[bytes]) -> bytes:
    """Draw a packet."""
    draw = random.random()
    if draw < 0.25:
        count = random.choice((0, 0, 1, 2, 20))
        options = {random.choice(OPTIONS): random.choice(VALUES) for _ in range(count)}
        return request(random.choice((1, 2)), random.choice(NAMES), random.choice(MODES), **options)
    if draw < 0.4:
        return ack(random.choice((0, 1, 2, 3, 65535, random.randrange(65536))))
    if draw < 0.6:
        return data(random.choice((0, 1, 2, 3, 65535)), random.randbytes(random.choice((0, 1, 511, 512, 513, 2000))))
    if draw < 0.63:
        return error(random.randrange(10), random.randbytes(random.randrange(100)))
    if draw < 0.9 and seen:
        spoilt = bytearray(random.choice(seen))
        for _ in range(random.choice((0, 1, 3))):
            if spoilt:
                spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        return bytes(spoilt[: random.choice((len(spoilt), random.randrange(len(spoilt) + 1)))])
    return random.randbytes(random.choice((0, 1, 2, 3, 4, 5, 50, 600, 10_000)))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("one_port", [False, True], ids=["ports", "one-port"])
@pytest.mark.parametrize("seed", range(12))
def test_noise(tmp_path: Path, seed: int, one_port: bool) -> None:
    random = Random(seed)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "f").write_bytes(random.randbytes(3000))
    (root / "link").symlink_to(tmp_path)
    (tmp_path / "outside").write_bytes(b"secret")
    outside = {name: content for name, content in everything(tmp_path).items() if "/root/" not in name}
    faults = Faults(datagram_lost=0.02, datagram_doubled=0.05, datagram_late=0.05)
    files = psutil.Process().num_fds()
    desk = Desk(
        root,
        seed,
        faults=faults,
        create=True,
        overwrite=bool(seed % 2),
        one_port=one_port,
        limits=Limits(datagram_rows_max=50),
    )
    honest = Client(desk, desk.simulation.new_link(seed)).fetch(b"f", blksize=100, windowsize=3)
    peers = [desk.peer() for _ in range(4)]
    seen: list[bytes] = []
    ports: list[Any] = [None]
    held = 0
    for _ in range(600):
        peer = random.choice(peers)
        peer.say(packet(random, seen), random.choice(ports[-5:]))
        desk.run(random.choice((0.0001, 0.001, 0.02, 0.3)))
        for heard, where in peer.letters():
            seen = [*seen[-20:], heard]
            ports = [*ports[-20:], where]
            assert b"secret" not in heard
        held = max(held, desk.reactor.table.held)
    desk.until(lambda: honest.over)
    assert (honest.error is None and honest.data == (root / "f").read_bytes()) or seed % 2
    assert held == 0, "what comes is heard at once"
    desk.until(lambda: desk.rows == 0, 3600)
    desk.close()
    assert psutil.Process().num_fds() == files
    assert {name: content for name, content in everything(tmp_path).items() if "/root/" not in name} == outside
    assert not list(root.rglob(UNFINISHED.decode() + "*"))
