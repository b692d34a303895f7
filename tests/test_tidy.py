"""The repository polices itself: layers, banned imports, one writer, one clock, short functions, nothing unreferenced.

These are the rules that cannot be tested back in once they are broken, so they are read off the source at every run.
"""

import ast
from dataclasses import fields
from pathlib import Path

import pytest
from partway.engine import Limits
from partway.engine import row as rows

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine"
SIMULATION = {"simulation", "agenda", "network", "network_datagrams", "outside", "faults", "simulated_calls"}
PLATFORMS = {"memory", "memory_poller", "kernel", "selector", "socket_files", "datagram_sockets", "host", *SIMULATION}
PLATFORMS |= {"host_datagrams", "elsewhere", "fork", "executors"}
LAYERS = {
    0: {"limits", "machine", "timers", "platform"},
    1: {"buffers", "row", "stream_row", "datagram_row", "freeze", *PLATFORMS},
    2: {"table", "schedule", "offload"},
    3: {"stream", "datagram", "ending", "patience", "listener", "endpoint", "outbox", "report", "watching"},
    4: {"reactor", "__init__"},
}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
BANNED = {"threading", "_thread", "asyncio", "logging", "queue", "subprocess", "socketserver", "concurrent"}
BANNED |= {"multiprocessing"}
SYSTEM = {"socket", "select", "selectors", "time", "ssl", "signal"}
SYSTEM_ALLOWED = {
    "engine/kernel.py",
    "engine/selector.py",
    "engine/socket_files.py",
    "engine/datagram_sockets.py",
    "engine/fork.py",
    "engine/executors.py",
    "protocols/command.py",
    "protocols/addresses.py",
    "protocols/output.py",
    "protocols/signals.py",
}
SOURCES = sorted(path for folder in ("engine", "protocols", "stress") for path in (ROOT / folder).rglob("*.py"))
ADAPTERS = ENGINE / "adapters"  # each imports what it adapts
LIBRARY = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "stress"]
FUNCTION_LINES_MAX = 70
CALM = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def runtime_imports(tree: ast.Module) -> list[tuple[int, str]]:
    """(level, module) of all imports but those for the type checker alone."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize("path", sorted(ENGINE.glob("*.py")), ids=lambda path: path.stem)
def test_engine_imports_go_down(path: Path) -> None:
    assert path.stem in LAYER, f"{path.name} stands in no layer"
    for level, module in runtime_imports(parsed(path)):
        if level:
            target = module.split(".")[0]
            lower = LAYER[target] < LAYER[path.stem] or LAYER[target] == LAYER[path.stem]
            lazily = (path.stem, target) == ("reactor", "kernel")
            assert lower or lazily, f"{path.stem} imports {target} from a higher layer"


def test_nobody_imports_an_adapter() -> None:
    for path in LIBRARY:
        for _, module in runtime_imports(parsed(path)):
            assert path.is_relative_to(ADAPTERS) or "adapters" not in module.split("."), f"{path.name} imports {module}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_banned_imports(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    for level, module in runtime_imports(parsed(path)):
        top = module.split(".")[0]
        if not level:
            adapts = path.parent == ADAPTERS
            assert top not in BANNED or adapts or name == "engine/executors.py", f"{name} imports {module}"
            assert top not in SYSTEM or adapts or name in SYSTEM_ALLOWED, f"{name} imports {module}"


def test_protocols_see_only_the_engines_face() -> None:
    folder = ROOT / "protocols"
    for path in folder.rglob("*.py"):
        if path.stem in ("command", "watch", "serving", "addresses"):
            continue
        for level, module in runtime_imports(parsed(path)):
            if level == 1 + len(path.relative_to(folder).parts):
                assert module in ("engine",), f"{path.name} imports {module}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_coroutine_sleep_or_fork(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            assert path in (ENGINE / "report.py", ADAPTERS / "generator.py"), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            forks = name == "fork" and path == ENGINE / "fork.py"
            assert name not in ("sleep", "fork", "forkpty", "start_new_thread") or forks, f"{path.name}:{node.lineno}"


def test_one_writer_of_state() -> None:
    writers = []
    for path in LIBRARY:
        for function in ast.walk(parsed(path)):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                for target in targets:
                    if isinstance(target, ast.Attribute) and target.attr == "state":
                        writers.append(f"{path.stem}.{function.name}")
    assert sorted(writers) == ["row.__init__", "row.advance"]


def test_one_counter_of_held_bytes() -> None:
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.AugAssign)
                and isinstance(node.target, ast.Attribute)
                and node.target.attr == "held"
            ):
                assert path.stem in ("buffers", "memory"), f"{path.name}:{node.lineno}"


def test_one_reader_of_the_clock() -> None:
    for path in LIBRARY:
        if path.stem in ("kernel", "command"):
            continue
        source = path.read_text()
        assert "monotonic" not in source.replace("monotonic clock", "").replace("monotonic time", ""), path
        if path.parent == ENGINE and path.stem not in ("reactor", "table"):
            assert "platform.now()" not in source, f"{path.name} reads the clock"


@CALM
def test_functions_fit_in_view(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = node.end_lineno - first.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path.name}:{node.lineno} {node.name} has {lines} lines"


@CALM
def test_files_say_why(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{path.name} says nothing of itself"


def test_no_limit_unreferenced() -> None:
    source = "\n".join(path.read_text() for path in LIBRARY if path.stem != "limits")
    for field in fields(Limits):
        assert f".{field.name}" in source, f"nobody reads {field.name}"


def test_no_state_or_event_unreferenced() -> None:
    for names in (rows.STATES, rows.EVENTS):
        assert len(set(names)) == len(names)
    reached = {state for row in rows.TRANSITIONS.values() for state in row.values()}
    assert reached | {rows.OPENING} == set(range(len(rows.STATES)))
    events = {event for row in rows.TRANSITIONS.values() for event in row}
    assert events == set(range(len(rows.EVENTS)))
