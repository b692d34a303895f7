"""Which answer a question gets: the algorithm of RFC 1034, 4.3.2, with wildcards as RFC 4592 has them.

A name that exists is found with one look into a dict. One that doesn't is looked for from its end: the longest ending
that exists is the closest encloser, and says whether there is a referral, a DNAME, a wildcard, or nothing.
"""

from collections.abc import Iterable
from typing import Final

from .message import OUTSIDE
from .recall import Recall
from .wire import (
    ANY,
    AUTHORITATIVE,
    AXFR,
    CNAME,
    DNAME,
    DS,
    HINFO,
    IN,
    IXFR,
    MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    NOERROR,
    NS,
    NXDOMAIN,
    YXDOMAIN,
    Body,
    Records,
    Writer,
    parent_of,
)
from .zone import Node, Zone

CHAIN_MAX: Final = 16  # names in one chain of CNAMEs; a resolver asks on from there
ANY_SECONDS: Final = 3600  # how long the answer to ANY may be kept
DATA: Final = 10  # where a record's data begin, counted from its type

_ANY_ANSWER: Final = Records(HINFO, ANY_SECONDS)  # RFC 8482, 4.2
_ANY_ANSWER.add(b"\7RFC8482\0")


class Zones:
    """Several zones as one: of those that a name lies in, the deepest answers. Plain data.

    Raises ValueError for two zones with the same origin, and for none.
    """

    def __init__(self, zones: Iterable[Zone]) -> None:
        self.origins: dict[bytes, Zone] = {}
        for zone in zones:
            if zone.key in self.origins:
                raise ValueError(f"two zones with the origin {zone.text}")
            self.origins[zone.key] = zone
        if not self.origins:
            raise ValueError("no zone to answer from")
        self.nodes: dict[bytes, Node] = {}
        self.recall = Recall()
        for zone in self.origins.values():
            for key, node in zone.nodes.items():
                if self._zone_of(key) is zone:
                    self.nodes[key] = node
            above = self._zone_of(parent_of(zone.key)) if len(zone.key) > 1 else None
            cut = above.nodes.get(zone.key) if above is not None else None
            zone.nodes[zone.key].above = cut if cut is not None and cut.cut else None

    def _zone_of(self, key: bytes) -> Zone | None:
        """Return the deepest zone that a name lies in."""
        while True:
            zone = self.origins.get(key)
            if zone is not None or not key[0]:
                return zone
            key = parent_of(key)

    def find(self, key: bytes, kind: bytes) -> Body:
        """Return the answer for a name in lower case, and its type and class in four bytes."""
        node = self.nodes.get(key)
        if node is not None:
            body = node.bodies.get(kind)
            if body is not None:
                return body
        number = kind[0] << 8 | kind[1]
        if kind[2:] != IN or number == AXFR or number == IXFR:
            return OUTSIDE
        if node is None:
            return Lookup(self.nodes, key, number).run()
        if number in node.records:
            body = node.bodies[kind] = Lookup(self.nodes, key, number).run()
            return body
        if CNAME not in node.records:
            return Lookup(self.nodes, key, number).run()
        body = self.recall.bodies.get(key + kind)
        if body is None:
            body = Lookup(self.nodes, key, number).run()
            self.recall.put(key + kind, body)
        return body


def closest(nodes: dict[bytes, Node], key: bytes) -> Node | None:
    """Return the longest ending of a name that exists; None outside our zones. No more looks than a name has labels."""
    while True:
        node = nodes.get(key)
        if node is not None or not key[0]:
            return node
        key = parent_of(key)


class Lookup:
    """One question on its way through the nodes, along CNAMEs. `name` is looked for now, `key` is it in lower case."""

    __slots__ = ("key", "kind", "name", "nodes", "question", "renamed", "seen", "writer", "zone")

    def __init__(self, nodes: dict[bytes, Node], key: bytes, kind: int) -> None:
        self.nodes = nodes
        self.question = self.name = self.key = key
        self.kind = kind
        self.zone: Zone | None = None  # where it began: a chain is not followed into another
        self.seen: set[bytes] = set()  # names that had a CNAME
        self.renamed: set[bytes] = set()  # names that had a DNAME
        self.writer: Writer | None = None

    def run(self) -> Body:
        """Return the answer: that of the first name which has no CNAME, or the chain as far as it was followed."""
        for _ in range(CHAIN_MAX):
            body = self._look()
            if body is not None:
                return body
        return self._end()

    def _look(self) -> Body | None:
        """Look for one name; None: a CNAME has led to another."""
        node = self.nodes.get(self.key)
        above = closest(self.nodes, self.key) if node is None else node
        if node is not None and self.kind == DS and node.above is not None:
            node = above = node.above  # the parent's side of a cut has it (RFC 4035, 3.1.4.1)
        if above is None or above.zone is not (self.zone or above.zone):
            return OUTSIDE if self.writer is None else self._end()
        self.zone = above.zone
        if above.cut and (node is None or self.kind != DS):
            return self._refer(above, above.zone)
        if node is None:
            if DNAME in above.records:
                return self._rename(above)
            node = above.zone.nodes.get(b"\1*" + above.key)
            if node is None:
                return self._nothing(NXDOMAIN)
        return self._answer(node)

    def _answer(self, node: Node) -> Body | None:
        """Answer from a node: that of the name, or the wildcard in its place."""
        records = node.records.get(self.kind)
        cname = node.records.get(CNAME)
        if records is None and self.kind == ANY and node.records:
            records = cname or _ANY_ANSWER
        if records is not None:
            self._write(0, self.name, records)
            return self._end()
        if cname is None:
            return self._nothing(NOERROR)
        self._write(0, self.name, cname)
        return self._follow(cname.parts[0][1][0])

    def _follow(self, target: bytes) -> Body | None:
        """Go on with a CNAME's target; a loop ends where it closes."""
        self.seen.add(self.key)
        self.name = target
        self.key = target.lower()
        return self._end() if self.key in self.seen else None

    def _rename(self, above: Node) -> Body | None:
        """Answer with a DNAME, and the CNAME that follows from it (RFC 6672, 3.1 and 3.2). None is followed twice."""
        dname = above.records[DNAME]
        if above.key in self.renamed:
            return self._end()
        self.renamed.add(above.key)
        self._write(0, above.name, dname)
        target = self.name[: len(self.name) - len(above.key)] + dname.tails[0][DATA:]
        if len(target) > NAME_BYTES_MAX:
            return self._end(YXDOMAIN)
        cname = Records(CNAME, int.from_bytes(dname.start[4:], "big"))
        cname.add(b"", (target,))
        self._write(0, self.name, cname)
        return self._follow(target)

    def _refer(self, cut: Node, zone: Zone) -> Body:
        """Answer with who knows more, and their addresses where these lie below a cut of this zone (RFC 9471)."""
        servers = cut.records[NS]
        flags = 0 if self.writer is None else AUTHORITATIVE  # it is about the first name in the answer
        writer = self._write(1, cut.name, servers)
        for _, (server,), _ in servers.parts:
            for addresses in zone.glue.get(server.lower(), ()):
                if len(writer.out) <= MESSAGE_BYTES_MAX:  # beyond, it is cut in any case
                    writer.records(2, server, addresses)
        return writer.body(flags, NOERROR)

    def _nothing(self, code: int) -> Body:
        """Answer that the name doesn't exist, or not with this type."""
        assert self.zone is not None
        if self.writer is None:
            return self.zone.negative(self.question, code)
        self._write(1, self.zone.name, self.zone.soa)
        return self._end(code)

    def _end(self, code: int = NOERROR) -> Body:
        assert self.writer is not None
        return self.writer.body(AUTHORITATIVE, code)

    def _write(self, section: int, owner: bytes, records: Records) -> Writer:
        if self.writer is None:
            self.writer = Writer(self.question)
        self.writer.records(section, owner, records)
        return self.writer
