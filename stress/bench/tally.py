"""What was measured, server by server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from .figures import Reasons
from .measure import Server, UnableError

Figure = TypeVar("Figure")


class Tally(Generic[Figure]):
    """The figures of each server. One that fails once is out: its others are a broken one's."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.figures: dict[Server, list[Figure]] = {server: [] for server in servers}
        self.reasons: Reasons = {}

    @contextmanager
    def excluding(self, server: Server) -> Iterator[None]:
        """Work for one server, whose failure shall not end the others' bench."""
        try:
            yield
        except UnableError as reason:
            self.reasons[server] = str(reason)
            del self.figures[server]
