"""DNS cookies (RFC 7873): who brings back what we gave to an address does receive there, so nobody forges it.

A server cookie is laid out as RFC 9018, 4 has it (version, three zeros, a time, eight bytes of hash over both, the
client's cookie and its address), but for two things that only its maker can see: the hash is blake2s with a key, for
the standard library has no SipHash, and the time is the server's own clock, not the world's. So a group of servers
behind one address cannot share these, and other makers' are refused.
"""

from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from random import Random
from typing import Final

from .message import COOKIE_CLIENT_BYTES

SERVER_BYTES: Final = 16
HASH_BYTES: Final = 8
SECRET_BYTES: Final = 32
GOOD_SECONDS: Final = 3600  # since it was made (RFC 9018, 4.3)
FRESH_SECONDS: Final = 1800  # then a new one is given
SECRET_SECONDS: Final = 86400  # a secret is used for a day, and known for another (RFC 7873, 7.1 wants 36 days at most)

_VERSION: Final = b"\1\0\0\0"


class Cookies:
    """Makes and checks cookies. Plain data, but for the clock `now`, in seconds; `random` gives the secrets."""

    __slots__ = ("made_at", "now", "old_secret", "random", "secret")

    def __init__(self, now: Callable[[], float], random: Random) -> None:
        self.now = now
        self.random = random
        self.secret = self.old_secret = random.randbytes(SECRET_BYTES)
        self.made_at = now()

    def check(self, cookie: bytes, host: str) -> tuple[bytes, bool]:
        """Return the whole cookie to answer with, and whether the one that came has proven its host.

        `cookie` begins with the client's eight bytes; what a server gave may follow.
        """
        now = int(self.now())
        if now - self.made_at >= SECRET_SECONDS:
            self.old_secret, self.secret = self.secret, self.random.randbytes(SECRET_BYTES)
            self.made_at = now
        proven = False
        if len(cookie) == COOKIE_CLIENT_BYTES + SERVER_BYTES:
            made_at = int.from_bytes(cookie[12:16], "big")
            age = now - made_at
            if 0 <= age <= GOOD_SECONDS:
                secret = self.secret if made_at >= self.made_at else self.old_secret
                proven = compare_digest(_hash(secret, cookie[:16], host), cookie[16:])
                if proven and age < FRESH_SECONDS:
                    return cookie, True
        start = cookie[:COOKIE_CLIENT_BYTES] + _VERSION + (now & 0xFFFFFFFF).to_bytes(4, "big")
        return start + _hash(self.secret, start, host), proven


def _hash(secret: bytes, start: bytes, host: str) -> bytes:
    return blake2s(start + host.encode(), key=secret, digest_size=HASH_BYTES).digest()
