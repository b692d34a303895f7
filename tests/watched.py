"""Bytes that tell how many of them were looked at or copied.

A search in a long buffer is one line of Python however long the buffer is, so counting lines alone would let a machine
pass that scans all it holds for each byte that comes. These look like bytes and bytearray, and count what C does.
"""

from typing import Any


class Counter:
    """The bytes touched since it was last set to 0."""

    touched = 0


COUNTED = Counter()
WHOLE = (
    *("count", "decode", "endswith", "hex", "isdigit", "lower", "lstrip", "partition", "removeprefix", "removesuffix"),
    *(
        "replace",
        "rfind",
        "rindex",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "strip",
        "translate",
        "upper",
    ),
)


def watch(thing: Any) -> Any:
    """Watch what came of a watched thing."""
    if type(thing) is bytes:
        return Watched(thing)
    if type(thing) in (tuple, list):
        return type(thing)(watch(part) for part in thing)
    return thing


class _Watching:
    """What both kinds have in common: each operation counts the bytes that it must look at."""

    def find(self, mark: Any, start: int = 0, end: int | None = None) -> int:
        length = len(self) if end is None else min(end, len(self))  # type: ignore[arg-type]
        place: int = super().find(mark, start, length)  # type: ignore[misc]
        COUNTED.touched += max(0, (place if place >= 0 else length) - start)
        return place

    def index(self, mark: Any, start: int = 0, end: int | None = None) -> int:
        place = self.find(mark, start, end)
        if place < 0:
            raise ValueError("not found")
        return place

    def __contains__(self, mark: Any) -> bool:
        if isinstance(mark, int):
            mark = bytes((mark,))
        return self.find(mark) >= 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)  # type: ignore[misc]
        if isinstance(place, slice):
            COUNTED.touched += len(found)
        return watch(found)


def _whole(kind: type, name: str) -> Any:
    plain = getattr(kind, name)

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        COUNTED.touched += len(self)
        return watch(plain(self, *arguments, **options))

    return method


class Watched(_Watching, bytes):  # type: ignore[misc]
    def __add__(self, other: Any) -> Any:
        COUNTED.touched += len(self) + len(other)
        return Watched(bytes(self) + bytes(other))

    def __radd__(self, other: Any) -> Any:
        if isinstance(other, bytearray):
            COUNTED.touched += len(self)
            return WatchedArray(other + bytes(self))
        return Watched.__add__(Watched(other), self)


class WatchedArray(_Watching, bytearray):  # type: ignore[misc]
    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        COUNTED.touched += len(other)
        self.extend(bytes(other))
        return self


for _name in WHOLE:
    setattr(Watched, _name, _whole(bytes, _name))
    if _name != "decode":
        setattr(WatchedArray, _name, _whole(bytearray, _name))
