"""A table with many rows, of which a few are active: what a turn costs, and what a row takes, at one size.

The real reactor on the simulation, in a process of its own for each size. The clients of silent rows are bare ends,
which nobody moves; those of active rows send, and let all arrive, before the turn begins whose CPU time counts. So
what is measured is the server's part alone: poll, look up, receive, step, send.

"The same" rows each turn find all that they need in the processor's caches; "others" each turn, drawn at random, do
not where the table is larger than those. To tell that growth from the engine's there is a control: a walk over plain
lists, one a row and as large as a row with all that belongs to it, of which again a few are looked at.
"""

import gc
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import process_time_ns
from typing import Any

from ...engine import Limits, Reactor
from ...engine.network import SimulatedEnd
from ...engine.platform import parse_address
from ...engine.simulation import Simulation
from ...protocols.echo import Echo
from .operations import allocations, calls, instructions, look_ups, peak_bytes, uncollected

SEED = 1
MESSAGE = b"x" * 64
SILENCE_SECONDS = 1e6  # how long a row may be idle: longer than anything here but the last phase
ARRIVAL_SECONDS = 0.002  # all that is on its way has come after these
PIECES = 20  # of the control's lists: with their objects as large as a row with its machine and both its ends

Slices = list[int]  # nanoseconds, one for each turn


class Crowd:
    """A reactor with so many rows, and their clients' ends. `turns` are the nanoseconds of each turn that admitted."""

    def __init__(self, rows: int, limits: Limits | None = None, delay_seconds: float = 0.001) -> None:
        self.simulation = Simulation(SEED, delay_seconds=(0.0, delay_seconds), descriptors=rows + 1)
        self.reactor = Reactor(self.simulation, limits=limits or Limits(idle_seconds=SILENCE_SECONDS))
        self.reactor.listen("server:7", Echo)
        self.clients: list[SimulatedEnd] = []
        self.turns: Slices = []
        batch = self.reactor.limits.accepts_a_turn
        while len(self.clients) < rows:
            self._admit(min(batch, rows - len(self.clients)))
        self.turn()  # the poller looks at the last of them once

    def _admit(self, count: int) -> None:
        simulation, address = self.simulation, parse_address("server:7")
        for _ in range(count):
            end = SimulatedEnd(simulation, simulation.capacity_bytes, simulation.link)
            simulation.begin(end, address, simulation.link)
            self.clients.append(end)
        simulation.travel(ARRIVAL_SECONDS)
        self.turns.append(self.turn())
        if len(self.reactor.table.rows) != len(self.clients):
            raise AssertionError(f"{len(self.reactor.table.rows)} rows of {len(self.clients)} clients")

    def turn(self) -> int:
        """Take one turn, and return its CPU time in nanoseconds."""
        before = process_time_ns()
        self.reactor.step(0)
        return process_time_ns() - before

    def ask(self, places: Sequence[int]) -> None:
        """Let these clients send a message each, and all of it arrive."""
        for place in places:
            self.clients[place].send(MESSAGE)
        self.simulation.travel(ARRIVAL_SECONDS)

    def hear(self, places: Sequence[int]) -> None:
        """See to it that these clients, and only once, have got their echo."""
        self.simulation.travel(ARRIVAL_SECONDS)
        for place in places:
            if self.clients[place].recv(2 * len(MESSAGE)) != MESSAGE:
                raise AssertionError(f"client {place} got a wrong echo")

    def serve(self, places: Sequence[int]) -> int:
        """Answer these clients in one turn; its CPU time in nanoseconds."""
        self.ask(places)
        nanoseconds = self.turn()
        self.hear(places)
        return nanoseconds

    def expire(self) -> tuple[Slices, list[int]]:
        """Let all deadlines come at once; for each turn its CPU time, and how many rows have ended in it."""
        rows = self.reactor.table.rows
        self.simulation.travel(2 * self.reactor.limits.idle_seconds)
        costs, ended = [], []
        while rows:
            before = len(rows)
            costs.append(self.turn())
            ended.append(before - len(rows))
            self.simulation.travel(ARRIVAL_SECONDS)  # their ends reach the clients, outside the turn
            if not ended[-1]:
                raise AssertionError(f"{len(rows)} rows are past their deadlines, and stay")
        return costs, ended

    def count(self, places: Sequence[int]) -> dict[str, int]:
        """Count what a turn does in which these rows are answered; allocations of the first row's alone."""
        counts: dict[str, int] = {}

        def run(count: Callable[[Callable[[], object]], Any], asking: Sequence[int]) -> Any:
            self.turn()  # the poller looks once more at those of the turn before
            self.simulation.random.seed(SEED)  # the order in which rows are ready, and how long things travel
            self.ask(asking)
            try:
                return count(lambda: self.reactor.step(0))
            finally:
                self.hear(asking)

        with uncollected():
            for _ in range(2):  # once more, for what is made at the first time and kept
                counts |= run(lambda work: look_ups(self.reactor, work), places)
                counts |= run(calls, places)
                counts["instructions"] = run(instructions, places)
                counts["peak bytes"] = run(peak_bytes, places)
                counts["allocations, one row"] = run(allocations, places[:1])
        return counts


class Walk:
    """The control: the same choices of a table of plain lists that is as large."""

    def __init__(self, rows: int) -> None:
        self.table = {key: [b"%09d/%d" % (key, piece) for piece in range(10, 10 + PIECES)] for key in range(rows)}

    def serve(self, places: Sequence[int]) -> int:
        """Look at all that these lists hold; the CPU time in nanoseconds."""
        before = process_time_ns()
        for place in places:
            for piece in self.table[place]:
                len(piece)
        return process_time_ns() - before


def resident(word: str) -> int:
    """Return a figure of this whole process's memory in KiB: VmRSS what is resident, VmHWM the most that ever was."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"\n{word}:")[2].split()[0])


class Collections:
    """How often Python's collector has come, by generation, and how long it took in all."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0]
        self.nanoseconds = 0
        self._began = 0
        gc.callbacks.append(self._told)

    def _told(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._began = process_time_ns()
        else:
            self.counts[facts["generation"]] += 1
            self.nanoseconds += process_time_ns() - self._began

    def close(self) -> None:
        """Listen no more."""
        with suppress(ValueError):
            gc.callbacks.remove(self._told)


class Measured:
    """One table of one size, and what is asked of it: rounds of turns, and all that is looked at but once."""

    def __init__(self, kind: str, rows: int, active: int) -> None:
        self._collections = Collections()
        self._random = Random(SEED)
        self.rows = range(rows)
        self.same = self._random.sample(self.rows, active)
        empty, before = resident("VmRSS"), process_time_ns()
        self.table: Crowd | Walk = Crowd(rows) if kind == "crowd" else Walk(rows)
        self.begin: dict[str, Any] = {
            "rows": rows,
            "setup": process_time_ns() - before,
            "setup_collecting": self._collections.nanoseconds,
            "setup_collections": self._collections.counts[:],
            "bytes_a_row": (resident("VmRSS") - empty) * 1024 / rows,
        }
        self._collections.counts = [0, 0, 0]

    def round(self, turns: int) -> dict[str, Slices]:
        """Take so many turns with the same rows, then as many with others each time."""
        active = len(self.same)
        self.table.serve(self.same)  # the first one brings them back
        same = [self.table.serve(self.same) for _ in range(turns)]
        return {"same": same, "others": [self.table.serve(self._other(active)) for _ in range(turns)]}

    def end(self) -> dict[str, Any]:
        """Return what is known from the beginning and what is asked at last."""
        figures = self.begin | {"collections": self._collections.counts[:]}
        self._collections.close()
        if isinstance(self.table, Crowd):
            figures["setup_worst_turn"] = max(self.table.turns)
            figures["operations"] = self.table.count(self.same)
            before = process_time_ns()
            gc.collect()
            figures["full_collection"] = process_time_ns() - before
            figures["expiry"], figures["expiry_ended"] = self.table.expire()
        return figures | {"peak": resident("VmHWM")}

    def _other(self, active: int) -> list[int]:
        return self._random.sample(self.rows, active)


def main(words: Sequence[str]) -> None:
    """`crowd|walk ROWS ACTIVE`: for each number of turns that stdin asks for a line of figures; 0 for the last."""
    kind, rows, active = words
    measured = Measured(kind, int(rows), int(active))
    print("READY", flush=True)
    for line in sys.stdin:
        turns = int(line)
        print("DONE", json.dumps(measured.round(turns) if turns else measured.end()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
