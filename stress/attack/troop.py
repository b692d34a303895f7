"""A process of attackers, seen from the one that has begun it."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from ...engine import Reactor
from . import attackers
from .children import Child
from .crowd import NOTHING

DIED = "a process of attackers has died"


class Troop:
    """Some crowds, by their orders. `seen` is what is known of each: in the end, all of it.

    `ready` is called when it is, `told` when it has told all, `failed` with a reason if it can't begin at all.
    """

    def __init__(
        self,
        reactor: Reactor,
        orders: Sequence[attackers.Order],
        seed: int | None,
        ready: Callable[[], None],
        told: Callable[[], None],
        failed: Callable[[str], None],
        eager: bool = False,
    ) -> None:
        self.reactor = reactor
        self.seen: dict[str, dict[str, Any]] = {order.name: {**NOTHING} for order in orders}
        self.states: dict[str, int] = {}  # how many connections are in which
        self.over = False  # it has told all that it had to tell
        self._words = attackers.words_for(orders, seed, eager)
        self._ready, self._told, self._failed = ready, told, failed
        self._began = False
        self._child: Child | None = None

    def enlist(self) -> None:
        """Begin the process."""
        self._child = Child(self.reactor, attackers.MODULE, self._words, self._hear, self._ended)

    def say(self, line: bytes) -> None:
        """Tell it what to do."""
        if self._child is not None and not self.over:
            self._child.say(line)

    def close(self) -> None:
        """End it, and all that it has."""
        if self._child is not None:
            self._child.close()

    def _hear(self, line: bytes) -> None:
        if line == attackers.READY:
            self._began = True
            self._ready()
            return
        told = json.loads(line)
        self.states = told.get("states", self.states)
        for name, seen in told["seen"].items():
            self.seen[name] = {**NOTHING, **seen}
        if told["over"]:
            self.over = True
            self._told()

    def _ended(self) -> None:
        """It has died: what was seen of it last is all that is known."""
        if not self._began:
            self._failed("the attackers have failed")
        elif not self.over:
            self.over = True
            for seen in self.seen.values():
                seen.update(alive=0, unable=DIED)
            self._told()
