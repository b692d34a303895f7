"""The table: all rows by key and by descriptor, the run queue, the alarms, the doomed, and the totals.

Whoever has a row's key can find the row, or learn that it has gone: keys are never reused, descriptors are. Closing is
a request (`doom`), freeing is a phase of the turn (`reap`): the one place that unregisters, closes and frees, so that
no descriptor is reused while an event of this turn may still name it.
"""

from collections import Counter
from collections.abc import Callable
from traceback import format_exception
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .buffers import hold
from .limits import MIB, Limits
from .machine import Cause, Reason
from .platform import Channel, Platform, Where
from .row import CLOSED, ENDS, GONE, LINGERING, QUEUED, WAITING, WRITING, Row, advance
from .schedule import Schedule
from .stream_row import StreamRow, interest
from .timers import NEVER, Timers

if TYPE_CHECKING:
    from .offload import Offload

EVICTION_SPARE = 16  # the part of all that may be held that is freed besides (a million rows: 0.2 s a sort)
ONE_STEP = 1 << 60  # more room than any quantum has
PRUNE_SLACK = 1024  # alarms of rows that have gone, kept besides as many as there are rows


class Notice(NamedTuple):
    """One thing that an operator may want to know: what kind, in words, and the row's key where there is one."""

    kind: str
    text: str
    key: int | None = None


class Totals:
    """What has happened since the table was made. Rows that live are counted when they end."""

    def __init__(self) -> None:
        self.accepted = 0
        self.connected = 0
        self.ended: Counter[Cause] = Counter()
        self.received = 0
        self.sent = 0
        self.requests = 0
        self.turns = 0
        self.datagrams_received = 0
        self.datagrams_sent = 0
        self.dropped: Counter[str] = Counter()  # datagrams, either way, by why
        self.observer_failures = 0


class Door(Protocol):
    """What stands in the table by its descriptor without being a row: a listener, a watched descriptor."""

    def ready(self, mask: int) -> None:
        """Act on readiness."""
        ...


class Table:
    """All rows. The reactor writes `now` once a turn; everybody reads it there."""

    def __init__(
        self, platform: Platform, limits: Limits, schedule: Schedule, observer: Callable[[Notice], None] | None
    ) -> None:
        self.platform = platform
        self.poller = platform.poller
        self.limits = limits
        self.rows_max = limits.rows_max or platform.rows_max()
        self.held_bytes_max = limits.held_bytes_max or min(platform.memory() // 4, 512 * MIB)
        self.now = platform.now()
        self.rows: dict[int, Row] = {}
        self.by_descriptor: dict[int, StreamRow] = {}
        self.doors: dict[int, Door] = {}  # what else stands here by its descriptor
        self.alone = 0  # endpoints that were made for one row each
        self.per_peer: dict[str, set[int]] = {}  # keys of the rows that came in, where they are counted
        self.queue = schedule
        self.timers = Timers()
        self.calls: dict[int, tuple[float, Callable[[], None]]] = {}  # what the program has scheduled, and for when
        self.doomed: list[tuple[Row, Channel | None, bool]] = []
        self.held = 0  # bytes buffered for all rows; only buffers.py changes it, and what is kept
        self.kept = 0  # bytes kept for all rows in common
        self.queue_work = 0  # bytes that have gone to rows from the run queue, and what their visits count for, ever
        self.least_room = 0  # of its quantum, at which a visit ends; `ONE_STEP` in a turn that is to end soon
        self.time_is_up: Callable[[], bool] | None = None  # in such a turn: whether it is to end now
        self.cut_short = False  # whether the last turn was
        self.hurry: Callable[[], None] | None = None  # called when there is something to do earlier than there was
        self.draining = False
        self.totals = Totals()
        self.on_room: list[Callable[[], None]] = []  # called once when a full table has room again
        self.called: dict[int, bool] = {}  # by key: rows that wait for a call, and whether their connection is lent
        self.calling: Offload | None = None  # made by the first call
        self.prune_slack = PRUNE_SLACK
        self._observer = observer
        self._last_key = 0

    # Coming in.

    def new_key(self) -> int:
        """Return a key that nothing has had before."""
        self._last_key += 1
        return self._last_key

    def full(self) -> bool:
        """True while no row can be added that needs a descriptor of its own."""
        return len(self.by_descriptor) + self.alone >= self.rows_max

    def add(self, channel: Channel, peer: Where, listener: str, limits: Limits) -> StreamRow:
        """Put a new row into the table, without a machine yet."""
        row = StreamRow(self, self.new_key(), channel, peer, listener, limits)
        self.rows[row.key] = row
        self.by_descriptor[row.descriptor] = row
        return row

    def too_many_from(self, row: Row) -> bool:
        """Count a row that has come in; True where its peer has more of them than it may."""
        most, host = self.limits.rows_per_peer_max, host_of(row.peer)
        if not most or not host:
            return False
        keys = self.per_peer.setdefault(host, set())
        keys.add(row.key)
        return len(keys) > most

    # Moving.

    def wake(self, row: Row) -> None:
        """Put a row on the run queue, unless it is there, or past its machine.

        One whose output is blocked is stepped when that has gone; but it may have become ready to be fed meanwhile. One
        that waits for a call is stepped when that is over. A row of datagrams that reads goes on reading until its turn
        comes: what came meanwhile would be lost.
        """
        state = row.state
        if state == WRITING:
            if isinstance(row, StreamRow):
                self.ask(row)
            return
        if row.queued or state >= LINGERING or row.connecting:
            return
        if row.key in self.called:
            return
        if isinstance(row, StreamRow) or state == WAITING:
            advance(row, QUEUED)
        self.enqueue(row)

    def enqueue(self, row: Row) -> None:
        """Put a row on the run queue in the state that it has."""
        row.queued = True
        try:
            self.queue.push(row, self.queue_work)
        except Exception as error:  # `remaining()` or the user's rank: code that is not ours
            self.blame(row, "rank", error)
        if self.hurry is not None:
            self.hurry()

    def blame(self, row: Row, what: str, error: Exception) -> None:
        """End a row for a failure of its own machine's, whoever was asking."""
        self.tell("machine error", f"{what} of {type(row.machine).__name__}: {trace(error)}", row)
        self.doom(row, Reason(Cause.MACHINE_ERROR, f"{what}: {error!r}"), reset=True)

    def ask(self, row: StreamRow) -> None:
        """Tell the poller what this row is interested in, if that has changed."""
        try:
            mask = interest(row)
        except Exception as error:  # `duplex`: code that is not ours, perhaps in another row's visit
            self.blame(row, "duplex", error)
            return
        if mask == row.mask:
            return
        try:
            if not row.mask:
                self.poller.register(row.descriptor, mask)
            elif mask:
                self.poller.modify(row.descriptor, mask)
            else:
                self.poller.unregister(row.descriptor)
        except OSError as error:  # out of epoll watches, or a descriptor that cannot be polled
            self.doom(row, Reason(Cause.PEER_LOST, f"poller: {error}"))
            return
        row.mask = mask

    def withdraw(self, row: StreamRow) -> None:
        """Ask nothing of the poller for this row until it rests again."""
        if row.mask:
            self.poller.unregister(row.descriptor)
            row.mask = 0

    def arm(self, row: Row) -> None:
        """See to it that the timers look at this row when its deadline or its machine's own time has come."""
        due = min(row.deadline(), row.until)
        if due < row.alarm:
            row.alarm = due
            self._set_alarm(due, row.key)
            if self.timers.entries > 2 * len(self.rows) + len(self.calls) + self.prune_slack:
                self._prune()

    def _prune(self) -> None:
        alarms = [(row.alarm, row.key) for row in self.rows.values() if row.alarm != NEVER]
        self.timers.prune(alarms + [(due, key) for key, (due, _) in self.calls.items()])

    def call_at(self, due: float, function: Callable[[], None]) -> int:
        """Have a function called when its time has come; return a key by which it can be called off."""
        key = self.new_key()
        self.calls[key] = (due, function)
        self._set_alarm(due, key)
        return key

    def _set_alarm(self, due: float, key: int) -> None:
        self.timers.set(due, key)
        if self.hurry is not None:
            self.hurry()

    @property
    def offload(self) -> "Offload":
        """All calls. The first to ask for them makes them."""
        if self.calling is None:
            from .offload import Offload

            self.calling = Offload(self)
        return self.calling

    # Going out.

    def doom(self, row: Row, reason: Reason, reset: bool = False) -> None:
        """Mark a row for the reaper: nothing moves it any more. Whoever dooms it first gives the reason.

        It falls mute at once, so that a machine which closes its own row in a step says nothing more; the hot path
        need not ask for that.
        """
        if row.state == CLOSED:
            return
        advance(row, ENDS)
        row.reason = reason
        self.doomed.append((row, row.fall_mute(), reset))
        if self.hurry is not None:
            self.hurry()

    def reap(self) -> None:
        """Free the doomed, and those whom they doom with their last words. The only place that closes a channel."""
        freed = 0
        for row, channel, reset in self.doomed:  # grows while it is walked: `ended` may close other rows
            self._free(row, channel, reset)
            freed += 1
            if self.time_is_up is not None and self.time_is_up():
                break
        del self.doomed[:freed]
        self.tell_room()

    def tell_room(self) -> None:
        """Call those who wait for room, once there is some."""
        if self.on_room and not self.full():
            callbacks, self.on_room = self.on_room, []
            for callback in callbacks:
                callback()

    def _free(self, row: Row, channel: Channel | None, reset: bool) -> None:
        row.leave(channel, reset)
        del self.rows[row.key]
        if self.limits.rows_per_peer_max:
            self.forget_peer(row)
        totals = self.totals
        totals.received += row.received
        totals.sent += row.sent
        totals.requests += row.requests
        assert row.reason is not None
        totals.ended[row.reason.cause] += 1
        machine, row.machine, row.output = row.machine, GONE, None
        ended = getattr(machine, "ended", None)
        if ended is not None:
            try:
                ended(row.reason)
            except Exception as error:
                self.tell("machine error", f"ended() of {type(machine).__name__}: {trace(error)}", row)
        hold(row, -row.held)
        row.reaped = True
        if self.calling is not None:
            self.calling.cancel(row.key)

    def forget_peer(self, row: Row) -> bool:
        """Count a row no more as its peer's; True where it was."""
        host = host_of(row.peer)
        keys = self.per_peer.get(host, set())
        counted = row.key in keys
        keys.discard(row.key)
        if not keys:
            self.per_peer.pop(host, None)
        return counted

    def evict(self) -> None:
        """Where more is buffered than may be, end the rows that hold most and progress least.

        A sixteenth more than must be, so that a crowd that stays at the limit is not sorted at every turn.
        """
        excess = self.held + self.kept - self.held_bytes_max - sum(row.held for row, _, _ in self.doomed)
        if excess <= 0:
            return
        excess += self.held_bytes_max // EVICTION_SPARE
        worst = sorted(self.rows.values(), key=lambda row: row.held * (self.now - row.since + 1), reverse=True)
        for row in worst:
            if excess <= 0 or not row.held:
                break
            if row.state != CLOSED:
                excess -= row.held
                self.doom(row, Reason(Cause.EVICTED, f"held {row.held} bytes"), reset=True)

    # Telling.

    def tell(self, kind: str, text: str, row: Row | None = None) -> None:
        """Tell the observer. What it raises is counted, and goes no further: it must not reach a row."""
        if self._observer is None:
            return
        try:
            self._observer(Notice(kind, text, row.key if row is not None else None))
        except Exception:
            self.totals.observer_failures += 1


def trace(error: BaseException) -> str:
    """Return a traceback as text."""
    return "".join(format_exception(error))


def host_of(peer: Where) -> str:
    """Return what rows of one peer have in common: its address without the port; "" for UNIX sockets."""
    return peer[0] if isinstance(peer, tuple) else ""
