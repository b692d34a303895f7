"""A server's own socket as a place from which a reactor admits rows: by the server's hooks, in their order."""

import socket
from typing import Any, Protocol

from ..platform import Address, Channel, Where
from .connection import Connection

MOST_REFUSED = 64  # by `verify_request`, before somebody else has a turn


class Hooks(Protocol):
    """What of a `socketserver` server is asked when a connection comes."""

    @property
    def socket(self) -> socket.socket:
        """Return its listening socket."""
        ...

    def get_request(self) -> tuple[Any, Any]:
        """Accept."""
        ...

    def verify_request(self, request: Any, client_address: Any, /) -> bool:
        """Tell whether it is to be served."""
        ...

    def shutdown_request(self, request: Any, /) -> None:
        """End it."""
        ...

    def handle_error(self, request: Any, client_address: Any, /) -> None:
        """Hear of an exception."""
        ...


class ServerListening:
    """Accepts by `get_request()` and `verify_request()`. `latest` is what stands for the last one to its handler."""

    def __init__(self, server: Hooks) -> None:
        self._server = server
        self.latest: Connection

    def fileno(self) -> int:
        """Return the server's descriptor."""
        return self._server.socket.fileno()

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection that the server wants. Raises BlockingIOError where there is none."""
        for _ in range(MOST_REFUSED):
            channel, peer = self._server.get_request()
            if not isinstance(channel, socket.socket) or hasattr(channel, "context"):
                raise TypeError(
                    f"get_request() returned {type(channel).__name__}: only a plain socket can be multiplexed"
                )
            channel.setblocking(False)
            if channel.family in (socket.AF_INET, socket.AF_INET6):
                channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # handlers write heads and bodies apart
            self.latest = Connection(channel)
            if self._wanted(peer):
                return channel, peer
            channel.close()
        raise BlockingIOError("many were refused; the next in another turn")

    def _wanted(self, peer: Where) -> bool:
        try:
            if self._server.verify_request(self.latest, peer):
                return True
        except Exception:
            self._server.handle_error(self.latest, peer)
        self._server.shutdown_request(self.latest)
        return False

    def where(self) -> Address:
        """Return its address."""
        name = self._server.socket.getsockname()
        return Address("tcp", name[0], name[1]) if isinstance(name, tuple) else Address("unix", str(name))

    def close(self) -> None:
        """The server closes its socket itself."""
