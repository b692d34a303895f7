"""A folder as a page: what is on it, in which order, in which steps; and that no name on it is ever more than a name.

Every page is read back as a browser does, by a parser; a link is right when it decodes to the bytes of a file that is
there. A page is also read for what may not be on it: a tag, an attribute or an address that the listing didn't mean.
"""

import os
import pickle
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from unicodedata import bidirectional, category
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.engine import NEXT, Cause, Reason
from partway.engine.freeze import freeze, thaw
from partway.protocols.http import Folder, Http, Server, listing, listing_page
from partway.protocols.http.listing import Listing
from partway.protocols.open_file import ChangedError
from worlds import Rig

FIXED = settings(max_examples=80)
A_DAY = 86_400
NOON = 1_795_348_800  # 2026-11-22 12:00

ALLOWED = {
    "html": {"lang"},
    "meta": {"charset", "name", "content"},
    "title": set(),
    "style": set(),
    "main": set(),
    "nav": {"aria-label"},
    "h1": set(),
    "p": set(),
    "a": {"href", "class", "aria-label"},
    "span": {"aria-current", "aria-hidden"},
    "bdi": set(),
    "table": set(),
    "thead": set(),
    "tbody": set(),
    "tr": set(),
    "th": {"scope", "aria-sort"},
    "td": {"title"},
    "time": {"datetime"},
}


class Page(HTMLParser):
    """A page, read back: its rows, headings, crumbs and text; and that it holds nothing but what is allowed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.rows: list[Row] = []
        self.headings: list[tuple[str, str, str]] = []  # text, link, aria-sort
        self.crumbs: list[tuple[str, str]] = []  # text, link
        self.up: str | None = None
        self.count = ""
        self.open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attributes if value is not None}
        assert tag in ALLOWED and len(found) == len(attributes) and set(found) <= ALLOWED[tag], (tag, attributes)
        self.tags.append((tag, found))
        self.open.append(tag)
        if tag == "tr" and "tbody" in self.open:
            self.rows.append(Row())
        elif tag == "td":
            self.rows[-1].cells.append("")
            self.rows[-1].exact = found.get("title", "")
        elif tag == "time":
            self.rows[-1].moment = found["datetime"]
        elif tag == "th":
            self.headings.append(("", "", found.get("aria-sort", "")))
        elif tag == "a":
            self._link(found)
        elif found.get("aria-current"):
            self.crumbs.append(("", ""))

    def _link(self, found: dict[str, str]) -> None:
        if found.get("class") == "up":
            self.up = found["href"]
        elif "h1" in self.open:
            self.crumbs.append(("", found["href"]))
        elif "tbody" in self.open:
            self.rows[-1].link = found["href"]
        else:
            self.headings[-1] = ("", found["href"], self.headings[-1][2])

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.open, f"</{tag}> ends nothing"
        while self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        last = next((tag for tag in reversed(self.open) if tag not in ("bdi", "meta")), "")
        self.texts[last] = self.texts.get(last, "") + data
        if self.open[-2:] == ["p", "span"]:
            self.count += data
        elif "tbody" in self.open and self.rows:
            self.rows[-1].cells[-1:] = [cell + data for cell in self.rows[-1].cells[-1:]]
        elif "th" in self.open:
            self.headings[-1] = (self.headings[-1][0] + data, *self.headings[-1][1:])
        elif "h1" in self.open and last in ("a", "span"):
            self.crumbs[-1] = (self.crumbs[-1][0] + data, self.crumbs[-1][1])

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_pi = unknown_decl = handle_comment

    @property
    def names(self) -> list[bytes]:
        """What the links lead to, seen from the folder, with the slash of a folder."""
        assert all(re.fullmatch(r"\./[A-Za-z0-9_.~%-]+/?", row.link) for row in self.rows)
        return [unquote_to_bytes(row.link.removeprefix("./")) for row in self.rows]


class Row:
    def __init__(self) -> None:
        self.link = ""
        self.cells: list[str] = []  # name, date, size
        self.exact = ""
        self.moment = ""

    @property
    def name(self) -> str:
        return self.cells[0]

    @property
    def date(self) -> str:
        return self.cells[1].strip()

    @property
    def size(self) -> str:
        return self.cells[2].strip()


def listed(
    folder: Path | bytes, query: bytes = b"", *, name: bytes = b"/", hidden: bool = False, most: int = 10_000
) -> Listing:
    return Listing(os.open(folder, os.O_RDONLY), os.fsdecode(folder), name, query, hidden, most)


def pieces_of(body: Listing) -> list[bytes]:
    """All that is left of a body, which is closed."""
    pieces = []
    try:
        while (want := body.step()) is not NEXT:
            assert isinstance(want, bytes)
            pieces.append(want)
    finally:
        body.close()
    return [piece for piece in pieces if piece]


def page_of(
    folder: Path | bytes, query: bytes = b"", *, name: bytes = b"/", hidden: bool = False, most: int = 10_000
) -> Page:
    return Page(b"".join(pieces_of(listed(folder, query, name=name, hidden=hidden, most=most))))


def put(folder: Path, name: str | bytes, size: int = 0, modified: float = NOON) -> None:
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    with open(path, "wb") as file:
        file.truncate(size)
    os.utime(path, (modified, modified))


def lines_of(page: Page) -> list[str]:
    return [row.name for row in page.rows]


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a few files need several steps of every kind."""
    monkeypatch.setattr(listing, "NAMES_A_STEP", 7)
    monkeypatch.setattr(listing, "STATUSES_A_STEP", 5)
    monkeypatch.setattr(listing, "PACKED_A_STEP", 6)
    monkeypatch.setattr(listing, "PIECE_BYTES", 500)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A folder in which every order is another one."""
    folder = tmp_path / "several"
    folder.mkdir()
    for number in range(20):
        put(folder, f"file{number}", size=number * 7919 % 20_000, modified=NOON + number * 5 % 7 * A_DAY)
    for name in ("one", "Two", "three"):
        (folder / name).mkdir()
        os.utime(folder / name, (NOON, NOON))
    return folder


# What is on a page.


def test_a_page(tmp_path: Path) -> None:
    put(tmp_path, "file.txt", 1_400_000, NOON + 34 * 60)
    (tmp_path / "folder").mkdir()
    os.utime(tmp_path / "folder", (0, 0))
    page = page_of(tmp_path, name=b"/docs/")
    folder, file = page.rows
    assert page.names == [b"folder/", b"file.txt"]
    assert (folder.name, folder.size, folder.exact, folder.date) == ("folder/", "", "", "1970-01-01 00:00")
    assert (file.name, file.size, file.exact) == ("file.txt", "1.4 MB", "1,400,000 bytes")
    assert (file.date, file.moment) == ("2026-11-22 12:34", "2026-11-22T12:34Z")
    assert page.texts["title"] == "/docs/"
    assert page.count == "1 folder, 1 file"


def test_a_page_stands_alone(several: Path) -> None:
    raw = b"".join(pieces_of(listed(several)))
    page = Page(raw)
    metas = [found for tag, found in page.tags if tag == "meta"]
    assert {"charset": "utf-8"} in metas
    assert {"name": "color-scheme", "content": "light dark"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert raw.startswith(b"<!DOCTYPE html>\n<html lang=") and raw.count(b"<style>") == 1
    style = page.texts["style"]
    assert "url(" not in style and "@import" not in style
    assert all(word in style for word in ("prefers-color-scheme: dark", "@media print", "max-width", "focus-visible"))
    assert style.count("{") == style.count("}")
    assert page.open == ["html", "meta", "meta", "meta"], "what HTML lets stay open"
    assert listing_page.KIND == "text/html; charset=utf-8"


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    put(tmp_path, ".hidden")
    page = page_of(tmp_path, name=b"/empty/")
    assert page.rows == [] and page.headings == [] and "table" not in [tag for tag, _ in page.tags]
    assert page.count == "This folder is empty."
    assert page.up == "../"


def test_hidden_names(tmp_path: Path) -> None:
    put(tmp_path, ".hidden")
    put(tmp_path, "seen")
    (tmp_path / ".git").mkdir()
    assert page_of(tmp_path).names == [b"seen"]
    assert page_of(tmp_path, hidden=True).names == [b".git/", b".hidden", b"seen"]


@pytest.mark.parametrize(
    ("folders", "files", "said"), [(0, 1, "1 file"), (1, 0, "1 folder"), (2, 3, "2 folders, 3 files")]
)
def test_entries_are_counted(tmp_path: Path, folders: int, files: int, said: str) -> None:
    for number in range(folders):
        (tmp_path / f"folder {number}").mkdir()
    for number in range(files):
        put(tmp_path, f"file {number}")
    assert page_of(tmp_path).count == said


def test_rows_are_light(tmp_path: Path) -> None:
    for number in range(200):
        put(tmp_path, f"{number:08}.jpg", 1_400_000)
    assert len(b"".join(pieces_of(listed(tmp_path)))) < 200 * 170 + 5000


# What is no plain file.


def test_links_tell_nothing_of_what_is_outside(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    put(tmp_path, "secret", 123_456, NOON)
    (tmp_path / "elsewhere").mkdir()
    links = {"file": "../secret", "folder": "../elsewhere", "broken": "nowhere", "loop": "loop"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
        os.utime(folder / name, (A_DAY, A_DAY), follow_symlinks=False)
    page = page_of(folder)
    assert page.names == [b"folder/", b"broken", b"file", b"loop"]
    assert {(row.size, row.exact, row.date) for row in page.rows} == {("", "", "1970-01-02 00:00")}


def test_a_fifo_has_no_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    put(tmp_path, "file")
    assert [(row.name, row.size) for row in page_of(tmp_path).rows] == [("fifo", ""), ("file", "0 B")]


# Order.


def test_by_name_is_the_default(several: Path) -> None:
    expected = ["one/", "three/", "Two/", *(f"file{number}" for number in range(20))]
    assert lines_of(page_of(several)) == expected
    assert lines_of(page_of(several, b"?sort=name&order=asc")) == expected
    assert lines_of(page_of(several, b"?order=desc")) == expected[2::-1] + expected[:2:-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["size", "date"])
def test_by_size_and_by_date(several: Path, sort: str, order: str) -> None:
    """Folders come first, and what is alike is by name."""

    def weight(name: str) -> int:
        number = int(name.removeprefix("file"))
        return number * 7919 % 20_000 if sort == "size" else number * 5 % 7

    files = [f"file{number}" for number in range(20)]
    names = lines_of(page_of(several, f"?sort={sort}&order={order}".encode()))
    assert names == ["one/", "three/", "Two/", *sorted(files, key=weight, reverse=order == "desc")]


NATURAL = "!a 0 00 1 01 2 10 a A a-b a1 a01 a1b a2 a2b1 a2b10 a10 b file1.txt file2.txt file10.txt"
NATURAL += " v1.2.3 v1.2.10 v1.10.1 x9 x12345678901234567890 x99999999999999999999 x100000000000000000000 ü"


def test_natural_order(tmp_path: Path) -> None:
    names = NATURAL.split()
    for name in names:
        put(tmp_path, name)
    shown = lines_of(page_of(tmp_path))
    keys = [listing.natural(name) for name in names]
    assert keys == sorted(keys), "the expected order is natural"
    assert sorted(shown, key=lambda name: (listing.natural(name), name)) == shown
    assert [listing.natural(name) for name in shown] == keys


def test_names_that_sort_alike_have_one_order(tmp_path: Path) -> None:
    for name in ("aB", "AB", "ab", "Ab", "a01", "a1"):
        put(tmp_path, name)
    ascending = lines_of(page_of(tmp_path))
    assert ascending == ["a01", "a1", "AB", "Ab", "aB", "ab"]
    assert lines_of(page_of(tmp_path, b"?order=desc")) == ascending[::-1]
    assert lines_of(page_of(tmp_path, b"?sort=size&order=desc")) == ascending


HOSTILE_QUERIES = [
    b"?",
    b"?sort",
    b"?sort=",
    b"?sort=nothing&order=sideways",
    b"?sort=SIZE&order=DESC",
    b"?xsort=size&orders=desc",
    b"?sort=size;order=desc",
    b'?sort="><script>alert(1)</script>',
    b"?sort=is_folder",
    b"?sort=__class__",
    b"?sort=%73ize",
    b"?%00&&&&=&\xff",
    b"?" + b"&" * 8000,
]


@pytest.mark.parametrize("query", HOSTILE_QUERIES, ids=range(len(HOSTILE_QUERIES)))
def test_a_query_that_means_nothing(several: Path, query: bytes) -> None:
    assert pieces_of(listed(several, query)) == pieces_of(listed(several))


@FIXED
@given(st.binary(max_size=40))
def test_any_query_is_one_of_six(query: bytes) -> None:
    """What comes of it is all that is kept."""
    column, descending = listing.order_of(query)
    assert column in ("name", "date", "size") and descending in (False, True)


@pytest.mark.parametrize("sort", ["name", "size", "date"])
def test_headings_are_links_that_turn_the_order(several: Path, sort: str) -> None:
    page = page_of(several, f"?sort={sort}&order=asc".encode())
    turned: list[list[str]] = []
    for text, link, state in page.headings:
        words = dict(part.split("=") for part in link.removeprefix("?").split("&"))
        assert words["order"] == ("desc" if words["sort"] == sort else "asc")
        assert state == ("ascending" if words["sort"] == sort else "")
        assert text.endswith("▲") == (words["sort"] == sort)
        after = page_of(several, link.encode())
        assert [state for *_, state in after.headings if state] == [
            "descending" if words["sort"] == sort else "ascending"
        ]
        turned.append(lines_of(after))
        if words["sort"] == sort:
            ((arrow, again),) = [(text[-1], link) for text, link, state in after.headings if state]
            assert arrow == "▼"
            assert pieces_of(listed(several, again.encode())) == pieces_of(listed(several, f"?sort={sort}".encode()))
    assert len(turned) == 3 and all(names != lines_of(page) for names in turned)
    assert [text.split()[0] for text, *_ in page.headings] == ["Name", "Modified", "Size"]


# Names.

AWKWARD = [
    b"<script>alert(1)<",
    b"<img src=x onerror=alert(1)>",
    b'"onmouseover="alert(1)',
    b"' onfocus='alert(1)' autofocus='",
    b"javascript:alert(1)",
    b"http:",
    b"a:b",
    b"?sort=size",
    b"#top",
    b"a&amp;b&lt;",
    b"&#60;b&#62;",
    b"%2e%2e",
    b"100%",
    b"..a",
    b"~",
    b"-",
    b"...",
    b"\\",
    b" ",
    b"  two  spaces ",
    b"a\nb\r\tc",
    b"\x1b[31m",
    b"\x7f",
    b"\xff\xfe",
    b"latin \xe9",
    b"half \xf0\x9f\x98",
    b"\xed\xa0\x80",
    b"<title><b>",
    b"-->",
    b"]]>",
    b"<!--",
    "Grüße 日本語 עברית عربي 😀".encode(),
    "txt.\u202egpj.exe".encode(),
    "\u2066a\u2069\u200f\u061c".encode(),
    b"x" * 255,
    b'"' * 255,
    b"\xff" * 255,
]


def test_awkward_names(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in AWKWARD:
        put(tmp_path / "files", name)
    page = page_of(tmp_path / "files", hidden=True)
    assert sorted(page.names) == sorted(AWKWARD)
    for row in page.rows:
        target = urlsplit(urljoin("http://here/files/", row.link))
        assert (target.scheme, target.netloc, target.query, target.fragment) == ("http", "here", "", "")
        assert unquote_to_bytes(target.path.removeprefix("/files/")) in AWKWARD
        assert row.name == listing_page.showable(unquote_to_bytes(row.link)[2:])


def test_awkward_folders(tmp_path: Path) -> None:
    for name in AWKWARD:
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    assert sorted(page_of(tmp_path, hidden=True).names) == sorted(name + b"/" for name in AWKWARD)


@pytest.fixture(scope="module")
def one_name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], Page]]:
    """The page of a folder with one file, of this name."""
    folder = tmp_path_factory.mktemp("names")

    def page(name: bytes) -> Page:
        put(folder, name)
        try:
            return page_of(folder, hidden=True)
        finally:
            os.unlink(os.path.join(os.fsencode(folder), name))

    yield page


BYTES = st.binary(min_size=1, max_size=60)
MARKUP = st.lists(
    st.sampled_from(["<", ">", '"', "'", "&", "=", "script", "on", " ", "!", "-", ":", "\u202e", "\n", "é", "%", ";"]),
    min_size=1,
    max_size=20,
).map(lambda parts: "".join(parts).encode())
NAMES = st.one_of(BYTES, MARKUP).filter(lambda name: not {0, 0x2F} & set(name) and name not in (b".", b".."))


@FIXED
@given(NAMES)
def test_any_name_is_only_a_name(one_name: Callable[[bytes], Page], name: bytes) -> None:
    page = one_name(name)
    assert page.names == [name]
    assert lines_of(page) == [listing_page.showable(name)]


@FIXED
@given(st.lists(st.one_of(NAMES, st.just(b"")), max_size=6))
def test_any_path_is_only_a_path(one_empty: Path, parts: list[bytes]) -> None:
    name = b"/" + b"".join(part + b"/" for part in parts)
    page = page_of(one_empty, name=name)
    assert page.texts["title"] == listing_page.showable(name)
    assert [text for text, _ in page.crumbs] == ["/", *(listing_page.showable(part) for part in parts if part)]


@pytest.fixture(scope="module")
def one_empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@FIXED
@given(st.one_of(st.binary(max_size=40), st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))))
def test_what_is_shown_is_one_line_in_one_direction(name: bytes) -> None:
    shown = listing_page.showable(name)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert len(shown) == len(name.decode("utf-8", "replace"))


def test_what_is_shown_instead() -> None:
    """Each character alone, by what Unicode says of it: a control, a separator, or what turns a direction."""
    assert listing_page.showable(b"a\nb\x7f\xff") == "a\u240ab\u2421\ufffd"
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    plane = "".join(chr(number) for number in range(0x10000) if not 0xD800 <= number < 0xE000)
    for before, after in zip(plane, listing_page.showable(plane.encode()), strict=True):
        breaks = category(before) in ("Cc", "Zl", "Zp")
        assert (before != after) == (breaks or bidirectional(before) in turns or before in "\u061c\u200e\u200f")


# The path.


def climbed(here: str, link: str) -> str:
    """Follow a link that climbs as browsers do, for whom a doubled slash is a step; `urljoin` would lose it."""
    assert re.fullmatch(r"(\.\./)+", link)
    steps = here.split("/")[:-1]
    return "/".join([*steps[: len(steps) - link.count("../")], ""])


@pytest.mark.parametrize(
    ("name", "crumbs", "up"),
    [
        (b"/", [], None),
        (b"//", [], None),
        (b"/one/", ["/"], "/"),
        (b"/one/two/", ["/", "/one/"], "/one/"),
        (b"/one/two/three/", ["/", "/one/", "/one/two/"], "/one/two/"),
        (b"/one//two//", ["/", "/one/"], "/one/"),
        (b"//one/", ["/"], "/"),
        (b"/a:b/%2e/", ["/", "/a%3Ab/"], "/a%3Ab/"),
    ],
)
def test_the_way_up(tmp_path: Path, name: bytes, crumbs: list[str], up: str | None) -> None:
    page = page_of(tmp_path, name=name)
    here = quote(name)
    assert [climbed(here, link) for _, link in page.crumbs[:-1]] == crumbs
    assert page.crumbs[-1][1] == "", "the last is where we are"
    assert (page.up if page.up is None else climbed(here, page.up)) == up


def test_a_path_that_goes_on_and_on(tmp_path: Path) -> None:
    """As through a link to its own folder: the crumbs are the last ones, and the page is no square of the path."""
    raw = b"".join(pieces_of(listed(tmp_path, name=b"/" + b"l/" * 4000)))
    page = Page(raw)
    assert len(page.crumbs) == listing_page.CRUMBS_MAX + 2
    assert len(raw) < 250_000
    assert "…" in page.texts["h1"]
    assert page.crumbs[-2][1] == page.up == "../"
    assert page.crumbs[0] == ("/", "../" * 4000)
    short = page_of(tmp_path, name=b"/" + b"l/" * (listing_page.CRUMBS_MAX + 1))
    assert len(short.crumbs) == listing_page.CRUMBS_MAX + 2 and "…" not in short.texts["h1"]


# Sizes and dates.


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_400_000, "1.4 MB"),
        (123_456_789_012, "123 GB"),
        (5_400_000_000_000, "5.4 TB"),
        (2**63 - 1, "9.2 EB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert listing_page.size_of(count) == shown


def test_exact_sizes_are_there_where_they_differ(tmp_path: Path) -> None:
    for size in (0, 999, 1000, 5_000_000_000):
        put(tmp_path, f"{size}", size)
    assert [row.exact for row in page_of(tmp_path).rows] == ["", "", "1,000 bytes", "5,000,000,000 bytes"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01 00:00"),
        (NOON + 59, "2026-11-22 12:00"),
        (-1, "1969-12-31 23:59"),
        (-(10**18), "0001-01-01 00:00"),
        (10**18, "9999-12-31 23:59"),
    ],
)
def test_dates(seconds: int, shown: str) -> None:
    assert listing_page.date_of(seconds) == shown


def test_half_a_second_before_the_minute(tmp_path: Path) -> None:
    put(tmp_path, "before", modified=-0.5)
    put(tmp_path, "long after", modified=NOON + 59.9)
    assert [row.date for row in page_of(tmp_path).rows] == ["1969-12-31 23:59", "2026-11-22 12:00"]


def test_what_is_kept_for_a_slow_client_is_little(tmp_path: Path) -> None:
    entry = listing.Entry("", "x" * 20, 1_400_000, NOON + 0.5, False)
    assert len(listing.packed(entry)) <= 45


# Steps.


def test_steps_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        put(tmp_path, f"{'.' * (number % 2)}{number}")
    monkeypatch.setattr(listing, "NAMES_A_STEP", 300)
    asked = 0

    def counted(*arguments: object, **options: object) -> os.stat_result:
        nonlocal asked
        asked += 1
        return real(*arguments, **options)  # type: ignore[arg-type]

    real = os.stat
    monkeypatch.setattr("partway.protocols.http.listing.os.stat", counted)
    body = listed(tmp_path, hidden=True)
    names, packed, asked_a_step, lengths = [0], [0], [], []
    while True:
        asked = 0
        want = body.step()
        if want is NEXT:
            break
        assert isinstance(want, bytes)
        names.append(len(body.names))
        packed.append(body.rows.count(b"/"))
        asked_a_step.append(asked)
        lengths.append(len(want))
    body.close()
    assert max(after - before for before, after in pairwise(names)) == 300
    assert max(asked_a_step) == listing.STATUSES_A_STEP == 100 and sum(asked_a_step) == 1000
    assert listing.PIECE_BYTES <= max(lengths) < listing.PIECE_BYTES + 1000
    assert max(after - before for before, after in pairwise(packed)) == listing.PACKED_A_STEP == 500
    assert lengths.count(0) == 4 + 10 + 1 + 2, "names, statuses, the sort and the packing send nothing"
    assert len(lengths) > 4 + 10 + 1 + 2 + 5


def test_the_longest_names_make_no_long_piece(tmp_path: Path) -> None:
    for number in range(100):
        put(tmp_path, f"{number:03}" + '"' * 252)
    pieces = pieces_of(listed(tmp_path))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < listing.PIECE_BYTES + 4000


def test_what_has_left_is_forgotten(several: Path, small_steps: None) -> None:
    body = listed(several)
    left = []
    while (want := body.step()) is not NEXT:
        if want:
            assert body.opening == "" and body.names == [] and body.entries == []
            left.append(body.rows.count(b"/"))
    body.close()
    assert len(left) > 4 and left == sorted(set(left), reverse=True)
    assert (left[0], left[-1]) == (23, 0), "the opening fills a small piece"


def test_no_more_names_are_read_than_needed(tmp_path: Path, small_steps: None) -> None:
    for number in range(60):
        put(tmp_path, str(number))
    body = listed(tmp_path, most=10)
    body.step()
    body.step()
    assert len(body.names) == 10, "the folder may be endless"
    body.close()


def test_the_end_is_the_end(tmp_path: Path) -> None:
    body = listed(tmp_path)
    assert body.size is None
    assert len(pieces_of(body)) == 1
    assert body.step() is NEXT and body.step() is NEXT


@pytest.mark.parametrize(("files", "says"), [(10, False), (11, True), (40, True)])
def test_the_cap(tmp_path: Path, small_steps: None, files: int, says: bool) -> None:
    for number in range(files):
        put(tmp_path, str(number))
        put(tmp_path, f".{number}")
    page = page_of(tmp_path, most=10)
    assert len(page.rows) == 10
    assert page.count == ("Only 10 of this folder’s entries are shown." if says else "10 files")


def test_what_vanishes_meanwhile_is_left_out(several: Path, small_steps: None) -> None:
    body = listed(several)
    while body.stage == 0:
        body.step()
    body.step()
    gone = [name for name in body.names if name.startswith("file")][:2]
    for name in gone:
        os.unlink(several / name)
    page = Page(b"".join(pieces_of(body)))
    assert len(page.rows) == 21 and not {name.encode() for name in gone} & set(page.names)
    assert page.count == "3 folders, 18 files"


def test_all_vanish_meanwhile(tmp_path: Path) -> None:
    put(tmp_path, "file")
    body = listed(tmp_path)
    body.step()
    os.unlink(tmp_path / "file")
    page = Page(b"".join(pieces_of(body)))
    assert page.rows == [] and page.count == "This folder is empty."


# Frozen.


def thawed(body: Listing) -> Listing:
    again = pickle.loads(pickle.dumps(body))
    assert isinstance(again, Listing)
    return again


@pytest.mark.parametrize("query", [b"", b"?sort=size&order=desc"])
def test_frozen_at_any_step(several: Path, small_steps: None, query: bytes) -> None:
    """And what was frozen goes on as if nothing had been."""
    expected = b"".join(pieces_of(listed(several, query, name=b"/several/")))
    body = listed(several, query, name=b"/several/")
    sent, steps = b"", 0
    while True:
        assert sent + b"".join(pieces_of(thawed(body))) == expected, steps
        want = body.step()
        if want is NEXT:
            break
        assert isinstance(want, bytes)
        sent += want
        steps += 1
    body.close()
    assert sent == expected
    assert steps > 12


def test_thawed_after_every_step(several: Path, small_steps: None) -> None:
    """Names are read from the beginning each time, so it needs them to be read in one step."""
    listing.NAMES_A_STEP = 100  # put back by the fixture
    expected = b"".join(pieces_of(listed(several)))
    body = listed(several)
    sent = b""
    while (want := body.step()) is not NEXT:
        assert isinstance(want, bytes)
        sent += want
        again = thawed(body)
        body.close()
        body = again
    body.close()
    assert sent == expected


def test_names_that_are_no_text_freeze(tmp_path: Path, small_steps: None) -> None:
    for number in range(20):
        put(tmp_path, b"\xff%d" % number)
    body = listed(tmp_path)
    for _ in range(5):
        body.step()
    names = Page(b"".join(pieces_of(thawed(body)))).names
    body.close()
    assert names == [b"\xff%d" % number for number in range(20)]


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 6])
def test_thawed_where_the_folder_has_vanished(several: Path, small_steps: None, steps: int) -> None:
    body = listed(several)
    for _ in range(steps):
        body.step()
    assert body.stage < 2
    again = thawed(body)
    body.close()
    several.rename(several.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        pieces_of(again)
    several.write_text("a file")
    with pytest.raises(NotADirectoryError):
        thawed(body)._folder()


@pytest.mark.parametrize("steps", [0, 5])
def test_thawed_where_another_folder_is(several: Path, small_steps: None, steps: int) -> None:
    body = listed(several)
    for _ in range(steps):
        body.step()
    again = thawed(body)
    body.close()
    several.rename(several.with_name("elsewhere"))
    several.mkdir()
    put(several, "file0")
    for _ in range(2):
        with pytest.raises(ChangedError):
            again.step()
    again.close()


def test_a_page_that_is_leaving_needs_no_folder(several: Path, small_steps: None) -> None:
    body = listed(several)
    while body.stage < 2:
        body.step()
    several.rename(several.with_name("elsewhere"))
    assert len(Page(b"".join(pieces_of(thawed(body)))).rows) == 23
    assert len(Page(b"".join(pieces_of(body))).rows) == 23


# Descriptors.


def test_closed_at_any_step(several: Path, small_steps: None) -> None:
    """Twice does no harm, also where the number has become somebody else's; nor does a step afterwards."""
    total = 0
    for steps in range(100):
        body = listed(several)
        descriptor = body._descriptor
        wants = [body.step() for _ in range(steps)]
        total += is_open(descriptor)
        assert is_open(descriptor) == (body.stage < 2)
        body.close()
        assert not is_open(descriptor)
        with open(several / "one" / "new", "w") as other:
            body.close()
            assert is_open(other.fileno())
        assert body.step() is NEXT
        assert body.names == [] and body.entries == [] and not body.rows
        if NEXT in wants:
            break
    assert total == 4 + 5


def test_a_thawed_one_is_closed(several: Path, small_steps: None) -> None:
    body = listed(several)
    again = thawed(body)
    assert again._descriptor < 0, "opened when it is needed"
    again.step()
    descriptor = again._descriptor
    assert is_open(descriptor) and is_open(body._descriptor)
    again.close()
    assert not is_open(descriptor)
    body.close()


@pytest.mark.parametrize("steps", [0, 2, 5])
def test_without_descriptors_of_folders(
    several: Path, small_steps: None, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    (several / "link").symlink_to("one")
    expected = pieces_of(listed(several))
    monkeypatch.setattr(listing, "_BY_DESCRIPTOR", False)

    def no_open(*_: object, **__: object) -> int:
        raise PermissionError("a folder is nothing to open here")

    body = Listing(-1, str(several), b"/", b"", False, 10_000)
    monkeypatch.setattr("partway.protocols.http.listing.os.open", no_open)
    for _ in range(steps):
        body.step()
    again = thawed(body)
    assert pieces_of(body) == expected
    assert pieces_of(again) == expected


# What it looks like, as far as that can be computed.


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of #rgb or #rrggbb."""
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast(tmp_path: Path) -> None:
    """WCAG 2 AA: 4.5 for text, 3 for signs, on both papers, by day and by night."""
    schemes = re.findall(r":root \{([^}]*)\}", page_of(tmp_path).texts["style"])[:2]
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        for paper in ("paper", "lit"):
            for ink in ("ink", "faint", "link", "folder", "file"):
                dark, light = sorted((luminance(colours[paper]), luminance(colours[ink])))
                needed = 3 if ink in ("folder", "file") else 4.5
                assert (light + 0.05) / (dark + 0.05) >= needed, (paper, ink)


def test_what_a_listing_holds_counts_as_its_rows(tmp_path: Path) -> None:
    """Else a crowd that asks for a long one and reads slowly would take all memory there is."""
    for number in range(400):
        (tmp_path / f"{number:03} with a name that is not too short").touch()
    rig = Rig(Server(Folder(str(tmp_path))), capacity_bytes=2000)
    client = rig.dial()
    client.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    rig.run(1.0)
    (row,) = rig.rows
    machine = row.machine
    assert isinstance(machine, Http) and isinstance(machine.body, Listing)
    assert row.held >= machine.body.held > 5_000
    assert rig.reactor.table.held == row.held
    thawed = thaw(freeze(machine), lambda key: row)
    assert row.held >= 2 * machine.body.held, "a thawed one counts as well"
    thawed.ended(Reason(Cause.DRAINED))  # type: ignore[attr-defined]
    before = row.held
    for _ in range(100):
        client.heard()
        rig.run(0.1)
    assert rig.states == ["IDLE"]
    assert row.held < before and row.held == rig.reactor.table.held == 0


def test_a_listing_that_is_cut_off_counts_no_more(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number:03} with a name that is not too short").touch()
    rig = Rig(Server(Folder(str(tmp_path))), capacity_bytes=2000)
    client = rig.dial()
    client.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    rig.run(1.0)
    assert rig.reactor.table.held > 5_000
    client.abort()
    rig.run(1.0)
    assert rig.reactor.table.held == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_one_that_is_dropped_leaves_nothing_open(several: Path, small_steps: None, steps: int) -> None:
    """What was frozen goes on elsewhere, and nobody closes what is left here: not the folder, nor the reading of it."""
    body = listed(several)
    descriptor = body._descriptor
    for _ in range(steps):
        body.step()
    assert is_open(descriptor) and (body._found is not None) == (steps > 0)
    del body
    assert not is_open(descriptor)


def test_one_that_could_not_be_made_closes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever has opened the folder does: closed twice, it might be somebody else's by then."""
    monkeypatch.setattr(listing, "_identity_of", lambda descriptor: 1 / 0)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ZeroDivisionError):
        Listing(descriptor, "", b"/", b"", False, 1)
    assert is_open(descriptor)
    os.close(descriptor)
