"""Freezing: a machine as bytes, at any byte of its input, and back.

All that a half-done request is lives in its machine as plain data, so a machine pickles. Its row does not: it stands
for a descriptor of this process. Within a frozen machine a row is therefore only its key, and whoever thaws says which
row that is now. What many machines have in common (an HTTP server, a chat's room) is frozen as its place in `shared`:
whoever thaws has his own.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from pickle import Pickler, Unpickler
from typing import Any, cast

from .machine import Machine
from .row import Row


def freeze(machine: Machine, shared: Sequence[object] = ()) -> bytes:
    """Return a machine as bytes. Raises what pickle raises for one whose state is not plain data."""
    frozen = BytesIO()
    _Pickler(frozen, shared).dump(machine)
    return frozen.getvalue()


def thaw(frozen: bytes, find: Callable[[int], Row | None], shared: Sequence[object] = ()) -> Machine:
    """Make the machine again; `find` returns the row of a key, None for one that has gone."""
    return cast(Machine, _Unpickler(BytesIO(frozen), find, shared).load())


class _Pickler(Pickler):
    def __init__(self, file: BytesIO, shared: Sequence[object]) -> None:
        super().__init__(file, protocol=5)
        self._places = {id(thing): place for place, thing in enumerate(shared)}

    def persistent_id(self, thing: Any) -> int | None:
        if isinstance(thing, Row):
            return thing.key
        place = self._places.get(id(thing))
        return None if place is None else -1 - place  # a row's key is never negative


class _Unpickler(Unpickler):
    def __init__(self, file: BytesIO, find: Callable[[int], Row | None], shared: Sequence[object]) -> None:
        super().__init__(file)
        self._find = find
        self._shared = shared

    def persistent_load(self, key: Any) -> object:
        return self._find(key) if key >= 0 else self._shared[-1 - key]
