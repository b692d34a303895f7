"""The reactor: one turn at a time, each part within a budget.

`step` is the whole engine and `run` only a loop around it, so a program with a loop of its own calls `step(0)` in it
and needs nothing else; `adapters` has it for loops that wait by themselves. This is the only file that reads the clock.
It sleeps only where nobody has work in hand: what a row still has to act on is invisible to the poller.
"""

from collections.abc import Callable, Iterator, Mapping
from errno import EMFILE
from functools import partial
from typing import Any

from .datagram import expire as expire_datagram
from .datagram import run as run_datagram
from .datagram_row import DatagramRow
from .endpoint import Endpoint, RowFactory, Service
from .limits import Limits
from .listener import Factory, Listener, admit
from .machine import Call, Cause, How, Outcome, Reason
from .patience import expire
from .platform import (
    Address,
    Channel,
    Events,
    Listening,
    Platform,
    Where,
    has_file,
    parse_address,
    where_of,
)
from .report import RowReport, TotalsReport, report_row, report_rows, report_totals
from .row import IDLE, OPENING, WORKING, Row
from .schedule import Rank, schedule_by
from .stream import run, serve
from .stream_row import StreamRow
from .table import ONE_STEP, Notice, Table
from .watching import unwatch, watch

Observer = Callable[[Notice], None]
"""Hears what an operator may want to know. What it raises is counted and goes no further."""


WAIT_SECONDS_MAX = 86_400.0  # for one poll: epoll counts milliseconds in an int, which hold for 24 days


class Reactor:
    """A table of rows and the loop that moves them, in one thread.

    `platform` is the kernel's where none is given. `schedule` is "fair", "shortest" or a function that ranks a row
    (lowest first). `limits` are those of the table, and of listeners that have none of their own.
    """

    def __init__(
        self,
        platform: Platform | None = None,
        *,
        limits: Limits | None = None,
        schedule: str | Rank = "fair",
        observer: Observer | None = None,
    ) -> None:
        if platform is None:
            from .kernel import Kernel  # not before it is needed: there are places without sockets

            platform = Kernel()
        self.platform = platform
        self.limits = limits or Limits()
        self.table = Table(platform, self.limits, schedule_by(schedule), observer)
        self.listeners: list[Listener] = []
        self._serve = serve if self.table.queue.inline else self._line_up
        self._entrance = [None]  # whoever takes this out may take a turn
        self._turns_end = 0.0  # for turns within a budget of time
        self._stopped = False

    # Coming in.

    def listen(
        self, address: str | Address, factory: Factory, limits: Limits | None = None, *, mode: int | None = None
    ) -> Listener:
        """Begin to listen at HOST:PORT, unix:PATH, unix:@NAME or fd:N; `factory(row)` makes each row's machine.

        `mode` are the permissions of a UNIX socket's file, such as 0o660, from its first moment on; None leaves them to
        the umask. Raises ValueError for an address that cannot be read, or that has no file and is given a mode;
        OSError where the kernel refuses.
        """
        address = _readable(address, mode)
        limits = limits or self.limits
        channel = self.platform.listen(address, limits.backlog, limits.notsent_bytes, mode)
        return self.admit_from(channel, factory, limits)

    def admit_from(self, listening: Listening, factory: Factory, limits: Limits | None = None) -> Listener:
        """Admit what arrives at a place that the program already has; it is registered from now on."""
        listener = Listener(self.table, listening, factory, limits or self.limits)
        self.listeners.append(listener)
        return listener

    def bind(
        self,
        address: str | Address,
        service: Service,
        limits: Limits | None = None,
        *,
        mode: int | None = None,
        alone: bool = False,
    ) -> Endpoint:
        """Begin to take datagrams at udp:HOST:PORT, unixgram:PATH or unixgram:@NAME.

        `service.admit(data, peer)` is asked about what belongs to no row. `mode` is that of `listen`. With `alone` the
        endpoint is closed when its last row has left. Raises what `listen` does.
        """
        address = _readable(address, mode)
        if alone:
            self._check_room()
        channel = self.platform.bind(address, mode)
        return Endpoint(self.table, channel, service, limits or self.limits, alone)

    def connect(self, address: str | Address, factory: Factory, limits: Limits | None = None) -> Row:
        """Begin to connect, and return the new row; its machine is first stepped when it is connected.

        For datagrams that is at once: the row has an endpoint of its own, which hears that peer alone. The host is
        numeric: looking up a name would block every row. Raises ValueError for another, OSError where the attempt
        cannot even begin. One that fails later ends the row with `Cause.NOT_CONNECTED`; that nobody is there at all a
        row of datagrams may learn when it has sent something, and ends with `Cause.PEER_LOST`.
        """
        if isinstance(address, str):
            address = parse_address(address)
        self._check_room()
        if address.datagrams:
            return self._connect_datagrams(address, factory, limits or self.limits)
        channel = self.platform.connect(address)
        name = f"to {address}"
        return admit(self.table, channel, where_of(address), name, factory, limits or self.limits, connecting=True)

    def adopt(self, channel: Channel, factory: Factory, peer: Where = "", limits: Limits | None = None) -> Row:
        """Make a row of a connected, non-blocking channel that the program already has. It is the engine's from now.

        Raises OSError where the table is full; then it is still the program's.
        """
        self._check_room()
        return admit(self.table, channel, peer, "adopted", factory, limits or self.limits)

    def _connect_datagrams(self, address: Address, factory: RowFactory, limits: Limits) -> Row:
        endpoint = Endpoint(self.table, self.platform.bind_to(address), _Nobody(), limits, alone=True)
        return endpoint.begin(where_of(address), factory)

    def _check_room(self) -> None:
        if self.table.full():
            raise OSError(EMFILE, "the table is full")

    def watch(
        self,
        descriptor: int,
        readable: Callable[[], None] | None = None,
        writable: Callable[[], None] | None = None,
    ) -> None:
        """Have functions called whenever a descriptor of the program's own is readable, or writable.

        On a failure both are. A second call for a descriptor replaces the first. Raises ValueError without a function,
        or for a descriptor that is the engine's; OSError for one that cannot be polled.
        """
        watch(self.table, descriptor, readable, writable)

    def unwatch(self, descriptor: int) -> None:
        """Call off `watch`. Raises KeyError where nothing is watched, ValueError for a descriptor of the engine's."""
        unwatch(self.table, descriptor)

    def after(self, seconds: float, function: Callable[[], None]) -> int:
        """Have a function called once, in a turn after these seconds; return a key for `cancel`.

        What it raises leaves through `step`: it is the program's own code.
        """
        return self.table.call_at(self.platform.now() + seconds, function)

    def cancel(self, key: int) -> None:
        """Call off what `after` has scheduled. A key whose function has been called is no mistake."""
        self.table.calls.pop(key, None)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: How = "inline",
        tell: Callable[[Outcome], None] | None = None,
    ) -> None:
        """Have a function run elsewhere for the program itself: see `Call`. `tell` hears in a turn what came of it.

        What `tell` raises leaves through `step`: it is the program's own code.
        """
        self.table.offload.ask_for(Call(function, *arguments, how=how), tell)

    # Moving.

    def step(self, timeout: float | None = None, budget_seconds: float | None = None) -> bool:
        """Take one turn: wait at most `timeout` seconds (None: without end), then move what can move.

        In this order: poll; read the clock; admit new rows and serve those that are ready; the run queue; deadlines;
        reap. With a budget there are as many turns as there is work for, until so much time has passed since the first
        poll: in them ready rows stand in line, each visit is one step of a machine, and the clock is read after each,
        so that all lasts one such step too long at the most. Returns True while rows have work in hand, so that
        another call would do something at once. Raises RuntimeError when called from within a turn, or from another
        thread while one is under way.
        """
        try:
            self._entrance.pop()  # of two threads one gets it
        except IndexError:
            raise RuntimeError("step() was called from within a turn of the same reactor, or beside one") from None
        left_over, self.table.cut_short = self.table.cut_short, False
        try:
            if budget_seconds is None:  # those whom the last turn has left in line have had no visit in it
                self._turn(timeout, self._line_up if left_over else self._serve)
                return len(self.table.queue) > 0
            return self._turns_within(budget_seconds, timeout)
        finally:
            self._entrance.append(None)

    def _turns_within(self, seconds: float, timeout: float | None) -> bool:
        table = self.table
        table.least_room = ONE_STEP
        try:
            self._turn(timeout, partial(self._begin_timed, seconds))
            while table.queue and not self._is_up():
                self._turn(0, self._line_up)
        finally:
            table.least_room = 0
            table.time_is_up = None
        return len(table.queue) > 0 or table.cut_short

    def _begin_timed(self, seconds: float, *words: Any) -> None:
        self._turns_end = self.table.now + seconds
        self.table.time_is_up = self._is_up
        self._line_up(*words)

    def _is_up(self) -> bool:
        self.table.cut_short = self.platform.now() >= self._turns_end
        return self.table.cut_short

    def _turn(self, timeout: float | None, serve: Callable[..., None]) -> None:
        table = self.table
        events = table.poller.ready(self._wait(timeout), table.limits.rows_a_turn)
        table.now = self.platform.now()
        table.totals.turns += 1
        serve(events, table.by_descriptor, table.now, self._open_door)
        if table.queue:
            self._run_queue()
        if table.timers.due(table.now):
            self._expire()
        if table.held + table.kept > table.held_bytes_max:
            table.evict()
        if table.doomed:
            table.reap()

    def _wait(self, timeout: float | None) -> float | None:
        table = self.table
        if timeout == 0 or table.queue or table.doomed:
            return 0
        due = table.timers.next()
        if due is None:
            return timeout
        wait = min(max(0.0, due - self.platform.now()), WAIT_SECONDS_MAX)
        return wait if timeout is None else min(wait, timeout)

    def _open_door(self, descriptor: int, mask: int) -> None:
        door = self.table.doors.get(descriptor)
        if door is not None:  # else it was closed earlier in this turn
            door.ready(mask)

    def _line_up(
        self, events: Events, rows: Mapping[int, StreamRow], now: float, other: Callable[[int, int], None]
    ) -> None:
        """Let ready rows wait for their turn in the queue, with what the poller has told of them."""
        up, late = self.table.time_is_up, False
        for descriptor, mask in events:
            row = rows.get(descriptor)
            if row is None:
                if not late:  # else the poller tells of it once more
                    other(descriptor, mask)
                    late = up is not None and up()
            elif row.state == WORKING or (row.state == OPENING and row.queued):
                self.table.withdraw(row)  # it has work in hand: it takes nothing until it rests
            else:
                row.pending |= mask
                if not row.queued:
                    self.table.enqueue(row)

    def _run_queue(self) -> None:
        """Move those who are in the queue now; who joins it meanwhile has the next turn."""
        queue = self.table.queue
        room = self.table.limits.turn_bytes
        up = self.table.time_is_up
        for _ in range(len(queue)):
            row = queue.pop()
            sent, requests = row.sent, row.requests
            if isinstance(row, StreamRow):
                run(row)
            elif isinstance(row, DatagramRow):
                run_datagram(row)
            work = row.sent - sent + row.limits.step_bytes  # a row that sends nothing does not stay at the front
            work += (row.requests - requests) * row.limits.request_bytes  # nor one whose answers are small
            self.table.queue_work += work
            room -= work
            if room <= 0 or (up is not None and up()):
                break

    def _expire(self) -> None:
        """Ring the alarms whose time has come: one by one where a turn may be cut short: the rest keep their order."""
        table = self.table
        up, most = table.time_is_up, table.limits.expiries_a_turn
        each = most if up is None else 1
        for _ in range(most // each):
            ringing = table.timers.ring(table.now, each)
            rung = 0
            try:
                for key in ringing:
                    rung += 1
                    self._ring(key)
            finally:  # what the program's own code has raised takes nobody's alarm along
                for key in ringing[rung:]:
                    table.timers.set(table.now, key)
            if not ringing or (up is not None and up()):
                break

    def _ring(self, key: int) -> None:
        table = self.table
        row = table.rows.get(key)
        if row is not None:
            if row.alarm <= table.now:
                if isinstance(row, StreamRow):
                    expire(row)
                elif isinstance(row, DatagramRow):
                    expire_datagram(row)
        elif key in table.calls:
            table.calls.pop(key)[1]()

    def run(self) -> None:
        """Take turns until `stop`, or until a drain has ended."""
        self._stopped = False
        while not self._stopped and not (self.table.draining and not self.table.rows):
            self.step()

    def stop(self) -> None:
        """Make `run` return after this turn. Rows stay as they are."""
        self._stopped = True

    # Ending.

    def drain(self, seconds: float | None = None) -> None:
        """Stop listening, end rows as they become idle, and after these seconds (`drain_seconds`) the rest."""
        table = self.table
        if table.draining:
            return
        table.draining = True
        for listener in self.listeners:
            listener.close()
        for endpoint in self.endpoints:
            endpoint.retire()
        self._end_rows(self.keys()[::-1], idle=True)
        seconds = self.limits.drain_seconds if seconds is None else seconds
        self.after(seconds, lambda: self._end_rows(self.keys()[::-1], idle=False))

    def kill(self, key: int, detail: str = "killed") -> bool:
        """End one row with a reset, and return True; False where it has gone."""
        row = self.table.rows.get(key)
        if row is None:
            return False
        row.close(detail, reset=True)
        return True

    @property
    def stepping(self) -> bool:
        """True within a turn."""
        return not self._entrance

    @property
    def draining(self) -> bool:
        """True from `drain` on."""
        return self.table.draining

    def _end_rows(self, keys: list[int], idle: bool) -> None:
        """End rows, the last key's first: idle ones in order, or all with a reset. A million take many turns."""
        table = self.table
        for _ in range(min(len(keys), table.limits.expiries_a_turn)):
            row = table.rows.get(keys.pop())
            if idle and isinstance(row, DatagramRow) and row.queued:
                continue  # it was woken: it is stepped, and then it ends
            if row is not None and (row.state == IDLE or not idle):
                table.doom(row, Reason(Cause.DRAINED), reset=not idle)
        if keys:
            self.after(0, lambda: self._end_rows(keys, idle))

    def close(self) -> None:
        """End every row and listener now, and free the poller. The reactor is of no use afterwards."""
        for listener in self.listeners:
            listener.close()
        for row in list(self.table.rows.values()):
            self.table.doom(row, Reason(Cause.CLOSED_BY_PROGRAM, "reactor closed"))
        endpoints = self.endpoints
        self.table.reap()
        if self.table.calling is not None:
            self.table.calling.close()
        for endpoint in endpoints:
            endpoint.close()
        self.table.poller.close()

    # For a foreign loop, and for whoever wants to see.

    def next_deadline(self) -> float | None:
        """Return when the next turn is needed, on the platform's clock; now while work is queued; None for never."""
        if self.table.queue or self.table.doomed:
            return self.platform.now()
        return self.table.timers.next()

    def seconds_left(self) -> float | None:
        """Return how long nothing needs to be done unless something comes; None for without end."""
        due = self.next_deadline()
        return None if due is None else max(0.0, due - self.platform.now())

    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when a turn is needed, where the poller has one."""
        return self.table.poller.fileno()

    def on_hurry(self, function: Callable[[], None] | None) -> None:
        """Have a function called when something outside of a turn may have brought the next deadline nearer.

        For a foreign loop, which sleeps as long as it was told: a row is woken, a call scheduled, a row ended. Called
        often, so it should only note that a turn is needed. Raises RuntimeError where another is called already; None
        calls it off.
        """
        table = self.table
        if function is not None and table.hurry is not None:
            raise RuntimeError("another loop has this reactor already")
        table.hurry = None if function is None else partial(self._hurry, function)

    def _hurry(self, function: Callable[[], None]) -> None:
        if self._entrance:
            function()

    @property
    def now(self) -> float:
        """The turn's time, in seconds on a clock that never jumps: for services, which have no row to ask."""
        return self.table.now

    @property
    def endpoints(self) -> list[Endpoint]:
        """All endpoints that are open."""
        return [door for door in self.table.doors.values() if isinstance(door, Endpoint)]

    def rows(self) -> Iterator[RowReport]:
        """Describe all rows, oldest first."""
        return report_rows(self.table)

    def keys(self) -> list[int]:
        """Return the keys of all rows, oldest first."""
        return list(self.table.rows)

    def row(self, key: int) -> RowReport | None:
        """Describe one row; None where it has gone."""
        row = self.table.rows.get(key)
        return None if row is None else report_row(row)

    def totals(self) -> TotalsReport:
        """Sum up the table."""
        return report_totals(self.table)


def _readable(address: str | Address, mode: int | None) -> Address:
    """Read an address that may be given permissions. Raises ValueError."""
    if isinstance(address, str):
        address = parse_address(address)
    if mode is not None and not has_file(address):
        raise ValueError(f"{address} has no file that could be given permissions")
    return address


class _Nobody:
    """The service of a client's endpoint, to which nobody comes."""

    def admit(self, data: bytes, peer: Where) -> None:
        """Drop it."""
