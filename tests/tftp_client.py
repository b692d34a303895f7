"""A TFTP client for tests, written from the RFCs alone: it shares no line with the server.

It lives outside a simulation and is moved by what comes and by the clock. What its user must know: `data` is what has
been fetched, `done` that all has come or gone, `error` what the server said instead.
"""

import struct
from pathlib import Path
from typing import Any

from partway.engine import Limits, Notice, Reactor
from partway.engine.faults import Faults
from partway.engine.network import Link
from partway.engine.simulation import Simulation
from partway.protocols.tftp import Tftp

TRIES_MOST = 60
SERVER = "udp:server:69"


def request(opcode: int, name: bytes, mode: bytes = b"octet", **options: int | str) -> bytes:
    fields = [name, mode]
    for option, value in options.items():
        fields += [option.encode(), str(value).encode()]
    return struct.pack("!H", opcode) + b"".join(field + b"\0" for field in fields)


def rrq(name: bytes, mode: bytes = b"octet", **options: int | str) -> bytes:
    return request(1, name, mode, **options)


def wrq(name: bytes, mode: bytes = b"octet", **options: int | str) -> bytes:
    return request(2, name, mode, **options)


def data(number: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HH", 3, number) + payload


def ack(number: int) -> bytes:
    return struct.pack("!HH", 4, number)


def error(code: int, text: bytes = b"") -> bytes:
    return struct.pack("!HH", 5, code) + text + b"\0"


def options_of(packet: bytes) -> dict[str, int]:
    assert packet[:2] == b"\0\6" and packet.endswith(b"\0")
    fields = packet[2:-1].split(b"\0")
    return {name.decode(): int(value) for name, value in zip(fields[::2], fields[1::2], strict=True)}


def code_of(packet: bytes) -> int | None:
    """The code of an ERROR; None for anything else."""
    if packet[:2] != b"\0\5":
        return None
    assert packet.endswith(b"\0") and b"\0" not in packet[4:-1]
    return int.from_bytes(packet[2:4], "big")


class Desk:
    """A server of a folder in a simulation, and its clients."""

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        *,
        limits: Limits | None = None,
        address: str = SERVER,
        capacity_bytes: int = 1 << 20,
        descriptors: int = 20_000,
        faults: Faults | None = None,
        **options: Any,
    ) -> None:
        print(f"seed {seed}")
        self.simulation = Simulation(
            seed, capacity_bytes=capacity_bytes, descriptors=descriptors, faults=faults or Faults()
        )
        self.notices: list[Notice] = []
        self.reactor = Reactor(self.simulation, limits=limits, observer=self.notices.append)
        self.service = Tftp(self.reactor, str(folder), **options)
        self.endpoint = self.reactor.bind(address, self.service)

    def peer(self, link: Link | None = None) -> Any:
        return self.simulation.dial_datagrams(SERVER, link)

    def run(self, seconds: float = 0.1) -> None:
        self.simulation.run(self.reactor, seconds)

    def until(self, what: Any, seconds: float = 3600.0) -> None:
        """Take turns until something is true."""
        end = self.simulation.now() + seconds
        while not what():
            left = end - self.simulation.now()
            assert left > 0, f"not within {seconds} s: {[str(row) for row in self.reactor.rows()]}"
            self.reactor.step(left)

    @property
    def now(self) -> float:
        return self.simulation.now()

    @property
    def rows(self) -> int:
        return len(self.reactor.table.rows)

    def close(self) -> None:
        """End all, which must leave nothing behind."""
        self.reactor.close()
        self.service.close()
        assert self.reactor.table.held == 0
        assert not self.service.transfers
        assert [notice for notice in self.notices if notice.kind == "machine error"] == []
        assert self.simulation.descriptors_used() == 0


class Client:
    """Fetches or puts one file."""

    def __init__(self, desk: Desk, link: Link | None = None, pause: float = 1.0) -> None:
        self.desk = desk
        self.pause = pause
        self.wire = desk.peer(link)
        self.wire.watcher = self._come
        self.server: Any = None
        self.data = bytearray()
        self.done = False
        self.error: tuple[int, str] | None = None
        self.granted: dict[str, int] = {}
        self.blksize, self.window = 512, 1
        self._last: list[bytes] = []  # what is said again
        self._tries = 0
        self._alarm = 0
        self._source: bytes | None = None
        self._began = False
        self._got = 0  # blocks that have come, or have been acknowledged
        self._since = 0  # blocks since the last acknowledgement
        self._gap_told = False

    @property
    def over(self) -> bool:
        return self.done or self.error is not None

    def fetch(self, name: bytes, mode: bytes = b"octet", **options: int) -> "Client":
        self._say(rrq(name, mode, **options))
        return self

    def put(self, name: bytes, content: bytes, mode: bytes = b"octet", **options: int) -> "Client":
        self._source = content
        self._say(wrq(name, mode, **options))
        return self

    def _say(self, *packets: bytes) -> None:
        self._last = list(packets)
        for packet in packets:
            self.wire.say(packet, self.server)
        self._alarm += 1
        alarm = self._alarm
        self.desk.simulation.after(self.pause, lambda: self._again(alarm))

    def _again(self, alarm: int) -> None:
        if alarm != self._alarm or self.over:
            return
        self._tries += 1
        self._gap_told = False
        if self._tries > TRIES_MOST:
            self.error = (-1, "the client has given up")
        else:
            self._say(*self._last)

    def _come(self) -> None:
        for packet, where in self.wire.letters():
            if self.server is not None and where != self.server:
                self.wire.say(error(5, b"who are you"), where)
                continue
            self._hear(packet, where)

    def _hear(self, packet: bytes, where: Any) -> None:
        kind, number = struct.unpack_from("!HH", packet)
        if kind == 5:
            if not self.over:
                self.error = (number, packet[4:-1].decode())
            return
        self.server = where
        if kind == 6:
            if not self._began:
                self._began = True
                self.granted = options_of(packet)
                self.blksize = self.granted.get("blksize", 512)
                self.window = self.granted.get("windowsize", 1)
                self._tries = 0
                self._go()
            elif self._source is None and self._got == 0:
                self._say(ack(0))
        elif kind == 3 and self._source is None:
            self._began = True
            self._take(number, packet[4:])
        elif kind == 4 and self._source is not None:
            self._advance(number)

    def _go(self) -> None:
        if self._source is None:
            self._say(ack(0))
        else:
            self._send_window()

    # Fetching.

    def _take(self, number: int, payload: bytes) -> None:
        if number == (self._got + 1) & 0xFFFF and not self.done:
            self._got += 1
            self._since += 1
            self._tries = 0
            self._gap_told = False
            self.data += payload
            assert len(payload) <= self.blksize
            self.done = len(payload) < self.blksize
            if self.done or self._since >= self.window:
                self._acknowledge()
        elif number == self._got & 0xFFFF and (self.done or self.window == 1):
            self._acknowledge()
        elif not self.done and not self._gap_told and 1 < (number - self._got) & 0xFFFF <= self.window:
            self._gap_told = True
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._since = 0
        self._say(ack(self._got & 0xFFFF))

    # Putting.

    def _advance(self, number: int) -> None:
        assert self._source is not None
        count = (number - self._got) & 0xFFFF
        if not self._began and count == 0:
            self._began = True
            self._tries = 0
            self._send_window()
        elif self._began and 0 < count <= len(self._last):
            self._tries = 0
            self._got += count
            if self._got == len(self._source) // self.blksize + 1:
                self.done = True
            else:
                self._send_window()

    def _send_window(self) -> None:
        assert self._source is not None
        blocks = []
        for block in range(self._got, self._got + self.window):
            payload = self._source[block * self.blksize : (block + 1) * self.blksize]
            blocks.append(data((block + 1) & 0xFFFF, payload))
            if len(payload) < self.blksize:
                break
        self._say(*blocks)
