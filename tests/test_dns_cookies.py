"""Cookies, and what is demanded of those who have none when too many of them come."""

import pickle
from random import Random

import dns.flags
import pytest
from partway.protocols.dns.cookies import FRESH_SECONDS, GOOD_SECONDS, SECRET_SECONDS
from partway.protocols.dns.load import Load
from questions import (
    CLIENT_COOKIE,
    PEER,
    Clock,
    ask,
    cookie_of,
    cookie_option,
    query,
    read,
    server_of,
    told,
    with_cookie,
)

WWW = ["www.example. 3600 IN A 192.0.2.2"]
ZONE = "www A 192.0.2.2\nlong TXT " + " ".join(["x" * 200] * 4) + "\n"
OTHER = ("192.0.2.201", 5353)


def test_a_cookie_is_given_to_those_alone_who_ask_for_one() -> None:
    server = server_of(ZONE)
    assert not cookie_of(ask(server, "www.example.", size=1232))
    cookie = cookie_of(read(server.admit(with_cookie("www.example."), PEER)))
    assert cookie[:8] == CLIENT_COOKIE
    assert cookie[8:12] == b"\1\0\0\0" and len(cookie) == 24, "RFC 9018, 4"
    assert int.from_bytes(cookie[12:16], "big") == 1000


def test_answers_with_cookies_are_the_same() -> None:
    server = server_of(ZONE)
    cookie = cookie_of(read(server.admit(with_cookie("www.example."), PEER)))
    for given in (
        CLIENT_COOKIE,
        cookie,
        CLIENT_COOKIE + bytes(8),
        CLIENT_COOKIE + bytes(16),
        CLIENT_COOKIE + bytes(32),
    ):
        answer = read(server.admit(with_cookie("www.example.", given), PEER))
        assert told(answer) == ("NOERROR", True, WWW, [], [])
        assert cookie_of(answer) == cookie
        assert cookie_of(read(server.answer(with_cookie("www.example.", given), PEER))) == cookie


def test_a_cut_answer_has_its_cookie_too() -> None:
    answer = read(server_of(ZONE).admit(with_cookie("long.example.", kind="TXT", size=512), PEER))
    assert answer.flags & dns.flags.TC and len(cookie_of(answer)) == 24


def test_the_cookie_counts_in_what_fits() -> None:
    for extra in (0, 1):
        data = bytes(512 - 12 - 15 - 12 - 11 - 28 + extra).hex()
        server = server_of(f"d TYPE65280 \\# {len(data) // 2} {data}\n")
        answer = server.admit(with_cookie("d.example.", kind="TYPE65280", size=512), PEER)
        assert answer is not None and (len(answer) == 512) == (not extra)


def test_of_two_cookies_the_first_counts() -> None:
    """RFC 7873, 5.2."""
    options = [cookie_option(CLIENT_COOKIE), cookie_option(b"another!")]
    answer = read(server_of(ZONE).admit(query("www.example.", size=1232, options=options).to_wire(), PEER))
    assert cookie_of(answer)[:8] == CLIENT_COOKIE


class Doorman:
    """A server that wants a cookie from everybody, and a client that shows it one."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.server = server_of(ZONE, clock=self.clock, unproven_max=0)

    def answer(self, cookie: bytes, peer: object = PEER) -> tuple[bool, bytes]:
        """Whether the cookie was taken, and the one that came back."""
        answer = read(self.server.admit(with_cookie("www.example.", cookie), peer))
        assert told(answer) in (("NOERROR", True, WWW, [], []), ("BADCOOKIE", False, [], [], []))
        return told(answer)[0] == "NOERROR", cookie_of(answer)


def test_who_has_no_cookie_is_given_one_and_gets_in_with_it() -> None:
    doorman = Doorman()
    taken, cookie = doorman.answer(CLIENT_COOKIE)
    assert not taken
    assert doorman.answer(cookie) == (True, cookie)
    assert doorman.server.counters.codes[23] == 1


def test_a_cookie_is_good_at_its_address_alone() -> None:
    doorman = Doorman()
    _, cookie = doorman.answer(CLIENT_COOKIE)
    assert not doorman.answer(cookie, OTHER)[0]
    assert doorman.answer(cookie, (PEER[0], 1))[0], "at any port of it"
    assert not doorman.answer(cookie, "a path")[0]
    path = doorman.answer(CLIENT_COOKIE, "a path")[1]
    assert doorman.answer(path, "a path")[0]


@pytest.mark.parametrize("place", range(24))
def test_no_byte_of_a_cookie_can_be_changed(place: int) -> None:
    doorman = Doorman()
    cookie = bytearray(doorman.answer(CLIENT_COOKIE)[1])
    cookie[place] ^= 1
    assert not doorman.answer(bytes(cookie))[0]


@pytest.mark.parametrize("size", [16, 17, 23, 25, 32, 40])
def test_a_cookie_of_another_length_is_not_ours(size: int) -> None:
    doorman = Doorman()
    cookie = doorman.answer(CLIENT_COOKIE)[1] + bytes(16)
    assert not doorman.answer(cookie[:size])[0]


def test_a_cookie_grows_old() -> None:
    doorman = Doorman()
    _, cookie = doorman.answer(CLIENT_COOKIE)
    doorman.clock.seconds += FRESH_SECONDS - 1
    assert doorman.answer(cookie) == (True, cookie)
    doorman.clock.seconds += 1
    taken, newer = doorman.answer(cookie)
    assert taken and newer != cookie
    doorman.clock.seconds += GOOD_SECONDS - FRESH_SECONDS
    assert doorman.answer(cookie)[0]
    doorman.clock.seconds += 1
    assert not doorman.answer(cookie)[0]
    assert doorman.answer(newer)[0]


def test_a_cookie_from_the_future_is_none() -> None:
    doorman = Doorman()
    doorman.clock.seconds += 10
    _, cookie = doorman.answer(CLIENT_COOKIE)
    doorman.clock.seconds -= 10
    assert not doorman.answer(cookie)[0]


def test_secrets_change_and_nobody_notices() -> None:
    doorman = Doorman()
    secrets = set()
    for _ in range(4):
        _, cookie = doorman.answer(CLIENT_COOKIE)
        secrets.add(doorman.server.cookies.secret)
        doorman.clock.seconds += SECRET_SECONDS - 60
        _, cookie = doorman.answer(CLIENT_COOKIE)
        doorman.clock.seconds += 60
        taken, newer = doorman.answer(cookie)
        assert taken and newer == cookie
        assert doorman.answer(doorman.answer(CLIENT_COOKIE)[1])[0]
    assert len(secrets) == 4


def test_secrets_are_random() -> None:
    first, second = server_of(ZONE), server_of(ZONE)
    assert first.cookies.secret == second.cookies.secret, "from the platform's numbers, which have a seed in a test"
    assert len(first.cookies.secret) == 32
    second.cookies.__init__(Clock(), Random(2))  # type: ignore[misc]
    assert first.cookies.secret != second.cookies.secret


def test_a_query_for_a_cookie_alone() -> None:
    """RFC 7873, 5.4: no question, but a cookie."""
    server = server_of(ZONE)

    def alone(cookie: bytes) -> tuple[str, bytes]:
        data = bytearray(with_cookie("www.example.", cookie))
        data[4:6] = b"\0\0"
        del data[12 : 12 + 17]
        answer = read(server.admit(bytes(data), PEER))
        assert (answer.question, answer.answer, answer.edns) == ([], [], 0)
        return told(answer)[0], cookie_of(answer)

    code, cookie = alone(CLIENT_COOKIE)
    assert (code, len(cookie)) == ("NOERROR", 24)
    assert alone(cookie) == ("NOERROR", cookie)
    assert alone(CLIENT_COOKIE + bytes(16)) == ("BADCOOKIE", cookie)
    assert server.counters.codes[23] == 1


def test_under_load_who_has_no_cookie_comes_again_over_tcp() -> None:
    server = server_of(ZONE, unproven_max=0)
    for size in (None, 1232):
        data = query("www.example.", size=size).to_wire()
        answer = server.admit(data, PEER)
        assert answer is not None and len(answer) <= len(data)
        read_answer = read(answer)
        assert read_answer.flags & dns.flags.TC
        assert told(read_answer) == ("NOERROR", False, [], [], [])
        assert told(read(server.answer(data, PEER))) == ("NOERROR", True, WWW, [], [])
    assert server.counters.put_off == 2
    assert told(read(server.answer(with_cookie("www.example."), PEER)))[0] == "NOERROR"


@pytest.mark.parametrize("name", ["www.example.", "long.example.", "nowhere.example.", "other."])
@pytest.mark.parametrize("kind", ["A", "TXT", "ANY", "AXFR"])
def test_under_load_nothing_is_amplified(name: str, kind: str) -> None:
    server = server_of(ZONE, unproven_max=0)
    for size in (None, 512, 4096):
        data = query(name, kind, size=size).to_wire()
        assert len(server.admit(data, PEER) or b"") <= len(data)
    data = with_cookie(name, CLIENT_COOKIE, kind)
    assert len(server.admit(data, PEER) or b"") <= len(data) + 16
    data = with_cookie(name, CLIENT_COOKIE + bytes(16), kind)
    assert len(server.admit(data, PEER) or b"") <= len(data)


def test_who_has_proven_himself_is_not_counted() -> None:
    clock = Clock()
    server = server_of(ZONE, clock=clock, unproven_max=3)
    cookie = cookie_of(read(server.admit(with_cookie("www.example."), PEER)))
    for _ in range(100):
        assert told(read(server.admit(with_cookie("www.example.", cookie), PEER)))[2] == WWW
        assert told(read(server.answer(query("www.example.").to_wire(), PEER)))[2] == WWW
    assert [len(ask(server, "www.example.").answer) for _ in range(4)] == [1, 1, 0, 0]
    assert told(read(server.admit(with_cookie("www.example.", cookie), PEER)))[2] == WWW
    assert told(read(server.admit(with_cookie("www.example."), PEER)))[0] == "BADCOOKIE"


def test_load_is_counted_by_the_second() -> None:
    load = Load(10)
    now = 50.0
    for _ in range(5):
        assert [load.too_many(now) for _ in range(10)] == [False] * 10
        now += 1
    assert [load.too_many(now) for _ in range(12)] == [False] * 10 + [True] * 2
    now += 1
    assert [load.too_many(now) for _ in range(5)] == [True] * 5, "what was too much a second ago may still be"
    now += 1
    assert not load.too_many(now)
    assert [load.too_many(now) for _ in range(12)][-1]
    now += 2
    assert not load.too_many(now), "a second without any"


def test_load_may_be_endless() -> None:
    load = Load(float("inf"))
    assert not any(load.too_many(0.0) for _ in range(10_000))


def test_a_server_is_plain_data() -> None:
    server = server_of(ZONE, unproven_max=1)
    cookie = cookie_of(read(server.admit(with_cookie("www.example."), PEER)))
    again = pickle.loads(pickle.dumps(server))
    assert told(read(again.admit(with_cookie("www.example.", cookie), PEER)))[0] == "NOERROR"
    assert told(read(again.admit(with_cookie("www.example."), PEER)))[0] == "BADCOOKIE"
    assert str(again.counters) == "udp 3, NOERROR 2, BADCOOKIE 1"
