"""Those outside a simulated server: a `Peer`, which a test moves, and a `Client`, which a machine moves.

A client's machine says the same wants as a server's, so one file is a client here and on a real reactor. What carries
them out here is none of the engine's code: a second reading of the contract, which a bug in the first does not touch.
"""

from collections.abc import Callable
from errno import EAGAIN, ECONNREFUSED, errorcode
from random import Random
from typing import TYPE_CHECKING

from .buffers import flat
from .limits import Limits
from .machine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Cause,
    Idle,
    Machine,
    PeerError,
    Piece,
    Read,
    Reason,
    Wait,
    Want,
)
from .memory import End
from .network import WHOLE, SimulatedEnd
from .platform import Where

if TYPE_CHECKING:
    from .simulation import Simulation

_OUTPUT = (bytes, bytearray, memoryview, tuple)

Factory = Callable[["Client"], Machine]
"""Makes a client's machine."""


class Peer:
    """A client outside the reactor. What it does happens at once; what it hears has travelled.

    `watcher`, where it is set, is called whenever something has come.
    """

    def __init__(self, end: SimulatedEnd) -> None:
        self._end = end
        self._unsent = bytearray()
        self._end_when_sent = False
        self.reset = False
        self.refused = False
        self.ended = False
        self.watcher: Callable[[], None] | None = None
        end.watcher = self._changed

    @property
    def where(self) -> Where:
        """The client's own address, as the server sees it."""
        return self._end.where

    @property
    def unsent(self) -> int:
        """How many bytes the connection has had no room for yet."""
        return len(self._unsent)

    def say(self, data: bytes) -> None:
        """Send; what the connection has no room for follows as room comes."""
        self._unsent += data
        self._push()

    def heard(self, most: int = 1 << 30) -> bytes:
        """Read what has arrived and was not read yet. Sets `ended`, `reset` or `refused` when that is what came."""
        found = bytearray()
        while len(found) < most and not self._end.closed:
            try:
                data = self._end.recv(most - len(found))
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self.refused = True
                break
            except OSError:
                self.reset = True
                break
            if not data:
                self.ended = True
                self.reset |= self._end.error != 0  # it came after the end, which only a poller or a send can tell
                break
            found += data
        return bytes(found)

    def half_close(self) -> None:
        """End the client's side once all is sent; it goes on reading."""
        self._end_when_sent = True
        self._push()

    def close(self) -> None:
        """Close; with a reset where something was left unread."""
        self._end.close()

    def abort(self) -> None:
        """Reset."""
        self._end.abort()

    def vanish(self) -> None:
        """Be gone without a word, as a machine whose cable was pulled: nothing comes, nothing arrives."""
        self._end.vanish()

    def _changed(self, end: End) -> None:
        if end.error in (ECONNREFUSED, EAGAIN):  # a UNIX socket's full queue is "not now", but nothing follows
            self.refused = True
        self._push()
        if self.watcher is not None:
            self.watcher()

    def _push(self) -> None:
        if self._end.closed or self.refused:
            return
        while self._unsent:
            try:
                del self._unsent[: self._end.send(bytes(self._unsent[: 1 << 16]))]
            except BlockingIOError:
                return
            except OSError:
                self.reset = True
                self._unsent.clear()
        if self._end_when_sent and not self._end.connecting and not self._end.shut:
            try:
                self._end.half_close()
            except OSError:
                self.reset = True


class Client:
    """A client that a machine moves; to that machine it is its row.

    It has all time in the world: no deadline but the machine's own. `reason` is why it has ended, None until then.
    """

    reaped = False  # as a row's: what is held is counted as long as anybody looks

    def __init__(self, simulation: "Simulation", end: SimulatedEnd, factory: Factory, limits: Limits) -> None:
        self._simulation = simulation
        self._end = end
        self._reads = True  # what the machine rests in: it is fed what comes, or takes nothing
        self._output: Piece | None = None
        self._alarm = 0  # the number of the wait that counts: those before it have been overtaken
        self._moving = False
        self._begun = False  # connected, and stepped once
        self._told = False  # of the server's end, while it took no bytes
        self._end_fed = False
        self.limits = limits
        self._most = limits.receive_bytes
        self._vanishes = end.link.faults.vanished
        self.table = simulation
        self.held = 0
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.reason: Reason | None = None
        end.watcher = self._changed
        try:
            self.machine = factory(self)
        except BaseException:
            end.watcher = None
            end.abort()
            raise

    def __repr__(self) -> str:
        return f"<Client {self.local!r}>"

    # What its machine sees.

    @property
    def key(self) -> int:
        """A number of its own."""
        return int(self._end.where[1]) if self._end.where else 0

    @property
    def now(self) -> float:
        """The simulated time."""
        return self._simulation.now()

    @property
    def wall(self) -> float:
        """The simulated date."""
        return self._simulation.wall()

    @property
    def random(self) -> Random:
        """The link's own random numbers."""
        return self._end.link.random

    @property
    def peer(self) -> Where:
        """The server's address."""
        return self._end.peer

    @property
    def local(self) -> Where:
        """The client's own address, as the server sees it."""
        return self._end.where

    @property
    def peer_ended(self) -> bool:
        """The server has ended its side."""
        return self._end.end_arrived

    @property
    def harmed(self) -> bool:
        """A fault has cut this connection: nobody owes it anything any more."""
        return self._end.fate != WHOLE

    def wake(self) -> None:
        """Have the machine stepped, unless its output is blocked."""
        if self._begun and not self._moving and self._output is None and self.reason is None:
            self._move()

    def close(self, detail: str = "", reset: bool = False) -> None:
        """End this client."""
        (self._end.abort if reset else self._end.close)()
        self._ended(Reason(Cause.CLOSED_BY_PROGRAM, detail))

    def vanish(self) -> None:
        """Be gone without a word."""
        self._end.vanish()
        self._ended(Reason(Cause.PEER_LOST, "vanished"))

    # How it is moved.

    def _changed(self, end: End) -> None:
        """Something has come, or there is room."""
        if self.reason is None and not self._moving and not end.connecting:
            try:
                moves = self._may_move()
            except Exception as error:  # its machine's: of feed() or `duplex`
                self._failed(error)
            else:
                if moves:
                    self._move()

    def _may_move(self) -> bool:
        if self._output is not None:
            self._read_ahead()
            return self._push(self._output)
        if self._reads and self._begun:
            return self._receive()
        try:
            self._end.raise_error()
        except OSError as error:
            self._lost(error)
            return False
        begins, self._begun = not self._begun, True
        ends, self._told = self._end.end_arrived and not self._told, self._end.end_arrived
        return begins or ends  # who takes no bytes is told of the end all the same

    def _read_ahead(self) -> None:
        """Feed a machine that reads while its output is blocked."""
        while getattr(self.machine, "duplex", False) and self._receive():
            pass

    def _receive(self) -> bool:
        """Feed the machine what has arrived; False where that is nothing."""
        end = self._end
        if self._end_fed or not (end.arrived or end.end_arrived or end.error):
            return False
        try:
            data = end.recv(self._most)
        except OSError as error:
            self._lost(error)
            return False
        self._end_fed = not data
        self.received += len(data)
        self.machine.feed(data)
        return True

    def _push(self, output: Piece) -> bool:
        """Send; True once all has gone, else the rest is kept."""
        if self._vanishes and self.random.random() < self._vanishes:
            self._end.link.met["vanished"] += 1
            self.vanish()
            return False
        try:
            sent = self._end.send(output)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(error)
            return False
        self.sent += sent
        if sent == len(output):
            self._output = None
            return True
        self._output = memoryview(output)[sent:]
        return False

    def _move(self) -> None:
        """Step the machine until it rests. Nothing that it raises gets any further."""
        self._moving = True
        end = self._end
        try:
            while self.reason is None:
                want = self.machine.step()
                if want is READ and not self._end_fed:
                    self._alarm += 1
                    self._reads = True
                    if not (end.arrived or end.end_arrived or end.error) or not self._receive():
                        break
                elif want is NEXT:
                    self.requests += 1
                elif isinstance(want, _OUTPUT):
                    output = want if type(want) is bytes else b"".join(want) if isinstance(want, tuple) else flat(want)
                    if output and not self._push(output):
                        if self._output is not None:  # what came while it took nothing: nobody will tell of it again
                            self._read_ahead()
                        break
                elif not self._goes_on(want) and not (self._reads and self._receive()):
                    break
        except Exception as error:
            self._failed(error)
        finally:
            self._moving = False

    def _goes_on(self, want: Want) -> bool:
        """Carry out a want that is not output; True where the machine is stepped again at once."""
        if want is HALF_CLOSE:
            self._half_close()
            return True
        if isinstance(want, Become):
            self._become(want)
            return True
        self._rest(want)
        return False

    def _half_close(self) -> None:
        if not self._end.shut:
            try:
                self._end.half_close()
            except OSError as error:
                self._lost(error)

    def _become(self, want: Become) -> None:
        self.machine = want.machine
        if want.limits is not None:
            self.limits = want.limits
            self._most = want.limits.receive_bytes
        if want.unread:
            self.machine.feed(want.unread)
        if self._end_fed:
            self.machine.feed(b"")

    def _rest(self, want: Want) -> None:
        self._alarm += 1
        self._reads = want is READ or want is IDLE or want is OPENING or isinstance(want, (Read, Idle))
        if isinstance(want, (Read, Idle, Wait)):
            alarm = self._alarm
            self._simulation.after(want.seconds, lambda: self._ring(alarm))
        if want is CLOSE or (self._reads and self._end_fed):
            self._end.close()
            self._ended(Reason(Cause.DONE))
        elif want is ABORT:
            self._end.abort()
            self._ended(Reason(Cause.ABORTED))
        elif not self._reads and want is not PARK and not isinstance(want, Wait):
            raise TypeError(f"{type(self.machine).__name__}.step() returned {want!r}, which a client cannot carry out")

    def _ring(self, alarm: int) -> None:
        if alarm == self._alarm and self.reason is None:
            self.wake()

    def _lost(self, error: OSError) -> None:
        code = errorcode.get(error.errno or 0, str(error))
        self._end.abort()
        self._ended(Reason(Cause.PEER_LOST if self._begun else Cause.NOT_CONNECTED, code))

    def _failed(self, error: Exception) -> None:
        """Its machine has found a mistake of the server's, or has a bug: this client ends, the world goes on."""
        self._end.abort()
        if isinstance(error, PeerError):
            self._ended(Reason(Cause.PEER_ERROR, error.reason, error.hint))
        else:
            self._ended(Reason(Cause.MACHINE_ERROR, f"{type(self.machine).__name__}: {error!r}"))

    def _ended(self, reason: Reason) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        ended = getattr(self.machine, "ended", None)
        if ended is not None:
            try:
                ended(reason)
            except Exception as error:
                self.reason = Reason(Cause.MACHINE_ERROR, f"ended() of {type(self.machine).__name__}: {error!r}")
