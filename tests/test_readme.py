"""The README is true: its examples run, its table of transitions is the engine's, its commands are the ones that exist.

`python tests/test_readme.py` writes the table of transitions into the README anew.
"""

import argparse
import re
import shlex
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import fields
from pathlib import Path

import pytest
from partway.engine import Limits
from partway.engine.row import EVENTS, STATES, TRANSITIONS
from partway.protocols.serving import COMMANDS

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
BEGIN, END = "<!-- transitions -->\n", "<!-- /transitions -->"


def transitions() -> str:
    """The table as Markdown: a row a state, a column an event, and a dot for what is not allowed."""
    lines = ["| | " + " | ".join(EVENTS) + " |", "|---" * (len(EVENTS) + 1) + "|"]
    for state, name in enumerate(STATES):
        cells = [TRANSITIONS[state].get(event) for event in range(len(EVENTS))]
        shown = ["·" if cell is None else STATES[cell].lower() for cell in cells]
        lines.append(f"| **{name}** | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_transitions_are_the_engines() -> None:
    assert BEGIN + transitions() + END in README.read_text(), "run python tests/test_readme.py"


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 13


def test_shout_shouts() -> None:
    port = free_port()
    program = BLOCKS[0].replace("127.0.0.1:7007", f"127.0.0.1:{port}")
    assert program != BLOCKS[0]
    server = subprocess.Popen([sys.executable, "-c", program])
    try:
        for _ in range(200):
            assert server.poll() is None
            try:
                client = socket.create_connection(("127.0.0.1", port), timeout=10)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)  # a process of its own is starting: there is nothing else to wait on
        with client:
            client.sendall(b"one\ntwo\nthr")
            client.sendall(b"ee\n")
            heard = b""
            while len(heard) < 14:
                heard += client.recv(100)
        assert heard == b"ONE\nTWO\nTHREE\n"
    finally:
        server.kill()
        server.wait()


WINDOWS = [block for block in BLOCKS if "tkinter" in block or "PySide6" in block]  # these run in test_real_loops.py


@pytest.mark.parametrize("program", [block for block in BLOCKS[1:] if block not in WINDOWS])
def test_example_runs(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_table_of_all_kinds_is_what_the_example_prints() -> None:
    (program,) = (block for block in BLOCKS if "Sums" in block)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert textwrap.indent(done.stdout, "    ") in README.read_text()


def test_what_the_flawed_machine_is_told() -> None:
    """What the README shows is what its example prints, on every Python."""
    (program,) = (block for block in BLOCKS if "SimulationFailure" in block)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    shown = "\n".join("    " + line if line else "" for line in done.stdout.rstrip().splitlines())
    assert "```\n\n" + shown + "\n\n" in README.read_text()


def test_two_commands_and_no_more() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(commands) == 2
    assert all(len(command.strip().splitlines()) == 1 for command in commands)
    serve, test = (shlex.split(command) for command in commands)
    assert serve[-2:] == [".venv/bin/partway", "http"]
    assert test[-1] == ".venv/bin/pytest"


def test_options_that_are_named_exist() -> None:
    """Limits, and what a command has beside them."""
    known = {field.name for field in fields(Limits)}
    for command in COMMANDS.values():
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        known |= {action.dest for action in parser._actions}
    for name in re.findall(r"--([a-z]+(?:-[a-z]+)*-(?:seconds|bytes|max))(?![a-z-])", README.read_text()):
        assert name.replace("-", "_") in known, name


if __name__ == "__main__":
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + transitions() + END + after)
