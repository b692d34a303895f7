"""partway's own datagram echo, as any user would start it: all defaults, nothing tuned."""

import sys

from partway.engine import Reactor
from partway.protocols.echo import EchoDatagrams


def serve(port: int) -> None:
    """Echo for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    endpoint = reactor.bind(f"udp:127.0.0.1:{port}", EchoDatagrams())
    print("PORT", endpoint.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
