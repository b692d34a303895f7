"""A case: everything that a run depends on, as plain data that fits on a page of JSON.

A seed draws a case, and a case may be made smaller than what any seed draws: that is how a failure is shrunk.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import exp, log
from random import Random
from typing import Any

from ...engine import Limits
from ...engine.faults import Faults
from ..clients.kinds import KINDS, Kind
from ..clients.letters import LETTER_KINDS
from .protocols import PROTOCOLS
from .served import Served

CLIENTS_MOST = 200
ALL_KINDS: dict[str, Callable[..., Kind]] = {**KINDS, **LETTER_KINDS}
SCHEDULES = ("fair", "shortest")
REQUESTS_MOST = 2000  # of all clients together


@dataclass(frozen=True)
class Visitor:
    """One client: its kind, when it comes, how much it asks for, and its link."""

    kind: str
    seed: int  # of its own random numbers: what it says, and what happens on its link
    enters: float = 0.0  # seconds after the run's beginning
    requests: int = 1
    delay_seconds: tuple[float, float] = (0.0, 0.001)
    bytes_a_second: float = 0.0
    receive_bytes: int = 16384
    sheltered: bool = False  # no fault happens on its link: what it is owed, it must get


@dataclass(frozen=True)
class Case:
    """A server, its limits, its world, and a crowd."""

    seed: int
    protocol: str
    crowd: tuple[Visitor, ...]
    faults: dict[str, float] = field(default_factory=dict)  # the fields of `Faults` that are not 0
    limits: dict[str, Any] = field(default_factory=dict)  # those that are not the stock ones
    schedule: str = "fair"
    capacity_bytes: int = 65536
    descriptors: int = 20_000
    grain_seconds: float = 0.0
    drains_after: float | None = None  # seconds; None: when everybody has gone
    freezes: float = 0.0  # the odds that a row is frozen and thawed after a turn

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Case":
        """Read it. Raises ValueError with one sentence for what is no case."""
        try:
            found = json.loads(text)
            found["crowd"] = tuple(
                Visitor(**{**one, "delay_seconds": tuple(one["delay_seconds"])}) for one in found["crowd"]
            )
            case = cls(**found)
            _check_types(case, Faults(**case.faults), *case.crowd)
            Limits(**case.limits)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is no case: {error}") from error
        if case.protocol not in PROTOCOLS or any(one.kind not in ALL_KINDS for one in case.crowd):
            raise ValueError("this is no case: it names a protocol or a kind of client that is not there")
        if case.schedule not in SCHEDULES:
            raise ValueError(f"this is no case: there is no schedule {case.schedule!r}")
        if case.capacity_bytes < 1 or any(one.requests < 1 for one in case.crowd):
            raise ValueError("this is no case: it has no room for a byte, or a client that asks for nothing")
        return case

    def without(self, crowd: Sequence[Visitor]) -> "Case":
        """Return the same with another crowd."""
        return replace(self, crowd=tuple(crowd))


def _check_types(*things: "Case | Visitor | Faults") -> None:
    """Raise ValueError where a number, a text or a pair of numbers is something else."""
    for thing in things:
        for each in fields(thing):
            value = getattr(thing, each.name)
            if each.type == tuple[float, float]:
                fits = len(value) == 2 and all(type(one) in (int, float) for one in value)
            else:
                fits = type(value) in _TYPES.get(each.type, (type(value),))
            if not fits:
                raise ValueError(f"{each.name} is {str(value)[:40]}")


_TYPES: dict[object, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    float | None: (int, float, type(None)),
    str: (str,),
    bool: (bool,),
    dict[str, float]: (dict,),
}


def draw(seed: int, protocols: Sequence[str] = tuple(PROTOCOLS), served: Mapping[str, Served] = PROTOCOLS) -> Case:
    """Draw a case from a seed."""
    random = Random(seed)
    protocol = random.choice(protocols)
    kinds_served = served[protocol].kinds
    faults = asdict(Faults.drawn(random)) if random.random() < 0.7 else {}
    kinds = random.sample(kinds_served, random.randint(1, len(kinds_served)))
    if random.random() < 0.5 and "honest" in kinds_served:
        kinds.append("honest")
    count = min(CLIENTS_MOST, int(exp(random.uniform(0, log(CLIENTS_MOST * 1.5)) * random.random() ** 0.75)))
    requests = max(1, min(REQUESTS_MOST // count, int(exp(random.uniform(0, 5)))))
    spread = random.choice((0.0, 0.001, 0.1, 10.0))
    crowd = tuple(_visitor(random, random.choice(kinds), requests, spread) for _ in range(count))
    return Case(
        seed,
        protocol,
        crowd,
        faults={name: value for name, value in faults.items() if value},
        limits=_limits(random, count),
        schedule=random.choice(("fair", "fair", "shortest")),
        capacity_bytes=random.choice((65536, 65536, 1 << 20, 5000, 700)),
        descriptors=random.choice((20_000, 20_000, 20_000, 4 + 3 * count, 4 + count)),
        grain_seconds=random.choice((0.0, 1e-4, 1e-3, 0.02)),
        drains_after=random.choice((None, None, None, random.random() * 20)),
        freezes=random.choice((0.0, 0.0, 0.0, 0.05)) if served[protocol].freezes else 0.0,
    )


def _visitor(random: Random, kind: str, requests: int, spread: float) -> Visitor:
    least = random.choice((0.0, 0.0, 0.001, 0.1))
    return Visitor(
        kind,
        random.randrange(1 << 32),
        enters=random.random() * spread,
        requests=random.randint(1, requests),
        delay_seconds=(least, least + random.choice((0.0, 0.001, 0.1))),
        bytes_a_second=random.choice((0.0, 0.0, 1e6, 1e5)),
        receive_bytes=random.choice((16384, 16384, 1000, 1 << 20)),
        sheltered=random.random() < 0.3,
    )


def _limits(random: Random, count: int) -> dict[str, Any]:
    """Draw limits: the stock ones for half of all, else some that are met often."""
    if random.random() < 0.5:
        return {}
    drawn: dict[str, tuple[Any, ...]] = {
        "rows_max": (max(1, count // 2), count),
        "backlog": (1, max(1, count // 4)),
        "accepts_a_turn": (1, 3),
        "rows_a_turn": (1, 5),
        "expiries_a_turn": (1, 10),
        "turn_bytes": (1500, 5000),
        "receive_bytes": (448, 1000, 65536),
        "quantum_bytes": (5000, 20_000, 60_000),
        "step_bytes": (50, 500),
        "request_bytes": (500, 4000),
        "idle_seconds": (1, 5),
        "request_seconds": (2, 5),
        "stall_seconds": (3,),
        "linger_seconds": (0.2, 1),
        "waiting_seconds": (3,),
        "drain_seconds": (0.5, 5),
        "held_bytes_max": (50_000, 1 << 20),
        "rows_per_peer_max": (max(1, count // 3),),
        "datagrams_a_turn": (1, 3),
        "datagram_bytes": (1006,),
        "datagram_rows_max": (1, max(1, count // 2)),
        "datagram_queue_bytes": (300, 5000),
        "amplification_max": (1.0,),
    }
    names = random.sample(list(drawn), random.randint(1, 10))
    return {name: random.choice(drawn[name]) for name in names}
