"""A `socketserver` server of datagrams in a reactor: each is a request that is whole when it comes.

So its handler runs in one go; or in a child or a thread, which answers by a socket that keeps what is to be sent until
it comes back, because a child has no descriptor of its parent's.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ..machine import Outcome
from ..reactor import Reactor
from .lending import check_how

Letter = tuple[bytes, Any]


class Requests(Protocol):
    """What of a server of datagrams is asked when one comes."""

    how: str
    socket: Any

    def choose(self, request: Any, client_address: Any, data: bytes, /) -> str | None:
        """Say how to serve one."""
        ...

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

    def serve_elsewhere(self, request: Any, client_address: Any, begin: Callable[[], None], /) -> None:
        """Have `begin` called, unless its program does otherwise."""
        ...

    def process_request_thread(self, request: Any, client_address: Any, /) -> None:
        """Run its handler elsewhere."""
        ...

    def handle_error(self, request: Any, client_address: Any, /) -> None:
        """Hear of an exception."""
        ...

    def began(self) -> None:
        """Count it."""
        ...

    def ended(self) -> None:
        """Count its end."""
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
        self.elsewhere = 0  # that have begun there and not ended
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
        how = self._how(request, client_address)
        if how in ("fork", "thread"):
            before = self.elsewhere
            server.serve_elsewhere(request, client_address, lambda: self._ask(request, client_address, how))
            if self.elsewhere > before:
                return  # it is told of
        elif how:
            server.serve(request, client_address)
        server.ended()

    def _how(self, request: Any, client_address: Any) -> str:
        """Return how a datagram is to be served; "" for one that is not, which has been ended."""
        server = self._server
        try:
            if server.verify_request(request, client_address):
                how = server.choose(request, client_address, request[0]) or server.how
                check_how(how)
                return how
        except Exception:
            server.handle_error(request, client_address)
        server.shutdown_request(request)
        return ""

    def _ask(self, request: Any, client_address: Any, how: str) -> None:
        def tell(outcome: Outcome) -> None:
            self.elsewhere -= 1
            self._server.ended()
            try:
                for data, where in outcome.result():
                    self._server.socket.sendto(data, where)
            except Exception as error:  # of the call's, or no room for an answer: nobody waits for that
                self._server.failed(request, client_address, error)

        self.elsewhere += 1
        self._reactor.call(_answers, self._server, request[0], client_address, how=how, tell=tell)


def _answers(server: Requests, data: bytes, client_address: Any) -> list[Letter]:
    """Serve a datagram elsewhere; return what is to be sent."""
    letters = Letters()
    server.process_request_thread((data, letters), client_address)
    return letters.sent


class Letters:
    """In a handler's eyes the server's socket; it keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Letter] = []

    def sendto(self, data: bytes, *where: Any) -> int:
        """Keep a datagram; the address comes last, as in `socket.sendto`."""
        self.sent.append((bytes(data), where[-1]))
        return len(data)
