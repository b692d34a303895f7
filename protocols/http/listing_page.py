"""A folder's page as HTML: its path, a table of its entries, and a style sheet. Plain links, and nothing else to load.

Names are the hostile part. In a link they are percent-encoded from their real bytes, after "./", so that no name is a
scheme, a host, a query or a way out; as text they are escaped, and what would break a line or turn the direction of
what follows is shown as a mark instead.
"""

from datetime import datetime, timedelta
from html import escape
from urllib.parse import quote

from .message import FIRST_SECOND, LAST_SECOND

KIND = "text/html; charset=utf-8"
"""The page's Content-Type."""

CRUMBS_MAX = 16
"""Parts of the path that are links, the last ones. Each link climbs from here, so all of them would grow as a square:
24 MB for the longest target through a folder that holds a link to itself."""

COLUMNS = {"name": "Name", "date": "Modified (UTC)", "size": "Size"}
"""What may be sorted by, in a query's word, and the column's heading."""

ENDING = "</main>\n"
TABLE_ENDING = "</table>\n"


def opening_of(name: bytes, folders: int, files: int, more: bool, column: str, descending: bool) -> str:
    """Return the page as far as its rows; with `more`, there are more than these entries, which are all that is shown.

    `name` is the decoded path, from "/" to "/"; `column` what the rows are sorted by.
    """
    title = escape(showable(name))
    counts = (_counted(folders, "folder"), _counted(files, "file"))
    count = ", ".join(filter(None, counts)) or "This folder is empty."
    if more:
        count = f"Only {folders + files:,} of this folder’s entries are shown."
    crumbs, up = crumbs_of(name)
    up = f'<a class="up" href="{up}"><span aria-hidden="true">↑ </span>Up</a> ' if up else ""
    headings = "".join(_heading(one, one == column, descending) for one in COLUMNS)
    table = f"<table>\n<thead><tr>{headings}</thead>\n<tbody>\n" if folders + files else ""
    return (
        f'{_HEAD}<title>{title}</title>\n{_STYLE}<main>\n<nav aria-label="Path"><h1>{crumbs}</h1></nav>\n'
        f"<p>{up}<span>{count}</span></p>\n{table}"
    )


def _heading(column: str, sorted_by: bool, descending: bool) -> str:
    """Return a column's heading, a link that sorts by it, and turns the order where that is so already."""
    if not sorted_by:
        return f'<th scope="col"><a href="?sort={column}&amp;order=asc">{COLUMNS[column]}</a>'
    now, after, arrow = ("descending", "asc", "▼") if descending else ("ascending", "desc", "▲")
    return (
        f'<th scope="col" aria-sort="{now}"><a href="?sort={column}&amp;order={after}">{COLUMNS[column]}'
        f'<span aria-hidden="true"> {arrow}</span></a>'
    )


def showable(name: bytes) -> str:
    """Return a name as text on one line, in one direction: U+FFFD, or a picture of it, for what would not be that."""
    return name.decode("utf-8", "replace").translate(_SHOWN)


_SHOWN = {number: 0x2400 + number for number in range(0x20)}  # the pictures of control characters
_SHOWN |= {0x7F: 0x2421, **dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029), 0xFFFD)}
_SHOWN |= dict.fromkeys((0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
"""By number: C0 and DEL; C1, line and paragraph separator; what marks, embeds, overrides or isolates a direction."""


def size_of(count: int) -> str:
    """Write a number of bytes for people: powers of 1000, two digits or three."""
    if count < 1000:
        return f"{count} B"
    amount, unit = count / 1000, 0
    while amount >= 999.5:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.{int(amount < 9.95)}f} {'kMGTPE'[unit]}B"


def date_of(seconds: int) -> str:
    """Write a time as `2026-11-22 12:34`, in UTC, the years from 1 to 9999."""
    return (_EPOCH + timedelta(seconds=min(max(seconds, FIRST_SECOND), LAST_SECOND))).isoformat(" ", "minutes")


_EPOCH = datetime(1970, 1, 1)  # added to instead of converted from: some platforms convert nothing before it


def row_of(row: bytes) -> str:
    """Return a packed entry's row. End tags that HTML lets go are left out, as there are many rows."""
    is_folder, count, seconds, name = row.split(b" ", 3)
    slash = "/" if is_folder == b"1" else ""
    size = size_of(int(count)) if count != b"-1" else ""
    exact = f' title="{int(count):,} bytes"' if int(count) >= 1000 else ""
    date = date_of(int(seconds))
    return (
        f'<tr><td><a href="./{quote(name)}{slash}">{_isolated(name)}{slash}</a>'
        f'<td><time datetime="{date.replace(" ", "T")}Z">{date}</time><td{exact}>{size}\n'
    )


def crumbs_of(name: bytes) -> tuple[str, str]:
    """Return the links for the parts of a path, and the link to the folder above, "" for none.

    They climb from where the page is, so they hold wherever the server is mounted. A doubled slash counts as a step, as
    it does for a browser, but is no part.
    """
    steps = name.split(b"/")[1:-1]
    parts = [("../" * (len(steps) - place), part) for place, part in enumerate(steps, 1) if part]
    if not parts:
        return '<span aria-current="page">/</span>', ""
    top = "../" * len(steps)
    above = parts[:-1]
    crumbs = [f'<a href="{top}" aria-label="Top folder">/</a>', *(["… /"] if len(above) > CRUMBS_MAX else [])]
    crumbs += [f'<a href="{link}">{_isolated(part)}</a> /' for link, part in above[-CRUMBS_MAX:]]
    crumbs.append(f'<span aria-current="page">{_isolated(parts[-1][1])}</span>')
    return " ".join(crumbs), above[-1][0] if above else top


def _isolated(name: bytes) -> str:
    return f"<bdi>{escape(showable(name), False)}</bdi>"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count > 1)}" * (count > 0)


_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""
_STYLE = """<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2127; --faint: #59616c; --link: #0b57b8; --line: #dfe3e8;
 --lit: #eff4fb; --folder: #b7791f; --file: #7b8490 }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --faint: #a0a8b3; --link: #8ab9ff;
 --line: #2d333b; --lit: #1e242d; --folder: #e0b050; --file: #828b98 } }
* { box-sizing: border-box }
html { scroll-padding-top: 3rem }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem .5rem 3rem }
h1 { margin: 0; padding: 0 .5rem; font-size: 1.375rem; line-height: 1.4; overflow-wrap: anywhere }
p { margin: .25rem 0 1rem; padding: 0 .5rem; color: var(--faint) }
a { color: var(--link); text-decoration: none }
a:hover { text-decoration: underline }
a:focus-visible { outline: 2px solid; outline-offset: -2px; border-radius: 4px }
h1 a, .up { padding: .25rem; margin: 0 -.25rem }
.up { display: inline-block; margin-right: .5rem; font-weight: 600 }
bdi { white-space: pre-wrap }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
thead { position: sticky; top: 0; z-index: 1; background: var(--paper); box-shadow: inset 0 -1px var(--line) }
th { padding: 0; font-size: .875rem; font-weight: 600; white-space: nowrap }
th a { display: block; padding: .5rem; color: var(--faint) }
th[aria-sort] a { color: var(--ink) }
td { padding: 0 .5rem; color: var(--faint); white-space: nowrap; vertical-align: baseline }
th, td { text-align: right }
th:first-child, td:first-child { width: 100%; padding: 0; text-align: left }
td:first-child { white-space: normal; overflow-wrap: anywhere }
tbody tr { border-bottom: 1px solid var(--line) }
tbody tr:hover { background: var(--lit) }
td a { display: block; position: relative; padding: .375rem .5rem .375rem 2.25rem }
td a::before { content: ""; position: absolute; left: .625rem; top: .75rem; width: .8125rem; height: .9375rem;
 background: var(--file); clip-path: polygon(0 0, 60% 0, 100% 32%, 100% 100%, 0 100%) }
td a[href$="/"]::before { width: 1rem; background: var(--folder);
 clip-path: polygon(0 5%, 40% 5%, 52% 20%, 100% 20%, 100% 95%, 0 95%) }
@media screen and (max-width: 40rem) {
 main { padding: .75rem 0 2rem }
 tr { display: flex; flex-wrap: wrap; justify-content: space-between }
 th:first-child { width: auto; flex: 1 }
 td { padding: 0 .5rem .5rem 2.25rem; font-size: .875rem }
 td:first-child { font-size: 1rem }
 td:first-child a { padding-bottom: .125rem }
}
@media print {
 :root { color-scheme: light; --paper: none; --ink: #000; --faint: #000; --link: #000; --line: #999 }
 main { max-width: none; padding: 0 }
 thead { display: table-header-group; position: static; box-shadow: none; border-bottom: 1px solid }
 tr { break-inside: avoid }
 td a { padding: .125rem .5rem }
 .up, td a::before, th span { display: none }
}
</style>
"""
