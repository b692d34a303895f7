"""What a folder can be told to do, and what a client may ask of a file: each option on each kind of answer.

A file may be small (its bytes are at hand) or large (it is sent from where it lies), and nobody who asks may tell the
difference, so whatever concerns files is tried with both.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import LARGE, LATER, SMALL, Answer, Site, Visitor, head_of
from partway.engine import Limits
from partway.protocols.http import Folder, Server
from partway.protocols.http.message import http_date
from worlds import Rig

MODIFIED = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER, AFTER = http_date(MODIFIED - 1), http_date(MODIFIED + 1)

Make = Callable[..., Site]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes folders with the options that one names."""
    made: list[Site] = []

    def make(row: Visitor | None = None, **options: Any) -> Site:
        site = Site(tmp_path, row, **options)
        site.write("small.txt", SMALL, MODIFIED)
        site.write("large.txt", LARGE, MODIFIED)
        site.write("sub/inner.txt", b"inner", MODIFIED)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture(params=["small.txt", "large.txt"])
def name(request: pytest.FixtureRequest) -> str:
    """A file whose bytes are at hand, and one that is sent from where it lies."""
    return str(request.param)


def bytes_of(name: str) -> bytes:
    return SMALL if name == "small.txt" else LARGE


# index, listing.


@pytest.mark.parametrize("index", ["home.htm", "Default", "small.txt"])
def test_an_index_by_another_name(make: Make, index: str) -> None:
    site = make(index=index)
    for folder in ("", "sub/"):
        site.write(folder + "index.html", b"not this one")
        site.write(folder + index, b"the index")
        assert site.get("/" + folder).body == b"the index"
    assert site.get("/?query").body == b"the index"
    (site.root / index).unlink()
    assert b"<title>" in site.get("/").body


@pytest.mark.parametrize("index", ["", "."])
def test_no_index_at_all(make: Make, index: str) -> None:
    site = make(index=index)
    site.write("index.html", b"index")
    assert b"./index.html" in site.get("/").body
    assert b"./inner.txt" in site.get("/sub/").body


def test_an_index_that_is_a_folder(make: Make) -> None:
    site = make()
    (site.root / "index.html").mkdir()
    assert b"./index.html/" in site.get("/").body


def test_an_index_is_answered_as_a_file(make: Make) -> None:
    site = make()
    site.write("index.html", b"<p>", MODIFIED)
    site.write("index.html.gz", b"packed", MODIFIED)
    whole = site.get("/")
    assert whole.headers["content-type"] == "text/html; charset=utf-8"
    assert site.get("/", if_none_match=whole.headers["etag"]).status == 304
    assert site.get("/", range="bytes=1-1").body == b"p"
    assert site.get("/", accept_encoding="gzip").body == b"packed"


def test_no_listing(make: Make) -> None:
    site = make(listing=False)
    for target in ("/", "/sub/", "/none/"):
        assert site.get(target).status == 404
    assert site.get("/sub").status == 301
    assert site.get("/sub/inner.txt").body == b"inner"
    site.write("sub/index.html", b"index")
    assert site.get("/sub/").body == b"index"


# spa.


@pytest.fixture
def spa(make: Make) -> Site:
    site = make(spa=True)
    site.write("index.html", b"application", MODIFIED)
    return site


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 200),
        ("/none", 200),
        ("/deep/and/deeper", 200),
        ("/deep/and/deeper/", 200),
        ("/sub/none", 200),
        ("/v1.2/none", 200),  # a dot further up says nothing
        ("/none?file=a.js", 200),
        ("/app.js", 404),
        ("/none.txt", 404),
        ("/deep/app.js", 404),
        ("/deep/app.js/", 404),
        ("/deep/app%2Ejs", 404),
        ("/.hidden", 404),
        ("/../none", 404),
        ("/..%2fnone", 404),
        ("/none%00", 404),
        ("/small.txt/none", 404),
    ],
)
def test_an_application(spa: Site, target: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        answer = spa.get(target, method)
        assert answer.status == status
        assert (answer.body == b"application") == (status == 200)
        if status == 200:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_an_application_has_files_and_folders_too(spa: Site) -> None:
    assert spa.get("/small.txt").body == SMALL
    assert spa.get("/sub/inner.txt").body == b"inner"
    assert spa.get("/sub").headers["location"] == "/sub/"
    assert b"./inner.txt" in spa.get("/sub/").body
    spa.write("sub/index.html", b"another")
    assert spa.get("/sub/").body == b"another"


def test_an_applications_index_is_answered_as_a_file(spa: Site) -> None:
    spa.write("index.html.gz", b"packed", MODIFIED)
    etag = spa.get("/").headers["etag"]
    assert spa.get("/deep", if_none_match=etag).status == 304
    assert spa.get("/deep", range="bytes=0-2").body == b"app"
    assert spa.get("/deep", accept_encoding="gzip").body == b"packed"


@pytest.mark.parametrize("what", ["nothing", "folder", "link out"])
@pytest.mark.parametrize("target", ["/deep", "/deep/"])
def test_an_application_without_its_index(spa: Site, what: str, target: str) -> None:
    index = spa.root / "index.html"
    index.unlink()
    if what == "folder":
        index.mkdir()
    elif what == "link out":
        index.symlink_to("/etc/passwd")
    assert spa.get(target).status == 404


def test_an_application_with_an_index_by_another_name(make: Make) -> None:
    site = make(spa=True, index="app.htm")
    site.write("app.htm", b"application")
    assert site.get("/deep").body == b"application"


def test_no_application_unless_asked_for(make: Make) -> None:
    site = make()
    site.write("index.html", b"index")
    assert site.get("/").body == b"index"
    assert site.get("/deep").status == 404


# Headers that come with everything, or with what can be kept.


def answers_of(site: Site) -> dict[str, Answer]:
    """One answer of each kind."""
    etag = site.get("/small.txt").headers["etag"]
    return {
        "200 small": site.get("/small.txt"),
        "200 large": site.get("/large.txt"),
        "200 head": site.get("/small.txt", "HEAD"),
        "200 listing": site.get("/"),
        "206 small": site.get("/small.txt", range="bytes=0-1"),
        "206 large": site.get("/large.txt", range="bytes=0-1"),
        "206 several": site.get("/large.txt", range="bytes=0-1,5-6"),
        "304": site.get("/small.txt", if_none_match=etag),
        "204": site.get("/small.txt", "OPTIONS"),
        "204 all": site.get("*", "OPTIONS"),
        "301": site.get("/sub"),
        "404": site.get("/none"),
        "404 options": site.get("/..", "OPTIONS"),
        "405": site.get("/small.txt", "POST"),
        "412": site.get("/small.txt", if_match='"x"'),
        "416": site.get("/small.txt", range="bytes=99999-"),
    }


def test_cache_control(make: Make) -> None:
    for kind, answer in answers_of(make(cache_control="max-age=60")).items():
        kept = kind.split()[0] in ("200", "206", "304")
        assert answer.headers.get("cache-control") == ("max-age=60" if kept else None), kind
        assert answer.status == int(kind.split()[0]), kind
    for kind, answer in answers_of(make()).items():
        assert "cache-control" not in answer.headers, kind


@pytest.mark.parametrize("origin", ["*", "https://example.org"])
def test_cors(make: Make, origin: str) -> None:
    for kind, answer in answers_of(make(cors=origin)).items():
        assert answer.headers["access-control-allow-origin"] == origin, kind
        if kind != "304":
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"Content-Range", "ETag", "Content-Length"} <= set(exposed), kind


def test_no_cors(make: Make) -> None:
    for kind, answer in answers_of(make()).items():
        assert not any(header.startswith("access-control") for header in answer.headers), kind


def test_cors_where_the_server_is_at_its_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make(cors="*")
    for number, status in ((13, 403), (24, 503)):

        def fail(*_: object, number: int = number, **__: object) -> int:
            raise OSError(number, "no")

        with monkeypatch.context() as patch:
            patch.setattr("os.open", fail)
            answer = site.get("/small.txt")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")


@pytest.mark.parametrize("target", ["/small.txt", "/", "/none", "*"])
def test_a_preflight(make: Make, target: str) -> None:
    """The Fetch standard, 4.8: any status from 200 to 299 will do."""
    asked = {"origin": "https://a", "access_control_request_method": "GET", "access_control_request_headers": "range"}
    answer = make(cors="*").get(target, "OPTIONS", **asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == answer.headers["allow"] == "GET, HEAD, OPTIONS"
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"range", "if-range", "if-none-match", "if-modified-since"} <= set(allowed)
    assert answer.headers["access-control-max-age"] == "600"
    assert make().get(target, "OPTIONS", **asked).headers == {"allow": "GET, HEAD, OPTIONS"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
def test_other_methods(make: Make, method: str) -> None:
    """RFC 9110, 15.5.6: Allow must say what is."""
    answer = make().get("/small.txt", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("/sub?", "/sub/?"),
        ("/sub?a=b&c=%20d+e", "/sub/?a=b&c=%20d+e"),
        ("/sub?to=http://x/?y", "/sub/?to=http://x/?y"),
        ('/sub?"<>\\^`{|}', '/sub/?"<>\\^`{|}'),
        ("http://a/sub?q", "/sub/?q"),
    ],
)
def test_a_redirect_keeps_the_query(make: Make, target: str, location: str) -> None:
    site = make()
    for method in ("GET", "HEAD"):
        answer = site.get(target, method)
        assert (answer.status, answer.headers["location"]) == (301, location)


# Conditions.


def test_what_describes_a_file(make: Make, name: str) -> None:
    site = make()
    assert site.get("/" + name).headers == {
        "content-type": "text/plain; charset=utf-8",
        "last-modified": DATE,
        "etag": f'"{MODIFIED * 10**9:x}-{len(bytes_of(name)):x}"',
        "accept-ranges": "bytes",
        "vary": "Accept-Encoding",
    }


def test_no_file_is_from_the_future(make: Make, name: str) -> None:
    """RFC 9110, 8.8.2.1: a date of modification after that of the answer must be replaced by the latter."""
    site = make()
    site.row.wall = MODIFIED - 10
    assert site.get("/" + name).headers["last-modified"] == http_date(MODIFIED - 10)


MATCHES: list[tuple[dict[str, str], int]] = [
    ({"if_none_match": "{etag}"}, 304),
    ({"if_none_match": "W/{etag}"}, 304),
    ({"if_none_match": '"x", {etag}'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"x"'}, 200),
    ({"if_none_match": '"x"', "if_modified_since": AFTER}, 200),
    ({"if_modified_since": DATE}, 304),
    ({"if_modified_since": AFTER}, 304),
    ({"if_modified_since": EARLIER}, 200),
    ({"if_modified_since": "never"}, 200),
    ({"if_match": "{etag}"}, 200),
    ({"if_match": "*"}, 200),
    ({"if_match": '"x"'}, 412),
    ({"if_match": "W/{etag}"}, 412),
    ({"if_match": "{etag}", "if_none_match": "{etag}"}, 304),
    ({"if_unmodified_since": DATE}, 200),
    ({"if_unmodified_since": EARLIER}, 412),
    ({"if_match": "{etag}", "range": "bytes=0-9"}, 206),
    ({"if_none_match": "{etag}", "range": "bytes=0-9"}, 304),
    ({"if_match": '"x"', "range": "bytes=0-9"}, 412),
]


@pytest.mark.parametrize(("conditions", "status"), MATCHES)
def test_conditions(make: Make, conditions: dict[str, str], status: int) -> None:
    site = make(cache_control="max-age=60")
    for name, data in (("/small.txt", SMALL), ("/large.txt", LARGE)):
        whole = site.get(name)
        asked = {header: value.format(etag=whole.headers["etag"]) for header, value in conditions.items()}
        for method in ("GET", "HEAD"):
            answer = site.get(name, method, **asked)
            assert answer.status == (200 if status == 206 and method == "HEAD" else status)
            if status == 304:
                kept = ("etag", "last-modified", "vary", "cache-control")
                assert answer.headers == {header: whole.headers[header] for header in kept}
                assert answer.body == b""
            elif answer.status == 200:
                assert (answer.headers, answer.body) == (whole.headers, data)


@pytest.mark.parametrize("target", ["/none", "/sub", "/..", "/"])
def test_conditions_are_for_files_that_are_there(make: Make, target: str) -> None:
    """RFC 9110, 13.2.1: a condition does not make a success of what was none."""
    site = make()
    plain = site.get(target)
    for conditions in ({"if_none_match": "*"}, {"if_match": '"x"'}, {"range": "bytes=0-1"}):
        assert site.get(target, **conditions).status == plain.status


# Ranges.


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("0-9", 0, 9),
        ("10-99", 10, 99),
        ("-1", -1, -1),
        ("-500", -500, -1),
        ("500-", 500, -1),
        ("0-", 0, -1),
        ("999-99999999999", 999, -1),
        ("-99999999999", 0, -1),
    ],
)
def test_one_range(make: Make, name: str, asked: str, first: int, last: int) -> None:
    site, data = make(), bytes_of(name)
    size = len(data)
    first, last = first % size, last % size
    answer = site.get("/" + name, range=f"bytes={asked}")
    assert answer.status == 206
    assert answer.body == data[first : last + 1]
    whole = site.get("/" + name).headers
    assert answer.headers == {**whole, "content-range": f"bytes {first}-{last}/{size}"}


def parts_of(answer: Answer) -> list[tuple[str, str, bytes]]:
    """Read multipart/byteranges back (RFC 9110, 14.6): type, range and bytes of each part."""
    found = re.fullmatch("multipart/byteranges; boundary=([0-9a-f]{32})", answer.headers["content-type"])
    assert found is not None
    mark = b"--" + found[1].encode()
    first, *parts, last = (b"\r\n" + answer.body).split(b"\r\n" + mark)
    assert (first, last) == (b"", b"--\r\n")
    read = []
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        empty, kind, where = head.decode().split("\r\n")
        assert empty == ""
        read.append((kind.removeprefix("Content-Type: "), where.removeprefix("Content-Range: bytes "), data))
    return read


@pytest.mark.parametrize(
    ("asked", "pairs"),
    [
        ("0-0,-1", [(0, 0), (-1, -1)]),
        ("0-99,200-299", [(0, 99), (200, 299)]),
        ("200-299, 0-99", [(200, 299), (0, 99)]),
        ("0-9,5-14", [(0, 9), (5, 14)]),
        ("0-9,99999999-,20-29", [(0, 9), (20, 29)]),
        (",".join(f"{place}-{place}" for place in range(16)), [(place, place) for place in range(16)]),
    ],
)
def test_several_ranges(make: Make, name: str, asked: str, pairs: list[tuple[int, int]]) -> None:
    site, data = make(), bytes_of(name)
    size = len(data)
    answer = site.get("/" + name, range=f"bytes={asked}")
    assert answer.status == 206
    wanted = [(first % size, last % size) for first, last in pairs]
    kind = "text/plain; charset=utf-8"
    assert parts_of(answer) == [(kind, f"{first}-{last}/{size}", data[first : last + 1]) for first, last in wanted]
    whole = site.get("/" + name).headers
    assert {**answer.headers, "content-type": kind} == whole, "and no Content-Range, which would be one part's"


def test_each_boundary_is_another(make: Make) -> None:
    site = make()
    kinds = {site.get("/small.txt", range="bytes=0-1,3-4").headers["content-type"] for _ in range(10)}
    assert len(kinds) == 10


def test_no_such_range(make: Make, name: str) -> None:
    site, size = make(), len(bytes_of(name))
    for asked in (f"{size}-", "9999999-", "-0", f"{size}-,{size + 5}-{size + 9}"):
        answer = site.get("/" + name, range=f"bytes={asked}")
        assert answer.status == 416, asked
        assert answer.headers["content-range"] == f"bytes */{size}"
    site.write("empty", b"")
    assert site.get("/empty", range="bytes=0-").status == 416


@pytest.mark.parametrize("asked", ["lines=0-1", "bytes=", "bytes=1", "bytes=2-1", "bytes=a-b", "0-1", "bytes=0-1,x"])
def test_what_is_no_range_is_ignored(make: Make, name: str, asked: str) -> None:
    answer = make().get("/" + name, range=asked)
    assert (answer.status, answer.body) == (200, bytes_of(name))


def test_more_ranges_than_may_be(make: Make, name: str) -> None:
    site = make(Visitor(Limits(ranges_max=2)))
    assert site.get("/" + name, range="bytes=0-0,2-2").status == 206
    answer = site.get("/" + name, range="bytes=0-0,2-2,4-4")
    assert (answer.status, answer.body) == (200, bytes_of(name))


def test_two_range_headers_are_none(make: Make, name: str) -> None:
    site, head = make(), head_of("/" + name, range="bytes=0-1")
    head.headers += ((b"range", b"bytes=2-3"),)
    assert site.again(head).body == bytes_of(name)


@pytest.mark.parametrize(
    ("value", "status"),
    [("{etag}", 206), ('"x"', 200), ("W/{etag}", 200), (DATE, 206), (EARLIER, 200), (AFTER, 200), ("x", 200)],
)
@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=0-1,5-6"])
def test_if_range(make: Make, name: str, value: str, status: int, asked: str) -> None:
    site = make()
    etag = site.get("/" + name).headers["etag"]
    answer = site.get("/" + name, range=asked, if_range=value.format(etag=etag))
    assert answer.status == status
    if status == 200:
        assert answer.body == bytes_of(name)


def test_if_range_by_a_date_that_may_come_again(make: Make, name: str) -> None:
    """RFC 9110, 13.1.5: only when its second was over, the date is that of one version alone."""
    site = make()
    for wall, status in ((MODIFIED + 0.5, 200), (MODIFIED + 1, 206)):
        site.row.wall = wall
        assert site.get("/" + name, range="bytes=0-9", if_range=DATE).status == status


def test_if_range_saves_nobody_from_416(make: Make, name: str) -> None:
    site = make()
    etag = site.get("/" + name).headers["etag"]
    assert site.get("/" + name, range="bytes=9999999-", if_range=etag).status == 416
    assert site.get("/" + name, range="bytes=9999999-", if_range='"x"').status == 200


def test_if_range_alone_says_nothing(make: Make, name: str) -> None:
    assert make().get("/" + name, if_range='"x"').body == bytes_of(name)


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=0-1,5-6", "bytes=9999999-"])
def test_head_ignores_ranges(make: Make, name: str, asked: str) -> None:
    """RFC 9110, 14.2: Range is defined for GET alone."""
    site = make()
    answer = site.get("/" + name, "HEAD", range=asked)
    assert (answer.status, answer.headers) == (200, site.get("/" + name).headers)


# Coded neighbours.

PACKED = {"br": b"brotli " * 5, "zstd": b"zstandard", "gzip": b"gzip's " * 3}
ENDS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}


@pytest.fixture
def coded(make: Make) -> Site:
    """A folder with a file that has three neighbours, and one that has one."""
    site = make()
    site.write("app.js", b"plain script", MODIFIED)
    for coding, data in PACKED.items():
        site.write("app.js" + ENDS[coding], data, MODIFIED)
    site.write("one.css", b"plain style", MODIFIED)
    site.write("one.css.gz", b"packed style", MODIFIED + 5)
    return site


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("*", "br"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0.2, zstd;q=0.3, br;q=0.1", "zstd"),
        ("br;q=0, *", "zstd"),
        ("br;q=0, zstd;q=0, gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("identity", ""),
        ("identity, gzip;q=0.5", ""),
        ("deflate", ""),
        ("gzip;q=0", ""),
        ("", ""),
    ],
)
def test_the_coding_that_is_liked_best(coded: Site, accepts: str, coding: str) -> None:
    plain = coded.get("/app.js")
    answer = coded.get("/app.js", accept_encoding=accepts)
    assert answer.status == 200
    assert answer.body == PACKED.get(coding, b"plain script")
    assert answer.headers.get("content-encoding", "") == coding
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == plain.headers["content-type"]
    assert (answer.headers["etag"] == plain.headers["etag"]) == (not coding)


def test_each_coding_has_its_own_tag(coded: Site) -> None:
    accepts = ("", "gzip", "br", "zstd")
    tags = {accept: coded.get("/app.js", accept_encoding=accept).headers["etag"] for accept in accepts}
    assert len(set(tags.values())) == 4
    for asked in accepts:
        for known, tag in tags.items():
            answer = coded.get("/app.js", accept_encoding=asked, if_none_match=tag)
            assert answer.status == (304 if asked == known else 200)
            assert answer.headers["etag"] == tags[asked]
            assert answer.headers["vary"] == "Accept-Encoding"


def test_one_neighbour_alone(coded: Site) -> None:
    assert coded.get("/one.css", accept_encoding="br, zstd, gzip;q=0.1").body == b"packed style"
    assert coded.get("/one.css", accept_encoding="br, zstd").body == b"plain style"
    assert coded.get("/one.css", accept_encoding="gzip").headers["last-modified"] == http_date(MODIFIED + 5)


def test_an_older_neighbour_is_outdated(coded: Site) -> None:
    coded.write("app.js", b"new script", MODIFIED + 1)
    coded.write("app.js.zst", b"new", MODIFIED + 1)
    assert coded.get("/app.js", accept_encoding="gzip, br").body == b"new script"
    assert coded.get("/app.js", accept_encoding="gzip, br, zstd;q=0.1").body == b"new"


def test_a_neighbour_older_by_less_than_a_second(coded: Site) -> None:
    os.utime(coded.root / "one.css", ns=(0, MODIFIED * 10**9 + 2))
    os.utime(coded.root / "one.css.gz", ns=(0, MODIFIED * 10**9 + 1))
    assert coded.get("/one.css", accept_encoding="gzip").body == b"plain style"


@pytest.mark.parametrize("what", ["folder", "link out", "circle", "broken", "fifo"])
def test_a_neighbour_that_is_no_file(coded: Site, what: str) -> None:
    path = coded.root / "app.js.br"
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to({"link out": "/etc/passwd", "circle": "app.js.br", "broken": "none"}[what])
    assert coded.get("/app.js", accept_encoding="br").body == b"plain script"
    assert coded.get("/app.js", accept_encoding="br, gzip").body == PACKED["gzip"]


def test_a_neighbour_without_its_file(coded: Site) -> None:
    (coded.root / "app.js").unlink()
    assert coded.get("/app.js", accept_encoding="gzip").status == 404
    assert coded.get("/app.js.gz").body == PACKED["gzip"]


def test_a_neighbour_comes_and_goes(coded: Site) -> None:
    """It is not looked for at each request, where there was none, but once a second."""
    for _ in range(2):
        assert coded.get("/one.css", accept_encoding="br").body == b"plain style"
        path = coded.write("one.css.br", b"new", MODIFIED)
        assert coded.get("/one.css", accept_encoding="br").body == b"plain style"
        coded.folder.tick(coded.row)
        assert coded.get("/one.css", accept_encoding="br").body == b"new"
        path.unlink()


def test_neighbours_that_are_not_there_cost_one_look_a_second(coded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    opens = coded.folder.beneath.open
    monkeypatch.setattr(type(coded.folder.beneath), "open", lambda self, name: (looked.append(name), opens(name))[1])
    for _ in range(5):
        coded.get("/one.css", accept_encoding="br, zstd, gzip")
    assert [name for name in looked if name != b"one.css"] == [b"one.css.br", b"one.css.zst", b"one.css.gz"]


def test_names_of_absent_neighbours_are_bounded(coded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partway.protocols.http.files.ABSENT_MAX", 2)
    coded.get("/one.css", accept_encoding="br, zstd, gzip")
    assert len(coded.folder.files.absent) == 2


def test_a_large_file_that_was_deleted_is_let_go_within_seconds(coded: Site) -> None:
    path = coded.write("large.bin", b"x" * 50_000, MODIFIED)
    assert coded.get("/large.bin").status == 200
    assert [entry.path for entry in coded.folder.files.entries.values()] == [b"large.bin"]
    coded.folder.tick(coded.row)
    assert coded.folder.files.entries
    path.unlink()
    coded.folder.tick(coded.row)
    assert not coded.folder.files.entries


def test_a_header_that_cannot_be_is_told_at_once(coded: Site) -> None:
    with pytest.raises(ValueError, match="line break"):
        Folder(str(coded.root), cache_control="no-store\r\nX: y")


@pytest.mark.parametrize("size", [100, 50_000])
def test_ranges_of_a_coded_file(coded: Site, size: int) -> None:
    """RFC 9110, 14.2: a range is one of the bytes that are sent, which are those of the coding."""
    data = bytes(range(100)) * (size // 100)
    coded.write("app.js.gz", data, MODIFIED)
    whole = coded.get("/app.js", accept_encoding="gzip")
    assert whole.body == data
    answer = coded.get("/app.js", accept_encoding="gzip", range="bytes=10-19")
    assert (answer.status, answer.body) == (206, data[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{size}"
    assert answer.headers["content-encoding"] == "gzip"
    several = coded.get("/app.js", accept_encoding="gzip", range="bytes=0-4,10-19")
    assert [part[2] for part in parts_of(several)] == [data[:5], data[10:20]]
    plain_tag = coded.get("/app.js").headers["etag"]
    for tag, status in ((whole.headers["etag"], 206), (plain_tag, 200)):
        assert coded.get("/app.js", accept_encoding="gzip", range="bytes=10-19", if_range=tag).status == status


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.tar.gz", "application/gzip"), ("app.js.gz", "application/gzip"), ("app.js.br", "application/x-brotli")],
)
@pytest.mark.parametrize("accepts", ["", "gzip, br"])
def test_a_packed_file_by_itself(coded: Site, name: str, kind: str, accepts: str) -> None:
    """It is what was asked for: a client that unpacked it on its way would save another file."""
    coded.write("x.tar.gz", b"packed")
    for _ in range(2):
        answer = coded.get("/" + name, accept_encoding=accepts)
        assert answer.headers["content-type"] == kind
        assert "content-encoding" not in answer.headers
        coded.get("/app.js", accept_encoding="gzip")
        coded.get("/app.js", accept_encoding="br")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a", "application/octet-stream"),
        ("sub.html/a", "application/octet-stream"),
        ("data:text/html,a.txt", "text/plain; charset=utf-8"),
    ],
)
def test_kinds(make: Make, name: str, kind: str) -> None:
    site = make()
    site.write(name, b"x")
    assert site.get("/" + name).headers["content-type"] == kind


# To the byte, as a connection sends it.


def told(folder: Folder, *requests: str) -> list[bytes]:
    """What a client hears who asks these one after another, without the lines that every answer has."""
    rig = Rig(Server(folder))
    rig.simulation.wall = lambda: LATER  # type: ignore[method-assign]
    peer = rig.dial()
    found = []
    for request in requests:
        first, *lines = request.split("\n")
        peer.say("\r\n".join([f"{first} HTTP/1.1", "Host: a", *lines, "", ""]).encode())
        rig.run(0.2)
        heard = re.sub(rb"(?:Server|Date): [^\r]*\r\n", b"", peer.heard())
        found.append(heard)
    rig.reactor.close()
    return found


def test_to_the_byte(make: Make, name: str) -> None:
    site, data = make(), bytes_of(name)[:10]
    path = site.write(name, bytes_of(name), MODIFIED)
    described = b'Last-Modified: %b\r\nETag: "%x-%x"\r\nAccept-Ranges: bytes\r\nVary: Accept-Encoding\r\n' % (
        DATE.encode(),
        MODIFIED * 10**9,
        path.stat().st_size,
    )
    kind = b"Content-Type: text/plain; charset=utf-8\r\n"
    size = path.stat().st_size
    not_modified, options, head, part, none = told(
        site.folder,
        f"GET /{name}\nIf-None-Match: *",
        f"OPTIONS /{name}",
        f"HEAD /{name}\nRange: bytes=0-9",
        f"GET /{name}\nRange: bytes=0-9",
        f"GET /{name}\nRange: bytes={size}-",
    )
    assert not_modified == (
        b"HTTP/1.1 304 Not Modified\r\n" + described.replace(b"Accept-Ranges: bytes\r\n", b"") + b"\r\n"
    )
    assert options == b"HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n"
    assert head == b"HTTP/1.1 200 OK\r\n" + kind + described + b"Content-Length: %d\r\n\r\n" % size
    where = b"Content-Range: bytes 0-9/%d\r\nContent-Length: 10\r\n\r\n" % size
    assert part == b"HTTP/1.1 206 Partial Content\r\n" + kind + described + where + data
    assert none.startswith(b"HTTP/1.1 416 ") and b"Content-Range: bytes */%d\r\n" % size in none


def test_several_ranges_to_the_byte(make: Make, name: str) -> None:
    """The length that was promised is what comes, so the next answer is read."""
    several, after = told(make().folder, f"GET /{name}\nRange: bytes=0-9,20-29,-10", "GET /sub/inner.txt")
    head, _, body = several.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert body.endswith(b"--\r\n")
    assert after.endswith(b"\r\n\r\ninner")
