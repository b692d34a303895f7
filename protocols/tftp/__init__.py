"""A TFTP server over a folder: RFC 1350, with the options of RFC 2347, 2348 (blksize), 2349 (timeout, tsize), 7440.

`reactor.bind("udp:0.0.0.0:69", Tftp(reactor, "firmware"))` serves a folder to be read; `Tftp` says what else it can.
"""

from .counters import Counters
from .packets import Bounds
from .service import Tftp
from .transfer import tftp_limits

__all__ = ["Bounds", "Counters", "Tftp", "tftp_limits"]
