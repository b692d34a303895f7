"""The standard library's handler of files, unmodified, one row each: handlers_app.py PORT FOLDER switching|buffered."""

import sys
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

from partway.socketserver import MultiplexingMixIn


class Server(MultiplexingMixIn, HTTPServer):
    pass


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


if __name__ == "__main__":
    Server.how = sys.argv[3]
    with Server(("127.0.0.1", int(sys.argv[1])), partial(Quiet, directory=sys.argv[2])) as server:
        server.serve_forever()
