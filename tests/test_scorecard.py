"""The scorecard: what its cells and pages say, how servers are started and ended, and the command itself."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from partway.protocols.command import main
from partway.stress.attack.crowd import NOTHING
from partway.stress.scorecard import beside, beside_page, command, page, started
from partway.stress.scorecard.servers import ENTRIES, Entry, make_site, version_of, words_of
from partway.stress.scorecard.started import FailedError, Started, free_port
from partway.stress.scorecard.words import Cell, aligned, cell_of, lines_of
from test_attack_page import fonts, probe
from test_command import SECONDS_MOST

__all__ = ["fonts"]
STRESS = (sys.executable, "-m", "partway.protocols", "stress", "scorecard")
DIES = Entry("dies", "", "{python} -c print('one\\ntwo') nothing")


def figures(**changes: Any) -> dict[str, Any]:
    honest = {"visits": 100, "errors": 0}
    return {**NOTHING, "honest": honest, **changes}


# What it says.


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(15.0, 15.2, 0, 10, 0.0), "15 s"),
        (Cell(9.96, 10.04, 0, 10, 0.0), "10 s"),
        (Cell(2.2, 2.31, 0, 10, 0.0), "2.3 s"),
        (Cell(31.0, 146.2, 0, 10, 0.0), "31 to 146 s"),
        (Cell(31.0, 146.2, 5, 10, 0.99), "31 to 146 s, 5 of 10 stay, ✗ 99 %"),
        (Cell(0.01, 0.9, 0, 10, 0.0), "at once"),
        (Cell(0.01, 0.9, 3, 10, 0.0), "at once, 3 of 10 stay"),
        (Cell(0.1, 1.5, 0, 10, 0.0), "0.1 to 1.5 s"),
        (Cell(None, None, 10, 10, 0.0), "stay"),
        (Cell(None, None, 10, 10, 0.009), "stay"),
        (Cell(None, None, 10, 10, 0.01), "stay, ✗ 1 %"),
        (Cell(None, None, 0, 0, 1.0), "–, ✗ 100 %"),
    ],
)
def test_a_cell(cell: Cell, text: str) -> None:
    assert cell.text == text


def test_what_a_cell_is_made_of() -> None:
    gone = figures(started=3, outcomes={"cut off": 2, "reset": 1}, lived=[1.0, 2.0, 3.0])
    assert cell_of(gone) == (1.0, 3.0, 0, 3, 0.0)
    some = figures(started=3, survivors=1, lived=[1.0, 2.0], honest={"visits": 4, "errors": 1})
    assert cell_of(some) == (1.0, 2.0, 1, 3, 0.25)


def test_who_never_came_in_has_not_been_cut_off() -> None:
    """He was waiting outside: the longest of all, which says nothing of how long others are let live."""
    outside = {"cut off": 1, "never connected": 1, "refused": 1}
    cell = cell_of(figures(started=4, survivors=1, outcomes=outside, lived=[0.1, 5.0, 60.0], honest={"visits": 0}))
    assert (cell.came, cell.stay, cell.failed) == (2, 1, 0.0)


def card(**changes: Any) -> dict[str, Any]:
    quick = figures(started=10, outcomes={"cut off": 10}, lived=[15.0] * 10)
    deaf = figures(started=10, survivors=10, honest={"visits": 100, "errors": 97})
    return {
        "date": "2026-11-23T01:02:03+00:00",
        "clients": 10,
        "seconds": 180,
        "interrupted": False,
        "kinds": ["silent", "no-read"],
        "versions": {"quick": "1.2", "de<af": "3"},
        "missing": {"gone": "not <installed>"},
        "servers": {"quick": {"silent": quick, "no-read": quick}, "de<af": {"silent": deaf}},
        **changes,
    }


def test_in_words() -> None:
    lines = list(lines_of(card()))
    assert lines[0].startswith("10 clients of each kind against a server of its own, 180 s: ")
    assert lines[2:6] == [
        "| server    | silent       | no-read |",
        "|-----------|--------------|---------|",
        "| quick 1.2 | 15 s         | 15 s    |",
        "| de<af 3   | stay, ✗ 97 % | –       |",
    ]
    assert lines[-1] == "gone: not <installed>"
    assert "180 s (interrupted): " in next(lines_of(card(interrupted=True)))


def test_a_table() -> None:
    assert list(aligned([["a", "bc"], ["def", ""]])) == ["| a   | bc |", "|-----|----|", "| def |    |"]


@pytest.mark.usefixtures("fonts")
def test_as_a_page() -> None:
    text = page.page_of(card())
    assert "2026-11-23 01:02:03 UTC: 10 clients of each kind" in text
    assert "de&lt;af" in text and "<li>gone: not &lt;installed&gt;</li>" in text and "de<af" not in text
    assert text.count("<figure>") == 2 and text.count("✗ 97 %") == 2
    assert '<span class="worse">stay</span>' in text
    assert "<td>15 s</td>" in text


@pytest.mark.usefixtures("fonts")
def test_a_page_of_nothing() -> None:
    text = page.page_of(card(servers={}, interrupted=True))
    assert "<figure>" not in text and ", interrupted" in text


def beside_report(**changes: Any) -> dict[str, Any]:
    samples = [
        {"cpu": 1.0, "memory": 10 << 20, "at": 0.0, "descriptors": 9},
        {"cpu": 3.5, "memory": 90 << 20, "at": 9.0, "descriptors": 9},
    ]
    good = {
        "before": probe(visits=10, p50=0.002, p99=0.003, max=0.003),
        "during": probe(visits=200, errors=1, p50=0.003, p99=0.009, max=0.5),
    }
    none = {"before": probe(visits=10, p50=0.002, p99=0.003, max=0.003), "during": probe(visits=9, errors=9)}
    return {
        "date": "2026-11-23T01:02:03+00:00",
        "clients": 19000,
        "kinds": None,
        "seconds": 40,
        "interrupted": False,
        "versions": {"good": "1", "none": "2"},
        "missing": {"gone": "not installed"},
        "servers": {"good": {"probe": good, "samples": samples}, "none": {"probe": none, "samples": []}},
        **changes,
    }


def test_beside_in_words() -> None:
    lines = list(beside.lines_of(beside_report()))
    assert lines[0] == "An honest client without, and beside, 19000 clients of all kinds, 40 s each"
    good, none = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:6])
    assert good == ["good 1", "2 ms → 3 ms, 1.50 x", "3 ms → 9 ms, 3.00 x", "0.5 %", "2.5 s", "10 → 90 MiB"]
    assert none == ["none 2", "2 ms → –", "3 ms → –", "100.0 %", "–", "–"]
    assert lines[-1] == "gone: not installed"


@pytest.mark.parametrize(
    ("errors", "p50", "p99"), [(0, 0.1, 0.2), (2, 0.1, 0.2), (3, 0.1, None), (100, 0.1, None), (101, None, None)]
)
def test_who_was_not_answered_has_waited_longest(errors: int, p50: float | None, p99: float | None) -> None:
    """A median of a few lucky ones would flatter a server that has answered nobody else."""
    seen = probe(visits=200, errors=errors, p50=0.1, p99=0.2)
    assert (beside.of_all(seen, "p50"), beside.of_all(seen, "p99")) == (p50, p99)


@pytest.mark.usefixtures("fonts")
def test_beside_as_a_page() -> None:
    text = beside_page.page_of(beside_report())
    assert "An honest client beside 19000 others" in text and "<li>gone: not installed</li>" in text
    assert text.count("<figure class") == 1 and "✗ 1e+02 %" not in text and "✗ 0.5 %" in text
    assert "<svg" not in beside_page.page_of(beside_report(servers={}))


# Servers.


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_site(tmp_path / "site")


def test_the_ones_that_need_no_package_are_always_here() -> None:
    known = {entry.name: version_of(entry) for entry in ENTRIES if not entry.package and entry.name != "nginx"}
    assert set(known) == {"partway", "partway http", "http.server", "partway switching", "partway buffered"}
    assert all(known.values())
    assert version_of(Entry("x", "a-package-that-nobody-has", "")) is None
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert sum(not entry.rare for entry in ENTRIES) == 17, "README counts them"


def test_a_command_with_all_filled_in(site: Path, tmp_path: Path) -> None:
    for entry in ENTRIES:
        words = words_of(entry, 12_345, site, tmp_path)
        assert not any("{" in word or "}" in word for word in words), words
        assert any("12345" in word for word in words) or "12345" in (tmp_path / "nginx.conf").read_text()


def test_each_port_is_given_once() -> None:
    assert len({free_port() for _ in range(50)}) == 50


def test_a_server_that_ends_at_once(site: Path, tmp_path: Path) -> None:
    with Started(DIES, site, tmp_path / "dies") as server, pytest.raises(FailedError, match=r"^exit 0: two$"):
        server.wait()
    with (
        Started(DIES._replace(words="{python} -c pass"), site, tmp_path / "mute") as mute,
        pytest.raises(FailedError, match=r"^exit 0: it said nothing$"),
    ):
        mute.wait()


def test_a_server_that_never_listens_and_will_not_end(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "START_SECONDS_MAX", 0.5)
    monkeypatch.setattr(started, "END_SECONDS_MAX", 0.1)
    script = tmp_path / "deaf.py"
    script.write_text("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(1000)\n")
    with Started(DIES._replace(words=f"{{python}} {script}"), site, tmp_path / "deaf") as server:
        with pytest.raises(FailedError, match=r"did not listen within 0\.5 s: it said nothing"):
            server.wait()
        process = psutil.Process(server.pid)
    assert not process.is_running()


def test_its_children_end_with_it(site: Path, tmp_path: Path) -> None:
    """Even those that their parent would have left behind."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with Started(DIES._replace(words=f"{{python}} {script}"), site, tmp_path / "scratch") as server:
        end = time.monotonic() + SECONDS_MOST
        while not (said := (tmp_path / "scratch" / "log").read_text()).endswith("\n"):
            assert time.monotonic() < end
            time.sleep(0.01)
        child = psutil.Process(int(said))
        assert psutil.Process(server.pid).is_running()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:  # it was killed, and nobody here waits for it
        assert time.monotonic() < end
        time.sleep(0.01)


# The command.


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that runs and one that does not, and a third that is not installed."""
    ours = next(entry for entry in ENTRIES if entry.name == "partway")
    absent = Entry("absent", "a-package-that-nobody-has", "")
    monkeypatch.setattr(command, "ENTRIES", (ours, DIES, absent))
    yield


def check_missing(report: Mapping[str, Any]) -> None:
    assert report["missing"] == {"absent": "not installed", "dies": "exit 0: two"}
    assert list(report["servers"]) == ["partway"]


@pytest.mark.usefixtures("two", "fonts")
def test_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_file, html_file = tmp_path / "card.json", tmp_path / "card.html"
    words = ["stress", "scorecard", "--eager", "--clients", "2", "--seconds", "3"]
    assert main([*words, "--json", str(json_file), "--html", str(html_file)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "\n| partway 0" in said.out and "\ndies: exit 0: two\n" in said.out
    report = json.loads(json_file.read_text())
    check_missing(report)
    cells = report["servers"]["partway"]
    assert list(cells) == ["silent", "drip-head", "drip-body", "no-read", "slow-read", "idle-keepalive"]
    assert all((cell["started"], cell["survivors"]) == (2, 2) for cell in cells.values())
    assert all(cell["honest"]["visits"] >= 2 and not cell["honest"]["errors"] for cell in cells.values())
    assert html_file.read_text().count("<figure>") == 6


@pytest.mark.usefixtures("two", "fonts")
def test_beside_a_crowd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_file, html_file = tmp_path / "card.json", tmp_path / "card.html"
    words = ["stress", "scorecard", "--eager", "--beside", "22", "--seconds", "2"]
    assert main([*words, "--json", str(json_file), "--html", str(html_file)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "\n| partway 0" in said.out and " x " in said.out
    report = json.loads(json_file.read_text())
    check_missing(report)
    run = report["servers"]["partway"]
    assert sum(crowd["started"] for crowd in run["crowds"].values()) >= 22
    assert run["probe"]["during"]["visits"] >= 50 and run["samples"][-1]["memory"] > 1 << 20
    assert "<figure class" in html_file.read_text()


@pytest.mark.usefixtures("two", "fonts")
def test_beside_a_crowd_of_one_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_file, html_file = tmp_path / "card.json", tmp_path / "card.html"
    words = ["stress", "scorecard", "--eager", "--beside", "6", "--kinds", "silent,drip-head", "--seconds", "2"]
    assert main([*words, "--json", str(json_file), "--html", str(html_file)]) == 0
    assert " 6 clients of silent and drip-head, 2 s each\n" in capsys.readouterr().out
    crowds = json.loads(json_file.read_text())["servers"]["partway"]["crowds"]
    assert {name: crowd["started"] for name, crowd in crowds.items()} == {"silent": 3, "drip-head": 3}
    assert "in turn, silent and drip-head" in html_file.read_text()


def readme() -> list[str]:
    lines = (Path(__file__).resolve().parent.parent / "README.md").read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    partway stress scorecard --")]


@pytest.mark.usefixtures("two", "fonts")
@pytest.mark.parametrize("line", readme())
def test_examples_of_the_readme(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there, but shorter, and with few clients."""
    monkeypatch.chdir(tmp_path)
    words = line.replace("19000", "22").split()
    assert main([*words[1:], "--seconds", "2", "--eager"]) == 0
    assert capsys.readouterr().err == ""
    assert all((tmp_path / name).exists() for name in words if name.endswith((".html", ".json")))


def test_no_server_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "ENTRIES", (DIES,))
    assert main(["stress", "scorecard"]) == 1
    assert capsys.readouterr().err == "partway stress scorecard: no server could be started\n"


@pytest.mark.parametrize("words", [["--clients", "2"], ["--beside", "22"]], ids=["card", "beside"])
@pytest.mark.parametrize(("number", "eager"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_an_interrupt_ends_it_in_order(words: list[str], number: int, eager: bool) -> None:
    """With a report, and nobody is left behind. Attackers are told whether they give way."""
    words = [*STRESS, "--only", "partway", "--seconds", "600", *words, *["--eager"] * eager]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            attackers = wait_for(process, "attackers")
            assert all(json.loads(words_that_run(child)[-1])["eager"] is eager for child in attackers)
            servers = wait_for(process, "partway_app")
            process.send_signal(number)
            out, err = process.communicate(timeout=SECONDS_MOST)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "")
    assert "(interrupted)" in out
    end = time.monotonic() + SECONDS_MOST
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in attackers + servers):
        assert time.monotonic() < end  # they were told to end; on a busy machine that takes them a moment
        time.sleep(0.01)


def wait_for(process: "subprocess.Popen[str]", name: str) -> list[psutil.Process]:
    """Return a process's children of which a word has this name, when there are any."""
    end = time.monotonic() + SECONDS_MOST
    while True:
        children = psutil.Process(process.pid).children(recursive=True)
        found = [child for child in children if name in " ".join(words_that_run(child))]
        if found:
            return found
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)


def words_that_run(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--only", "apache"), "'apache' is none of partway, partway http, http.server"),
        (("--clients", "0"), "not a number from 1 to 1000: '0'"),
        (("--seconds", "x"), "not a number from 1"),
        (("--beside", "-1"), "not a number from 1"),
        (("--json", "/nowhere/x"), "cannot be written"),
        (("--kinds", "silent"), "--kinds needs --beside"),
        (("--beside", "9", "--kinds", "flood"), "'flood' is none of silent, "),
        (("silent",), "unrecognized arguments: silent"),
    ],
)
def test_mistakes(words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stress", "scorecard", *words])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("partway stress scorecard: ")
    assert why in said.err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["stress", "scorecard", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(entry.name in said for entry in ENTRIES)
