"""While IPython waits at its prompt: a session that is a server, too. After `attach(reactor)` say `%gui partway`."""

from typing import Any, Protocol

try:
    from IPython.terminal import pt_inputhooks
except ImportError as error:
    raise ImportError("this needs IPython: pip install 'partway[ipython]'") from error

from ..reactor import Reactor


class Context(Protocol):
    """What prompt_toolkit hands to an input hook."""

    def fileno(self) -> int:
        """Return a descriptor that turns readable with a key."""
        ...

    def input_is_ready(self) -> bool:
        """Tell whether a key was pressed."""
        ...


def attach(reactor: Reactor, name: str = "partway") -> None:
    """Make an input hook of the reactor, by this name for `%gui`."""
    hooks: Any = pt_inputhooks  # untyped
    hooks.register(name, hook_of(reactor))


def hook_of(reactor: Reactor) -> Any:
    """Return an input hook that takes turns until a key is pressed. Nothing is polled: a key is waited for as well."""

    def hook(context: Context) -> None:
        key = context.fileno()
        reactor.watch(key, lambda: None)
        try:
            while not context.input_is_ready():
                reactor.step()
        finally:
            reactor.unwatch(key)

    return hook
