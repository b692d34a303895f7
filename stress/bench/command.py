"""`partway bench WHAT`: partway beside its peers, in one run, on one machine, under one load.

A figure alone says little: the bare loop took 4.4 and 7.4 µs a request on one shared machine within
one minute, in spells of about a second. So the servers take turns (A B C A B C ...), some 25 ms
each, a server's figure is the best of its turns, and what counts is the ratio: from run to run it
moves by 3 % either way (5 % with turns of 250 ms), and by 10 % for C, which is as fast as its load
and so finds now 5 and now 48 requests in a poll.

`echo` and `http` are CPU time a request, `download` how much a second of CPU time sends, `memory`
what a connection costs that says nothing, or half a head. `rows` is partway alone: tables of a
thousand rows to a million, whose sizes take turns too; it fails where a turn's cost grows by more
than caches explain. `datagrams` is an echo over UDP, `exchanges` partway alone with up to a million
half-done ones on one socket. `forks` is CPU time where a child answers.
Only public tools are needed: Linux, Python, and for some peers `cc`, uvloop and nginx; if one is
missing the report says so.
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
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ..options import Parser, names, number, writable
from .beside import (
    DOWNLOAD_CACHES,
    ECHO_SERVERS,
    HTTP_CACHES,
    MEMORY_SERVERS,
    OURS,
    bench_download,
    bench_echo,
    bench_http,
    bench_memory,
)
from .datagrams import DATAGRAM_SERVERS, DNS_SERVERS, ON_THEIR_WAY_MOST, bench_datagrams, bench_dns, bench_exchanges
from .figures import Report, table
from .forks import FORK_SERVERS, FORKS_MOST, bench_forks
from .measure import Bench, UnableError
from .tables import bench_rows

SPARE_DESCRIPTORS = 100  # what a process needs beside its connections
BENCHES = {
    "echo": bench_echo,
    "memory": bench_memory,
    "http": bench_http,
    "download": bench_download,
    "rows": bench_rows,
    "datagrams": bench_datagrams,
    "exchanges": bench_exchanges,
    "dns": bench_dns,
    "forks": bench_forks,
}


def _numbers(least: int, most: int) -> Callable[[str], list[int]]:
    one = number(least, most)
    return lambda text: sorted({one(word) for word in text.split(",")})


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="partway bench", description="partway beside its peers, in one run")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="|".join(BENCHES))
    echo = kinds.add_parser("echo", help="CPU time of the server for one echoed message")
    _add_load(echo, requests=50_000, connections=50)
    echo.add_argument("--size", type=number(1, 32_768), default=64, help="bytes in a message")
    _add_common(echo, ECHO_SERVERS, ECHO_SERVERS)
    silent = kinds.add_parser("memory", help="memory of the server for one silent connection")
    silent.add_argument("--connections", type=number(5, 100_000), default=10_000)
    _add_common(silent, MEMORY_SERVERS, MEMORY_SERVERS[:3])
    http = kinds.add_parser("http", help="CPU time of the server for one small file")
    _add_load(http, requests=20_000, connections=50)
    http.add_argument("--size", type=number(1, 1024 * 1024), default=1024, help="bytes in the file")
    http.add_argument("--heads", type=number(1, 5_000), default=1, help="how many different ones are sent, in turn")
    _add_common(http, list(HTTP_CACHES), list(HTTP_CACHES))
    download = kinds.add_parser("download", help="how much of a large file the server sends in a CPU second")
    _add_load(download, requests=20, connections=4)
    download.add_argument("--mib", type=number(1, 1024), default=100, help="MiB in the file")
    _add_common(download, list(DOWNLOAD_CACHES), list(DOWNLOAD_CACHES))
    rows = kinds.add_parser("rows", help="what a turn costs, and what a row takes, in tables of several sizes")
    sizes = [10**3, 10**4, 10**5, 10**6]
    rows.add_argument("--rows", type=_numbers(1, 10**6), default=sizes, help="with commas; default: 1000 to 1000000")
    rows.add_argument("--active", type=number(1, 256), default=100, help="rows that are active in each turn")
    rows.add_argument("--turns", type=number(1, 200), default=50, help="with the same rows, then with others")
    rows.add_argument("--rounds", type=number(1, 20), default=10, help="of so many turns each")
    _add_json(rows)
    datagrams = kinds.add_parser("datagrams", help="CPU time of the server for one echoed datagram")
    _add_load(datagrams, requests=50_000, connections=50, most=ON_THEIR_WAY_MOST)
    datagrams.add_argument("--size", type=number(1, 32_768), default=64, help="bytes in a datagram")
    _add_common(datagrams, DATAGRAM_SERVERS, DATAGRAM_SERVERS)
    dns = kinds.add_parser("dns", help="CPU time of the server for one answer over UDP")
    _add_load(dns, requests=5_000, connections=20, most=ON_THEIR_WAY_MOST)
    dns.add_argument("--names", type=number(1, 1_000), default=100, help="in the zone")
    _add_common(dns, DNS_SERVERS, DNS_SERVERS)
    forks = kinds.add_parser("forks", help="CPU time of the server and its children where a child answers")
    _add_load(forks, requests=500, connections=8, most=FORKS_MOST)
    forks.add_argument("--size", type=number(2, 32_768), default=64, help="bytes in a line")
    _add_common(forks, FORK_SERVERS, FORK_SERVERS)
    exchanges = kinds.add_parser("exchanges", help="half-done exchanges on one UDP socket: a thousand to a million")
    exchanges.add_argument(
        "--rows", type=_numbers(1, 10**6), default=sizes, help="with commas; default: 1000 to 1000000"
    )
    exchanges.add_argument("--requests", type=number(1, 10**6), default=5_000, help="datagrams in each round")
    exchanges.add_argument("--rounds", type=number(1, 100), default=10, help="turns of each")
    exchanges.add_argument("--size", type=number(8, 1024), default=64, help="bytes in a datagram")
    _add_json(exchanges)
    return parser


def _add_load(parser: argparse.ArgumentParser, requests: int, connections: int, most: int = 10_000) -> None:
    add = parser.add_argument
    add("--requests", type=number(1, 10**6), default=requests, help="counted in each round")
    add("--connections", type=number(1, most), default=connections)
    add("--rounds", type=number(1, 100), default=5, help="turns of each; 20 on a busy machine")


def _add_common(parser: argparse.ArgumentParser, known: Sequence[str], default: Sequence[str]) -> None:
    add = parser.add_argument
    add("--python", action="append", metavar="PATH", help="repeatable; default: this one")
    add("--only", type=names(known), default=list(default), help=f"default: {','.join(default)}")
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=writable, metavar="FILE", help="write all figures there too")


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
    print(report.about, "", *table(report.rows, report.columns, report.head), "", sep="\n")
    for server, reason in report.reasons.items():
        print(f"without {server.name} {server.version}".rstrip() + f": {reason}")
    for goal in report.broken:
        print(f"broken: {goal}")
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if options.json is not None:
        reasons = [asdict(server) | {"reason": why} for server, why in report.reasons.items()]
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        whole = {"facts": facts, "options": settings, "servers": report.rows, "without": reasons}
        whole["broken"] = list(report.broken)
        options.json.write_text(json.dumps(whole, indent=2) + "\n")


def main(argv: list[str]) -> int:
    """Run one benchmark. 0: done; 1: a figure of ours is missing or breaks its goal; 2: asked wrongly; 130: cut off."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if sys.platform != "linux":
        print("partway bench: only Linux has what it reads and pins with", file=sys.stderr)
        return 2
    try:
        with orderly(getattr(options, "connections", 0)) as bench:
            report = BENCHES[options.what](options, bench)
            facts = surroundings(bench)
    except UnableError as reason:
        print(f"partway bench: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("partway bench: interrupted", file=sys.stderr)
        return 130
    facts["again"] = shlex.join(["partway", "bench", *argv])
    tell(report, facts, options)
    failed = not report.rows or any(server.name in OURS for server in report.reasons) or report.broken
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
