"""Pyodide in Node: the table and the machines run in WebAssembly, Node moves the bytes, and real clients are answered.

Where it is, `PARTWAY_PYODIDE` says: the folder of the npm package.
"""

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real import client, need, pyodide

ROOT = Path(__file__).resolve().parent.parent
HOST = Path(__file__).resolve().parent / "pyodide" / "host.mjs"
PACKAGES = ("h11", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")  # all pure Python
SECONDS_MOST = 60
INSIDE = (
    "test_row.py",
    "test_schedule.py",
    "test_limits.py",
    "test_failure.py",
    "test_freeze.py",
    "test_offload.py",
    "test_report.py",
    "test_endpoint.py",
    "test_datagram_row.py",
    "test_outbox.py",
)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def host(tmp_path: Path) -> list[str]:
    """The words that start the host, but for what it is to do."""
    folder = pyodide()
    client("node")
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in PACKAGES:
        place = Path(sysconfig.get_path("purelib"), name)
        need(place.exists(), name)
        if place.is_dir():
            shutil.copytree(place, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, packages)
    return [str(folder), str(ROOT), str(packages)]


@contextmanager
def serving(host: list[str]) -> Iterator[tuple[int, int, "subprocess.Popen[str]"]]:
    words = ["node", str(HOST), "serve", *host]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            _, page, letters = process.stdout.readline().split()
            yield int(page), int(letters), process
        finally:
            process.kill()


def test_nodes_sockets_and_our_table(host: list[str]) -> None:
    """curl is answered, a megabyte leaves as it is taken, twenty are half done at once, a datagram comes back."""
    client("curl")
    with serving(host) as (page, letters, process):
        url = f"http://127.0.0.1:{page}"
        said = subprocess.run(["curl", "-sS", f"{url}/curl"], capture_output=True, text=True, timeout=SECONDS_MOST)
        assert said.stdout == "hello from /curl", said.stderr
        large = subprocess.run(["curl", "-sS", f"{url}/large"], capture_output=True, timeout=SECONDS_MOST).stdout
        assert hashlib.sha256(large).digest() == hashlib.sha256(bytes(range(256)) * 4000).digest()
        channels = [socket.create_connection(("127.0.0.1", page), SECONDS_MOST) for _ in range(20)]
        for channel in channels:
            channel.sendall(b"GET /partway HTTP/1.1\r\nHo")
        for channel in channels:
            channel.sendall(b"st: x\r\n\r\n")
        for channel in channels:
            assert channel.recv(1000).endswith(b"\r\n\r\nhello from /partway")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SECONDS_MOST)
            sender.sendto(b"hello", ("127.0.0.1", letters))
            assert sender.recv(10) == b"hello"
        out, _ = process.communicate(timeout=SECONDS_MOST)
        for channel in channels:
            channel.close()
    told = json.loads(out)
    assert (told["platform"], told["thread"]) == ("emscripten", "can't start new thread")
    assert (told["accepted"], told["rows"]) == (22, 20)


def test_the_engines_own_tests_inside(host: list[str]) -> None:
    """As they are: those that need no socket, no process and no module in C."""
    words = ["node", str(HOST), "test", *host, *INSIDE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_MOST)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed.group(1)) > 500
