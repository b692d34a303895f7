"""Every protocol there is, by its name."""

from ...protocols.echo import Echo
from ...protocols.lines import Lines
from ..clients import dialogue as dialogues
from .served import Served, at_server


class Shout(Lines):
    """The line protocol with the shortest answer that shows its line."""

    def answer(self, line: bytes) -> bytes:
        """In capitals."""
        return line.upper() + b"\n"


PROTOCOLS: dict[str, Served] = {
    "echo": Served(
        at_server(Echo, lambda place: dialogues.Echo(place.random)),
        lambda limits: limits.receive_bytes,
    ),
    "lines": Served(
        at_server(Shout, lambda place: dialogues.Shout(place.random)),
        lambda limits: 2 * limits.line_bytes + limits.receive_bytes,
    ),
}
