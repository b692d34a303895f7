"""A crowd: so many guests of each kind, who come again when they have been sent away."""

from random import Random
from typing import NamedTuple

from ...engine.outside import Client
from ...engine.simulation import Simulation
from .guests import HONEST, KINDS, Guest, Honest

SERVER = "server:80"
ARRIVING_SECONDS = 2.0  # in which a crowd that has been asked for comes
RETURN_SECONDS = 1.0  # until somebody who was sent away comes again, at most
SEEDS = 2**31


class Visit(NamedTuple):
    """One honest guest's, over: when, how many seconds it has waited, and whether it got its page."""

    at: float
    seconds: float
    satisfied: bool


class Crowd:
    """The guests of one scene. When the honest come depends on the seed alone, so two tables meet the same."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._randoms = [Random(f"{seed} {kind.name}") for kind in KINDS]
        self.counts = [0] * len(KINDS)  # how many of each there should be
        self._coming = [0] * len(KINDS)  # how many are on their way
        self._there: list[dict[Client, None]] = [{} for _ in KINDS]
        self._waits = 0  # which plan of the honest holds: a new number calls off the plan before
        self.kind_of: dict[object, int] = {}  # by the address that the server sees
        self.visits: list[Visit] = []  # since somebody looked

    def set(self, number: int, count: int) -> None:
        """Have so many of a kind from now on. Whoever is too many leaves at once. Raises ValueError."""
        if not 0 <= count <= KINDS[number].most:
            raise ValueError(f"from 0 to {KINDS[number].most} {KINDS[number].title}, and not {count}")
        self.counts[number] = count
        if number == HONEST:
            self._waits += 1
            self._plan_honest(self._waits)
            return
        for client in list(self._there[number])[count:]:
            client.close(reset=True)
        for _ in range(count - len(self._there[number]) - self._coming[number]):
            self._invite(number, ARRIVING_SECONDS)

    def _plan_honest(self, plan: int) -> None:
        """One comes, and the next is planned: at random, and whatever has become of those before."""
        rate = self.counts[HONEST]
        if plan == self._waits and rate:
            self._simulation.after(self._randoms[HONEST].expovariate(rate), lambda: self._honest_comes(plan))

    def _honest_comes(self, plan: int) -> None:
        if plan == self._waits:
            self._enter(HONEST)
            self._plan_honest(plan)

    def _invite(self, number: int, seconds: float) -> None:
        self._coming[number] += 1
        self._simulation.after(self._randoms[number].random() * seconds, lambda: self._arrive(number))

    def _arrive(self, number: int) -> None:
        self._coming[number] -= 1
        if len(self._there[number]) < self.counts[number]:
            self._enter(number)

    def _enter(self, number: int) -> None:
        kind, simulation = KINDS[number], self._simulation
        seed = self._randoms[number].randrange(SEEDS)
        link = simulation.new_link(seed, delay_seconds=(0.005, 0.015), bytes_a_second=kind.bytes_a_second)
        client = simulation.enter(
            SERVER, lambda client: kind.machine(client, lambda guest: self._left(number, guest)), link=link
        )
        self._there[number][client] = None
        self.kind_of[client.local] = number

    def _left(self, number: int, guest: Guest) -> None:
        """Somebody has gone: another comes in its place."""
        client = guest.client
        self._there[number].pop(client, None)
        self.kind_of.pop(client.local, None)
        if isinstance(guest, Honest):
            self.visits.append(Visit(client.now, client.now - guest.due, guest.satisfied))
        elif len(self._there[number]) + self._coming[number] < self.counts[number]:
            self._invite(number, RETURN_SECONDS)
