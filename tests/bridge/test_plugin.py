"""The real plugin, in hosts, with this bridge: from the Analyse button to edited frames on the timeline."""

# ruff: noqa: F811 - fixtures of the plugin's tests are used here by their names

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.bridge.conftest import BridgeProcess, bridges
from tests.bridge.editing_server import EditingServer, render
from tests.bridge.plugin import until
from tests.client.fake_server import edited
from tests.hosts.link import Pixels
from tests.hosts.melt import Melt, write_video
from tests.hosts.ofx_host import FILTER, GENERAL, Content
from tests.hosts.ofx_instance import Effect
from tests.plugin.conftest import OpenHost, build, melt, melt_folder, open_host, plugin  # noqa: F401

from mive.media import ClipInfo, open_writer
from mive.media.raw import write_raw
from mive.request import EditRequest, FrameRange, Instance

ANALYSE, WAIT = 0, 1
BOX = (slice(8, 30), slice(10, 40))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EditingServer]:
    (tmp_path / "server").mkdir()
    with EditingServer(tmp_path / "server", server_paths=True) as server:
        yield server


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


@pytest.mark.slow
def test_melt_shows_what_an_edit_of_the_same_frames_gives(
    melt: Melt, melt_folder: Path, server: EditingServer, tmp_path: Path, user: BridgeProcess
) -> None:
    """MLT has neither buttons nor matte clips: one run collects, the next shows."""
    blocks = np.random.default_rng(1).integers(0, 256, (6, 9, 16, 3), dtype=np.uint8)
    frames = blocks.repeat(8, axis=1).repeat(8, axis=2)
    clip = write_video(melt_folder / "clip.mkv", frames)
    ids = np.zeros((72, 128, 3), np.uint8)
    ids[16:48, 32:64] = 1
    whole = FrameRange(0, 5)
    with open_writer(tmp_path / "mattes", ClipInfo(tmp_path, 128, 72, 6, Fraction(25)), whole) as writer:
        for _ in whole.indices():
            writer.write(ids)
    user.socket = melt_folder / "own" / "b.sock"
    user.environment["MIVE_BRIDGE_SOCKET"] = str(user.socket)
    user.start()
    try:
        edit = {"captions": "1: a red ball", "mattes": tmp_path / "mattes", "frameRange": "0-5"}
        for parameters in ({"mode": "Analyse"}, {"mode": "Playback", "onMiss": "Wait"}):
            where = {"bridge": user.socket, "real_time": -4, "server": server.address}
            shown, _ = melt.play(clip, **where, **edit, **parameters)
    finally:
        user.close()
    (tmp_path / "raw").mkdir()
    write_raw(tmp_path / "raw", ClipInfo(tmp_path, 128, 72, 6, Fraction(25)), list(frames))
    instances = (Instance(id=1, caption="a red ball"),)
    request = EditRequest(clip=str(tmp_path / "raw"), mattes=str(tmp_path / "mattes"), instances=instances)
    made = render(request, dict(enumerate(frames)))
    np.testing.assert_array_equal(shown, np.stack([made[index] for index in range(6)]))
