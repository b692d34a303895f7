"""The line protocol with the shortest answer that shows its line."""

from ...protocols.lines import Lines


class Shout(Lines):
    """Hand a line back in capitals."""

    def answer(self, line: bytes) -> bytes:
        """In capitals."""
        return line.upper() + b"\n"
