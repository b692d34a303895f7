"""`partway page` as its user has it: what it serves, where it takes Pyodide from, and mistakes in one line.

No npm and no browser is asked here: programs of those names stand in for them.
"""

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from partway.protocols.command import main
from partway.stress.page.parts import ARCHIVE
from partway.stress.page.pyodide import NEEDED, VERSION
from test_command import SECONDS_MOST, Served, served

FAKE_NPM = f"""#!/bin/sh
echo "$@" >>"$ASKED"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/pyodide"
for name in {" ".join(NEEDED)}; do echo "$name" >"$2/node_modules/pyodide/$name"; done
"""
SILENT_NPM = "#!/bin/sh\nexit 7\n"
FAILING_NPM = "#!/bin/sh\necho first >&2\necho 'npm error: no way there' >&2\nexit 1\n"


@pytest.fixture
def pyodide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like Pyodide's."""
    monkeypatch.delenv("PARTWAY_PYODIDE", raising=False)
    folder = tmp_path / "pyodide"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that there is on the PATH, beside the system's own tools; the cache is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "mkdir"):
        (folder / tool).symlink_to(Path("/bin", tool))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.delenv("PARTWAY_PYODIDE", raising=False)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def server(pyodide: Path) -> Iterator[Served]:
    with served("page", "--no-open", "--pyodide", str(pyodide)) as server:
        yield server


def ask(server: Served, target: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    host, _, port = server.addresses[0].removeprefix("http://").rstrip("/").rpartition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=SECONDS_MOST)) as connection:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_it_serves_the_page_and_nothing_else(server: Served) -> None:
    status, headers, body = ask(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<h1>partway</h1>" in body
    assert ask(server, "/index.html")[2] == body
    for name, kind in (
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("worker.js?seed=2", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        (ARCHIVE, "application/zip"),
        ("pyodide/pyodide.mjs", "text/javascript; charset=utf-8"),
        ("pyodide/pyodide.asm.wasm", "application/wasm"),
        ("pyodide/pyodide-lock.json", "application/json"),
    ):
        status, headers, body = ask(server, f"/{name}")
        assert (status, headers["content-type"]) == (200, kind), name
        assert body
    for name in ("pyodide/", "command.py", "../pyproject.toml", "%2e%2e/pyproject.toml", "pyodide/package.json"):
        assert ask(server, f"/{name}")[0] == 404, name
    status, headers, _ = ask(server, "/", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, body = ask(server, "/", "HEAD")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 1000


def test_a_browser_is_told_to_take_nothing_from_elsewhere(server: Served) -> None:
    for name in ("", "worker.js", "page.js"):
        policy = ask(server, f"/{name}")[1]["content-security-policy"]
        words = policy.replace(";", " ").split()
        assert "default-src 'none'" in policy
        assert not [word for word in words if ":" in word or "*" in word or "unsafe-inline" in word], policy


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(server: Served, number: int) -> None:
    assert server.end(number) == 0


def test_a_browser_is_opened_and_nobody_waits_for_it(
    pyodide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    program(tmp_path, "browser", f'#!/bin/sh\necho "$1" >{fifo}\nexec sleep 60\n')
    monkeypatch.setenv("BROWSER", str(tmp_path / "browser"))
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with served("page", "--pyodide", str(pyodide)) as server:
        assert ask(server, "/")[0] == 200  # although it never ends
        assert select.select([reader], [], [], SECONDS_MOST)[0]
        assert os.read(reader, 1000).decode().strip() == server.addresses[0]
        assert server.end() == 0
    os.close(reader)


def test_an_interpreter_without_a_browser_serves_all_the_same(pyodide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "/nowhere/browser")
    with served("page", "--pyodide", str(pyodide)) as server:
        assert ask(server, "/")[0] == 200
        assert server.end() == 0
        assert server.rest() == ""


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code, and what is said, which is one line."""
    try:
        code = main(["page", *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, error = capsys.readouterr()
    assert out == ""
    return code, error


def test_pyodide_is_fetched_once(
    bin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bin, "npm", FAKE_NPM)
    kept = tmp_path / "cache" / "partway" / f"pyodide-{VERSION}"
    for number in range(2):
        code, words = said(capsys, "--save", str(tmp_path / "site"))
        assert code == 0
        assert (f"fetching Pyodide {VERSION} by npm, once, into {kept}" in words) == (number == 0)
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert f"pyodide@{VERSION}" in asked and "--ignore-scripts" in asked
    assert (tmp_path / "site/pyodide/pyodide.mjs").read_text() == "pyodide.mjs\n"
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name]


def test_without_a_cache_of_ones_own_it_is_the_homes(
    bin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    program(bin, "npm", FAKE_NPM)
    code, words = said(capsys, "--save", str(tmp_path / "site"))
    assert code == 0 and f"{tmp_path}/home/.cache/partway/pyodide-{VERSION}" in words


@pytest.mark.parametrize(
    ("npm", "words"), [(FAILING_NPM, "npm could not fetch Pyodide: npm error: no way there"), (SILENT_NPM, "exit 7")]
)
def test_npm_fails(bin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], npm: str, words: str) -> None:
    program(bin, "npm", npm)
    code, told = said(capsys, "--no-open")
    assert code == 1
    assert told.splitlines()[-1].startswith("partway page: npm could not") and told.endswith(f"{words}\n")
    assert not list((tmp_path / "cache" / "partway").iterdir()), "what was cut short was left there"


def test_npm_is_missing(bin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, "--no-open")
    assert (code, told.count("\n")) == (2, 1)
    assert "npm is missing" in told and f"npm install pyodide@{VERSION}" in told and "--pyodide" in told


def test_npm_that_hangs(bin: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partway.stress.page.pyodide.SECONDS_MOST", 0.01)
    program(bin, "npm", f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    code, told = said(capsys, "--no-open")
    assert code == 1 and told.endswith("npm had not fetched Pyodide after 0.01 s\n")


def test_a_folder_that_is_not_pyodides(pyodide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pyodide / NEEDED[2]).unlink()
    code, told = said(capsys, "--pyodide", str(pyodide))
    assert (code, told.count("\n")) == (2, 1)
    assert f"{pyodide} is not Pyodide's folder: {NEEDED[2]} is missing" in told


def test_the_environment_names_the_folder(
    pyodide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTWAY_PYODIDE", str(pyodide))
    code, told = said(capsys, "--save", str(tmp_path / "site"))
    assert code == 0 and told.startswith("partway page: ") and "files in" in told
    assert (tmp_path / "site/pyodide/python_stdlib.zip").read_text() == "python_stdlib.zip"
    assert (tmp_path / "site/index.html").exists() and (tmp_path / "site" / ARCHIVE).exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--bind", "unix:/tmp/x"], "a browser needs HOST:PORT"),
        (["--bind", "udp:127.0.0.1:0"], "a browser needs HOST:PORT"),
        (["--bind", "nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["--seed"], "--seed"),
        (["more"], "more"),
    ],
)
def test_mistakes(pyodide: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str) -> None:
    code, told = said(capsys, "--no-open", "--pyodide", str(pyodide), *words)
    assert (code, told.count("\n")) == (2, 1)
    assert told.startswith("partway page: ") and complaint in told


def test_a_port_that_is_taken(pyodide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = said(capsys, "--no-open", "--pyodide", str(pyodide), "--bind", f"127.0.0.1:{port}")
    assert (code, told.count("\n")) == (1, 1)


def test_a_place_that_cannot_be_written(pyodide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code, told = said(capsys, "--pyodide", str(pyodide), "--save", str(tmp_path / "file" / "site"))
    assert (code, told.count("\n")) == (1, 1)


@pytest.mark.parametrize("missing", ["h11", "httptools h11"])
def test_without_what_reads_heads_the_extra_is_named(pyodide: Path, missing: str) -> None:
    script = (
        f"import sys\nfor name in {missing!r}.split(): sys.modules[name] = None\n"
        "from partway.protocols.command import main\n"
        f"sys.exit(main(['page', '--no-open', '--pyodide', {str(pyodide)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS_MOST)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "pip install 'partway[" in done.stderr
