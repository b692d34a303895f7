"""A chat room: everybody hears everybody else, nobody steers another's terminal, who doesn't read costs nothing.

A broadcast is where a server with queues grows without end, so beside the talk itself this watches memory: the log has
a bound, a member has only a place in it, and he who falls behind is let go while the others notice nothing.
"""

from collections.abc import Sequence

import pytest
from checker import check_machine
from partway.engine import Cause, Limits, Row
from partway.engine.simulation import Peer
from partway.protocols.chat import NAME_LETTERS_MAX, Member, Room, printable
from worlds import SEEDS, Rig

LIMITS = Limits(idle_seconds=3600, backlog_lines=20)


class Party:
    """A room with named members, who have heard each other come."""

    def __init__(self, *names: str, seed: int = 1, limits: Limits = LIMITS, capacity_bytes: int = 1 << 16) -> None:
        print(f"seed {seed}")
        self.room = Room()
        self.rig = Rig(self.room, seed=seed, limits=limits, capacity_bytes=capacity_bytes)
        self.members: dict[str, Peer] = {}
        for name in names:
            self.members[name] = self.enter()
            self.say(name, f"/name {name}")
        self.hush()

    def enter(self) -> Peer:
        peer = self.rig.dial()
        self.rig.run(0.1)
        return peer

    def say(self, name: str, *lines: str, seconds: float = 0.1) -> None:
        self.members[name].say("".join(line + "\n" for line in lines).encode())
        self.rig.run(seconds)

    def heard(self, name: str) -> list[str]:
        return self.members[name].heard().decode().splitlines()

    def hush(self) -> None:
        """Forget what was heard till now."""
        self.rig.run(0.1)
        for peer in self.members.values():
            peer.heard()

    def others(self, name: str) -> Sequence[str]:
        return [other for other in self.members if other != name]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_pieces_are_answered_the_same(seed: int) -> None:
    def alone(row: Row) -> Member:
        return Room()(row)

    said = check_machine(alone, b"hello\n/name ann\n/who\n\n/x\r\n/name\n", trailing=b"/who\nmo", seed=seed)
    assert said.decode().splitlines() == [
        "* You are guest1, one of 1. /name NAME, /who, /quit",
        "* you are now ann",
        "* ann",
        "* /name NAME, /who, /quit",
        f"* a name has 1 to {NAME_LETTERS_MAX} letters",
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_but_the_author_hear_it(seed: int) -> None:
    party = Party("ann", "bob", "cid", seed=seed)
    party.say("ann", "hello", "", "  again  ")
    assert party.heard("ann") == []
    assert party.heard("bob") == party.heard("cid") == ["ann: hello", "ann: again"]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_hear_it_in_one_order(seed: int) -> None:
    party = Party("ann", "bob", "cid", "dan", seed=seed, limits=Limits(idle_seconds=3600))
    random = party.rig.simulation.random
    for number in range(100):
        party.say(random.choice(["ann", "bob", "cid"]), str(number), seconds=random.choice([0, 0.0001, 0.01]))
    party.rig.run(1)
    order = party.heard("dan")
    assert len(order) == 100
    for name in ("ann", "bob", "cid"):
        own = [line for line in order if line.startswith(f"{name}: ")]
        assert own == sorted(own, key=lambda line: int(line.split()[1])), "a member's own lines changed their order"
        assert party.heard(name) == [line for line in order if line not in own]


def test_coming_and_going_are_told() -> None:
    party = Party("ann")
    bob = party.enter()
    assert bob.heard().decode() == "* You are guest2, one of 2. /name NAME, /who, /quit\n"
    assert party.heard("ann") == ["* guest2 has come"]
    bob.close()
    party.rig.run(0.1)
    assert party.heard("ann") == ["* guest2 has gone"]
    assert len(party.room.members) == 1


@pytest.mark.parametrize("how", ["close", "abort", "half_close"])
def test_going_in_any_way_is_told_once(how: str) -> None:
    party = Party("ann", "bob", "cid")
    getattr(party.members["bob"], how)()
    party.rig.run(10)
    assert party.heard("ann") == party.heard("cid") == ["* bob has gone"]


def test_quit() -> None:
    party = Party("ann", "bob")
    party.say("bob", "bye", "/quit", "not heard")
    assert party.heard("ann") == ["bob: bye", "* bob has gone"], "told at once, not when the peer has ended its side"
    party.members["bob"].heard()
    assert party.members["bob"].ended
    party.say("ann", "/who")
    assert party.heard("ann") == ["* ann"]


def test_who() -> None:
    party = Party("ann", "bob")
    party.say("bob", "/who")
    assert party.heard("bob") == ["* ann", "* bob"]
    assert party.heard("ann") == []


def test_rename() -> None:
    party = Party("ann", "bob")
    party.say("ann", "/name  Zoë ", "hello")
    assert party.heard("ann") == ["* you are now Zoë"]
    assert party.heard("bob") == ["* ann is now Zoë", "Zoë: hello"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bob", "* bob is taken"),
        ("ann", "* ann is taken"),
        ("", f"* a name has 1 to {NAME_LETTERS_MAX} letters"),
        ("x" * (NAME_LETTERS_MAX + 1), f"* a name has 1 to {NAME_LETTERS_MAX} letters"),
        ("x" * NAME_LETTERS_MAX, "* you are now " + "x" * NAME_LETTERS_MAX),
    ],
)
def test_names_that_may_be_had(name: str, told: str) -> None:
    party = Party("ann", "bob")
    party.say("ann", f"/name {name}")
    assert party.heard("ann") == [told]
    assert len(party.heard("bob")) == (1 if "now" in told else 0)


def test_a_name_that_was_left_is_free() -> None:
    party = Party("ann", "bob")
    party.say("bob", "/quit")
    party.members.pop("bob").close()
    party.rig.run(1)
    party.say("ann", "/name bob")
    assert party.heard("ann")[-1] == "* you are now bob"


def test_a_command_that_is_none() -> None:
    party = Party("ann", "bob")
    party.say("ann", "/", "/names", "/quit now"[:3])
    assert party.heard("ann") == ["* /name NAME, /who, /quit"] * 3
    assert party.heard("bob") == []


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"a\x1b[31mb", "ann: a [31mb"),
        (b"a\rb", "ann: a b"),
        (b"a\tb\0c\x7fd", "ann: a b c d"),
        (b"\xc2\x9b31m", "ann: 31m"),  # a C1 control sequence introducer in UTF-8
        (b"\xff\xfe", "ann: \ufffd\ufffd"),
        ("\u202eabc".encode(), "ann: abc"),
        ("a\u2028b".encode(), "ann: a b"),
        ("grüß 日本".encode(), "ann: grüß 日本"),
    ],
)
def test_nobody_steers_anothers_terminal(said: bytes, heard: str) -> None:
    party = Party("ann", "bob")
    party.members["ann"].say(said + b"\n")
    party.rig.run(0.1)
    assert party.heard("bob") == [heard]


def test_a_name_has_no_control_characters() -> None:
    party = Party("ann", "bob")
    party.members["ann"].say(b"/name \x1b]0;x\x07\n")
    party.rig.run(0.1)
    assert party.heard("bob") == ["* ann is now ]0;x"]


@pytest.mark.parametrize("line", [b"\x1b\n", b"   \n", b"\r\n", b"\0\0\n"])
def test_what_is_left_blank_is_not_said_and_no_request(line: bytes) -> None:
    party = Party("ann", "bob")
    before = party.rig.reactor.totals().requests
    party.members["ann"].say(line)
    party.rig.run(0.1)
    assert party.heard("bob") == []
    assert party.rig.reactor.totals().requests == before


def test_printable_keeps_its_length() -> None:
    assert printable(b"a\x1bb\xff") == "a b\ufffd"


# Memory.


def test_the_log_is_bounded() -> None:
    party = Party("ann", "bob")
    for number in range(100):
        party.say("ann", str(number))
        assert len(party.room.log) <= LIMITS.backlog_lines
    assert party.heard("bob") == [f"ann: {number}" for number in range(100)]


def largest_held(party: Party) -> int:
    """The most that one member holds, and the sum over all of them as the table counts it."""
    rows = party.rig.rows
    assert sum(row.held for row in rows) == party.rig.reactor.table.held
    return max(row.held for row in rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_who_does_not_read_falls_behind_and_is_let_go(seed: int) -> None:
    party = Party("ann", "bob", "deaf", "cid", seed=seed, capacity_bytes=3000)
    line = "x" * 200
    most = 0
    heard: list[str] = []
    for number in range(400):
        party.say("ann", f"{number} {line}")
        heard += party.heard("bob")
        told = party.heard("cid")
        assert len([message for message in told if message.startswith("ann: ")]) == 1, "somebody had to wait"
        most = max(most, largest_held(party))
        if "deaf" in party.members and len(party.room.members) < 4:
            del party.members["deaf"]
    assert "deaf" not in party.members, "who reads nothing is still here"
    said = [message for message in heard if message.startswith("ann: ")]
    assert said == [f"ann: {number} {line}" for number in range(400)]
    assert [message for message in heard if message not in said] == ["* deaf has gone"]
    assert most <= (LIMITS.backlog_lines + 1) * 250, "a member held more than the log"


def test_one_who_reads_again_too_late_is_let_go() -> None:
    party = Party("ann", "late", capacity_bytes=3000)
    for number in range(100):
        party.say("ann", f"{number} " + "x" * 200, seconds=0.01)
    heard = bytearray()
    late = party.members["late"]
    for _ in range(20):
        heard += late.heard()
        party.rig.run(0.1)
    assert late.ended and b"ann: 99" not in heard
    assert heard.endswith(b"\n"), "a line was cut"
    assert party.rig.ended == {str(Cause.PEER_ERROR): 1} or party.rig.states.count("LINGERING") == 1


def test_one_who_is_slow_within_the_log_misses_nothing() -> None:
    party = Party("ann", "slow", capacity_bytes=3000)
    heard = bytearray()
    for number in range(100):
        party.say("ann", f"{number} " + "x" * 200, seconds=0.01)
        if number % 10 == 9:
            for _ in range(20):
                heard += party.members["slow"].heard()
                party.rig.run(0.01)
    assert [int(line.split()[1]) for line in heard.decode().splitlines()] == list(range(100))


@pytest.mark.parametrize("members", [3, 60])
def test_a_message_costs_the_same_memory_for_any_number(members: int) -> None:
    party = Party("ann", limits=Limits(idle_seconds=3600))
    peers = [party.rig.dial() for _ in range(members)]
    party.rig.run(1)
    for peer in peers:
        peer.heard()
    party.say("ann", "x" * 5000, seconds=0)
    for _ in range(50):
        party.rig.reactor.step(0.001)
        assert party.rig.reactor.table.held <= 6000
    party.rig.run(1)
    assert all(peer.heard() == b"ann: " + b"x" * 5000 + b"\n" for peer in peers)


def test_silent_members_are_kept_by_talk_and_let_go_without() -> None:
    party = Party("ann", "bob", limits=Limits(idle_seconds=10))
    for number in range(5):
        party.say("ann", str(number), seconds=8)
    assert len(party.room.members) == 2
    party.rig.run(11)
    assert party.room.members == {}


def test_an_operator_sees_who_it_is() -> None:
    party = Party("ann")
    assert [row.machine for row in party.rig.reactor.rows()] == ["ann, 0 messages behind"]


def test_a_closed_room_is_empty() -> None:
    party = Party("ann", "bob")
    party.rig.reactor.close()
    assert party.room.members == {}


def test_many_who_leave_at_once_wake_nobody_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand departures in one turn are a thousand messages, but for each who stays it is one wake."""
    party = Party(*(f"guest{number}" for number in range(100)), seed=1)
    woken: list[int] = []
    wake = Row.wake

    def counted(row: Row) -> None:
        woken.append(row.key)
        wake(row)

    monkeypatch.setattr(Row, "wake", counted)
    party.rig.reactor.close()
    assert len(woken) <= 100, f"{len(woken)} wakes for 100 members"
