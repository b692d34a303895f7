"""Where a server writes while it runs: notices to stderr, its log, and the screen of `--watch`."""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

from ..engine import Notice
from .output import After, Output


class Outputs:
    """What goes to stderr goes through one output, so that a notice never stands within a line of the log."""

    def __init__(self, after: After) -> None:
        self._after = after
        self._stack = ExitStack()
        self._stderr: Output | None = None  # where it is no descriptor: closed, or an object of somebody's
        self._log: Output | None = None
        with suppress(AttributeError, OSError, ValueError):
            self._stderr = self._open(sys.stderr.fileno())

    def open_log(self, options: argparse.Namespace) -> Output | None:
        """Return where the lines of the access log go, None for nowhere. Raises OSError for a file that won't open."""
        if options.log is not None:
            self._log = self._open(options.log)
            return self._log
        silent = options.quiet or options.watch  # whose picture a line would tear
        return self._stderr if not silent and self._stderr is not None and sys.stderr.isatty() else None

    def screen(self) -> Callable[[str], bool]:
        """Return what shows a text on stdout, and returns False where nobody looks any more."""
        output = self._open(sys.stdout.fileno())
        return lambda text: output.show(text.encode("utf-8", "replace"))

    def tell(self, notice: Notice) -> None:
        """Show a notice on stderr: one line, but a traceback of a machine's is shown whole."""
        self._report(f"{notice.kind}: {notice.text}")

    def reopen(self) -> None:
        """Open the log anew: its file was renamed. Goes on with the old one where that fails, and says so."""
        try:
            if self._log is not None:
                self._log.reopen()
        except OSError as error:
            self._report(f"log: {error}")

    def close(self) -> None:
        """Write what is taken at once, and let go of all."""
        self._stack.close()

    def _open(self, where: int | str) -> Output:
        output = Output(where, self._after)
        self._stack.callback(output.close)
        return output

    def _report(self, text: str) -> None:
        if self._stderr is not None:
            self._stderr.write(f"partway: {text}\n".encode("utf-8", "backslashreplace"))
            return
        with suppress(OSError):
            print(f"partway: {text}", file=sys.stderr, flush=True)
