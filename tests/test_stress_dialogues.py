"""The dialogues of the simulation's clients: each finds what is wrong, and no more; every edge of the engine is met."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from partway.engine import CLOSE, Cause, Notice, Reactor, Reason, Row
from partway.engine.row import EVENTS, STATES, TRANSITIONS
from partway.engine.simulation import Simulation
from partway.protocols import chat, control, forward
from partway.stress.clients.chat import Chat, Record, said_by
from partway.stress.clients.control import HEADER, Operate
from partway.stress.clients.dialogue import Dialogue, WrongError
from partway.stress.clients.script import TEXT, Program, Script, words_of
from partway.stress.clients.unheard import Unheard
from partway.stress.simulate.broken import BrokenError
from partway.stress.simulate.case import draw
from partway.stress.simulate.edges import Edges
from partway.stress.simulate.scripted import ContractError, Scripted
from partway.stress.simulate.served import is_deliberate
from partway.stress.simulate.stage import Stage
from partway.stress.simulate.verbs import SMALL_QUANTUM
from partway.stress.simulate.world import run

SEEDS = 30
EDGE_SEEDS_MOST = 200  # the rarest edge is met in one of fifty
OTHERS = ("script", "chat", "control", "forward")


def wrong(dialogue: Dialogue, data: bytes, why: str) -> None:
    with pytest.raises(WrongError, match=why):
        dialogue.hear(data)


# Whole runs.


@pytest.mark.parametrize("protocol", OTHERS)
def test_seeds_run_clean(protocol: str) -> None:
    requests = sum(run(draw(seed, [protocol])).requests for seed in range(SEEDS))
    assert requests > 500


def test_script_meets_every_edge() -> None:
    legal = {(state, event) for state, events in TRANSITIONS.items() for event in events}
    with Edges().counted() as edges:
        for seed in range(EDGE_SEEDS_MOST):
            run(draw(seed, ["script"]))
            if not legal - set(edges.met):
                return
    missed = [f"{STATES[state]} {EVENTS[event]}" for state, event in legal - set(edges.met)]
    raise AssertionError(f"never met: {missed}")


def found_within(protocol: str, seeds: int, kind: str | None = None) -> str:
    """Run seeds until one is broken, and return by what; with clients of one kind alone where it is given."""
    for seed in range(seeds):
        case = draw(seed, [protocol])
        try:
            run(case.without([replace(one, kind=kind or one.kind) for one in case.crowd]))
        except BrokenError as error:
            return str(error)
    raise AssertionError("nobody has noticed")


def test_a_member_who_is_not_woken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    say = chat.Room.say

    def say_to_all_but_the_last(room: chat.Room, author: int, text: str, most: int) -> None:
        if room.waiting and not author and "knock" in text:
            room.waiting.popitem()
        say(room, author, text, most)

    monkeypatch.setattr(chat.Room, "say", say_to_all_but_the_last)
    assert "has not got all" in found_within("chat", 10)


def test_a_member_who_hears_himself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    say = chat.Room.say
    monkeypatch.setattr(chat.Room, "say", lambda room, author, text, most: say(room, 0, text, most))
    assert "has said" in found_within("chat", 10)


def test_a_message_that_is_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    say = chat.Room.say

    def say_mostly(room: chat.Room, author: int, text: str, most: int) -> None:
        if not (author and room.said % 7 == 0):
            say(room, author, text, most)

    monkeypatch.setattr(chat.Room, "say", say_mostly)
    found_within("chat", 10)


def test_a_count_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    line_of = control.line_of
    monkeypatch.setattr(control, "line_of", lambda report: line_of(report._replace(sent=report.sent + 1)))
    assert "the server says" in found_within("control", 10)


def test_totals_that_are_wrong_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = Reactor.totals
    monkeypatch.setattr(Reactor, "totals", lambda reactor: totals(reactor)._replace(rows=totals(reactor).rows + 1))
    assert "sums that don't agree" in found_within("control", 10)


def test_a_tunnel_that_does_not_pass_the_end_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    step = forward.Half.step

    def step_without_end(half: forward.Half) -> Any:
        partner = half.partner
        if partner is not None and partner.peer_ended and not half.half_closed and not len(partner.inbox):
            return CLOSE
        return step(half)

    monkeypatch.setattr(forward.Half, "step", step_without_end)
    assert "has not got all" in found_within("forward", 10, "half-close")


def test_a_tunnel_that_loses_a_byte_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = forward.Half.feed
    monkeypatch.setattr(forward.Half, "feed", lambda half, data: feed(half, data[1:] if len(data) > 100 else data))
    assert "nobody owes it" in found_within("forward", 20)


# Script.


def script(owed: bytes, *, welcome: bytes = b"", causes: tuple[Cause, ...] = ()) -> Script:
    """A dialogue that has asked for two answers of these bytes each, or for a violent end."""
    dialogue = Script(Random(1))
    dialogue.exchange = lambda: (b"said\n", owed)  # type: ignore[method-assign]
    dialogue.ask()
    dialogue.ask()
    dialogue.welcome = welcome
    dialogue.causes.update(causes)
    return dialogue


def test_script_right_answers() -> None:
    dialogue = script(b"abc")
    for letter in b"abcab":
        dialogue.hear(bytes((letter,)))
    assert dialogue.answered == 1
    dialogue.hear(b"c")
    assert dialogue.answered == dialogue.asked == 2
    script(b"abc").hear(b"abcabc" + words_of(Cause.IDLE_TOO_LONG))
    script(b"", welcome=b"xyz").hear(b"xy")
    violent = script(b"", welcome=b"xyz", causes=(Cause.MACHINE_ERROR,))
    violent.hear(words_of(Cause.MACHINE_ERROR)[:5])
    violent.hear(words_of(Cause.MACHINE_ERROR)[5:])


def test_script_wrong_answers() -> None:
    wrong(script(b"abc"), b"abx", "owed")
    wrong(script(b"abc"), b"abcabcx", "welcome")
    wrong(script(b"", welcome=b"xyz"), b"xz", "welcome")
    wrong(script(b"", welcome=b"xyz"), b"xyzx", "welcome")


@pytest.mark.parametrize("before", [b"a", b"abcab"])
def test_script_words_in_the_middle(before: bytes) -> None:
    wrong(script(b"abc"), before + words_of(Cause.IDLE_TOO_LONG), "in the middle")


def test_script_words_in_the_middle_of_what_is_welcome() -> None:
    wrong(script(b"", welcome=b"xyz"), b"x" + words_of(Cause.IDLE_TOO_LONG), "in the middle")


@pytest.mark.parametrize("cause", [Cause.MACHINE_ERROR, Cause.PEER_ERROR, Cause.ANSWER_TOO_SLOW, Cause.DONE])
def test_script_words_without_a_reason(cause: Cause) -> None:
    wrong(script(b"abc"), words_of(cause), "nobody has a reason")


def test_script_nothing_follows_words() -> None:
    dialogue = script(b"abc")
    dialogue.hear(words_of(Cause.IDLE_TOO_LONG))
    wrong(dialogue, b"abc", "nobody has a reason")


def test_script_resets_nothing_that_is_owed() -> None:
    """While an answer is on its way, the end that a program asks for is an orderly one, and all of it stays owed."""
    for seed in range(300):
        dialogue = Script(Random(seed))
        dialogue.owed += b"x"
        dialogue.ends.append(1)
        while not dialogue.last:
            said = dialogue.ask()
        verbs = said.partition(b"\n")[0]
        assert verbs.endswith((b"close", b"half")) and not dialogue.welcome and dialogue.answered < dialogue.asked


def test_program_owes_what_its_verbs_say() -> None:
    """What the dialogue owes is what the machine answers, verb by verb, in a world without faults."""
    for seed in range(200):
        program = Program(Random(seed))
        for _ in range(5):
            program.move()
        simulation = Simulation(seed)
        reactor = Reactor(simulation)
        stage = Stage(reactor)
        reactor.listen("server:7", partial(Scripted, stage=stage))
        peer = simulation.dial("server:7")
        peer.say(program.said())
        heard = b""
        for _ in range(100):
            simulation.run(reactor, 0.1)
            heard += peer.heard()
            if len(heard) >= len(program.owed) and simulation.quiet():
                break
        assert heard == program.owed, seed
        reactor.close()
        stage.file.close()


class Rig:
    """A scripted machine on a reactor, and a peer that tells it what to do."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.simulation = Simulation(1)
        self.reactor = Reactor(self.simulation, observer=self.notices.append)
        self.stage = Stage(self.reactor)
        self.reactor.listen("server:7", lambda row: Scripted(row, self.stage))
        self.peer = self.simulation.dial("server:7")
        self.run()

    def run(self, seconds: float = 0.1) -> None:
        self.simulation.run(self.reactor, seconds)

    def tell(self, program: bytes) -> bytes:
        self.peer.say(program + b"\n")
        self.run()
        return self.peer.heard()

    @property
    def row(self) -> Row:
        return next(iter(self.stage.rows.values()))

    @property
    def machine(self) -> Scripted:
        machine = self.row.machine
        assert isinstance(machine, Scripted)
        return machine

    def close(self) -> None:
        self.reactor.close()
        self.stage.file.close()


@pytest.fixture
def rig() -> Any:
    rig = Rig()
    yield rig
    rig.close()


FAREWELLS: list[tuple[bytes, Cause, bytes]] = [
    (b"close", Cause.DONE, b""),
    (b"abort", Cause.ABORTED, b""),
    (b"mistake", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    (b"bytes:1:0 mistake", Cause.PEER_ERROR, TEXT[:1]),
    (b"bug", Cause.MACHINE_ERROR, words_of(Cause.MACHINE_ERROR)),
    (b"nonsense", Cause.MACHINE_ERROR, words_of(Cause.MACHINE_ERROR)),
    (b"spoil:1 bug", Cause.MACHINE_ERROR, b""),
    (b"spoil:2 abort", Cause.ABORTED, b""),
    (b"pause:0:1 illegal", Cause.ILLEGAL, b""),
    (b"killed:10:1 never", Cause.CLOSED_BY_PROGRAM, b""),
    (b"cut:10", Cause.FILE_CUT_SHORT, b""),
    (b"gone:10", Cause.FILE_CUT_SHORT, b""),
    (b"half bytes:10:0", Cause.PEER_LOST, b""),
    (b"unknown", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    (b"bytes:1", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    (b"bytes:x:0", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    (b"bytes:1:99999999", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    (b"poke:501", Cause.PEER_ERROR, words_of(Cause.PEER_ERROR)),
    *((b"own:%d:%d" % (then % 2, then), Cause.CLOSED_BY_PROGRAM, b"") for then in range(15)),
]


@pytest.mark.parametrize(("program", "cause", "words"), FAREWELLS, ids=lambda value: str(value)[:24])
def test_script_farewells(rig: Rig, program: bytes, cause: Cause, words: bytes) -> None:
    assert rig.tell(program) == words
    rig.peer.close()
    rig.run(10)
    assert rig.reactor.totals().ended == {cause: 1}
    assert all(is_deliberate(notice) for notice in rig.notices)


def test_a_bug_in_feed_is_deliberate(rig: Rig) -> None:
    assert rig.tell(b"spoil:0 next") == b""
    rig.peer.half_close()
    rig.run()
    assert rig.peer.heard() == words_of(Cause.MACHINE_ERROR)
    assert [is_deliberate(notice) for notice in rig.notices] == [True]


def test_other_bugs_are_not_deliberate(rig: Rig) -> None:
    assert not is_deliberate(Notice("machine error", "DeliberateError\n...\nKeyError: 'a second failure'\n"))
    rig.machine.step = lambda: 1 // 0  # type: ignore[assignment, method-assign, return-value]
    rig.tell(b"next")
    assert [is_deliberate(notice) for notice in rig.notices] == [False]


def test_a_machine_that_waits_for_ever_is_refused(rig: Rig) -> None:
    assert rig.tell(b"never") == b""
    rig.run(301)
    assert rig.peer.heard() == words_of(Cause.WAITED_TOO_LONG)


# The machine's own view of the contract: each check of it fails where the engine does something else.


def test_contract_of_feed(rig: Rig) -> None:
    rig.tell(b"never")
    with pytest.raises(ContractError, match="out of turn"):
        rig.machine.feed(b"x")
    rig.machine.reads_ahead = True
    rig.machine.feed(b"x" * rig.row.limits.receive_bytes)
    with pytest.raises(ContractError, match="out of turn"):
        rig.machine.feed(b"x")
    rig.machine.lines.inbox.take()
    rig.machine.feed(b"")
    with pytest.raises(ContractError, match="out of turn"):
        rig.machine.feed(b"")


def test_contract_of_step_and_refuse(rig: Rig) -> None:
    rig.row.output = memoryview(b"x")
    with pytest.raises(ContractError, match="pending"):
        rig.machine.step()
    with pytest.raises(ContractError, match="pending"):
        rig.machine.refuse(Reason(Cause.DONE))
    rig.row.output = None


def test_contract_of_ended(rig: Rig) -> None:
    machine = rig.machine
    machine.fate = Cause.ABORTED
    with pytest.raises(ContractError, match="expected"):
        machine.ended(Reason(Cause.DONE))
    machine.fate = None
    machine.over = True
    for call in (machine.step, lambda: machine.feed(b"x"), lambda: machine.ended(Reason(Cause.DONE))):
        with pytest.raises(ContractError):
            call()
    with pytest.raises(ContractError):
        machine.refuse(Reason(Cause.DONE))
    machine.over = False


def test_contract_of_the_table(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.stage.report()
    rig.row.held += 1
    with pytest.raises(ContractError, match="hold"):
        rig.stage.report()
    rig.row.held -= 1
    totals = rig.reactor.totals()
    monkeypatch.setattr(Reactor, "totals", lambda reactor: totals._replace(rows=2))
    with pytest.raises(ContractError, match="listed"):
        rig.stage.report()


def test_an_old_machine_hears_nothing_more(rig: Rig) -> None:
    old = rig.machine
    assert rig.tell(b"become:1 bytes:3:0") == TEXT[:3]
    assert old.over and rig.machine is not old
    assert rig.row.limits.quantum_bytes == SMALL_QUANTUM
    with pytest.raises(ContractError):
        old.step()


def test_remaining_counts_what_is_left(rig: Rig) -> None:
    machine = rig.machine
    assert machine.remaining() is None
    machine.program = b"bytes:10:0 many:3:100:5 file:1:1 next nobody:7 echo:0:50 bytes:x:0".split()
    assert machine.remaining() == 10 + 300 + 1


def test_unheard_is_owed_nothing() -> None:
    dialogue = Unheard(Random(1))
    assert dialogue.ask()
    assert dialogue.asked == dialogue.answered == 1
    wrong(dialogue, b"x", "owed")


# Chat.

ME, OTHER = 7, 8
GREETING = b"* You are guest1, one of 2. /name NAME, /who, /quit\n"


def member(record: Record | None = None) -> Chat:
    """Somebody who was greeted, in a room where A8 has said three things, and one under another name."""
    record = record or Record()
    for number in range(3):
        record.said[OTHER, number] = said_by(OTHER, number, 0, number == 1)
    record.said[ME, 0] = said_by(ME, 0, 0, False)
    record.said[OTHER, 4] = said_by(OTHER, 4, 1, False)
    dialogue = Chat(Random(1), ME, record, talks=0.0)
    dialogue.hear(GREETING)
    return dialogue


def said(number: int, author: int = OTHER, name: str = "guest2", names: int = 0) -> bytes:
    return f"{name}: {said_by(author, number, names, number == 1)}\n".encode()


def asking(what: Callable[[bytes], bool]) -> tuple[Chat, bytes]:
    """A member who has asked for something."""
    for seed in range(1000):
        dialogue = member()
        dialogue.random = Random(seed)
        request = dialogue.ask()
        if what(request):
            return dialogue, request
    raise AssertionError("never asked")


def test_chat_right_news() -> None:
    dialogue = member()
    dialogue.hear(b"* guest2 has come\n" + said(0) + said(1) + b"* guest2 is now n8x1\n* the 4th kn")
    dialogue.hear(b"ock was A8 1\n* n8x1 has gone\n* guest3 has come\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (said(0) + said(2), "and 1 was due"),
        (said(1) + said(0), "and 2 was due"),
        (said(0) + said(0), "and 1 was due"),
        (b"* guest2 has come\n" + said(1), "and 0 was due"),
        (b"* guest2 has come\n* guest2 is now n8x1\n" + said(4, name="n8x1", names=1), "and 0 was due"),
        (said(0)[:-10] + b"\n", "nobody else has said"),
        (said(0)[:-9] + b"zz\n", "nobody else has said"),
        (said(0, author=ME), "nobody else has said"),
        (said(3), "nobody else has said"),
        (said(0, name="n8x1"), "under another name"),
        (b"* guest2 has gone\n" + said(0), "has gone"),
        (b"* guest2 has gone\n* guest2 has come\n", "has gone"),
        (b"* guest2 has gone\n* guest2 has gone\n", "has gone"),
        (b"* guest2 is now n8x1\n" + said(0), "has gone"),
        (b"* guest2 is now n8x1\n* guest3 is now guest2\n", "has gone"),
        (b"* guest1 has gone\n", "it is I"),
        (b"* guest1 is now n7x1\n", "it is I"),
        (b"* the 1th knock was A8 1\n* the 3th knock was A8 1\n", "was answered after"),
        (b"* the 1th knock was A8 0\n", "has not knocked"),
        (b"* the 1th knock was A7 0\n", "has not knocked"),
        (b"* you are now n7x1\n", "nobody owes"),
        (b"* guest2\n", "nobody owes"),
        (b"* /name NAME, /who, /quit\n", "nobody owes"),
        (b"\xff\n", "cut within a letter"),
        (b"\n", "nobody owes"),
    ],
)
def test_chat_wrong_news(data: bytes, why: str) -> None:
    wrong(member(), data, why)


def test_chat_greeting_comes_first_and_once() -> None:
    wrong(Chat(Random(1), ME, Record(), 0.0), said(0), "nobody owes")
    wrong(member(), GREETING, "nobody owes")


def test_chat_name() -> None:
    dialogue, _ = asking(lambda request: request == b"/name n7x1\n")
    dialogue.hear(b"* guest2 has come\n* you are now n7x1\n")
    assert dialogue.answered == 1 and dialogue.name == "n7x1"
    wrong(dialogue, b"* n7x1 has come\n", "it is I")


WHO_LIST = b"* guest1\n* guest2\n"
HELP = b"* /name NAME, /who, /quit\n"


def test_chat_list() -> None:
    dialogue, _ = asking(lambda request: request.startswith(b"/who"))
    dialogue.hear(b"* guest2 has come\n" + WHO_LIST + said(0))
    assert dialogue.answered == 0
    dialogue.hear(HELP)
    assert dialogue.answered == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (HELP, "I am guest1"),
        (b"* guest2\n" + HELP, "I am guest1"),
        (b"* guest1\n* guest1\n" + HELP, "I am guest1"),
        (b"* guest1\n* guest2\n* guest2\n" + HELP, "I am guest1"),
        (b"* guest1\n" + said(0) + b"* guest2\n", "after the list"),
        (b"* guest2 has gone\n* guest1\n* guest2\n", "has gone"),
    ],
)
def test_chat_wrong_list(data: bytes, why: str) -> None:
    dialogue, _ = asking(lambda request: request.startswith(b"/who"))
    wrong(dialogue, data, why)


def test_chat_knock_is_answered_once() -> None:
    dialogue = member()
    dialogue.talks = 1.0
    while not dialogue.knocks:
        dialogue.ask()
    number = next(iter(dialogue.knocks))
    dialogue.hear(b"* the 1th knock was A7 %d\n" % number)
    assert dialogue.answered == 1
    wrong(dialogue, b"* the 2th knock was A7 %d\n" % number, "twice")


def test_chat_quits_when_nothing_is_owed() -> None:
    dialogue, _ = asking(lambda request: request == b"/quit\n")
    assert dialogue.last and dialogue.asked == dialogue.answered == 1


# Control.

PEER = "client:1"


def operator(said: bytes, answer: str, before: int = 0) -> Operate:
    """Somebody who has said one command, after others that were answered."""
    dialogue = Operate(Random(1), PEER)
    while True:
        copy = Operate(dialogue.random, PEER)
        copy.commands = before
        request = copy.ask()
        if request == said + b"\n":
            assert copy.expected[0].answer == answer
            return copy


def row_line(key: int, peer: str = PEER, received: int = 5, sent: int = len(HEADER) + 1, requests: int = 0) -> str:
    return f"{key} IDLE 1.0 14.0 {received} {sent} 0 {requests} r {peer} server:7 Operator"


def listing(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, ".")).encode() + b"\n"


def test_control_right_rows() -> None:
    dialogue = operator(b"rows", "rows", before=2)
    data = listing(row_line(1, "client:9", received=77), row_line(4, requests=2), row_line(5, "unix:"))
    dialogue.hear(data[:30])
    dialogue.hear(data[30:])
    assert dialogue.answered == 1 and dialogue.key == 4
    for seed in range(200):
        dialogue.random = Random(seed)
        if (request := dialogue.ask()).startswith(b"kill 4"):
            assert request == b"kill 4\n" and dialogue.last
            return
        dialogue.expected.clear()
    raise AssertionError("never")


def test_control_a_piece_counts_what_went_before() -> None:
    others = [row_line(key, "client:9") for key in range(1, 65)]
    before = sum(len(line) + 1 for line in (HEADER, *others))
    operator(b"rows", "rows").hear(listing(*others, row_line(70, sent=before)))
    wrong(operator(b"rows", "rows"), listing(*others, row_line(70)), "the server says")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (listing(row_line(1))[4:], "no header"),
        (listing(), "0 rows are mine"),
        (listing(row_line(1), row_line(2)), "2 rows are mine"),
        (listing(row_line(2), row_line(1, "client:9")), "keys"),
        (listing(row_line(2), row_line(2, "client:9")), "keys"),
        (listing(row_line(1, received=4)), "the server says"),
        (listing(row_line(1, received=6)), "the server says"),
        (listing(row_line(1, sent=0)), "the server says"),
        (listing(row_line(1, requests=1)), "the server says"),
        (listing(row_line(1).replace("IDLE", "IDLING")), "no row"),
        (listing(row_line(1).replace(" r ", " x ")), "no row"),
        (listing(row_line(1).replace("1.0", "-1.0")), "a negative time"),
        (listing(row_line(1).replace("14.0", "-1.0")), "a negative time"),
        (listing("x" + row_line(1)), "no number"),
        (listing("1 IDLE"), "no row"),
        (listing(row_line(1)) + b".\n", "nobody has asked"),
    ],
)
def test_control_wrong_rows(data: bytes, why: str) -> None:
    wrong(operator(b"rows", "rows"), data, why)


TOTALS = {
    "rows": 2,
    "rows_max": 10,
    "states.IDLE": 1,
    "states.WRITING": 1,
    "queued": 0,
    "calls": 0,
    "calls_waiting": 0,
    "alarms": 1,
    "held": 0,
    "kept": 0,
    "accepted": 5,
    "connected": 0,
    "ended.done": 3,
    "requests": 7,
    "received": 100,
    "sent": 100,
    "turns": 9,
    "datagrams_received": 2,
    "datagrams_sent": 1,
}


def totals(**changed: int | None) -> bytes:
    numbers = TOTALS | {name.replace("__", "."): number for name, number in changed.items()}
    return "".join(f"{name} {number}\n" for name, number in numbers.items() if number is not None).encode() + b".\n"


def test_control_right_totals() -> None:
    dialogue = operator(b"stats", "stats", before=7)
    dialogue.hear(totals())
    assert dialogue.answered == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"rows": 3}, "agree"),
        ({"states__IDLE": 2}, "agree"),
        ({"accepted": 6}, "agree"),
        ({"ended__done": 2}, "agree"),
        ({"rows_max": 1}, "agree"),
        ({"kept": None}, "not the names"),
        ({"more": 1}, "no total"),
        ({"requests": 6}, "my own"),
        ({"received": 5}, "my own"),
        ({"turns": -1}, "no number"),
    ],
    ids=str,
)
def test_control_wrong_totals(changed: dict[str, int | None], why: str) -> None:
    wrong(operator(b"stats", "stats", before=7), totals(**changed), why)


def test_control_totals_do_not_shrink() -> None:
    for name in ("accepted", "connected", "requests", "received", "sent", "turns", "datagrams_sent", "ended.done"):
        dialogue = operator(b"stats", "stats")
        dialogue.totals = {name: TOTALS[name] + 1}
        wrong(dialogue, totals(), "less than before")
    dialogue = operator(b"stats", "stats")
    dialogue.totals = {"held": 99}
    dialogue.hear(totals())


def test_control_totals_come_once() -> None:
    wrong(operator(b"stats", "stats"), totals().replace(b"kept 0\n", b"kept 0\nkept 0\n"), "no total")


def test_control_totals_count_what_was_heard() -> None:
    dialogue = operator(b"stats", "stats")
    dialogue.heard = 101
    wrong(dialogue, totals(), "my own")


def test_control_short_answers() -> None:
    operator(b"kill", "no such row").hear(b"no such row\n")
    wrong(operator(b"kill", "no such row"), b"killed\n", "owed")
    wrong(Operate(Random(1), PEER), b"no such row\n", "nobody has asked")
