"""A zone prepared for answering: names as keys of a plain dict, records as bytes."""

from .wire import AUTHORITATIVE, Body, Records, Writer


class Node:
    """A name of a zone: `records` by type; none for a name that only stands between others (an empty non-terminal).

    `bodies` are answers that were put together before, by type and class: one for each type that is here, at most.
    """

    __slots__ = ("above", "bodies", "cut", "key", "name", "records", "zone")

    def __init__(self, zone: "Zone", name: bytes) -> None:
        self.zone = zone
        self.name = name
        self.key = name.lower()
        self.records: dict[int, Records] = {}
        self.bodies: dict[bytes, Body] = {}
        self.cut = False  # another zone begins here: what follows is a referral
        self.above: Node | None = None  # where another zone ends here that is served, too: it has DS


class Zone:
    """What one file says. Plain data.

    `nodes` are the names for which this zone answers, and its cuts; `glue` the addresses below those cuts.
    """

    __slots__ = ("glue", "key", "name", "negatives", "nodes", "soa", "text")

    def __init__(self, name: bytes, text: str) -> None:
        self.name = name
        self.text = text  # its origin, for people
        self.key = name.lower()
        self.nodes: dict[bytes, Node] = {}
        self.glue: dict[bytes, tuple[Records, ...]] = {}
        self.soa: Records  # as it stands in negative answers: with a TTL for them (RFC 2308, 3)
        self.negatives: dict[tuple[int, int], Body] = {}

    def negative(self, name: bytes, code: int) -> Body:
        """Return the answer that there is nothing: NOERROR where the name exists, else NXDOMAIN (RFC 2308, 2).

        Names of the same length share it: what follows the question points only to the name's end, which is the
        zone's. So there are no more than two for each length, and a flood of random names makes no new ones.
        """
        body = self.negatives.get((len(name), code))
        if body is None:
            writer = Writer(name)
            writer.offsets = {key: at for key, at in writer.offsets.items() if len(key) <= len(self.key)}
            writer.records(1, self.name, self.soa)
            body = self.negatives[len(name), code] = writer.body(AUTHORITATIVE, code)
        return body
