"""A host whose frame numbers are not the file's, as of a clip that is trimmed before the effect."""

# ruff: noqa: F811 - fixtures of another file are used here by their names

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.editing_server import EditingServer
from tests.bridge.plugin import edit_fields
from tests.bridge.test_edit import bridge, server  # noqa: F401
from tests.hosts.link import Message, Pixels, thumbprint

from mive.media import ClipInfo, open_writer
from mive.request import FrameRange
from mive_bridge.prints import frame_shown

COUNT = 4


def moving(count: int = COUNT) -> list[Pixels]:
    """A light square on a gradient; it moves by a few pixels."""
    y, x = np.mgrid[0:90, 0:160]
    frames = []
    for number in range(count):
        frame = np.stack([x, y, x + y], axis=2) // 2 + 40
        frame[30:50, 20 + 5 * number : 40 + 5 * number] = 200
        frames.append(frame.astype(np.uint8))
    return frames


@pytest.mark.parametrize("grade", [1.0, 0.6], ids=["as it is", "darker"])
def test_a_frame_is_told_from_its_neighbours(grade: float) -> None:
    frames = moving()
    sources = {number: thumbprint(frame) for number, frame in enumerate(frames)}
    for number, frame in enumerate(frames):
        look = thumbprint((frame * grade).astype(np.uint8))
        assert frame_shown(look, number, sources) == number
        for other in sources:
            assert frame_shown(look, other, sources) == number


def test_a_frame_that_is_not_known_is_told_by_what_the_last_one_was_off_by() -> None:
    frames = moving()
    sources = {number: thumbprint(frame) for number, frame in enumerate(frames[:2])}
    look = thumbprint(frames[2])
    assert frame_shown(look, 1, sources) == 1, "nothing closer is known"
    assert frame_shown(look, 1, sources, shift=1) == 2
    assert frame_shown(thumbprint(frames[1]), 1, sources, shift=1) == 1


def test_frames_that_look_alike_are_taken_for_what_the_host_says() -> None:
    frame, rng = moving()[0].astype(int), np.random.default_rng(0)
    grains = [np.clip(frame + rng.integers(-6, 7, frame.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    sources = {number: thumbprint(grain) for number, grain in enumerate(grains)}
    assert all(frame_shown(look, number, sources) == number for look in sources.values() for number in sources)


def written(folder: Path, frames: Sequence[Pixels]) -> Path:
    """A folder of images."""
    height, width = frames[0].shape[:2]
    with open_writer(folder, ClipInfo(folder, width, height, COUNT, Fraction(24)), FrameRange(0, COUNT - 1)) as writer:
        for frame in frames:
            writer.write(frame)
    return folder


def test_a_trimmed_clip_gets_no_frame_of_another_time(
    bridge: BridgeProcess, server: EditingServer, tmp_path: Path
) -> None:
    frames = moving()
    ids = np.ones_like(frames[0])
    clip, mattes = written(tmp_path / "clip", frames), written(tmp_path / "mattes", [ids] * COUNT)
    plugin = bridge.plugin()
    fields = edit_fields(source=f"file {clip}", mattes=f"file {mattes}", frames="all")
    plugin.order(fields, server=server.address)
    assert plugin.finish(fields)["state"] == "done"
    looks = [thumbprint(frame) for frame in frames]
    for number in range(COUNT):
        assert isinstance(plugin.frame(fields, number, wanted="160x90:rgba:byte", look=looks[number]), np.ndarray)
    miss = plugin.frame(fields, 0, wanted="160x90:rgba:byte", look=looks[2])
    assert isinstance(miss, Message)
    assert miss.fields["state"] == "changed"
    assert miss.fields["text"].startswith("The host's frame 0 is frame 2 of the file.")
    assert plugin.order(fields, again=True, server=server.address).fields["state"] == "done", "nothing is made anew"
