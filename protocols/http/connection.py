"""HTTP/1.0 and 1.1 as a machine: heads in, answers out, one request a step.

What a half-done request is: the bytes of its head that have come (kept raw until the head is whole), a body that is
being taken, or what is left of its answer. Nothing else lives in the machine, so it freezes at any byte. What is
answered is a handler's business (see `message.py`).
"""

from typing import TYPE_CHECKING

from ...engine import (
    CLOSE,
    IDLE,
    NEXT,
    PARK,
    READ,
    Cause,
    File,
    Inbox,
    PeerError,
    Read,
    Reason,
    Row,
    Wait,
    Want,
    Weight,
)
from .head import HEAD_END, LINE_END, Head
from .intake import Collector, Intake
from .message import JOIN_BYTES, Answered, Body, Request, Response, refusal

if TYPE_CHECKING:
    from .server import Server

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_UNTIL_CLOSE = -2  # in place of a size, for an answer that ends with its connection
_IN_CHUNKS = -1

_REFUSALS = {
    Cause.REQUEST_TOO_SLOW: 408,
    Cause.MACHINE_ERROR: 500,
    Cause.WAITED_TOO_LONG: 504,
}


class Http:
    """One HTTP connection. `reactor.listen(address, Server(handler))` makes one for each row."""

    __slots__ = (
        "answering",
        "body",
        "closing",
        "fresh",
        "head_until",
        "inbox",
        "intake",
        "outgoing",
        "owed",
        "record",
        "refused",
        "row",
        "server",
        "weight",
    )

    def __init__(self, row: Row, server: "Server") -> None:
        self.row = row
        self.server = server
        self.fresh = b""  # what has just come, if nothing waited: the next step uses it or puts it into the inbox
        self.inbox = Inbox(row)
        self.head_until = 0.0  # when a head that has begun must be whole; 0 while none has
        self.intake: Intake | None = None  # the request whose body is being taken
        self.outgoing: tuple[bytes | File, ...] = ()  # pieces of the answer that come before its body's next
        self.body: Body | None = None  # what the answer's body is pulled from
        self.owed = 0  # bytes that it has still to give
        self.answering = False  # an answer has begun and not ended
        self.closing = False  # it is the last on this connection
        self.refused: Head | None = None  # what was asked, where that has failed
        self.record: _Record | None = None  # for the log
        self.weight: Weight | None = None  # what the answer's body holds, where it tells

    def feed(self, data: bytes) -> None:
        """Store what came."""
        if self.fresh or self.inbox.data:
            self._store()
            self.inbox.feed(data)
        else:
            self.fresh = data

    def step(self) -> Want:
        """Hand over the next piece of an answer, or end it, or go on with the next request."""
        if self.answering:
            if self.outgoing:
                piece, *rest = self.outgoing
                self.outgoing = tuple(rest)
                return piece
            if self.body is not None:
                return self._pull(self.body)
            if self.record is not None or self.intake is not None:
                self._end()
            self.answering = False  # not before: whatever has failed by now, the client has had its answer
            return NEXT
        fresh = self.fresh
        if not fresh:
            return IDLE if not self.inbox.data and self.intake is None and not self.closing else self._go_on()
        server = self.server
        recall = server.recall
        head = recall.whole.get(fresh)
        if head is None or self.intake is not None or recall.limits is not self.row.limits:
            self._store()
            return self._go_on()
        self.fresh = b""
        if head.memo is not None and server.log is None:
            remembered = server.remembered
            whole = remembered(head, server.date_line(self.row))
            if whole is not None:
                self.answering = True
                return whole
        return self._begin(Request(head, self.row))

    def _store(self) -> None:
        """Keep what has come for a later step."""
        fresh, self.fresh = self.fresh, b""
        if fresh:
            self.inbox.feed(fresh)

    def _go_on(self) -> Want:
        if self.closing:
            return CLOSE
        if self.intake is not None:
            return self._take_body(self.intake)
        head = self._read_head()
        return self._wait_for_head() if head is None else self._begin(Request(head, self.row))

    # Requests.

    def _read_head(self) -> Head | None:
        """Take a whole head out of what has come, if there is one."""
        self.inbox.skip(LINE_END)  # blank lines before a request are no request (RFC 9112, 2.2)
        size = self.inbox.find(HEAD_END)
        if size < 0:
            return None
        self.head_until = 0.0
        return self.server.recall.parse(self.inbox.take(size + len(HEAD_END)), self.row.limits)

    def _wait_for_head(self) -> Want:
        limits = self.row.limits
        if not self.inbox:
            return IDLE
        if len(self.inbox) > limits.line_bytes:
            first = self.inbox.peek(limits.line_bytes + len(LINE_END))
            if LINE_END not in first and not LINE_END.startswith(first[limits.line_bytes :]):
                raise PeerError("request line too long", 414)
            if len(self.inbox) > limits.head_bytes:
                raise PeerError("head too large", 431)
        if not self.head_until:
            self.head_until = self.row.now + limits.head_seconds
        left = self.head_until - self.row.now
        if left <= 0:
            raise PeerError(f"head not whole after {limits.head_seconds} s", 408)
        return Read(left)

    def _begin(self, request: Request) -> Want:
        """Ask the handler, at once or when the body is whole."""
        head, begin = request.head, self.server.begin
        self.server.date_line(self.row)  # first: the handler is told of each second before it is asked
        try:
            if b"expect" in head.names and head.version >= (1, 1) and head.tokens(b"expect") - {b"100-continue"}:
                raise PeerError("unknown expectation", 417)
            answer = None if begin is None else begin(request)
            if answer is None:
                if not head.length:
                    return self._answer(request, self.server.handler(request))
                answer = Collector(request, self.server.handler)
            if isinstance(answer, Response):
                return self._answer(request, answer, unread=head.length != 0)
        except Exception:
            self.refused = head
            raise
        self.intake = Intake(request, answer)
        return CONTINUE if head.expects_continue and not self.inbox else self._take_body(self.intake)

    def _take_body(self, intake: "Intake") -> Want:
        """Let what takes the body have what has come of it, and say what it wants."""
        moved = intake.move(self.inbox)
        want = intake.taker.step()
        if isinstance(want, Response):
            return self._answer(intake.request, want, unread=not intake.framing.done)
        if want is PARK or isinstance(want, Wait) or want == b"":
            return want
        if want is not READ:
            raise TypeError(f"{type(intake.taker).__name__}.step() returned {want!r} before its answer")
        if intake.over:
            raise RuntimeError(f"{type(intake.taker).__name__} asks for more than the whole body")
        intake.hungry = True
        return b"" if moved and self.inbox else READ

    # Answers.

    def _answer(self, request: Request, response: Response, unread: bool = False) -> Want:
        """Begin an answer; return its first piece. A body that nobody has read is left to the lingering close."""
        head, body = request.head, response.body
        if not isinstance(body, bytes):
            self.body = body  # first: whatever happens now, it will be closed
        self.closing = unread or response.closes or not head.keeps_alive
        connection = b"Connection: close\r\n" if self.closing else b"" if head.version >= (1, 1) else _KEEP_ALIVE
        if not response.whole:
            response.prepare()
        start = response.start + self.server.date_line(self.row)
        if not isinstance(body, bytes):
            piece = self._answer_from(head, body, start, connection)
            joined = 0
        elif head.method == "HEAD":
            piece = start + connection + response.rest[: len(response.rest) - (len(body) if response.whole else 0)]
            joined = 0
        else:
            piece = start + connection + response.rest
            joined = len(body)
            if joined > JOIN_BYTES:
                self.outgoing = (body,)
                joined = 0
        if self.server.log is not None:
            self.record = _Record(head, response.status, self.row.sent + len(piece) - joined)
        self.answering = True
        return piece

    def _answer_from(self, head: Head, body: Body, start: bytes, connection: bytes) -> bytes:
        """Begin an answer whose body is pulled: by its length, in chunks, or up to the connection's end."""
        size = body.size
        if size is not None:
            self.owed = size
            frame = b"Content-Length: %d\r\n" % size
        elif head.version >= (1, 1):
            self.owed = _IN_CHUNKS
            frame = b"Transfer-Encoding: chunked\r\n"
        else:
            self.owed = _UNTIL_CLOSE
            self.closing = True
            frame, connection = b"", b"Connection: close\r\n"
        if head.method == "HEAD":
            self._close_body()
        return start + connection + frame + LINE_END

    def _pull(self, body: Body) -> Want:
        """Ask for the next piece of the answer's body, and frame it."""
        want = body.step()
        held = getattr(body, "held", 0)
        if held or self.weight is not None:
            self.weight = self.weight or Weight(self.row)
            self.weight.set(held)
        if want is NEXT:
            if self.owed > 0:
                raise RuntimeError(f"{type(body).__name__} ended {self.owed} bytes early")
            last = b"0\r\n\r\n" if self.owed == _IN_CHUNKS else b""
            self._close_body()
            return last
        if want is PARK or isinstance(want, Wait):
            return want
        if not isinstance(want, (bytes, bytearray, memoryview, File)):
            raise TypeError(f"{type(body).__name__}.step() returned {want!r}, which is no piece of a body")
        size = want.nbytes if isinstance(want, memoryview) else len(want)
        if self.owed >= 0:
            self.owed -= size
            if self.owed < 0:
                raise RuntimeError(f"{type(body).__name__} gave {-self.owed} bytes too many")
        elif self.owed == _IN_CHUNKS and size:
            if not isinstance(want, File):
                return b"%x\r\n" % size, want, LINE_END
            self.outgoing = (want, LINE_END)
            return b"%x\r\n" % size
        return want

    def _end(self) -> None:
        self._close_intake()  # not before: the answer may still have been reading what was sent
        if self.record is not None:
            self._log(self.record)

    # Ends.

    def refuse(self, reason: Reason) -> bytes | None:
        """Say why, unless nobody has asked anything; None where an answer has begun."""
        status = _REFUSALS.get(reason.cause, 0)
        if reason.cause is Cause.PEER_ERROR:
            status = reason.hint or 400
        if self.answering:
            return None
        if not status:
            return b""
        response = refusal(status)
        response.prepare()
        head = self.refused if self.intake is None else self.intake.request.head
        self._close_intake()  # now: the row will linger, and nobody reads on
        start = response.start + self.server.date_line(self.row) + b"Connection: close\r\n"
        end, mark, text = response.rest.partition(HEAD_END)
        start += end + mark
        if self.server.log is not None:
            self.record = _Record(head, status, self.row.sent + len(start))
        return start if head is not None and head.method == "HEAD" else start + text

    def ended(self, reason: Reason) -> None:
        """Close what is open; each of it, also where one of them fails."""
        try:
            self._close_body()
        finally:
            try:
                self._close_intake()
            finally:
                if self.record is not None:
                    self._log(self.record)

    def _close_body(self) -> None:
        body, self.body = self.body, None
        self.owed = 0
        if self.weight is not None:
            self.weight.set(0)
            self.weight = None
        close = getattr(body, "close", None)  # what is no body at all has none, and has failed already
        if close is not None:
            close()

    def _close_intake(self) -> None:
        intake, self.intake = self.intake, None
        if intake is not None:
            intake.close()

    def _log(self, record: "_Record") -> None:
        self.record = None
        if self.server.log is not None:
            self.server.log(record.answered(self.row))

    def remaining(self) -> int | None:
        """Return how much is left to send after the piece that the engine has; None where nobody knows."""
        return None if self.owed < 0 else self.owed + sum(len(piece) for piece in self.outgoing)

    def describe(self) -> str:
        """Say what is being sent, or how much of a head has come."""
        if self.body is not None:
            return f"sends {self.body}"
        if self.intake is not None:
            return f"takes the body of {self.intake.request.head.method}"
        return f"{len(self.inbox)} bytes of a head" if self.inbox else "HTTP"


class _Record:
    """What will be logged of an answer, and from where its bytes count."""

    __slots__ = ("body_from", "head", "status")

    def __init__(self, head: Head | None, status: int, body_from: int) -> None:
        self.head = head
        self.status = status
        self.body_from = body_from  # the row's count of sent bytes where the body begins

    def answered(self, row: Row) -> Answered:
        """Return the line."""
        return Answered(row.peer, row.wall, self.head, self.status, max(0, row.sent - self.body_from))


_KEEP_ALIVE = b"Connection: keep-alive\r\n"
