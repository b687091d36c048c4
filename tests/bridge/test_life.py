"""Bridges that are killed, that come twice, that are idle; and servers that die."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.plugin import ROOT, Plugin, edit_fields, until
from tests.hosts.link import Message, Pixels
from tests.server.served import Served as Server
from tests.server.served import modelless

from mive.errors import OutputError
from mive.v1 import mive_pb2
from mive_bridge.files import size_of
from mive_bridge.place import Place, Served

COUNT = 5
CAPTION = f"1: quick {COUNT} frames of 64 x 48 u8"
SOURCES = np.random.default_rng(0).integers(100, 255, (COUNT, 48, 64, 4), np.uint8)

Make = Callable[[], BridgeProcess]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server, whose workers make frames that are full of their own number."""
    server = modelless(tmp_path_factory.mktemp("served") / "data").ready()
    yield server
    server.close()


def collect(plugin: Plugin, fields: dict[str, str], server: str) -> None:
    """What the Analyse button does."""
    state = plugin.order(fields, server=server).fields
    while state.get("missing"):
        number = int(state["missing"].split(",")[0].split("-")[0])
        state = plugin.put(fields, number, source=SOURCES[number]).fields


def shows(plugin: Plugin, fields: dict[str, str]) -> bool:
    """All frames are there; none is ever a wrong one."""
    frames: list[Message | Pixels] = [
        plugin.frame(fields, number, source=source) for number, source in enumerate(SOURCES)
    ]
    for number, frame in enumerate(frames):
        if isinstance(frame, np.ndarray):
            assert (frame[frame[..., 3] > 0][:, :3] == number).all()
            assert (frame[..., 3] > 0).all()
    return all(isinstance(frame, np.ndarray) for frame in frames)


def jobs_of(server: Server) -> int:
    return len(server.stub.ListJobs(mive_pb2.ListJobsRequest(page_size=1000)).jobs)


def test_what_is_done_outlives_the_bridge_and_needs_no_server(make_bridge: Make, server: Server) -> None:
    bridge = make_bridge().start()
    plugin = bridge.plugin()
    fields = edit_fields(captions=CAPTION, frames="0-4")
    collect(plugin, fields, server.address)
    plugin.finish(fields)
    bridge.kill()
    plugin = bridge.start().plugin()
    assert plugin.status(fields)["state"] == "done"
    assert shows(plugin, fields)


def killed_at_a_random_moment(bridge: BridgeProcess, server: Server, rng: random.Random) -> None:
    """Kills the bridge once while it makes an edit; everything comes right, and is rendered once."""
    fields, before = edit_fields(captions=CAPTION, frames="0-4"), jobs_of(server)
    bridge.start()
    killed_at = time.monotonic() + rng.uniform(0.0, 1.5)
    plugin = bridge.plugin()
    try:
        while time.monotonic() < killed_at:
            collect(plugin, fields, server.address)
            shows(plugin, fields)
    finally:
        bridge.kill()
    plugin = bridge.start().plugin()
    collect(plugin, fields, server.address)
    assert plugin.finish(fields)["state"] == "done"
    assert shows(plugin, fields)
    assert jobs_of(server) == before + 1
    assert bridge.stop() == 0


@pytest.mark.slow
def test_a_bridge_that_is_killed_at_random_moments_goes_on_and_renders_nothing_twice(
    make_bridge: Make, server: Server
) -> None:
    bridge, rng = make_bridge(), random.Random(7)
    for _ in range(4):
        killed_at_a_random_moment(bridge, server, rng)


@pytest.mark.soak
def test_a_bridge_that_is_killed_a_hundred_times(make_bridge: Make, server: Server) -> None:
    bridge, rng = make_bridge(), random.Random(1)
    for _ in range(100):
        killed_at_a_random_moment(bridge, server, rng)


@pytest.mark.slow
def test_a_server_that_is_killed_is_waited_for(make_bridge: Make, tmp_path: Path) -> None:
    server = modelless(tmp_path / "data").ready()
    address = server.address
    bridge = make_bridge().start()
    plugin = bridge.plugin()
    fields = edit_fields(captions=f"1: {COUNT} frames of 64 x 48 u8", frames="0-4")
    collect(plugin, fields, address)
    until(lambda: plugin.status(fields)["state"] == "running")
    server.kill()
    answered = time.monotonic()
    assert plugin.status(fields)["state"] == "running"
    assert isinstance(plugin.frame(fields, 0, source=SOURCES[0]), Message)
    assert time.monotonic() - answered < 2, "nobody waits for a server"
    until(lambda: "could not be made again" in plugin.status(fields).get("text", ""))
    server.close()
    server = modelless(tmp_path / "data", listen=address).ready()
    try:
        assert plugin.finish(fields)["state"] == "done"
        assert shows(plugin, fields)
        assert jobs_of(server) == 1
    finally:
        server.close()


def test_without_a_server_edits_wait_and_say_why(make_bridge: Make, server: Server) -> None:
    bridge = make_bridge().start()
    plugin = bridge.plugin()
    fields = edit_fields(captions=CAPTION, frames="0-4")
    collect(plugin, fields, "127.0.0.1:1")
    until(lambda: "no server answers at 127.0.0.1:1" in plugin.status(fields).get("text", ""))
    assert plugin.status(fields)["state"] == "queued"
    plugin.order(fields, server=server.address)
    assert plugin.finish(fields)["state"] == "done", "the right address was given"


def test_frames_that_did_not_fit_into_the_cache_come_again(make_bridge: Make, server: Server) -> None:
    bridge = make_bridge()
    bridge.set(cache_gigabytes=3e-5)
    plugin = bridge.start().plugin()
    fields = edit_fields(captions=CAPTION, frames="0-4")
    collect(plugin, fields, server.address)
    plugin.finish(fields)

    def fits() -> bool:
        # While a frame is being written there is one more.
        return sum(map(size_of, (bridge.cache / "frames").glob("*.frame"))) <= 30_000

    until(fits)
    for number in (0, 4, 2):
        until(lambda number=number: not isinstance(plugin.frame(fields, number, source=SOURCES[number]), Message))
    until(fits)


def test_a_bridge_ends_when_it_is_idle_but_not_for_lack_of_news(make_bridge: Make, server: Server) -> None:
    bridge = make_bridge()
    bridge.set(idle_minutes=0.02)
    plugin = bridge.start().plugin()
    fields = edit_fields(captions=f"1: {COUNT} frames of 64 x 48 u8", frames="0-4")
    collect(plugin, fields, server.address)
    assert bridge.process is not None
    assert bridge.process.wait(60) == 0, "although a connection is open"
    assert not bridge.socket.exists()
    plugin = bridge.start().plugin()
    assert plugin.status(fields)["state"] == "done", "it did not end before that"


def test_a_second_bridge_leaves_at_once(make_bridge: Make) -> None:
    bridge = make_bridge().start()
    assert bridge.run().returncode == 0
    assert bridge.run("--detach").returncode == 0
    bridge.plugin()


def test_a_detached_bridge_listens_when_its_parent_has_ended(make_bridge: Make) -> None:
    bridge = make_bridge()
    held = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(held, True)
    assert bridge.run("--detach").returncode == 0
    plugin = bridge.plugin()
    (process,) = [each for each in psutil.process_iter(["environ"]) if _is_bridge_at(each, bridge.socket)]
    try:
        assert os.getsid(process.pid) == process.pid
        assert process.terminal() is None
        assert process.cwd() == "/"
        assert str(ROOT) not in {os.readlink(f"/proc/{process.pid}/fd/{fd.fd}") for fd in process.open_files()}
        assert plugin.ask("status", edit="0" * 64).fields == {"state": "unknown"}
    finally:
        os.close(held)
        process.send_signal(signal.SIGTERM)
        psutil.wait_procs([process], 30)
    assert not bridge.socket.exists()


def _is_bridge_at(process: psutil.Process, path: Path) -> bool:
    try:
        return process.environ().get("MIVE_BRIDGE_SOCKET") == str(path)
    except psutil.Error:
        return False


def test_a_bridge_that_cannot_listen_says_why_and_starts_nothing(make_bridge: Make, tmp_path: Path) -> None:
    bridge = make_bridge()
    bridge.environment["MIVE_BRIDGE_SOCKET"] = str(tmp_path / ("x" * 120) / "b.sock")
    done = bridge.run()
    assert done.returncode == 5
    assert "at most 107 bytes" in done.stderr
    assert bridge.run("--detach").returncode == 5
    bridge.environment["MIVE_BRIDGE_SOCKET"] = "/proc/self/b.sock"
    assert bridge.run("--detach").returncode == 5


def test_settings_that_make_no_sense_are_told(make_bridge: Make) -> None:
    bridge = make_bridge()
    bridge.set(cache_gigabyte=3)
    done = bridge.run()
    assert done.returncode == 2
    assert 'Perhaps "cache_gigabytes" is meant' in done.stderr


def test_the_socket_is_the_users_alone_and_that_of_a_dead_bridge_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "run" / "b.sock"
    first = Place(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Served):
        Place(path)
    # As a kill leaves it: the socket's file is there, and nobody listens.
    first.listener.close()
    os.close(first._lock)
    Place(path).close()
    assert not path.exists()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "run")
    with pytest.raises(OutputError, match="is not this user's"):
        Place(tmp_path / "elsewhere" / "b.sock")


def test_the_bridge_starts_without_what_takes_long_to_load(make_bridge: Make) -> None:
    plugin = make_bridge().start().plugin()
    (process,) = [each for each in psutil.Process().children() if "mive_bridge.cli" in each.cmdline()]
    assert plugin.status(edit_fields()) == {"state": "unknown"}
    mapped = " ".join(area.path for area in process.memory_maps())
    assert "numpy" in mapped
    assert not [name for name in ("torch", "grpc", "cv2", "OpenImageIO", "libavcodec") if name in mapped]
