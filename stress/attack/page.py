"""The report as a page: one file that needs no other, reads well on a phone, and prints."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from . import plots
from .latency import QUANTILES
from .summary import duration, outcomes_of
from .survival import half_gone

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 72rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 .5rem; }
p { margin: .25rem 0; }
.when { color: #555; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
table.sides { max-width: 26rem; }
.plots { display: grid; gap: 1rem; margin-top: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; break-inside: avoid; }
figure.alone { max-width: 44rem; }
figcaption { color: #555; font-size: .9rem; }
svg { width: 100%; height: auto; }
.worse { color: #b03024; font-weight: 600; }
@media (max-width: 40rem) { table { font-size: .85rem; } th, td { padding-right: .4rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } }
"""

CAPTIONS = {
    "latency": "An honest client, on a connection of its own each time: when it came, and how long it waited.",
    "survival": "How long slow clients are let live. A server that is on its guard lets this fall to nothing.",
    "costs": "The clients that are there, and the memory of the server's processes.",
    "memory": "What a client costs: memory of the server's processes against the clients that are there.",
}


def page_of(report: Mapping[str, Any]) -> str:
    """Return the page."""
    kinds = ", ".join(report["crowds"])
    title = f"{kinds if len(report['crowds']) < 4 else 'A mixed attack'} against {report['target']}"
    drawn = {
        "latency": plots.latency(report),
        "survival": plots.survival(report),
        "costs": plots.costs(report),
        "memory": plots.memory(report),
    }
    figures = "".join(
        f'<figure>{svg}<figcaption id="{name}-caption">{CAPTIONS[name]}</figcaption></figure>\n'
        for name, svg in drawn.items()
        if svg
    )
    return shell(
        title,
        _when(report),
        f"<h2>What an honest client sees</h2>\n{_honest(report['probe'])}"
        f'<div class="plots">\n{figures}</div>\n'
        f"<h2>What becomes of the others</h2>\n{_others(report['crowds'])}",
    )


def shell(title: str, about: str, body: str) -> str:
    """Return a page around a body, which is HTML; title and about are plain words."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="when">{escape(about)}</p>\n{body}</body>\n</html>\n'
    )


def date_of(report: Mapping[str, Any]) -> str:
    """Write when it was."""
    date: str = report["date"]
    return date.replace("T", " ").replace("+00:00", " UTC")


def _when(report: Mapping[str, Any]) -> str:
    seconds = report["seconds"]
    broken = f", interrupted after {report['lasted']:.1f} s" if report["interrupted"] else ""
    return f"{date_of(report)}: {seconds['attack']:g} s after {seconds['calm']:g} s of calm{broken}"


def _honest(probe: Mapping[str, Any]) -> str:
    sides = [probe["before"], probe["during"]]
    rows = _row("visits", [str(side["visits"]) for side in sides]) + _row("failed", [_failed(side) for side in sides])
    for name in (*QUANTILES, "max"):
        rows += _row(name, ["–" if side[name] is None else duration(side[name]) for side in sides])
    head = "".join(f'<th class="number" scope="col">{name}</th>' for name in ("without them", "beside them"))
    failures = ", ".join(f"{count} {what}" for what, count in probe["during"]["failures"].items())
    told = f"<p>Failed: {escape(failures)}.</p>\n" if failures else ""
    return f'<table class="sides">\n<tr><td></td>{head}</tr>\n{rows}</table>\n{told}'


def _row(name: str, cells: Sequence[str]) -> str:
    figures = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{name}</th>{figures}</tr>\n'


def _failed(figures: Mapping[str, Any]) -> str:
    return f'<span class="worse">{figures["errors"]}</span>' if figures["errors"] else "0"


def _others(crowds: Mapping[str, Mapping[str, Any]]) -> str:
    rows = "".join(_kind(kind, crowd) for kind, crowd in crowds.items())
    head = (
        '<th scope="col">kind</th><th class="number" scope="col">clients</th><th scope="col">what became of them</th>'
    )
    lived = '<th class="number" scope="col">half gone within</th>'
    return f'<div class="wide"><table>\n<tr>{head}{lived}</tr>\n{rows}</table></div>\n'


def _kind(kind: str, crowd: Mapping[str, Any]) -> str:
    told = "; ".join(_sentences(crowd))
    seconds = None if crowd["returns"] else half_gone(crowd["lived"], crowd["ages"])
    half = "–" if crowd["returns"] else "not by the end" if seconds is None else f"{seconds:.1f} s"
    return (
        f'<tr><th scope="row">{escape(kind)}</th><td class="number">{crowd["started"]}</td>'
        f'<td>{told}</td><td class="number">{half}</td></tr>\n'
    )


def _sentences(crowd: Mapping[str, Any]) -> Iterator[str]:
    if outcomes_of(crowd):
        yield escape(outcomes_of(crowd))
    if crowd["statuses"]:
        yield "told " + escape(", ".join(f"{count} × {status}" for status, count in crowd["statuses"].items()))
    if crowd["unable"]:
        yield f'<span class="worse">no more could begin: {escape(crowd["unable"])}</span>'
