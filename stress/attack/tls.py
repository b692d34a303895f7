"""A client within TLS: any client's machine, and what it says and hears is sealed on the way.

Nothing is checked of the server's certificate: it is the user's own server, and often a test's.
"""

import ssl
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from ...engine import CLOSE, HALF_CLOSE, OPENING, PeerError, Reason, Want
from .target import Target

READ_BYTES = 1 << 16


class Client(Protocol):
    """What is wrapped. It returns no output but bytes."""

    def feed(self, data: bytes) -> None:
        """Take what came; b"" is the server's end."""
        ...

    def step(self) -> Want:
        """Return the next want."""
        ...


Ended = Callable[[Reason], None]


def sealer(target: Target) -> "Callable[[Client, Ended], Sealed]":
    """Return what wraps the machines of a target's clients, each with what its row calls in the end."""
    common = ssl.create_default_context()
    common.check_hostname = False
    common.verify_mode = ssl.CERT_NONE
    host = urlsplit(f"//{target.host}").hostname

    def seal(client: Client, ended: Ended) -> Sealed:
        return Sealed(client, common.wrap_bio, host, ended)

    return seal


class Sealed:
    """A machine that speaks TLS for another. Raises PeerError where the server does not."""

    def __init__(self, client: Client, wrap: Callable[..., ssl.SSLObject], host: str | None, ended: Ended) -> None:
        self.client = client
        self.ended = ended
        self.duplex = getattr(client, "duplex", False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = wrap(self.incoming, self.outgoing, server_hostname=host)
        self.shaken = False  # the handshake is done
        self.over = False  # the client has been told of the server's end
        self.want: Want | None = None  # the client's, which waits until what is sealed has gone

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def step(self) -> Want:
        """Say what is sealed; else shake hands, or carry out what the client wants."""
        if not self.outgoing.pending:
            want, self.want = self.want, None
            if want is not None:
                return want
            try:
                want = self._next() if self.shaken or self._shake() else OPENING
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                self._end()
                return CLOSE
            except ssl.SSLError as error:
                raise PeerError(f"TLS: {error.reason or error}") from None
            if not self.outgoing.pending:
                return want
            self.want = want
        return self.outgoing.read()

    def _shake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.shaken = True
        return True

    def _next(self) -> Want:
        """Let the client hear what came, and return what it wants."""
        while not self.over and (data := self._read()) is not None:
            if data:
                self.client.feed(data)
            else:
                self._end()
        want = self.client.step()
        if isinstance(want, bytes):
            if want:
                self.tls.write(want)
            return b""  # step again
        if want is HALF_CLOSE:
            self._say_goodbye()
        return want

    def _read(self) -> bytes | None:
        """Return what the server has said, b"" for its end, None where there is nothing yet."""
        try:
            return self.tls.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def _say_goodbye(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # the server need not say it as well

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self.client.feed(b"")
