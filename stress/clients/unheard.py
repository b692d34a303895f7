"""A dialogue with somebody who never answers."""

from .dialogue import Owed, noise, some_size


class Unheard(Owed):
    """Says anything, and is owed nothing: whatever comes is wrong."""

    def exchange(self) -> tuple[bytes, bytes]:
        """Say a few bytes, or now and then very many."""
        return noise(self.random, some_size(self.random, 100_000)), b""
