"""What a simulation must know of a protocol: how to serve it, and what its clients talk about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ...engine import Cause, Limits, Notice, Reactor, Reason, Row
from ...engine.machine import Machine
from ...engine.network import Link
from ...engine.outside import Client
from ...engine.simulation import Simulation
from ..clients.dialogue import Dialogue
from ..clients.kinds import KINDS, Kind, Place
from .held import held_by

SERVER = "server:7"


class DeliberateError(Exception):
    """A bug that a machine has on purpose: what the engine says of it is no failure of the run."""


def is_deliberate(notice: Notice) -> bool:
    """Tell whether a machine error is one that was meant: the last line of its text names it."""
    return DeliberateError.__name__ in notice.text.rstrip().rpartition("\n")[2]


def nothing() -> None:
    """Nothing is to be closed."""


TIMED_OUT = frozenset(
    {
        Cause.OPENING_TOO_LONG,
        Cause.IDLE_TOO_LONG,
        Cause.REQUEST_TOO_SLOW,
        Cause.WAITED_TOO_LONG,
        Cause.ANSWER_TOO_SLOW,
        Cause.LINGERED_TOO_LONG,
    }
)
"""Why the engine ends a row whose patience is over."""


@dataclass
class Service:
    """A protocol that is being served in one run."""

    dialogue: Callable[[Place], Dialogue]
    """Makes a client's side of it."""

    close: Callable[[], None] = nothing
    """Frees what serving it took besides the reactor."""

    shared: tuple[object, ...] = ()
    """What all rows have in common: it is frozen as a name, never with a row."""

    enter: Callable[[Callable[[Place], Kind], Link], Client] | None = None
    """Has a client come to a protocol of datagrams, which has no connections; None for all others."""

    excuse: Callable[[Client, Reason | None], bool] = lambda client, reason: False
    """Tells whether a behaving client, whose row has ended for this reason, may have got less than all."""


class Served(NamedTuple):
    """One protocol."""

    begin: Callable[[Reactor, Simulation], Service]
    """Begin to listen at SERVER, and wherever else it must."""

    held_most: Callable[[Limits], int]
    """How many bytes may be buffered for one row at a turn's end, beside its output."""

    kinds: tuple[str, ...] = tuple(KINDS)
    """The clients that come to it."""

    freezes: bool = True
    """A row of it can be frozen and thawed alone."""

    held_by: Callable[[object], int] = held_by
    """Measures what a machine's buffers hold."""


def at_server(factory: Callable[[Row], Machine], dialogue: Callable[[Place], Dialogue]) -> Callable[..., Service]:
    """Serve a protocol that needs nothing but a machine."""

    def begin(reactor: Reactor, simulation: Simulation) -> Service:
        reactor.listen(SERVER, factory)
        return Service(dialogue)

    return begin
