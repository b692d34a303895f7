"""Answers along CNAMEs, remembered: they take several looks, and are asked for again and again.

Only names that exist are remembered, so a flood of random ones changes nothing here. Who asks for an alias with each of
65,536 types can have the rest forgotten; then an answer is put together as if nothing had been remembered.
"""

from typing import Final

from .wire import Body

BODIES_MAX: Final = 2048
BODIES_BYTES_MAX: Final = 2**20
BODY_BYTES: Final = 300  # what one counts for besides its records: two objects, and a key


class Recall:
    """Answers by name, type and class. All are forgotten when they are too many, or too large."""

    __slots__ = ("bodies", "size")

    def __init__(self) -> None:
        self.bodies: dict[bytes, Body] = {}
        self.size = 0  # in bytes

    def put(self, question: bytes, body: Body) -> None:
        """Remember one that is not there."""
        size = len(body.tail) + BODY_BYTES
        if len(self.bodies) >= BODIES_MAX or self.size + size > BODIES_BYTES_MAX:
            self.bodies.clear()
            self.size = 0
        self.bodies[question] = body
        self.size += size
