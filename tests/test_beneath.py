"""Nothing outside a folder is ever opened: not by a name, not by a link, not by a swap between the look and the step.

All three ways go through the same tests, and each opening is checked for descriptors left over, also where it fails.
Beside the folder lies a secret; the swaps are played at every point at which they could happen, by a hand in the calls
that ask the kernel, and the same trick is shown to work where nothing guards against it.
"""

import errno
import fcntl
import os
import pickle
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partway.protocols import beneath
from partway.protocols.beneath import WAYS, Beneath

SECRET = b"the secret that lies outside"
PROCESS = psutil.Process()


def best_way() -> str:
    """The best that works here."""
    root = Beneath("/")
    root.close()
    return root.how


BEST = best_way()
HERE = WAYS[WAYS.index(BEST) :]
GUARDED = [how for how in HERE if how != "path"]


class Site:
    """A folder, a secret beside it, and one `Beneath` of it."""

    def __init__(self, base: Path, how: str) -> None:
        self.base = base
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "f.txt").write_bytes(SECRET)
        (self.outside / "c").mkdir()
        (self.outside / "c" / "f.txt").write_bytes(SECRET)
        (base / "site-neighbour").mkdir()
        (base / "site-neighbour" / "secret").write_bytes(SECRET)
        self.root = base / "site"
        (self.root / "a" / "b" / "c").mkdir(parents=True)
        (self.root / "f.txt").write_bytes(b"f")
        (self.root / "a" / "f.txt").write_bytes(b"a/f")
        (self.root / "a" / "b" / "c" / "f.txt").write_bytes(b"a/b/c/f")
        self.beneath = Beneath(str(self.root), how)

    def link(self, name: str, target: str | Path) -> None:
        (self.root / name).symlink_to(target)

    def get(self, name: bytes) -> bytes | list[str]:
        """What a name leads to: a file's bytes, or a folder's names."""
        before = PROCESS.num_fds()
        descriptor = self.beneath.open(name)
        assert PROCESS.num_fds() == before + 1, "more was opened than is handed out"
        try:
            return sorted(os.listdir(descriptor)) if os.path.isdir(descriptor) else os.read(descriptor, 1000)
        finally:
            os.close(descriptor)

    def code(self, name: bytes) -> str:
        """The name of the error that a name leads to."""
        before = PROCESS.num_fds()
        with pytest.raises(OSError) as caught:
            os.close(self.beneath.open(name))
        assert PROCESS.num_fds() == before, "something was left open"
        assert caught.value.errno is not None
        return errno.errorcode[caught.value.errno]

    def outcome(self, name: bytes) -> object:
        """Either of them."""
        try:
            return self.get(name)
        except OSError as error:
            return errno.errorcode[error.errno or 0]


@pytest.fixture
def how() -> str:
    return ""


@pytest.fixture
def site(tmp_path: Path, how: str) -> Iterator[Site]:
    before = PROCESS.num_fds()
    made = Site(tmp_path, how)
    assert PROCESS.num_fds() == before + (made.beneath.root >= 0), "the probe left something open"
    yield made
    made.beneath.close()
    assert PROCESS.num_fds() == before


every_way = pytest.mark.parametrize("how", HERE)
every_guarded_way = pytest.mark.parametrize("how", GUARDED)


# What is opened.


@every_way
def test_files(site: Site) -> None:
    assert site.get(b"f.txt") == b"f"
    assert site.get(b"a/f.txt") == b"a/f"
    assert site.get(b"a/b/c/f.txt") == b"a/b/c/f"


@every_way
def test_folders(site: Site) -> None:
    assert site.get(b"") == ["a", "f.txt"]
    assert site.get(b"a") == ["b", "f.txt"]
    assert site.get(b"a/b/c") == ["f.txt"]


ANY = [
    *(
        b".dot",
        b"..dot",
        b"...",
        b"a/.dot",
        b"a/..dot",
        b"a/...",
        b"a b",
        b"line\nbreak",
        b"f.txt\n",
        b"a\\b",
        b"~",
        b"-",
    ),
    *(b"latin-\xe9-\xff", b"a/latin-\xff", "日本語".encode(), b"%2e%2e", b"x" * 255, b"a/" + b"x" * 255, b"a:b", b"*"),
]


@every_way
def test_any_name(site: Site) -> None:
    for name in ANY:
        try:
            with open(os.path.join(os.fsencode(site.root), name), "wb") as file:
                file.write(name)
        except OSError:
            continue  # this file system knows no such name
        assert site.get(name) == name


@every_way
def test_how_it_is_opened(site: Site) -> None:
    site.link("link", "a/f.txt")
    for name in (b"f.txt", b"a/f.txt", b"link", b"a"):
        descriptor = site.beneath.open(name)
        try:
            assert not os.get_inheritable(descriptor)
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            assert flags & os.O_ACCMODE == os.O_RDONLY
            assert flags & os.O_NONBLOCK
        finally:
            os.close(descriptor)


def test_a_terminal_does_not_become_ours() -> None:
    assert beneath.READ & os.O_NOCTTY
    assert struct.unpack("=3Q", beneath._HOW)[0] & os.O_NOCTTY
    assert struct.unpack("=3Q", beneath._HOW_NO_LINKS)[0] & os.O_NOCTTY


@every_way
def test_a_fifo_does_not_block(site: Site) -> None:
    os.mkfifo(site.root / "fifo")
    os.mkfifo(site.root / "a" / "fifo")
    site.link("link", site.root / "a" / "fifo")
    assert [site.get(name) for name in (b"fifo", b"a/fifo", b"link")] == [b"", b"", b""]
    assert site.code(b"fifo/x") == "ENOTDIR"


@every_way
def test_a_socket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert site.code(b"s") in ("ENXIO", "EOPNOTSUPP")


@every_way
def test_a_file_that_is_leased(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, and soon to be had: the caller must be able to tell that from a file that is not there."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        for name in ("f.txt", "a/f.txt"):
            with open(site.root / name, "rb") as file:
                try:
                    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                except (OSError, AttributeError):
                    pytest.skip("there are no leases here")
                assert site.code(name.encode()) == "EAGAIN"
            assert site.get(name.encode())
    finally:
        signal.signal(signal.SIGIO, before)


# Links that stay.


STAYING: list[tuple[str, bytes, object]] = [
    ("f.txt", b"link", b"f"),
    ("a/b/c/f.txt", b"link", b"a/b/c/f"),
    ("a/b", b"link/c/f.txt", b"a/b/c/f"),
    ("a/b/../f.txt", b"link", b"a/f"),
    ("a/./b//c/", b"link/f.txt", b"a/b/c/f"),
    (".", b"link", ["a", "f.txt", "link"]),
    (".", b"link/link/a/f.txt", b"a/f"),
    ("{root}/f.txt", b"link", b"f"),
    ("{root}/a/b", b"link/c/f.txt", b"a/b/c/f"),
    ("{root}", b"link", ["a", "f.txt", "link"]),
    ("{root}", b"link/a/f.txt", b"a/f"),
    ("{root}/../site/a/f.txt", b"link", b"a/f"),
    ("../site/a/f.txt", b"link", b"a/f"),
    ("{base}/back/f.txt", b"link", b"a/f"),  # a link outside that leads back in
    ("/proc/self/root{root}/f.txt", b"link", b"f"),
]


@every_way
def test_links_that_stay(site: Site) -> None:
    (site.base / "back").symlink_to(site.root / "a")
    for target, name, found in STAYING:
        if target.startswith("/proc") and not os.path.isdir("/proc/self/root"):
            continue
        site.link("link", target.format(root=site.root, base=site.base))
        assert site.get(name) == found, target
        (site.root / "link").unlink()


@every_way
def test_a_link_deeper_down(site: Site) -> None:
    site.link("a/up", "../f.txt")
    site.link("a/b/abs", site.root / "a" / "up")
    assert site.get(b"a/up") == b"f"
    assert site.get(b"a/b/abs") == b"f"


@every_way
def test_a_root_that_is_reached_by_a_link(site: Site, how: str) -> None:
    (site.base / "current").symlink_to(site.root)
    site.link("abs", site.base / "current" / "a" / "f.txt")
    site.beneath.close()
    site.beneath = Beneath(str(site.base / "current"), how)
    assert site.get(b"abs") == b"a/f"
    assert site.get(b"f.txt") == b"f"


@every_way
def test_the_root_of_all(site: Site, how: str) -> None:
    site.link("abs", site.root / "a")
    site.beneath.close()
    site.beneath = Beneath("/", how)
    name = os.fsencode(site.root)[1:]
    assert site.get(name + b"/f.txt") == b"f"
    assert site.get(name + b"/abs/f.txt") == b"a/f"
    assert site.get(b"") == sorted(os.listdir("/"))
    assert site.code(b"..") == "ENOENT"
    assert site.beneath.where(b"x") == "/x"


# Names that lead nowhere.

CLIMBING = [
    *(b".", b"..", b"../secret", b"../outside/secret", b"a/..", b"a/../f.txt", b"a/../../outside/secret", b"../site"),
    *(b"../site/f.txt", b"../site-neighbour/secret", b"a/b/../../../outside/secret", b"./f.txt", b"a/./f.txt", b"a/."),
    *(b"/", b"//", b"/f.txt", b"//f.txt", b"/etc/passwd", b"a/", b"f.txt/", b"a//f.txt", b"a/b/", b"/a/", b"a//"),
    *(b"\0", b"f.txt\0", b"f.txt\0x", b"\0f.txt", b"a/f.txt\0", b"a\0/f.txt", b"a/\0", b"..\0", b"../outside/secret\0"),
    *(b"../", b"/..", b"/.", b"./", b"...", b"none", b"none/none", b"a/none", b"a/none/none", b"none/../f.txt"),
]


@every_way
def test_names_that_lead_nowhere(site: Site) -> None:
    for name in CLIMBING:
        assert site.code(name) == "ENOENT", name


@every_way
def test_an_absolute_name_of_what_is_inside(site: Site) -> None:
    assert site.code(os.fsencode(site.root / "f.txt")) == "ENOENT"


@every_way
def test_what_the_kernel_says(site: Site) -> None:
    site.link("link", "f.txt")
    site.link("abs", site.root / "f.txt")
    assert site.code(b"x" * 256) == "ENAMETOOLONG"
    assert site.code(b"a/" + b"x" * 256) == "ENAMETOOLONG"
    assert site.code(b"f.txt/x") == "ENOTDIR"
    assert site.code(b"a/f.txt/x/y") == "ENOTDIR"
    assert site.code(b"link/x") == "ENOTDIR"
    assert site.code(b"abs/x") == "ENOTDIR"


@every_way
@pytest.mark.parametrize("name", [b"f.txt", b"a/b/c/f.txt", b"link", b"abs"])
def test_no_descriptor_free(site: Site, name: bytes) -> None:
    resource = pytest.importorskip("resource")
    site.link("link", "a/f.txt")
    site.link("abs", site.root / "a" / "f.txt")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    for more in range(free, free + 4):  # 0 to 3 of those that it could use
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, limits[1]))
        try:
            code = ""
            os.close(site.beneath.open(name))
        except OSError as error:
            code = errno.errorcode[error.errno or 0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert code == "EMFILE" if more == free else code in ("", "EMFILE")
    assert site.get(name)


def skip_where_all_is_allowed(path: Path) -> None:
    if os.access(path, os.R_OK):
        pytest.skip("root may read anything")


@every_way
def test_permission_denied(site: Site) -> None:
    site.link("link", "a/b")
    site.link("abs", site.root / "a" / "b")
    (site.root / "f.txt").chmod(0)
    (site.root / "a" / "b").chmod(0)
    skip_where_all_is_allowed(site.root / "f.txt")
    try:
        for name in (b"f.txt", b"a/b", b"a/b/c", b"a/b/c/f.txt", b"link", b"abs", b"link/c", b"abs/c"):
            assert site.code(name) == "EACCES"
        (site.root / "a" / "b").chmod(0o111)  # may be passed, not listed
        assert site.get(b"a/b/c/f.txt") == b"a/b/c/f"
        assert site.get(b"abs/c/f.txt") == b"a/b/c/f"
    finally:
        (site.root / "a" / "b").chmod(0o755)


@every_way
def test_what_lies_outside_is_not_told(site: Site) -> None:
    site.link("abs", site.outside)
    site.outside.chmod(0)
    skip_where_all_is_allowed(site.outside)
    try:
        for name in (b"abs", b"abs/secret", b"abs/none"):
            assert site.code(name) == "ENOENT"
    finally:
        site.outside.chmod(0o755)


# Links that leave.


LEAVING = [
    ("../outside/secret", b"link"),
    ("../outside", b"link"),
    ("../outside", b"link/secret"),
    ("..", b"link"),
    ("..", b"link/outside/secret"),
    ("..", b"link/site/../outside"),
    ("../site-neighbour", b"link/secret"),
    ("../site-neighbour/secret", b"link"),
    ("a/../../outside/secret", b"link"),
    ("{outside}/secret", b"link"),
    ("{outside}", b"link"),
    ("{outside}", b"link/secret"),
    ("/", b"link"),
    ("/", b"link/etc/passwd"),
    ("/etc/passwd", b"link"),
    ("/proc/self/root", b"link"),
    ("/proc/self/root/etc/passwd", b"link"),
    ("/proc/self/root", b"link/etc/passwd"),
    ("/proc/self/cwd", b"link"),
    ("/proc/1/root/etc/passwd", b"link"),
    ("/proc/self/exe", b"link"),
    ("/dev/fd/0", b"link"),
    ("/dev/stdin", b"link"),
    ("/nowhere/at/all", b"link"),
    ("../nowhere", b"link"),
    ("{outside}/secret/x", b"link"),
    ("{outside}/circle", b"link"),
    ("none", b"link"),
    ("none", b"link/x"),
    ("{root}/none", b"link"),
    ("{root}-neighbour/secret", b"link"),
]


@every_way
def test_links_that_lead_outside_or_nowhere(site: Site) -> None:
    (site.outside / "circle").symlink_to("circle")
    (site.root / "neighbour").mkdir()  # what a name outside would be, were it cut off where the folder's name ends
    (site.root / "neighbour" / "secret").write_bytes(b"not meant")
    site.link("a/chained", "../link")
    site.link("absolutely-chained", site.root / "link")
    for target, name in LEAVING:
        site.link("link", target.format(root=site.root, outside=site.outside))
        for begin in (b"link", b"a/chained", b"absolutely-chained"):
            assert site.code(name.replace(b"link", begin)) == "ENOENT", (target, name, begin)
        (site.root / "link").unlink()


@every_way
def test_links_in_a_circle(site: Site) -> None:
    site.link("self", "self")
    site.link("one", "two")
    site.link("two", "one")
    site.link("a/abs", site.root / "a" / "abs")
    for name in (b"self", b"self/x", b"one", b"one/x/y", b"a/abs", b"a/abs/x"):
        assert site.code(name) == "ELOOP"


@every_way
@pytest.mark.parametrize("absolute", [True, False])
def test_a_long_chain_of_links(site: Site, absolute: bool) -> None:
    """Python 3.11 resolves a link in a link by calling itself."""
    count = sys.getrecursionlimit() + 10
    site.link("0", "f.txt")
    for number in range(count):
        site.link(str(number + 1), site.root / str(number) if absolute else str(number))
    assert site.outcome(str(count).encode()) in ("ELOOP", b"f")


@every_way
def test_a_link_that_can_not_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /proc there are such, and one may be gone when it is read."""
    site.link("abs", site.root / "f.txt")

    def realpath(path: bytes) -> bytes:
        raise PermissionError(errno.EACCES, "not yours", path)

    monkeypatch.setattr(os.path, "realpath", realpath)
    assert site.code(b"abs") == "ENOENT"


@every_way
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
def test_magic_links_within_the_folder(tmp_path: Path, how: str) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    with open(tmp_path / "secret", "rb") as file:
        proc = Beneath("/proc/self", how)
        try:
            for name in (b"fd/%d" % file.fileno(), b"root/etc/passwd", b"cwd", b"exe", b"root"):
                with pytest.raises(OSError) as caught:
                    os.close(proc.open(name))
                assert caught.value.errno in (errno.ENOENT, errno.ELOOP)
        finally:
            proc.close()


@every_guarded_way
def test_only_links_are_resolved_on_paper(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes ten times as long as anything else, and a missing name is what strangers ask for most."""
    monkeypatch.setattr(os.path, "realpath", lambda path: pytest.fail(f"{path!r} is resolved"))
    for name in (b"f.txt", b"a/f.txt", b"", b"none", b"a/none", b"none/none", b"f.txt/x", b"a/f.txt/x", b"a/../x"):
        site.outcome(name)


PARTS = [b"..", b".", b"", b"a", b"b", b"c", b"f.txt", b"none", b"in", b"out", b"up", b"abs", b"back", b"self", b"x\0"]
PARTS += [b"outside", b"site", b"secret"]


@pytest.fixture
def all_ways(tmp_path: Path) -> Iterator[list[Site]]:
    first = Site(tmp_path, BEST)
    for name, target in [
        *(("in", "a/b"), ("out", "../outside"), ("up", ".."), ("abs", str(first.root / "a")), ("self", "self")),
        *(("a/in", "../f.txt"), ("a/out", str(first.outside)), ("a/up", "../.."), ("a/b/back", "../../../site/a")),
        *(("a/abs", str(first.root)), ("a/b/c/up", "../../.."), ("a/b/self", "self/x"), ("back", "a/b/back/b")),
    ]:
        first.link(name, target)
    sites = [first]
    for how in HERE[1:]:
        site = object.__new__(Site)
        site.beneath = Beneath(str(first.root), how)
        sites.append(site)
    yield sites
    for site in sites:
        site.beneath.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PARTS), max_size=6).map(b"/".join))
def test_the_ways_agree(all_ways: list[Site], name: bytes) -> None:
    outcomes = [site.outcome(name) for site in all_ways]
    assert outcomes == outcomes[:1] * len(outcomes)
    assert SECRET not in outcomes
    assert not any(type(outcome) is list and {"secret", "outside"} & set(outcome) for outcome in outcomes)


# Races.


class Swap:
    """Puts a link to the outside in the place of a folder when the calls counted so far reach a number, once."""

    def __init__(self, folder: Path, target: Path, at: int) -> None:
        self.folder = folder
        self.target = target
        self.at = at
        self.calls = 0

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def swapping(*args: Any, **options: Any) -> Any:
            self.count()
            return function(*args, **options)

        return swapping

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def swapping(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            self.count()
            return result

        return swapping

    def count(self) -> None:
        if self.calls == self.at:
            self.folder.rename(self.folder.with_name("moved"))
            self.folder.symlink_to(self.target)
        self.calls += 1


RACES = [
    (b"a/f.txt", "a", "outside"),
    (b"a/b/c/f.txt", "a", "outside"),
    (b"a/b/c/f.txt", "a/b", "outside"),
    (b"a/b/c/f.txt", "a/b/c", "outside"),
    (b"abs/c/f.txt", "a/b", "outside"),
    (b"abs/c/f.txt", "a", "tree"),
    (b"rel/c/f.txt", "a/b", "outside"),
    (b"last", "a/b", "outside"),
    (b"last", "a/b/c", "outside"),
]


def race(site: Site, swap: Swap, name: bytes) -> None:
    """Open with a swap at one moment: the secret is never seen."""
    (site.base / "tree" / "b").mkdir(parents=True)
    (site.base / "tree" / "b" / "c").symlink_to(site.outside)
    site.link("abs", site.root / "a" / "b")
    site.link("rel", "a/b")
    site.link("last", site.root / "a" / "b" / "c" / "f.txt")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", swap.before(os.open))
        patched.setattr(os.path, "realpath", swap.after(os.path.realpath))
        if site.beneath._openat2 is not None:
            patched.setattr(site.beneath._openat2, "_call", swap.before(site.beneath._openat2._call))
        outcome = site.outcome(name)
    assert outcome != SECRET
    assert outcome in (b"a/f", b"a/b/c/f", "ENOENT", "ELOOP", "ENOTDIR")


@every_guarded_way
@pytest.mark.parametrize(("name", "swapped", "target"), RACES)
def test_a_swap_at_any_moment(tmp_path: Path, how: str, name: bytes, swapped: str, target: str) -> None:
    for at in range(20):
        base = tmp_path / str(at)
        base.mkdir()
        site = Site(base, how)
        swap = Swap(site.root / swapped, base / target, at)
        race(site, swap, name)
        site.beneath.close()
        if swap.calls <= at:
            break  # there are no more moments
    assert 0 < at < 19


def test_the_swap_itself_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Way "path" falls for it, and says so."""
    site = Site(tmp_path, "path")
    swap = Swap(site.root / "a", site.outside, 0)
    monkeypatch.setattr(os.path, "realpath", swap.after(os.path.realpath))
    assert site.get(b"a/f.txt") == SECRET


@every_guarded_way
def test_a_folder_that_is_held_may_move(site: Site) -> None:
    site.root.rename(site.base / "elsewhere")
    (site.base / "site").symlink_to(site.outside)
    assert site.get(b"f.txt") == b"f"
    assert site.get(b"a/f.txt") == b"a/f"
    assert site.code(b"secret") == "ENOENT"


# What openat2 may answer.


class Answers:
    """Plays the system call: each answer is an error, or None for the real one."""

    def __init__(self, site: Site, answers: list[int | None]) -> None:
        assert site.beneath._openat2 is not None
        self.openat2 = site.beneath._openat2
        self.real = self.openat2._call, self.openat2._errno
        self.answers = answers
        self.calls = 0
        self.error: int | None = None
        self.openat2._call = self.call
        self.openat2._errno = self.errno

    def call(self, *args: Any) -> int:
        self.calls += 1
        self.error = self.answers.pop(0) if self.answers else None
        return self.real[0](*args) if self.error is None else -1

    def errno(self) -> int:
        return self.real[1]() if self.error is None else self.error


openat2_only = pytest.mark.skipif(BEST != "openat2", reason="there is no openat2")


@openat2_only
@pytest.mark.parametrize("answers", [[errno.EAGAIN], [errno.EAGAIN] * 3, [errno.EINTR] * 20])
def test_again(site: Site, answers: list[int | None]) -> None:
    count = len(answers)
    played = Answers(site, answers)
    assert site.get(b"a/f.txt") == b"a/f"
    assert played.calls == count + 1


@openat2_only
def test_again_and_again(site: Site) -> None:
    """After four times the name without links, in which there is nothing to be unsure of."""
    played = Answers(site, [errno.EAGAIN] * 4)
    assert site.get(b"a/f.txt") == b"a/f"
    assert played.calls == 5


@openat2_only
def test_again_without_end(site: Site) -> None:
    played = Answers(site, [errno.EAGAIN] * 100)
    assert site.code(b"a/f.txt") == "EAGAIN"
    assert played.calls == 8


@openat2_only
@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENFILE, errno.EIO, errno.EACCES, errno.ELOOP])
def test_other_errors_are_passed_on(site: Site, code: int) -> None:
    played = Answers(site, [code] * 100)
    assert site.code(b"a/f.txt") == errno.errorcode[code]
    assert played.calls == 1


@openat2_only
def test_magic_links_are_not_followed_even_within(site: Site) -> None:
    everything = Beneath("/")
    with open(site.root / "f.txt", "rb") as file, pytest.raises(OSError) as caught:
        os.close(everything.open(b"proc/self/fd/%d" % file.fileno()))
    everything.close()
    assert caught.value.errno == errno.ELOOP


@openat2_only
def test_a_plain_name_needs_no_openat2(site: Site) -> None:
    played = Answers(site, [])
    assert site.get(b"f.txt") == b"f"
    assert site.get(b"") == ["a", "f.txt"]
    assert played.calls == 0


# Which way.


@pytest.mark.parametrize("error", [ImportError, AttributeError, MemoryError, OSError(errno.ENOSYS, "")])
def test_without_ctypes(tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> beneath._Openat2:
        raise error

    monkeypatch.setattr(beneath, "_Openat2", missing)
    check_fallback(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG])
def test_where_openat2_is_refused(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object, folder: int, name: bytes, how: bytes) -> int:
        raise OSError(code, os.strerror(code), name)

    monkeypatch.setattr(beneath._Openat2, "open", refused)
    check_fallback(tmp_path)


def test_a_call_that_no_kernel_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_OPENAT2", 0x7FFF)
    check_fallback(tmp_path)


def test_no_ctypes_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    check_fallback(tmp_path)


@pytest.mark.parametrize("platform", ["wasi", "emscripten", "darwin", "freebsd14", "android"])
def test_elsewhere_the_number_is_another_call(tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_Openat2", never)
    monkeypatch.setattr(sys, "platform", platform)
    check_fallback(tmp_path)


def test_on_android_it_would_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_Openat2", never)
    monkeypatch.setattr(sys, "getandroidapilevel", lambda: 30, raising=False)
    check_fallback(tmp_path)


def never() -> beneath._Openat2:
    pytest.fail("it was tried")


def check_fallback(base: Path) -> None:
    """The walk is taken, works, and openat2 can't be had."""
    before = PROCESS.num_fds()
    site = Site(base, "")
    assert site.beneath.how == "walk"
    assert site.get(b"a/f.txt") == b"a/f"
    with pytest.raises(OSError, match="there is no openat2 here") as caught:
        Beneath(str(site.root), "openat2")
    assert caught.value.errno == errno.ENOSYS
    site.beneath.close()
    assert PROCESS.num_fds() == before


def test_without_descriptors_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_HAS_DESCRIPTORS", False)
    site = Site(tmp_path, "")
    assert (site.beneath.how, site.beneath.root) == ("path", -1)
    assert site.get(b"a/f.txt") == b"a/f"
    for how in ("openat2", "walk"):
        with pytest.raises(OSError, match=f"there is no {how} here"):
            Beneath(str(site.root), how)


def test_a_walk_without_o_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: folders are opened for reading then."""
    monkeypatch.setattr(beneath, "_PASS", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    site = Site(tmp_path, "walk")
    site.link("abs", site.root / "a")
    site.link("out", site.outside)
    site.link("self", "self")
    assert [site.get(name) for name in (b"f.txt", b"a/b/c/f.txt", b"abs/f.txt")] == [b"f", b"a/b/c/f", b"a/f"]
    assert [site.code(name) for name in (b"out/secret", b"self", b"self/x")] == ["ENOENT", "ELOOP", "ELOOP"]
    site.beneath.close()


def test_a_link_by_freebsds_name_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, "walk")
    site.link("abs", site.root / "a" / "f.txt")
    site.link("a/self", "self")
    real = os.open

    def as_there(*args: Any, **options: Any) -> int:
        try:
            return real(*args, **options)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.EMLINK, "so") from None
            raise

    monkeypatch.setattr(os, "open", as_there)
    assert site.get(b"abs") == b"a/f"
    assert site.code(b"a/self") == "ELOOP"
    site.beneath.close()


def test_the_best_way_is_taken(site: Site) -> None:
    assert site.beneath.how == BEST
    if sys.platform == "linux":
        assert BEST in ("openat2", "walk")


# The folder itself.


@every_way
@pytest.mark.parametrize("name", ["file", "none", "file/x", "circle", "dangling", "nul\0"])
def test_no_folder(tmp_path: Path, how: str, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to("none")
    before = PROCESS.num_fds()
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        Beneath(str(tmp_path / name), how)
    assert PROCESS.num_fds() == before


def test_no_such_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="best is none of openat2, walk, path"):
        Beneath(str(tmp_path), "best")


@every_way
def test_the_path_is_absolute_and_keeps_its_links(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "f.txt").write_bytes(b"f")
    (tmp_path / "current").symlink_to("release")
    monkeypatch.chdir(tmp_path)
    relative = Beneath("current/../current/", how)
    monkeypatch.chdir("/")
    assert relative.path == str(tmp_path / "current")
    os.close(relative.open(b"f.txt"))
    assert not relative.refresh()
    relative.close()


@every_way
def test_close(site: Site, how: str) -> None:
    root = site.beneath.root
    assert (root >= 0) == (how != "path")
    if root >= 0:
        assert not os.get_inheritable(root)
    site.beneath.close()
    assert site.beneath.root == -1
    site.beneath.close()
    if how != "path":
        for name in (b"f.txt", b"a/f.txt", b""):
            assert site.code(name) == "EBADF"


@every_way
def test_one_that_is_dropped_closes_itself(tmp_path: Path, how: str) -> None:
    before = PROCESS.num_fds()
    forgotten = Beneath(str(tmp_path), how)
    assert PROCESS.num_fds() == before + (how != "path")
    del forgotten
    assert PROCESS.num_fds() == before


@every_way
def test_stat(site: Site) -> None:
    site.link("link", "a/f.txt")
    site.link("abs", site.root / "a")
    for name in (b"f.txt", b"a/f.txt", b"link", b"abs/f.txt", b"a", b""):
        descriptor = site.beneath.open(name)
        try:
            assert os.path.samestat(site.beneath.stat(name), os.fstat(descriptor))
        finally:
            os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        site.beneath.stat(b"none")


def test_where(site: Site) -> None:
    where, root = site.beneath.where, str(site.root)
    assert where(b"a/f.txt") == f"{root}/a/f.txt"
    assert where(b"") == f"{root}/"
    assert where("grüße/it's".encode()) == f"{root}/grüße/it's"
    assert os.fsencode(where(b"a\nb\x1b[2J\xff")) == os.fsencode(root) + b"/a\nb\x1b[2J\xff"
    assert where(b"/etc/passwd") == f"{root}//etc/passwd"


@every_way
def test_it_freezes(site: Site, how: str) -> None:
    frozen = pickle.dumps(site.beneath)
    thawed = pickle.loads(frozen)
    assert (thawed.path, thawed.how) == (site.beneath.path, how)
    assert thawed.root != site.beneath.root or how == "path"
    site.beneath.close()
    site.beneath = thawed
    assert site.get(b"a/f.txt") == b"a/f"


def test_the_best_way_is_found_anew_after_a_thaw(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = pickle.dumps(site.beneath)
    monkeypatch.setattr(beneath, "_openat2_for", lambda folder: None)
    thawed = pickle.loads(frozen)
    assert thawed.how == "walk"
    thawed.close()


# A deploy.


@pytest.fixture
def deployed(tmp_path: Path, how: str) -> Iterator[Site]:
    """`current` is a link to `site`, and `next` stands ready; `abs` leads through `current`."""
    site = Site(tmp_path, how)
    site.beneath.close()
    (tmp_path / "current").symlink_to("site")
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "f.txt").write_bytes(b"next")
    for folder in (site.root, tmp_path / "next"):
        (folder / "abs").symlink_to(tmp_path / "current" / "f.txt")
    site.beneath = Beneath(str(tmp_path / "current"), how)
    yield site
    site.beneath.close()


def refresh(site: Site) -> bool:
    before = PROCESS.num_fds()
    done = site.beneath.refresh()
    assert PROCESS.num_fds() == before
    return done


def swap_link(site: Site, target: str) -> None:
    (site.base / "new").symlink_to(target)
    (site.base / "new").rename(site.base / "current")


@every_way
def test_nothing_has_changed(deployed: Site) -> None:
    root = deployed.beneath.root
    assert not refresh(deployed)
    assert deployed.beneath.root == root


@every_way
def test_a_link_is_swapped(deployed: Site) -> None:
    assert deployed.get(b"abs") == b"f"
    swap_link(deployed, "next")
    assert deployed.get(b"f.txt") == b"f", "the old one is held until refreshed"
    assert refresh(deployed)
    assert deployed.get(b"f.txt") == b"next"
    assert deployed.get(b"abs") == b"next"
    assert deployed.code(b"a/f.txt") == "ENOENT"
    assert not refresh(deployed)
    swap_link(deployed, "site")
    assert refresh(deployed)
    assert deployed.get(b"abs") == b"f"


@every_way
@pytest.mark.parametrize("target", ["none", "current", "outside/secret"])
def test_a_link_that_leads_to_no_folder(deployed: Site, target: str) -> None:
    swap_link(deployed, target)
    assert not refresh(deployed)
    assert deployed.get(b"a/f.txt") == b"a/f"
    swap_link(deployed, "next")
    assert refresh(deployed)
    assert deployed.get(b"f.txt") == b"next"


@every_way
def test_a_folder_vanishes_and_is_made_anew(site: Site, how: str) -> None:
    shutil.rmtree(site.root)
    assert not refresh(site)
    assert site.code(b"f.txt") == "ENOENT"
    site.root.mkdir()
    (site.root / "f.txt").write_bytes(b"anew")
    if how != "path":  # where nothing holds the old one, its number may be given to the new one
        assert site.code(b"f.txt") == "ENOENT"
        assert refresh(site)
    assert site.get(b"f.txt") == b"anew"


@every_way
def test_a_folder_is_replaced(site: Site) -> None:
    (site.base / "next").mkdir()
    (site.base / "next" / "f.txt").write_bytes(b"next")
    site.root.rename(site.base / "old")
    (site.base / "next").rename(site.root)
    assert refresh(site)
    assert site.get(b"f.txt") == b"next"


@every_guarded_way
def test_a_refresh_that_fails_keeps_the_old_one(deployed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    swap_link(deployed, "next")

    def exhausted(*args: object, **options: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", exhausted)
        assert not refresh(deployed)
    assert deployed.get(b"f.txt") == b"f"
    assert refresh(deployed)
