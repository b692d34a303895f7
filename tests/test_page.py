"""The page's Python, as it runs in a browser: who comes, what becomes of them, what can be seen, and how time passes.

All of it is the simulation, so each of these runs is decided by its seed, and no figure here is one of a clock.
"""

import json
import subprocess
import sys
import zipfile
from collections import Counter
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from partway.engine import IDLE, Cause, Reactor
from partway.engine.row import STATES
from partway.engine.simulation import Simulation
from partway.stress.page.guests import FILM, KINDS, PAGE, SIZES, SONG
from partway.stress.page.pair import SCHEDULES, Pair
from partway.stress.page.parts import ARCHIVE, parts_of
from partway.stress.page.pyodide import NEEDED
from partway.stress.page.scene import FIRST, LEVELS, STRANGER, Scene

NAMES = [kind.name for kind in KINDS]
HONEST, DOWNLOADS, MODEMS, DRIPS, STUCK, SILENT = range(len(KINDS))


def alone(number: int, count: int, seed: int = 1, schedule: str = "fair") -> Scene:
    """A scene with guests of one kind."""
    scene = Scene(schedule, seed)
    scene.crowd.set(number, count)
    return scene


def run(scene: Scene, seconds: float) -> Scene:
    until = scene.now + seconds
    while scene.now < until:
        scene.turn(until)
    return scene


def told(scene: Scene) -> Any:
    scene.look()
    return scene.tell()


def cells(scene: Scene) -> list[tuple[str, int, int]]:
    """State, level and kind of each place; "" for one where nobody is."""
    text = scene.look()["cells"]
    assert isinstance(text, str) and len(text) % 3 == 0
    found = []
    for at in range(0, len(text), 3):
        if text[at] == " ":
            assert text[at : at + 3] == "   "
            found.append(("", 0, 0))
        else:
            found.append((STATES[ord(text[at]) - FIRST], ord(text[at + 1]) - FIRST, ord(text[at + 2]) - FIRST))
    return found


def kinds(scene: Scene) -> Counter[str]:
    return Counter(NAMES[kind] for state, _, kind in cells(scene) if state and kind != STRANGER)


# Who comes.


def test_so_many_come_as_are_asked_for_and_again_when_they_were_sent_away() -> None:
    for scene in Pair(1).scenes:
        run(scene, 3)
        there = kinds(scene)
        for kind in KINDS[1:]:
            assert 0.9 * kind.usual <= there[kind.name] <= kind.usual
        run(scene, 60)
        there = kinds(scene)
        assert all(0.6 * kind.usual <= there[kind.name] <= kind.usual for kind in KINDS[1:]), there


def test_who_is_too_many_leaves_and_who_is_missing_comes() -> None:
    scene = run(alone(SILENT, 40), 3)
    assert kinds(scene) == {"silent": 40}
    scene.crowd.set(SILENT, 5)
    run(scene, 1)
    assert kinds(scene) == {"silent": 5}
    scene.crowd.set(SILENT, 10)
    run(scene, 3)
    assert kinds(scene) == {"silent": 10}
    scene.crowd.set(SILENT, 0)
    run(scene, 20)
    assert not kinds(scene)
    assert not scene.reactor.table.rows


def test_those_on_their_way_do_not_come_where_they_are_too_many_by_then() -> None:
    scene = alone(SILENT, 100)
    scene.crowd.set(SILENT, 3)
    scene.crowd.set(SILENT, 4)
    run(scene, 5)
    assert kinds(scene) == {"silent": 4}


def test_who_is_asked_for_comes_within_two_seconds_and_not_in_a_bunch() -> None:
    """However often a slider says so on its way, and whoever has been there before."""
    scene = alone(SILENT, 0)
    for before in (0, 100):
        for count in range(before, 201):
            scene.crowd.set(SILENT, count)
        for tenth in (1, 5, 9):
            wanted = before + (200 - before) * tenth / 10
            assert kinds(run(scene, 0.2 if tenth == 1 else 0.8))["silent"] == pytest.approx(wanted, abs=15)
        assert kinds(run(scene, 0.3)) == {"silent": 200}
        scene.crowd.set(SILENT, 100)
        run(scene, 0.1)


def test_nobody_who_has_left_is_remembered() -> None:
    scene = run(alone(HONEST, 20), 10)
    assert scene.reactor.totals().accepted > 150
    assert len(scene.crowd.kind_of) < 10


@pytest.mark.parametrize("count", [-1, KINDS[DRIPS].most + 1])
def test_a_crowd_has_its_bounds(count: int) -> None:
    pair = Pair(1)
    with pytest.raises(ValueError, match=f"from 0 to {KINDS[DRIPS].most} dripping heads, and not {count}"):
        pair.crowd(DRIPS, count)
    with pytest.raises(IndexError):
        pair.crowd(len(KINDS), 1)


def test_the_honest_come_at_their_rate_whatever_becomes_of_them() -> None:
    scene = run(alone(HONEST, 20), 30)
    assert 500 < scene.reactor.totals().accepted < 700
    scene.crowd.set(HONEST, 0)
    run(scene, 1)
    accepted = scene.reactor.totals().accepted
    run(scene, 30)
    assert scene.reactor.totals().accepted == accepted


def test_both_tables_meet_the_same_honest_visitors() -> None:
    pair = Pair(7)
    for scene in pair.scenes:
        run(scene, 12)
    dues = [sorted(visit.at - visit.seconds for visit in scene.visits)[:60] for scene in pair.scenes]
    assert len(dues[0]) == 60
    assert dues[0] == pytest.approx(dues[1], abs=1e-6)


# What becomes of them.


def test_each_kind_meets_its_end() -> None:
    """By the stock limits: a head has ten seconds, silence fifteen, an answer that is not read five and thirty."""
    for number, seconds, causes in (
        (DRIPS, 14, {Cause.PEER_ERROR, Cause.REQUEST_TOO_SLOW}),
        (SILENT, 19, {Cause.IDLE_TOO_LONG}),
        (STUCK, 38, {Cause.ANSWER_TOO_SLOW}),
        (MODEMS, 60, {Cause.DONE}),
        (DOWNLOADS, 10, {Cause.DONE}),
        (HONEST, 5, {Cause.DONE}),
    ):
        scene = run(alone(number, 5), seconds)
        ended = scene.reactor.totals().ended
        assert ended and {Cause(cause) for cause in ended} <= causes, NAMES[number]
        assert sum(ended.values()) >= 5, NAMES[number]
        run(scene, 5)
        assert 0 < len(scene.reactor.table.rows) <= 6 or number == HONEST, NAMES[number]


def test_the_satisfied_have_got_it_all() -> None:
    heard: list[tuple[bytes, int, bool]] = []
    for number in (HONEST, DOWNLOADS, MODEMS):
        scene = alone(number, 4)
        left = scene.crowd._left

        def hear(number: int, guest: Any, left: Any = left) -> None:
            heard.append((guest.asks, guest.heard, guest.satisfied))
            left(number, guest)

        scene.crowd._left = hear  # type: ignore[method-assign]
        run(scene, 60)
    assert {asks for asks, _, _ in heard} == {PAGE, SONG, FILM}
    for asks, count, satisfied in heard:
        assert satisfied
        assert SIZES[asks] < count < SIZES[asks] + 500


def test_an_honest_visitor_who_gets_nothing_leaves_after_thirty_seconds() -> None:
    scene = alone(HONEST, 1)
    scene.line.bytes_a_second = 100.0
    run(scene, 60)
    assert scene.visits and not any(visit.satisfied for visit in scene.visits)
    assert all(29.9 < visit.seconds < 150 for visit in scene.visits), scene.visits
    assert told(scene)["unserved"] == len(scene.visits)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_guest_has_a_bug(schedule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Any] = []
    enter = Simulation.enter

    def watched(*words: Any, **more: Any) -> Any:
        clients.append(enter(*words, **more))
        return clients[-1]

    monkeypatch.setattr(Simulation, "enter", watched)
    scene = Scene(schedule, 3)
    for number, kind in enumerate(KINDS):
        scene.crowd.set(number, kind.usual)
    run(scene, 40)
    causes = Counter(client.reason.cause for client in clients if client.reason is not None)
    assert len(causes) > 1 and not {Cause.MACHINE_ERROR, Cause.PEER_ERROR} & set(causes), causes
    assert Cause.MACHINE_ERROR not in scene.reactor.totals().ended


def test_shortest_serves_the_honest_first() -> None:
    """What the page is there to show: beside a rush for films, over one line."""
    pair = Pair(1)
    pair.crowd(DOWNLOADS, 80)
    for scene in pair.scenes:
        run(scene, 25)
    fair, shortest = (told(scene) for scene in pair.scenes)
    assert shortest["median"] < fair["median"] / 3
    assert shortest["worst"] < fair["worst"] / 5
    assert abs(fair["sent"] - shortest["sent"]) < 0.05 * fair["sent"], "one had less to do"


def test_slow_clients_keep_nobody_waiting() -> None:
    for schedule in SCHEDULES:
        empty, full = Scene(schedule), Scene(schedule)
        for scene in (empty, full):
            scene.crowd.set(HONEST, 8)
        for number in (DRIPS, STUCK, SILENT):
            full.crowd.set(number, KINDS[number].most)
        run(empty, 20)
        run(full, 20)
        assert told(full)["median"] < 1.2 * told(empty)["median"]


# What can be seen.


def test_a_level_runs_down_and_a_row_keeps_its_place() -> None:
    scene = run(alone(DRIPS, 6), 2.5)
    places = [place for place, (state, _, _) in enumerate(cells(scene)) if state == "READING"]
    assert len(places) == 6
    levels = []
    for _ in range(7):
        seen = cells(scene)
        assert [seen[place][0] for place in places] == ["READING"] * 6
        assert all(seen[place][2] == DRIPS for place in places)
        levels.append([seen[place][1] for place in places])
        run(scene, 1)
    for before, after in pairwise(levels):
        assert all(4 <= one - other <= 8 for one, other in zip(before, after, strict=True)), levels
    assert all(level <= LEVELS for level in levels[0])


def test_a_place_is_empty_when_its_row_has_gone_and_is_taken_again() -> None:
    scene = run(alone(SILENT, 3), 3)
    assert [state for state, _, _ in cells(scene)] == ["IDLE"] * 3
    scene.crowd.set(SILENT, 0)
    run(scene, 1)
    assert [state for state, _, _ in cells(scene)] == [""] * 3
    scene.crowd.set(DRIPS, 2)
    run(scene, 3)
    assert [state for state, _, _ in cells(scene)] == ["READING", "READING", ""]


def test_a_row_without_a_deadline_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = run(alone(SILENT, 1), 3)
    (row,) = scene.reactor.table.rows.values()
    cells(scene)
    monkeypatch.setattr(type(row), "deadline", lambda row: float("inf"))
    assert cells(scene)[0][:2] == ("IDLE", LEVELS)
    assert told(scene)["next"] == []


def test_a_row_whose_guest_has_gone_before_it_was_seen_is_a_strangers() -> None:
    scene = alone(SILENT, 1)
    run(scene, 3)
    scene.crowd.kind_of.clear()
    assert cells(scene)[0][2] == STRANGER


def test_each_visit_is_told_once() -> None:
    scene = alone(HONEST, 20)
    heard: list[Any] = []
    for _ in range(30):
        run(scene, 0.1)
        heard += scene.look()["visits"]  # type: ignore[operator]
    assert len(heard) == len(scene.visits) > 40
    assert [at for at, _, _ in heard] == sorted(at for at, _, _ in heard)
    assert scene.look()["visits"] == []


def test_figures_are_of_the_last_twenty_seconds() -> None:
    scene = run(alone(HONEST, 10), 30)
    assert 150 < told(scene)["visits"] < 250
    assert told(scene)["median"] < told(scene)["worst"]
    scene.crowd.set(HONEST, 0)
    run(scene, 25)
    scene.turn(scene.now + 1)
    assert (told(scene)["visits"], told(scene)["median"], told(scene)["worst"]) == (0, None, None)


def test_what_people_read_is_the_tables_own_report() -> None:
    scene = run(Pair(1).scenes[0], 5)
    said = told(scene)
    totals = scene.reactor.totals()
    assert (said["rows"], said["states"], said["accepted"]) == (totals.rows, totals.states, totals.accepted)
    assert len(said["next"]) == 8
    left = [row["deadline_in"] for row in said["next"]]
    assert left == sorted(left)
    least = min(row.deadline_in for row in scene.reactor.rows() if row.deadline_in is not None)
    assert left[0] == pytest.approx(least)
    json.dumps(said)


def test_a_row_that_was_chosen_is_told_of() -> None:
    scene = run(alone(DRIPS, 2), 4)
    scene.look()
    assert scene.tell(-1)["asked"] is None
    assert scene.tell(99)["asked"] is None
    row: Any = scene.tell(1)["asked"]
    assert (row["place"], row["kind"], row["state"], row["interest"]) == (1, DRIPS, "READING", "r")
    assert row["machine"] == f"{row['received']} bytes of a head"
    scene.reactor.kill(row["key"])
    run(scene, 0.1)
    row = scene.tell(1)["asked"]  # it was not looked at since
    assert row["state"] == "CLOSED" and "peer" not in row
    scene.look()
    assert scene.tell(1)["asked"] is None


# Both, in one time.


def test_a_run_is_decided_by_its_seed() -> None:
    def seen(seed: int) -> list[str]:
        pair = Pair(seed, clock=lambda: 0.0)
        found = []
        for _ in range(60):
            pair.advance(0.05, 1)
            found.append(pair.look(always=True))
        return found

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)


def test_both_come_to_the_same_time() -> None:
    pair = Pair(1, clock=lambda: 0.0)
    for number in range(1, 100):
        assert pair.advance(0.03, 1) == pytest.approx(0.03)
        assert pair.until == pytest.approx(0.03 * number)
        assert all(pair.until <= scene.now < pair.until + 2 for scene in pair.scenes)


def test_what_there_is_no_time_for_is_not_caught_up_with() -> None:
    times = iter(range(10**6))
    pair = Pair(1, clock=lambda: float(next(times)))
    passed = [pair.advance(10.0, 3) for _ in range(5)]
    assert all(0 <= one < 1 for one in passed), passed
    assert pair.until == pytest.approx(sum(passed))
    turns = [scene.reactor.totals().turns for scene in pair.scenes]
    assert sum(turns) <= 5 * 3, "it went on after its time"
    assert min(turns) >= 4, "one of them goes ahead"


def test_one_turn_at_each() -> None:
    pair = Pair(1)
    for number in range(1, 20):
        pair.turn()
        assert [scene.reactor.totals().turns for scene in pair.scenes] == [number] * 2
    assert 0 < pair.until <= min(scene.now for scene in pair.scenes)


def test_people_are_told_a_few_times_a_second_and_whenever_they_ask() -> None:
    pair = Pair(1, clock=lambda: 0.0)
    with_words = 0
    for _ in range(100):
        pair.advance(0.02, 1)
        with_words += "told" in json.loads(pair.look())[0]
    assert 7 <= with_words <= 9
    assert "told" not in json.loads(pair.look())[0]
    pair.advance(0.3, 1)
    seen = json.loads(pair.look((0, -1)))
    assert [one["told"]["asked"] is None for one in seen] == [False, True]
    assert "told" in json.loads(pair.look(always=True))[1]


def test_the_legend_names_what_the_numbers_mean() -> None:
    legend = json.loads(Pair.legend())
    assert legend["schedules"] == ["fair", "shortest"]
    assert legend["states"] == [state for state in STATES if state != "CLOSED"]
    assert [kind["name"] for kind in legend["kinds"]] == NAMES
    assert all(0 < kind["usual"] <= kind["most"] for kind in [*legend["kinds"], legend["line"]])
    assert Pair(1).scenes[0].line.bytes_a_second == 1e6 * legend["line"]["usual"]


@pytest.mark.parametrize("megabytes", [0, -1, float("nan")])
def test_no_line_is_as_thin_as_that(megabytes: float) -> None:
    with pytest.raises(ValueError, match="a line has more than"):
        Pair(1).line(megabytes)


def test_a_thinner_line_carries_less() -> None:
    sent = []
    for megabytes in (1, 20):
        pair = Pair(1)
        pair.line(megabytes)
        run(pair.scenes[0], 10)
        sent.append(told(pair.scenes[0])["sent"])
    assert 7 <= sent[0] / 1e6 < 15  # one a second, and what a turn overruns by
    assert sent[1] > 5 * sent[0]


def test_while_a_server_is_busy_the_world_goes_on() -> None:
    simulation = Simulation(1, delay_seconds=(0.01, 0.01))
    heard: list[tuple[float, bytes]] = []

    class Busy:
        def feed(self, data: bytes) -> None:
            heard.append((simulation.now(), data))
            if data == b"first":
                simulation.spend(1.0)

        def step(self) -> Any:
            return IDLE

    reactor = Reactor(simulation)
    reactor.listen("server:7", lambda row: Busy())
    peer = simulation.dial("server:7")
    peer.say(b"first")
    marks: list[float] = []
    simulation.after(0.5, lambda: (marks.append(simulation.now()), peer.say(b"second")))  # type: ignore[func-returns-value]
    began = simulation.now()
    simulation.run(reactor, 2.0)
    (first, _), (second, data) = heard
    assert data == b"second"
    assert marks == [began + 0.5], "the world stood still meanwhile"
    assert first + 1.0 <= second < first + 1.001


# In a browser there is nothing else.


def test_the_archive_is_whole(tmp_path: Path) -> None:
    """Python without its own site, without threads and sockets, runs the page from the archive alone."""
    for name in NEEDED:
        (tmp_path / name).write_bytes(b"x")
    parts = parts_of(tmp_path)
    assert set(parts) > {"index.html", "page.css", "page.js", "worker.js", ARCHIVE, "pyodide/pyodide.mjs"}
    assert parts_of(tmp_path)[ARCHIVE] == parts[ARCHIVE], "the same files, another archive"
    with zipfile.ZipFile(BytesIO(parts[ARCHIVE])) as archive:
        archive.extractall(tmp_path / "server")
    script = (
        "import sys\n"
        "for name in ('socket', 'select', 'selectors', 'subprocess', 'httptools'):\n"
        "    sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(tmp_path / 'server')!r})\n"
        "from partway.stress.page.pair import Pair\n"
        "pair = Pair(1)\n"
        "for _ in range(40): pair.advance(0.1, 100)\n"
        "print(pair.look(always=True))\n"
    )
    done = subprocess.run([sys.executable, "-S", "-I", "-c", script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["told"]["visits"] > 10
