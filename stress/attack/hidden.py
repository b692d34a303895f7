"""What a client that does not read cannot see: that the server has ended. Its end waits behind what nobody takes.

Where the server is on this machine, the kernel tells of both sides (proc(5), /proc/net/tcp).
"""

import re
from collections.abc import Callable

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
GOES_ON = "0[1238]"  # ESTABLISHED, SYN_SENT, SYN_RECV and CLOSE_WAIT: the server has not ended its side

Look = Callable[[int], set[int] | None]


def served_ports(port: int) -> set[int] | None:
    """Return the ports of all clients whom the server at this port has not ended; None where nobody can tell."""
    line = re.compile(rf"^ *\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:([0-9A-F]{{4}}) {GOES_ON} ", re.MULTILINE)
    found: set[int] = set()
    told = False
    for table in TABLES:
        try:
            with open(table, encoding="ascii") as file:
                found.update(int(number, 16) for number in line.findall(file.read()))
                told = True
        except OSError:
            continue  # another system, or no IPv6
    return found if told else None
