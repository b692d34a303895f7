"""The engine runs where there are no threads, no sockets and no clock: shown in a process that has none of them.

The subprocess sees the standard library without what those platforms lack, builds `partway` from its folders alone, and
serves an echo, and a page over HTTP, on the host platform. What the standard library imports for itself (`dataclasses`
imports `_thread`) is its own affair; what the engine imports is not.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parent.parent / "engine"

PRELUDE = """
import sys, builtins, types
BLOCKED = {blocked!r}
OWN = {{"_thread", *BLOCKED}}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError("there is no " + name + " here")
        return None

for name in list(sys.modules):
    if name.partition(".")[0] in BLOCKED:
        del sys.modules[name]
sys.meta_path.insert(0, Finder())
real = builtins.__import__

def checked(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {{}}).get("__name__", "")
    if level == 0 and name.partition(".")[0] in OWN and importer.startswith("partway"):
        raise ImportError(importer + " imports " + name)
    if name.partition(".")[0] in BLOCKED:
        raise ImportError("there is no " + name + " here, and " + importer + " wants it")
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = checked
package = types.ModuleType("partway")
package.__path__ = [{root!r}]
sys.modules["partway"] = package
"""

ECHO = """
from partway.engine import IDLE, Limits, Reactor
from partway.engine.host import Host

class Echo:
    def __init__(self, row):
        self.data = b""
    def feed(self, data):
        self.data += data
    def step(self):
        data, self.data = self.data, b""
        return data or IDLE

clock = [0.0]
host = Host(lambda: clock[0], seed=1)
reactor = Reactor(host, limits=Limits(idle_seconds=5))
reactor.listen("here:1", Echo)
number = host.open("here:1")
reactor.step(0)
host.feed(number, b"hello")
reactor.step(0)
data = host.take(number)
host.sent(number, len(data))
clock[0] += 6
reactor.step(0)
print(data.decode(), host.outcome(number), sorted(set(sys.modules) & set(BLOCKED)))
"""

BLOCKED = [
    *("threading", "logging", "asyncio", "queue", "subprocess", "multiprocessing", "concurrent", "socketserver"),
    *("socket", "_socket", "select", "selectors", "ssl", "_ssl", "time", "signal", "_signal", "fcntl", "resource"),
]
PLATFORMS_LACK = [name for name in BLOCKED if name not in ("time", "fcntl", "resource")]
"""What nobody needs in order to serve: dates are shown by `time`."""

COMMANDS = ("command", "serving", "addresses", "output", "outputs", "signals", "__main__", "zone_file")
PROTOCOLS = sorted(
    ".".join(("partway", "protocols", *path.relative_to(ENGINE.parent / "protocols").with_suffix("").parts))
    for path in (ENGINE.parent / "protocols").rglob("*.py")
    if path.stem not in COMMANDS
)
OTHERS_CODE = f"sys.path.append({sysconfig.get_paths()['purelib']!r})  # httptools or h11, and hashes\n"
PAGE = """
from partway.engine import Reactor
from partway.engine.host import Host
from partway.protocols.http import Request, Response, Server

clock = [0.0]
host = Host(lambda: clock[0], seed=1)
reactor = Reactor(host)
reactor.listen("here:80", Server(lambda request: Response(200, body=b"hello")))
number = host.open("here:80")
host.feed(number, b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
while reactor.step(0) or not host.take(number):
    pass
print(host.take(number).decode())
print(sorted(set(sys.modules) & set(BLOCKED)))
"""
KERNELS = ("kernel", "selector", "socket_files", "datagram_sockets", "fork", "executors", "__init__")
MODULES = sorted(path.stem for path in ENGINE.glob("*.py") if path.stem not in KERNELS)


def run(code: str, *options: str, blocked: list[str] = BLOCKED) -> subprocess.CompletedProcess[str]:
    prelude = PRELUDE.format(blocked=blocked, root=str(ENGINE.parent))
    return subprocess.run([sys.executable, *options, "-c", prelude + code], capture_output=True, text=True, check=False)


def test_an_echo_without_threads_sockets_or_a_clock() -> None:
    done = run(ECHO, "-S", "-I")
    assert done.stdout.strip() == "hello ended []", done.stderr


def test_each_module_but_the_kernels() -> None:
    imports = "\n".join(f"import partway.engine.{name}" for name in MODULES)
    done = run(f"{imports}\nprint('fine')", "-S", "-I")
    assert done.stdout.strip() == "fine", done.stderr


def test_each_protocol() -> None:
    """But for what opens sockets and files for a command, and what reads zone files by dnspython."""
    imports = "\n".join(f"import {name}" for name in PROTOCOLS)
    done = run(OTHERS_CODE + imports + "\nprint('fine')", "-S", "-I", blocked=PLATFORMS_LACK)
    assert done.stdout.strip() == "fine", done.stderr
    assert len(PROTOCOLS) > 40


def test_a_page_without_threads_and_sockets() -> None:
    done = run(OTHERS_CODE + PAGE, "-S", "-I", blocked=PLATFORMS_LACK)
    assert done.stdout.splitlines()[:1] == ["HTTP/1.1 200 OK"], done.stderr
    assert done.stdout.splitlines()[-2:] == ["hello", "[]"]


@pytest.mark.parametrize("module", ["_thread", "threading", "socket", "time"])
def test_the_check_itself_notices(module: str) -> None:
    code = f"exec('import {module}', {{'__name__': 'partway.engine.cheat'}})"
    done = run(code, "-S", "-I")
    assert done.returncode == 1
    assert "ImportError" in done.stderr


def newly_imported(code: str) -> set[str]:
    """The modules that this code brings into an ordinary process."""
    program = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_engine_imports_none_of_it_either() -> None:
    assert not newly_imported("import partway.engine") & {*BLOCKED} - {"fcntl", "resource"}


def test_on_the_kernel_there_are_still_no_threads() -> None:
    imported = newly_imported(
        "from partway.engine import Reactor\nreactor = Reactor()\nreactor.step(0)\nreactor.close()"
    )
    banned = {"threading", "logging", "asyncio", "queue", "subprocess", "ssl", "multiprocessing", "concurrent"}
    assert not imported & banned
