"""Netascii both ways, in pieces that begin and end anywhere, against a plain reading of the rule byte by byte."""

import os
from pathlib import Path
from random import Random

import pytest
from partway.protocols.open_file import OpenFile
from partway.protocols.tftp.netascii import decoded, encoded
from partway.protocols.tftp.source import Source

PAIRS = {b"\n": b"\r\n", b"\r": b"\r\0"}


def plainly(text: bytes) -> bytes:
    return b"".join(PAIRS.get(byte, byte) for byte in (text[place : place + 1] for place in range(len(text))))


def drawn(random: Random, size: int) -> bytes:
    return bytes(random.choices(b"\r\n\0a", k=size))


@pytest.mark.parametrize("seed", range(20))
def test_there_and_back(seed: int) -> None:
    random = Random(seed)
    text = drawn(random, random.randrange(200))
    wire = encoded(text)
    assert wire == plainly(text)
    back, pending, place = b"", False, 0
    while place < len(wire):
        size = random.randrange(1, 5)
        piece, pending = decoded(wire[place : place + size], pending)
        back, place = back + piece, place + size
    assert back + b"\r" * pending == text


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"a\rb", b"a\rb"),
        (b"\r\r\n", b"\r\n"),
        (b"\r\r\0", b"\r\r"),
        (b"\r\n\0", b"\n\0"),
        (b"\n\r\0\n", b"\n\r\n"),
        (b"\0", b"\0"),
        (b"\r", b"\r"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_others_send(wire: bytes, text: bytes, size: int) -> None:
    back, pending = b"", False
    for place in range(0, len(wire), size):
        piece, pending = decoded(wire[place : place + size], pending)
        back += piece
    assert back + b"\r" * pending == text


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("blksize", [8, 9, 16, 100])
@pytest.mark.parametrize("seed", range(5))
def test_a_source_gives_any_block_again(tmp_path: Path, seed: int, blksize: int, text: bool) -> None:
    random = Random(seed)
    content = drawn(random, random.choice((0, 1, 8, 64, 500)))
    (tmp_path / "f").write_bytes(content)
    source = Source(OpenFile(str(tmp_path / "f")), blksize, text)
    assert source.told_size == (None if text else len(content))
    blocks: list[bytes] = []
    places = [0]
    while not blocks or len(blocks[-1]) == blksize:
        block, place = source.block(places[-1])
        blocks.append(block)
        places.append(place)
    assert b"".join(blocks) == (plainly(content) if text else content)
    for number in random.choices(range(len(blocks)), k=20):
        assert source.block(places[number]) == (blocks[number], places[number + 1])
    source.close()


def test_a_source_reads_a_block_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"\n" * 10_000)
    source = Source(OpenFile(str(tmp_path / "f")), 512, text=True)
    counts: list[int] = []
    pread = os.pread

    def counted(file: int, count: int, offset: int) -> bytes:
        counts.append(count)
        return pread(file, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    source.block(0)
    source.block(4001)
    assert counts == [512, 512]
    source.close()
