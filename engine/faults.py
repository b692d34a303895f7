"""How unkind a simulated world is: the odds of each thing that a kernel, a network or a disk may do to a server.

All of it is legal: a server that fails under any of these would have failed one day on a real machine. Odds are
probabilities, 0 to 1, each time that the thing could happen. `Faults.drawn` draws the knobs themselves, so that some
seeds have one fault alone and often, others a little of everything, and some none at all.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from math import exp, log
from random import Random


@dataclass(frozen=True)
class Faults:
    """The odds of each fault; without arguments none happens."""

    # A call on a connection.
    short_read: float = 0.0  # recv returns less than has arrived, down to a byte
    short_write: float = 0.0  # send takes less than there is room for, down to a byte
    not_ready: float = 0.0  # EAGAIN although the poller has said that it is ready
    interrupted: float = 0.0  # EINTR, from a connection or a listener
    reset: float = 0.0  # the network breaks the connection here: ECONNRESET at any byte
    broken_pipe: float = 0.0  # the same, seen first by a send: EPIPE
    no_buffers: float = 0.0  # send fails with ENOBUFS: the connection is lost

    # A call of accept.
    accept_aborted: float = 0.0  # ECONNABORTED: the client has gone meanwhile
    accept_no_descriptor: float = 0.0  # EMFILE or ENFILE
    accept_no_buffers: float = 0.0  # ENOBUFS or ENOMEM

    # A poll.
    spurious: float = 0.0  # somebody is called ready who isn't
    early: float = 0.0  # it returns before its time with nothing, as a signal makes it do
    clock_jump: float = 0.0  # the process stood still, up to `jump_seconds`: all that was due comes at once
    jump_seconds: float = 60.0
    wall_jump: float = 0.0  # somebody sets the calendar, backwards or forwards by as much

    # What travels.
    lost: float = 0.0  # a segment is lost, and comes again after `resend_seconds`, and what is behind it waits
    resend_seconds: float = 0.2  # doubled each time that it is lost again
    end_with_data: float = 0.0  # a peer's end comes together with the bytes before it
    vanished: float = 0.0  # each time a peer sends: from here on nothing comes from it and nothing reaches it

    # The disk.
    slow_disk: float = 0.0  # a read of a file takes up to `disk_seconds`, and all wait for it
    disk_seconds: float = 0.1
    short_file: float = 0.0  # sendfile takes less than there is room for

    # Datagrams.
    datagram_lost: float = 0.0
    datagram_doubled: float = 0.0
    datagram_late: float = 0.0  # it comes after later ones
    datagram_cut: float = 0.0  # its end is missing
    datagram_blocked: float = 0.0  # the way out is full, and stays so for up to `blocked_seconds`
    blocked_seconds: float = 0.1

    # Calls that run elsewhere.
    call_seconds: float = 0.1  # each takes up to so long
    call_killed: float = 0.0  # nothing comes of one

    @cached_property
    def on_calls(self) -> bool:
        """A call on a connection may fail."""
        return any(getattr(self, name) for name in CALL_FAULTS)

    @classmethod
    def drawn(cls, random: Random, spared: float = 0.6) -> "Faults":
        """Draw the odds: a part of the faults is `spared` altogether, the others have 1 in 1,000 to 1 in 4."""
        odds = {name: 0.0 if random.random() < spared else exp(random.uniform(log(1e-3), log(0.25))) for name in ODDS}
        for name in RARE:
            odds[name] /= 25
        return cls(**odds, jump_seconds=exp(random.uniform(log(0.01), log(100.0))))


ODDS = tuple(field.name for field in fields(Faults) if not field.name.endswith("_seconds"))
"""The names of the faults."""

CALL_FAULTS = ("short_read", "short_write", "not_ready", "interrupted", "reset", "broken_pipe", "no_buffers")

RARE = ("reset", "broken_pipe", "no_buffers", "clock_jump", "wall_jump", "vanished")
"""Those that end a connection, or much at once: as often as the others they would leave nothing else to happen."""

OBSERVED = (
    "half_close",  # a client has ended its side and goes on reading, and the server's end has seen it
    "queue_full",  # a client has knocked at an accept queue that was full
    "reset_while_paused",  # an RST has come to an end of the server's that the poller isn't asked about
)
"""What is counted in `met` as it is seen, beside the faults, which are counted as they are done."""
