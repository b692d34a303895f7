"""Datagrams: an echo beside the peers, and partway alone with a million half-done exchanges on one real UDP socket."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from .beside import Rounds, find_servers
from .figures import DATAGRAM_COLUMNS, EXCHANGE_COLUMNS, Report, Row, add_ratios, cost_row, shares
from .measure import PEERS, Bench, Child, Server, Usage, memory, settled_usage, version_of
from .tally import Tally

DATAGRAM_SERVERS = ("partway", "bare", "uvloop")
SCRIPTS = {name: (str(PEERS / f"datagrams_{name}.py"),) for name in DATAGRAM_SERVERS}
SLICE_DATAGRAMS = 5_000
DNS_SERVERS = ("partway", "dnslib")
SLICE_ANSWERS = 1_000  # of dnslib's: some 250 ms
QUERIES = 300  # different ones, in turn
ON_THEIR_WAY_MOST = 200  # what an unenlarged receive buffer of the kernel's holds
SETUP_SECONDS_MAX = 200  # for a million exchanges: some 40
LOAD_SECONDS_MAX = 65
EXCHANGE_GROWTH_MAX = 1.5  # a datagram's cost, from the smallest number of exchanges to the largest
EXCHANGE_BYTES_MAX = 600  # an exchange's row with its machine; of many, so that what the process has anyway is little
MANY = 100_000


def bench_datagrams(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server for a datagram that is echoed."""
    warmup = max(options.connections, options.requests // 5)
    load = (sys.executable, str(PEERS / "datagrams_load.py"))
    rounds = Rounds(options, bench, warmup, SLICE_DATAGRAMS, load)
    servers, missing = find_servers(options, SCRIPTS, lambda name: Server(name, ()))
    tally = rounds.run(servers, options.size)
    rows = [cost_row(server, usages) for server, usages in tally.figures.items()]
    about = (
        f"The server's CPU time for one datagram of {options.size} bytes and its answer,"
        f" {options.connections} clients, each waiting for its own.\n"
        f"least, median: {rounds.cut()}."
    )
    return Report(about, add_ratios(rows), DATAGRAM_COLUMNS, missing | tally.reasons)


def bench_dns(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server for an answer over UDP, most of them to names that are there."""
    zone = Path(bench.folder, "example.test.zone")
    zone.write_text(make_zone(options.names))
    scripts = {name: (str(PEERS / f"dns_{name}.py"), str(zone)) for name in DNS_SERVERS}
    warmup = max(options.connections, options.requests // 5)
    load = (sys.executable, str(PEERS / "datagrams_load.py"))
    rounds = Rounds(options, bench, warmup, SLICE_ANSWERS, load)
    servers, missing = find_servers(options, scripts, lambda name: Server(name, ()))
    tally = rounds.run(servers, 0, [message.hex() for message in queries(options.names)])
    rows = [cost_row(server, usages) for server, usages in tally.figures.items()]
    about = (
        f"The server's CPU time for one answer over UDP, {options.names} names with two addresses each,"
        f" every tenth question for a name that is not there, {options.connections} clients.\n"
        f"least, median: {rounds.cut()}."
    )
    return Report(about, add_ratios(rows), DATAGRAM_COLUMNS, missing | tally.reasons)


def make_zone(names: int) -> str:
    """A zone with so many names, each with an address of IPv4 and one of IPv6."""
    head = "$ORIGIN example.test.\n$TTL 300\n@ IN SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60\n"
    head += "@ IN NS ns.example.test.\nns IN A 127.0.0.1\n"
    each = (f"host{n} IN A 10.0.{n // 256}.{n % 256}\nhost{n} IN AAAA 2001:db8::{n:x}\n" for n in range(names))
    return head + "".join(each)


def queries(names: int) -> list[bytes]:
    """Questions of all kinds that the zone has answers to, with room for an identifier in front."""
    return [
        query(f"{'none' if number % 10 == 9 else 'host'}{number % names}.example.test", 28 if number % 3 == 2 else 1)
        for number in range(QUERIES)
    ]


def query(name: str, kind: int) -> bytes:
    """A question by a stub resolver: recursion desired, no EDNS."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return bytes((0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + labels + bytes((0, 0, kind, 0, 1))


def bench_exchanges(options: argparse.Namespace, bench: Bench) -> Report:
    """What a datagram costs, and what a row takes, among several numbers of half-done exchanges."""
    version = version_of(sys.executable)
    servers = [Server(str(rows), (), sys.executable, version) for rows in sorted(options.rows)]
    tally: Tally[Usage] = Tally(servers)
    sizes: dict[Server, float] = {}
    with ExitStack() as processes:
        pairs = {}
        for server in servers:
            with tally.excluding(server):
                pairs[server], sizes[server] = begin(processes, server, options.size, bench)
        for _ in range(options.rounds):
            for server in list(tally.figures):
                with tally.excluding(server):
                    tally.figures[server].append(work(*pairs[server], options.requests))
    rows = [exchange_row(server, usages, sizes[server]) for server, usages in tally.figures.items()]
    about = (
        f"The server's CPU time for one datagram of {options.size} bytes and its answer, of a peer drawn at random"
        " among so many\nwhose exchange is half done, each at an address of its own, all on one socket.\n"
        f"least, median: of {options.rounds} x {options.requests} datagrams, the numbers in turn."
        " bytes each: the server's memory, by rows.\n"
        "is: as a multiple of the smallest number's."
    )
    return Report(about, add_growth(rows), EXCHANGE_COLUMNS, tally.reasons, broken_goals(rows), "rows")


def begin(processes: ExitStack, server: Server, size: int, bench: Bench) -> tuple[tuple[Child, Child], float]:
    """A server with so many exchanges that have begun, its load, and the bytes that one takes."""
    command = [sys.executable, str(PEERS / "exchanges_partway.py"), "0"]
    process = processes.enter_context(Child(command, bench.server_core, bench.import_path))
    port = process.port()
    settled_usage(process.pid)
    empty = memory(process.pid)["Anonymous"]
    words = [sys.executable, str(PEERS / "exchanges_load.py"), str(port), server.name, str(size)]
    load = processes.enter_context(Child(words, bench.load_core))
    load.line("READY", SETUP_SECONDS_MAX)
    settled_usage(process.pid)
    return (process, load), (memory(process.pid)["Anonymous"] - empty) * 1024 / int(server.name)


def work(process: Child, load: Child, requests: int) -> Usage:
    """Have so many datagrams answered; tell their cost."""
    before = settled_usage(process.pid)
    load.ask(requests)
    load.line("DONE", LOAD_SECONDS_MAX)
    return settled_usage(process.pid).since(before, requests)


def exchange_row(server: Server, usages: Sequence[Usage], bytes_a_row: float) -> Row:
    """One number's figures, in CPU microseconds a datagram, and bytes."""
    return cost_row(server, usages) | shares(usages) | {"bytes_a_row": bytes_a_row}


def add_growth(rows: Sequence[Row]) -> list[Row]:
    """Each number with the least of its costs as a multiple of the first's."""
    return [row | {"growth": row["figure"] / rows[0]["figure"], "ratios": {}} for row in rows]


def broken_goals(rows: Sequence[Row]) -> list[str]:
    """What of several numbers' figures is not as it should be."""
    broken = []
    for row in add_growth(rows):
        if row["growth"] > EXCHANGE_GROWTH_MAX:
            broken.append(f"a datagram among {row['name']} rows: {row['growth']:.2f} x")
        if int(row["name"]) >= MANY and row["bytes_a_row"] > EXCHANGE_BYTES_MAX:
            broken.append(f"{row['name']} rows: {row['bytes_a_row']:.0f} bytes each")
    return broken
