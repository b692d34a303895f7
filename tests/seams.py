"""The bare seam: a platform's own calls, without an engine above them, on the simulation and on the kernel alike.

Both ends of a connection are channels of one platform, so that a test which is written once asks the same of an `End`
and of a socket. What is expected is what Linux was seen to do with TCP; where UNIX sockets differ, a test says both.
"""

from collections.abc import Callable
from errno import errorcode
from typing import Any

from partway.engine import parse_address
from partway.engine.kernel import Kernel
from partway.engine.platform import (
    BROKEN,
    FAILED,
    HUNG_UP,
    PEER_ENDED,
    READABLE,
    WRITABLE,
    Address,
    Channel,
)
from partway.engine.simulation import Simulation
from worlds import SELECTORS

PAUSE_SECONDS = 0.002
PAUSES_MOST = 1000

QUIET = WRITABLE  # connected, and nothing has come
ENDED = READABLE | WRITABLE | PEER_ENDED
OVER = ENDED | HUNG_UP  # both sides have ended
LOST = OVER | BROKEN

NAMES = {READABLE: "readable", WRITABLE: "writable", PEER_ENDED: "ended", HUNG_UP: "hung up", BROKEN: "broken"}


def named(mask: int) -> str:
    """Show a mask."""
    return " ".join(name for bit, name in NAMES.items() if mask & bit) or "nothing"


class Seam:
    """One platform and its poller."""

    def __init__(self, name: str, folder: str) -> None:
        self.name = name
        kind, _, rest = name.partition("-")
        self.real = kind != "simulation"
        self.tcp = rest != "unix"
        self.platform: Any = (
            Kernel(SELECTORS[kind]()) if self.real else Simulation(int(rest) if self.tcp else 1, capacity_bytes=1 << 16)
        )
        self.exact = not self.real or kind == "lean"  # the others tell only what can be read and written
        self._opened: list[Any] = []
        places = {"ip4": "127.0.0.1:0", "ip6": "[::1]:0", "unix": f"unix:{folder}/here"}
        self._place = parse_address(places.get(rest, "server:0"))
        self.listening: Any = None

    def __repr__(self) -> str:
        return f"Seam({self.name})"

    def listen(self, backlog: int = 100) -> Address:
        """Begin to listen."""
        self.listening = self.platform.listen(self._place, backlog, 16384)
        self._opened.append(self.listening)
        address: Address = self.listening.where()
        return address

    def connect(self) -> Channel:
        """Begin to connect."""
        channel: Channel = self.platform.connect(self.listening.where())
        self._opened.append(channel)
        return channel

    def accept(self) -> Channel:
        """Accept whoever comes next."""
        self.becomes(self.listening, READABLE)
        channel: Channel = self.listening.accept()[0]
        self._opened.append(channel)
        return channel

    def pair(self) -> tuple[Channel, Channel]:
        """Both ends of a connection: the accepted one first."""
        if self.listening is None:
            self.listen()
        far = self.connect()
        near = self.accept()
        self.becomes(far, QUIET)
        self.becomes(near, QUIET)
        return near, far

    def pause(self) -> None:
        """Let a little time pass."""
        assert not self.platform.poller.ready(PAUSE_SECONDS, 16)

    def pauses(self) -> None:
        """Let time pass for what ought not to happen."""
        for _ in range(5):
            self.pause()

    def look(self, channel: Any, asked: int = READABLE | WRITABLE | PEER_ENDED) -> int:
        """Return what the poller says at once."""
        poller = self.platform.poller
        poller.register(channel.fileno(), asked)
        pairs = poller.ready(0, 16)
        poller.unregister(channel.fileno())
        assert all(descriptor == channel.fileno() for descriptor, _ in pairs)
        return pairs[0][1] if pairs else 0

    def owed(self, mask: int) -> int:
        """Return what a poller would say that knows no more than reading and writing."""
        if self.exact:
            return mask
        failed = READABLE | WRITABLE if mask & FAILED else 0
        return (mask | failed) & (READABLE | WRITABLE)

    def becomes(self, channel: Any, mask: int) -> None:
        """Wait until the poller says exactly this. Raises AssertionError where it never does."""
        for _ in range(PAUSES_MOST):
            said = self.look(channel)
            if said == self.owed(mask):
                return
            self.pause()
        raise AssertionError(f"{self!r}: owed {named(self.owed(mask))}, the poller says {named(said)}")

    def stays(self, channel: Any, mask: int) -> None:
        """See that the poller says this, and goes on saying it."""
        self.becomes(channel, mask)
        self.pauses()
        assert self.look(channel) == self.owed(mask), f"{self!r}: {named(self.look(channel))}"

    def half_close(self, channel: Channel) -> str:
        """End a side; return "" or the name of the error."""
        return str(outcome(lambda: self.platform.half_close(channel) or ""))

    def abort(self, channel: Channel) -> None:
        """Reset."""
        self.platform.abort(channel)

    def close(self) -> None:
        """Free everything."""
        for thing in self._opened:
            thing.close()
        self.platform.poller.close()


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the name of the error that it raises."""
    try:
        return call()
    except OSError as error:
        return errorcode[error.errno or 0]


def recv(channel: Channel, size: int = 1 << 16) -> Any:
    """Receive: bytes, or the name of an error."""
    return outcome(lambda: channel.recv(size))


def send(channel: Channel, data: bytes = b"x") -> Any:
    """Send: how many bytes were taken, or the name of an error."""
    return outcome(lambda: channel.send(data))
