"""What is going on, twice a second, on a terminal: who is there, what the honest client sees, what the server costs."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .latency import Latency
from .run import Run
from .summary import duration

LATELY_SECONDS = 3.0  # what "now" means for the honest client
MIB = 1 << 20


class Screen:
    """A picture that is drawn over itself. It is drawn when it is told to, and by nobody else: no thread."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, run: Run) -> None:
        """Draw a run as it is now."""
        self._live.update(picture_of(run), refresh=True)


def picture_of(run: Run) -> Group:
    """Return a run as it is now, to be drawn."""
    return Group(_clock(run), _crowds(run), *_lines(run))


def _clock(run: Run) -> Table:
    seconds, whole = run.seconds, run.order.calm + run.order.duration
    row = Table.grid(padding=(0, 1))
    calm = seconds < run.order.calm
    what = "the calm before" if calm else "under attack" if seconds < whole else "waiting for the last visits"
    row.add_row(f"{min(seconds, whole):.0f} of {whole:g} s", ProgressBar(whole, min(seconds, whole), width=30), what)
    return row


def _crowds(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("kind")
    table.add_column("there", justify="right")
    table.add_column("came", justify="right")
    table.add_column("gone")
    for kind, seen in run.seen.items():
        gone = ", ".join(f"{count} {what}" for what, count in seen["outcomes"].items())
        unable = f" {seen['unable']}" if seen["unable"] else ""
        table.add_row(kind, str(seen["alive"]), str(seen["started"]), Text(gone).append(unable, style="red"))
    return table


def _lines(run: Run) -> Iterator[Text]:
    said = ", ".join(f"{count} {name.lower()}" for name, count in run.states.items() if count)
    yield Text(f"connections: {said or 'none'}")
    lately = Latency()
    for visit in reversed(run.visits):
        if visit.began < run.began + run.seconds - LATELY_SECONDS:
            break
        lately.add(visit)
    times = lately.quantiles()
    line = Text("an honest client: ")
    if times["p50"] is not None and times["max"] is not None:
        line.append(f"p50 {duration(times['p50'])}, at most {duration(times['max'])}")
    elif not lately.errors:
        line.append("has not been answered lately")
    if lately.errors:
        line.append(f"  {lately.errors} of {lately.visits} failed", style="red")
    yield line
    before, now = run.samples[-2:] if len(run.samples) > 1 else (None, None)
    if before and now and "cpu" in before and "cpu" in now:
        share = (now["cpu"] - before["cpu"]) / max(1e-9, now["at"] - before["at"])
        yield Text(
            f"the server: {100 * share:.0f} % of a core, {now['memory'] / MIB:.1f} MiB, "
            f"{now['descriptors']} descriptors"
        )
