"""A client reads a file: blocks go out, a window of them at a time, and come back as acknowledgements.

A duplicate acknowledgement never has anything sent again (RFC 1123, 4.2.3.1: one such, answered, doubles everything
that follows, the sorcerer's apprentice). Only silence does, or one that names a block within the window: then the
client has not got those behind it (RFC 7440, 4).
"""

from typing import TYPE_CHECKING

from ...engine import DatagramRow, Want
from .packets import ACK, Terms, data, oack
from .round_trip import RoundTrip
from .source import Source
from .transfer import Transfer

if TYPE_CHECKING:
    from .service import Tftp


class Reading(Transfer):
    """The sending side. Block 0 is the OACK, where there is one.

    In memory is no block at all, but the place in the file of each that is in flight, and of the one behind them.
    """

    __slots__ = ("acknowledged", "done", "last", "places", "round_trip", "sent", "source")

    hears = ACK

    def __init__(
        self, row: DatagramRow, service: "Tftp", request: bytes, name: bytes, terms: Terms, source: Source
    ) -> None:
        super().__init__(row, service, request, name, terms)
        service.counters.reads += 1
        self.source = source
        self.acknowledged = self.sent = -1 if self.granted else 0
        self.last = -1  # the last block, once it has been sent
        self.places = [0]  # of each block from `acknowledged` + 1 to `sent` + 1
        self.done = False
        self.round_trip = None if terms.timeout else RoundTrip()  # a client that has said how long is taken at its word

    @property
    def finished(self) -> bool:
        """The last block has been acknowledged."""
        return self.done

    @property
    def over(self) -> bool:
        """Nothing but the last acknowledgement is missing, which may have been lost."""
        return self.done or self.last >= 0

    def hear(self, number: int, letter: bytes) -> None:
        """Take an acknowledgement: of the window's last block, or of one within it, to which to go back."""
        count = (number - self.acknowledged) & 0xFFFF
        if not 0 < count <= self.sent - self.acknowledged:
            return  # a duplicate, one that comes late, or of what was never sent
        self.acknowledged += count
        del self.places[:count]
        self.prove()
        self.progress(count, self._measure())
        if self.acknowledged == self.last:
            self.done = True
        elif self.acknowledged < self.sent:
            self._go_back()

    def _measure(self) -> float:
        """Return how long to wait for the next acknowledgement, now that one has come."""
        if self.round_trip is None:
            return self.first_pause
        if self.since >= 0:
            self.round_trip.measured(self.row.now - self.since)
        return self.round_trip.pause(self.first_pause)

    def repeat(self) -> None:
        """Send the window again."""
        self._go_back()

    def go_on(self) -> Want:
        """Send the next block of the window, or wait."""
        window = self.windowsize if self.acknowledged >= 0 else 1  # nobody agrees on more without proving that he hears
        if self.last >= 0 or self.sent >= self.acknowledged + window:
            return self.rest()
        self.sent += 1
        place = self.places[-1]
        if self.sent == 0:
            self.places.append(place)
            return oack(self.granted)
        payload, behind = self.source.block(place)
        self.places.append(behind)
        if len(payload) < self.blksize:
            self.last = self.sent
        return data(self.sent, payload)

    def _go_back(self) -> None:
        """Forget what was sent after the last acknowledgement."""
        self.sent = self.acknowledged
        self.last = -1
        del self.places[1:]

    def release(self) -> None:
        """Close the file."""
        self.source.close()

    def describe(self) -> str:
        """Say how far it is."""
        return f"reads {self.name!r}, block {self.acknowledged} of {self.source.size // self.blksize + 1}"
