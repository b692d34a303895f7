"""The report as a page: what it shows, that it needs nothing else, and what it does with what is missing."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from partway.stress.attack.crowd import NOTHING
from partway.stress.attack.page import page_of
from partway.stress.attack.survival import survivors


def crowd(**figures: Any) -> dict[str, Any]:
    return {**NOTHING, **figures}


def probe(**figures: Any) -> dict[str, Any]:
    return {"visits": 0, "errors": 0, "failures": {}, "p50": None, "p99": None, "p99.9": None, "max": None, **figures}


def report(**parts: Any) -> dict[str, Any]:
    silent = crowd(started=4, outcomes={"cut off": 3}, survivors=1, lived=[1.0, 1.0, 2.0], ages=[3.0])
    churn = crowd(started=9, outcomes={"left": 9}, lived=[0.1] * 9, returns=True)
    times = {"p50": 0.001, "p99": 0.002, "p99.9": 0.003, "max": 0.25}
    samples = [
        {"at": at / 2, "clients": {"silent": at, "churn": 1}, "cpu": at / 10, "memory": 2**24, "descriptors": 9}
        for at in range(6)
    ]
    return {
        "target": "http://127.0.0.1:8000/?a=<b>",
        "date": "2026-11-23T01:02:03+00:00",
        "seconds": {"calm": 1.0, "attack": 2.0},
        "interrupted": False,
        "lasted": 2.0,
        "crowds": {"silent": silent, "churn": churn},
        "probe": {
            "before": probe(visits=2, **times),
            "during": probe(visits=4, errors=1, failures={"refused": 1}, **times),
        },
        "visits": [[0.0, 0.001, "ok"], [0.5, 0.0, "ok"], [1.5, 0.25, "ok"], [2.0, 0.0, "refused"]],
        "samples": samples,
        **parts,
    }


@pytest.fixture(scope="module", autouse=True)
def fonts() -> None:
    """The plotting library keeps its fonts open from the first picture on."""
    page_of(report())


def test_a_whole_one() -> None:
    page = page_of(report())
    for said in (
        "silent, churn against http://127.0.0.1:8000/?a=&lt;b&gt;",
        "2026-11-23 01:02:03 UTC: 2 s after 1 s of calm",
        "3 cut off, 1 still there",
        "9 left",
        '<td class="number">1.0 s</td>',
        '<span class="worse">1</span>',
        "Failed: 1 refused.",
        "250 ms",
    ):
        assert said in page, said
    for name in ("visits", "failed", "p50", "p99", "p99.9", "max"):
        assert f'<tr><th scope="row">{name}</th><td class="number">' in page, "each figure has a line of its own"
    assert page.count("<figure>") == page.count("<svg") == 4
    assert "<b>" not in page


def test_it_needs_no_other_file() -> None:
    page = page_of(report())
    for word in ("<script", "src=", "@import", "url(http", 'href="http'):
        assert word not in page, word


def test_its_pictures_are_well_formed_and_no_two_have_the_same_names() -> None:
    page = page_of(report())
    seen: set[str] = set()
    for part in page.split("<svg")[1:]:
        svg = ElementTree.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>")
        names = [found for element in svg.iter() if (found := element.get("id"))]
        assert len(set(names)) == len(names) and not seen & set(names)
        seen.update(names)
        assert f'id="{svg.get("aria-labelledby")}"' in page
        for element in svg.iter():
            reference = element.get("href") or ""
            assert not reference or reference.removeprefix("#") in names


def test_the_same_report_is_the_same_page() -> None:
    assert page_of(report()) == page_of(report())


def test_what_is_not_known_is_not_shown() -> None:
    samples = [{"at": 0.0, "clients": {"churn": 1}}]
    crowds = {"churn": crowd(started=1, returns=True)}
    page = page_of(report(crowds=crowds, samples=samples, visits=[], interrupted=True, lasted=1.25))
    assert page.count("<figure>") == 1, "latency alone: nobody stays, and of the server nothing is known"
    assert ", interrupted after 1.2 s" in page


def test_many_kinds_have_a_short_title() -> None:
    kinds = {name: crowd(started=1, lived=[1.0], unable="out of <ports>") for name in "abcd"}
    page = page_of(report(crowds=kinds))
    assert "<h1>A mixed attack against" in page
    assert "no more could begin: out of &lt;ports&gt;" in page


@pytest.mark.parametrize(
    ("lived", "ages", "times", "parts"),
    [
        ([], [], [0.0], [1.0]),
        ([1.0, 2.0], [], [0.0, 1.0, 2.0], [1.0, 0.5, 0.0]),
        ([1.0], [5.0], [0.0, 1.0, 5.0], [1.0, 0.5, 0.5]),
        ([2.0], [1.0], [0.0, 1.0, 2.0], [1.0, 1.0, 0.0]),
        ([1.0, 1.0], [1.0, 3.0], [0.0, 1.0, 3.0], [1.0, 0.5, 0.5]),
    ],
)
def test_survivors(lived: list[float], ages: list[float], times: list[float], parts: list[float]) -> None:
    """Who was still there when the time was over is known to live longer, and no more than that."""
    assert survivors(lived, ages) == (times, pytest.approx(parts))
