"""The receiving side, packet by packet, and what stands in the folder meanwhile and afterwards."""

import os
from collections.abc import Iterator
from errno import ENOSPC, EPERM
from pathlib import Path
from typing import Any

import psutil
import pytest
from partway.engine import Limits
from partway.protocols.tftp import Bounds
from partway.protocols.tftp.names import UNFINISHED
from test_tftp_reading import Reader
from tftp_client import ack, code_of, data, error, options_of, wrq

FULL = bytes(range(256)) * 2


class Writer(Reader):
    """A client that does nothing on its own account."""

    def __init__(self, folder: Path, request: bytes, **options: Any) -> None:
        (folder / "f").write_bytes(b"there already")
        self.folder = folder
        super().__init__(folder, request, **({"create": True} | options))

    def names(self) -> list[str]:
        """What stands in the folder, besides `f`."""
        return sorted({path.name for path in self.folder.iterdir()} - {"f"})

    def unfinished(self) -> list[str]:
        return [name for name in self.names() if name.encode().startswith(UNFINISHED)]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Any]:
    made: list[Writer] = []

    def make(request: bytes = wrq(b"new"), **options: Any) -> Writer:
        made.append(Writer(tmp_path, request, **options))
        return made[0]

    yield make
    made[0].close()
    assert made[0].unfinished() == []


def test_block_by_block(writer: Any) -> None:
    client = writer()
    files = psutil.Process().num_fds()
    assert client.hear() == [ack(0)]
    assert client.names() == [], "whoever has only asked leaves no file"
    assert client.say(data(1, FULL)) == [ack(1)]
    assert client.names() == client.unfinished() != []
    assert client.say(data(2, FULL)) == [ack(2)]
    assert client.say(data(3, b"end")) == [ack(3)]
    assert client.names() == ["new"]
    assert psutil.Process().num_fds() == files, "what is whole is closed"
    assert (client.folder / "new").read_bytes() == FULL * 2 + b"end"
    assert client.desk.reactor.totals().requests == 1


def test_silence(writer: Any) -> None:
    client = writer()
    assert client.times(60) == [0.0, 1.0, 3.0]
    assert client.desk.rows == 0


def test_silence_later_on(writer: Any) -> None:
    client = writer()
    client.hear()
    client.say(data(1, FULL))
    start, came = client.desk.now, []
    while client.desk.rows:
        came += [(round(client.desk.now - start), packet) for packet in client.hear(0.1)]
    assert [when for when, _ in came] == [*range(8, 57, 8)], "clients that lose patience after 5 or 6 s do so"
    assert all(packet == ack(1) for _, packet in came[:-1])
    assert code_of(came[-1][1]) == 0
    assert client.names() == []


def test_the_first_answer_is_repeated_as_it_was(writer: Any) -> None:
    client = writer(wrq(b"new", blksize=1000))
    assert [options_of(packet) for packet in client.hear(2)] == [{"blksize": 1000}] * 2
    assert client.say(data(1, bytes(1000))) == [ack(1)]
    assert client.hear(7) == []
    assert client.hear(2) == [ack(1)]


def test_a_client_s_own_time_out_comes_before_ours(writer: Any) -> None:
    client = writer(wrq(b"new", timeout=20))
    client.hear()
    assert client.say(data(1, FULL)) == [ack(1)]
    assert client.hear(39) == []
    assert client.hear(2) == [ack(1)]


def test_a_block_that_comes_again_is_acknowledged_again(writer: Any) -> None:
    client = writer()
    client.hear()
    assert client.say(data(1, FULL), data(1, bytes(512))) == [ack(1), ack(1)]
    assert client.say(data(2, FULL)) == [ack(2)]
    assert client.say(data(1, FULL)) == [], "but not an older one"
    assert client.say(data(3)) == [ack(3)]
    assert (client.folder / "new").read_bytes() == FULL * 2


def test_the_last_block_that_comes_again(writer: Any) -> None:
    """For ten seconds, which nothing makes longer; the file is not touched any more."""
    client = writer()
    client.hear()
    assert client.say(data(1, b"all")) == [ack(1)]
    assert client.desk.reactor.rows().__next__().state == "IDLE"
    (client.folder / "new").unlink()
    start = client.desk.now
    while client.desk.rows:
        answers = client.say(data(1, b"all"))
        assert answers == [ack(1)] or not client.desk.rows
        assert client.say(data(2, b"more")) == []
    assert client.desk.now - start == pytest.approx(10, abs=0.3)
    assert client.names() == []
    assert client.desk.simulation.descriptors_used() == 1


def test_a_server_that_stops_does_not_wait_for_duplicates(writer: Any) -> None:
    client = writer()
    client.hear()
    client.say(data(1, b"all"))
    client.desk.reactor.drain()
    client.hear()
    assert client.desk.rows == 0
    assert client.names() == ["new"]


def test_an_impatient_server_says_nothing_after_the_end(writer: Any) -> None:
    client = writer(limits=Limits(idle_seconds=5))
    client.hear()
    assert client.say(data(1, b"all")) == [ack(1)]
    assert client.hear(6) == []
    assert client.desk.rows == 0


def test_an_error_after_the_end_is_none(writer: Any) -> None:
    client = writer()
    client.hear()
    client.say(data(1, b"all"))
    assert client.say(error(0)) == []
    assert client.desk.rows == 0
    assert client.desk.reactor.totals().ended == {"done": 1}


# Windows.


def test_a_window_is_acknowledged_at_its_end(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(data(1, FULL), data(2, FULL), data(3, FULL)) == []
    assert client.say(data(4, FULL)) == [ack(4)]
    assert client.say(data(5, b"")) == [ack(5)], "and at the file's"


def test_a_gap_is_told_once(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(data(1, FULL), data(3, FULL), data(4, FULL)) == [ack(1)]
    assert client.say(data(2, b"2" * 512), data(3, FULL), data(4, FULL)) == []
    assert client.say(data(5, FULL)) == [ack(5)], "the window begins behind what was acknowledged"
    assert client.say(data(7, FULL)) == [ack(5)], "and the next gap once, too"
    assert client.say(data(6, b"end")) == [ack(6)]
    assert (client.folder / "new").read_bytes() == FULL + b"2" * 512 + FULL * 3 + b"end"


def test_a_gap_is_told_again_after_a_silence(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(data(1, FULL), data(3, FULL)) == [ack(1)]
    assert client.hear(8) == [ack(1)]
    assert client.say(data(3, FULL), data(4, FULL)) == [ack(1)]


def test_a_gap_beyond_the_window_is_none(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(data(1, FULL), data(6, FULL), data(0x8000, FULL), data(0xFFFF, FULL)) == []


def test_a_window_that_comes_again_is_acknowledged_once(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    window = [data(number, FULL) for number in range(1, 5)]
    assert client.say(*window) == [ack(4)]
    assert client.say(*window) == [ack(4)]
    assert client.say(*window[:3]) == []


def test_a_block_that_comes_very_late_moves_nothing(writer: Any) -> None:
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(*[data(number, FULL) for number in range(1, 9)]) == [ack(4), ack(8)]
    assert client.say(data(2, FULL), data(4, FULL), data(9, FULL)) == []
    assert client.say(*[data(number, FULL) for number in range(10, 13)]) == [ack(12)]


def test_a_sender_that_has_not_heard_of_the_gap(writer: Any) -> None:
    """It goes back to its own window's beginning, and waits at that window's end."""
    client = writer(wrq(b"new", windowsize=4))
    client.hear()
    assert client.say(data(1, FULL), data(2, FULL), data(4, FULL)) == [ack(2)]
    assert client.say(*[data(number, FULL) for number in range(1, 5)]) == [ack(4)]


# Mistakes.


@pytest.mark.parametrize("proven", [False, True])
def test_a_block_that_is_too_long(writer: Any, proven: bool) -> None:
    client = writer()
    client.hear()
    if proven:
        client.say(data(1, FULL))
    (said,) = client.say(data(1 + proven, bytes(513)))
    assert code_of(said) == 4
    assert client.desk.rows == 0 and client.names() == []


@pytest.mark.parametrize("packet", [ack(0), ack(1), b"", b"\0\3", b"\0\3\0", b"\0\3\1", b"\0\x09", data(0, FULL)])
def test_what_has_no_business_in_a_transfer(writer: Any, packet: bytes) -> None:
    client = writer()
    client.hear()
    assert client.say(packet) == []
    assert client.say(data(1, FULL)) == [ack(1)]
    assert client.say(packet) == []
    assert client.say(data(2, b"")) == [ack(2)]


@pytest.mark.parametrize("end", ["error", "killed", "closed", "silence"])
def test_what_was_never_finished_leaves_nothing(writer: Any, end: str) -> None:
    client = writer()
    client.hear()
    client.say(data(1, FULL))
    assert client.unfinished()
    if end == "error":
        client.say(error(0, b"changed my mind"))
    elif end == "killed":
        client.desk.reactor.kill(client.desk.reactor.keys()[0])
        client.hear()
    elif end == "closed":
        client.desk.reactor.close()
    else:
        client.hear(60)
    assert client.desk.rows == 0 and client.names() == []


# What may be written.


@pytest.mark.parametrize(
    ("name", "create", "overwrite", "code"),
    [
        (b"new", False, False, 2),
        (b"f", False, False, 2),
        (b"f", True, False, 6),
        (b"new", False, True, 1),
        (b"new", True, False, None),
        (b"new", True, True, None),
        (b"f", False, True, None),
        (b"f", True, True, None),
        (b"none/new", True, True, 1),
        (b"f/new", True, True, 1),
        (b"sub", True, True, 2),
        (b"sub/", True, True, 2),
        (b"../new", True, True, 2),
        (b"link", True, True, 2),
        (b"outside/new", True, True, 1),
        (b"pipe", True, True, 2),
        (UNFINISHED + b"x", True, True, 2),
        (b"sub/new", True, False, None),
        (b"/sub//new", True, False, None),
        (b"back\\slash", True, False, None),
        (b"x" * 300, True, False, 1),
    ],
)
def test_what_may_be_written(
    writer: Any, tmp_path: Path, name: bytes, create: bool, overwrite: bool, code: int | None
) -> None:
    folder = tmp_path
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("f")
    (folder / "outside").symlink_to(tmp_path.parent)
    os.mkfifo(folder / "pipe")
    around = sorted(tmp_path.parent.iterdir())
    client = writer(wrq(name), create=create, overwrite=overwrite)
    (answer,) = client.hear()
    assert code_of(answer) == code
    if code is None:
        assert client.say(data(1, b"content")) == [ack(1)]
        path = os.fsencode(folder) + b"/" + name
        assert Path(os.fsdecode(path)).read_bytes() == b"content"
        assert Path(os.fsdecode(path)).stat().st_mode & 0o777 == 0o666 & ~umask()
    else:
        assert client.desk.rows == 0
        assert (folder / "f").read_bytes() == b"there already"
    assert sorted(tmp_path.parent.iterdir()) == around


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_another_has_made_meanwhile(writer: Any) -> None:
    client = writer()
    client.hear()
    client.say(data(1, FULL))
    (client.folder / "new").write_bytes(b"first")
    (said,) = client.say(data(2, b"second"))
    assert code_of(said) == 6
    assert client.names() == ["new"]
    assert (client.folder / "new").read_bytes() == b"first"


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_file_system_without_links(writer: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: bool) -> None:
    client = writer()

    def none(*_: Any, **__: Any) -> None:
        raise PermissionError(EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", none)
    client.hear()
    client.say(data(1, FULL))
    if meanwhile:
        (client.folder / "new").write_bytes(b"first")
    (said,) = client.say(data(2, b"end"))
    assert code_of(said) == (6 if meanwhile else None)
    assert client.names() == ["new"]
    assert (client.folder / "new").read_bytes() == (b"first" if meanwhile else FULL + b"end")


def test_a_temporary_file_is_nobody_elses(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = writer()
    monkeypatch.setattr(client.desk.simulation.random, "getrandbits", lambda bits: 0)
    client.hear()
    there = client.folder / (UNFINISHED.decode() + "0" * 16)
    there.write_bytes(b"another's")
    (said,) = client.say(data(1, FULL))
    assert code_of(said) == 6
    assert there.read_bytes() == b"another's"
    there.unlink()


def test_a_file_that_is_overwritten_is_so_at_the_end(writer: Any) -> None:
    client = writer(wrq(b"f"), create=False, overwrite=True)
    client.hear()
    client.say(data(1, FULL))
    assert client.path.read_bytes() == b"there already"
    assert client.say(data(2, b"end")) == [ack(2)]
    assert client.path.read_bytes() == FULL + b"end"


def test_a_folder_that_becomes_a_link_meanwhile(writer: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    client = writer(wrq(b"sub/new"))
    client.hear()
    client.say(data(1, FULL))
    (tmp_path / "sub").rename(tmp_path / "moved")
    (tmp_path / "sub").symlink_to(elsewhere)
    assert client.say(data(2, b"")) == [ack(2)]
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "moved" / "new").read_bytes() == FULL


def test_a_disk_that_is_full(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = writer()
    client.hear()
    client.say(data(1, FULL))

    def full(*_: Any) -> int:
        raise OSError(ENOSPC, "no space")

    monkeypatch.setattr(os, "pwrite", full)
    (said,) = client.say(data(2, FULL))
    assert code_of(said) == 3
    assert client.names() == []


def test_a_disk_that_takes_little_at_once(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    client = writer()
    client.hear()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda file, piece, offset: pwrite(file, bytes(piece[:100]), offset))
        client.say(data(1, FULL))
    client.say(data(2, b"end"))
    assert (client.folder / "new").read_bytes() == FULL + b"end"


def test_a_file_that_is_too_large(writer: Any) -> None:
    client = writer(wrq(b"new"), bounds=Bounds(written_bytes=1500))
    client.hear()
    client.say(data(1, FULL))
    assert client.say(data(2, FULL)) == [ack(2)]
    (said,) = client.say(data(3, FULL))
    assert code_of(said) == 3
    assert client.names() == []


@pytest.mark.parametrize(("size", "code"), [(1500, None), (1501, 3)])
def test_a_file_that_says_that_it_is_too_large(writer: Any, size: int, code: int | None) -> None:
    client = writer(wrq(b"new", tsize=size), bounds=Bounds(written_bytes=1500))
    (answer,) = client.hear()
    assert code_of(answer) == code
    assert code is not None or options_of(answer) == {"tsize": size}


def test_a_carriage_return_at_the_end(writer: Any) -> None:
    client = writer(wrq(b"new", b"netascii"))
    client.hear()
    assert client.say(data(1, b"x" * 511 + b"\r"), data(2, b"\n\r")) == [ack(1), ack(2)]
    assert (client.folder / "new").read_bytes() == b"x" * 511 + b"\n\r"
