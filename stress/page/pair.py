"""Two tables that keep the same time, before the same crowd. Numbers go in and JSON comes out."""

import json
from collections.abc import Callable, Sequence
from time import perf_counter

from ...engine.row import STATES
from .guests import KINDS
from .scene import LINE, LINE_MOST, MILLION, Scene

SCHEDULES = ("fair", "shortest")
WAIT_SECONDS = 0.1  # of a single turn, at the most
TELL_SECONDS = 0.25  # between two looks at what people read, of the time that passes there


class Pair:
    """Two scenes. `clock` is for the time that may be spent on them, in seconds."""

    def __init__(self, seed: int = 1, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self.scenes = [Scene(schedule, seed) for schedule in SCHEDULES]
        self.until = 0.0  # how far both have been asked to come
        self._told = -TELL_SECONDS
        for number, kind in enumerate(KINDS):
            self.crowd(number, kind.usual)

    @staticmethod
    def legend() -> str:
        """What a page must know before it draws, as JSON."""
        kinds = [{"name": kind.name, "title": kind.title, "about": kind.about} for kind in KINDS]
        counts = [{"usual": kind.usual, "most": kind.most} for kind in KINDS]
        both = [one | count for one, count in zip(kinds, counts, strict=True)]
        line = {"usual": LINE, "most": LINE_MOST}
        return json.dumps({"states": STATES[:-1], "kinds": both, "line": line, "schedules": SCHEDULES})

    def crowd(self, number: int, count: int) -> None:
        """Have so many guests of a kind at both. Raises IndexError and ValueError."""
        for scene in self.scenes:
            scene.crowd.set(number, count)

    def line(self, megabytes: float) -> None:
        """Give both servers a line of so many megabytes a second. Raises ValueError."""
        if not megabytes > 0:
            raise ValueError(f"a line has more than {megabytes} MB/s")
        for scene in self.scenes:
            scene.line.bytes_a_second = megabytes * MILLION

    def advance(self, seconds: float, spend: float) -> float:
        """Let so much time pass in both, but spend no more than `spend` seconds on it; return how much has passed.

        A turn is never cut short, so it may spend a little more, and pass more. What could not be done is not caught
        up with: time there goes slower.
        """
        before, ends = self.until, self._clock() + spend
        until = before + seconds
        while True:
            scene = min(self.scenes, key=lambda one: one.now)
            if scene.now >= until or self._clock() >= ends:
                break
            scene.turn(until)
        self.until = max(before, min(until, min(one.now for one in self.scenes)))
        return self.until - before

    def turn(self) -> None:
        """Take one turn at each, which may wait for something to do."""
        for scene in self.scenes:
            scene.turn(scene.now + WAIT_SECONDS)
        self.until = max(self.until, min(one.now for one in self.scenes))

    def look(self, places: Sequence[int] = (-1, -1), always: bool = False) -> str:
        """What can be seen now, as JSON; with what people read a few times a second, or `always`."""
        seen = [scene.look() for scene in self.scenes]
        if always or self.until - self._told >= TELL_SECONDS:
            self._told = self.until
            for scene, one, place in zip(self.scenes, seen, places, strict=True):
                one["told"] = scene.tell(place)
        return json.dumps(seen)
