"""What a simulation must know of a protocol: how to serve it, and what its clients talk about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ...engine import Limits, Reactor, Row
from ...engine.machine import Machine
from ...engine.simulation import Simulation
from ..clients.dialogue import Dialogue
from ..clients.kinds import KINDS, Place

SERVER = "server:7"


def nothing() -> None:
    """Nothing is to be closed."""


@dataclass
class Service:
    """A protocol that is being served in one run."""

    dialogue: Callable[[Place], Dialogue]
    """Makes a client's side of it."""

    close: Callable[[], None] = nothing
    """Frees what serving it took besides the reactor."""

    shared: tuple[object, ...] = ()
    """What all rows have in common: it is frozen as a name, never with a row."""


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


def at_server(factory: Callable[[Row], Machine], dialogue: Callable[[Place], Dialogue]) -> Callable[..., Service]:
    """Serve a protocol that needs nothing but a machine."""

    def begin(reactor: Reactor, simulation: Simulation) -> Service:
        reactor.listen(SERVER, factory)
        return Service(dialogue)

    return begin
