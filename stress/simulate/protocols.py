"""Every protocol there is, by its name."""

from ...protocols.echo import Echo
from ..clients import dialogue as dialogues
from . import others
from .exchange import EXCHANGE
from .served import Served, at_server
from .shout import Shout

PROTOCOLS: dict[str, Served] = {
    "echo": Served(
        at_server(Echo, lambda place: dialogues.Echo(place.random)),
        lambda limits: limits.receive_bytes,
    ),
    "lines": Served(
        at_server(Shout, lambda place: dialogues.Shout(place.random)),
        lambda limits: 2 * limits.line_bytes + limits.receive_bytes,
    ),
    "chat": others.CHAT,
    "control": others.CONTROL,
    "forward": others.FORWARD,
    "script": others.SCRIPT,
    "exchange": EXCHANGE,
}

try:
    from .http import APPLICATION, HTTP
except ImportError:  # its parser is an option
    pass
else:
    PROTOCOLS |= {"http": HTTP, "http-app": APPLICATION}
