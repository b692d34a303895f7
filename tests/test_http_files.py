"""The files that a folder keeps: that it saves opening and never looking, holds what it may, and lets go of everything.

A cache is right when nobody can tell that it is there. So each way in which a file can change is tried with it and
without it, by requests that are read anew and by those that are remembered; and what it costs (bytes that the table
counts, descriptors that the kernel does) is counted before and after.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from folders import LARGE, SMALL, Answer, Site, Visitor, head_of
from partway.engine import File, Limits, Row
from partway.engine.freeze import freeze, thaw
from partway.engine.machine import Machine
from partway.engine.simulation import Peer
from partway.protocols.http import Folder, Http, Request, Response, Server
from partway.protocols.http.file_body import FileBody
from partway.protocols.http.files import COPIES, ENTRY_BYTES, YOUNG_SECONDS, Files, kind_of
from partway.protocols.http.message import JOIN_BYTES
from partway.protocols.open_file import ChangedError, OpenFile
from worlds import SEEDS, Rig

HUGE = bytes(range(251)) * 2000  # more than a connection of the simulation holds
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.write("small.txt", SMALL)
    site.write("large.txt", LARGE)
    yield site
    site.close()


@pytest.fixture(params=[True, False], ids=["cache", "no cache"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A folder with its cache on, and one with it off."""
    site = Site(tmp_path, file_cache=request.param)
    site.write("small.txt", SMALL)
    site.write("large.txt", LARGE)
    yield site
    site.close()


class Calls:
    """Counts the calls of a function of `os`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.count = 0
        real = getattr(os, name)

        def counted(*given: Any, **named: Any) -> Any:
            self.count += 1
            return real(*given, **named)

        monkeypatch.setattr(os, name, counted)


def rewrite(path: Path, data: bytes) -> None:
    """Write a file in place until the file system's clock has moved on."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(data)


def rewrite_alike(path: Path, data: bytes) -> None:
    """Write a file in place, and have its size and its time of modification look as if nobody had."""
    before = path.stat()
    assert len(data) == before.st_size
    rewrite(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def opened(path: Path) -> int:
    """How many descriptors of this process are open on a file."""
    status = path.stat()
    count = 0
    for name in os.listdir("/dev/fd"):
        try:
            found = os.fstat(int(name))
        except OSError:  # the one that the folder was listed by
            continue
        count += (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
    return count


# What is kept.


def test_a_hit_opens_nothing_and_looks_every_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("/small.txt", "/large.txt")
    first = [site.get(name).body for name in names]
    opens, stats = Calls(monkeypatch, "open"), Calls(monkeypatch, "stat")
    for seen in range(1, 4):
        assert [site.get(name).body for name in names] == first == [SMALL, LARGE]
        assert (opens.count, stats.count) == (0, 2 * seen)


def test_without_a_cache_each_request_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, file_cache=False)
    site.write("small.txt", SMALL)
    large = site.write("large.txt", LARGE)
    opens = Calls(monkeypatch, "open")
    for count in range(1, 4):
        assert site.get("/small.txt").body == SMALL
        assert site.get("/large.txt").body == LARGE
        assert opens.count == 2 * count
    assert opened(large) == 0
    assert site.row.table.kept == 0 and not site.folder.files.entries
    site.close()


@pytest.mark.parametrize(("size", "whole"), [(0, True), (JOIN_BYTES, True), (JOIN_BYTES + 1, False)])
def test_what_is_small(either: Site, size: int, whole: bool) -> None:
    either.write("file", b"x" * size)
    for _ in range(2):
        answer = either.get("/file")
        assert (answer.body, answer.whole) == (b"x" * size, whole)


def test_a_folder_is_not_kept(site: Site) -> None:
    (site.root / "sub").mkdir()
    before = dict(site.folder.files.entries)
    for _ in range(2):
        assert site.get("/sub").status == 301
        assert site.get("/sub/").status == 200
        assert site.get("/none").status == 404
    assert site.folder.files.entries == before


CHANGES: dict[str, tuple[Callable[[Path], object], tuple[int, bytes]]] = {
    "written in place": (lambda path: rewrite(path, b"new"), (200, b"new")),
    "written alike": (lambda path: rewrite_alike(path, b"y" * path.stat().st_size), (200, b"y")),
    "made longer": (lambda path: rewrite(path, b"z" * 50_000), (200, b"z" * 50_000)),
    "emptied": (lambda path: rewrite(path, b""), (200, b"")),
    "removed": (lambda path: path.unlink(), (404, b"")),
    "a folder now": (lambda path: (path.unlink(), path.mkdir()), (301, b"")),
    "a fifo now": (lambda path: (path.unlink(), os.mkfifo(path)), (404, b"")),
    "a link out now": (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), (404, b"")),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("name", ["small.txt", "large.txt"])
@pytest.mark.parametrize("warm", [1, 2, 4])
def test_each_change_is_seen_at_once(either: Site, name: str, how: str, warm: int) -> None:
    """By one head that comes again and again, which may be remembered, and by another."""
    path = either.root / name
    before = path.read_bytes()
    head = head_of("/" + name)
    for _ in range(warm):
        assert either.again(head).body == before
    change, (status, body) = CHANGES[how]
    change(path)
    for answer in (either.again(head), either.get("/" + name), either.again(head)):
        assert answer.status == status
        if how == "written alike":
            assert answer.body == body * len(before)
        elif status == 200:
            assert answer.body == body
            assert answer.headers["etag"] == either.get("/" + name, "HEAD").headers["etag"]
    assert opened(Path("/etc/passwd")) == 0


@pytest.mark.parametrize("name", ["small.txt", "large.txt"])
def test_replaced_by_renaming(either: Site, name: str) -> None:
    head = head_of("/" + name)
    for round in range(4):
        either.write("new", bytes([round]) * 20)
        os.replace(either.root / "new", either.root / name)
        assert either.again(head).body == bytes([round]) * 20
        assert either.again(head).body == bytes([round]) * 20


def test_removed_and_made_again(either: Site) -> None:
    head, path = head_of("/small.txt"), either.root / "small.txt"
    for round in range(4):
        path.write_bytes(bytes([round]))
        assert either.again(head).body == bytes([round])
        path.unlink()
        assert either.again(head).status == 404


def test_a_link_that_is_turned(either: Site) -> None:
    either.write("one", b"one")
    either.write("two", b"two")
    head = head_of("/link")
    for target in (b"one", b"two") * 2:
        (either.root / "link").unlink(missing_ok=True)
        either.link("link", target.decode())
        assert either.again(head).body == target
        assert either.again(head).body == target


def test_an_index_that_comes_and_goes(either: Site) -> None:
    head = head_of("/")
    for _ in range(3):
        assert b"<title>" in either.again(head).body
        index = either.write("index.html", b"index")
        assert either.again(head).body == b"index"
        assert either.again(head).body == b"index"
        index.unlink()


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_a_permission_that_is_taken(either: Site) -> None:
    head, path = head_of("/small.txt"), either.root / "small.txt"
    for _ in range(2):
        assert either.again(head).body == SMALL
        path.chmod(0)
        assert either.again(head).status == 403
        path.chmod(0o644)


def test_a_change_of_permissions_is_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not open it any more is refused by the kernel: it is only asked when we open."""
    path = site.root / "small.txt"
    site.get("/small.txt")
    opens = Calls(monkeypatch, "open")
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.chmod(0o600)
    assert site.get("/small.txt").body == SMALL
    assert opens.count == 1


# What is too young.


def test_a_young_file_is_not_kept(site: Site) -> None:
    """Its clock may not move between two writes: nobody would see the second one."""
    path, files = site.root / "small.txt", site.folder.files
    written = path.stat().st_ctime_ns / 1e9
    for wall in (written - 1000, written, written + YOUNG_SECONDS - 0.01):
        site.row.wall = wall
        assert site.get("/small.txt").body == SMALL
        assert not files.entries
        path.write_bytes(SMALL[::-1])
        assert site.get("/small.txt").body == SMALL[::-1]
        path.write_bytes(SMALL)
    site.row.wall = path.stat().st_ctime_ns / 1e9 + YOUNG_SECONDS + 0.01
    assert site.get("/small.txt").body == SMALL
    assert len(files.entries) == 1


def test_a_large_file_is_read_when_it_is_sent_however_young(site: Site) -> None:
    path = site.root / "large.txt"
    site.row.wall = path.stat().st_ctime_ns / 1e9
    assert site.get("/large.txt").body == LARGE
    assert len(site.folder.files.entries) == 1
    path.write_bytes(LARGE[::-1])
    assert site.get("/large.txt").body == LARGE[::-1]


# How much is kept.


def test_bytes_are_counted_on_the_table(site: Site) -> None:
    table = site.row.table
    site.get("/small.txt")
    assert table.kept == ENTRY_BYTES + COPIES * len(SMALL)
    site.get("/large.txt")
    assert table.kept == 2 * ENTRY_BYTES + COPIES * len(SMALL)  # the large one is only open
    (site.root / "small.txt").unlink()
    site.get("/small.txt")
    assert table.kept == ENTRY_BYTES
    site.folder.files.clear(site.row)
    assert table.kept == 0 and not site.folder.files.entries


def kept_names(site: Site) -> list[bytes]:
    return [entry.path for entry in site.folder.files.entries.values()]


def test_older_ones_leave_where_the_table_keeps_no_more(tmp_path: Path) -> None:
    each = ENTRY_BYTES + COPIES * 100
    site = Site(tmp_path, Visitor(kept_most=2 * each))
    for name in "abc":
        site.write(name, name.encode() * 100)
        assert site.get("/" + name).body == name.encode() * 100
        assert site.row.table.kept <= 2 * each
    assert kept_names(site) == [b"b", b"c"]
    site.write("d", b"d" * 120)  # takes the room of both
    assert site.get("/d").body == b"d" * 120
    assert kept_names(site) == [b"d"]
    site.folder.files.clear(site.row)
    assert site.row.table.kept == 0
    site.close()


def test_what_never_fits_is_served_all_the_same(tmp_path: Path) -> None:
    site = Site(tmp_path, Visitor(kept_most=ENTRY_BYTES))
    site.write("a", b"a")
    for _ in range(2):
        assert site.get("/a").body == b"a"
        assert site.row.table.kept == 0 and not kept_names(site)
    site.close()


def test_no_more_files_are_kept_than_may_be(tmp_path: Path) -> None:
    site = Site(tmp_path, Visitor(Limits(files_kept_max=2)))
    paths = [site.write(name, LARGE) for name in "abcd"]
    for path in paths:
        assert site.get("/" + path.name).body == LARGE
        assert sum(map(opened, paths)) <= 2
    assert kept_names(site) == [b"c", b"d"]
    assert site.row.table.kept == 2 * ENTRY_BYTES
    site.close()
    assert sum(map(opened, paths)) == 0


@pytest.mark.parametrize("name", ["small.txt", "large.txt"])
def test_evicted_by_its_own_neighbour(tmp_path: Path, name: str) -> None:
    """While it is in use, what is looked for besides can take its place."""
    site = Site(tmp_path, Visitor(Limits(files_kept_max=1)))
    data = SMALL if name == "small.txt" else LARGE
    path = site.write(name, data, modified=1_000_000_002)
    site.write(name + ".gz", b"older", modified=1_000_000_000)
    for _ in range(3):
        answer = site.get("/" + name, accept_encoding="gzip")
        assert (answer.status, answer.body) == (200, data)
        assert len(site.folder.files.entries) == 1
    assert opened(path) == 0
    site.close()
    assert site.row.table.kept == 0


def test_a_neighbour_is_another_file_under_its_own_name(site: Site) -> None:
    site.write("a.html", b"<p>")
    site.write("a.html.gz", b"packed")
    for _ in range(2):  # whichever is kept first, the other is what it is
        as_coded = site.get("/a.html", accept_encoding="gzip")
        as_itself = site.get("/a.html.gz")
        assert as_coded.body == as_itself.body == b"packed"
        assert as_coded.headers["content-type"] == "text/html; charset=utf-8"
        assert as_coded.headers["content-encoding"] == "gzip"
        assert as_itself.headers["content-type"] == "application/gzip"
        assert "content-encoding" not in as_itself.headers
        assert as_coded.headers["etag"] != as_itself.headers["etag"]
    site.folder.files.clear(site.row)
    assert "content-encoding" not in site.get("/a.html.gz").headers
    assert site.get("/a.html", accept_encoding="gzip").headers["content-encoding"] == "gzip"


# Descriptors.


def test_leaving_the_cache_closes_a_file(site: Site) -> None:
    site.get("/large.txt")
    (entry,) = site.folder.files.entries.values()
    file = entry.file  # so that it is not closed for want of references
    assert opened(site.root / "large.txt") == 1
    site.folder.files.clear(site.row)
    assert opened(site.root / "large.txt") == 0
    assert file is not None


def test_nothing_stays_in_use(site: Site) -> None:
    """Whatever was answered, and from whichever neighbour: what is still in use could never be let go of."""
    for name in ("small.txt", "large.txt"):
        older, newer = (site.root / name).stat().st_mtime - 10, (site.root / name).stat().st_mtime + 10
        site.write(name + ".gz", b"older", modified=int(older))
        site.write(name + ".br", b"newer", modified=int(newer))
        for accepts in ("", "gzip", "gzip, br"):
            for asked in ({}, {"if_none_match": "*"}, {"if_match": '"x"'}, {"range": "bytes=0-1,4-5"}):
                for method in ("GET", "HEAD"):
                    site.get("/" + name, method, accept_encoding=accepts, **asked)
            site.get("/" + name)
            site.get(f"/{name}.gz")
    assert len(site.folder.files.entries) == 8
    assert {entry.users for entry in site.folder.files.entries.values()} == {0}


def test_no_descriptor_left_empties_the_cache(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write("other", b"other")
    assert site.get("/large.txt").body == LARGE
    assert opened(site.root / "large.txt") == 1
    for number in (errno.EMFILE, errno.ENFILE):
        assert site.get("/large.txt").status == 200

        def fail(*_: object, number: int = number, **__: object) -> int:
            raise OSError(number, "none left")

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", fail)
            assert site.get("/large.txt").body == LARGE  # it is open
            answer = site.get("/other")
            assert answer.status == 503
        assert opened(site.root / "large.txt") == 0
        assert site.row.table.kept == 0
    assert site.get("/other").status == 200


def test_a_file_that_never_stands_still(either: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: b"x" * count)  # more than there should be
    answer = either.get("/small.txt")
    monkeypatch.undo()
    assert answer.status == 503
    assert opened(either.root / "small.txt") == 0
    assert either.get("/small.txt").body == SMALL


@pytest.mark.parametrize("size", [1, 5000, JOIN_BYTES, JOIN_BYTES + 1, 100_000])
def test_a_file_that_changes_while_it_is_read(either: Site, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """It is answered as it was at one time: its length, its tag and its bytes belong together."""
    path, real = either.root / "small.txt", os.pread

    def meanwhile(descriptor: int, count: int, offset: int) -> bytes:
        monkeypatch.undo()
        path.write_bytes(b"y" * size)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", meanwhile)
    head = head_of("/small.txt")
    first = either.again(head)
    assert (first.status, first.body) == (200, b"y" * size)
    assert first.headers["etag"] == f'"{path.stat().st_mtime_ns:x}-{size:x}"'
    for _ in range(3):
        assert either.again(head).body == b"y" * size


def test_no_descriptor_is_left_open_by_what_is_no_file(site: Site) -> None:
    os.mkfifo(site.root / "fifo")
    before = len(os.listdir("/dev/fd"))
    for target in ("/fifo", "/fifo/", "/none", "/small.txt/x"):
        assert site.get(target).status == 404
    assert len(os.listdir("/dev/fd")) == before


# Answers that are remembered.


def test_the_same_head_is_answered_as_last_time(either: Site) -> None:
    head = head_of("/small.txt")
    first = either.again(head)
    second = either.again(head)
    assert (first.remembered, second.remembered) == (False, True)
    assert (second.status, second.headers, second.body) == (200, first.headers, SMALL)


@pytest.mark.parametrize(
    "head",
    [
        head_of("/small.txt", "HEAD"),
        head_of("/small.txt", accept_encoding="gzip"),
        head_of("/small.txt", range="bytes=0-1"),
        head_of("/small.txt", if_none_match='"x"'),
        head_of("/small.txt", if_match="*"),
        head_of("/small.txt", if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT"),
        head_of("/small.txt", if_unmodified_since="x"),
        head_of("/small.txt", connection="close"),
        head_of("/small.txt", content_length="1"),
        head_of("/large.txt"),
        head_of("/none"),
        head_of("/"),
    ],
    ids=lambda head: f"{head.method} {head.target.decode()} {head.headers[1:]}",
)
def test_what_is_not_remembered(either: Site, head: Any) -> None:
    for _ in range(3):
        assert not either.again(head).remembered
        assert head.memo is None


def test_a_remembered_answer_looks_every_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of("/small.txt")
    site.again(head)
    opens, stats = Calls(monkeypatch, "open"), Calls(monkeypatch, "stat")
    for count in range(1, 4):
        assert site.again(head).remembered
        assert (opens.count, stats.count) == (0, count)


def test_what_has_left_the_cache_holds_no_bytes(site: Site) -> None:
    heads = [head_of("/small.txt", user_agent=str(number)) for number in range(3)]
    for head in heads:
        site.again(head)
    memos = {id(head.memo): head.memo for head in heads}
    assert len(memos) == 1, "one file has one entry"
    (entry,) = memos.values()
    assert site.again(heads[0]).remembered
    site.get("/small.txt", accept_encoding="gzip, br")
    site.get("/small.txt", "HEAD", if_none_match="*")
    assert entry.response is not None and entry.dated
    site.folder.files.clear(site.row)
    assert entry.response is None and not entry.dated and entry.file is None and entry.kept == 0
    assert not site.again(heads[0]).remembered, "it has to be found anew"
    assert site.again(heads[0]).remembered


@pytest.mark.parametrize(("file_cache", "young"), [(True, True), (False, True), (False, False)])
def test_a_memo_holds_no_bytes_where_the_cache_does_not(tmp_path: Path, file_cache: bool, young: bool) -> None:
    site = Site(tmp_path, file_cache=file_cache)
    path, head = site.write("small.txt", SMALL), head_of("/small.txt")
    if young:
        site.row.wall = path.stat().st_ctime_ns / 1e9
    for _ in range(3):
        answer = site.again(head)
        assert answer.body == SMALL
        assert head.memo.response is None and not head.memo.dated
    assert answer.remembered == (not file_cache), "what is too young is looked for in earnest"
    assert site.row.table.kept == 0
    site.close()


def test_remembered_while_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cache it is read at each request, and it may grow between the look and the read."""
    site = Site(tmp_path, file_cache=False)
    path, head, real = site.write("small.txt", SMALL), head_of("/small.txt"), os.read
    site.again(head)

    def meanwhile(descriptor: int, count: int) -> bytes:
        monkeypatch.undo()
        path.write_bytes(SMALL + b"more")
        return real(descriptor, count)

    monkeypatch.setattr(os, "read", meanwhile)
    answer = site.again(head)
    assert (answer.remembered, answer.body) == (False, SMALL + b"more")
    site.close()


def test_an_applications_path_is_not_remembered(tmp_path: Path) -> None:
    """What is not there now can be there at the next request."""
    site = Site(tmp_path, spa=True)
    site.write("index.html", b"application")
    head = head_of("/page")
    for _ in range(3):
        assert site.again(head).body == b"application"
    page = site.write("page", b"page")
    for _ in range(3):
        assert site.again(head).body == b"page"
    page.unlink()
    for _ in range(3):
        assert site.again(head).body == b"application"
    site.write("page", b"page")
    assert site.again(head).body == b"page"
    site.close()


# A folder that is replaced.


@pytest.mark.parametrize("file_cache", [True, False])
def test_a_root_that_is_turned(tmp_path: Path, file_cache: bool) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "small.txt").write_bytes(name.encode())
        (tmp_path / name / "large.txt").write_bytes(name.encode() * 10_000)
    link = tmp_path / "site"
    link.symlink_to("one")
    folder, row = Folder(str(link), file_cache=file_cache), cast(Any, Visitor())
    small, large = head_of("/small.txt"), head_of("/large.txt")
    for name in (b"one", b"two") * 2:
        link.unlink()
        link.symlink_to(name.decode())
        folder.tick(row)
        assert row.table.kept == 0, "what lay in the other folder is let go of"
        for _ in range(2):
            assert Answer(folder, small, row).body == name
            assert Answer(folder, large, row).body == name * 10_000
        held = [entry.file for entry in folder.files.entries.values() if entry.file is not None]
        assert len(held) == int(file_cache)
        folder.tick(row)
        assert [entry.file for entry in folder.files.entries.values() if entry.file is not None] == held
    folder.files.clear(row)
    assert row.table.kept == 0


def test_a_root_that_is_gone_for_a_while(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write("a", b"a")
    site.get("/a")
    site.root.rename(tmp_path / "was")
    site.folder.tick(site.row)
    assert site.get("/a").body == b"a"  # it is served from where it is now
    site.root.mkdir()
    site.write("a", b"new")
    site.folder.tick(site.row)
    assert site.get("/a").body == b"new"
    site.close()


# Through a connection.


def rig_of(folder: Folder, seed: int = 1, wall: float = 2_500_000_000.0, **options: Any) -> Rig:
    """A server whose date is late enough for files of today to be old."""
    print(f"seed {seed}")
    rig = Rig(Server(folder), seed=seed, **options)
    began = rig.simulation.now()
    rig.simulation.wall = lambda: wall + rig.simulation.now() - began  # type: ignore[method-assign]
    return rig


def get(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


def bodies(heard: bytes) -> list[bytes]:
    """Cut what was heard into answers of 200 or 206 with a length; return their bodies."""
    found = []
    while heard:
        head, mark, heard = heard.partition(b"\r\n\r\n")
        assert mark and re.match(rb"HTTP/1\.1 20[06] ", head), head[:200]
        size = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert size is not None
        assert len(heard) >= int(size[1]), f"{len(heard)} bytes of {int(size[1])} came"
        found.append(heard[: int(size[1])])
        heard = heard[int(size[1]) :]
    return found


def heard_of(rig: Rig, peer: Peer, seconds: float = 2.0) -> bytes:
    heard = rig.hears(peer)
    heard += peer.heard()
    rig.run(seconds)
    return bytes(heard)


def asking(rig: Rig, count: int, data: bytes) -> list[Peer]:
    """Clients who have asked, and who don't read yet."""
    peers = rig.dials(count)
    for peer in peers:
        peer.say(data)
    rig.run(0.2)
    assert rig.states == ["WRITING"] * count
    return peers


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge"
    path.write_bytes(HUGE)
    return path


def test_clients_share_a_descriptor(tmp_path: Path, huge: Path) -> None:
    folder = Folder(str(tmp_path))
    rig = rig_of(folder)
    peers = asking(rig, 3, get("/huge"))
    assert opened(huge) == 1
    for peer in peers:
        assert bodies(heard_of(rig, peer)) == [HUGE]
    assert opened(huge) == 1, "it is kept"
    folder.files.clear(rig.rows[0])
    assert opened(huge) == 0
    rig.reactor.close()


def test_clients_without_a_cache_share_nothing(tmp_path: Path, huge: Path) -> None:
    rig = rig_of(Folder(str(tmp_path), file_cache=False))
    peers = asking(rig, 3, get("/huge"))
    assert opened(huge) == 3
    for left, peer in zip((2, 1, 0), peers, strict=True):
        assert bodies(heard_of(rig, peer)) == [HUGE]
        assert opened(huge) == left
    rig.reactor.close()


@pytest.mark.parametrize("how", ["cleared", "pushed out", "replaced"])
def test_what_is_being_sent_is_sent_whole(tmp_path: Path, huge: Path, how: str) -> None:
    """Whatever becomes of the cache and the name meanwhile; the file is closed when its last user is done."""
    folder = Folder(str(tmp_path))
    rig = rig_of(folder, limits=Limits(files_kept_max=1))
    first, second = asking(rig, 2, get("/huge"))
    kept = tmp_path / "kept"
    os.link(huge, kept)
    if how == "cleared":
        folder.files.clear(rig.rows[0])
    elif how == "pushed out":
        (tmp_path / "small").write_bytes(b"small")
        other = rig.dial()
        other.say(get("/small"))
        assert bodies(heard_of(rig, other)) == [b"small"]
        assert [entry.path for entry in folder.files.entries.values()] == [b"small"]
    else:
        (tmp_path / "new").write_bytes(b"new")
        os.replace(tmp_path / "new", huge)
        other = rig.dial()
        other.say(get("/huge"))
        assert bodies(heard_of(rig, other)) == [b"new"]
    assert opened(kept) == 1
    assert bodies(heard_of(rig, first)) == [HUGE]
    assert opened(kept) == 1
    assert bodies(heard_of(rig, second)) == [HUGE]
    assert opened(kept) == 0
    rig.reactor.close()


def test_a_client_who_leaves_closes_the_file(tmp_path: Path, huge: Path) -> None:
    rig = rig_of(Folder(str(tmp_path), file_cache=False))
    peers = asking(rig, 3, get("/huge"))
    for left, peer in zip((2, 1, 0), peers, strict=True):
        peer.abort()
        rig.run(0.2)
        assert opened(huge) == left
    assert not rig.rows


def test_a_head_request_keeps_nothing_open(tmp_path: Path, huge: Path) -> None:
    rig = rig_of(Folder(str(tmp_path), file_cache=False))
    peer = rig.dial()
    peer.say(get("/huge").replace(b"GET", b"HEAD"))
    heard = heard_of(rig, peer, 0.2)
    assert heard.endswith(b"Content-Length: %d\r\n\r\n" % len(HUGE))
    assert opened(huge) == 0
    rig.reactor.close()


@pytest.mark.parametrize("file_cache", [True, False])
def test_the_server_asks_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_cache: bool) -> None:
    path = tmp_path / "small.txt"
    path.write_bytes(SMALL)
    begun: list[bytes] = []
    real = Folder.begin

    def begin(folder: Folder, request: Request) -> Response:
        begun.append(request.target)
        return real(folder, request)

    monkeypatch.setattr(Folder, "begin", begin)
    rig = rig_of(Folder(str(tmp_path), file_cache=file_cache))
    peer = rig.dial()
    for data, count in ((SMALL, 2), (b"new", 3)):  # the first time, the head was not known either
        for _ in range(5):
            peer.say(get("/small.txt"))
            rig.run(0.1)
            assert bodies(peer.heard()) == [data]
        assert len(begun) <= count
        rewrite(path, b"new")
    assert rig.reactor.totals().requests == 10
    rig.reactor.close()


@pytest.mark.parametrize("file_cache", [True, False])
def test_a_turned_root_is_followed_within_a_second(tmp_path: Path, file_cache: bool) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(name.encode())
    link = tmp_path / "site"
    link.symlink_to("one")
    rig = rig_of(Folder(str(link), file_cache=file_cache))
    peer = rig.dial()
    seen = []
    for turn in range(20):
        if turn == 10:
            link.unlink()
            link.symlink_to("two")
        peer.say(get("/a"))
        rig.run(0.25)
        seen += bodies(peer.heard())
    assert seen[:10] == [b"one"] * 10
    assert seen[15:] == [b"two"] * 5
    rig.reactor.close()


# Freezing.


def move(rig: Rig) -> None:
    """Every machine, and what the engine still has to send for it, leaves as bytes and comes back."""
    for row in rig.rows:
        output = row.output if isinstance(row.output, File) else None
        frozen = freeze(cast(Machine, (row.machine, output)))
        if isinstance(row.machine, Http) and row.machine.body is not None:
            row.machine.body.close()  # as the process that is left behind does
        machine, output = cast(tuple[Machine, File | None], thaw(frozen, rig.reactor.table.rows.get))
        row.machine = machine
        if output is not None:
            row.output = output


def parts_in(heard: bytes) -> list[tuple[int, int, bytes]]:
    """Read one answer of several ranges back: (offset, count, bytes) of each."""
    (body,) = bodies(heard)
    found = re.search(rb"multipart/byteranges; boundary=(\w+)", heard)
    assert found is not None
    first, *parts, last = body.split(b"--" + found[1])
    assert (first, last) == (b"", b"--\r\n")
    read = []
    for part in parts:
        head, _, data = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        where = re.search(rb"Content-Range: bytes (\d+)-(\d+)/(\d+)", head)
        assert where is not None and int(where[3]) == len(HUGE)
        read.append((int(where[1]), int(where[2]) + 1 - int(where[1]), data))
    return read


RANGES = [(0, 100_001), (150_000, 120_000), (300_007, 1), (400_000, len(HUGE) - 400_000)]
RANGED = get("/huge", "Range: bytes=" + ", ".join(f"{offset}-{offset + count - 1}" for offset, count in RANGES))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("file_cache", [True, False])
def test_frozen_between_and_within_ranges(tmp_path: Path, huge: Path, seed: int, file_cache: bool) -> None:
    rig = rig_of(Folder(str(tmp_path), file_cache=file_cache), seed)
    (peer,) = asking(rig, 1, RANGED)
    heard = bytearray()
    moves = 0
    while len(heard) < sum(count for _, count in RANGES) and moves < 500:
        heard += peer.heard(5000)
        rig.run(0.02)
        move(rig)
        moves += 1
    rig.run(1)
    heard += peer.heard()
    assert moves > 50
    assert parts_in(bytes(heard)) == [(start, count, HUGE[start : start + count]) for start, count in RANGES]
    assert rig.states == ["IDLE"]
    rig.reactor.close()


def test_a_frozen_row_takes_no_cache_along(tmp_path: Path, huge: Path) -> None:
    (tmp_path / "secret").write_bytes(b"not for the row that leaves")
    folder = Folder(str(tmp_path))
    rig = rig_of(folder)
    (peer,) = asking(rig, 1, get("/secret") + get("/huge"))
    assert len(folder.files.entries) == 2
    machine = cast(Http, rig.rows[0].machine)
    frozen = freeze(machine)
    assert b"not for the row that leaves" not in frozen and len(frozen) < 2000
    thawed = cast(Http, thaw(frozen, rig.reactor.table.rows.get))
    files = cast(Folder, thawed.server.handler).files
    assert isinstance(files, Files) and not files.entries and files.caches
    thawed.ended(cast(Any, None))
    peer.abort()
    rig.run(0.2)


@pytest.mark.parametrize("how", ["replaced", "changed", "gone"])
def test_a_file_that_changed_while_its_ranges_were_frozen(tmp_path: Path, huge: Path, how: str) -> None:
    rig = rig_of(Folder(str(tmp_path)))
    (peer,) = asking(rig, 1, RANGED)
    move(rig)
    if how == "replaced":
        (tmp_path / "new").write_bytes(HUGE)
        os.replace(tmp_path / "new", huge)
    elif how == "changed":
        rewrite_alike(huge, HUGE[::-1])
    else:
        huge.unlink()
    heard = heard_of(rig, peer)
    assert len(heard) < 100_000
    assert peer.reset, "half an answer ended as if it were whole"
    assert not rig.rows


def thawed_body(body: FileBody) -> FileBody:
    return cast(FileBody, thaw(freeze(cast(Machine, body)), lambda key: cast(Row, None)))


@pytest.mark.parametrize("change", ["written in place", "written alike", "removed", "a folder now"])
def test_a_thawed_body_finds_another_file(tmp_path: Path, huge: Path, change: str) -> None:
    body = FileBody(OpenFile(str(huge)), [(0, 10), b"between", (20, 10)])
    assert isinstance(body.step(), File)
    again = thawed_body(body)
    body.close()
    assert opened(huge) == 0
    CHANGES[change][0](huge)
    assert again.step() == b"between"
    want = again.step()
    assert isinstance(want, File)
    with pytest.raises(OSError) as raised:
        want.file.fileno()
    if change in ("written in place", "written alike"):
        assert isinstance(raised.value, ChangedError)
        assert opened(huge) == 0, "what it found is open still"
    again.close()


def test_a_thawed_body_opens_its_file_when_it_is_needed(huge: Path) -> None:
    body = FileBody(OpenFile(str(huge)), [(0, 10), b"between", (20, 10)])
    again = thawed_body(body)
    body.close()
    assert opened(huge) == 0
    assert (again.size, str(again)) == (27, str(huge))
    want = again.step()
    assert isinstance(want, File)
    assert os.pread(want.file.fileno(), want.count, want.offset) == HUGE[:10]
    assert opened(huge) == 1
    again.close()
    assert opened(huge) == 0


def test_an_open_file_closes_with_its_last_user(huge: Path) -> None:
    file = OpenFile(str(huge))
    users = [file, file.share(), file.share()]
    for left in (1, 1, 0):
        assert opened(huge) == 1
        users.pop().close()
        assert opened(huge) == left
    forgotten = OpenFile(str(huge)).share()
    del forgotten, file
    assert opened(huge) == 0


# Kinds.


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("sub.html/a.txt", "text/plain; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("A.PNG", "image/png"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a", "application/octet-stream"),
        ("a.unknown-kind", "application/octet-stream"),
        ("a.tar.gz", "application/gzip"),  # not the type of what is packed
        ("a.html.gz", "application/gzip"),
        ("a.html.br", "application/x-brotli"),
        ("a.html.Z", "application/x-compress"),
        ("a.html.bz2", "application/octet-stream"),
        ("data:text/html,a.txt", "text/plain; charset=utf-8"),  # a name is no address
        ("data:text/html;base64,a", "application/octet-stream"),
        ("data:,a", "application/octet-stream"),
        ("http:a.html?b.txt", "text/plain; charset=utf-8"),
        ("é.txt", "text/plain; charset=utf-8"),
    ],
)
def test_kinds_by_name(name: str, kind: str) -> None:
    assert kind_of(os.fsencode(name)) == kind


@pytest.mark.parametrize("name", [b"\xff\xfe.txt", b"a\nb.txt", b"[.txt", b"//[/a.txt"])
def test_the_kind_of_an_odd_name(name: bytes) -> None:
    assert kind_of(name) == "text/plain; charset=utf-8"
