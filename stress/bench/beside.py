"""The benchmarks: which servers each has, what its load does, how often, and what its report says.

The servers take turns (A B C A B C ...) in fresh processes, round after round. One that fails is out, with its reason,
and the others go on.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from .figures import (
    DOWNLOAD_COLUMNS,
    ECHO_COLUMNS,
    HTTP_COLUMNS,
    MEMORY_COLUMNS,
    Reasons,
    Report,
    add_ratios,
    cost_row,
    memory_row,
    rate_row,
)
from .measure import (
    PEERS,
    Bench,
    Server,
    UnableError,
    Usage,
    compile_c,
    exact_nanoseconds,
    find_nginx,
    version_of,
)
from .peers.load import PATTERN
from .tally import Tally

OURS = frozenset({"partway", "partway+cache", "http"})
ECHO_SERVERS = ("partway", "bare", "uvloop", "c")
HTTP_CACHES = {"partway": "off", "partway+cache": "on", "nginx": "off", "nginx+cache": "on"}
DOWNLOAD_CACHES = {"partway": "on", "nginx": "off"}  # as each is by default
MEMORY_SERVERS = ("partway", "bare", "http", "uvloop", "c")
ECHO_SCRIPTS = {name: (str(PEERS / f"echo_{name}.py"),) for name in ("partway", "bare", "uvloop")}
FILE_SCRIPT = str(PEERS / "http_partway.py")
ECHO_SLICE_REQUESTS = 5_000  # some 25 ms: short beside the seconds for which a machine runs slower
HTTP_SLICE_REQUESTS = 2_000  # the same for nginx
SITE_SECONDS = 2.5  # before it is asked for: partway's cache keeps no file that may still be being written
MIB = 1024 * 1024
SHARES = "system: the kernel's share. sleeps: waits with nothing to do, a request."
HALF_HEAD = (  # of a browser's
    b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAcc"
)
Started = AbstractContextManager[Callable[[int], Usage]]


def find_servers(
    options: argparse.Namespace, scripts: Mapping[str, tuple[str, ...]], find_other: Callable[[str], Server]
) -> tuple[list[Server], Reasons]:
    """The servers to be measured, and why some of them can't be.

    `scripts` are the words that follow an interpreter; `find_other` makes a server of a name that has none.
    """
    servers: list[Server] = []
    reasons: Reasons = {}
    for python in dict.fromkeys(options.python or [sys.executable]):
        version = version_of(python)
        servers += [Server(name, (python, *scripts[name]), python, version) for name in options.only if name in scripts]
    for name in options.only:
        if name not in scripts:
            try:
                servers.append(find_other(name))
            except UnableError as reason:
                reasons[Server(name, ())] = str(reason)
    return servers, reasons


def slices_of(requests: int, each: int) -> list[int]:
    """How many requests each slice of a round has: so many, unless the kernel's clock is too coarse for that."""
    if not exact_nanoseconds(Path("/proc/self")):
        each = requests  # ticks are too coarse for less
    return [min(each, requests - begun) for begun in range(0, requests, each)]


def take_turns(tally: Tally[Usage], start: Callable[[Server], Started], slices: list[int]) -> None:
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


class Rounds:
    """What the benchmarks under load have in common: the load, its words, and how the work is cut."""

    def __init__(
        self, options: argparse.Namespace, bench: Bench, warmup: int, each: int, load: tuple[str, ...] | None = None
    ) -> None:
        self.options = options
        self.bench = bench
        self.load = load or bench.find_load()
        self.warmup = warmup
        self.slices = slices_of(options.requests, each)

    def run(self, servers: Sequence[Server], size: int, requests: Sequence[str] = ()) -> Tally[Usage]:
        """Measure the servers; `size` is an answer's in bytes, `requests` those of HTTP."""
        tally: Tally[Usage] = Tally(servers)
        words = [str(self.options.connections), str(size), *requests]
        for _ in range(self.options.rounds):
            take_turns(tally, lambda server: self.bench.loaded(server, self.load, words), [self.warmup, *self.slices])
        return tally

    def circumstances(self) -> str:
        """How many connections, and by what they are driven."""
        return f"{self.options.connections} connections, load in {'Python' if len(self.load) > 1 else 'C'}"

    def cut(self) -> str:
        """Into how many pieces the work was cut."""
        counted = f"{self.options.rounds} x {len(self.slices)} slices of {self.slices[0]} requests"
        return f"of {counted} ({self.warmup} before, to warm up)"


def bench_echo(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server for an echo."""
    warmup = max(options.connections, options.requests // 5)
    rounds = Rounds(options, bench, warmup, max(ECHO_SLICE_REQUESTS, 10 * options.connections))
    servers, missing = find_servers(options, ECHO_SCRIPTS, lambda name: echo_in_c(name, bench.folder))
    tally = rounds.run(servers, options.size)
    rows = [cost_row(server, usages) for server, usages in tally.figures.items()]
    about = (
        f"The server's CPU time for one request of {options.size} bytes, {rounds.circumstances()}.\n"
        f"least, median: {rounds.cut()}.\n{SHARES}"
    )
    return Report(about, add_ratios(rows), ECHO_COLUMNS, missing | tally.reasons)


def bench_http(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server for a small file."""
    warmup = max(options.connections, options.heads, options.requests // 5)
    rounds = Rounds(options, bench, warmup, max(HTTP_SLICE_REQUESTS, 10 * options.connections))
    servers, missing = find_file_servers(options, make_site(bench.folder, options.size), HTTP_CACHES)
    time.sleep(SITE_SECONDS)
    tally = rounds.run(servers, options.size, file_requests(options.heads))
    rows = [cost_row(server, usages) for server, usages in tally.figures.items()]
    heads = "always the same head" if options.heads == 1 else f"{options.heads} heads in turn"
    about = (
        f"The server's CPU time for one GET of a file of {options.size} bytes, {heads},"
        f" {rounds.circumstances()}.\n"
        f"least, median: {rounds.cut()}.\n{SHARES}\n"
        f"{told_of_nginx(servers)} +cache: partway's file cache, nginx's open_file_cache."
    )
    return Report(about, add_ratios(rows, ("partway", "partway+cache")), HTTP_COLUMNS, missing | tally.reasons)


def bench_download(options: argparse.Namespace, bench: Bench) -> Report:
    """How much of a large file each server sends in a second of its CPU time."""
    rounds = Rounds(options, bench, options.connections, options.connections)
    size = options.mib * MIB
    servers, missing = find_file_servers(options, make_site(bench.folder, size), DOWNLOAD_CACHES)
    tally = rounds.run(servers, size, file_requests(1))
    rows = [rate_row(server, usages, options.mib) for server, usages in tally.figures.items()]
    about = (
        f"MiB that the server sends in one second of its CPU time: a file of {options.mib} MiB,"
        f" {rounds.circumstances()}.\n"
        f"most, median: {rounds.cut()}.\n{SHARES}\n"
        f"{told_of_nginx(servers)}"
    )
    return Report(about, add_ratios(rows), DOWNLOAD_COLUMNS, missing | tally.reasons)


def bench_memory(options: argparse.Namespace, bench: Bench) -> Report:
    """Memory of each server for a connection that says nothing, or half a head."""
    scripts = ECHO_SCRIPTS | {"http": (FILE_SCRIPT, make_site(bench.folder, 1), "on")}
    servers, missing = find_servers(options, scripts, lambda name: echo_in_c(name, bench.folder))
    marks = [options.connections * fifths // 5 for fifths in (1, 3, 5)]
    tally: Tally[dict[str, int]] = Tally(servers)
    for server in servers:
        with tally.excluding(server):
            tally.figures[server] = bench.memory(server, marks, HALF_HEAD if server.name == "http" else b"")
    between = marks[-1] - marks[0]
    rows = [memory_row(server, sizes, between) for server, sizes in tally.figures.items()]
    silent = add_ratios([row for row in rows if row["name"] != "http"])
    about = (
        "The server's anonymous resident memory; what the kernel holds for it is not in it.\n"
        f"empty: no connection. full: {marks[-1]} silent ones."
        f" each: for one, from {marks[0]} to {marks[-1]}.\n"
        f"http: partway's, where each has sent half a head ({len(HALF_HEAD)} bytes)."
    )
    halves = [row | {"ratios": {}} for row in rows if row["name"] == "http"]  # nobody here has done the same
    return Report(about, silent + halves, MEMORY_COLUMNS, missing | tally.reasons)


def echo_in_c(name: str, folder: str) -> Server:
    """The only echo server that needs no interpreter."""
    return Server(name, (compile_c("echo_epoll", folder),))


def find_file_servers(
    options: argparse.Namespace, site: str, caches: Mapping[str, str]
) -> tuple[list[Server], Reasons]:
    """The servers of a folder, each with its cache on or off, and why some of them can't be measured."""

    def find_other(name: str) -> Server:
        path, version = find_nginx()
        keeper = (sys.executable, str(PEERS / "http_nginx.py"), path)
        return Server(name, (*keeper, site, caches[name]), "", version)

    ours = {name: (FILE_SCRIPT, site, cache) for name, cache in caches.items() if name in OURS}
    return find_servers(options, ours, find_other)


def told_of_nginx(servers: Sequence[Server]) -> str:
    """How it was run, which is the only one here that is no Python."""
    version = next((f" {server.version}" for server in servers if not server.python), "")
    return f"nginx{version}: its one worker; sendfile, no access log."


def make_site(folder: str, size: int) -> str:
    """A folder with one file, which is the pattern that the load knows."""
    site = Path(folder, "site")
    whole, rest = divmod(size, len(PATTERN))
    try:
        site.mkdir()
        with site.joinpath("file").open("wb") as file:
            for _ in range(whole):
                file.write(PATTERN)
            file.write(PATTERN[:rest])
    except OSError as error:
        raise UnableError(f"no file of {size} bytes can be written: {error}") from error
    return str(site)


def file_requests(heads: int) -> list[str]:
    """Requests for that file, whose heads differ in a number."""
    return [
        f"GET /file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: partway-bench/{number:04}\r\nAccept: */*\r\n\r\n"
        for number in range(heads)
    ]
