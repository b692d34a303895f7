"""Netascii (RFC 764 by way of RFC 1350): a line ends with CR LF, and a CR that is none's end is followed by a NUL.

Here lines end with LF alone. Both ways go piece by piece: what stands between two bytes of a pair is one bit.
"""


def encoded(data: bytes) -> bytes:
    """Return local bytes as netascii."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


def taken(block: bytes) -> tuple[int, bool]:
    """Return how many local bytes a piece of netascii ends, and whether it ends within a pair.

    The piece begins anywhere: the second byte of a pair is what ends the local byte that it stands for.
    """
    return len(block) - block.count(b"\r"), block.endswith(b"\r")


def decoded(data: bytes, pending: bool) -> tuple[bytes, bool]:
    """Return netascii as local bytes, and whether a CR at its end still waits for what follows; `pending`: one did.

    A CR before anything else stays as it is.
    """
    if pending:
        data = b"\r" + data
    pending = data.endswith(b"\r")
    if pending:
        data = data[:-1]
    return data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\r"), pending
