"""The list of mutations is kept in step with the engine, and the hunt for them is itself tried out.

The whole hunt takes minutes, and CI runs it as a script; here only what a change to the engine could silently break.
"""

import ast
from pathlib import Path

import mutations
import pytest
from mutations import MUTATIONS, PARTS, ROOT, SOUND, Finding, Hunt, Mutation, copied, hunt, mutated, tell

QUICK = (
    "byte lost after a short write",
    "row leaked by its descriptor",
    "sleeps past the deadline",
    "end swallowed",
)
EVERY_FILE = {
    *(
        "offload",
        "stream",
        "stream_row",
        "table",
        "timers",
        "patience",
        "ending",
        "listener",
        "reactor",
        "buffers",
        "schedule",
        "freeze",
        "datagram",
        "datagram_row",
        "endpoint",
        "outbox",
    ),
}
NAMES = [mutation.name for mutation in MUTATIONS]
BY_NAME = dict(zip(NAMES, MUTATIONS, strict=True))
ENDLESS = Mutation(
    "a turn without an end",
    "engine/reactor.py",
    "        table.totals.turns += 1\n",
    "        while True:\n            pass\n",
    "for the test of what cannot be caught in another way",
)


EVERYWHERE = Mutation(
    "never forgotten",
    "engine/table.py",
    "        del self.rows[row.key]\n",
    "        self.rows[-row.key] = self.rows.pop(row.key)\n",
    "for the test of an engine that breaks at every seed, whatever the protocol",
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_its_place_is_there_once_and_it_compiles(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text()
    changed = mutated(source, mutation)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_a_place_that_is_not_there_once_is_refused() -> None:
    mutation = SOUND._replace(old="x = 1\n", new="x = 2\n")
    assert mutated("x = 1\ny = 1\n", mutation) == "x = 2\ny = 1\n"
    for source in ("", "x = 1\nx = 1\n"):
        with pytest.raises(ValueError, match="its place"):
            mutated(source, mutation)


def test_no_file_of_the_engine_that_moves_rows_is_left_out() -> None:
    assert {Path(mutation.file).stem for mutation in MUTATIONS} == EVERY_FILE
    assert len(set(NAMES)) == len(NAMES) >= 28


def test_a_copy_has_all_of_the_source_and_its_changes_stay_there() -> None:
    with copied() as folder:
        for part in PARTS:
            for path in sorted((ROOT / part).rglob("*.py")):
                assert (folder / "partway" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
        (folder / "partway" / "engine" / "limits.py").write_text("")
    assert not folder.exists()
    assert (ROOT / "engine" / "limits.py").read_text()


@pytest.mark.parametrize("name", QUICK)
def test_it_is_found(name: str) -> None:
    before = (ROOT / BY_NAME[name].file).read_bytes()
    assert hunt(BY_NAME[name], range(40), run_seconds=3.0).found
    assert (ROOT / BY_NAME[name].file).read_bytes() == before


def test_nothing_is_found_in_the_engine_as_it_is() -> None:
    assert hunt(SOUND, range(20), 20).found == []


def test_seeds_are_those_that_are_asked_for() -> None:
    mutation = BY_NAME["row leaked by its descriptor"]
    assert [one.seed for one in hunt(mutation, (3, 1), 2).found] == [3, 1]


def test_a_run_that_does_not_end_is_found_by_the_time_it_takes() -> None:
    (found,) = hunt(ENDLESS, range(1), run_seconds=0.2).found
    assert found.invariant == "a run without an end"


def test_a_misprint_is_no_bug_that_was_found() -> None:
    with pytest.raises(RuntimeError, match="misprint"):
        hunt(ENDLESS._replace(new="        no_such_name\n"), range(1))


def test_what_is_not_found_is_said_and_is_a_failure() -> None:
    said: list[str] = []
    harmless = ENDLESS._replace(name="harmless", new="        table.totals.turns = table.totals.turns + 1\n")
    assert not tell([harmless, EVERYWHERE], 2, 1, said.append)
    lines = [line for line in said if line.startswith(("| harmless", "| never forgotten"))]
    assert "**not found**" in lines[0]
    assert "| 1 |" in lines[1]
    assert any(line.startswith("\n1 of 2 found") for line in said)


def test_what_breaks_by_itself_is_left_out_and_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "SOUND", EVERYWHERE)
    said: list[str] = []
    assert not tell([EVERYWHERE], 2, 1, said.append)
    assert sum("which is left out" in line for line in said) == 2
    assert any("**not found**" in line for line in said)


@pytest.mark.parametrize(("sound", "found", "passes"), [(False, True, False), (True, False, False), (True, True, True)])
def test_it_passes_where_the_engine_holds_and_all_are_found(
    monkeypatch: pytest.MonkeyPatch, sound: bool, found: bool, passes: bool
) -> None:
    sources = set()

    def hunted(mutation: Mutation, seeds: object, most: int = 1, *, source: Path) -> Hunt:
        sources.add(source)
        finds = not sound if mutation is SOUND else found
        return Hunt([Finding(3, "an invariant", "where")] if finds else [], 1.0)

    monkeypatch.setattr(mutations, "hunt", hunted)
    assert tell(MUTATIONS[:2], 5, 1, lambda line: None) is passes
    assert len(sources) == 1 and not sources & {ROOT}, "all are of one state of the tree, whoever edits it meanwhile"
