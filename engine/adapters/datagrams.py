"""A `socketserver` server of datagrams in a reactor: each is a request that is whole when it comes.

So its handler runs in one go; or in a child or a thread, which answers by a socket that keeps what is to be sent until
it comes back, because a child has no descriptor of its parent's.
"""

from typing import Any, Protocol

from ..machine import Outcome
from ..reactor import Reactor

Letter = tuple[bytes, Any]


class Requests(Protocol):
    """What of a server of datagrams is asked when one comes."""

    how: str
    socket: Any

    def get_request(self) -> tuple[Any, Any]:
        """Receive one."""
        ...

    def verify_request(self, request: Any, client_address: Any, /) -> bool:
        """Tell whether it is to be served."""
        ...

    def shutdown_request(self, request: Any, /) -> None:
        """End it."""
        ...

    def serve(self, request: Any, client_address: Any, /) -> None:
        """Run its handler."""
        ...

    def began(self) -> None:
        """Count it."""
        ...

    def failed(self, request: Any, client_address: Any, error: Exception, /) -> None:
        """Hear of what went wrong elsewhere."""
        ...


class DatagramRequests:
    """Hears datagrams for a server, and has them served."""

    def __init__(self, reactor: Reactor, server: Requests) -> None:
        self._reactor = reactor
        self._server = server
        self._descriptor = server.socket.fileno()
        reactor.watch(self._descriptor, self._ready)

    def close(self) -> None:
        """Hear no more."""
        self._reactor.unwatch(self._descriptor)

    def _ready(self) -> None:
        for _ in range(self._reactor.limits.datagrams_a_turn):
            try:
                request, client_address = self._server.get_request()
            except OSError:
                return
            self._serve(request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        server = self._server
        server.began()
        if not server.verify_request(request, client_address):
            server.shutdown_request(request)
        elif server.how in ("fork", "thread"):
            self._serve_elsewhere(request, client_address)
        else:
            server.serve(request, client_address)

    def _serve_elsewhere(self, request: Any, client_address: Any) -> None:
        def tell(outcome: Outcome) -> None:
            if isinstance(outcome.error, Exception):
                self._server.failed(request, client_address, outcome.error)
                return
            for data, where in outcome.value:
                self._server.socket.sendto(data, where)

        self._reactor.call(_answers, self._server, request[0], client_address, how=self._server.how, tell=tell)


def _answers(server: Requests, data: bytes, client_address: Any) -> list[Letter]:
    """Serve a datagram elsewhere; return what is to be sent."""
    letters = Letters()
    server.serve((data, letters), client_address)
    return letters.sent


class Letters:
    """In a handler's eyes the server's socket; it keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Letter] = []

    def sendto(self, data: bytes, *where: Any) -> int:
        """Keep a datagram; the address comes last, as in `socket.sendto`."""
        self.sent.append((bytes(data), where[-1]))
        return len(data)
