"""The command line: `partway http`, `echo`, `chat`, `forward`, `bench` and `stress`.

Servers say in one line where they really listen, drain on SIGTERM or SIGINT and exit 0; a second signal ends them at
once, SIGHUP only opens the log anew. A mistake is one line and exit 2; what the system refuses (a port that is taken)
is one line and exit 1. Nobody who reads what a server says can keep it waiting.
"""

import argparse
import re
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields
from typing import NamedTuple, NoReturn

from ..engine import Address, Endpoint, Limits, Notice, Reactor, Service, parse_address
from ..engine.kernel import Kernel, resolve
from ..engine.limits import KIB
from ..engine.listener import Factory, Listener
from ..engine.platform import has_file
from ..engine.selector import best_selector
from .output import After, Output
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
ENDING = (signal.SIGTERM, signal.SIGINT)
HANGUPS = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
ORIGIN = re.compile(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[!-+\-.0-~]+")  # no comma, no slash


class MistakeError(Exception):
    """What the user got wrong, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["bench"]:
        from ..stress.bench.command import main as bench

        return bench(words[1:])
    if words[:1] == ["stress"]:
        from ..stress.command import main as stress

        return stress(words[1:])
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
    _add_http_options(http)
    commands.add_parser("echo", help="send back what comes", allow_abbrev=False)
    commands.add_parser("chat", help="a chat room, a line a message", allow_abbrev=False)
    forward = commands.add_parser("forward", help="a TCP proxy", allow_abbrev=False)
    forward.add_argument("target", metavar="TARGET", help="where to: HOST:PORT or unix:PATH")
    commands.add_parser("bench", help="side by side against the peers (see partway bench --help)", add_help=False)
    commands.add_parser("stress", help="does a server hold? (see partway stress --help)", add_help=False)
    for name in ("http", "echo", "chat", "forward"):
        _add_server_options(commands.choices[name], name)
    return parser


def _add_http_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="what to serve (default: this folder)")
    parser.add_argument(
        "--index", default="index.html", metavar="NAME", help="what stands for a folder (default: index.html)"
    )
    parser.add_argument("--no-listing", action="store_true", help="do not list a folder that has no index")
    parser.add_argument("--spa", action="store_true", help="answer with the index what is not there (one-page apps)")
    parser.add_argument("--dotfiles", action="store_true", help="serve what begins with a dot, too")
    parser.add_argument(
        "--cache-control", type=_header_value, default="", metavar="TEXT", help="send this header with each file"
    )
    parser.add_argument(
        "--cors",
        type=_origin,
        nargs="?",
        const="*",
        metavar="ORIGIN",
        help="let pages of this origin read what is served (of any, where none is given)",
    )
    parser.add_argument("--no-file-cache", action="store_true", help="keep no small files in memory")
    log = parser.add_mutually_exclusive_group()
    log.add_argument("--log", metavar="FILE", help="add a line for each answer to a file (default: a terminal, if any)")
    log.add_argument("--quiet", action="store_true", help="log nothing")


def _header_value(text: str) -> str:
    """Take what can stand in a header (RFC 9110, 5.5)."""
    if all(" " <= letter <= "~" or "\xa0" <= letter <= "\xff" for letter in text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} cannot stand in a header")


def _origin(text: str) -> str:
    """Take an origin as browsers send it; anything else is likely to be the folder, given in the wrong place."""
    if ORIGIN.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no origin, such as https://example.org (DIR stands before --cors)")


def _mode(text: str) -> int:
    """Read permissions as chmod takes them in octal."""
    if re.fullmatch("0?[0-7]{3}", text):
        return int(text, 8)
    raise argparse.ArgumentTypeError(f"{text!r} are no permissions in octal, such as 660")


def _add_server_options(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDRESS",
        help="HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME (abstract) or fd:N; for datagrams udp:HOST:PORT or "
        "unixgram:PATH; repeatable; port 0 picks one "
        "(default: 127.0.0.1:8000)",
    )
    parser.add_argument(
        "--socket-mode",
        type=_mode,
        metavar="MODE",
        help="permissions of UNIX socket files, such as 660 (default: umask)",
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
    if options.socket_mode is not None and not any(map(has_file, addresses)):
        raise MistakeError("--socket-mode: no address has a socket file")
    with ExitStack() as stack:
        outputs = _Outputs(lambda seconds, function: reactor.after(seconds, function))
        stack.callback(outputs.close)  # after the reactor, which still tells of the rows that it ends
        reactor = Reactor(_kernel(options.selector), limits=limits, schedule=options.schedule, observer=outputs.tell)
        stack.callback(reactor.close)
        stack.enter_context(_Signals(reactor, outputs.reopen))
        serving = _serving(options, reactor, outputs)
        serving.check(options.command, addresses)
        places = [
            _open(reactor, address, serving, limits, options.socket_mode if has_file(address) else None)
            for address in addresses
        ]
        shown = [_show(options.command, place.address) for place in places]
        if options.control:
            _open_control(options.control, reactor)
        _say(f"partway {options.command}: listening on {', '.join(shown)}")
        if options.watch:
            Watch(reactor, f"partway {options.command}", outputs.screen(), clear=sys.stdout.isatty()).draw()
        reactor.run()
    return 0


class _Serving(NamedTuple):
    """What a command serves: connections, datagrams, or both."""

    streams: Factory | None
    datagrams: Service | None = None

    def check(self, command: str, addresses: list[Address]) -> None:
        """Refuse an address of a kind that the command does not serve."""
        for address in addresses:
            if address.datagrams and self.datagrams is None:
                raise MistakeError(f"{address}: {command} serves connections, not datagrams")
            if not address.datagrams and self.streams is None:
                raise MistakeError(f"{address}: {command} serves datagrams, not connections")


def _open(
    reactor: Reactor, address: Address, serving: _Serving, limits: Limits, mode: int | None
) -> Listener | Endpoint:
    """Listen or bind, or say at which of several addresses that failed."""
    try:
        if serving.datagrams is not None and address.datagrams:
            return reactor.bind(address, serving.datagrams, limits, mode=mode)
        assert serving.streams is not None
        return reactor.listen(address, serving.streams, limits, mode=mode)
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


def _serving(options: argparse.Namespace, reactor: Reactor, outputs: "_Outputs") -> _Serving:
    if options.command == "http":
        return _Serving(_http(options, outputs))
    if options.command == "chat":
        from .chat import Room

        return _Serving(Room())
    if options.command == "forward":
        from .forward import Forward

        return _Serving(Forward(reactor, _target(options.target)))
    from .echo import Echo, EchoDatagrams

    return _Serving(Echo, EchoDatagrams())


def _http(options: argparse.Namespace, outputs: "_Outputs") -> Factory:
    try:
        from .access_log import AccessLog
        from .http import Folder, Server
    except ImportError as error:
        raise MistakeError(str(error)) from None
    _check_index(options.index, options.dotfiles)
    try:
        folder = Folder(
            options.folder,
            index=options.index,
            listing=not options.no_listing,
            spa=options.spa,
            dotfiles=options.dotfiles,
            cache_control=options.cache_control,
            cors=options.cors or "",
            file_cache=not options.no_file_cache,
        )
    except NotADirectoryError as error:
        raise MistakeError(str(error)) from None
    log = outputs.open_log(options)
    return Server(folder, log=None if log is None else AccessLog(log.write))


def _check_index(name: str, dotfiles: bool) -> None:
    """Refuse an index that no request could ask for by its name."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise MistakeError(f"--index: {name!r} is no file's name")
    if name.startswith(".") and not dotfiles:
        raise MistakeError(f"--index: {name!r} begins with a dot, which needs --dotfiles")


def _open_control(path: str, reactor: Reactor) -> None:
    """Listen for operators on a socket that only its owner can open."""
    from .control import Control

    _open(reactor, Address("unix", path), _Serving(Control(reactor)), Limits(idle_seconds=float("inf")), 0o600)


def _show(command: str, address: Address) -> str:
    return f"http://{address}" if command == "http" and address.kind == "tcp" else str(address)


def _say(line: str) -> None:
    """Show one line on stderr, whatever the user's words in it are."""
    with suppress(OSError):
        print("".join(letter if letter.isprintable() else " " for letter in line), file=sys.stderr, flush=True)


class _Outputs:
    """Where a server writes while it runs: notices to stderr, its log, and the screen of `--watch`.

    What goes to stderr goes through one output, so that a notice never stands within a line of the log.
    """

    def __init__(self, after: After) -> None:
        self._after = after
        self._stack = ExitStack()
        self._stderr: Output | None = None  # where it is no descriptor: closed, or an object of somebody's
        self._log: Output | None = None
        with suppress(AttributeError, OSError, ValueError):
            self._stderr = self._open(sys.stderr.fileno())

    def open_log(self, options: argparse.Namespace) -> Output | None:
        """Return where the lines of the access log go, None for nowhere. Raises OSError for a file that won't open."""
        if options.log is not None:
            self._log = self._open(options.log)
            return self._log
        silent = options.quiet or options.watch  # whose picture a line would tear
        return self._stderr if not silent and self._stderr is not None and sys.stderr.isatty() else None

    def screen(self) -> Callable[[str], bool]:
        """Return what shows a text on stdout, and returns False where nobody looks any more."""
        output = self._open(sys.stdout.fileno())
        return lambda text: output.show(text.encode("utf-8", "replace"))

    def tell(self, notice: Notice) -> None:
        """Show a notice on stderr: one line, but a traceback of a machine's is shown whole."""
        self._report(f"{notice.kind}: {notice.text}")

    def reopen(self) -> None:
        """Open the log anew: its file was renamed. Goes on with the old one where that fails, and says so."""
        try:
            if self._log is not None:
                self._log.reopen()
        except OSError as error:
            self._report(f"log: {error}")

    def close(self) -> None:
        """Write what is taken at once, and let go of all."""
        self._stack.close()

    def _open(self, where: int | str) -> Output:
        output = Output(where, self._after)
        self._stack.callback(output.close)
        return output

    def _report(self, text: str) -> None:
        if self._stderr is not None:
            self._stderr.write(f"partway: {text}\n".encode("utf-8", "backslashreplace"))
            return
        with suppress(OSError):
            print(f"partway: {text}", file=sys.stderr, flush=True)


class _Signals:
    """SIGTERM and SIGINT drain, a second one stops; at SIGHUP a function is called.

    A pipe wakes the reactor: a handler alone doesn't end its wait.
    """

    def __init__(self, reactor: Reactor, hung_up: Callable[[], None]) -> None:
        self._reactor = reactor
        self._hung_up = hung_up
        self._reader, self._writer = socket.socketpair()

    def __enter__(self) -> None:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._reactor.watch(self._reader.fileno(), self._woken)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in (*ENDING, *HANGUPS)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reactor.unwatch(self._reader.fileno())
        self._reader.close()
        self._writer.close()

    def _woken(self) -> None:
        numbers = self._reader.recv(64)
        if any(number in HANGUPS for number in numbers):
            self._hung_up()
        ending = sum(number in ENDING for number in numbers)
        if ending and (self._reactor.draining or ending > 1):
            self._reactor.stop()
        elif ending:
            self._reactor.drain()


if __name__ == "__main__":
    sys.exit(main())
