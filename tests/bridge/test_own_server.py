"""The server that a bridge starts by itself, for its edits and for renders that ask it to."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.plugin import ROOT, edit_fields, until
from tests.bridge.test_life import SOURCES, collect, shows
from tests.cli.conftest import toy

from mive.client import Tls, Unreachable
from mive.evaluate.toyworld.clip import ToyClip
from mive.media import open_clip
from mive_bridge.lent import lent_server

__all__ = ["toy"]

Make = Callable[[], BridgeProcess]


@pytest.fixture
def usual_port() -> Iterator[int]:
    """The usual port of servers, for one test at a time."""
    with Path(tempfile.gettempdir(), "mive-usual-port.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as usual:
            usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                usual.bind(("127.0.0.1", 7433))
            except OSError:
                pytest.skip("the usual port of servers is in use")
        yield 7433


def a_server_program(place: BridgeProcess, port: int) -> None:
    """``mive-server`` on the PATH: a server without a model, on that port, whatever it is told."""
    folder = place.folder / "bin"
    folder.mkdir()
    options = json.dumps({"data": str(folder / "data"), "listen": f"127.0.0.1:{port}", "devices": ["cpu"]})
    program = ROOT / "tests" / "server" / "modelless_server.py"
    text = f"#!/bin/sh\nPYTHONPATH={ROOT / 'backend'}:{ROOT} exec {sys.executable} {program} obedient '{options}'\n"
    (folder / "mive-server").write_text(text)
    (folder / "mive-server").chmod(0o755)
    place.environment["PATH"] = f"{folder}:{place.environment['PATH']}"


@pytest.mark.slow
def test_a_bridge_starts_a_server_where_that_is_wished_for_and_ends_it(make_bridge: Make, usual_port: int) -> None:
    place = make_bridge()
    a_server_program(place, usual_port)
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


def test_without_a_wish_no_server_is_started(make_bridge: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    place = make_bridge()
    place.environment["MIVE_SERVER"] = f"127.0.0.1:{free}"
    a_server_program(place, free)
    plugin = place.start().plugin()
    fields = edit_fields(frames="0-4")
    collect(plugin, fields, "")
    until(lambda: "no server answers" in plugin.status(fields).get("text", ""))
    assert plugin.ask("server").fields == {"starts": "0"}
    assert not (place.cache / "server.json").exists()


@pytest.mark.slow
def test_a_render_through_the_bridge_has_a_server(make_bridge: Make, toy: ToyClip, usual_port: int) -> None:
    """Nothing runs before, and nothing is left running; the bridge alone would have ended in the middle."""
    place = make_bridge()
    a_server_program(place, usual_port)
    place.set(start_server=True, idle_minutes=0.02)
    words = ["render", toy.videos[0], "--mattes", toy.mattes, "--bridge", "-o", place.folder / "out.mkv"]
    captions = ["--edit", "1=slow 3 frames of 64 x 64 u8", "--edit", "2=a cup"]
    command = [sys.executable, "-c", "import sys; from mive.cli import main; sys.exit(main())", *words, *captions]
    done = subprocess.run(list(map(str, command)), env=place.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "the bridge starts mive-server" in done.stderr
    assert open_clip(place.folder / "out.mkv").info.frames == 3
    until(lambda: "ended" in place.log, 120)
    assert not (place.cache / "server.json").exists()


def test_a_render_with_a_named_server_needs_no_bridge(make_bridge: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_bridge()
    place.set(start_server=True, ca="/etc/render-ca.pem")
    monkeypatch.setenv("MIVE_BRIDGE_CONFIG", str(place.config))
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", str(place.socket))
    monkeypatch.delenv("MIVE_SERVER", raising=False)
    with lent_server("render7:7433", print) as tls:
        assert tls == Tls(ca=Path("/etc/render-ca.pem"))
    assert not place.socket.exists()


def test_a_bridge_that_cannot_be_is_told(make_bridge: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_bridge()
    place.set(start_server=True)
    place.socket.parent.mkdir()
    place.socket.write_text("no socket")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MIVE_SERVER", raising=False)
    with pytest.raises(Unreachable, match="mive-bridge --doctor"), lent_server(None, print):
        pass
