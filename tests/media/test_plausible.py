"""Mattes that are there, and are not what was meant, are told before anything is edited."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from mive.errors import MatteError
from mive.media import ClipInfo, open_mattes
from mive.media.told import Warnings
from mive.request import FrameRange, Instance

WIDTH, HEIGHT, COUNT = 64, 48, 3
CLIP = ClipInfo(Path("clip.mov"), WIDTH, HEIGHT, COUNT, Fraction(24))
ALL = FrameRange(0, COUNT - 1)
Array = np.ndarray[Any, Any]


def disc(value: float = 255, ground: float = 0, *, smooth: bool = True, at: int = 24) -> Array:
    shape = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(shape, (at, 24), 14, 255, -1, cv2.LINE_AA if smooth else cv2.LINE_8)
    return (ground + shape.astype(np.float32) / 255 * (value - ground)).astype(np.float32)


def soft(folder: Path, write_image: Any, *frames: Array) -> list[str]:
    """What is told of one instance's matte with these frames."""
    warnings = Warnings()
    for number in range(COUNT):
        pixels = frames[min(number, len(frames) - 1)]
        write_image(folder / f"{number:04}.{'exr' if pixels.dtype == np.float32 else 'png'}", pixels)
    open_mattes(None, [Instance(id=1, caption="a", matte=str(folder))], CLIP, ALL, warnings=warnings)
    return list(warnings)


def ids(folder: Path, write_image: Any, wanted: tuple[int, ...], *frames: Array) -> list[str]:
    """What is told of ID mattes with these frames."""
    warnings = Warnings()
    for number in range(COUNT):
        write_image(folder / f"{number:04}.png", frames[min(number, len(frames) - 1)])
    open_mattes(str(folder), [Instance(id=k, caption="a") for k in wanted], CLIP, ALL, warnings=warnings)
    return list(warnings)


def u8(picture: Array) -> Array:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        pytest.param([u8(disc(ground=16))], "never black", id="black of 16"),
        pytest.param([u8(disc(235, ground=16))], "never black", id="video range"),
        pytest.param([u8(disc(ground=1))], "never black", id="black of 1"),
        pytest.param([u8(disc(180))], "never white", id="white of 180"),
        pytest.param([u8(disc(235))], "never white", id="white of 235"),
        pytest.param([u8(np.full((HEIGHT, WIDTH), 255.0))], "whole frame", id="all white"),
        pytest.param([u8(disc()), u8(disc() * 0), u8(disc())], "empty in frames 1,", id="a hole in time"),
        pytest.param([np.full((HEIGHT, WIDTH), 7, np.float32) * (disc() > 0)], "beyond 1", id="depth as a matte"),
        pytest.param([u8(disc())[..., None] * np.array([1, 0, 0], np.uint8)], "colour picture", id="a red shape"),
    ],
)
def test_a_soft_matte_that_looks_wrong_is_told(
    tmp_path: Path, write_image: Any, frames: list[Array], words: str
) -> None:
    said = soft(tmp_path, write_image, *frames)
    assert any(words in text for text in said), said
    with pytest.raises(MatteError, match=words):
        open_mattes(None, [Instance(id=1, caption="a", matte=str(tmp_path))], CLIP, ALL, warnings=Warnings(strict=True))


def test_noise_of_a_lossy_codec_is_told(tmp_path: Path, write_image: Any) -> None:
    random = np.random.default_rng(1)
    noisy = [u8(np.maximum(disc(), random.integers(0, 4, (HEIGHT, WIDTH)))) for _ in range(COUNT)]
    (said,) = soft(tmp_path, write_image, *noisy)
    assert "noise of a lossy codec" in said


@pytest.mark.parametrize("kind", ["jpg", "h264", "vp9"])
def test_noise_beside_the_shape_is_told_of_files_that_lost_something(tmp_path: Path, kind: str) -> None:
    if kind == "jpg":
        for number in range(COUNT):
            cv2.imwrite(str(tmp_path / f"{number:04}.jpg"), u8(disc()), [cv2.IMWRITE_JPEG_QUALITY, 60])
        path = tmp_path
    else:
        path = tmp_path / "m.mkv"
        with av.open(str(path), "w") as container:
            codec = {"h264": "libx264", "vp9": "libvpx-vp9"}[kind]
            stream = container.add_stream(codec, rate=24, width=WIDTH, height=HEIGHT, options={"crf": "34"})
            stream.pix_fmt = "yuv420p"
            for number in range(COUNT):
                frame = av.VideoFrame.from_ndarray(u8(disc()), format="gray").reformat(format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    warnings = Warnings()
    open_mattes(None, [Instance(id=1, caption="a", matte=str(path))], CLIP, ALL, warnings=warnings)
    assert any("noise of a lossy codec" in text for text in warnings), list(warnings)


def test_an_opaque_alpha_is_told(tmp_path: Path, write_image: Any) -> None:
    rgba = np.dstack([u8(disc())] * 3 + [np.full((HEIGHT, WIDTH), 255, np.uint8)])
    said = soft(tmp_path, write_image, rgba)
    assert any("opaque everywhere" in text for text in said)


def test_a_video_matte_of_video_range_that_says_full_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=WIDTH, height=HEIGHT)
        stream.pix_fmt = "gray"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(u8(disc(235, ground=16)), format="gray")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    warnings = Warnings()
    open_mattes(None, [Instance(id=1, caption="a", matte=str(path))], CLIP, ALL, warnings=warnings)
    assert any("never black" in text for text in warnings)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([u8(disc())], id="a smooth disc"),
        pytest.param([u8(disc(smooth=False))], id="a hard one"),
        pytest.param([u8(cv2.GaussianBlur(disc(), (0, 0), 3))], id="a feathered one"),
        pytest.param([u8(disc() * 0), u8(disc()), u8(disc() * 0)], id="it comes and goes"),
        pytest.param([u8(disc(at=10)), u8(disc(at=30)), u8(disc(at=50))], id="it moves"),
        pytest.param([(disc() / 255).astype(np.float32)], id="float"),
        pytest.param([(disc() * 257).astype(np.uint16)], id="16 bits"),
        pytest.param([np.dstack([u8(disc())] * 3)], id="three equal channels"),
    ],
)
def test_a_good_matte_is_passed_in_silence(tmp_path: Path, write_image: Any, frames: list[Array]) -> None:
    assert soft(tmp_path, write_image, *frames) == []


def two(first: int, second: int, *, smooth: bool = False) -> Array:
    """Two discs that touch, as ids."""
    picture = disc(first, smooth=smooth, at=18)
    other = disc(second, smooth=smooth, at=44)
    return np.where(other > 0, other, picture)


@pytest.mark.parametrize(
    ("wanted", "frames", "words"),
    [
        pytest.param((200,), [u8(disc(200))], "seams", id="an antialiased disc"),
        pytest.param((100, 200), [u8(cv2.GaussianBlur(two(100, 200), (3, 3), 0))], "seams", id="two, smoothed"),
        pytest.param(
            (90,), [u8(cv2.resize(cv2.resize(disc(90, smooth=False), (32, 24)), (WIDTH, HEIGHT)))], "seams", id="scaled"
        ),
        pytest.param((257,), [disc(257, smooth=False).astype(np.uint16)], "multiples of 257", id="8 bits in 16"),
        pytest.param((257, 514), [two(257, 514).astype(np.uint16)], "multiples of 257", id="two of them"),
        pytest.param((255,), [u8(disc(smooth=False))], "multiples of 255", id="a mask as ids"),
        pytest.param((85, 170), [u8(two(85, 170))], "multiples of 85", id="2 bits in 8"),
        pytest.param(
            (1,), [u8(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) + 1)], "as soft mattes do", id="a gradient"
        ),
        pytest.param((1, 2), [u8(two(1, 2)), u8(disc(1, smooth=False)), u8(two(1, 2))], "lack instance 2", id="a hole"),
    ],
)
def test_id_mattes_that_look_wrong_are_told(
    tmp_path: Path, write_image: Any, wanted: tuple[int, ...], frames: list[Array], words: str
) -> None:
    said = ids(tmp_path, write_image, wanted, *frames)
    assert any(words in text for text in said), said


@pytest.mark.parametrize(
    ("wanted", "frames"),
    [
        pytest.param((1, 2), [u8(two(1, 2))], id="two"),
        pytest.param((1,), [u8(two(1, 2))], id="one of two"),
        pytest.param((3, 7), [u8(two(3, 7)), u8(two(3, 7)), u8(disc(3, smooth=False))], id="one leaves"),
        pytest.param((1000, 1003), [two(1000, 1003).astype(np.uint16)], id="large ids"),
        pytest.param((2,), [u8(np.where(np.arange(WIDTH) % 9 == 0, 2.0, disc(1, smooth=False)))], id="thin wires"),
    ],
)
def test_good_ids_are_passed_in_silence(
    tmp_path: Path, write_image: Any, wanted: tuple[int, ...], frames: list[Array]
) -> None:
    assert ids(tmp_path, write_image, wanted, *frames) == []


def test_an_id_that_was_stretched_is_found_for_those_who_ask_for_it(tmp_path: Path, write_image: Any) -> None:
    with pytest.raises(MatteError, match="257 times those"):
        ids(tmp_path, write_image, (1, 2), two(257, 514).astype(np.uint16))


@pytest.mark.parametrize("kind", ["uint", "int"])
@pytest.mark.parametrize("suffix", ["tif", "exr"])
def test_ids_of_32_bits_are_read(tmp_path: Path, kind: str, suffix: str) -> None:
    if (kind, suffix) == ("int", "exr"):
        pytest.skip("EXR has no signed samples")
    large = 100_003
    for number in range(COUNT):
        path = str(tmp_path / f"{number:04}.{suffix}")
        output = oiio.ImageOutput.create(path)
        spec = oiio.ImageSpec(WIDTH, HEIGHT, 1, oiio.TypeDesc(kind))
        spec.channelnames = ("Y",)
        assert output.open(path, spec)
        output.write_image(two(1, large)[..., None].astype(np.uint32 if kind == "uint" else np.int32))
        output.close()
    mattes = open_mattes(str(tmp_path), [Instance(id=k, caption="a") for k in (1, large)], CLIP, ALL)
    assert np.array_equal(mattes.read(0)[1], two(1, large) == large)


def test_what_was_seen_can_be_asked_for(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    for number in range(COUNT):
        write_image(tmp_path / f"{number:04}.png", u8(two(1, 2) if number else disc(1, smooth=False, at=18)))
    ((path, seen),) = open_mattes(str(tmp_path), [Instance(id=1, caption="a")], CLIP, ALL).seen
    assert path == tmp_path
    assert seen.frames[2] == [1, 2]
    assert seen.frames[1] == [0, 1, 2]
