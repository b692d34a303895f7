"""The fastest straightforward echo server in Python: epoll and a dict of sockets, nothing else.

What partway costs above this is what its table, limits and deadlines cost. The sockets block: after
epoll a `recv` never does, and `sendall` does only for a client that doesn't read. Then everybody
else waits too: that is what having nothing means.
"""

import select
import socket
import sys


def serve(port: int) -> None:
    """Echo for ever on the loopback address. Port 0 picks one."""
    listening = socket.create_server(("127.0.0.1", port), backlog=1024)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    listening_descriptor = listening.fileno()
    connections: dict[int, socket.socket] = {}
    poller = select.epoll()
    poller.register(listening_descriptor, select.EPOLLIN)
    print("PORT", listening.getsockname()[1], flush=True)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listening_descriptor:
                connection, _ = listening.accept()
                connections[connection.fileno()] = connection
                poller.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = connections[descriptor]
            try:
                data = connection.recv(65536)
                if data:
                    connection.sendall(data)
                    continue
            except ConnectionError:
                pass
            poller.unregister(descriptor)
            connections.pop(descriptor).close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
