"""From readings to a table: what the bench prints, made of what it has read.

Nothing here runs or reads anything, so a report can be made again from its figures.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from .measure import Server, Usage

Row = dict[str, Any]  # one server's figures, as they go into the JSON file
Columns = Sequence[tuple[str, Callable[[Row], str]]]
Reasons = dict[Server, str]


def ratio_column(name: str) -> tuple[str, Callable[[Row], str]]:
    """What one of partway's figures is as a multiple of the row's."""

    def show(row: Row) -> str:
        ratio = row["ratios"].get(name)
        return "-" if ratio is None else f"{ratio:.2f} x"

    return f"{name} is", show


SHARES: Columns = (
    ("system", lambda row: f"{row['system_share']:.0%}"),
    ("sleeps", lambda row: f"{row['sleeps_a_request']:.3f}"),
)
COSTS: Columns = (
    ("least µs", lambda row: f"{row['figure']:.2f}"),
    ("median µs", lambda row: f"{row['median']:.2f}"),
    *SHARES,
)
ECHO_COLUMNS: Columns = (*COSTS, ratio_column("partway"))
HTTP_COLUMNS: Columns = (*COSTS, ratio_column("partway"), ratio_column("partway+cache"))
DOWNLOAD_COLUMNS: Columns = (
    ("most MiB/s", lambda row: f"{row['figure']:.0f}"),
    ("median MiB/s", lambda row: f"{row['median']:.0f}"),
    *SHARES,
    ratio_column("partway"),
)
MEMORY_COLUMNS: Columns = (
    ("empty KiB", lambda row: str(row["sizes"][0]["Anonymous"])),
    ("full KiB", lambda row: str(row["sizes"][-1]["Anonymous"])),
    ("KiB each", lambda row: f"{row['figure']:.3f}"),
    ratio_column("partway"),
)
ROWS_COLUMNS: Columns = (
    ("setup s", lambda row: f"{row['setup'] / 1e9:.2f}"),
    ("peak MiB", lambda row: f"{row['peak'] / 1024:.0f}"),
    ("bytes each", lambda row: f"{row['bytes_a_row']:.0f}"),
    ("same µs", lambda row: _least(row, "same")),
    ("others µs", lambda row: _least(row, "others")),
    ("is", lambda row: f"{row['growth']['others']:.2f} x"),
    ("walk µs", lambda row: _least(row, "walk_others")),
    ("is", lambda row: f"{row['growth']['walk_others']:.2f} x"),
    ("end µs", lambda row: _least(row, "expiry")),
    ("is", lambda row: f"{row['growth']['expiry']:.2f} x"),
    ("collection ms", lambda row: f"{row['full_collection'] / 1e6:.0f}"),
)
DATAGRAM_COLUMNS: Columns = (*COSTS, ratio_column("partway"))
FORK_COLUMNS: Columns = (*COSTS[:3], ratio_column("partway"), ratio_column("adapter"))
EXCHANGE_COLUMNS: Columns = (
    *COSTS[:2],
    ("is", lambda row: f"{row['growth']:.2f} x"),
    ("bytes each", lambda row: f"{row['bytes_a_row']:.0f}"),
)
GROWTHS = ("same", "others", "expiry", "walk_same", "walk_others")


def _least(row: Row, name: str) -> str:
    return f"{row[name]['least'] / 1000:.2f}"


class Report(NamedTuple):
    """What a benchmark found, before it is made text or JSON. `broken` are the goals that were not kept."""

    about: str
    rows: list[Row]
    columns: Columns
    reasons: Reasons
    broken: Sequence[str] = ()
    head: str = "server"  # what the rows are


def cost_row(server: Server, slices: Sequence[Usage]) -> Row:
    """One server's figures, in CPU microseconds a request: the less the better."""
    costs = [usage.nanoseconds / 1000 / usage.requests for usage in slices]
    return asdict(server) | shares(slices) | {"figure": min(costs), "median": statistics.median(costs), "slices": costs}


def rate_row(server: Server, slices: Sequence[Usage], mib: int) -> Row:
    """One server's figures, in MiB a CPU second, where each request is so many MiB: the more the better."""
    rates = [usage.requests * mib * 1e9 / max(1, usage.nanoseconds) for usage in slices]
    return asdict(server) | shares(slices) | {"figure": max(rates), "median": statistics.median(rates), "slices": rates}


def shares(slices: Sequence[Usage]) -> Row:
    """What is said of all slices together: the kernel's share, and how often there was nothing to do."""
    system = sum(usage.system_ticks for usage in slices)
    user = sum(usage.user_ticks for usage in slices)
    requests = sum(usage.requests for usage in slices)
    return {
        "system_share": system / max(1, user + system),
        "sleeps_a_request": sum(usage.sleeps for usage in slices) / requests,
    }


def memory_row(server: Server, sizes: Sequence[dict[str, int]], between: int) -> Row:
    """One server's figures, in KiB a connection, from the first mark to the last."""
    slopes = {name: (sizes[-1][name] - sizes[1][name]) / between for name in sizes[0]}
    return asdict(server) | {"figure": slopes["Anonymous"], "slopes": slopes, "sizes": sizes}


def add_ratios(rows: Sequence[Row], names: Sequence[str] = ("partway",)) -> list[Row]:
    """Each interpreter's servers, then those of none, with the figures of these names as multiples of each."""
    told = []
    for python in dict.fromkeys(row["python"] for row in rows if row["python"]) or [""]:
        group = [row for row in rows if row["python"] in (python, "")]
        ours = {row["name"]: row["figure"] for row in group if row["name"] in names}
        for row in group:
            ratios = {name: figure / row["figure"] for name, figure in ours.items() if row["figure"] > 0}
            told.append(row | {"ratios": ratios})
    return told


def spread(costs: Sequence[float], counts: Sequence[int]) -> Row:
    """Least, median and most of turns that cost so much for so many rows."""
    each = [cost / count for cost, count in zip(costs, counts, strict=True)]
    return {"least": min(each), "median": statistics.median(each), "most": max(each)}


def size_row(server: Server, active: int, crowd: Sequence[Row], walk: Sequence[Row]) -> Row:
    """One size's figures: rounds, and the last answer, which has all else. Nanoseconds a row, KiB."""
    row = asdict(server) | dict(crowd[-1])
    for prefix, rounds in ("", crowd[:-1]), ("walk_", walk[:-1]):
        for name in "same", "others":
            costs = [cost for figures in rounds for cost in figures[name]]
            row[prefix + name] = spread(costs, [active] * len(costs))
    return row | {"walk_bytes": walk[-1]["bytes_a_row"], "expiry": spread(row["expiry"], row["expiry_ended"])}


def add_growth(rows: Sequence[Row]) -> list[Row]:
    """Each size with the least of its costs as multiples of the first's."""
    return [
        row | {"growth": {name: row[name]["least"] / rows[0][name]["least"] for name in GROWTHS}, "ratios": {}}
        for row in rows
    ]


def table(rows: Sequence[Row], columns: Columns, head: str = "server") -> list[str]:
    """Lines of text: names to the left, figures to the right."""
    lines = [[head, "python", *(title for title, _ in columns)]]
    lines += [
        [row["name"], row["version"] if row["python"] else "-", *(show(row) for _, show in columns)] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place > 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
