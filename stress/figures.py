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

ECHO_COLUMNS: Columns = (
    ("least µs", lambda row: f"{row['figure']:.2f}"),
    ("median µs", lambda row: f"{row['median']:.2f}"),
    ("system", lambda row: f"{row['system_share']:.0%}"),
    ("sleeps", lambda row: f"{row['sleeps_a_request']:.3f}"),
)
MEMORY_COLUMNS: Columns = (
    ("empty KiB", lambda row: str(row["sizes"][0]["Anonymous"])),
    ("full KiB", lambda row: str(row["sizes"][-1]["Anonymous"])),
    ("KiB each", lambda row: f"{row['figure']:.3f}"),
)


class Report(NamedTuple):
    """What a benchmark found, before it is made text or JSON."""

    about: str
    rows: list[Row]
    columns: Columns
    reasons: Reasons


def echo_row(server: Server, slices: Sequence[Usage]) -> Row:
    """One server's figures, in CPU microseconds a request."""
    costs = [usage.nanoseconds / 1000 / usage.requests for usage in slices]
    system = sum(usage.system_ticks for usage in slices)
    user = sum(usage.user_ticks for usage in slices)
    requests = sum(usage.requests for usage in slices)
    return asdict(server) | {
        "figure": min(costs),
        "median": statistics.median(costs),
        "system_share": system / max(1, user + system),
        "sleeps_a_request": sum(usage.sleeps for usage in slices) / requests,
        "slices": costs,
    }


def memory_row(server: Server, sizes: Sequence[dict[str, int]], between: int) -> Row:
    """One server's figures, in KiB a connection, from the first mark to the last."""
    slopes = {name: (sizes[-1][name] - sizes[1][name]) / between for name in sizes[0]}
    return asdict(server) | {"figure": slopes["Anonymous"], "slopes": slopes, "sizes": sizes}


def add_ratios(rows: Sequence[Row]) -> list[Row]:
    """Each interpreter's servers, then C, with partway's figure as a multiple of each."""
    told = []
    for python in dict.fromkeys(row["python"] for row in rows if row["python"]) or [""]:
        group = [row for row in rows if row["python"] in (python, "")]
        ours = next((row["figure"] for row in group if row["name"] == "partway"), None)
        for row in group:
            comparable = ours is not None and row["figure"] > 0
            told.append(row | {"ratio": ours / row["figure"] if comparable else None})
    return told


def table(rows: Sequence[Row], columns: Columns) -> list[str]:
    """Lines of text: names to the left, figures to the right."""
    lines = [["server", "python", *(head for head, _ in columns), "partway is"]]
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f} x"
        figures = [show(row) for _, show in columns]
        lines.append([row["name"], row["version"] or "-", *figures, ratio])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place > 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
