"""Messages as they come: EDNS, what is too long for its asker, and what is no query at all."""

import struct
from random import Random

import dns.flags
import pytest
from partway.protocols.dns import Server
from partway.protocols.dns.message import OWN_BYTES, PLAIN_BYTES, RECORDS_MAX
from questions import PEER, ask, lines, query, read, server_of, told

QUESTION = b"\3www\7example\0\0\1\0\1"
WWW = ["www.example. 3600 IN A 192.0.2.2"]


def server() -> Server:
    return server_of("www A 192.0.2.2\nlong TXT " + " ".join(["x" * 200] * 8) + "\n")


def message(*, flags: int = 0, counts: tuple[int, int, int, int] = (1, 0, 0, 0), rest: bytes = QUESTION) -> bytes:
    return struct.pack("!HHHHHH", 0x1234, flags, *counts) + rest


def opt(*, size: int = 1232, flags: int = 0, options: bytes = b"", owner: bytes = b"\0") -> bytes:
    return owner + struct.pack("!HHIH", 41, size, flags, len(options)) + options


def with_opt(record: bytes) -> bytes:
    return message(counts=(1, 0, 0, 1), rest=QUESTION + record)


def bare_code(server: Server, data: bytes) -> int:
    """The result code of an answer that is a header and nothing else."""
    for answer in (server.admit(data, PEER), server.answer(data, PEER)):
        assert answer is not None and len(answer) == 12
        assert answer[:2] == data[:2] and answer[2] & 0x80 and answer[4:] == bytes(8)
        read(answer)
    return answer[3] & 15


def test_a_query_by_hand() -> None:
    assert message() == query("www.example.").to_wire()
    assert with_opt(opt()) == query("www.example.", size=1232).to_wire()


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_header_is_met_with_silence(size: int) -> None:
    asked = server()
    assert asked.admit(message()[:size], PEER) is None
    assert asked.admit(bytes(size), PEER) is None
    assert str(asked.counters) == "udp 2, short 2"


@pytest.mark.parametrize("flags", [0x8000, 0x8400, 0xFFFF, 0xA800])
def test_an_answer_is_never_answered(flags: int) -> None:
    asked = server()
    for rest in (QUESTION, b"", b"\xff"):
        assert asked.admit(message(flags=flags, rest=rest), PEER) is None
    assert asked.admit(message(flags=flags)[:12], PEER) is None
    assert asked.counters.responses == 4


def test_our_own_answers_are_never_answered() -> None:
    asked = server()
    for data in (message(), message(rest=b""), message(flags=0x2800), with_opt(opt(flags=1 << 16))):
        answer = asked.admit(data, PEER)
        assert answer is not None
        assert asked.admit(answer, PEER) is None


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_opcodes(opcode: int) -> None:
    asked = server()
    assert bare_code(asked, message(flags=opcode << 11)) == 4
    assert bare_code(asked, message(flags=opcode << 11, rest=b"\xff\xff")) == 4
    answer = asked.admit(message(flags=opcode << 11 | dns.flags.RD), PEER)
    assert answer is not None and read(answer).opcode() == opcode
    data = with_opt(opt(flags=0x8000))
    answer = asked.admit(data[:2] + bytes([opcode << 3]) + data[3:], PEER)
    assert answer is not None and len(answer) == 12 + 11, "RFC 6891, 6.1.1"
    assert (read(answer).rcode(), read(answer).opcode(), read(answer).ednsflags) == (4, opcode, dns.flags.DO)
    assert asked.counters.codes[4] == 6


LONG = b"".join(b"\x3f" + b"a" * 63 for _ in range(4))
MALFORMED = {
    "nothing behind the header": message(rest=b""),
    "no question": message(counts=(0, 0, 0, 0), rest=b""),
    "a question that is not counted": message(counts=(0, 0, 0, 0)),
    "OPT alone, without a cookie": message(counts=(0, 0, 0, 1), rest=opt()),
    "two questions": message(counts=(2, 0, 0, 0), rest=QUESTION * 2),
    "one of two questions": message(counts=(2, 0, 0, 0)),
    "65535 questions": message(counts=(65535, 0, 0, 0)),
    "a pointer to itself": message(rest=b"\xc0\x0c\0\1\0\1"),
    "a pointer to the header": message(rest=b"\3www\xc0\0\0\1\0\1"),
    "a pointer behind": message(rest=b"\3www\xc0\x14\0\1\0\1\7example\0"),
    "a label of 64": message(rest=b"\x40" + b"a" * 64 + b"\0\0\1\0\1"),
    "a label of kind 10": message(rest=b"\x80a\0\0\1\0\1"),
    "a name of 256": message(rest=LONG[:-1] + b"\0\0\1\0\1"),
    "a name of 257": message(rest=LONG + b"\0\0\1\0\1"),
    "a name without end": message(rest=b"\1a" * 200),
    "a name cut short": message(rest=b"\3ww"),
    "no type": message(rest=b"\3www\0"),
    "half a class": message(rest=QUESTION[:-1]),
    "something behind the question": message(rest=QUESTION + b"\0"),
    "an answer that is not there": message(counts=(1, 1, 0, 0)),
    "an authority that is not there": message(counts=(1, 0, 1, 0)),
    "an additional that is not there": message(counts=(1, 0, 0, 1)),
    "counts beyond all": message(counts=(1, 65535, 65535, 65535)),
    "something behind OPT": with_opt(opt() + b"\0"),
    "two OPT": message(counts=(1, 0, 0, 2), rest=QUESTION + opt() * 2),
    "OPT among the answers": message(counts=(1, 1, 0, 0), rest=QUESTION + opt()),
    "OPT among the authorities": message(counts=(1, 0, 1, 0), rest=QUESTION + opt()),
    "OPT with a name": with_opt(opt(owner=b"\1a\0")),
    "OPT with a pointer for a name": with_opt(opt(owner=b"\xc0\x0c")),
    "OPT cut short": with_opt(opt()[:-1]),
    "OPT cut shorter": with_opt(opt()[:4]),
    "OPT that is longer than it is": with_opt(opt()[:-1] + b"\1"),
    "OPT shorter than it is": with_opt(opt(options=bytes(4))[:-6] + b"\0\0" + bytes(4)),
    "half an option": with_opt(opt(options=b"\0\3\0")),
    "an option longer than OPT": with_opt(opt(options=b"\0\3\0\5abcd")),
    "a cookie of 7": with_opt(opt(options=b"\0\x0a\0\7" + bytes(7))),
    "a cookie of 0": with_opt(opt(options=b"\0\x0a\0\0")),
    "a cookie of 15": with_opt(opt(options=b"\0\x0a\0\x0f" + bytes(15))),
    "a cookie of 41": with_opt(opt(options=b"\0\x0a\0\x29" + bytes(41))),
    "a record cut short": with_opt(b"\0\0\1\0\1\0\0\0\0\0\5abcd"),
    "a record's name without end": with_opt(b"\1a" * 200),
    "a record's name too long": with_opt(LONG + b"\0" + bytes(10)),
    "a record's name of kind 10": with_opt(b"\x80" + bytes(11)),
    "half a pointer": with_opt(b"\xc0"),
    "too many records": message(
        counts=(1, 0, 0, RECORDS_MAX + 1), rest=QUESTION + (b"\0" + bytes(10)) * (RECORDS_MAX + 1)
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read(name: str) -> None:
    asked = server()
    assert bare_code(asked, MALFORMED[name]) == 1
    assert asked.counters.codes[1] == 2
    assert str(asked.counters) == "udp 1, stream 1, FORMERR 2"


def test_of_a_message_that_is_not_read_two_flags_come_back() -> None:
    """RD and the operation: neither TC nor AA, nor what may stand for something some day."""
    for flags, given in ((0x7FFF, 0xF900 | 4), (0x07FF, 0x8100 | 1), (0x06FF, 0x8000 | 1)):
        answer = server().admit(message(flags=flags, rest=b"\xff"), PEER)
        assert answer is not None and int.from_bytes(answer[2:4], "big") == given


def test_the_longest_name_is_none_too_long() -> None:
    name = LONG[:-2]
    name = name[:192] + bytes([61]) + name[193:] + b"\0"
    assert len(name) == 255
    assert told(read(server().admit(message(rest=name + b"\0\1\0\1"), PEER)))[0] == "REFUSED"


@pytest.mark.parametrize(
    "rest",
    [
        opt() + b"\0" + struct.pack("!HHIH", 250, 255, 0, 5) + b"tsig!",
        b"\3key\xc0\x10" + struct.pack("!HHIH", 250, 255, 0, 0) + opt(),
        b"\1a\0" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4) + opt(),
        b"\0" + struct.pack("!HHIH", 65280, 3, 0, 4) + bytes(4) + opt(),
    ],
)
def test_unknown_records_are_tolerated(rest: bytes) -> None:
    answer = read(server().admit(message(counts=(1, 0, 0, 2), rest=QUESTION + rest), PEER))
    assert lines(answer.answer) == WWW
    assert answer.edns == 0


def test_as_many_records_as_may_be() -> None:
    rest = QUESTION + (b"\0" + bytes(10)) * RECORDS_MAX
    answer = read(server().admit(message(counts=(1, 0, 1, RECORDS_MAX - 1), rest=rest), PEER))
    assert lines(answer.answer) == WWW


def test_opt_is_given_to_those_alone_who_have_it() -> None:
    asked = server()
    for name in ("www.example.", "long.example.", "nowhere.example.", "other."):
        assert ask(asked, name).edns == -1
        answer = ask(asked, name, size=4096)
        assert (answer.edns, answer.payload, answer.ednsflags, answer.options) == (0, OWN_BYTES, 0, ())


def test_do_is_echoed() -> None:
    answer = ask(server(), "www.example.", size=1232, want_dnssec=True)
    assert answer.ednsflags == dns.flags.DO
    assert lines(answer.answer) == WWW
    answer = read(server().admit(with_opt(opt(flags=0xFFFF)), PEER))
    assert answer.ednsflags == dns.flags.DO, "flags that nobody knows are not"


@pytest.mark.parametrize("version", [1, 2, 255])
def test_another_version_of_edns(version: int) -> None:
    asked = server()
    for options in (b"", b"\xff\xff"):  # what its options would mean, nobody knows
        data = with_opt(opt(flags=version << 16 | 0x8000, options=options))
        answer = read(asked.admit(data, PEER))
        assert told(answer) == ("BADVERS", False, [], [], [])
        assert (answer.edns, answer.ednsflags & dns.flags.DO) == (0, dns.flags.DO)
        assert query("www.example.").is_response(answer)
    alone = read(asked.admit(message(counts=(0, 0, 0, 1), rest=opt(flags=version << 16)), PEER))
    assert told(alone)[0] == "BADVERS"
    assert asked.counters.codes[16] == 3


def test_unknown_options_are_passed_over() -> None:
    options = b"\0\3\0\0" + b"\xff\xff\0\3abc" + b"\0\x0c\0\x10" + bytes(16)
    answer = read(server().admit(with_opt(opt(options=options)), PEER))
    assert lines(answer.answer) == WWW
    assert answer.options == ()


def test_who_takes_less_is_told_to_come_over_tcp() -> None:
    asked = server()
    for size in (None, 0, 511, 512, 1231, 1232, 4096, 65535):
        for name in ("www.example.", "long.example."):
            answer = ask(asked, name, "A" if name.startswith("www") else "TXT", size=size)
            if name == "www.example.":
                assert lines(answer.answer) == WWW and not answer.flags & dns.flags.TC
                continue
            assert answer.flags & (dns.flags.TC | dns.flags.AA) == dns.flags.TC | dns.flags.AA
            assert (answer.answer, answer.authority, answer.edns) == ([], [], -1 if size is None else 0)
            assert len(answer.to_wire()) <= max(PLAIN_BYTES, min(size or 0, OWN_BYTES))
    assert asked.counters.cut == 8


@pytest.mark.parametrize(("size", "most"), [(None, 512), (0, 512), (512, 512), (600, 600), (1232, 1232), (9999, 1232)])
def test_the_last_byte_that_fits(size: int | None, most: int) -> None:
    """An answer is cut where it is longer than what is taken, and not before."""
    around = 12 + len(b"\1d\7example\0") + 4 + 12 + (0 if size is None else 11)
    for extra in (0, 1):
        data = bytes(most - around + extra).hex()
        asked = server_of(f"d TYPE65280 \\# {len(data) // 2} {data}\n")
        answer = asked.admit(query("d.example.", "TYPE65280", size=size).to_wire(), PEER)
        assert answer is not None
        assert (len(answer) == most) == (not extra)
        assert bool(read(answer).flags & dns.flags.TC) == bool(extra)


def test_over_tcp_nothing_is_cut_but_at_its_end() -> None:
    asked = server_of("".join(f"big TXT {'x' * 240}{number:04}\n" for number in range(240)))
    whole = read(asked.answer(query("big.example.", "TXT").to_wire(), PEER))
    assert len(whole.answer[0]) == 240 and not whole.flags & dns.flags.TC
    servers = "".join(f"cut NS ns{number}.cut\nns{number}.cut A 192.0.2.1\n" for number in range(250))
    addresses = "".join(
        f"ns{number}.cut AAAA 2001:db8::{number}:{more}\n" for number in range(250) for more in range(20)
    )
    asked = server_of(servers + addresses)
    for _ in range(2):
        answer = asked.answer(query("cut.example.").to_wire(), PEER)
        assert answer is not None and len(answer) <= 65535
        assert read(answer).flags & dns.flags.TC and len(answer) < 100


def test_random_bytes() -> None:
    asked = server()
    random = Random(7)
    for _ in range(3000):
        data = random.randbytes(random.randrange(80))
        answer = asked.admit(data, PEER)
        assert answer is None or len(answer) <= len(data) + 200
    assert sum(asked.counters.codes) + asked.counters.short + asked.counters.responses == 3000
