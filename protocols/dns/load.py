"""How many queries come over UDP from who has proven nothing, and when that is too many.

Anybody can forge the sender of a datagram, and have answers sent to a victim. Below a limit that is tolerated. Above it
nobody is sent more bytes than he sent without having shown that he receives them, but for a cookie itself: 16 bytes.
"""

from typing import Final

PERIOD_SECONDS: Final = 1.0


class Load:
    """Counts unproven queries by periods of a second. `most` is how many of them are answered; `inf` for any number."""

    __slots__ = ("before", "count", "most", "until")

    def __init__(self, most: float) -> None:
        self.most = most
        self.count = 0
        self.before = 0  # in the period before this
        self.until = 0.0

    def too_many(self, now: float) -> bool:
        """Count one, and tell whether they come too fast: in this second, or in the last one."""
        if now >= self.until:
            self.before = self.count if now < self.until + PERIOD_SECONDS else 0
            self.count = 0
            self.until = now + PERIOD_SECONDS
        self.count += 1
        return self.count > self.most or self.before > self.most
