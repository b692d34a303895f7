"""Datagrams on the host's platform: the host hands in what has come, and takes out what is to be sent."""

from collections import deque
from collections.abc import Hashable
from errno import EAGAIN, EBADF
from os import strerror
from typing import TYPE_CHECKING, Any, cast

from .machine import Piece
from .platform import READABLE, WRITABLE, Address, Credentials, Where

if TYPE_CHECKING:
    from .host import Host

DATAGRAMS_MOST = 256  # that have come, or wait to be taken: beyond it what comes is lost, and nothing is sent


class HostPlace:
    """One address at which the host's datagrams arrive. A sender is the peer's address, in the host's own form."""

    plain = True
    waits = True

    def __init__(self, host: "Host", address: Address, descriptor: int, only: Where | None = None) -> None:
        self._host = host
        self._address = address
        self._descriptor = descriptor
        self._only = only  # whom it hears alone
        self.trusted = address.kind == "unixgram" or only is not None
        self.arrived: deque[tuple[bytes, Where]] = deque()
        self.leaving: deque[tuple[bytes, Where]] = deque()
        self.closed = False

    def fileno(self) -> int:
        """Return its number; -1 once it is closed."""
        return -1 if self.closed else self._descriptor

    def readiness(self, asked: int) -> int:
        """Return the mask that the poller reports."""
        mask = READABLE if self.arrived else 0
        return (mask | WRITABLE if len(self.leaving) < DATAGRAMS_MOST else mask) & asked

    def come(self, data: bytes, peer: Where) -> bool:
        """A datagram has come; False where it is lost."""
        if len(self.arrived) >= DATAGRAMS_MOST or self._only not in (None, peer):
            return False
        self.arrived.append((data, peer))
        self._host.poller.touch(self._descriptor)
        return True

    def take(self, most: int) -> list[tuple[bytes, Where]]:
        """Take out what is to be sent: datagrams, and to whom."""
        taken = [self.leaving.popleft() for _ in range(min(most, len(self.leaving)))]
        if taken and not self.closed:
            self._host.poller.touch(self._descriptor)
        return taken

    def receive(self, size: int) -> tuple[bytes, Where]:
        """Return the beginning of the next datagram, and its sender."""
        if not self.arrived:
            raise BlockingIOError(EAGAIN, "no datagram has come")
        data, peer = self.arrived.popleft()
        return data[:size], peer

    def send_to(self, data: Piece, sender: Where) -> int:
        """Let the host take a datagram. Raises BlockingIOError where it has not taken those before it."""
        if self.closed:
            raise OSError(EBADF, strerror(EBADF))
        if len(self.leaving) >= DATAGRAMS_MOST:
            raise BlockingIOError(EAGAIN, "the host has not taken what waits")
        self.leaving.append((bytes(data), sender))
        return len(data)

    def sender(self, peer: Where) -> Where:
        """As it is."""
        return peer

    def peer(self, sender: Where) -> Where:
        """As it is."""
        return sender

    def local(self, sender: Where) -> Where:
        """Return its own address."""
        return self._address.host if self._address.kind == "unixgram" else (self._address.host, self._address.port)

    def credentials(self, sender: Where) -> Credentials | None:
        """Nobody tells."""
        return None

    def pack(self, sender: Where) -> Hashable:
        """As it is."""
        return cast(Hashable, sender)

    def unpack(self, packed: Hashable) -> Any:
        """As it is."""
        return packed

    def where(self) -> Address:
        """Return its address."""
        return self._address

    def close(self) -> None:
        """Nothing comes any more; what is to be sent can still be taken."""
        if self.closed:
            return
        self.closed = True
        self.arrived.clear()
        del self._host.poller.pollables[self._descriptor]
        self._host.forget_place(self._address)
