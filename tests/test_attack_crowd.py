"""Every kind of attacker, against `partway http` under its stock limits, in the simulation: what becomes of each."""

from errno import EPERM, errorcode
from typing import Any, ClassVar

import pytest
from partway.engine import READ, Limits, Reactor, Want, parse_address
from partway.engine.simulation import Simulation
from partway.protocols.echo import EchoDatagrams
from partway.protocols.http import Request, Response, Server
from partway.stress.attack.crowd import NOTHING, PATIENT, RAISE, Crowd, Plan
from partway.stress.attack.kinds import ATTACKS
from partway.stress.attack.target import Target
from partway.stress.attack.words import Words, words_of

TARGET = Target("http://server/", "http", parse_address("server:80"), "server", "/")
COUNT = 7


class World:
    """A server of pages, and a crowd, on one reactor: no kind minds."""

    def __init__(self, kind: str, plan: Plan, target: Target = TARGET, service: Any = None, **options: Any) -> None:
        self.simulation = Simulation(1, **options)
        self.notices: list[str] = []
        self.requests: list[Request] = []
        self.reactor = Reactor(self.simulation, observer=lambda notice: self.notices.append(str(notice)))
        if target is TARGET:
            self.listener = self.reactor.listen("server:80", Server(self.answer), Limits())
        if service is not None:
            self.reactor.bind(target.address, service)
        self.served: set[int] | None = set(range(65_536))  # whom the server has not ended, as the kernel would tell
        words, attack = words_of(target, None), ATTACKS[kind]
        self.crowd = Crowd(self.reactor, target, attack, words, plan, lambda port: self.served)
        self.crowd.begin()

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, body=b"x" * 20_000)

    def run(self, seconds: float) -> Crowd:
        self.simulation.run(self.reactor, seconds)
        return self.crowd

    def close(self) -> None:
        self.reactor.close()
        assert self.simulation.descriptors_used() == 0
        assert self.notices == []


@pytest.fixture
def world() -> Any:
    made: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        made.append(World(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("kind", "outcome", "seconds", "status"),
    [
        ("silent", "cut off", 15.0, ""),
        ("drip-head", "cut off", 10.0, "408"),
        ("drip-body", "cut off", 10.0, "408"),
        ("no-read", "reset", 30.0, ""),
        ("slow-read", "reset", 30.0, ""),
        ("idle-keepalive", "cut off", 15.0, "200"),
    ],
)
def test_who_stays_is_gone_in_the_end(world: Any, kind: str, outcome: str, seconds: float, status: str) -> None:
    crowd = world(kind, Plan(COUNT, 0.0, 0)).run(60.0)
    assert (crowd.started, crowd.peak, crowd.alive) == (COUNT, COUNT, 0)
    assert crowd.outcomes == {outcome: COUNT}
    assert crowd.statuses == ({status: COUNT} if status else {})
    assert crowd.lived == [pytest.approx(seconds, abs=0.2)] * COUNT
    assert not ATTACKS[kind].returns


@pytest.mark.parametrize(
    ("kind", "outcome", "statuses"),
    [
        ("churn", "left", 0),
        ("reset", "left", 0),
        ("half-close", "served", 1),
        ("garbage", "cut off", 0),
        ("pipeline", "served", 100),
    ],
)
def test_who_goes_is_replaced(world: Any, kind: str, outcome: str, statuses: int) -> None:
    """So many at first, then so many a second."""
    one = world(kind, Plan(COUNT, 0.0, 10))
    crowd = one.run(10.1)
    assert crowd.started == pytest.approx(COUNT + 100, abs=3)
    assert set(crowd.outcomes) == {outcome}
    assert crowd.outcomes[outcome] + crowd.alive == crowd.started
    assert crowd.statuses.get("200", 0) == pytest.approx(statuses * crowd.started, abs=statuses)
    assert ATTACKS[kind].returns


@pytest.mark.parametrize("number", RAISE, ids=lambda number: errorcode[number])
def test_what_is_to_be_raised_where_no_more_can_begin(world: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is there stays, and nobody comes in vain."""
    one = world("silent", Plan(COUNT, 1.0, 0))
    one.run(0.5)
    begun = one.crowd.started

    def connect(*arguments: Any) -> None:
        raise OSError(number, "no more")

    monkeypatch.setattr(one.reactor, "connect", connect)
    crowd = one.run(5.0)
    assert 0 < crowd.started == crowd.alive == begun < COUNT
    assert crowd.seen()["unable"] == crowd.unable == RAISE[number]
    assert RAISE[number].startswith(("out of ", "the machine is out of "))


def test_an_error_that_nobody_has_foreseen_is_told_as_it_is(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world("silent", Plan(COUNT, 1.0, 0))

    def connect(*arguments: Any) -> None:
        raise OSError(EPERM, "a firewall's doing")

    monkeypatch.setattr(one.reactor, "connect", connect)
    assert one.run(2.0).unable == "[Errno 1] a firewall's doing"


class Sink:
    """Takes whatever comes, and says nothing."""

    taken: ClassVar[list[bytes]] = []

    def __init__(self, row: Any) -> None:
        self.taken.clear()

    def feed(self, data: bytes) -> None:
        self.taken.append(data)

    def step(self) -> Want:
        return READ


def test_a_handshake_that_stalls(world: Any) -> None:
    """A record of 512 bytes is announced, 6 of them come, and no more; the server ends it."""
    one = world("tls-stall", Plan(1, 0.0, 0), Target("", "raw", parse_address("server:443")))
    one.reactor.listen("server:443", Sink, Limits(request_seconds=20))
    crowd = one.run(15.0)
    assert b"".join(Sink.taken) == bytes.fromhex("1603010200010001fc0303")
    assert crowd.alive == 1
    one.run(15.0)
    assert (crowd.alive, crowd.outcomes) == (0, {"cut off": 1})


def test_a_flood_of_datagrams(world: Any) -> None:
    target = Target("", "raw", parse_address("udp:server:7"))
    one = world("datagram-flood", Plan(3, 0.0, 300), target, EchoDatagrams())
    crowd = one.run(2.0)
    assert (crowd.started, crowd.alive) == (3, 3)
    totals = one.reactor.totals()
    assert totals.datagrams_received == pytest.approx(2 * 600, abs=30), "100 a second each, and their answers"


def test_every_kind_is_shown_here() -> None:
    assert len(ATTACKS) == 14


@pytest.mark.parametrize(
    ("address", "protocol", "but"),
    [
        ("127.0.0.1:80", "http", {"tls-stall", "datagram-flood", "spoof"}),
        ("127.0.0.1:80", "lines", {"drip-body", "tls-stall", "datagram-flood", "spoof"}),
        ("unix:/x", "raw", {"drip-body", "datagram-flood", "spoof"}),
        ("udp:127.0.0.1:7", "raw", set(ATTACKS) - {"datagram-flood", "spoof"}),
        ("udp:192.0.2.1:7", "raw", set(ATTACKS) - {"datagram-flood"}),
        ("udp:[::1]:7", "raw", set(ATTACKS) - {"datagram-flood"}),
    ],
)
def test_which_kinds_suit_a_target(address: str, protocol: str, but: set[str]) -> None:
    target = Target("", protocol, parse_address(address))
    assert {name for name, attack in ATTACKS.items() if not attack.suits(target)} == but
    if protocol == "http":
        assert not ATTACKS["tls-stall"].suits(target) and ATTACKS["tls-stall"].suits(target._replace(secure=True))


def test_who_stays_is_replaced_if_the_user_wants_it(world: Any) -> None:
    """The crowd is as large as ever, and those who come again are as many a second as may."""
    one = world("drip-head", Plan(COUNT, 0.0, 2))
    assert (one.run(9.9).started, one.crowd.alive) == (COUNT, COUNT)
    crowd = one.run(2.2)
    assert (crowd.started, crowd.alive) == (COUNT + 4, 4)
    crowd = one.run(5.0)
    assert crowd.alive == crowd.peak == COUNT


@pytest.mark.parametrize(("kind", "sees"), [("no-read", False), ("slow-read", False), ("silent", True)])
def test_an_end_that_who_does_not_read_cannot_see(world: Any, kind: str, sees: bool) -> None:
    """The server has closed, and its end stands behind bytes that nobody takes: the kernel knows it."""
    one = world(kind, Plan(3, 0.0, 0))
    one.run(5.0)
    ports = {row.local[1] for row in one.reactor.table.rows.values() if row.listener.startswith("to ")}
    assert len(ports) == 3
    one.served = ports - {min(ports)}
    crowd = one.run(2.0)
    assert crowd.outcomes == ({} if sees else {"cut off": 1})
    assert crowd.alive == (3 if sees else 2)
    one.served = None  # it can't be told any more
    assert one.run(3.0).alive == crowd.alive


def test_who_has_just_come_is_not_looked_for(world: Any) -> None:
    one = world("no-read", Plan(2, 3.0, 0))
    one.served = set()
    crowd = one.run(0.9)
    assert (crowd.started, crowd.alive, crowd.outcomes) == (1, 1, {})
    crowd = one.run(0.9)  # the second came after half of the ramp
    assert (crowd.started, crowd.alive, crowd.outcomes) == (2, 1, {"cut off": 1})


def test_all_come_within_the_ramp(world: Any) -> None:
    """The first at once, and the last before it is over, however short the attack."""
    one = world("silent", Plan(4, 2.0, 0))
    assert [one.run(0.5).started for _ in range(4)] == [1, 2, 3, 4]


def test_a_drip_never_makes_a_request(world: Any) -> None:
    for kind in ("drip-head", "drip-body", "reset"):
        one = world(kind, Plan(COUNT, 0.0, 100))
        one.run(9.0)
        assert one.requests == [] or kind == "reset"


def test_a_reset_comes_at_every_byte(world: Any) -> None:
    one = world("reset", Plan(1, 0.0, 100))
    length = len(words_of(TARGET, None).request)
    received: set[int] = set()
    free = one.reactor.table._free

    def watched(row: Any, *arguments: Any) -> None:
        if not row.listener.startswith("to "):
            received.add(row.received)
        free(row, *arguments)

    one.reactor.table._free = watched
    one.run(5.0)
    assert received == set(range(length + 1))


def test_they_come_within_the_ramp(world: Any) -> None:
    one = world("silent", Plan(100, 10.0, 1))
    assert one.run(2.5).alive == pytest.approx(25, abs=2)
    assert one.run(5.0).alive == pytest.approx(75, abs=2)
    assert one.run(5.0).alive == 100
    assert one.run(2.5).alive == pytest.approx(100, abs=2), "the first have not been there for 15 s"


def test_what_is_told_of_it(world: Any) -> None:
    one = world("pipeline", Plan(COUNT, 0.0, 0))
    crowd = one.run(5.0)
    assert crowd.seen() == {"alive": 0, "started": COUNT, "peak": COUNT, "outcomes": {"served": COUNT}, "unable": ""}
    figures = crowd.figures()
    assert set(figures) == set(NOTHING)
    assert (figures["asked"], figures["answered"], figures["returns"]) == (100 * COUNT, 100 * COUNT, True)
    assert (figures["survivors"], figures["ages"], len(figures["lived"])) == (0, [], COUNT)


def test_after_the_end_nobody_comes_and_nobody_is_counted(world: Any) -> None:
    one = world("silent", Plan(100, 10.0, 1))
    crowd = one.run(5.0)
    crowd.end()
    started = crowd.started
    one.run(30.0)
    assert crowd.started == started < 60
    assert crowd.lived == [] and not crowd.outcomes


def test_how_old_they_are(world: Any) -> None:
    ages = world("silent", Plan(10, 0.0, 1)).run(5.0).ages()
    assert ages == [pytest.approx(5.0, abs=0.1)] * 10


def test_a_target_that_refuses(world: Any) -> None:
    nowhere = Target("", "raw", parse_address("server:81"))
    crowd = world("silent", Plan(COUNT, 0.0, 1), nowhere).run(1.0)
    assert crowd.outcomes == {"refused": COUNT}


def test_a_server_that_answers_nonsense(world: Any) -> None:
    from partway.protocols.echo import Echo

    one = world("idle-keepalive", Plan(COUNT, 0.0, 1), TARGET._replace(address=parse_address("server:7")))
    one.reactor.listen("server:7", Echo)
    assert one.run(1.0).outcomes == {"heard nonsense": COUNT}


def test_out_of_descriptors(world: Any) -> None:
    one = world("silent", Plan(100, 0.0, 1), descriptors=42)
    crowd = one.run(1.0)
    assert 0 < crowd.started < 42
    assert crowd.unable == "out of descriptors: raise `ulimit -n`"
    one.notices.clear()  # the server, which is in the same process, has said so as well


def test_the_engine_has_no_patience_to_lose() -> None:
    """Only the server may end an attacker."""
    assert (PATIENT.idle_seconds, PATIENT.request_seconds, PATIENT.stall_seconds) == (float("inf"),) * 3
    assert (PATIENT.waiting_seconds, PATIENT.rate_min) == (float("inf"), 0)


def test_lines_and_raw_bytes() -> None:
    target = TARGET._replace(protocol="lines")
    assert words_of(target, None) == Words(b"hello\n", b"h", b"o")
    assert words_of(target, b"QUIT\r\n").request == b"QUIT\r\n"
    assert b"\n" not in words_of(target, b"QUIT\r\n").begun
