"""TFTP clients that somebody else has written, over real sockets: tftp-hpa, atftp and curl.

They fetch and put a few megabytes on 127.0.0.1, byte by byte the same. Where one is not installed its tests are
skipped, but in CI (`PARTWAY_REAL_CLIENTS=required`) that is a failure.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from real import client
from test_command import LOCAL, served
from test_real_clients import run

SECONDS_MOST = 20.0
CONTENT = Random(1).randbytes(3 << 20) + b"and a little"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "big").write_bytes(CONTENT)
    (root / "text").write_bytes(b"one\ntwo\r\nthree\rfour\n" * 1000)
    return root


@pytest.fixture(params=[(), ("--one-port",)], ids=["ports", "one-port"])
def port(root: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    with served("tftp", str(root), "--create", *LOCAL, *request.param) as server:
        yield server.addresses[0].rpartition(":")[2]
        assert server.end() == 0
        assert server.rest() == ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which clients run; tftp-hpa takes no path for the local file on its command line."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine").write_bytes(CONTENT)
    monkeypatch.chdir(here)
    return here


def test_curl_gets_and_puts(port: str, root: Path, here: Path) -> None:
    curl = [client("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", "15"]
    run(*curl, f"tftp://127.0.0.1:{port}/big", "--output", "got")
    assert (here / "got").read_bytes() == CONTENT
    run(*curl, "--tftp-blksize", "1400", f"tftp://127.0.0.1:{port}/big", "--output", "again")
    assert (here / "again").read_bytes() == CONTENT
    run(*curl, "--upload-file", "mine", f"tftp://127.0.0.1:{port}/new")
    assert (root / "new").read_bytes() == CONTENT


def test_curl_without_options(port: str, here: Path) -> None:
    curl = [client("curl"), "--silent", "--noproxy", "*", "--max-time", "15", "--tftp-no-options"]
    run(*curl, f"tftp://127.0.0.1:{port}/big", "--output", "got")
    assert (here / "got").read_bytes() == CONTENT


def test_curl_hears_errors(port: str, here: Path) -> None:
    curl = [client("curl"), "--silent", "--noproxy", "*", "--max-time", "15", "--path-as-is"]
    for words, code in (
        ((f"tftp://127.0.0.1:{port}/none",), 68),
        ((f"tftp://127.0.0.1:{port}/../here/mine",), 69),
        (("--upload-file", "mine", f"tftp://127.0.0.1:{port}/big"), 73),
    ):
        assert subprocess.run([*curl, *words], capture_output=True, timeout=SECONDS_MOST).returncode == code


def test_tftp_hpa_gets_and_puts(port: str, root: Path, here: Path) -> None:
    """All of it in one session, so from one socket: a next request comes while the last transfer still dallies."""
    said = b"mode binary\nput mine new\nget big got\nget big again\nput mine newer\nmode ascii\nget text text\nquit\n"
    run(client("tftp"), "127.0.0.1", port, said=said)
    for path in (here / "got", here / "again", root / "new", root / "newer"):
        assert path.read_bytes() == CONTENT
    assert (here / "text").read_bytes() == (root / "text").read_bytes()


@pytest.mark.parametrize(("blksize", "window"), [(512, 1), (1468, 16), (1468, 64), (8192, 4), (65464, 2)])
def test_atftp_gets_and_puts(port: str, root: Path, here: Path, blksize: int, window: int) -> None:
    options = ["--option", f"blksize {blksize}", "--option", f"windowsize {window}", "--option", "tsize enable"]
    atftp = [client("atftp"), *options, "--tftp-timeout", "1"]
    run(*atftp, "--get", "--remote-file", "big", "--local-file", "got", "127.0.0.1", port)
    assert (here / "got").read_bytes() == CONTENT
    run(*atftp, "--put", "--local-file", "mine", "--remote-file", "new", "127.0.0.1", port)
    assert (root / "new").read_bytes() == CONTENT


def test_several_clients_at_once(port: str, here: Path) -> None:
    words = [client("curl"), "--silent", "--noproxy", "*", "--max-time", "20", f"tftp://127.0.0.1:{port}/big"]
    fetching = [subprocess.Popen([*words, "--output", f"got{number}"]) for number in range(5)]
    assert [process.wait(SECONDS_MOST) for process in fetching] == [0] * 5
    assert {(here / f"got{number}").read_bytes() for number in range(5)} == {CONTENT}
