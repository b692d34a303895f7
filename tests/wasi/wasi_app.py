"""The guest: HTTP and an echo over TCP and UDP, from the same files as everywhere, on CPython for WASI 0.2.

A component's imports are resolved when it is built, so all of them stand here.
"""

import encodings.idna  # noqa: F401  # socket.getaddrinfo wants it
import json
import os
import sys
import threading
import traceback

import partway.engine.datagram_sockets
import partway.engine.kernel
import partway.engine.selector  # noqa: F401
import wit_world
from partway.engine import Reactor
from partway.protocols.echo import Echo, EchoDatagrams
from partway.protocols.http import Request, Response, Server


class WitWorld(wit_world.WitWorld):
    """What the component exports."""

    def serve(self, seconds: int) -> str:
        """Serve; tell what there was, or what went wrong."""
        try:
            return serve(seconds)
        except BaseException:
            return traceback.format_exc()


def serve(seconds: int) -> str:
    reactor = Reactor()
    over: list[bool] = []

    def answer(request: Request) -> Response:
        if request.target == b"/stop":
            reactor.after(0.05, lambda: over.append(True))
        return Response(200, body=b"hello from " + request.target)

    page = reactor.listen("127.0.0.1:0", Server(answer))
    echo = reactor.listen("127.0.0.1:0", Echo)
    datagrams = reactor.bind("udp:127.0.0.1:0", EchoDatagrams())
    print("PORTS", page.address.port, echo.address.port, datagrams.address.port, flush=True)
    reactor.after(seconds, lambda: over.append(False))
    while not over:
        reactor.step()
    totals = reactor.totals()
    told = {
        "platform": sys.platform,
        "fork": hasattr(os, "fork"),
        "thread": thread(),
        "accepted": totals.accepted,
        "turns": totals.turns,
    }
    reactor.close()
    return json.dumps(told)


def thread() -> str:
    """What becomes of a thread here."""
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        return str(error)
    return "started"
