"""How many bytes a machine holds, found by looking into it, and not by what it has counted itself."""

from ...engine import Inbox, Limits, Reactor, Reason, Row, Weight

DEPTH_MOST = 6


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


NOTHING: dict[str, None] = {}
_PARTS: dict[type, dict[str, None]] = {}  # the slots of each kind of machine; NOTHING for what is none


def _parts_of(kind: type) -> dict[str, None]:
    """Return the names of a kind's slots, for what belongs to a machine and can hold bytes."""
    if not kind.__module__.startswith("partway.") or issubclass(kind, (Row, Reactor, Limits, Reason)):
        return NOTHING
    return {name: None for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())}
