"""The same echo over uvloop: libuv behind asyncio's protocols, the fastest loop in common use.

It is imported by name at run time because it may be missing; then the first line says so instead of
a port.
"""

import asyncio
import importlib
import sys
from typing import cast


class Echo(asyncio.Protocol):
    """Send back what comes. uvloop sets TCP_NODELAY by itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, but are not instances of it.
        self.write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self.write(data)


def serve(port: int) -> None:
    """Echo for ever on the loopback address. Port 0 picks one."""
    try:
        loop = importlib.import_module("uvloop").new_event_loop()
    except ImportError:
        print("SKIP this python has no uvloop", flush=True)
        return
    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", port, backlog=1024))
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    loop.run_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
