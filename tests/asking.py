"""A client of HTTP on the simulation, and how it reads: answers are cut out of what was heard by their own framing.

If a length is wrong, or words fall into the middle of another answer, nothing after them reads as HTTP any more, and
the test sees it. Chunks are read here without a line of what is tested.
"""

from typing import Any, NamedTuple, cast

from partway.engine import Cause, File, Reason
from partway.engine.freeze import freeze, thaw
from partway.engine.machine import Machine
from partway.engine.simulation import Peer
from partway.protocols.http import Handler, Http, Request, Response, Server
from worlds import Rig

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BIG = bytes(range(251)) * 4000  # no part of it looks like another; more than any buffer of the simulation
NO_BODY = (204, 304)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def answers(heard: bytes, *methods: str) -> list[Answer]:
    """Cut what was heard into answers; `methods` are those that were asked with, GET for all the others."""
    found: list[Answer] = []
    while heard:
        head, mark, heard = heard.partition(b"\r\n\r\n")
        assert mark, f"no whole head: {head[:200]!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), f"a header comes twice: {lines}"
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        if method == "HEAD" or int(status) in NO_BODY:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in headers
            body, heard = dechunked(heard)
        elif "content-length" in headers:
            size = int(headers["content-length"])
            assert len(heard) >= size, f"{len(heard)} bytes of {size} came"
            body, heard = heard[:size], heard[size:]
        else:
            assert headers["connection"] == "close", "nothing says where this answer ends"
            body, heard = heard, b""
        found.append(Answer(int(status), headers, body))
    return found


def dechunked(data: bytes) -> tuple[bytes, bytes]:
    """Return a chunked body and what follows it; AssertionError where it isn't whole."""
    body = bytearray()
    while True:
        size, mark, data = data.partition(b"\r\n")
        assert mark, f"a body ended within chunks: {size[:100]!r}"
        count = int(size, 16)
        assert size == b"%x" % count
        assert data[count : count + 2] == b"\r\n", f"a chunk of {count} is not"
        body += data[:count]
        data = data[count + 2 :]
        if not count:
            return bytes(body), data


def chunked(*pieces: bytes) -> bytes:
    """Make chunks of these, with the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    """Make a request of a request line, headers besides Host, and a body as it is sent."""
    return b"\r\n".join((start, b"Host: a", *lines, b"", body))


def post(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    """Make a POST with a Content-Length."""
    return request(b"Content-Length: %d" % len(body), *lines, start=b"POST %b HTTP/1.1" % target, body=body)


def post_chunks(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    """Make a POST whose body is sent as it is given, in chunks."""
    return request(b"Transfer-Encoding: chunked", *lines, start=b"POST %b HTTP/1.1" % target, body=body)


def tells(request: Request) -> Response:
    """Answer with what was asked."""
    return Response(200, (("X-Method", request.method),), request.target)


def returns(request: Request) -> Response:
    """Answer with the body that came."""
    return Response(200, (), b"" if request.body is None else request.body.value())


def rig_of(handler: Handler = tells, seed: int = 1, log: Any = None, **options: Any) -> Rig:
    """Serve with this handler; `options` are those of the rig and its simulation."""
    print(f"seed {seed}")
    return Rig(Server(handler, log), seed=seed, **options)


def ask(rig: Rig, data: bytes, seconds: float = 1.0) -> Peer:
    """Dial, say all this, and let time pass."""
    peer = rig.dial()
    peer.say(data)
    rig.run(seconds)
    return peer


def asked(data: bytes, *methods: str, handler: Handler = tells, **options: Any) -> tuple[list[Answer], Peer, Rig]:
    """What is answered to these bytes within a second."""
    rig = rig_of(handler, **options)
    peer = ask(rig, data)
    return answers(peer.heard(), *methods), peer, rig


def status_of(data: bytes, **options: Any) -> int:
    """The status of the only answer, after which the connection must end in order."""
    found, peer, _ = asked(data, **options)
    assert len(found) == 1, found
    assert peer.ended and not peer.reset
    assert found[0].headers["connection"] == "close"
    return found[0].status


def heard_of(rig: Rig, peer: Peer, seconds: float = 10, most: int = 1 << 30) -> bytes:
    """Read on for a while."""
    heard = bytearray()
    for _ in range(round(seconds / 0.01)):
        heard += peer.heard(most)
        rig.run(0.01)
    return bytes(heard + peer.heard())


def move(rig: Rig) -> None:
    """Have every machine, and what the engine still has to send for it, leave as bytes and come back."""
    for row in rig.rows:
        machine = row.machine
        frozen = freeze(cast(Machine, (machine, row.output if isinstance(row.output, File) else None)))
        if isinstance(machine, Http):  # the process that is left behind closes what it has
            machine.inbox.take()
            machine.ended(Reason(Cause.CLOSED_BY_PROGRAM))
        row.machine, output = cast(tuple[Machine, File | None], thaw(frozen, rig.reactor.table.rows.get))
        if output is not None:
            row.output = output
