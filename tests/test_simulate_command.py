"""`partway stress simulate`: a clean batch says so, a broken engine is found, made small, written down and replayed.

The engine is broken here on purpose, one bug a test, in this process. What counts is that each kind of failure is
named, that what is written down fails in the same way, and that nothing is called broken that isn't.
"""

import io
import itertools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from partway.engine import reactor
from partway.engine.faults import OBSERVED, ODDS
from partway.engine.row import STATES
from partway.engine.simulation import Simulation
from partway.engine.table import Table
from partway.protocols.command import main as partway
from partway.protocols.echo import Echo
from partway.stress.simulate import command, examine, many, shrink
from partway.stress.simulate.broken import BrokenError
from partway.stress.simulate.case import Case, Visitor, draw
from partway.stress.simulate.command import INTERRUPTED, main
from partway.stress.simulate.examine import AGAIN, FREEZING, MEMORY, Broken, Examined
from partway.stress.simulate.many import Share, Tally, run_seeds, tallies
from partway.stress.simulate.replay import Recorder, Replay, about, parting
from partway.stress.simulate.report import EDGES, EXEMPT, WIDTH, edge_name, report, unmet
from partway.stress.simulate.shrink import Shrinking
from partway.stress.simulate.world import World, run

ECHO = ("--only", "echo")
FEW = ("--seeds", "8", *ECHO)
SMALL = Case(5, "echo", (Visitor("honest", 1, requests=3), Visitor("hasty", 2, requests=5)))

MANY = replace(SMALL, crowd=tuple(Visitor("silent", seed, requests=99) for seed in range(30)))


def crowded(seed: int, protocols: Sequence[str] = ("echo",)) -> Case:
    """Draw as `draw` does, but what no change of the drawing changes: 5 to 8 clients, and something to take away."""
    random = Random(seed)
    crowd = tuple(
        Visitor(random.choice(("hasty", "drip")), random.randrange(99), enters=random.random(), requests=4)
        for _ in range(5 + (-seed) % 4)
    )
    faults = {"short_read": 0.2, "lost": 0.02}
    return Case(seed, protocols[0], crowd, faults, {"rows_a_turn": 3}, "shortest", 5000, grain_seconds=0.001)


@pytest.fixture
def crowds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (many, command):
        monkeypatch.setattr(module, "draw", crowded)


class Said:
    """What a command said, line by line."""

    def __init__(self, code: int, said: Any) -> None:
        self.code = code
        self.out: str = said.out
        self.err: str = said.err
        self.lines = self.out.splitlines()

    def after(self, start: str) -> str:
        """The rest of the first line that begins so, whatever stands before it."""
        return next(line.strip() for line in self.lines if line.strip().startswith(start))[len(start) :]


@pytest.fixture
def simulate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: Said(main(words), capsys.readouterr())


# Mistakes.


MISTAKES = {
    "nothing": ((), "KIND, TARGET"),
    "something else": (("serve",), "'serve'"),
    "unknown option": (("simulate", "--bogus"), "--bogus"),
    "shortened option": (("simulate", "--seed", "1"), "--seed"),
    "no seeds": (("simulate", "--seeds", "0"), "'0'"),
    "digits of another script": (("simulate", "--seeds", "\u0663"), "not a number"),
    "unknown protocol": (("simulate", "--only", "echo,nope"), "'nope' is none of"),
    "option of two lines": (("simulate", "--bogus\nx"), "--bogus x"),
    "missing folder": (("simulate", "--cases", "/nope"), "'/nope'"),
    "folder that cannot be": (("simulate", "--cases", "a\0b"), "no folder"),
    "file that cannot be written": (("simulate", "--json", "/nope/x"), "/nope/x"),
    "case that is missing": (("simulate", "--replay", "/nope"), "--replay /nope: No such file"),
    "case that is none": (("simulate", "--replay", __file__), "this is no case"),
    "case of one protocol": (("simulate", "--replay", __file__, *ECHO), "--only"),
    "seeds of a replay": (("simulate", "--replay", "1", "--seeds", "3"), "--seeds"),
    "all of a replay": (("simulate", "--replay", "1", "--all-met"), "--all-met"),
    "steps of a batch": (("simulate", "--step"), "--replay"),
    "turns of a batch": (("simulate", "--turns", "3"), "--replay"),
    "steps and turns": (("simulate", "--replay", "1", "--step", "--turns", "3"), "--turns"),
    "processes of a replay": (("simulate", "--replay", "1", "--jobs", "2"), "--jobs"),
    "cases of a replay": (("simulate", "--replay", "1", "--cases", "/"), "--cases"),
    "endless seed": (("simulate", "--replay", "9" * 5000), "no seed is as large as 999"),
    "endless number": (("simulate", "--seeds", "9" * 5000), "not a number from 1 to"),
}

WHOLE = Case(1, "echo", (Visitor("honest", 1),)).to_json()
NO_CASES = {
    "no text": "\xff",
    "a list": "[]",
    "too deep": "[" * 100_000,
    "a protocol that is none": WHOLE.replace('"echo"', "[]"),
    "another protocol": WHOLE.replace('"echo"', '"gopher"'),
    "a kind that is none": WHOLE.replace('"honest"', "[]"),
    "another kind": WHOLE.replace('"honest"', '"kind"'),
    "requests in words": WHOLE.replace('"requests": 1', '"requests": "x"'),
    "no requests": WHOLE.replace('"requests": 1', '"requests": 0'),
    "half a delay": WHOLE.replace('"delay_seconds": [0.0, 0.001]', '"delay_seconds": [0]'),
    "a delay in words": WHOLE.replace('"delay_seconds": [0.0, 0.001]', '"delay_seconds": [0, "x"]'),
    "another schedule": WHOLE.replace('"fair"', '"nope"'),
    "a fault in words": WHOLE.replace('"faults": {}', '"faults": {"reset": "x"}'),
    "another fault": WHOLE.replace('"faults": {}', '"faults": {"flood": 1}'),
    "another limit": WHOLE.replace('"limits": {}', '"limits": {"nope": 1}'),
    "a limit in words": WHOLE.replace('"limits": {}', '"limits": {"rows_max": "x"}'),
    "room in words": WHOLE.replace('"capacity_bytes": 65536', '"capacity_bytes": "x"'),
    "no room": WHOLE.replace('"capacity_bytes": 65536', '"capacity_bytes": 0'),
    "many seeds": WHOLE.replace('"seed": 1, "protocol"', '"seed": [1], "protocol"'),
    "a drain in words": WHOLE.replace('"drains_after": null', '"drains_after": "x"'),
}


@pytest.mark.parametrize("name", NO_CASES)
def test_a_file_that_is_no_case(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert NO_CASES[name] != WHOLE
    path = tmp_path / "case"
    path.write_bytes(NO_CASES[name].encode("latin-1"))
    with pytest.raises(SystemExit) as ended:
        partway(["stress", "simulate", "--replay", str(path)])
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_a_whole_case_is_one() -> None:
    assert Case.from_json(WHOLE) == Case(1, "echo", (Visitor("honest", 1),))
    assert all(Case.from_json(draw(seed).to_json()) == draw(seed) for seed in range(50))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, expected = MISTAKES[name]
    with pytest.raises(SystemExit) as ended:
        partway(["stress", *words])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("partway stress") and said.err.count("\n") == 1, said.err
    assert expected in said.err


# Batches that hold.


def test_a_clean_batch(simulate: Callable[..., Said], tmp_path: Path) -> None:
    said = simulate("--seeds", "12", "--first", "5")
    assert said.code == 0
    assert said.lines[0] == "12 seeds, 5 to 16: none broken"
    assert said.err == ""
    assert all(len(line) <= WIDTH for line in said.lines)
    assert "BROKEN" not in said.out
    assert not list(tmp_path.iterdir())


def test_it_is_a_command_of_partway(capsys: pytest.CaptureFixture[str]) -> None:
    assert partway(["stress", "simulate", "--seeds", "1", "--first", "7"]) == 0
    assert capsys.readouterr().out.startswith("1 seed, 7: none broken\n")


def without_time(tally: Tally) -> Tally:
    shares = {name: replace(share, seconds=0.0) for name, share in tally.shares.items()}
    return replace(tally, all=replace(tally.all, seconds=0.0), shares=shares, more_seconds=0.0)


def total(parts: Any) -> Tally:
    tally = Tally()
    for part in parts:
        tally.add(part)
    return without_time(tally)


def test_figures_depend_on_the_seeds_alone() -> None:
    alone = total(tallies(range(8), ("echo", "lines"), 1))
    assert total([run_seeds(range(8), ("echo", "lines"))]) == alone
    assert alone.all.seeds == 8 and alone.all.requests == sum(share.requests for share in alone.shares.values())
    assert total(tallies(range(7), ("echo", "lines"), 1)).digest != alone.digest
    assert not alone.failures


SMALL_TASKS = "from partway.stress.simulate import command, many; many.SEEDS_A_TASK = 2; "
SMALL_TASKS += "import sys; sys.exit(command.main(sys.argv[1:]))"


def test_several_processes_come_to_the_same(tmp_path: Path) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for jobs, file in enumerate(files, 1):  # each a process of its own: what multiprocessing starts stays to its end
        words = (*ECHO, "--first", "3", "--seeds", "13", "--jobs", str(jobs), "--json", str(file))
        done = subprocess.run([sys.executable, "-c", SMALL_TASKS, *words], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
    one, two = (json.loads(file.read_text()) for file in files)
    assert one["seeds"] == two["seeds"] == 13
    for figures in (one, two, *one["protocols"].values(), *two["protocols"].values()):
        for name in ("cpu_seconds", "cpu_seconds_to_compare"):
            figures.pop(name, None)
    assert one == two


def test_what_a_process_tells_arrives_whole() -> None:
    tally = full()
    tally.note(SMALL, Examined(None, Broken("it", "so"), 1.0, 2.0))
    assert pickle.loads(pickle.dumps(tally)) == tally


def test_some_seeds_are_examined_more_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(case: Case, *, again: bool = False, memory: bool = False, edges: Any = None) -> Examined:
        asked.append((case.seed, again, memory, len(case.crowd), max(one.requests for one in case.crowd)))
        return Examined(None, None, 0.5, 0.25)

    monkeypatch.setattr(many, "examine", noted)
    monkeypatch.setattr(many, "draw", lambda seed, protocols: replace(MANY, seed=seed))
    tally = run_seeds(range(100), ("echo",))
    assert [seed for seed, again, *_ in asked if again] == [1, 21, 41, 61, 81]
    leaks = [rest for _, _, memory, *rest in asked if memory]
    assert [one[0] for one in asked if one[2]] == [2, 52]
    assert leaks == [[many.LEAK_CLIENTS, many.LEAK_REQUESTS]] * 2
    assert (tally.all.seconds, tally.more_seconds) == (50.0, 25.0 + 2 * 0.75)


def test_it_stops_after_its_seconds(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 0.5)
    monkeypatch.setattr(examine, "time", SimpleNamespace(process_time=lambda: next(clock)))
    said = simulate("--seconds", "3", *ECHO)
    assert said.code == 0
    assert said.lines[0] == "3 seeds, 0 to 2: none broken"  # each takes one second, half of it to compare


def test_progress_is_shown_on_a_terminal(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    simulate("--seeds", "2", *ECHO)
    assert "\r\x1b[K2 of 2 seeds, " in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K"), "and is gone at the end"


def test_json(simulate: Callable[..., Said], tmp_path: Path) -> None:
    said = simulate(*FEW, "--json", "all.json")
    found = json.loads((tmp_path / "all.json").read_text())
    tally = total(tallies(range(8), ("echo",), 1))
    assert said.after("digest ").split(":")[0] == found["digest"] == f"{tally.digest:016x}"
    assert (found["first"], found["seeds"], found["requests"]) == (0, 8, tally.all.requests)
    assert set(found["faults"]) >= {*ODDS, *OBSERVED}
    assert {name: count for name, count in found["faults"].items() if count} == dict(tally.met)
    assert found["ended"] == dict(tally.ended) and sum(found["ended"].values()) == tally.all.rows
    assert found["edges"]["OPENING wants idle"] == tally.edges[0, 1] > 0
    assert found["unmet"] == unmet(tally)
    assert found["broken"] == found["cases"] == []


# What was met.


def full() -> Tally:
    tally = Tally()
    tally.met.update(dict.fromkeys((*ODDS, *OBSERVED), 3))
    tally.edges.update(dict.fromkeys(EDGES, 7))
    return tally


def test_all_that_is_unmet_is_named() -> None:
    tally = full()
    assert unmet(tally) == []
    assert "all faults and edges were met" in report(tally, range(1))
    for name in (*ODDS, *OBSERVED):
        less = full()
        del less.met[name]
        assert unmet(less) == ([] if name in EXEMPT else [name])
    for edge in EDGES:
        less = full()
        del less.edges[edge]
        assert unmet(less) == [edge_name(*edge)]
        assert f"never met: {edge_name(*edge)}" in report(less, range(1))


def test_exempt_is_only_what_has_odds() -> None:
    assert set(EXEMPT) <= set(ODDS)
    assert all(EXEMPT.values())


def test_the_table_of_edges() -> None:
    tally = full()
    del tally.edges[1, 2]
    lines = report(tally, range(1))
    place = next(place for place, line in enumerate(lines) if line.startswith("edges "))
    assert lines[place].split() == ["edges", *STATES]
    cells = {line[:16].strip(): line[16:].split() for line in lines[place + 1 : place + 10]}
    assert cells["wants reading"] == ["7", ".", "7", "7", "7", "7", "-", "-"]
    assert cells["ends"] == ["7"] * 7 + ["-"]


def test_many_are_told_in_millions() -> None:
    tally = full()
    tally.edges[1, 2] = 90_209_893
    tally.edges[1, 3] = 9_999_999
    assert any(" 90.2M " in line for line in report(tally, range(1)))
    assert any(" 9,999,999 " in line for line in report(tally, range(1)))


def test_an_edge_that_is_none_is_told() -> None:
    tally = full()
    assert "no such edge: " not in "\n".join(report(tally, range(1)))
    tally.edges[7, 1] += 1
    assert report(tally, range(1))[-1] == "tried although there is no such edge: CLOSED wants idle"


def test_all_met(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--seeds", "1", *ECHO)
    assert simulate(*few).code == 0
    assert simulate(*few, "--all-met").code == 1
    monkeypatch.setattr(command, "unmet", lambda tally: [])
    assert simulate(*few, "--all-met").code == 0


# What is broken.


def break_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "arm", lambda table, row: None)


@pytest.mark.usefixtures("crowds")
def test_a_broken_engine(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    break_alarms(monkeypatch)
    said = simulate("--seeds", "3", "--first", "9", *ECHO, "--json", "all.json")
    assert said.code == 1
    assert said.lines[0] == "3 seeds, 9 to 11: 3 broken"
    assert said.after("BROKEN: ") == "a deadline without an alarm"
    assert said.after("3 of 3 seeds: ") == "9, 10, 11"
    assert said.after("seed ") == "11: echo, 6 clients, 24 requests, 2 faults, 1 limit", (
        "the one with the fewest clients"
    )
    path = tmp_path / "partway-11.json"
    small = Case.from_json(path.read_text())
    assert small == Case(11, "echo", (Visitor("honest", small.crowd[0].seed),))
    assert said.after("shrunk to ").startswith("1 client, 1 request, 0 faults, 0 limits in ")
    assert said.after("replay it: ") == "partway stress simulate --replay partway-11.json"
    shown = [line for line in said.lines if line.startswith("  | ")]
    assert 1 < len(shown) <= command.REPLAY_LINES
    assert shown[-1].startswith("  | BROKEN: a deadline without an alarm: <Row 1 ")
    found = json.loads((tmp_path / "all.json").read_text())
    assert [one["seed"] for one in found["broken"]] == [9, 10, 11]
    assert found["cases"] == [{"seed": 11, "file": path.name}]
    replayed = simulate("--replay", path.name)
    assert replayed.code == 1
    assert replayed.lines[-1] == shown[-1][4:]


@pytest.mark.usefixtures("crowds")
def test_no_shrink(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    break_alarms(monkeypatch)
    folder = tmp_path / "cases"
    folder.mkdir()
    said = simulate("--seeds", "1", "--first", "9", *ECHO, "--no-shrink", "--cases", str(folder))
    assert Case.from_json((folder / "partway-9.json").read_text()) == crowded(9)
    assert "shrunk" not in said.out


@pytest.mark.usefixtures("crowds")
def test_a_case_that_cannot_be_written(
    simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    break_alarms(monkeypatch)
    (tmp_path / "partway-9.json").mkdir()
    said = simulate("--seeds", "1", "--first", "9", *ECHO)
    assert said.code == 1
    assert "the case cannot be written: " in said.out


@pytest.mark.usefixtures("crowds")
def test_a_bug_is_named_by_its_type_and_place(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor, "run", None)
    said = simulate("--seeds", "1", *ECHO)
    assert said.code == 1
    assert said.after("BROKEN: ") == "TypeError in engine/reactor.py, _run_queue()"
    assert ": TypeError: 'NoneType' object is not callable" in said.out
    assert said.after("shrunk to ").startswith("1 client, ")


def test_each_invariant_is_told_for_itself(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case, **how: Any) -> Examined:
        return Examined(None, Broken(f"invariant {case.seed % 7}", "somewhere"), 0.0, 0.0)

    for module in (many, shrink):
        monkeypatch.setattr(module, "examine", broken)
    said = simulate("--seeds", "100", "--no-shrink", *ECHO)
    assert [line for line in said.lines if line.startswith("BROKEN")] == [f"BROKEN: invariant {n}" for n in range(7)]
    assert said.out.count("replay it: ") == command.CASES_MOST
    assert "15 of 100 seeds: 0, 7, 14, 21, 28, 35, 42, 49, 56, 63, 70, 77, ...\n" in said.out


@pytest.mark.usefixtures("crowds")
def test_a_swallowed_piece_is_found(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Echo.feed
    monkeypatch.setattr(Echo, "feed", lambda echo, data: None if len(data) % 3 == 2 else feed(echo, data))
    said = simulate("--seeds", "3", *ECHO)
    assert said.code == 1
    assert "shrunk to 1 client, " in said.out
    with pytest.raises(BrokenError):  # as soon as what each client got is looked at: at the end
        list(Recorder(crowded(0)).turns())


def test_a_process_that_dies(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any) -> Any:
        yield Tally(Share(3))
        raise BrokenProcessPool

    monkeypatch.setattr(command, "tallies", dies)
    said = simulate()
    assert said.code == 1
    assert said.lines[0] == "3 seeds, 0 to 2: none broken"
    assert said.lines[-1] == "BROKEN: a process that ran seeds has died"


def test_nobody_reads_on() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        words = [sys.executable, "-m", "partway.stress.command", "simulate", "--seeds", "1", *ECHO]
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is full")
@pytest.mark.parametrize("words", [("--seeds", "1", "--json", "/dev/full"), ("--seeds", "1"), ("--replay", "1")])
def test_a_full_disk_is_one_line(words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "partway.stress.command", "simulate", *words, *ECHO]
        done = subprocess.run(command, stdout=None if "--json" in words else full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "No space left" in done.stderr


def test_output_that_nobody_sends_is_found() -> None:
    """A row that rests may be fed and stepped: what it still had to send would be lost."""
    world = World(draw(3, ["echo"]))
    rows = world.reactor.table.rows
    while not (idle := [row for row in rows.values() if STATES[row.state] == "IDLE" and not row.queued]):
        world.step()
    look = world.watch.scan.look
    look(world.simulation.now())
    idle[0].output = memoryview(b"left")
    with pytest.raises(BrokenError, match="an answer that is not being sent"):
        look(world.simulation.now())
    idle[0].output = None
    world.close()


# Interrupted.


def test_interrupted(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupts(case: Case, **how: Any) -> Examined:
        if case.seed == 5:
            raise KeyboardInterrupt
        return examine.examine(case, **how)

    monkeypatch.setattr(many, "examine", interrupts)
    said = simulate(*FEW)
    assert said.code == INTERRUPTED == 130
    assert said.lines[0] == "5 seeds, 0 to 4: none broken"
    assert said.lines[-1] == "interrupted: 5 of 8 seeds were run"
    assert simulate("--seconds", "100", *ECHO).lines[-1] == "interrupted: 5 seeds were run"


def test_two_runs_that_do_not_part_leave_nothing_open() -> None:
    """Side by side in one process: what one has open is nothing that the other has left."""
    descriptors = len(os.listdir("/proc/self/fd"))
    for seed in range(6):
        case = draw(seed, ["http", "script"])
        assert parting(case, case) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.usefixtures("crowds")
def test_interrupted_while_shrinking(
    simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = itertools.count()

    def interrupts(case: Case, **how: Any) -> Examined:
        if next(runs) == 2:
            raise KeyboardInterrupt
        return examine.examine(case, **how)

    break_alarms(monkeypatch)
    monkeypatch.setattr(shrink, "examine", interrupts)
    said = simulate("--seeds", "1", "--first", "9", *ECHO)
    assert said.code == INTERRUPTED
    small = Case.from_json((tmp_path / "partway-9.json").read_text())
    assert 1 < len(small.crowd) < len(crowded(9).crowd), "what was reached as yet is kept"
    assert "the end of its replay" not in said.out


def test_interrupted_in_a_replay(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupts(world: World) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "step", interrupts)
    assert simulate("--replay", "1").code == INTERRUPTED


# What further runs of a case must have in common.


def test_a_case_that_holds() -> None:
    examined = examine.examine(replace(SMALL, freezes=0.5), again=True, memory=True)
    assert examined.broken is None
    assert examined.outcome == run(SMALL)


def make_it_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock depend on how much has run before."""
    drift, begins = itertools.count(), Simulation.poll_begins

    def drifts(simulation: Simulation, seconds: float | None) -> float | None:
        simulation._clock += next(drift) * 1e-9
        return begins(simulation, seconds)

    monkeypatch.setattr(Simulation, "poll_begins", drifts)


@pytest.mark.usefixtures("crowds")
def test_a_run_that_is_not_deterministic(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    make_it_drift(monkeypatch)
    assert examine.examine(SMALL).broken is None, "which one run alone cannot tell"
    broken = examine.examine(SMALL, again=True).broken
    assert broken is not None and broken.invariant == AGAIN
    assert broken.detail.startswith("seconds ")
    frozen = examine.examine(replace(SMALL, freezes=0.5)).broken
    assert frozen is not None and frozen.invariant == AGAIN, "freezing is not what did it"
    said = simulate("--seeds", "1", "--first", "21", *ECHO)
    assert said.after("BROKEN: ") == AGAIN
    assert "shrunk to 1 client, 1 request, 0 faults" in said.out
    assert "turn 1 ends at " in said.out, "where the runs part is shown"


def test_a_freeze_that_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze = World._freeze

    def changes(world: World) -> None:
        freeze(world)
        world.simulation._clock += 1e-5

    monkeypatch.setattr(World, "_freeze", changes)
    case = replace(SMALL, freezes=0.5)
    broken = examine.examine(case).broken
    assert broken is not None and broken.invariant == FREEZING
    assert examine.examine(SMALL).broken is None
    replay = Replay(case)
    lines = replay.tail(1)
    assert replay.broken is not None and replay.broken.invariant == FREEZING
    assert any(line.startswith("turn ") and " s in one run, at " in line for line in lines)


def test_memory_that_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, finish = [], World.finish

    def keeps(world: World) -> Any:
        kept.append(object())
        return finish(world)

    monkeypatch.setattr(World, "finish", keeps)
    assert examine.examine(SMALL).broken is None
    broken = examine.examine(SMALL, memory=True).broken
    assert broken is not None and broken.invariant == MEMORY
    assert "each run leaves " in broken.detail


def test_a_row_that_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = [None]
    step = World.step

    def keeps(world: World) -> bool:
        goes_on = step(world)
        kept[0] = next(iter(world.reactor.table.rows.values()), kept[0])  # one, again and again: nothing grows
        return goes_on

    monkeypatch.setattr(World, "step", keeps)
    broken = examine.examine(SMALL, memory=True).broken
    kept.clear()
    assert broken is not None and broken.invariant == MEMORY
    assert "1 rows live on" in broken.detail


# Shrinking.


def judged(needs: Callable[[Case], bool], invariant: str = "it") -> Callable[..., Examined]:
    """An examination that only looks at the case."""
    return lambda case, **how: Examined(None, Broken(invariant, "so") if needs(case) else None, 0.0, 0.0)


def shrunk(monkeypatch: pytest.MonkeyPatch, needs: Callable[[Case], bool], case: Case, **how: Any) -> Shrinking:
    monkeypatch.setattr(shrink, "examine", judged(needs))
    shrinking = Shrinking(case, Broken("it", "so"), **how)
    shrinking.shrink()
    return shrinking


BIG = replace(
    SMALL,
    crowd=tuple(Visitor("cut", seed, 0.5, 9, (0.1, 0.2), 1e5, 1000) for seed in range(40)),
    faults={"reset": 0.1, "lost": 0.2, "jump_seconds": 3.0},
    limits={"rows_max": 5, "turn_bytes": 3000},
    schedule="shortest",
    capacity_bytes=700,
    descriptors=44,
    grain_seconds=0.02,
    drains_after=3.0,
    freezes=0.05,
)


def test_all_that_is_not_needed_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = shrunk(monkeypatch, lambda case: True, BIG)
    assert small.case == Case(5, "echo", (Visitor("honest", small.case.crowd[0].seed),))
    assert small.runs < 20, "what changes nothing is not tried"


KEPT: dict[str, Callable[[Case], bool]] = {
    "two clients": lambda case: {7, 31} <= {one.seed for one in case.crowd},
    "a fault": lambda case: "lost" in case.faults,
    "a limit": lambda case: "turn_bytes" in case.limits,
    "a schedule": lambda case: case.schedule == "shortest",
    "a capacity": lambda case: case.capacity_bytes == 700,
    "descriptors": lambda case: case.descriptors == 44,
    "a grain": lambda case: case.grain_seconds > 0,
    "a drain": lambda case: case.drains_after is not None,
    "freezing": lambda case: case.freezes > 0,
    "requests": lambda case: any(one.requests >= 6 for one in case.crowd),
    "a kind": lambda case: any(one.kind == "cut" for one in case.crowd),
    "an entrance": lambda case: any(one.enters > 0 for one in case.crowd),
    "a delay": lambda case: any(one.delay_seconds[0] > 0 for one in case.crowd),
    "a bandwidth": lambda case: any(one.bytes_a_second > 0 for one in case.crowd),
    "a client's buffer": lambda case: any(one.receive_bytes == 1000 for one in case.crowd),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_needed_stays_and_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shrinking = shrunk(monkeypatch, KEPT[name], BIG)
    small = shrinking.case
    assert KEPT[name](small)
    assert shrinking.runs < 36
    assert small.faults in ({}, {"lost": 0.2}) and small.limits in ({}, {"turn_bytes": 3000})
    plain = Case(5, "echo", tuple(Visitor("honest", one.seed) for one in small.crowd))
    assert len(small.crowd) == (2 if name == "two clients" else 1)
    different = [name for name in vars(plain) if name != "crowd" and getattr(plain, name) != getattr(small, name)]
    different += [
        name for name in vars(plain.crowd[0]) if getattr(plain.crowd[0], name) != getattr(small.crowd[0], name)
    ]
    assert len(different) == (0 if name == "two clients" else 1), different
    if name == "requests":
        assert small.crowd[0].requests == 6


def test_another_invariant_is_another_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink, "examine", judged(lambda case: True, "something else"))
    shrinking = Shrinking(BIG, Broken("it", "so"))
    shrinking.shrink()
    assert shrinking.case == BIG
    assert shrinking.broken == Broken("it", "so")


def test_shrinking_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shrunk(monkeypatch, lambda case: False, BIG).runs == shrink.RUNS_MOST
    assert shrunk(monkeypatch, lambda case: False, BIG, runs_most=7).runs == 7
    clock = itertools.count(0, 10)
    monkeypatch.setattr(shrink, "time", SimpleNamespace(process_time=lambda: next(clock)))
    assert shrunk(monkeypatch, lambda case: False, BIG).runs == shrink.SECONDS_MOST / 10 - 1


def test_what_a_failure_is_examined_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set()

    def noted(case: Case, *, again: bool, memory: bool) -> Examined:
        asked.add((again, memory))
        return Examined(None, None, 0.0, 0.0)

    monkeypatch.setattr(shrink, "examine", noted)
    for invariant, expected in ((AGAIN, (True, False)), (MEMORY, (False, True)), ("it", (False, False))):
        Shrinking(BIG, Broken(invariant, "so"), runs_most=3).shrink()
        assert asked == {expected}
        asked.clear()


# Replays.


@pytest.mark.parametrize("seed", range(8))
def test_a_recorder_changes_nothing(seed: int) -> None:
    case = draw(seed, ("echo", "lines"))
    outcome = run(case)
    recorder = Recorder(case)
    turns = list(recorder.turns())
    totals = recorder.reactor.totals()
    assert (totals.turns, totals.ended, dict(recorder.simulation.met)) == (outcome.turns, outcome.ended, outcome.met)
    assert len(turns) >= outcome.turns
    assert turns[-1].seconds == outcome.seconds


def test_what_a_turn_shows() -> None:
    case = Case(5, "lines", (Visitor("honest", 1),), faults={"not_ready": 1.0})
    recorder = Recorder(case)
    text = "\n".join(line for turn in itertools.islice(recorder.turns(), 40) for line in turn.lines())
    recorder.end()
    assert "turn 1  at 0.000" in text
    assert "poll: at most for ever: door r" in text
    assert "client 49153 (honest) comes" in text
    assert "client 49153 (honest) says b'" in text
    assert "row 1: OPENING wants idle -> IDLE" in text
    assert ": 1 r\n" in text
    assert "faults: not_ready 1" in text
    assert "    KEY STATE " in text and "client:49153          Shout" in text
    held = "\n".join(Replay(replace(case, faults={})).tail(100))
    assert "hears b'" in held and "row 1: received " in held and "1 request done" in held
    assert "the row of client:49153 has ended: done" in held
    assert held.endswith("\nall holds")


@pytest.mark.usefixtures("crowds")
def test_only_the_last_turns_are_shown(simulate: Callable[..., Said]) -> None:
    whole = simulate("--replay", "17", "--turns", "100000")
    assert whole.code == 0
    assert "turn 1 " in whole.out and "not shown" not in whole.out
    few = simulate("--replay", "17", "--turns", "2")
    numbers = [int(line.split()[1]) for line in few.lines if line.startswith("turn ")]
    assert len(numbers) == 2
    assert f"turns 1 to {numbers[0] - 1} are not shown (--turns 2 shows the last ones)" in few.out
    place = whole.out.index(f"turn {numbers[0]} ")
    assert few.out.endswith(whole.out[place:])
    assert few.lines[0] == "echo, seed 17: 8 clients, 32 requests, 2 faults, 1 limit"
    assert few.lines[1:4] == about(crowded(17))[1:4]


def test_turns_in_which_nothing_happens_are_one_line() -> None:
    case = Case(5, "echo", (Visitor("slow-read", 1, requests=9),), faults={"early": 0.9})
    lines = Replay(case).tail(100)
    shown = sum(line.startswith("turn ") for line in lines)
    folded = [line for line in lines if ": nothing happens, faults: early " in line]
    left_out = sum(int(line.split()[0]) for line in folded)
    assert left_out > 10
    assert shown + left_out == len(list(Recorder(case).turns()))
    assert sum(int(line.split("early ")[1]) for line in lines if "early " in line) == run(case).met["early"]


def test_a_replay_that_is_left_frees_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, end = [], Recorder.end

    def noted(recorder: Recorder) -> None:
        end(recorder)
        ended.append(len(recorder.reactor.table.rows))

    monkeypatch.setattr(Recorder, "end", noted)
    blocks = Replay(SMALL).blocks()
    next(blocks)
    assert not ended
    del blocks
    assert ended == [0]


def test_what_happens_again_at_once_is_counted() -> None:
    lines = Replay(Case(5, "echo", (Visitor("slow-read", 1, requests=9),))).tail(100)
    assert "    client 49153 (slow-read) wants NEXT (9 times)" in lines


def test_a_crowd_is_shown_in_part(simulate: Callable[..., Said]) -> None:
    case = replace(MANY, crowd=(*MANY.crowd, Visitor("hasty", 1, enters=5.0)))
    Path("crowd.json").write_text(case.to_json())
    said = simulate("--replay", "crowd.json", "--turns", "1000")
    assert "  ... and 19 clients more" in said.lines
    place = said.lines.index("    row 31: OPENING wants idle -> IDLE")
    table = said.lines[place : place + 20]
    assert any(line.split()[:2] == ["31", "IDLE"] for line in table), "who moves is shown"
    assert "  ... and 23 more" in table
    assert all(len(line) <= 120 for line in said.lines)


class Keyboard:
    """Somebody at a terminal, who types lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("builtins.input", self.input)

    def input(self, prompt: str) -> str:
        self.asked.append(prompt)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


@pytest.mark.usefixtures("crowds")
def test_step_by_step(simulate: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard = Keyboard(monkeypatch, "", "5", "q")
    said = simulate("--replay", "17", "--step")
    assert said.code == 0
    assert keyboard.asked == ["[1] ", "[2] ", "[5] "]
    assert [line.split()[1] for line in said.lines if line.startswith("turn ")] == ["1", "2", "3", "4", "5"]
    keyboard.answers = [""]
    simulate("--replay", "17", "--step")
    assert keyboard.asked[3:] == ["[1] ", "[2] "], "the end of what is typed is the end"


@pytest.mark.usefixtures("crowds")
def test_steps_where_nobody_types(simulate: Callable[..., Said]) -> None:
    stepped = simulate("--replay", "7", "--step")
    assert stepped.lines == simulate("--replay", "7", "--turns", "1000").lines


def test_a_seed_can_be_of_some_protocols(simulate: Callable[..., Said]) -> None:
    seed = next(seed for seed in range(20) if draw(seed).protocol != "echo" and len(draw(seed).crowd) < 5)
    assert simulate("--replay", str(seed), *ECHO).lines[0].startswith(f"echo, seed {seed}: ")


def test_a_replay_of_what_cannot_begin(simulate: Callable[..., Said]) -> None:
    Path("odd.json").write_text(replace(SMALL, descriptors=0).to_json())
    said = simulate("--replay", "odd.json")
    assert said.code == 1
    assert said.lines[-1].startswith("BROKEN: ") and "Too many open files" in said.lines[-1]
