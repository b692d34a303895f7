"""Eight slow clients, each against a folder under the stock limits, while an honest client asks once a second.

Who is silent, drips, never reads or floods is answered 408 where HTTP has room for an answer, and gone within 35
seconds; who is merely slow lives for hours; and the honest client is answered as if nobody else were there. All that
time is simulated. Then all of them come at once over real sockets, under limits of fractions of a second.

Run as a program this file prints how each of them ends, as a table in Markdown.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from partway.engine import READ, Cause, Limits, Reason, Row, Want
from partway.protocols.http import Folder, Http, Request, Response, Server
from partway.protocols.http.message import Taker
from worlds import SEEDS, RealClient, RealWorld, Rig

MIB = 1 << 20
SECONDS_MOST = 35.0
ALL = 1 << 30  # reads whatever comes as soon as it comes
SMALL = b"small, and always there"
BIG_BYTES = 20 * MIB
HOUR_BYTES = 20_000 * 3600

HONEST_SECONDS = 2 * 0.001 + 100e-6  # there and back at the simulation's slowest, and a hundred turns of the reactor


def ask(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def post(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode()


class Slow(NamedTuple):
    """A slow client: what it says first and then again and again, how often, and how much it reads each time."""

    name: str
    first: bytes = b""
    again: bytes = b""
    every: float = 1.0
    reads: int = ALL
    status: int = 0  # what it is told; 0: nothing, or it does not read
    causes: tuple[Cause, ...] = ()  # two where both come at once, and chance decides


NOT_ASKING = (Cause.IDLE_TOO_LONG,)
NOT_READING = (Cause.ANSWER_TOO_SLOW,)
DRIPPING = (Cause.REQUEST_TOO_SLOW, Cause.PEER_ERROR)
MISTAKEN = (Cause.PEER_ERROR,)

SLOW = (
    Slow("1 says nothing", causes=NOT_ASKING),
    Slow("2 drips a head, a line of 6 bytes every 4 s", ask("/small")[:-2], b"X: y\r\n", 4.0, ALL, 408, DRIPPING),
    Slow("2 drips a head, a byte a second", ask("/small")[:-4], b"a", 1.0, ALL, 408, DRIPPING),
    Slow("2 drips a head, 300 bytes a second", ask("/small")[:-2], b"X: %295d\r\n" % 1, 1.0, ALL, 408, MISTAKEN),
    Slow("3 drips a body that nobody wants", post("/small"), b"x", 1.0, ALL, 405, (Cause.LINGERED_TOO_LONG,)),
    Slow("3 drips a body that is collected", post("/take"), b"x", 1.0, ALL, 408, (Cause.REQUEST_TOO_SLOW,)),
    Slow("4 asks for 20 MiB and never reads", ask("/big"), reads=0, causes=NOT_READING),
    Slow("5 asks for 20 MiB and reads a byte a second", ask("/big"), reads=1, causes=NOT_READING),
    Slow("6 asks, never reads, and asks again", ask("/page"), ask("/page"), 0.05, 0, causes=NOT_READING),
    Slow("7 sends a head without end", ask("/small")[:-2], b"X: y\r\n" * 1000, 0.05, ALL, 431, MISTAKEN),
    Slow("7 pipelines requests and never reads", b"", ask("/small") * 100, 0.05, 0, causes=NOT_READING),
    Slow("8 sends blank lines, one a second", b"\r\n", b"\r\n", causes=NOT_ASKING),
    Slow("8 sends blank lines, as many as it can", b"", b"\r\n" * 10_000, 0.1, causes=NOT_ASKING),
    Slow("8 sends blank lines, each in two halves", b"\r", b"\n\r", causes=NOT_ASKING),
)
BIG_ONES = tuple(slow for slow in SLOW if slow.first == ask("/big"))


def named(slow: Slow) -> str:
    return slow.name


class Site(Folder):
    """A folder where `POST /take` has its body collected, and `PUT` has it counted as it comes."""

    def begin(self, request: Request) -> Response | Taker | None:  # type: ignore[override]
        if request.method == "PUT":
            return Counter()
        return None if request.target == b"/take" else super().begin(request)

    def __call__(self, request: Request) -> Response:
        raise AssertionError("a body became whole")


class Counter:
    """Counts a body."""

    def __init__(self) -> None:
        self.count = 0
        self.whole = False

    def feed(self, data: bytes) -> None:
        self.count += len(data)
        self.whole = not data

    def step(self) -> Want | Response:
        return Response(200, body=b"%d" % self.count) if self.whole else READ


class Witnessed(Server):
    """A server that remembers when and why each connection has ended, by its peer."""

    def __init__(self, root: Path) -> None:
        super().__init__(Site(str(root)))
        self.ends: dict[object, tuple[float, Reason]] = {}

    def __call__(self, row: Row) -> Http:
        return WitnessedHttp(row, self)

    def close(self) -> None:
        """Let go of the folder, and of what it keeps open."""
        folder = self.handler
        assert isinstance(folder, Site)
        folder.files.entries.clear()
        folder.beneath.close()


class WitnessedHttp(Http):
    """Tells its server of its end."""

    __slots__ = ()

    def ended(self, reason: Reason) -> None:
        super().ended(reason)
        server = self.server
        assert isinstance(server, Witnessed)
        server.ends[self.row.peer] = self.row.now, reason


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="partway") as path:
        yield made(Path(path))


def made(root: Path) -> Path:
    """Put the files there; the large ones take no room."""
    (root / "small").write_bytes(SMALL)
    (root / "page").write_bytes(b"p" * 10_000)
    for name, size in (("big", BIG_BYTES), ("hour", HOUR_BYTES)):
        with (root / name).open("wb") as file:
            file.truncate(size)
    return root


# Simulated.


class Client:
    """A slow client in a simulation. `grows_to`: its buffer grows up to so many bytes, as a kernel's does."""

    def __init__(self, rig: Rig, slow: Slow, grows_to: int = 0) -> None:
        self.slow = slow
        self.simulation = rig.simulation
        self.born = self.simulation.now()
        self.heard = bytearray()
        self.answered = 0.0  # seconds until the first byte of the first answer
        self.peer = rig.dial()
        self.peer.watcher = self._changed
        self.peer.say(slow.first)
        self.simulation.after(slow.every, self._act)
        if grows_to:
            self.simulation.after(0.05, lambda: self._grow(grows_to))

    def _changed(self) -> None:
        if self.slow.reads == ALL:
            self._read(ALL)

    def _read(self, most: int) -> None:
        heard = self.peer.heard(most)
        if heard and not self.heard:
            self.answered = self.simulation.now() - self.born
        self.heard += heard

    def _act(self) -> None:
        if self.peer.ended or self.peer.reset:
            return
        if 0 < self.slow.reads < ALL:
            self._read(self.slow.reads)
        if not self.peer.unsent:
            self.peer.say(self.slow.again)
        self.simulation.after(self.slow.every, self._act)

    def _grow(self, most: int) -> None:
        end = self.peer._end
        end.capacity *= 2
        end.other.room_came()
        if end.capacity < most:
            self.simulation.after(0.05, lambda: self._grow(most))


class Honest:
    """Asks once a second, and notes how long each answer takes."""

    def __init__(self, rig: Rig, every: float = 1.0) -> None:
        self.simulation = rig.simulation
        self.every = every
        self.peer = rig.dial()
        self.heard = rig.hears(self.peer)
        self.asked = 0.0
        self.took: list[float] = []
        rig.run(0.01)  # it is connected before anybody else
        self._note = self.peer.watcher
        self.peer.watcher = self._changed
        self._ask()

    def _ask(self) -> None:
        assert not self.asked, f"{self.simulation!r}: an honest client has waited for {self.every} s"
        self.asked = self.simulation.now()
        self.peer.say(ask("/small"))
        self.simulation.after(self.every, self._ask)

    def _changed(self) -> None:
        assert self._note is not None
        self._note()
        if self.asked and self.heard.endswith(SMALL):
            assert self.heard.startswith(b"HTTP/1.1 200 OK\r\n")
            self.heard.clear()
            self.took.append(self.simulation.now() - self.asked)
            self.asked = 0.0


class Ending(NamedTuple):
    """How a slow client ended: `answered` and `gone` in seconds, 0 for never."""

    name: str
    status: int
    answered: float
    gone: float
    reason: Reason | None
    reset: bool


def ending(client: Client, server: Witnessed) -> Ending:
    """Find out how one ended; what it has not read, it reads now."""
    when, reason = server.ends.get(client.peer.where, (client.born, None))
    client.peer.heard()
    status = int(client.heard[9:12] or 0)
    return Ending(client.slow.name, status, client.answered, when - client.born, reason, client.peer.reset)


def met(
    slows: Sequence[Slow], root: Path, seed: int = 1, *, grows_to: int = 0, seconds: float = SECONDS_MOST
) -> tuple[list[Ending], list[float]]:
    """Let clients meet a server under the stock limits; return how each ended, and how long the honest one waited."""
    server = Witnessed(root)
    rig = Rig(server, seed=seed)
    try:
        honest = Honest(rig)
        clients = [Client(rig, slow, grows_to) for slow in slows]
        rig.run(seconds, turns=1_000_000)
        assert rig.kinds() == [], rig.notices
        return [ending(client, server) for client in clients], honest.took
    finally:
        rig.reactor.close()
        server.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slow", SLOW, ids=named)
def test_a_slow_client_is_ended(root: Path, slow: Slow, seed: int) -> None:
    print(f"seed {seed}")
    (end,), took = met([slow], root, seed)
    check(slow, end)
    assert len(took) == SECONDS_MOST and max(took) <= HONEST_SECONDS


def check(slow: Slow, end: Ending) -> None:
    assert end.reason is not None, "it is still there"
    assert 0 < end.gone <= SECONDS_MOST, end
    assert end.reason.cause in slow.causes, end
    if slow.reads == ALL:
        assert end.status == slow.status, end
    assert end.reset or slow.causes == NOT_ASKING, end


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slow", BIG_ONES, ids=named)
def test_a_burst_into_large_buffers_buys_no_time(root: Path, slow: Slow, seed: int) -> None:
    """A kernel's buffers grow after the first short write: megabytes leave that nobody has read."""
    print(f"seed {seed}")
    (end,), took = met([slow], root, seed, grows_to=8 * MIB)
    check(slow, end)
    assert max(took) <= HONEST_SECONDS


@pytest.mark.parametrize("seed", SEEDS)
def test_an_honest_client_among_a_crowd_of_slow_ones(root: Path, seed: int) -> None:
    """Two of each at once are not felt: the same bound holds as without them."""
    print(f"seed {seed}")
    _, alone = met([], root, seed)
    ends, among = met(SLOW * 2, root, seed)
    for slow, end in zip(SLOW * 2, ends, strict=True):
        check(slow, end)
    assert len(alone) == len(among) == SECONDS_MOST
    assert max(alone) <= HONEST_SECONDS and max(among) <= HONEST_SECONDS


# The merely slow, who live.


@pytest.fixture
def rig(root: Path) -> Iterator[Rig]:
    server = Witnessed(root)
    rig = Rig(server)
    yield rig
    rig.reactor.close()
    server.close()


def test_who_pipelines_for_ever_and_reads_it_all_lives(rig: Rig) -> None:
    """It is a busy client and no slow one; and it is not felt by another."""
    honest = Honest(rig)
    client = Client(rig, Slow("busy", b"", ask("/small") * 16, 0.1))
    rig.run(30.05, turns=100_000)
    assert client.heard.count(b"HTTP/1.1 200 OK\r\n") == client.heard.count(SMALL) == 16 * 300
    assert max(honest.took) <= HONEST_SECONDS
    assert rig.ended == {}


def test_an_upload_of_20_kilobytes_a_second_lives_for_an_hour(rig: Rig) -> None:
    head = f"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {HOUR_BYTES}\r\n\r\n".encode()
    client = Client(rig, Slow("uploads", head, bytes(20_000)))
    rig.run(3599.5, turns=100_000)
    assert not client.heard
    rig.run(1.0)
    assert client.heard.startswith(b"HTTP/1.1 200 OK\r\n") and client.heard.endswith(b"\r\n\r\n%d" % HOUR_BYTES)


def test_a_download_of_20_kilobytes_a_second_lives_for_an_hour(rig: Rig) -> None:
    client = Client(rig, Slow("downloads", ask("/hour"), reads=20_000))
    rig.run(3602.0, turns=100_000)
    head, _, body = bytes(client.heard).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and len(body) == HOUR_BYTES


def test_who_asks_every_ten_seconds_lives(rig: Rig) -> None:
    honest = Honest(rig, every=10.0)
    rig.run(599.0)
    assert len(honest.took) == 60 and max(honest.took) <= HONEST_SECONDS
    assert rig.listener is not None and rig.reactor.totals().accepted == 1


# Real sockets.

SHORT = Limits(
    opening_seconds=0.3,
    head_seconds=0.5,
    request_seconds=0.3,
    idle_seconds=0.4,
    stall_seconds=0.4,
    linger_seconds=0.3,
)
HASTE = 50  # what is a second above lasts a fiftieth of it here
GUARD_SECONDS = 20.0  # nothing is told by this but that it hangs


class RealSlow:
    """A slow client on a real socket."""

    def __init__(self, world: RealWorld, slow: Slow) -> None:
        self.slow = slow
        self.world = world
        client = world.dial()
        assert isinstance(client, RealClient)
        self.client = client
        client.reading = slow.reads == ALL
        self.where = client.channel.getsockname()
        client.say(slow.first)
        self.due = world.seconds()

    def act(self) -> None:
        """Say and read what is due."""
        client = self.client
        if client.over or self.world.seconds() < self.due:
            return
        self.due = self.world.seconds() + self.slow.every / HASTE
        if 0 < self.slow.reads < ALL:
            with suppress(OSError):
                client.heard += client.channel.recv(self.slow.reads)
        if not client._unsent:
            client.say(self.slow.again)


def test_all_of_them_at_once_on_real_sockets(root: Path, tmp_path: Path) -> None:
    server = Witnessed(root)
    world = RealWorld("lean", "ip4", str(tmp_path), limits=SHORT)
    try:
        world.listen(server)
        honest = world.dial()
        slows = [RealSlow(world, slow) for slow in SLOW]
        until = world.seconds() + GUARD_SECONDS
        served = 0
        honest.say(ask("/small"))
        while any(slow.where not in server.ends for slow in slows) and world.seconds() < until:
            world.step()
            for slow in slows:
                slow.act()
            if honest.heard.endswith(SMALL):
                served += 1
                honest.heard.clear()
                honest.say(ask("/small"))
        for slow in slows:
            name, causes = slow.slow.name, slow.slow.causes
            assert slow.where in server.ends, f"{name} is still there"
            cause = server.ends[slow.where][1].cause
            assert cause in causes, (name, cause)
            if slow.slow.reads == ALL:
                assert int(slow.client.heard[9:12] or 0) == slow.slow.status, name
        assert served > 100
        world.until(lambda: honest.heard.endswith(SMALL))
        assert not honest.over and world.notices == []
    finally:
        world.close()
        server.close()


# The table.


@cache
def endings() -> list[Ending]:
    """Return how each slow client ends when it is alone with the honest one."""
    with tempfile.TemporaryDirectory(prefix="partway") as path:
        root = made(Path(path))
        return [met([slow], root)[0][0] for slow in SLOW]


def table() -> str:
    """Return `endings()` in Markdown."""
    lines = ["| a client that | is told | is gone after | and sees |", "|---|---|---|---|"]
    for end in endings():
        after = f"after {end.answered:.0f} s" if end.answered >= 1 else "at once"
        told = f"{end.status} {after}" if end.status >= 400 else "–"
        lines.append(f"| {end.name} | {told} | {end.gone:.0f} s | {'a reset' if end.reset else 'an end'} |")
    return "\n".join(lines)


def test_the_table_has_them_all() -> None:
    lines = table().splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [slow.name for slow in SLOW]


def test_a_slow_but_steady_reader_on_a_real_socket_lives(root: Path, tmp_path: Path) -> None:
    """As 20 KB a second under stock limits, thirty times as fast: most waits in the kernels' buffers meanwhile."""
    server = Witnessed(root)
    world = RealWorld("lean", "ip4", str(tmp_path), limits=Limits(stall_seconds=1.0))
    try:
        world.listen(server)
        client = world.dial()
        assert isinstance(client, RealClient)
        client.reading = False
        client.say(ask("/hour"))
        begun, read = world.seconds(), 0
        while world.seconds() < begun + 2.5:
            world.step()
            due = int(600_000 * (world.seconds() - begun)) - read
            if due > 0:
                with suppress(BlockingIOError):
                    read += len(client.channel.recv(min(due, 65536)))
        assert not server.ends, "it was reset"
        assert read > 1_000_000
    finally:
        world.close()


if __name__ == "__main__":
    print(table())
