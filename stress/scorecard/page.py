"""The card as a page: one file with the tables, and a picture of each kind."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from matplotlib.axes import Axes

from ..attack.page import date_of, shell
from ..attack.plots import svg_of
from .words import Cell, cell_of

GONE, STAYS, FAILS = "#1f5f8b", "#c0392b", "#b03024"
INCHES_A_SERVER = 0.24
Report = Mapping[str, Any]
LEGEND = (
    "Blue: from when the first client was cut off to when the last was. Red: some were there to the end. ✗: so many of "
    "an honest client's visits were not answered within 10 s."
)
LONG_AGO = 2.0  # a picture shows at least so many seconds


def page_of(report: Report) -> str:
    """Return the page."""
    title = f"Slow clients, {report['seconds']:g} s"
    broken = ", interrupted" if report["interrupted"] else ""
    about = (
        f"{date_of(report)}: {report['clients']} clients of each kind, at each server{broken}. "
        "After how long are they cut off?"
    )
    pictures = "".join(
        f'<figure><figcaption id="{kind}-caption"><strong>{kind}</strong></figcaption>{picture}</figure>\n'
        for kind, picture in _pictures(report)
    )
    return shell(
        title,
        about,
        f'<div class="wide"><table>\n{"".join(_rows(report))}</table></div>\n{absent(report)}'
        f'<h2>The same as pictures</h2>\n<p class="when">{escape(LEGEND)}</p>\n<div class="plots">\n{pictures}</div>\n',
    )


def absent(report: Report) -> str:
    """Return the servers that could not be run, with the reasons, as HTML."""
    lines = "".join(f"<li>{escape(name)}: {escape(why)}</li>\n" for name, why in report["missing"].items())
    return f"<p>Not on the card:</p>\n<ul>\n{lines}</ul>\n" if lines else ""


def _rows(report: Report) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{kind}</th>' for kind in report["kinds"])
    yield f"<tr><td></td>{heads}</tr>\n"
    for name, cells in report["servers"].items():
        version = f'<span class="when">{escape(report["versions"][name])}</span>'
        tds = "".join(_cell(cells.get(kind)) for kind in report["kinds"])
        yield f'<tr><th scope="row">{escape(name)} {version}</th>{tds}</tr>\n'


def _cell(figures: Report | None) -> str:
    if figures is None:
        return "<td>–</td>"
    cell = cell_of(figures)
    lived, _, failed = cell.text.partition(", ✗")
    if cell.stay:
        lived = f'<span class="worse">{lived}</span>'
    return f"<td>{lived}{f'<br>✗{failed}' if failed else ''}</td>"


def _pictures(report: Report) -> Iterator[tuple[str, str]]:
    for kind in report["kinds"]:
        cells = {name: cell_of(found[kind]) for name, found in report["servers"].items() if kind in found}
        if cells:
            yield kind, _picture(kind, cells, max(LONG_AGO, report["seconds"]))


def _picture(kind: str, cells: Mapping[str, Cell], seconds: float) -> str:
    def draw(axes: Axes) -> None:
        for place, cell in enumerate(cells.values()):
            first, last = cell.first or 0.0, cell.last or 0.0
            if cell.first is not None:
                axes.barh(place, last, color=GONE, height=0.3, alpha=0.35, zorder=2)
                axes.barh(place, max(last - first, seconds / 150), left=first, color=GONE, height=0.6, zorder=3)
            if cell.stay:
                height = 0.6 * cell.stay / cell.came
                axes.barh(place, seconds - last, left=last, color=STAYS, height=height, alpha=0.75, zorder=2)
            if cell.failed:
                axes.text(seconds * 1.02, place, f"✗ {100 * cell.failed:.0f} %", va="center", color=FAILS, fontsize=8)
        axes.set_axisbelow(True)
        axes.set_yticks(range(len(cells)), list(cells), fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, seconds)
        axes.set_xlabel("seconds")
        axes.spines[["right"]].set_visible(False)

    return svg_of(draw, kind, 0.9 + INCHES_A_SERVER * len(cells))
