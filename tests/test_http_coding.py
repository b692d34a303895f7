"""Which coding a client gets: RFC 9110's own examples, its rules, and any list against them written out plainly."""

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partway.protocols.http import coding
from partway.protocols.http.coding import MEMBERS_MAX, REMEMBERED_BYTES_MAX, accepted

FIXED = settings(max_examples=300)
OURS = ("br", "zstd", "gzip")
HEAD_BYTES = 32 * 1024
LINEAR_SECONDS = 0.5  # what is linear takes less than 1 ms


@pytest.mark.parametrize(
    ("value", "expected"),
    [  # RFC 9110, 12.5.3
        (b"compress, gzip", ["gzip"]),
        (b"", []),
        (b"*", ["br", "zstd", "gzip"]),
        (b"compress;q=0.5, gzip;q=1.0", ["gzip"]),
        (b"gzip;q=1.0, identity; q=0.5, *;q=0", ["gzip"]),
        (None, []),
        (b"gzip, deflate", ["gzip"]),  # from here on, what browsers and tools say
        (b"gzip, deflate, br", ["br", "gzip"]),
        (b"gzip, deflate, br, zstd", ["br", "zstd", "gzip"]),
        (b"identity", []),
        (b"identity;q=1, *;q=0", []),
        (b"deflate, gzip;q=1.0, *;q=0.5", ["gzip", "br", "zstd"]),
    ],
)
def test_the_rfcs_examples(value: bytes | None, expected: list[str]) -> None:
    assert accepted(value, OURS) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"gzip;q=0.9, br;q=0.8, zstd;q=0.7", ["gzip", "br", "zstd"]),
        (b"gzip;q=0.5, br;q=0.500, zstd;q=.5", ["br", "gzip"]),
        (b"gzip;q=0.002, br;q=0.001", ["gzip", "br"]),
        (b"gzip;q=0", []),
        (b"gzip;q=0.000", []),
        (b"gzip;q=0, *", ["br", "zstd"]),
        (b"*, gzip;q=0", ["br", "zstd"]),
        (b"*;q=0", []),
        (b"*;q=0, gzip", ["gzip"]),
        (b"*;q=0.5, gzip;q=0.4, zstd", ["zstd", "br", "gzip"]),
        (b"identity;q=0, gzip;q=0.1", ["gzip"]),
        (b"identity;q=0.5, gzip;q=0.4, br;q=0.6", ["br"]),
        (b"identity;q=0.5, gzip;q=0.5", ["gzip"]),
        (b"identity, *;q=0.9", []),
        (b"identity;q=0", []),
        (b"*;q=0.5, gzip;q=0.1", ["br", "zstd", "gzip"]),  # an asterisk says nothing of what goes as it is
        (b"GZIP", ["gzip"]),
        (b"Br;Q=0.4, gzip;q=0.5, zstd;Q=0.3, IDENTITY;Q=0.4", ["gzip", "br"]),
        (b"x-gzip", ["gzip"]),
        (b"X-GZip;q=0.5, br;q=0.4", ["gzip", "br"]),
        (b"x-br", []),
        (b"gzip ; q=0.5\t,\tbr;q=0.4", ["gzip", "br"]),
        (b" gzip,,br ,", ["br", "gzip"]),
        (b"gzip;q=1.000, br;q=1., zstd;q=0.", ["br", "gzip"]),
        (b"gzip;q=0, gzip", ["gzip"]),  # the last word counts
        (b"gzip, gzip;q=0", []),
    ],
)
def test_weights(value: bytes, expected: list[str]) -> None:
    assert accepted(value, OURS) == expected


@pytest.mark.parametrize(
    "member",
    [
        *(b"gzip;q=2", b"gzip;q=1.1", b"gzip;q=1.001", b"gzip;q=0.1234", b"gzip;q=1.0000", b"gzip;q=-1", b"gzip;q="),
        *(b"gzip;q", b"gzip;", b"gzip;level=9", b"gzip;q=0.5;x=1", b"gzip; q = 0.5", b"gzip q=1", b"gzip zstd"),
        *(
            b"gzip/zstd",
            b'"gzip"',
            b"gzip;q=a",
            b"gzip;q=nan",
            b"gzip;q=1e0",
            b"gzip;q=.5",
            b"gzip;q=\xb2",
            b"\xffgzip",
        ),
        *(b"=gzip", b"gzip;q=0,5", b"gzip;q=00.5", b"gzip\n", b";q=1", b"gzip;p=1"),
    ],
)
def test_what_is_malformed_is_ignored(member: bytes) -> None:
    assert accepted(member, OURS) == []
    assert accepted(b"zstd;q=0.5, " + member + b", br;q=0.4", OURS) == ["zstd", "br"]


def test_only_what_is_offered() -> None:
    assert accepted(b"gzip, br", ()) == []
    assert accepted(b"*", ("gzip",)) == ["gzip"]
    assert accepted(b"gzip, br", ["gzip", "br"]) == ["gzip", "br"]
    assert accepted(b"gzip, br", ["br", "gzip"]) == ["br", "gzip"]


def test_what_is_remembered_cannot_be_changed() -> None:
    accepted(b"gzip, br", OURS).clear()
    assert accepted(b"gzip, br", OURS) == ["br", "gzip"]


def test_only_short_values_are_remembered() -> None:
    coding._ranked.cache_clear()
    short = b"gzip" + b" " * (REMEMBERED_BYTES_MAX - 4)
    for _ in range(2):
        assert accepted(short, OURS) == ["gzip"]
        assert accepted(short + b" ", OURS) == ["gzip"]
    info = coding._ranked.cache_info()
    assert (info.currsize, info.hits) == (1, 1)
    assert info.maxsize is not None


def test_so_many_members_and_no_more() -> None:
    members = [b"gzip", *(b"x%d" % number for number in range(MEMBERS_MAX - 1))]
    assert accepted(b",".join(members), OURS) == ["gzip"]
    assert accepted(b",".join([*members, b"x"]), OURS) == []


WEIGHTS = st.integers(0, 1000)
CODINGS = ("br", "zstd", "gzip", "deflate", "identity", "*")


@FIXED
@given(st.dictionaries(st.sampled_from(CODINGS), WEIGHTS), st.permutations(OURS))
def test_any_list(weights: dict[str, int], offered: list[str]) -> None:
    members = [f"{name};q={weight // 1000}.{weight % 1000:03}" for name, weight in weights.items()]
    got = accepted(", ".join(members).encode(), offered)
    weight_of = {name: weights.get(name, weights.get("*", 0)) for name in offered}
    for name in offered:
        refused = weight_of[name] == 0 or weight_of[name] < weights.get("identity", 0)
        assert (name in got) is not refused
    for one, other in pairwise(got):
        places = offered.index(one) < offered.index(other)
        assert weight_of[one] > weight_of[other] or (weight_of[one] == weight_of[other] and places)


@FIXED
@given(st.binary(max_size=40) | st.text("gzipbr*;q=01., ", max_size=40).map(str.encode))
def test_any_bytes(value: bytes) -> None:
    got = accepted(value, OURS)
    assert set(got) <= set(OURS)
    assert len(set(got)) == len(got)


HOSTILE = [
    b",",
    b"gzip,",
    b"a",
    b" ",
    b"gzip;",
    b";q=0",
    b"gzip ",
    b"gzip;q=0.",
    b"\xff",
    b"gzip;q=1" + b" " * 50 + b",",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=str)
def test_a_whole_head_of_it_takes_no_time(piece: bytes) -> None:
    before = process_time()
    for start in (b"", b"a,", b"a;q=0.", b"a," * (MEMBERS_MAX - 1)):
        value = start + piece * (HEAD_BYTES // len(piece))
        assert accepted(value + b"x", OURS) == []
        assert accepted(value, OURS) == []
    assert process_time() - before < LINEAR_SECONDS
