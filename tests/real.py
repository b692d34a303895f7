"""What tests need that others wrote. On a user's machine a test is skipped without it; in CI it is a failure.

`PARTWAY_REAL_CLIENTS=required` tells that it is CI: a test that is never run is a comment.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest


def need(there: object, what: str) -> None:
    """Go on only where it is there."""
    if not there:
        if os.environ.get("PARTWAY_REAL_CLIENTS") == "required":
            pytest.fail(f"{what} is missing, and PARTWAY_REAL_CLIENTS=required")
        pytest.skip(f"{what} is missing")


def client(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    need(path, name)
    assert path is not None
    return path


def has(module: str) -> bool:
    """Whether Python can import it."""
    return importlib.util.find_spec(module) is not None


def pyodide() -> Path:
    """Pyodide's folder, as `PARTWAY_PYODIDE` says."""
    folder = Path(os.environ.get("PARTWAY_PYODIDE", ""))
    need((folder / "pyodide.mjs").exists(), "Pyodide (PARTWAY_PYODIDE)")
    return folder
