"""What is attacked: where it is, what it speaks, and whether it may be attacked at all."""

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from ...engine import Address
from ...protocols.addresses import MistakeError, addresses_of

PROTOCOLS = ("http", "lines", "raw")
PORTS = {"http": 80, "https": 443}
PLAIN = re.compile(r"[!-~]+")


class Target(NamedTuple):
    """A server. `host` and `path` are what an HTTP request names; `text` is what the user has said.

    `secure`: all is said within TLS.
    """

    text: str
    protocol: str
    address: Address
    host: str = ""
    path: str = ""
    secure: bool = False


def parse_target(text: str, protocol: str | None, owned: bool) -> Target:
    """Read a target: a URL, or an address as `--bind` takes it. Names are looked up.

    `owned`: the user has said that a host that is not this machine is their own. Raises MistakeError.
    """
    scheme, dots, rest = text.partition("://")
    if dots and scheme.lower() not in PORTS:
        raise MistakeError(f"{text}: {scheme}:// is not spoken; a URL begins with http:// or https://")
    target = _url(scheme.lower() + dots + rest) if dots else _plain(text, protocol or "raw")
    if protocol is not None and target.protocol != protocol:
        raise MistakeError(f"{text}: a URL of HTTP, and --protocol {protocol}")
    if not owned and not is_local(target.address):
        raise MistakeError(f"{text}: not this machine; say --i-own-this-host if you may attack it")
    return target


def is_local(address: Address) -> bool:
    """Tell whether an address is one of this machine's, without a network between."""
    return address.kind == "unix" or ip_address(address.host.partition("%")[0]).is_loopback


def is_loopback(address: Address) -> bool:
    """Tell whether an address is in 127.0.0.0/8, of which every sender can be told apart."""
    return address.kind in ("tcp", "udp") and "." in address.host and ip_address(address.host).is_loopback


def _url(text: str) -> Target:
    try:
        parts = urlsplit(text)
        port = parts.port or PORTS[parts.scheme]
    except ValueError as error:
        raise MistakeError(f"{text}: {error}") from None
    path = _path_of(parts)
    if not parts.hostname or not PLAIN.fullmatch(path):
        raise MistakeError(f"{text}: not {parts.scheme}://HOST:PORT/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = addresses_of(f"{host}:{port}")[0]
    return Target(text, "http", address, parts.netloc.rpartition("@")[2], path, parts.scheme == "https")


def _path_of(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    return (parts.path or "/") + query


def _plain(text: str, protocol: str) -> Target:
    address = addresses_of(text)[0]
    if address.kind not in ("tcp", "unix", "udp") or (address.kind == "udp" and protocol == "http"):
        raise MistakeError(f"{text}: nothing to connect to")
    host = text.removeprefix("tcp:") if address.kind == "tcp" else "localhost"
    return Target(text, protocol, address, host, "/")
