"""The guest: table and machines in WebAssembly. Numbers and bytes go in and out; whoever is outside moves them."""

import sys
import threading
import time
import types
from collections.abc import Iterable
from typing import Any

package = types.ModuleType("partway")
package.__path__ = ["/partway"]  # where engine and protocols are mounted
sys.modules["partway"] = package
sys.path += ["/packages", "/tests"]


def server() -> tuple[Any, Any]:
    """A reactor on a host, with HTTP and an echo of datagrams."""
    from partway.engine import Reactor
    from partway.engine.host import Host
    from partway.protocols.echo import EchoDatagrams
    from partway.protocols.http import Request, Response, Server

    def answer(request: Request) -> Response:
        if request.target == b"/large":
            return Response(200, body=bytes(range(256)) * 4000)
        return Response(200, body=b"hello from " + request.target)

    host = Host(time.monotonic, time.time)
    reactor = Reactor(host)
    reactor.listen("host:80", Server(answer))
    reactor.bind("udp:127.0.0.1:7", EchoDatagrams())
    return reactor, host


class Outside:
    """What JavaScript calls."""

    def __init__(self) -> None:
        self.reactor, self.host = server()

    def open(self, address: str, port: int) -> int:
        return int(self.host.open("host:80", (address, port)))

    def feed(self, number: int, data: Any) -> int:
        return int(self.host.feed(number, data.to_bytes()))

    def datagram(self, data: Any, address: str, port: int) -> None:
        self.host.datagram("udp:127.0.0.1:7", data.to_bytes(), (address, port))

    def step(self, numbers: Iterable[int]) -> list[tuple[int, bytes, str]]:
        """Take turns until there is nothing to do; return what is to be sent of these, and what has become of each."""
        while self.reactor.step(0):
            pass
        seen = [(number, self.host.take(number), self.host.outcome(number)) for number in numbers]
        return [one for one in seen if one[1] or one[2] != "open"]

    def letters(self) -> list[tuple[bytes, str, int]]:
        return [(data, peer[0], peer[1]) for data, peer in self.host.take_datagrams("udp:127.0.0.1:7")]

    def sleep_ms(self) -> float:
        left = self.reactor.seconds_left()
        return -1.0 if left is None else left * 1000


def thread() -> str:
    """What becomes of a thread here."""
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        return str(error)
    return "started"


def test(*files: str) -> int:
    """Run tests of the engine's, as they are; return pytest's exit code."""
    import pytest

    words = [
        "-q",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
        "--rootdir",
        "/tests",
        "-c",
        "/dev/null",
    ]
    return int(pytest.main([*words, *(f"/tests/{file}" for file in files)]))
