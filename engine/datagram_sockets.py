"""Sockets for datagrams, as the kernel's platform has them.

A socket that is bound to one address answers from there by itself. One that is bound to all of them must be told, for
each answer, which was asked (IP_PKTINFO, ip(7); IPV6_PKTINFO, RFC 3542): else an answer leaves from whichever address
the route prefers, and a client that compares rejects it. A UNIX socket tells who has sent something (SO_PASSCRED,
unix(7)).
"""

import os
import socket
import struct
import sys
from collections.abc import Callable, Hashable
from typing import Any, cast

from .machine import Piece
from .platform import Address, Credentials, Where
from .socket_files import Identity, remove

_UCRED = struct.Struct("3i")  # process, user, group: unix(7)
_PKTINFO = struct.Struct("=i4s4s")  # interface, our address, the destination in the header: ip(7)
_PORT = struct.Struct("!H")
_PORT_SCOPE = struct.Struct("!HI")


def datagram_socket(channel: socket.socket, address: Address, made: Identity | None) -> "DatagramSocket":
    """Return what suits a bound socket. `made` is the socket file that it made, which it removes."""
    if address.kind == "unixgram":
        return UnixDatagramSocket(channel, address, made)
    if address.host in ("0.0.0.0", "::") and hasattr(channel, "recvmsg"):
        kind = WildcardSocket if channel.family == socket.AF_INET else WildcardSocket6
        if kind.ask(channel):
            return kind(channel, address, None)
    return DatagramSocket(channel, address, None)


class DatagramSocket:
    """A UDP socket that is bound to one address: a sender is the peer's address as the kernel gives it."""

    receive: Callable[[int], tuple[bytes, Any]]
    send_to: Callable[[Piece, Any], int]
    plain = True
    trusted = False
    waits = True

    def __init__(self, channel: socket.socket, address: Address, made: Identity | None) -> None:
        self._channel = channel
        self._address = address
        self._made = made
        self._six = channel.family == getattr(socket, "AF_INET6", None)
        self.fileno = channel.fileno
        self.receive = channel.recvfrom
        self.send_to = channel.sendto

    def sender(self, peer: Where) -> Any:
        """Return what stands for a peer."""
        return peer

    def peer(self, sender: Any) -> Where:
        """Return the peer's address."""
        return sender

    def local(self, sender: Any) -> Where:
        """Return our own address."""
        return self._channel.getsockname()

    def credentials(self, sender: Any) -> Credentials | None:
        """Nobody tells."""
        return None

    def pack(self, sender: Any) -> Hashable:
        """Return an address as 6 bytes, or as 22 for IPv6 with its scope."""
        return _pack(sender, self._six)

    def unpack(self, packed: Hashable) -> Any:
        """Return the address again."""
        return _unpack(cast(bytes, packed), self._six)

    def where(self) -> Address:
        """Return the address that it really has: port 0 has become a number."""
        if self._address.kind == "unixgram":
            return self._address
        name = self._channel.getsockname()
        return Address("udp", name[0], name[1])

    def close(self) -> None:
        """Free it, and remove the socket file if it is still the one that was made."""
        self._channel.close()
        if self._made is not None:
            remove(self._address.host, self._made)


class ConnectedSocket(DatagramSocket):
    """A socket that hears one peer alone, and is told where nobody is there (ECONNREFUSED)."""

    trusted = True

    def __init__(self, channel: socket.socket, peer: Address) -> None:
        name = channel.getsockname()
        own = peer if isinstance(name, tuple) else Address("unixgram", os.fsdecode(name))
        super().__init__(channel, own, None)
        self._peer = channel.getpeername()  # as the kernel writes it
        self.receive = self._receive
        self.send_to = self._send

    def _receive(self, size: int) -> tuple[bytes, Any]:
        return self._channel.recv(size), self._peer

    def _send(self, data: Piece, sender: Any) -> int:
        return self._channel.send(data)

    def pack(self, sender: Any) -> Hashable:
        """There is only one."""
        return cast(Hashable, self._peer)

    def unpack(self, packed: Hashable) -> Any:
        """There is only one."""
        return packed


class WildcardSocket(DatagramSocket):
    """A socket for all addresses of IPv4: a sender is (its address, ours as 4 bytes)."""

    plain = False
    _level = socket.IPPROTO_IP
    _info = getattr(socket, "IP_PKTINFO", 8 if sys.platform == "linux" else -1)  # Python names it from 3.14 on
    _info_asked = _info
    _info_bytes = _PKTINFO.size
    _where_bytes = 6

    @classmethod
    def ask(cls, channel: socket.socket) -> bool:
        """Have the kernel tell, with each datagram, which address it was sent to; False where it cannot."""
        try:
            channel.setsockopt(cls._level, cls._info_asked, 1)
        except OSError:
            return False
        return True

    def __init__(self, channel: socket.socket, address: Address, made: Identity | None) -> None:
        super().__init__(channel, address, made)
        self._space = socket.CMSG_SPACE(self._info_bytes)
        self.receive = self._receive
        self.send_to = self._send

    def _receive(self, size: int) -> tuple[bytes, Any]:
        data, told, _, where = self._channel.recvmsg(size, self._space)
        local = b""
        for level, kind, info in told:
            if level == self._level and kind == self._info:
                local = self._local_of(info)
        return data, (where, local)

    def _send(self, data: Piece, sender: Any) -> int:
        where, local = sender
        if not local:
            return self._channel.sendto(data, where)
        return self._channel.sendmsg((data,), ((self._level, self._info, self._info_for(local)),), 0, where)

    def _local_of(self, info: bytes) -> bytes:
        """Return our address: not the one in the header, which may be everybody's (a broadcast)."""
        return info[4:8]

    def _info_for(self, local: bytes) -> bytes:
        return _PKTINFO.pack(0, local, b"")

    def sender(self, peer: Where) -> Any:
        """Return what stands for a peer: the route decides from where it is spoken to."""
        return peer, b""

    def peer(self, sender: Any) -> Where:
        """Return the peer's address."""
        return sender[0]

    def local(self, sender: Any) -> Where:
        """Return the address of ours that was asked; that of the socket where nobody has asked."""
        name = self._channel.getsockname()
        return (socket.inet_ntop(self._channel.family, sender[1][:16]), *name[1:]) if sender[1] else name

    def pack(self, sender: Any) -> Hashable:
        """Return both addresses one after the other."""
        where, local = sender
        return _pack(where, self._six) + cast(bytes, local)

    def unpack(self, packed: Hashable) -> Any:
        """Return both again."""
        both = cast(bytes, packed)
        return _unpack(both[: self._where_bytes], self._six), both[self._where_bytes :]


class WildcardSocket6(WildcardSocket):
    """A socket for all addresses of IPv6: a sender is (its address, ours as 16 bytes and the interface as 4)."""

    _level = getattr(socket, "IPPROTO_IPV6", 41)
    _info = getattr(socket, "IPV6_PKTINFO", -1)
    _info_asked = getattr(socket, "IPV6_RECVPKTINFO", -1)
    _info_bytes = 20
    _where_bytes = 22

    def _local_of(self, info: bytes) -> bytes:
        """Return our address and the interface; nothing answers from a group's address (ff00::/8)."""
        return bytes(16) + info[16:] if info[0] == 0xFF else info

    def _info_for(self, local: bytes) -> bytes:
        return local


class UnixDatagramSocket(DatagramSocket):
    """A UNIX socket: a sender is (its path, "" for none; who it is, where the kernel tells)."""

    plain = False
    trusted = True
    waits = False

    def __init__(self, channel: socket.socket, address: Address, made: Identity | None) -> None:
        super().__init__(channel, address, made)
        self._space = 0
        if hasattr(socket, "SO_PASSCRED") and hasattr(channel, "recvmsg"):
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._space = socket.CMSG_SPACE(_UCRED.size)
        self.receive = self._receive
        self.send_to = self._send

    def _receive(self, size: int) -> tuple[bytes, Any]:
        if not self._space:
            data, path = self._channel.recvfrom(size)
            return data, (path or "", None)
        data, told, _, path = self._channel.recvmsg(size, self._space)
        who = None
        for level, kind, credentials in told:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                who = Credentials(*_UCRED.unpack(credentials))
        return data, (path or "", who)

    def _send(self, data: Piece, sender: Any) -> int:
        return self._channel.sendto(data, sender[0])

    def sender(self, peer: Where) -> Any:
        """Return what stands for a path."""
        return peer, None

    def peer(self, sender: Any) -> Where:
        """Return the path."""
        return sender[0]

    def credentials(self, sender: Any) -> Credentials | None:
        """Return who has sent it (SCM_CREDENTIALS)."""
        return cast("Credentials | None", sender[1])

    def pack(self, sender: Any) -> Hashable:
        """Return the path."""
        return cast(Hashable, sender[0])

    def unpack(self, packed: Hashable) -> Any:
        """Return what stands for a path."""
        return packed, None


def _pack(where: Any, six: bool) -> bytes:
    """Return an address as 6 bytes, or as 22 with the scope of IPv6."""
    if not six:
        return socket.inet_aton(where[0]) + _PORT.pack(where[1])
    scope = where[3] if len(where) > 3 else 0
    return socket.inet_pton(socket.AF_INET6, where[0].partition("%")[0]) + _PORT_SCOPE.pack(where[1], scope)


def _unpack(packed: bytes, six: bool) -> Any:
    if not six:
        return socket.inet_ntoa(packed[:4]), packed[4] << 8 | packed[5]
    port, scope = _PORT_SCOPE.unpack(packed[16:])
    return socket.inet_ntop(socket.AF_INET6, packed[:16]), port, 0, scope
