"""The plugin in an unmodified `melt`: no buttons, no second clip, no other times, and negative row bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Pixels
from tests.hosts.melt import Frames, Melt, read_video, write_video

pytestmark = pytest.mark.slow

FRAMES, HEIGHT, WIDTH = 10, 72, 128
INSIDE = (slice(None), slice(16, 48), slice(32, 64))
EDIT = {
    "captions": "1: a red ball", "mattes": "/mattes", "frameRange": "0-9",
    "preset": "Draft", "seed": 3, "strength": 1.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def clip(melt_folder: Path) -> Path:
    """A lossless clip of coarse noise."""
    blocks = np.random.default_rng(1).integers(0, 256, (FRAMES, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return write_video(melt_folder / "clip.mkv", blocks.repeat(8, axis=1).repeat(8, axis=2))


@pytest.fixture(scope="module")
def frames(clip: Path) -> Frames:
    return read_video(clip)


@pytest.fixture
def bridge(melt_folder: Path) -> Iterator[FakeBridge]:
    with FakeBridge(melt_folder / "bridge.sock", picture=_red_square) as bridge:
        yield bridge


def _red_square(frame: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Pixels:
    """A square that gets more blue with every frame."""
    white = int(np.iinfo(dtype).max)
    picture = np.zeros(shape, dtype)
    picture[INSIDE[1:]] = [white, 0, frame * (white // 15), white]
    return picture


def _edited(frames: Frames) -> Frames:
    edited = frames.copy()
    for frame in range(FRAMES):
        edited[frame][INSIDE[1:]] = [255, 0, frame * 17]
    return edited


def _through(melt: Melt, clip: Path, real_time: int = -1, **settings: object) -> tuple[Frames, str]:
    """What melt makes of the clip with the effect, and what it said."""
    return melt.play(clip, bridge=clip.with_name("bridge.sock"), real_time=real_time, **{**EDIT, **settings})


def test_without_a_bridge_the_clip_passes_with_a_message(melt: Melt, clip: Path, frames: Frames) -> None:
    shown, said = _through(melt, clip)
    np.testing.assert_array_equal(shown, frames)
    assert 'The bridge "/nonexistent" cannot be started' in said


@pytest.mark.parametrize("real_time", [-1, -4])
def test_analyse_then_play_back(melt: Melt, clip: Path, frames: Frames, bridge: FakeBridge, real_time: int) -> None:
    """real_time=-4 renders out of order."""
    collected, said = _through(melt, clip, real_time, mode="Analyse")
    assert "Collecting frames" in said
    assert bridge.edit.state == "done"
    assert bridge.edit.fields["preset"] == "draft"
    assert bridge.edit.fields["strength"] == "1.500"
    assert bridge.hosts[0] == "MLT"
    for frame in range(FRAMES):
        np.testing.assert_array_equal(bridge.edit.puts[frame].images["source"][..., :3], frames[frame])
    outside = np.ones((FRAMES, HEIGHT, WIDTH), bool)
    outside[INSIDE] = False
    np.testing.assert_array_equal(collected[outside], frames[outside])

    shown, said = _through(melt, clip, real_time, mode="Playback")
    np.testing.assert_array_equal(shown, _edited(frames))
    assert "MIVE shows the source" not in said


def test_a_file_is_edited_in_one_run(melt: Melt, clip: Path, frames: Frames, bridge: FakeBridge) -> None:
    shown, _ = _through(melt, clip, mode="Analyse", onMiss="Wait", media="/shots/clip.mkv")
    np.testing.assert_array_equal(shown, _edited(frames))


def test_waiting_for_what_nobody_ordered_fails_with_the_source(
    melt: Melt, clip: Path, frames: Frames, bridge: FakeBridge
) -> None:
    shown, said = _through(melt, clip, mode="Playback", onMiss="Wait")
    np.testing.assert_array_equal(shown, frames)
    assert "OfxMessageError" in said
    assert "Not analysed" in said


def test_off_is_the_clip(melt: Melt, clip: Path, frames: Frames, bridge: FakeBridge) -> None:
    shown, _ = _through(melt, clip, mode="Off")
    np.testing.assert_array_equal(shown, frames)
    assert bridge.requests == []
