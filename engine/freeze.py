"""Freezing: a machine as bytes, at any byte of its input, and back.

All that a half-done request is lives in its machine as plain data, so a machine pickles. Its row does not: it stands
for a descriptor of this process. Within a frozen machine a row is therefore only its key, and whoever thaws says which
row that is now.
"""

from collections.abc import Callable
from io import BytesIO
from pickle import Pickler, Unpickler
from typing import Any, cast

from .machine import Machine
from .row import Row


def freeze(machine: Machine) -> bytes:
    """Return a machine as bytes. Raises what pickle raises for one whose state is not plain data."""
    frozen = BytesIO()
    _Pickler(frozen, protocol=5).dump(machine)
    return frozen.getvalue()


def thaw(frozen: bytes, find: Callable[[int], Row | None]) -> Machine:
    """Make the machine again; `find` returns the row of a key, None for one that has gone."""
    return cast(Machine, _Unpickler(BytesIO(frozen), find).load())


class _Pickler(Pickler):
    def persistent_id(self, thing: Any) -> int | None:
        return thing.key if type(thing) is Row else None


class _Unpickler(Unpickler):
    def __init__(self, file: BytesIO, find: Callable[[int], Row | None]) -> None:
        super().__init__(file)
        self._find = find

    def persistent_load(self, key: Any) -> Row | None:
        return self._find(key)
