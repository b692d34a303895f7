"""A handler of `socketserver` in a child: under the standard library's ForkingMixIn ("theirs"), or under ours."""

import socketserver
import sys


class Answer(socketserver.StreamRequestHandler):
    """Answers a line."""

    def handle(self) -> None:
        """Do."""
        self.wfile.write(self.rfile.readline().upper())


def serve(whose: str, port: int) -> None:
    """Answer for ever on the loopback address. Port 0 picks one."""
    if whose == "theirs":
        mixin: type = socketserver.ForkingMixIn
    else:
        from partway.engine.adapters import socketserver as ours

        mixin = ours.ForkingMixIn
    members = {"request_queue_size": 1024}
    with type("Server", (mixin, socketserver.TCPServer), members)(("127.0.0.1", port), Answer) as server:
        print("PORT", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
