"""Lines: one answer to each, and nothing that a peer sends between two of them keeps it in the table for nothing.

The base of every line protocol here, so what it promises is tested once: that it greets, that silence after a request
and silence before one are told apart, and that a line has a length that nobody can exceed.
"""

import pytest
from checker import check_machine
from partway.engine import CLOSE, IDLE, NEXT, Become, Cause, Limits, PeerError, Row, Want
from partway.protocols.echo import Echo
from partway.protocols.lines import Lines
from worlds import SEEDS, Rig

LIMITS = Limits(line_bytes=100)
IDLE_SECONDS = LIMITS.idle_seconds


class Shout(Lines):
    """Greets, answers in capitals, and knows some words besides."""

    def greet(self) -> bytes:
        return b"hello\n"

    def answer(self, line: bytes) -> Want:
        match line:
            case b"":
                return b""
            case b"silent":
                return NEXT
            case b"bye":
                return CLOSE
            case b"pieces":
                return b"PIE", b"CES\n"
            case b"echo":
                return Become(Echo(self.row))
            case b"mistake":
                raise PeerError("a mistake")
            case b"bug":
                raise RuntimeError("a bug")
        return line.upper() + b"\n"


class Mute(Lines):
    """Says nothing on its own account."""

    def answer(self, line: bytes) -> Want:
        return line + b"!"


def rig_of(seed: int = 1, limits: Limits = LIMITS) -> Rig:
    print(f"seed {seed}")
    return Rig(Shout, seed=seed, limits=limits)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_pieces_are_answered_the_same(seed: int) -> None:
    said = check_machine(Shout, b"one\r\ntwo\n\r\n\npieces\nsilent\nthree\n", trailing=b"four\nfi", seed=seed)
    assert said == b"hello\nONE\nTWO\nPIECES\nTHREE\n"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"a\nb\nc\n", b"A\nB\nC\n"),
        (b"a\r\n", b"A\n"),
        (b"a\rb\n", b"A\rB\n"),
        (b"a\n\0\n", b"A\n\0\n"),
        (b"a\xff\n", b"A\xff\n"),
        (b" a \n", b" A \n"),
    ],
)
def test_answers(said: bytes, heard: bytes) -> None:
    check_machine(Shout, said, expected=b"hello\n" + heard, seed=1)


def test_a_server_need_not_speak_first() -> None:
    check_machine(Mute, b"a\nb\n", expected=b"a!b!", seed=1)


def test_the_greeting_comes_before_anything_is_said() -> None:
    rig = rig_of()
    peer = rig.dial()
    rig.run(0.1)
    assert peer.heard() == b"hello\n"
    assert rig.states == ["IDLE"]
    assert rig.reactor.totals().requests == 0


def test_requests_are_counted() -> None:
    rig = rig_of()
    rig.dial().say(b"a\n\n\nsilent\nb\npieces\n")
    rig.run(0.1)
    assert rig.reactor.totals().requests == 4, "blank lines are no requests, a silent one is"


def test_an_unterminated_last_line_is_not_answered() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(b"a\nb")
    peer.half_close()
    rig.run(0.1)
    assert peer.heard() == b"hello\nA\n"
    assert peer.ended
    assert rig.ended == {str(Cause.CUT_SHORT): 1}


def test_a_last_line_with_its_end_is() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(b"a\nb\n")
    peer.half_close()
    rig.run(0.1)
    assert peer.heard() == b"hello\nA\nB\n"
    assert rig.ended == {str(Cause.DONE): 1}


@pytest.mark.parametrize("rest", [b"", b"\n", b"\r\n", b"xxx\n"])
def test_a_line_over_the_limit_is_refused(rest: bytes) -> None:
    rig = rig_of()
    peer, other = rig.dials(2)
    peer.say(b"a\n" + b"x" * LIMITS.line_bytes + rest)
    rig.run(0.1)
    assert peer.heard() == b"hello\nA\n"
    assert peer.ended and not peer.reset
    assert str(LIMITS.line_bytes) in str(rig.rows[0].reason)
    other.say(b"b\n")
    rig.run(6)
    assert other.heard() == b"hello\nB\n"
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_longest_line(end: bytes) -> None:
    rig = rig_of()
    peer = rig.dial()
    line = b"x" * (LIMITS.line_bytes - len(end))
    peer.say((line + end) * 3)
    rig.run(0.1)
    assert peer.heard() == b"hello\n" + (line.upper() + b"\n") * 3


def test_a_line_without_end_costs_no_memory() -> None:
    rig = rig_of(limits=Limits(line_bytes=100, receive_bytes=500))
    rig.dial().say(b"x" * 1_000_000)
    for _ in range(500):
        rig.reactor.step(0.01)
        assert rig.reactor.table.held <= 600


def test_blank_lines_do_not_keep_an_idle_row_alive() -> None:
    rig = rig_of()
    peer = rig.dial()
    start = rig.simulation.now()
    while not peer.ended:
        peer.say(b"\n\r\n")
        rig.run(0.5)
        assert peer.heard() in (b"hello\n", b"")
        assert rig.simulation.now() - start < 2 * IDLE_SECONDS
    assert rig.simulation.now() - start >= IDLE_SECONDS
    assert rig.ended == {str(Cause.IDLE_TOO_LONG): 1}


@pytest.mark.parametrize("line", [b"a\n", b"silent\n"])
def test_requests_do_even_silent_ones(line: bytes) -> None:
    rig = rig_of()
    peer = rig.dial()
    for _ in range(10):
        peer.say(line)
        rig.run(IDLE_SECONDS - 1)
    peer.heard()
    assert not peer.ended
    assert rig.reactor.totals().requests == 10


def test_a_line_that_drips_is_too_slow() -> None:
    rig = rig_of()
    peer = rig.dial()
    for _ in range(int(LIMITS.request_seconds) + 1):
        peer.say(b"x")
        rig.run(1)
    peer.heard()
    assert peer.ended
    assert rig.ended == {str(Cause.REQUEST_TOO_SLOW): 1}


def test_half_a_line_is_a_request_under_way() -> None:
    rig = rig_of()
    rig.dial().say(b"a\nb")
    rig.run(0.1)
    assert rig.states == ["READING"]


def test_bye() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(b"a\nbye\nb\n")
    rig.run(0.1)
    assert peer.heard() == b"hello\nA\n"
    assert peer.ended


def test_a_mistake_and_a_bug_end_their_rows_alone() -> None:
    rig = rig_of()
    mistaken, unlucky, other = rig.dials(3)
    mistaken.say(b"a\nmistake\n")
    unlucky.say(b"b\nbug\n")
    rig.run(0.1)
    other.say(b"c\n")
    rig.run(0.1)
    assert (mistaken.heard(), other.heard()) == (b"hello\nA\n", b"hello\nC\n")
    unlucky.heard()
    assert unlucky.reset
    assert mistaken.ended and not mistaken.reset
    rig.run(6)
    assert rig.ended == {str(Cause.PEER_ERROR): 1, str(Cause.MACHINE_ERROR): 1}
    assert rig.kinds() == ["machine error"]


def test_an_answer_may_be_another_machine() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(b"a\necho\n")
    rig.run(0.1)
    peer.say(b"b\n")
    rig.run(0.1)
    assert peer.heard() == b"hello\nA\nb\n"


def test_a_subclass_must_answer() -> None:
    rig = Rig(Lines)
    rig.dial().say(b"a\n")
    rig.run(0.1)
    assert rig.ended == {str(Cause.MACHINE_ERROR): 1}
    assert "NotImplementedError" in rig.notices[0].text


def test_one_line_a_step() -> None:
    rows: list[Row] = []

    def factory(row: Row) -> Mute:
        rows.append(row)
        return Mute(row)

    rig = Rig(factory, limits=Limits(quantum_bytes=1))
    peer = rig.dial()
    peer.say(b"a\n" * 50)
    rig.run(0.001)
    most = 0
    while rows[0].requests < 50:
        before = rows[0].sent
        rig.reactor.step(1)
        most = max(most, rows[0].sent - before)
    assert most == len(b"a!")
    assert rows[0].machine.step() is IDLE
