"""The bench: tiny runs of each benchmark on real processes, and loads that don't believe a server that lies.

Figures of such runs say nothing and aren't looked at, but that they are there. What counts is that an answer that is
wrong in any byte makes no figure, that a peer which is missing is named, and that nothing is left running.
"""

import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil
import pytest
from partway.stress.bench import beside, datagrams, measure, tables
from partway.stress.bench.command import main
from partway.stress.bench.figures import add_ratios, cost_row, rate_row, ratio_column, table
from partway.stress.bench.measure import PEERS, Child, Server, UnableError, Usage
from partway.stress.bench.peers import http_nginx
from partway.stress.bench.peers.load import PATTERN
from partway.stress.bench.tally import Tally
from real import need

SECONDS_MOST = 20.0
CORE = min(os.sched_getaffinity(0))
KEEPER = str(PEERS / "http_nginx.py")
REQUESTS = ("GET /a HTTP/1.1\r\n\r\n", "GET /b HTTP/1.1\r\n\r\n", "GET /c HTTP/1.1\r\n\r\n")


def nginx() -> str:
    """The path of nginx."""
    try:
        return measure.find_nginx()[0]
    except UnableError as reason:
        need(False, f"nginx ({reason})")
        raise


# Whole runs.


class Run:
    """One benchmark, run in this process, as its user sees it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> None:
        self.code = main([*words, "--json", str(file)])
        self.said = capsys.readouterr()
        self.whole: dict[str, Any] = json.loads(file.read_text() or "{}")

    def figures(self) -> dict[str, float]:
        return {row["name"]: row["figure"] for row in self.whole["servers"]}


@pytest.fixture
def bench(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """Run a benchmark; afterwards no file, no process and no setting of it may be left."""
    monkeypatch.setattr(beside, "SITE_SECONDS", 0.0)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = os.sched_getaffinity(0), signal.getsignal(signal.SIGTERM)
    yield lambda *words: Run(capsys, tmp_path / "json", *words)
    assert not list(temporary.iterdir())
    assert (os.sched_getaffinity(0), signal.getsignal(signal.SIGTERM)) == before


LITTLE = ("--requests", "120", "--connections", "4", "--rounds", "1")


def test_echo(bench: Callable[..., Run]) -> None:
    run = bench("echo", *LITTLE, "--only", "partway,c")
    assert (run.code, run.said.err) == (0, "")
    assert set(run.figures()) == {"partway", "c"} and min(run.figures().values()) > 0
    assert "one request of 64 bytes, 4 connections, load in C" in run.said.out


def test_http_beside_nginx(bench: Callable[..., Run]) -> None:
    nginx()
    run = bench("http", *LITTLE, "--heads", "7")
    assert (run.code, run.said.err, run.whole["without"]) == (0, "", [])
    assert set(run.figures()) == {"partway", "partway+cache", "nginx", "nginx+cache"}
    assert min(run.figures().values()) > 0
    assert "a file of 1024 bytes, 7 heads in turn, 4 connections, load in C" in run.said.out
    for row in run.whole["servers"]:
        for name in "partway", "partway+cache":
            assert row["ratios"][name] == run.figures()[name] / row["figure"]


def test_http_without_nginx_and_compiler(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(measure, "SYSTEM_PATH", "/nonexistent")
    run = bench("http", *LITTLE, "--size", "40000", "--only", "partway+cache,nginx")
    assert (run.code, set(run.figures())) == (0, {"partway+cache"})
    assert "without nginx: this machine has no nginx\n" in run.said.out
    assert "always the same head, 4 connections, load in Python" in run.said.out


def test_download(bench: Callable[..., Run]) -> None:
    nginx()
    run = bench("download", "--mib", "1", "--requests", "6", "--connections", "2", "--rounds", "1")
    assert (run.code, run.said.err) == (0, "")
    assert set(run.figures()) == {"partway", "nginx"} and min(run.figures().values()) > 0
    assert "a file of 1 MiB, 2 connections" in run.said.out


def test_memory(bench: Callable[..., Run]) -> None:
    run = bench("memory", "--connections", "50")
    assert (run.code, run.said.err) == (0, "")
    assert list(run.figures()) == ["partway", "bare", "http"]
    assert [row["ratios"] for row in run.whole["servers"] if row["name"] == "http"] == [{}]
    assert f"half a head ({len(beside.HALF_HEAD)} bytes)" in run.said.out


def test_datagrams(bench: Callable[..., Run]) -> None:
    run = bench("datagrams", *LITTLE, "--only", "partway,bare")
    assert (run.code, run.said.err, run.whole["without"]) == (0, "", [])
    assert set(run.figures()) == {"partway", "bare"} and min(run.figures().values()) > 0
    assert "one datagram of 64 bytes and its answer, 4 clients" in run.said.out


def test_exchanges(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "EXCHANGE_GROWTH_MAX", 1e6)  # figures of such a run say nothing
    run = bench("exchanges", "--rows", "50,5", "--requests", "20", "--rounds", "2")
    assert (run.code, run.said.err, run.whole["broken"], run.whole["without"]) == (0, "", [], [])
    assert list(run.figures()) == ["5", "50"] and min(run.figures().values()) > 0
    assert all(row["bytes_a_row"] >= 0 for row in run.whole["servers"])


def test_goals_of_exchanges_that_are_broken(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "EXCHANGE_GROWTH_MAX", 0.0)
    monkeypatch.setattr(datagrams, "EXCHANGE_BYTES_MAX", -1.0)
    monkeypatch.setattr(datagrams, "MANY", 50)
    run = bench("exchanges", "--rows", "50,5", "--requests", "20", "--rounds", "1")
    assert run.code == 1
    assert [text.split(":")[0] for text in run.whole["broken"]] == [
        "a datagram among 5 rows",
        "a datagram among 50 rows",
        "50 rows",
    ]


def wrong_byte(data: bytes, number: int) -> bytes | None:
    return data if number < 5 else data[:-1] + b"!"


def forgets_one(data: bytes, number: int) -> bytes | None:
    return data if number != 3 else None


def forgets_most(data: bytes, number: int) -> bytes | None:
    return data if number % 2 else None


Answer = Callable[[bytes, int], bytes | None]


def drive(load: str, answer: Answer) -> str:
    """Have a server answer 40 datagrams of 20 peers by such a function; return what the load complains of."""
    program = [
        "import socket",
        textwrap.dedent(inspect.getsource(answer)),
        "channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "channel.bind(('127.0.0.1', 0))",
        "print('PORT', channel.getsockname()[1], flush=True)",
        "number = 0",
        "while True:",
        "    data, peer = channel.recvfrom(65536)",
        "    number += 1",
        f"    said = {answer.__name__}(data, number)",
        "    said is None or channel.sendto(said, peer)",
    ]
    with Child((sys.executable, "-c", "\n".join(program)), CORE) as process:
        words = [sys.executable, str(PEERS / f"{load}.py"), str(process.port()), "20", "64"]
        with Child(words, CORE) as driver:
            try:
                if load == "exchanges_load":
                    driver.line("READY", SECONDS_MOST)
                driver.ask(40)
                driver.line("DONE", SECONDS_MOST)
            except UnableError as complaint:
                return str(complaint)
    return ""


@pytest.mark.parametrize("load", ["datagrams_load", "exchanges_load"])
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [(wrong_byte, "load: an answer is wrong"), (forgets_one, ""), (forgets_most, "load: * datagrams were lost")],
)
def test_loads_of_datagrams_do_not_believe_a_server_that_lies(load: str, answer: Answer, complaint: str) -> None:
    assert fnmatch(drive(load, answer), complaint)


def test_forks(bench: Callable[..., Run]) -> None:
    run = bench("forks", "--requests", "12", "--connections", "3", "--rounds", "1")
    assert (run.code, run.said.err, run.whole["without"]) == (0, "", [])
    assert set(run.figures()) == {"partway", "plain", "blocking", "bare", "adapter", "socketserver"}
    assert min(run.figures().values()) > 0
    assert "one line of 64 bytes that a child answers, 3 at once" in run.said.out


def test_what_children_have_used_is_their_parents() -> None:
    """Once it has waited for them."""
    script = (
        "import os, time\n"
        "if not os.fork():\n"
        "    while time.process_time() < 0.15: pass\n"
        "    os._exit(0)\n"
        "os.wait(); print('PORT 1', flush=True); input()"
    )
    with Child((sys.executable, "-c", script), CORE) as process:
        process.port()
        used = measure.settled_usage(process.pid)
    assert used.nanoseconds >= 120_000_000 and used.user_ticks + used.system_ticks >= 12


@pytest.mark.parametrize(
    ("said", "complaint"),
    [("line.upper()", ""), ("line", "load: an answer is wrong"), ("line[:5].upper()", "load: an answer is cut short")],
)
def test_the_load_of_forks_does_not_believe_a_server_that_lies(said: str, complaint: str) -> None:
    program = [
        "import socket",
        "listener = socket.create_server(('127.0.0.1', 0))",
        "print('PORT', listener.getsockname()[1], flush=True)",
        "while True:",
        "    with listener.accept()[0] as channel:",
        "        line = channel.recv(65536)",
        f"        channel.sendall({said})",
    ]
    with Child((sys.executable, "-c", "\n".join(program)), CORE) as process:
        words = (sys.executable, str(PEERS / "forks_load.py"), str(process.port()), "3", "64")
        with Child(words, CORE) as driver:
            driver.ask(7)
            if complaint:
                with pytest.raises(UnableError, match=complaint):
                    driver.line("DONE", SECONDS_MOST)
            else:
                driver.line("DONE", SECONDS_MOST)


FEW_ROWS = ("rows", "--rows", "300,20", "--active", "20", "--rounds", "2", "--turns", "3")


def test_rows(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_GROWTH_MAX", 1e6)  # figures of such a run say nothing
    run = bench(*FEW_ROWS)
    assert (run.code, run.said.err, run.whole["broken"], run.whole["without"]) == (0, "", [], [])
    assert [row["name"] for row in run.whole["servers"]] == ["20", "300"]
    for row in run.whole["servers"]:
        assert row["operations"]["look-ups in by_descriptor"] == 20
        for name in ("same", "others", "walk_same", "walk_others", "expiry"):
            assert 0 < row[name]["least"] <= row[name]["median"] <= row[name]["most"]
            assert row["growth"][name] == row[name]["least"] / run.whole["servers"][0][name]["least"]
        assert row["peak"] > 1024 and row["setup"] >= row["setup_worst_turn"] > 0
    assert "each of 20 rows that echo 64 bytes" in run.said.out and "look-ups in by_descriptor 20," in run.said.out
    assert "\nrows  python " in run.said.out


def test_rows_that_break_a_goal_fail(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_GROWTH_MAX", 0.0)
    run = bench(*FEW_ROWS)
    assert run.code == 1
    assert "broken: others at 300 rows: " in run.said.out
    assert {goal.partition(" rows:")[0] for goal in run.whole["broken"]} == {
        f"{name} at {rows}" for name in ("same", "others", "expiry") for rows in (20, 300)
    }


def test_rows_of_a_process_that_fails(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SETUP_SECONDS_MAX", 0.0)
    run = bench(*FEW_ROWS)
    assert (run.code, run.whole["servers"]) == (1, [])
    assert run.whole["broken"] == ["no figures of 20 rows", "no figures of 300 rows"]


def test_more_active_rows_than_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", "--rows", "5,100", "--active", "6"]) == 2
    assert capsys.readouterr().err == "partway bench: 6 rows cannot be active of 5\n"


def test_broken_goals() -> None:
    """Each goal by itself: memory, what a turn costs, and what it does."""

    def row(**changed: Any) -> dict[str, Any]:
        costs = {name: {"least": 1.0} for name in ("same", "others", "expiry", "walk_same", "walk_others")}
        return {"name": "5", "peak": 100, "operations": {"calls": 100, "allocations": 100}, **costs, **changed}

    def broken(**changed: Any) -> list[str]:
        return tables.broken_goals([row(), row(**changed)])

    assert broken() == []
    assert broken(others={"least": 4.0}, walk_others={"least": 100.0}, peak=1536 * 1024) == []
    assert broken(others={"least": 4.1}) == ["others at 5 rows: 4.10 x"]
    assert broken(same={"least": 4.1}) == ["same at 5 rows: 4.10 x"]
    assert broken(expiry={"least": 4.1}) == ["expiry at 5 rows: 4.10 x"]
    assert broken(peak=1537 * 1024) == ["5 rows take 1537 MiB"]
    assert broken(operations={"calls": 101, "allocations": 105}) == ["calls at 5 rows: 101 for 100"]
    assert broken(operations={"calls": 100, "allocations": 106}) == ["allocations at 5 rows: 106 for 100"]


def test_a_server_that_fails_has_a_reason_and_no_figure(bench: Callable[..., Run], tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\necho it is broken >&2\n')
    broken.chmod(0o700)
    run = bench("http", *LITTLE, "--only", "partway,partway+cache", "--python", sys.executable, "--python", str(broken))
    assert run.code == 1
    assert {row["python"] for row in run.whole["servers"]} == {sys.executable}
    assert [(out["name"], out["reason"]) for out in run.whole["without"]] == [
        ("partway", "it is broken"),
        ("partway+cache", "it is broken"),
    ]


def test_what_is_asked_for_reaches_the_load(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[str]]] = []

    def run(rounds: beside.Rounds, servers: Sequence[Server], size: int, requests: list[str]) -> Tally[Usage]:
        asked.append((size, requests))
        return Tally([])

    monkeypatch.setattr(beside.Rounds, "run", run)
    assert bench("http", "--size", "9", "--heads", "11", "--only", "partway").code == 1, "nobody has a figure"
    assert bench("download", "--mib", "2", "--only", "partway").code == 1
    (size, requests), (large, same) = asked
    assert (size, large, len(same), len(set(requests))) == (9, 2 * 1024 * 1024, 1, 11)
    assert {len(request) for request in requests} == {len(same[0])}, "a number is no longer than another"


def test_half_a_head_is_said_to_http_alone(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    heard = {}

    def memory(_: measure.Bench, server: Server, marks: list[int], said: bytes) -> list[dict[str, int]]:
        heard[server.name] = said
        assert marks == [20, 60, 100]
        raise UnableError("no")

    monkeypatch.setattr(measure.Bench, "memory", memory)
    assert bench("memory", "--connections", "100").code == 1
    assert heard == {"partway": b"", "bare": b"", "http": beside.HALF_HEAD}


def test_no_room_for_the_file(bench: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UnableError, match="no file of 5 bytes can be written: no room"):
        beside.make_site("/nonexistent", 5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("http", "--only", "bare"), "'bare' is none of partway, partway+cache, nginx, nginx+cache"),
        (("download", "--only", "nginx+cache"), "'nginx+cache' is none of partway, nginx"),
        (("memory", "--only", "nginx"), "'nginx' is none of"),
        (("http", "--heads", "0"), "not a number from 1 to 5000: '0'"),
        (("http", "--heads", "5001"), "not a number"),
        (("http", "--size", "1048577"), "not a number"),
        (("download", "--mib", "1025"), "not a number from 1 to 1024: '1025'"),
        (("download", "--requests", "0"), "not a number"),
        (("rows", "--rows", "10,0"), "not a number from 1 to 1000000: '0'"),
        (("rows", "--rows", "1000001"), "not a number from 1 to 1000000"),
        (("rows", "--rows", "1,"), "not a number from 1 to 1000000: ''"),
        (("rows", "--active", "257"), "not a number from 1 to 256"),
    ],
    ids=str,
)
def test_a_wrong_option(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


# The load, and servers that lie.


@pytest.fixture(scope="module", params=["C", "Python"])
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    if request.param == "Python":
        return sys.executable, str(PEERS / "load.py")
    if shutil.which("cc") is None:
        pytest.skip("this machine has no cc")
    return (measure.compile_c("load", str(tmp_path_factory.mktemp("load"))),)


@contextmanager
def loading(load: tuple[str, ...], *words: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A load of one connection, and that connection's other end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS_MOST)
        command = [*load, str(listening.getsockname()[1]), "1", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(SECONDS_MOST)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    yield process, connection
            finally:
                process.kill()


def answered(load: tuple[str, ...], size: int, requests: tuple[str, ...], answers: list[list[bytes]]) -> str:
    """Answer one request after the other, in pieces; what the load said last."""
    with loading(load, str(size), *requests) as (process, connection):
        assert process.stdin is not None
        process.stdin.write(b"%d\n" % (len(answers) - 1))  # beside the one from which it learns
        process.stdin.flush()
        for number, pieces in enumerate(answers):
            expected = requests[number % len(requests)].encode()
            assert connection.recv(len(expected), socket.MSG_WAITALL) == expected
            with suppress(OSError):  # it may have left at once
                for piece in pieces:
                    connection.sendall(piece)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        out, complaints = process.communicate(timeout=SECONDS_MOST)
    return (out or complaints).decode().strip()


def answer(body: bytes, status: str = "200 OK", headers: str = "X: y\r\n", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\n{headers}Content-length:  {size}\r\n\r\n".encode() + body


SIZE = 600
BODY = PATTERN[:SIZE]
GOOD = answer(BODY)
WRONG = BODY[:-1] + bytes([BODY[-1] ^ 1])

LIES = {
    "not 200": ([answer(BODY, "404 No")], "an answer is not 200"),
    "not HTTP": ([b"220 hello\r\n\r\n"], "an answer is not 200"),
    "another length": ([answer(BODY[:-1])], "the first answer has another Content-Length"),
    "no length": ([b"HTTP/1.1 200 OK\r\n\r\n" + BODY], "the first answer has another Content-Length"),
    "no head": ([b"HTTP/1.1 200 " + b"x" * 8192], "the first answer has no head"),
    "a wrong body": ([answer(WRONG)], "an answer has wrong bytes"),
    "a short body": ([answer(BODY[:-1], length=SIZE)], "the server closed a connection"),
    "nothing": ([b""], "the server closed a connection"),
    "later another status": ([GOOD, GOOD, answer(BODY, "500 OK")], "an answer is not 200"),
    "later a wrong body": ([GOOD, GOOD, answer(WRONG)], "an answer has wrong bytes"),
    "later a wrong first byte": ([GOOD, answer(b"x" + BODY[1:])], "an answer has wrong bytes"),
    "later a longer head": ([GOOD, answer(BODY[:-1], headers="X: yy\r\n")], "a head has another length"),
    "later a shorter head": ([GOOD, answer(BODY, headers="")], "a head has another length"),
    "later an endless head": ([GOOD, b"HTTP/1.1 200 " + b"x" * 200], "a head has another length"),
    "later too much": ([GOOD, GOOD + b"x"], "an answer is too long"),
    "later nothing": ([GOOD, b""], "the server closed a connection"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_server_that_lies_is_found_out(load: tuple[str, ...], name: str) -> None:
    lies, complaint = LIES[name]
    assert answered(load, SIZE, REQUESTS[:1], [[lie] for lie in lies]) == f"load: {complaint}"


@pytest.mark.parametrize("size", [1, SIZE, 300_000])
def test_an_honest_server_passes(load: tuple[str, ...], size: int) -> None:
    """In one piece, in two, with the head in pieces; a Date may change. Heads are sent in turn, and again."""
    body = (PATTERN * (size // len(PATTERN) + 1))[:size]
    whole, later = (answer(body, headers=f"Date: Sun, 22 Nov 2026 12:00:0{second} GMT\r\n") for second in (1, 2))
    head = len(whole) - size
    answers = [[whole], [later], [whole[:head], whole[head:]], [whole[: head - 2], whole[head - 2 :]]]
    answers += [[whole[:5], whole[5:40], whole[40 : head + 1], whole[head + 1 :]]]
    assert answered(load, size, REQUESTS, answers).startswith("DONE 4 ")


def test_a_wrong_byte_far_inside(load: tuple[str, ...]) -> None:
    size = 300_000
    body = bytearray((PATTERN * 10)[:size])
    body[size - 5000] ^= 1
    assert answered(load, size, REQUESTS, [[answer(bytes(body))]]) == "load: an answer has wrong bytes"


def test_a_body_out_of_place(load: tuple[str, ...]) -> None:
    """A server that sends a part of a file twice, as big as a page."""
    size = 300_000
    body = (PATTERN * 10)[:size]
    body = body[:200_000] + body[200_000 - 4096 : size - 4096]
    assert answered(load, size, REQUESTS, [[answer(body)]]) == "load: an answer has wrong bytes"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda echo: echo, "DONE 1 "),
        (lambda echo: echo[:-1] + bytes([echo[-1] ^ 1]), "load: an answer has wrong bytes"),
        (lambda echo: echo[1:] + echo[:1], "load: an answer has wrong bytes"),
        (lambda echo: echo + b"x", "load: an answer is too long"),
        (lambda echo: b"", "load: the server closed a connection"),
    ],
    ids=["honest", "a wrong byte", "a lost byte", "too much", "nothing"],
)
def test_echoes(load: tuple[str, ...], change: Callable[[bytes], bytes], complaint: str) -> None:
    with loading(load, "64") as (process, connection):
        assert process.stdin is not None
        process.stdin.write(b"1\n")
        process.stdin.flush()
        said = connection.recv(64, socket.MSG_WAITALL)
        with suppress(OSError):  # it may have left at once
            connection.sendall(change(said))
            connection.shutdown(socket.SHUT_WR)
        out, complaints = process.communicate(timeout=SECONDS_MOST)
    assert (out or complaints).decode().startswith(complaint)


# Processes.


def keep(site: Path, cache: str, temporary: Path) -> Child:
    """nginx and its keeper, whose temporary folder is made in the one that is given."""
    return Child(["env", f"TMPDIR={temporary}", sys.executable, KEEPER, nginx(), str(site), cache, "0"], CORE)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGALRM, None], ids=str)
def test_nginx_ends_with_its_keeper(end: signal.Signals | None, tmp_path: Path) -> None:
    """By any of its signals, and when stdin ends, which is how it learns that the bench was killed."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with keep(tmp_path, "on", temporary) as child:
        child.port()
        assert child.pid != child.process.pid and child.process.stdin is not None
        worker = psutil.Process(child.pid)
        master = worker.parent()
        assert master is not None and master.ppid() == child.process.pid and list(temporary.iterdir())
        if end is None:
            child.process.stdin.close()
            child.process.stdin = None
        else:
            child.process.send_signal(end)
        assert child.process.wait(SECONDS_MOST) == 0
        assert ends(worker) and ends(master)
        assert not list(temporary.iterdir())


@pytest.mark.parametrize("cache", ["on", "off"])
def test_nginx_serves_the_site(cache: str, tmp_path: Path, load: tuple[str, ...]) -> None:
    site = beside.make_site(str(tmp_path), 1024)
    with keep(Path(site), cache, tmp_path) as child:
        command = [*load, str(child.port()), "3", "1024", *beside.file_requests(2)]
        with Child(command, CORE) as generator:
            generator.ask(10)
            assert generator.line("DONE", SECONDS_MOST).startswith("10 ")


def ends(process: psutil.Process) -> bool:
    """Whether a process that is nobody's here comes to an end; a container may leave a zombie of it."""
    deadline = time.monotonic() + SECONDS_MOST
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)  # the kernel tells only parents
    return True


def fake_nginx(tmp_path: Path, script: str) -> str:
    path = tmp_path / "nginx"
    path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{script}\n")
    path.chmod(0o700)
    return str(path)


def test_an_nginx_that_does_not_start_says_why(tmp_path: Path) -> None:
    path = fake_nginx(tmp_path, "sys.exit('no, not today')")
    command = [sys.executable, KEEPER, path, str(tmp_path), "off", "0"]
    with Child(command, CORE) as child, pytest.raises(UnableError, match="no, not today"):
        child.port()


def test_an_nginx_that_has_ended_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_nginx, "START_SECONDS_MAX", 1e6)
    with pytest.raises(SystemExit), http_nginx.running([fake_nginx(tmp_path, "sys.exit(1)")]):
        pass


def test_an_nginx_without_a_worker_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_nginx, "START_SECONDS_MAX", 0.0)
    with pytest.raises(SystemExit), http_nginx.running([fake_nginx(tmp_path, "time.sleep(1e6)")]):
        pass


def test_what_nginx_is_told() -> None:
    on, off = (http_nginx.configuration("/tmp/a", "/b c", cache, 7007) for cache in ("on", "off"))
    assert "open_file_cache max=" in on and "open_file_cache off;" in off
    for text in on, off:
        assert "listen 127.0.0.1:7007 " in text and 'root "/b c";' in text and "sendfile on;" in text
        assert all(f"{name}_temp_path /tmp/a/{name};" in text for name in http_nginx.TEMPORARY)
        assert text.count("{") == text.count("}") == 3


def test_an_nginx_that_does_not_end_is_killed_with_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_nginx, "END_SECONDS_MAX", 0.1)
    path = fake_nginx(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)")
    with http_nginx.running([path]) as worker:
        processes = [psutil.Process(worker), psutil.Process(worker).parent()]
    assert all(process is not None and ends(process) for process in processes)


def test_an_nginx_that_does_not_run_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_nginx(tmp_path, "sys.exit(1)")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnableError, match=f"not an nginx that runs: {path}"):
        measure.find_nginx()


def test_a_child_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "END_SECONDS_MAX", 0.1)
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('PORT 7 8', flush=True); signal.pause()"
    )
    with Child([sys.executable, "-c", script], CORE) as child:
        assert child.port() == 7
        assert child.pid == 8, "the process that it named"
    assert child.process.returncode == -signal.SIGKILL


def test_a_server_that_has_ended_has_no_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(SECONDS_MOST)
    with pytest.raises(UnableError, match="the server has ended"):
        measure.usage(process.pid)


def test_half_a_head_is_half_a_head() -> None:
    assert 100 <= len(beside.HALF_HEAD) <= 150
    assert beside.HALF_HEAD.startswith(b"GET / HTTP/1.1\r\nHost: ") and b"\r\n\r\n" not in beside.HALF_HEAD
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        measure.add_silent(stack, listening.getsockname()[1], "127.0.0.2", beside.HALF_HEAD)
        connection, (source, _) = listening.accept()
        with connection:
            assert source == "127.0.0.2"
            assert connection.recv(1000, socket.MSG_DONTWAIT) == beside.HALF_HEAD


# Figures.

OURS = Server("partway", ("a",), "python", "3")
CACHED = Server("partway+cache", ("a",), "python", "3")
NGINX = Server("nginx", ("b",), "", "1.2")


def test_costs_are_the_least_and_rates_the_most() -> None:
    slices = [Usage(4_000_000, 1, 3, 2, 10), Usage(8_000_000, 0, 0, 2, 10), Usage(16_000_000, 0, 0, 0, 10)]
    cost, rate = cost_row(OURS, slices), rate_row(OURS, slices, 100)
    assert (cost["figure"], cost["median"], cost["slices"]) == (400, 800, [400, 800, 1600])
    assert (rate["figure"], rate["median"]) == (250_000, 125_000)
    assert rate["slices"] == [250_000, 125_000, 62_500]
    for row in cost, rate:
        assert (row["system_share"], row["sleeps_a_request"]) == (0.75, 4 / 30)


def test_ratios() -> None:
    rows: list[dict[str, Any]] = [
        {"name": server.name, "python": server.python, "version": server.version, "figure": figure}
        for server, figure in ((OURS, 6.0), (CACHED, 3.0), (NGINX, 2.0))
    ]
    told = add_ratios(rows, ("partway", "partway+cache"))
    assert [row["ratios"] for row in told] == [
        {"partway": 1, "partway+cache": 0.5},
        {"partway": 2, "partway+cache": 1},
        {"partway": 3, "partway+cache": 1.5},
    ]
    assert [row["ratios"] for row in add_ratios(rows[2:])] == [{}]
    lines = table([*told, {**rows[2], "ratios": {}}], [ratio_column("partway"), ratio_column("partway+cache")])
    assert [line.split() for line in lines[1:]] == [
        ["partway", "3", "1.00", "x", "0.50", "x"],
        ["partway+cache", "3", "2.00", "x", "1.00", "x"],
        ["nginx", "-", "3.00", "x", "1.50", "x"],
        ["nginx", "-", "-", "-"],
    ]


def test_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "exact_nanoseconds", lambda _: 1)
    assert beside.slices_of(10, 4) == [4, 4, 2]
    monkeypatch.setattr(beside, "exact_nanoseconds", lambda _: 0)
    assert beside.slices_of(10, 4) == [10], "where the kernel counts only ticks"
