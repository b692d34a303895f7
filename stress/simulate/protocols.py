"""Every protocol there is, with what a simulation must know of it: how to serve it, and what its clients talk about."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ...engine import Limits, Reactor, Row
from ...engine.machine import Machine
from ...engine.simulation import Simulation
from ...protocols.echo import Echo
from ...protocols.lines import Lines
from ..clients import dialogue as dialogues
from ..clients.dialogue import Dialogue
from ..clients.kinds import KINDS

SERVER = "server:7"


class Protocol(NamedTuple):
    """One protocol in a simulation."""

    serve: Callable[[Reactor, Simulation], None]
    """Begin to listen at SERVER, and wherever else it must."""

    dialogue: Callable[[Random], Dialogue]

    held_most: Callable[[Limits], int]
    """How many bytes may be buffered for one row at a turn's end."""

    kinds: tuple[str, ...] = tuple(KINDS)
    freezes: bool = True
    """A row of it can be frozen and thawed alone."""


def at_server(factory: Callable[[Row], Machine]) -> Callable[[Reactor, Simulation], None]:
    """Serve a protocol that needs nothing but a machine."""
    return lambda reactor, simulation: None if reactor.listen(SERVER, factory) else None


class Shout(Lines):
    """The lines protocol with the shortest answer that shows its line."""

    def answer(self, line: bytes) -> bytes:
        """In capitals."""
        return line.upper() + b"\n"


PROTOCOLS: dict[str, Protocol] = {
    "echo": Protocol(at_server(Echo), dialogues.Echo, lambda limits: limits.receive_bytes),
    "lines": Protocol(
        at_server(Shout),
        dialogues.Shout,
        lambda limits: 2 * limits.line_bytes + limits.receive_bytes,
    ),
}
