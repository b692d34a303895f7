"""What many seeds came to: as text of 100 columns, and as data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...engine.faults import OBSERVED, ODDS
from ...engine.row import EVENTS, STATES, TRANSITIONS
from .many import Failure, Share, Tally

WIDTH = 100
EXEMPT: Mapping[str, str] = {}
"""What need not be met, and why."""

EDGES = tuple((state, event) for state, events in TRANSITIONS.items() for event in sorted(events))


def edge_name(state: int, event: int) -> str:
    """Write an edge in words."""
    return f"{STATES[state]} {EVENTS[event]}"


def unmet(tally: Tally) -> list[str]:
    """Name all that was never met, faults first, and need not be exempt."""
    faults = [name for name in (*ODDS, *OBSERVED) if not tally.met[name]]
    edges = [edge_name(*edge) for edge in EDGES if not tally.edges[edge]]
    return [name for name in faults + edges if name not in EXEMPT]


def report(tally: Tally, seeds: range) -> list[str]:
    """Return the lines that a person reads."""
    return [
        *_summary(tally, seeds),
        "",
        *_protocols(tally),
        "",
        *_counts("faults met", {name: tally.met[name] for name in sorted(tally.met)}),
        "",
        *_counts("rows ended", tally.ended),
        "",
        *_edges(tally),
        "",
        *_never(tally),
    ]


def _summary(tally: Tally, seeds: range) -> list[str]:
    every = tally.all
    shown = f"{every.seeds:,} seeds" if every.seeds != 1 else "1 seed"
    if every.seeds:
        shown += f", {seeds.start} to {seeds.start + every.seeds - 1}" if every.seeds > 1 else f", {seeds.start}"
    more = f", and {tally.more_seconds:.1f} for runs that only compare" if tally.more_seconds >= 0.05 else ""
    return [
        f"{shown}: {len(tally.failures) or 'none'} broken",
        f"{every.requests:,} requests on {every.rows:,} rows, {tally.turns:,} turns, "
        f"{tally.simulated_seconds:,.0f} simulated seconds",
        f"{every.seconds:.1f} CPU seconds{more}; {_rate(every.seeds, tally.seconds)} seeds a second in all",
        f"digest {tally.digest:016x}: the same wherever these seeds come to the same",
    ]


def _protocols(tally: Tally) -> list[str]:
    shares = dict(sorted(tally.shares.items()))
    if len(shares) > 1:
        shares["all"] = tally.all
    lines = [
        f"{'protocol':<14}{'seeds':>9}{'rows':>11}{'requests':>13}{'CPU seconds':>14}{'requests a CPU second':>24}"
    ]
    lines += [_share(name, share) for name, share in shares.items()]
    return lines


def _share(name: str, share: Share) -> str:
    rate = _rate(share.requests, share.seconds)
    return f"{name:<14}{share.seeds:>9,}{share.rows:>11,}{share.requests:>13,}{share.seconds:>14.2f}{rate:>24}"


def _rate(count: int, seconds: float) -> str:
    rate = count / seconds if seconds > 0 else 0.0
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _counts(title: str, counts: Mapping[str, int]) -> list[str]:
    """Name and count in columns, the most frequent first."""
    found = sorted(((count, name) for name, count in counts.items() if count), key=lambda one: (-one[0], one[1]))
    if not found:
        return [f"{title}: none"]
    name_width = max(len(name) for _, name in found)
    cells = [f"{name:<{name_width}} {count:>9,}" for count, name in found]
    columns = max(1, WIDTH // (name_width + 13))
    height = -(-len(cells) // columns)
    lines = ["   ".join(cells[place::height]) for place in range(height)]
    return [title, *(f"  {line}" for line in lines)]


def _edges(tally: Tally) -> list[str]:
    """States beside events: the table of transitions, with how often each was met."""
    lines = [f"{'edges':<16}" + "".join(f"{state:>10}" for state in STATES)]
    for event, name in enumerate(EVENTS):
        cells = (_edge(tally, state, event) for state in range(len(STATES)))
        lines.append(f"  {name:<14}" + "".join(f"{cell:>10}" for cell in cells))
    return [*lines, "  (- no such edge, . never met)"]


def _edge(tally: Tally, state: int, event: int) -> str:
    count = tally.edges[state, event]
    if count:
        return f"{count:,}" if count < 10**7 else f"{count / 10**6:.1f}M"
    return "." if event in TRANSITIONS[state] else "-"


def _never(tally: Tally) -> list[str]:
    missing = unmet(tally)
    lines = wrapped("never met: ", missing) if missing else ["all faults and edges were met"]
    exempt: dict[str, list[str]] = {}
    for name, why in EXEMPT.items():
        if not tally.met[name]:
            exempt.setdefault(why, []).append(name)
    for why, names in exempt.items():
        lines += wrapped(f"exempt, for {why}: ", names)
    illegal = [edge_name(*edge) for edge in sorted(tally.edges) if edge not in EDGES]
    return lines + (wrapped("tried although there is no such edge: ", illegal) if illegal else [])


def wrapped(start: str, words: Iterable[str]) -> list[str]:
    """Write words with commas between them, in lines of at most WIDTH letters."""
    words = list(words)
    lines = [start]
    for place, word in enumerate(words):
        piece = word + (", " if place < len(words) - 1 else "")
        if len(lines[-1]) + len(piece.rstrip()) > WIDTH:
            lines.append("    ")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def as_data(tally: Tally, seeds: range, cases: Sequence[tuple[Failure, str]]) -> dict[str, Any]:
    """Return all of it as what JSON can hold; `cases` are the failures that were made small, and where they are."""
    return {
        "first": seeds.start,
        "seeds": tally.all.seeds,
        "requests": tally.all.requests,
        "rows": tally.all.rows,
        "turns": tally.turns,
        "simulated_seconds": tally.simulated_seconds,
        "cpu_seconds": tally.all.seconds,
        "cpu_seconds_to_compare": tally.more_seconds,
        "digest": f"{tally.digest:016x}",
        "protocols": {
            name: {"seeds": one.seeds, "rows": one.rows, "requests": one.requests, "cpu_seconds": one.seconds}
            for name, one in sorted(tally.shares.items())
        },
        "faults": {name: tally.met[name] for name in sorted({*tally.met, *ODDS, *OBSERVED})},
        "ended": dict(sorted(tally.ended.items())),
        "edges": {edge_name(*edge): tally.edges[edge] for edge in EDGES},
        "unmet": unmet(tally),
        "exempt": dict(EXEMPT),
        "broken": [
            {"seed": failure.case.seed, "invariant": failure.broken.invariant, "detail": failure.broken.detail}
            for failure in tally.failures
        ],
        "cases": [{"seed": failure.case.seed, "file": file} for failure, file in cases],
    }
