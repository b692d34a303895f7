"""What an honest client sees beside a crowd, as a page: the table, and a picture of how much longer it waits."""

from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..attack.page import date_of, shell
from ..attack.plots import svg_of
from ..attack.summary import duration
from .beside import COLUMNS, LEGEND, kinds_of, of_all, rows_of
from .page import FAILS, GONE, INCHES_A_SERVER, STAYS, absent

BESIDE = (
    "From how long an honest client waits without them (circle) to how long beside them (dot), blue its median and red "
    "its 99th percentile; no dot where that many were not answered at all. ✗: so many of its visits were not answered "
    "within 10 s."
)


CROWDED = 100  # times the least, from which on there is no room for 2 and 5 beside 1, 10, 100


def page_of(report: Mapping[str, Any]) -> str:
    """Return the page."""
    broken = ", interrupted" if report["interrupted"] else ""
    about = f"{date_of(report)}: {report['seconds']:g} s against each server in turn, {kinds_of(report)}{broken}"
    picture = _picture(report["servers"]) if report["servers"] else ""
    return shell(
        f"An honest client beside {report['clients']} others",
        about,
        f'<div class="wide"><table>\n{_table(report)}</table></div>\n<p class="when">{escape(LEGEND)}</p>\n'
        f'{absent(report)}<figure class="alone">{picture}'
        f'<figcaption id="beside-caption">{escape(BESIDE)}</figcaption></figure>\n',
    )


def _table(report: Mapping[str, Any]) -> str:
    heads = "".join(f'<th class="number" scope="col">{name}</th>' for name in COLUMNS[1:])
    rows = []
    for name, *cells in rows_of(report):
        tds = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{tds}</tr>\n')
    return f"<tr><td></td>{heads}</tr>\n{''.join(rows)}"


def _picture(servers: Mapping[str, Any]) -> str:
    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        for place, run in enumerate(servers.values()):
            before, during = run["probe"]["before"], run["probe"]["during"]
            for quantile, colour, shift in (("p50", GONE, -0.15), ("p99", STAYS, 0.15)):
                one, other = of_all(before, quantile), of_all(during, quantile)
                if one is not None:
                    axes.plot([one], [place + shift], "o", color=colour, markersize=4, fillstyle="none")
                if one is not None and other is not None:
                    axes.plot([one, other], [place + shift] * 2, "-", color=colour, linewidth=1)
                    axes.plot([other], [place + shift], "o", color=colour, markersize=4)
            if during["errors"]:
                part = f"✗ {100 * during['errors'] / during['visits']:.3g} %"
                axes.text(1.02, place, part, va="center", color=FAILS, fontsize=8, transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(servers)), list(servers), fontsize=8)
        axes.set_ylim(len(servers) - 0.5, -0.5)
        least, most = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if most > CROWDED * least else (1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: duration(value)))
        axes.spines[["right"]].set_visible(False)

    return svg_of(draw, "beside", 0.9 + INCHES_A_SERVER * len(servers))
