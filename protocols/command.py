"""The command line: `partway http`, `echo`, `chat`, `forward`, and `bench`.

Servers say in one line where they really listen, drain on SIGTERM or SIGINT and exit 0; a second signal ends them at
once. A mistake is one line and exit 2; what the system refuses (a port that is taken) is one line and exit 1.
"""

import argparse
import os
import select
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from typing import NoReturn

from ..engine import Address, Limits, Notice, Reactor, parse_address
from ..engine.kernel import Kernel, resolve
from ..engine.limits import KIB
from ..engine.listener import Factory
from ..engine.selector import best_selector
from .watch import Watch

SELECTORS = {
    "epoll": best_selector if hasattr(selectors, "EpollSelector") else None,
    "kqueue": getattr(selectors, "KqueueSelector", None),
    "poll": getattr(selectors, "PollSelector", None),
    "select": selectors.SelectSelector,
}
OTHER_DEFAULTS = {
    ("chat", "idle_seconds"): 3600.0,  # people think
    ("forward", "idle_seconds"): 300.0,  # another protocol's limits hold as well
    ("forward", "receive_bytes"): 64 * KIB,  # nothing but bulk
}


class MistakeError(Exception):
    """What the user got wrong, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["bench"]:
        from ..stress.bench import main as bench

        return bench(words[1:])
    try:
        options = _parser().parse_args(words)
        return _serve(options)
    except MistakeError as mistake:
        _say(f"partway: {mistake}")
        return 2
    except OSError as error:
        _say(f"partway: {error}")
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MistakeError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="partway", description="Serve many slow clients from one thread.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    http = commands.add_parser("http", help="serve a folder over HTTP/1.1", allow_abbrev=False)
    http.add_argument("folder", nargs="?", default=".", metavar="DIR", help="what to serve (default: this folder)")
    commands.add_parser("echo", help="send back what comes", allow_abbrev=False)
    commands.add_parser("chat", help="a chat room, a line a message", allow_abbrev=False)
    forward = commands.add_parser("forward", help="a TCP proxy", allow_abbrev=False)
    forward.add_argument("target", metavar="TARGET", help="where to: HOST:PORT or unix:PATH")
    commands.add_parser("bench", help="side by side against the peers (see partway bench --help)", add_help=False)
    for name in ("http", "echo", "chat", "forward"):
        _add_server_options(commands.choices[name], name)
    return parser


def _add_server_options(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDRESS",
        help="HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N; repeatable; port 0 picks one (default: 127.0.0.1:8000)",
    )
    parser.add_argument("--control", metavar="PATH", help="a UNIX socket for operators: rows, stats, kill KEY, drain")
    parser.add_argument("--schedule", choices=("fair", "shortest"), default="fair", help="who moves next")
    parser.add_argument("--selector", choices=tuple(SELECTORS), help="how to wait (default: the best there is)")
    parser.add_argument("--watch", action="store_true", help="show the table, live")
    group = parser.add_argument_group("limits", "seconds may be inf; 0 means off or automatic where it is the default")
    for field in fields(Limits):
        default = OTHER_DEFAULTS.get((name, field.name), field.default)
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            type=field.type,
            default=default,
            metavar="N",
            help=f"(default: {default})",
        )


def _serve(options: argparse.Namespace) -> int:
    limits = _limits(options)
    addresses = [address for text in options.bind or ["127.0.0.1:8000"] for address in _addresses(text)]
    reactor = Reactor(_kernel(options.selector), limits=limits, schedule=options.schedule, observer=_tell)
    try:
        with _Signals(reactor):
            factory = _factory(options, reactor)
            for address in addresses:
                _listen(reactor, address, factory, limits)
            shown = [_show(options.command, listener.address) for listener in reactor.listeners]
            if options.control:
                _open_control(options.control, reactor)
            _say(f"partway {options.command}: listening on {', '.join(shown)}")
            if options.watch:
                Watch(reactor, f"partway {options.command}", _write, clear=sys.stdout.isatty()).draw()
            reactor.run()
    finally:
        reactor.close()
    return 0


def _listen(reactor: Reactor, address: Address, factory: Factory, limits: Limits) -> None:
    """Listen, or say at which of several addresses that failed."""
    try:
        reactor.listen(address, factory, limits)
    except OSError as error:
        raise OSError(f"{address}: {error.strerror or error}") from None


def _limits(options: argparse.Namespace) -> Limits:
    try:
        return Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
    except ValueError as error:
        raise MistakeError(str(error)) from None


def _addresses(text: str) -> list[Address]:
    try:
        return resolve(parse_address(text))
    except UnicodeError:
        raise MistakeError(f"{text}: no host can have that name") from None
    except ValueError as error:
        raise MistakeError(str(error)) from None
    except socket.gaierror as error:
        raise MistakeError(f"{text}: {error.strerror}") from None


def _target(text: str) -> Address:
    address = _addresses(text)[0]
    if address.kind == "fd":
        raise MistakeError(f"{text}: a tunnel needs somewhere to connect to")
    return address


def _kernel(name: str | None) -> Kernel:
    if name is None:
        return Kernel()
    selector = SELECTORS[name]
    if selector is None:
        raise MistakeError(f"this platform has no {name}")
    return Kernel(selector())


def _factory(options: argparse.Namespace, reactor: Reactor) -> Factory:
    if options.command == "http":
        return _http(options.folder)
    if options.command == "chat":
        from .chat import Room

        return Room()
    if options.command == "forward":
        from .forward import Forward

        return Forward(reactor, _target(options.target))
    from .echo import Echo

    return Echo


def _http(folder: str) -> Factory:
    try:
        from .http import Folder, Server
    except ImportError as error:
        raise MistakeError(str(error)) from None
    try:
        return Server(Folder(folder))
    except NotADirectoryError as error:
        raise MistakeError(str(error)) from None


def _open_control(path: str, reactor: Reactor) -> None:
    """Listen for operators on a socket that only its owner can open."""
    from .control import Control

    mask = os.umask(0o177)
    try:
        _listen(reactor, Address("unix", path), Control(reactor), Limits(idle_seconds=float("inf")))
    finally:
        os.umask(mask)


def _show(command: str, address: Address) -> str:
    return f"http://{address}" if command == "http" and address.kind == "tcp" else str(address)


def _write(text: str) -> bool:
    """Write to stdout what it takes without waiting, and drop the rest: a stopped terminal must not stop the server.

    Returns False where nobody reads it any more.
    """
    descriptor = sys.stdout.fileno()
    data = text.encode("utf-8", "replace")
    try:
        while data and select.select([], [descriptor], [], 0)[1]:
            data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]  # a pipe that is ready takes that much
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    """Show one line on stderr, whatever the user's words in it are."""
    with suppress(OSError):
        print("".join(letter if letter.isprintable() else " " for letter in line), file=sys.stderr, flush=True)


def _tell(notice: Notice) -> None:
    """Show a notice on stderr: one line, but a traceback of a machine's is shown whole."""
    with suppress(OSError):
        print(f"partway: {notice.kind}: {notice.text}", file=sys.stderr, flush=True)


class _Signals:
    """SIGTERM and SIGINT drain, a second one stops. A pipe wakes the reactor: a handler alone doesn't end its wait."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._reader, self._writer = socket.socketpair()

    def __enter__(self) -> None:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._reactor.watch(self._reader.fileno(), self._woken)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reactor.unwatch(self._reader.fileno())
        self._reader.close()
        self._writer.close()

    def _woken(self) -> None:
        numbers = self._reader.recv(64)
        if not any(number in self._handlers for number in numbers):
            return
        if self._reactor.draining or len(numbers) > 1:
            self._reactor.stop()
        else:
            self._reactor.drain()


if __name__ == "__main__":
    sys.exit(main())
