"""`partway stress`: what tells whether a server holds. Each part is a command of its own."""

import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Run a part; return its exit code."""
    if words[:1] == ["simulate"]:
        from .simulate.command import main as simulate

        return simulate(words[1:])
    try:
        if words[:1] == ["scorecard"]:
            from .scorecard.command import main as scorecard

            return scorecard(words[1:])
        from .attack.command import main as attack
    except ImportError as error:
        extra = "scorecard" if words[:1] == ["scorecard"] else "stress"
        sys.stderr.write(f"partway stress: {error}: pip install 'partway[{extra}]'\n")
        return 2
    return attack(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
