"""DNS: an authoritative server's answers from zone files, over UDP and TCP.

What reads zone files needs dnspython, and that needs threads to be imported: not before it is asked for.
"""

from typing import TYPE_CHECKING, Any

from .counters import Counters
from .server import Server
from .stream import DnsStream
from .zone import Zone

if TYPE_CHECKING:
    from .zone_file import load_zone, parse_zone

__all__ = ["Counters", "DnsStream", "Server", "Zone", "load_zone", "parse_zone"]


def __getattr__(name: str) -> Any:
    """Return what reads zone files. Raises ImportError without dnspython."""
    if name not in ("load_zone", "parse_zone"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import zone_file

    return getattr(zone_file, name)
