"""The host as a platform: somebody else moves the bytes.

JavaScript around Pyodide, a WASI host, a test: whatever has connections of its own calls `open` when one comes and gets
a number for it, then `feed`, `end` and `lost` as things happen, steps the reactor, and sends what `take` shows. Numbers
and bytes cross any boundary; objects don't. A number is never reused. Datagrams have no connections: `datagram` hands
one in for an address, and `take_datagrams` takes out what is to be sent from there.
"""

from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE, EOPNOTSUPP
from os import strerror
from random import Random
from typing import Any, NoReturn

from .elsewhere import Outside
from .host_datagrams import DATAGRAMS_MOST, HostPlace
from .memory import End, MemoryListening, MemoryStreams, end_of
from .memory_poller import MemoryPoller
from .platform import Address, Channel, Where, datagrams_only, parse_address, streams_only, where_of

CAPACITY_BYTES = 64 * 1024


class Host(MemoryStreams):
    """A platform whose connections are the caller's. `now` is the caller's monotonic clock, `wall` its calendar."""

    tells_peer_end = True

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], float] = lambda: 0.0,
        *,
        seed: int | None = None,
        rows_max: int = 10_000,
        memory: int = 256 << 20,
    ) -> None:
        self.now = now
        self.wall = wall
        self.random = Random(seed)
        self.poller = MemoryPoller(self)
        self._rows_max = rows_max
        self._memory = memory
        self._last = 0
        self._listening: dict[Address, _HostListening] = {}
        self._outside: dict[int, End] = {}
        self._places: dict[Address, HostPlace] = {}

    # What the host calls. A number that it never got, or has given back, is a LookupError.

    def open(self, address: str, peer: Where = "") -> int:
        """A connection has come for the listener at `address`; return its number. Raises LookupError where none is."""
        listening = self._listening.get(parse_address(address))
        if listening is None:
            raise LookupError(f"nobody listens at {address}")
        self._last += 1
        inside, outside = End(self, CAPACITY_BYTES, self._last), End(self, CAPACITY_BYTES)
        inside.other, outside.other = outside, inside
        inside.peer = peer
        inside.where = (listening.address.host, listening.address.port)
        self.poller.pollables[self._last] = inside
        self._outside[self._last] = outside
        listening.waiting.append(inside)
        self.poller.touch(listening.descriptor)
        return self._last

    def feed(self, number: int, data: bytes) -> int:
        """Bytes have come; return how many were taken. The rest must come again when `wants` is true."""
        outside = self._find(number)
        try:
            return outside.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # nobody reads it any more

    def wants(self, number: int) -> bool:
        """Tell whether more bytes can be fed."""
        outside = self._find(number)
        return outside.other.held < outside.other.capacity

    def end(self, number: int) -> None:
        """The peer has ended its side; nothing comes of it where the connection has ended already."""
        outside = self._find(number)
        with suppress(OSError):
            outside.half_close()

    def lost(self, number: int) -> None:
        """The connection is lost."""
        self._find(number).abort()
        del self._outside[number]

    def take(self, number: int, most: int = CAPACITY_BYTES) -> bytes:
        """Show the first bytes that are to be sent; `sent` tells how many really were."""
        return bytes(self._find(number).arrived[:most])

    def sent(self, number: int, count: int) -> None:
        """So many bytes of what `take` showed have been sent. Raises ValueError where there are not so many."""
        outside = self._find(number)
        if not 0 <= count <= len(outside.arrived):
            there = len(outside.arrived)
            raise ValueError(f"{count} bytes of connection {number} cannot have been sent: there are {there}")
        if count:
            outside.recv(count)

    def outcome(self, number: int) -> str:
        """Return "open", "ended" (close once all is taken) or "reset" (drop it): what the engine has decided."""
        outside = self._find(number)
        if outside.error:
            return "reset"
        return "ended" if outside.end_arrived and not outside.arrived else "open"

    def forget(self, number: int) -> None:
        """The connection is closed on the host's side as well."""
        self._find(number).close()
        del self._outside[number]

    def datagram(self, address: str, data: bytes, peer: Where) -> bool:
        """A datagram has come for an address; False where it is lost. Raises LookupError where nobody takes any."""
        place = self._places.get(parse_address(address))
        if place is None or place.closed:
            raise LookupError(f"nobody takes datagrams at {address}")
        return place.come(data, peer)

    def take_datagrams(self, address: str, most: int = DATAGRAMS_MOST) -> list[tuple[bytes, Where]]:
        """Take out datagrams that are to be sent from an address, and to whom; nothing where nothing is bound."""
        place = self._places.get(parse_address(address))
        if place is None:
            return []
        taken = place.take(most)
        self.forget_place(parse_address(address))
        return taken

    def datagram_addresses(self) -> list[str]:
        """Return all addresses from which datagrams may leave: what was bound, and one of its own for each client."""
        return [str(address) for address in self._places]

    def _find(self, number: int) -> End:
        outside = self._outside.get(number)
        if outside is None:
            raise LookupError(f"there is no connection {number}: it was never opened, or is forgotten")
        return outside

    # What the engine calls.

    def poll_begins(self, seconds: float | None) -> float | None:
        """Nothing happens but by the host's calls."""
        return None

    def happens(self, until: float | None) -> bool:
        """Nothing does, and a poll never waits: the host does."""
        return False

    def arrange(self, pairs: list[tuple[int, int]]) -> None:
        """As they came."""

    def rows_max(self) -> int:
        """Return how many rows there can be."""
        return self._rows_max

    def memory(self) -> int:
        """Return the memory in bytes that the limits are made from."""
        return self._memory

    def elsewhere(self, calls_max: int, bytes_max: int) -> Outside:
        """Return what runs calls here, or in somebody's executor; nobody waits for a descriptor."""
        return Outside(calls_max, bytes_max, waits=False)

    def take_back(self, channel: Channel) -> None:
        """Nothing has changed: there is no socket that could have been lent."""

    def listen(
        self, address: Address, backlog: int, notsent_bytes: int = 0, mode: int | None = None
    ) -> "_HostListening":
        """Expect connections for this address."""
        streams_only(address)
        self._last += 1
        listening = self._listening[address] = _HostListening(self, address, self._last)
        self.poller.pollables[self._last] = listening
        return listening

    def bind(self, address: Address, mode: int | None = None) -> HostPlace:
        """Expect datagrams for this address. Raises OSError where they are expected already."""
        datagrams_only(address)
        return self._new_place(address)

    def bind_to(self, peer: Address) -> HostPlace:
        """Expect datagrams of one peer alone, at an address of ours that is picked."""
        datagrams_only(peer)
        number = self._last + 1
        own = Address("udp", "0.0.0.0", number) if peer.kind == "udp" else Address("unixgram", f"\0client-{number}")
        return self._new_place(own, where_of(peer))

    def forget_place(self, address: Address) -> None:
        """Forget a place, if it is closed and nothing is left to be taken from there."""
        place = self._places[address]
        if place.closed and not place.leaving:
            del self._places[address]

    def _new_place(self, address: Address, only: Where | None = None) -> HostPlace:
        before = self._places.get(address)
        if before is not None and not before.closed:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        self._last += 1
        place = self._places[address] = HostPlace(self, address, self._last, only)
        if before is not None:
            place.leaving.extend(before.leaving)
        self.poller.pollables[self._last] = place
        return place

    def connect(self, address: Address) -> NoReturn:
        """Raise OSError: a host that connects out is not there yet."""
        raise OSError(EOPNOTSUPP, "the host platform cannot connect")

    def abort(self, channel: Channel) -> None:
        """Close with a reset."""
        end_of(channel).abort()

    def unsent(self, channel: Channel) -> int:
        """Return how many bytes the host has not told to be sent."""
        return end_of(channel).other.held

    # What ends call.

    def carry(self, end: End, what: Callable[[Any], None], argument: Any) -> None:
        """Nothing travels: the host is there already."""
        what(argument)

    def changed(self, end: End) -> None:
        """Have the poller look at it."""
        if end.descriptor >= 0:
            self.poller.touch(end.descriptor)

    def freed(self, end: End) -> None:
        """Forget it."""
        if end.descriptor >= 0:
            self.poller.pollables.pop(end.descriptor, None)


class _HostListening(MemoryListening):
    """Where the host's connections wait to be admitted."""

    def __init__(self, host: Host, address: Address, descriptor: int) -> None:
        super().__init__(address, descriptor)
        self._host = host

    def close(self) -> None:
        del self._host._listening[self.address]
        super().close()
