"""`partway.socketserver`: the short name of `partway.engine.adapters.socketserver`."""

from partway.engine.adapters.socketserver import (
    BaseRequestHandler,
    BaseServer,
    DatagramRequestHandler,
    ForkingMixIn,
    MultiplexingMixIn,
    StreamRequestHandler,
    TCPServer,
    ThreadingMixIn,
    UDPServer,
)

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "MultiplexingMixIn",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "UDPServer",
]

try:
    from partway.engine.adapters.socketserver import UnixDatagramServer, UnixStreamServer
except ImportError:  # a system without UNIX sockets
    pass
else:
    __all__ += ["UnixDatagramServer", "UnixStreamServer"]
