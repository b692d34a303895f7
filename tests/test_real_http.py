"""HTTP as other people's clients speak it: curl, ab, hey, wrk, h2load, slowhttptest, and a browser.

Each talks to a server in a process of its own. Where a client is not installed its tests are skipped, but in CI
(`PARTWAY_REAL_CLIENTS=required`) that is a failure. Of the load generators nothing is asked but that nothing fails:
speed is nobody's business here. Those who mean harm come all at once, and must neither be felt nor stay. What the
browser shows is copied to the folder `PARTWAY_SCREENSHOTS`, if that is set, for people to look at.
"""

import gzip
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import NamedTuple

import pytest
from real import client
from test_real_clients import BIG, SECONDS_MOST, curl, run, served

TEXT = b"all that is sent in the clear is longer than what is packed\n" * 100
SHORT = [
    "--request-seconds=1",
    "--idle-seconds=1",
    "--linger-seconds=1",
    "--stall-seconds=1",
]

UPLOADS = """
import sys
from partway.engine import Limits, Reactor
from partway.protocols.http import Response, Server

reactor = Reactor(limits=Limits(head_seconds=1, request_seconds=1, idle_seconds=1, linger_seconds=1))
listener = reactor.listen("127.0.0.1:0", Server(lambda request: Response(200, body=b"%d" % len(request.body or b""))))
print(f"uploads: listening on http://{listener.address}", file=sys.stderr, flush=True)
reactor.run()
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"abcdefghijklmnopqrstuvwxyz")
    (root / "sub" / "b.txt").write_bytes(b"the file in the folder")
    (root / "big").write_bytes(BIG)
    (root / "text.txt").write_bytes(TEXT)
    (root / "text.txt.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "secret").write_bytes(b"the secret")
    return root


@pytest.fixture
def http(site: Path) -> Iterator[str]:
    with served("http", "--bind", "127.0.0.1:0", str(site)) as address:
        yield address


@pytest.fixture
def uploads() -> Iterator[str]:
    """A server that takes bodies, under short limits."""
    with subprocess.Popen([sys.executable, "-c", UPLOADS], stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            assert select.select([process.stderr], [], [], SECONDS_MOST)[0], "the server says nothing"
            yield process.stderr.readline().decode().rpartition(" ")[2].strip()
        finally:
            process.kill()
        assert process.stderr.read() == b""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def asked(*words: str) -> Answer:
    """What curl gets, with its head."""
    head, _, body = curl("--include", *words).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body)


# curl: ranges and conditions.


@pytest.mark.parametrize("path", ["a.txt", "big"])
@pytest.mark.parametrize(("text", "part"), [("2-4", slice(2, 5)), ("20-", slice(20, None)), ("-3", slice(-3, None))])
def test_curl_asks_for_a_range(http: str, site: Path, path: str, text: str, part: slice) -> None:
    data = (site / path).read_bytes()
    answer = asked("--range", text, f"{http}/{path}")
    first, end, _ = part.indices(len(data))
    assert answer.status == 206 and answer.body == data[part]
    assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/{len(data)}"


@pytest.mark.parametrize("path", ["a.txt", "big"])
def test_curl_asks_for_several_ranges(http: str, site: Path, path: str) -> None:
    data = (site / path).read_bytes()
    answer = asked("--range", "1-2,10-14,-2", f"{http}/{path}")
    assert answer.status == 206
    kind = answer.headers["content-type"]
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.body)
    parts = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert parts == [data[1:3], data[10:15], data[-2:]]


def test_curl_asks_for_a_range_beyond_the_end(http: str) -> None:
    answer = asked("--range", "26-", f"{http}/a.txt")
    assert answer.status == 416 and answer.headers["content-range"] == "bytes */26"


def test_curl_goes_on_with_a_download_that_was_cut(http: str, tmp_path: Path) -> None:
    got = tmp_path / "got"
    words = [client("curl"), "--silent", "--noproxy", "*", "--max-time", "10", f"{http}/big"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        got.write_bytes(process.stdout.read(1_234_567))
        process.kill()
    told = curl("--continue-at", "-", "--output", str(got), f"{http}/big", "--write-out", "%{http_code}")
    assert told == b"206" and got.read_bytes() == BIG


def test_curl_has_the_file_already(http: str, site: Path, tmp_path: Path) -> None:
    """By its date and by its tag; once it has changed, it is sent again."""
    path, tag = site / "a.txt", str(tmp_path / "tag")
    curl("--etag-save", tag, f"{http}/a.txt")
    by_date, by_tag = ["--time-cond", str(path)], ["--etag-compare", tag]
    for words in (by_date, by_tag):
        assert asked(*words, f"{http}/a.txt")[::2] == (304, b"")
    path.write_bytes(b"changed")
    assert asked(*by_tag, f"{http}/a.txt")[::2] == (200, b"changed")
    assert asked("--time-cond", "2001-09-09", f"{http}/a.txt")[::2] == (200, b"changed")


# curl: connections, heads, codings, paths.


def test_curl_uses_its_connection_again(http: str) -> None:
    urls = [f"{http}/a.txt", f"{http}/sub/b.txt"]
    told = curl("--verbose", "--stderr", "-", *urls, "--write-out", "[%{num_connects}]").decode()
    assert re.findall(r"\[\d\]", told) == ["[1]", "[0]"]
    assert re.search("Re-using existing .*connection", told, re.IGNORECASE)


def test_curl_asks_for_the_head_alone(http: str, site: Path) -> None:
    whole, head = asked(f"{http}/a.txt"), asked("--head", f"{http}/a.txt")
    assert head.body == b"" and head.headers.pop("date") and whole.headers.pop("date")
    assert (head.status, head.headers) == (whole.status, whole.headers)


def test_curl_speaks_http_1_0(http: str) -> None:
    answer = asked("--http1.0", f"{http}/big")
    assert answer.status == 200 and answer.body == BIG
    listing = asked("--http1.0", f"{http}/")
    assert "transfer-encoding" not in listing.headers and b"text.txt.gz" in listing.body


def test_curl_takes_what_is_packed(http: str) -> None:
    told = curl("--compressed", f"{http}/text.txt", "--write-out", "[%{size_download}]")
    assert told == TEXT + b"[%d]" % len(gzip.compress(TEXT))
    assert asked("--compressed", f"{http}/text.txt").headers["content-encoding"] == "gzip"
    plain = asked(f"{http}/text.txt")
    assert plain.body == TEXT and "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/../", "/%2e%2e/", "/..%2f", "/sub/../../", "/../secret", "/%2e%2e%2fsecret"])
def test_curl_does_not_get_out(http: str, path: str) -> None:
    answer = asked("--path-as-is", http + path)
    assert answer.status == 404 and b"secret" not in answer.body


# curl: bodies.


def test_curl_is_told_not_to_send_its_body(http: str, site: Path) -> None:
    told = curl(
        *("--header", "Expect: 100-continue", "--data-binary", f"@{site / 'big'}"),
        *(f"{http}/a.txt", "--write-out", "[%{http_code} %{size_upload}]"),
    )
    assert told.endswith(b"[405 0]")


def test_curl_is_told_to_send_its_body(uploads: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(BIG[:700_000])
    told = curl(
        *("--verbose", "--stderr", "-", "--header", "Expect: 100-continue", "--data-binary", f"@{body}"),
        *(f"{uploads}/x", "--write-out", "[%{http_code} %{size_upload}]"),
    )
    assert b"HTTP/1.1 100 Continue" in told and told.endswith(b"[200 700000]") and b"\n700000" in told


def test_curl_sends_a_body_in_chunks(uploads: str) -> None:
    words = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "10", "--upload-file", "-"]
    assert run(client("curl"), *words, f"{uploads}/x", f"{uploads}/y", said=BIG[:700_000]) == b"7000000"


def test_curl_sends_a_body_that_is_too_long(uploads: str, site: Path) -> None:
    told = curl("--upload-file", str(site / "big"), f"{uploads}/x", "--write-out", "[%{http_code} %{size_upload}]")
    assert told.endswith(b"[413 0]")


# Load, of which nothing may fail.


@pytest.mark.parametrize("path", ["/a.txt", "/"])
def test_wrk(http: str, path: str) -> None:
    told = run(client("wrk"), "--threads", "1", "--connections", "20", "--duration", "1s", http + path).decode()
    assert "Socket errors" not in told and "Non-2xx" not in told, told
    match = re.search(r"(\d+) requests in", told)
    assert match and int(match[1]) > 20, told


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize(("path", "count"), [("/a.txt", 500), ("/big", 50), ("/", 200)])
def test_ab(http: str, path: str, count: int, keep_alive: bool) -> None:
    """It speaks HTTP/1.0, for which a listing ends with its connection."""
    told = run(client("ab"), "-q", *["-k"] * keep_alive, "-n", str(count), "-c", "10", http + path).decode()
    found = dict(re.findall(r"^([A-Z][\w -]+): +(\d+)", told, re.MULTILINE))
    kept = str(count) if path != "/" else "0"
    assert (found["Complete requests"], found["Failed requests"]) == (str(count), "0"), told
    assert found.get("Keep-Alive requests") == (kept if keep_alive else None), told
    assert "Non-2xx" not in told and "Write errors" not in told, told


def test_hey(http: str) -> None:
    told = run(client("hey"), "-n", "200", "-c", "20", f"{http}/a.txt").decode()
    assert re.findall(r"\[(\d+)\]\s+(\d+) responses", told) == [("200", "200")], told
    assert "Error distribution" not in told, told


@pytest.mark.parametrize(("path", "size"), [("/a.txt", 26), ("/sub/b.txt", 22)])
def test_h2load(http: str, path: str, size: int) -> None:
    """Four requests at a time on each connection."""
    told = run(client("h2load"), "--h1", "-n", "400", "-c", "10", "-m", "4", http + path).decode()
    assert "400 done, 400 succeeded, 0 failed, 0 errored, 0 timeout" in told, told
    assert "400 2xx, 0 3xx, 0 4xx, 0 5xx" in told and f"({400 * size}) data" in told, told


# Slow clients, with a tool that was made for it.


class Attack(NamedTuple):
    mode: str
    name: str
    process: subprocess.Popen[bytes]


@contextmanager
def attacks(folder: Path, *modes: tuple[str, str]) -> Iterator[list[Attack]]:
    """Run slowhttptest against several addresses at once, in several modes, 50 connections each."""
    tool = client("slowhttptest")
    running = []
    try:
        for number, (mode, url) in enumerate(modes):
            words = [tool, mode, "-c", "50", "-r", "50", "-l", "4", "-i", "1", "-p", "3", "-u", url]
            words += ["-g", "-o", str(folder / f"slow{number}")]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            running.append(Attack(mode, f"slow{number}", process))
        yield running
    finally:
        for attack in running:
            attack.process.kill()
            attack.process.wait()
            if attack.process.stdout is not None:
                attack.process.stdout.close()


def stats(path: Path) -> dict[str, int]:
    """The totals of a server, through its operator's door."""
    with socket.socket(socket.AF_UNIX) as operator:
        operator.settimeout(SECONDS_MOST)
        operator.connect(str(path))
        operator.sendall(b"stats\n")
        with operator.makefile() as lines:
            return {name: int(count) for name, count in (line.split() for line in iter(lines.readline, ".\n"))}


def outlast(control: Path, attack: Attack) -> None:
    """Wait until nobody but the operator is in a server's table, while the attack still goes on."""
    totals = {}
    while attack.process.poll() is None:
        totals = stats(control)
        if totals.get("ended.request-came-too-slowly") == 50 and totals["rows"] == 1:
            return
        with suppress(subprocess.TimeoutExpired):
            attack.process.wait(0.05)
    raise AssertionError(f"some were there to the end: {totals}")


def test_slowhttptest_in_all_its_modes_at_once(site: Path, uploads: str, shorter: Path) -> None:
    """Slow heads, slow bodies (unwanted and wanted), overlapping ranges, slow reading: the service stays available.

    A slow reader does not notice that it was reset while it reads its five bytes a second out of what had come, so the
    server is asked who has gone.
    """
    client("slowhttptest")
    control = shorter / "control"
    with served("http", "--bind", "127.0.0.1:0", "--control", str(control), *SHORT, str(site)) as http:
        modes = [("-X", http), ("-H", http), ("-B", http), ("-R", http), ("-B", uploads)]
        with attacks(shorter, *((mode, f"{address}/big") for mode, address in modes)) as running:
            outlast(control, running[0])
            for attack in running:
                told = attack.process.communicate(timeout=SECONDS_MOST)[0].decode()
                available = re.findall(r"service available: +(\w+)", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", told))
                assert available and set(available) == {"YES"}, told
                rows = (shorter / f"{attack.name}.csv").read_text().splitlines()[1:]
                assert rows and all(int(row.split(",")[4]) > 0 for row in rows), rows


@pytest.fixture
def shorter() -> Iterator[Path]:
    """A folder whose name leaves room for a UNIX socket's."""
    with tempfile.TemporaryDirectory(prefix="partway") as path:
        yield Path(path)


# A browser.

CLICKS = """<!DOCTYPE html><meta charset="utf-8"><title>clicks</title>
<body><iframe id="frame" src="./" width="360" height="600"></iframe><script>
const said = [], links = ['a[href="./sub/"]', 'a[href="./b.txt"]', null];
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, link = links.shift();
  const where = frame.contentWindow.location.pathname, beyond = root.scrollWidth - root.clientWidth;
  said.push([where, beyond, page.body.innerText].join("|"));
  if (link) page.querySelector(link).click();
  else { frame.remove(); document.body.innerText = said.join("\\n#"); }
};
</script>
"""
PAPER, DARK_PAPER = (0xFF, 0xFF, 0xFF), (0x14, 0x17, 0x1B)


def browse(*words: str) -> bytes:
    """Run a browser without a window, in a profile of its own; what it has started ends with it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
    with tempfile.TemporaryDirectory(prefix="partway", ignore_cleanup_errors=True) as profile:
        command = [client("chromium"), *flags, f"--user-data-dir={profile}", *words]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                told, _ = process.communicate(timeout=SECONDS_MOST)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, told
        return told


def picture(png: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Width, height and the first pixel of a PNG with 8 bits a colour: no filter changes the first pixel."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and png[24] == 8 and png[25] in (2, 6)
    packed, place = b"", 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4])
        packed += png[place + 8 : place + 8 + size] if png[place + 4 : place + 8] == b"IDAT" else b""
        place += 12 + size
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24]), tuple(zlib.decompress(packed)[1:4])


@pytest.mark.parametrize(
    ("name", "size", "flags", "paper"),
    [
        ("wide", (1280, 800), [], PAPER),
        ("phone", (360, 740), [], PAPER),
        ("dark", (1280, 800), ["--blink-settings=preferredColorScheme=0"], DARK_PAPER),
    ],
)
def test_a_browser_shows_a_folder(
    http: str, tmp_path: Path, name: str, size: tuple[int, int], flags: list[str], paper: tuple[int, ...]
) -> None:
    path = tmp_path / f"{name}.png"
    browse("--hide-scrollbars", f"--window-size={size[0]},{size[1]}", f"--screenshot={path}", *flags, f"{http}/")
    data = path.read_bytes()
    assert picture(data) == (*size, paper)
    assert len(data) > 10_000, "it shows nothing"
    if folder := os.environ.get("PARTWAY_SCREENSHOTS"):
        shutil.copy(path, folder)


def test_a_browser_clicks_through(http: str, site: Path) -> None:
    """From the listing to a folder and a file in it; on a phone's width no page is wider than that."""
    (site / "clicks.html").write_text(CLICKS)
    (site / ("long" * 50)).write_bytes(b"")
    dom = browse("--virtual-time-budget=10000", "--dump-dom", f"{http}/clicks.html").decode()
    found = re.search("<body>(.*)</body>", dom, re.DOTALL)
    assert found, dom
    pages = [page.split("|", 2) for page in found[1].replace("<br>", "\n").split("#")]
    assert [(page[0], page[1].strip()) for page in pages] == [("/", "0"), ("/sub/", "0"), ("/sub/b.txt", "0")]
    assert "sub/" in pages[0][2] and "clicks.html" in pages[0][2]
    assert "Up" in pages[1][2] and "22 B" in pages[1][2]
    assert pages[2][2].strip() == "the file in the folder"
