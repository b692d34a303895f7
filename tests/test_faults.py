"""Every fault of the simulation is met, does what its line says, and leaves the engine standing; without odds none is.

The first part asks the simulation alone, so that a fault which does nothing, or something else, is noticed. The second
lets each fault loose on a server in each state. What the kernel does of itself is in test_conformance_kernel.py.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from partway.engine import (
    CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Call,
    Cause,
    File,
    Limits,
    Reactor,
    Wait,
    Want,
    parse_address,
)
from partway.engine.faults import OBSERVED, ODDS, RARE, Faults
from partway.engine.memory import End, end_of
from partway.engine.network import CUT, Link
from partway.engine.platform import PEER_ENDED, READABLE, WRITABLE
from partway.engine.simulation import Peer, Simulation
from worlds import SEEDS, Acting, Acts, Rig, assert_conserved, echo

SERVER = parse_address("server:7")
DATAGRAMS = {name for name in ODDS if name.startswith("datagram_")}
STREAMS = [name for name in ODDS if name not in DATAGRAMS]
seeds = pytest.mark.parametrize("seed", SEEDS)


class Met(NamedTuple):
    """A connection of a simulation without an engine, accepted."""

    simulation: Simulation
    near: End
    peer: Peer

    def pause(self, seconds: float = 0.01) -> None:
        """Let all arrive that takes no longer."""
        self.simulation.travel(seconds)

    def look(self, asked: int, seconds: float = 0.01) -> list[tuple[int, int]]:
        """What a poll says of the accepted end."""
        poller = self.simulation.poller
        poller.register(self.near.fileno(), asked)
        pairs = list(poller.ready(seconds, 10))
        poller.unregister(self.near.fileno())
        return pairs


def meet(seed: int = 1, *, options: dict[str, Any] | None = None, **faults: float) -> Met:
    simulation = Simulation(seed, faults=Faults(**faults), **options or {})
    listening = simulation.listen(SERVER, 100)
    peer = simulation.dial(SERVER)
    simulation.travel(0.01)
    return Met(simulation, end_of(listening.accept()[0]), peer)


def only(simulation: Simulation, *names: str) -> None:
    """These faults have been met, and no others."""
    assert set(simulation.met) - set(OBSERVED) == set(names)
    assert all(simulation.met[name] > 0 for name in names)


# Calls on a connection.


@seeds
def test_short_read(seed: int) -> None:
    met = meet(seed, short_read=1.0)
    data = bytes(range(100))
    met.peer.say(data)
    met.pause()
    heard, sizes = b"", []
    while len(heard) < 99:
        left = 100 - len(heard)
        part = met.near.recv(50)
        assert 1 <= len(part) <= min(50, left - 1), "less than there is, and never an end"
        assert met.look(READABLE) == [(met.near.fileno(), READABLE)], "the rest is told again"
        heard += part
        sizes.append(len(part))
    assert met.near.recv(50) == data[99:], "there is no less than a byte"
    assert heard == data[:99]
    assert met.simulation.met["short_read"] == len(sizes)
    only(met.simulation, "short_read")


@seeds
def test_short_write(seed: int) -> None:
    met = meet(seed, short_write=1.0)
    data = bytes(range(100))
    sent = 0
    while sent < 99:
        took = met.near.send(data[sent:])
        assert 1 <= took < 100 - sent
        assert met.look(WRITABLE) == [(met.near.fileno(), WRITABLE)]
        sent += took
    assert met.near.send(data[99:]) == 1
    met.pause()
    assert met.peer.heard() == data
    only(met.simulation, "short_write")


@pytest.mark.parametrize(("name", "error"), [("not_ready", BlockingIOError), ("interrupted", InterruptedError)])
def test_calls_that_are_to_be_tried_again(name: str, error: type[OSError]) -> None:
    met = meet(**{name: 0.5})
    met.peer.say(b"hello")
    met.pause()
    tries = 0
    while met.near.arrived:
        assert met.look(READABLE) == [(met.near.fileno(), READABLE)], "it is told again each time"
        tries += 1
        try:
            assert met.near.recv(10) == b"hello"
        except error:
            assert met.near.arrived == b"hello"
    taken = 0
    while taken < 3:
        assert met.look(WRITABLE) == [(met.near.fileno(), WRITABLE)]
        tries += 1
        try:
            taken += met.near.send(b"x")
        except error:
            pass
    met.pause()
    assert met.peer.heard() == b"xxx", "what failed has sent nothing"
    assert met.simulation.met[name] == tries - 4
    only(met.simulation, name)


CUTS = [("reset", ConnectionResetError), ("broken_pipe", BrokenPipeError), ("no_buffers", OSError)]


@pytest.mark.parametrize("sends", [False, True], ids=["recv", "send"])
@pytest.mark.parametrize(("name", "error"), CUTS)
def test_connections_that_are_cut(name: str, error: type[OSError], sends: bool) -> None:
    met = meet(**{name: 1.0})
    met.peer.say(b"never read")
    met.pause()
    if name != "reset" and not sends:
        assert met.near.recv(4) == b"neve", "this one befalls sends alone"
        assert not met.simulation.met
        return
    with pytest.raises(error) as caught:
        met.near.send(b"x") if sends else met.near.recv(10)
    assert name != "no_buffers" or caught.value.errno == ENOBUFS
    assert end_of(met.near).other.fate == CUT  # type: ignore[attr-defined]
    assert met.near.recv(10) == b"", "the error comes once, and nothing after it"
    with pytest.raises(BrokenPipeError):
        met.near.send(b"x")
    met.pause()
    assert met.peer.heard() == b""
    assert met.peer.reset
    assert met.simulation.met[name] == 1
    only(met.simulation, name)


def test_after_the_peers_end_only_sends_are_cut() -> None:
    met = meet(reset=1.0)
    met.peer.say(b"last words")
    met.peer.half_close()
    met.pause()
    assert [met.near.recv(4), met.near.recv(10), met.near.recv(10)] == [b"last", b" words", b""]
    assert not met.simulation.met["reset"]
    with pytest.raises(BrokenPipeError):
        met.near.send(b"x")
    only(met.simulation, "reset")


def test_a_reset_comes_at_any_byte() -> None:
    """An echo of 12 bytes, one at a time, is cut after each number of them in some seed or other."""
    heard = set()
    for seed in range(150):
        rig = Rig(Acts(echo), seed=seed, faults=Faults(reset=0.1))
        peer = rig.dial()
        got = rig.hears(peer)
        for _ in range(12):
            peer.say(b"x")
            rig.run(0.01)
        if rig.simulation.met["reset"]:
            assert peer.reset
            heard.add(len(got))
    assert heard >= set(range(12))


# Calls of accept.


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("accept_aborted", {ECONNABORTED}),
        ("accept_no_descriptor", {EMFILE, ENFILE}),
        ("accept_no_buffers", {ENOBUFS, ENOMEM}),
        ("interrupted", {4}),
    ],
)
def test_accept_fails(name: str, errors: set[int]) -> None:
    simulation = Simulation(1, faults=Faults(**{name: 0.5}))
    listening = simulation.listen(SERVER, 100)
    with pytest.raises(BlockingIOError):
        listening.accept()
    assert not simulation.met, "where nobody waits, nothing fails"
    peers = [simulation.dial(SERVER) for _ in range(20)]
    simulation.travel(0.01)
    met, accepted = set(), 0
    while listening.waiting:
        waiting = len(listening.waiting)
        try:
            listening.accept()
            accepted += 1
        except OSError as error:
            met.add(error.errno)
            assert len(listening.waiting) == waiting - (name == "accept_aborted")
    assert met == errors
    simulation.travel(0.01)
    gone = sum(not peer.heard() and peer.reset for peer in peers)
    assert gone == (simulation.met[name] if name == "accept_aborted" else 0)
    assert accepted == 20 - gone
    assert simulation.descriptors_used() == 1 + accepted
    only(simulation, name)


# Polls.


def test_spurious() -> None:
    met = meet(spurious=1.0)
    assert met.look(READABLE) == [(met.near.fileno(), READABLE)]
    with pytest.raises(BlockingIOError):
        met.near.recv(10)
    assert met.look(PEER_ENDED) == [], "an end is never made up"
    assert met.look(READABLE | PEER_ENDED) == [(met.near.fileno(), READABLE)]
    met.peer.say(b"x")
    met.pause()
    assert met.look(READABLE) == [(met.near.fileno(), READABLE)], "once is enough"
    only(met.simulation, "spurious")


def test_nobody_that_is_connecting_is_called_ready_for_nothing() -> None:
    simulation = Simulation(1, faults=Faults(spurious=1.0), delay_seconds=(1.0, 1.0))
    simulation.listen(SERVER, 100)
    channel = simulation.connect(SERVER)
    simulation.poller.register(channel.fileno(), WRITABLE)
    assert simulation.poller.ready(0.5, 10) == []
    assert simulation.poller.ready(5.0, 10) == [(channel.fileno(), WRITABLE)]


def test_early() -> None:
    simulation = Simulation(1, faults=Faults(early=0.5))
    began, ended = simulation.now(), []
    for _ in range(100):
        before = simulation.now()
        assert simulation.poller.ready(10.0, 10) == []
        ended.append(simulation.now() - before < 1.0)
        simulation.poller.ready(0, 10)
    assert sum(ended) == simulation.met["early"], "a poll that does not wait cannot end early"
    assert 0 < sum(ended) < 100
    assert simulation.now() - began == pytest.approx(10.0 * (100 - sum(ended)), abs=0.01)
    only(simulation, "early")


def test_clock_jump() -> None:
    simulation = Simulation(1, faults=Faults(clock_jump=0.5, jump_seconds=7.0))
    due: list[float] = []
    for second in range(1, 5):
        simulation.after(second * 1.0, lambda: due.append(simulation.now()))
    jumps = []
    for _ in range(100):
        before, wall = simulation.now(), simulation.wall()
        simulation.poller.ready(0, 10)
        jumps.append(simulation.now() - before)
        assert simulation.wall() - wall == pytest.approx(jumps[-1], abs=1e-4), "the calendar goes on meanwhile"
    assert sum(jump > 1e-5 for jump in jumps) == simulation.met["clock_jump"]
    assert 6 < max(jumps) < 7.1
    assert len(due) == 4
    assert len(set(due)) < 4, "what fell due during a jump comes at once"
    only(simulation, "clock_jump")


def test_wall_jump() -> None:
    simulation = Simulation(1, faults=Faults(wall_jump=0.5, jump_seconds=7.0))
    jumps = []
    for _ in range(100):
        before, wall = simulation.now(), simulation.wall()
        simulation.poller.ready(0, 10)
        assert simulation.now() - before < 1e-5, "the clock is not the calendar"
        jumps.append(simulation.wall() - wall)
    assert min(jumps) < -5
    assert max(jumps) > 5
    assert sum(abs(jump) > 1e-5 for jump in jumps) == simulation.met["wall_jump"]
    only(simulation, "wall_jump")


# What travels.


@seeds
def test_lost(seed: int) -> None:
    """A lost segment comes after 0.2 s, one lost twice after 0.2 + 0.4, and nothing overtakes it."""
    met = meet(seed, options={"delay_seconds": (0.0, 0.0)})
    met.peer._end.link = Link(Random(seed), met.simulation.met, delay_seconds=(0, 0), faults=Faults(lost=0.3))
    began, lost, late = met.simulation.now(), [0], []
    for number in range(20):
        met.peer.say(bytes([number]))
        lost.append(met.simulation.met["lost"])
        late.append(sum(0.2 * 2**again for again in range(lost[-1] - lost[-2])))
    heard: dict[int, float] = {}
    while len(heard) < 20:
        met.look(READABLE, seconds=100.0)
        heard.update(dict.fromkeys(met.near.recv(100), met.simulation.now() - began))
    assert list(heard) == list(range(20)), "order is kept"
    assert lost[-1] > 2
    assert heard[0] == pytest.approx(late[0], abs=0.001)
    assert heard[19] == pytest.approx(sum(late), abs=0.001), "each waits for those before it"
    only(met.simulation, "lost")


@seeds
@pytest.mark.parametrize("odds", [0.0, 1.0])
def test_end_with_data(seed: int, odds: float) -> None:
    met = meet(seed, end_with_data=odds, options={"delay_seconds": (0.0, 0.0)})
    met.peer._end.link.delay_seconds = (0.5, 0.9)
    met.peer.say(b"last words")
    met.simulation._clock += 0.1
    met.peer.half_close()
    said = met.look(READABLE | PEER_ENDED, seconds=10.0)
    if odds:
        assert said == [(met.near.fileno(), READABLE | PEER_ENDED)]
        only(met.simulation, "end_with_data")
    elif met.simulation.now() < met.peer._end.clear_at:
        assert said == [(met.near.fileno(), READABLE)]
    assert met.near.recv(100) == b"last words"
    met.look(PEER_ENDED, seconds=10.0)
    assert met.near.recv(100) == b""


def test_an_end_comes_after_the_data_where_nothing_brings_them_together() -> None:
    apart = 0
    for seed in range(20):
        met = meet(seed, options={"delay_seconds": (0.0, 0.01)})
        met.peer.say(b"x")
        met.peer.half_close()
        apart += met.look(READABLE | PEER_ENDED, seconds=1.0) == [(met.near.fileno(), READABLE)]
    assert apart > 3


class Speaker:
    """A client's machine that says something every second, and remembers what came."""

    def __init__(self, client: Any) -> None:
        self.heard = b""

    def feed(self, data: bytes) -> None:
        self.heard += data

    def step(self) -> Want:
        self.turn = not getattr(self, "turn", False)
        return b"tick" if self.turn else Wait(1.0)


@seeds
def test_vanished(seed: int) -> None:
    acts = Acts(lambda machine: b"hello" if machine.steps == 1 else PARK if machine.data else READ)
    rig = Rig(acts, seed=seed, faults=Faults(vanished=0.3), limits=Limits(waiting_seconds=500, idle_seconds=500))
    client = rig.simulation.enter(SERVER, Speaker)
    rig.run(100.0)
    assert client.reason is not None
    assert (client.reason.cause, client.reason.detail) == (Cause.PEER_LOST, "vanished")
    assert client.harmed
    sent = client.sent
    assert rig.reactor.totals().received <= sent
    rows = rig.rows
    for row in rows:
        row.channel.send(b"nobody hears this")
    rig.run(10.0)
    assert client.received <= 5
    assert rig.rows == rows, "neither an end nor a reset ever comes"
    only(rig.simulation, "vanished")


def test_bandwidth() -> None:
    """A link passes so many bytes a second, however they are cut."""
    for pieces in (1, 10):
        met = meet(options={"delay_seconds": (0.0, 0.0)})
        met.peer._end.link = met.simulation.new_link(1, bytes_a_second=1000.0)
        began = met.simulation.now()
        for _ in range(pieces):
            met.peer.say(bytes(10_000 // pieces))
        heard = 0
        while heard < 10_000:
            met.look(READABLE, seconds=100.0)
            heard += len(met.near.recv(1 << 16))
            assert heard <= 1000 * (met.simulation.now() - began + 0.01)
        assert met.simulation.now() - began == pytest.approx(10.0, abs=0.01)
        assert not met.simulation.met


def fate(seed: int, crowd: int) -> list[object]:
    """What befalls the first client of a crowd: each arrival at the server, and what comes of it."""
    faults = Faults(short_read=0.2, short_write=0.2, not_ready=0.1, reset=0.02, lost=0.2)
    acts = Acts(echo)
    rig = Rig(acts, grain_seconds=0.01, seed=seed)
    peers = []
    for number in range(crowd):
        link = rig.simulation.new_link(seed * 1000 + number, delay_seconds=(0.0, 0.1), faults=faults)
        peers.append(rig.simulation.dial(SERVER, link))
    heard = [rig.hears(peer) for peer in peers]
    lengths: list[object] = []
    for _ in range(30):
        for peer in peers:
            peer.say(b"hello world")
        rig.run(0.5)
        lengths.append((len(heard[0]), peers[0].reset))
    return lengths


def test_what_befalls_a_client_is_not_moved_by_others() -> None:
    fates = [fate(seed, 1) for seed in range(12)]
    assert fates == [fate(seed, 6) for seed in range(12)]
    assert len({str(one) for one in fates}) > 6, "different seeds, different fates"
    assert any(one[-1][1] for one in fates)  # type: ignore[index]


# The disk.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 400)
    return path


def test_slow_disk(path: Path) -> None:
    met = meet(slow_disk=0.5, disk_seconds=3.0)
    with path.open("rb") as file:
        waits = []
        for _ in range(50):
            before = met.simulation.now()
            assert met.simulation.send_file(met.near, file, 0, 100) == 100
            waits.append(met.simulation.now() - before)
    assert sum(wait > 0 for wait in waits) == met.simulation.met["slow_disk"]
    assert 2.0 < max(waits) < 3.0
    only(met.simulation, "slow_disk")


def test_short_file(path: Path) -> None:
    met = meet(short_file=1.0)
    data = path.read_bytes()
    with path.open("rb") as file:
        sent = 0
        while sent < 1000:
            took = met.simulation.send_file(met.near, file, sent, 1001 - sent)
            assert 1 <= took < 1001 - sent
            assert met.look(WRITABLE) == [(met.near.fileno(), WRITABLE)]
            sent += took
        assert met.simulation.send_file(met.near, file, sent, 1) == 1
    met.pause()
    assert met.peer.heard() == data[:1001]
    only(met.simulation, "short_file")


# What is only observed.


def test_half_close_is_counted_where_the_client_reads_on() -> None:
    for how, count in (("half_close", 1), ("close", 0)):
        rig = Rig(Acts(lambda machine: READ))
        peer = rig.dial()
        rig.run(0.1)
        getattr(peer, how)()
        rig.run(0.1)
        assert rig.simulation.met["half_close"] == count
        assert rig.ended == {str(Cause.CUT_SHORT): 1}


@pytest.mark.parametrize("paused", [True, False])
def test_a_reset_while_paused(paused: bool) -> None:
    """A row that waits, and knows of the peer's end, is asked about no more: a reset is not even heard of."""
    rig = Rig(Acts(lambda machine: PARK), limits=Limits(waiting_seconds=5))
    peer = rig.dial()
    if paused:
        peer.half_close()
    rig.run(0.1)
    assert [row.interest for row in rig.reactor.rows()] == ["-" if paused else "e"]
    peer.abort()
    rig.run(1.0)
    assert rig.simulation.met["reset_while_paused"] == paused
    assert rig.states == ["WAITING"] * paused
    rig.run(5.0)
    assert rig.ended == {str(Cause.WAITED_TOO_LONG if paused else Cause.PEER_LOST): 1}


def test_who_gives_up_at_a_full_queue_never_arrives() -> None:
    simulation = Simulation(1)
    listening = simulation.listen(SERVER, 0)
    peers = [simulation.dial(SERVER) for _ in range(4)]
    simulation.travel(0.5)
    assert simulation.met["queue_full"] == 3
    peers[1].close()
    peers[2].vanish()
    listening.accept()
    simulation.travel(1.0)
    assert len(listening.waiting) == 1
    assert [peer._end.connecting for peer in peers] == [False, True, True, False]
    assert simulation.met["queue_full"] == 3


# Odds.


def test_odds_are_all_faults_and_nothing_else() -> None:
    assert set(RARE) < set(ODDS)
    assert not set(OBSERVED) & set(ODDS)
    assert Faults() == Faults(**dict.fromkeys(ODDS, 0.0))


def test_drawn() -> None:
    drawn = [Faults.drawn(Random(seed)) for seed in range(300)]
    for name in ODDS:
        odds = [getattr(faults, name) for faults in drawn]
        assert 0.5 < odds.count(0.0) / 300 < 0.7, f"{name} is spared or met far too often"
        most = 0.25 / 25 if name in RARE else 0.25
        assert most / 3 < max(odds) <= most
        assert all(odd == 0 or odd >= most / 250.1 for odd in odds)
    assert all(0.01 <= faults.jump_seconds <= 100 for faults in drawn)
    assert all(getattr(Faults.drawn(Random(1), spared=1.0), name) == 0 for name in ODDS)
    assert drawn[7] == Faults.drawn(Random(7))


# A server, each fault, each state.


def plans(path: Path) -> dict[str, Callable[[Acting], Want]]:
    """Machines that rest in each state while faults befall them."""
    big = bytes(300_000)

    def files(machine: Acting) -> Want:
        if machine.memory is None:
            machine.memory = path.open("rb")
        return File(machine.memory, 0, 100_000) if machine.take() else IDLE

    def calls(machine: Acting) -> Want:
        if machine.outcomes:
            return b"x" if machine.outcomes.pop().error is None else b"y"
        return Call(len, "abc", how="thread") if machine.take() else CLOSE if machine.over else IDLE

    def waits(machine: Acting) -> Want:
        return Wait(0.05) if machine.steps % 2 else machine.take() or (CLOSE if machine.over else IDLE)

    return {
        "IDLE": echo,
        "READING": lambda machine: READ if len(machine.data) < 90 else machine.take(),
        "OPENING": lambda machine: OPENING if len(machine.data) < 10 and not machine.memory else asked(machine),
        "WAITING": waits,
        "WRITING": lambda machine: big if machine.take() else IDLE,
        "WORKING": lambda machine: NEXT if machine.data and machine.steps % 9 else machine.take() or IDLE,
        "LINGERING": lambda machine: b"bye" if machine.steps == 1 else CLOSE,
        "FILE": files,
        "CALLING": calls,
    }


def asked(machine: Acting) -> Want:
    machine.memory = True
    return machine.take() or IDLE


class Visitor:
    """A client's machine that asks a few times and ends in order, whatever comes."""

    duplex = True

    def __init__(self, client: Any) -> None:
        self.asked = 0
        self.over = False

    def feed(self, data: bytes) -> None:
        self.over = self.over or not data

    def step(self) -> Want:
        self.asked += 1
        return (READ, b"y" * 100, Wait(0.02))[self.asked % 3] if self.asked < 9 and not self.over else CLOSE


STATES = ("IDLE", "READING", "OPENING", "WAITING", "WRITING", "WORKING", "LINGERING", "FILE", "CALLING")
CUTTING = ("reset", "broken_pipe", "no_buffers")
NEEDS_FILE = ("slow_disk", "short_file")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", STREAMS)
def test_a_server_stands(name: str, state: str, path: Path) -> None:
    acts = Acts(plans(path)[state])
    faults = Faults(**{name: 0.1 if name in CUTTING else 0.3}, jump_seconds=2.0)
    rig = Rig(acts, seed=len(name) * 100 + STATES.index(state), faults=faults, limits=Limits(quantum_bytes=5000))
    peers = rig.dials(8)
    for peer in peers:
        rig.hears(peer)
    for _ in range(6):
        rig.simulation.enter(SERVER, Visitor)
        for peer in peers:
            peer.say(b"x" * 30)
        rig.run(0.03)
    for number, peer in enumerate(peers):
        (peer.abort, peer.half_close, peer.close, lambda: None)[number % 4]()
    rig.run(500.0)
    assert not rig.rows, "each ends in its time"
    totals = rig.reactor.totals()
    assert totals.accepted == sum(rig.ended.values())
    assert not set(rig.ended) & {str(Cause.MACHINE_ERROR), str(Cause.ILLEGAL)}
    assert all(acting.reason is not None for acting in acts.made)
    assert rig.reactor.table.held == 0
    assert rig.simulation.descriptors_used() == 1
    met = set(rig.simulation.met) - set(OBSERVED)
    assert met <= {name}
    if state == ("FILE" if name in NEEDS_FILE else "CALLING" if name == "call_killed" else "IDLE"):
        assert met == {name}
    serves_still(rig, state)
    for acting in acts.made:
        if state == "FILE" and acting.memory:
            acting.memory.close()


def serves_still(rig: Rig, state: str) -> None:
    """Somebody whom no fault befalls is served as if nothing had been."""
    link = rig.simulation.new_link(1, faults=Faults())
    for _ in range(40):
        late = rig.simulation.dial(SERVER, link)
        heard = rig.hears(late)
        late.say(b"z" * 90)
        rig.run(9.0)
        late.close()
        if heard:
            return
    raise AssertionError(f"nobody is served any more after {state}: {rig.ended}")


@pytest.mark.parametrize("seed", range(5))
def test_without_odds_none_ever_happens(seed: int, path: Path) -> None:
    for act in plans(path).values():
        acts = Acts(act)
        rig = Rig(acts, seed=seed, faults=Faults(jump_seconds=9.0, resend_seconds=9.0, disk_seconds=9.0))
        for _ in range(5):
            rig.simulation.enter(SERVER, Visitor)
            rig.dial().say(b"x" * 100)
            rig.run(0.5)
        assert not set(rig.simulation.met) & set(ODDS)
        rig.reactor.close()
        for acting in acts.made:
            if hasattr(acting.memory, "close"):
                acting.memory.close()


# One seed, one run.


def run_of(seed: int) -> str:
    """A digest of a whole run: who was ready when, what everybody heard, what was met."""
    faults = Faults.drawn(Random(seed), spared=0.3)
    simulation = Simulation(seed, faults=faults, grain_seconds=0.001)
    reactor = Reactor(simulation)
    reactor.listen("server:7", Acts(lambda machine: machine.take() or IDLE))
    digest = sha256()
    ready = simulation.poller.ready

    def traced(seconds: float | None, most: int) -> Any:
        pairs = ready(seconds, most)
        digest.update(repr((simulation.now(), pairs)).encode())
        return pairs

    simulation.poller.ready = traced  # type: ignore[method-assign]
    clients = [simulation.enter(SERVER, Visitor, link=simulation.new_link(number)) for number in range(20)]
    simulation.run(reactor, 30.0)
    assert_conserved(reactor)
    digest.update(repr([(client.received, client.sent, client.reason) for client in clients]).encode())
    digest.update(repr(sorted(simulation.met.items())).encode())
    reactor.close()
    return digest.hexdigest()


def test_a_seed_is_a_run() -> None:
    runs = [run_of(seed) for seed in range(8)]
    assert runs == [run_of(seed) for seed in range(8)]
    assert len(set(runs)) == 8


@pytest.mark.parametrize("hashes", ["0", "1", "4242"])
def test_a_seed_is_a_run_in_any_process(hashes: str) -> None:
    code = "from test_faults import run_of; print(*map(run_of, range(4)))"
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [run_of(seed) for seed in range(4)]
