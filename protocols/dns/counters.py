"""What a server has done, as numbers for its operator."""

from typing import Final

_NAMES: Final = {
    0: "NOERROR",
    1: "FORMERR",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    16: "BADVERS",
    23: "BADCOOKIE",
}


class Counters:
    """Numbers that only grow, from 0. `codes` are answers by their result code; `str` shows those that have been."""

    __slots__ = ("codes", "cut", "put_off", "responses", "short", "stream", "udp")

    def __init__(self) -> None:
        self.udp = 0  # datagrams that came
        self.stream = 0  # messages that came over TCP
        self.short = 0  # of both, those of less than a header: met with silence
        self.responses = 0  # of both, answers that came as if they were queries: met with silence
        self.cut = 0  # answers that were longer than their asker takes
        self.put_off = 0  # queries that were told to come again over TCP, for too many came
        self.codes = [0] * (max(_NAMES) + 1)

    def numbers(self) -> dict[str, int]:
        """Return those that are not 0, by name."""
        found = {name: getattr(self, name) for name in ("udp", "stream")}
        found |= {name: self.codes[code] for code, name in _NAMES.items()}
        found |= {name: getattr(self, name) for name in ("short", "responses", "cut", "put_off")}
        return {name: count for name, count in found.items() if count}

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.numbers().items())
