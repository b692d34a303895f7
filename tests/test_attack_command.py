"""`partway stress KIND TARGET` as its user has it: real sockets, reports, gates, Ctrl-C, and mistakes in one line."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from partway.engine import Reactor, parse_address
from partway.engine.simulation import Simulation
from partway.protocols.addresses import MistakeError
from partway.protocols.command import main
from partway.stress import command as stress_command
from partway.stress.attack.attackers import Order
from partway.stress.attack.crowd import NOTHING, Plan
from partway.stress.attack.gates import parse_gate
from partway.stress.attack.gauge import Gauge
from partway.stress.attack.kinds import ATTACKS
from partway.stress.attack.orders import shares
from partway.stress.attack.summary import duration, figures_of, lines_of
from partway.stress.attack.target import is_local, parse_target
from partway.stress.attack.troop import DIED, Troop
from test_attack_page import fonts
from test_command import LOCAL, SECONDS_MOST, Served, served, terminal

__all__ = ["fonts"]
BRIEF = ("--eager", "--count", "20", "--ramp", "0", "--duration", "0.6", "--calm", "0.6", "--visits", "50")
STRESS = (sys.executable, "-m", "partway.protocols", "stress")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "page").write_bytes(b"p" * 1000)
    return folder


def url_of(server: Served) -> str:
    return f"{server.addresses[0]}/page"


def wait_for_crowd(server: Served) -> None:
    """Return when twenty clients are there."""
    process = psutil.Process(server.process.pid)
    end = time.monotonic() + SECONDS_MOST
    while process.num_fds() < 25:
        assert time.monotonic() < end, "no crowd comes"
        time.sleep(0.01)


# The whole command.


@pytest.mark.parametrize("kind", ["silent", "reset"])
def test_against_http(kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        gates = ("--fail-if", "max>1000s", "--fail-if", "errors>0")
        assert main(["stress", kind, url_of(server), *BRIEF, *gates, "--json", str(file)]) == 0
        said = capsys.readouterr()
        report = json.loads(file.read_text())
        assert server.end() == 0
    assert said.err == ""
    assert said.out.startswith("against http://127.0.0.1:") and f"\n{kind}: " in said.out
    assert (list(report["crowds"]), report["protocol"], report["interrupted"]) == ([kind], "http", False)
    clients, probe = report["crowds"][kind], report["probe"]
    assert clients["started"] >= 20 and clients["unable"] == ""
    assert clients["survivors"] == (20 if kind == "silent" else len(clients["ages"]))
    assert len(clients["lived"]) == sum(clients["outcomes"].values())
    assert probe["during"]["visits"] >= 20 and probe["before"]["visits"] > 0
    assert probe["during"]["failures"] == {}
    assert len(report["visits"]) == probe["before"]["visits"] + probe["during"]["visits"]
    samples = report["samples"]
    assert max(sample["clients"][kind] for sample in samples) >= (20 if kind == "silent" else 0)
    assert all(sample["memory"] > 2**20 and sample["descriptors"] > 3 for sample in samples), "of the server's process"
    assert "the server: " in said.out


@pytest.mark.usefixtures("fonts")
def test_a_mix_and_its_page(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        words = [
            "stress",
            "mix",
            url_of(server),
            *BRIEF,
            "--weights",
            "silent=2,half-close,drip-head",
            "--html",
            str(file),
        ]
        assert main(words) == 0
        assert server.end() == 0
    said = capsys.readouterr().out
    assert "\nsilent: 10 clients" in said and "\nhalf-close: " in said and "\ndrip-head: 5 clients" in said
    page = file.read_text()
    assert page.startswith("<!doctype html>") and page.count("<figure>") == 4


def test_over_a_unix_socket_and_with_words_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "echo"
    with served("echo", "--bind", f"unix:{path}") as server:
        words = ["stress", "half-close", f"unix:{path}", "--protocol", "lines", "--say", r"a\tb\n", *BRIEF]
        assert main(words) == 0
        assert server.end() == 0
    assert " served" in capsys.readouterr().out


def test_a_flood_of_datagrams(capsys: pytest.CaptureFixture[str]) -> None:
    with served("echo", "--bind", "udp:127.0.0.1:0") as server:
        words = ["stress", "datagram-flood", server.addresses[0], "--say", r"\xff\n", *BRIEF, "--fail-if", "errors>10%"]
        assert main(words) == 0
        assert server.end() == 0
    said = capsys.readouterr().out
    assert "datagram-flood: 20 clients, at most 20 at once" in said
    assert "the server: " in said


def test_forged_senders(capsys: pytest.CaptureFixture[str]) -> None:
    with served("echo", "--bind", "udp:127.0.0.1:0") as server:
        assert main(["stress", "spoof", server.addresses[0], *BRIEF, "--rate", "500", "--fail-if", "errors>10%"]) == 0
        assert server.end() == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "spoof: 20 clients, at most 20 at once\n  they asked " in said.out


SECURE = """
import http.server, ssl, sys
http.server.ThreadingHTTPServer.request_queue_size = 128  # of five, who comes sixth tries again a second later
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def test_against_https(capsys: pytest.CaptureFixture[str]) -> None:
    """The standard library's server, which answers 501: an answer all the same, but no good one."""
    words = [sys.executable, "-c", SECURE, str(Path(__file__).parent / "tls.pem")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = f"https://127.0.0.1:{server.stdout.readline().strip()}/"
        code = main(["stress", "mix", url, *BRIEF, "--weights", "tls-stall,drip-head,half-close"])
        server.terminate()
    said = capsys.readouterr()
    assert (code, said.err) == (1, "partway stress: no honest client has been answered\n")
    assert "visits, " in said.out and "status 501" in said.out
    assert "x 501" in said.out.partition("half-close: ")[2]
    assert "tls-stall: 6 clients, at most 6 at once\n  of them: 6 still there" in said.out


def test_gates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        gates = ("--fail-if", "survivors>19", "--fail-if", "survivors>20", "--fail-if", "survivors>=100%")
        assert main(["stress", "silent", url_of(server), *BRIEF, *gates]) == 1
        assert server.end() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("failed")] == [
        "failed: survivors>19: 20",
        "failed: survivors>=100%: 100 %",
    ]


def test_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stress", "silent", "127.0.0.1:1", *BRIEF]) == 1
    said = capsys.readouterr()
    assert said.err == "partway stress: no honest client has been answered\n"
    assert "20 refused" in said.out and "gone after" not in said.out


@pytest.mark.parametrize(("module", "who"), [("probe", "the honest client has"), ("attackers", "the attackers have")])
def test_a_process_that_cannot_begin(
    module: str, who: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"partway.stress.attack.{module}.MODULE", "partway.stress.nowhere")
    monkeypatch.setattr(os, "environ", os.environ)
    assert main(["stress", "silent", "127.0.0.1:1", *BRIEF]) == 1
    assert capsys.readouterr() == ("", f"partway stress: {who} failed\n")


def test_a_server_that_dies_half_way(folder: Path) -> None:
    words = ("silent", "--eager", "--count", "20", "--ramp", "0", "--duration", "2", "--calm", "0.6", "--visits", "50")
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        process = subprocess.Popen(
            [*STRESS, words[0], url_of(server), *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            wait_for_crowd(server)
            server.process.kill()
            out, err = process.communicate(timeout=SECONDS_MOST)
    assert (process.returncode, err) == (0, "")
    assert " refused" in out.partition("beside them")[2]
    assert "  of them: 20 " in out and "still there" not in out


def test_more_processes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of them attack, and the report is as if it were one."""
    file = tmp_path / "report.json"
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        assert main(["stress", "mix", url_of(server), *BRIEF, "--jobs", "3", "--json", str(file)]) == 0
        assert server.end() == 0
    assert capsys.readouterr().err == ""
    report = json.loads(file.read_text())
    crowds = report["crowds"]
    assert report["plan"] == {"clients": 20, "ramp": 0.0, "rate": None, "jobs": 3}
    staying = {kind: crowd["started"] for kind, crowd in crowds.items() if not crowd["returns"]}
    assert set(staying.values()) == {1, 2} and len(crowds) == 11
    for crowd in crowds.values():
        assert len(crowd["lived"]) == sum(crowd["outcomes"].values()) == crowd["started"] - crowd["survivors"]


def test_attackers_that_die_half_way(folder: Path) -> None:
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        words = [
            *STRESS,
            "silent",
            url_of(server),
            "--count",
            "20",
            "--ramp",
            "0",
            "--duration",
            "3",
            "--jobs",
            "2",
            "--eager",
        ]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_for_crowd(server)
            children = psutil.Process(process.pid).children()
            attackers = [child for child in children if any("attackers" in word for word in child.cmdline())]
            attackers[0].kill()
            out, err = process.communicate(timeout=SECONDS_MOST)
        assert server.end() == 0
    assert (process.returncode, err, len(attackers)) == (0, "", 2)
    assert "  no more could begin: a process of attackers has died" in out
    assert "10 still there" in out


@pytest.mark.parametrize("ready", [True, False])
def test_attackers_that_die_before_they_have_told_anything(ready: bool) -> None:
    """They may be killed at any moment, and on a busy machine they come late to tell."""
    heard: list[str] = []
    orders = [Order("silent", "silent", "http://127.0.0.1:1/", "http", Plan(10, 0.0, 0))]
    reactor = Reactor(Simulation(1))
    troop = Troop(reactor, orders, None, lambda: None, lambda: heard.append("told"), heard.append)
    if ready:
        troop._hear(b"ready")
    troop._ended()
    assert heard == (["told"] if ready else ["the attackers have failed"])
    assert troop.seen == {"silent": {**NOTHING, "unable": DIED if ready else ""}}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_a_report(number: int, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with served("http", str(folder), "--quiet", *LOCAL) as server:
        words = [
            *STRESS,
            "silent",
            url_of(server),
            "--duration",
            "600",
            "--calm",
            "0.6",
            "--eager",
            "--json",
            str(file),
        ]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_for_crowd(server)
            process.send_signal(number)
            out, err = process.communicate(timeout=SECONDS_MOST)
        assert server.end() == 0
    assert (process.returncode, err) == (130, "")
    assert re.match(r"against \S+, interrupted after \d+\.\d s\nsilent: ", out)
    assert json.loads(file.read_text())["interrupted"] is True


def test_an_interrupt_before_anybody_listens_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is still being imported: no traceback."""

    def interrupted(words: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(stress_command, "main", interrupted)
    assert main(["stress", "silent", "127.0.0.1:1"]) == 130


def test_only_who_listens_at_that_address_is_measured() -> None:
    """Somebody else's server may have the same port at another address of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [Gauge(parse_address(f"{host}:{port}")).found for host in ("127.0.0.1", "127.0.0.2", "[::1]")]
    with socket.create_server(("0.0.0.0", 0)) as server:
        found.append(Gauge(parse_address(f"127.0.0.2:{server.getsockname()[1]}")).found)
    assert found == [True, False, False, True]


def test_a_url_in_capitals() -> None:
    assert parse_target("HTTP://127.0.0.1:1/X", None, False).path == "/X"


def test_a_terminal_sees_it_live(folder: Path) -> None:
    with served("http", str(folder), "--quiet", *LOCAL) as server, terminal() as (master, slave):
        words = [*STRESS, "silent", url_of(server), *BRIEF]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
            out, _ = process.communicate(timeout=SECONDS_MOST)
        shown = os.read(master, 1 << 16).decode()
        assert server.end() == 0
    assert process.returncode == 0
    assert "the calm before" in shown and "under attack" in shown
    assert out.startswith("against ") and "\x1b" not in out


def readme() -> list[str]:
    lines = (Path(__file__).resolve().parent.parent / "README.md").read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    partway stress ") and "127.0.0.1" in line]


def test_the_step_for_ci_that_the_readme_shows(tmp_path: Path) -> None:
    """As it stands there, but for the installation, at a port that is free, and shorter."""
    text = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    _, install, serve, wait, attack = textwrap.dedent(text.partition("```yaml\n")[2].partition("```")[0]).splitlines()
    assert install.strip() == "pip install 'partway[stress]'"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shorter = ["--eager", "--count", "5", "--ramp", "0", "--duration", "0.6", "--calm", "1.5", "--visits", "50"]
    script = "\n".join((serve, wait, f"{attack} {shlex.join(shorter)}", "kill $!")).replace("8000", str(port))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-uc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "drip-head: 5 clients" in done.stdout, done.stderr


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize("line", readme())
def test_examples_of_the_readme(
    line: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there, but shorter, and against ports that are free. A gate may fail on a busy machine."""
    monkeypatch.chdir(tmp_path)
    both = (*LOCAL, "--bind", "udp:127.0.0.1:0")
    with served("http", str(folder), "--quiet", *LOCAL) as http, served("echo", *both) as echo:
        places = {
            "127.0.0.1:8000": http.addresses[0].removeprefix("http://"),
            "udp:127.0.0.1:7": echo.addresses[1],
            "127.0.0.1:7": echo.addresses[0],
        }
        words = line
        for place, there in places.items():
            words = re.sub(rf"{place}\b", there, words)
        code = main([*shlex.split(words)[1:], *BRIEF])
        assert http.end() == echo.end() == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert code == ("failed: " in said.out)
    assert all((tmp_path / name).exists() for name in re.findall(r"\b\w+\.(?:html|json)\b", line))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "KIND"),
        (("silent",), "TARGET"),
        (("loud", "127.0.0.1:1"), "invalid choice: 'loud'"),
        (("silent", "nowhere"), "nowhere"),
        (("silent", "unixgram:/x"), "unixgram:/x: nothing to connect to"),
        (("silent", "http://[::1/"), "Invalid IPv6 URL"),
        (("silent", "http://127.0.0.1:99999/"), "Port out of range"),
        (("silent", "http:///x"), "not http://HOST:PORT/PATH"),
        (("silent", "http://127.0.0.1:1/a b"), "not http://HOST:PORT/PATH"),
        (("silent", "http://127.0.0.1:1/", "--protocol", "lines"), "a URL of HTTP, and --protocol lines"),
        (("silent", "192.0.2.1:80"), "not this machine; say --i-own-this-host"),
        (("silent", "http://192.0.2.1/"), "not this machine"),
        (("drip-body", "127.0.0.1:1"), "drip-body is for --protocol http"),
        (("tls-stall", "http://127.0.0.1:1/"), "tls-stall is for https://, or --protocol raw"),
        (("silent", "udp:127.0.0.1:1"), "silent is for connections"),
        (("datagram-flood", "127.0.0.1:1"), "datagram-flood is for udp:HOST:PORT"),
        (("spoof", "udp:[::1]:1"), "spoof is for udp:127.0.0.1:PORT, whose senders it forges"),
        (("spoof", "udp:192.0.2.1:1", "--i-own-this-host"), "spoof is for udp:127.0.0.1:PORT"),
        (("silent", "https://192.0.2.1/"), "not this machine"),
        (("silent", "127.0.0.1:1", "--jobs", "0"), "not a number from 1"),
        (("datagram-flood", "udp:127.0.0.1:1", "--protocol", "http"), "nothing to connect to"),
        (("datagram-flood", "udp:192.0.2.1:1"), "not this machine"),
        (("silent", "127.0.0.1:1", "--count", "0"), "not a number from 1"),
        (("silent", "127.0.0.1:1", "--duration", "-1"), "not a number of seconds: '-1'"),
        (("silent", "127.0.0.1:1", "--ramp", "nan"), "not a number of seconds: 'nan'"),
        (("silent", "127.0.0.1:1", "--duration", "0"), "--duration: an attack takes some time"),
        (("silent", "127.0.0.1:1", "--ramp", "11"), "--ramp 11: longer than the attack, whose --duration is 10"),
        (("silent", "127.0.0.1:1", "--count", "1000000"), "--count 1000000: descriptors are enough for "),
        (("silent", "ftp://127.0.0.1/"), "ftp:// is not spoken; a URL begins with http:// or https://"),
        (("--compare", "a", "b", "--html", "c"), "--compare stands alone: --html c"),
        (("silent", "127.0.0.1:1", "--say", ""), "--say: nothing"),
        (("silent", "127.0.0.1:1", "--say", "\\x"), "--say: "),
        (("silent", "127.0.0.1:1", "--fail-if", "p99"), "--fail-if p99: not a figure"),
        (("silent", "127.0.0.1:1", "--fail-if", "p98>1s"), "--fail-if p98>1s: p98 is none of p50, p99"),
        (("silent", "127.0.0.1:1", "--fail-if", "p99>50"), "--fail-if p99>50: p99 needs us, ms or s"),
        (("silent", "127.0.0.1:1", "--fail-if", "errors>5ms"), "--fail-if errors>5ms: errors is no time"),
        (("silent", "127.0.0.1:1", "--json", "/nowhere/x"), "cannot be written"),
        (("silent", "127.0.0.1:1", "--html", "/nowhere/x"), "cannot be written"),
        (("silent", "127.0.0.1:1", "--weights", "silent=1"), "--weights is for mix"),
        (
            ("mix", "127.0.0.1:1", "--weights", "silent=1,loud=2"),
            "'loud' is no kind for this target, which are silent, ",
        ),
        (("mix", "127.0.0.1:1", "--weights", "silent=0"), "'silent=0' has no weight from 1"),
        (("mix", "127.0.0.1:1", "--weights", "silent=9999999"), "'silent=9999999' has no weight from 1 to 999999"),
        (("mix", "127.0.0.1:1", "--weights", "silent,churn,silent"), "comes twice"),
        (("mix", "127.0.0.1:1", "--weights", "drip-body"), "'drip-body' is no kind for this target"),
    ],
)
def test_mistakes(words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stress", *words])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("partway stress: ")
    assert why in said.err


def test_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stress", "--help"])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and attack.about in said for name, attack in ATTACKS.items())


def test_without_its_libraries(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("partway.stress.attack")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hdrh.histogram", None)
    assert main(["stress", "silent", "127.0.0.1:1"]) == 2
    assert "pip install 'partway[stress]'" in capsys.readouterr().err


# Its parts.


@pytest.mark.parametrize(
    ("count", "weights", "given"),
    [
        (100, {"a": 1}, {"a": 100}),
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 3, "c": 4}),
        (10, {"a": 3, "b": 2}, {"a": 6, "b": 4}),
        (1, {"a": 1, "b": 1}, {"b": 1}),
        (2, {"a": 1, "b": 99, "c": 100}, {"b": 1, "c": 1}),
    ],
)
def test_shares(count: int, weights: dict[str, int], given: dict[str, int]) -> None:
    assert shares(count, weights) == given
    assert sum(given.values()) == count


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("unix:/x", True),
        ("192.0.2.1:1", False),
        ("[2001:db8::1]:1", False),
        ("0.0.0.0:1", False),
    ],
)
def test_what_is_this_machine(text: str, local: bool) -> None:
    target = parse_target(text, None, owned=True)
    assert is_local(target.address) is local
    if not local:
        with pytest.raises(MistakeError, match="i-own-this-host"):
            parse_target(text, None, owned=False)


def test_urls() -> None:
    target = parse_target("http://user:secret@127.0.0.1/a?b=c#d", None, owned=False)
    assert (str(target.address), target.host, target.path) == ("127.0.0.1:80", "127.0.0.1", "/a?b=c")
    assert parse_target("http://[::1]:8000", None, owned=False)[2:] == (("tcp", "::1", 8000), "[::1]:8000", "/", False)
    assert parse_target("127.0.0.1:80", "http", owned=False).host == "127.0.0.1:80"


FIGURES = {"p50": 0.01, "p99": 0.05, "p99.9": None, "max": 0.1, "errors": 2.0, "errors%": 0.02, "survivors": 0.0}


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("p99>50ms", False),
        ("p99>=50ms", True),
        ("p99 > 49999us", True),
        ("max>0.09s", True),
        ("p50<20ms", True),
        ("p50<=9.9ms", False),
        ("p99.9>1000s", True),
        ("errors>1", True),
        ("errors>2", False),
        ("errors>1%", True),
        ("errors>2.5%", False),
        ("survivors>0", False),
    ],
)
def test_when_gates_fail(text: str, fails: bool) -> None:
    """What could not be measured fails every gate."""
    assert parse_gate(text).fails(FIGURES) is fails


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0000123, "12 µs"), (0.00123, "1.23 ms"), (0.123, "123 ms"), (1.234, "1.23 s")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_summary_of_nothing() -> None:
    nothing: dict[str, Any] = {"visits": 0, "errors": 0, "failures": {}, "p50": None, "p99": None, "p99.9": None}
    nothing["max"] = None
    report = {
        "target": "x",
        "interrupted": False,
        "crowds": {"silent": {**NOTHING, "unable": "out of ports"}},
        "probe": {"before": nothing, "during": nothing},
        "samples": [],
    }
    lines = list(lines_of(report))
    assert "  no more could begin: out of ports" in lines and "  beside them: no visits" in lines
    assert set(figures_of(report).values()) == {None, 0}
