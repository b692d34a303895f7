"""The kernel as a platform: real sockets, the monotonic clock, a poller. The default.

A `socket.socket` is a channel as it is. What differs between systems is asked for here and nowhere else: an option that
a system lacks is left out, for each is a help and none a need. Never `repr` a socket: on WASI that ends the process.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from errno import EINPROGRESS, EINVAL, ENOTSOCK
from random import Random, SystemRandom
from selectors import BaseSelector, SelectSelector
from typing import cast

from .datagram_sockets import ConnectedSocket, DatagramSocket, datagram_socket
from .elsewhere import Outside
from .machine import HasDescriptor, Piece
from .platform import Address, Channel, Credentials, Where, datagrams_only, has_file, streams_only
from .selector import best_selector, poller_for, tells_peer_end
from .socket_files import Identity, bind, remove

DESCRIPTORS_KEPT = 32  # left to the rest of the program
SELECT_MOST = 1024  # FD_SETSIZE: select(2) can't name more
MEMORY_GUESS = 1 << 30  # bytes, where the machine does not tell
PIECES_MOST = 1024  # IOV_MAX on Linux: sendmsg(2) refuses more
_UCRED = struct.Struct("3i")  # process, user, group: unix(7)


class Kernel:
    """Real sockets. `selector` is any of the `selectors` module's, or of your own; the leanest where none is given."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def __init__(self, selector: BaseSelector | None = None) -> None:
        selector = selector or best_selector()
        self.poller = poller_for(selector)
        self.tells_peer_end = tells_peer_end(selector)
        self.random: Random = SystemRandom()
        self._descriptors = _soft_descriptor_limit()
        if isinstance(selector, SelectSelector):
            self._descriptors = min(self._descriptors, SELECT_MOST)

    def rows_max(self) -> int:
        """Return the soft descriptor limit less what the rest of the program keeps."""
        return max(1, self._descriptors - DESCRIPTORS_KEPT)

    def memory(self) -> int:
        """Return the machine's memory in bytes; a guess of 1 GiB where it does not tell."""
        try:
            pages = os.sysconf("SC_PHYS_PAGES")
            return os.sysconf("SC_PAGE_SIZE") * pages if pages > 0 else MEMORY_GUESS  # WASI has -1 of them
        except (AttributeError, ValueError, OSError):
            return MEMORY_GUESS

    def listen(self, address: Address, backlog: int, notsent_bytes: int, mode: int | None = None) -> "ListeningSocket":
        """Bind and listen. Accepted sockets inherit the options that are set here; `mode` is a socket file's."""
        streams_only(address)
        if address.kind == "fd":
            return ListeningSocket(_inherited(address.port), address, None)
        family, where = _family_and_where(address)
        channel = socket.socket(family, socket.SOCK_STREAM)
        try:
            channel.setblocking(False)
            made = None
            if has_file(address):
                made = bind(channel, address.host, mode, lambda: channel.listen(backlog))
            else:
                if address.kind == "tcp":
                    _set_options(channel, notsent_bytes)
                channel.bind(where)
                channel.listen(backlog)
        except BaseException:
            channel.close()
            raise
        return ListeningSocket(channel, address, made)

    def connect(self, address: Address) -> Channel:
        """Begin to connect to a numeric address or a path."""
        streams_only(address)
        family, where = _family_and_where(address)
        channel = socket.socket(family, socket.SOCK_STREAM)
        try:
            channel.setblocking(False)
            if address.kind == "tcp":
                _set_option(channel, "IPPROTO_TCP", "TCP_NODELAY", 1)
            code = channel.connect_ex(where)
            if code not in (0, EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except BaseException:
            channel.close()
            raise
        return channel

    def bind(self, address: Address, mode: int | None = None) -> DatagramSocket:
        """Bind a socket for datagrams to a numeric address or a path; `mode` is a socket file's."""
        datagrams_only(address)
        family, where = _family_and_where(address)
        channel = socket.socket(family, socket.SOCK_DGRAM)
        try:
            channel.setblocking(False)
            made = None
            if has_file(address):
                made = bind(channel, address.host, mode, lambda: None)
            else:
                if family == socket.AF_INET6:
                    _set_option(channel, "IPPROTO_IPV6", "IPV6_V6ONLY", 1)
                channel.bind(where)
        except BaseException:
            channel.close()
            raise
        return datagram_socket(channel, address, made)

    def bind_to(self, peer: Address) -> DatagramSocket:
        """Connect a socket for datagrams to one peer; a UNIX one gets an abstract name, so that it can be answered."""
        datagrams_only(peer)
        family, where = _family_and_where(peer)
        channel = socket.socket(family, socket.SOCK_DGRAM)
        try:
            channel.setblocking(False)
            if peer.kind == "unixgram" and sys.platform == "linux":
                channel.bind("")  # the kernel picks one: unix(7), autobind
            channel.connect(where)
        except BaseException:
            channel.close()
            raise
        return ConnectedSocket(channel, peer)

    def elsewhere(self, calls_max: int, bytes_max: int) -> Outside:
        """Return what runs calls in children, threads and processes."""
        return Outside(calls_max, bytes_max)

    def take_back(self, channel: Channel) -> None:
        """Let a socket block no more. Its descriptor is shared with whoever has let it block (fcntl(2), O_NONBLOCK)."""
        _socket(channel).setblocking(False)

    def failure(self, channel: Channel) -> int:
        """Return the error that a connection attempt ended with (SO_ERROR)."""
        return _socket(channel).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def local(self, channel: Channel) -> Where:
        """Return the socket's own address."""
        return _socket(channel).getsockname()

    def credentials(self, channel: Channel) -> Credentials | None:
        """Ask who has connected to a UNIX socket (SO_PEERCRED, unix(7)); None where that cannot be known."""
        if not hasattr(socket, "SO_PEERCRED") or getattr(channel, "family", None) != socket.AF_UNIX:
            return None
        try:
            found = _socket(channel).getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            return None
        return Credentials(*_UCRED.unpack(found))

    def send_many(self, channel: Channel, pieces: Sequence[Piece]) -> int:
        """Send several pieces in one sendmsg(2); joined where there is none."""
        if hasattr(channel, "sendmsg"):
            return _socket(channel).sendmsg(pieces[:PIECES_MOST])
        return channel.send(b"".join(pieces))

    def send_file(self, channel: Channel, file: HasDescriptor, offset: int, count: int) -> int:
        """Send a file's part by sendfile(2), or through memory where there is none or the file does not lend itself."""
        if hasattr(os, "sendfile"):
            try:
                return os.sendfile(channel.fileno(), file.fileno(), offset, count)
            except OSError as error:
                if error.errno not in (EINVAL, ENOTSOCK):
                    raise
        data = os.pread(file.fileno(), min(count, 1 << 16), offset)
        return channel.send(data) if data else 0

    def unsent(self, channel: Channel) -> int:
        """Return what the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)); -1 where there is no such question."""
        try:
            from fcntl import ioctl
            from termios import TIOCOUTQ

            return int.from_bytes(ioctl(channel.fileno(), TIOCOUTQ, b"\0\0\0\0"), sys.byteorder)
        except (ImportError, OSError, ValueError):
            return -1

    def let_take(self, channel: Channel, notsent_bytes: int) -> None:
        """Set TCP_NOTSENT_LOWAT; nothing on the channel of a row that has just ended, which is mute."""
        if hasattr(channel, "setsockopt"):
            _set_option(_socket(channel), "IPPROTO_TCP", "TCP_NOTSENT_LOWAT", notsent_bytes)

    def half_close(self, channel: Channel) -> None:
        """Send an end of file; reading goes on."""
        _socket(channel).shutdown(socket.SHUT_WR)

    def abort(self, channel: Channel) -> None:
        """Close with a reset: what the kernel has not sent yet is lost, and the peer reads ECONNRESET."""
        if hasattr(socket, "SO_LINGER"):
            with suppress(OSError):
                _socket(channel).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        channel.close()


class ListeningSocket:
    """A socket that listens. `made` is the socket file that it made, which it removes."""

    def __init__(self, channel: socket.socket, address: Address, made: Identity | None) -> None:
        self._channel = channel
        self._address = address
        self._made = made

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._channel.fileno()

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection. Emscripten says EINVAL where others say EAGAIN."""
        try:
            channel, peer = self._channel.accept()
        except OSError as error:
            if error.errno == EINVAL:
                raise BlockingIOError(EINVAL, "nothing waits") from None
            raise
        channel.setblocking(False)
        return channel, peer

    def where(self) -> Address:
        """Return the address that it really has: port 0 has become a number."""
        name = self._channel.getsockname()
        if isinstance(name, tuple):
            return Address("tcp", name[0], name[1])
        return Address("unix", name if isinstance(name, str) else self._address.host)

    def close(self) -> None:
        """Stop listening, and remove the socket file if it is still the one that was made."""
        self._channel.close()
        if self._made is not None:
            remove(self._address.host, self._made)


def resolve(address: Address) -> list[Address]:
    """Look up a host's name: blocks, so it is for a program's start, never for a turn. Raises OSError."""
    if address.kind not in ("tcp", "udp"):
        return [address]
    kind = socket.SOCK_DGRAM if address.datagrams else socket.SOCK_STREAM
    found = socket.getaddrinfo(address.host, address.port, type=kind)
    addresses = [Address(address.kind, str(where[0]), int(where[1])) for _, _, _, _, where in found]
    return list(dict.fromkeys(addresses))


def _socket(channel: Channel) -> socket.socket:
    return cast(socket.socket, channel)  # a row of this platform has no other


def _family_and_where(address: Address) -> tuple[int, str | tuple[str, int] | tuple[str, int, int, int]]:
    """Return the socket family of an address, and what its sockets take for it.

    Raises ValueError for a host that is not numeric, OSError for a zone (`fe80::1%eth0`, RFC 4007) that there is not.
    """
    if address.kind in ("unix", "unixgram"):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError(EINVAL, "no UNIX sockets on this platform")
        if address.host.startswith("\0") and sys.platform != "linux":
            raise OSError(EINVAL, "only Linux has abstract names")
        return socket.AF_UNIX, address.host
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    host, _, zone = address.host.partition("%")
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise ValueError(f"{address.host!r} is not a numeric address; resolve() looks names up") from None
    if zone:  # in a host's name `socket` reads it and forgets it again
        return family, (host, address.port, 0, int(zone) if zone.isdecimal() else socket.if_nametoindex(zone))
    return family, (address.host, address.port)


def _set_options(channel: socket.socket, notsent_bytes: int) -> None:
    """Set what accepted sockets inherit.

    Not TCP_USER_TIMEOUT: it counts a closed window too, and a slow reader's stays closed for tens of seconds.
    """
    if os.name == "posix":  # elsewhere it would let two servers share a port
        _set_option(channel, "SOL_SOCKET", "SO_REUSEADDR", 1)
    _set_option(channel, "IPPROTO_TCP", "TCP_NODELAY", 1)
    _set_option(channel, "IPPROTO_TCP", "TCP_NOTSENT_LOWAT", notsent_bytes)
    if channel.family == socket.AF_INET6:
        _set_option(channel, "IPPROTO_IPV6", "IPV6_V6ONLY", 1)  # one listener, one family: no surprise by ::


def _set_option(channel: socket.socket, level: str, option: str, value: int) -> None:
    if hasattr(socket, level) and hasattr(socket, option):
        with suppress(OSError):
            channel.setsockopt(getattr(socket, level), getattr(socket, option), value)


def _inherited(descriptor: int) -> socket.socket:
    """Take over the listening socket that the program was started with. Raises OSError where it is none."""
    channel = socket.socket(fileno=descriptor)
    try:
        if channel.type != socket.SOCK_STREAM or not channel.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(EINVAL, f"descriptor {descriptor} is not a listening stream socket")
        channel.setblocking(False)
    except BaseException:
        channel.detach()  # it is still the caller's
        raise
    return channel


def _soft_descriptor_limit() -> int:
    try:
        from resource import RLIMIT_NOFILE, getrlimit

        soft = getrlimit(RLIMIT_NOFILE)[0]
    except (ImportError, OSError):
        return SELECT_MOST
    return soft if 0 < soft < 1 << 30 else 1 << 30
