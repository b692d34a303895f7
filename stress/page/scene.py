"""One table with its crowd, and what can be seen of it: plain data, which a page can draw."""

from collections import deque
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from ...engine import Reactor
from ...engine.memory import End
from ...engine.row import STATES, Row
from ...engine.simulation import Simulation
from ...protocols.http import Request, Response, Server
from .crowd import SERVER, Crowd, Visit
from .guests import KINDS, SIZES

SEND_SECONDS = 30e-6  # what a send costs besides its bytes
WINDOW_SECONDS = 20.0  # of visits that figures are made of
LEVELS = 60  # of the time that a row has left
NEXT_ROWS = 8  # in the listing: those whose time is over first
FIRST = 48  # "0": states, kinds and levels are written as characters from here on
STRANGER = len(KINDS)  # of a row whose guest has gone already
SAME_SECONDS = 0.01  # a deadline that a machine sets anew at each step differs by that
MILLION = 1e6
LINE, LINE_MOST = 10, 50  # megabytes a second: the usual, and what a page may ask for


class Line(Simulation):
    """A simulation in which to send takes time: the server has one line, and while it sends, everybody waits."""

    bytes_a_second = LINE * MILLION

    def carry(self, end: End, what: object, argument: object) -> None:
        """Let it arrive; if the server says it, only after it has gone out."""
        if end.descriptor >= 0 and type(argument) is bytes:
            self.spend(SEND_SECONDS + len(argument) / self.bytes_a_second)
        super().carry(end, what, argument)  # type: ignore[arg-type]


class Seen(NamedTuple):
    """What is remembered of a row between two looks."""

    place: int
    due: float
    whole: float
    """Seconds that it had when its deadline was set."""

    kind: int


class Scene:
    """A reactor with one schedule, before a crowd from a seed."""

    def __init__(self, schedule: str, seed: int = 1) -> None:
        self.schedule = schedule
        self.line = Line(seed)
        self.reactor = Reactor(self.line, schedule=schedule)
        bodies = {target: Response(200, body=bytes(size)) for target, size in SIZES.items()}

        def answer(request: Request) -> Response:
            return bodies.get(request.target) or Response(404)

        self.reactor.listen(SERVER, Server(answer))
        self.crowd = Crowd(self.line, seed)
        self.began = self.line.now()
        self.visits: deque[Visit] = deque()
        self._fresh: list[Visit] = []
        self._seen: dict[int, Seen] = {}  # by the row's key
        self._free: list[int] = []  # a heap of places
        self._places = 0

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.line.now() - self.began

    def turn(self, until: float) -> None:
        """Take one turn, and wait in it no longer than to `until`; a turn that has much to send ends later."""
        self.reactor.step(max(0.0, until - self.now))
        fresh, self.crowd.visits = self.crowd.visits, []
        self.visits += fresh
        self._fresh += fresh
        while self.visits and self.visits[0].at < self.line.now() - WINDOW_SECONDS:
            self.visits.popleft()

    # To look at.

    def look(self) -> dict[str, object]:
        """What changes with each picture: a cell for each row, and the visits since the last look.

        `cells` has three characters for each place, all counted from "0": the row's state (" " where there is none),
        what is left of its time in sixtieths, and its guest's kind.
        """
        fresh, self._fresh = self._fresh, []
        return {
            "now": self.now,
            "cells": self._cells(),
            "visits": [[round(visit.at - self.began, 3), round(visit.seconds, 5), visit.satisfied] for visit in fresh],
        }

    def tell(self, place: int = -1) -> dict[str, object]:
        """What people read: figures, the rows whose time is over first, and the one at a place."""
        totals = self.reactor.totals()
        waits = sorted(visit.seconds for visit in self.visits if visit.satisfied)
        return {
            "schedule": self.schedule,
            "median": waits[len(waits) // 2] if waits else None,
            "worst": waits[-1 - len(waits) // 100] if waits else None,
            "visits": len(self.visits),
            "unserved": sum(not visit.satisfied for visit in self.visits),
            "rows": totals.rows,
            "states": totals.states,
            "queued": totals.queued,
            "ended": totals.ended,
            "sent": totals.sent,
            "turns": totals.turns,
            "accepted": totals.accepted,
            "held": totals.held,
            "next": [self._describe(key) for key in self._next()],
            "asked": self._at(place),
        }

    def _cells(self) -> str:
        now, rows, seen = self.reactor.table.now, self.reactor.table.rows, self._seen
        for key in [key for key in seen if key not in rows]:
            heappush(self._free, seen.pop(key).place)
        cells = [""] * self._places
        for key, row in rows.items():
            one = self._see(key, row, now)
            if one.place >= len(cells):
                cells += [""] * (one.place + 1 - len(cells))
            level = LEVELS if one.due == inf else round(LEVELS * min(1.0, max(0.0, one.due - now) / one.whole))
            cells[one.place] = chr(FIRST + row.state) + chr(FIRST + level) + chr(FIRST + one.kind)
        for place in self._free:
            cells[place] = "   "
        return "".join(cells)

    def _see(self, key: int, row: Row, now: float) -> Seen:
        """Remember a row; where its deadline is another, from now on that one runs down."""
        one = self._seen.get(key)
        due = min(row.deadline(), row.until)
        if one is None:
            kind = self.crowd.kind_of.get(row.peer, STRANGER)
            one = self._seen[key] = Seen(self._take_place(), due, max(due - now, 1e-9), kind)
        elif not abs(due - one.due) < SAME_SECONDS and due != one.due:
            one = self._seen[key] = Seen(one.place, due, max(due - now, 1e-9), one.kind)
        return one

    def _take_place(self) -> int:
        if self._free:
            return heappop(self._free)
        self._places += 1
        return self._places - 1

    def _next(self) -> list[int]:
        """The keys of those whose time is over first."""
        due = [(one.due, key) for key, one in self._seen.items() if one.due != inf]
        heapify(due)
        return [heappop(due)[1] for _ in range(min(NEXT_ROWS, len(due)))]

    def _at(self, place: int) -> dict[str, object] | None:
        """The row that stands at a place."""
        return next((self._describe(key) for key, one in self._seen.items() if one.place == place), None)

    def _describe(self, key: int) -> dict[str, object]:
        report, one = self.reactor.row(key), self._seen[key]
        if report is None:
            return {"key": key, "place": one.place, "state": STATES[-1]}
        return {"place": one.place, "kind": one.kind, **report._asdict()}
