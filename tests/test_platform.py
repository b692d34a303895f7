"""Addresses: what a person may write, and one clear sentence for everything else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as some
from partway.engine import Address, Reactor, parse_address
from partway.engine.platform import has_file

PORTS = some.integers(0, 65535)
HOSTS = some.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True).filter(
    lambda host: host not in ("unix", "fd", "tcp")
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Address("tcp", "127.0.0.1", 80)),
        ("tcp:127.0.0.1:80", Address("tcp", "127.0.0.1", 80)),
        (":80", Address("tcp", "0.0.0.0", 80)),
        ("[::1]:0", Address("tcp", "::1", 0)),
        ("tcp:[::]:65535", Address("tcp", "::", 65535)),
        ("[fe80::1%eth0]:1", Address("tcp", "fe80::1%eth0", 1)),
        ("localhost:8000", Address("tcp", "localhost", 8000)),
        ("unix:/run/a b:c", Address("unix", "/run/a b:c")),
        ("fd:3", Address("fd", "", 3)),
    ],
)
def test_good(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host", "host:", "host:x", "host:-1", "host:65536", "host:80 ", "::1:80", "host:８０"),
        *(
            "unix:",
            "unix:a\0b",
            "fd:",
            "fd:x",
            "fd:-1",
            "fd:３",
            "tcp:",
            "[::1",
            "[::1]",
            "host:1.5",
            "a:b:1",
        ),
    ],
)
def test_bad(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "\n" not in message


@given(some.text(max_size=30))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert address.kind in ("tcp", "unix", "fd")
        assert address.port >= 0
        if address.kind == "tcp":
            assert address.port <= 65535
            assert address.host


@given(HOSTS, PORTS)
def test_what_is_shown_can_be_read(host: str, port: int) -> None:
    for address in (Address("tcp", host, port), Address("tcp", "::1", port), Address("fd", "", port)):
        assert parse_address(str(address)) == address


@given(some.text(min_size=1, max_size=20).filter(lambda path: "\0" not in path))
def test_paths_are_taken_as_they_are(path: str) -> None:
    for kind in ("unix", "unixgram"):
        if not path.startswith("@"):
            assert parse_address(f"{kind}:{path}") == Address(kind, path)
            assert str(Address(kind, path)) == f"{kind}:{path}"
            assert has_file(Address(kind, path))
        name = Address(kind, f"\0{path}")
        assert parse_address(f"{kind}:@{path}") == name and str(name) == f"{kind}:@{path}"
        assert not has_file(name)


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_an_abstract_name_has_a_name(kind: str) -> None:
    with pytest.raises(ValueError, match=f"'{kind}:@'.*needs a name"):
        parse_address(f"{kind}:@")


@pytest.mark.parametrize("told", [-1, 0, ValueError("unrecognized configuration name")])
def test_a_system_that_does_not_tell_its_memory(told: int | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """WASI says that it has -1 pages: a quarter of that would evict everybody."""
    real = os.sysconf

    def sysconf(name: str) -> int:
        if name != "SC_PHYS_PAGES":
            return real(name)
        if isinstance(told, Exception):
            raise told
        return told

    monkeypatch.setattr(os, "sysconf", sysconf)
    reactor = Reactor()
    assert reactor.platform.memory() == 1 << 30
    assert reactor.table.held_bytes_max > 0
    reactor.close()
