"""Requests come here, and begin transfers: each on a port of its own, or all on the one that was asked.

A port of its own is the standard's way, and safer: a liar who does not hear what is sent does not know it, and so
cannot acknowledge blocks in another's name. On one port he can. So there nothing is granted that would send more than
one packet, of a size that no network cuts up, for each of his.
"""

from collections.abc import Callable
from functools import partial

from ...engine import Address, Cause, DatagramRow, Endpoint, PeerError, Reactor, Where
from ..beneath import Beneath
from ..open_file import OpenFile
from .counters import Counters
from .names import refusal, resolved
from .packets import ERROR, RRQ, UNDEFINED, UNKNOWN_ID, WRQ, Bounds, agree, error, opcode_of, parse_request
from .reading import Reading
from .source import Source
from .transfer import Transfer, tftp_limits
from .upload import Policy, Upload, check_writing
from .writing import Writing

ONE_PORT_BLKSIZE = 1468  # with IPv6 or a tag, what an Ethernet carries in one piece
BUSY = "server is busy"

Factory = Callable[[DatagramRow], Transfer]


class Tftp:
    """Serves a folder to one endpoint: `reactor.bind("udp:0.0.0.0:69", Tftp(reactor, folder))`.

    `create` allows files to be written that are not there yet, `overwrite` those that are; neither does. `one_port`
    answers from the port that was asked, for ways on which others are closed. `bounds` is what is granted at the most,
    `counters` is where it is counted, which several may share. Raises NotADirectoryError or OSError for the folder,
    ValueError for bounds that no standard allows, and where files shall be written and cannot be.

    The row of a transfer that is on a port of its own begins at an endpoint of its own. Frozen, transfers need the
    service among what they share.
    """

    def __init__(
        self,
        reactor: Reactor,
        folder: str,
        *,
        create: bool = False,
        overwrite: bool = False,
        one_port: bool = False,
        bounds: Bounds | None = None,
        counters: Counters | None = None,
    ) -> None:
        if create or overwrite:
            check_writing()
        self.reactor = reactor
        self.one_port = one_port
        self.bounds = bounds or Bounds()
        self.bounds.check()
        self.counters = counters or Counters()
        self.policy = Policy(create, overwrite)
        self.transfers: dict[Where, Transfer] = {}  # on ports of their own, the last of each peer
        self.beneath = Beneath(folder)
        self._endpoint: Endpoint | None = None

    def close(self) -> None:
        """Let go of the folder, when the endpoint has been closed."""
        self.beneath.close()

    def opened(self, endpoint: Endpoint) -> None:
        """Remember the endpoint. Raises ValueError for a second one: each has a service of its own."""
        if self._endpoint is not None:
            raise ValueError("one Tftp serves one endpoint")
        self._endpoint = endpoint

    def admit(self, data: bytes, peer: Where) -> bytes | Factory | None:
        """Begin a transfer, or say why not. What is no request is for nobody here, and gets no answer."""
        if opcode_of(data) not in (RRQ, WRQ):
            self.counters.ignored += 1
            return None
        endpoint = self._endpoint
        assert endpoint is not None
        if self.one_port or not isinstance(peer, tuple):
            return self.prepare(data)
        before = self.transfers.get(peer)
        if before is not None and before.request == data and not before.row.proven:
            return None  # it says it again because it has heard nothing yet; so does the transfer
        outcome = self.prepare(data)
        return outcome if isinstance(outcome, bytes) else self._begin_apart(endpoint, outcome, data, peer)

    def prepare(self, data: bytes) -> bytes | Factory:
        """Return what makes the machine for a request, or an ERROR."""
        try:
            request = parse_request(data)
            self.beneath.refresh()
            name = resolved(request.name)
            text = request.mode == b"netascii"
            if request.opcode == WRQ:
                terms = agree(request, self.bounds, None)
                unfinished = b"%016x" % self.reactor.platform.random.getrandbits(64)
                upload = Upload(self.beneath, name, self.policy, unfinished)
                most = self.bounds.written_bytes
                return lambda row: Writing(row, self, data, name, terms, upload, text, most)
            source = self._open(name, text)
            terms = agree(request, self._bounds_of_reading(), source.told_size)
            source.resize(terms.blksize)
            return lambda row: Reading(row, self, data, name, terms, source)
        except PeerError as refused:
            return self.error(refused.hint, refused.reason)

    def error(self, code: int, text: str) -> bytes:
        """Return an ERROR, which is counted."""
        self.counters.errors[code] += 1
        return error(code, text)

    def _begin_apart(self, endpoint: Endpoint, factory: Factory, data: bytes, peer: Where) -> bytes | None:
        """Begin a transfer on a port of its own, of the address that was asked."""
        host = endpoint.asked[0]
        if len(peer) > 3 and peer[3]:
            host = f"{host}%{peer[3]}"  # a link's own address means nothing without the link (RFC 4007)
        limits = tftp_limits(endpoint.limits)
        try:
            apart = self.reactor.bind(Address("udp", host, 0), Strangers(self), limits, alone=True)
        except OSError:
            return self.error(UNDEFINED, BUSY)
        row = apart.begin(peer, partial(self._remembered, factory, peer), data)
        too_many = row.reason is not None and row.reason.cause is Cause.TOO_MANY_FROM_PEER
        return self.error(UNDEFINED, BUSY) if too_many else None

    def _remembered(self, factory: Factory, peer: Where, row: DatagramRow) -> Transfer:
        transfer = self.transfers[peer] = factory(row)
        transfer.peer = peer
        return transfer

    def forget(self, transfer: Transfer) -> None:
        """A transfer has ended."""
        if self.transfers.get(transfer.peer) is transfer:
            del self.transfers[transfer.peer]

    def _bounds_of_reading(self) -> Bounds:
        if not self.one_port:
            return self.bounds
        return self.bounds._replace(blksize=min(self.bounds.blksize, ONE_PORT_BLKSIZE), windowsize=1)

    def _open(self, name: bytes, text: bool) -> Source:
        """Open a file to be read. Raises PeerError."""
        try:
            descriptor = self.beneath.open(name)
            return Source(OpenFile(self.beneath.where(name), descriptor), 0, text)
        except OSError as failure:
            raise refusal(failure) from None


class Strangers:
    """Whoever sends to a transfer's own port without being its peer: told so, and nobody is disturbed (RFC 1350, 4)."""

    def __init__(self, service: Tftp) -> None:
        self.service = service

    def admit(self, data: bytes, peer: Where) -> bytes | None:
        """Answer what is a packet and no ERROR, which are never answered."""
        if opcode_of(data) not in (0, ERROR):
            return self.service.error(UNKNOWN_ID, "unknown transfer ID")
        self.service.counters.ignored += 1
        return None
