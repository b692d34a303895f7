"""Connections that never leave the process: what the simulation and the host platform are both made of.

An `End` is one side of a stream, and behaves as a non-blocking TCP socket does: bounded buffers, short writes, an end
of file that comes after the bytes before it, a reset that comes when bytes meet a closed end. How long anything takes
to get to the other side is not its business: each thing that travels is handed to its network, which does it now (host)
or later (simulation), in order.
"""

from collections import deque
from collections.abc import Callable, Sequence
from errno import EAGAIN, EBADF, ECONNRESET, ENOTCONN, EPIPE
from os import pread, strerror
from typing import Any, Protocol, cast

from .machine import HasDescriptor, Piece
from .platform import (
    BROKEN,
    FAILED,
    HUNG_UP,
    PEER_ENDED,
    READABLE,
    WRITABLE,
    Address,
    Channel,
    Credentials,
    Where,
)


class Network(Protocol):
    """What lies between ends, and who is told when something has happened to one of them."""

    def carry(self, end: "End", what: Callable[[Any], None], argument: Any) -> None:
        """Have something happen at the far side of this end, now or later, in the order of the calls for that end."""
        ...

    def changed(self, end: "End") -> None:
        """Something has happened to this end: whoever waits for it may look."""
        ...

    def freed(self, end: "End") -> None:
        """This end is closed: take its descriptor back."""
        ...


class End:
    """One side of a stream: a `Channel` whose bytes come from another `End`.

    A million of them fit in memory: what has arrived is one bytes object as long as that will do.
    """

    __slots__ = (
        "arrived",
        "capacity",
        "closed",
        "connecting",
        "descriptor",
        "end_arrived",
        "error",
        "held",
        "network",
        "other",
        "peer",
        "shut",
        "starved",
        "travelling",
        "watcher",
        "where",
    )

    def __init__(self, network: Network, capacity: int, descriptor: int = -1) -> None:
        self.network = network
        self.descriptor = descriptor
        self.other: End = self
        self.capacity = capacity  # bytes on the way to this end or unread in it
        self.arrived: bytes | bytearray = b""
        self.held = 0  # bytes on the way or unread
        self.travelling = 0  # those on the way
        self.end_arrived = False
        self.error = 0  # an error number that the next call raises, once
        self.connecting = False
        self.starved = False  # we want to hear of room on the other side
        self.shut = False  # we have ended our side
        self.closed = False
        self.where: Where = ""
        self.peer: Where = ""
        self.watcher: Callable[[End], None] | None = None  # who is told, of an end that no poller knows

    # What the engine calls.

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows it; -1 for an end outside the reactor, or a closed one."""
        return -1 if self.closed else self.descriptor

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes that have arrived; b"" at the end. Raises as a socket does."""
        arrived = self.arrived
        if not arrived:
            if self.closed:
                raise OSError(EBADF, strerror(EBADF))
            if self.end_arrived:
                return b""  # whatever came after the end
            self.raise_error()
            raise BlockingIOError(EAGAIN, "nothing has arrived")
        if len(arrived) <= size:
            taken = bytes(arrived)  # no copy where it is bytes already
            self.arrived = b""
        else:
            taken = bytes(arrived[:size])
            if type(arrived) is bytes:
                self.arrived = arrived = bytearray(arrived)
            del arrived[:size]  # type: ignore[union-attr]
        self.held -= len(taken)
        if self.other.starved:
            self.other.starved = False
            self.network.carry(self, self.other.room_came, None)
        return taken

    def send(self, data: Piece) -> int:
        """Take what the other side has room for. Raises as a socket does."""
        if self.error or self.shut:
            if self.closed:
                raise OSError(EBADF, strerror(EBADF))
            self.raise_error()
            raise BrokenPipeError(EPIPE, strerror(EPIPE))
        size = len(data)
        if not size:
            return 0
        other = self.other
        room = other.capacity - other.held
        if size > room or self.connecting:
            self.starved = True
            if room <= 0 or self.connecting:
                raise BlockingIOError(EAGAIN, "no room")
            data = data[:room]
            size = room
        chunk = bytes(data)  # first: what is no bytes counts for nothing
        other.held += size
        other.travelling += size
        self.network.carry(self, other.arrive, chunk)
        return size

    def half_close(self) -> None:
        """End this side; what was sent arrives first. Raises OSError where nothing is left that could end."""
        if self.closed:
            raise OSError(EBADF, strerror(EBADF))
        if self.error or (self.shut and self.end_arrived):
            raise OSError(ENOTCONN, strerror(ENOTCONN))
        self._end()

    def _end(self) -> None:
        if not self.shut:
            self.shut = True
            self.network.carry(self, self.other.end_came, None)

    def close(self) -> None:
        """Close: with an end of file, or with a reset where bytes are left unread, as the kernel does."""
        if self.closed:
            return
        if self.arrived:
            self.abort()
            return
        self._end()
        self.closed = True
        self.network.freed(self)

    def abort(self) -> None:
        """Close with a reset."""
        if not self.closed:
            self.closed = self.shut = True
            self.arrived = b""
            self.network.carry(self, self.other.reset_came, ECONNRESET)
            self.network.freed(self)

    def readiness(self, asked: int) -> int:
        """Return the mask that the poller reports when it is asked for this one."""
        mask = READABLE if self.arrived else 0
        if self.end_arrived:
            mask |= READABLE | PEER_ENDED | (HUNG_UP if self.shut else 0)
        if self.error:
            mask |= READABLE | PEER_ENDED | BROKEN | HUNG_UP
        if asked & WRITABLE and not self.connecting and (self.error or self.shut or self._has_room()):
            mask |= WRITABLE
        return mask & (asked | FAILED)

    def _has_room(self) -> bool:
        if self.other.capacity - self.other.held >= max(1, self.capacity // 3):  # as TCP: not for every byte
            return True
        self.starved = True
        return False

    def raise_error(self) -> None:
        """Raise the error that has come, once."""
        if self.error:
            error = self.take_error()
            raise OSError(error, strerror(error))  # Python makes it a ConnectionResetError, and so on

    def take_error(self) -> int:
        """Return the error that has come, once; 0 for none."""
        error, self.error = self.error, 0
        if error:
            self.end_arrived = self.shut = True
        return error

    # What travels to this end.

    def connected(self, error: int) -> None:
        """The attempt to connect has ended, in failure where there is an error number."""
        self.connecting = False
        self.error = error
        self.network.changed(self)

    def arrive(self, chunk: bytes) -> None:
        """Bytes have come. Meeting a closed end they come back as a reset."""
        self.travelling -= len(chunk)
        if self.closed:
            self.network.carry(self, self.other.reset_came, ECONNRESET)
            return
        if not self.arrived:
            self.arrived = chunk
        elif type(self.arrived) is bytearray:
            self.arrived += chunk
        else:
            self.arrived = bytearray(self.arrived)
            self.arrived += chunk
        self.network.changed(self)

    def end_came(self, nothing: None = None) -> None:
        """The other side has ended."""
        self.end_arrived = True
        self.network.changed(self)

    def reset_came(self, error: int) -> None:
        """The other side has reset: what had arrived can be read, then comes the error; after an end only a send's."""
        if not self.closed and not self.error and not (self.shut and self.end_arrived):
            self.error = EPIPE if self.end_arrived else error
            self.connecting = False
            self.network.changed(self)

    def room_came(self, nothing: None = None) -> None:
        """The other side has read."""
        self.network.changed(self)


class MemoryListening:
    """A place at which ends wait to be accepted."""

    def __init__(self, address: Address, descriptor: int) -> None:
        self.address = address
        self.descriptor = descriptor
        self.waiting: deque[End] = deque()

    def readiness(self, asked: int) -> int:
        """Readable while somebody waits."""
        return READABLE if self.waiting else 0

    def fileno(self) -> int:
        """Return its descriptor."""
        return self.descriptor

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection. Raises BlockingIOError where nobody waits."""
        if not self.waiting:
            raise BlockingIOError(EAGAIN, strerror(EAGAIN))
        end = self.waiting.popleft()
        return end, end.peer

    def where(self) -> Address:
        """Return the address that it has."""
        return self.address

    def close(self) -> None:
        """Stop listening, and reset those who wait."""
        for end in self.waiting:
            end.abort()


class MemoryStreams:
    """The part of a platform that is the same for all whose channels are `End`s."""

    def failure(self, channel: Channel) -> int:
        """Return the error that a connection attempt ended with."""
        return end_of(channel).take_error()

    def local(self, channel: Channel) -> Where:
        """Return the channel's own address."""
        return end_of(channel).where

    def credentials(self, channel: Channel) -> Credentials | None:
        """Nobody has any."""
        return None

    def send_many(self, channel: Channel, pieces: Sequence[Piece]) -> int:
        """Send what can be sent of several pieces."""
        return channel.send(b"".join(pieces))

    def send_file(self, channel: Channel, file: HasDescriptor, offset: int, count: int) -> int:
        """Send what can be sent of a file's part."""
        data = pread(file.fileno(), min(count, 1 << 16), offset)
        return channel.send(data) if data else 0

    def unsent(self, channel: Channel) -> int:
        """Return how many bytes are still on their way."""
        return end_of(channel).other.travelling

    def let_take(self, channel: Channel, notsent_bytes: int) -> None:
        """There is no kernel."""

    def half_close(self, channel: Channel) -> None:
        """End our side."""
        end_of(channel).half_close()


def end_of(channel: Channel) -> End:
    """Return the end that a channel of these platforms is."""
    return cast(End, channel)
