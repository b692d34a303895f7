"""`partway stress WHAT`: what tells whether a server holds. Each part is a command of its own."""

import sys
from collections.abc import Sequence

from .options import Parser

ABOUT = "does a server hold?"


def main(words: Sequence[str]) -> int:
    """Run a part; return its exit code."""
    if words[:1] == ["simulate"]:
        from .simulate.command import main as simulate

        return simulate(words[1:])
    parser = Parser(prog="partway stress", description=ABOUT)
    parts = parser.add_subparsers(dest="what", required=True, metavar="simulate")
    parts.add_parser("simulate", help="a server and its clients from a seed, with faults: many seeds", add_help=False)
    parser.parse_args(words)
    raise AssertionError("every part that the parser knows has been run")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
