"""DNS: an authoritative server's answers from zone files, over UDP and TCP."""

from .counters import Counters
from .server import Server
from .stream import DnsStream
from .zone import Zone
from .zone_file import load_zone, parse_zone

__all__ = ["Counters", "DnsStream", "Server", "Zone", "load_zone", "parse_zone"]
