"""The contract between the engine and a machine: what a machine is, and what it may want.

A machine is fed bytes and then stepped; it never sees a socket, never blocks, never sleeps, never reads a clock. What
`step()` returns is a *want*, one instruction for the engine. Wants are values, not exceptions or callbacks, so a
half-done request has no stack frame: everything that it is stands in its machine as plain data, and pickles.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from .limits import Limits

Piece = bytes | bytearray | memoryview


class Signal:
    """A want that says everything by being itself. There is one of each, and each pickles as its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name


READ = Signal("READ")
"""A request is under way and needs more bytes: step again when they come. After the peer's end: `CLOSE`."""
IDLE = Signal("IDLE")
"""No request is under way: step again when bytes come. After the peer's end: `CLOSE`."""
OPENING = Signal("OPENING")
"""In a handshake that needs more bytes. Only a new row or a machine that has just become may say so."""
NEXT = Signal("NEXT")
"""One request has ended: count it, start its successor's deadlines afresh, step again."""
PARK = Signal("PARK")
"""Take no more bytes; step again when woken (`row.wake()`), or when the peer has ended (`row.peer_ended`)."""
HALF_CLOSE = Signal("HALF_CLOSE")
"""End our side (the peer reads an end of file), step again; reading goes on."""
CLOSE = Signal("CLOSE")
"""End our side, wait a little for the peer's end, free the row."""
ABORT = Signal("ABORT")
"""Reset the connection and free the row: what was not yet sent is lost."""


class _Timed:
    """A want with a number of seconds (0 or more), after which the machine is stepped in any case."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.seconds!r})"

    def __getstate__(self) -> float:
        return self.seconds

    def __setstate__(self, seconds: float) -> None:
        self.seconds = seconds


class Read(_Timed):
    """`READ`, but step again after these seconds even if nothing has come (compare with `row.now`)."""

    __slots__ = ()


class Idle(_Timed):
    """`IDLE`, but step again after these seconds even if nothing has come. `idle_seconds` holds all the same."""

    __slots__ = ()


class Wait(_Timed):
    """`PARK`, for these seconds at the most. A wake may come earlier: compare with `row.now`."""

    __slots__ = ()


class File:
    """Send `count` bytes of an open file from `offset`, by the kernel alone where it can.

    `file` is anything with `fileno()` whose bytes can be had at an offset; the machine owns it, and closes it when it
    has been sent or when the row has `ended`. The engine counts `offset` and `count` on as bytes leave. A file that
    turns out shorter ends the row: a promised length cannot be kept.
    """

    __slots__ = ("count", "file", "offset")

    def __init__(self, file: "HasDescriptor", offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count

    def __repr__(self) -> str:
        return f"File({self.file!r}, offset={self.offset}, count={self.count})"

    def __len__(self) -> int:
        return self.count


# Output of no bytes is a want as well: "step again". It is not an answer, and moves no deadline. (From a row of
# datagrams it is a datagram like any other.)


class Become:
    """Hand the row to another machine, with the bytes that this one did not use.

    PROXY header -> TLS -> HTTP -> WebSocket. `limits`, where given, replace the row's from here on: a tunnel cannot
    live with the idle limit of an HTTP listener. The old machine hears nothing more, not even `ended`.
    """

    __slots__ = ("limits", "machine", "unread")

    def __init__(self, machine: "Machine", unread: bytes = b"", limits: "Limits | None" = None) -> None:
        self.machine = machine
        self.unread = unread
        self.limits = limits

    def __repr__(self) -> str:
        return f"Become({self.machine!r}, unread={len(self.unread)} bytes)"


class Call:
    """Have `function(*arguments)` run elsewhere; `resume(outcome)` tells what came of it, and then comes `step()`.

    Until then the row waits: it takes no bytes, no `wake` steps it, `waiting_seconds` holds, and when it ends, what can
    be cancelled is cancelled. `how` says where:

    - "inline": here, and everybody waits for it;
    - "fork": in a forked child, which begins with all that the program has, but for descriptors: of those it keeps 0, 1
      and 2. What the function returns or raises comes back pickled. A child is killed when its row ends (SIGKILL);
    - "thread": in one of the reactor's own threads, `calls_max` at the most. It can't be stopped once it runs;
    - "process": in one of a few fresh processes, which are told function and arguments pickled;
    - any object with a `submit` like that of `concurrent.futures.Executor`.

    With `lend` the function's first argument is the row's connection, a socket that blocks, until the function returns;
    that goes inline, in a child and in a thread. Nothing is counted of what it says there, and if the row ends
    meanwhile, its peer is reset.
    """

    __slots__ = ("arguments", "function", "how", "lend")

    def __init__(
        self, function: Callable[..., Any], *arguments: Any, how: "How" = "inline", lend: bool = False
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.how = how
        self.lend = lend

    def __repr__(self) -> str:
        how = self.how if isinstance(self.how, str) else type(self.how).__name__
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return f"Call({name}, how={how!r})"


class Submits(Protocol):
    """What runs functions elsewhere, such as an executor of `concurrent.futures`."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Begin, and return a future."""
        ...


How = str | Submits


class Outcome(NamedTuple):
    """What came of a call: what was returned, or what went wrong; and the tag that was given with it."""

    value: Any = None
    error: BaseException | None = None
    tag: Any = None

    def result(self) -> Any:
        """Return what the function returned. Raises what it raised, or why nothing came of it."""
        if self.error is not None:
            raise self.error
        return self.value


class CallError(Exception):
    """Nothing came of a call: a child was killed, or ended by itself, or told what nobody can read."""


Want = Piece | tuple[Piece, ...] | Signal | Read | Idle | Wait | File | Call | Become


class HasDescriptor(Protocol):
    """An open file, for `File`."""

    def fileno(self) -> int:
        """Return its descriptor."""
        ...


class Machine(Protocol):
    """What every machine has. `OPTIONAL` tells what it may have besides."""

    def feed(self, data: bytes, /) -> None:
        """Store bytes that have arrived; b"" once, at the peer's end. Never parse here, never raise for a peer.

        Called only after a want that reads (`READ`, `IDLE`, `OPENING`), or while `duplex` is true: so a machine that
        consumes all that it holds before it reads again holds at most one read.
        """
        ...

    def step(self) -> Want:
        """Do one bounded piece of work and say what is wanted next. Raise `PeerError` for a peer's mistake."""
        ...


OPTIONAL = ("resume", "ended", "refuse", "remaining", "describe", "duplex")
"""Members that the engine looks for and does without:

- `resume(outcome)`: what came of a `Call` or of `row.call(..., tag=)`. Only store it, as in `feed`; `step` comes next.
- `ended(reason)`: the row is gone, for whatever reason: close files, tell the other half of a proxy.
- `refuse(reason) -> bytes | None`: what to say when the engine ends the row (408, 431, 503); b"" for nothing; None
  where a part of an answer has gone already: the connection is reset then, for it must not look whole. Not asked while
  output is pending.
- `remaining() -> int | None`: bytes of this answer that the engine has not been given yet, for the scheduler; None
  where nobody knows.
- `describe() -> str`: one line for the operator.
- `duplex`: true while it must be fed although its output is blocked; it then bounds what it takes in. Asked anew
  whenever interest is computed.
"""


class Cause(StrEnum):
    """Why a row ended. Every row ends with exactly one."""

    DONE = "done"
    ABORTED = "aborted by its machine"
    PEER_LOST = "connection lost"
    CUT_SHORT = "peer ended within a request"
    FILE_CUT_SHORT = "file ended early"
    NOT_CONNECTED = "could not connect"
    OPENING_TOO_LONG = "opening took too long"
    IDLE_TOO_LONG = "idle too long"
    REQUEST_TOO_SLOW = "request came too slowly"
    WAITED_TOO_LONG = "waited too long"
    ANSWER_TOO_SLOW = "answer was read too slowly"
    LINGERED_TOO_LONG = "peer did not end its side"
    PEER_ERROR = "peer's mistake"
    MACHINE_ERROR = "machine failed"
    ILLEGAL = "machine wanted what its state forbids"
    TOO_MANY_FROM_PEER = "too many rows of one peer"
    EVICTED = "evicted for memory"
    DRAINED = "server is stopping"
    CLOSED_BY_PROGRAM = "closed by the program"


class Reason(NamedTuple):
    """Why this row ended: a cause to count by, words for people, and a protocol's own hint (a status, a code)."""

    cause: Cause
    detail: str = ""
    hint: Any = None

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}" if self.detail else str(self.cause)


class PeerError(Exception):
    """The peer has made a mistake. The row is refused and closed; every other row lives.

    `reason` is for people, `hint` is the protocol's own (an HTTP status) and comes back in `refuse(reason)`.
    """

    def __init__(self, reason: str, hint: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint

    def __reduce__(self) -> tuple[type["PeerError"], tuple[str, Any]]:
        return type(self), (self.reason, self.hint)
