"""A real browser without a window, told what to do through a pipe: the DevTools protocol, without a library."""

import json
import os
import signal
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe"),
]
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "Tab": 9, "Escape": 27, "p": 80, ".": 190}
"""Keys that can be pressed, with the codes that browsers know them by."""
UNTIL = """(async () => {
  for (;;) {
    try {
      const found = await (SCRIPT);
      if (found) return found;
    } catch {}
    await new Promise((done) => setTimeout(done, 20));
  }
})()"""


class Browser:
    """One page. Every call waits for its answer; events are kept in `events` as they come."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self._writer = os.fdopen(writer, "wb", buffering=0)
        self._unread = b""
        self._last = 0
        self._target: str | None = None
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        self.renew()

    def renew(self) -> None:
        """Close the page, and have an empty one; what came of the other is forgotten."""
        self._session, old = None, self._target
        self._target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        if old is not None:
            self.ask("Target.closeTarget", targetId=old)
        self._session = self.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        """Let go of the pipe."""
        self._reader.close()
        self._writer.close()

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Have something done, and return what came of it."""
        self._last += 1
        order: dict[str, Any] = {"id": self._last, "method": method, "params": arguments}
        if self._session is not None:
            order["sessionId"] = self._session
        self._writer.write(json.dumps(order).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == self._last:
                assert "error" not in told, told
                return dict(told["result"])
            self.events.append(told)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = self._reader.read(1 << 20)
            assert more, "the browser is gone"
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(line))

    def window(self, width: int, height: int, *, dark: bool = False, scale: float = 1, mobile: bool = False) -> None:
        """Have a window of this size."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to a page."""
        self.ask("Page.navigate", url=url)

    def find(self, script: str) -> Any:
        """Return what an expression of JavaScript gives; a promise is waited for."""
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str) -> Any:
        """Return what an expression gives, or its promise, as soon as that is true; until then it may fail."""
        return self.find(UNTIL.replace("SCRIPT", script))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            about: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
            text = {"text": key} if len(key) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def click(self, x: float, y: float) -> None:
        """Press the mouse's button at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, whole: bool = False) -> bytes:
        """Return a PNG of the window, or of the whole page."""
        return b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole, format="png")["data"])

    def asked(self) -> list[str]:
        """The URLs that have been asked for."""
        return [event["params"]["request"]["url"] for event in self.events if _is(event, "Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """What it has found wrong: errors of scripts, and what it refused to load."""
        errors = [str(event["params"]) for event in self.events if _is(event, "Runtime.exceptionThrown")]
        logs = [event["params"]["entry"] for event in self.events if _is(event, "Log.entryAdded")]
        return errors + [f"{entry['text']} {entry.get('url', '')}" for entry in logs if entry["level"] == "error"]


def _is(event: dict[str, Any], method: str) -> bool:
    return event.get("method") == method


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Start one, in a profile of its own; what it has started ends with it."""
    its_reader, writer = os.pipe()
    reader, its_writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="partway", ignore_cleanup_errors=True) as profile:
        script = f'exec "$@" 3<&{its_reader} 4>&{its_writer}'  # its descriptors 3 and 4, as it wants them
        words = ["bash", "-c", script, "bash", program, *FLAGS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            words,
            pass_fds=(its_reader, its_writer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            os.close(its_reader)
            os.close(its_writer)
            try:
                one = Browser(reader, writer)
                try:
                    yield one
                finally:
                    one.close()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
