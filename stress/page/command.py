"""`partway page`: the page, served by partway itself, and opened in a browser.

    partway page
    partway page --bind 127.0.0.1:8000 --no-open
    partway page --save FOLDER             for any other web server

Needs no network but npm's, once, for Pyodide. Exit codes: 0 when it was told to stop, 1 where the system refuses
something, 2 for a mistake.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...engine import Address, Reactor
from ...protocols.addresses import MistakeError, addresses_of
from ...protocols.http import Request, Response, Server, page
from ...protocols.signals import Signals
from ..options import Parser
from .parts import START, kind_of, parts_of, write
from .pyodide import PLACE, VERSION, find_pyodide

NAME = "partway page"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Nothing from anywhere else: a browser holds the page to that (Content Security Policy)."""


class Parts:
    """Answers with the parts."""

    def __init__(self, parts: dict[str, bytes]) -> None:
        self._answers = {
            f"/{name}".encode(): Response(
                200, (("Content-Type", kind_of(name)), ("Content-Security-Policy", POLICY)), data
            )
            for name, data in parts.items()
        }
        self._answers[b"/"] = self._answers[f"/{START}".encode()]

    def __call__(self, request: Request) -> Response:
        """Answer with one of them."""
        if request.method not in ("GET", "HEAD"):
            return page(405, "This server only serves a page.", (("Allow", "GET, HEAD"),))
        found = self._answers.get(request.head.path)
        return page(404, "There is no such part.") if found is None else found


def main(words: Sequence[str]) -> int:
    """Serve it until a signal says otherwise; return the exit code."""
    options = _parser().parse_args(words)
    try:
        addresses = addresses_of(options.bind)
        if addresses[0].kind != "tcp":
            raise MistakeError(f"{options.bind}: a browser needs HOST:PORT")
        parts = parts_of(find_pyodide(options.pyodide, _say))
        if options.save is not None:
            write(parts, options.save)
            _say(f"{len(parts)} files in {options.save}: serve them by any web server")
            return 0
        return _serve(addresses[0], parts, options.no_open)
    except MistakeError as mistake:
        _say(str(mistake))
        return 2
    except OSError as error:
        _say(str(error))
        return 1


def _parser() -> Parser:
    parser = Parser(
        prog=NAME,
        description="Two tables before the same crowd of slow clients, live in a browser.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--bind", default="127.0.0.1:0", metavar="HOST:PORT", help="where to listen (default: 127.0.0.1, any port)")
    add(
        "--pyodide",
        metavar="FOLDER",
        help=f"Pyodide's files, as npm install pyodide@{VERSION} has them (default: {PLACE}, or fetched once)",
    )
    add("--save", type=Path, metavar="FOLDER", help="put the page's files there, and serve nothing")
    add("--no-open", action="store_true", help="open no browser")
    return parser


def _serve(address: Address, parts: dict[str, bytes], closed: bool) -> int:
    with ExitStack() as stack:
        reactor = Reactor(observer=lambda notice: _say(f"{notice.kind}: {notice.text}"))
        stack.callback(reactor.close)
        stack.enter_context(Signals(reactor, lambda: None))
        listener = reactor.listen(address, Server(Parts(parts)))
        url = f"http://{listener.address}/"
        _say(f"listening on {url}")
        if not closed:
            stack.enter_context(_opened(url))
        reactor.run()
    return 0


@contextmanager
def _opened(url: str) -> Iterator[None]:
    """Have a browser opened by a process of its own: it may take its time, and the server is wanted meanwhile."""
    words = [sys.executable, "-m", "webbrowser", url]
    none = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=none, stdout=none, stderr=none, start_new_session=True) as process:
        try:
            yield
        finally:
            process.terminate()


def _say(text: str) -> None:
    sys.stderr.write(f"{NAME}: {text}\n")
    sys.stderr.flush()
