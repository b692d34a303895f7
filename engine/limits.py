"""Every number of the project, in one place, with its unit last in the name and one reason beside it.

A limit is frozen and cross-checked when made, so that a running engine never meets an impossible one. The same class
serves the whole reactor (how many rows, how much a turn) and one listener or row (how long, how much): a listener may
have its own, and a machine may change its row's with `Become`. Each limit has a test that fails when it is taken out.
"""

from dataclasses import dataclass, fields
from math import isnan

KIB = 1024
MIB = 1024 * KIB
KERNEL_MOST = 2**31 - 1  # what the kernel takes for an int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the engine will not go beyond. `inf` seconds means for ever; 0 means off where a comment says so.

    Raises ValueError, naming the field, when a number makes no sense alone or beside another.
    """

    # The table.
    rows_max: int = 0  # 0: the soft descriptor limit less 32, which the rest of the program keeps
    rows_per_peer_max: int = 0  # rows of one peer address; 0: off, for many users may share one address
    backlog: int = 1024  # connections that the kernel keeps for us while we are busy; the kernel clamps it
    held_bytes_max: int = 0  # all bytes buffered for all rows; 0: a quarter of memory, at most 512 MiB

    # One turn: no part of it may keep the others waiting.
    accepts_a_turn: int = 16  # per listener: each may ask at once, and those inside wait (64 were up to 19 ms)
    rows_a_turn: int = 256  # ready rows served between two polls
    expiries_a_turn: int = 1024  # deadlines that fire together are taken in bites
    turn_bytes: int = 256 * KIB  # sent from the run queue in one turn (without it `shortest` has twice the mean)

    # One visit to one row.
    receive_bytes: int = 16 * KIB  # one read of a row that has filled a short one
    receive_short_bytes: int = 448  # one read until then: past 512 malloc takes over, for 2 to 3 % of an echo
    quantum_bytes: int = 256 * KIB  # sent before another row has its chance
    step_bytes: int = 2 * KIB  # what a step counts for besides: a machine that never rests is a guest like others
    request_bytes: int = 16 * KIB  # what a request counts for: 16 pipelined ones, then another row has its chance

    # Datagrams.
    datagrams_a_turn: int = 64  # received per endpoint, and sent of those that wait (32, as libuv: 4 % more an echo)
    datagram_bytes: int = 65_535  # the longest that is taken; of a longer one no part is
    datagram_rows_max: int = 100_000  # per endpoint: they need no descriptor, and 0.6 KiB each
    datagram_queue_bytes: int = 256 * KIB  # per endpoint, what the kernel does not take now; more is dropped
    amplification_max: float = 3  # bytes to an unproven peer, for each that came from it (RFC 9000, 8.1)
    routes_max: int = 8  # ways to one row (QUIC servers keep 2 to 8 connection identifiers)

    # Calls: work that is done elsewhere.
    calls_max: int = 40  # in flight at once, all ways together; the others queue (socketserver: 40 children)
    calls_waiting_max: int = 10_000  # in that queue; who comes then is told so at once
    call_bytes_max: int = 16 * MIB  # pickled, what a forked child may tell

    # How long a row may be in each state.
    opening_seconds: float = 10  # connecting, or in a handshake, whatever arrives
    head_seconds: float = 10  # for a whole HTTP head, whatever arrives (HAProxy advises some seconds)
    request_seconds: float = 10  # the period in which a request must make progress (see rate_min)
    rate_min: float = 240  # bytes a second, looked at once a period (Kestrel's figure)
    idle_seconds: float = 15  # between requests (gunicorn 2, nginx 75)
    waiting_seconds: float = 300  # on a call, a timer or another row
    stall_seconds: float = 30  # the period of an answer, by what the peer has taken; then reset (nginx 60)
    linger_seconds: float = 5  # for the peer's end after ours; then reset (nginx 5)
    drain_seconds: float = 30  # after a request to stop (gunicorn 30)

    # When the kernel has no descriptors left.
    accept_pause_seconds: float = 0.1  # first pause of a listener that cannot accept; doubled while it fails
    accept_pause_seconds_max: float = 1.0

    # Protocols.
    line_bytes: int = 8 * KIB  # one line of a line protocol; an HTTP request line (Kestrel's figure)
    headers_max: int = 100  # header lines in one HTTP head
    head_bytes: int = 32 * KIB  # one whole HTTP head
    body_bytes: int = 1 * MIB  # one request's body that is collected (nginx); a handler may take longer ones in pieces
    spool_bytes: int = 256 * KIB  # of it in memory; then it goes to a temporary file
    chunk_line_bytes: int = 1 * KIB  # one chunk's size and its extensions
    ranges_max: int = 16  # ranges in one answer; asked for more, the whole is sent
    listing_entries_max: int = 10_000  # names on a folder's page
    files_kept_max: int = 256  # files in the cache: large ones open, small ones as bytes
    notsent_bytes: int = 128 * KIB  # TCP_NOTSENT_LOWAT: unsent bytes that the kernel takes from us for one row
    notsent_file_bytes: int = 4 * MIB  # for a long file: its pages are the page cache's, and 128 KiB halved the rate
    backlog_lines: int = 256  # lines that a chat's slowest member may be behind
    relay_bytes: int = 64 * KIB  # one direction of a tunnel

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isnan(value) or value < 0:
                raise ValueError(f"{field.name} must not be negative, and is {value}")
            if value == 0 and field.name not in _ZERO_MEANS_OFF:
                raise ValueError(f"{field.name} must be more than 0")
            if field.type is int and not isinstance(value, int):
                raise ValueError(f"{field.name} must be a whole number, and is {value}")
        for name in ("backlog", "notsent_bytes", "notsent_file_bytes"):
            if getattr(self, name) > KERNEL_MOST:
                raise ValueError(f"{name} must be at most {KERNEL_MOST}, which is the kernel's own limit")
        if self.accept_pause_seconds > self.accept_pause_seconds_max:
            raise ValueError("accept_pause_seconds must not exceed accept_pause_seconds_max")
        if self.receive_short_bytes > self.receive_bytes:
            raise ValueError("receive_short_bytes must not exceed receive_bytes")
        if self.line_bytes > self.head_bytes:
            raise ValueError("line_bytes must not exceed head_bytes: a request line is part of its head")


_ZERO_MEANS_OFF = frozenset({"rows_max", "rows_per_peer_max", "held_bytes_max", "rate_min"})
