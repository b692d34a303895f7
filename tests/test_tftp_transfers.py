"""Whole transfers over a network that loses, doubles and delays: what comes out is what went in, byte for byte.

The client is another program than the server (`tftp_client.py`), and neither knows what the network has done.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from partway.engine.faults import Faults
from tftp_client import Client, Desk

CALM = Faults()
ROUGH = Faults(datagram_lost=0.05, datagram_doubled=0.05, datagram_late=0.05)
WILD = Faults(datagram_lost=0.3, datagram_doubled=0.1, datagram_late=0.2)
NETWORKS = pytest.mark.parametrize("faults", [CALM, ROUGH, WILD], ids=["calm", "rough", "wild"])
SEEDS = pytest.mark.parametrize("seed", [1, 2])
TERMS = [(512, 1), (512, 4), (512, 64), (8, 4), (1468, 16), (100, 3)]
ONE_PORT = pytest.mark.parametrize("one_port", [False, True], ids=["ports", "one-port"])


def asked(blksize: int, window: int) -> Any:
    """The options for these; none at all where nothing is asked for."""
    options = {"blksize": blksize} if blksize != 512 else {}
    return options | ({"windowsize": window} if window > 1 else {})


def sizes(blksize: int) -> list[int]:
    return sorted({0, 1, 511, 512, 513, blksize - 1, blksize, blksize + 1, 7 * blksize, 20 * blksize + 3})


def finish(desk: Desk, *clients: Client) -> None:
    desk.until(lambda: all(client.over for client in clients), 7200)
    assert [client.error for client in clients] == [None] * len(clients)
    desk.until(lambda: desk.rows == 0, 120)
    desk.close()


@NETWORKS
@SEEDS
@ONE_PORT
@pytest.mark.parametrize(("blksize", "window"), TERMS)
def test_fetched(tmp_path: Path, faults: Faults, seed: int, one_port: bool, blksize: int, window: int) -> None:
    desk = Desk(tmp_path, seed, faults=faults, one_port=one_port)
    random = Random(seed)
    files = {b"%d" % size: random.randbytes(size) for size in sizes(blksize)}
    for name, content in files.items():
        (tmp_path / name.decode()).write_bytes(content)
    clients = [Client(desk).fetch(name, **asked(blksize, window)) for name in files]
    finish(desk, *clients)
    for client, content in zip(clients, files.values(), strict=True):
        assert client.data == content
        assert client.blksize == blksize and client.window == (1 if one_port else window)


@NETWORKS
@SEEDS
@ONE_PORT
@pytest.mark.parametrize(("blksize", "window"), TERMS)
def test_put(tmp_path: Path, faults: Faults, seed: int, one_port: bool, blksize: int, window: int) -> None:
    desk = Desk(tmp_path, seed, faults=faults, one_port=one_port, create=True)
    random = Random(seed)
    files = {b"%d" % size: random.randbytes(size) for size in sizes(blksize)}
    clients = [Client(desk).put(name, content, **asked(blksize, window)) for name, content in files.items()]
    finish(desk, *clients)
    assert {path.name.encode(): path.read_bytes() for path in tmp_path.iterdir()} == files


@NETWORKS
@pytest.mark.parametrize(("blksize", "window"), [(512, 1), (8, 4), (9, 1), (512, 16)])
def test_netascii(tmp_path: Path, faults: Faults, blksize: int, window: int) -> None:
    """Every pair of bytes falls across a border of blocks somewhere."""
    desk = Desk(tmp_path, 3, faults=faults, create=True)
    random = Random(3)
    texts = [bytes(random.choices(b"\r\n\0ab", k=size)) for size in (0, 1, 50, 511, 2000)]
    fetching, putting = [], []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}").write_bytes(text)
        fetching.append(Client(desk).fetch(b"%d" % number, b"netascii", **asked(blksize, window)))
        wire = b"".join({10: b"\r\n", 13: b"\r\0"}.get(byte, bytes([byte])) for byte in text)
        putting.append((Client(desk).put(b"put%d" % number, wire, b"NetASCII", **asked(blksize, window)), wire))
    finish(desk, *fetching, *(client for client, _ in putting))
    for number, text in enumerate(texts):
        assert fetching[number].data == putting[number][1]
        assert (tmp_path / f"put{number}").read_bytes() == text


@pytest.mark.parametrize(("window", "faults"), [(1, CALM), (64, Faults(datagram_lost=0.001, datagram_doubled=0.01))])
def test_block_numbers_wrap(tmp_path: Path, window: int, faults: Faults) -> None:
    desk = Desk(tmp_path, 4, faults=faults, create=True)
    content = Random(4).randbytes(8 * 65_540 + 5)
    (tmp_path / "there").write_bytes(content)
    fetch = Client(desk, pause=0.5).fetch(b"there", blksize=8, windowsize=window)
    put = Client(desk, pause=0.5).put(b"here", content, blksize=8, windowsize=window)
    finish(desk, fetch, put)
    assert fetch.data == content
    assert (tmp_path / "here").read_bytes() == content


@pytest.mark.parametrize("blocks", [65_534, 65_535, 65_536])
def test_a_last_block_at_the_wrap(tmp_path: Path, blocks: int) -> None:
    desk = Desk(tmp_path, 4, create=True)
    content = bytes(8 * blocks)
    (tmp_path / "there").write_bytes(content)
    fetch = Client(desk).fetch(b"there", blksize=8, windowsize=64)
    put = Client(desk).put(b"here", content, blksize=8, windowsize=64)
    finish(desk, fetch, put)
    assert fetch.data == content
    assert (tmp_path / "here").read_bytes() == content


@pytest.mark.parametrize("way", ["fetched", "put"])
def test_64_mib_at_a_loss_of_5_percent(tmp_path: Path, way: str) -> None:
    desk = Desk(tmp_path, 5, faults=Faults(datagram_lost=0.05), create=True)
    content = Random(5).randbytes(64 << 20)
    if way == "fetched":
        (tmp_path / "there").write_bytes(content)
        client = Client(desk).fetch(b"there", blksize=1468, windowsize=16)
        desk.until(lambda: client.over)
        assert client.data == content
    else:
        client = Client(desk).put(b"there", content, blksize=1468, windowsize=16)
        desk.until(lambda: client.over)
        assert (tmp_path / "there").read_bytes() == content
    assert client.error is None
    desk.close()
