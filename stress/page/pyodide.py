"""Where Pyodide is: CPython in WebAssembly, which runs the page's tables. npm has it, and fetches it once."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ...protocols.addresses import MistakeError

VERSION = "314.0.7"
NEEDED = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
PLACE = "PARTWAY_PYODIDE"
"""The variable that names its folder, where no option does."""

SECONDS_MOST = 600


def find_pyodide(named: str | None, say: Callable[[str], None]) -> Path:
    """Return its folder: the one that was named, or a kept one, which is fetched where there is none yet.

    Raises MistakeError where that cannot be, OSError where it fails.
    """
    named = named or os.environ.get(PLACE)
    if named:
        return _checked(Path(named))
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "partway", f"pyodide-{VERSION}")
    folder = kept / "node_modules" / "pyodide"
    if not folder.exists():
        npm = _npm()
        say(f"fetching Pyodide {VERSION} by npm, once, into {kept}")
        _fetch(npm, kept)
    return _checked(folder)


def _checked(folder: Path) -> Path:
    for name in NEEDED:
        if not (folder / name).is_file():
            raise MistakeError(f"{folder} is not Pyodide's folder: {name} is missing (npm install pyodide@{VERSION})")
    return folder


def _npm() -> str:
    found = shutil.which("npm")
    if found is None:
        raise MistakeError(
            f"npm is missing, which would fetch Pyodide: have it elsewhere by npm install pyodide@{VERSION}, "
            "and give its folder with --pyodide"
        )
    return found


def _fetch(npm: str, kept: Path) -> None:
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}")  # what was cut short must not look whole
    fresh.mkdir(parents=True)
    try:
        words = [npm, "install", "--silent", "--no-save", "--ignore-scripts", f"pyodide@{VERSION}"]
        done = subprocess.run(
            [*words, "--prefix", str(fresh)], capture_output=True, text=True, errors="replace", timeout=SECONDS_MOST
        )
        if done.returncode:
            why = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
            raise OSError(f"npm could not fetch Pyodide: {why[-1]}")
        os.rename(fresh, kept)
    except subprocess.TimeoutExpired:
        raise OSError(f"npm had not fetched Pyodide after {SECONDS_MOST} s") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
