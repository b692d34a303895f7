"""The checker is checked: good machines pass, and each deliberate flaw is found.

A checker that passes everything would make every protocol's test worthless, so each flaw that it is there for stands
here as a small machine.
"""

from collections.abc import Callable, Generator
from typing import Any

import pytest
from checker import Make, check_cost, check_machine
from partway.engine import CLOSE, IDLE, NEXT, READ, Become, Inbox, LineBuffer, PeerError, Reason, Row, Want
from partway.protocols.echo import Echo

TEXT = b"one\ntwo\n\nthree and four\r\nfive"
SHOUTED = b"ONE\nTWO\n\nTHREE AND FOUR\r\n"


class Shout:
    """Each line in capitals: the machine of the design's first page."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 1 << 20)

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        line = self.lines.take()
        return IDLE if line is None else line.upper()


class Strict(Shout):
    """The same, and digits are a mistake, refused after the lines before it."""

    def step(self) -> Want:
        line = self.lines.take()
        if line is None:
            return READ if self.lines else IDLE
        if line.strip().isdigit():
            raise PeerError("digits")
        return line.upper()

    def refuse(self, reason: Reason) -> bytes:
        return b"refused: " + reason.detail.encode()


class Prefixed:
    """Becomes a Shout after its first line."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.inbox = Inbox(row)

    def feed(self, data: bytes) -> None:
        self.inbox.feed(data)

    def step(self) -> Want:
        if self.inbox.find(b"\n") < 0:
            return READ
        self.inbox.drop(self.inbox.find(b"\n") + 1)
        return Become(Shout(self.row), self.inbox.take())


def test_echo_passes() -> None:
    assert check_machine(Echo, bytes(range(256)), bytes(range(256)), trailing=b"more") == bytes(range(256))


@pytest.mark.parametrize("seed", range(3))
def test_a_line_machine_passes(seed: int) -> None:
    check_machine(Shout, TEXT, SHOUTED, trailing=b" more\nand more", seed=seed)


def test_an_endless_line_passes() -> None:
    check_machine(Shout, b"x" * 100, b"", long_input=b"x" * 3000)


def test_a_machine_that_refuses_passes() -> None:
    check_machine(Strict, b"one\n2\nthree\n", b"ONE\nrefused: digits", trailing=b"four\n", long_input=b"word\n" * 600)


def test_a_machine_that_becomes_another_passes() -> None:
    check_machine(Prefixed, b"PROXY\n" + TEXT, SHOUTED)


def test_a_wrong_answer_is_found() -> None:
    with pytest.raises(AssertionError, match="instead of"):
        check_machine(Shout, TEXT, TEXT)


class Flawed:
    """A line machine to be spoiled."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def step(self) -> Want:
        line, mark, rest = self.data.partition(b"\n")
        if not mark:
            return IDLE
        self.data = rest
        return line.upper() + mark


class Rescans(Flawed):
    """Looks at all that it holds for every byte that comes."""


class RescansInPython(Flawed):
    def step(self) -> Want:
        for place, byte in enumerate(self.data):
            if byte == 10:
                line, self.data = self.data[: place + 1], self.data[place + 1 :]
                return line.upper()
        return IDLE


class RescansAnArray(Flawed):
    def __init__(self, row: Row) -> None:
        self.data: Any = bytearray()

    def feed(self, data: bytes) -> None:
        self.data += data

    def step(self) -> Want:
        place = self.data.find(b"\n")
        if place < 0:
            return IDLE
        line = bytes(self.data[: place + 1])
        del self.data[: place + 1]
        return line.upper()


class NeverForgets(Flawed):
    """Answers rightly, and keeps a list that it walks at each step."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.seen: list[bytes] = []

    def step(self) -> Want:
        want = super().step()
        if isinstance(want, bytes):
            self.seen.append(want)
            for line in self.seen:
                if line == want:
                    continue
        return want


@pytest.mark.parametrize("flawed", [Rescans, RescansInPython, RescansAnArray])
def test_cost_that_grows_with_an_unfinished_line_is_found(flawed: Make) -> None:
    assert check_machine(flawed, b"a\nb\n", b"A\nB\n", long_input=b"a\nb\n" * 600) == b"A\nB\n"
    with pytest.raises(AssertionError, match="cost grows"):
        check_cost(flawed, b"x" * 1200)


def test_cost_that_grows_with_the_number_of_requests_is_found() -> None:
    with pytest.raises(AssertionError, match="cost grows"):
        check_machine(NeverForgets, TEXT, SHOUTED)


class LivesInAGenerator(Flawed):
    """Its state is a stack frame: right in every split, and it cannot be frozen."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.lines = self.run()

    def run(self) -> Generator[Want, None, None]:
        while True:
            yield super().step()

    def step(self) -> Want:
        return next(self.lines)


def test_state_in_a_generator_is_found() -> None:
    with pytest.raises(TypeError, match="generator"):
        check_machine(LivesInAGenerator, TEXT, SHOUTED)
    check_machine(LivesInAGenerator, TEXT, SHOUTED, freezes=False)


class ForgetsWhenFrozen(Flawed):
    def __getstate__(self) -> dict[str, Any]:
        return {"row": self.row, "data": b""}


class OneLineAFeed(Flawed):
    """Takes each piece for a line, as code does that was only ever tested on the loopback."""

    def step(self) -> Want:
        data, self.data = self.data, b""
        return data.upper() if b"\n" in data else IDLE


class LooksForTheEndInOnePiece(Flawed):
    r"""Finds \r\n only when both come together."""

    def feed(self, data: bytes) -> None:
        self.data += data.replace(b"\r\n", b"\n")

    def step(self) -> Want:
        return super().step()


class LosesTheRest(Flawed):
    def step(self) -> Want:
        want = super().step()
        if isinstance(want, bytes):
            self.data = b""
        return want


class ParsesInFeed(Flawed):
    """Refuses bad bytes as soon as it hears them, before the good request in front of them was answered."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if b"\0" in self.data:
            raise PeerError("zero")


class SwallowsWhatFollows(Flawed):
    """The last answer depends on whether something stands behind it."""

    def step(self) -> Want:
        line, mark, rest = self.data.partition(b"\n")
        if not mark:
            return IDLE
        self.data = rest
        return b"last:" + line if not rest else line


class CountsSteps(Flawed):
    """Says how often it was stepped, which is nobody's business."""

    steps = 0

    def step(self) -> Want:
        self.steps += 1
        want = super().step()
        return want + b"%d" % self.steps if isinstance(want, bytes) else want


class Raises(Flawed):
    def step(self) -> Want:
        if self.data.startswith(b"tw"):
            raise KeyError("tw")
        return super().step()


class MarksRequests(Flawed):
    """Right: NEXT between requests changes no output."""

    def step(self) -> Want:
        want = super().step()
        return NEXT if want == b"\n" else want


@pytest.mark.parametrize(
    ("flawed", "input_bytes"),
    [
        (ForgetsWhenFrozen, TEXT),
        (OneLineAFeed, TEXT),
        (LooksForTheEndInOnePiece, TEXT),
        (LosesTheRest, TEXT),
        (ParsesInFeed, b"one\ntwo\n\0"),
        (SwallowsWhatFollows, b"one\ntwo\n"),
        (CountsSteps, TEXT),
        (Raises, b"on\ntw\n"),
    ],
)
def test_a_result_that_depends_on_the_split_is_found(flawed: Make, input_bytes: bytes) -> None:
    with pytest.raises(AssertionError, match=r"said|failed"):
        check_machine(flawed, input_bytes, long_input=b"", seed=1)


def test_a_machine_that_does_not_rest_is_found() -> None:
    class Restless(Flawed):
        def step(self) -> Want:
            return b""

    with pytest.raises(AssertionError, match="rest"):
        check_machine(Restless, b"x", seed=1)


def test_bytes_counted_twice_are_found() -> None:
    class Miscounts(Flawed):
        def feed(self, data: bytes) -> None:
            self.row.held += len(data)
            super().feed(data)

    with pytest.raises(AssertionError, match="counts"):
        check_machine(Miscounts, b"x\n", seed=1)


def test_a_machine_that_closes_passes() -> None:
    class Once(Flawed):
        done = False

        def step(self) -> Want:
            if self.done:
                return CLOSE
            want = super().step()
            self.done = isinstance(want, bytes)
            return want

    check_machine(Once, TEXT, b"ONE\n", freezes=False, long_input=b"")


def test_a_good_machine_of_plain_bytes_passes_where_lines_are_short() -> None:
    check_machine(MarksRequests, TEXT, SHOUTED.replace(b"\n\n", b"\n"))


def test_the_seed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    check_machine(Echo, b"x", seed=77)
    assert "77" in capsys.readouterr().out


MAKERS: list[Callable[[Row], Any]] = [Echo, Shout, Prefixed]


@pytest.mark.parametrize("make", MAKERS)
def test_no_input_at_all(make: Make) -> None:
    assert check_machine(make, b"") == b""
