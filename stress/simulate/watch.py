"""The invariants: what must hold in every run, whatever the seed, checked while it goes on.

Nothing of this is in the engine: a production server pays nothing for it. What is cheap is checked at every poll; what
looks at all rows (`scan.py`, and whether a sleep was too long), after four times as many events as there are rows: so
a crowd of 200 costs little more than one client.
"""

from collections.abc import Callable, Mapping

from ...engine import Cause, DatagramRow, Limits, Reactor, Reason, Row
from ...engine.memory import end_of
from ...engine.memory_poller import MemoryPoller
from ...engine.outside import Client
from ...engine.platform import Channel, Events, Where
from ...engine.row import CLOSED, LINGERING
from ...engine.simulation import Simulation
from ...engine.stream_row import StreamRow
from .broken import BrokenError
from .scan import TICK_SECONDS, Scan
from .turns import WatchedQueue
from .visits import Visits

SLEPT_SECONDS = 0.01  # a sleep that is long enough to ask whether it was too long
WORDLESS = (Cause.PEER_LOST, Cause.CLOSED_BY_PROGRAM, Cause.NOT_CONNECTED)  # ends without a reset that are in order
EVENTS_A_ROW = 4  # before all rows are looked at again


class Watch:
    """Looks on while one reactor serves one simulation."""

    def __init__(
        self, simulation: Simulation, held_most: Callable[[Limits], int], held_by: Callable[[object], int]
    ) -> None:
        self.simulation = simulation
        self.held_most = held_most
        self.held_by = held_by
        self.frozen = 0  # how many rows were frozen and thawed
        self.clients: dict[Where, Client] = {}
        self.reasons: dict[Where, Reason] = {}  # why rows have ended, by their peer
        self._freed: set[int] = set()
        self._events = 0  # since the last look at all rows
        self._events_awake = 0  # since the last look at a sleep
        self._turn_before = simulation.now()
        simulation.poller = self.poller = WatchedPoller(simulation, self)

    def begin(self, reactor: Reactor) -> None:
        """Begin to watch a reactor, before anybody can come."""
        self.reactor = reactor
        self.table = table = reactor.table
        free = table._free

        def watched(row: Row, channel: Channel | None, reset: bool) -> None:
            self._check_end(row)
            if isinstance(row, StreamRow):
                assert channel is not None
                self._check_stream_end(row, channel, reset)
            free(row, channel, reset)

        table._free = watched  # type: ignore[method-assign]
        faults = self.simulation.faults
        self.visits = Visits(table, may_fail=bool(faults.not_ready or faults.interrupted or faults.spurious))
        table.queue = self.queue = WatchedQueue(table.queue, table, self.visits)
        self.scan = Scan(
            self.simulation,
            table,
            self.queue,
            self.visits.alarms,
            self.clients,
            self.poller.asked,
            self.held_most,
            self.held_by,
        )

    def entered(self, client: Client) -> None:
        """A client has come."""
        self.clients[client.local] = client

    # Every poll.

    def polled(self, before: float, seconds: float | None, pairs: Events, disturbed: bool) -> None:
        """Check what a poll came to: that it did not sleep too long, nor wake for nothing."""
        now = self.simulation.now()
        self._events += 1 + len(pairs)
        self._events_awake += 1 + len(pairs)
        slept = now - before > SLEPT_SECONDS and not disturbed
        if slept and self._events_awake >= EVENTS_A_ROW * len(self.table.rows):
            self._check_sleep(before, now)
        if not pairs:
            if not disturbed and not (self.table.queue or self.table.doomed or self.table.timers.due(now)):
                raise BrokenError("a wake-up without a cause", f"a poll of {seconds} s ended with nothing to do")
            return
        by_descriptor, begins = self.table.by_descriptor, self.visits.begins
        for descriptor, mask in pairs:
            row = by_descriptor.get(descriptor)
            if row is None or (row.state == LINGERING and len(end_of(row.channel).arrived)):
                continue  # what a row throws away on its way out is read, and nobody counts it
            begins(row, mask)

    def _check_sleep(self, before: float, now: float) -> None:
        """Nobody's deadline passed while the reactor slept."""
        self._events_awake = 0
        for row in self.table.rows.values():
            due = min(row.deadline(), row.until)
            if now > max(due, before) + TICK_SECONDS and row.state != CLOSED:
                raise BrokenError("a row past its deadline", f"{row} was due at {due}, the poll ended at {now}")

    # Every turn.

    def turn(self) -> None:
        """Check what holds at a turn's end."""
        table = self.table
        if len(table.by_descriptor) > table.rows_max:
            raise BrokenError("a table over its limit", f"{len(table.by_descriptor)} rows of {table.rows_max}")
        if table.held + table.kept > table.held_bytes_max:
            raise BrokenError("a table over its limit", f"{table.held} bytes of {table.held_bytes_max}")
        totals, letters = table.totals, self.simulation.datagrams
        if (totals.datagrams_received, totals.datagrams_sent) != (letters.received, letters.sent):
            counts = f"{totals.datagrams_received} in and {totals.datagrams_sent} out are counted"
            raise BrokenError("datagrams", f"{counts}, {letters.received} and {letters.sent} went through the endpoint")
        self.scan.look_at_endpoints()
        self.visits.end(self.queue.served)
        self.queue.turn_ends()
        if self._events >= EVENTS_A_ROW * len(table.rows):
            self._events = 0
            self.scan.look(self._turn_before)
        self._turn_before = table.now

    # The end.

    def _check_end(self, row: Row) -> None:
        """Each row ends once, with a reason."""
        if row.key in self._freed:
            raise BrokenError("a row that ended twice", str(row))
        if row.reason is None:
            raise BrokenError("a row that ended without a reason", str(row))
        if isinstance(row, DatagramRow) and row.reason.cause is Cause.PEER_LOST:
            raise BrokenError("a row lost for nothing", f"{row}: nobody is told that a peer of many has gone")
        if row.reason.cause is Cause.EVICTED and not row.held:
            raise BrokenError("a row evicted that held nothing", str(row))
        self._freed.add(row.key)
        self.reasons[row.peer] = row.reason

    def _check_stream_end(self, row: StreamRow, channel: Channel, reset: bool) -> None:
        """A connection ends in order, or with a reset where an answer was under way."""
        assert row.reason is not None
        cause, end = row.reason.cause, end_of(channel)
        if cause is Cause.DONE and not (row.end_fed or end.end_arrived or end.error):
            raise BrokenError("a row that did not linger", str(row))
        if row.output is not None and not reset and cause not in WORDLESS:
            raise BrokenError("half an answer that looks whole", f"{row}: {row.reason}")

    def end(self) -> None:
        """Check that nothing is left, once the reactor is closed."""
        table, totals = self.table, self.table.totals
        left = {
            "rows": len(table.rows),
            "rows by descriptor": len(table.by_descriptor),
            "peers": len(table.per_peer),
            "doors": len(table.doors),
            "doomed": len(table.doomed),
            "endpoints": table.alone,
            "bytes held": table.held,
            "interests": len(self.poller.asked),
            "descriptors": self.simulation.descriptors_used(),
        }
        if any(left.values()):
            raise BrokenError("something is left behind", ", ".join(f"{n} {c}" for n, c in left.items() if c))
        if not len(self._freed) == sum(totals.ended.values()) >= totals.accepted:
            counts = f"{totals.accepted} accepted, {sum(totals.ended.values())} ended, {len(self._freed)} freed"
            raise BrokenError("each accepted row ends once", counts)


class WatchedPoller(MemoryPoller):
    """A poller that tells what it was asked and what it said."""

    def __init__(self, simulation: Simulation, watch: Watch) -> None:
        super().__init__(simulation)
        self._simulation = simulation
        self._watch = watch

    def ready(self, seconds: float | None, most: int) -> Events:
        """Poll."""
        before, disturbances = self._simulation.now(), self._disturbances()
        pairs = super().ready(seconds, most)
        self._watch.polled(before, seconds, pairs, disturbances != self._disturbances())
        return pairs

    def _disturbances(self) -> int:
        met = self._simulation.met
        return met.get("clock_jump", 0) + met.get("early", 0)

    @property
    def asked(self) -> Mapping[int, int]:
        """What is asked about each descriptor."""
        return self._interest
