"""A server engine for one thread: every request that has begun and not ended is a row in an explicit table.

Importing this imports no socket, no poller, no clock and no thread: the kernel's platform is loaded when a `Reactor` is
made without another one.
"""

from .buffers import Inbox, LineBuffer, Weight, keep
from .datagram_row import DatagramRow
from .endpoint import Endpoint, Service
from .limits import Limits
from .machine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Call,
    CallError,
    Cause,
    File,
    Idle,
    Machine,
    Outcome,
    PeerError,
    Read,
    Reason,
    Wait,
    Want,
)
from .platform import Address, Credentials, Where, parse_address
from .reactor import Reactor
from .report import RowReport, TotalsReport
from .row import Row
from .table import Notice

__all__ = [
    "ABORT",
    "CLOSE",
    "HALF_CLOSE",
    "IDLE",
    "NEXT",
    "OPENING",
    "PARK",
    "READ",
    "Address",
    "Become",
    "Call",
    "CallError",
    "Cause",
    "Credentials",
    "DatagramRow",
    "Endpoint",
    "File",
    "Idle",
    "Inbox",
    "Limits",
    "LineBuffer",
    "Machine",
    "Notice",
    "Outcome",
    "PeerError",
    "Reactor",
    "Read",
    "Reason",
    "Row",
    "RowReport",
    "Service",
    "TotalsReport",
    "Wait",
    "Want",
    "Weight",
    "Where",
    "keep",
    "parse_address",
]
