"""Datagrams with forged senders, on the kernel: it can be forged nowhere else."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from partway.engine import Reactor
from partway.protocols.echo import EchoDatagrams
from partway.stress.attack.crowd import NOTHING, Plan
from partway.stress.attack.spoof import Spoofers
from partway.stress.attack.target import parse_target
from partway.stress.attack.words import words_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="IP_PKTINFO is Linux's")
TURNS_MOST = 10_000


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    reactor.close()


@pytest.fixture
def spoofers(reactor: Reactor) -> Iterator[Callable[..., Spoofers]]:
    made: list[Spoofers] = []

    def make(port: int, count: int, rate: float, say: bytes | None = None, credit: float = 0.0) -> Spoofers:
        target = parse_target(f"udp:127.0.0.1:{port}", "raw", owned=False)
        made.append(Spoofers(reactor, target, words_of(target, say), Plan(count, 0.0, rate)))
        made[-1]._credit = credit
        made[-1].begin()
        return made[-1]

    yield make
    for one in made:
        one.end()


def run_until_answered(reactor: Reactor, spoof: Spoofers, count: int) -> None:
    for _ in range(TURNS_MOST):
        if spoof.answered >= count:
            return
        reactor.step(0.1)
    raise AssertionError(f"{spoof.answered} of {count} were answered")


def test_each_sender_is_another_one_and_all_hear_answers(reactor: Reactor, spoofers: Any) -> None:
    endpoint = reactor.bind("udp:127.0.0.1:0", EchoDatagrams())
    seen: list[str] = []
    admit = endpoint.service.admit

    def watched(data: bytes, peer: tuple[str, int]) -> object:
        seen.append(peer[0])
        return admit(data, peer)

    endpoint.service.admit = watched  # type: ignore[method-assign, assignment]
    spoof = spoofers(endpoint.address.port, 3, 1000)
    run_until_answered(reactor, spoof, 10)
    assert seen[:4] == ["127.1.0.1", "127.1.0.2", "127.1.0.3", "127.1.0.1"]
    assert spoof.seen() == {"alive": 3, "started": 3, "peak": 3, "outcomes": {}, "unable": ""}
    figures = spoof.figures()
    assert set(figures) == set(NOTHING)
    assert figures["asked"] == spoof.sent >= figures["answered"] == spoof.answered >= 10
    spoof.end()
    reactor.step(0.0)
    sent = spoof.sent
    for _ in range(5):
        reactor.step(0.03)
    assert spoof.sent == sent


def test_nobody_is_there(reactor: Reactor, spoofers: Any) -> None:
    """The kernel says so at the next datagram; it goes on."""
    spoof = spoofers(1, 3, 1000)
    for _ in range(TURNS_MOST):
        if spoof.sent > 20:
            break
        reactor.step(0.1)
    assert (spoof.answered, spoof.unable) == (0, "")


def test_a_rate_that_cannot_be_kept_is_not_saved_up(reactor: Reactor, spoofers: Any) -> None:
    spoof = spoofers(1, 3, 1.0)
    clock = reactor.platform.now
    spoof._ticked = clock() - 1000
    spoof._tick()
    assert spoof.sent <= 1


def test_a_datagram_that_the_kernel_refuses(reactor: Reactor, spoofers: Any) -> None:
    spoof = spoofers(1, 3, 1000, b"x" * 70_000, credit=5.0)
    assert spoof.sent == 0
    assert "too long" in spoof.unable.lower()
