"""`--watch`: the table, live on a terminal.

A frame is made from the reports alone, in a timer of the reactor's own, so it costs nothing between frames and shows
what any operator could know. Rows that need a look come first: those with the least time left.
"""

import shutil
from collections.abc import Callable
from heapq import nsmallest

from ..engine import Reactor, RowReport, TotalsReport
from .control import doing_of

FRAME_SECONDS = 0.5
CLEAR = "\x1b[H\x1b[J"  # to the top left, and forget what was below
HEADER = (
    f"{'KEY':>7} {'STATE':<9} {'AGE':>6} {'LEFT':>6} {'IN':>7} {'OUT':>7} {'HELD':>6} {'REQ':>5}  {'PEER':<21} MACHINE"
)


class Watch:
    """Draws the table every half second by `write`, until that returns False."""

    def __init__(self, reactor: Reactor, title: str, write: Callable[[str], object], clear: bool) -> None:
        self.reactor = reactor
        self.title = title
        self.write = write
        self.clear = clear
        self._sent = 0
        self._requests = 0

    def draw(self) -> None:
        """Draw a frame and arrange for the next."""
        width, height = shutil.get_terminal_size()
        lines = self.frame(height - 1)
        text = "\n".join(line[:width] for line in lines)
        if self.write((CLEAR if self.clear else "") + text + "\n") is not False:
            self.reactor.after(FRAME_SECONDS, self.draw)

    def frame(self, height: int) -> list[str]:
        """Return the lines of one frame, `height` of them at the most."""
        totals = self.reactor.totals()
        room = max(1, height - 5)
        rows = nsmallest(room, self.reactor.rows(), key=_urgency)
        lines = [*self._summary(totals), "", HEADER, *map(line_of, rows)]
        if totals.rows > room:
            lines[-1] = f"... and {totals.rows - room + 1} more"
        return lines[:height]

    def _summary(self, totals: TotalsReport) -> list[str]:
        requests = (totals.requests - self._requests) / FRAME_SECONDS
        sent = (totals.sent - self._sent) / FRAME_SECONDS
        self._requests, self._sent = totals.requests, totals.sent
        title = self.title + (" (draining)" if self.reactor.draining else "")
        states = "  ".join(f"{name.lower()} {count}" for name, count in sorted(totals.states.items()))
        ended = "  ".join(f"{cause} {count}" for cause, count in sorted(totals.ended.items()))
        return [
            f"{title}   rows {totals.rows} of {totals.rows_max}   {states or 'nobody here'}",
            f"{requests:.0f} requests/s   {size(sent)}/s out   held {size(totals.held)}   accepted {totals.accepted}"
            f"   turns {totals.turns}",
            f"ended: {ended or 'none'}",
        ]


def _urgency(report: RowReport) -> tuple[float, int]:
    return (float("inf") if report.deadline_in is None else report.deadline_in, report.key)


def line_of(report: RowReport) -> str:
    """Write one row as a line of the table."""
    left = "-" if report.deadline_in is None else f"{max(0.0, report.deadline_in):.1f}"
    return (
        f"{report.key:>7} {report.state:<9} {report.age:>6.1f} {left:>6} {size(report.received):>7} "
        f"{size(report.sent):>7} {size(report.held):>6} {report.requests:>5}  {report.peer:<21} {doing_of(report)}"
    )


def size(count: float) -> str:
    """Write a number of bytes in at most six letters."""
    for unit in ("", "K", "M", "G"):
        if count < 1000 or unit == "G":
            return f"{count:.0f}{unit}" if not unit or count >= 100 else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError
