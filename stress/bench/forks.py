"""What it costs to have a forked child answer: part-way, by an adapter, and plain."""

import argparse
import sys

from .beside import Rounds, find_servers
from .figures import FORK_COLUMNS, Report, add_ratios, cost_row
from .measure import PEERS, Bench, Server

FORK_SERVERS = ("partway", "plain", "blocking", "bare", "adapter", "socketserver")
SCRIPTS = {
    "partway": (str(PEERS / "forks_partway.py"), "call"),
    "plain": (str(PEERS / "forks_partway.py"), "plain"),
    "blocking": (str(PEERS / "forks_partway.py"), "blocking"),
    "bare": (str(PEERS / "forks_bare.py"),),
    "adapter": (str(PEERS / "forks_handler.py"), "ours"),
    "socketserver": (str(PEERS / "forks_handler.py"), "theirs"),
}
FORKS_MOST = 40  # at once: partway queues the others, the standard library waits
SLICE_FORKS = 100  # children's time is told in ticks: some 20 of them


def bench_forks(options: argparse.Namespace, bench: Bench) -> Report:
    """CPU time of each server and its children for a line that a child answers."""
    load = (sys.executable, str(PEERS / "forks_load.py"))
    rounds = Rounds(options, bench, SLICE_FORKS, SLICE_FORKS, load)
    servers, missing = find_servers(options, SCRIPTS, lambda name: Server(name, ()))
    tally = rounds.run(servers, options.size)
    rows = [cost_row(server, usages) for server, usages in tally.figures.items()]
    about = (
        f"CPU time of the server and of its children for one line of {options.size} bytes that a child answers,"
        f" {options.connections} at once.\n"
        f"least, median: {rounds.cut()}.\n"
        "partway: a machine that has read the line asks for a child. plain: it forks by itself, and goes on.\n"
        "blocking: it forks by itself, and nobody is served until its child has ended.\n"
        "bare: no reactor; a child for each connection. adapter, socketserver: a handler under our ForkingMixIn, and\n"
        "under the standard library's."
    )
    return Report(about, add_ratios(rows, ("partway", "adapter")), FORK_COLUMNS, missing | tally.reasons)
