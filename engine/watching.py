"""Descriptors of the program's own, which stand among the engine's and are polled with them."""

from collections.abc import Callable

from .platform import FAILED, READABLE, WRITABLE
from .table import Table


class Watch:
    """One descriptor, and who is called when it is ready. Stands in the table's doors."""

    __slots__ = ("_descriptor", "_readable", "_table", "_writable", "mask")

    def __init__(
        self,
        table: Table,
        descriptor: int,
        readable: Callable[[], None] | None,
        writable: Callable[[], None] | None,
    ) -> None:
        self._table = table
        self._descriptor = descriptor
        self._readable = readable
        self._writable = writable
        self.mask = (READABLE if readable is not None else 0) | (WRITABLE if writable is not None else 0)

    def ready(self, mask: int) -> None:
        """Call whom it concerns; the second only if the first has not called it off."""
        if self._readable is not None and mask & (READABLE | FAILED):
            self._readable()
        still = self._table.doors.get(self._descriptor) is self
        if self._writable is not None and mask & (WRITABLE | FAILED) and still:
            self._writable()


def watch(
    table: Table, descriptor: int, readable: Callable[[], None] | None, writable: Callable[[], None] | None
) -> None:
    """Begin, in place of what was called for the same descriptor before. Raises ValueError and OSError."""
    new = Watch(table, descriptor, readable, writable)
    if not new.mask:
        raise ValueError("a descriptor is watched for something: unwatch() calls that off")
    known = _known(table, descriptor)
    if known is None:
        table.poller.register(descriptor, new.mask)
    elif known.mask != new.mask:
        table.poller.modify(descriptor, new.mask)
    table.doors[descriptor] = new


def unwatch(table: Table, descriptor: int) -> None:
    """Call it off. Raises KeyError and ValueError."""
    if _known(table, descriptor) is None:
        raise KeyError(descriptor)
    del table.doors[descriptor]
    table.poller.unregister(descriptor)


def _known(table: Table, descriptor: int) -> Watch | None:
    door = table.doors.get(descriptor)
    if descriptor in table.by_descriptor or not (door is None or isinstance(door, Watch)):
        raise ValueError(f"descriptor {descriptor} is the engine's own")
    return door
