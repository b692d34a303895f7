"""Many seeds, in this process or in several: what they add up to.

Which seeds are examined more closely (run again, looked at for what they leave in memory) depends on the seed alone, so
every figure but the CPU time is the same wherever the same seeds run.
"""

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .case import Case, draw
from .edges import Edges
from .examine import Broken, Examined, examine
from .world import Outcome

SEEDS_A_TASK = 10
TASKS_A_JOB = 2  # that run or wait, for each process
SEEDS_A_REPEAT = 20  # one in so many is run again
SEEDS_A_LEAK_CHECK = 50  # one in so many is looked at for what it leaves in memory,
LEAK_CLIENTS = 10  # cut down to so many clients
LEAK_REQUESTS = 20  # with so many requests each
DIGESTS = 1 << 64


class Failure(NamedTuple):
    """A case that has broken something."""

    case: Case
    broken: Broken


@dataclass
class Share:
    """One protocol's part."""

    seeds: int = 0
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0  # CPU, of each seed's first run

    def add(self, other: "Share") -> None:
        """Add what another came to."""
        self.seeds += other.seeds
        self.rows += other.rows
        self.requests += other.requests
        self.seconds += other.seconds


@dataclass
class Tally:
    """What some seeds have come to."""

    all: Share = field(default_factory=Share)
    shares: dict[str, Share] = field(default_factory=dict)  # by protocol
    turns: int = 0
    simulated_seconds: float = 0.0
    more_seconds: float = 0.0  # CPU, of runs that only compare
    digest: int = 0  # of all outcomes: equal where the same seeds came to the same
    met: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    edges: Counter[tuple[int, int]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """All CPU seconds."""
        return self.all.seconds + self.more_seconds

    def add(self, other: "Tally") -> None:
        """Add what other seeds came to."""
        self.all.add(other.all)
        for protocol, share in other.shares.items():
            self.shares.setdefault(protocol, Share()).add(share)
        self.turns += other.turns
        self.simulated_seconds += other.simulated_seconds
        self.more_seconds += other.more_seconds
        self.digest = (self.digest + other.digest) % DIGESTS
        self.met.update(other.met)
        self.ended.update(other.ended)
        self.edges.update(other.edges)
        self.failures += other.failures

    def note(self, case: Case, examined: Examined) -> None:
        """Add one seed's run, and what it has broken."""
        share = Share(1, 0, 0, examined.seconds)
        if examined.outcome is not None:
            share.rows, share.requests = examined.outcome.rows, examined.outcome.requests
            self._note_outcome(case.seed, examined.outcome)
        self.all.add(share)
        self.shares.setdefault(case.protocol, Share()).add(share)
        self.note_more(case, examined.more_seconds, examined.broken)

    def note_more(self, case: Case, seconds: float, broken: Broken | None) -> None:
        """Add runs that only compare."""
        self.more_seconds += seconds
        if broken is not None:
            self.failures.append(Failure(case, broken))

    def _note_outcome(self, seed: int, outcome: Outcome) -> None:
        self.turns += outcome.turns
        self.simulated_seconds += outcome.seconds
        self.digest = (self.digest + hash((seed, outcome.digest))) % DIGESTS
        self.met.update(outcome.met)
        self.ended.update(outcome.ended)


def run_seeds(seeds: Sequence[int], protocols: Sequence[str]) -> Tally:
    """Run some seeds, one after the other."""
    tally = Tally()
    edges = Edges()
    for seed in seeds:
        case = draw(seed, protocols)
        examined = examine(case, again=seed % SEEDS_A_REPEAT == 1, edges=edges)
        tally.note(case, examined)
        if seed % SEEDS_A_LEAK_CHECK == 2 and examined.broken is None:
            few = cut(case)
            examined = examine(few, memory=True)
            tally.note_more(few, examined.seconds + examined.more_seconds, examined.broken)
    tally.edges.update(edges.met)
    return tally


def cut(case: Case) -> Case:
    """Return a case that can be run several times over."""
    crowd = case.crowd[:LEAK_CLIENTS]
    return case.without([replace(visitor, requests=min(visitor.requests, LEAK_REQUESTS)) for visitor in crowd])


def tallies(seeds: range, protocols: Sequence[str], jobs: int) -> Generator[Tally, None, None]:
    """Run seeds, and tell what each few of them came to, in their order."""
    if jobs > 1:
        yield from _tallies_of_processes(seeds, protocols, jobs)
        return
    for seed in seeds:
        yield run_seeds((seed,), protocols)


def _tallies_of_processes(seeds: range, protocols: Sequence[str], jobs: int) -> Generator[Tally, None, None]:
    """Have processes run a few seeds each at a time; whoever stops asking ends them."""
    tasks = (seeds[place : place + SEEDS_A_TASK] for place in range(0, len(seeds), SEEDS_A_TASK))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        waiting: deque[Future[Tally]] = deque()
        for task in tasks:
            waiting.append(pool.submit(run_seeds, task, protocols))
            if len(waiting) >= jobs * TASKS_A_JOB:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BaseException:  # nobody asks any more: those who run needn't end what they have begun
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
