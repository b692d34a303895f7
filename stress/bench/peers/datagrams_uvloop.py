"""The same echo over uvloop: libuv behind asyncio's datagram protocols, the fastest loop in common use.

It is imported by name at run time because it may be missing; then the first line says so instead of a port.
"""

import asyncio
import importlib
import sys
from typing import Any, cast


class Echo(asyncio.DatagramProtocol):
    """Send back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, but are not instances of it.
        self.send = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, peer: Any) -> None:
        self.send(data, peer)


def serve(port: int) -> None:
    """Echo for ever on the loopback address. Port 0 picks one."""
    try:
        loop = importlib.import_module("uvloop").new_event_loop()
    except ImportError:
        print("SKIP this python has no uvloop", flush=True)
        return
    made = loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", port))
    transport, _ = loop.run_until_complete(made)
    print("PORT", transport.get_extra_info("socket").getsockname()[1], flush=True)
    loop.run_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
