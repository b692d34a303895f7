"""The table on a terminal: a frame fits, shows first who has the least time left, and costs nothing between frames.

A frame is made of reports alone, so it is tested as text, on the simulation: how wide and how high it is, who comes
first, and that the timer which draws it neither keeps a drain waiting nor survives it.
"""

import pytest
from partway.engine import Cause, Limits, PeerError, Want
from partway.protocols.echo import Echo
from partway.protocols.lines import Lines
from partway.protocols.watch import CLEAR, FRAME_SECONDS, HEADER, Watch, line_of, size
from worlds import Rig


class Told(Lines):
    """Describes itself at length."""

    def answer(self, line: bytes) -> Want:
        if line == b"bad":
            raise PeerError("bad")
        return line

    def describe(self) -> str:
        return "x" * 300


class Screen:
    """A watch over a rig, and what it has written."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, width: int, height: int, clear: bool = False) -> None:
        self.rig = rig
        self.frames: list[str] = []
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", str(height))
        self.watch = Watch(rig.reactor, "partway test", self.frames.append, clear)

    def draw(self) -> list[str]:
        self.watch.draw()
        return self.frames[-1].removeprefix(CLEAR).splitlines()


@pytest.mark.parametrize("rows", [0, 1, 5, 40])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10), (20, 6), (10, 3)])
def test_a_frame_fits(monkeypatch: pytest.MonkeyPatch, rows: int, width: int, height: int) -> None:
    rig = Rig(Told)
    rig.dials(rows)
    rig.run(0.1)
    screen = Screen(rig, monkeypatch, width, height)
    lines = screen.draw()
    assert max(map(len, lines)) <= width
    assert screen.frames[-1].count("\n") <= height - 1, "the first line would scroll away"
    assert len(lines) <= height


def test_an_empty_table() -> None:
    rig = Rig(Echo)
    frame = Watch(rig.reactor, "partway test", lambda text: None, False).frame(23)
    assert frame[0] == "partway test   rows 0 of 20000   nobody here"
    assert frame[2] == "ended: none"
    assert frame[-1] == HEADER


def test_the_most_urgent_come_first() -> None:
    rig = Rig(Told)
    idle = rig.dial()
    rig.run(3)
    rig.dial()
    rig.run(3)
    slow = rig.dial()
    slow.say(b"half a li")
    rig.run(3)
    idle.say(b"now\n")
    rig.run(0.1)
    frame = Watch(rig.reactor, "", lambda text: None, False).frame(23)
    keys = [int(line.split()[0]) for line in frame[frame.index(HEADER) + 1 :]]
    assert keys == [3, 2, 1], "reading has 10 s, idling 15 s since the last answer"


def test_those_without_a_deadline_come_last() -> None:
    rig = Rig(Echo, limits=Limits(idle_seconds=float("inf")))
    rig.dials(3)
    rig.run(0.1)
    lines = Watch(rig.reactor, "", lambda text: None, False).frame(23)
    assert [line.split()[3] for line in lines[lines.index(HEADER) + 1 :]] == ["-"] * 3


@pytest.mark.parametrize(("rows", "more"), [(18, None), (19, 2), (100, 83)])
def test_who_has_no_room_is_counted(rows: int, more: int | None) -> None:
    rig = Rig(Echo)
    rig.dials(rows)
    rig.run(0.5)
    frame = Watch(rig.reactor, "", lambda text: None, False).frame(23)
    shown = frame[frame.index(HEADER) + 1 :]
    assert len(frame) <= 23
    if more is None:
        assert len(shown) == rows
    else:
        assert shown[-1] == f"... and {more} more"
        assert len(shown) - 1 + more == rows


def test_the_summary_counts_since_the_last_frame() -> None:
    rig = Rig(Told)
    watch = Watch(rig.reactor, "title", lambda text: None, False)
    peer, bad, _ = rig.dials(3)
    peer.say(b"a\n" * 10)
    bad.say(b"bad\n")
    rig.run(0.1)
    bad.abort()
    rig.run(0.1)
    frame = watch.frame(23)
    assert frame[0] == "title   rows 2 of 20000   idle 2"
    assert frame[1].startswith(
        f"{10 / FRAME_SECONDS:.0f} requests/s   {10 / FRAME_SECONDS:.0f}/s out   held 0   accepted 3"
    )
    assert frame[2] == f"ended: {Cause.PEER_ERROR} 1"
    assert watch.frame(23)[1].startswith("0 requests/s   0/s out")


def test_it_is_drawn_every_half_second_and_ends_with_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(Echo, limits=Limits(idle_seconds=1e6))
    rig.dial()
    rig.run(0.1)
    screen = Screen(rig, monkeypatch, 80, 24)
    screen.draw()
    rig.run(10.1)
    assert len(screen.frames) == 21
    rig.reactor.drain()
    rig.reactor.run()
    assert len(screen.frames) <= 22


@pytest.mark.parametrize("clear", [True, False])
def test_the_screen_is_cleared_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, clear: bool) -> None:
    screen = Screen(Rig(Echo), monkeypatch, 80, 24, clear)
    screen.draw()
    assert screen.frames[0].startswith(CLEAR) is clear
    assert "\x1b" not in screen.frames[0].removeprefix(CLEAR)


class Awkward(Echo):
    """Describes itself in lines that steer a terminal."""

    def describe(self) -> str:
        return "a\nb\x1b[2Jc\rd"


def test_a_description_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(Awkward)
    rig.dial()
    rig.run(0.1)
    lines = Screen(rig, monkeypatch, 200, 24).draw()
    assert len(lines) == 6
    assert "\x1b" not in "".join(lines)


def test_a_line() -> None:
    rig = Rig(Echo)
    rig.dial().say(b"x" * 5000)
    rig.run(1)
    line = line_of(next(iter(rig.reactor.rows())))
    assert line.split() == ["1", "IDLE", "1.0", "14.0", "4.88K", "4.88K", "0", "0", "client:49153", "Echo"] or (
        line.split()[4] == size(5000)
    )
    assert line_of(next(iter(rig.reactor.rows()))._replace(deadline_in=-1.0)).split()[3] == "0.0"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (1024, "1.0K"),
        (102_399, "100.0K"),
        (102_400, "100K"),
        (1_000_000, "977K"),
        (1_048_576, "1.0M"),
        (1 << 30, "1.0G"),
        (5 << 40, "5120G"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
    assert len(text) <= 6


def test_any_size_has_six_letters_at_most() -> None:
    for power in range(40):
        for count in (2**power - 1, 2**power, 2**power + 1, 10**12 // (power + 1), 999 * 2**power):
            assert len(size(count)) <= 6 or count >= 10**14
