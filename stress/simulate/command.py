"""`partway stress simulate`: many seeds and a report, small cases of what is broken, and their replay.

    partway stress simulate --seeds 1000 --jobs 2
    partway stress simulate --replay partway-17.json --step

Exit codes: 0 where all holds, 1 where something is broken (with `--all-met`, where something was never met too), 2 for
a mistake, 130 when it was interrupted.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

from ..options import Parser, names, number, writable
from .case import Case, draw
from .many import Failure, Tally, tallies
from .protocols import PROTOCOLS
from .replay import TURNS_SHOWN, Block, Replay, about
from .report import as_data, report, unmet, wrapped
from .shrink import Shrinking, size_of

SEEDS = 200
SEEDS_MOST = 10**9
CASES_MOST = 5  # that are made small: one for each invariant
REPLAY_LINES = 15  # of a small case, in the report
SEEDS_SHOWN = 12
INTERRUPTED = 130
NAME = "partway stress simulate"


def main(words: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = _parser()
    options = parser.parse_args(words)
    _check(parser, options)
    try:
        return _replay(parser, options) if options.replay is not None else _Batch(options).run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # nobody reads on, or the disk is full
        try:
            sys.stdout.flush()
        except OSError:  # nothing more can be told, and at exit Python must not try
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        parser.exit(1, "" if isinstance(error, BrokenPipeError) else f"{NAME}: {error}\n")


def _parser() -> Parser:
    about = "Servers and their clients, simulated from seeds, with faults. A failure is a seed and a commit."
    parser = Parser(prog=NAME, description=about, allow_abbrev=False)
    add = parser.add_argument
    add("--seeds", type=number(1, SEEDS_MOST), metavar="N", help=f"how many (default: {SEEDS}; with --seconds: any)")
    add("--first", type=number(0, SEEDS_MOST), default=0, metavar="SEED", help="the first (default: 0)")
    add("--seconds", type=number(1, 10**6), metavar="N", help="begin no seed after so many CPU seconds")
    add("--jobs", type=number(1, 256), default=1, metavar="N", help="processes (default: 1)")
    known = ", ".join(PROTOCOLS)
    add("--only", type=names(tuple(PROTOCOLS)), metavar="NAME,...", help=f"protocols, of {known} (default: all)")
    add("--json", type=writable, metavar="FILE", help="write all figures there, too")
    add("--all-met", action="store_true", help="exit 1 where a fault or an edge was never met")
    add("--no-shrink", action="store_true", help="keep a failing case as it was drawn")
    add("--cases", type=_folder, default=Path(), metavar="DIR", help="where failing cases go (default: this folder)")
    add("--replay", metavar="FILE|SEED", help="replay a case turn by turn")
    add("--turns", type=number(1, 10**9), metavar="N", help=f"show the last ones of a replay (default: {TURNS_SHOWN})")
    add("--step", action="store_true", help="with --replay: wait for Enter after each turn")
    return parser


def _folder(text: str) -> Path:
    path = Path(text)
    if "\0" in text or not path.is_dir():
        raise argparse.ArgumentTypeError(f"no folder: {text!r}")
    return path


def _check(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse options that say nothing together."""
    replaying = options.replay is not None
    for name in ("seeds", "first", "seconds", "jobs", "json", "all_met", "no_shrink", "cases"):
        if replaying and getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} says nothing of a replay")
    for name in ("turns", "step"):
        if not replaying and getattr(options, name):
            parser.error(f"--{name} needs --replay")
    if options.step and options.turns:
        parser.error("--step shows all turns: --turns is not for it")


# Many seeds.


class _Batch:
    """One call: seeds, a report, and what was broken."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.protocols = options.only or list(PROTOCOLS)
        count = options.seeds or (SEEDS_MOST if options.seconds else SEEDS)
        self.seeds = range(options.first, options.first + count)
        self.of = "" if count == SEEDS_MOST else f" of {count:,}"
        self.tally = Tally()
        self.progress = Progress()
        self.interrupted = False
        self.cases: list[tuple[Failure, str]] = []

    def run(self) -> int:
        """Do all of it; return the exit code."""
        lost = self._run_seeds()
        self.progress.clear()
        for line in report(self.tally, self.seeds):
            print(line)
        if self.interrupted:
            print(f"\ninterrupted: {self.tally.all.seeds:,}{self.of} seeds were run")
        if lost:
            print("\nBROKEN: a process that ran seeds has died")
        sys.stdout.flush()
        self._tell_failures()
        if self.options.json:
            data = as_data(self.tally, self.seeds, self.cases)
            self.options.json.write_text(json.dumps(data, indent=1) + "\n")
        if self.interrupted:
            return INTERRUPTED
        return 1 if lost or self.tally.failures or (self.options.all_met and unmet(self.tally)) else 0

    def _run_seeds(self) -> bool:
        """Run seeds until there are no more, or their time is over. True where a process has died."""
        try:
            with closing(tallies(self.seeds, self.protocols, self.options.jobs)) as parts:
                for part in parts:
                    self.tally.add(part)
                    self._show_progress()
                    if self.options.seconds and self.tally.seconds >= self.options.seconds:
                        break
        except KeyboardInterrupt:
            self.interrupted = True
        except BrokenProcessPool:
            return True
        return False

    def _show_progress(self) -> None:
        tally = self.tally
        broken = f", {len(tally.failures)} broken" if tally.failures else ""
        requests, seconds = f"{tally.all.requests:,} requests", f"{tally.seconds:.0f} CPU seconds"
        self.progress.show(f"{tally.all.seeds:,}{self.of} seeds, {requests}, {seconds}{broken}")

    def _tell_failures(self) -> None:
        """Show each invariant that was broken, by its smallest crowd."""
        groups: dict[str, list[Failure]] = {}
        for failure in self.tally.failures:
            groups.setdefault(failure.broken.invariant, []).append(failure)
        for place, (invariant, failures) in enumerate(groups.items()):
            seeds = sorted(failure.case.seed for failure in failures)
            shown = [str(seed) for seed in seeds[:SEEDS_SHOWN]] + ["..."] * (len(seeds) > SEEDS_SHOWN)
            print(f"\nBROKEN: {invariant}")
            for line in wrapped(f"  {len(seeds):,} of {self.tally.all.seeds:,} seeds: ", shown):
                print(line)
            if place < CASES_MOST:
                self._tell_case(min(failures, key=lambda failure: (len(failure.case.crowd), failure.case.seed)))
            else:
                print(f"  {failures[0].broken.detail}")

    def _tell_case(self, failure: Failure) -> None:
        """Make a case small, write it down, and show how it ends."""
        drawn = failure.case
        print(f"  seed {drawn.seed}: {drawn.protocol}, {size_of(drawn)}", flush=True)
        if not (self.options.no_shrink or self.interrupted):
            failure = self._shrunk(failure)
        print(f"  {failure.broken.detail}")
        path = self.options.cases / f"partway-{drawn.seed}.json"
        try:
            path.write_text(json.dumps(json.loads(failure.case.to_json()), indent=1) + "\n")
        except OSError as error:
            print(f"  the case cannot be written: {error}")
            return
        self.cases.append((failure, str(path)))
        if not self.interrupted:
            print("  the end of its replay:")
            for line in Replay(failure.case).tail(TURNS_SHOWN)[-REPLAY_LINES:]:
                print(f"  | {line}")
        print(f"  replay it: {NAME} --replay {path}", flush=True)

    def _shrunk(self, failure: Failure) -> Failure:
        shrinking = Shrinking(*failure, tell=self._show_shrinking)
        try:
            shrinking.shrink()
        except KeyboardInterrupt:
            self.interrupted = True
        self.progress.clear()
        print(f"  shrunk to {size_of(shrinking.case)} in {shrinking.runs} runs")
        return Failure(shrinking.case, shrinking.broken)

    def _show_shrinking(self, shrinking: Shrinking) -> None:
        self.progress.show(f"shrinking, run {shrinking.runs}: {size_of(shrinking.case)}")


class Progress:
    """One line on stderr, written over and over, where that is a terminal."""

    def __init__(self) -> None:
        self._shows = sys.stderr is not None and sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Show a line in place of the last one."""
        if self._shows:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take it away."""
        self.show("")


# A replay.


def _replay(parser: Parser, options: argparse.Namespace) -> int:
    case = _case(parser, options)
    replay = Replay(case)
    for line in about(case):
        print(line)
    print()
    if options.step:
        _step(replay)
    else:
        for line in replay.tail(options.turns or TURNS_SHOWN):
            print(line)
    return 1 if replay.broken else 0


def _case(parser: Parser, options: argparse.Namespace) -> Case:
    """Read a case, or draw it from a seed."""
    text: str = options.replay
    if text.isascii() and text.isdecimal():
        if len(text) > len(str(SEEDS_MOST)):
            parser.error(f"--replay: no seed is as large as {text[:20]}...")
        return draw(int(text), options.only or list(PROTOCOLS))
    if options.only:
        parser.error("--only says nothing of a case in a file")
    try:
        return Case.from_json(Path(text).read_text())
    except (OSError, ValueError) as error:
        parser.error(f"--replay {text}: {error.strerror if isinstance(error, OSError) else error}")


def _step(replay: Replay) -> None:
    """Show each turn, and wait after it where somebody can press Enter."""
    waits, until = sys.stdin is not None and sys.stdin.isatty(), 0
    if waits:
        print("Enter: the next turn; a number: on to that turn; q: the end\n")
    for block in replay.blocks():
        print("\n".join(block.lines()), flush=True)
        if waits and block.last.number >= until:
            answer = _answer(block)
            if answer is None:
                return
            until = answer
    for line in replay.verdict():
        print(line)


def _answer(block: Block) -> int | None:
    """Ask how to go on: return the turn to wait at next, None to end."""
    try:
        text = input(f"[{block.last.number}] ").strip()
    except EOFError:
        return None
    if text.isdecimal():
        return int(text)
    return None if text.startswith("q") else 0
