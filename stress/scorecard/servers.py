"""The servers on the card: how each is started with the settings that it has when nobody says anything."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PEERS = Path(__file__).resolve().parent / "peers"
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # where some systems keep servers
LARGE_BYTES = 16 << 20  # more than the kernels' buffers take for one connection
NGINX = """\
daemon off;
pid {scratch}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""


class Entry(NamedTuple):
    """A server. `words` start it, in which {port}, {site} and {scratch} are filled in; "" as `package` needs none.

    One that serves a folder has the application's answers as files there, and refuses what is posted. One that is
    `rare` is started for who asks for it by name.
    """

    name: str
    package: str
    words: str
    rare: bool = False


ENTRIES = (
    Entry("partway", "", "{python} partway_app.py {port}"),
    Entry("partway http", "", "{python} -m partway.protocols http {site} --bind 127.0.0.1:{port} --quiet"),
    Entry("http.server", "", "{python} -m http.server {port} --bind 127.0.0.1 --directory {site}"),
    Entry("waitress", "waitress", "{python} -m waitress --listen=127.0.0.1:{port} wsgi_app:application"),
    Entry("gunicorn sync", "gunicorn", "{python} -m gunicorn -b 127.0.0.1:{port} wsgi_app:application"),
    Entry("gunicorn gthread", "gunicorn", "{python} -m gunicorn -b 127.0.0.1:{port} -k gthread wsgi_app:application"),
    Entry("gunicorn gevent", "gunicorn", "{python} -m gunicorn -b 127.0.0.1:{port} -k gevent wsgi_app:application"),
    Entry("gunicorn tornado", "gunicorn", "{python} -m gunicorn -b 127.0.0.1:{port} -k tornado wsgi_app:application"),
    Entry("uvicorn", "uvicorn", "{python} -m uvicorn --port {port} asgi_app:application"),
    Entry("hypercorn", "hypercorn", "{python} -m hypercorn --bind 127.0.0.1:{port} asgi_app:application"),
    Entry("granian", "granian", "{python} -m granian --interface asgi --port {port} asgi_app:application"),
    Entry("cheroot", "cheroot", "{python} -m cheroot --bind 127.0.0.1:{port} wsgi_app:application"),
    Entry("aiohttp", "aiohttp", "{python} aiohttp_app.py {port}"),
    Entry("tornado", "tornado", "{python} tornado_app.py {port}"),
    Entry("twisted", "twisted", "{python} twisted_app.py {port}"),
    Entry("gevent", "gevent", "{python} gevent_app.py {port}"),
    Entry("partway switching", "", "{python} handlers_app.py {port} {site} switching", rare=True),
    Entry("partway buffered", "", "{python} handlers_app.py {port} {site} buffered", rare=True),
    Entry("nginx", "", "{nginx} -p {scratch} -c {scratch}/nginx.conf"),
)


def version_of(entry: Entry) -> str | None:
    """Return a server's version; None where it is not installed in this environment."""
    if entry.name == "nginx":
        path = nginx_path()
        return _nginx_version(path) if path else None
    try:
        if entry.package:
            return importlib.metadata.version(entry.package)
        return importlib.metadata.version("partway") if entry.name.startswith("partway") else sys.version.split()[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def nginx_path() -> str | None:
    """Return where nginx is."""
    return shutil.which("nginx") or shutil.which("nginx", path=SYSTEM_PATH)


def _nginx_version(path: str) -> str | None:
    try:
        said = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    return said.strip().rpartition("/")[2]


def words_of(entry: Entry, port: int, site: Path, scratch: Path) -> list[str]:
    """Return the command that starts a server at a port of this machine."""
    nginx = nginx_path() or "nginx"
    if entry.name == "nginx":
        (scratch / "nginx.conf").write_text(NGINX.format(port=port, site=site, scratch=scratch))
    filled = {"python": sys.executable, "nginx": nginx, "port": port, "site": site, "scratch": scratch}
    return [word.format(**filled) for word in entry.words.split()]


def make_site(folder: Path) -> Path:
    """Return a folder of what the application answers."""
    folder.mkdir()
    (folder / "index.html").write_bytes(b"hello\n")
    with (folder / "large").open("wb") as file:
        file.truncate(LARGE_BYTES)
    folder.chmod(0o755)
    return folder
