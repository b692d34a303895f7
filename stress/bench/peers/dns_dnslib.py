"""The same zone over dnslib, the DNS server in pure Python that is used most: its own server and resolver, logs off.

It is imported by name at run time because it may be missing; then the first line says so instead of a port.
"""

import importlib
import sys
from pathlib import Path

SILENT = "-recv,-send,-request,-reply,-truncated,-error,-data"


def serve(zone: str, port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    try:
        servers = importlib.import_module("dnslib.server")
        resolvers = importlib.import_module("dnslib.zoneresolver")
    except ImportError:
        print("SKIP this python has no dnslib", flush=True)
        return
    resolver = resolvers.ZoneResolver(Path(zone).read_text())
    server = servers.DNSServer(resolver, port=port, address="127.0.0.1", logger=servers.DNSLogger(SILENT))
    print("PORT", server.server.server_address[1], flush=True)
    server.start()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
