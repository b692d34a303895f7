"""DNS over TCP: messages with their lengths before them, in any pieces, several a connection, in order."""

from typing import cast

import pytest
from checker import check_machine
from partway.engine import Cause, Limits
from partway.engine.freeze import freeze, thaw
from partway.protocols.dns import DnsStream, Server
from partway.protocols.dns.stream import QUERY_BYTES_MAX
from questions import PEER, Clock, query, read, server_of, told, with_cookie
from worlds import SEEDS, Rig

ZONE = "www A 192.0.2.2\nmail A 192.0.2.3\nalias CNAME www\nbig TXT " + " ".join(["x" * 250] * 20) + "\n"
NAMES = ["www", "mail", "alias", "nowhere", "big"]


def server() -> Server:
    return server_of(ZONE)


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def queries() -> list[bytes]:
    asked = [query(f"{name}.example.", "TXT" if name == "big" else "A") for name in NAMES]
    for number, message in enumerate(asked):
        message.id = number
    return [message.to_wire() for message in asked] + [with_cookie("www.example."), bytes([0, 9, 16] + [0] * 9)]


def owed(messages: list[bytes]) -> bytes:
    answers = [server().answer(message, PEER) for message in messages]
    assert None not in answers
    return framed(*cast(list[bytes], answers))


def rig_of(asked: Server | None = None, limits: Limits | None = None) -> Rig:
    return Rig((asked or server()).stream, limits=limits)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_pieces_are_answered_the_same(seed: int) -> None:
    """Whole, byte by byte, in random pieces, pipelined, half closed, frozen and thawed at each byte."""
    messages = [message for message in queries() if b"clientck" not in message]
    check_machine(
        server().stream, framed(*messages), owed(messages), trailing=framed(messages[0]) + b"\0", seed=seed, splits=8
    )


def test_pipelined_queries_are_answered_in_order_and_counted() -> None:
    rig = rig_of()
    peer = rig.dial()
    messages = queries()
    peer.say(framed(*messages))
    rig.run(0.1)
    heard = peer.heard()
    ids = []
    while heard:
        size = int.from_bytes(heard[:2], "big")
        ids.append(read(heard[2 : 2 + size]).id)
        heard = heard[2 + size :]
    assert ids == [0, 1, 2, 3, 4, 0x1234, 9]
    assert rig.reactor.totals().requests == len(messages)
    assert rig.states == ["IDLE"]


def test_one_query_a_step() -> None:
    asked = server()
    rig = rig_of(asked, Limits(quantum_bytes=1))
    rig.dial().say(framed(queries()[0]) * 20)
    most = 0
    while asked.counters.stream < 20:
        before = asked.counters.stream
        rig.reactor.step(1)
        most = max(most, asked.counters.stream - before)
    assert most == 1


def test_what_is_long_is_not_cut() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(framed(query("big.example.", "TXT").to_wire()))
    rig.run(0.1)
    heard = peer.heard()
    assert int.from_bytes(heard[:2], "big") == len(heard) - 2 > 5000
    assert len(told(read(heard[2:]))[2]) == 1


@pytest.mark.parametrize("held", [1, 2, 13, 30])
def test_half_a_query_is_a_request_under_way(held: int) -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(framed(queries()[0])[:held])
    rig.run(0.1)
    assert rig.states == ["READING"]
    peer.half_close()
    rig.run(0.1)
    assert peer.heard() == b""
    assert peer.ended
    assert rig.ended == {str(Cause.CUT_SHORT): 1}


def test_a_query_that_drips_is_too_slow() -> None:
    rig = rig_of()
    peer = rig.dial()
    for _ in range(12):
        peer.say(b"\0")
        rig.run(1)
    peer.heard()
    assert peer.ended and not rig.reactor.totals().requests


def test_half_closed_after_the_last_query() -> None:
    rig = rig_of()
    peer = rig.dial()
    messages = queries()
    peer.say(framed(*messages[:3]))
    peer.half_close()
    rig.run(0.1)
    assert peer.heard() == owed(messages[:3])
    assert peer.ended
    assert rig.ended == {str(Cause.DONE): 1}


REFUSED = {
    "nothing": framed(b""),
    "less than a header": framed(bytes(11)),
    "too long": (QUERY_BYTES_MAX + 1).to_bytes(2, "big"),
    "the longest that could be said": b"\xff\xff",
    "an answer": framed(bytes([0, 1, 0x80]) + bytes(9)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ends_the_connection(name: str) -> None:
    """What is too long as soon as its length is known: nobody waits for what is not wanted."""
    rig = rig_of()
    peer, other = rig.dials(2)
    peer.say(framed(queries()[0]) + REFUSED[name] + framed(queries()[1]))
    rig.run(0.1)
    assert peer.heard() == owed(queries()[:1])
    assert peer.ended and not peer.reset
    other.say(framed(queries()[1]))
    rig.run(6)
    assert other.heard() == owed(queries()[1:2])
    assert rig.ended == {str(Cause.PEER_ERROR): 1}


def test_the_longest_query() -> None:
    padding = QUERY_BYTES_MAX - len(query("www.example.", size=0).to_wire()) - 4
    data = bytearray(query("www.example.", size=0).to_wire())
    data[-2:] = (padding + 4).to_bytes(2, "big")
    data += b"\0\x0c" + padding.to_bytes(2, "big") + bytes(padding)
    assert len(data) == QUERY_BYTES_MAX
    rig = rig_of()
    peer = rig.dial()
    peer.say(framed(bytes(data)))
    rig.run(0.1)
    assert told(read(peer.heard()[2:]))[2] == ["www.example. 3600 IN A 192.0.2.2"]


def test_what_cannot_be_read_is_answered_and_the_connection_lives() -> None:
    rig = rig_of()
    peer = rig.dial()
    broken = queries()[0][:-1]
    peer.say(framed(broken, queries()[0]))
    rig.run(0.1)
    assert peer.heard() == owed([broken, queries()[0]])


def test_over_tcp_nobody_is_put_off() -> None:
    asked = server_of(ZONE, unproven_max=0)
    rig = rig_of(asked)
    peer = rig.dial()
    peer.say(framed(*queries()))
    rig.run(0.1)
    assert peer.heard() == owed(queries()[:5]) + peer_specific(asked) + owed(queries()[6:])
    assert asked.counters.put_off == 0


def peer_specific(asked: Server) -> bytes:
    """The answer with a cookie, which is for the simulation's client."""
    answer = asked.answer(with_cookie("www.example."), ("client", 1))
    assert answer is not None
    return framed(answer)


def test_a_machine_freezes_without_its_server() -> None:
    asked, there = server(), server_of(ZONE, clock=Clock(7.0))
    rig = rig_of(asked)
    rig.dial().say(framed(queries()[0])[:20])
    rig.run(0.1)
    (row,) = rig.rows
    frozen = freeze(row.machine, [asked])
    assert len(frozen) < 300
    thawed = thaw(frozen, lambda key: row, [there])
    assert isinstance(thawed, DnsStream) and thawed.server is there
    row.machine = thawed
    thawed.feed(framed(queries()[0])[20:])
    assert thawed.step() == owed(queries()[:1])


def test_an_idle_connection_ends() -> None:
    rig = rig_of()
    peer = rig.dial()
    peer.say(framed(queries()[0]))
    rig.run(14)
    assert peer.heard() and not peer.ended
    rig.run(2)
    assert peer.heard() == b"" and peer.ended
