"""What kernels do to connections: the simulation claims to do the same, and is held to it here.

Each test runs on the simulation and on real sockets under four selectors, and asks the platforms themselves, with no
engine above them that could make up for a difference. UNIX sockets differ from TCP in what a close means to the other
side; the simulation's connections are TCP's whatever their address, but for the queue of those who wait.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator

import pytest
from partway.engine.platform import PEER_ENDED, READABLE, WRITABLE
from partway.engine.simulation import Simulation
from seams import ENDED, LOST, OVER, QUIET, Seam, outcome, recv, send
from worlds import SEEDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")

HAVE_IP6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
SIMULATED = [f"simulation-{seed}" for seed in SEEDS]
TCP = [f"{selector}-ip4" for selector in ("lean", "epoll", "poll", "select")] + ["lean-ip6"] * HAVE_IP6
UNIX = ["lean-unix", "poll-unix", "select-unix"]
EVERYWHERE = [*SIMULATED, *TCP, *UNIX]


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="partway") as path:  # a UNIX socket's path is 107 bytes at most
        yield path


@pytest.fixture
def seam(request: pytest.FixtureRequest, folder: str) -> Iterator[Seam]:
    seam = Seam(request.param, folder)
    yield seam
    seam.close()


on = pytest.mark.parametrize
everywhere = on("seam", EVERYWHERE, indirect=True)
over_tcp = on("seam", [*SIMULATED, *TCP], indirect=True)
over_unix = on("seam", ["simulation-unix", *UNIX], indirect=True)


# Ends.


@everywhere
def test_an_end_together_with_data_is_one_event(seam: Seam) -> None:
    near, far = seam.pair()
    assert send(far, b"last words") == 10
    assert seam.half_close(far) == ""
    seam.becomes(near, ENDED)
    assert recv(near, 4) == b"last"
    assert seam.look(near) == seam.owed(ENDED)
    assert [recv(near), recv(near), recv(near)] == [b" words", b"", b""]
    seam.stays(near, ENDED)


@everywhere
def test_who_has_ended_its_side_reads_on(seam: Seam) -> None:
    near, far = seam.pair()
    assert seam.half_close(near) == ""
    assert seam.half_close(near) == ""
    assert send(near) == "EPIPE"
    seam.stays(near, QUIET)
    seam.becomes(far, ENDED)
    assert recv(near) == "EAGAIN"
    assert send(far, b"still talking") == 13
    seam.becomes(near, READABLE | WRITABLE)
    assert recv(near) == b"still talking"


@everywhere
def test_when_both_sides_have_ended_it_hangs_up(seam: Seam) -> None:
    near, far = seam.pair()
    seam.half_close(near)
    seam.becomes(far, ENDED)
    seam.half_close(far)
    for end in (near, far):
        seam.stays(end, OVER)
        assert [recv(end), send(end)] == [b"", "EPIPE"]
        assert seam.half_close(end) == ("ENOTCONN" if seam.tcp else "")
    seam.abort(far)
    seam.stays(near, OVER)


@everywhere
def test_who_has_closed_can_be_written_to_once(seam: Seam) -> None:
    near, far = seam.pair()
    far.close()
    if seam.tcp:
        seam.becomes(near, ENDED)
        assert send(near) == 1
        seam.becomes(near, LOST)
        assert recv(near) == b"", "the end came before the reset"
    else:
        seam.becomes(near, OVER)
    assert [send(near), send(near), recv(near)] == ["EPIPE", "EPIPE", b""]
    seam.stays(near, OVER)


@everywhere
def test_who_has_closed_takes_nothing_and_gives_nothing(seam: Seam) -> None:
    near, _ = seam.pair()
    near.close()
    assert near.fileno() == -1
    assert [recv(near), send(near), seam.half_close(near)] == ["EBADF"] * 3


# Resets.


@everywhere
def test_what_came_before_a_reset_can_be_read(seam: Seam) -> None:
    near, far = seam.pair()
    send(far, b"last words")
    seam.becomes(near, READABLE | WRITABLE)
    seam.abort(far)
    seam.becomes(near, LOST if seam.tcp else OVER)
    assert [recv(near, 4), recv(near)] == [b"last", b" words"]
    assert [recv(near), recv(near), recv(near)] == ["ECONNRESET" if seam.tcp else b"", b"", b""]
    seam.stays(near, OVER)
    assert send(near) == "EPIPE"


@everywhere
def test_sends_after_a_reset(seam: Seam) -> None:
    near, far = seam.pair()
    seam.abort(far)
    seam.becomes(near, LOST if seam.tcp else OVER)
    assert [send(near), send(near), send(near)] == ["ECONNRESET" if seam.tcp else "EPIPE", "EPIPE", "EPIPE"]
    assert recv(near) == b""
    seam.stays(near, OVER)


@everywhere
def test_nothing_is_left_to_end_after_a_reset(seam: Seam) -> None:
    near, far = seam.pair()
    seam.abort(far)
    seam.becomes(near, LOST if seam.tcp else OVER)
    assert seam.half_close(near) == ("ENOTCONN" if seam.tcp else "")
    assert seam.look(near) == seam.owed(LOST if seam.tcp else OVER), "the error is still to be had"
    assert recv(near) == ("ECONNRESET" if seam.tcp else b"")
    assert seam.half_close(near) == ("ENOTCONN" if seam.tcp else "")


@everywhere
def test_a_reset_after_an_end_is_told_to_a_send_alone(seam: Seam) -> None:
    near, far = seam.pair()
    send(far, b"abc")
    seam.half_close(far)
    seam.becomes(near, ENDED)
    seam.abort(far)
    seam.becomes(near, LOST if seam.tcp else OVER)
    assert [recv(near), recv(near), recv(near)] == [b"abc", b"", b""]
    assert seam.look(near) == seam.owed(LOST if seam.tcp else OVER)
    assert [send(near), send(near)] == ["EPIPE", "EPIPE"]
    seam.stays(near, OVER)


@everywhere
def test_a_reset_of_one_that_has_ended_its_side(seam: Seam) -> None:
    near, far = seam.pair()
    seam.half_close(near)
    seam.becomes(far, ENDED)
    seam.abort(far)
    seam.becomes(near, LOST if seam.tcp else OVER)
    assert [recv(near), recv(near)] == ["ECONNRESET" if seam.tcp else b"", b""]
    assert send(near) == "EPIPE"


@everywhere
def test_closing_with_bytes_unread_resets(seam: Seam) -> None:
    near, far = seam.pair()
    send(near, b"never read")
    seam.becomes(far, READABLE | WRITABLE)
    send(far, b"last words")
    far.close()
    seam.becomes(near, LOST)
    assert [recv(near), recv(near), recv(near)] == [b"last words", "ECONNRESET", b""]


@everywhere
def test_closing_with_bytes_unread_after_the_end_resets(seam: Seam) -> None:
    near, far = seam.pair()
    seam.half_close(near)
    send(far, b"never read")
    seam.becomes(near, READABLE | WRITABLE)
    near.close()
    seam.becomes(far, LOST)
    assert [recv(far), recv(far)] == [b"" if seam.tcp else "ECONNRESET", b""]
    assert [send(far), send(far)] == ["EPIPE", "EPIPE"]


@over_tcp
def test_bytes_that_meet_a_closed_end_come_back_as_a_reset(seam: Seam) -> None:
    near, far = seam.pair()
    near.close()
    seam.becomes(far, ENDED)
    send(far, b"too late")
    seam.becomes(far, LOST)


@everywhere
@on("asked", [READABLE, WRITABLE, PEER_ENDED], ids=["readable", "writable", "ended"])
def test_a_reset_that_nobody_asked_about_is_told_when_somebody_does(seam: Seam, asked: int) -> None:
    if asked == PEER_ENDED and not seam.exact:
        pytest.skip("this poller cannot be asked about it")
    near, far = seam.pair()
    seam.abort(far)
    seam.pauses()
    mask = (LOST if seam.tcp else OVER) & (asked | LOST & ~ENDED)
    said = seam.look(near, asked)
    if seam.exact:
        assert said == mask
    else:
        assert said == asked


@everywhere
def test_an_end_that_nobody_asked_about_is_told_when_somebody_does(seam: Seam) -> None:
    near, far = seam.pair()
    seam.half_close(far)
    seam.pauses()
    assert seam.look(near, READABLE) == READABLE
    if seam.exact:
        assert seam.look(near, PEER_ENDED) == PEER_ENDED
    assert recv(near) == b""
    assert seam.look(near, READABLE) == READABLE, "it is told for ever"


# Room.


def fill(end: object) -> int:
    """Send until nothing more is taken; return how much that was."""
    sent = 0
    while isinstance(took := send(end, bytes(1 << 16)), int):  # type: ignore[arg-type]
        sent += took
    assert took == "EAGAIN"
    return sent


@everywhere
def test_room_is_told_when_there_is_enough_to_be_worth_it(seam: Seam) -> None:
    near, far = seam.pair()
    sent = fill(far)
    seam.pauses()
    sent += fill(far) if seam.look(far) else 0  # the receiver's buffer may have grown meanwhile
    seam.stays(far, 0)
    read = len(recv(near, 1))
    seam.stays(far, 0)
    while not seam.look(far):
        data = recv(near, 1000)
        read += 0 if data == "EAGAIN" else len(data)
        assert read <= sent
        if data == "EAGAIN":
            seam.pause()
    took = send(far, bytes(1 << 16))
    assert took > 4000, "woken for a little room"


# Those who wait to be accepted.


@everywhere
def test_those_who_wait_are_accepted_in_their_order(seam: Seam) -> None:
    seam.listen()
    assert outcome(seam.listening.accept) == "EAGAIN"
    for number in range(3):
        far = seam.connect()
        seam.becomes(far, QUIET)
        send(far, b"%d" % number)
    seam.pauses()
    assert [recv(seam.accept()) for _ in range(3)] == [b"0", b"1", b"2"]
    assert outcome(seam.listening.accept) == "EAGAIN"


@everywhere
@on("said", [b"", b"hello"], ids=["nothing", "something"])
def test_one_that_was_reset_before_it_was_accepted(seam: Seam, said: bytes) -> None:
    seam.listen()
    far = seam.connect()
    seam.becomes(far, QUIET)
    send(far, said)
    seam.pauses()
    seam.abort(far)
    near = seam.accept()
    seam.becomes(near, LOST if seam.tcp else OVER)
    heard = [recv(near), recv(near), recv(near)]
    assert heard == [*([said] if said else []), "ECONNRESET" if seam.tcp else b"", b"", b""][:3]


@over_tcp
def test_a_full_queue_leaves_who_comes_waiting(seam: Seam) -> None:
    seam.listen(backlog=2)
    callers = [seam.connect() for _ in range(3)]
    for caller in callers:
        seam.becomes(caller, QUIET)  # one more than the backlog, as Linux has it
    late = seam.connect()
    seam.stays(late, 0)
    assert [seam.platform.failure(late), send(late), recv(late)] == [0, "EAGAIN", "EAGAIN"]
    for _ in callers:
        seam.accept()
    assert seam.look(late) == 0, "it knocks again after a second, not when there is room"
    assert outcome(seam.listening.accept) == "EAGAIN"


@over_unix
def test_a_full_queue_of_a_unix_socket_says_so_at_once(seam: Seam) -> None:
    seam.listen(backlog=2)
    for _ in range(3):
        seam.becomes(seam.connect(), QUIET)
    assert outcome(seam.connect) == "EAGAIN"
    seam.accept()
    seam.becomes(seam.connect(), QUIET)
    assert outcome(seam.connect) == "EAGAIN"


def test_who_found_the_queue_full_comes_in_when_it_knocks_again() -> None:
    """What the kernel does after a second, for which nobody wants to wait: tcp_syn_retries(7)."""
    seam = Seam("simulation-1", "")
    seam.listen(backlog=0)
    seam.becomes(seam.connect(), QUIET)
    began = seam.platform.now()
    late = seam.connect()
    seam.pauses()
    seam.accept()
    while not seam.look(late):
        seam.pause()
    assert 0.9 < seam.platform.now() - began < 1.1
    assert isinstance(seam.platform, Simulation)
    assert seam.platform.met["queue_full"] == 1


@everywhere
def test_a_listener_that_closes_resets_those_who_wait(seam: Seam) -> None:
    seam.listen()
    far = seam.connect()
    seam.becomes(far, QUIET)
    seam.listening.close()
    seam.becomes(far, LOST)
    assert [recv(far), recv(far)] == ["ECONNRESET", b""]


@over_tcp
@on("how", ["asked for", "received", "sent"])
def test_refused(seam: Seam, how: str) -> None:
    seam.listen()
    address = seam.listening.where()
    seam.listening.close()
    far = seam.platform.connect(address)
    try:
        seam.becomes(far, LOST)
        if how == "asked for":
            assert seam.platform.failure(far) == 111
        else:
            assert (recv(far) if how == "received" else send(far)) == "ECONNREFUSED"
        assert seam.platform.failure(far) == 0, "it is told once"
        seam.becomes(far, OVER)
        assert [recv(far), send(far)] == [b"", "EPIPE"]
    finally:
        far.close()


@over_unix
def test_a_unix_socket_that_is_not_there_refuses_at_once(seam: Seam) -> None:
    seam.listen()
    address = seam.listening.where()
    seam.listening.close()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        seam.platform.connect(address)
