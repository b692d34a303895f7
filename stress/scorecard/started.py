"""Servers that run: started a few at a time, known to listen, and ended with all that they have begun."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

from .servers import PEERS, Entry, words_of

FIRST_PORT, LAST_PORT = 20_000, 30_000  # beneath those that clients are given
START_SECONDS_MAX = 60.0
END_SECONDS_MAX = 5.0
POLL_SECONDS = 0.05


class FailedError(Exception):
    """A server has not come to listen; the message says why."""


class Started:
    """One server, on a port and in a scratch folder of its own."""

    def __init__(self, entry: Entry, site: Path, scratch: Path) -> None:
        self.entry = entry
        self.port = free_port()
        self._scratch = scratch
        scratch.mkdir()
        self._began = time.monotonic()
        self._log = (scratch / "log").open("wb")
        self._process = subprocess.Popen(
            words_of(entry, self.port, site, scratch),
            cwd=PEERS,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)  # workers whose master has gone, too
        self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        """Of the process that was started; it may have others."""
        return self._process.pid

    def wait(self) -> None:
        """Return when it listens. Raises FailedError when it does not."""
        while True:
            listens = _listens(self.port)
            code = self._process.poll()
            if code is not None:  # whoever listens is somebody else
                raise FailedError(f"exit {code}: {self._last_words()}")
            if listens:
                return
            if time.monotonic() > self._began + START_SECONDS_MAX:
                raise FailedError(f"did not listen within {START_SECONDS_MAX:g} s: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        lines = (self._scratch / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


def free_port() -> int:
    """Return a port that nobody has; none is returned twice before all have been."""
    for _ in range(LAST_PORT - FIRST_PORT):
        port = next(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise FailedError("no port is free")


PORTS_APART = 128  # two cards at once begin elsewhere: a port that both have tried would seem to be either's server
_BEGIN = FIRST_PORT + os.getpid() * PORTS_APART % (LAST_PORT - FIRST_PORT)
_PORTS: Iterator[int] = cycle([*range(_BEGIN, LAST_PORT), *range(FIRST_PORT, _BEGIN)])


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
