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


class Report(NamedTuple):
    """What a benchmark found, before it is made text or JSON."""

    about: str
    rows: list[Row]
    columns: Columns
    reasons: Reasons


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


def table(rows: Sequence[Row], columns: Columns) -> list[str]:
    """Lines of text: names to the left, figures to the right."""
    lines = [["server", "python", *(head for head, _ in columns)]]
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
