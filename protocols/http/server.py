"""What the connections of one HTTP server have in common: the handler, the log, and what is remembered of both."""

from collections.abc import Callable

from ...engine import Row
from .connection import Http
from .head import Head
from .message import Handler, Log, Request, Response, Taker, http_date
from .recall import Recall


class Server:
    """Makes an `Http` of each row, with one handler for all; what rows have in common is remembered here.

    `log` is called once for each answer, also for one that was cut off.
    """

    def __init__(self, handler: Handler, log: Log | None = None) -> None:
        self.handler = handler
        self.begin: Callable[[Request], Response | Taker | None] | None = getattr(handler, "begin", None)
        self.log = log
        self.recall = Recall()
        self.date = b""
        self.date_from = self.date_until = 0.0
        self.remembered: Callable[[Head, bytes], bytes | None] = getattr(handler, "remembered", _nothing)
        self.tick: Callable[[Row], None] | None = getattr(handler, "tick", None)

    def __call__(self, row: Row) -> Http:
        """Make one."""
        return Http(row, self)

    def __getstate__(self) -> Handler:
        return self.handler

    def __setstate__(self, handler: Handler) -> None:
        self.__init__(handler)  # type: ignore[misc]

    def date_line(self, row: Row) -> bytes:
        """Return the Date header. Once a second it is put together, and the handler told."""
        now = row.table.now  # as row.now, without a property's cost
        if not self.date_from <= now < self.date_until:
            wall = row.wall
            self.date = b"Date: %b\r\n" % http_date(int(wall)).encode()
            self.date_from, self.date_until = now, now + 1.0 - wall % 1
            if self.tick is not None:
                self.tick(row)
        return self.date


def _nothing(head: Head, date: bytes) -> None:
    """Remember no answer."""
