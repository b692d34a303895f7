"""What each command serves: its own options, and what is made of them."""

import argparse
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..engine import Address, Reactor, Service
from ..engine.limits import KIB
from ..engine.listener import Factory
from .addresses import MistakeError, addresses_of
from .outputs import Outputs

ORIGIN = re.compile(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[!-+\-.0-~]+")  # no comma, no slash


class Serving(NamedTuple):
    """Connections, datagrams, or both. Each endpoint gets a service of its own."""

    streams: Factory | None
    datagrams: Callable[[], Service] | None = None
    counters: Callable[[], Mapping[str, int]] = dict
    """What the protocol counts itself, for operators: names and numbers."""

    def check(self, command: str, addresses: list[Address]) -> None:
        """Refuse an address of a kind that the command does not serve."""
        for address in addresses:
            if address.datagrams and self.datagrams is None:
                raise MistakeError(f"{address}: {command} serves connections, not datagrams")
            if not address.datagrams and self.streams is None:
                raise MistakeError(f"{address}: {command} serves datagrams, not connections")


class Command(NamedTuple):
    """One command that serves. `kinds` are what HOST:PORT stands for, `limits` the defaults that are its own."""

    help: str
    make: Callable[[argparse.Namespace, Reactor, Outputs], Serving]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    kinds: tuple[str, ...] = ("tcp",)
    limits: dict[str, float] = {}  # noqa: RUF012


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


def _http(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
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
    return Serving(Server(folder, log=None if log is None else AccessLog(log.write)))


def _check_index(name: str, dotfiles: bool) -> None:
    """Refuse an index that no request could ask for by its name."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise MistakeError(f"--index: {name!r} is no file's name")
    if name.startswith(".") and not dotfiles:
        raise MistakeError(f"--index: {name!r} begins with a dot, which needs --dotfiles")


def _echo(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
    from .echo import Echo, EchoDatagrams

    return Serving(Echo, EchoDatagrams)


def _chat(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
    from .chat import Room

    return Serving(Room())


def _add_forward_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="where to: HOST:PORT or unix:PATH")


def _forward(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
    from .forward import Forward

    target = addresses_of(options.target)[0]
    if target.kind == "fd":
        raise MistakeError(f"{options.target}: a tunnel needs somewhere to connect to")
    return Serving(Forward(reactor, target))


def _add_dns_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("zones", nargs="+", metavar="ZONEFILE", help="a zone to answer from (RFC 1035, 5); or several")
    parser.add_argument(
        "--origin", metavar="NAME", help="of the only zone (default: the file's $ORIGIN, or what the file is called)"
    )
    parser.add_argument(
        "--unproven-max",
        type=_rate,
        default=1000.0,
        metavar="N",
        help="queries a second over UDP without a valid cookie; if more, one has to be shown (default: 1000)",
    )


def _rate(text: str) -> float:
    """Read how many times a second."""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if rate >= 0:
        return rate
    raise argparse.ArgumentTypeError(f"{text!r} is no number of queries a second")


def _dns(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
    try:
        from .dns import Server, load_zone
    except ImportError as error:
        raise MistakeError(f"{error}: pip install 'partway[dns]'") from None
    if options.origin is not None and len(options.zones) > 1:
        raise MistakeError("--origin: of several zones each has its own")
    try:
        zones = [load_zone(path, options.origin) for path in options.zones]
        server = Server(zones, lambda: reactor.now, reactor.platform.random, options.unproven_max)
    except ValueError as error:
        raise MistakeError(str(error)) from None
    return Serving(server.stream, lambda: server, server.counters.numbers)


def _add_tftp_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="what to serve (default: this folder)")
    parser.add_argument("--create", action="store_true", help="let clients write files that are not there yet")
    parser.add_argument("--overwrite", action="store_true", help="let clients write files that are there")
    parser.add_argument("--one-port", action="store_true", help="answer from the port that was asked, for strict ways")
    parser.add_argument("--blksize-max", type=int, metavar="N", help="bytes of a block at the most (default: 65464)")
    parser.add_argument("--windowsize-max", type=int, metavar="N", help="blocks of a window at the most (default: 64)")
    parser.add_argument("--written-bytes-max", type=int, metavar="N", help="of a file written (default: 1 GiB)")


def _tftp(options: argparse.Namespace, reactor: Reactor, outputs: Outputs) -> Serving:
    from .tftp import Bounds, Counters, Tftp

    asked = {name: getattr(options, f"{name}_max") for name in Bounds._fields}
    bounds = Bounds(**{name: most for name, most in asked.items() if most is not None})
    counters = Counters()

    def make() -> Service:
        return Tftp(
            reactor,
            options.folder,
            create=options.create,
            overwrite=options.overwrite,
            one_port=options.one_port,
            bounds=bounds,
            counters=counters,
        )

    try:
        make()
    except (NotADirectoryError, ValueError) as error:
        raise MistakeError(str(error)) from None
    return Serving(None, make, counters.numbers)


COMMANDS = {
    "http": Command("serve a folder over HTTP/1.1", _http, _add_http_options),
    "echo": Command("send back what comes", _echo),
    "chat": Command("a chat room, a line a message", _chat, limits={"idle_seconds": 3600.0}),  # people think
    "forward": Command(
        "a TCP proxy",
        _forward,
        _add_forward_options,
        limits={
            "idle_seconds": 300.0,  # another protocol's limits hold as well
            "receive_bytes": 64 * KIB,  # nothing but bulk
        },
    ),
    "dns": Command("answer from zone files, over UDP and TCP", _dns, _add_dns_options, kinds=("tcp", "udp")),
    "tftp": Command("files over TFTP", _tftp, _add_tftp_options, kinds=("udp",)),
}
