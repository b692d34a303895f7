"""Run a command in a cage in which it dies when it starts a thread or a process: seccomp(2), Linux only.

    python cage.py COMMAND [ARGUMENT ...]

A filter of the kernel's own kills it (SIGSYS) at clone, clone3, fork and vfork, whoever calls them: Python, a module in
C, the C library. It cannot be taken off, and lasts through exec. Nothing but ctypes is needed, and no privilege.
"""

import ctypes
import os
import platform
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38  # prctl(2)
SECCOMP_MODE_FILTER = 2
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF: ld abs, jeq, jge, ret
NUMBER_AT, ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
OTHER_ABI = 0x40000000  # of x86-64: x32 has numbers of its own from here on
CALLS = {
    "x86_64": (0xC000003E, (56, 57, 58, 435)),  # clone, fork, vfork, clone3
    "aarch64": (0xC00000B7, (220, 435)),  # clone, clone3: it has no others
}


class Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction)))


def program() -> list[tuple[int, int, int, int]]:
    """The filter: kill for another architecture, for another ABI, and for each of the calls; else allow."""
    architecture, calls = CALLS[platform.machine()]
    lines = [(LOAD, 0, 0, ARCHITECTURE_AT), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL_PROCESS)]
    lines += [(LOAD, 0, 0, NUMBER_AT), (AT_LEAST, 0, 1, OTHER_ABI), (RETURN, 0, 0, KILL_PROCESS)]
    for call in calls:
        lines += [(EQUAL, 0, 1, call), (RETURN, 0, 0, KILL_PROCESS)]
    return [*lines, (RETURN, 0, 0, ALLOW)]


def close() -> None:
    """Close the cage around this process. Raises OSError where the kernel refuses."""
    lines = program()
    instructions = (Instruction * len(lines))(*lines)
    filter_ = Program(len(lines), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    for words in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0),
    ):
        if libc.prctl(*words):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    close()
    os.execvp(sys.argv[1], sys.argv[1:])
