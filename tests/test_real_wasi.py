"""CPython for WASI 0.2, which has no threads and no fork, serves real clients from the same files: by wasmtime."""

import importlib.metadata
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real import has, need

ROOT = Path(__file__).resolve().parent.parent
WASI = Path(__file__).resolve().parent / "wasi"
SECONDS_MOST = 60
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine, the protocols and h11 as they are, put together with an interpreter."""
    for module in ("componentize_py", "wasmtime", "h11"):
        need(has(module), module)
    folder = tmp_path_factory.mktemp("wasi")
    source = folder / "source"
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("engine", "protocols"):
        shutil.copytree(ROOT / name, source / "partway" / name, ignore=skipped)
    h11 = importlib.metadata.distribution("h11").locate_file("h11")
    shutil.copytree(str(h11), source / "h11", ignore=skipped)
    shutil.copy(WASI / "wasi_app.py", source)
    built = folder / "server.wasm"
    tool = str(Path(sysconfig.get_path("scripts"), "componentize-py"))
    words = [tool, "-d", str(WASI / "world.wit"), "-w", "server", "componentize", "-p", str(source), "wasi_app"]
    done = subprocess.run([*words, "-o", str(built)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[:3000]
    return built


@contextmanager
def serving(component: Path) -> Iterator[tuple[list[int], "subprocess.Popen[str]"]]:
    words = [sys.executable, str(WASI / "host.py"), str(component), str(SECONDS_MOST)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as host:
        try:
            assert host.stdout is not None
            line = host.stdout.readline()
            assert line.startswith("PORTS"), line + host.stdout.read()
            yield [int(word) for word in line.split()[1:]], host
        finally:
            host.kill()


def test_a_server_without_threads_and_fork(component: Path) -> None:
    """A real curl is answered, twenty connections are half done at once, a line and a datagram come back."""
    need(shutil.which("curl"), "curl")
    with serving(component) as ((page, echo, datagrams), host):
        url = f"http://127.0.0.1:{page}"
        said = subprocess.run(["curl", "-sS", f"{url}/curl"], capture_output=True, text=True, timeout=SECONDS_MOST)
        assert said.stdout == "hello from /curl", said.stderr
        channels = [socket.create_connection(("127.0.0.1", page), SECONDS_MOST) for _ in range(20)]
        for channel in channels:
            channel.sendall(b"GET /partway HTTP/1.1\r\nHo")
        with socket.create_connection(("127.0.0.1", echo), SECONDS_MOST) as channel:
            channel.sendall(b"hello")
            assert channel.recv(10) == b"hello"
        for channel in channels:
            channel.sendall(b"st: x\r\nConnection: close\r\n\r\n")
        for channel in channels:
            assert channel.makefile("rb").read().endswith(b"\r\n\r\nhello from /partway")
            channel.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as letters:
            letters.settimeout(SECONDS_MOST)
            letters.sendto(b"hello", ("127.0.0.1", datagrams))
            assert letters.recv(10) == b"hello"
        subprocess.run(["curl", "-sS", f"{url}/stop"], capture_output=True, timeout=SECONDS_MOST)
        assert host.stdout is not None
        told = json.loads(host.stdout.readline())
    assert (told["platform"], told["fork"]) == ("wasi", False)
    assert told["thread"] == "can't start new thread"
    assert told["accepted"] == 23
    assert told["turns"] < 500, "it waits, and does not spin"
