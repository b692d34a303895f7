"""What lies between simulated ends: links with a delay, a bandwidth and losses; and ends and listeners that may fail.

Each link has random numbers of its own, so that what happens to one client is not moved by another's being there: it
is what lets a failing crowd be made smaller.
"""

from collections import Counter, deque
from errno import EAGAIN, ECONNABORTED, ECONNRESET, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPIPE
from os import strerror
from random import Random
from typing import TYPE_CHECKING

from .faults import Faults
from .machine import Piece
from .memory import End, MemoryListening, end_of
from .platform import Address, Channel, Where

if TYPE_CHECKING:
    from .simulation import Simulation

NO_FAULTS = Faults()

WHOLE, CUT, GONE = range(3)
"""What has become of a connection: a fault has cut it, or its client is gone and nothing passes any more."""


class Link:
    """A client's way to the server and back: `delay_seconds` least and most, `bytes_a_second` 0 for without end."""

    __slots__ = ("bytes_a_second", "delay_seconds", "faults", "met", "plain", "random")

    def __init__(
        self,
        random: Random,
        met: Counter[str],
        *,
        delay_seconds: tuple[float, float] = (0.0, 0.001),
        bytes_a_second: float = 0.0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self.random = random
        self.met = met  # how often each fault has happened
        self.delay_seconds = delay_seconds
        self.bytes_a_second = bytes_a_second
        self.faults = faults
        self.plain = not (bytes_a_second or faults.lost or faults.end_with_data)  # nothing but a delay

    def trouble(self, size: int) -> float:
        """Draw how much longer than their delay so many bytes take; 0 for what is no byte: an end, a reset."""
        seconds = size / self.bytes_a_second if self.bytes_a_second else 0.0
        faults = self.faults
        if faults.lost:
            again = faults.resend_seconds
            while again < 60 and self.random.random() < faults.lost:
                self.met["lost"] += 1
                seconds += again
                again *= 2
        return seconds


class SimulatedEnd(End):
    """An end with a link; `clear_at` is when the last thing that it sent will have arrived.

    Many may share a link; what has become of a connection is its ends' own: `fate`.
    """

    __slots__ = ("clear_at", "fate", "link")
    network: "Simulation"
    other: "SimulatedEnd"

    def __init__(self, network: "Simulation", capacity: int, link: Link, descriptor: int = -1) -> None:
        super().__init__(network, capacity, descriptor)
        self.link = link
        self.clear_at = 0.0
        self.fate = WHOLE

    def vanish(self) -> None:
        """Be gone without a word: nothing comes from here, and nothing arrives."""
        self.fate = self.other.fate = GONE

    # What is counted as it comes to the server's end, which nobody but the poller watches.

    def end_came(self, nothing: None = None) -> None:
        """The other side has ended: its half where it goes on reading."""
        if self.watcher is None and not self.other.closed:
            self.link.met["half_close"] += 1
        super().end_came()

    def reset_came(self, error: int) -> None:
        """The other side has reset."""
        ours = self.watcher is None and self.descriptor >= 0 and not self.closed
        if ours and not self.network.poller.asks(self.descriptor):
            self.link.met["reset_while_paused"] += 1
        super().reset_came(error)


class FaultyEnd(SimulatedEnd):
    """The server's end where calls may fail. One draw a call decides whether anything does."""

    __slots__ = ("_read_odds", "_send_odds")

    def __init__(self, network: "Simulation", capacity: int, link: Link, descriptor: int = -1) -> None:
        super().__init__(network, capacity, link, descriptor)
        faults = link.faults
        both = faults.not_ready + faults.interrupted + faults.reset
        self._read_odds = faults.short_read + both
        self._send_odds = faults.short_write + both + faults.broken_pipe + faults.no_buffers

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes that have arrived, or fewer. Raises as a socket does, and once more."""
        draw = self.link.random.random()
        if draw < self._read_odds:
            faults = self.link.faults
            if draw < faults.short_read:
                if len(self.arrived) > 1:
                    self.link.met["short_read"] += 1
                    size = self.link.random.randrange(1, min(len(self.arrived), size + 1))
            else:
                self._fail(draw - faults.short_read)
        return super().recv(size)

    def send(self, data: Piece) -> int:
        """Take what there is room for, or less. Raises as a socket does, and once more."""
        draw = self.link.random.random()
        if draw < self._send_odds:
            faults = self.link.faults
            if draw < faults.short_write:
                if len(data) > 1:
                    sent = super().send(data[: self.link.random.randrange(1, len(data))])
                    self.link.met["short_write"] += 1
                    self.starved = True
                    return sent
            else:
                self._fail(draw - faults.short_write, sends=True)
        return super().send(data)

    def _fail(self, draw: float, sends: bool = False) -> None:
        """Fail in the way that the draw falls on, if there is a connection; after the peer's end only sends are cut."""
        if self.connecting or self.closed or self.error or (self.shut and self.end_arrived):
            return
        link, faults = self.link, self.link.faults
        if draw < faults.not_ready:
            link.met["not_ready"] += 1
            raise BlockingIOError(EAGAIN, strerror(EAGAIN))
        draw -= faults.not_ready
        if draw < faults.interrupted:
            link.met["interrupted"] += 1
            raise InterruptedError(EINTR, strerror(EINTR))
        draw -= faults.interrupted
        if self.end_arrived and not sends:
            return
        if draw < faults.reset or not sends:
            self._break("reset", EPIPE if self.end_arrived else ECONNRESET)
        elif draw - faults.reset < faults.broken_pipe:
            self._break("broken_pipe", EPIPE)
        else:
            self._break("no_buffers", ENOBUFS)

    def _break(self, name: str, error: int) -> None:
        """Cut the connection: this call fails, and the other side is reset."""
        self.link.met[name] += 1
        self.other.fate = CUT
        self.arrived = b""
        self.end_arrived = self.shut = True
        self.network.carry(self, self.other.reset_came, ECONNRESET)
        raise OSError(error, strerror(error))


class SimulatedListening(MemoryListening):
    """A place at which simulated connections arrive."""

    def __init__(self, simulation: "Simulation", address: Address, backlog: int, descriptor: int) -> None:
        super().__init__(address, descriptor)
        self._simulation = simulation
        self.backlog = backlog
        self.failures: deque[int] = deque()  # error numbers that the next calls of accept raise
        faults = simulation.faults
        self._odds = (
            (faults.accept_aborted, "accept_aborted", (ECONNABORTED,)),
            (faults.interrupted, "interrupted", (EINTR,)),
            (faults.accept_no_descriptor, "accept_no_descriptor", (EMFILE, ENFILE)),
            (faults.accept_no_buffers, "accept_no_buffers", (ENOBUFS, ENOMEM)),
        )
        simulation.poller.pollables[descriptor] = self

    def accept(self) -> tuple[Channel, Where]:
        """Return the next connection, with a descriptor. Raises OSError as the kernel does."""
        if self.waiting:
            self._fail()
        simulation = self._simulation
        descriptor = simulation.take_descriptor() if self.waiting else -1
        channel, peer = super().accept()
        end = end_of(channel)
        end.descriptor = descriptor
        simulation.poller.pollables[descriptor] = end
        return end, peer

    def _fail(self) -> None:
        random = self._simulation.random
        for odds, name, errors in self._odds:
            if odds and random.random() < odds:
                self._simulation.met[name] += 1
                self.failures.append(random.choice(errors))
                if name == "accept_aborted":
                    self.waiting.popleft().abort()
                break
        if self.failures:
            error = self.failures.popleft()
            raise OSError(error, strerror(error))

    def close(self) -> None:
        """Stop listening, and free the descriptor. A second call does nothing."""
        if self.descriptor >= 0:
            del self._simulation.listening[self.address]
            self._simulation.give_descriptor(self.descriptor)
            self.descriptor = -1
            super().close()
