"""`partway bench rows`: partway alone, with tables of a thousand rows to a million, whose sizes take turns."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from .crowd import MESSAGE
from .figures import ROWS_COLUMNS, Report, Row, add_growth, size_row
from .measure import Bench, Child, Server, UnableError, version_of
from .tally import Tally

SETUP_SECONDS_MAX = 200  # for a million rows: some 25
ROWS_GROWTH_MAX = 4.0  # a turn's cost, from the smallest table to the largest: the processor's caches explain as much
ROWS_KIB_MAX = 1536 * 1024  # for a million
COUNTS_DIFFER_MAX = 0.05  # allocations: whether a number is a small one, of which Python keeps one copy, moves them


def bench_rows(options: argparse.Namespace, bench: Bench) -> Report:
    """What a turn costs in tables of several sizes, a few of whose rows are active, and what a row takes."""
    if options.active > min(options.rows):
        raise UnableError(f"{options.active} rows cannot be active of {min(options.rows)}")
    version = version_of(sys.executable)
    servers = [Server(str(rows), (), sys.executable, version) for rows in sorted(options.rows)]
    crowds, walks = (tables_in_turns(servers, kind, options, bench) for kind in ("crowd", "walk"))
    rows = [
        size_row(server, options.active, crowds.figures[server], walks.figures[server])
        for server in servers
        if server in crowds.figures and server in walks.figures
    ]
    counts = ", ".join(f"{name} {count}" for name, count in rows[0]["operations"].items()) if rows else "-"
    about = (
        f"A turn's CPU time for each of {options.active} rows that echo {len(MESSAGE)} bytes; all others are silent.\n"
        "same: always the same rows. others: drawn at random for each turn.\n"
        "walk: through as many lists of a plain dict, others each time, as large as a row, its machine and both ends.\n"
        "end: of each row, where all deadlines come at once, in bites. collection: Python's own, once through all.\n"
        f"is: as a multiple of the smallest table's. The least of {options.rounds} x {options.turns} turns.\n"
        f"What a turn does in the smallest: {counts}."
    )
    missing = crowds.reasons | walks.reasons
    broken = [f"no figures of {server.name} rows" for server in missing] + broken_goals(rows)
    return Report(about, add_growth(rows), ROWS_COLUMNS, missing, broken, "rows")


def tables_in_turns(servers: Sequence[Server], kind: str, options: argparse.Namespace, bench: Bench) -> Tally[Row]:
    """Have a process for each size, and let them take turns: a spell of a slow machine shall not meet only one."""
    tally: Tally[Row] = Tally(servers)
    with ExitStack() as processes:
        children: dict[Server, Child] = {}
        for server in servers:
            with tally.excluding(server):
                words = [sys.executable, "-m", "partway.stress.bench.crowd", kind, server.name, str(options.active)]
                child = processes.enter_context(Child(words, bench.server_core, bench.import_path))
                child.line("READY", SETUP_SECONDS_MAX)
                children[server] = child
        for turns in [*[options.turns] * options.rounds, 0]:
            for server in list(tally.figures):
                with tally.excluding(server):
                    children[server].ask(turns)
                    tally.figures[server].append(json.loads(children[server].line("DONE", SETUP_SECONDS_MAX)))
    return tally


def broken_goals(rows: Sequence[Row]) -> list[str]:
    """What of several sizes' figures is not as it should be: flat counts, a cost that caches explain, memory."""
    broken = []
    for row in add_growth(rows):
        for name in "same", "others", "expiry":
            if row["growth"][name] > ROWS_GROWTH_MAX:
                broken.append(f"{name} at {row['name']} rows: {row['growth'][name]:.2f} x")
        if row["peak"] > ROWS_KIB_MAX:
            broken.append(f"{row['name']} rows take {row['peak'] / 1024:.0f} MiB")
        for name, count in row["operations"].items():
            first = rows[0]["operations"][name]
            inexact = name.startswith(("allocations", "peak"))
            if abs(count - first) > (COUNTS_DIFFER_MAX * first if inexact else 0):
                broken.append(f"{name} at {row['name']} rows: {count} for {first}")
    return broken
