"""Zone files: dnspython reads them (RFC 1035, 5; `$INCLUDE` and `$GENERATE` too), and here they are prepared.

What is out of zone is left out without a word. The file of a signed zone may be served as well: its records are given
as they are, but nothing is signed here, and DNSSEC's own records are given to those alone who ask for them by type,
whether they say DO or not.
"""

import os
import re
from collections.abc import Iterable
from typing import Any, Final

import dns.exception
import dns.name
import dns.rdataclass
import dns.tokenizer
import dns.zone
import dns.zonefile

from .wire import AAAA, CNAME, DNAME, MX, NS, PTR, SOA, A, Records, parent_of
from .zone import Node, Zone

RECORDS_BYTES_MAX: Final = 64000  # of one name and type, so that any message over TCP can hold them
INCLUDED_MAX: Final = 16  # files within each other
_WHERE: Final = re.compile(r"^.+?:\d+: ")
_FIRST_ORIGIN: Final = re.compile(  # with nothing before it that could be a record
    r"(?:[ \t\r]*(?:;[^\n]*)?\n|\$TTL[ \t][^\n]*\n)*\$ORIGIN[ \t]+([^\s;]+)", re.IGNORECASE
)
_ENDINGS: Final = (".zone", ".db", ".txt", ".hosts")  # what files of zones are called, besides their origin


def load_zone(path: str | os.PathLike[str], origin: str | None = None) -> Zone:
    """Read a zone from a file, and prepare it.

    The origin is what is given, else the file's first `$ORIGIN`, if it stands before all records, else the file's own
    name, without `.zone`, `.db`, `.txt`, `.hosts` behind it or `db.` before it. Raises ValueError with the file, and
    the line where it is known; OSError for a file that cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    source = os.fspath(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{source}:{line}: this is not UTF-8") from None
    return parse_zone(text, origin, source)


def parse_zone(text: str, origin: str | None = None, source: str = "zone") -> Zone:
    """Read a zone from its text; `source` is what errors call it, and what it may be named after. See `load_zone`."""
    try:
        if origin is None:
            said = _FIRST_ORIGIN.match(text)
            origin = said[1] if said else _named_after(source)
            if not origin.endswith("."):
                raise _Wrong(f"{source}: the first $ORIGIN, {origin}, has no dot at its end")
        return _prepare(_parse(text, origin, source), source)
    except dns.zone.NoSOA:
        raise ValueError(f"{source}: no SOA record at the origin, {origin}") from None
    except dns.zone.NoNS:
        raise ValueError(f"{source}: no NS record at the origin, {origin}") from None
    except _Wrong as error:
        raise ValueError(str(error)) from None
    except dns.exception.DNSException as error:
        raise ValueError(f"{source}: {error}") from None


class _Wrong(Exception):
    """What is wrong, and where."""


class _Lines(dns.tokenizer.Tokenizer):
    """Knows in which line a record began: its mistake is often seen only when the next one has begun."""

    began = 1

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        """Return the next token; the reader wants comments, too, when it is at the beginning of a line."""
        if want_comment:
            self.began = self.line_number
        return super().get(want_leading, want_comment)


class _Including(list[Any]):
    """The files that are being read, each of which includes the next."""

    def append(self, file: Any) -> None:
        """Add one. Raises ValueError where they go too deep: a file may include itself."""
        if len(self) >= INCLUDED_MAX:
            raise ValueError(f"files that include each other go {INCLUDED_MAX} deep")
        super().append(file)


def _parse(text: str, origin: str, source: str) -> dns.zone.Zone:
    """Do as `dns.zone.from_text`, but say for each error where it was, and close what was included when it came."""
    zone = dns.zone.Zone(origin, relativize=False)
    with zone.writer(True) as transaction:
        reader = dns.zonefile.Reader(_Lines(text, source), dns.rdataclass.IN, transaction, allow_include=True)
        reader.saved_state = _Including()
        try:
            reader.read()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            where, line = reader.tok.where()
            line = getattr(reader.tok, "began", line)
            raise _Wrong(f"{where}:{line}: {_WHERE.sub('', str(error)) or type(error).__name__}") from None
        finally:
            for file in (reader.current_file, *(saved[3] for saved in reader.saved_state)):
                if file is not None:
                    file.close()
    zone.check_origin()
    return zone


def _named_after(source: str) -> str:
    """Return the origin that a file's name says."""
    name = os.path.basename(source).removeprefix("db.")
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name.rstrip(".") + "."


def _prepare(found: dns.zone.Zone, source: str) -> Zone:
    """Make nodes of what dnspython has found."""
    assert found.origin is not None
    zone = Zone(found.origin.to_wire() or b"", found.origin.to_text())
    for name, records in found.iterate_rdatasets():
        wire = name.to_wire() or b""
        node = zone.nodes.get(wire.lower())
        if node is None:
            node = zone.nodes[wire.lower()] = Node(zone, wire)
        prepared = _records(records.ttl, records, node.records.get(int(records.rdtype)), int(records.rdtype))
        if prepared.size > RECORDS_BYTES_MAX:
            raise ValueError(f"{source}: {name} has more {records.rdtype.name} records than fit into a message")
        node.records[int(records.rdtype)] = prepared
    for node in list(zone.nodes.values()):
        _check(node, source)
    for node in list(zone.nodes.values()):
        _place(node, zone, source)
    records = found.find_rdataset(found.origin, "SOA")
    zone.soa = _records(min(records.ttl, records[0].minimum), records, None, SOA)
    return zone


def _records(ttl: int, records: Iterable[Any], before: Records | None, kind: int) -> Records:
    """Prepare records of one type, besides those that are there (dnspython keeps signatures by what they sign)."""
    prepared = Records(kind, ttl)
    for record in records:
        if kind in (NS, CNAME, PTR):
            prepared.add(b"", (record.target.to_wire(),))
        elif kind == MX:
            prepared.add(record.preference.to_bytes(2, "big"), (record.exchange.to_wire(),))
        elif kind == SOA:
            numbers = record.serial, record.refresh, record.retry, record.expire, record.minimum
            after = b"".join(number.to_bytes(4, "big") for number in numbers)
            prepared.add(b"", (record.mname.to_wire(), record.rname.to_wire()), after)
        else:
            prepared.add(record.to_wire())
    if before is not None:
        prepared.tails = before.tails + prepared.tails
        prepared.parts = before.parts + prepared.parts
    return prepared


def _check(node: Node, source: str) -> None:
    """Mark a cut. Raises ValueError for what has no meaning."""
    if node.key == node.zone.key:
        return
    if node.key.startswith(b"\1*") and (NS in node.records or DNAME in node.records):
        raise ValueError(f"{source}: {text_of(node.name)} has NS or DNAME, which mean nothing at a wildcard")
    node.cut = NS in node.records


def _place(node: Node, zone: Zone, source: str) -> None:
    """Add the empty names above a node; where it lies below a cut, make glue of it. Raises ValueError below DNAME."""
    above: list[bytes] = []
    key = node.key
    while key != zone.key:
        key = parent_of(key)
        above.append(key)
    for key in reversed(above):  # from the origin down, for the topmost cut is what counts
        parent = zone.nodes.get(key)
        if parent is not None and parent.cut:
            del zone.nodes[node.key]
            zone.glue[node.key] = _addresses(node)
            return
        if parent is not None and DNAME in parent.records:
            raise ValueError(f"{source}: {text_of(node.name)} lies below a DNAME")
    if node.cut:
        zone.glue[node.key] = _addresses(node)
    for key in above:
        if key not in zone.nodes:
            zone.nodes[key] = Node(zone, node.name[len(node.name) - len(key) :])


def _addresses(node: Node) -> tuple[Records, ...]:
    return tuple(node.records[kind] for kind in (A, AAAA) if kind in node.records)


def text_of(name: bytes) -> str:
    """Return a name as people write it."""
    return dns.name.from_wire(name, 0)[0].to_text()
