"""The operator's door: a line protocol over a UNIX socket that lists rows, sums them up, and ends them.

    rows          one line a row, oldest first; "." ends the list
    stats         the totals, a name and a number a line; "." ends them
    kill KEY      end a row with a reset
    drain         stop as SIGTERM does

A list of many rows is made and sent in pieces: the operator's row is a guest like others. Whoever may open the socket
may do all of this, so it is made for its owner alone.
"""

from collections.abc import Callable, Mapping

from ..engine import Reactor, Row, RowReport, Wait, Want
from .lines import Lines

ROWS_A_PIECE = 64
COLUMNS = "key state age deadline in out held requests interest peer listener machine"


class Control:
    """Makes an operator's machine of each row: `reactor.listen("unix:...", Control(reactor))`."""

    def __init__(self, reactor: Reactor, counters: Callable[[], Mapping[str, int]] = dict) -> None:
        self.reactor = reactor
        self.counters = counters  # of the protocol's own, shown with the totals

    def __call__(self, row: Row) -> "Operator":
        """Make one."""
        return Operator(row, self.reactor, self.counters)


class Operator(Lines):
    """One operator."""

    def __init__(self, row: Row, reactor: Reactor, counters: Callable[[], Mapping[str, int]] = dict) -> None:
        super().__init__(row)
        self.reactor = reactor
        self.counters = counters
        self.pausing = False  # others have their turn between two pieces
        self.listing: list[int] | None = None  # keys of the rows that are still to be listed, the next last

    def step(self) -> Want:
        """Send the next piece of a list, or see to the next line."""
        if self.listing is not None:
            self.pausing = not self.pausing
            return Wait(0) if self.pausing else self._piece(self.listing)
        return super().step()

    def answer(self, line: bytes) -> Want:
        """Carry out one command."""
        command, _, rest = line.decode("ascii", "replace").strip().partition(" ")
        if command == "rows":
            self.listing = self.reactor.keys()[::-1]
            return (COLUMNS + "\n").encode()
        if command == "stats":
            return self._stats()
        if command == "kill":
            return self._kill(rest)
        if command == "drain":
            self.reactor.after(0, self.reactor.drain)  # which ends this row as well: the answer goes first
            return b"draining\n"
        return b"" if not command else b"commands: rows, stats, kill KEY, drain\n"

    def _piece(self, keys: list[int]) -> bytes:
        lines: list[str] = []
        while keys and len(lines) < ROWS_A_PIECE:
            report = self.reactor.row(keys.pop())
            if report is not None:
                lines.append(line_of(report))
        if not keys:
            self.listing = None
            lines.append(".")
        return ("\n".join(lines) + "\n").encode()

    def _stats(self) -> bytes:
        lines: list[str] = []
        for name, value in self.reactor.totals()._asdict().items():
            if isinstance(value, dict):
                lines += [f"{name}.{part.replace(' ', '-')} {count}" for part, count in sorted(value.items())]
            else:
                lines.append(f"{name} {value}")
        lines += [f"protocol.{name} {count}" for name, count in self.counters().items()]
        return ("\n".join([*lines, "."]) + "\n").encode()

    def _kill(self, key: str) -> bytes:
        if not (key.isascii() and key.isdigit() and len(key) < 20) or not self.reactor.kill(int(key)):
            return b"no such row\n"
        return b"killed\n"


def doing_of(report: RowReport) -> str:
    """Say what a row's machine is, and where its calls run."""
    return f"{report.machine} [{report.calls}]" if report.calls else report.machine


def line_of(report: RowReport) -> str:
    """Write one row as a line; a field that has blanks comes last."""
    due = "-" if report.deadline_in is None else f"{max(0.0, report.deadline_in):.1f}"
    return (
        f"{report.key} {report.state} {report.age:.1f} {due} {report.received} {report.sent} {report.held} "
        f"{report.requests} {report.interest} {report.peer} {report.listener} {doing_of(report)}"
    )
