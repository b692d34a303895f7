"""What the kernel sees of a server that forks part-way: one clone for each request that asked for it, by strace."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from real import client

SECONDS_MOST = 30.0
SERVER = textwrap.dedent(
    """
    from partway.engine import CLOSE, IDLE, Call, Reactor

    def answer(channel, line):
        channel.sendall(b"a child: " + line)

    class Deciding:
        def __init__(self, row):
            self.line = b""
            self.over = False

        def feed(self, data):
            self.line += data

        def resume(self, outcome):
            self.over = True

        def step(self):
            if self.over:
                return CLOSE
            if not self.line.endswith(b"\\n"):
                return IDLE
            if self.line.startswith(b"fork"):
                return Call(answer, self.line, how="fork", lend=True)
            line, self.line, self.over = self.line, b"", True
            return b"here: " + line

    reactor = Reactor()
    print(reactor.listen("127.0.0.1:0", Deciding).address.port, flush=True)
    reactor.run()
    """
)


def ask(port: int, line: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), SECONDS_MOST) as channel:
        channel.sendall(line)
        return channel.makefile("rb").read()


def test_one_clone_for_each_request_that_asked_for_it(tmp_path: Path) -> None:
    told = tmp_path / "told"
    words = [client("strace"), "-f", "-c", "-o", str(told), sys.executable, "-c", SERVER]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as server:
        try:
            assert server.stdout is not None and server.stderr is not None
            line = server.stdout.readline()
            if not line:
                pytest.fail(server.stderr.read().decode())
            port = int(line)
            for number in range(12):
                said = b"fork %d\n" % number if number % 4 == 3 else b"plain %d\n" % number
                assert ask(port, said) == (b"a child: " if number % 4 == 3 else b"here: ") + said
            os.killpg(server.pid, signal.SIGINT)  # strace tells when who it watches has ended
            server.communicate(timeout=SECONDS_MOST)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
    assert calls_of(told.read_text(), "clone", "clone3", "fork", "vfork") == 3


def calls_of(table: str, *names: str) -> int:
    """Sum up a column of strace's table: % time, seconds, usecs/call, calls, errors if there are any, and the name."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", table, re.MULTILINE)
    assert rows, table
    return sum(int(count) for count, name in rows if name in names)
