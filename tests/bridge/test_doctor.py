"""``mive-bridge --doctor``, and the server that a bridge starts by itself."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.plugin import ROOT, edit_fields, until
from tests.bridge.test_life import SOURCES, collect, shows

from mive import __version__

Make = Callable[[], BridgeProcess]


@pytest.fixture
def place(make_bridge: Make, tmp_path: Path) -> BridgeProcess:
    """With a plugin where hosts look, and no server."""
    place = make_bridge()
    (tmp_path / "plugins" / "MIVE.ofx.bundle").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    place.environment |= {"OFX_PLUGIN_PATH": str(tmp_path / "plugins"), "MIVE_SERVER": f"127.0.0.1:{free}"}
    return place


def test_every_problem_comes_with_its_fix(place: BridgeProcess) -> None:
    place.config.write_text("start_server = maybe")
    done = place.run("--doctor")
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith("Problem: ")]
    assert len(problems) == 2
    assert "bridge.toml cannot be read" in problems[0]
    assert "Correct it, or remove it" in problems[0]
    assert "no server answers" in problems[1]
    assert "start_server = true" in problems[1]
    assert "none is running; the plugin starts one" in done.stdout


def test_a_running_bridge_is_asked(place: BridgeProcess) -> None:
    place.start()
    done = place.run("--doctor")
    assert f"bridge: {__version__} is running" in done.stdout
    assert f"cache: {place.cache}: 0.0 GB of at most 20.0 GB" in done.stdout
    assert "plugins/MIVE.ofx.bundle" in done.stdout


def test_what_is_no_bridge_is_told(place: BridgeProcess) -> None:
    place.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket))
        listener.listen()
        done = place.run("--doctor")
    assert "is no bridge" in done.stdout
    assert done.returncode == 1


def a_server_program(folder: Path, port: int) -> None:
    """``mive-server`` for the PATH: a server without a model, on that port, whatever it is told."""
    folder.mkdir()
    options = json.dumps({"data": str(folder / "data"), "listen": f"127.0.0.1:{port}", "devices": ["cpu"]})
    program = ROOT / "tests" / "server" / "modelless_server.py"
    text = f"#!/bin/sh\nPYTHONPATH={ROOT / 'backend'}:{ROOT} exec {sys.executable} {program} obedient '{options}'\n"
    (folder / "mive-server").write_text(text)
    (folder / "mive-server").chmod(0o755)


@pytest.mark.slow
def test_a_bridge_starts_a_server_where_that_is_wished_for_and_ends_it(make_bridge: Make, tmp_path: Path) -> None:
    with socket.socket() as usual:
        try:
            usual.bind(("127.0.0.1", 7433))
        except OSError:
            pytest.skip("the usual port of servers is in use")
    place = make_bridge()
    a_server_program(tmp_path / "bin", 7433)
    place.environment["PATH"] = f"{tmp_path / 'bin'}:{place.environment['PATH']}"
    place.environment["MIVE_BRIDGE_START_SERVER"] = "1"
    place.set(idle_minutes=0.03)
    fields = edit_fields(captions=f"1: quick {len(SOURCES)} frames of 64 x 48 u8", frames="0-4")
    plugin = place.start().plugin()
    collect(plugin, fields, "")
    until(lambda: (place.cache / "server.json").exists())
    server = psutil.Process(json.loads((place.cache / "server.json").read_text())["pid"])
    place.kill()
    # The next bridge finds it, makes use of it, and ends it.
    plugin = place.start().plugin()
    assert plugin.finish(fields, 120)["state"] == "done"
    assert shows(plugin, fields)
    assert place.process is not None
    assert place.process.wait(120) == 0
    psutil.wait_procs([server], 60)
    assert not server.is_running()
    assert not (place.cache / "server.json").exists()


def test_without_a_wish_no_server_is_started(place: BridgeProcess, tmp_path: Path) -> None:
    a_server_program(tmp_path / "bin", 1)
    place.environment["PATH"] = f"{tmp_path / 'bin'}:{place.environment['PATH']}"
    plugin = place.start().plugin()
    fields = edit_fields(frames="0-4")
    collect(plugin, fields, "")
    until(lambda: "no server answers" in plugin.status(fields).get("text", ""))
    assert not (place.cache / "server.json").exists()
