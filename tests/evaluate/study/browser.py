"""A real Chromium without a window, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 120.0
"""Seconds; a busy machine takes long to start a browser."""

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_KEYS: Final = {"Enter": 13, " ": 32, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9}


def find_chromium() -> str | None:
    """The browser's program; where a CI run may install packages, it is installed first."""
    found = _on_path()
    if found is None and "CI" in os.environ and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-q", *command], check=False, capture_output=True, timeout=600)
        found = _on_path()
    return found


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def opened(chromium: str, folder: Path) -> Iterator[Page]:
    """A page in a browser of its own, 1366 by 768 pixels; downloads land in ``folder``."""
    to_browser, to_page = os.pipe(), os.pipe()
    command = [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}",
        "about:blank",
    ]  # fmt: skip
    # The browser reads from descriptor 3 and writes to 4; bash can put them there whatever they are here.
    script = f'exec "$@" 3<&{to_browser[0]} 4>&{to_page[1]}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=(to_browser[0], to_page[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_browser[0])
    os.close(to_page[1])
    try:
        yield Page(to_page[0], to_browser[1], folder)
    finally:
        os.close(to_browser[1])
        os.close(to_page[0])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Page:
    """One tab, whose errors are kept."""

    def __init__(self, reads: int, writes: int, downloads: Path) -> None:
        self._reads, self._writes = reads, writes
        self._ready = selectors.DefaultSelector()
        self._ready.register(reads, selectors.EVENT_READ)
        self._heard = b""
        self._number = 0
        self._session: str | None = None
        self.downloads = downloads
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.size(1366, 768)
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def call(self, method: str, **parameters: Any) -> Any:
        """Sends a command and waits for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writes, data) :]
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            assert self._ready.select(PATIENCE), "the browser does not answer"
            data = os.read(self._reads, 1 << 16)
            assert data, "the browser has ended"
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"), event.get("params", {}):
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.errors.append(str(details.get("exception", details).get("description", details)))
            case "Log.entryAdded", {"entry": {"level": "error", "text": text}}:
                self.errors.append(str(text))
            case "Network.requestWillBeSent", {"request": {"url": url}}:
                self.requests.append(str(url))

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefers(self, **features: str) -> None:
        """``prefers(color_scheme="dark")``."""
        listed = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=listed)

    def open(self, address: str) -> None:
        """Loads an address, and waits until its scripts have run."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && typeof showIntro === 'function'")

    def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script: str) -> None:
        """Waits for an expression to become true."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"never became true: {script}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Presses and releases a key as a person would, with the text that it writes."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        about = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        for letter in text:
            self.press(letter)

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
