"""Two runs side by side: what an honest client saw, what became of each kind, and what the server cost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from ...protocols.addresses import MistakeError
from .latency import QUANTILES
from .summary import duration
from .survival import half_gone

MIB = 1 << 20
PARTS = {"target": str, "date": str, "crowds": dict, "probe": dict, "samples": list}
Report = Mapping[str, Any]
Row = tuple[str, str, str, str]


def read_report(path: str) -> Report:
    """Read what `--json` has written. Raises MistakeError for anything else."""
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except OSError as error:
        raise MistakeError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise MistakeError(f"{path}: not JSON") from None
    parts = report if isinstance(report, dict) else {}
    if not all(isinstance(parts.get(name), kind) for name, kind in PARTS.items()):
        raise MistakeError(f"{path}: no report of partway stress")
    return parts


def table_of(paths: Sequence[str]) -> Table:
    """Return two reports as a table. Raises MistakeError."""
    one, other = (read_report(path) for path in paths)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for path in paths:
        table.add_column(path, justify="right", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    try:
        for row in _rows(one, other):
            table.add_row(*row)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise MistakeError(f"{' or '.join(paths)}: no report of partway stress") from None
    return table


def _rows(one: Report, other: Report) -> Iterator[Row]:
    yield "target", one["target"], other["target"], ""
    yield "date", one["date"], other["date"], ""
    for key, name in (("before", "without them"), ("during", "beside them")):
        yield from _honest(f"an honest client {name}", one["probe"][key], other["probe"][key])
    for kind in dict.fromkeys([*one["crowds"], *other["crowds"]]):
        yield from _crowds(kind, one["crowds"].get(kind), other["crowds"].get(kind))
    cost, other_cost = _costs(one["samples"]), _costs(other["samples"])
    if cost is not None and other_cost is not None:
        (cpu, memory), (other_cpu, other_memory) = cost, other_cost
        yield "the server", "", "", ""
        yield "  CPU time", duration(cpu), duration(other_cpu), _ratio(cpu, other_cpu)
        mib = f"{memory / MIB:.1f} MiB", f"{other_memory / MIB:.1f} MiB"
        yield "  memory, at most", *mib, _ratio(memory, other_memory)


def _honest(name: str, one: Report, other: Report) -> Iterator[Row]:
    yield name, "", "", ""
    yield "  visits", str(one["visits"]), str(other["visits"]), ""
    yield "  failed", str(one["errors"]), str(other["errors"]), ""
    for quantile in (*QUANTILES, "max"):
        seconds = one[quantile], other[quantile]
        yield f"  {quantile}", _time(seconds[0]), _time(seconds[1]), _ratio(*seconds)


def _crowds(kind: str, one: Report | None, other: Report | None) -> Iterator[Row]:
    yield kind, "", "", ""
    for name, key in (("clients", "started"), ("still there", "survivors")):
        yield f"  {name}", _of(one, key), _of(other, key), ""
    if not any(crowd and crowd["returns"] for crowd in (one, other)):
        halves = [half_gone(crowd["lived"], crowd["ages"]) if crowd else None for crowd in (one, other)]
        yield "  half gone within", _time(halves[0]), _time(halves[1]), _ratio(*halves)


def _costs(samples: Sequence[Mapping[str, Any]]) -> tuple[float, int] | None:
    known = [sample for sample in samples if "cpu" in sample]
    return (known[-1]["cpu"] - known[0]["cpu"], max(sample["memory"] for sample in known)) if known else None


def _of(crowd: Mapping[str, Any] | None, name: str) -> str:
    return "–" if crowd is None else str(crowd[name])


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def _ratio(one: float | None, other: float | None) -> str:
    return f"{other / one:.2f} x" if one and other is not None else ""
