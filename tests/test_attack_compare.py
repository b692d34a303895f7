"""Two reports side by side, and what is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from partway.protocols.command import main
from partway.stress.attack.survival import half_gone
from test_attack_page import crowd, report


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    one, other = report(), report()
    other["probe"]["during"] |= {"p50": 0.003, "errors": 7}
    other["crowds"] = {
        "silent": crowd(started=8, survivors=8, ages=[5.0] * 8),
        "no-read": crowd(started=1, lived=[2.0]),
    }
    other["samples"] = [{**sample, "memory": 2**25} for sample in other["samples"]]
    paths = str(tmp_path / "one"), str(tmp_path / "two")
    for path, content in zip(paths, (one, other), strict=True):
        Path(path).write_text(json.dumps(content))
    return paths


def test_side_by_side(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["stress", "--compare", *files]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [tuple(cell.strip() for cell in line if cell.strip()) for line in lines]
    assert rows[0] == files
    beside = rows.index(("an honest client beside them",))
    assert rows[beside + 1 : beside + 4] == [
        ("visits", "4", "4"),
        ("failed", "1", "7"),
        ("p50", "1 ms", "3 ms", "3.00 x"),
    ]
    silent = rows.index(("silent",))
    assert rows[silent + 1 : silent + 4] == [
        ("clients", "4", "8"),
        ("still there", "1", "8"),
        ("half gone within", "1 s", "–"),
    ]
    deaf = rows.index(("no-read",))
    assert rows[deaf + 1 : deaf + 4] == [
        ("clients", "–", "1"),
        ("still there", "–", "0"),
        ("half gone within", "–", "2 s"),
    ]
    churn = rows.index(("churn",))
    assert rows[churn + 3] != ("half gone within", "–", "–"), "who goes by himself is no survivor"
    assert rows[-2:] == [
        ("CPU time", "500 ms", "500 ms", "1.00 x"),
        ("memory, at most", "16.0 MiB", "32.0 MiB", "2.00 x"),
    ]


def test_of_a_server_that_is_elsewhere_nothing_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one"
    path.write_text(json.dumps(report(samples=[{"at": 0.0, "clients": {}}])))
    assert main(["stress", "--compare", str(path), str(path)]) == 0
    assert "the server" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "no report of partway stress"),
        ('{"target": "x"}', "no report of partway stress"),
        (json.dumps(report(probe={})), "no report of partway stress"),
        (json.dumps(report(crowds={"silent": {}})), "no report of partway stress"),
        (json.dumps(report(samples=[1])), "no report of partway stress"),
    ],
)
def test_what_is_no_report(content: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SystemExit) as ended:
        main(["stress", "--compare", str(path), str(path)])
    said: Any = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == "" and said.err.count("\n") == 1 and why in said.err


def test_one_file_is_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stress", "--compare", str(tmp_path)])
    assert ended.value.code == 2 and "expected 2 arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lived", "ages", "seconds"),
    [([], [], None), ([1.0, 2.0], [], 1.0), ([1.0], [9.0, 9.0], None), ([1.0, 3.0], [2.0], 3.0)],
)
def test_half_gone(lived: list[float], ages: list[float], seconds: float | None) -> None:
    assert half_gone(lived, ages) == seconds
