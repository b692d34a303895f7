"""What the user has asked for, and how it is divided among kinds and processes."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

from . import attackers
from .crowd import Plan
from .kinds import ATTACKS, Attack
from .target import Target

AGAIN_A_SECOND = 100  # come in place of who has gone, of kinds that go by themselves
Name = TypeVar("Name", bound=Hashable)


class Order(NamedTuple):
    """An attack. Times are in seconds, `visits` are the honest client's a second.

    `rate` is None where each kind has its own; `jobs` is how many processes attack, `eager` whether they
    take processor time that others want.
    """

    kinds: dict[str, int]  # how many clients of each
    target: Target
    ramp: float
    rate: float | None
    duration: float
    calm: float
    visits: float
    say: bytes = b""
    seed: int | None = None
    jobs: int = 1
    eager: bool = False


def orders_of(order: Order) -> list[list[attackers.Order]]:
    """Return what each process is told."""
    whole, target = sum(order.kinds.values()), order.target
    jobs: list[list[attackers.Order]] = [[] for _ in range(order.jobs)]
    for kind, count in order.kinds.items():
        rate = rate_of(ATTACKS[kind], count, whole) if order.rate is None else order.rate * count / whole
        for job, share in shares(count, dict.fromkeys(range(order.jobs), 1)).items():
            plan = Plan(share, order.ramp, rate * share / count)
            jobs[job].append(attackers.Order(kind, kind, target.text, target.protocol, plan, order.say.hex()))
    return [orders for orders in jobs if orders]


def rate_of(attack: Attack, count: int, whole: int) -> float:
    """Return the rate of so many of one kind, among so many of all, where the user has said none."""
    if attack.datagrams:
        return float(attack.datagrams * count)
    return AGAIN_A_SECOND * count / whole if attack.returns else 0.0


def shares(count: int, weights: Mapping[Name, int]) -> dict[Name, int]:
    """Divide so many clients by weights; whoever gets none is left out."""
    total, passed, given, found = sum(weights.values()), 0, 0, {}
    for name, weight in weights.items():
        passed += weight
        share = count * passed // total - given
        given += share
        if share:
            found[name] = share
    return found
