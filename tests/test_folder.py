"""A folder, and nothing outside it: paths that climb, hide, are encoded twice, are too long, or are no files at all.

A path from the network is the oldest way into a server, so beside each site lies a secret, and no target may ever yield
it, neither from a table of known tricks nor from random mixes of their parts. What lies in the folder is not to be
trusted either: links lead out or in circles, a FIFO would wait for ever, and a file's name can be HTML.
"""

import errno
import os
import re
import socket
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.engine import PeerError
from partway.protocols.http import Request
from partway.protocols.http.folder import Folder
from partway.protocols.http.head import Head
from partway.protocols.http.open_file import OpenFile

SECRET = b"the secret that lies outside"
FIXED = settings(max_examples=500, derandomize=True, deadline=None, database=None)
IS_ROOT = os.geteuid() == 0


class Answer:
    """A response, taken apart; a refusal is a status alone. Closes the file."""

    def __init__(self, folder: Folder, target: bytes | str, method: str = "GET") -> None:
        raw = target.encode() if isinstance(target, str) else target
        self.headers: dict[str, str] = {}
        self.body = b""
        try:
            response = folder(Request(Head(method, raw, (1, 1), ()), ("client", 1), 0.0))
        except PeerError as error:
            self.status = error.hint
            return
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers}
        if isinstance(response.body, OpenFile):
            self.body = response.body.read(response.body.size)
            response.body.close()
        else:
            self.body = response.body


class Site:
    """A folder to serve, with a secret beside it."""

    def __init__(self, base: Path) -> None:
        self.root = base / "site"
        self.root.mkdir()
        (base / "secret").write_bytes(SECRET)
        (base / "site-neighbour").mkdir()
        (base / "site-neighbour" / "secret").write_bytes(SECRET)
        self.write("a.txt", b"a")
        self.write("sub/b.txt", b"b")
        self.write("with index/index.html", b"<p>index</p>")
        self.write(".hidden", SECRET)
        self.write(".git/config", SECRET)
        self.folder = Folder(str(self.root))

    def write(self, name: str | bytes, data: bytes) -> None:
        path = os.path.join(os.fsencode(self.root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def link(self, name: str, target: str) -> None:
        (self.root / name).symlink_to(target)

    def get(self, target: bytes | str, method: str = "GET") -> Answer:
        return Answer(self.folder, target, method)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("A.PNG", "image/png"),
        ("a", "application/octet-stream"),
        ("a.unknown-kind", "application/octet-stream"),
        ("a.tar.gz", "application/octet-stream"),  # not the type of what is packed
        ("a.html.gz", "application/octet-stream"),
    ],
)
def test_content_type(site: Site, name: str, kind: str) -> None:
    site.write(name, b"x")
    assert site.get("/" + name).headers["content-type"] == kind


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


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_only_reading(site: Site, method: str) -> None:
    answer = site.get("/a.txt", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("file", "none"):
        with pytest.raises(NotADirectoryError, match=name):
            Folder(str(tmp_path / name))


def test_the_root_may_be_a_link(site: Site, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site.root)
    assert Answer(Folder(str(tmp_path / "link")), "/a.txt").body == b"a"


def test_the_root_of_all() -> None:
    assert Answer(Folder("/"), "/").status == 200
    assert Answer(Folder("/"), os.fsencode(quote(__file__))).body == Path(__file__).read_bytes()


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
    answer = site.get("/sub/")
    assert SECRET not in answer.body
    assert answer.status == 404


def test_a_link_within_the_folder(site: Site) -> None:
    site.link("link", "sub/b.txt")
    site.link("inner", "sub")
    assert site.get("/link").body == b"b"
    assert site.get("/inner/b.txt").body == b"b"


def test_a_link_that_leads_nowhere(site: Site) -> None:
    site.link("broken", "nowhere")
    assert site.get("/broken").status == 404
    assert b"broken" in site.get("/").body


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
    assert Answer(Folder("/dev"), "/null").status in (403, 404)
    assert Answer(Folder("/dev"), "/tty").status in (403, 404)


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


@pytest.mark.parametrize("error", [PermissionError(13, "no"), PermissionError(1, "no")])
def test_permission_denied(site: Site, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def no_open(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr("partway.protocols.http.open_file.os.open", no_open)
    answer = site.get("/a.txt")
    monkeypatch.undo()
    assert answer.status == 403


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
def redirecting(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("redirecting"))
    for name in ("evil.com/x", "\\evil.com/x", "\\/x", "\t/x", "@/x", ":/x"):
        site.write(name, b"")
    return site


def links_of(page: bytes) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]*)"', page.decode())]


AWKWARD = [
    '"quoted"',
    "<script>alert(1)</script>",
    "a\nb",
    "&amp;",
    "a b",
    "a%41",
    "'",
    "http:",
    "a#b",
    "a?b",
    "ü",
    "\x1b[31m",
]


def test_a_listing(site: Site) -> None:
    page = site.get("/").body.decode()
    assert links_of(page.encode()) == ["./sub/", "./with%20index/", "./a.txt"]
    assert "hidden" not in page and ".git" not in page and SECRET.decode() not in page
    assert site.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_a_listing_of_nothing(site: Site) -> None:
    (site.root / "empty").mkdir()
    assert links_of(site.get("/empty/").body) == ["../"]


def test_awkward_names_are_escaped_and_their_links_work(site: Site) -> None:
    for name in AWKWARD:
        site.write(b"list/" + name.encode().replace(b"/", b"_"), name.encode())
        site.write(b"list/folder " + name.encode().replace(b"/", b"_") + b"/inside", name.encode())
    site.write(b"list/\xff\xe9", b"latin")
    page = site.get("/list/").body
    assert b"<script>" not in page and b'""' not in page
    links = links_of(page)
    assert len(links) == 1 + 2 * len(AWKWARD) + 1
    found = set()
    for link in links[1:]:
        target = urljoin("http://here/list/", link).removeprefix("http://here")
        answer = site.get(target + "inside" if target.endswith("/") else target)
        assert answer.status == 200, target
        found.add(answer.body)
    assert found == {name.encode() for name in AWKWARD} | {b"latin"}


def test_a_folders_own_name_is_escaped(site: Site) -> None:
    site.write("<img src=x>&\"'/x", b"")
    page = site.get("/" + quote("<img src=x>&\"'") + "/").body
    assert b"<img" not in page
    assert page.count(b"&lt;img src=x&gt;&amp;&quot;&#x27;") == 2


def test_the_way_up_works(site: Site) -> None:
    site.write("one/two/x", b"")
    for target in ("/one/two/", "/one//two//", "/one/"):
        above = links_of(site.get(target).body)[0]
        where = urljoin("http://here" + re.sub("//+", "/", target), above).removeprefix("http://here")
        assert site.get(where).status == 200


def test_every_link_of_every_page(site: Site) -> None:
    for name in ("p/q/r/s.txt", "p/é/ü.txt", "p/a b/c d"):
        site.write(name, b"leaf")
    seen: set[str] = set()
    todo = ["/"]
    while todo:
        target = todo.pop()
        if target in seen:
            continue
        seen.add(target)
        answer = site.get(target)
        assert answer.status == 200, target
        if answer.body != b"leaf" and target.endswith("/"):
            todo += [
                urljoin("http://here" + target, link).removeprefix("http://here") for link in links_of(answer.body)
            ]
    names = {unquote_to_bytes(target).decode() for target in seen}
    assert {"/p/q/r/s.txt", "/p/é/ü.txt", "/p/a b/c d", "/a.txt", "/sub/b.txt"} <= names


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_for_a_file_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "a.txt").write_text("a")
    folder = Folder(str(tmp_path))

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, "none left")

    monkeypatch.setattr("partway.protocols.http.open_file.os.open", fail)
    assert Answer(folder, "/a.txt").status == 503
