"""A folder, and nothing outside it: paths that climb, hide, are encoded twice, are too long, or are no files at all.

A path from the network is the oldest way into a server, so beside each site lies a secret, and no target may ever yield
it, neither from a table of known tricks nor from random mixes of their parts. What lies in the folder is not to be
trusted either: links lead out or in circles, a FIFO would wait for ever, and a file's name can be HTML. What is swapped
while we look is the business of `test_beneath.py`.
"""

import errno
import fcntl
import os
import re
import signal
import socket
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urljoin

import folders
import pytest
from folders import Answer, Visitor, head_of
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.engine import Limits
from partway.protocols.http import Folder

SECRET = b"the secret that lies outside"
FIXED = settings(max_examples=500)
IS_ROOT = os.geteuid() == 0


class Site(folders.Site):
    """A folder to serve, with a secret beside it, and, unless they are shown, in what it hides."""

    def __init__(self, base: Path, **options: object) -> None:
        super().__init__(base, **options)
        (base / "secret").write_bytes(SECRET)
        (base / "site-neighbour").mkdir()
        (base / "site-neighbour" / "secret").write_bytes(SECRET)
        self.write("a.txt", b"a")
        self.write("sub/b.txt", b"b")
        self.write("with index/index.html", b"<p>index</p>")
        self.write(".hidden", b"shown" if options.get("dotfiles") else SECRET)
        self.write(".git/config", b"shown" if options.get("dotfiles") else SECRET)


def asked(folder: str, target: bytes | str) -> Answer:
    """Ask some other folder."""
    return Answer(Folder(folder), head_of(target), Visitor())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


# What is served.


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/a.txt", b"a"),
        ("/sub/b.txt", b"b"),
        ("/a.txt?query=/../x", b"a"),
        ("/a.txt?", b"a"),
        ("//a.txt", b"a"),
        ("/sub//b.txt", b"b"),
        ("/%61.txt", b"a"),
        ("/sub/b%2Etxt", b"b"),
        ("/with%20index/", b"<p>index</p>"),
        ("/with%20index/index.html", b"<p>index</p>"),
    ],
)
def test_served(site: Site, target: str, body: bytes) -> None:
    answer = site.get(target)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    "target",
    [
        "/none",
        "/sub/none",
        "/none/none",
        "/a.txt/",
        "/a.txt/x",
        "/sub/b.txt//",
        "/%zz",
        "/a.txt%20",
        "/A.TXT" if os.path.normcase("A") == "A" else "/none",
    ],
)
def test_not_found(site: Site, target: str) -> None:
    assert site.get(target).status == 404


def test_last_modified(site: Site) -> None:
    os.utime(site.root / "a.txt", (0, 784111777))
    assert site.get("/a.txt").headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("seconds", [-1, -(1 << 40), 1 << 33, 253402300800, 1 << 40])
def test_a_file_from_any_time(site: Site, seconds: int) -> None:
    try:
        os.utime(site.root / "a.txt", (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("this file system knows no such time")
    assert site.get("/a.txt").status == 200


def test_names_in_any_writing(site: Site) -> None:
    for name in ("grüße.txt", "日本語", "a b", "a%b", "a?b", "a#b", "a\\b", "x" * 255, "a\nb", "a\x1bb", "~", "a:b"):
        site.write(name, name.encode())
        answer = site.get("/" + quote(name))
        assert (answer.status, answer.body) == (200, name.encode()), name


def test_names_in_no_writing(site: Site) -> None:
    name = b"latin-\xe9-\xff"
    site.write(name, b"found")
    assert site.get("/latin-%E9-%ff").body == b"found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
def test_only_reading(site: Site, method: str) -> None:
    for target in ("/a.txt", "/none", "/.hidden", "/../secret", "*", "a:443"):
        answer = site.get(target, method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("file", "none"):
        with pytest.raises(NotADirectoryError, match=name):
            Folder(str(tmp_path / name))


def test_the_root_may_be_a_link(site: Site, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site.root)
    assert asked(str(tmp_path / "link"), "/a.txt").body == b"a"


def test_the_root_of_all() -> None:
    assert asked("/", "/").status == 200
    assert asked("/", os.fsencode(quote(__file__))).body == Path(__file__).read_bytes()


# What is not.

CLIMBING = [
    "/../secret",
    "/../../../../../../etc/passwd",
    "/sub/../../secret",
    "/sub/..",
    "/..",
    "/.",
    "/./a.txt",
    "/...",
    "/%2e%2e/secret",
    "/%2E%2e/secret",
    "/.%2e/secret",
    "/%2e./secret",
    "/%252e%252e/secret",
    "/..%2fsecret",
    "/..%2Fsecret",
    "/%2e%2e%2fsecret",
    "/sub%2f..%2f..%2fsecret",
    "/sub%2fb.txt",
    "/..%5csecret",
    "/..\\secret",
    "/%c0%ae%c0%ae/secret",
    "/%c0%ae%c0%ae%c0%afsecret",
    "/\u2024\u2024/secret",
    "/..;/secret",
    "/../site-neighbour/secret",
    "/..%00/secret",
    "/a.txt%00",
    "/a.txt%00.html",
    "/%00",
    "/.hidden",
    "/%2ehidden",
    "/.git/config",
    "/.git/",
    "/%2egit%2fconfig",
    "/sub/../.hidden",
    "//../secret",
    "///..//..//secret",
    "/%2f%2fetc/passwd",
    "/%2fetc%2fpasswd",
    "//etc/passwd",
    "/~root/.profile",
    "/a.txt/../../secret",
    "/none/../../secret",
]


@pytest.mark.parametrize("target", CLIMBING)
def test_climbing_and_hiding(site: Site, target: str) -> None:
    answer = site.get(target)
    assert answer.status == 404
    assert SECRET not in answer.body


@pytest.mark.parametrize("target", ["*", "a.txt", "", "..", "?", "a:443", "\\a.txt"])
def test_a_target_that_is_no_path(site: Site, target: str) -> None:
    assert site.get(target).status == 400


@pytest.mark.parametrize(
    ("target", "status"), [("http://a/a.txt", 200), ("http://a/../secret", 404), ("http://a/sub", 301)]
)
def test_a_target_in_absolute_form(site: Site, target: str, status: int) -> None:
    """RFC 9112, 3.2.2: a server MUST accept it."""
    assert site.get(target).status == status


def test_a_link_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    site.link("link", "../secret")
    site.link("absolute", str(tmp_path / "secret"))
    site.link("out", "..")
    site.link("neighbour", "../site-neighbour")
    site.link("sub/chain", "../link")
    for target in (
        "/link",
        "/absolute",
        "/out/secret",
        "/out",
        "/out/",
        "/neighbour/secret",
        "/neighbour/",
        "/sub/chain",
    ):
        answer = site.get(target)
        assert answer.status == 404, target
        assert SECRET not in answer.body


def test_an_index_that_leads_out_of_the_folder(site: Site) -> None:
    site.link("sub/index.html", "../../secret")
    answer = site.get("/sub/")  # as if there were none, so the folder is listed
    assert SECRET not in answer.body and b"28 B" not in answer.body, "not even its size is told"
    assert answer.status == 200
    assert site.get("/sub/index.html").status == 404


@pytest.mark.parametrize("name", ["a.txt", "sub/b.txt"])
def test_what_was_served_becomes_a_link_out_of_the_folder(site: Site, name: str) -> None:
    assert site.get("/" + name).status == 200
    assert site.get("/" + name).status == 200  # now the file is in the cache, and looked at by its name
    (site.root / name).unlink()
    site.link(name, "../" * (1 + name.count("/")) + "secret")
    answer = site.get("/" + name)
    assert answer.status == 404
    assert SECRET not in answer.body


def test_a_folder_becomes_a_link_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    (tmp_path / "site-neighbour" / "b.txt").write_bytes(SECRET)
    head = head_of("/sub/b.txt")
    for _ in range(3):
        assert site.again(head).body == b"b"
    (site.root / "sub").rename(site.root / "was")
    site.link("sub", "../site-neighbour")
    answer = site.again(head)
    assert answer.status == 404
    assert SECRET not in answer.body


def test_a_coded_neighbour_that_is_a_link_out_of_the_folder(site: Site) -> None:
    site.link("a.txt.gz", "../secret")
    answer = site.get("/a.txt", accept_encoding="gzip")
    assert (answer.status, answer.body) == (200, b"a")
    assert "content-encoding" not in answer.headers


def test_a_link_within_the_folder(site: Site) -> None:
    site.link("link", "sub/b.txt")
    site.link("inner", "sub")
    assert site.get("/link").body == b"b"
    assert site.get("/inner/b.txt").body == b"b"


def test_a_link_that_leads_nowhere(site: Site) -> None:
    site.link("broken", "nowhere")
    assert site.get("/broken").status == 404
    assert b"broken" in site.get("/").body


# What begins with a dot, where that is shown.

SHOWN = {"/.hidden": b"shown", "/%2ehidden": b"shown", "/.git/config": b"shown", "/.git/": None}


@pytest.fixture
def dotted(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, dotfiles=True)
    yield site
    site.close()


@pytest.mark.parametrize("target", CLIMBING)
def test_climbing_where_dots_are_shown(dotted: Site, target: str) -> None:
    answer = dotted.get(target)
    assert SECRET not in answer.body
    assert answer.status == (200 if target in SHOWN else 404)
    if SHOWN.get(target):
        assert answer.body == SHOWN[target]


@pytest.mark.parametrize("part", ["..", ".", "%2e%2e", "%2e", ".%2E", "..%2f", "%2e%2e%2fsub", "%00", "%2e%2e%00"])
def test_no_part_climbs_or_stays(site: Site, part: str) -> None:
    for folder in (site.folder, Folder(str(site.root), dotfiles=True)):
        for shape in ("/{}", "/{}/", "/{}/a.txt", "/sub/{}", "/sub/{}/a.txt", "//{}//a.txt"):
            for method in ("GET", "HEAD", "OPTIONS"):
                head = head_of(shape.format(part), method)
                assert Answer(folder, head, site.row).status == 404, (head, folder.dotfiles)


def test_names_that_only_begin_with_dots(dotted: Site) -> None:
    for name in ("...", "..a", ".a."):
        dotted.write(name, name.encode())
        assert dotted.get("/" + name).body == name.encode()


def test_a_listing_shows_what_is_served(site: Site) -> None:
    assert entries_of(site.get("/").body) == ["./sub/", "./with%20index/", "./a.txt"]
    page = Answer(Folder(str(site.root), dotfiles=True), head_of("/"), site.row).body
    assert set(entries_of(page)) == {"./.git/", "./sub/", "./with%20index/", "./.hidden", "./a.txt"}


TRICKS = r".. . / // \ %2e %2E%2e %2f %5c %00 % %25 %252e ? # ; ~ %c0%ae http://a é loop out link"
NAMES = "secret site sub a.txt b.txt sub/index.html .hidden .git config etc/passwd site-neighbour"
PARTS = st.sampled_from([*TRICKS.split(), *NAMES.split(), " ", "x" * 300])


@pytest.fixture(scope="module")
def hard_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with links out and in circles, for random targets."""
    site = Site(tmp_path_factory.mktemp("hard"))
    site.link("link", "../secret")
    site.link("out", "..")
    site.link("loop", "loop")
    site.link("sub/loop", "../sub")
    yield site
    site.close()


def never_the_secret(site: Site, target: bytes) -> None:
    answer = site.get(target)
    assert SECRET not in answer.body, target
    assert b"root:" not in answer.body, target
    assert answer.status in (200, 301, 400, 404), (answer.status, target)


@FIXED
@given(st.lists(PARTS, max_size=12))
def test_no_mix_of_tricks_leads_out(hard_site: Site, parts: list[str]) -> None:
    never_the_secret(hard_site, b"/" + "".join(parts).encode())
    never_the_secret(hard_site, "/".join(parts).encode())


@FIXED
@given(st.binary(max_size=60))
def test_no_bytes_lead_out(hard_site: Site, data: bytes) -> None:
    never_the_secret(hard_site, b"/" + data)
    never_the_secret(hard_site, b"/" + quote(data, safe="").encode())


# What is no file, or cannot be had.


@pytest.mark.parametrize("length", [256, 5000])
def test_a_name_too_long(site: Site, length: int) -> None:
    assert site.get("/" + "x" * length).status == 404
    assert site.get("/" + "x" * length + "/").status == 404


def test_a_path_too_long(site: Site) -> None:
    assert site.get("/sub" * 2000).status == 404


def test_links_in_a_circle(site: Site) -> None:
    site.link("loop", "loop")
    site.link("one", "two")
    site.link("two", "one")
    for target in ("/loop", "/loop/", "/loop/x", "/one"):
        assert site.get(target).status == 404, target


def test_a_listing_with_a_link_in_a_circle(site: Site) -> None:
    site.link("loop", "loop")
    answer = site.get("/")
    assert answer.status == 200
    assert b"a.txt" in answer.body


def test_a_fifo_is_no_file_and_keeps_nobody_waiting(site: Site) -> None:
    os.mkfifo(site.root / "fifo")
    assert site.get("/fifo").status in (403, 404)
    assert b"fifo" in site.get("/").body


def test_a_socket_is_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.root)  # a socket's path is 107 bytes at most
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind("socket")
        assert site.get("/socket").status in (403, 404)


def test_a_device_is_no_file() -> None:
    assert asked("/dev", "/null").status in (403, 404)
    assert asked("/dev", "/tty").status in (403, 404)


def test_an_index_that_is_no_file(site: Site) -> None:
    os.mkfifo(site.root / "sub" / "index.html")
    assert site.get("/sub/").status in (200, 403, 404)


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_what_may_not_be_read(site: Site) -> None:
    (site.root / "a.txt").chmod(0)
    (site.root / "sub").chmod(0)
    try:
        assert site.get("/a.txt").status == 403
        assert site.get("/sub/").status == 403
        assert site.get("/sub/b.txt").status in (403, 404)
    finally:
        (site.root / "sub").chmod(0o700)


def no_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From now on opening fails in this way."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EACCES, 403),
        (errno.EPERM, 403),
        (errno.ENXIO, 404),  # a socket, or a FIFO
        (errno.EOPNOTSUPP, 404),  # a socket, on BSD
        (errno.ENODEV, 404),
        (errno.EILSEQ, 404),  # a name that the file system can't have
        (errno.EINVAL, 404),
        (errno.EMFILE, 503),
        (errno.ENFILE, 503),
        (errno.EAGAIN, 503),  # somebody has a lease on it
    ],
    ids=errno.errorcode.get,
)
@pytest.mark.parametrize("target", ["/a.txt", "/"])
def test_what_cannot_be_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch, target: str, number: int, status: int
) -> None:
    no_open(monkeypatch, number)
    answer = site.get(target)
    monkeypatch.undo()
    assert answer.status == status
    assert str(site.root).encode() not in answer.body, "where it lies is nobody's business"


def test_what_nobody_expects_is_a_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails is for the operator to hear of: the row ends with a notice, and its client reads 500."""
    no_open(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        site.get("/a.txt")
    monkeypatch.undo()


def test_a_leased_file(site: Site) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with open(site.root / "a.txt", "rb") as file:
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            except (OSError, AttributeError):
                pytest.skip("there are no leases here")
            assert site.get("/a.txt").status == 503
        assert site.get("/a.txt").body == b"a"
    finally:
        signal.signal(signal.SIGIO, before)


# Folders.


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("//sub", "/sub/"),
        ("///sub", "/sub/"),
        ("/with%20index", "/with%20index/"),
        ("/with index", "/with%20index/"),
        ("/sub?a=b", "/sub/?a=b"),
    ],
)
def test_a_folder_without_its_slash(site: Site, target: str, location: str) -> None:
    answer = site.get(target)
    assert answer.status == 301
    assert answer.headers["location"] == location


@FIXED
@given(st.lists(st.sampled_from(["/", "\\", "evil.com", "sub", "%2f", "%5c", ".", "\t", "?", "@", ":"]), max_size=8))
def test_a_redirect_never_leaves_the_server(redirecting: Site, parts: list[str]) -> None:
    answer = redirecting.get("/" + "".join(parts))
    if answer.status == 301:
        location = answer.headers["location"]
        assert re.fullmatch(r"/[!-.0-\[\]-~][!-~]*", location), location
        assert urljoin("http://here/x", location).startswith("http://here/")


@pytest.fixture(scope="module")
def redirecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("redirecting"))
    for name in ("evil.com/x", "\\evil.com/x", "\\/x", "\t/x", "@/x", ":/x"):
        site.write(name, b"")
    yield site
    site.close()


# Listings, as far as they are the folder's business; `test_http_listing.py` has the page itself.


def links_of(page: bytes) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]*)"', page.decode())]


def entries_of(page: bytes) -> list[str]:
    return [link for link in links_of(page) if link.startswith("./")]


def followed(here: str, link: str) -> str:
    """Where a link leads a browser."""
    return urljoin("http://here" + here, link).removeprefix("http://here")


AWKWARD = ['"quoted"', "<script>alert(1)</script>", "a\nb", "&amp;", "a b", "a%41", "'", "http:", "a#b", "a?b", "ü"]


def test_a_listing(site: Site) -> None:
    answer = site.get("/")
    assert entries_of(answer.body) == ["./sub/", "./with%20index/", "./a.txt"]
    assert b".hidden" not in answer.body and b".git" not in answer.body and SECRET not in answer.body
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "etag" not in answer.headers and "accept-ranges" not in answer.headers
    assert site.get("/", "HEAD").headers == answer.headers


def test_a_listing_is_in_the_order_asked_for(site: Site) -> None:
    site.write("list/large", b"larger")
    site.write("list/small", b"s")
    assert entries_of(site.get("/list/").body) == ["./large", "./small"]
    assert entries_of(site.get("/list/?sort=size&order=asc").body) == ["./small", "./large"]


def test_a_listing_has_a_cap(site: Site) -> None:
    site.row.limits = Limits(listing_entries_max=2)
    assert len(entries_of(site.get("/").body)) == 2
    site.row.limits = Limits()
    assert len(entries_of(site.get("/").body)) == 3


def test_a_listing_that_fails_leaves_nothing_open(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("partway.protocols.http.folder.Listing", fail)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(MemoryError):
        site.get("/")
    assert len(os.listdir("/dev/fd")) == before


def test_awkward_names_lead_to_their_files(site: Site) -> None:
    names = [name.replace("/", "_") for name in AWKWARD]
    for name in names:
        site.write("list/" + name, name.encode())
        site.write(f"list/folder {name}/inside", name.encode())
    site.write(b"list/\xff\xe9", b"latin")
    page = site.get("/list/").body
    assert b"<script>" not in page
    found = []
    for link in entries_of(page):
        target = followed("/list/", link)
        answer = site.get(target + "inside" if target.endswith("/") else target)
        assert answer.status == 200, target
        found.append(answer.body)
    assert sorted(found) == sorted([name.encode() for name in names] * 2 + [b"latin"])


def test_a_folders_own_name_is_decoded_and_escaped(site: Site) -> None:
    (site.root / "<img src=x>&%41").mkdir()
    page = site.get("/" + quote("<img src=x>&%41") + "/").body
    assert b"<img" not in page
    assert b"<title>/&lt;img src=x&gt;&amp;%41/</title>" in page


def test_every_link_of_every_page(site: Site) -> None:
    for name in ("p/q/r/s.txt", "p/é/ü.txt", "p/a b/c d"):
        site.write(name, b"leaf")
    seen: set[str] = set()
    todo = ["/", "//p//q//r//"]
    while todo:
        target = todo.pop()
        if target in seen:
            continue
        seen.add(target)
        answer = site.get(target)
        assert answer.status == 200, target
        if target.endswith("/") and answer.headers["content-type"].startswith("text/html"):
            todo += [followed(target, link) for link in links_of(answer.body)]
    names = {unquote_to_bytes(target).decode() for target in seen}
    assert {"/p/q/r/s.txt", "/p/é/ü.txt", "/p/a b/c d", "/a.txt", "/sub/b.txt"} <= names
