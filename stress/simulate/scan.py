"""What must hold for every row between two turns, and for the table as their sum."""

from collections.abc import Callable, Mapping

from ...engine import DatagramRow, Endpoint, Limits, Row
from ...engine.machine import File
from ...engine.outbox import ENTRY_BYTES
from ...engine.outside import Client
from ...engine.platform import READABLE, WRITABLE, Where
from ...engine.row import CLOSED, IDLE, LINGERING, READING, WAITING, WORKING, WRITING
from ...engine.simulation import Simulation
from ...engine.stream_row import StreamRow, interest
from ...engine.table import Table
from ...engine.timers import NEVER, TICKS
from .broken import BrokenError
from .turns import WatchedQueue
from .visits import WatchedTimers

TICK_SECONDS = 1 / TICKS + 1e-6  # a deadline is met at the end of its tick
WITHOUT_OUTPUT = (IDLE, READING, WAITING)  # states in which a row may be fed or stepped
DRAIN_SECONDS = 0.02  # in which a bite of a drain is taken


class Scan:
    """Looks at all rows of a table. `clients` are those outside, by the address at which a row has its peer."""

    def __init__(
        self,
        simulation: Simulation,
        table: Table,
        queue: WatchedQueue,
        alarms: WatchedTimers,
        clients: Mapping[Where, Client],
        asked: Mapping[int, int],
        held_most: Callable[[Limits], int],
        held_by: Callable[[object], int],
    ) -> None:
        self.simulation = simulation
        self.table = table
        self.queue = queue
        self.alarms = alarms
        self.clients = clients
        self.asked = asked  # what the poller is asked, by descriptor
        self.held_most = held_most
        self.held_by = held_by
        self._draining: tuple[int, float] | None = None  # the turn in which a drain was first seen, and when
        self._overdue: dict[int, tuple[float, int]] = {}  # deadlines that were seen to be past, and in which turn

    def look(self, turn_before: float) -> None:
        """Look at every row; `turn_before` is the time of the turn before this one. Raises BrokenError."""
        table = self.table
        past = turn_before - TICK_SECONDS
        few = table.limits.expiries_a_turn < table.timers.entries  # rows have more than one alarm
        bites = few or self.alarms.bites
        if not bites:
            self._check_calls(past)
        if table.calling is not None and not table.calling.askers | set(table.called) <= set(table.rows):
            raise BrokenError(
                "a call of nobody's", f"rows {table.calling.askers} have calls, and {[*table.rows]} are there"
            )
        drained = self._drained()
        held = 0
        for key, row in table.rows.items():
            held += row.held
            if row.state == CLOSED:
                if table.cut_short:  # it may be reaped in a later turn
                    continue
                raise BrokenError("a doomed row that was not reaped", str(row))
            if row.key != key or not _is_found(row):
                raise BrokenError("a row under another's number", str(row))
            if row.queued != (key in self.queue):
                raise BrokenError("a lost wake-up", f"{row} is in the queue, or not, and is marked otherwise")
            if row.output is not None and row.state in WITHOUT_OUTPUT:
                raise BrokenError("an answer that is not being sent", f"{row} has output left")
            if isinstance(row, StreamRow):
                self._check_interest(row)
            due = min(row.deadline(), row.until)
            if row.queued:
                self.queue.check_wait(key)
            else:
                self._check_rest(row, due, drained)
            armed = not row.queued or row.alarm <= due  # who came to the queue from rest: else it is when it rests
            if due < past and armed and not bites:
                self._check_overdue(row, due)
            self._check_held(row)
            if isinstance(row, StreamRow):
                self._check_passed(row)
        if held != table.held:
            raise BrokenError("sums over rows", f"rows hold {held} bytes, the table counts {table.held}")
        endpoints = [door for door in table.doors.values() if isinstance(door, Endpoint)]
        places = len(table.by_descriptor) + sum(endpoint.rows for endpoint in endpoints)
        if places != len(table.rows):
            raise BrokenError("sums over rows", f"{len(table.rows)} rows on {places} descriptors or at endpoints")

    def look_at_endpoints(self) -> None:
        """Look at every endpoint, of which there are few. Raises BrokenError."""
        for door in self.table.doors.values():
            if isinstance(door, Endpoint):
                self._check_endpoint(door)

    def _check_endpoint(self, endpoint: Endpoint) -> None:
        """What waits is within its cap, and the poller is asked for what is needed."""
        waiting = endpoint.outbox.waiting
        waits = sum(len(data) + ENTRY_BYTES for data, _, _ in waiting)
        if waits != endpoint.outbox.queued_bytes:
            raise BrokenError("bytes that wait", f"{endpoint} counts {endpoint.outbox.queued_bytes} of {waits}")
        if waits > endpoint.limits.datagram_queue_bytes or endpoint.rows > endpoint.limits.datagram_rows_max:
            raise BrokenError("an endpoint over its limit", f"{endpoint}: {waits} bytes wait, {endpoint.rows} rows")
        asked, needed = self.asked.get(endpoint.descriptor, 0), READABLE | (WRITABLE if waiting else 0)
        if asked != needed:
            raise BrokenError("interest", f"{endpoint} asks for {asked:#x} and needs {needed:#x}")

    def _check_calls(self, past: float) -> None:
        for due, _ in self.table.calls.values():
            if due < past:
                raise BrokenError("a call that was forgotten", f"it was due {self.table.now - due:.6f} s ago")

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

    def _check_rest(self, row: Row, due: float, drained: bool) -> None:
        """Who is not in the queue waits for something that will come."""
        if row.state == WORKING:
            raise BrokenError("a lost wake-up", f"{row} has work in hand and is not in the queue")
        if row.state == WRITING and row.output is None:
            raise BrokenError("a lost wake-up", f"{row} waits for what has gone")
        if due == NEVER:
            raise BrokenError("a row without a deadline", str(row))
        if due < row.alarm:
            raise BrokenError("a deadline without an alarm", f"{row} is due at {due}, its alarm rings at {row.alarm}")
        if drained and row.state == IDLE:
            raise BrokenError("a drain forgets a row", str(row))

    def _check_overdue(self, row: Row, due: float) -> None:
        """A wait that ends may bring back a deadline long past: it has the next turn, and no more."""
        turns = self.table.totals.turns
        first_due, first_turn = self._overdue.get(row.key, (NEVER, turns))
        if first_due != due:
            self._overdue[row.key] = (due, turns)
        elif turns > first_turn + 1:
            raise BrokenError("a row past its deadline", f"{row} was due {self.table.now - due:.6f} s ago")

    def _check_interest(self, row: StreamRow) -> None:
        asked = self.asked.get(row.descriptor, 0)
        if asked != row.mask:
            raise BrokenError("interest", f"{row}: the poller was asked for {asked:#x}, the row says {row.mask:#x}")
        if not row.queued and asked != interest(row) and not hasattr(row.machine, "duplex"):
            raise BrokenError("interest", f"{row} asks for {asked:#x} and needs {interest(row):#x}")

    def _check_held(self, row: Row) -> None:
        """What a row counts as held is there, and no buffer is over its cap."""
        output = row.output
        sending = 0 if output is None or isinstance(output, File) else _size(output)
        held = sending + self.held_by(row.machine)
        if held != row.held and row.state < LINGERING:
            raise BrokenError("bytes held", f"{row} counts {row.held} bytes and holds {held}")
        most = self.held_most(row.limits)
        if row.held - sending > most:
            raise BrokenError("a buffer over its cap", f"{row} holds {row.held - sending} bytes of {most}")

    def _check_passed(self, row: Row) -> None:
        """What one side has sent, the other has received, or it is on its way."""
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


def _is_found(row: Row) -> bool:
    """Tell whether the table finds a row by what it stands on."""
    if isinstance(row, DatagramRow):
        return all(row.endpoint.row_at(route) is row for route in row.routes)
    return isinstance(row, StreamRow) and row.table.by_descriptor.get(row.descriptor) is row


def _size(output: object) -> int:
    return sum(map(len, output)) if isinstance(output, list) else len(output)  # type: ignore[arg-type]
