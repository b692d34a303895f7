"""What a browser is given: the page, Pyodide, and partway's own files as they are, in one archive."""

import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from ...protocols.addresses import MistakeError
from .pyodide import NEEDED

ASSETS = Path(__file__).resolve().parent / "assets"
START = "index.html"
ARCHIVE = "partway.zip"
PACKAGES = ("partway.engine", "partway.protocols", "partway.protocols.http", "partway.stress", "partway.stress.page")
PARSER = "h11"
"""Reads heads of requests where there is no module in C."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""As old as a ZIP's file can be: the same files make the same archive."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".zip": "application/zip",
}


def parts_of(pyodide: Path) -> dict[str, bytes]:
    """All files of the page by their names beneath it. Raises MistakeError where the parser is missing, OSError."""
    parts = {path.name: path.read_bytes() for path in sorted(ASSETS.iterdir()) if path.suffix in KINDS}
    parts |= {f"pyodide/{name}": (pyodide / name).read_bytes() for name in NEEDED}
    parts[ARCHIVE] = _archive()
    return parts


def kind_of(name: str) -> str:
    """The content type of one of them."""
    return KINDS[Path(name).suffix]


def write(parts: dict[str, bytes], folder: Path) -> None:
    """Put the page into a folder, which any web server can serve. Raises OSError."""
    for name, data in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _archive() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in (*PACKAGES, PARSER):
            for path in _sources(package):
                about = zipfile.ZipInfo(f"{package.replace('.', '/')}/{path.name}", LONG_AGO)
                about.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(about, path.read_bytes())
    return buffer.getvalue()


def _sources(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MistakeError(f"{package} is missing: pip install 'partway[page]'")
    return iter(sorted(Path(spec.origin).parent.glob("*.py")))
