"""What the server costs meanwhile, where it is a process of this machine: CPU time, memory, descriptors."""

from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from ...engine import Address

EVERYWHERE = ("0.0.0.0", "::")  # who listens there listens at each address


class Reading(NamedTuple):
    """Seconds of CPU time so far, bytes of memory (RSS), and descriptors, of all the server's processes."""

    cpu: float
    memory: int
    descriptors: int


class Gauge:
    """Reads the processes that listen at an address, and their children. `found` tells whether there are any."""

    def __init__(self, address: Address) -> None:
        self._processes = _listeners(address)

    @property
    def found(self) -> bool:
        """Somebody of this machine listens there whom we may look at."""
        return bool(self._processes)

    def read(self) -> Reading | None:
        """Return the sum over all that still live; None where none does."""
        readings = []
        for process in self._family():
            with suppress(psutil.Error):
                times = process.cpu_times()
                readings.append(Reading(times.user + times.system, process.memory_info().rss, process.num_fds()))
        return Reading(*map(sum, zip(*readings, strict=True))) if readings else None

    def _family(self) -> set[psutil.Process]:
        family = set(self._processes)
        for process in self._processes:
            with suppress(psutil.Error):
                family.update(process.children(recursive=True))
        return family


def _listeners(address: Address) -> list[psutil.Process]:
    """Find who listens: by the port, or by the path of a UNIX socket."""
    kind = address.kind
    found = set()
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind):
            where: Any = connection.laddr  # a path, or a host and a port
            if kind == "unix":
                there = where == address.host
            else:
                bound = kind == "udp" and not connection.raddr  # else it is a client's
                there = bound or connection.status == psutil.CONN_LISTEN
                there = there and bool(where) and where.port == address.port and where.ip in (address.host, *EVERYWHERE)
            if there and connection.pid:
                found.add(connection.pid)
    processes = []
    for pid in sorted(found):
        with suppress(psutil.Error):
            processes.append(psutil.Process(pid))
    return processes
