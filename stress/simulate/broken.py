"""What a broken invariant is."""


class BrokenError(Exception):
    """An invariant does not hold: which, and where."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail
