"""What a server has done, as numbers for its operator."""

from typing import Final

_ERRORS: Final = (
    "UNDEFINED",
    "NOT_FOUND",
    "FORBIDDEN",
    "DISK_FULL",
    "ILLEGAL",
    "UNKNOWN_ID",
    "EXISTS",
    "NO_SUCH_USER",
    "BAD_OPTIONS",
)


class Counters:
    """Numbers that only grow, from 0. `errors` are requests and packets that were answered with ERROR, by its code."""

    __slots__ = ("done", "errors", "failed", "ignored", "reads", "writes")

    def __init__(self) -> None:
        self.reads = 0  # transfers that began
        self.writes = 0
        self.done = 0  # of both, those that the client may well think whole
        self.failed = 0  # of both, those that ended before
        self.ignored = 0  # packets that meant nothing where they came: met with silence
        self.errors = [0] * len(_ERRORS)

    def numbers(self) -> dict[str, int]:
        """Return those that are not 0, by name."""
        names = ("reads", "writes", "done", "failed", "ignored")
        found = {name: getattr(self, name) for name in names}
        found |= dict(zip(_ERRORS, self.errors, strict=True))
        return {name: count for name, count in found.items() if count}
