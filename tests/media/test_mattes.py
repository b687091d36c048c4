"""Mattes: ids, coverage, layers, and what does not fit its clip."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mive.errors import MatteError
from mive.media import ClipInfo, open_clip, open_mattes
from mive.request import FrameRange, Instance

WIDTH, HEIGHT, COUNT = 16, 12, 4
CLIP = ClipInfo(Path("clip.mp4"), WIDTH, HEIGHT, COUNT, Fraction(24))
ALL = FrameRange(0, COUNT - 1)


def things(*ids, **mattes):
    return [Instance(id=i, caption="a thing", matte=mattes.get(f"m{i}")) for i in ids]


def id_frames(dtype=np.uint8, count=COUNT, second=2):
    """Instance 1 stands on the left; the second moves right and is gone in the last frame."""
    frames = np.zeros((count, HEIGHT, WIDTH), dtype)
    frames[:, 2:6, 1:5] = 1
    for number in range(count - 1):
        frames[number, 6:10, 4 + number : 8 + number] = second
    return list(frames)


def expected(frames, *ids):
    return [np.stack([(frame == i).astype(np.float32) for i in ids]) for frame in frames]


def check(mattes, wanted):
    got = list(mattes)
    assert len(got) == len(wanted) == len(mattes)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == np.float32
        assert np.array_equal(a, b)


def write_palette(path, indices):
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1, width=WIDTH, height=HEIGHT)
        stream.pix_fmt = "pal8"
        palette = np.random.default_rng(1).integers(0, 255, (256, 4), np.uint8)
        frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("kind", ["8-bit", "16-bit", "palette", "rgb", "exr", "video", "video-16-bit"])
def test_id_mattes_of_every_kind(tmp_path, write_image, write_video, kind):
    wide = kind in ("16-bit", "video-16-bit")
    second = 1000 if wide else 2
    frames = id_frames(np.uint16 if wide else np.uint8, second=second)
    path = tmp_path
    if kind.startswith("video"):
        pixel_format = "gray16le" if wide else "gray"
        path = write_video(tmp_path / "ids.mkv", frames, pixel_format=pixel_format)
    for number, frame in enumerate(frames):
        name = tmp_path / f"{number:04}"
        if kind == "palette":
            write_palette(name.with_suffix(".png"), frame)
        elif kind == "rgb":
            write_image(name.with_suffix(".png"), frame[..., None].repeat(3, 2))
        elif kind == "exr":
            write_image(name.with_suffix(".exr"), frame.astype(np.float32))
        elif not kind.startswith("video"):
            write_image(name.with_suffix(".png"), frame)
    mattes = open_mattes(str(path), things(1, second), CLIP, ALL, "exact")
    assert mattes.ids == (1, second)
    check(mattes, expected(frames, 1, second))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_soft_edges_are_kept(tmp_path, write_image, dtype):
    top = np.iinfo(dtype).max
    luma = np.linspace(0, top, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(dtype)
    for number in range(COUNT):
        write_image(tmp_path / f"{number:04}.png", luma)
    mattes = open_mattes(None, things(7, m7=str(tmp_path)), CLIP, ALL, "exact")
    check(mattes, [(luma / np.float32(top)).astype(np.float32)[None]] * COUNT)


def test_alpha_is_the_matte_where_it_is_used(tmp_path, write_image):
    rgba = np.full((HEIGHT, WIDTH, 4), 90, np.uint8)
    rgba[..., 3] = 255
    rgba[:4, :, 3] = 51
    still = ClipInfo(Path("x"), WIDTH, HEIGHT, 1, Fraction(24))
    path = write_image(tmp_path / "a.png", rgba, oiio__UnassociatedAlpha=1)
    (matte,) = open_mattes(None, things(1, m1=str(path)), still, FrameRange(0, 0), "exact")
    assert matte[0, 0, 0] == pytest.approx(0.2)
    assert matte[0, 8, 0] == 1

    rgba[..., 3] = 255
    path = write_image(tmp_path / "b.png", rgba, oiio__UnassociatedAlpha=1)
    (matte,) = open_mattes(None, things(1, m1=str(path)), still, FrameRange(0, 0), "exact")
    assert matte == pytest.approx(90 / 255)


def test_a_video_can_be_one_instances_matte(tmp_path, write_video):
    white = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    white[3:9, 3:9] = 255
    path = write_video(tmp_path / "matte.mov", [white] * COUNT, "prores_ks", "yuv444p10le")
    mattes = open_mattes(None, things(1, m1=str(path)), CLIP, ALL, "exact")
    for matte in mattes:
        assert matte[0] == pytest.approx(white[..., 0] / 255, abs=0.05)


def test_the_later_instance_lies_on_top(tmp_path, write_image):
    still = ClipInfo(Path("x"), WIDTH, HEIGHT, 1, Fraction(24))
    for name, value in (("a", 255), ("b", 102)):
        write_image(tmp_path / f"{name}.png", np.full((HEIGHT, WIDTH), value, np.uint8))
    paths = {"m1": str(tmp_path / "a.png"), "m2": str(tmp_path / "b.png")}
    (below,) = open_mattes(None, things(1, 2, **paths), still, FrameRange(0, 0), "exact")
    assert below[:, 0, 0] == pytest.approx([0.6, 0.4])
    (above,) = open_mattes(None, things(2, 1, **paths), still, FrameRange(0, 0), "exact")
    assert above[:, 0, 0] == pytest.approx([0, 1])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(1, 255), min_size=1, max_size=5))
def test_layers_never_add_up_to_more_than_one(tmp_path, write_image, values):
    still = ClipInfo(Path("x"), WIDTH, HEIGHT, 1, Fraction(24))
    paths = {}
    for place, value in enumerate(values, 1):
        path = tmp_path / f"matte-{place}.png"
        write_image(path, np.full((HEIGHT, WIDTH), value, np.uint8))
        paths[f"m{place}"] = str(path)
    ids = range(1, len(values) + 1)
    (matte,) = open_mattes(None, things(*ids, **paths), still, FrameRange(0, 0), "exact")
    assert matte.sum(0).max() <= 1 + 1e-6
    assert matte.min() >= 0


def test_mattes_of_the_range_or_of_the_clip(tmp_path, write_image):
    frames = id_frames()
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder, chosen in ((whole, frames), (part, frames[1:3])):
        folder.mkdir()
        for number, frame in enumerate(chosen, 1001):
            write_image(folder / f"m.{number}.png", frame)
    asked = FrameRange(1, 2)
    for folder in (whole, part):
        mattes = open_mattes(str(folder), things(1, 2), CLIP, asked, "exact")
        check(mattes, expected(frames[1:3], 1, 2))
        assert np.array_equal(mattes.read(2), expected(frames[2:3], 1, 2)[0])
        with pytest.raises(IndexError):
            mattes.read(3)


def test_own_mattes_and_id_mattes_together(tmp_path, write_image):
    frames = id_frames()
    for number, frame in enumerate(frames):
        write_image(tmp_path / f"ids.{number:04}.png", frame)
        write_image(tmp_path / f"own.{number:04}.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    own = things(9, 1, m9=str(tmp_path / "own.####.png"))
    matte = open_mattes(str(tmp_path / "ids.####.png"), own, CLIP, ALL, "exact").read(0)
    assert np.array_equal(matte[1], frames[0] == 1)
    assert np.array_equal(matte[0], frames[0] != 1)


@pytest.mark.parametrize("count", [1, 2, 7], ids=["single", "shorter", "longer"])
def test_another_length_is_an_error_unless_fitted(tmp_path, write_image, count):
    first = id_frames()[0]
    for number in range(count):
        write_image(tmp_path / f"{number:04}.png", np.roll(first, number, axis=1))
    wrong = f"has {count} frames, the clip 4" if count > COUNT else f"the frames {count}-3 of the clip have none"
    with pytest.raises(MatteError, match=wrong) as caught:
        open_mattes(str(tmp_path), things(1, 2), CLIP, ALL, "exact")
    assert "--matte-fit fit" in caught.value.fix
    held = [np.roll(first, min(number, count - 1), axis=1) for number in range(COUNT)]
    check(open_mattes(str(tmp_path), things(1, 2), CLIP, ALL, "fit"), expected(held, 1, 2))


def test_another_size_is_an_error_unless_fitted(tmp_path, write_image):
    small = [frame[::2, ::2] for frame in id_frames()]
    for number, frame in enumerate(small):
        write_image(tmp_path / f"ids.{number:04}.png", frame)
        write_image(tmp_path / f"own.{number:04}.png", (frame == 1).astype(np.uint8) * 255)
    ids, own = str(tmp_path / "ids.####.png"), str(tmp_path / "own.####.png")
    with pytest.raises(MatteError, match="is 8x6 pixels, the clip 16x12") as caught:
        open_mattes(ids, things(1), CLIP, ALL, "exact")
    assert "--matte-fit fit" in caught.value.fix
    doubled = [frame.repeat(2, 0).repeat(2, 1) for frame in small]
    check(open_mattes(ids, things(1, 2), CLIP, ALL, "fit"), expected(doubled, 1, 2))
    soft = open_mattes(None, things(1, m1=own), CLIP, ALL, "fit").read(0)
    assert soft.shape == (1, HEIGHT, WIDTH)
    assert ((soft > 0) & (soft < 1)).any()


def test_one_frame_of_another_size_shows_before_the_edit(tmp_path, write_image):
    frames = id_frames()
    for number, frame in enumerate(frames[:3]):
        write_image(tmp_path / f"{number:04}.png", frame)
    write_image(tmp_path / "0003.png", frames[3][:8])
    with pytest.raises(MatteError, match="16x8"):
        open_mattes(str(tmp_path), things(1), CLIP, ALL, "exact")


def test_an_id_that_never_occurs_lists_those_that_do(tmp_path, write_image):
    for number, frame in enumerate(id_frames()):
        write_image(tmp_path / f"{number:04}.png", frame)
    with pytest.raises(MatteError, match=r"Instance 5 never occurs.*ids that are there: 1, 2"):
        open_mattes(str(tmp_path), things(1, 5), CLIP, ALL, "exact")


def test_an_empty_matte_of_its_own_is_an_error(tmp_path, write_image):
    for number in range(COUNT):
        write_image(tmp_path / f"{number:04}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(MatteError, match="empty in all of frames 0-3"):
        open_mattes(None, things(1, m1=str(tmp_path)), CLIP, ALL, "exact")


def no_file(folder, **_):
    return folder / "nothing", "No such file"


def a_jpeg(folder, write_image, **_):
    for number, frame in enumerate(id_frames()):
        write_image(folder / f"{number:04}.jpg", frame)
    return folder, "JPEG"


def colours(folder, noise, write_image, **_):
    for number, frame in enumerate(noise(COUNT, WIDTH, HEIGHT)):
        write_image(folder / f"{number:04}.png", frame)
    return folder, "colour picture"


def fractions(folder, write_image, **_):
    for number in range(COUNT):
        write_image(folder / f"{number:04}.exr", np.full((HEIGHT, WIDTH), 0.5, np.float32))
    return folder, "no whole numbers"


def lossy_video(folder, noise, write_video, **_):
    frames = noise(COUNT, WIDTH, HEIGHT)
    return write_video(folder / "ids.mp4", frames, "libx264", "yuv420p"), "inexact values"


@pytest.mark.parametrize("bad", [no_file, a_jpeg, colours, fractions, lossy_video])
def test_what_is_no_id_matte_is_a_clear_error(tmp_path, noise, write_image, write_video, bad):
    path, words = bad(tmp_path, noise=noise, write_image=write_image, write_video=write_video)
    with pytest.raises(MatteError, match=words) as caught:
        open_mattes(str(path), things(1), CLIP, ALL, "exact")
    assert caught.value.field == "mattes"
    assert caught.value.fix


def test_an_instance_without_any_matte_is_an_error():
    with pytest.raises(MatteError, match="Instance 3 has no matte"):
        open_mattes(None, things(3), CLIP, ALL, "exact")


def test_real_mattes_where_one_instance_disappears(shared):
    info = open_clip(shared("clips/cups/cups.mp4")).info
    folder = str(shared("clips/cups/mattes"))
    mattes = open_mattes(folder, things(1, 2, 3, 4), info, FrameRange(20, 23), "exact")
    areas = [matte.sum(axis=(1, 2)) for matte in mattes]
    assert areas[0][1] > 0
    assert areas[-1][1] == 0
    assert all(area[[0, 2, 3]].min() > 0 for area in areas)


def test_what_mattes_take_is_known_before_they_are_read(tmp_path: Path) -> None:
    """256 instances of UHD would take 17 GB; nothing of them is read to find out."""
    uhd = replace(CLIP, width=3840, height=2160)
    many = [Instance(id=number, caption="a cup") for number in range(1, 257)]
    with pytest.raises(MatteError, match=r"256 instances take 17\.0 GB") as caught:
        open_mattes(str(tmp_path / "nothing is there"), many, uhd, ALL, "fit", 2 << 30)
    assert caught.value.field == "instances"


def test_one_large_matte_is_refused_by_its_header(tmp_path: Path) -> None:
    """A few kilobytes on the disk that would be read into gigabytes."""
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((6000, 6000), 255, np.uint8))
    with pytest.raises(MatteError, match=r"large\.png take 0\.9 GB") as caught:
        open_mattes(None, things(1, m1=str(path)), CLIP, ALL, "fit", 500 << 20)
    assert caught.value.field == "instances[0].matte"
    assert open_mattes(None, things(1, m1=str(path)), CLIP, ALL, "fit", 1 << 30).read(0).shape[0] == 1


def test_mattes_take_no_more_than_is_said(tmp_path: Path) -> None:
    path = tmp_path / "full.png"
    cv2.imwrite(str(path), np.full((540, 960), 255, np.uint8))
    hd = replace(CLIP, width=960, height=540)
    own = {f"m{number}": str(path) for number in range(1, 33)}
    tracemalloc.start()
    mattes = open_mattes(None, things(*range(1, 33), **own), hd, FrameRange(0, 0), "fit")
    for _ in range(2):
        mattes.read(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * (8 + 4) * 960 * 540, "what open_mattes counts for 32 instances with stills of their own"


def test_linked_ids_are_one_instance_with_what_it_has_of_its_own(tmp_path, write_image):
    """A thing and its reflection, or a soft matte and the glow around it."""
    frames = id_frames()
    (tmp_path / "ids").mkdir()
    for number, frame in enumerate(frames):
        write_image(tmp_path / "ids" / f"{number:04}.png", frame)
    soft = np.zeros((HEIGHT, WIDTH), np.uint8)
    soft[4:8, 10:14] = 128
    write_image(tmp_path / "own.png", soft)
    linked = [Instance(id=1, caption="a thing", linked=(2,))]
    check(open_mattes(str(tmp_path / "ids"), linked, CLIP, ALL), [(f > 0).astype(np.float32)[None] for f in frames])
    both = [Instance(id=9, caption="a thing", matte=str(tmp_path / "own.png"), linked=(2,))]
    wanted = [np.maximum(f == 2, soft / np.float32(255)).astype(np.float32)[None] for f in frames]
    check(open_mattes(str(tmp_path / "ids"), both, CLIP, ALL, "fit"), wanted)
    with pytest.raises(MatteError, match=r"Instance 7 never occurs"):
        open_mattes(str(tmp_path / "ids"), [Instance(id=1, caption="a thing", linked=(7,))], CLIP, ALL)
