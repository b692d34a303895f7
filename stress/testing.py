r"""Testing a machine of one's own.

    from partway.stress.testing import Says, simulate

    simulate(MyMachine, Says(b"hello\n", hears=b"HELLO\n"), seeds=range(100))

The clients say what they were given in all kinds of ways (whole, byte by byte, all at once, cut off, half closed), in
worlds whose faults and limits come from the seed, while every invariant is watched and rows are frozen and thawed. What
fails is made small, run again with its machines' steps written down, and raised as one AssertionError.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..engine import Limits, Row
from ..engine.faults import Faults
from ..engine.machine import Machine
from .clients.dialogue import Owed
from .clients.kinds import KINDS
from .clients.says import Says, Talk
from .simulate.broken import BrokenError
from .simulate.case import Case, Visitor
from .simulate.examine import broken_by
from .simulate.failure import SimulationFailure, report
from .simulate.trial import Trial

__all__ = ["Case", "Faults", "Limits", "Owed", "Result", "Says", "SimulationFailure", "Visitor", "simulate"]

HELD_MOST = 65536  # bytes of a machine beside one read, where the user says nothing


class Result(NamedTuple):
    """What came of all runs, none of which has failed."""

    seeds: tuple[int, ...]
    requests: int  # answers that clients have heard whole
    rows: int
    turns: int
    met: Counter[str]  # faults by name


def simulate(
    factory: Callable[[Row], Machine],
    clients: Talk | Sequence[Talk],
    *,
    seed: int | None = None,
    seeds: Iterable[int] = range(100),
    case: Case | None = None,
    faults: bool | Faults = True,
    limits: Limits | None = None,
    freezes: bool = True,
    held_most: int | None = None,
    shared: Sequence[object] = (),
    kinds: Sequence[str] = tuple(KINDS),
) -> Result:
    """Serve machines of `factory` to crowds of clients, one world a seed, and sum up what came of it.

    `seed` runs one alone, `case` one that a failure has shown. `faults` are drawn where True, `limits` where None. A
    machine may hold `held_most` bytes (64 KiB and one read). `freezes` False is for one that cannot be frozen. `shared`
    is what all rows have in common: it is neither frozen nor measured with one of them. `kinds` are the ways in which
    clients behave, by their names in `partway.stress.clients.kinds`.

    Raises SimulationFailure at the first failure.
    """
    __tracebackhide__ = True
    talks = tuple(clients) if isinstance(clients, Sequence) else (clients,)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not talks or not kinds:
        raise ValueError(f"there is no kind of client {unknown[0]!r}" if unknown else "nobody would come")
    read = 65536 if limits is None else limits.receive_bytes
    most = HELD_MOST + read if held_most is None else held_most
    trial = Trial(factory, talks, faults, limits, freezes, most, (factory, *shared), tuple(kinds))
    if case is not None:
        cases: Iterable[Case] = (case if freezes else replace(case, freezes=0.0),)
    else:
        cases = map(trial.draw, seeds if seed is None else (seed,))
    done, met, requests, rows, turns = [], Counter[str](), 0, 0, 0
    for one in cases:
        try:
            outcome = trial.run(one)
        except BrokenError as error:
            failure = report(trial, one, broken_by(error), shrinks=case is None)
            raise failure from None
        except Exception as error:
            error.add_note(f"partway: in the simulation with seed {one.seed}")
            raise
        done.append(one.seed)
        met.update(outcome.met)
        requests, rows, turns = requests + outcome.requests, rows + outcome.rows, turns + outcome.turns
    return Result(tuple(done), requests, rows, turns, met)
