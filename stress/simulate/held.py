"""How many bytes a machine holds, found by looking into it, and not by what it has counted itself.

`held_by` is for machines of this library, of which the classes tell where to look; `measured` looks at
whatever Python itself and its own containers hold.
"""

from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from random import Random
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType

from ...engine import Inbox, Limits, Reactor, Reason, Row, Weight
from ...engine.simulation import Simulation
from .broken import BrokenError

DEPTH_MOST = 6
NOTHING: dict[str, None] = {}
_PARTS: dict[type, dict[str, None]] = {}  # the slots of each kind of machine; NOTHING for what is none


def held_by(machine: object, depth: int = 0) -> int:
    """Return how many bytes a machine's buffers hold, wherever in it they are."""
    kind = type(machine)
    parts = _PARTS.get(kind)
    if parts is None:
        parts = _PARTS[kind] = _parts_of(kind)
    if parts is NOTHING or depth > DEPTH_MOST:
        return 0
    if kind is Inbox:
        return len(machine)  # type: ignore[arg-type]
    if kind is Weight:
        return machine.count  # type: ignore[attr-defined, no-any-return]
    held = 0
    for name in parts:
        held += held_by(getattr(machine, name, None), depth + 1)
    for part in getattr(machine, "__dict__", NOTHING).values():
        held += held_by(part, depth + 1)
    return held


def _parts_of(kind: type) -> dict[str, None]:
    """Return the names of a kind's slots, for what belongs to a machine and can hold bytes."""
    if not kind.__module__.startswith("partway.") or issubclass(kind, (Row, Reactor, Limits, Reason)):
        return NOTHING
    return {name: None for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())}


# Of machines that somebody else has written.

NO_DATA = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, Row, Reactor, Simulation, Limits, Reason)
BYTES = (bytes, bytearray, memoryview, str)


def measured(machine: object, shared: Sequence[object], most: int) -> int:
    """Return how many bytes a machine's buffers have counted. Raises BrokenError where it holds more than `most`.

    Bytes in no buffer of the engine's are looked for too: nobody else would notice a list that grows without end.
    """
    counted = found = 0
    seen = {id(thing) for thing in shared}
    left = [machine]
    while left:
        thing = left.pop()
        if thing is None or id(thing) in seen or isinstance(thing, (int, float, Random, *NO_DATA)):
            continue
        seen.add(id(thing))
        if isinstance(thing, Inbox):
            counted += len(thing)
            found += len(thing)
        elif isinstance(thing, Weight):
            counted += thing.count
        elif isinstance(thing, BYTES):
            found += len(thing)
        elif isinstance(thing, BytesIO):
            found += thing.getbuffer().nbytes
        elif isinstance(thing, array):
            found += thing.itemsize * len(thing)
        elif isinstance(thing, Mapping):
            left += thing.keys()
            left += thing.values()
        elif isinstance(thing, (list, tuple, set, frozenset, deque)):
            left += thing
        else:
            left += parts(thing)
    if max(counted, found) > most:
        detail = f"{type(machine).__name__} holds {max(counted, found)} bytes of {most} (held_most)"
        raise BrokenError("a buffer over its cap", f"{detail}; the engine was told of {counted}")
    return counted


def parts(thing: object) -> list[object]:
    """Return what an object's attributes refer to."""
    found = [*getattr(thing, "__dict__", {}).values()]
    for base in type(thing).__mro__:
        for slot in vars(base).values():
            if type(slot) is MemberDescriptorType:  # by what it is: its name may be mangled
                with suppress(AttributeError):
                    found.append(slot.__get__(thing))
    return found
