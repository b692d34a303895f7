"""The crowd: who comes when, who is there, how long each was, and why it went."""

from collections import Counter
from collections.abc import Mapping
from errno import EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from functools import partial
from typing import Any, NamedTuple

from ...engine import Cause, Limits, Machine, Reactor, Reason, Row
from ...engine.row import OPENING as OPENING_STATE
from ..clients.kinds import Kind
from .hidden import Look
from .kinds import Attack, Flooder
from .target import Target
from .tls import sealer
from .words import Asking, Tally, Words, ear_of

TICK_SECONDS = 0.02  # those whose time has come begin together
CATCH_UP_SECONDS = 0.5  # a tick that comes late stands for those before it; but not for ever
LOOK_SECONDS = 1.0
ENDLESS = float("inf")
PATIENT = Limits(
    idle_seconds=ENDLESS,
    request_seconds=ENDLESS,
    opening_seconds=60,
    waiting_seconds=ENDLESS,
    stall_seconds=ENDLESS,
    rate_min=0,
    linger_seconds=1.0,
    receive_bytes=4096,
)
RAISE = {
    EMFILE: "out of descriptors: raise `ulimit -n`",
    ENFILE: "the machine is out of descriptors: raise fs.file-max",
    EADDRNOTAVAIL: "out of ports: widen net.ipv4.ip_local_port_range, or attack fewer at once",
    ENOBUFS: "out of memory for sockets: raise net.ipv4.tcp_mem",
    ENOMEM: "out of memory",
}
"""What to do when no more clients can be begun."""

OUTCOMES: Mapping[Cause, str] = {
    Cause.NOT_CONNECTED: "refused",
    Cause.OPENING_TOO_LONG: "never connected",
    Cause.PEER_LOST: "reset",
    Cause.PEER_ERROR: "heard nonsense",
    Cause.MACHINE_ERROR: "failed",
}
"""How a client's end is told that was not in order."""

NOTHING: dict[str, Any] = {
    "alive": 0,
    "started": 0,
    "peak": 0,
    "outcomes": {},
    "unable": "",
    "survivors": 0,
    "asked": 0,
    "answered": 0,
    "returns": False,
    "statuses": {},
    "lived": [],
    "ages": [],
}
"""The figures of a crowd of which nothing is known yet: see `Crowd.seen` and `Crowd.figures`."""

SERVED = "served"  # it has got all that it has asked for
CUT_OFF = "cut off"  # the server has ended its side
LEFT = "left"  # by itself


class Plan(NamedTuple):
    """How many at once, within how many seconds they come, and how many a second may come in place of who has gone.

    Of kinds that send datagrams, `rate` is how many of these all of them send a second.
    """

    clients: int
    ramp: float
    rate: float


class Crowd:
    """Clients of one kind. `lived` are the seconds of those that have ended; `unable` is why no more can begin."""

    def __init__(
        self, reactor: Reactor, target: Target, attack: Attack, words: Words, plan: Plan, look: Look | None = None
    ) -> None:
        self.reactor = reactor
        self.target = target
        self.attack = attack
        self.words = words
        self.plan = plan
        self.began = 0.0
        self.started = 0
        self.peak = 0
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.lived: list[float] = []
        self.tally = Tally()
        self.unable = ""
        self.over = False
        self._alive: dict[int, tuple[float, Row, Kind]] = {}  # when each has come, by its row's key
        self._seal = sealer(target) if target.secure and not attack.unsealed else None
        self._look = look if attack.blind and target.address.kind == "tcp" else None
        self._ticked = 0.0
        self._credit = 0.0  # clients that may come in place of others

    @property
    def alive(self) -> int:
        """How many there are now."""
        return len(self._alive)

    def ages(self) -> list[float]:
        """Return for how many seconds each of those has been there that are there."""
        now = self.reactor.now
        return [now - born for born, _, _ in self._alive.values()]

    def seen(self) -> dict[str, Any]:
        """Return what is told of it while it goes on."""
        return {
            "alive": self.alive,
            "started": self.started,
            "peak": self.peak,
            "outcomes": dict(self.outcomes.most_common()),
            "unable": self.unable,
        }

    def figures(self) -> dict[str, Any]:
        """Return all of it for a report, when the time is over: who is there now has survived."""
        ages = sorted(self.ages())
        return {
            **self.seen(),
            "survivors": len(ages),
            "asked": self.tally.asked,
            "answered": self.tally.answered,
            "returns": self.attack.returns,
            "statuses": dict(self.statuses.most_common()),
            "lived": [round(seconds, 3) for seconds in sorted(self.lived)],
            "ages": [round(seconds, 3) for seconds in ages],
        }

    def begin(self) -> None:
        """Have the first come."""
        self.began = self._ticked = self.reactor.platform.now()
        self._tick()
        if self._look is not None:
            self.reactor.after(LOOK_SECONDS, self._see_ends)

    def end(self) -> None:
        """Nobody comes any more, and what becomes of those who are there is not counted."""
        self.over = True

    def _tick(self) -> None:
        if self.over:
            return
        self._come()
        self.reactor.after(TICK_SECONDS, self._tick)

    def _come(self) -> None:
        plan = self.plan
        now = self.reactor.platform.now()
        passed = min(CATCH_UP_SECONDS, now - self._ticked)
        self._ticked = now
        if self.started < plan.clients or not plan.rate or self.attack.datagrams:
            ramped = now - self.began
            due = plan.clients if ramped >= plan.ramp else 1 + int(plan.clients * ramped / plan.ramp)
            wanted = due - self.started
        else:
            missing = plan.clients - self.alive
            self._credit = self._credit + plan.rate * passed if missing else 0.0  # it is not saved up
            wanted = min(int(self._credit), missing)
            self._credit -= wanted
        for _ in range(wanted):
            if not self._add():
                break

    def _see_ends(self) -> None:
        """End those whom the server has ended, and who can't see it: not who has just come, and is on no list yet."""
        if self.over or self._look is None:
            return
        served = self._look(self.target.address.port)
        if served is None:
            return
        before = self.reactor.now - LOOK_SECONDS
        for born, row, machine in list(self._alive.values()):
            where = row.local
            if born < before and row.state != OPENING_STATE and isinstance(where, tuple) and where[1] not in served:
                machine.feed(b"")
                row.close("the server has ended", reset=True)
        self.reactor.after(LOOK_SECONDS, self._see_ends)

    def _add(self) -> bool:
        try:
            self.reactor.connect(self.target.address, self._make, PATIENT)
        except OSError as error:
            self.unable = RAISE.get(error.errno or 0, str(error))
            return False
        self.started += 1
        self.peak = max(self.peak, self.alive)
        return True

    def _make(self, row: Row) -> Machine:
        dialogue = Asking(self.words, ear_of(self.target, self.statuses), self.tally)
        assert self.attack.machine is not None
        machine = self.attack.machine(row, dialogue, self.attack.requests)
        if isinstance(machine, Flooder):
            machine.pause = self.plan.clients / self.plan.rate
        self._alive[row.key] = self.reactor.platform.now(), row, machine
        ended = partial(self._ended, row.key)
        if self._seal is not None:
            return self._seal(machine, ended)
        machine.ended = ended  # type: ignore[attr-defined]
        return machine

    def _ended(self, key: int, reason: Reason) -> None:
        if key not in self._alive:
            return
        born, _, machine = self._alive.pop(key)
        if self.over:
            return
        in_order = SERVED if machine.behaves and machine.satisfied else CUT_OFF if machine.over else LEFT
        self.outcomes[OUTCOMES.get(reason.cause, in_order)] += 1
        self.lived.append(self.reactor.platform.now() - born)
