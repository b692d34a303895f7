"""Listeners: connections are admitted, or made to wait in the kernel's backlog.

A listener that cannot accept is unregistered, never left ready: at the descriptor limit a level-triggered listener
would wake the loop for ever (most servers in Python spin there, or write a line a try). It pauses, twice as long each
time up to a second, says so once, and says when it goes on. A full table makes it wait until a row has gone.
"""

from collections.abc import Callable
from errno import ECONNABORTED, EINTR, EPERM, EPROTO, errorcode

from .limits import Limits
from .machine import Cause, Machine, Reason
from .platform import READABLE, Address, Channel, Listening, Where
from .row import CLOSED, Row
from .stream import hear_at_once, visit
from .stream_row import StreamRow
from .table import Table, trace

Factory = Callable[[Row], Machine]
"""Makes the machine of a new row: a class will do."""

_THIS_ONE_ONLY = frozenset({ECONNABORTED, EINTR, EPERM, EPROTO})
"""Errors of a connection that has gone, or that a filter refused: the next may be well. Others are ours."""


class Listener:
    """One address at which connections arrive, the factory of their machines, and their limits."""

    def __init__(self, table: Table, channel: Listening, factory: Factory, limits: Limits) -> None:
        self.table = table
        self.channel = channel
        self.factory = factory
        self.limits = limits
        self.address: Address = channel.where()
        self.name = str(self.address)
        self.descriptor = channel.fileno()
        self.accepted = 0
        self.open = True
        self._listening = False
        self._pause_seconds = 0.0  # the last pause; 0 while all is well
        self._told_full = False  # since all who waited were last admitted
        table.doors[self.descriptor] = self
        self._resume()

    def __repr__(self) -> str:
        return f"<Listener {self.name}>"

    def ready(self, mask: int) -> None:
        """Admit those who wait, as many as one turn may, and hear what they have said already.

        First all are admitted: one who is answered, goes and comes again at once must not keep this going.
        """
        admitted: list[StreamRow] = []
        self._admit(admitted)
        if self.table.queue.inline:  # else each waits for its rank
            up = self.table.time_is_up
            for row in admitted:
                if up is not None and up():  # the poller will tell of them
                    break
                hear_at_once(row)

    def _admit(self, admitted: list[StreamRow]) -> None:
        table = self.table
        for _ in range(table.limits.accepts_a_turn):
            if not self.open:  # closed by one of those whom it has just let in
                return
            if admitted and table.time_is_up is not None and table.time_is_up():
                return
            if table.full():
                self._wait_for_room()
                return
            try:
                channel, peer = self.channel.accept()
            except BlockingIOError:
                self._told_full = False
                return
            except OSError as error:
                if error.errno in _THIS_ONE_ONLY:
                    continue
                self._pause(error)
                return
            if self._pause_seconds:
                self._pause_seconds = 0.0
                table.tell("accept resumed", f"{self.name}: accepts again")
            self.accepted += 1
            table.totals.accepted += 1
            admitted.append(admit(table, channel, peer, self.name, self.factory, self.limits))

    def close(self) -> None:
        """Stop listening; rows that came through it live on. A second call does nothing."""
        if not self.open:
            return
        self.open = False
        self._stop()
        del self.table.doors[self.descriptor]
        self.channel.close()

    def _wait_for_room(self) -> None:
        table = self.table
        self._stop()
        table.on_room.append(self._resume)
        if not self._told_full:
            self._told_full = True
            table.tell("table full", f"{self.name}: {len(table.rows)} rows, more wait in the backlog")

    def _pause(self, error: OSError) -> None:
        if not self._pause_seconds:
            name = errorcode.get(error.errno or 0, str(error))
            self.table.tell("accept paused", f"{self.name}: cannot accept ({name}), trying again with back-off")
        limits = self.table.limits
        first = self._pause_seconds == 0
        self._pause_seconds = (
            limits.accept_pause_seconds if first else min(2 * self._pause_seconds, limits.accept_pause_seconds_max)
        )
        self._stop()
        self.table.call_at(self.table.now + self._pause_seconds, self._resume)

    def _resume(self) -> None:
        if self.open and not self._listening:
            self._listening = True
            self.table.poller.register(self.descriptor, READABLE)

    def _stop(self) -> None:
        if self._listening:
            self._listening = False
            self.table.poller.unregister(self.descriptor)


def admit(
    table: Table,
    channel: Channel,
    peer: Where,
    name: str,
    factory: Factory,
    limits: Limits,
    connecting: bool = False,
) -> StreamRow:
    """Make a row of a channel, with a machine from the factory, and let it take its first step.

    A factory that raises ends the row as a machine that raises does.
    """
    row = table.add(channel, peer, name, limits)
    row.connecting = connecting
    if not connecting and table.too_many_from(row):
        table.doom(row, Reason(Cause.TOO_MANY_FROM_PEER), reset=True)
        return row
    try:
        row.machine = factory(row)
    except Exception as error:
        table.tell("machine error", f"factory of {name}: {trace(error)}", row)
        table.doom(row, Reason(Cause.MACHINE_ERROR, f"factory: {error!r}"), reset=True)
        return row
    row.intake = row.limits.receive_short_bytes  # the machine may have given it other limits
    if connecting:
        table.ask(row)
        table.arm(row)
    elif row.state != CLOSED:
        visit(row)
    return row
