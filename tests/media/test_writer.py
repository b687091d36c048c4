"""Writing: lossless where promised, everything of the source kept, whole or absent."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mive.errors import OutputError
from mive.media import ClipInfo, open_clip, open_mattes, open_writer, paste
from mive.media.writer import FrameWriter
from mive.request import FrameRange, Instance


def info_for(frames, rate=Fraction(24), **more):
    height, width = frames[0].shape[:2]
    depth = {"uint8": "u8", "uint16": "u16", "float32": "f32"}[str(frames[0].dtype)]
    return ClipInfo(Path("source"), width, height, len(frames), rate, depth=depth, **more)


def write(out, info, frames, first=0, codec=None):
    asked = FrameRange(first, first + len(frames) - 1)
    with open_writer(out, info, asked, codec) as writer:
        for frame in frames:
            writer.write(frame)
    return writer


def copy(source, out, asked=None, codec=None):
    clip = open_clip(source)
    asked = asked or FrameRange(0, clip.info.frames - 1)
    with open_writer(out, clip.info, asked, codec) as writer:
        for frame in clip.read(asked):
            writer.write(frame)
    return open_clip(out)


def same(got, expected):
    return len(got) == len(expected) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32], ids=["u8", "u16", "f32"])
@pytest.mark.parametrize("out", ["out.mkv", "frames", "frames/a.####.png", "exr/a.%05d.exr", "exr/a.@@@.exr"])
@pytest.mark.parametrize("size", [(32, 24), (33, 25)], ids=["even", "odd"])
def test_lossless_outputs_give_the_frames_back(tmp_path, noise, out, dtype, size):
    frames = noise(3, *size, dtype)
    if dtype == np.float32 and out.endswith(".png"):
        pytest.skip("PNG holds no float")
    write(tmp_path / out, info_for(frames), frames)
    got = list(open_clip(tmp_path / out).read())
    if out.endswith(".exr") and dtype != np.float32:
        got = [np.rint(frame * np.iinfo(dtype).max).astype(dtype) for frame in got]
    assert same(got, frames)
    assert not list(tmp_path.rglob("*.partial"))


def test_half_float_sources_stay_half(tmp_path, noise):
    frames = [f.astype(np.float16).astype(np.float32) for f in noise(2, dtype=np.float32)]
    write(tmp_path / "frames", info_for(frames, bits=16), frames)
    clip = open_clip(tmp_path / "frames")
    assert clip.info.bits == 16
    assert same(list(clip.read()), frames)


def stored(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, stream.pix_fmt


@pytest.mark.parametrize(
    ("out", "codec", "size", "dtype", "expected"),
    [
        ("a.mp4", None, (64, 48), np.uint8, ("h264", "yuv420p")),
        ("a.mp4", None, (64, 49), np.uint8, ("h264", "yuv422p")),
        ("a.mp4", None, (63, 49), np.uint8, ("h264", "yuv444p")),
        ("a.mp4", None, (64, 48), np.uint16, ("h264", "yuv420p10le")),
        ("a.hevc.mp4", None, (64, 48), np.uint8, ("hevc", "yuv420p")),
        ("a.mkv", "hevc", (64, 48), np.uint16, ("hevc", "yuv420p10le")),
        ("a.mov", None, (64, 49), np.uint8, ("prores", "yuv422p10le")),
        ("a.mov", None, (63, 49), np.uint8, ("prores", "yuv444p12le")),
        ("a.mov", "h264", (64, 48), np.uint8, ("h264", "yuv420p")),
        ("a.mkv", None, (63, 49), np.uint8, ("ffv1", "bgr0")),
        ("a.mkv", None, (64, 48), np.uint16, ("ffv1", "gbrp16le")),
    ],
)
def test_codecs_by_suffix_name_and_argument(tmp_path, noise, out, codec, size, dtype, expected):
    grey = [np.full_like(frame, np.iinfo(dtype).max // 3) for frame in noise(3, *size, dtype)]
    write(tmp_path / out, info_for(grey), grey, codec=codec)
    assert stored(tmp_path / out) == expected
    clip = open_clip(tmp_path / out)
    assert (clip.info.width, clip.info.height, clip.info.frames) == (*size, 3)
    for frame in clip.read():
        assert frame == pytest.approx(np.iinfo(frame.dtype).max / 3, rel=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001)], ids=str)
def test_rate_timecode_and_colour_are_kept(tmp_path, noise, write_video, suffix, rate):
    source = write_video(
        tmp_path / "source.mov",
        noise(12, 64, 48),
        "libx264",
        "yuv420p",
        rate,
        tags=(9, 9, 16, 1),
        timecode="01:00:59:20",
    )
    got = copy(source, tmp_path / f"out{suffix}", FrameRange(6, 11)).info
    assert (got.rate, got.frames, got.variable_rate) == (rate, 6, False)
    assert got.timecode == ("01:01:00:02" if rate == 24 else "01:00:59:26")
    assert (got.colour.primaries, got.colour.transfer) == (9, 16)
    assert got.colour.matrix == (0 if suffix == ".mkv" else 9)


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("coded_range", [1, 2], ids=["video-range", "full-range"])
def test_colours_survive_a_lossy_round_trip(tmp_path, write_video, matrix, coded_range):
    bars = np.zeros((48, 64, 3), np.uint8)
    for place, colour in enumerate([(200, 30, 60), (20, 180, 90), (40, 60, 220), (250, 250, 250)]):
        bars[:, place * 16 : place * 16 + 16] = colour
    tags = (matrix, matrix, matrix, coded_range)
    source = tmp_path / "source.mkv"
    write_video(source, [bars] * 2, "ffv1", "yuv444p", tags=tags)
    before = next(open_clip(source).read())
    after = copy(source, tmp_path / "out.mp4")
    assert after.info.colour.full_range == (coded_range == 2)
    middle = np.s_[:, 4::16]
    assert np.abs(next(after.read())[middle].astype(int) - before[middle]).max() <= 6


def test_variable_times_are_kept(tmp_path, noise, write_video):
    source = write_video(
        tmp_path / "source.mp4",
        noise(6),
        "libx264",
        "yuv420p",
        Fraction(25),
        pts=[0, 40, 120, 130, 300, 333],
        time_base=Fraction(1, 1000),
    )
    for suffix in (".mp4", ".mkv", ".mov"):
        got = copy(source, tmp_path / f"out{suffix}", FrameRange(2, 5)).info
        assert got.variable_rate
        assert [float(got.time_of(i)) for i in range(4)] == pytest.approx([0, 0.01, 0.18, 0.213])


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        found = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]
        return stream.codec_context.name, found


@pytest.mark.parametrize(
    ("audio", "suffix", "kept"),
    [
        ("aac", ".mp4", "aac"),
        ("aac", ".mkv", "aac"),
        ("aac", ".mov", "aac"),
        ("pcm_s16le", ".mov", "pcm_s16le"),
        ("pcm_s16le", ".mkv", "pcm_s16le"),
        ("adpcm_ms", ".mp4", "aac"),
    ],
)
def test_audio_is_kept_and_cut_to_the_range(tmp_path, noise, write_video, audio, suffix, kept):
    name = "source.avi" if audio == "adpcm_ms" else "source.mov"
    source = write_video(tmp_path / name, noise(48), "libx264", "yuv420p", audio=audio)
    whole = copy(source, tmp_path / f"whole{suffix}")
    assert whole.info.has_audio
    codec, found = packets(tmp_path / f"whole{suffix}")
    assert codec == kept
    assert found[-1][0] == pytest.approx(2, abs=0.1)
    if codec == audio and suffix != ".mkv":
        assert [data for _, data in found] == [data for _, data in packets(source)[1]]
    copy(source, tmp_path / f"part{suffix}", FrameRange(24, 35))
    _, part = packets(tmp_path / f"part{suffix}")
    assert part[0][0] == pytest.approx(0, abs=0.03)
    assert part[-1][0] == pytest.approx(0.5, abs=0.1)
    if codec == audio:
        originals = {data for _, data in found}
        assert all(data in originals for _, data in part)


def test_a_rotated_source_is_written_upright(tmp_path, noise, write_video):
    source = write_video(tmp_path / "source.mp4", noise(3, 32, 48), "libx264", "yuv444p", rotation=90)
    before = list(open_clip(source).read())
    after = copy(source, tmp_path / "out.mkv")
    assert (after.info.width, after.info.height) == (48, 32)
    assert same(list(after.read()), before)


def test_images_keep_the_numbers_of_their_source(tmp_path, noise):
    frames = noise(2)
    info = info_for(frames, is_sequence=True, first_number=1001)
    write(tmp_path / "numbered", replace(info, frames=8), frames, first=3)
    assert sorted(f.name for f in (tmp_path / "numbered").iterdir()) == ["1004.png", "1005.png"]
    write(tmp_path / "counted", replace(info_for(frames), frames=8), frames, first=3)
    assert sorted(f.name for f in (tmp_path / "counted").iterdir()) == ["0003.png", "0004.png"]


def test_exr_carries_rate_timecode_and_chromaticities(tmp_path, noise):
    frames = noise(3, dtype=np.float32)
    acescg = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    info = info_for(frames, Fraction(24000, 1001), timecode="10:00:00:23", chromaticities=acescg)
    write(tmp_path / "a.####.exr", replace(info, frames=9), frames[:2], first=1)
    got = open_clip(tmp_path / "a.####.exr").info
    assert (got.rate, got.timecode) == (Fraction(24000, 1001), "10:00:01:00")
    assert got.chromaticities == pytest.approx(acescg)


def test_a_folder_that_exists_keeps_its_other_files(tmp_path, noise):
    out = tmp_path / "frames"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert list(write(out, info_for(noise(2)), noise(2)).warnings) == []
    assert sorted(f.name for f in out.iterdir()) == ["0000.png", "0001.png", "notes.txt"]
    shorter = write(out, info_for(noise(1)), noise(1))
    assert ["1 images of another output" in text for text in shorter.warnings] == [True]


def test_values_that_are_clipped_are_told(tmp_path, noise):
    frames = noise(2, dtype=np.float32)
    writer = write(tmp_path / "a.mp4", info_for(frames), frames)
    assert ["clipped" in text for text in writer.warnings] == [True]


OUTS = ["a.mp4", "new/deep/a.mov", "a.mkv", "frames", "new/a.####.exr"]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_after_an_error(tmp_path, noise, out, error):
    frames = noise(5)

    def fail():
        with open_writer(tmp_path / out, info_for(frames), FrameRange(0, 4)) as writer:
            writer.write(frames[0])
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", OUTS)
def test_too_few_frames_leave_nothing(tmp_path, noise, out):
    frames = noise(5)
    with pytest.raises(OutputError, match="Only 1 of 5 frames"):  # noqa: SIM117
        with open_writer(tmp_path / out, info_for(frames), FrameRange(0, 4)) as writer:
            writer.write(frames[0])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_the_previous_result(tmp_path, noise):
    frames = noise(2)
    out = tmp_path / "a.mkv"
    write(out, info_for(frames), frames)
    with pytest.raises(RuntimeError):  # noqa: PT012, SIM117
        with open_writer(out, info_for(frames), FrameRange(0, 1)) as writer:
            writer.write(frames[1])
            raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]
    assert same(list(open_clip(out).read()), frames)


@pytest.mark.parametrize("out", ["a.mp4", "a.mkv", "frames", "a.####.exr"])
def test_a_disk_that_fills_up_is_a_clear_error(tmp_path, noise, out):
    frames = noise(8, 160, 120)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="a.*" if "a." in out else "frames") as caught:
            write(tmp_path / out, info_for(frames), frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_called_so(tmp_path, noise, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mive.base.atomic.os.fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write(tmp_path / "a.mkv", info_for(noise(2)), noise(2))
    assert list(tmp_path.iterdir()) == []


def unwritable_parent(folder):
    (folder / "file").write_text("in the way")
    return folder / "file" / "a.mp4", "Not a directory"


def a_folder_with_a_video_name(folder):
    (folder / "a.mp4").mkdir()
    return folder / "a.mp4", "is a folder"


def a_file_with_a_folder_name(folder):
    (folder / "frames").write_text("in the way")
    return folder / "frames", "is a file"


def unknown_suffix(folder):
    return folder / "a.webp", "no suffix that can be written"


def one_image_for_many_frames(folder):
    return folder / "a.png", "one image for 2 frames"


def codec_the_container_lacks(folder):
    return folder / "a.prores.mp4", "does not support"


@pytest.mark.parametrize(
    "bad",
    [
        unwritable_parent,
        a_folder_with_a_video_name,
        a_file_with_a_folder_name,
        unknown_suffix,
        one_image_for_many_frames,
        codec_the_container_lacks,
    ],
)
def test_a_bad_target_is_an_error_before_the_first_frame(tmp_path, noise, bad):
    out, words = bad(tmp_path)
    there = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=words) as caught:
        open_writer(out, info_for(noise(2)), FrameRange(0, 1))
    assert caught.value.fix
    assert sorted(tmp_path.iterdir()) == there


def test_a_forbidden_folder_is_an_error_before_the_first_frame(tmp_path, noise, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(OutputError, match="not allowed"):
        open_writer(tmp_path / "a.mp4", info_for(noise(2)), FrameRange(0, 1))


@pytest.mark.parametrize("kind", ["video", "images"])
def test_the_source_is_never_overwritten(tmp_path, noise, write_video, write_image, kind):
    if kind == "video":
        source = write_video(tmp_path / "clip.mkv", noise(2))
    else:
        source = tmp_path
        for number, frame in enumerate(noise(2)):
            write_image(tmp_path / f"{number:04}.png", frame)
    with pytest.raises(OutputError, match="is read"):
        open_writer(source, open_clip(source).info, FrameRange(0, 1))


def test_frames_of_another_shape_are_refused(tmp_path, noise):
    with open_writer(tmp_path / "a.mkv", info_for(noise(1)), FrameRange(0, 0)) as writer:
        assert isinstance(writer, FrameWriter)
        with pytest.raises(ValueError, match="shape"):
            writer.write(np.zeros((2, 2, 3), np.uint8))
        writer.write(noise(1)[0])
        with pytest.raises(ValueError, match="more than the 1 frames"):
            writer.write(noise(1)[0])


def test_real_footage_is_untouched_outside_its_mattes(tmp_path, shared):
    clip = open_clip(shared("clips/cups/cups.mp4"))
    asked = FrameRange(20, 22)
    things = [Instance(id=1, caption="a cup"), Instance(id=2, caption="a ball")]
    mattes = open_mattes(str(shared("clips/cups/mattes")), things, clip.info, asked, "exact")
    edit = np.full((clip.info.height, clip.info.width, 3), 0.25, np.float32)
    with open_writer(tmp_path / "out.mkv", clip.info, asked) as writer:
        for frame, matte in zip(clip.read(asked), mattes, strict=True):
            writer.write(paste(frame, edit, matte.sum(axis=0)))
    written = open_clip(tmp_path / "out.mkv").read()
    for before, after, matte in zip(clip.read(asked), written, mattes, strict=True):
        outside = matte.sum(axis=0) == 0
        assert np.array_equal(after[outside], before[outside])
        assert (after[~outside] == 64).all()
