"""Lines to files, pipes and terminals: whole, in order, counted where they are lost, and nobody is ever kept waiting.

The kernel's own pipes, files and terminals are written to, with the reactor's `after` played by hand: no clock, and
nothing to wait for. Should something wait all the same, the test hangs, and pytest's timeout tells.
"""

import fcntl
import os
import resource
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EIO, ENOSPC
from pathlib import Path
from random import Random

import pytest
from partway.protocols.output import BUFFER_BYTES, PIPE_BYTES, RETRY_SECONDS, Output, write_some

LINE = b"x" * 99 + b"\n"


class After:
    """The reactor's `after`, by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, function: Callable[[], None]) -> None:
        self.calls.append((seconds, function))

    def turn(self) -> list[float]:
        """Call what is due, and return after which times that was."""
        calls, self.calls = self.calls, []
        for _, function in calls:
            function()
        return [seconds for seconds, _ in calls]

    @property
    def seconds(self) -> list[float]:
        return [seconds for seconds, _ in self.calls]


class Pipe:
    """A pipe of one page, with nobody reading until told."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.reader, False)

    def fill(self) -> None:
        """A pipe of one page has no room for another while anything lies in it."""
        os.write(self.writer, b"z")

    def read(self, count: int = 1 << 20) -> bytes:
        """All that is there, `count` bytes at the most."""
        try:
            return os.read(self.reader, count)
        except BlockingIOError:
            return b""


@pytest.fixture
def after() -> After:
    return After()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for end in (pipe.reader, pipe.writer):
        try:
            os.close(end)
        except OSError:
            pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def numbered(first: int, last: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(first, last)]


def drained(pipe: Pipe, after: After) -> bytes:
    """All that comes out of a pipe, until nothing more is to be written."""
    heard = pipe.read()
    while after.calls:
        after.turn()
        heard += pipe.read()
    return heard


# One turn's lines.


def test_a_turns_lines_leave_together_after_it(path: Path, after: After) -> None:
    output = Output(str(path), after)
    output.write(b"one\n")
    output.write(b"two\n")
    assert after.seconds == [0] and path.read_bytes() == b""
    assert after.turn() == [0]
    assert path.read_bytes() == b"one\ntwo\n"
    assert after.calls == [], "it looks again though there is nothing"
    output.write(b"three\n")
    assert after.turn() == [0]
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    output.close()


def test_a_file_is_made_for_its_owner_to_write_and_appended_to(path: Path, after: After) -> None:
    mask = os.umask(0)
    try:
        output = Output(str(path), after)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.write_bytes(b"somebody else's\n")
    output.write(b"ours\n")
    output.close()
    assert path.read_bytes() == b"somebody else's\nours\n"


def test_a_file_takes_all_that_a_turn_brings(path: Path, after: After) -> None:
    """A file never is slow, so a turn with more lines than are kept loses none."""
    output = Output(str(path), after)
    count = 3 * BUFFER_BYTES // len(LINE)
    for _ in range(count):
        output.write(LINE)
        assert len(output._buffer) <= BUFFER_BYTES
    output.flush()
    assert path.read_bytes() == LINE * count
    output.close()


def test_a_descriptor_of_a_file_is_written_in_one_piece(
    path: Path, after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = counted_writes(monkeypatch)
    with path.open("ab") as file:
        output = Output(file.fileno(), after)
        output.write(LINE * 5000)
        output.close()
        assert path.read_bytes() == LINE * 5000
        assert sizes == [5000 * len(LINE)]
        file.write(b"it is still open\n")


def test_nothing_is_inherited_or_left_open(path: Path, after: After) -> None:
    before = os.listdir("/proc/self/fd")
    output = Output(str(path), after)
    assert not os.get_inheritable(output._descriptor)
    output.reopen()
    assert not os.get_inheritable(output._descriptor)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    output.close()
    output.close()
    assert os.listdir("/proc/self/fd") == before


def test_what_cannot_be_opened_says_so(tmp_path: Path, after: After) -> None:
    with pytest.raises(FileNotFoundError):
        Output(str(tmp_path / "nope" / "log"), after)
    with pytest.raises(IsADirectoryError):
        Output(str(tmp_path), after)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device or address"):  # rather than waiting for a reader
        Output(str(tmp_path / "fifo"), after)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Output(9999, after)


# Pipes.


def counted_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is written from now on, by size."""
    sizes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    return sizes


def test_a_full_pipe_keeps_nobody_waiting_and_loses_nothing(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    lines = numbered(0, 2000)
    for line in lines[:1000]:
        output.write(line)
    assert after.turn() == [0]
    assert after.seconds == [RETRY_SECONDS]
    for line in lines[1000:]:
        output.write(line)
    assert RETRY_SECONDS == 0.1
    assert after.seconds == [RETRY_SECONDS], "it would be asked in vain"
    assert after.turn() == [RETRY_SECONDS] and after.seconds == [RETRY_SECONDS]
    assert drained(pipe, after) == b"".join(lines)
    assert output.lost == 0 and after.calls == []
    assert os.get_blocking(pipe.writer), "others share it, and would be surprised"


def test_pieces_are_whole_lines_of_one_write_each(pipe: Pipe, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is at most PIPE_BUF long is never mixed with what others write into the same pipe."""
    sizes = counted_writes(monkeypatch)
    output = Output(pipe.writer, after)
    output.write(LINE * 100)
    assert drained(pipe, after) == LINE * 100
    assert sizes and max(sizes) <= PIPE_BYTES and all(size % len(LINE) == 0 for size in sizes)


def test_a_line_longer_than_a_piece(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    output.write(b"short\n" + b"x" * 3 * PIPE_BYTES + b"\nshort\n")
    assert drained(pipe, after) == b"short\n" + b"x" * 3 * PIPE_BYTES + b"\nshort\n"


def test_a_pipe_as_a_path_is_not_waited_for_either(tmp_path: Path, after: After) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    output = Output(str(fifo), after)
    fcntl.fcntl(output._descriptor, fcntl.F_SETPIPE_SZ, 4096)
    output.write(LINE * 100)
    after.turn()
    heard = b""
    while after.calls:
        heard += os.read(reader, 1 << 20)
        after.turn()
    assert heard + os.read(reader, 1 << 20) == LINE * 100
    output.close()
    os.close(reader)


def test_a_stranger_who_fills_the_pipe_between(pipe: Pipe, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the descriptor was made not to wait, that it is full is no failure."""
    os.set_blocking(pipe.writer, False)
    monkeypatch.setattr("partway.protocols.output._is_ready", lambda descriptor: True)
    output = Output(pipe.writer, after)
    output.write(LINE * 100)
    assert drained(pipe, after) == LINE * 100
    assert output.lost == 0


def test_a_platform_that_cannot_tell(path: Path, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.poll")
    monkeypatch.delattr("os.ttyname")
    with path.open("ab") as file:
        output = Output(file.fileno(), after)
        output.write(LINE)
        output.close()
    assert path.read_bytes() == LINE


def test_a_descriptor_beyond_those_that_select_knows(pipe: Pipe, after: After) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2100:
        pytest.skip("no such descriptor here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2100, hard))
    try:
        high = fcntl.fcntl(pipe.writer, fcntl.F_DUPFD_CLOEXEC, 2000)
        output = Output(high, after)
        output.write(LINE * 100)
        assert drained(pipe, after) == LINE * 100
        os.close(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_socket(after: After) -> None:
    one, two = socket.socketpair()
    with one, two:
        two.setblocking(False)
        output = Output(one.fileno(), after)
        output.write(LINE * 10_000)
        after.turn()
        assert after.seconds == [RETRY_SECONDS]
        heard = b""
        while after.calls:
            heard += two.recv(1 << 20)
            after.turn()
        assert heard + two.recv(1 << 20) == LINE * 10_000


# What finds no room.


def test_what_is_over_the_cap_is_dropped_and_told(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after, bytes_max=10 * len(LINE))
    pipe.fill()
    output.write(LINE * 10)
    after.turn()
    output.write(b"lost\n")
    output.write(b"lost\nlost\n")
    assert after.turn() == [RETRY_SECONDS]
    assert output.lost == 3 and len(output._buffer) == 10 * len(LINE)
    assert pipe.read() == b"z"
    assert drained(pipe, after) == LINE * 10 + b"partway: lines that were lost here: 3\n"
    assert output.lost == 0
    output.write(b"again\n")
    assert drained(pipe, after) == b"again\n"


def test_the_gap_is_one_and_lies_where_it_is_told(pipe: Pipe, after: After) -> None:
    """A short line that would find room behind a long one that was dropped is dropped as well."""
    output = Output(pipe.writer, after, bytes_max=5000)
    pipe.fill()
    output.write(b"kept\n")
    output.write(b"x" * 4999 + b"\n")
    output.write(b"short\n")
    assert output.lost == 2
    assert pipe.read() == b"z"
    assert drained(pipe, after) == b"kept\npartway: lines that were lost here: 2\n"


def test_a_line_too_long_for_the_buffer_is_told_at_once(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after, bytes_max=100)
    output.write(b"x" * 100 + b"\n")
    assert after.turn() == [0]
    assert pipe.read() == b"partway: lines that were lost here: 1\n"
    output.write(b"x" * 99 + b"\n")
    assert drained(pipe, after) == b"x" * 99 + b"\n"


def test_once_lines_are_lost_a_pipe_is_not_asked_for_each(
    pipe: Pipe, after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(pipe.writer, after, bytes_max=100)
    pipe.fill()
    asked: list[int] = []
    monkeypatch.setattr("partway.protocols.output._is_ready", asked.append)
    for _ in range(100):
        output.write(LINE)
    assert output.lost == 99 and len(asked) == 1


def test_the_cap_is_a_megabyte(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    for _ in range(2 * BUFFER_BYTES // len(LINE)):
        output.write(LINE)
    assert BUFFER_BYTES == 1 << 20
    assert BUFFER_BYTES - len(LINE) < len(output._buffer) <= BUFFER_BYTES
    assert output.lost > BUFFER_BYTES // len(LINE) - 50


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_lines_are_whole_and_in_order_and_all_are_accounted_for(
    seed: int, pipe: Pipe, after: After
) -> None:
    print("seed", seed)
    random = Random(seed)
    output = Output(pipe.writer, after, bytes_max=random.choice((300, 5000, 20_000)))
    heard = b""
    written = 0
    for _ in range(400):
        choice = random.randrange(4)
        if choice == 0:
            heard += pipe.read(random.randrange(1, 5000))
        elif choice == 1:
            after.turn()
        else:
            for _ in range(random.randrange(1, 9)):
                output.write(b"%d %b\n" % (written, b"x" * int(random.expovariate(0.01))))
                written += 1
    heard += drained(pipe, after)
    assert heard.endswith(b"\n")
    expected = 0
    for line in heard.splitlines():
        if line.startswith(b"partway: lines that were lost here: "):
            expected += int(line.rpartition(b" ")[2])
        else:
            assert int(line.split()[0]) == expected
            expected += 1
    assert expected == written and output.lost == 0


# What fails.


def test_a_broken_pipe_is_given_up(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    output.write(b"one\ntwo\n")
    os.close(pipe.reader)
    assert after.turn() == [0]
    assert output.lost == 2 and after.calls == []
    output.write(b"three\n")
    assert output.lost == 3 and len(output._buffer) == 0 and after.calls == []
    os.fstat(pipe.writer)  # which is the caller's
    output.reopen()
    output.flush()
    assert output.lost == 3


def test_a_pipe_of_ours_that_breaks_is_closed_and_can_be_opened_anew(tmp_path: Path, after: After) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = os.listdir("/proc/self/fd")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    output = Output(str(fifo), after)
    os.close(reader)
    output.write(LINE)
    after.turn()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(OSError, match="No such device or address"):
        output.reopen()
    output.write(LINE)
    assert output.lost == 2
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    output.reopen()
    assert os.read(reader, 1000) == b"partway: lines that were lost here: 2\n"
    output.close()
    os.close(reader)


@contextmanager
def file_size_max(count: int) -> Iterator[None]:
    """No file of this process grows beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow_is_tried_again(path: Path, after: After) -> None:
    """The kernel takes a part of a line and refuses the rest: no line is torn, and none is lost that was kept."""
    output = Output(str(path), after, bytes_max=10 * len(LINE))
    with file_size_max(250):
        output.write(LINE * 5)
        after.turn()
        assert after.seconds == [RETRY_SECONDS] and path.stat().st_size == 250
        assert after.turn() == [RETRY_SECONDS] and after.seconds == [RETRY_SECONDS]
        output.write(LINE * 5)
        output.write(LINE * 5)
        assert output.lost == 5
    after.turn()
    assert path.read_bytes() == LINE * 10 + b"partway: lines that were lost here: 5\n"
    assert after.calls == []
    output.close()


@pytest.mark.parametrize("number", [ENOSPC, EIO])
def test_a_disk_that_fails_is_tried_again(
    number: int, path: Path, after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    output = Output(str(path), after)
    output.write(LINE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        assert after.turn() == [0] and after.turn() == [RETRY_SECONDS]
    assert after.turn() == [RETRY_SECONDS] and after.calls == []
    assert path.read_bytes() == LINE and output.lost == 0
    output.close()


def test_a_full_disk_has_room_for_no_more_than_the_cap(path: Path, after: After) -> None:
    output = Output(str(path), after)
    with file_size_max(0):
        for _ in range(2 * BUFFER_BYTES // len(LINE)):
            output.write(LINE)
        assert len(output._buffer) <= BUFFER_BYTES and output.lost
    output.close()
    kept, _, last = path.read_bytes().removesuffix(b"\n").rpartition(b"\n")
    lost = int(last.rpartition(b" ")[2])
    assert (len(kept) + 1) // len(LINE) + lost == 2 * BUFFER_BYTES // len(LINE)


# A file that is renamed.


def test_reopening(path: Path, after: After) -> None:
    output = Output(str(path), after)
    output.write(b"old\n")
    after.turn()
    path.rename(path.with_suffix(".1"))
    output.write(b"old, too\n")
    after.turn()
    output.write(b"before\n")
    output.reopen()
    output.write(b"new\n")
    after.turn()
    assert path.with_suffix(".1").read_bytes() == b"old\nold, too\nbefore\n"
    assert path.read_bytes() == b"new\n"
    output.close()


def test_reopening_that_fails_changes_nothing(path: Path, after: After) -> None:
    output = Output(str(path), after)
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(IsADirectoryError):
        output.reopen()
    assert os.listdir("/proc/self/fd") == before
    output.write(b"here\n")
    output.close()
    assert path.with_suffix(".1").read_bytes() == b"here\n"


def test_reopening_where_there_is_no_path(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    output.reopen()
    output.write(b"here\n")
    after.turn()
    assert pipe.read() == b"here\n"


def test_reopening_leaves_no_half_line_behind(path: Path, after: After) -> None:
    """A full disk took a part of a line; the log is renamed to another; what is left of that line makes no sense."""
    output = Output(str(path), after)
    with file_size_max(7):
        output.write(b"one\ntwo\nthree\n")
        after.turn()
        path.rename(path.with_suffix(".1"))
        output.reopen()
    output.write(b"four\n")
    after.turn()
    assert path.with_suffix(".1").read_bytes() == b"one\ntwo"
    assert path.read_bytes() == b"three\npartway: lines that were lost here: 1\nfour\n"
    output.close()


def test_reopening_again_and_again_asks_no_oftener(tmp_path: Path, after: After) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    output = Output(str(fifo), after)
    output.write(LINE * 2000)
    after.turn()
    for _ in range(10):
        output.reopen()
        output.flush()
    for _ in range(5):
        assert after.turn() == [RETRY_SECONDS]
    output.close()
    os.close(reader)


# The end.


def test_closing_writes_what_is_taken_and_no_more(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    output.write(LINE * 100)
    output.close()
    assert pipe.read() == LINE * 40
    assert output.lost == 60
    output.write(LINE)
    after.turn()
    assert pipe.read() == b"" and after.calls == [] and output.lost == 61
    assert output.show(b"picture") is False
    os.fstat(pipe.writer)


def test_nothing_is_kept_behind_the_end(path: Path, after: After) -> None:
    output = Output(str(path), after)
    output.close()
    output.write(LINE)
    assert output.lost == 1 and len(output._buffer) == 0 and after.calls == []


# Terminals.


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal; nobody reads the first until told."""
    ends = os.openpty()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def read_terminal(master: int, after: After) -> bytes:
    os.set_blocking(master, False)
    heard = b""
    for _ in range(1000):
        after.turn()
        try:
            heard += os.read(master, 1 << 16)
        except BlockingIOError:
            if not after.calls:
                break
    return heard


def test_a_terminal_that_was_stopped_keeps_nobody_waiting(terminal: tuple[int, int], after: After) -> None:
    """One that is ready may take a single byte: a shared descriptor would wait with the second."""
    master, slave = terminal
    output = Output(slave, after)
    output.write(LINE * 1000)
    after.turn()
    assert after.seconds == [RETRY_SECONDS]
    assert os.get_blocking(slave), "the shell shares it"
    assert read_terminal(master, after) == LINE.replace(b"\n", b"\r\n") * 1000
    output.close()
    os.fstat(slave)


def test_a_terminal_that_has_gone_is_given_up(terminal: tuple[int, int], after: After) -> None:
    master, slave = terminal
    before = os.listdir("/proc/self/fd")
    output = Output(slave, after)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    os.close(master)
    output.write(LINE)
    assert after.turn() == [0] and after.calls == []
    assert output.lost == 1
    assert len(os.listdir("/proc/self/fd")) == len(before) - 1
    assert output.show(b"picture") is False


def test_a_terminal_does_not_become_the_controlling_one(
    terminal: tuple[int, int], after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end would send signals. Linux spares those that only write, others don't."""
    flags: list[int] = []
    real_open = os.open

    def seen(path: str, flag: int, *mode: int) -> int:
        flags.append(flag)
        return real_open(path, flag, *mode)

    monkeypatch.setattr(os, "open", seen)
    Output(terminal[1], after).close()
    Output(os.ttyname(terminal[1]), after).close()
    assert len(flags) == 2 and all(flag & os.O_NOCTTY for flag in flags)


# Pictures.


def test_a_picture_is_shown_at_once_as_far_as_it_is_taken(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    assert output.show(b"one\n") is True
    assert pipe.read() == b"one\n"
    assert output.show(LINE * 100) is True
    assert output.show(b"a picture that nobody will see") is True
    assert pipe.read() == LINE * 40
    assert output.show(b"three\n") is True
    assert pipe.read() == b"three\n"
    assert after.calls == [] and output.lost == 0


def test_a_picture_that_nobody_looks_at(pipe: Pipe, after: After) -> None:
    output = Output(pipe.writer, after)
    os.close(pipe.reader)
    assert output.show(b"picture") is False


def test_a_picture_on_a_terminal_that_was_stopped(terminal: tuple[int, int], after: After) -> None:
    output = Output(terminal[1], after)
    for _ in range(100):
        assert output.show(LINE * 50) is True
    output.close()


def test_some_of_it(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, 8192)
    data = bytearray(b"a\nbb\nccc")
    write_some(pipe.writer, data, piece=6)
    assert data == b"" and pipe.read() == b"a\nbb\nccc"
    data = bytearray(b"y" * 9000)
    write_some(pipe.writer, data)
    assert data == b"y" * (9000 - 8192)
