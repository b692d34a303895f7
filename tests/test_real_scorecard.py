"""Every server of the scorecard, where it is installed: it starts, and answers what clients will ask of it."""

import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from partway.stress.scorecard.servers import ENTRIES, LARGE_BYTES, Entry, make_site, version_of
from partway.stress.scorecard.started import Started

FOLDERS = {
    "partway http": 405,
    "http.server": 501,
    "nginx": 405,
    "partway switching": 501,
    "partway buffered": 501,
}  # what they say of a body


SECONDS_MOST = 20.0


def asked(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Ask, and again where the connection was closed on us: gunicorn's workers do so now and then as they begin.

    What is tested is that there is an answer, and which.
    """
    end = time.monotonic() + SECONDS_MOST
    while True:
        try:
            return asked_once(port, path, body)
        except (ConnectionError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def asked_once(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that a server which root has started, and which serves as somebody else, can read."""
    with tempfile.TemporaryDirectory(prefix="partway-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name.replace(" ", "-"))
def test_it_answers(entry: Entry, folder: Path) -> None:
    if version_of(entry) is None:
        if os.environ.get("PARTWAY_SCORECARD") == "required":
            pytest.fail(f"{entry.name} is not installed")
        pytest.skip(f"{entry.name} is not installed")
    site = make_site(folder / "site")
    with Started(entry, site, folder / "scratch") as server:
        server.wait()
        assert asked(server.port, "/") == (200, b"hello\n")
        status, large = asked(server.port, "/large")
        assert (status, len(large)) == (200, LARGE_BYTES)
        refused = FOLDERS.get(entry.name)
        assert asked(server.port, "/", b"x" * 5000) == ((refused, b"") if refused else (200, b"hello\n"))
