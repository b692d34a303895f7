"""The seam: everything that the engine takes from outside comes through one injected platform.

The clock, the poller, channels (sockets, or what stands for them) and random numbers. `kernel.py` has the real thing,
`simulation.py` a seeded world, `host.py` a table whose bytes somebody else moves. The hot path calls `recv` and `send`
on the channel itself, so a real socket is a channel as it is, with nothing wrapped around it; all that is rarer goes
through the platform.

Masks are poll(2)'s numbers as Linux has them, so that epoll's and poll's events need no translation.
"""

from collections.abc import Hashable, Sequence
from errno import EOPNOTSUPP
from random import Random
from typing import Any, NamedTuple, Protocol

from .limits import KERNEL_MOST
from .machine import Call, HasDescriptor, Outcome, Piece

READABLE = 0x001  # POLLIN
WRITABLE = 0x004  # POLLOUT
BROKEN = 0x008  # POLLERR: reported unasked
HUNG_UP = 0x010  # POLLHUP: both sides have ended, or broken; there may be bytes before that; reported unasked
FAILED = BROKEN | HUNG_UP
PEER_ENDED = 0x2000  # POLLRDHUP: the peer's end, without reading up to it

Events = Sequence[tuple[int, int]]
"""(descriptor, mask) pairs."""

Where = Any
"""A peer's or a local address as the platform gives it: (host, port) and more for TCP, a path for UNIX sockets."""


class Address(NamedTuple):
    """Where to listen or connect: `tcp` with host and port, `unix` with a path in host, `fd` with a number in port.

    And where to bind for datagrams: `udp` with host and port, `unixgram` with a path in host. A path that begins with
    "\\0" is an abstract name, of which there is no file; it is written with an @ (unix(7)).
    """

    kind: str
    host: str
    port: int = 0

    def __str__(self) -> str:
        if self.kind in ("unix", "unixgram"):
            return f"{self.kind}:{self.host}".replace(":\0", ":@", 1)
        if self.kind == "fd":
            return f"fd:{self.port}"
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"udp:{place}" if self.kind == "udp" else place

    @property
    def datagrams(self) -> bool:
        """Tell whether datagrams go there: it is bound, never listened at or connected to."""
        return self.kind in ("udp", "unixgram")


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`, `[IPV6]:PORT`, `:PORT` (all of IPv4), `tcp:...`, `unix:PATH`, `unix:@NAME` or `fd:N`.

    And for datagrams `udp:HOST:PORT`, with the same hosts, or `unixgram:PATH`. @NAME is an abstract name. Raises
    ValueError with one sentence that shows the text.
    """
    kind, colon, rest = text.partition(":")
    if kind in ("unix", "unixgram") and colon:
        if not rest or "\0" in rest:
            raise ValueError(f"{text!r}: {kind}: needs a path")
        if rest == "@":
            raise ValueError(f"{text!r}: {kind}: needs a name after the @")
        return Address(kind, "\0" + rest[1:] if rest.startswith("@") else rest)
    if kind == "fd" and colon:
        if not (rest.isascii() and rest.isdigit() and len(rest) < 20):
            raise ValueError(f"{text!r}: fd: needs a descriptor's number")
        if int(rest) > KERNEL_MOST:
            raise ValueError(f"{text!r}: no descriptor has such a number")
        return Address("fd", "", int(rest))
    prefixed = kind in ("tcp", "udp") and ":" in rest
    host, colon, port = (rest if prefixed else text).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit() and len(port) < 20) or (":" in host and not bracketed):
        raise ValueError(f"{text!r} is not HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N")
    if int(port) > 65535:
        raise ValueError(f"{text!r}: a port is at most 65535")
    return Address(kind if prefixed else "tcp", host[1:-1] if bracketed else host or "0.0.0.0", int(port))


def where_of(address: Address) -> Where:
    """Return an address in the form in which a platform names peers: (host, port), or a path."""
    return (address.host, address.port) if address.kind in ("tcp", "udp") else address.host


def has_file(address: Address) -> bool:
    """Tell whether a socket at this address has a file: one with a path, and not an abstract name."""
    return address.kind in ("unix", "unixgram") and not address.host.startswith("\0")


def streams_only(address: Address) -> None:
    """Raise OSError for an address of datagrams, which have no connections."""
    if address.datagrams:
        raise OSError(EOPNOTSUPP, f"{address} takes datagrams: it can be bound, but not listened at or connected to")


def datagrams_only(address: Address) -> None:
    """Raise OSError for an address of connections, which are listened for."""
    if not address.datagrams:
        raise OSError(EOPNOTSUPP, f"{address} takes connections: it can be listened at, but not bound for datagrams")


class Credentials(NamedTuple):
    """Who was at the other end of a UNIX socket when it connected: process, user and group (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


class Channel(Protocol):
    """One connection's bytes, never blocking: the part of a `socket.socket` that the hot path uses.

    Each method raises OSError as the socket's does; BlockingIOError means "not now".
    """

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows it."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Return at most `size` bytes that have arrived; b"" at the peer's end."""
        ...

    def send(self, data: Piece, /) -> int:
        """Take what can be taken of `data` and return how much that was."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Listening(Protocol):
    """A place at which connections arrive."""

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows it."""
        ...

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection and its peer. Raises BlockingIOError where there is none, else OSError."""
        ...

    def where(self) -> Address:
        """Return the address that it really has."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


Sender = Any
"""Who has sent a datagram, and which address of ours was asked, in the form that a channel hands out and takes back."""


class DatagramChannel(Protocol):
    """A place at which datagrams arrive and from which they leave, never blocking.

    A datagram is sent whole or not at all, and may be lost, doubled or overtaken on its way, of which nobody is told.
    """

    plain: bool
    """True where a sender is nothing but the peer's address: `peer(sender)` need not be called."""

    trusted: bool
    """True where what a sender's address is said to be can be relied on, as it cannot over UDP."""

    waits: bool
    """True where the poller tells when there is room again after "not now"."""

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows it."""
        ...

    def receive(self, size: int, /) -> tuple[bytes, Sender]:
        """Return the first `size` bytes of the next datagram, and its sender; if there were more, they are lost.

        No bytes are a datagram too. Raises BlockingIOError where none has come, else OSError.
        """
        ...

    def send_to(self, data: Piece, sender: Sender, /) -> int:
        """Send one datagram, from the address that was asked; return its length.

        Raises BlockingIOError where there is no room now, else OSError.
        """
        ...

    def sender(self, peer: Where, /) -> Sender:
        """Return what stands for a peer that has not sent anything yet."""
        ...

    def peer(self, sender: Sender, /) -> Where:
        """Return the peer's address."""
        ...

    def local(self, sender: Sender, /) -> Where:
        """Return the address of ours that this sender has asked."""
        ...

    def credentials(self, sender: Sender, /) -> Credentials | None:
        """Tell who has sent something over a UNIX socket; None where that cannot be known."""
        ...

    def pack(self, sender: Sender, /) -> Hashable:
        """Return a sender in as few bytes as will do, to be kept a million times and to be found by."""
        ...

    def unpack(self, packed: Hashable, /) -> Sender:
        """Return a sender again of what `pack` has made."""
        ...

    def where(self) -> Address:
        """Return the address that it really has."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Poller(Protocol):
    """Who can move. Level-triggered; a mask is never 0 (a paused row is unregistered)."""

    def register(self, descriptor: int, mask: int, /) -> None:
        """Begin to ask about a descriptor."""
        ...

    def modify(self, descriptor: int, mask: int, /) -> None:
        """Ask for something else."""
        ...

    def unregister(self, descriptor: int, /) -> None:
        """Ask no more."""
        ...

    def ready(self, seconds: float | None, most: int, /) -> Events:
        """Wait at most `seconds` (None: without end; 0: not at all) and return at most `most` pairs."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `ready` would return something, where there is one."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Work(Protocol):
    """A call that is under way elsewhere."""

    name: str
    """For the operator: how, and the process where it has one of its own."""

    descriptors: tuple[int, ...]
    """Each turns readable when `poll` is worth a try. Where there are none, somebody must try now and then."""

    def poll(self) -> Outcome | None:
        """Return what came of it; None while it runs."""
        ...

    def cancel(self) -> None:
        """Stop it if it can be stopped: nobody wants to know any more. It goes on to be polled."""
        ...

    def close(self) -> None:
        """Free all that it has. One that still runs is stopped, or left to itself."""
        ...


class Elsewhere(Protocol):
    """Where calls run."""

    def begin(self, call: Call, channel: Channel | None) -> Work:
        """Begin a call, to which `channel` is lent if it is one. Raises whatever there is to say against it."""
        ...

    def close(self, wait: bool) -> None:
        """Begin nothing more, and free what was kept for it; `wait` for that where nothing is under way."""
        ...


class Platform(Protocol):
    """What a platform owes the engine."""

    @property
    def poller(self) -> Poller:
        """Return who tells which channels can move."""
        ...

    @property
    def random(self) -> Random:
        """Return the source of random numbers."""
        ...

    @property
    def tells_peer_end(self) -> bool:
        """Tell whether the poller knows `PEER_ENDED`."""
        ...

    def now(self) -> float:
        """Read the monotonic clock, in seconds. The reactor alone calls it, once a turn."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970, for dates shown to people."""
        ...

    def rows_max(self) -> int:
        """Return how many rows there can be."""
        ...

    def memory(self) -> int:
        """Return the machine's memory in bytes."""
        ...

    def listen(self, address: Address, backlog: int, notsent_bytes: int, mode: int | None = None) -> Listening:
        """Begin to listen; `mode` are a socket file's permissions, None for the umask's. Raises OSError."""
        ...

    def connect(self, address: Address) -> Channel:
        """Begin to connect; the channel turns writable when that has ended, either way. Raises OSError."""
        ...

    def bind(self, address: Address, mode: int | None = None) -> DatagramChannel:
        """Begin to take datagrams; `mode` as in `listen`. Raises OSError."""
        ...

    def bind_to(self, peer: Address) -> DatagramChannel:
        """Begin to take datagrams of one peer alone, at an address of ours that is picked. Raises OSError."""
        ...

    def failure(self, channel: Channel) -> int:
        """Return the error number that a connection attempt ended with, 0 for success."""
        ...

    def local(self, channel: Channel) -> Where:
        """Return the channel's own address."""
        ...

    def credentials(self, channel: Channel) -> Credentials | None:
        """Tell who is at the other end of a UNIX socket; None where that cannot be known."""
        ...

    def send_many(self, channel: Channel, pieces: Sequence[Piece]) -> int:
        """Send what can be sent of several pieces in one go; return how many bytes that was. Raises OSError."""
        ...

    def send_file(self, channel: Channel, file: HasDescriptor, offset: int, count: int) -> int:
        """Send what can be sent of a file's part; 0 means that the file is shorter. Raises OSError."""
        ...

    def unsent(self, channel: Channel) -> int:
        """Return how many bytes were sent that the peer's side has not taken yet; -1 where nobody can tell."""
        ...

    def let_take(self, channel: Channel, notsent_bytes: int) -> None:
        """Let the kernel take so many bytes of a channel before it sends them (TCP_NOTSENT_LOWAT), if it has a say."""
        ...

    def half_close(self, channel: Channel) -> None:
        """End our side of a stream. Raises OSError."""
        ...

    def abort(self, channel: Channel) -> None:
        """Close with a reset instead of an end."""
        ...

    def elsewhere(self, calls_max: int, bytes_max: int) -> Elsewhere:
        """Return where calls can run, so many at once, of which each tells so many bytes at the most."""
        ...

    def take_back(self, channel: Channel) -> None:
        """Make a channel ours again that was lent: it blocks no more."""
        ...
