"""Clients that somebody else has written, over real sockets: curl, wrk and socat.

A test of one's own making shares one's own mistakes, so the protocol is also shown to people's tools. Where one is not
installed the test is skipped, but in CI (`PARTWAY_REAL_CLIENTS=required`) that is a failure: a test that is never run
says nothing. Speed is nobody's business here.
"""

import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real import client

SECONDS_MOST = 20.0
BIG = bytes(range(251)) * 20_888  # 5 MiB of which no part looks like another


@contextmanager
def served(*words: str) -> Iterator[str]:
    """Start a server; return the address that its first line names. It must end in order when asked to."""
    process = subprocess.Popen([sys.executable, "-m", "partway.protocols", *words], stderr=subprocess.PIPE)
    with process:
        try:
            assert process.stderr is not None
            assert select.select([process.stderr], [], [], SECONDS_MOST)[0], "the server says nothing"
            line = process.stderr.readline().decode()
            assert " listening on " in line, line
            yield line.rpartition(" ")[2].strip()
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read().decode()
            assert (process.wait(SECONDS_MOST), said) == (0, "")
        finally:
            process.kill()


def run(*words: str, said: bytes = b"") -> bytes:
    """Run a client, which must succeed."""
    done = subprocess.run(words, input=said, capture_output=True, timeout=SECONDS_MOST, check=False)
    assert done.returncode == 0, f"{words}: {done.returncode}, {done.stderr.decode()!r}"
    return done.stdout


def curl(*words: str) -> bytes:
    return run(client("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *words)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "sub" / "b.txt").write_bytes(b"b")
    (root / "big").write_bytes(BIG)
    (tmp_path / "secret").write_bytes(b"the secret")
    return root


@pytest.fixture
def http(site: Path) -> Iterator[str]:
    client("curl")
    with served("http", "--bind", "127.0.0.1:0", str(site)) as address:
        yield address


def test_curl_asks_for_several_on_one_connection(http: str) -> None:
    urls = [f"{http}/a.txt", f"{http}/sub/b.txt", f"{http}/none", f"{http}/a.txt"]
    told = curl(*urls, "--write-out", "[%{http_code} %{num_connects}]").decode()
    assert told == "a[200 1]b[200 0]There is no such file.\n[404 0]a[200 0]"


def test_curl_asks_for_a_head(http: str) -> None:
    told = curl("--head", f"{http}/big", f"{http}/a.txt", "--write-out", "[%{num_connects}]").decode()
    assert told.count("HTTP/1.1 200 OK\r\n") == 2
    assert f"Content-Length: {len(BIG)}\r\n" in told
    assert re.findall(r"\[\d\]", told) == ["[1]", "[0]"]


@pytest.mark.parametrize("keep_alive", [False, True])
def test_curl_speaks_http_1_0(http: str, keep_alive: bool) -> None:
    header = ["--header", "Connection: keep-alive"] if keep_alive else []
    urls = [f"{http}/a.txt", f"{http}/sub/b.txt"]
    told = curl("--http1.0", *header, *urls, "--write-out", "[%{num_connects}]").decode()
    assert told == ("a[1]b[0]" if keep_alive else "a[1]b[1]")


@pytest.mark.parametrize("path", ["/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "//../secret"])
def test_curl_does_not_get_out(http: str, path: str) -> None:
    told = curl("--path-as-is", http + path, "--write-out", "%{http_code}")
    assert told.endswith(b"404") and b"the secret" not in told


def test_curl_gets_a_large_file_whole(http: str, tmp_path: Path) -> None:
    curl(f"{http}/big", "--output", str(tmp_path / "got"), f"{http}/big", "--output", str(tmp_path / "again"))
    assert (tmp_path / "got").read_bytes() == BIG
    assert (tmp_path / "again").read_bytes() == BIG


def test_curl_gets_a_large_file_slowly(http: str, tmp_path: Path) -> None:
    curl("--limit-rate", "20M", f"{http}/big", "--output", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == BIG


def test_curl_follows_to_a_folder(http: str) -> None:
    told = curl("--location", f"{http}/sub", "--write-out", "%{url_effective}").decode()
    assert told.endswith(f"{http}/sub/") and 'href="./b.txt"' in told


def test_curl_sends_a_body_and_hears_that_it_may_not(http: str, site: Path) -> None:
    told = curl("--data-binary", f"@{site / 'big'}", f"{http}/a.txt", "--write-out", "%{http_code}")
    assert told.endswith(b"405")


def test_curl_uses_a_proxy(http: str) -> None:
    """A proxy is asked in absolute form, and this one answers for itself."""
    assert curl("--noproxy", "", "--proxy", http, "http://elsewhere.invalid/a.txt") == b"a"


def test_curl_over_a_unix_socket(site: Path, tmp_path: Path) -> None:
    client("curl")
    path = tmp_path / "s"
    with served("http", "--bind", f"unix:{path}", str(site)) as address:
        assert address == f"unix:{path}"
        assert curl("--unix-socket", str(path), "http://any/a.txt") == b"a"
        assert curl("--unix-socket", str(path), "http://any/big") == BIG


def test_curl_through_a_tunnel(http: str) -> None:
    with served("forward", "--bind", "127.0.0.1:0", http.removeprefix("http://")) as tunnel:
        assert curl(f"http://{tunnel}/big", f"http://{tunnel}/a.txt") == BIG + b"a"


@pytest.mark.parametrize("path", ["/a.txt", "/big"])
def test_wrk_reports_no_errors(http: str, path: str) -> None:
    told = run(client("wrk"), "--threads", "1", "--connections", "20", "--duration", "1s", http + path).decode()
    assert "Socket errors" not in told, told
    assert "Non-2xx" not in told, told
    match = re.search(r"(\d+) requests in", told)
    assert match and int(match[1]) > 0, told


def test_socat_ends_its_side_and_gets_the_whole_answer() -> None:
    socat = client("socat")
    with served("echo", "--bind", "127.0.0.1:0") as address:
        assert run(socat, "-", f"TCP:{address}", said=b"hello\n") == b"hello\n"
        assert run(socat, "-t", "10", "-", f"TCP:{address}", said=BIG) == BIG


def test_socat_ends_its_side_of_a_tunnel() -> None:
    socat = client("socat")
    with (
        served("echo", "--bind", "127.0.0.1:0") as target,
        served("forward", "--bind", "127.0.0.1:0", target) as tunnel,
    ):
        assert run(socat, "-t", "10", "-", f"TCP:{tunnel}", said=BIG) == BIG


def test_socat_asks_with_bare_hands(http: str) -> None:
    request = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n"
    told = run(client("socat"), "-t", "10", "-", f"TCP:{http.removeprefix('http://')}", said=request)
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert told.endswith(BIG)


def test_socat_in_the_chat_room() -> None:
    with served("chat", "--bind", "127.0.0.1:0") as address:
        told = run(client("socat"), "-", f"TCP:{address}", said=b"/name ann\n/who\n").decode()
    assert told.splitlines()[1:] == ["* you are now ann", "* ann"]
