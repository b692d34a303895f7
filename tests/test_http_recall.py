"""What is remembered of heads gives what parsing them again would give, and never more than it may be.

The memory is a shortcut past a parser, so the test is that nobody can tell: heads from the same few lines in all their
mixes, good and bad, are parsed by a memory that knows all earlier ones and by one that knows nothing.
"""

from dataclasses import replace
from random import Random

import pytest
from partway.engine import Limits, PeerError
from partway.protocols.http.head import Head, parse_head
from partway.protocols.http.recall import HEAD_BYTES_MAX, HEADS_MAX, Recall

LIMITS = Limits()
METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"BREW", b"get"]
TARGETS = [b"/", b"/a?b", b"*", b"http://h/x?y", b"h:1", b"/\xff", b"/a b", b"", b"/#", b"/\r", b"/a\x00"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.1 ", b"http/1.1"]
BLOCKS = [
    b"\r\nHost: a\r\n\r\n",
    b"\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
    b"\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
    b"\r\n\r\n",
    b"\r\nHost : a\r\n\r\n",
]


def outcome(recall: Recall, raw: bytes) -> tuple[object, ...]:
    try:
        head = recall.parse(raw, LIMITS)
    except PeerError as error:
        return (error.hint,)  # the words may differ, where there are two mistakes
    return tuple(getattr(head, name) for name in Head.__slots__)


@pytest.mark.parametrize("seed", range(3))
def test_remembering_changes_nothing(seed: int) -> None:
    print(f"seed {seed}")
    raws = [
        method + b" " + target + b" " + version + block
        for method in METHODS
        for target in TARGETS
        for version in VERSIONS
        for block in BLOCKS
    ]
    Random(seed).shuffle(raws)
    recall = Recall()
    known = 0
    for raw in raws[:1200]:
        before = len(recall._alike)
        found = outcome(recall, raw)
        assert found == outcome(Recall(), raw), raw
        known += len(found) > 1 and len(recall._alike) == before
    assert known > 20, "hardly anything was remembered"


def test_the_same_bytes_are_the_same_head() -> None:
    recall = Recall()
    raw = b"GET / HTTP/1.1" + BLOCKS[0]
    assert recall.parse(raw, LIMITS) is recall.parse(bytes(bytearray(raw)), LIMITS)
    assert recall.parse(raw, LIMITS) == parse_head(raw, 100)


def test_both_memories_are_bounded() -> None:
    recall = Recall()
    for number in range(2 * HEADS_MAX + 10):
        recall.parse(b"GET /%d HTTP/1.1\r\nHost: h%d\r\n\r\n" % (number, number), LIMITS)
        assert len(recall.whole) <= HEADS_MAX
        assert len(recall._alike) <= HEADS_MAX
    assert len(recall.whole) == len(recall._alike) == 10


def test_long_heads_are_not_kept() -> None:
    recall = Recall()
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n"
    size = HEAD_BYTES_MAX - len(raw % b"")
    recall.parse(raw % (b"x" * (size + 1)), LIMITS)
    assert not recall.whole and not recall._alike
    recall.parse(raw % (b"x" * size), LIMITS)
    assert len(recall.whole) == len(recall._alike) == 1


def test_other_limits_forget() -> None:
    recall = Recall()
    raw = b"GET /abc HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"
    recall.parse(raw, LIMITS)
    for limits in (replace(LIMITS, line_bytes=10), replace(LIMITS, line_bytes=20, head_bytes=20)):
        with pytest.raises(PeerError, match="too l"):
            recall.parse(raw, limits)
    with pytest.raises(PeerError, match="header lines"):
        recall.parse(raw.replace(b"abc", b"abd"), replace(LIMITS, headers_max=1))
    assert not recall.whole
