"""partway's own file server, as any user would start it: all defaults, but for the file cache.

http_partway.py SITE on|off PORT    (0 picks one); prints "PORT n" when it listens
"""

import sys

from partway.engine import Reactor
from partway.protocols.http import Folder, Server


def serve(site: str, file_cache: bool, port: int) -> None:
    """Serve a folder for ever on the loopback address. Port 0 picks one."""
    reactor = Reactor()
    listener = reactor.listen(f"127.0.0.1:{port}", Server(Folder(site, file_cache=file_cache)))
    print("PORT", listener.address.port, flush=True)
    reactor.run()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] == "on", int(sys.argv[3]))
