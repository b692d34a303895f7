"""What a scripted machine can be told: every verb, as a function of the machine and its numbers.

A verb returns what it wants of the engine, or None where that is nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ...engine import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    IDLE,
    NEXT,
    OPENING,
    PARK,
    READ,
    Become,
    Call,
    Cause,
    File,
    Idle,
    PeerError,
    Read,
    Wait,
    Want,
)
from ..clients.script import PAUSES, READINGS, SPOILT, TEXT
from .served import DeliberateError
from .stage import Gone

if TYPE_CHECKING:
    from .scripted import Scripted

DIGITS_MOST = 7
COUNT_MOST = 500  # of steps, calls, neighbours
MILLISECONDS_MOST = 10_000
SMALL_QUANTUM = 3000
LARGE_READ = 20_000


def _again(machine: "Scripted", verb: str, *numbers: int) -> None:
    machine.program.insert(0, ":".join((verb, *map(str, numbers))).encode())


def _bytes(machine: "Scripted", size: int, start: int) -> Want:
    return TEXT[start : start + size]


def _array(machine: "Scripted", size: int, start: int) -> Want:
    return bytearray(_bytes(machine, size, start))  # type: ignore[arg-type]


def _view(machine: "Scripted", size: int, start: int) -> Want:
    """Return a view whose items are wider than a byte, where that goes."""
    view = memoryview(TEXT)[start : start + size]
    return view.cast("I") if size and not size % 4 else view


def _tuple(machine: "Scripted", size: int, start: int) -> Want:
    text = TEXT[start : start + size]
    third = size // 3
    pieces = (text[:third], b"", bytearray(text[third : 2 * third]), memoryview(text)[2 * third :])
    return pieces if size else ()


def _file(machine: "Scripted", size: int, start: int) -> Want:
    return File(machine.stage.file, start, size)


def _many(machine: "Scripted", count: int, size: int, start: int) -> Want | None:
    if not count:
        return None
    _again(machine, "many", count - 1, size, start + size)
    return _bytes(machine, size, start)


def _files(machine: "Scripted", count: int, size: int, start: int) -> Want | None:
    if not count:
        return None
    _again(machine, "files", count - 1, size, start + size)
    return _file(machine, size, start)


def _empty(machine: "Scripted") -> Want:
    return b""


def _next(machine: "Scripted") -> Want:
    return NEXT


def _echo(machine: "Scripted", how: int, size: int) -> Want | None:
    """Hand back bytes from behind the line as they come."""
    data = machine.lines.inbox.take(size)
    if len(data) < size:
        _again(machine, "echo", how, size - len(data))
        return data or _reading(machine, how, 1.0)
    return data or None


def _pause(machine: "Scripted", how: int, milliseconds: int) -> Want | None:
    """Rest for a while, in one of the ways; whoever is stepped too early rests on."""
    if machine.until is None:
        machine.until = machine.row.now + milliseconds / 1000
    left = machine.until - machine.row.now
    if left <= 0:
        machine.until = None
        return None
    _again(machine, "pause", how, milliseconds)
    full = len(machine.lines) >= machine.row.limits.line_bytes
    return Wait(left) if machine.end_fed or full or how == 2 else _reading(machine, 2 * (how == 1), left)


def _reading(machine: "Scripted", how: int, seconds: float) -> Want:
    """Return one of the wants that read: the even ones have a time. `OPENING` where it may still be said."""
    if how == 3 and machine.opening:
        return OPENING
    return (Read(seconds), READ, Idle(seconds), IDLE)[how]


def _park(machine: "Scripted", milliseconds: int, times: int) -> Want | None:
    """Wait for an outcome, which comes back several times."""
    if not machine.awaited:
        _late(machine, milliseconds, times)
        machine.awaited = machine.tickets
    elif machine.outcome >= machine.awaited:
        machine.awaited = 0
        return None
    _again(machine, "park", milliseconds, times)
    return PARK


def _late(machine: "Scripted", milliseconds: int, times: int) -> Want | None:
    """Have an outcome come back that nobody waits for: in any state, or after the row has gone."""
    machine.tickets += 1
    for count in range(1, times + 1):
        machine.stage.call(machine.row, machine.tickets, count * milliseconds / 1000)
    return None


def _call(machine: "Scripted", how: int) -> Want | None:
    """Leave a piece of work to somebody else: wait for it, or go on meanwhile."""
    machine.calls += 1
    machine.in_flight.add(machine.calls)
    if how:
        machine.row.call(int, str(machine.calls), how="thread", tag=machine.calls)
        return None
    machine.away = machine.calls
    return Call(int, str(machine.calls), how="thread")


def _wake(machine: "Scripted") -> Want | None:
    machine.row.wake()
    return None


def _poke(machine: "Scripted", count: int) -> Want | None:
    machine.stage.poke(count)
    return None


def _report(machine: "Scripted") -> Want | None:
    machine.stage.report()
    return None


def _become(machine: "Scripted", how: int) -> Want:
    """Hand over to another of this kind, with what is left to do, all unread bytes, and perhaps other limits."""
    limits = machine.row.limits
    others = (
        None,
        replace(limits, quantum_bytes=min(limits.quantum_bytes, SMALL_QUANTUM)),
        replace(limits, receive_bytes=max(limits.receive_bytes, LARGE_READ)),
    )
    machine.over = True
    heir = type(machine)(machine.row, machine.stage)
    heir.fresh, heir.reads, heir.running = False, True, True
    heir.program, heir.answering, heir.reads_ahead = machine.program, machine.answering, machine.reads_ahead
    heir.tickets = heir.outcome = machine.tickets
    heir.spoilt = machine.spoilt
    return Become(heir, machine.lines.inbox.take(), others[how])


def _duplex(machine: "Scripted", on: int) -> Want | None:
    machine.reads_ahead = bool(on)
    return None


# Its end.


def _half(machine: "Scripted") -> Want:
    return HALF_CLOSE


def _close(machine: "Scripted") -> Want:
    return CLOSE


def _abort(machine: "Scripted") -> Want:
    machine.fate = Cause.ABORTED
    return ABORT


def _mistake(machine: "Scripted") -> Want:
    raise PeerError("as it was told")


def _bug(machine: "Scripted") -> Want:
    raise DeliberateError("as it was told")


def _nonsense(machine: "Scripted") -> Want:
    return DeliberateError("no want")  # type: ignore[return-value]


def _illegal(machine: "Scripted") -> Want:
    return OPENING


def _own(machine: "Scripted", reset: int, then: int) -> Want:
    """Close its own row, and still want something."""
    machine.row.close("by itself", reset=bool(reset))
    machine.fate = Cause.CLOSED_BY_PROGRAM
    if then >= len(_AFTER_ITS_END):
        raise (PeerError("too late"), DeliberateError("too late"))[then - len(_AFTER_ITS_END)]
    return _AFTER_ITS_END[then]()


def _killed(machine: "Scripted", milliseconds: int, reset: int) -> Want | None:
    machine.stage.kill(machine.row, milliseconds / 1000, bool(reset))
    return None


def _never(machine: "Scripted") -> Want:
    """Wait for an outcome that never comes."""
    _again(machine, "never")
    return PARK


def _cut(machine: "Scripted", size: int) -> Want:
    return File(machine.stage.file, len(TEXT), size)


def _gone(machine: "Scripted", size: int) -> Want:
    return File(Gone(), 0, size)


def _spoil(machine: "Scripted", member: int) -> Want | None:
    machine.spoilt += (SPOILT[member],)
    return None


_AFTER_ITS_END: tuple[Callable[[], Want], ...] = (
    lambda: b"too late",
    lambda: (b"too", b"late"),
    lambda: bytearray(b"too late"),
    lambda: File(Gone(), 0, 1 << 22),
    lambda: NEXT,
    lambda: READ,
    lambda: IDLE,
    lambda: PARK,
    lambda: Wait(0.01),
    lambda: OPENING,
    lambda: HALF_CLOSE,
    lambda: CLOSE,
    lambda: ABORT,
)

SIZE_MOST = len(TEXT)

VERBS: dict[bytes, tuple[Callable[..., Want | None], *tuple[int, ...]]] = {
    b"bytes": (_bytes, SIZE_MOST, SIZE_MOST),
    b"array": (_array, SIZE_MOST, SIZE_MOST),
    b"view": (_view, SIZE_MOST, SIZE_MOST),
    b"tuple": (_tuple, SIZE_MOST, SIZE_MOST),
    b"file": (_file, SIZE_MOST, SIZE_MOST),
    b"many": (_many, COUNT_MOST, SIZE_MOST, 2 * SIZE_MOST),
    b"files": (_files, COUNT_MOST, SIZE_MOST, 2 * SIZE_MOST),
    b"empty": (_empty,),
    b"next": (_next,),
    b"echo": (_echo, READINGS - 1, SIZE_MOST),
    b"pause": (_pause, PAUSES - 1, MILLISECONDS_MOST),
    b"park": (_park, MILLISECONDS_MOST, COUNT_MOST),
    b"late": (_late, MILLISECONDS_MOST, COUNT_MOST),
    b"call": (_call, 1),
    b"wake": (_wake,),
    b"poke": (_poke, COUNT_MOST),
    b"report": (_report,),
    b"become": (_become, 2),
    b"duplex": (_duplex, 1),
    b"half": (_half,),
    b"close": (_close,),
    b"abort": (_abort,),
    b"mistake": (_mistake,),
    b"bug": (_bug,),
    b"nonsense": (_nonsense,),
    b"illegal": (_illegal,),
    b"own": (_own, 1, len(_AFTER_ITS_END) + 1),
    b"killed": (_killed, MILLISECONDS_MOST, 1),
    b"never": (_never,),
    b"cut": (_cut, SIZE_MOST),
    b"gone": (_gone, SIZE_MOST),
    b"spoil": (_spoil, len(SPOILT) - 1),
}
"""Every verb: how it is done, and the most of each of its numbers."""


def size_of(verb: bytes) -> int:
    """Return how much a verb will answer; 0 for what is not understood."""
    name, *numbers = verb.split(b":")
    if not all(number.isdigit() and len(number) <= DIGITS_MOST for number in numbers):
        return 0
    if name in (b"many", b"files") and len(numbers) == 3:
        return int(numbers[0]) * int(numbers[1])
    return int(numbers[0]) if name in (b"bytes", b"array", b"view", b"tuple", b"file") and numbers else 0
