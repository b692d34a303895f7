"""The poller of platforms whose connections never leave the process.

It looks only at descriptors that something has happened to, so a silent row costs nothing here either.
"""

from itertools import islice
from random import Random
from typing import Protocol

from .platform import Events


class Pollable(Protocol):
    """What `MemoryPoller` can look at."""

    def readiness(self, asked: int) -> int:
        """Return the mask that is to be reported where this one is asked for."""
        ...


class World(Protocol):
    """What goes on around a `MemoryPoller`."""

    def poll_begins(self, seconds: float | None) -> float | None:
        """Let happen what is due by now, and return when the poll is to end; None for without end."""
        ...

    def happens(self, until: float | None) -> bool:
        """Let the next thing happen that is due by then; False where there is none, and the time has passed."""
        ...

    def arrange(self, pairs: list[tuple[int, int]]) -> None:
        """Put what is ready into an order."""
        ...


class MemoryPoller:
    """A level-triggered poller over ends and listeners in memory. `world` lets time pass, or doesn't."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._interest: dict[int, int] = {}
        self._touched: dict[int, None] = {}  # an ordered set: the run must not depend on hashes
        self.pollables: dict[int, Pollable] = {}

    def register(self, descriptor: int, mask: int) -> None:
        """Begin to ask about a descriptor. Raises as epoll does."""
        if descriptor in self._interest:
            raise FileExistsError(descriptor)
        self.modify(descriptor, mask, new=True)

    def modify(self, descriptor: int, mask: int, new: bool = False) -> None:
        """Ask for something else."""
        if not new and descriptor not in self._interest:
            raise FileNotFoundError(descriptor)
        assert mask, "a paused row is unregistered, never masked to nothing"
        self._interest[descriptor] = mask
        self._touched[descriptor] = None

    def unregister(self, descriptor: int) -> None:
        """Ask no more."""
        del self._interest[descriptor]
        self._touched.pop(descriptor, None)

    def touch(self, descriptor: int) -> None:
        """Look at this descriptor at the next poll: something has happened to it."""
        if descriptor in self._interest:
            self._touched[descriptor] = None

    def asks(self, descriptor: int) -> bool:
        """Tell whether a descriptor is asked about."""
        return descriptor in self._interest

    def anybody(self, random: Random) -> tuple[int, int]:
        """Draw a descriptor that is asked about, and what is asked; (-1, 0) where there is none."""
        if not self._interest:
            return -1, 0
        return next(islice(self._interest.items(), random.randrange(len(self._interest)), None))

    def ready(self, seconds: float | None, most: int) -> Events:
        """Let time pass until somebody is ready or the seconds are over."""
        until = self._world.poll_begins(seconds)
        pairs = self._collect()
        while not pairs and self._world.happens(until):
            if self._touched:
                pairs = self._collect()
        self._world.arrange(pairs)
        return pairs[:most]

    def fileno(self) -> int | None:
        """There is no descriptor to wait for."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _collect(self) -> list[tuple[int, int]]:
        pairs = []
        for descriptor in list(self._touched):
            mask = self.pollables[descriptor].readiness(self._interest[descriptor])
            if mask:
                pairs.append((descriptor, mask))
            else:
                del self._touched[descriptor]
        return pairs
