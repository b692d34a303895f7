"""Strategies for Hypothesis: how bytes are cut into pieces, and the worlds and crowds that a machine may meet.

All of them shrink towards what is simple: one piece, no faults, stock limits, one client that behaves and asks once.

    @given(splits(b"one\\ntwo\\n"))
    def test_any_split(pieces): ...

    @given(cases())
    def test_any_world(case):
        simulate(MyMachine, Says(b"one\\n", hears=b"ONE\\n"), case=case)
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

try:
    from hypothesis import strategies as st
except ImportError as error:  # it is no part of what a server needs
    raise ImportError("partway.stress.strategies needs hypothesis: install 'partway[testing]'") from error

from ..engine import Limits
from ..engine.faults import ODDS, RARE, Faults
from .clients.kinds import KINDS
from .simulate.case import Case, Visitor

LIMITS: dict[str, st.SearchStrategy[Any]] = {
    "rows_max": st.integers(1, 20),
    "backlog": st.integers(1, 10),
    "accepts_a_turn": st.integers(1, 3),
    "rows_a_turn": st.integers(1, 5),
    "expiries_a_turn": st.integers(1, 10),
    "turn_bytes": st.integers(3000, 20_000),
    "receive_bytes": st.integers(448, 65536),
    "quantum_bytes": st.integers(5000, 20_000),
    "idle_seconds": st.floats(1, 5),
    "request_seconds": st.floats(2, 5),
    "stall_seconds": st.floats(3, 10),
    "linger_seconds": st.floats(0.2, 1),
    "drain_seconds": st.floats(0.5, 5),
    "held_bytes_max": st.integers(50_000, 1 << 20),
}
"""What is drawn of each limit: so tight that it is met."""


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes into pieces, none of them empty, in every way that there is."""
    places = draw(st.sets(st.integers(1, len(data) - 1))) if len(data) > 1 else set()
    cuts = [0, *sorted(places), len(data)]
    return [data[begin:end] for begin, end in pairwise(cuts) if end > begin]


def odds() -> st.SearchStrategy[dict[str, float]]:
    """Draw which faults there are, and how likely each is."""
    likely = {name: st.floats(1e-3, 0.01 if name in RARE else 0.25) for name in ODDS}
    return _some_of(likely)


def faults() -> st.SearchStrategy[Faults]:
    """Draw the faults of a world."""
    return odds().map(lambda drawn: Faults(**drawn))


def limits() -> st.SearchStrategy[Limits]:
    """Draw limits, some of them tight."""
    return _tight().map(lambda drawn: Limits(**drawn))


def _tight() -> st.SearchStrategy[dict[str, Any]]:
    return _some_of(LIMITS)


def _some_of(drawn: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw some of these, each for itself: an optional key of `fixed_dictionaries` is not always shrunk away."""
    every = st.fixed_dictionaries({name: st.none() | strategy for name, strategy in drawn.items()})
    return every.map(lambda values: {name: value for name, value in values.items() if value is not None})


def visitors(requests_most: int = 5, kinds: Sequence[str] = tuple(KINDS)) -> st.SearchStrategy[Visitor]:
    """Draw a client: how it behaves, when it comes, what its link is like."""
    least = st.sampled_from((0.0, 0.001, 0.1))
    return st.builds(
        Visitor,
        st.sampled_from(kinds),
        seed=st.integers(0, (1 << 32) - 1),
        enters=st.sampled_from((0.0, 0.001, 0.1, 10.0)),
        requests=st.integers(1, requests_most),
        delay_seconds=st.tuples(least, st.sampled_from((0.0, 0.001, 0.1))).map(lambda pair: (pair[0], sum(pair))),
        bytes_a_second=st.sampled_from((0.0, 1e6, 1e5)),
        receive_bytes=st.sampled_from((16384, 1000, 1 << 20)),
        sheltered=st.booleans(),
    )


def cases(
    clients_most: int = 8, requests_most: int = 5, kinds: Sequence[str] = tuple(KINDS)
) -> st.SearchStrategy[Case]:
    """Draw a whole case for `simulate(..., case=case)`: a world, its faults and limits, a crowd and its schedule."""
    return st.builds(
        Case,
        seed=st.integers(0, (1 << 32) - 1),
        protocol=st.just("drawn"),
        crowd=st.lists(visitors(requests_most, kinds), min_size=1, max_size=clients_most).map(tuple),
        faults=odds(),
        limits=_tight(),
        schedule=st.sampled_from(("fair", "shortest")),
        capacity_bytes=st.sampled_from((65536, 1 << 20, 5000, 700)),
        grain_seconds=st.sampled_from((0.0, 1e-4, 1e-3)),
        drains_after=st.none() | st.floats(0, 20),
        freezes=st.sampled_from((0.0, 0.05)),
    )
