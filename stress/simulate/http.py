"""HTTP in a simulation: a folder as `partway http DIR` serves it, and an application that takes and gives bodies.

The folder is real and on the disk, made once for the process, and dated so that its tags and dates are the same in
every run. Nothing of it changes, so whatever its answers are without a fault, they must be with any.
"""

import atexit
import os
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from random import Random
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from ...engine import NEXT, Limits, Reactor
from ...engine.limits import KIB
from ...engine.simulation import Simulation
from ...protocols.http import Answered, Folder, Http, Request, Server
from ...protocols.http.conditions import etag_of
from ...protocols.http.files import kind_of
from ...protocols.http.head import Head
from ...protocols.http.listing_page import KIND
from ...protocols.http.message import http_date
from ..clients.http import Browse, Converse, Resource, Site, Terms
from ..clients.http_answers import Answers, digest_of
from ..clients.kinds import Place
from .application import Application
from .broken import BrokenError
from .held import held_by
from .served import SERVER, Served, Service

CALENDAR = 2_500_000_000.0  # in 2049: every file is older than the youngest whose bytes are kept
MODIFIED = 1_700_000_000  # in 2023
SPOOL_BYTES = 8 * KIB  # so that many a body goes to a file
BODY_BYTES = 100 * KIB  # that the application collects
PAGE_BYTES = 8 * KIB  # a listing's page here, at most, and what else it holds

PAGES = {status: f"{status} {HTTPStatus(status).phrase}\n".encode() for status in (400, 408, 413, 414, 417, 431)}
PAGES |= {status: f"{status} {HTTPStatus(status).phrase}\n".encode() for status in (501, 504, 505)}
PAGES |= {
    301: b"It is a folder.\n",
    403: b"Nobody may.\n",
    404: b"There is no such file.\n",
    405: b"This server only serves files.\n",
    412: b"It has changed.\n",
    416: b"There is no such range.\n",
}
"""What the server says in its own words."""

FILES = {
    "index.html": 1 * KIB,
    "empty.txt": 0,
    "one.txt": 1,
    "sub/a b.json": 700,
    "sub/a&b.css": 5 * KIB,
    "sub/joined.bin": 16 * KIB,
    "sub/apart.bin": 20 * KIB,
    "long.bin": 300 * KIB,
    "coded.js": 3 * KIB,
    "coded.js.gz": 2 * KIB,
}
"""What is in the folder, in bytes."""
TARGETS = {
    b"/": "index.html",
    b"/index.html": "index.html",
    b"/empty.txt": "empty.txt",
    b"/one.txt": "one.txt",
    b"/%6f%6E%65.txt": "one.txt",
    b"/sub/a%20b.json": "sub/a b.json",
    b"//sub//a%20b.json": "sub/a b.json",
    b"/sub/a&b.css": "sub/a&b.css",
    b"/sub/joined.bin": "sub/joined.bin",
    b"/sub/apart.bin": "sub/apart.bin",
    b"/long.bin": "long.bin",
    b"/coded.js": "coded.js",
    b"/coded.js.gz": "coded.js.gz",
}
"""How it is asked for."""
LISTINGS = (b"/sub/", b"/sub/?sort=size&order=desc", b"/empty/")
FOLDERS = (b"/sub", b"/empty", b"/%73ub")
ABSENT = (b"/nothing", b"/.hidden", b"/../one.txt", b"/%2e%2e/one.txt", b"/sub%2Fjoined.bin", b"/one.txt/", b"/%00")


class Row:
    """What a folder asks of a row, where there is none."""

    limits = Limits()
    wall = CALENDAR
    random = Random(0)

    def __init__(self, table: Any = None) -> None:
        self.table = table or SimpleNamespace(now=0.0, kept=0, held_bytes_max=0)


@cache
def folder_of_files() -> tuple[str, Site]:
    """Make the folder, once, and tell what is in it. It is removed when this process ends."""
    root = os.path.realpath(mkdtemp(prefix="partway-"))
    atexit.register(_remove, root, os.getpid())
    random = Random(4)
    bodies = {name: random.randbytes(size) for name, size in FILES.items()}
    os.mkdir(f"{root}/empty")
    os.mkdir(f"{root}/sub")
    for name, body in bodies.items():
        with open(f"{root}/{name}", "wb") as file:
            file.write(body)
    for place, name in enumerate((*FILES, "sub", "empty")):
        os.utime(f"{root}/{name}", ns=(0, _modified_ns(place)))
    files = [_resource(target, name, bodies[name]) for target, name in TARGETS.items()]
    files.append(_resource(b"/coded.js", "coded.js.gz", bodies["coded.js.gz"], "gzip"))
    listings = [Resource(target, _asked_directly(root, target), kind=KIND.encode()) for target in LISTINGS]
    return root, Site(files, listings, FOLDERS, ABSENT, PAGES)


def _remove(root: str, process: int) -> None:
    if os.getpid() == process:  # and not one that it has forked
        rmtree(root, ignore_errors=True)


def _modified_ns(place: int) -> int:
    return (MODIFIED + 86_400 * place) * 1_000_000_000 + place


def _resource(target: bytes, name: str, body: bytes, coding: str = "") -> Resource:
    modified_ns = _modified_ns(list(FILES).index(name))
    return Resource(
        target,
        body,
        etag_of(modified_ns, len(body), coding).encode(),
        http_date(modified_ns // 1_000_000_000).encode(),
        kind_of((name.removesuffix(".gz") if coding else name).encode()).encode(),
        coding.encode(),
    )


def _asked_directly(root: str, target: bytes) -> bytes:
    """Return a listing without a server, a connection or a fault between."""
    folder = Folder(root)
    response = folder.begin(Request(Head("GET", target, (1, 1), ((b"host", b"a"),)), Row()))  # type: ignore[arg-type]
    body: Any = response.body
    pieces = []
    while (piece := body.step()) is not NEXT:
        pieces.append(piece)
    body.close()
    folder.beneath.close()
    return b"".join(pieces)


class Log:
    """The access log, held against what clients have heard: a line for each answer, in their order, and no other."""

    def __init__(self) -> None:
        self.statuses: dict[Any, list[int]] = {}  # by client
        self.dialogues: dict[int, Answers] = {}

    def __call__(self, answered: Answered) -> None:
        """Take a line."""
        peer = answered.peer
        self.statuses.setdefault(peer[1] if isinstance(peer, tuple) else peer, []).append(answered.status)

    def check(self) -> None:
        """Raise BrokenError for a line that is missing, or of what nobody was told."""
        for key, dialogue in self.dialogues.items():
            statuses = self.statuses.get(key, [])
            digest = 0
            for status in statuses[: dialogue.finals]:
                digest = digest_of(digest, status)
            if len(statuses) < dialogue.finals or digest != dialogue.statuses:
                raise BrokenError("the log", f"client {key} heard {dialogue.finals} answers, logged were {statuses}")
            heard_all = dialogue.answered and not dialogue.owed and not dialogue.awaited
            if heard_all and len(statuses) > dialogue.finals:
                raise BrokenError("the log", f"client {key} heard {dialogue.finals} answers, logged were {statuses}")


def serve_folder(reactor: Reactor, simulation: Simulation) -> Service:
    """Serve the folder, every other time with a log."""
    root, site = folder_of_files()
    simulation.calendar = CALENDAR
    before = open_below(root)
    log = Log()
    folder = Folder(root)
    server = Server(folder, log if simulation.seed % 2 else None)
    reactor.listen(SERVER, server)

    def dialogue(place: Place) -> Browse:
        made = Browse(place.random, site)
        if server.log is not None:
            log.dialogues[place.key] = made
        return made

    def close() -> None:
        folder.files.clear(Row(reactor.table))  # type: ignore[arg-type]
        folder.beneath.close()
        left = open_below(root) - before
        if left > 0 or reactor.table.kept:
            raise BrokenError("something is left behind", f"{left} open files, {reactor.table.kept} bytes in the cache")
        log.check()

    return Service(dialogue, close, shared=(server, folder))


def open_below(root: str) -> int:
    """Return how many files below a folder this process has open, 0 where the system does not tell."""
    count = 0
    if os.path.isdir("/proc/self/fd"):
        for name in os.listdir("/proc/self/fd"):
            try:
                count += os.readlink(f"/proc/self/fd/{name}").startswith(root)
            except OSError:  # the one by which this is read
                pass
    return count


def serve_application(reactor: Reactor, simulation: Simulation) -> Service:
    """Serve the application, every other time with a log."""
    log = Log()
    application = Application()
    server = Server(application, log if simulation.seed % 2 else None)
    limits = replace(reactor.limits, spool_bytes=SPOOL_BYTES, body_bytes=BODY_BYTES)
    reactor.listen(SERVER, server, limits)
    terms = Terms(BODY_BYTES, PAGES)

    def dialogue(place: Place) -> Converse:
        made = Converse(place.random, terms)
        if server.log is not None:
            log.dialogues[place.key] = made
        return made

    return Service(dialogue, log.check, shared=(server, application))


def held_by_http(machine: object) -> int:
    """Return how many bytes a connection's buffers hold: those of its heads, its body and what it answers from."""
    assert isinstance(machine, Http)
    held = len(machine.inbox) + (0 if machine.weight is None else machine.weight.count)
    # A collected body is found in two places, by its taker and by its request.
    return (
        held if machine.intake is None else held + held_by(getattr(machine.intake.taker, "spool", machine.intake.taker))
    )


HTTP = Served(
    serve_folder,
    lambda limits: limits.head_bytes + limits.receive_bytes + PAGE_BYTES,
    held_by=held_by_http,
)
APPLICATION = Served(
    serve_application,
    lambda limits: limits.head_bytes + limits.receive_bytes + limits.spool_bytes,
    held_by=held_by_http,
)
