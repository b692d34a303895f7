"""Datagrams at the seam: the same tests on the simulation and on real sockets, and what the simulation does besides.

No engine is above them yet: it is asked what a platform's `bind` gives, and what becomes of what is sent there.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from errno import EOPNOTSUPP
from pathlib import Path
from typing import Any

import pytest
from partway.engine import Address, parse_address
from partway.engine.faults import Faults
from partway.engine.host import Host
from partway.engine.host_datagrams import DATAGRAMS_MOST
from partway.engine.kernel import Kernel, resolve
from partway.engine.platform import READABLE, WRITABLE, DatagramChannel, where_of
from partway.engine.simulation import Simulation
from seams import QUIET, Seam, outcome
from worlds import SEEDS

HAVE_IP6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
UDP = [*(f"simulation-{seed}" for seed in SEEDS), "lean-ip4", "epoll-ip4", "poll-ip4", "select-ip4"]
UDP += ["lean-ip6"] * HAVE_IP6
UNIX = ["simulation-unix", "lean-unix", "poll-unix"]
COME = READABLE | WRITABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")


class Post:
    """Places for datagrams on one platform."""

    def __init__(self, name: str, folder: str) -> None:
        self.seam = Seam(name, folder)
        self.platform = self.seam.platform
        self.unix = not self.seam.tcp
        self.folder = folder
        self.bound: list[DatagramChannel] = []
        self.becomes = self.seam.becomes

    def place(self) -> Address:
        if self.unix:
            return parse_address(f"unixgram:{self.folder}/{len(self.bound)}")
        _, _, kind = self.seam.name.partition("-")
        return parse_address({"ip4": "udp:127.0.0.1:0", "ip6": "udp:[::1]:0"}.get(kind, "udp:server:0"))

    def bind(self, address: Address | None = None) -> DatagramChannel:
        channel: DatagramChannel = self.platform.bind(address or self.place())
        self.bound.append(channel)
        return channel

    def pair(self) -> tuple[DatagramChannel, DatagramChannel]:
        return self.bind(), self.bind()

    def close(self) -> None:
        for channel in self.bound:
            if channel.fileno() >= 0:
                channel.close()
        self.seam.close()


@pytest.fixture
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    with tempfile.TemporaryDirectory(prefix="partway") as folder:
        post = Post(request.param, folder)
        yield post
        post.close()


on = pytest.mark.parametrize
everywhere = on("post", [*UDP, *UNIX], indirect=True)
over_udp = on("post", UDP, indirect=True)
over_unix = on("post", UNIX, indirect=True)


def to(channel: DatagramChannel) -> Any:
    """What stands for it where something is to be sent to it."""
    return channel.sender(where_of(channel.where()))


def same(sender: Any, near: DatagramChannel, far: DatagramChannel) -> bool:
    """Whether the sender of what near has received is far."""
    where = near.peer(sender)
    return (where if isinstance(where, str) else tuple(where[:2])) == where_of(far.where())


# On every platform.


@everywhere
def test_there_and_back(post: Post) -> None:
    near, far = post.pair()
    post.becomes(near, QUIET)
    far.send_to(b"hello", to(near))
    post.becomes(near, COME)
    data, sender = near.receive(100)
    assert data == b"hello"
    assert same(sender, near, far)
    near.send_to(memoryview(b"answer"), sender)
    post.becomes(far, COME)
    assert far.receive(100)[0] == b"answer"
    assert outcome(lambda: far.receive(100)) == "EAGAIN"
    post.becomes(far, QUIET)


@everywhere
def test_each_is_received_by_itself_and_in_order(post: Post) -> None:
    near, far = post.pair()
    for data in (b"first", b"", b"third"):
        far.send_to(data, to(near))
    heard = []
    while len(heard) < 3:
        post.becomes(near, COME)
        heard.append(near.receive(100)[0])
    assert heard == [b"first", b"", b"third"]


@everywhere
def test_what_is_longer_than_was_asked_for_is_cut(post: Post) -> None:
    near, far = post.pair()
    for _ in range(2):
        far.send_to(b"hello", to(near))
    post.becomes(near, COME)
    assert near.receive(4)[0] == b"hell"
    post.becomes(near, COME)
    assert near.receive(5)[0] == b"hello", "what was cut off does not come later"


@everywhere
def test_too_large(post: Post) -> None:
    near, far = post.pair()
    assert outcome(lambda: far.send_to(bytes(1 << 22), to(near))) == "EMSGSIZE"
    far.send_to(bytes(60_000), to(near))
    post.becomes(near, COME)
    assert near.receive(1 << 17)[0] == bytes(60_000)


@over_udp
def test_the_largest(post: Post) -> None:
    near, far = post.pair()
    most = 65_507 if ":" not in near.where().host else 65_527
    assert outcome(lambda: far.send_to(bytes(most + 1), to(near))) == "EMSGSIZE"
    far.send_to(bytes(most), to(near))
    post.becomes(near, COME)
    assert len(near.receive(1 << 17)[0]) == most


@over_udp
def test_a_full_queue_loses_what_comes(post: Post) -> None:
    near, far = post.pair()
    for number in range(2000):
        far.send_to(number.to_bytes(1000, "big"), to(near))
    post.becomes(near, COME)
    for _ in range(20):
        post.seam.pause()
    heard = []
    while (found := outcome(lambda: near.receive(2000))) != "EAGAIN":
        heard.append(int.from_bytes(found[0], "big"))
    assert heard == list(range(len(heard))), "those that came first are kept"
    assert 10 < len(heard) < 2000
    far.send_to(b"there is room again", to(near))
    post.becomes(near, COME)
    assert near.receive(100)[0] == b"there is room again"


@over_unix
def test_a_full_queue_of_a_unix_socket_takes_no_more(post: Post) -> None:
    near, far = post.pair()
    sent = 0
    with suppress(BlockingIOError):
        while sent < 1000:
            far.send_to(b"%d" % sent, to(near))
            sent += 1
    assert outcome(lambda: far.send_to(b"x", to(near))) == "EAGAIN"
    assert sent == 1 + (int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) if post.seam.real else 10)
    post.becomes(far, QUIET)
    assert near.receive(10)[0] == b"0"
    far.send_to(b"last", to(near))
    heard = [near.receive(10)[0] for _ in range(sent)]
    assert heard == [*(b"%d" % number for number in range(1, sent)), b"last"], "none is lost"


@over_udp
def test_nobody_is_told_of_what_arrives_nowhere(post: Post) -> None:
    near, far = post.pair()
    gone = to(far)
    far.close()
    for _ in range(3):
        near.send_to(b"anybody?", gone)
        post.seam.pause()
    assert outcome(lambda: near.receive(10)) == "EAGAIN"
    post.becomes(near, QUIET)


@over_unix
def test_a_path_at_which_nobody_is_says_so(post: Post) -> None:
    near, far = post.pair()
    gone = to(far)
    far.close()
    assert outcome(lambda: near.send_to(b"anybody?", gone)) in ("ECONNREFUSED", "ENOENT")


@everywhere
def test_a_place_is_one_channels(post: Post) -> None:
    near = post.bind()
    assert near.where().kind == ("unixgram" if post.unix else "udp")
    assert post.unix or near.where().port > 0
    assert outcome(lambda: post.bind(near.where())) == "EADDRINUSE"
    near.close()
    again = post.bind(near.where() if post.unix or not post.seam.real else None)
    assert again.fileno() >= 0


@everywhere
def test_a_closed_one_is_closed(post: Post) -> None:
    near, far = post.pair()
    far.send_to(b"never read", to(near))
    near.close()
    assert near.fileno() == -1
    assert outcome(lambda: near.receive(10)) == "EBADF"
    assert outcome(lambda: near.send_to(b"x", to(far))) == "EBADF"
    assert not post.unix or not os.path.exists(str(to(near)) if post.seam.real else "/nowhere")


@everywhere
def test_datagrams_are_bound_and_connections_are_listened_for(post: Post) -> None:
    for call in (lambda: post.platform.listen(post.place(), 1, 1), lambda: post.platform.connect(post.place())):
        with pytest.raises(OSError, match="takes datagrams") as caught:
            call()
        assert caught.value.errno == EOPNOTSUPP
    for text in ("127.0.0.1:0", "unix:/nowhere/at/all", "fd:0"):
        with pytest.raises(OSError, match="takes connections"):
            post.platform.bind(parse_address(text))


# The kernel alone.


def test_a_stale_file_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "here"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(str(path))
    kernel = Kernel()
    channel = kernel.bind(Address("unixgram", str(path)))
    with pytest.raises(OSError, match="in use"):
        kernel.bind(Address("unixgram", str(path)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b"x", str(path))
    data, sender = channel.receive(10)
    assert (data, channel.peer(sender)) == (b"x", ""), "one without a path has no address"
    assert channel.credentials(sender) == (os.getpid(), os.getuid(), os.getgid())
    channel.close()
    assert not path.exists()
    kernel.poller.close()


def test_names_are_looked_up_for_datagrams_too() -> None:
    assert Address("udp", "127.0.0.1", 53) in resolve(Address("udp", "127.0.0.1", 53))
    assert resolve(Address("unixgram", "/x")) == [Address("unixgram", "/x")]
    with pytest.raises(ValueError, match="numeric"):
        Kernel().bind(Address("udp", "localhost", 0))


# The host.


def test_what_the_host_hands_in_and_takes_out() -> None:
    host = Host(lambda: 0.0)
    place = host.bind(parse_address("udp:here:1"))
    host.poller.register(place.fileno(), READABLE)
    assert not host.poller.ready(0, 9)
    assert host.datagram("udp:here:1", b"hello", ("there", 2))
    assert host.poller.ready(0, 9) == [(place.fileno(), READABLE)]
    data, sender = place.receive(3)
    assert (data, place.peer(sender), place.local(sender)) == (b"hel", ("there", 2), ("here", 1))
    assert outcome(lambda: place.receive(3)) == "EAGAIN"
    for answer in (b"one", b""):
        assert place.send_to(answer, sender) == len(answer)
    assert host.take_datagrams("udp:here:1", 1) == [(b"one", ("there", 2))]
    assert host.take_datagrams("udp:here:1") == [(b"", ("there", 2))]
    assert host.take_datagrams("udp:here:1") == []


def test_a_host_that_is_behind_loses_what_comes_and_takes_no_more() -> None:
    host = Host(lambda: 0.0)
    place = host.bind(parse_address("unixgram:/here"))
    taken = [host.datagram("unixgram:/here", b"x", "/there") for _ in range(DATAGRAMS_MOST + 1)]
    assert taken == [True] * DATAGRAMS_MOST + [False]
    for _ in range(DATAGRAMS_MOST):
        place.send_to(b"x", "/there")
    assert outcome(lambda: place.send_to(b"x", "/there")) == "EAGAIN"
    host.poller.register(place.fileno(), WRITABLE)
    assert not host.poller.ready(0, 9)
    host.take_datagrams("unixgram:/here", 1)
    assert host.poller.ready(0, 9) == [(place.fileno(), WRITABLE)]
    place.send_to(b"x", "/there")


def test_what_is_left_when_a_host_s_place_closes_can_still_be_taken() -> None:
    host = Host(lambda: 0.0)
    address = parse_address("udp:here:1")
    place = host.bind(address)
    assert outcome(lambda: host.bind(address)) == "EADDRINUSE"
    place.send_to(b"first", ("there", 2))
    place.close()
    place.close()
    assert (place.fileno(), outcome(lambda: place.send_to(b"x", ("there", 2)))) == (-1, "EBADF")
    with pytest.raises(LookupError):
        host.datagram("udp:here:1", b"x", ("there", 2))
    again = host.bind(address)
    again.send_to(b"second", ("there", 2))
    again.close()
    assert host.take_datagrams("udp:here:1", 1) == [(b"first", ("there", 2))]
    assert host.datagram_addresses() == ["udp:here:1"]
    assert host.take_datagrams("udp:here:1") == [(b"second", ("there", 2))]
    assert host.datagram_addresses() == []
    assert host.take_datagrams("udp:here:1") == []


def test_a_host_s_client_hears_one_peer_alone() -> None:
    host = Host(lambda: 0.0)
    place = host.bind_to(parse_address("udp:there:2"))
    (name,) = host.datagram_addresses()
    assert not host.datagram(name, b"x", ("elsewhere", 2))
    assert host.datagram(name, b"x", ("there", 2))
    assert place.receive(9) == (b"x", ("there", 2))
    assert outcome(lambda: place.receive(9)) == "EAGAIN"
    place.close()
    assert host.datagram_addresses() == []


def test_the_host_tells_kinds_apart() -> None:
    host = Host(lambda: 0.0)
    with pytest.raises(OSError, match="takes datagrams") as caught:
        host.listen(parse_address("udp:here:1"), 1)
    assert caught.value.errno == EOPNOTSUPP
    for call in (host.bind, host.bind_to):
        with pytest.raises(OSError, match="takes connections"):
            call(parse_address("here:1"))


# Addresses.


@on(
    ("text", "address"),
    [
        ("udp:127.0.0.1:53", Address("udp", "127.0.0.1", 53)),
        ("udp:[::1]:53", Address("udp", "::1", 53)),
        ("udp::53", Address("udp", "0.0.0.0", 53)),
        ("unixgram:/run/a b:c", Address("unixgram", "/run/a b:c")),
        ("udp:53", Address("tcp", "udp", 53)),  # a host of that name
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address
    assert address.datagrams == (address.kind != "tcp")


@on("text", ["udp:", "udp:x", "udp:host:", "udp:host:65536", "udp:::1:5", "unixgram:", "unixgram:a\0b"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


# What the simulation does besides.


def sent(count: int, seed: int = 1, delay: tuple[float, float] = (0.0, 0.0), **faults: float) -> tuple[Any, list[Any]]:
    """Send so many numbers to a server; return the simulation, and what the server has received and when."""
    simulation = Simulation(seed, faults=Faults(**faults), capacity_bytes=1 << 20, delay_seconds=delay)
    near = simulation.bind(parse_address("udp:server:7"))
    peer = simulation.dial_datagrams("udp:server:7")
    simulation.poller.register(near.fileno(), READABLE)
    for number in range(count):
        peer.say(number.to_bytes(10, "big"))
    heard = []
    while simulation.poller.ready(1.0, 1):
        data, where = near.receive(100)
        assert where == peer.where
        heard.append((int.from_bytes(data, "big") if len(data) < 100 else data, simulation.now() - 1000.0))
    return simulation, heard


def numbers(heard: list[Any]) -> list[Any]:
    return [number for number, _ in heard]


def test_without_faults_all_come_in_order() -> None:
    simulation, heard = sent(200, delay=(0.0, 0.5))
    assert numbers(heard) == list(range(200))
    assert not simulation.met
    assert 0.4 < heard[-1][1] < 0.51


@on("seed", SEEDS)
def test_lost(seed: int) -> None:
    simulation, heard = sent(200, seed, datagram_lost=0.2)
    assert numbers(heard) == sorted(set(numbers(heard)))
    assert len(heard) == 200 - simulation.met["datagram_lost"]
    assert 10 < simulation.met["datagram_lost"] < 90
    assert set(simulation.met) == {"datagram_lost"}


@on("seed", SEEDS)
def test_doubled(seed: int) -> None:
    simulation, heard = sent(200, seed, datagram_doubled=0.2)
    assert len(heard) == 200 + simulation.met["datagram_doubled"]
    assert set(numbers(heard)) == set(range(200))
    assert max(map(numbers(heard).count, range(200))) == 2
    assert set(simulation.met) == {"datagram_doubled"}


@on("seed", SEEDS)
def test_late(seed: int) -> None:
    simulation, heard = sent(200, seed, datagram_late=0.2)
    came = numbers(heard)
    assert sorted(came) == list(range(200))
    overtaken = sum(any(later > number for later in came[:place]) for place, number in enumerate(came))
    assert overtaken > simulation.met["datagram_late"] / 2
    assert overtaken <= simulation.met["datagram_late"]
    assert heard[-1][1] <= 0.1 + 0.001
    assert set(simulation.met) == {"datagram_late"}


@on("seed", SEEDS)
def test_cut(seed: int) -> None:
    simulation, heard = sent(200, seed, datagram_cut=0.2)
    cut = [(place, data) for place, (data, _) in enumerate(heard) if isinstance(data, bytes)]
    assert len(cut) == simulation.met["datagram_cut"] > 10
    assert all(len(data) == 100 for _, data in cut), "longer than whatever is asked for"
    kept = [(place, data.rstrip(b"?")) for place, data in cut]
    assert all(place.to_bytes(10, "big").startswith(data) and len(data) < 10 for place, data in kept)
    assert len({len(data) for _, data in kept}) > 3
    assert set(simulation.met) == {"datagram_cut"}


@on(("name", "error"), [("not_ready", "EAGAIN"), ("interrupted", "EINTR"), ("no_buffers", "ENOBUFS")])
def test_calls_fail(name: str, error: str) -> None:
    simulation = Simulation(1, faults=Faults(**{name: 0.5}))
    near = simulation.bind(parse_address("udp:server:7"))
    peer = simulation.dial_datagrams("udp:server:7")
    taken: list[object] = [outcome(lambda: near.send_to(b"x", peer.where)) for _ in range(40)]
    simulation.travel()
    assert len(peer.heard()) == taken.count(1)
    peer.say(b"hello")
    simulation.travel()
    simulation.poller.register(near.fileno(), READABLE)
    while near.arrived:
        assert simulation.poller.ready(1.0, 1) == [(near.fileno(), READABLE)]
        taken.append(outcome(lambda: near.receive(10)))
        assert taken[-1] != "ENOBUFS", "this one befalls sends alone"
    assert simulation.met[name] == taken.count(error) > 5
    assert set(simulation.met) == {name}


@on("seed", SEEDS)
def test_the_way_out_is_full_for_a_while(seed: int) -> None:
    """Nothing is sent meanwhile; the poller does not say that there is room until there is, and then it does."""
    simulation = Simulation(seed, faults=Faults(datagram_blocked=0.2))
    near = simulation.bind(parse_address("udp:server:7"))
    peer = simulation.dial_datagrams("udp:server:7")
    simulation.poller.register(near.fileno(), WRITABLE)
    sent, seconds = 0, []
    while len(seconds) < 20:
        if outcome(lambda: near.send_to(b"x", peer.where)) == "EAGAIN":
            assert [outcome(lambda: near.send_to(b"x", peer.where)) for _ in range(20)] == ["EAGAIN"] * 20
            began = simulation.now()
            assert simulation.poller.ready(None, 1) == [(near.fileno(), WRITABLE)]
            seconds.append(simulation.now() - began)
        else:
            sent += 1
            assert simulation.poller.ready(0.0, 1) == [(near.fileno(), WRITABLE)]
    assert 0.05 < max(seconds) <= 0.1
    assert min(seconds) < 0.05
    assert dict(simulation.met) == {"datagram_blocked": 20}
    simulation.travel()
    assert len(peer.heard()) == sent == simulation.datagrams.sent
    near.close()
    simulation.travel(1.0)


def test_unix_sockets_are_never_blocked() -> None:
    """There it is the receiver's queue that is full, or is not."""
    simulation = Simulation(1, faults=Faults(datagram_blocked=1.0))
    near = simulation.bind(parse_address("unixgram:/a"))
    peer = simulation.dial_datagrams("unixgram:/a")
    assert near.send_to(b"x", peer.where) == 1


def test_a_slow_link_takes_its_time_both_ways() -> None:
    simulation = Simulation(1, delay_seconds=(0.0, 0.0))
    near = simulation.bind(parse_address("udp:server:7"))
    link = simulation.new_link(1, delay_seconds=(0.5, 0.5), bytes_a_second=1000.0)
    peer = simulation.dial_datagrams("udp:server:7", link)
    came: list[float] = []
    peer.watcher = lambda: came.append(simulation.now() - 1000.0)
    assert peer.watcher is not None
    simulation.poller.register(near.fileno(), READABLE)
    peer.say(bytes(1000))
    assert simulation.poller.ready(10.0, 1)
    assert simulation.now() - 1000.0 == pytest.approx(1.5, abs=0.001)
    near.send_to(bytes(500), near.receive(1000)[1])
    simulation.poller.ready(10.0, 1)
    assert came == [pytest.approx(2.5, abs=0.001)]
    assert peer.heard() == [bytes(500)]


def test_what_befalls_one_is_not_moved_by_another() -> None:
    def fate(crowd: int) -> list[int]:
        simulation = Simulation(1, capacity_bytes=1 << 20)
        near = simulation.bind(parse_address("udp:server:7"))
        faults = Faults(datagram_lost=0.2, datagram_doubled=0.2, datagram_late=0.2)
        peers = [
            simulation.dial_datagrams("udp:server:7", simulation.new_link(seed, faults=faults)) for seed in range(crowd)
        ]
        for number in range(100):
            for peer in peers:
                peer.say(bytes([number]))
        simulation.travel(1.0)
        found = [near.receive(10) for _ in range(len(near.arrived))]
        return [data[0] for data, where in found if where == peers[0].where]

    assert fate(1) == fate(5)
    assert fate(1) != sorted(set(fate(1)))


def test_places_are_freed() -> None:
    simulation = Simulation(1, delay_seconds=(1.0, 1.0))
    address = parse_address("udp:server:7")
    near = simulation.bind(address)
    peer = simulation.dial_datagrams(address)
    peer.say(b"on its way")
    assert simulation.descriptors_used() == 1
    near.close()
    near.close()
    again = simulation.bind(address)
    assert (simulation.descriptors_used(), again.fileno()) == (1, 3)
    simulation.travel(2.0)
    assert not again.arrived, "it was another's"
    assert not near.arrived
    again.send_to(b"x", peer.where)
    peer.close()
    simulation.travel(2.0)
    again.close()
    assert simulation.descriptors_used() == 0


def test_room_is_bytes_too_and_comes_back() -> None:
    simulation = Simulation(1, capacity_bytes=10_000, delay_seconds=(0.0, 0.0))
    near = simulation.bind(parse_address("udp:server:7"))
    peer = simulation.dial_datagrams("udp:server:7")
    for _ in range(3):
        for _ in range(100):
            peer.say(bytes(1000))
        simulation.travel()
        assert len(near.arrived) == 6, "each takes some room besides its bytes"
        while near.arrived:
            near.receive(1000)
    simulation.bind(parse_address("unixgram:/here"))
    other = simulation.dial_datagrams("unixgram:/here")
    other.say(bytes(6000))
    assert outcome(lambda: other.say(bytes(6000))) == "EAGAIN", "and none is lost"


def test_kinds_do_not_mix() -> None:
    simulation = Simulation(1)
    near = simulation.bind(parse_address("udp:server:7"))
    assert outcome(lambda: near.send_to(b"x", "/a/path")) == "EINVAL"
    path = simulation.bind(parse_address("unixgram:/here"))
    assert outcome(lambda: path.send_to(b"x", ("server", 7))) == "EINVAL"
    peer = simulation.dial_datagrams("unixgram:/here")
    peer.say(b"hello")
    assert path.receive(10) == (b"hello", peer.where)
