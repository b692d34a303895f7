"""What the options of the stress tools have in common: numbers, names, files, and mistakes that are one line."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

DIGITS_MOST = 40  # Python refuses to read some thousands


class Parser(argparse.ArgumentParser):
    """A wrong option is one clear line and exit 2, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        self.exit(2, f"{self.prog}: {line}\n")


def number(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""

    def read(text: str) -> int:
        decimal = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MOST
        if not decimal or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"not a number from {least} to {most}: {text[:DIGITS_MOST]!r}")
        return int(text)

    return read


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of names with commas between them, each of them known; it is sorted as `known` is."""

    def read(text: str) -> list[str]:
        found = {name.strip() for name in text.split(",")}
        for name in sorted(found):
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in found]

    return read


def writable(text: str) -> Path:
    """Read the name of a file that can be written."""
    try:
        with Path(text).open("a"):
            return Path(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot be written: {error}") from error
