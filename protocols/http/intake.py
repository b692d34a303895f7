"""A request whose body is being taken: framed here, and handed to whoever takes it, as fast as that one asks."""

from ...engine import READ, Inbox, PeerError, Want
from .framing import Framing
from .message import Handler, Request, Response, Taker
from .spool import Spool


class Intake:
    """A request whose body is being taken, and by whom."""

    __slots__ = ("framing", "hungry", "over", "request", "taker")

    def __init__(self, request: Request, taker: Taker) -> None:
        self.request = request
        self.taker = taker
        self.framing = Framing(request.head.length)
        self.hungry = True  # it has asked for more
        self.over = False  # it has been told the end

    def move(self, inbox: Inbox) -> bool:
        """Feed what has come, if more was asked for; return whether what is left is worth another look."""
        if not self.hungry or self.over:
            return True
        before = len(inbox)
        data = self.framing.take(inbox, self.request.row.limits)
        if data:
            self.hungry = False
            self.taker.feed(data)
        if self.framing.done:
            self.over = True
            self.request.trailers = self.framing.trailers
            self.taker.feed(b"")
        return len(inbox) < before

    def close(self) -> None:
        """Let the taker close what it has open."""
        close = getattr(self.taker, "close", None)
        if close is not None:
            close()


class Collector:
    """Takes a body whole, and then asks the handler."""

    __slots__ = ("handler", "request", "spool", "whole")

    def __init__(self, request: Request, handler: Handler) -> None:
        limits = request.row.limits
        if request.head.length > limits.body_bytes:
            raise PeerError("body too large", 413)
        self.request = request
        self.handler = handler
        self.spool = Spool(request.row)
        self.whole = False

    def feed(self, data: bytes) -> None:
        """Store it."""
        if data:
            self.spool.feed(data)
        else:
            self.whole = True

    def step(self) -> Want | Response:
        """Ask for more, or the handler."""
        if len(self.spool) > self.request.row.limits.body_bytes:
            raise PeerError("body too large", 413)
        if not self.whole:
            return READ
        self.request.body = self.spool
        return self.handler(self.request)

    def close(self) -> None:
        """Forget it."""
        self.spool.close()
