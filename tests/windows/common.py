"""What the windows have in common: a server beside them, and what they tell of themselves at the end."""

import json
import statistics
import time
from collections.abc import Callable

from partway.engine import IDLE, LineBuffer, Reactor, Row, Want

FRAME_SECONDS = 1 / 60


class Shout:
    """Answers each line in capitals."""

    def __init__(self, row: Row) -> None:
        self.lines = LineBuffer(row, 1000)

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        line = self.lines.take()
        return IDLE if line is None else line.upper()


class Show:
    """Counts frames and clicks, and serves; ends when somebody says `end`, and starts to count anew at `load`."""

    def __init__(self, quit_loop: Callable[[], None]) -> None:
        self.reactor = Reactor()
        self.listener = self.reactor.listen("127.0.0.1:0", Shout)
        self.orders = self.reactor.listen("127.0.0.1:0", lambda row: Orders(row, self))
        self.quit_loop = quit_loop
        self.clicks = 0
        self.where: Callable[[], str] = lambda: ""  # the button is, on the screen
        self.last = 0.0
        self.times: list[float] = []
        self.told: dict[str, object] = {}

    def begin(self) -> None:
        """Tell where it listens."""
        print("PORTS", self.listener.address.port, self.orders.address.port, flush=True)

    def frame(self) -> None:
        """A frame is drawn."""
        now = time.perf_counter()
        if self.last:
            self.times.append(now - self.last)
        self.last = now

    def click(self) -> None:
        """Somebody has clicked."""
        self.clicks += 1

    def sum_up(self, what: str) -> None:
        """Keep what there was until now under a name."""
        times = sorted(self.times)
        self.told[what] = {
            "frames": len(times),
            "median": statistics.median(times) if times else None,
            "p99": times[int(len(times) * 0.99)] if times else None,
            "most": times[-1] if times else None,
        }
        self.times.clear()

    def end(self) -> None:
        """Tell all, and go."""
        self.sum_up("under load")
        totals = self.reactor.totals()
        print(json.dumps(self.told | {"clicks": self.clicks, "rows": totals.rows, "turns": totals.turns}), flush=True)
        self.quit_loop()


class Orders:
    """Does what the test says, a line at a time."""

    def __init__(self, row: Row, show: Show) -> None:
        self.lines = LineBuffer(row, 1000)
        self.row = row
        self.show = show

    def feed(self, data: bytes) -> None:
        self.lines.feed(data)

    def step(self) -> Want:
        line = self.lines.take()
        if line is None:
            return IDLE
        if line == b"load\n":
            self.show.sum_up("before")
        elif line == b"end\n":
            self.show.end()
        elif line == b"button\n":
            return f"{self.show.where()}\n".encode()
        return b"done\n"
