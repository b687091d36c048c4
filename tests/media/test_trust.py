"""What a video file really holds: its picture, its alpha, its rate, whole frames; what is damaged is told."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mive.errors import MatteError, MediaError
from mive.media import open_clip, open_mattes
from mive.media.asked import Reading
from mive.media.told import Warnings
from mive.request import FrameRange, Instance

Frames = list[np.ndarray[Any, Any]]
Video = Callable[..., Path]


def told(path: Path, **reading: Any) -> tuple[int, list[str]]:
    """How many frames can be read, and what is said of them."""
    warnings = Warnings()
    clip = open_clip(path, Reading(warnings=warnings, **reading))
    return sum(1 for _ in clip.read()), list(warnings)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("tff.mp4", "libx264", "yuv420p", {"flags": "+ildct+ilme", "x264-params": "tff=1"}),
        ("bff.mkv", "libx264", "yuv420p", {"flags": "+ildct+ilme", "x264-params": "bff=1"}),
        ("field.mov", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme"}),
        ("field.ts", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme"}),
        ("pro.mov", "prores_ks", "yuv422p10le", {"flags": "+ildct"}),
        ("pal.avi", "dvvideo", "yuv420p", {}),
    ],
)
def test_interlaced_video_is_refused_with_the_way_out(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video, name: str, codec: str, pixel_format: str,
    options: dict[str, str],
) -> None:  # fmt: skip
    size = (720, 576) if codec == "dvvideo" else (64, 48)
    path = write_video(tmp_path / name, noise(2, *size), codec, pixel_format, Fraction(25), options=options)
    with pytest.raises(MediaError, match="interlaced") as caught:
        open_clip(path)
    assert "bwdif" in caught.value.fix
    assert "setfield=prog" in caught.value.fix
    with pytest.raises(MatteError, match="interlaced"):
        open_mattes(None, [matte_of(path)], open_clip_info(tmp_path, noise, write_video), FrameRange(0, 1))


def matte_of(path: Path) -> Instance:
    return Instance(id=1, caption="a thing", matte=str(path))


def open_clip_info(folder: Path, noise: Callable[..., Frames], write_video: Video) -> Any:
    return open_clip(write_video(folder / "clip.mkv", noise(2, 64, 48))).info


def test_progressive_video_of_the_same_codecs_is_read(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video
) -> None:
    for name, codec, form in (("a.mp4", "libx264", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le")):
        assert told(write_video(tmp_path / name, noise(2), codec, form)) == (2, [])


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_alpha_that_the_container_keeps_is_the_matte(tmp_path: Path, codec: str, suffix: str) -> None:
    """The colour is flat and bright, so that luma would cover everything."""
    shape = np.full((48, 64, 4), 200, np.uint8)
    shape[..., 3] = 0
    shape[8:40, 16:48, 3] = 255
    path = tmp_path / f"matte{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, width=64, height=48, options={"auto-alt-ref": "0", "crf": "4"})
        stream.pix_fmt = "yuva420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(shape, format="rgba").reformat(format="yuva420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = open_clip(path).info
    (coverage, *_) = open_mattes(None, [matte_of(path)], clip, FrameRange(0, 2))
    assert coverage[0, 2:46, 2:14].max() < 0.05
    assert coverage[0, 10:38, 18:46].min() > 0.95


def test_alpha_that_cannot_be_read_is_no_matte(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video
) -> None:
    with av.open(str(tmp_path / "m.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=24, width=32, height=24)
        stream.pix_fmt = "yuv420p"
        stream.metadata["alpha_mode"] = "1"
        for number, pixels in enumerate(noise(2)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = open_clip(tmp_path / "m.mkv").info
    with pytest.raises(MatteError, match="alpha, which cannot be read"):
        open_mattes(None, [matte_of(tmp_path / "m.mkv")], info, FrameRange(0, 1))


def write_tracks(path: Path, pictures: list[int], *, cover: bool = False, sound: bool = False) -> Path:
    """A file with a video track of each grey, and what else it is about."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=24, width=32, height=24) for _ in pictures]
        for stream, grey in zip(streams, pictures, strict=True):
            stream.pix_fmt = "bgr0"
            stream.metadata["title"] = f"grey {grey}"
        audio = container.add_stream("pcm_s16le", rate=48000) if sound else None
        if cover:
            png = av.CodecContext.create("png", "w")
            png.width, png.height, png.pix_fmt, png.time_base = 64, 64, "rgb24", Fraction(1, 24)
            (packet,) = png.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9, np.uint8), format="rgb24"))
            container.add_attachment("cover.png", "image/png", bytes(packet))
        for stream, grey in zip(streams, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), grey, np.uint8), format="rgb24")
            frame.pts = 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
            samples.sample_rate = 48000
            container.mux([*audio.encode(samples), *audio.encode(None)])
    return path


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="such as a cover"):
        open_clip(write_tracks(tmp_path / "song.mkv", [], cover=True, sound=True))
    (frame,) = open_clip(write_tracks(tmp_path / "shot.mkv", [77], cover=True, sound=True)).read()
    assert frame.shape == (24, 32, 3)
    assert (frame == 77).all()


@pytest.mark.parametrize(("layer", "grey"), [(None, 40), ("1", 40), ("2", 80), ("grey 80", 80)])
def test_a_track_can_be_picked(tmp_path: Path, layer: str | None, grey: int) -> None:
    path = write_tracks(tmp_path / "two.mkv", [40, 80])
    (frame,) = open_clip(path, Reading(layer=layer)).read()
    assert (frame == grey).all()
    with pytest.raises(MediaError, match='no video track "3"'):
        open_clip(path, Reading(layer="3"))


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "rate", "guessed"),
    [
        ("a.h264", "libx264", "yuv420p", Fraction(30), False),
        ("a.hevc", "libx265", "yuv420p", Fraction(30), False),
        ("a.m2v", "mpeg2video", "yuv420p", Fraction(30), False),
        ("a.mjpeg", "mjpeg", "yuvj420p", Fraction(25), True),
        ("a.y4m", "wrapped_avframe", "yuv420p", Fraction(30), False),
    ],
)
def test_streams_without_a_container_say_their_rate_or_it_is_a_guess(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video, name: str, codec: str, pixel_format: str,
    rate: Fraction, guessed: bool,
) -> None:  # fmt: skip
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / name, noise(4, 64, 48), codec, pixel_format, Fraction(30), options=options)
    info = open_clip(path).info
    assert (info.frames, info.rate, info.rate_guessed) == (4, rate, guessed)
    if guessed:
        said = open_clip(path, Reading(rate=Fraction(24))).info
        assert (said.rate, said.rate_guessed) == (24, False)


def test_a_rate_that_the_clip_contradicts_is_refused(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video
) -> None:
    path = write_video(tmp_path / "a.mov", noise(), "prores_ks", "yuv422p10le", Fraction(24000, 1001))
    assert open_clip(path, Reading(rate=Fraction(24000, 1001))).info.rate == Fraction(24000, 1001)
    with pytest.raises(MediaError, match=r"23\.976 frames a second by its own times, not 25") as caught:
        open_clip(path, Reading(rate=Fraction(25)))
    assert caught.value.field == "rate"


@pytest.fixture
def long_clip(tmp_path: Path, noise: Callable[..., Frames], write_video: Video) -> Path:
    return write_video(tmp_path / "ok.mp4", noise(48, 64, 48), "libx264", "yuv420p", options={"g": "12", "bf": "2"})


def spoil(path: Path, out: Path, frames: range) -> Path:
    """The file with other bytes where packets of those frames begin."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in (places[number] for number in frames):
        data[position : position + min(size, 48)] = b"\xff" * min(size, 48)
    out.write_bytes(data)
    return out


def test_frames_that_are_lost_are_told_and_the_others_keep_their_numbers(tmp_path: Path, long_clip: Path) -> None:
    path = spoil(long_clip, tmp_path / "hole.mp4", range(20, 30))
    warnings = Warnings()
    clip = open_clip(path, Reading(warnings=warnings))
    assert any("do not decode" in text for text in warnings)
    numbers = clip.info.numbers
    assert numbers is not None
    whole = list(open_clip(long_clip).read())
    read = list(clip.read())
    assert len(read) == len(numbers) == clip.info.frames < 48
    assert numbers[0] == 0
    assert numbers[-1] == 47
    assert np.array_equal(read[0], whole[0])
    assert np.array_equal(read[-1], whole[47])
    assert clip.info.rate == 24
    assert clip.info.time_of(clip.info.frames - 1) == Fraction(47, 24)
    with pytest.raises(MediaError, match="do not decode"):
        open_clip(path, Reading(warnings=Warnings(strict=True)))


def test_mattes_of_all_frames_fit_a_clip_that_lost_some(tmp_path: Path, long_clip: Path, write_image: Any) -> None:
    clip = open_clip(spoil(long_clip, tmp_path / "hole.mp4", range(20, 30))).info
    (tmp_path / "m").mkdir()
    for number in range(48):
        write_image(tmp_path / "m" / f"{number:04}.png", np.full((48, 64), number + 1, np.uint8))
    last = FrameRange(clip.frames - 1, clip.frames - 1)
    mattes = open_mattes(str(tmp_path / "m"), [Instance(id=48, caption="a thing")], clip, last)
    assert mattes.read(clip.frames - 1).all()


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4", "cut.avi", "cut.jpg"])
def test_what_is_cut_off_is_told(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video, write_image: Any, name: str
) -> None:
    if name.endswith("jpg"):
        path = write_image(tmp_path / name, noise(1, 64, 48)[0])
    else:
        options = {"movflags": "+faststart"} if name.endswith("mp4") else {}
        with av.open(str(tmp_path / name), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=24, width=64, height=48)
            stream.pix_fmt = "yuv420p"
            for number, pixels in enumerate(noise(48, 64, 48)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        path = tmp_path / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    count, said = told(path)
    assert count >= 1
    assert any("cut off" in text or "damaged" in text or "do not decode" in text for text in said), said


def test_frames_that_the_decoder_patched_up_are_told(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video
) -> None:
    options = {"g": "6", "bf": "0", "x264-params": "slices=4:threads=1"}
    path = write_video(tmp_path / "a.mp4", noise(12, 320, 240), "libx264", "yuv420p", options=options)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in packets[3::4]:
        data[position + size * 5 // 8] ^= 0x55
    path.write_bytes(data)
    count, said = told(path)
    assert count >= 9
    assert any("decode with errors" in text for text in said), said


def test_a_clip_that_is_whole_says_nothing(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Video, long_clip: Path
) -> None:
    assert told(long_clip) == (48, [])
    for name, codec, form in (
        ("a.mkv", "ffv1", "bgr0"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
    ):
        assert told(write_video(tmp_path / name, noise(), codec, form, Fraction(25))) == (6, [])


@pytest.mark.parametrize(
    ("low", "high", "told_of"), [(4, 1009, True), (64, 940, False), (64, 1009, True), (4, 940, True)]
)
@pytest.mark.parametrize("form", ["yuv422p10le", "yuv420p"])
def test_codes_beyond_white_and_black_are_told(tmp_path: Path, low: int, high: int, told_of: bool, form: str) -> None:
    bits = 10 if form.endswith("10le") else 8
    kind = "<u2" if bits == 10 else "u1"
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=64, height=48)
        stream.pix_fmt = form
        frame = av.VideoFrame(64, 48, form)
        for number, plane in enumerate(frame.planes):
            rows = np.full((plane.height, plane.line_size // (1 if bits == 8 else 2)), 1 << (bits - 1), kind)
            if number == 0:
                rows[:, :20], rows[:, 20:64] = low >> (10 - bits), high >> (10 - bits)
            plane.update(rows.tobytes())
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    _, said = told(tmp_path / "s.mkv")
    assert [("above white or below black" in text) for text in said] == ([True] if told_of else [])
