"""Crowds of attackers, in a process of their own: one reactor full of clients.

    python -m partway.stress.attack.attackers ORDERS

The orders are JSON, see `Orders`. It says `ready`; at the line `begin` the crowds come, and from then on twice a second
a line of JSON tells what is seen of each, and how many connections are in which state. At the line `end` a last one
tells all that was seen, and nobody comes any more; who is there stays until standard input ends.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from ...engine import Reactor
from ...engine.kernel import Kernel
from .children import rope
from .crowd import Crowd, Plan
from .hidden import served_ports
from .kinds import ATTACKS
from .spoof import Spoofers
from .target import is_local, parse_target
from .words import words_of

MODULE = __name__ if __name__ != "__main__" else "partway.stress.attack.attackers"
READY, BEGIN, END = b"ready", b"begin", b"end"
TELL_SECONDS = 0.5
DESCRIPTORS_KEPT = 64  # for what is not a client
CLIENTS_GUESSED = 50_000  # of one process, where nobody says how many descriptors it may have


class Order(NamedTuple):
    """One crowd: its name, its kind, whom it attacks (in the user's own words), what it speaks, what is said in hex."""

    name: str
    kind: str
    target: str
    protocol: str
    plan: Plan
    say: str = ""


def words_for(orders: Sequence[Order], seed: int | None, eager: bool) -> list[str]:
    """Return what a process is told when it begins; one that is not eager gives way to whoever wants to run."""
    return [json.dumps({"orders": orders, "seed": seed, "eager": eager})]


def _order(name: str, kind: str, target: str, protocol: str, plan: Sequence[float], say: str) -> Order:
    clients, ramp, rate = plan
    return Order(name, kind, target, protocol, Plan(int(clients), ramp, rate), say)


def main(words: Sequence[str]) -> None:
    """Attack until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who has started it
    told = json.loads(words[0])
    more_descriptors()
    if not told["eager"]:
        give_way()
    platform = Kernel()
    if told["seed"] is not None:
        platform.random = Random(told["seed"])
    reactor = Reactor(platform)
    attackers = Attackers(reactor, [_order(*values) for values in told["orders"]], tell)
    rope(reactor, attackers.hear, reactor.stop)
    tell(READY)
    reactor.run()
    reactor.close()


class Attackers:
    """All crowds of this process, by name."""

    def __init__(self, reactor: Reactor, orders: Sequence[Order], tell: Callable[[bytes], None]) -> None:
        self.reactor = reactor
        self.tell = tell
        self.crowds = {order.name: crowd_of(reactor, order) for order in orders}
        self.over = False

    def hear(self, line: bytes) -> None:
        """Do what the parent says."""
        if line == BEGIN:
            for crowd in self.crowds.values():
                crowd.begin()
            self._see()
        elif line == END and not self.over:
            self.over = True
            self._tell({name: crowd.figures() for name, crowd in self.crowds.items()})
            for crowd in self.crowds.values():
                crowd.end()

    def _see(self) -> None:
        if not self.over:
            self._tell({name: crowd.seen() for name, crowd in self.crowds.items()})
            self.reactor.after(TELL_SECONDS, self._see)

    def _tell(self, seen: dict[str, Any]) -> None:
        self.tell(json.dumps({"seen": seen, "states": self.reactor.totals().states, "over": self.over}).encode())


def crowd_of(reactor: Reactor, order: Order) -> Crowd | Spoofers:
    """Return a crowd that is to begin."""
    target = parse_target(order.target, order.protocol, owned=True)  # the parent has asked
    words = words_of(target, bytes.fromhex(order.say) or None)
    attack = ATTACKS[order.kind]
    if attack.machine is None:
        return Spoofers(reactor, target, words, order.plan)
    look = served_ports if is_local(target.address) else None
    return Crowd(reactor, target, attack, words, order.plan, look)


def tell(line: bytes) -> None:
    """Say a line; the parent hears it whole."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def more_descriptors() -> None:
    """Take as many descriptors as this process may have without asking anybody."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def clients_most() -> int:
    """How many clients one process can be."""
    try:
        import resource
    except ImportError:
        return CLIENTS_GUESSED
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLIENTS_GUESSED if hard == resource.RLIM_INFINITY else max(1, hard - DESCRIPTORS_KEPT)


def give_way() -> None:
    """Run only where nobody else would: who attacks shares the machine with the server and the honest client."""
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # sched(7)
    else:
        os.nice(19)


def together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what several processes have seen of the same crowd, as if it had been one."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = _sum(whole[name], value) if name in whole else value
    return whole


def _sum(one: Any, other: Any) -> Any:
    """Counts are added, words told once, times kept in order."""
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in [*one, *(set(other) - set(one))]}
    if isinstance(one, list):
        return sorted(one + other)
    return one or other if isinstance(one, bool | str) else one + other


if __name__ == "__main__":
    main(sys.argv[1:])
