"""What both directions have in common: what has come in, patience, repetition, mistakes, and the end.

Whoever waits for the other says it again after a time-out, which doubles from a second (or from what the client's
option says) to eight, and gives up when it has said the same nine times, three times while the peer is unproven. The
sender of blocks, who knows how long its client takes to answer, begins with less, and does not count what it says again
within that second. That is for a peer that is silent. What is not progress resets nothing, so garbage and duplicates
keep no transfer alive. And for one that goes on at a trickle: in each period of `request_seconds` as much must have
moved as `rate_min` says.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ...engine import CLOSE, NEXT, Become, Cause, DatagramRow, Limits, PeerError, Read, Reason, Want, Weight, Where
from .packets import ERROR, RRQ, UNDEFINED, WRQ, Terms, number_of, opcode_of

if TYPE_CHECKING:
    from .service import Tftp

PAUSE_SECONDS = 1.0  # before something is said again for the first time
PAUSE_SECONDS_MOST = 8.0  # it doubles up to here, or to what the client has asked for. Many clients begin to wait anew
#                           for what comes twice, without an answer, and lose patience after 5 or 6 seconds: no oftener
REPEATS_MOST = 8  # 55 seconds: of a fast line that loses 30 % each way, one block in 24,000 is not acknowledged by then
REPEATS_UNPROVEN = 2  # 7 seconds; a client that is there asks again, and another transfer begins
PERIOD_SECONDS = 60.0  # of the rate: a line that loses so much makes a pause of seconds for each block
RATE_MIN = 60.0  # bytes a second
BLOCK_LEAST = 512  # what a block counts for at the least: that they are small, on a bad line, is nobody's fault
AMPLIFICATION_MAX = 160.0  # the first block and two repeats, 1548 bytes, for the shortest request, of 10
INTAKE_BYTES = 64 * 1024  # that wait while output is blocked; one datagram more may
LETTER_BYTES = 64  # what each of them counts for besides its own


@lru_cache(maxsize=64)
def tftp_limits(limits: Limits, period: float = PERIOD_SECONDS) -> Limits:
    """Return limits for transfers, which the machines give to their rows.

    An unproven peer is sent no more than its first packet, or OACK, three times, but that is more than three times what
    it has sent. `rate_min` and `request_seconds` are for blocks of 512 bytes on lines that lose many.
    """
    return replace(
        limits,
        amplification_max=max(limits.amplification_max, AMPLIFICATION_MAX),
        request_seconds=max(limits.request_seconds, period),
        rate_min=min(limits.rate_min, RATE_MIN),
    )


class Transfer:
    """One transfer. A subclass hears the other side's blocks (`hear`) and says what is next (`go_on`).

    `request` is the datagram that it began with; `peer` is set, by the service, for one on a port of its own. All is
    plain data, and pickles; the file does as its path. What is shared with others is the service.
    """

    __slots__ = (
        "blksize",
        "due",
        "first_pause",
        "granted",
        "letters",
        "moved",
        "name",
        "pause",
        "peer",
        "period_ends",
        "repeats",
        "request",
        "row",
        "said_next",
        "service",
        "since",
        "weight",
        "windowsize",
    )

    hears = 0  # the opcode of what the other side's blocks are in
    repeats_most = REPEATS_MOST

    def __init__(self, row: DatagramRow, service: "Tftp", request: bytes, name: bytes, terms: Terms) -> None:
        self.row = row
        self.service = service
        self.peer: Where = None
        self.request = request
        self.name = name
        self.blksize = terms.blksize
        self.windowsize = terms.windowsize
        self.granted = terms.granted
        self.first_pause = self.pause_for(terms.timeout)
        self.letters: list[bytes] = []
        self.weight = Weight(row)
        row.limits = tftp_limits(row.limits)
        self.moved = 0  # bytes in this period
        self.period_ends = row.now + row.limits.request_seconds
        self.repeats = 0
        self.pause = PAUSE_SECONDS  # the client's own counts once it is proven
        self.since = row.now  # when that was said which waits for an answer; -1 once it has been said again
        self.due = self.since + self.pause
        self.said_next = False

    # What a subclass gives.

    def pause_for(self, timeout: int) -> float:
        """Return how long a proven peer may be silent before it is told something again; `timeout` is its own, or 0."""
        return float(timeout or PAUSE_SECONDS)

    @property
    def over(self) -> bool:
        """The client may well think that this transfer has ended, so that what it asks now is something new."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """All has been sent and acknowledged."""
        raise NotImplementedError

    def hear(self, number: int, letter: bytes) -> bytes | None:
        """Take the other side's block; return the answer, None where there is none. Raises PeerError."""
        raise NotImplementedError

    def go_on(self) -> Want:
        """Say what is next, with nothing to hear."""
        raise NotImplementedError

    def repeat(self) -> bytes | None:
        """The other side has been silent: go back to what it has acknowledged, or return what is to be said again."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of the file."""
        raise NotImplementedError

    # The machine.

    @property
    def duplex(self) -> bool:
        """Take in a little while output is blocked."""
        return self.weight.count < INTAKE_BYTES

    def feed(self, data: bytes) -> None:
        """Store a datagram."""
        self.letters.append(data)
        self.weight.set(self.weight.count + len(data) + LETTER_BYTES)

    def step(self) -> Want:
        """Hear what has come, up to the first thing that has an answer; or say something, or wait."""
        while self.letters:
            letter = self.letters.pop(0)
            self.weight.set(self.weight.count - len(letter) - LETTER_BYTES)
            answer = self._hear(letter)
            if answer is not None:
                return answer
        if self.finished:
            if not self.said_next:
                self.said_next = True
                return NEXT
            return self.linger()
        said = self.repeat() if self._has_expired() else None
        return self.go_on() if said is None else said

    def linger(self) -> Want:
        """Say what comes after the end."""
        return CLOSE

    def rest(self) -> Want:
        """Wait until something is to be said again."""
        return Read(max(0.0, self.due - self.row.now))

    def _hear(self, letter: bytes) -> Want | None:
        opcode = opcode_of(letter)
        if opcode == self.hears:
            number = number_of(letter)
            if number >= 0:
                return self.hear(number, letter)
        if opcode in (RRQ, WRQ):
            return self._asked_for_more(letter)
        if opcode == ERROR and self.finished:
            return CLOSE
        if opcode == ERROR:
            raise PeerError(f"client: {letter[4:84].rstrip(bytes(1)).decode('ascii', 'replace')}")
        self.service.counters.ignored += 1
        return None

    def _asked_for_more(self, letter: bytes) -> Want | None:
        """A request has come to a transfer: the same again, which is being answered anyway, or another one.

        On a port of its own none has any business.
        """
        if letter == self.request:
            return None
        counters = self.service.counters
        if self.peer is not None:
            counters.ignored += 1
            return None
        if not self.over:
            return self.service.error(UNDEFINED, "another transfer is under way")
        outcome = self.service.prepare(letter)
        if isinstance(outcome, bytes):
            return outcome
        counters.done += 1
        self.release()
        self.weight.set(0)
        return Become(outcome(self.row), letter)

    # Patience.

    def progress(self, blocks: int, pause: float) -> None:
        """So many blocks have been acknowledged, or have come: patience begins anew, with a time-out of so long."""
        self.moved += blocks * max(self.blksize, BLOCK_LEAST)
        self.repeats = 0
        self.pause = pause
        self.since = self.row.now
        self.due = self.since + pause

    def prove(self) -> None:
        """The peer has answered what was sent to it alone: it is there. From now on its own time-out counts."""
        row = self.row
        row.proven = True
        period = 3 * self.first_pause  # in which it may well be silent
        if period > row.limits.request_seconds:
            row.limits = tftp_limits(row.limits, period)
            self.period_ends = row.now + period

    def _has_expired(self) -> bool:
        """Tell whether it is time to say something again. Raises PeerError where it has been said often enough."""
        now, limits = self.row.now, self.row.limits
        if now >= self.period_ends:
            if self.moved < limits.rate_min * limits.request_seconds:
                raise PeerError("too slow", UNDEFINED)
            self.moved = 0
            self.period_ends = now + limits.request_seconds
        if now < self.due:
            return False
        self.since = -1.0
        if self.pause >= PAUSE_SECONDS:
            self.repeats += 1
        if self.repeats > REPEATS_UNPROVEN and not self.row.proven:
            raise PeerError("nobody there")  # or somebody about to ask again, who must not take an ERROR for the answer
        if self.repeats > self.repeats_most:
            raise PeerError("timed out", UNDEFINED)
        self.pause = min(2 * self.pause, max(PAUSE_SECONDS_MOST, self.first_pause))
        self.due = now + self.pause
        return True

    # The end.

    def refuse(self, reason: Reason) -> bytes:
        """Return the ERROR to end with; nothing where the transfer has ended, or the mistake has no code."""
        if self.finished or (reason.cause is Cause.PEER_ERROR and reason.hint is None):
            return b""
        if reason.cause is Cause.PEER_ERROR:
            return self.service.error(reason.hint, reason.detail)
        return self.service.error(UNDEFINED, "server failed" if reason.cause is Cause.MACHINE_ERROR else "timed out")

    def ended(self, reason: Reason) -> None:
        """Let go of the file, and have the service forget."""
        counters = self.service.counters
        if self.finished:
            counters.done += 1
        else:
            counters.failed += 1
        self.release()
        self.service.forget(self)
