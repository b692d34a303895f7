"""A tunnel: the same bytes at both ends, half-closes and resets where they happened, and no memory in between.

The target here is not the engine's: the test moves it by hand, as it moves the client, so that either side can be slow,
deaf, silent or gone at any byte. After each turn all bytes held are compared with what a tunnel may hold.
"""

from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest
from partway.engine import Cause, Limits, Row, parse_address
from partway.engine.freeze import freeze, thaw
from partway.engine.machine import Machine
from partway.engine.memory import End, end_of
from partway.engine.simulation import Peer
from partway.protocols.forward import Forward, Half
from worlds import SEEDS, Rig, assert_conserved

TARGET = "target:9"
SMALL = Limits(relay_bytes=4000, receive_bytes=1000, idle_seconds=300)
HELD_MOST = 2 * (SMALL.relay_bytes + SMALL.receive_bytes)  # in one direction: what waits, and what is being sent


class Side:
    """One end of a tunnel, outside the engine: says and hears as room and bytes come."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.reading = True
        self.most = 1 << 30  # bytes that it reads a turn
        self.ended = False
        self.reset = False

    @property
    def over(self) -> bool:
        return self.ended or self.reset


class Client(Side):
    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer
        self.say = peer.say
        self.half_close = peer.half_close
        self.abort = peer.abort
        self.close = peer.close

    def pump(self) -> None:
        if self.reading and not self.over:
            self.got += self.peer.heard(self.most)
            self.ended, self.reset = self.peer.ended, self.peer.reset


class Target(Side):
    def __init__(self, end: End) -> None:
        super().__init__()
        self.end = end
        self.unsaid = bytearray()
        self.ends = False
        self.abort = end.abort
        self.close = end.close

    def say(self, data: bytes) -> None:
        self.unsaid += data
        self.pump()

    def half_close(self) -> None:
        self.ends = True
        self.pump()

    def pump(self) -> None:
        try:
            while self.unsaid:
                del self.unsaid[: self.end.send(bytes(self.unsaid[:5000]))]
            if self.ends:
                self.ends = False
                self.end.half_close()
        except BlockingIOError:
            pass
        except OSError:
            self.reset = True
            self.unsaid.clear()
        room = self.most
        while self.reading and not self.over and room > 0:
            try:
                data = self.end.recv(room)
            except BlockingIOError:
                break
            except OSError:
                self.reset = True
                break
            self.got += data
            room -= len(data)
            self.ended = not data


class Tunnel(Rig):
    """A forwarder on a simulation, a client, and the target's side of its connection."""

    def __init__(self, *, seed: int = 1, limits: Limits = SMALL, target: bool = True, **options: Any) -> None:
        print(f"seed {seed}")
        super().__init__(self._half, seed=seed, limits=limits, **options)
        self.forward = Forward(self.reactor, TARGET)
        self.sides: list[Side] = []
        self.held_most = 0
        if target:
            self.target_listens = self.simulation.listen(parse_address(TARGET), 100)
            self.client, self.target = self.connect()

    def _half(self, row: Row) -> Half:
        return self.forward(row)

    def connect(self) -> tuple[Client, Target]:
        """One more tunnel, all the way through."""
        client = Client(self.dial())
        self.until(lambda: self.target_listens.waiting)
        target = Target(end_of(self.target_listens.accept()[0]))
        self.sides += [client, target]
        self.until(lambda: "OPENING" not in self.states)
        return client, target

    def turn(self, seconds: float = 0.001) -> None:
        self.reactor.step(seconds)
        assert_conserved(self.reactor)
        self.held_most = max(self.held_most, self.reactor.table.held)
        for side in self.sides:
            cast(Any, side).pump()

    def until(self, predicate: Any, turns: int = 20_000) -> None:
        for _ in range(turns):
            if predicate():
                return
            self.turn()
        raise AssertionError("\n".join(map(str, [*self.reactor.rows(), self.reactor.totals()])))

    def pass_time(self, seconds: float) -> None:
        until = self.simulation.now() + seconds
        while self.simulation.now() < until:
            self.turn(until - self.simulation.now())

    def settle(self) -> None:
        self.until(lambda: not self.reactor.table.rows)
        for _ in range(50):
            self.turn()


def noise(size: int, seed: int = 5) -> bytes:
    return Random(seed).randbytes(size)


# Bytes and ends.


@pytest.mark.parametrize("seed", range(8))
def test_the_same_bytes_arrive_at_both_ends(seed: int) -> None:
    tunnel = Tunnel(seed=seed, capacity_bytes=3000)
    random = Random(seed)
    up, down = random.randbytes(60_000), random.randbytes(60_000)
    left = {tunnel.client: up, tunnel.target: down}
    while any(left.values()):
        for side, data in left.items():
            size = random.choice([0, 0, 1, 100, 3000, 20_000])
            cast(Any, side).say(data[:size])
            left[side] = data[size:]
            side.reading = random.random() < 0.7
            side.most = random.choice([1, 50, 5000])
        for _ in range(random.randrange(20)):
            tunnel.turn()
    for side in (tunnel.client, tunnel.target):
        side.reading, side.most = True, 1 << 30
        cast(Any, side).half_close()
    tunnel.until(lambda: tunnel.client.over and tunnel.target.over)
    assert tunnel.target.got == up
    assert tunnel.client.got == down
    assert tunnel.client.ended and tunnel.target.ended
    tunnel.settle()
    assert tunnel.ended == {str(Cause.DONE): 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_that_ends_its_side_gets_the_whole_answer(seed: int) -> None:
    tunnel = Tunnel(seed=seed)
    tunnel.client.say(b"question")
    tunnel.client.half_close()
    tunnel.until(lambda: tunnel.target.ended)
    assert tunnel.target.got == b"question"
    answer = noise(200_000)
    tunnel.target.say(answer)
    tunnel.target.half_close()
    tunnel.until(lambda: tunnel.client.over)
    assert tunnel.client.got == answer
    tunnel.settle()
    assert tunnel.ended == {str(Cause.DONE): 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_that_ends_its_side_first_gets_the_whole_upload(seed: int) -> None:
    tunnel = Tunnel(seed=seed)
    tunnel.target.say(b"welcome")
    tunnel.target.half_close()
    tunnel.until(lambda: tunnel.client.ended)
    assert tunnel.client.got == b"welcome"
    upload = noise(200_000)
    tunnel.client.say(upload)
    tunnel.client.half_close()
    tunnel.until(lambda: tunnel.target.over)
    assert tunnel.target.got == upload
    tunnel.settle()
    assert tunnel.ended == {str(Cause.DONE): 2}


def test_what_is_said_before_the_target_is_there_is_not_lost() -> None:
    tunnel = Tunnel(target=False)
    tunnel.target_listens = tunnel.simulation.listen(parse_address(TARGET), 100)
    client = Client(tunnel.dial())
    client.say(noise(100_000))
    client.half_close()
    tunnel.sides.append(client)
    tunnel.until(lambda: tunnel.target_listens.waiting)
    target = Target(end_of(tunnel.target_listens.accept()[0]))
    tunnel.sides.append(target)
    tunnel.until(lambda: target.ended)
    assert target.got == noise(100_000)
    target.half_close()
    tunnel.settle()
    assert tunnel.ended == {str(Cause.DONE): 2}


# Memory.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_that_reads_slowly_costs_what_the_limit_says(seed: int) -> None:
    tunnel = Tunnel(seed=seed, capacity_bytes=2000)
    tunnel.client.most = 300
    answer = noise(100_000)
    tunnel.target.say(answer)
    tunnel.target.half_close()
    tunnel.until(lambda: tunnel.client.over)
    assert tunnel.client.got == answer
    assert SMALL.relay_bytes <= tunnel.held_most <= HELD_MOST


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_that_reads_slowly_costs_what_the_limit_says(seed: int) -> None:
    tunnel = Tunnel(seed=seed, capacity_bytes=2000)
    tunnel.target.most = 300
    upload = noise(100_000)
    tunnel.client.say(upload)
    tunnel.client.half_close()
    tunnel.until(lambda: tunnel.target.over)
    assert tunnel.target.got == upload
    assert SMALL.relay_bytes <= tunnel.held_most <= HELD_MOST


def test_two_deaf_ends_cost_what_the_limit_says() -> None:
    tunnel = Tunnel(capacity_bytes=2000)
    tunnel.client.reading = tunnel.target.reading = False
    tunnel.client.say(noise(100_000))
    tunnel.target.say(noise(100_000))
    for _ in range(2000):
        tunnel.turn()
    assert tunnel.held_most <= 2 * HELD_MOST


@pytest.mark.parametrize("deaf", ["client", "target"])
def test_one_direction_does_not_wait_for_the_other(deaf: str) -> None:
    """A side that reads nothing may still say all that it has: its own direction is free."""
    tunnel = Tunnel(capacity_bytes=2000)
    silent, speaker = (tunnel.target, tunnel.client) if deaf == "client" else (tunnel.client, tunnel.target)
    speaker.reading = False
    silent.most = 300  # so slow that the tunnel is full at times
    silent.say(noise(50_000))
    for _ in range(500):
        tunnel.turn()
    speaker.say(noise(50_000, seed=6))
    tunnel.until(lambda: len(silent.got) == 50_000)
    assert silent.got == noise(50_000, seed=6)
    speaker.reading = True
    tunnel.until(lambda: len(speaker.got) == 50_000)
    assert speaker.got == noise(50_000)


def test_a_row_stays_until_its_bytes_have_gone() -> None:
    """Both sides have ended, but what the client has said is still on its way, and counted."""
    tunnel = Tunnel(capacity_bytes=2000)
    tunnel.target.reading = False
    tunnel.target.half_close()
    tunnel.client.say(noise(6000))
    tunnel.client.half_close()
    for _ in range(200):
        tunnel.turn()
    assert len(tunnel.rows) == 2
    assert tunnel.reactor.table.held == 6000 - 2000
    tunnel.target.reading = True
    tunnel.settle()
    assert tunnel.target.got == noise(6000)
    assert tunnel.ended == {str(Cause.DONE): 2}


# Losses.


@pytest.mark.parametrize("lost", ["client", "target"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_reset_of_one_side_resets_the_other(lost: str, busy: bool) -> None:
    tunnel = Tunnel(capacity_bytes=2000)
    if busy:
        tunnel.client.reading = tunnel.target.reading = False
        tunnel.client.say(noise(30_000))
        tunnel.target.say(noise(30_000))
        for _ in range(200):
            tunnel.turn()
    gone, other = (tunnel.client, tunnel.target) if lost == "client" else (tunnel.target, tunnel.client)
    cast(Any, gone).abort()
    gone.reading = False
    other.reading = True
    tunnel.until(lambda: other.over)
    assert other.reset, "an orderly end would be a lie"
    tunnel.settle()
    assert tunnel.reactor.table.held == 0


def test_a_target_that_vanishes_half_way() -> None:
    tunnel = Tunnel(capacity_bytes=2000)
    tunnel.client.most = 100
    tunnel.target.say(noise(100_000))
    tunnel.until(lambda: len(tunnel.client.got) > 10_000)
    tunnel.target.abort()
    tunnel.target.reading = False
    tunnel.client.most = 1 << 30
    tunnel.until(lambda: tunnel.client.over)
    assert tunnel.client.reset
    assert len(tunnel.client.got) < 100_000
    assert tunnel.client.got == noise(100_000)[: len(tunnel.client.got)]


def test_a_target_that_refuses() -> None:
    tunnel = Tunnel(target=False)
    client = Client(tunnel.dial())
    tunnel.sides.append(client)
    client.say(b"anybody?")
    tunnel.until(lambda: client.over)
    assert client.reset and client.got == b""
    tunnel.settle()
    assert tunnel.ended == {str(Cause.NOT_CONNECTED): 1, str(Cause.CLOSED_BY_PROGRAM): 1}


def test_a_target_that_never_answers() -> None:
    tunnel = Tunnel(target=False)
    client = Client(tunnel.dial())
    tunnel.sides.append(client)
    inner = tunnel.forward.__call__

    def slow_network(row: Row) -> Half:
        tunnel.simulation.link.delay_seconds = (1e6, 1e6)
        half = inner(row)
        tunnel.simulation.link.delay_seconds = (0.0, 0.001)
        return half

    tunnel.forward = cast(Forward, slow_network)
    tunnel.pass_time(SMALL.opening_seconds + 1)
    assert client.reset
    assert not tunnel.rows
    assert tunnel.ended == {str(Cause.OPENING_TOO_LONG): 1, str(Cause.CLOSED_BY_PROGRAM): 1}


def test_a_client_that_goes_before_the_target_is_there() -> None:
    tunnel = Tunnel(target=False, delay_seconds=(0.01, 0.01))
    tunnel.target_listens = tunnel.simulation.listen(parse_address(TARGET), 100)
    client = Client(tunnel.dial())
    tunnel.until(lambda: tunnel.rows)
    client.abort()
    tunnel.settle()
    assert tunnel.reactor.table.held == 0


def test_a_full_table_when_connecting() -> None:
    tunnel = Tunnel(limits=Limits(rows_max=3))
    client = Client(tunnel.dial())
    tunnel.sides.append(client)
    tunnel.until(lambda: client.over)
    assert client.reset
    assert "machine error" not in tunnel.kinds()
    tunnel.client.say(b"still here")
    tunnel.until(lambda: tunnel.target.got == b"still here")


def test_no_descriptor_for_the_target() -> None:
    tunnel = Tunnel(descriptors=6)  # two listeners, both ends of a tunnel and the target's, and one for a client
    client = Client(tunnel.dial())
    tunnel.sides.append(client)
    tunnel.until(lambda: client.over)
    assert client.reset
    assert "machine error" not in tunnel.kinds()
    tunnel.client.say(b"still here")
    tunnel.until(lambda: tunnel.target.got == b"still here")


def test_many_clients_of_one_target_are_not_many_rows_of_one_peer() -> None:
    """The limit is for those who come in: all tunnels have one target."""
    tunnel = Tunnel(limits=Limits(rows_per_peer_max=2))
    clients = []
    for number in range(4):
        peer = tunnel.dial()
        peer._end.other.peer = (f"client{number}", 1)
        clients.append(Client(peer))
    tunnel.sides += clients
    for _ in range(100):
        tunnel.turn()
    assert not any(client.reset for client in clients)
    assert len(tunnel.rows) == 10


# Time.

PATIENT = Limits(idle_seconds=20)


def test_when_both_are_silent_it_ends() -> None:
    tunnel = Tunnel(limits=PATIENT)
    tunnel.pass_time(PATIENT.idle_seconds - 1)
    assert len(tunnel.rows) == 2
    tunnel.pass_time(2)
    assert tunnel.client.over and tunnel.target.over
    assert not [row for row in tunnel.states if row != "LINGERING"]


@pytest.mark.parametrize("speaker", ["client", "target"])
@pytest.mark.parametrize("half_closed", [False, True])
def test_traffic_in_one_direction_is_not_idle(speaker: str, half_closed: bool) -> None:
    tunnel = Tunnel(limits=PATIENT)
    one, other = (tunnel.client, tunnel.target) if speaker == "client" else (tunnel.target, tunnel.client)
    if half_closed:
        cast(Any, other).half_close()
    for number in range(100):
        cast(Any, one).say(b"x")
        tunnel.pass_time(5)
        assert len(other.got) == number + 1
    assert not other.over
    tunnel.pass_time(400)
    assert one.over and other.over


def test_a_side_that_never_reads_is_reset_in_the_end() -> None:
    tunnel = Tunnel(limits=PATIENT, capacity_bytes=2000)
    tunnel.client.reading = False
    tunnel.target.say(noise(200_000))
    tunnel.pass_time(PATIENT.stall_seconds + 1)
    tunnel.client.reading = True
    tunnel.pass_time(1)
    assert tunnel.client.reset and tunnel.target.reset
    assert tunnel.ended[str(Cause.ANSWER_TOO_SLOW)] == 1


@pytest.mark.parametrize("reader", ["client", "target"])
@pytest.mark.parametrize("relay_bytes", [4000, 400_000])  # the speaker's half parks, or reads on
@pytest.mark.parametrize("half_closed", [False, True])
def test_a_slow_reader_gets_all_of_what_was_taken_at_once(reader: str, relay_bytes: int, half_closed: bool) -> None:
    """Nothing more comes in, but something goes out: the half that only reads has as much time as its partner needs."""
    limits = replace(PATIENT, relay_bytes=relay_bytes, waiting_seconds=30)
    tunnel = Tunnel(limits=limits, capacity_bytes=2000)
    slow, speaker = (tunnel.client, tunnel.target) if reader == "client" else (tunnel.target, tunnel.client)
    slow.reading = False
    said = noise(32_500)
    cast(Any, speaker).say(said)
    if half_closed:
        cast(Any, speaker).half_close()
    slow.most = 500
    for _ in range(len(said) // 500):
        slow.reading = True
        tunnel.turn(0)
        slow.reading = False
        tunnel.pass_time(1)
    slow.most, slow.reading = 1 << 30, True
    tunnel.pass_time(PATIENT.idle_seconds - 6)
    assert slow.got == said and not slow.reset
    assert half_closed or not slow.over  # the last bytes left for the kernel's buffer less than a period ago
    tunnel.pass_time(7)
    assert slow.over and speaker.over  # and then the tunnel is idle


def test_a_slow_reader_keeps_nobody_busy() -> None:
    """Each `NEXT` costs more than this quantum: who said it again in the next turn would never rest."""
    tunnel = Tunnel(limits=replace(PATIENT, quantum_bytes=5000), capacity_bytes=2000)
    tunnel.client.reading = False
    tunnel.target.say(noise(10_000))
    tunnel.pass_time(0.1)
    turns = tunnel.reactor.totals().turns
    tunnel.pass_time(PATIENT.idle_seconds)
    assert not tunnel.client.over and tunnel.reactor.totals().turns < turns + 20


def test_a_drain_waits_for_what_is_under_way() -> None:
    tunnel = Tunnel(capacity_bytes=2000)
    answer = noise(50_000)
    tunnel.target.say(answer[:1000])
    tunnel.turn()
    tunnel.reactor.drain()
    tunnel.target.say(answer[1000:])
    tunnel.target.half_close()
    tunnel.client.half_close()
    tunnel.until(lambda: tunnel.client.over)
    assert tunnel.client.got == answer and tunnel.client.ended


# For the operator, and for a handoff.


def test_what_an_operator_sees() -> None:
    tunnel = Tunnel()
    assert [row.machine for row in tunnel.reactor.rows()] == [
        "tunnel to row 2, 0 bytes to relay",
        "tunnel to row 1, 0 bytes to relay",
    ]
    assert "nobody" in Half(tunnel.rows[0]).describe()


def move(tunnel: Tunnel) -> None:
    """Both halves leave as bytes, together, and come back."""
    rows = tunnel.rows
    frozen = freeze(cast(Machine, tuple(row.machine for row in rows)))
    thawed = cast(tuple[Machine, ...], thaw(frozen, tunnel.reactor.table.rows.get))
    for row, machine in zip(rows, thawed, strict=True):
        row.machine = machine


@pytest.mark.parametrize("seed", SEEDS)
def test_frozen_at_any_moment(seed: int) -> None:
    tunnel = Tunnel(seed=seed, capacity_bytes=2000)
    up, down = noise(20_000), noise(20_000, seed=6)
    tunnel.client.say(up)
    tunnel.target.say(down)
    tunnel.client.half_close()
    tunnel.client.most = 300
    for _ in range(400):
        tunnel.turn()
        move(tunnel)
    tunnel.target.half_close()
    tunnel.client.most = 1 << 30
    while tunnel.rows:
        tunnel.turn()
        move(tunnel)
    tunnel.until(lambda: tunnel.client.over)
    assert tunnel.target.got == up and tunnel.client.got == down
    assert tunnel.ended == {str(Cause.DONE): 2}
