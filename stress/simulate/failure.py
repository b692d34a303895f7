"""What the failure of a machine on trial says: the smallest case found, and the last steps before the end."""

from collections import deque
from dataclasses import fields, replace
from typing import Any

from .broken import BrokenError
from .case import Case, Visitor
from .examine import Broken, broken_by
from .shrink import Shrinking, size_of
from .trial import Trial

LINES_SHOWN = 16  # of the last steps before a failure
SHRINK_SECONDS_MOST = 10.0  # CPU


class SimulationFailure(AssertionError):
    """A machine has failed in a simulation: the seed, the invariant that is broken, and the smallest case found."""

    def __init__(self, text: str, invariant: str, case: Case) -> None:
        super().__init__(text)
        self.invariant = invariant
        self.case = case
        self.seed = case.seed

    def __reduce__(self) -> tuple[type["SimulationFailure"], tuple[str, str, Case]]:
        return type(self), (str(self), self.invariant, self.case)


class Smaller(Shrinking):
    """A failing case of a trial on its way to a small one."""

    def __init__(self, trial: Trial, case: Case, broken: Broken) -> None:
        super().__init__(case, broken, seconds_most=SHRINK_SECONDS_MOST)
        self.trial = trial

    def shrink(self) -> None:
        """Freeze after each turn, where a row was frozen now and then: so it still is when the crowd has gone."""
        if self.case.freezes:
            self._fails(replace(self.case, freezes=1.0))
        super().shrink()

    def examined(self, case: Case) -> Broken | None:
        """Run a case as the trial does; one with clients that were not asked for is none."""
        if any(visitor.kind not in self.trial.kinds for visitor in case.crowd):
            return None
        try:
            self.trial.run(case)
        except BrokenError as error:
            return broken_by(error)
        return None


def report(trial: Trial, case: Case, broken: Broken, shrinks: bool) -> SimulationFailure:
    """Make a failure's case small, run it again with its steps written down, and put it into words."""
    smaller = Smaller(trial, case, broken)
    if shrinks:
        smaller.shrink()
    small, broken = smaller.case, smaller.broken
    lines: deque[str] = deque(maxlen=LINES_SHOWN)
    try:
        trial.run_once(small, lines)
    except BrokenError:
        pass
    again = f"simulate({trial.name}, ..., seed={case.seed}), with pytest --partway-seed {case.seed}; the small one:"
    text = [
        f"seed {case.seed}: {broken.invariant}",
        trimmed(broken.detail),
        "",
        f"The {'smallest case found' if shrinks else 'case'} has {size_of(small)}; its last steps:",
        *(f"    {line}" for line in lines),
        "",
        f"Again: {again if shrinks else ''}".rstrip(),
        f"    case={written(small)}",
    ]
    return SimulationFailure("\n".join(text), broken.invariant, small)


def trimmed(detail: str) -> str:
    """Leave the middle out of a long detail: of a traceback, what the machine's caller did counts least."""
    lines = detail.rstrip().splitlines()
    return "\n".join(lines if len(lines) <= 10 else [lines[0], "  ...", *lines[-8:]])


def written(thing: Any) -> str:
    """Write a case as the call that makes it, without what it need not say."""
    if isinstance(thing, tuple) and thing and isinstance(thing[0], Visitor):
        return "(" + ", ".join(map(written, thing)) + ",)"
    if not isinstance(thing, (Case, Visitor)):
        return repr(thing)
    said = []
    for each in fields(thing):
        value = getattr(thing, each.name)
        stock = each.default_factory() if callable(each.default_factory) else each.default
        if value != stock:
            said.append(f"{each.name}={written(value)}")
    return f"{type(thing).__name__}({', '.join(said)})"
