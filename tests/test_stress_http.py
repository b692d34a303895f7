"""What clients of HTTP are owed: that right answers are taken in any pieces, and each kind of wrong one is found."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from asking import chunked as in_chunks
from partway.engine import PeerError, Reactor
from partway.engine.simulation import Simulation
from partway.protocols.http import Answered, Http
from partway.protocols.http.listing import Listing
from partway.protocols.http.spool import Spool
from partway.stress.clients.dialogue import WrongError
from partway.stress.clients.http import PATTERN, Browse, Converse, Terms, asking, chunked
from partway.stress.clients.http_answers import (
    CHUNKED,
    CONTINUE,
    HEAD_MOST,
    OF_ITSELF,
    TO_THE_END,
    Answer,
    Answers,
    refusal,
)
from partway.stress.simulate import application, http
from partway.stress.simulate.broken import BrokenError
from partway.stress.simulate.case import Case, Visitor, draw
from partway.stress.simulate.examine import examine
from partway.stress.simulate.served import SERVER
from partway.stress.simulate.world import run
from watched import COUNTED, WatchedArray, watch

DATE = b"Date: Mon, 22 Mar 2049 04:26:40 GMT\r\n"
OWN = {404: b"There is no such file.\n", 408: b"408 Request Timeout\n"}


class Asks(Answers):
    """A dialogue that asks for these, and whose requests are nobody's."""

    def __init__(self, *owed: Answer, pages: dict[int, bytes] | None = None) -> None:
        super().__init__(Random(1), OWN if pages is None else pages)
        self.answers = iter(owed)
        for _ in owed:
            self.ask()

    def exchange(self) -> tuple[bytes, Answer]:
        return b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", next(self.answers)


def said(status: bytes, *lines: bytes, body: bytes = b"", date: bytes = DATE) -> bytes:
    """An answer as a server says it."""
    return b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, date, b"".join(line + b"\r\n" for line in lines), body)


def sized(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return said(status, b"Content-Length: %d" % len(body), *lines, body=body)


def pieces(data: bytes) -> Iterator[Sequence[bytes]]:
    """All ways to hear something in two pieces, and in pieces of one byte, two and seven."""
    for place in range(len(data) + 1):
        yield (data[:place], data[place:])
    for size in (1, 2, 7):
        yield [data[place : place + size] for place in range(0, len(data), size)]


def hear_all(dialogue: Answers, heard: Sequence[bytes]) -> None:
    for piece in heard:
        dialogue.hear(piece)


HELLO = Answer(200, b"hello", 5)
HELLO_SAID = sized(b"hello")
LATER = sized(b"", b"Connection: close", status=b"408 Request Timeout")
PARTS = Answer(206, b"0123456789", 0, ranges=((7, 2), (0, 3)), kind=b"text/plain")
PARTS_BODY = (
    b"--ab-1\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/10\r\n\r\n78\r\n"
    b"--ab-1\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/10\r\n\r\n012\r\n--ab-1--\r\n"
)
PARTS_SAID = sized(PARTS_BODY, b"Content-Type: multipart/byteranges; boundary=ab-1", status=b"206 Partial Content")
CONTINUED = Answer(CONTINUE, b"", TO_THE_END, bare=True)
CONTINUE_SAID = b"HTTP/1.1 100 Continue\r\n\r\n"
NOT_FOUND = Answer(404, None, OF_ITSELF)

RIGHT: dict[str, tuple[tuple[Answer, ...], bytes]] = {
    "a length": ((HELLO,), HELLO_SAID),
    "nothing": ((Answer(200, b"", 0),), sized(b"")),
    "several": ((HELLO, Answer(200, b"", 0), HELLO), HELLO_SAID + sized(b"") + HELLO_SAID),
    "names in any letters": ((HELLO,), b"HTTP/1.1 200 \r\nDATE:%bcontent-LENGTH:5 \r\n\r\nhello" % DATE[5:]),
    "chunks": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=in_chunks(b"he", b"llo")),
    ),
    "no chunk": ((Answer(200, b"", CHUNKED),), said(b"200 OK", b"Transfer-Encoding: Chunked", body=in_chunks())),
    "a large chunk": (
        (Answer(200, PATTERN[:300], CHUNKED), HELLO),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=in_chunks(PATTERN[:299], PATTERN[299:300])) + HELLO_SAID,
    ),
    "up to the end": (
        (Answer(200, b"hello", TO_THE_END, closes=True),),
        said(b"200 OK", b"Connection: close", body=b"hello"),
    ),
    "nothing up to the end": ((Answer(200, b"", TO_THE_END, closes=True),), said(b"200 OK", b"Connection: close")),
    "head alone": ((HELLO._replace(bare=True), HELLO), said(b"200 OK", b"Content-Length: 5") + HELLO_SAID),
    "head of chunks": (
        (Answer(200, b"hello", CHUNKED, bare=True), HELLO),
        said(b"200 OK", b"Transfer-Encoding: chunked") + HELLO_SAID,
    ),
    "unchanged": (
        (Answer(304, b"", TO_THE_END, ((b"etag", b'"x"'),), bare=True), HELLO),
        said(b"304 Not Modified", b'ETag: "x"') + HELLO_SAID,
    ),
    "own words": ((NOT_FOUND,), sized(OWN[404], status=b"404 Not Found")),
    "unknown words": ((Answer(405, None, OF_ITSELF), HELLO), sized(b"no", status=b"405 No") + HELLO_SAID),
    "kept alive": ((HELLO._replace(keeps=True),), sized(b"hello", b"Connection: keep-alive")),
    "parts": ((PARTS, HELLO), PARTS_SAID + HELLO_SAID),
    "continue": ((CONTINUED, HELLO), CONTINUE_SAID + HELLO_SAID),
    "no continue, for the body was there": ((CONTINUED, HELLO), HELLO_SAID),
    "the last": ((HELLO, HELLO._replace(closes=True)), HELLO_SAID + sized(b"hello", b"Connection: close")),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_in_all_pieces(name: str) -> None:
    owed, heard = RIGHT[name]
    for split in pieces(heard):
        dialogue = Asks(*owed)
        hear_all(dialogue, split)
        assert dialogue.answered == dialogue.asked == len(owed), split
        assert not dialogue.owed and not dialogue.refused and dialogue.last == owed[-1].closes
        assert dialogue.finals == sum(answer.status != CONTINUE for answer in owed)


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_may_follow(name: str) -> None:
    owed, heard = RIGHT[name]
    for split in pieces(heard + b"H"):
        with pytest.raises(WrongError):
            hear_all(Asks(*owed), split)


@pytest.mark.parametrize("name", RIGHT)
def test_an_answer_that_is_not_whole_is_not_counted(name: str) -> None:
    owed, heard = RIGHT[name]
    dialogue = Asks(*owed)
    for place in range(len(heard)):
        assert dialogue.answered < dialogue.asked, place
        dialogue.hear(heard[place : place + 1])
    assert dialogue.answered == dialogue.asked


WRONG: dict[str, tuple[tuple[Answer, ...], bytes]] = {
    "another status": ((HELLO,), sized(b"hello", status=b"206 Partial Content")),
    "a refusal that has no reason": ((HELLO,), sized(b"", b"Connection: close", status=b"400 Bad Request")),
    "no status": ((HELLO,), b"hello\r\n\r\n"),
    "another version": ((HELLO,), HELLO_SAID.replace(b"1.1", b"1.0")),
    "a status of none": ((HELLO,), HELLO_SAID.replace(b"200", b"099")),
    "a header that is none": ((HELLO,), sized(b"hello", b"nothing")),
    "a blank before a colon": ((HELLO,), sized(b"hello", b"X : y")),
    "a bare line end": ((HELLO,), sized(b"hello", b"X: y\nZ: z")),
    "a header that comes twice": ((HELLO,), sized(b"hello", b"Server: a", b"SERVER: a")),
    "no answer, and no end of it": ((HELLO,), b"HTTP/1.2"),
    "no date": ((HELLO,), said(b"200 OK", b"Content-Length: 5", date=b"", body=b"hello")),
    "another length": ((HELLO,), sized(b"hell")),
    "no length": ((HELLO,), said(b"200 OK", body=b"hello")),
    "a length that is none": ((HELLO,), said(b"200 OK", b"Content-Length: +5", body=b"hello")),
    "a length beside chunks": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=in_chunks(b"hello")),
    ),
    "two lengths": ((HELLO,), sized(b"hello", b"Transfer-Encoding: chunked")),
    "chunks that nobody owes": ((HELLO,), said(b"200 OK", b"Transfer-Encoding: chunked", body=in_chunks(b"hello"))),
    "a length in place of chunks": ((Answer(200, b"hello", CHUNKED),), HELLO_SAID),
    "another coding": ((Answer(200, b"", CHUNKED),), said(b"200 OK", b"Transfer-Encoding: gzip")),
    "another body": ((HELLO,), sized(b"hellO")),
    "another body at its beginning": ((HELLO,), sized(b"Hello")),
    "another body up to the end": (
        (Answer(200, b"hello", TO_THE_END, closes=True),),
        said(b"200 OK", b"Connection: close", body=b"hellO"),
    ),
    "chunks too few": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=in_chunks(b"hell")),
    ),
    "chunks too many": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"6\r\n"),
    ),
    "another chunk": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhellO"),
    ),
    "a chunk without an end": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello0\r\n"),
    ),
    "a size that is none": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"0x5\r\n"),
    ),
    "a size without end": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"0" * 20),
    ),
    "trailers that nobody owes": (
        (Answer(200, b"hello", CHUNKED),),
        said(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    ),
    "an end that nobody owes": ((HELLO,), sized(b"hello", b"Connection: close")),
    "no end": ((HELLO._replace(closes=True),), HELLO_SAID),
    "kept alive without a word": ((HELLO._replace(keeps=True),), HELLO_SAID),
    "a header that is missing": ((Answer(200, b"", 0, ((b"etag", b'"x"'),)),), sized(b"")),
    "another header": ((Answer(200, b"", 0, ((b"etag", b'"x"'),)),), sized(b"", b'ETag: "y"')),
    "other own words": ((NOT_FOUND,), sized(OWN[404].upper(), status=b"404 Not Found")),
    "own words that are longer": ((NOT_FOUND,), sized(OWN[404] + b"!", status=b"404 Not Found")),
    "own words without a length": (
        (Answer(405, None, OF_ITSELF),),
        said(b"405 No", b"Transfer-Encoding: chunked", body=in_chunks(b"no")),
    ),
    "a body after a head alone": ((HELLO._replace(bare=True), HELLO), HELLO_SAID),
    "no parts": ((PARTS,), sized(b"0123456789", status=b"206 Partial Content")),
    "other parts": ((PARTS,), PARTS_SAID.replace(b"78\r\n", b"79\r\n")),
    "parts of another size": ((PARTS,), PARTS_SAID.replace(b"8/10", b"8/11")),
    "a boundary that is none": ((PARTS,), PARTS_SAID.replace(b"boundary=", b"b=")),
    "continue, and nobody waits": ((HELLO,), CONTINUE_SAID),
    "continue twice": ((CONTINUED, HELLO), CONTINUE_SAID * 2),
    "no continue, and nothing was said yet": ((CONTINUED,), HELLO_SAID),
    "an answer before the body that was asked for": (
        (CONTINUED,),
        CONTINUE_SAID + sized(b"hello", b"Connection: close"),
    ),
    "patience that ends without closing": ((HELLO,), sized(OWN[408], status=b"408 Request Timeout")),
    "patience that ends in an answer": ((HELLO,), HELLO_SAID[:-2] + LATER),
    "more after the end of patience": ((HELLO, HELLO), sized(OWN[408], b"Connection: close", status=b"408 X") + b"H"),
    "other words at the end of patience": ((HELLO,), sized(OWN[408].upper(), b"Connection: close", status=b"408 X")),
    "a status for another mistake": (
        (refusal(400),),
        sized(b"", b"Connection: close", status=b"431 Request Header Fields Too Large"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_in_all_pieces(name: str) -> None:
    owed, heard = WRONG[name]
    for split in pieces(heard):
        with pytest.raises(WrongError):
            hear_all(Asks(*owed), split)


@pytest.mark.parametrize(
    "date",
    [
        b"Tue, 22 Mar 2049 04:26:40 GMT",
        b"Mon, 22 Mar 2049 04:26:40",
        b"Mon, 22 Mar 2049 24:26:40 GMT",
        b"Mon, 32 Mar 2049 04:26:40 GMT",
        b"Mon, 22 Mrz 2049 04:26:40 GMT",
        b"Thu, 22 Mar 1999 04:26:40 GMT",
        b"Mon, 22 Mar 1999 04:26:40 GMT",
        b"",
    ],
)
def test_dates_that_are_none(date: bytes) -> None:
    with pytest.raises(WrongError, match="date"):
        Asks(HELLO).hear(said(b"200 OK", b"Content-Length: 5", date=b"Date: %b\r\n" % date))


def test_the_end_of_patience_stands_for_what_is_owed() -> None:
    """It is no answer, and nothing is owed after it; whether there was a reason is for others to say."""
    heard = sized(OWN[408], b"Connection: close", status=b"408 Request Timeout")
    for split in pieces(heard):
        dialogue = Asks(HELLO, HELLO)
        hear_all(dialogue, split)
        assert (dialogue.asked, dialogue.answered, dialogue.refused, dialogue.last) == (2, 0, 408, True)
        assert not dialogue.owed
    dialogue = Asks(CONTINUED)
    hear_all(dialogue, (CONTINUE_SAID, heard))  # the body did not come
    assert dialogue.refused == 408
    dialogue = Asks(CONTINUED, HELLO)
    hear_all(dialogue, (CONTINUE_SAID, HELLO_SAID))
    with pytest.raises(WrongError):
        dialogue.hear(heard)


def test_who_makes_a_mistake_may_hear_nothing() -> None:
    dialogue = Asks(HELLO, refusal(400))
    assert dialogue.last
    dialogue.hear(HELLO_SAID)
    assert dialogue.answered == dialogue.asked == 2
    dialogue.hear(sized(b"what?", b"Connection: close", status=b"400 Bad Request"))
    assert dialogue.answered == 2 and dialogue.finals == 2


def test_no_byte_is_looked_at_again_and_again() -> None:
    head = said(b"200 OK", b"X: %b" % (b"x" * 8000), b"Transfer-Encoding: chunked")
    heard = head + in_chunks(*(bytes([byte]) for byte in PATTERN[:500]))
    for size in (1, 100, len(heard)):
        dialogue = Asks(Answer(200, PATTERN[:500], CHUNKED))
        dialogue.line = WatchedArray()
        COUNTED.touched = 0
        hear_all(dialogue, [watch(heard[place : place + size]) for place in range(0, len(heard), size)])
        assert dialogue.answered == 1
        assert COUNTED.touched < 20 * len(heard), size


def test_little_is_kept() -> None:
    """Of a body nothing, and of a head without end no more than a cap."""
    dialogue = Asks(Answer(405, None, OF_ITSELF))
    dialogue.hear(said(b"405 No", b"Content-Length: 1000000"))
    for _ in range(10):
        dialogue.hear(b"x" * 99_999)
        assert len(dialogue.line) == 0
    dialogue = Asks(HELLO)
    dialogue.hear(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(WrongError, match="does not come"):
        for _ in range(1000):
            dialogue.hear(b"x" * 100)
            assert len(dialogue.line) < HEAD_MOST


# The folder, as its clients know it.


def answers_of(begin: Callable[[Reactor, Simulation], Any], exchanges: Sequence[tuple[bytes, Answer]]) -> list[Answers]:
    """Ask for each on a connection of its own, one that nothing happens to."""
    simulation = Simulation(seed=1)
    reactor = Reactor(simulation)
    service = begin(reactor, simulation)
    dialogues, peers = [], []
    for request, answer in exchanges:
        dialogues.append(Asks(answer, pages=http.PAGES))
        peers.append(simulation.dial(SERVER))
        peers[-1].say(request)
    for _ in range(50):
        simulation.run(reactor, 0.02)
        for dialogue, peer in zip(dialogues, peers, strict=True):
            dialogue.hear(peer.heard())
    assert all(peer.ended == dialogue.last for dialogue, peer in zip(dialogues, peers, strict=True))
    reactor.close()
    service.close()
    return dialogues


def test_whatever_is_asked_of_the_folder_is_answered() -> None:
    site = http.folder_of_files()[1]
    exchanges = [*site.common, *site.rare, *site.endings]
    assert {answer.status for _, answer in exchanges} >= {
        200,
        204,
        301,
        304,
        400,
        404,
        405,
        412,
        414,
        417,
        431,
        501,
        505,
    }
    for (request, _), dialogue in zip(exchanges, answers_of(http.serve_folder, exchanges), strict=True):
        assert not dialogue.owed and dialogue.finals == 1, request[:100]


@pytest.mark.parametrize("status", [200, 206, 416])
def test_ranges_and_wide_heads_are_answered(status: int) -> None:
    browse = Browse(Random(status), http.folder_of_files()[1])
    exchanges = []
    while len(exchanges) < 40:
        make = browse._wide if len(exchanges) % 4 == 0 and status == 200 else browse._ranged
        exchange = make(browse.random.choice(browse.site.files))
        if exchange[1].status == status:
            exchanges.append(exchange)
    assert status != 206 or {bool(answer.ranges) for _, answer in exchanges} == {True, False}
    for (request, _), dialogue in zip(exchanges, answers_of(http.serve_folder, exchanges), strict=True):
        assert dialogue.finals == 1, request


def test_the_folder_is_the_same_each_time() -> None:
    root, site = http.folder_of_files()
    assert http.folder_of_files()[0] == root and os.path.isdir(root)
    sizes = {os.path.getsize(os.path.join(root, name)) for name in http.FILES}
    assert sizes >= {0, 1, 1024, 20 * 1024, 300 * 1024}
    dates = [os.stat(os.path.join(root, name)).st_mtime_ns for name in http.FILES]
    assert all(later - earlier == 86_400_000_000_001 for earlier, later in pairwise(dates))
    page = next(answer.body for request, answer in site.rare if request.startswith(b"GET /sub/ "))
    assert page is not None and page.endswith(b"</main>\n")
    assert re.findall(rb'href="\./([^"]*)"', page) == [b"a%20b.json", b"a%26b.css", b"apart.bin", b"joined.bin"]


def test_the_folder_goes_with_the_process_that_made_it(tmp_path: Any) -> None:
    place = tmp_path / "below"
    place.mkdir()
    http._remove(str(place), os.getpid() + 1)
    assert place.exists()
    http._remove(str(place), os.getpid())
    assert not place.exists()


def test_what_ends_the_connection_is_the_last() -> None:
    site = http.folder_of_files()[1]
    assert all(answer.closes for _, answer in site.endings)
    assert not any(answer.closes for _, answer in (*site.common, *site.rare))
    for seed in range(50):
        browse = Browse(Random(seed), site)
        while not browse.last:
            browse.ask()
        assert [answer.closes for answer in browse.owed] == [False] * (browse.asked - 1) + [True]


# The application.


def drawn(seed: int, count: int) -> list[tuple[bytes, Answer]]:
    """What somebody asks first, each time somebody else; a body that is waited for goes with its head."""
    found = []
    for number in range(count):
        converse = Converse(Random(seed * count + number), Terms(http.BODY_BYTES, http.PAGES))
        request, answer = converse.exchange() if number % 3 else converse._ending()
        if converse.unsaid is not None:
            body, answer = converse.exchange()
            request = request.replace(b"Expect: 100-continue\r\n", b"") + body
        found.append((request, answer))
    return found


def test_whatever_is_asked_of_the_application_is_answered() -> None:
    exchanges = drawn(1, 400)
    assert {answer.status for _, answer in exchanges} >= {200, 204, 400, 403, 413}
    for (request, _), dialogue in zip(exchanges, answers_of(http.serve_application, exchanges), strict=True):
        assert dialogue.finals == 1, request[:100]


def test_what_nobody_has_agreed_on_is_a_404() -> None:
    targets = (b"/nothing", b"/stream", b"/stream/1/1/1", b"/stream/99999/1/1/sized", b"/stream/1/1/1/else", b"/%65cho")
    exchanges = [(asking(target), Answer(404, None, OF_ITSELF)) for target in targets]
    assert all(dialogue.finals == 1 for dialogue in answers_of(http.serve_application, exchanges))


def test_a_body_that_is_waited_for() -> None:
    """Is said when it was asked for, and is owed the answer to the whole."""
    terms = Terms(http.BODY_BYTES, http.PAGES)
    for seed in range(1000):
        converse = Converse(Random(seed), terms)
        head = converse._upload(b"/echo", b"hello", None)
        if converse.unsaid is not None:
            break
    assert b"Expect: 100-continue" in head[0] and head[1].status == CONTINUE
    converse.owed.append(head[1])
    converse.asked = 1
    with pytest.raises(WrongError):
        converse.hear(HELLO_SAID)  # before the body was said
    converse = Converse(Random(seed), terms)
    converse.unsaid = (b"hello", HELLO)
    converse.owed.append(head[1])
    converse.asked = 1
    converse.hear(CONTINUE_SAID)
    assert converse.answered == 1
    assert converse.ask() == b"hello"
    converse.hear(HELLO_SAID)
    assert converse.answered == converse.asked == 2 and converse.finals == 1


@pytest.mark.parametrize("seed", range(20))
def test_chunks_are_what_they_say(seed: int) -> None:
    body = PATTERN[: seed * seed]
    said = chunked(Random(seed), body, b"X: y\r\n")
    found = b""
    while True:
        line, _, said = said.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            break
        found += said[:size]
        assert said[size : size + 2] == b"\r\n"
        said = said[size + 2 :]
    assert found == body and said == b"X: y\r\n\r\n"


# Runs.


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("protocol", ["http", "http-app"])
def test_seeds(protocol: str, seed: int) -> None:
    print(f"seed {seed}")
    examined = examine(draw(seed, [protocol]), again=seed % 5 == 0)
    assert examined.broken is None


def crowd(*kinds: str, each: int = 4, requests: int = 20) -> tuple[Visitor, ...]:
    return tuple(
        Visitor(kind, 100 * place + number, enters=number / 100, requests=requests)
        for place, kind in enumerate(kinds)
        for number in range(each)
    )


HARD = {"short_read": 0.2, "short_write": 0.2, "not_ready": 0.1, "interrupted": 0.1, "short_file": 0.2}


@pytest.mark.parametrize("protocol", ["http", "http-app"])
@pytest.mark.parametrize("seed", [2, 3])  # without a log and with one
def test_frozen_and_thawed_all_the_time(protocol: str, seed: int) -> None:
    """Nothing comes of it: no server of its own, no file left open, no line of the log that is missing or twice."""
    case = Case(seed, protocol, crowd("honest", "hasty", "half-close", "drip"), HARD, freezes=0.5, capacity_bytes=5000)
    small = replace(case, limits={"quantum_bytes": 5000})
    assert run(small) == run(replace(small, freezes=0.0))


@pytest.mark.parametrize("protocol", ["http", "http-app"])
def test_who_behaves_gets_all(protocol: str) -> None:
    """Every answer, with small pieces, faults that harm nobody, and no limit in the way."""
    case = Case(1, protocol, crowd("honest", "hasty", "half-close", "drip", each=10), HARD)
    outcome = run(case)
    assert outcome.requests > 300
    assert set(outcome.ended) <= {"done", "peer's mistake", "peer ended within a request"}  # before its body was said


def test_small_files_are_kept() -> None:
    """The simulated date is late enough for it: else the cache, and all that can be wrong with it, was never met."""
    simulation = Simulation(seed=1)
    reactor = Reactor(simulation)
    service = http.serve_folder(reactor, simulation)
    peer = simulation.dial(SERVER)
    peer.say(asking(b"/one.txt") * 2)
    simulation.run(reactor, 0.1)
    assert reactor.table.kept > 0
    reactor.close()
    service.close()
    assert reactor.table.kept == 0


def answered(port: int, status: int) -> Answered:
    return Answered(("client", port), 0.0, None, status, 0)


def test_the_log_is_held_against_what_was_heard() -> None:
    def log_of(*statuses: int) -> http.Log:
        log = http.Log()
        log.dialogues[1] = Asks(HELLO, NOT_FOUND)
        log.dialogues[1].hear(HELLO_SAID + sized(OWN[404], status=b"404 Not Found"))
        log.dialogues[2] = Asks(HELLO)  # has heard nothing yet
        log.dialogues[3] = Asks()
        log.dialogues[4] = Asks(CONTINUED)  # has not said the body that was asked for
        log.dialogues[4].hear(CONTINUE_SAID)
        log(answered(4, 408))
        for status in statuses:
            log(answered(1, status))
        log(answered(2, 200))
        log(answered(3, 400))
        return log

    log_of(200, 404).check()
    for wrong in ((200,), (404, 200), (200, 404, 404), (200, 404, 200), (), (404,)):
        with pytest.raises(BrokenError, match="the log"):
            log_of(*wrong).check()


def test_the_log_of_a_run_is_checked() -> None:
    for begin in (http.serve_folder, http.serve_application):
        simulation = Simulation(seed=1)
        reactor = Reactor(simulation)
        service = begin(reactor, simulation)
        heard = Asks(HELLO)
        place: Any = SimpleNamespace(random=Random(1), key=7)
        service.dialogue(place).__dict__.update(vars(heard) | {"finals": 1, "answered": 1})
        reactor.close()
        with pytest.raises(BrokenError, match="the log"):
            service.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody tells what is open")
def test_a_file_that_is_left_open_is_found() -> None:
    root, _ = http.folder_of_files()
    simulation = Simulation(seed=2)
    reactor = Reactor(simulation)
    service = http.serve_folder(reactor, simulation)
    with open(os.path.join(root, "one.txt"), "rb"):
        reactor.close()
        with pytest.raises(BrokenError, match="1 open files"):
            service.close()


# The caps are caps: without the limit behind each, a run breaks.


def breaks(case: Case) -> str:
    with pytest.raises(BrokenError) as broken:
        run(case)
    return broken.value.invariant


def test_a_head_without_a_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(2, "http", crowd("flood"))
    run(case)
    plain = Http._wait_for_head

    def patient(self: Http) -> Any:
        try:
            return plain(self)
        except PeerError:
            from partway.engine import READ

            return READ

    monkeypatch.setattr(Http, "_wait_for_head", patient)
    assert breaks(case) == "a buffer over its cap"


def test_a_body_that_stays_in_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(2, "http-app", crowd("honest", "drip", requests=60))
    run(case)

    def feed(self: Spool, data: bytes) -> None:
        self._size += len(data)
        self._memory.feed(data)

    monkeypatch.setattr(Spool, "feed", feed)
    assert breaks(case) == "a buffer over its cap"


def test_a_listing_that_holds_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    listings = [exchange for exchange in http.folder_of_files()[1].rare if exchange[1].length == CHUNKED]
    monkeypatch.setattr(Browse, "exchange", lambda self: self.random.choice(listings))
    case = Case(2, "http", crowd("honest"), capacity_bytes=700)
    run(case)
    monkeypatch.setattr(Listing, "held", property(lambda self: 60_000))
    assert breaks(case) == "a buffer over its cap"


def test_garbled_paths_are_no_failure_of_the_application() -> None:
    """One letter of `/stream/1/234/0/sized` may become another: a request that nobody understands, and no more."""
    crowd = tuple(Visitor("garbage", seed, requests=2) for seed in range(200))
    for seed in range(4):
        run(Case(seed, "http-app", crowd))
    for path in (b"/stream/12934/0/sized", b"/stream/1/2/3", b"/stream//2/3/sized", b"/stream/1/2/3/sizes"):
        assert application._PATHS.fullmatch(path) is None
    assert application._PATHS.fullmatch(b"/stream/1/2/3/sized") and application._PATHS.fullmatch(b"/count/7")
