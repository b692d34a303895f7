"""How long to wait for an acknowledgement, by how long others took (RFC 1123, 4.2.3.2; the estimate is RFC 6298's)."""

PAUSE_SECONDS_LEAST = 0.02  # no TFTP client delays an acknowledgement, but it may have a disk to wait for


class RoundTrip:
    """Seconds that an answer takes: `usual`, and how far one is off it on the average (`spread`)."""

    __slots__ = ("spread", "usual")

    def __init__(self) -> None:
        self.usual = -1.0  # none has been measured
        self.spread = 0.0

    def measured(self, seconds: float) -> None:
        """Take account of what was said once and answered: of what was repeated, nobody knows which was answered."""
        if self.usual < 0:
            self.usual, self.spread = seconds, seconds / 2
        else:
            self.spread += (abs(seconds - self.usual) - self.spread) / 4
            self.usual += (seconds - self.usual) / 8

    def pause(self, most: float) -> float:
        """Return how long to wait until it is said again: `most` seconds, where nothing is known."""
        return most if self.usual < 0 else min(most, max(PAUSE_SECONDS_LEAST, self.usual + 4 * self.spread))
