"""Calls in the simulation: what they do is done at once, and told of when their time has come, by the seed.

So a machine sees what it would see elsewhere: others move meanwhile, calls end in any order, now and then nothing comes
of one, and a row may have ended before.
"""

from typing import TYPE_CHECKING

from .elsewhere import outcome_of
from .machine import Call, CallError, Outcome
from .platform import READABLE, Channel

if TYPE_CHECKING:
    from .simulation import Simulation


class SimulatedElsewhere:
    """Where calls run. None is in a hurry, and none needs a place of its own."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation

    def begin(self, call: Call, channel: Channel | None) -> "SimulatedWork":
        """Do it. Raises NotImplementedError for a connection that is lent, OSError without a descriptor."""
        if channel is not None:
            raise NotImplementedError("the simulation lends no connection: who has it would have to block")
        return SimulatedWork(self._simulation, call)

    def close(self, wait: bool) -> None:
        """There is nothing to free."""


class SimulatedWork:
    """One call, and the descriptor that turns readable when it is over."""

    def __init__(self, simulation: "Simulation", call: Call) -> None:
        self._simulation = simulation
        self._over = False
        self._descriptor = simulation.take_descriptor()
        simulation.poller.pollables[self._descriptor] = self
        self.descriptors: tuple[int, ...] = (self._descriptor,)
        self.name = call.how if isinstance(call.how, str) else type(call.how).__name__
        faults, random = simulation.faults, simulation.random
        if faults.call_killed and random.random() < faults.call_killed:
            simulation.met["call_killed"] += 1
            self._outcome = Outcome(
                error=CallError(f"{self.name} was killed by SIGKILL without telling what came of it")
            )
        else:
            self._outcome = outcome_of(call)
        simulation.after(random.random() * faults.call_seconds, self._end)

    def _end(self) -> None:
        self._over = True
        if self._descriptor >= 0:
            self._simulation.poller.touch(self._descriptor)

    def readiness(self, asked: int) -> int:
        """Return what the poller is to report."""
        return asked & READABLE if self._over else 0

    def poll(self) -> Outcome | None:
        """Return what came of it; None while it runs."""
        return self._outcome if self._over else None

    def cancel(self) -> None:
        """Let it be over at once: it is killed."""
        self._end()

    def close(self) -> None:
        """Give the descriptor back."""
        self._simulation.give_descriptor(self._descriptor)
        self._descriptor = -1
