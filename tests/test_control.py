"""The operator's door: what it says of the table, what it can end, and that nobody pays for it.

It looks at the whole table and so is the one place where a careless server stalls: a list of five thousand rows must
come in pieces, between which everybody else is served. What it prints is read by line, so nothing that a peer or a
file name can choose may make a line of its own.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from partway.engine import IDLE, Cause, Limits, Row, Want
from partway.engine.simulation import Peer
from partway.protocols.control import COLUMNS, ROWS_A_PIECE, Control, line_of
from partway.protocols.echo import Echo
from partway.protocols.http import Server
from partway.protocols.http.folder import Folder
from worlds import SEEDS, Rig


class Desk:
    """An echo server and an operator."""

    def __init__(self, seed: int = 1, limits: Limits | None = None, factory: Any = Echo, **options: Any) -> None:
        print(f"seed {seed}")
        self.rig = Rig(factory, seed=seed, limits=limits, **options)
        own = replace(limits or Limits(), idle_seconds=float("inf"))
        self.rig.reactor.listen("control:1", Control(self.rig.reactor), own)
        self.operator = self.enter()

    def enter(self) -> Peer:
        operator = self.rig.simulation.dial("control:1")
        self.rig.run(0.1)
        return operator

    def ask(self, *lines: str) -> list[str]:
        self.operator.say("".join(line + "\n" for line in lines).encode())
        self.rig.run(0.1)
        return self.operator.heard().decode().splitlines()


def test_rows() -> None:
    desk = Desk()
    peer = desk.rig.dial()
    peer.say(b"12345")
    desk.rig.run(0.5)
    told = desk.ask("rows")
    assert told[0] == COLUMNS
    assert told[-1] == "."
    fields = [line.split(" ", 11) for line in told[1:-1]]
    assert [len(line) for line in fields] == [12, 12] == [len(COLUMNS.split())] * 2
    key, state, age, due, received, sent, held, requests, interest, where, listener, machine = fields[1]
    assert (key, state, received, sent, held, requests) == ("2", "IDLE", "5", "5", "0", "0")
    assert (interest, where, listener, machine) == ("r", "client:49154", "server:7", "Echo")
    assert 0.4 <= float(age) <= 0.7 and 14 <= float(due) <= 15
    assert fields[0][11] == "Operator"


def test_rows_of_an_empty_table_but_the_operator() -> None:
    assert len(Desk().ask("rows")) == 3


def test_stats() -> None:
    desk = Desk()
    gone, _ = desk.rig.dials(2)
    gone.say(b"123")
    desk.rig.run(0.1)
    gone.abort()
    desk.rig.run(0.1)
    told = desk.ask("stats")
    assert told[-1] == "."
    stats = dict(line.split(" ") for line in told[:-1])
    assert stats["rows"] == "2" and stats["accepted"] == "3"
    assert stats["states.IDLE"] == "2"
    assert stats[f"ended.{Cause.PEER_LOST.replace(' ', '-')}"] == "1"
    assert int(stats["received"]) == 3 + len("stats\n")
    assert all(value.isdigit() for value in stats.values())


def test_kill() -> None:
    desk = Desk()
    victim, other = desk.rig.dials(2)
    desk.rig.run(0.1)
    key = next(row.key for row in desk.rig.rows if row.peer == victim.where)
    assert desk.ask(f"kill {key}") == ["killed"]
    victim.heard()
    other.say(b"x")
    desk.rig.run(0.1)
    assert victim.reset and other.heard() == b"x"
    assert desk.rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}
    assert desk.ask(f"kill {key}") == ["no such row"]


@pytest.mark.parametrize("key", ["", "x", "-1", "99", "2 3", "1.0", "²", "9" * 5000, "0x2"])
def test_kill_nobody(key: str) -> None:
    desk = Desk()
    desk.rig.dial()
    assert desk.ask(f"kill {key}") == ["no such row"]
    assert len(desk.ask("rows")) == 4
    assert desk.rig.notices == []


def test_an_operator_may_end_itself() -> None:
    desk = Desk()
    desk.operator.say(b"kill 1\n")
    desk.rig.run(0.1)
    desk.operator.heard()
    assert desk.operator.reset
    assert desk.rig.notices == [] and not desk.rig.rows
    assert desk.rig.ended == {str(Cause.CLOSED_BY_PROGRAM): 1}


def test_drain() -> None:
    desk = Desk()
    idle = desk.rig.dial()
    desk.rig.run(0.1)
    assert desk.ask("drain") == ["draining"]
    assert desk.operator.ended and not desk.operator.reset
    idle.heard()
    assert idle.ended
    assert desk.rig.reactor.draining
    late = desk.rig.dial()
    desk.rig.run(0.1)
    late.heard()
    assert late.refused


@pytest.mark.parametrize("line", ["help", "rowss", "Rows", "\x1b[A", "drain now"[:4], "\xff"])
def test_an_unknown_command(line: str) -> None:
    assert Desk().ask(line) == ["commands: rows, stats, kill KEY, drain"]


@pytest.mark.parametrize("line", ["", "  ", "\r", "\t"])
def test_a_blank_line(line: str) -> None:
    assert Desk().ask(line, "kill 99") == ["no such row"]


def test_commands_in_one_write_are_answered_in_order() -> None:
    desk = Desk()
    desk.rig.dials(100)
    desk.rig.run(0.1)
    told = desk.ask("rows", "kill 99999", "rows", "kill 99999")
    assert len(told) == 2 * (1 + 101 + 1 + 1)
    assert told[103] == told[-1] == "no such row"


def test_any_pieces() -> None:
    desk = Desk()
    for letter in "kill 99\r\n":
        desk.operator.say(letter.encode())
        desk.rig.run(0.01)
    assert desk.operator.heard() == b"no such row\n"


def test_the_operators_door_has_its_own_patience() -> None:
    desk = Desk()
    desk.rig.run(3600)
    assert desk.ask("kill 99") == ["no such row"]


def test_rows_that_end_while_they_are_listed() -> None:
    desk = Desk(capacity_bytes=4000)
    peers = desk.rig.dials(500)
    desk.rig.run(0.1)
    desk.operator.say(b"rows\n")
    desk.rig.run(0.01)
    there = {row.key for row in desk.rig.rows}
    for peer in peers[::2]:
        peer.abort()
    desk.rig.dials(10)
    desk.rig.run(0.01)
    left = {row.key for row in desk.rig.rows} & there
    heard = bytearray()
    while not heard.endswith(b"\n.\n"):
        heard += desk.operator.heard()
        desk.rig.run(0.01)
    keys = [int(line.split()[0]) for line in heard.decode().splitlines()[1:-1]]
    assert keys == sorted(set(keys))
    assert left <= set(keys) < there, "those who have come since, or gone before their line was made, are not listed"
    assert desk.rig.notices == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_list_comes_in_pieces_and_starves_nobody(seed: int) -> None:
    rows = 5000
    desk = Desk(seed, capacity_bytes=1 << 30, limits=Limits(idle_seconds=1e6))
    rig = desk.rig
    rig.dials(rows)
    rig.run(1)
    client = rig.dial()
    rig.run(0.1)
    assert len(rig.rows) == rows + 2
    operator = rig.rows[0]
    desk.operator.say(b"rows\n")
    said, listed = b"", 0
    turns, asked, answered = 0, 0, 0
    while not said.endswith(b"\n.\n"):
        if asked == answered:
            client.say(b"x")
            asked += 1
        before = operator.sent
        rig.reactor.step(0.001)
        turns += operator.sent > before
        assert operator.sent - before <= 8 * ROWS_A_PIECE * 100, "too many rows in one turn"
        said = desk.operator.heard()
        listed += said.count(b"\n")
        answered += len(client.heard())
    assert listed == rows + 2 + 2
    assert turns >= rows / ROWS_A_PIECE / 8
    assert answered >= 5, "an echo had to wait for the list"


class Awkward:
    """Describes itself in two lines, and steers a terminal."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def feed(self, data: bytes) -> None:
        """Forget it."""

    def step(self) -> Want:
        return IDLE

    def describe(self) -> str:
        return "one\n. two\r\x1b[2J\x9b three\u2028"


def test_a_description_makes_no_line_and_steers_no_terminal() -> None:
    desk = Desk(factory=Awkward)
    desk.rig.dial()
    desk.rig.run(0.1)
    desk.operator.say(b"rows\n")
    desk.rig.run(0.1)
    said = desk.operator.heard().decode()
    assert said.count("\n") == 4
    assert all(letter == "\n" or letter.isprintable() for letter in said)


def test_a_file_name_makes_no_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb\x1b[2J").write_bytes(bytes(300_000))
    desk = Desk(factory=Server(Folder(str(tmp_path))))
    desk.rig.dial().say(b"GET /a%0ab%1b[2J HTTP/1.1\r\nHost: a\r\n\r\n")
    desk.rig.run(0.1)
    told = desk.ask("rows")
    desk.rig.reactor.close()
    assert len(told) == 4
    assert "\x1b" not in told[2]


def test_a_peers_own_path_makes_no_line() -> None:
    desk = Desk()
    desk.rig.dial()
    desk.rig.run(0.1)
    desk.rig.rows[1].peer = "/tmp/a\nb\x1b[2J"  # where a UNIX socket's client has bound itself
    told = desk.ask("rows")
    assert len(told) == 4
    assert "\x1b" not in told[2]


def test_an_operator_that_ends_its_side_gets_the_whole_list() -> None:
    """As `echo rows | socat - UNIX:control` does."""
    desk = Desk(capacity_bytes=4000)
    desk.rig.dials(500)
    desk.rig.run(0.1)
    desk.operator.say(b"rows\nkill 9999\n")
    desk.operator.half_close()
    heard = bytearray()
    while not desk.operator.ended:
        heard += desk.operator.heard()
        desk.rig.run(0.01)
    assert heard.count(b"\n") == 1 + 501 + 1 + 1
    assert heard.endswith(b"\n.\nno such row\n")


def test_a_deadline_that_has_passed_is_not_negative() -> None:
    desk = Desk()
    desk.rig.dial()
    desk.rig.run(0.1)
    report = next(iter(desk.rig.reactor.rows()))
    assert line_of(report._replace(deadline_in=-0.3)).split()[3] == "0.0"
