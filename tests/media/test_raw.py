"""Raw frames on disk: what was written comes back sample for sample, and nothing else passes for it."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mive.errors import MatteError, MediaError
from mive.media import ClipInfo, ColourTags, Pixels, content_hash, open_clip, open_mattes, open_writer
from mive.media.raw import HEADER, write_raw
from mive.request import FrameRange, Instance

Noise = Callable[..., list[Pixels]]
DEPTHS = {"u8": np.uint8, "u16": np.uint16, "f32": np.float32}
INFO = ClipInfo(
    Path("as the client named it"), 32, 24, 6, Fraction(24000, 1001), timecode="01:00:00;02",
    colour=ColourTags(9, 9, 16, full_range=True), pixel_aspect=Fraction(4, 3), bits=8,
)  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path, noise: Noise) -> Path:
    """Six frames of noise, 8 bit."""
    write_raw(tmp_path, INFO, noise())
    return tmp_path


@pytest.mark.parametrize("depth", ["u8", "u16", "f32"])
def test_frames_come_back_sample_for_sample(tmp_path: Path, noise: Noise, depth: Any) -> None:
    frames = noise(dtype=DEPTHS[depth])
    if depth == "f32":
        frames[1][0, 0] = [np.float32(1e-45), -0.0, 65504 * 8]
    write_raw(tmp_path, replace(INFO, depth=depth), iter(frames))
    back = list(open_clip(tmp_path).read())
    assert [frame.dtype for frame in back] == [DEPTHS[depth]] * 6
    assert all(a.tobytes() == b.tobytes() for a, b in zip(back, frames, strict=True))


def test_the_facts_come_back(clip: Path) -> None:
    assert open_clip(clip).info == replace(INFO, path=clip, files=tuple(sorted(clip.glob("*.npy"))))


def test_any_range_has_the_pixels_of_the_whole(clip: Path, noise: Noise) -> None:
    frames = noise()
    for first, last in ((0, 0), (5, 5), (2, 4)):
        got = list(open_clip(clip).read(FrameRange(first, last)))
        assert np.array_equal(got, frames[first : last + 1])
    with pytest.raises(MediaError, match="not all in"):
        open_clip(clip).read(FrameRange(4, 6))


def test_it_has_the_content_of_a_lossless_video_of_the_same_frames(
    tmp_path_factory: pytest.TempPathFactory, clip: Path
) -> None:
    video, whole = tmp_path_factory.mktemp("out") / "clip.mkv", FrameRange(0, 5)
    with open_writer(video, open_clip(clip).info, whole) as writer:
        for frame in open_clip(clip).read():
            writer.write(frame)
    assert content_hash(open_clip(video)) == content_hash(open_clip(clip))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_id_mattes_keep_their_ids(tmp_path: Path, dtype: Any) -> None:
    ids = np.zeros((2, 24, 32), dtype)
    ids[:, :5], ids[1, 10:, 3:9] = 1, np.iinfo(dtype).max
    write_raw(tmp_path, replace(INFO, depth="u8" if dtype == np.uint8 else "u16"), ids)
    things = [Instance(id=number, caption="a cup") for number in (1, int(np.iinfo(dtype).max))]
    mattes = open_mattes(str(tmp_path), things, replace(INFO, frames=2), FrameRange(0, 1))
    assert mattes.files == tuple(sorted(tmp_path.glob("*.npy")))
    for index in (1, 0):
        assert np.array_equal(mattes.read(index), [ids[index] == thing.id for thing in things])


@pytest.mark.parametrize(("depth", "white"), [("u8", 255), ("u16", 65535), ("f32", 1)])
def test_soft_mattes_keep_their_coverage(tmp_path: Path, depth: Any, white: int) -> None:
    matte = np.full((1, 24, 32), white, DEPTHS[depth])
    matte[0, 2] = white / 5
    write_raw(tmp_path, replace(INFO, depth=depth), matte)
    one = Instance(id=1, caption="a cup", matte=str(tmp_path))
    (coverage,) = open_mattes(None, [one], replace(INFO, frames=1), FrameRange(0, 0))
    assert np.array_equal(coverage[0], (matte[0] / np.float32(white)).astype(np.float32))


def test_fractions_are_no_ids_and_nan_is_no_coverage(tmp_path: Path) -> None:
    write_raw(tmp_path, replace(INFO, depth="f32"), np.full((1, 24, 32), 0.5, np.float32))
    info, whole = replace(INFO, frames=1), FrameRange(0, 0)
    with pytest.raises(MatteError, match="no whole numbers"):
        open_mattes(str(tmp_path), [Instance(id=1, caption="a cup")], info, whole)
    write_raw(tmp_path, replace(INFO, depth="f32"), np.full((1, 24, 32), np.nan, np.float32))
    with pytest.raises(MatteError, match="NaN"):
        open_mattes(None, [Instance(id=1, caption="a cup", matte=str(tmp_path))], info, whole)


@pytest.mark.parametrize(
    "damage",
    [
        lambda clip: (clip / HEADER).write_text("{}"),
        lambda clip: (clip / HEADER).write_bytes(b"\xff" * 99),
        lambda clip: change(clip, width=2**40, height=2**40),
        lambda clip: change(clip, frames=10**12),
        lambda clip: change(clip, rate=[1, 0]),
        lambda clip: change(clip, depth="f64"),
        lambda clip: (clip / "00000003.npy").unlink(),
        lambda clip: (clip / "00000003.npy").rename(clip / "other.npy"),
        lambda clip: (clip / "00000003.npy").write_bytes((clip / "00000003.npy").read_bytes()[:-1]),
        lambda clip: (clip / "00000003.npy").write_bytes(b""),
        lambda clip: (clip / "00000003.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '|O'"),
        lambda clip: np.save(clip / "00000003.npy", np.zeros((24, 32, 3), np.uint16)),
        lambda clip: np.save(clip / "00000003.npy", np.zeros((24, 32, 3), np.uint8, order="F")),
        lambda clip: np.save(clip / "00000003.npy", np.array([{}] * 9), allow_pickle=True),
    ],
)
def test_a_damaged_folder_is_told(clip: Path, damage: Callable[[Path], object]) -> None:
    damage(clip)
    with pytest.raises(MediaError, match="is damaged") as caught:
        list(open_clip(clip).read())
    assert caught.value.fix


def change(clip: Path, **fields: object) -> None:
    header = json.loads((clip / HEADER).read_text())
    (clip / HEADER).write_text(json.dumps({**header, **fields}))


def test_frames_that_differ_are_refused(tmp_path: Path, noise: Noise) -> None:
    for frames in ([], noise(1, 32, 23), noise(1, dtype=np.uint16), [*noise(1), noise(1)[0][..., 0]]):
        with pytest.raises(ValueError, match="frame"):
            write_raw(tmp_path, INFO, frames)
        assert not (tmp_path / HEADER).exists()


def test_a_full_disk_says_so_and_leaves_no_clip(tmp_path: Path, noise: Noise) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_raw(tmp_path, INFO, noise())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(MediaError):
        open_clip(tmp_path)
