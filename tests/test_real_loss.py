"""Real clients of TFTP, on a real network that loses every twentieth datagram, which a filter of the kernel's drops.

It is the loopback of a network namespace of the test's own. Where such a thing is not to be had (it takes the rights of
root, and nftables in the kernel), the test is skipped.
"""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from real import client

SECONDS_MOST = 60.0
CONTENT = Random(2).randbytes(201_000) + b"and a little"
LOSSY = """
ip link set lo up
nft 'add table ip losses'
nft 'add chain ip losses entry { type filter hook input priority 0; }'
nft 'add rule ip losses entry ip protocol udp numgen inc mod 20 == 7 counter drop'
"""
SERVED = """
"$1" -m partway.protocols tftp root --create --bind udp:127.0.0.1:6969 2>said &
server=$!
until grep -q listening said; do kill -0 $server; done
shift
"$@"
kill -TERM $server
wait $server
nft list ruleset | sed -n 's/.* packets \\([0-9]*\\) .*/\\1/p'
"""


def in_namespace(script: str, *words: str, folder: Path) -> str:
    """Run a script in a network namespace of its own, to whose end everything in it ends, too."""
    command = [client("unshare"), "--net", "--pid", "--fork", "--kill-child", "sh", "-euc", script, "sh", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS_MOST, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client("ip"), client("nft")
    try:
        in_namespace(LOSSY, folder=tmp_path)
    except AssertionError as failure:
        pytest.skip(f"no network that loses: {failure}")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "there").write_bytes(CONTENT)
    (tmp_path / "mine").write_bytes(CONTENT)
    return tmp_path


GET = ("--get", "--remote-file", "there", "--local-file", "got", "127.0.0.1", "6969")
PUT = ("--put", "--local-file", "mine", "--remote-file", "new", "127.0.0.1", "6969")


@pytest.mark.parametrize(
    ("words", "lost_least"),
    [
        (("curl", "--silent", "--tftp-no-options", "--output", "got", "tftp://127.0.0.1:6969/there"), 35),
        (("tftp", "-m", "octet", "127.0.0.1", "6969", "-c", "get", "there", "got"), 35),
        (("atftp", *GET), 35),
        (("atftp", "--option", "blksize 8192", "--option", "timeout 1", *PUT), 2),
    ],
    ids=["curl", "tftp-hpa", "atftp", "atftp-put"],
)
def test_every_twentieth_is_lost(folder: Path, words: tuple[str, ...], lost_least: int) -> None:
    said = in_namespace(LOSSY + SERVED, sys.executable, client(words[0]), *words[1:], folder=folder)
    assert int(said.split()[-1]) >= lost_least
    got = folder / "root" / "new" if "--put" in words else folder / "got"
    assert got.read_bytes() == CONTENT
