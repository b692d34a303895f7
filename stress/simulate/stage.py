"""What all scripted machines of a run have in common: a file, each other, and those who call back."""

import atexit
import os
from functools import cache
from itertools import islice
from tempfile import mkstemp
from typing import Any

from ...engine import Reactor, Row
from ...engine.row import GONE
from ..clients.script import TEXT


class ContractError(Exception):
    """The engine owed this machine something else."""


class TextFile:
    """TEXT as a real file: one for the process, opened anew for each run."""

    def __init__(self) -> None:
        self.descriptor = os.open(_text_path(), os.O_RDONLY)

    def fileno(self) -> int:
        """Return its descriptor. Raises OSError once it is closed."""
        if self.descriptor < 0:
            raise OSError("the file is closed")
        return self.descriptor

    def close(self) -> None:
        """Close it. A second call does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


@cache
def _text_path() -> str:
    descriptor, path = mkstemp(prefix="partway-")
    atexit.register(os.unlink, path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(TEXT)
    return path


class Gone:
    """A file that is not there any more."""

    def fileno(self) -> int:
        """Raise OSError."""
        raise OSError("the file has gone")


class Stage:
    """What all rows of a run have in common: whom else there is to wake, who calls back, and the file."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.file = TextFile()
        self.rows: dict[int, Row] = {}

    def call(self, row: Row, ticket: int, seconds: float) -> None:
        """Have an outcome come back to a row after these seconds, whatever has become of the row by then."""
        self.reactor.after(seconds, lambda: _come_back(row, ticket))

    def kill(self, row: Row, seconds: float, reset: bool) -> None:
        """Have a row closed from outside after these seconds."""
        self.reactor.after(seconds, lambda: row.close("by another", reset=reset))

    def poke(self, count: int) -> None:
        """Wake so many rows, whatever they are doing."""
        for row in list(islice(self.rows.values(), count)):
            row.wake()

    def report(self) -> None:
        """Read the whole table as an operator does: its sums must agree at any time."""
        rows, totals = list(self.reactor.rows()), self.reactor.totals()
        if not len(rows) == totals.rows == sum(totals.states.values()):
            raise ContractError(f"{len(rows)} rows are listed, {totals}")
        if sum(row.held for row in rows) != totals.held:
            raise ContractError(f"rows hold {sum(row.held for row in rows)} bytes, {totals}")


def _come_back(row: Row, ticket: int) -> None:
    machine: Any = row.machine
    if machine is not GONE:
        machine.outcome = max(machine.outcome, ticket)
    row.wake()
