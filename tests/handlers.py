"""Handlers written for the standard library's servers. Nothing here knows of partway, and nothing may."""

import http.server
import os
import socketserver
import threading
import time


class Capitals(socketserver.StreamRequestHandler):
    """Sends each line back in capitals; fails on request."""

    def handle(self) -> None:
        for line in self.rfile:
            if line == b"fail\n":
                raise RuntimeError("as it was told")
            self.wfile.write(line.upper())


class Raw(socketserver.BaseRequestHandler):
    """Uses the socket itself: answers with what it got, four bytes at a time, until somebody says end."""

    def handle(self) -> None:
        data = b""
        while not data.endswith(b"end\n"):
            part = self.request.recv(4)
            if not part:
                return
            data += part
        self.request.sendall(data)


class Where(socketserver.StreamRequestHandler):
    """Tells who serves whom."""

    def handle(self) -> None:
        self.rfile.readline()
        host, port = self.client_address[:2]
        self.wfile.write(b"%d %s %d\n" % (os.getpid(), host.encode(), port))


class Buffered(socketserver.StreamRequestHandler):
    """Writes into a buffer that is flushed at the end."""

    wbufsize = -1

    def handle(self) -> None:
        for line in iter(self.rfile.readline, b"\n"):
            self.wfile.write(line[::-1])


class Impatient(socketserver.StreamRequestHandler):
    """Waits for a quarter of a second, and no longer."""

    timeout = 0.25

    def handle(self) -> None:
        try:
            self.wfile.write(self.rfile.readline())
            self.rfile.readline()
        except TimeoutError:
            self.wfile.write(b"too late\n")


class Large(socketserver.StreamRequestHandler):
    """Sends so many bytes as it is asked for."""

    def handle(self) -> None:
        size = int(self.rfile.readline())
        sent = 0
        while sent < size:
            sent += self.request.send(b"x" * min(65536, size - sent))


class Sleepy(socketserver.StreamRequestHandler):
    """Computes for a while, as it seems to others."""

    def handle(self) -> None:
        self.rfile.readline()
        time.sleep(0.2)
        self.wfile.write(b"done\n")


class Answer(socketserver.DatagramRequestHandler):
    """Sends a datagram back in capitals."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class Letters(socketserver.BaseRequestHandler):
    """Sends a datagram back by the server's socket, as the documentation shows."""

    def handle(self) -> None:
        data, channel = self.request
        channel.sendto(data.upper(), self.client_address)


class LateLetter(Letters):
    """Answers after a while."""

    def handle(self) -> None:
        time.sleep(0.1)
        super().handle()


class WhereLetter(socketserver.BaseRequestHandler):
    """Tells in which process and thread it was."""

    def handle(self) -> None:
        self.request[1].sendto(b"%d %d" % (os.getpid(), threading.get_ident()), self.client_address)


class TooMuch(socketserver.BaseRequestHandler):
    """Answers with more than a datagram can hold."""

    def handle(self) -> None:
        self.request[1].sendto(bytes(100_000), self.client_address)


class Pages(http.server.BaseHTTPRequestHandler):
    """Pages, kept alive."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(self.path.encode())

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""
