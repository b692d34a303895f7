"""Testing a machine of one's own: flawed ones are found within a few seeds, a good one is left in peace."""

import importlib
import re
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import count
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.strategies import SearchStrategy
from partway.engine import CLOSE, IDLE, NEXT, READ, Inbox, Limits, LineBuffer, PeerError, Reason, Row, Wait, Want
from partway.engine.faults import Faults
from partway.stress.simulate.examine import AGAIN
from partway.stress.simulate.failure import trimmed
from partway.stress.simulate.trial import Trial
from partway.stress.strategies import cases, faults, limits, splits
from partway.stress.testing import Case, Owed, Says, SimulationFailure, Visitor, simulate

pytest_plugins = ["pytester"]

SIZE_MOST = 1000
Drawn = TypeVar("Drawn")


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def frames(random: Random) -> tuple[bytes, bytes]:
    """What a client says, and what it is owed: the same, back to front."""
    body = random.randbytes(random.randrange(1, 300))
    return framed(body), framed(body[::-1])


class Good:
    """A length in four bytes, and as many bytes: they come back in reverse."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.inbox = Inbox(row)

    def feed(self, data: bytes) -> None:
        self.inbox.feed(data)

    def step(self) -> Want:
        if len(self.inbox) < 4:
            return READ if len(self.inbox) else IDLE
        size = int.from_bytes(self.inbox.peek(4), "big")
        if size > SIZE_MOST:
            raise PeerError("a frame too long")
        if len(self.inbox) < 4 + size:
            return READ
        self.inbox.drop(4)
        return self.answer(self.inbox.take(size))

    def answer(self, body: bytes) -> Want:
        return framed(body[::-1])


class HeaderWhole(Good):
    """Believes that four bytes come in one piece."""

    size: int | None = None

    def step(self) -> Want:
        if self.size is None:
            if not len(self.inbox):
                return IDLE
            self.size = int.from_bytes(self.inbox.take(4), "big")
            if self.size > SIZE_MOST:
                raise PeerError("a frame too long")
        if len(self.inbox) < self.size:
            return READ
        body, self.size = self.inbox.take(self.size), None
        return framed(body[::-1])


class RestLost(Good):
    """Forgets what came behind a request in the same piece."""

    def answer(self, body: bytes) -> Want:
        self.inbox.take()
        return super().answer(body)


class PieceIsRequest(Good):
    """Takes each piece for a request."""

    def step(self) -> Want:
        data = self.inbox.take()
        return self.answer(data[4:]) if data else IDLE


class Unbounded(Good):
    """Waits for a frame of four gibibytes."""

    def step(self) -> Want:
        size = int.from_bytes(self.inbox.peek(4), "big")
        if size > SIZE_MOST and len(self.inbox) < 4 + size:
            return READ
        return super().step()


class UnboundedAndUnseen:
    """The same, in a list of which the engine knows nothing."""

    def __init__(self, row: Row) -> None:
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)

    def step(self) -> Want:
        data = b"".join(self.pieces)
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < 4 or len(data) < end:
            return READ if data else IDLE
        self.pieces = [data[end:]]
        return framed(data[4:end][::-1])


class EndLoses(Good):
    """Works on an answer, and gives it up where the client has ended its side meanwhile."""

    pending = b""

    def step(self) -> Want:
        if not self.pending:
            return super().step()
        answer, self.pending = self.pending, b""
        return CLOSE if self.row.peer_ended else answer

    def answer(self, body: bytes) -> Want:
        self.pending = framed(body[::-1])
        return Wait(0.01)


class NotPlain(Good):
    """Its state is not plain data."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.turn = lambda body: body[::-1]


class Forgets(Good):
    """Freezes without what it has read."""

    def __getstate__(self) -> Row:
        return self.row

    def __setstate__(self, row: Row) -> None:
        self.row = row
        self.inbox = Inbox(row)


class SlowThawed(Good):
    """Says the same once it has thawed, but later: no client can tell."""

    thawed = pending = False
    body = b""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, thawed=True)

    def step(self) -> Want:
        if not self.pending:
            return super().step()
        self.pending = False
        return framed(self.body[::-1])

    def answer(self, body: bytes) -> Want:
        self.body, self.pending = body, True
        return Wait(0.3) if self.thawed else b""


class NeverRests(Good):
    """Asks to be stepped again at once, until more has come."""

    def step(self) -> Want:
        want = super().step()
        return b"" if want is READ else want


class WaitsForNothing(Good):
    """The same with a timer."""

    def step(self) -> Want:
        want = super().step()
        return Wait(0) if want is READ else want


class Trips(Good):
    """Has an assertion that a client can break."""

    def step(self) -> Want:
        assert len(self.inbox) != 3
        return super().step()


HEARD_WRONG = "a client has heard what nobody owes it"
NOT_ALL = "a client that behaved has not got all"
OVER_CAP = "a buffer over its cap"
THAWED = "a row frozen and thawed changes nothing"
FLAWED = [
    (HeaderWhole, {HEARD_WRONG}),
    (RestLost, {NOT_ALL, HEARD_WRONG}),
    (PieceIsRequest, {NOT_ALL, HEARD_WRONG}),
    (Unbounded, {OVER_CAP}),
    (UnboundedAndUnseen, {OVER_CAP}),
    (EndLoses, {NOT_ALL}),
    (NotPlain, {"a machine that does not freeze"}),
    (Forgets, {NOT_ALL, HEARD_WRONG, THAWED}),
    (SlowThawed, {THAWED}),
    (NeverRests, {"a busy loop"}),
    (WaitsForNothing, {"a busy loop"}),
    (Trips, {"a machine has failed", NOT_ALL}),
]


def failure_of(machine: Any, talk: Any = frames, **options: Any) -> SimulationFailure:
    with pytest.raises(SimulationFailure) as caught:
        simulate(machine, talk, **options)
    return caught.value


def test_a_good_machine_is_left_in_peace() -> None:
    result = simulate(Good, frames, seeds=range(40))
    assert result.seeds == tuple(range(40))
    assert result.requests > 500
    assert result.rows > 300
    assert sum(result.met.values()) > 500
    assert simulate(Good, frames, seeds=range(40)) == result


def test_a_flood_that_is_thrown_away_is_no_busy_loop() -> None:
    flood = (Visitor("flood", 2408197983),)
    simulate(Good, frames, case=Case(663, "", flood, limits={"receive_bytes": 448}, schedule="shortest"))


@pytest.mark.parametrize(("machine", "invariants"), FLAWED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_flaw_is_found(machine: type, invariants: set[str]) -> None:
    failure = failure_of(machine, seeds=range(40))
    assert failure.invariant in invariants
    assert len(failure.case.crowd) <= 3


def test_what_a_failure_says() -> None:
    failure = failure_of(HeaderWhole)
    text = str(failure)
    assert text.startswith(f"seed {failure.seed}: {HEARD_WRONG}\n")
    assert re.search(
        r"\nThe smallest case found has 1 client, \d requests?, 0 faults, 0 limits; its last steps:\n", text
    )
    assert f"Again: simulate(HeaderWhole, ..., seed={failure.seed}), with pytest --partway-seed {failure.seed}" in text
    assert "row 1 is fed b'\\x00" in text
    assert "row 1 wants b'" in text
    written = text.rpartition("case=")[2]
    assert eval(written, {"Case": Case, "Visitor": Visitor}) == failure.case


def test_a_failure_to_freeze_is_shown_by_freezing_always() -> None:
    assert failure_of(SlowThawed, seeds=range(40)).case.freezes == 1.0


def test_a_seed_again() -> None:
    first = failure_of(RestLost, seeds=range(40))
    again = failure_of(RestLost, seed=first.seed)
    assert (str(again), again.case) == (str(first), first.case)
    small = failure_of(RestLost, case=first.case)
    assert (small.invariant, small.case) == (first.invariant, first.case)


def test_a_seed_alone_runs_alone() -> None:
    assert simulate(Good, frames, seed=7).seeds == (7,)
    seed = failure_of(HeaderWhole, seeds=range(1, 40)).seed
    with pytest.raises(SimulationFailure, match=f"seed {seed}: "):
        simulate(HeaderWhole, frames, seed=seed)


def test_a_machines_failure_is_shown_where_it_happened() -> None:
    text = str(failure_of(Trips, kinds=["slow"], seeds=range(40)))
    assert "assert len(self.inbox) != 3" in text
    assert "raises AssertionError" in text


def test_a_long_traceback_is_shown_by_its_ends() -> None:
    assert trimmed("one\ntwo\n") == "one\ntwo"
    text = "\n".join(f"line {number}" for number in range(30))
    assert trimmed(text).splitlines() == ["line 0", "  ...", *(f"line {number}" for number in range(22, 30))]


class Counted(Unbounded):
    """Counts those that live."""

    made = over = 0

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        Counted.made += 1

    def ended(self, reason: Reason) -> None:
        Counted.over += 1


def test_machines_are_told_of_the_end_of_a_run_that_was_broken_off() -> None:
    assert failure_of(Counted).invariant == OVER_CAP
    assert Counted.made == Counted.over > 0


class Shout:
    """Lines in capitals, after a greeting; `quit` ends."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 100)
        self.greeted = self.quits = False

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        if self.quits:
            return CLOSE
        if not self.greeted:
            self.greeted = True
            return b"hello\n"
        line = self.lines.take()
        self.quits = line == b"quit\n"
        return IDLE if line is None else line.upper()


def test_a_conversation_that_is_said_once() -> None:
    says: Any = {"greeting": b"hello\n"}
    once = Says((b"one\n", b"ONE\n"), (b"quit\n", b"QUIT\n"), once=True, **says)
    assert simulate(Shout, once, seeds=range(30)).requests > 100
    again = Says(b"quit\n", hears=b"QUIT\n", **says)
    assert failure_of(Shout, again).invariant == NOT_ALL, "it was said twice"
    wrong = Says((b"one\n", b"TWO\n"), once=True, **says)
    assert "owed b'TWO\\n', heard b'ONE\\n'" in str(failure_of(Shout, wrong, faults=False))
    assert failure_of(Shout, Says(b"one\n", hears=b"ONE\n", greeting=b"hullo\n")).invariant == HEARD_WRONG
    assert simulate(Shout, Says(b"", **says), seeds=range(10)).rows > 10, "who says nothing is greeted too"


class Sums(Owed):
    """A client with a memory: the server adds up what it was told."""

    total = 0

    def exchange(self) -> tuple[bytes, bytes]:
        number = self.random.randrange(100)
        self.total += number
        return b"%d\n" % number, b"%d\n" % self.total


class Adds:
    """The server for it."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 100)
        self.total = 0
        self.told = False

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        if self.told:
            self.told = False
            return NEXT
        line = self.lines.take()
        if line is None:
            return IDLE
        try:
            self.total += int(line)
        except ValueError as error:
            raise PeerError("no number") from error
        self.told = True
        return b"%d\n" % self.total


class AddsForAll(Adds):
    """Its total is everybody's."""

    totals: dict[str, int] = {"all": 0}  # noqa: RUF012

    def step(self) -> Want:
        self.total = self.totals["all"]
        want = super().step()
        self.totals["all"] = self.total
        return want


def test_a_dialogue_with_a_memory() -> None:
    assert simulate(Adds, Sums, seeds=range(30)).requests > 100
    assert failure_of(AddsForAll, Sums).invariant == HEARD_WRONG


def test_several_conversations_and_one_of_one_exchange() -> None:
    talks = [Says(b"1\n", hears=b"1\n", once=True), Says((b"1\n", b"1\n"), (b"-1\n", b"0\n"))]
    assert simulate(Adds, talks, seeds=range(20)).requests > 100


@pytest.mark.parametrize(
    "wrong",
    [lambda: Says(), lambda: Says((b"a", b"A"), hears=b"A"), lambda: Says((b"a", "A")), lambda: Says(b"a", b"b")],
)
def test_what_is_no_conversation(wrong: Any) -> None:
    with pytest.raises(TypeError, match="pair"):
        wrong()


def test_who_is_no_client() -> None:
    with pytest.raises(ValueError, match="no kind of client 'clown'"):
        simulate(Good, frames, kinds=["honest", "clown"])
    with pytest.raises(ValueError, match="nobody would come"):
        simulate(Good, [])


def test_a_mistake_in_the_test_itself_names_the_seed() -> None:
    def broken(random: Random) -> tuple[bytes, bytes]:
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        simulate(Good, broken, seed=11, kinds=["honest"])
    assert caught.value.__notes__ == ["partway: in the simulation with seed 11"]


# Options.


NETWORK = {"half_close", "queue_full"}  # is met without any fault


def test_faults_are_those_that_were_asked_for() -> None:
    assert set(simulate(Good, frames, faults=False, seeds=range(30)).met) <= NETWORK
    assert set(simulate(Good, frames, faults=Faults(short_read=0.5), seeds=range(30)).met) - NETWORK == {"short_read"}


def test_limits_are_those_that_were_asked_for() -> None:
    tight = failure_of(HeaderWhole, limits=Limits(idle_seconds=3, receive_bytes=500), seeds=range(40))
    assert set(tight.case.limits.items()) <= {("idle_seconds", 3), ("receive_bytes", 500)}
    met = [Limits(), Limits(idle_seconds=3)]
    rows = [simulate(Noting, Says(b"", hears=b""), seeds=range(5), limits=one).rows for one in met]
    assert min(rows) > 0
    assert Noting.idle == {15, 3}


class Noting(Good):
    """Remembers the limits that it was made with."""

    idle: set[float] = set()  # noqa: RUF012

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.idle.add(row.limits.idle_seconds)


def test_who_cannot_freeze_may_say_so() -> None:
    assert simulate(NotPlain, frames, freezes=False, seeds=range(20)).requests > 100


def test_who_cannot_freeze_may_say_so_of_a_case_too() -> None:
    case = replace(draw_of(Good, 3), freezes=0.9)
    assert simulate(NotPlain, frames, freezes=False, case=case).seeds == (3,)


def draw_of(machine: type, seed: int) -> Case:
    return Trial(machine, (frames,), True, None, True, 131_072, (), ("honest",)).draw(seed)


class Throws(Good):
    """Is not the same twice: each that is made waits for longer than all before it, at first."""

    made = count(1)

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.wait = next(self.made) / 20

    def step(self) -> Want:
        wait, self.wait = self.wait, 0.0
        return Wait(wait) if wait else super().step()


def test_who_is_not_the_same_twice_is_not_accused_of_freezing() -> None:
    assert failure_of(Throws, seeds=range(20)).invariant == AGAIN


def test_only_kinds_that_were_asked_for() -> None:
    failure = failure_of(HeaderWhole, kinds=("hasty",), seeds=range(40))
    assert {visitor.kind for visitor in failure.case.crowd} == {"hasty"}
    assert simulate(Good, frames, kinds=("silent",), seeds=range(20)).requests == 0


def test_a_cap_of_nothing() -> None:
    assert failure_of(Good, held_most=0, seeds=range(20)).invariant == OVER_CAP


def test_a_case_is_run_again_as_a_case() -> None:
    failure = failure_of(HeaderWhole)
    again = failure_of(HeaderWhole, case=failure.case)
    assert "Again:\n    case=Case(" in str(again) and "seed=" not in str(again).partition("case=Case")[0]
    assert "The case has 1 client" in str(again) and "smallest" not in str(again)


class Hoard(Good):
    """Keeps something large of its own."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.hoard = {"pages": [bytearray(200_000)]}


def test_a_cap_of_ones_own() -> None:
    failure = failure_of(Hoard, seeds=range(5))
    assert "Hoard holds 200" in str(failure)
    assert "bytes of 131072 (held_most); the engine was told of" in str(failure)
    assert simulate(Hoard, frames, held_most=300_000, seeds=range(5)).requests
    assert failure_of(Unbounded, held_most=300_000, seeds=range(60)).invariant == OVER_CAP


class Common:
    """A factory that all its machines refer to."""

    def __init__(self) -> None:
        self.book = [b"x" * 200_000]
        self.lock = iter(())

    def __call__(self, row: Row) -> Good:
        machine = Reader(row)
        machine.common, machine.book = self, self.book
        return machine


class Reader(Good):
    """Refers to what all have in common."""

    common: Common
    book: list[bytes]

    def answer(self, body: bytes) -> Want:
        assert len(self.common.book) == 1
        assert self.book is self.common.book, "a frozen row had its own copy"
        return super().answer(body)


class HiddenSlot(Good):
    """Its buffer stands in a slot whose name the compiler changes."""

    __slots__ = ("__hidden",)

    def __init__(self, row: Row) -> None:
        self.row = row
        self.__hidden = Inbox(row)

    @property
    def inbox(self) -> Inbox:  # type: ignore[override]
        return self.__hidden


class OneSlot(Good):
    """Its one slot is written as a string, not as a tuple of them."""

    __slots__ = "buffer"

    def __init__(self, row: Row) -> None:
        self.row = row
        self.buffer = Inbox(row)

    @property
    def inbox(self) -> Inbox:  # type: ignore[override]
        return self.buffer


@pytest.mark.parametrize("machine", [HiddenSlot, OneSlot])
def test_buffers_are_found_wherever_they_stand(machine: type) -> None:
    assert simulate(machine, frames, seeds=range(20)).requests > 100


class Heap(Good):
    """Keeps what comes in something that only Python's own library knows, for ever."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.heap: Any = self.kind()

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if isinstance(self.heap, BytesIO):
            self.heap.write(bytes(50_000))
        else:
            self.heap.frombytes(bytes(50_000))


class BytesHeap(Heap):
    kind = BytesIO


class ArrayHeap(Heap):
    @staticmethod
    def kind() -> Any:
        return array("I")


@pytest.mark.parametrize("machine", [BytesHeap, ArrayHeap])
def test_bytes_in_other_containers_are_found(machine: type) -> None:
    assert failure_of(machine, seeds=range(20)).invariant == OVER_CAP


def test_what_all_have_in_common() -> None:
    common = Common()
    assert simulate(common, frames, shared=(common.book,), seeds=range(20)).requests > 100
    assert failure_of(common, seeds=range(20)).invariant == OVER_CAP


class Looks(Good):
    """Looks at something a hundred times a second, 1,500 times for each request: no busy loop."""

    left = 0

    def step(self) -> Want:
        return self.looks() if self.left else super().step()

    def answer(self, body: bytes) -> Want:
        self.left, self.body = 1500, framed(body[::-1])
        return self.looks()

    def looks(self) -> Want:
        self.left -= 1
        return Wait(0.01) if self.left else self.body


def test_a_timer_is_no_busy_loop() -> None:
    assert simulate(Looks, frames, case=Case(0, "", (Visitor("honest", 1),))).requests == 1


# Strategies.

SHRINKING = settings(max_examples=100, phases=(Phase.generate, Phase.shrink))  # to explain takes twenty times as long


def shrunk(strategy: SearchStrategy[Drawn], wanted: Callable[[Drawn], bool] = lambda drawn: True) -> Drawn:
    """The simplest that is wanted."""
    return find(strategy, wanted, settings=SHRINKING)


@given(splits(b"abcdefg"))
def test_splits_are_pieces_of_the_whole(pieces: list[bytes]) -> None:
    assert b"".join(pieces) == b"abcdefg"
    assert all(pieces)


def test_splits_go_everywhere_and_shrink_to_one_piece() -> None:
    assert shrunk(splits(b"abc")) == [b"abc"]
    for whole in ([b"a", b"b", b"c"], [b"ab", b"c"], [b"a", b"bc"]):
        assert shrunk(splits(b"abc"), lambda pieces, whole=whole: pieces == whole) == whole  # type: ignore[misc]
    assert shrunk(splits(b"")) == []
    assert shrunk(splits(b"a")) == [b"a"]


def test_worlds_shrink_to_plain_ones() -> None:
    assert shrunk(faults()) == Faults()
    assert shrunk(limits()) == Limits()
    assert shrunk(cases()) == Case(0, "drawn", (Visitor("honest", 0, delay_seconds=(0.0, 0.0)),))
    assert shrunk(faults(), lambda drawn: drawn.reset > 0).short_read == 0
    assert shrunk(limits(), lambda drawn: drawn.idle_seconds < 15).stall_seconds == 30
    assert len(shrunk(cases(), lambda case: len(case.crowd) > 2).crowd) == 3


@settings(max_examples=40)
@given(cases(clients_most=4, requests_most=3))
def test_any_world(case: Case) -> None:
    simulate(Good, frames, case=case)


def test_a_strategy_finds_the_flaw_too() -> None:
    @SHRINKING
    @given(cases(clients_most=1, requests_most=1, kinds=["honest", "drip"]))
    def test(case: Case) -> None:
        simulate(HeaderWhole, frames, case=case)

    with pytest.raises(SimulationFailure) as caught:
        test()
    assert [visitor.kind for visitor in caught.value.case.crowd] == ["drip"]
    assert not caught.value.case.faults


def test_without_hypothesis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "partway.stress.strategies")
    with pytest.raises(ImportError, match=r"install 'partway\[testing\]'"):
        importlib.import_module("partway.stress.strategies")


# The plugin.

TEST = """
from partway.engine import IDLE
from partway.stress.testing import Says

class Reverse:
    def __init__(self, row):
        self.data = b""
    def feed(self, data):
        self.data += data
    def step(self):
        data, self.data = self.data, b""
        return data[::-1] or IDLE

class Echo(Reverse):
    def step(self):
        data, self.data = self.data, b""
        return data or IDLE

def test_good(simulate):
    print("ran", simulate(Echo, Says(b"ab", hears=b"ab")).seeds)

def test_flawed(simulate):
    simulate(Reverse, Says(b"ab", hears=b"ba"))
"""


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest("-p", "no:cacheprovider", "-rA", *options)


def test_the_fixture_finds_the_flaw_and_names_its_seed(pytester: pytest.Pytester) -> None:
    result = run(pytester, TEST)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*ran (0, 1, *, 19)"])
    result.stdout.re_match_lines([r"E .*SimulationFailure: seed \d+: "])
    result.stdout.fnmatch_lines(["*with pytest --partway-seed *"])
    assert "trial.run" not in result.stdout.str(), "the traceback ends at the test"


def test_one_seed(pytester: pytest.Pytester) -> None:
    seed = next(seed for seed in count(3) if _fails(seed))
    result = run(pytester, TEST, "--partway-seed", str(seed), "--partway-seeds", "5")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*ran ({seed},)"])
    result.stdout.fnmatch_lines([f"E * seed {seed}: *"])


def _fails(seed: int) -> bool:
    try:
        simulate(PlainReverse, Says(b"ab", hears=b"ba"), seed=seed)
    except SimulationFailure:
        return True
    return False


class PlainReverse(Good):
    """As in TEST."""

    def step(self) -> Want:
        return self.inbox.take()[::-1] or IDLE


def test_one_seed_of_a_test_that_says_how_many(pytester: pytest.Pytester) -> None:
    text = TEST.replace('hears=b"ab"))', 'hears=b"ab"), seeds=range(4))')
    run(pytester, text, "--partway-seed", "412", "-k", "good").stdout.fnmatch_lines(["*ran (412,)"])
    run(pytester, text, "-k", "good").stdout.fnmatch_lines(["*ran (0, 1, 2, 3)"])


def test_so_many_seeds(pytester: pytest.Pytester) -> None:
    run(pytester, TEST, "--partway-seeds", "3", "-k", "good").stdout.fnmatch_lines(["*ran (0, 1, 2)"])


@pytest.mark.parametrize("options", [("--partway-seeds", "0"), ("--partway-seeds", "x"), ("--partway-seed", "x")])
def test_a_wrong_option(pytester: pytest.Pytester, options: tuple[str, str]) -> None:
    result = run(pytester, TEST, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*argument {options[0]}: *{options[1]}*"])


WORLD = """
def test_world(simulation):
    assert simulation.seed == {seed}
    assert {fine}
"""


def test_a_simulation_with_the_seed(pytester: pytest.Pytester) -> None:
    run(pytester, WORLD.format(seed=0, fine=True)).assert_outcomes(passed=1)
    run(pytester, WORLD.format(seed=12, fine=True), "--partway-seed", "12").assert_outcomes(passed=1)
    result = run(pytester, WORLD.format(seed=12, fine=False), "--partway-seed", "12")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*partway*", "seed 12; again: --partway-seed 12"])


def test_who_does_not_use_it_pays_nothing() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import partway.stress.pytest_plugin; "
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["partway", "partway.stress", "partway.stress.pytest_plugin"]
