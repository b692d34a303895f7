"""The invariants: what must hold in every run, whatever the seed, checked while it goes on.

Nothing of this is in the engine: a production server pays nothing for it. What is cheap is checked at every poll; what
looks at all rows, after as many events as twice the rows, so that a crowd of 200 costs little more than one client.
Time's own rules are exact all the same: rows don't change while the reactor sleeps.
"""

from collections.abc import Callable

from ...engine import Cause, Limits, Reactor, Reason, Row
from ...engine.machine import File
from ...engine.memory import MemoryPoller, end_of
from ...engine.outside import Client
from ...engine.platform import Channel, Events, Where
from ...engine.row import CLOSED, IDLE, LINGERING, WORKING, deadline, interest
from ...engine.simulation import Simulation
from ...engine.timers import NEVER, TICKS
from .broken import BrokenError
from .turns import WatchedQueue
from .visits import Visits

TICK_SECONDS = 1 / TICKS + 1e-6  # a deadline is met at the end of its tick
SLEPT_SECONDS = 0.01  # a sleep that is long enough to ask whether it was too long
WORDLESS = (Cause.PEER_LOST, Cause.CLOSED_BY_PROGRAM, Cause.NOT_CONNECTED)  # ends without a reset that are in order
DRAIN_SECONDS = 0.02  # in which a bite of a drain is taken
EVENTS_A_ROW = 2  # between two looks at all rows


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
        self._draining: tuple[int, float] | None = None  # the turn in which a drain was first seen, and when
        self._overdue: dict[int, tuple[float, int]] = {}  # deadlines that were seen to be past, and in which turn
        self._events = 0  # since the last look at all rows
        self._events_awake = 0  # since the last look at a sleep
        self._turn_before = simulation.now()
        simulation.poller = self.poller = WatchedPoller(simulation, self)

    def begin(self, reactor: Reactor) -> None:
        """Begin to watch a reactor, before anybody can come."""
        self.reactor = reactor
        self.table = table = reactor.table
        free = table._free

        def watched(row: Row, channel: Channel, reset: bool) -> None:
            self._check_end(row, channel, reset)
            free(row, channel, reset)

        table._free = watched  # type: ignore[method-assign]
        faults = self.simulation.faults
        self.visits = Visits(table, may_fail=bool(faults.not_ready or faults.interrupted or faults.spurious))
        table.queue = self.queue = WatchedQueue(table.queue, table, self.visits)

    def entered(self, client: Client) -> None:
        """A client has come."""
        self.clients[client.local] = client

    def reason_of(self, client: Client) -> Reason | None:
        """Return why a client's row has ended; None where it never became one, or still is."""
        return self.reasons.get(client.local)

    # Every poll.

    def polled(self, before: float, seconds: float | None, pairs: Events, disturbed: bool) -> None:
        """Check what a poll came to: that it did not sleep too long, nor wake for nothing."""
        now = self.simulation.now()
        self._events += 1 + len(pairs)
        self._events_awake += 1 + len(pairs)
        if now - before > SLEPT_SECONDS and not disturbed and self._events_awake >= len(self.table.rows):
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
            due = min(deadline(row), row.until)
            if now > max(due, before) + TICK_SECONDS and row.state != CLOSED:
                raise BrokenError("a row past its deadline", f"{row} was due at {due}, the poll ended at {now}")

    # Every turn.

    def turn(self) -> None:
        """Check what holds at a turn's end."""
        table = self.table
        if len(table.rows) > table.rows_max:
            raise BrokenError("a table over its limit", f"{len(table.rows)} rows of {table.rows_max}")
        if table.held + table.kept > table.held_bytes_max:
            raise BrokenError("a table over its limit", f"{table.held} bytes of {table.held_bytes_max}")
        self.visits.end(self.queue.served)
        self.queue.turn_ends()
        if self._events >= EVENTS_A_ROW * len(table.rows):
            self.scan()
        self._turn_before = table.now

    def scan(self) -> None:
        """Look at every row."""
        table = self.table
        self._events = 0
        held = 0
        for due, _ in table.calls.values():
            if due < self._turn_before - TICK_SECONDS and table.limits.expiries_a_turn > table.timers.entries:
                raise BrokenError("a call that was forgotten", f"it was due {table.now - due:.6f} s ago")
        for row in table.rows.values():
            held += row.held
            self._check_row(row)
        if held != table.held:
            raise BrokenError("sums over rows", f"rows hold {held} bytes, the table counts {table.held}")
        if len(table.by_descriptor) != len(table.rows):
            raise BrokenError("sums over rows", f"{len(table.rows)} rows on {len(table.by_descriptor)} descriptors")

    def _check_row(self, row: Row) -> None:
        table = self.table
        if row.state == CLOSED:
            raise BrokenError("a doomed row that was not reaped", str(row))
        if table.by_descriptor.get(row.descriptor) is not row or table.rows.get(row.key) is not row:
            raise BrokenError("a row under another's number", str(row))
        due = min(deadline(row), row.until)
        bites = table.limits.expiries_a_turn < table.timers.entries  # rows have more than one alarm
        if due < self._turn_before - TICK_SECONDS and not bites:
            self._check_overdue(row, due)
        if due < row.alarm and due != NEVER and not row.queued:  # who is in the queue is armed when it rests
            raise BrokenError("a deadline without an alarm", f"{row} is due at {due}, its alarm rings at {row.alarm}")
        if row.queued != (row.key in self.queue) or (row.state == WORKING and not row.queued):
            raise BrokenError("a lost wake-up", f"{row} has work in hand and is not in the queue")
        if row.queued:
            self.queue.check_wait(row.key)
        if due == NEVER and not row.queued:
            raise BrokenError("a row without a deadline", str(row))
        if row.state == IDLE and not row.queued and self._drained():
            raise BrokenError("a drain forgets a row", str(row))
        self._check_interest(row)
        self._check_bytes(row)

    def _drained(self) -> bool:
        """Tell whether a drain has been going on for so long that no row may be idle.

        It goes in bites, each an alarm of its own: so it takes turns, and time. Where the clock jumps, nobody can tell.
        """
        table, faults = self.table, self.simulation.faults
        if not table.draining or faults.clock_jump or faults.slow_disk:
            return False
        self._draining = self._draining or (table.totals.turns, table.now)
        bite = table.limits.expiries_a_turn
        bites = 1 + len(table.rows) // bite
        turns, seconds = table.totals.turns - self._draining[0], table.now - self._draining[1]
        return turns > 3 + bites * (2 + table.timers.entries // bite) and seconds > DRAIN_SECONDS * bites

    def _check_overdue(self, row: Row, due: float) -> None:
        """A wait that ends may bring back a deadline long past: it has the next turn, and no more."""
        turns = self.table.totals.turns
        first_due, first_turn = self._overdue.get(row.key, (NEVER, turns))
        if first_due != due:
            self._overdue[row.key] = (due, turns)
        elif turns > first_turn + 1:
            raise BrokenError("a row past its deadline", f"{row} was due {self.table.now - due:.6f} s ago")

    def _check_interest(self, row: Row) -> None:
        asked = self.poller.asked(row.descriptor)
        if asked != row.mask:
            raise BrokenError("interest", f"{row}: the poller was asked for {asked:#x}, the row says {row.mask:#x}")
        if not row.queued and asked != interest(row) and not hasattr(row.machine, "duplex"):
            raise BrokenError("interest", f"{row} asks for {asked:#x} and needs {interest(row):#x}")

    def _check_bytes(self, row: Row) -> None:
        """Bytes in are consumed or held; what was sent has arrived or is on its way; no buffer is over its cap."""
        output = row.output
        sending = 0 if output is None or isinstance(output, File) else _size(output)
        held = sending + self.held_by(row.machine)
        if held != row.held and row.state < LINGERING:
            raise BrokenError("bytes held", f"{row} counts {row.held} bytes and holds {held}")
        most = self.held_most(row.limits)
        if row.held - sending > most:
            raise BrokenError("a buffer over its cap", f"{row} holds {row.held - sending} bytes of {most}")
        client = self.clients.get(row.peer)
        if client is None or row.state == LINGERING or client.harmed or client.reason is not None:
            return
        far = client._end
        if client.sent != row.received + far.other.held:
            where = f"{client.sent} bytes were sent, {row.received} received, {far.other.held} are on their way"
            raise BrokenError("bytes in", f"{row}: {where}")
        if row.sent != client.received + far.held:
            where = f"{row.sent} bytes were sent, {client.received} received, {far.held} are on their way"
            raise BrokenError("bytes out", f"{row}: {where}")

    # The end.

    def _check_end(self, row: Row, channel: Channel, reset: bool) -> None:
        """Each row ends once, with a reason, and its bytes are conserved to the last."""
        if row.key in self._freed:
            raise BrokenError("a row that ended twice", str(row))
        if row.reason is None:
            raise BrokenError("a row that ended without a reason", str(row))
        cause, end = row.reason.cause, end_of(channel)
        if cause is Cause.DONE and not (row.end_fed or end.end_arrived or end.error):
            raise BrokenError("a row that did not linger", str(row))
        if row.output is not None and not reset and cause not in WORDLESS:
            raise BrokenError("half an answer that looks whole", f"{row}: {row.reason}")
        if cause is Cause.EVICTED and not row.held:
            raise BrokenError("a row evicted that held nothing", str(row))
        self._freed.add(row.key)
        self.reasons[row.peer] = row.reason

    def end(self) -> None:
        """Check that nothing is left, once the reactor is closed."""
        table, totals = self.table, self.table.totals
        left = {
            "rows": len(table.rows),
            "rows by descriptor": len(table.by_descriptor),
            "peers": len(table.per_peer),
            "doors": len(table.doors),
            "doomed": len(table.doomed),
            "bytes held": table.held,
            "interests": self.poller.asked_about(),
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
        simulation = self._simulation
        before, met = simulation.now(), simulation.met
        disturbances = met["clock_jump"] + met["early"]
        pairs = super().ready(seconds, most)
        disturbed = disturbances != met["clock_jump"] + met["early"]
        self._watch.polled(before, seconds, pairs, disturbed)
        return pairs

    def asked(self, descriptor: int) -> int:
        """Return what is asked about a descriptor, 0 for nothing."""
        return self._interest.get(descriptor, 0)

    def asked_about(self) -> int:
        """Return how many descriptors are asked about."""
        return len(self._interest)


def _size(output: object) -> int:
    return sum(map(len, output)) if isinstance(output, list) else len(output)  # type: ignore[arg-type]
