"""The plugin in an unmodified `melt`: no buttons, no second clip, no other times, and negative row bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Pixels
from tests.hosts.melt import CannotInstall, Melt, install
from tests.plugin.conftest import REPOSITORY

pytestmark = pytest.mark.slow

FRAMES, HEIGHT, WIDTH = 10, 72, 128
INSIDE = (slice(None), slice(16, 48), slice(32, 64))
EDIT = ("captions=1: a red ball", "mattes=/mattes", "frameRange=0-9", "preset=Draft", "seed=3", "strength=1.5")

Frames = NDArray[np.uint8]


@pytest.fixture(scope="module")
def melt(plugin: Path) -> Melt:
    try:
        melt = install(REPOSITORY / "build" / "melt")
    except CannotInstall as why:
        pytest.skip(str(why))
    melt.install_plugin(plugin.parents[2])
    return melt


@pytest.fixture(scope="module")
def clip(melt: Melt) -> Frames:
    """A lossless clip at /tmp/clip.mkv inside melt's root, ``[10, 72, 128, 3]``."""
    blocks = np.random.default_rng(1).integers(0, 256, (FRAMES, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    frames = blocks.repeat(8, axis=1).repeat(8, axis=2)
    with av.open(str(melt.temporary / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return frames


@pytest.fixture
def bridge(melt: Melt) -> Iterator[FakeBridge]:
    with FakeBridge(melt.temporary / "mive" / "bridge.sock", picture=_red_square) as bridge:
        yield bridge


def _red_square(frame: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Pixels:
    """A square that gets more blue with every frame."""
    white = int(np.iinfo(dtype).max)
    picture = np.zeros(shape, dtype)
    picture[INSIDE[1:]] = [white, 0, frame * (white // 15), white]
    return picture


def _edited(clip: Frames) -> Frames:
    edited = clip.copy()
    for frame in range(FRAMES):
        edited[frame][INSIDE[1:]] = [255, 0, frame * 17]
    return edited


def _through(melt: Melt, *settings: str, consumer: tuple[str, ...] = ()) -> tuple[Frames, str]:
    """What melt makes of the clip with the effect, and what it said."""
    effect = ("-filter", "openfx.org.mive.MultiInstanceEdit", *EDIT, *settings)
    lossless = ("vcodec=ffv1", "pix_fmt=bgr0", "mlt_image_format=rgba")
    environment = {"MIVE_BRIDGE_SOCKET": "/tmp/mive/bridge.sock", "MIVE_BRIDGE": "/nonexistent"}
    output = ("-consumer", "avformat:/tmp/out.mkv", *lossless, *consumer)
    said = melt.run("/tmp/clip.mkv", *effect, *output, environment=environment)
    with av.open(str(melt.temporary / "out.mkv")) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), said


def test_without_a_bridge_the_clip_passes_with_a_message(melt: Melt, clip: Frames) -> None:
    shown, said = _through(melt)
    np.testing.assert_array_equal(shown, clip)
    assert 'The bridge "/nonexistent" cannot be started' in said


@pytest.mark.parametrize("real_time", [-1, -4])
def test_analyse_then_play_back(melt: Melt, clip: Frames, bridge: FakeBridge, real_time: int) -> None:
    """real_time=-4 renders out of order."""
    order = (f"real_time={real_time}",)
    collected, said = _through(melt, "mode=Analyse", consumer=order)
    assert "Collecting frames" in said
    assert bridge.edit.state == "done"
    assert bridge.edit.fields["preset"] == "draft"
    assert bridge.edit.fields["strength"] == "1.500"
    assert bridge.hosts[0] == "MLT"
    for frame in range(FRAMES):
        np.testing.assert_array_equal(bridge.edit.puts[frame].images["source"][..., :3], clip[frame])
    outside = np.ones((FRAMES, HEIGHT, WIDTH), bool)
    outside[INSIDE] = False
    np.testing.assert_array_equal(collected[outside], clip[outside])

    shown, said = _through(melt, "mode=Playback", consumer=order)
    np.testing.assert_array_equal(shown, _edited(clip))
    assert "MIVE shows the source" not in said


def test_a_file_is_edited_in_one_run(melt: Melt, clip: Frames, bridge: FakeBridge) -> None:
    shown, _ = _through(melt, "mode=Analyse", "onMiss=Wait", "media=/shots/clip.mkv")
    np.testing.assert_array_equal(shown, _edited(clip))


def test_waiting_for_what_nobody_ordered_fails_with_the_source(melt: Melt, clip: Frames, bridge: FakeBridge) -> None:
    shown, said = _through(melt, "mode=Playback", "onMiss=Wait")
    np.testing.assert_array_equal(shown, clip)
    assert "OfxMessageError" in said
    assert "Not analysed" in said


def test_off_is_the_clip(melt: Melt, clip: Frames, bridge: FakeBridge) -> None:
    shown, _ = _through(melt, "mode=Off")
    np.testing.assert_array_equal(shown, clip)
    assert bridge.requests == []
