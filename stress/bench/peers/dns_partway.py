"""partway's own DNS server over UDP, as any user would start it: all defaults, but any number of unproven clients."""

import sys
from math import inf

from partway.engine import Reactor
from partway.protocols.dns import Server, load_zone


def serve(zone: str, port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    server = Server([load_zone(zone)], lambda: reactor.now, reactor.platform.random, unproven_max=inf)
    endpoint = reactor.bind(f"udp:127.0.0.1:{port}", server)
    print("PORT", endpoint.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
