"""Calls: a machine leaves a piece of work to somebody else, and comes back for what became of it.

Here is who asked, who waits, and who is told; where the work itself runs is the platform's affair (`elsewhere`). So
many calls are in flight at once, the rest queue, and each is told of exactly once, unless its row has ended: then it is
cancelled where it can be, and else it keeps its place among those in flight until it is over.
"""

from collections.abc import Callable
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Any

from .machine import Call, CallError, Outcome
from .platform import READABLE, Work
from .row import LINGERING, Row
from .stream_row import StreamRow

if TYPE_CHECKING:
    from .table import Table

POLL_SECONDS = 0.01  # how often work is asked after that has no descriptor to wait for


class Ticket:
    """One call: whose it is, and who is told. Stands in the table's doors for the descriptors of its work."""

    __slots__ = (
        "call",
        "cancelled",
        "number",
        "offload",
        "row",
        "tag",
        "tell",
        "waited_for",
        "work",
    )

    def __init__(self, offload: "Offload", number: int, call: Call, tell: Callable[[Outcome], None] | None) -> None:
        self.offload = offload
        self.number = number
        self.call = call
        self.tell = tell  # who hears of it where no row has asked
        self.row: Row | None = None
        self.tag: Any = None
        self.waited_for = False  # the row does nothing else meanwhile
        self.work: Work | None = None
        self.cancelled = False

    def ready(self, mask: int) -> None:
        """Look whether it is over."""
        self.offload.look(self)


class Offload:
    """The calls of one table."""

    def __init__(self, table: "Table") -> None:
        limits = table.limits
        self._table = table
        self._elsewhere = table.platform.elsewhere(limits.calls_max, limits.call_bytes_max)
        self._running: dict[int, Ticket] = {}
        self._waiting: dict[int, Ticket] = {}  # oldest first
        self._of_row: dict[int, dict[int, Ticket]] = {}  # by the row's key
        self._polling = False
        self._last = 0

    def __len__(self) -> int:
        """Count what is in flight."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Count what is not yet in flight."""
        return len(self._waiting)

    # Asking.

    def ask(self, row: Row, call: Call) -> None:
        """Begin a call that its row waits for: it has come to rest with it, and is not in a step."""
        ticket = self._new(call, row)
        ticket.waited_for = True
        self._table.called[row.key] = call.lend
        self._begin(ticket)

    def ask_besides(self, row: Row, call: Call, tag: Any) -> None:
        """Begin a call while the row goes on. It may be in a step, so nothing can come of it before that has ended."""
        if call.lend:
            raise ValueError("a connection is lent to a call that the row waits for: return it from step()")
        ticket = self._new(call, row)
        ticket.tag = tag
        self._soon(ticket)

    def ask_for(self, call: Call, tell: Callable[[Outcome], None] | None) -> None:
        """Begin a call of the program's own. `tell` hears of it in a turn, if it is not None."""
        if call.lend:
            raise ValueError("there is no connection to lend")
        self._soon(self._new(call, None, tell))

    def _new(self, call: Call, row: Row | None, tell: Callable[[Outcome], None] | None = None) -> Ticket:
        self._last += 1
        ticket = Ticket(self, self._last, call, tell)
        if row is not None:
            ticket.row = row
            if not hasattr(row.machine, "resume"):
                raise TypeError(
                    f"{type(row.machine).__name__} has no resume() that could be told what came of {call!r}"
                )
            self._of_row.setdefault(row.key, {})[ticket.number] = ticket
        return ticket

    def _soon(self, ticket: Ticket) -> None:
        self._table.call_at(self._table.now, lambda: self._begin(ticket))

    def _begin(self, ticket: Ticket) -> None:
        """Begin it if there is room, else let it wait for that."""
        limits = self._table.limits
        if ticket.cancelled:
            return
        if len(self._running) < limits.calls_max or ticket.call.how == "inline":
            self._start(ticket)
        elif len(self._waiting) < limits.calls_waiting_max:
            self._waiting[ticket.number] = ticket
        else:
            self._tell(ticket, Outcome(error=BlockingIOError(EAGAIN, "too many calls wait already")))

    def _start(self, ticket: Ticket) -> None:
        call, row, channel = ticket.call, ticket.row, None
        try:
            if call.lend:
                if not isinstance(row, StreamRow):
                    raise ValueError("a row of datagrams has no connection to lend")
                channel = row.channel
            work = self._elsewhere.begin(call, channel)
        except Exception as error:  # the platform has no such way, or no room now
            self._tell(ticket, Outcome(error=error))
            return
        ticket.work = work
        self._running[ticket.number] = ticket
        if not work.descriptors:
            self.look(ticket)  # what runs inline is over by now
        else:
            for descriptor in work.descriptors:
                self._table.doors[descriptor] = ticket
                self._table.poller.register(descriptor, READABLE)

    # Hearing.

    def look(self, ticket: Ticket) -> None:
        """Look whether work is over, and if so tell of it and begin what waits longest."""
        work = ticket.work
        assert work is not None
        outcome = work.poll()
        if outcome is None:
            if not work.descriptors:
                self._poll_soon()
            return
        self._free(ticket, work)
        self._tell(ticket, outcome)
        while self._waiting and len(self._running) < self._table.limits.calls_max:
            self._start(self._waiting.pop(next(iter(self._waiting))))

    def _free(self, ticket: Ticket, work: Work) -> None:
        del self._running[ticket.number]
        for descriptor in work.descriptors:
            del self._table.doors[descriptor]
            self._table.poller.unregister(descriptor)
        work.close()

    def _tell(self, ticket: Ticket, outcome: Outcome) -> None:
        """Tell whoever has asked, if that is still there."""
        row, table = ticket.row, self._table
        if outcome.error is not None and not isinstance(outcome.error, Exception):  # sys.exit() in a thread
            outcome = Outcome(error=CallError(f"it ended by {outcome.error!r}"))
        if row is None:
            if ticket.tell is not None:  # what it raises leaves through a turn, and keeps nobody's call from beginning
                table.call_at(table.now, partial(ticket.tell, outcome))
            return
        tickets = self._of_row[row.key]
        del tickets[ticket.number]
        if not tickets:
            del self._of_row[row.key]
        if row.state >= LINGERING:
            return
        if ticket.waited_for:
            del table.called[row.key]
            if isinstance(row, StreamRow) and ticket.call.lend:
                table.platform.take_back(row.channel)
        try:
            row.machine.resume(Outcome(outcome.value, outcome.error, ticket.tag))  # type: ignore[attr-defined]
        except Exception as error:
            table.blame(row, "resume", error)
        else:
            table.wake(row)

    def _poll_soon(self) -> None:
        if not self._polling:
            self._polling = True
            self._table.call_at(self._table.now + POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        """Ask after all who cannot be waited for. Not one wake-up is made for this while there are none."""
        self._polling = False
        for ticket in [*self._running.values()]:
            if ticket.work is not None and not ticket.work.descriptors:
                self.look(ticket)

    # Ending.

    def cancel(self, key: int) -> None:
        """A row has ended, or its machine has become another: stop what was asked for, as far as that goes."""
        self._table.called.pop(key, None)
        for number, ticket in self._of_row.pop(key, {}).items():
            ticket.row = None
            ticket.cancelled = True
            if ticket.work is not None:
                ticket.work.cancel()
            else:
                self._waiting.pop(number, None)

    def close(self) -> None:
        """Stop all that can be stopped, tell nobody, and free what was kept."""
        self._waiting.clear()
        idle = not self._running
        for ticket in [*self._running.values()]:
            assert ticket.work is not None
            ticket.work.cancel()
            self._free(ticket, ticket.work)
        self._elsewhere.close(idle)

    # For the operator.

    @property
    def askers(self) -> set[int]:
        """The keys of the rows that have calls."""
        return set(self._of_row)

    def names(self, key: int) -> list[str]:
        """Say of each call of a row how it runs."""
        works = [ticket.work for ticket in self._of_row.get(key, {}).values()]
        return ["queued" if work is None else work.name for work in works]
