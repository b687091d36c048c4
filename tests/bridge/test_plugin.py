"""The real plugin, in hosts, with this bridge: from the Analyse button to edited frames on the timeline."""

# ruff: noqa: F811 - fixtures of the plugin's tests are used here by their names

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.editing_server import EditingServer, render
from tests.bridge.plugin import ROOT, until
from tests.client.fake_server import edited
from tests.hosts.link import Pixels
from tests.hosts.melt import CannotInstall, Melt, install
from tests.hosts.ofx_host import FILTER, GENERAL, Content
from tests.hosts.ofx_instance import Effect
from tests.plugin.conftest import OpenHost, build, open_host, plugin  # noqa: F401

from mive.media import ClipInfo, open_writer
from mive.media.raw import write_raw
from mive.request import EditRequest, FrameRange, Instance

ANALYSE, WAIT = 0, 1
BOX = (slice(8, 30), slice(10, 40))


@pytest.fixture
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EditingServer]:
    (tmp_path / "server").mkdir()
    with EditingServer(tmp_path / "server", server_paths=True) as server:
        yield server


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


def footage(depth: str = "uint8") -> Content:
    """Ten frames of 64 × 48, opaque in a box."""
    frames = np.random.default_rng(1).integers(20, 120, (10, 48, 64, 4), dtype=np.uint8)
    frames[..., 3] = 0
    frames[(slice(None), *BOX, 3)] = 255
    if depth == "float32":
        return lambda time: (frames[int(time)] / np.float32(255)).astype(np.float32)
    return lambda time: frames[int(time)]


def analyse(effect: Effect) -> None:
    """Presses the button until a bridge has started, and waits for the edit."""
    until(lambda: (effect.press("analyse"), "bridge" not in effect.status)[1], 60)
    until(lambda: (effect.open_panel(), effect.status.startswith(("Done", "Failed")))[1], 60)
    assert effect.status.startswith("Done"), effect.status


def expected(source: Pixels, box: tuple[slice, slice] = BOX) -> Pixels:
    shown = source.copy()
    shown[box][..., :3] = edited(source[box][..., :3])
    return shown


@pytest.mark.parametrize("depth", ["uint8", "float32"])
def test_the_plugin_starts_a_bridge_and_shows_what_the_server_made(
    open_host: OpenHost, user: BridgeProcess, server: EditingServer, depth: str
) -> None:
    source = footage(depth)
    host = open_host(temporal_access=True)
    values = {"captions": "1: a red ball", "server": server.address, "frameRange": "2-7"}
    effect = host.create(FILTER, {"Source": source}, values)
    analyse(effect)
    assert effect.status.startswith("Done: 6 of 6 frames.")
    for number in range(2, 8):
        shown = effect.render(number)
        np.testing.assert_array_equal(shown.pixels, expected(source(number)))
        assert shown.message == ""
    np.testing.assert_array_equal(effect.render(0).pixels, source(0), "a frame outside the range")
    assert len(bridges(user)) == 1


def test_float_with_two_matte_clips_and_another_parameter(
    open_host: OpenHost, user: BridgeProcess, server: EditingServer
) -> None:
    source, box = footage("float32"), (slice(0, 10), slice(50, 60))
    first, second = np.zeros((2, 48, 64, 4), np.float32)
    first[BOX][..., 1] = 1
    second[box][..., 2] = 1
    clips = {"Source": source, "Mattes": lambda time: first, "Mattes2": lambda time: second}
    values = {"captions": "2: a ball\n7: a cup", "server": server.address, "frameRange": "0-3"}
    effect = open_host(temporal_access=True).create(GENERAL, clips, values)
    analyse(effect)
    both = expected(expected(source(1)), box)
    np.testing.assert_array_equal(effect.render(1).pixels, both)
    effect.set("captions", "2: a ball\n7: another cup")
    shown = effect.render(1)
    np.testing.assert_array_equal(shown.pixels, source(1))
    assert "Not analysed" in shown.message
    effect.set("captions", "2: a ball\n7: a cup")
    np.testing.assert_array_equal(effect.render(1).pixels, both)


def playback_through_kills(effect: Effect, user: BridgeProcess, source: Content, rounds: int) -> None:
    """Plays back while the bridge is killed at random moments: frames are edited or the source, and soon edited."""
    rng = random.Random(3)
    for _ in range(rounds):
        kill_at, killed = time.monotonic() + rng.uniform(0, 0.5), False
        while not killed:
            number = rng.randrange(10)
            if time.monotonic() > kill_at:
                for process in bridges(user):
                    process.send_signal(signal.SIGKILL)
                killed = True
            begun = time.monotonic()
            shown = effect.render(number).pixels
            assert time.monotonic() - begun < 7, "the deadline of one render"
            right = np.array_equal(shown, expected(source(number)))
            assert right or np.array_equal(shown, source(number))
        comes_back(effect, number, source)


def comes_back(effect: Effect, number: int, source: Content) -> None:
    end = time.monotonic() + 60
    while not np.array_equal((shown := effect.render(number)).pixels, expected(source(number))):
        assert time.monotonic() < end, shown.message
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.soak)])
def test_playback_goes_on_when_bridges_are_killed(
    open_host: OpenHost, user: BridgeProcess, server: EditingServer, rounds: int
) -> None:
    source = footage()
    values = {"captions": "1: a red ball", "server": server.address, "frameRange": "0-9"}
    effect = open_host(temporal_access=True).create(FILTER, {"Source": source}, values)
    analyse(effect)
    playback_through_kills(effect, user, source, rounds)
    assert len(server.requests) == 1


@pytest.fixture(scope="module")
def melt(plugin: Path) -> Melt:
    try:
        melt = install(ROOT / "build" / "melt")
    except CannotInstall as why:
        pytest.skip(str(why))
    melt.install_plugin(plugin.parents[2])
    return melt


@pytest.mark.slow
def test_melt_shows_what_an_edit_of_the_same_frames_gives(
    melt: Melt, server: EditingServer, tmp_path: Path, user: BridgeProcess
) -> None:
    """MLT has neither buttons nor matte clips: one run collects, the next shows."""
    blocks = np.random.default_rng(1).integers(0, 256, (6, 9, 16, 3), dtype=np.uint8)
    frames = blocks.repeat(8, axis=1).repeat(8, axis=2)
    write_video(melt.temporary / "clip.mkv", frames)
    ids = np.zeros((72, 128, 3), np.uint8)
    ids[16:48, 32:64] = 1
    whole = FrameRange(0, 5)
    with open_writer(tmp_path / "mattes", ClipInfo(tmp_path, 128, 72, 6, Fraction(25)), whole) as writer:
        for _ in whole.indices():
            writer.write(ids)
    user.socket = melt.temporary / "own" / "b.sock"
    user.environment["MIVE_BRIDGE_SOCKET"] = str(user.socket)
    user.start()
    try:
        for mode in ("Analyse", "Playback"):
            shown = through(melt, "/tmp/own/b.sock", server.address, tmp_path / "mattes", mode)
            until(lambda: user.plugin() and all(job.message.state == 3 for job in server.jobs.values()))
            time.sleep(2)
    finally:
        user.close()
    (tmp_path / "raw").mkdir()
    write_raw(tmp_path / "raw", ClipInfo(tmp_path, 128, 72, 6, Fraction(25)), list(frames))
    instances = (Instance(id=1, caption="a red ball"),)
    request = EditRequest(clip=str(tmp_path / "raw"), mattes=str(tmp_path / "mattes"), instances=instances)
    made = render(request, dict(enumerate(frames)))
    np.testing.assert_array_equal(shown, np.stack([made[index] for index in range(6)]))


def through(melt: Melt, socket: str, server: str, mattes: Path, mode: str) -> Pixels:
    """What melt makes of its clip with the effect."""
    effect = (
        "-filter", "openfx.org.mive.MultiInstanceEdit", "captions=1: a red ball", f"mattes={mattes}",
        "frameRange=0-5", f"server={server}", f"mode={mode}",
    )  # fmt: skip
    lossless = ("vcodec=ffv1", "pix_fmt=bgr0", "mlt_image_format=rgba", "real_time=-4")
    environment = {"MIVE_BRIDGE_SOCKET": socket, "MIVE_BRIDGE": "/nonexistent"}
    melt.run("/tmp/clip.mkv", *effect, "-consumer", "avformat:/tmp/out.mkv", *lossless, environment=environment)
    with av.open(str(melt.temporary / "out.mkv")) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_video(path: Path, frames: Pixels) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
