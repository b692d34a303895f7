"""`partway bench WHAT`: partway beside its peers, in one run, on one machine, under one load.

A figure alone says little: the bare loop took 4.4 and 7.4 µs a request on one shared machine within
one minute, in spells of about a second. So the servers take turns (A B C A B C ...), some 25 ms
each, a server's figure is the least of its turns, and what counts is the ratio: from run to run it
moves by 3 % either way (5 % with turns of 250 ms), and by 10 % for C, which is as fast as its load
and so finds now 5 and now 48 requests in a poll.

`echo` is CPU time a request, `memory` what a connection costs that says nothing. Only public tools
are needed: Linux, Python, and for some peers `cc` and uvloop; if one is missing the report says so.
"""

import argparse
import json
import os
import platform
import resource
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from .figures import (
    ECHO_COLUMNS,
    MEMORY_COLUMNS,
    Reasons,
    Report,
    add_ratios,
    echo_row,
    memory_row,
    table,
)
from .measure import (
    PEERS,
    Bench,
    Server,
    UnableError,
    Usage,
    compile_c,
    exact_nanoseconds,
    version_of,
)

SERVERS = ("partway", "bare", "uvloop", "c")
SPARE_DESCRIPTORS = 100  # what a process needs beside its connections
SLICE_REQUESTS = 5_000  # some 25 ms: short beside the seconds for which a machine runs slower
Figure = TypeVar("Figure")
Started = AbstractContextManager[Callable[[int], Usage]]


class _Parser(argparse.ArgumentParser):
    """A wrong option is one clear line and exit 2, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"not a number from {least} to {most}: {text!r}")
        return int(text)

    return read


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in SERVERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SERVERS)}")
    return names


def _writable(text: str) -> Path:
    try:
        with Path(text).open("a"):
            return Path(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot be written: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="partway bench", description="partway beside its peers, in one run")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="echo|memory")
    echo = kinds.add_parser("echo", help="CPU time of the server for one echoed message")
    add = echo.add_argument
    add("--requests", type=_number(1, 10**6), default=50_000, help="counted in each round")
    add("--connections", type=_number(1, 10_000), default=50)
    add("--size", type=_number(1, 32_768), default=64, help="bytes in a message")
    add("--rounds", type=_number(1, 100), default=5, help="turns of each; 20 on a busy machine")
    silent = kinds.add_parser("memory", help="memory of the server for one silent connection")
    silent.add_argument("--connections", type=_number(5, 100_000), default=10_000)
    for kind, only in (echo, SERVERS), (silent, SERVERS[:2]):
        add = kind.add_argument
        add("--python", action="append", metavar="PATH", help="repeatable; default: this one")
        add("--only", type=_names, default=list(only), help=f"default: {','.join(only)}")
        add("--json", type=_writable, metavar="FILE", help="write all figures there too")
    return parser


def find_servers(options: argparse.Namespace, folder: str) -> tuple[list[Server], Reasons]:
    """The servers to be measured, and why some of them can't be."""
    servers, reasons = [], {}
    for python in dict.fromkeys(options.python or [sys.executable]):
        version = version_of(python)
        for name in options.only:
            if name != "c":
                command = (python, str(PEERS / f"echo_{name}.py"))
                servers.append(Server(name, command, python, version))
    if "c" in options.only:
        try:
            servers.append(Server("c", (compile_c("echo_epoll", folder),)))
        except UnableError as reason:
            reasons[Server("c", ())] = str(reason)
    return servers, reasons


class Tally(Generic[Figure]):
    """The figures of each server. One that fails once is out: its others are a broken one's."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.figures: dict[Server, list[Figure]] = {server: [] for server in servers}
        self.reasons: Reasons = {}

    @contextmanager
    def excluding(self, server: Server) -> Iterator[None]:
        """Work for one server, whose failure shall not end the others' bench."""
        try:
            yield
        except UnableError as reason:
            self.reasons[server] = str(reason)
            del self.figures[server]


def slices_of(requests: int, connections: int) -> list[int]:
    """How many requests each slice of a round has: some for every connection."""
    each = max(SLICE_REQUESTS, 10 * connections)
    if not exact_nanoseconds(Path("/proc/self")):
        each = requests  # ticks are too coarse for less
    return [min(each, requests - begun) for begun in range(0, requests, each)]


def echo_round(tally: Tally[Usage], start: Callable[[Server], Started], slices: list[int]) -> None:
    """Fresh processes, warmed up by the first slice; then A B C A B C ..., a slice at a time."""
    with ExitStack() as processes:
        works = {}
        for server in list(tally.figures):
            with tally.excluding(server):
                works[server] = processes.enter_context(start(server))
                works[server](slices[0])
        for requests in slices[1:]:
            for server in list(tally.figures):
                with tally.excluding(server):
                    tally.figures[server].append(works[server](requests))


def bench_echo(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server for a request."""
    servers, missing = find_servers(options, bench.folder)
    tally: Tally[Usage] = Tally(servers)
    load, slices = bench.find_load(), slices_of(options.requests, options.connections)
    warmup = max(options.connections, options.requests // 5)

    def start(server: Server) -> Started:
        return bench.echo(server, load, options.connections, options.size)

    for _ in range(options.rounds):
        echo_round(tally, start, [warmup, *slices])
    rows = [echo_row(server, usages) for server, usages in tally.figures.items()]
    about = (
        f"The server's CPU time for one request of {options.size} bytes, {options.connections}"
        f" connections, load in {'Python' if len(load) > 1 else 'C'}.\n"
        f"least, median: of {options.rounds} x {len(slices)} slices of {slices[0]} requests"
        f" ({warmup} before, to warm up).\n"
        "system: the kernel's share. sleeps: waits with nothing to do, a request."
    )
    return Report(about, add_ratios(rows), ECHO_COLUMNS, missing | tally.reasons)


def bench_memory(options: argparse.Namespace, bench: Bench) -> Report:
    """Memory of each server for a silent connection."""
    servers, missing = find_servers(options, bench.folder)
    marks = [options.connections * fifths // 5 for fifths in (1, 3, 5)]
    tally: Tally[dict[str, int]] = Tally(servers)
    for server in servers:
        with tally.excluding(server):
            tally.figures[server] = bench.memory(server, marks)
    between = marks[-1] - marks[0]
    rows = [memory_row(server, sizes, between) for server, sizes in tally.figures.items()]
    about = (
        "The server's anonymous resident memory; what the kernel holds for it is not in it.\n"
        f"empty: no connection. full: {marks[-1]} silent ones."
        f" each: for one, from {marks[0]} to {marks[-1]}."
    )
    return Report(about, add_ratios(rows), MEMORY_COLUMNS, missing | tally.reasons)


def surroundings(bench: Bench) -> dict[str, str]:
    """What a reader must know before comparing with another report."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pinned = f"server to core {bench.server_core}, load to core {bench.load_core}"
    if bench.server_core == bench.load_core:
        pinned += " (one for both: they disturb each other)"
    return {
        "machine": f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "pinned": pinned,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


@contextmanager
def orderly(connections: int) -> Iterator[Bench]:
    """A bench of which no process and no file is left afterwards, also after Ctrl-C or SIGTERM."""
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_DESCRIPTORS
    if needed > hard != resource.RLIM_INFINITY:
        raise UnableError(f"{connections} connections are too many for {hard} descriptors")
    cores = os.sched_getaffinity(0)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if needed > soft != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))  # servers inherit it
        with tempfile.TemporaryDirectory(prefix="partway-bench-") as folder:
            bench = Bench(folder)
            os.sched_setaffinity(0, {bench.load_core})
            yield bench
    finally:
        os.sched_setaffinity(0, cores)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        signal.signal(signal.SIGTERM, handler)


def tell(report: Report, facts: dict[str, str], options: argparse.Namespace) -> None:
    """Print the report, and write it as JSON if that was wanted."""
    print(report.about, "", *table(report.rows, report.columns), "", sep="\n")
    for server, reason in report.reasons.items():
        print(f"without {server.name} {server.version}".rstrip() + f": {reason}")
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if options.json is not None:
        reasons = [asdict(server) | {"reason": why} for server, why in report.reasons.items()]
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        whole = {"facts": facts, "options": settings, "servers": report.rows, "without": reasons}
        options.json.write_text(json.dumps(whole, indent=2) + "\n")


def main(argv: list[str]) -> int:
    """Run one benchmark. 0: done; 1: partway has no figure; 2: asked wrongly; 130: interrupted."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if sys.platform != "linux":
        print("partway bench: only Linux has what it reads and pins with", file=sys.stderr)
        return 2
    try:
        with orderly(options.connections) as bench:
            report = (bench_echo if options.what == "echo" else bench_memory)(options, bench)
            facts = surroundings(bench)
    except UnableError as reason:
        print(f"partway bench: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("partway bench: interrupted", file=sys.stderr)
        return 130
    facts["again"] = shlex.join(["partway", "bench", *argv])
    tell(report, facts, options)
    failed = not report.rows or any(server.name == "partway" for server in report.reasons)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
