"""`partway stress KIND TARGET`: slow or hostile clients against a server, and what an honest one sees meanwhile.

    partway stress drip-head http://127.0.0.1:8000/ --count 1000 --duration 30 --fail-if 'p99>50ms'
    partway stress --compare before.json after.json
    partway stress mix http://127.0.0.1:8000/ --weights silent=3,no-read,churn=2

Exit codes: 0 where no gate has failed, 1 where one has or nothing could be measured, 2 for a mistake, 130 when it was
interrupted; what was seen until then is reported all the same.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ...engine import Reactor
from ...protocols.addresses import MistakeError
from ..options import Parser, number, writable
from .attackers import clients_most
from .gates import Gate, parse_gate
from .kinds import ATTACKS, Attack
from .orders import Order, shares
from .run import Run
from .summary import figures_of, lines_of
from .target import PROTOCOLS, Target, parse_target

NAME = "partway stress"
INTERRUPTED = 130
WIDTH = 200  # of a table that nobody reads on a terminal
MIX = "mix"
OTHERWISE = (
    "partway stress scorecard: what slow clients get of seventeen servers, side by side\n"
    "partway stress simulate: a server and its clients from seeds, with faults"
)
WEIGHT = re.compile("[1-9][0-9]{0,5}")


def main(words: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = _parser()
    if "--compare" in words:
        return _compare(words)
    options = parser.parse_args(words)
    try:
        order = _order(options)
        gates = [parse_gate(text) for text in options.fail_if]
    except MistakeError as mistake:
        parser.error(str(mistake))
    return _attack(order, gates, options)


def _parser() -> Parser:
    kinds = "".join(
        f"\n  {name:16}{about}" for name, about in [*_abouts(), (MIX, "all of these, or those of --weights")]
    )
    parser = Parser(
        prog=NAME,
        description="Slow and hostile clients against a server, and what an honest one sees meanwhile.",
        epilog=f"kinds:{kinds}\n\n{OTHERWISE}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", choices=(*ATTACKS, MIX), metavar="KIND", help="what the clients do, see below")
    add("target", metavar="TARGET", help="http(s)://HOST:PORT/PATH, HOST:PORT, unix:PATH or udp:HOST:PORT")
    add("--protocol", choices=PROTOCOLS, help="what it speaks (default: http for a URL, else raw: any bytes)")
    add("--say", metavar="TEXT", help="a whole request; \\n and \\xff are understood")
    add(
        "--count",
        type=number(1, 10**6),
        default=100,
        metavar="N",
        help="clients, who come within --ramp (default: 100)",
    )
    add("--weights", metavar="KIND=N,...", help="of mix: shares of the clients (default: all kinds alike)")
    add("--ramp", type=_seconds, default=1.0, metavar="SECONDS", help="in which they come (default: 1)")
    add(
        "--rate",
        type=number(1, 10**6),
        metavar="N",
        help="clients a second in place of who has gone (default: 100 where the kind goes by itself, else 0); "
        "of datagrams, so many a second from all (default: see below)",
    )
    add("--duration", type=_seconds, default=10.0, metavar="SECONDS", help="of the attack (default: 10)")
    add("--calm", type=_seconds, default=2.0, metavar="SECONDS", help="before it, to compare with (default: 2)")
    add(
        "--visits", type=number(1, 10_000), default=20, metavar="N", help="of the honest client, a second (default: 20)"
    )
    add("--jobs", type=number(1, 64), default=1, metavar="N", help="processes that attack (default: 1)")
    add("--eager", action="store_true", help="attackers take processor time from a server on their machine, too")
    add("--seed", type=number(0, 2**63), metavar="N", help="of what clients draw")
    add("--json", type=writable, metavar="FILE", help="write all that was seen there, too")
    add("--html", type=writable, metavar="FILE", help="write a page with pictures there")
    add(
        "--fail-if",
        action="append",
        default=[],
        metavar="GATE",
        help="of the time beside them, such as p99>50ms or survivors>0; repeatable",
    )
    add("--compare", nargs=2, metavar="FILE", help="instead of all that: two reports (--json) side by side")
    add("--i-own-this-host", action="store_true", help="the target is not this machine, and may be attacked")
    return parser


def _compare(words: Sequence[str]) -> int:
    from rich.console import Console

    from .compare import table_of

    parser = Parser(prog=NAME, description="Two reports side by side.", allow_abbrev=False)
    parser.add_argument("--compare", nargs=2, metavar="FILE", help="what --json has written")
    options, others = parser.parse_known_args(words)
    if others:
        parser.error(f"--compare stands alone: {' '.join(others)}")
    try:
        table = table_of(options.compare)
    except MistakeError as mistake:
        parser.error(str(mistake))
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH).print(table)
    return 0


def _seconds(text: str) -> float:
    """Read seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds <= 1e6:
        return seconds
    raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}")


def _order(options: argparse.Namespace) -> Order:
    if not options.duration:
        raise MistakeError("--duration: an attack takes some time")
    if options.ramp > options.duration:
        raise MistakeError(f"--ramp {options.ramp:g}: longer than the attack, whose --duration is {options.duration:g}")
    most = clients_most() * options.jobs
    if options.count > most:
        jobs = -(-options.count // clients_most())
        raise MistakeError(f"--count {options.count}: descriptors are enough for {most}; say --jobs {jobs}")
    target = parse_target(options.target, options.protocol, options.i_own_this_host)
    kinds = _kinds(options, target)
    say = b""
    if options.say is not None:
        try:
            say = options.say.encode().decode("unicode_escape").encode("latin-1")
        except UnicodeError as error:
            raise MistakeError(f"--say: {error}") from None
        if not say:
            raise MistakeError("--say: nothing")
    return Order(
        kinds,
        target,
        options.ramp,
        options.rate,
        options.duration,
        options.calm,
        options.visits,
        say,
        options.seed,
        options.jobs,
        options.eager,
    )


def _abouts() -> list[tuple[str, str]]:
    return [(name, attack.about) for name, attack in ATTACKS.items()]


def _kinds(options: argparse.Namespace, target: Target) -> dict[str, int]:
    """Return how many clients there are of each kind. Raises MistakeError."""
    if options.kind != MIX:
        if options.weights is not None:
            raise MistakeError("--weights is for mix")
        if not ATTACKS[options.kind].suits(target):
            raise MistakeError(f"{options.kind} is {_for(ATTACKS[options.kind])}")
        return {options.kind: options.count}
    suitable = [name for name, attack in ATTACKS.items() if attack.suits(target)]
    weights = dict.fromkeys(suitable, 1) if options.weights is None else _weights(options.weights, suitable)
    return shares(options.count, weights)


def _for(attack: Attack) -> str:
    if attack.datagrams:
        return "for udp:HOST:PORT" if attack.machine is not None else "for udp:127.0.0.1:PORT, whose senders it forges"
    if attack.unsealed:
        return "for https://, or --protocol raw"
    return "for connections" if attack.protocols == PROTOCOLS else f"for --protocol {' or '.join(attack.protocols)}"


def _weights(text: str, suitable: Sequence[str]) -> dict[str, int]:
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in suitable:
            raise MistakeError(f"--weights: {name!r} is no kind for this target, which are {', '.join(suitable)}")
        if name in weights:
            raise MistakeError(f"--weights: {name} comes twice")
        if not WEIGHT.fullmatch(number or "1"):
            raise MistakeError(f"--weights: {part!r} has no weight from 1 to 999999, such as {name}=3")
        weights[name] = int(number or "1")
    return weights


def _attack(order: Order, gates: Sequence[Gate], options: argparse.Namespace) -> int:
    reactor = Reactor()
    with ExitStack() as stack:
        stack.callback(reactor.close)
        run = Run(order, reactor, _show(stack))
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda number, frame: run.interrupt())
            stack.callback(signal.signal, number, before)
        report = run.go()
    return _tell(report, run, gates, options)


def _show(stack: ExitStack) -> Callable[[Run], None] | None:
    """Return what shows a run on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    from .live import Screen

    return stack.enter_context(Screen(Console(stderr=True))).show


def _tell(report: dict[str, object], run: Run, gates: Sequence[Gate], options: argparse.Namespace) -> int:
    if run.failed:
        print(f"{NAME}: {run.failed}", file=sys.stderr)
        return 1
    for line in lines_of(report):
        print(line)
    if options.json is not None:
        options.json.write_text(json.dumps(report) + "\n")
    if options.html is not None:
        from .page import page_of  # matplotlib takes a second to be imported

        options.html.write_text(page_of(report))
    if not (run.before.answered or run.during.answered):
        print(f"{NAME}: no honest client has been answered", file=sys.stderr)
        return INTERRUPTED if run.interrupted else 1
    figures = figures_of(report)
    failed = [gate for gate in gates if gate.fails(figures)]
    for gate in failed:
        print(f"failed: {gate.text}: {gate.tell(figures)}")
    if run.interrupted:
        return INTERRUPTED
    return 1 if failed else 0
