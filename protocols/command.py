"""The command line: `partway http`, `echo`, `chat`, `forward`, `page`, `bench` and `stress`.

Servers say in one line where they really listen, drain on SIGTERM or SIGINT and exit 0; a second signal ends them at
once, SIGHUP only opens the log anew. A mistake is one line and exit 2; what the system refuses (a port that is taken)
is one line and exit 1. Nobody who reads what a server says can keep it waiting.
"""

import argparse
import re
import selectors
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields
from typing import NoReturn

from ..engine import Address, Endpoint, Limits, Reactor
from ..engine.kernel import Kernel
from ..engine.listener import Listener
from ..engine.platform import has_file
from ..engine.selector import best_selector
from .addresses import MistakeError, addresses_of
from .outputs import Outputs
from .serving import COMMANDS, Command, Serving
from .signals import Signals
from .watch import Watch

SELECTORS = {
    "epoll": best_selector if hasattr(selectors, "EpollSelector") else None,
    "kqueue": getattr(selectors, "KqueueSelector", None),
    "poll": getattr(selectors, "PollSelector", None),
    "select": selectors.SelectSelector,
}
INTERRUPTED = 130  # as shells have it: 128 and SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before anybody was there to answer it, or again while somebody did
        return INTERRUPTED


def _main(words: list[str]) -> int:
    if words[:1] == ["bench"]:
        from ..stress.bench.command import main as bench

        return bench(words[1:])
    if words[:1] == ["stress"]:
        from ..stress.command import main as stress

        return stress(words[1:])
    if words[:1] == ["page"]:
        return _page(words[1:])
    try:
        options = _parser().parse_args(words)
        return _serve(options)
    except MistakeError as mistake:
        _say(f"partway: {mistake}")
        return 2
    except OSError as error:
        _say(f"partway: {error}")
        return 1


def _page(words: list[str]) -> int:
    try:
        from ..stress.page.command import main as page
    except ImportError as error:
        _say(f"partway page: {error}")
        return 2
    return page(words)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MistakeError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="partway", description="Serve many slow clients from one thread.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_options(commands.add_parser(name, help=command.help, allow_abbrev=False))
    commands.add_parser("bench", help="side by side against the peers (see partway bench --help)", add_help=False)
    commands.add_parser(
        "page", help="two tables before a crowd, in a browser (see partway page --help)", add_help=False
    )
    commands.add_parser("stress", help="does a server hold? (see partway stress --help)", add_help=False)
    for name, command in COMMANDS.items():
        _add_server_options(commands.choices[name], command)
    return parser


def _mode(text: str) -> int:
    """Read permissions as chmod takes them in octal."""
    if re.fullmatch("0?[0-7]{3}", text):
        return int(text, 8)
    raise argparse.ArgumentTypeError(f"{text!r} are no permissions in octal, such as 660")


def _add_server_options(parser: argparse.ArgumentParser, command: Command) -> None:
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
        default = command.limits.get(field.name, field.default)
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            type=field.type,
            default=default,
            metavar="N",
            help=f"(default: {default})",
        )


def _serve(options: argparse.Namespace) -> int:
    limits = _limits(options)
    command = COMMANDS[options.command]
    addresses = [place for text in options.bind or ["127.0.0.1:8000"] for place in addresses_of(text, command.kinds)]
    if options.socket_mode is not None and not any(map(has_file, addresses)):
        raise MistakeError("--socket-mode: no address has a socket file")
    with ExitStack() as stack:
        outputs = Outputs(lambda seconds, function: reactor.after(seconds, function))
        stack.callback(outputs.close)  # after the reactor, which still tells of the rows that it ends
        reactor = Reactor(_kernel(options.selector), limits=limits, schedule=options.schedule, observer=outputs.tell)
        stack.callback(reactor.close)
        stack.enter_context(Signals(reactor, outputs.reopen))
        serving = command.make(options, reactor, outputs)
        serving.check(options.command, addresses)
        opened = _open_all(reactor, addresses, serving, limits, options.socket_mode, len(command.kinds) > 1)
        shown = [_show(options.command, address) for address in opened]
        if options.control:
            _open_control(options.control, reactor, serving)
        _say(f"partway {options.command}: listening on {', '.join(shown)}")
        if options.watch:
            Watch(reactor, f"partway {options.command}", outputs.screen(), clear=sys.stdout.isatty()).draw()
        reactor.run()
    return 0


def _open_all(
    reactor: Reactor, addresses: list[Address], serving: Serving, limits: Limits, mode: int | None, paired: bool
) -> list[Address]:
    """Listen and bind; return the addresses that there really are. `paired`: both ways, on one port."""
    opened: list[Address] = []
    for address in addresses:
        if paired and address.kind == "udp" and not address.port and opened[-1:] and opened[-1].host == address.host:
            address = address._replace(port=opened[-1].port)
        place = _open(reactor, address, serving, limits, mode if has_file(address) else None)
        opened.append(place.address)
    return opened


def _open(
    reactor: Reactor, address: Address, serving: Serving, limits: Limits, mode: int | None
) -> Listener | Endpoint:
    """Listen or bind, or say at which of several addresses that failed."""
    try:
        if serving.datagrams is not None and address.datagrams:
            return reactor.bind(address, serving.datagrams(), limits, mode=mode)
        assert serving.streams is not None
        return reactor.listen(address, serving.streams, limits, mode=mode)
    except OSError as error:
        raise OSError(f"{address}: {error.strerror or error}") from None


def _limits(options: argparse.Namespace) -> Limits:
    try:
        return Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
    except ValueError as error:
        raise MistakeError(str(error)) from None


def _kernel(name: str | None) -> Kernel:
    if name is None:
        return Kernel()
    selector = SELECTORS[name]
    if selector is None:
        raise MistakeError(f"this platform has no {name}")
    return Kernel(selector())


def _open_control(path: str, reactor: Reactor, serving: Serving) -> None:
    """Listen for operators on a socket that only its owner can open."""
    from .control import Control

    _open(
        reactor,
        Address("unix", path),
        Serving(Control(reactor, serving.counters)),
        Limits(idle_seconds=float("inf")),
        0o600,
    )


def _show(command: str, address: Address) -> str:
    return f"http://{address}" if command == "http" and address.kind == "tcp" else str(address)


def _say(line: str) -> None:
    """Show one line on stderr, whatever the user's words in it are."""
    with suppress(OSError):
        print("".join(letter if letter.isprintable() else " " for letter in line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
