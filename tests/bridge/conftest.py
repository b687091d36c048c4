"""Bridges in processes of their own, and plugins that talk to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.bridge.plugin import ROOT, Plugin, until

PROGRAM = (sys.executable, "-m", "mive_bridge.cli")
PATHS = os.pathsep.join(str(ROOT / part) for part in ("backend", "plugin_bridge"))


class BridgeProcess:
    """Everything of one user: a socket, a cache, settings, and at most one bridge.

    Attributes:
        environment: of the bridges that are started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "run" / "b.sock"
        self.cache = folder / "cache" / "bridge"
        self.config = folder / "bridge.toml"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MIVE_")}
        self.environment = {
            **kept,
            "PYTHONPATH": PATHS,
            "MIVE_BRIDGE_SOCKET": str(self.socket),
            "MIVE_CACHE": str(folder / "cache"),
            "MIVE_BRIDGE_CONFIG": str(self.config),
            "OMP_NUM_THREADS": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.plugins: list[Plugin] = []

    def set(self, **settings: object) -> None:
        """What bridges find in their settings from now on."""
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))

    def start(self) -> BridgeProcess:
        self.process = subprocess.Popen(PROGRAM, env=self.environment)
        until(lambda: self._listens() or self.process is None or self.process.poll() is not None)
        assert self.process.poll() is None
        return self

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A bridge that ends by itself."""
        command = [*PROGRAM, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)

    def plugin(self) -> Plugin:
        """A plugin that has said hello."""
        self.plugins.append(Plugin(self.socket))
        return self.plugins[-1]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        for plugin in self.plugins:
            plugin.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        return (self.cache / "bridge.log").read_text()

    def _listens(self) -> bool:
        try:
            Plugin(self.socket).close()
        except (OSError, EOFError):
            time.sleep(0.05)
            return False
        return True


@pytest.fixture
def make_bridge(tmp_path: Path) -> Iterator[Callable[[], BridgeProcess]]:
    """``make_bridge()``: a place for bridges, where none runs yet."""
    made: list[BridgeProcess] = []

    def make() -> BridgeProcess:
        folder = tmp_path / f"user{len(made)}"
        folder.mkdir()
        made.append(BridgeProcess(folder))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def bridge(make_bridge: Callable[[], BridgeProcess]) -> BridgeProcess:
    """A bridge that runs."""
    return make_bridge().start()


@pytest.fixture
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One whose bridge the plugin starts."""
    user = BridgeProcess(tmp_path_factory.mktemp("user"))
    yield user
    for process in bridges(user):
        process.kill()


@pytest.fixture
def socket_path(user: BridgeProcess, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a bridge that the plugin starts by itself."""
    program = user.folder / "mive-bridge"
    kept = ("PYTHONPATH", "MIVE_CACHE", "MIVE_BRIDGE_CONFIG")
    variables = " ".join(f'{name}="{user.environment[name]}"' for name in kept)
    program.write_text(f'#!/bin/sh\n{variables} exec "{sys.executable}" -m mive_bridge.cli "$@"\n')
    program.chmod(0o755)
    user.socket.parent.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", str(user.socket))
    monkeypatch.setenv("MIVE_BRIDGE", str(program))
    return user.socket


def bridges(user: BridgeProcess) -> list[psutil.Process]:
    """Those that run and listen for this user."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MIVE_BRIDGE_SOCKET") == str(user.socket) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found
