"""The pictures of a report: latency over time, how long clients survive, and what the server costs. SVG, as text."""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .probe import OK
from .summary import duration
from .survival import survivors

WIDTH, HEIGHT = 5.4, 3.3  # inches: narrow, so that its letters can be read where a phone shows it whole
FAILED = "#c0392b"
ANSWERED = "#1f5f8b"
MEMORY = "#7d3c98"
MIB = 1 << 20

Report = Mapping[str, Any]


def latency(report: Report) -> str:
    """Each visit of the honest client, when it was to begin and how long it took."""

    def draw(axes: Axes) -> None:
        answered = [(at, seconds) for at, seconds, what in report["visits"] if what == OK]
        failed = [(at, seconds) for at, seconds, what in report["visits"] if what != OK]
        axes.set_yscale("log")
        for points, colour, label in ((answered, ANSWERED, "answered"), (failed, FAILED, "failed")):
            if points:
                times = [max(seconds, 1e-5) for _, seconds in points]
                axes.plot([at for at, _ in points], times, ".", color=colour, markersize=3, label=label)
        calm = report["seconds"]["calm"]
        axes.axvline(calm, color="#888888", linewidth=0.8, linestyle="--")
        axes.annotate(
            "they come", (calm, 1), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points"
        )
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: duration(value)))
        axes.set_ylabel("an honest client waits")
        axes.set_xlabel("seconds")
        if failed:
            axes.legend(loc="lower right")

    return svg_of(draw, "latency")


def survival(report: Report) -> str:
    """Of each kind that stays, the part that is still there after so many seconds; "" where there is no such kind."""
    stay = {kind: crowd for kind, crowd in report["crowds"].items() if not crowd["returns"] and crowd["started"]}
    if not stay:
        return ""

    def draw(axes: Axes) -> None:
        for kind, crowd in stay.items():
            seconds, parts = survivors(crowd["lived"], crowd["ages"])
            axes.step(seconds, [100 * part for part in parts], where="post", label=kind)
        axes.set_ylim(-3, 103)
        axes.set_ylabel("% still there")
        axes.set_xlabel("seconds since they came")
        axes.legend(loc="best")

    return svg_of(draw, "survival")


def costs(report: Report) -> str:
    """The clients that are there and the server's memory, over time; "" where nothing of it could be read."""
    samples = [sample for sample in report["samples"] if "memory" in sample]
    if len(samples) < 2:
        return ""

    def draw(axes: Axes) -> None:
        times = [sample["at"] for sample in samples]
        axes.plot(times, [sum(sample["clients"].values()) for sample in samples], color=ANSWERED)
        axes.set_ylabel("clients", color=ANSWERED)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        other = axes.twinx()
        other.plot(times, [sample["memory"] / MIB for sample in samples], color=MEMORY)
        other.set_ylabel("the server's memory, MiB", color=MEMORY)
        other.set_ylim(bottom=0)

    return svg_of(draw, "costs")


def memory(report: Report) -> str:
    """The server's memory against the clients that are there; "" where nothing of it could be read."""
    samples = [sample for sample in report["samples"] if "memory" in sample]
    if len(samples) < 2:
        return ""

    def draw(axes: Axes) -> None:
        clients = [sum(sample["clients"].values()) for sample in samples]
        sizes = [sample["memory"] / MIB for sample in samples]
        axes.plot(clients, sizes, "-", color=MEMORY, linewidth=0.6, alpha=0.5)
        axes.plot(clients, sizes, ".", color=MEMORY, markersize=4)
        axes.set_xlabel("clients")
        axes.set_ylabel("the server's memory, MiB")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    return svg_of(draw, "memory")


def svg_of(draw: Callable[[Axes], None], name: str, height: float = HEIGHT) -> str:
    """Draw, and return what stands within a page: no prologue, letters as letters, and the same for the same report."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10, "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.spines[["top"]].set_visible(False)
        draw(axes)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg role="img" aria-labelledby="{name}" viewBox="\1">', svg)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg.replace("xlink:href", "href"))
    return svg.replace(f'aria-labelledby="{name}"', f'aria-labelledby="{name}-caption"')
