"""The table as data: what an operator reads is true, and reading it changes nothing."""

import pytest
from partway.engine import CLOSE, IDLE, PARK, READ, Limits, RowReport, Wait, Want
from partway.engine.platform import PEER_ENDED, READABLE, WRITABLE
from partway.engine.report import show_mask, show_where
from worlds import Acting, Acts, Rig, echo, script


def test_a_row_as_data() -> None:
    rig = Rig(Acts(echo), limits=Limits(idle_seconds=15))
    client = rig.dial()
    client.say(b"hello")
    rig.run(5.0)
    rig.simulation.after(0, lambda: None)
    rig.reactor.step(0)
    (row,) = rig.reactor.rows()
    assert row.key == rig.reactor.keys()[0]
    assert row.listener == "server:7"
    assert row.peer == f"client:{client.where[1]}"
    assert row.state == "IDLE"
    assert row.age == pytest.approx(5.0, abs=0.1)
    assert row.deadline_in == pytest.approx(10.0, abs=0.1)
    assert (row.received, row.sent, row.requests) == (5, 5, 0)
    assert (row.held, row.to_send, row.interest) == (0, 0, "r")
    assert row.machine == "Acting"
    assert rig.reactor.row(row.key) == row
    assert rig.reactor.row(12345) is None


@pytest.mark.parametrize(
    ("wants", "state", "interest", "deadline"),
    [
        ((IDLE,), "IDLE", "r", True),
        ((READ,), "READING", "r", True),
        ((PARK,), "WAITING", "e", True),
        ((Wait(7),), "WAITING", "e", True),
        ((b"x" * 1_000_000,), "WRITING", "w", True),
        (((b"x" * 500_000, b"y" * 500_000),), "WRITING", "w", True),
        ((CLOSE,), "LINGERING", "r", True),
    ],
)
def test_each_state_in_a_report(wants: tuple[Want, ...], state: str, interest: str, deadline: bool) -> None:
    rig = Rig(script(*wants))
    rig.dial()
    rig.run(1.0)
    (row,) = rig.reactor.rows()
    assert (row.state, row.interest) == (state, interest)
    assert (row.deadline_in is not None) == deadline
    assert row.to_send == row.held == (1_000_000 - row.sent if state == "WRITING" else 0)


def test_totals_count_those_who_live_and_those_who_have_gone() -> None:
    rig = Rig(Acts(echo))
    clients = rig.dials(3)
    for client in clients:
        client.say(b"hello")
    rig.run(1.0)
    before = rig.reactor.totals()
    clients[0].close()
    clients[1].abort()
    rig.run(1.0)
    after = rig.reactor.totals()
    assert before.received == after.received == 15
    assert before.sent == after.sent == 15
    assert (before.rows, after.rows) == (3, 1)
    assert before.states == {"IDLE": 3}
    assert after.accepted == 3
    assert sum(after.ended.values()) == 2
    assert after.turns > before.turns
    assert after.held == 0
    assert after.queued == 0


def test_rows_may_end_while_they_are_listed() -> None:
    rig = Rig(Acts(echo))
    rig.dials(5)
    rig.run(0.1)
    listing = rig.reactor.rows()
    first = next(listing)
    for row in rig.rows[1:3]:
        row.close()
    rig.reactor.step(0)
    rig.dial()
    rig.run(0.1)
    rest = list(listing)
    assert isinstance(first, RowReport)
    assert len(rest) == 2


def test_reading_changes_nothing() -> None:
    rig = Rig(Acts(lambda machine: READ), limits=Limits(request_seconds=10))
    rig.dial()
    for _ in range(9):
        rig.run(1.0)
        list(rig.reactor.rows())
        rig.reactor.totals()
    assert rig.states == ["READING"]
    rig.run(2.0)
    assert rig.states in ([], ["LINGERING"])


def test_describe_is_the_machines_line() -> None:
    class Described(Acting):
        def describe(self) -> str:
            return f"so far {self.row.received} bytes"

    rig = Rig(lambda row: Described(row, echo))
    rig.dial().say(b"abc")
    rig.run(0.1)
    assert [row.machine for row in rig.reactor.rows()] == ["so far 3 bytes"]


def test_kill() -> None:
    rig = Rig(Acts(echo))
    client = rig.dial()
    rig.run(0.1)
    (key,) = rig.reactor.keys()
    assert rig.reactor.kill(key)
    assert not rig.reactor.kill(key + 1)
    rig.run(0.1)
    client.heard()
    assert client.reset
    assert not rig.reactor.kill(key)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/x", "unix:/run/x"),
        ("", "unix:"),
        (b"\0name", "unix:@name"),
    ],
)
def test_addresses_as_people_write_them(where: object, shown: str) -> None:
    assert show_where(where) == shown


def test_masks_as_letters() -> None:
    assert show_mask(0) == "-"
    assert show_mask(READABLE | WRITABLE | PEER_ENDED) == "rwe"
    assert show_mask(PEER_ENDED) == "e"
