"""`partway stress scorecard`: what slow clients get of many servers, side by side.

    partway stress scorecard --seconds 180 --html card.html
    partway stress scorecard --beside 19000

Of the servers, those run that are installed in this environment. Exit codes: 0, 1 where no server could be started,
2 for a mistake, 130 when it was interrupted; what was seen until then is reported all the same.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...engine import Reactor
from ..options import Parser, names, number, writable
from . import beside, card, words
from .servers import ENTRIES, Entry, make_site, version_of

NAME = "partway stress scorecard"
INTERRUPTED = 130
ABSENT = "not installed"


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.kinds and not options.beside:
        parser.error("--kinds needs --beside: a card has a column for each kind")
    entries, missing = _entries(options.only)
    with _scratch() as folder, _progress() as tell:
        site = make_site(folder / "site")
        reactor = Reactor()
        try:
            run: card.Card | beside.Beside
            if options.beside:
                seconds = options.seconds or beside.SECONDS
                order = beside.Order(entries, options.beside, seconds, options.kinds, options.eager)
                run = beside.Beside(order, reactor, folder, site, tell)
            else:
                order_of_all = card.Order(entries, options.clients, options.seconds or card.SECONDS, options.eager)
                run = card.Card(order_of_all, reactor, folder, site, tell)
            with _interrupted_by(run.interrupt):
                report = run.go()
        finally:
            reactor.close()
    report["missing"] = missing | report["missing"]
    return _tell(report, options)


def _parser() -> Parser:
    known = [entry.name for entry in ENTRIES]
    usual = [entry.name for entry in ENTRIES if not entry.rare]
    rare = [entry.name for entry in ENTRIES if entry.rare]
    parser = Parser(
        prog=NAME,
        description="What slow clients get of many servers, side by side, each with the settings that it has when "
        "nobody says anything. Those run that are installed: pip install 'partway[scorecard]'.",
        epilog=f"servers: {', '.join(usual)}; and, for who asks for them, {', '.join(rare)}",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--only", type=names(known), default=usual, metavar="NAME,...", help="these servers (default: see below)")
    add("--clients", type=number(1, 1000), default=10, metavar="N", help="of each kind, at each server (default: 10)")
    add("--seconds", type=number(1, 86_400), metavar="N", help="of the attack (default: 180; with --beside 40)")
    add(
        "--beside",
        type=number(1, 100_000),
        metavar="N",
        help="instead of all that: what an honest client sees beside N of all kinds, one server at a time",
    )
    add("--kinds", type=names(beside.KINDS), metavar="KIND,...", help="with --beside: of these kinds (default: of all)")
    add("--eager", action="store_true", help="attackers take processor time from the servers, too")
    add("--json", type=writable, metavar="FILE", help="write all that was seen there, too")
    add("--html", type=writable, metavar="FILE", help="write a page with pictures there")
    return parser


def _entries(wanted: Sequence[str]) -> tuple[dict[Entry, str], dict[str, str]]:
    """Return the servers that are here, with their versions, and the others with the reason."""
    found, missing = {}, {}
    for entry in ENTRIES:
        if entry.name in wanted:
            version = version_of(entry)
            if version is None:
                missing[entry.name] = ABSENT
            else:
                found[entry] = version
    return found, missing


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="partway-scorecard-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # a server that root has started may serve as somebody else
        yield folder


@contextmanager
def _interrupted_by(interrupt: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C, and a wish to end, end it in order: no server is left behind."""
    before = {number: signal.signal(number, lambda *_: interrupt()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number_, handler in before.items():
            signal.signal(number_, handler)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on stderr what goes on, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda line: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _tell(report: dict[str, Any], options: argparse.Namespace) -> int:
    say = beside.lines_of if options.beside else words.lines_of
    for line in say(report):
        print(line)
    if options.json is not None:
        options.json.write_text(json.dumps(report) + "\n")
    if options.html is not None:
        from . import beside_page, page  # matplotlib takes a second to be imported

        options.html.write_text((beside_page if options.beside else page).page_of(report))
    if report["interrupted"]:
        return INTERRUPTED
    if not report["servers"]:
        print(f"{NAME}: no server could be started", file=sys.stderr)
        return 1
    return 0
