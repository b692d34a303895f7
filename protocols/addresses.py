"""What the user has asked for, and got wrong: a mistake is one line. Addresses are read, and names looked up, here."""

import socket

from ..engine import Address, parse_address
from ..engine.kernel import resolve


class MistakeError(Exception):
    """What the user got wrong, in one line."""


def addresses_of(text: str, kinds: tuple[str, ...] = ("tcp",)) -> list[Address]:
    """Read an address and look its name up. `kinds` are what HOST:PORT without a kind means. Raises MistakeError."""
    try:
        address = parse_address(text)
        plain = address.kind == "tcp" and not text.startswith("tcp:")
        found = [resolve(address._replace(kind=kind)) for kind in kinds] if plain else [resolve(address)]
    except UnicodeError:
        raise MistakeError(f"{text}: no host can have that name") from None
    except ValueError as error:
        raise MistakeError(str(error)) from None
    except socket.gaierror as error:
        raise MistakeError(f"{text}: {error.strerror}") from None
    pairs = zip(*found, strict=True) if len({len(places) for places in found}) == 1 else found
    return [place for places in pairs for place in places]
