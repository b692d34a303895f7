"""The page in a real browser: Python comes up in it, both tables move, and keys, sliders and a touch do what they say.

What the tables do is tested where it is decided by a seed (`test_page.py`); here, that it is all there to be seen.
`PARTWAY_SCREENSHOTS` names a folder for pictures. Needs Chromium, and Pyodide (`PARTWAY_PYODIDE`).
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from partway.stress.page.guests import KINDS
from partway.stress.page.pyodide import NEEDED
from real import client, pyodide
from test_command import Served, served

pytestmark = pytest.mark.timeout(120)

PHONE = (360, 780)
CLOCK = "parseFloat(document.getElementById('clock').textContent)"
COUNTS = "[...document.querySelectorAll('.states')].map((list) => parseInt(/([0-9]+) idle/.exec(list.textContent)[1]))"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("page", "--no-open", "--pyodide", str(pyodide())) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all tests: to start another takes longer than to start Python in it."""
    with browser(client("chromium")) as chromium:
        yield chromium


@pytest.fixture
def empty(chromium: Browser) -> Browser:
    """An empty page, which knows nothing of the ones before."""
    chromium.renew()
    return chromium


@pytest.fixture
def page(empty: Browser, server: Served) -> Browser:
    """A window with the page, whose tables have begun to move."""
    empty.window(1280, 900)
    return shown(empty, server)


def shown(page: Browser, server: Served) -> Browser:
    page.open(server.addresses[0])
    page.wait(f"{CLOCK} > 0.5")
    return page


def keep(page: Browser, name: str) -> None:
    if folder := os.environ.get("PARTWAY_SCREENSHOTS"):
        Path(folder, f"page-{name}.png").write_bytes(page.picture(whole=True))


def test_both_tables_are_there_and_nothing_comes_from_elsewhere(page: Browser, server: Served) -> None:
    page.wait("[...document.querySelectorAll('.median')].every((one) => / m?s$/.test(one.textContent))")
    assert page.find("[...document.querySelectorAll('main h2')].map((one) => one.textContent)") == ["fair", "shortest"]
    assert page.find("[...document.querySelectorAll('#loading, #failed')].every((one) => one.hidden)")
    page.wait(f"{COUNTS}.every((count) => count === {KINDS[-1].usual})")
    rows = page.find("[...document.querySelectorAll('tbody')].map((body) => body.rows.length)")
    assert rows == [8, 8]
    words = page.find("document.querySelector('tbody tr').innerText.trim().split(/\\s+/)")
    assert words[0].isdigit() and len(words) >= 6
    assert "requests" not in page.find("document.querySelector('.ended').textContent")
    assert page.complaints() == []
    assert len(page.asked()) >= 6
    assert all(url.startswith(server.addresses[0]) for url in page.asked())
    keep(page, "wide")


DRAWN = """(() => {
  const found = (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const colours = {};
    for (let at = 0; at < data.length; at += 4) {
      const name = data.slice(at, at + 3).join();
      colours[name] = (colours[name] || 0) + 1;
    }
    return Object.entries(colours).filter(([, count]) => count > 200).map(([name]) => name);
  };
  return [...document.querySelectorAll(".cells")].map(found);
})()"""
WRITING, READING = "0,114,178", "230,159,0"


def test_cells_are_drawn_in_the_colours_of_their_states(page: Browser) -> None:
    for state in ("reading", "writing"):
        there = f"/[1-9][0-9]* {state}/.test(list.textContent)"
        page.wait(f"[...document.querySelectorAll('.states')].every((list) => {there})")
    page.press("p")
    page.wait("/paused/.test(document.getElementById('clock').textContent)")
    for colours in page.find(DRAWN):
        assert {WRITING, READING} <= set(colours)


def test_keys(page: Browser) -> None:
    """P stops the time, a point takes one turn, arrows choose a row, which is told of in words."""
    page.press("p")
    page.wait("/paused/.test(document.getElementById('clock').textContent)")
    assert page.find("document.getElementById('pause').textContent") == "Go on"
    stopped = page.find(CLOCK)
    turns = "[...document.querySelectorAll('.ended')].map((one) => parseInt(/([0-9]+) turns/.exec(one.textContent)[1]))"
    before = page.find(turns)
    page.press(".")
    page.wait(f"{turns}[0] > {before[0]}")
    assert page.find(turns) == [count + 1 for count in before]
    assert 0 <= page.find(CLOCK) - stopped < 1
    page.find("document.getElementById('slide-line').focus()")
    page.press("Tab")
    assert page.find("document.activeElement.className") == "cells"
    page.press("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft")
    said = page.wait("/^Row [0-9]+: [a-z]+ for .*poller/.test(document.querySelector('.asked').textContent)")
    assert said is True
    assert page.find("document.querySelectorAll('.asked')[1].textContent").startswith("Choose a row")
    keep(page, "chosen")
    page.press("p")
    page.wait(f"{CLOCK} > {stopped} + 1")


def test_the_keyboard_reaches_everything(page: Browser) -> None:
    reached = []
    for _ in range(20):
        page.press("Tab")
        reached.append(page.find("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)"))
    for name in ("pause", "turn", "A rush for films", *(f"slide-{kind.name}" for kind in KINDS), "slide-line"):
        assert name in reached, reached
    assert reached.count("The next deadlines") == 2
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.find("document.getElementById('pause').focus()")
    page.press("Tab")
    assert page.find(outline) == "solid"


def test_a_slider_changes_the_crowd(page: Browser) -> None:
    page.find("document.getElementById('slide-silent').focus()")
    page.press(*["ArrowLeft"] * 5)
    wanted = KINDS[-1].usual - 5
    assert page.find("document.getElementById('slide-silent').parentNode.textContent") == f"{wanted}silent"
    page.wait(f"{COUNTS}.every((count) => count === {wanted})")


def test_a_crowd_is_chosen_at_once(page: Browser) -> None:
    page.find("document.querySelector('[data-crowd=rush]').click()")
    values = page.find("[...document.querySelectorAll('#sliders input')].map((one) => Number(one.value))")
    assert values == [12, 80, 40, 0, 0, 0, 10]
    page.wait(f"{COUNTS}.every((count) => count === 0)")
    page.find("document.querySelector('[data-crowd=usual]').click()")
    values = page.find("[...document.querySelectorAll('#sliders input')].map((one) => Number(one.value))")
    assert values == [*(kind.usual for kind in KINDS), 10]


def test_a_touch_chooses_a_row_and_escape_gives_it_up(page: Browser) -> None:
    page.find("document.querySelectorAll('.cells')[1].scrollIntoView()")
    box = page.find("document.querySelectorAll('.cells')[1].getBoundingClientRect().toJSON()")
    page.click(box["x"] + 10, box["y"] + 10)
    asked = "document.querySelectorAll('.asked')[1].textContent"
    page.wait(f"/^(Row [0-9]+: |That row)/.test({asked})")
    page.press("Escape")
    page.wait(f"{asked}.startsWith('Choose a row')")


@pytest.mark.parametrize(("name", "dark"), [("phone", False), ("phone-dark", True)])
def test_on_a_phone(empty: Browser, server: Served, name: str, dark: bool) -> None:
    """Nothing is wider than the window, what is touched is large enough, and both tables are near each other."""
    empty.window(*PHONE, dark=dark, mobile=True, scale=2)
    page = shown(empty, server)
    page.wait(f"{COUNTS}.every((count) => count > 20)")
    assert page.find("document.documentElement.scrollWidth") == PHONE[0]
    heights = page.find("[...document.querySelectorAll('button')].map((one) => one.offsetHeight)")
    assert min(heights) >= 36
    tops = page.find("[...document.querySelectorAll('main section')].map((one) => one.offsetTop)")
    assert tops[1] - tops[0] < PHONE[1]
    paper = page.find("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(251, 250, 246)")
    sizes = page.find(
        "[...document.querySelectorAll('main *')].map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12
    assert page.complaints() == []
    keep(page, name)


@pytest.mark.parametrize(("words", "seed"), [("?seed=7", 7), ("?seed=nonsense", 1)])
def test_a_run_has_a_seed(empty: Browser, server: Served, words: str, seed: int) -> None:
    empty.open(f"{server.addresses[0]}{words}")
    empty.wait(f"{CLOCK} > 0")
    assert empty.find("document.getElementById('clock').title") == f"seed {seed}"


HIDE = """(() => {
  Object.defineProperty(document, "hidden", { value: HIDDEN, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
})()"""


STILL = f"""(async () => {{
  const was = {CLOCK};
  await new Promise((done) => setTimeout(done, 500));
  return {CLOCK} === was;
}})()"""


def test_in_a_tab_that_nobody_looks_at_no_time_passes(empty: Browser, server: Served) -> None:
    """Neither where it was opened behind another, nor once it is behind another."""
    empty.ask("Page.addScriptToEvaluateOnNewDocument", source=HIDE.replace("HIDDEN", "true"))
    empty.open(server.addresses[0])
    empty.wait(STILL)
    assert empty.find(CLOCK) == 0
    empty.find(HIDE.replace("HIDDEN", "false"))
    empty.wait(f"{CLOCK} > 0.5")
    empty.find(HIDE.replace("HIDDEN", "true"))
    empty.wait(STILL)


def test_what_goes_wrong_later_is_said(page: Browser) -> None:
    page.find(
        "(() => { const slide = document.getElementById('slide-silent'); slide.max = 100000; slide.value = 100000; "
        "slide.dispatchEvent(new Event('input')); })()"
    )
    words = page.wait("!document.getElementById('failed').hidden && document.getElementById('failed').textContent")
    assert words.startswith("The tables have stopped: ") and "silent, and not 100000" in words
    page.wait(STILL)
    assert page.find("document.getElementById('controls').hidden")
    page.press("p", ".")
    assert "paused" not in page.find("document.getElementById('clock').textContent")


@pytest.mark.parametrize("broken", ["pyodide.mjs", "python_stdlib.zip"])
def test_python_that_does_not_come_up(empty: Browser, tmp_path: Path, broken: str) -> None:
    """The page says so, instead of waiting for ever."""
    for name in NEEDED:
        shutil.copy(pyodide() / name, tmp_path)
    (tmp_path / broken).write_text("this is no such file")
    with served("page", "--no-open", "--pyodide", str(tmp_path)) as server:
        empty.open(server.addresses[0])
        words = empty.wait("!document.getElementById('failed').hidden && document.getElementById('failed').textContent")
        assert words.startswith("Python did not come up: ") and len(words) > 30
        assert empty.find("document.getElementById('loading').hidden")
