"""What the card says: of each server and each kind, a cell; and all of them as a table in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..attack.summary import OUTSIDE

Report = Mapping[str, Any]
AT_ONCE = 1.0  # seconds
ALIKE = 1.2  # times that differ by less are one time
DEAF = 0.01  # from so many failed visits of the honest client on it is told


class Cell(NamedTuple):
    """How long slow clients of one kind are let live by one server.

    `first` and `last` are the seconds after which they have gone, None where nobody has; `stay` of `came` were there
    to the end, and of an honest client's visits the part `failed`.
    """

    first: float | None
    last: float | None
    stay: int
    came: int
    failed: float

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.lived}, ✗ {100 * self.failed:.0f} %" if self.failed >= DEAF else self.lived

    @property
    def lived(self) -> str:
        """How long they lived, in words."""
        if self.first is None or self.last is None:
            return "stay" if self.stay else "–"
        first, last = _seconds(self.first), _seconds(self.last)
        time = f"{last} s" if self.last < max(1.0, ALIKE * self.first) else f"{first} to {last} s"
        if self.last < AT_ONCE:
            time = "at once"
        return f"{time}, {self.stay} of {self.came} stay" if self.stay else time


def cell_of(figures: Report) -> Cell:
    """Read what came of it."""
    lived, honest = figures["lived"], figures["honest"]
    outside = sum(figures["outcomes"].get(outcome, 0) for outcome in OUTSIDE)
    came = figures["started"] - outside
    gone = lived[: came - figures["survivors"]] if outside else lived
    failed = honest["errors"] / honest["visits"] if honest["visits"] else 0.0
    return Cell(gone[0] if gone else None, gone[-1] if gone else None, figures["survivors"], came, failed)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 9.95 else f"{seconds:.1f}".removesuffix(".0")


def table_of(report: Report) -> Iterator[str]:
    """Return the lines of a table: a server in each row, a kind in each column."""
    kinds = report["kinds"]
    rows = [["server", *kinds]]
    for name, cells in report["servers"].items():
        row = [f"{name} {report['versions'][name]}"]
        rows.append(row + [cell_of(cells[kind]).text if kind in cells else "–" for kind in kinds])
    yield from aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return rows of cells, the first of which are names of columns, as a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if not number:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def lines_of(report: Report) -> Iterator[str]:
    """Say what came of it."""
    broken = " (interrupted)" if report["interrupted"] else ""
    yield (
        f"{report['clients']} clients of each kind against a server of its own, {report['seconds']:g} s{broken}: "
        "after how many seconds they are cut off"
    )
    yield ""
    yield from table_of(report)
    yield ""
    yield "stay: they were all there to the end. ✗: so many of an honest client's visits were not answered within 10 s."
    for name, why in report["missing"].items():
        yield f"{name}: {why}"
