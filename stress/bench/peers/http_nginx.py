"""nginx with one worker, and this process beside it to see that both end.

    http_nginx.py NGINX SITE on|off PORT    (0 picks one); prints "PORT n WORKER" when it listens

`on` is open_file_cache. nginx would outlive a bench that is killed: its master takes an alarm for a wish to look
around, and its worker outlives a master that is killed. So whatever ends this process (a signal, its alarm, the end of
stdin) ends the master in order, and the master its worker.
"""

import grp
import os
import pwd
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS_MAX = 9  # less than the bench's, which would not hear why
END_SECONDS_MAX = 4  # the master itself kills a worker that takes more than some 2 seconds
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
CONNECTIONS_MOST = 16_384
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # folders that it makes when it starts
CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
{user}
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache {cache};
    {temporary}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root "{site}";
    }}
}}
"""


def configuration(folder: str, site: str, cache: str, port: int) -> str:
    """What nginx is told. Without a word on it, root's worker would be another user, who may not read the site."""
    user = f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};" if os.geteuid() == 0 else ""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONFIGURATION.format(
        folder=folder,
        user=user,
        connections=CONNECTIONS_MOST if descriptors == resource.RLIM_INFINITY else min(descriptors, CONNECTIONS_MOST),
        cache="max=1000 inactive=1h" if cache == "on" else "off",
        temporary=" ".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY),
        port=port,
        site=site,
    )


def signal_end() -> socket.socket:
    """What is readable when this process has been told to end; no signal disturbs what it does until it looks."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach())
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return reader


def children_of(master: subprocess.Popen[bytes]) -> list[int]:
    """The ids of a process's children."""
    return [int(word) for word in Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()]


@contextmanager
def running(command: list[str]) -> Iterator[int]:
    """Run a master; yields the id of its worker, which it starts when it listens. Both are gone afterwards."""
    master = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not children_of(master):
            if master.poll() is not None or time.monotonic() > deadline:
                sys.exit(1)  # it has said why
            time.sleep(0.005)
        yield children_of(master)[0]
    finally:
        master.terminate()
        try:
            master.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            for process in (*children_of(master), master.pid):
                os.kill(process, signal.SIGKILL)
            master.wait()


def serve(nginx: str, site: str, cache: str, port: int) -> None:
    """Serve a folder on the loopback address until a signal or the end of stdin. Port 0 picks one."""
    told = signal_end()
    with tempfile.TemporaryDirectory(prefix="partway-nginx-") as folder, socket.socket() as held:
        # nginx can't pick a port. While this socket is bound nobody is given that one by chance, and nginx may have it
        # all the same: it asks for SO_REUSEADDR too, and nobody listens.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        number = held.getsockname()[1]
        Path(folder, "conf").write_text(configuration(folder, site, cache, number))
        with running([nginx, "-p", folder, "-c", f"{folder}/conf"]) as worker:
            print("PORT", number, worker, flush=True)
            select.select([sys.stdin, told], [], [])


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
