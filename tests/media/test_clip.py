"""Reading clips: exact frames, upright, in the right colours, from any start."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from mive.errors import MediaError
from mive.media import content_hash, open_clip
from mive.media.asked import Reading
from mive.media.told import Warnings
from mive.request import FrameRange


def read(path, frames=None):
    return list(open_clip(path).read(frames))


def same(got, expected):
    return len(got) == len(expected) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("size", [(32, 24), (33, 25), (17, 40)], ids=["even", "odd", "portrait"])
def test_lossless_8_bit_video_gives_its_frames(tmp_path, noise, write_video, size):
    frames = noise(5, *size)
    path = write_video(tmp_path / "clip.mkv", frames)
    info = open_clip(path).info
    assert (info.width, info.height, info.frames, info.depth) == (*size, 5, "u8")
    assert not info.has_audio
    assert same(read(path), frames)


def test_lossless_16_bit_video_gives_its_frames(tmp_path, noise, write_video):
    frames = noise(3, dtype=np.uint16)
    path = write_video(tmp_path / "clip.mkv", frames, pixel_format="gbrp16le")
    assert open_clip(path).info.depth == "u16"
    assert same(read(path), frames)


def test_10_bit_yuv_becomes_16_bit_rgb(tmp_path, write_video):
    grey = [np.full((24, 32, 3), 40000, np.uint16)]
    path = write_video(tmp_path / "clip.mp4", grey, "libx264", "yuv420p10le")
    info = open_clip(path).info
    assert (info.depth, info.bits) == ("u16", 10)
    (frame,) = read(path)
    assert frame.dtype == np.uint16
    assert np.abs(frame.astype(int) - 40000).max() < 130  # two of 1024 code values


@pytest.mark.parametrize("first", [0, 1, 13, 47, 89])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "10", "bf": "3", "x264-params": "open-gop=1"}),
        ("mpeg4", {"g": "7", "bf": "2"}),
    ],
    ids=["h264-open-gop", "mpeg4"],
)
def test_a_range_has_the_pixels_of_the_whole(tmp_path, noise, write_video, codec, options, first):
    path = write_video(tmp_path / "clip.mp4", noise(90), codec, "yuv420p", options=options)
    whole = read(path)
    assert len(whole) == 90
    last = min(89, first + 8)
    assert same(read(path, FrameRange(first, last)), whole[first : last + 1])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".mpg"])
def test_the_count_is_exact_in_every_container(tmp_path, noise, write_video, suffix):
    codec = "mpeg2video" if suffix in (".mpg", ".ts") else "mpeg4"
    path = write_video(tmp_path / f"clip{suffix}", noise(60), codec, "yuv420p", Fraction(25), options={"bf": "2"})
    clip = open_clip(path)
    assert clip.info.frames == len(list(clip.read())) == 60
    assert clip.info.rate == 25


def test_the_count_is_exact_where_the_file_is_cut_off(tmp_path, noise, write_video):
    path = write_video(tmp_path / "clip.mkv", noise(40), "libx264", "yuv420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    clip = open_clip(path)
    assert 0 < clip.info.frames < 40
    assert len(list(clip.read())) == clip.info.frames


def damage(path, number):
    """Zero the data of one packet."""
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[number]
        start, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("number", [0, 20, 39])
def test_a_damaged_short_clip_has_the_frames_that_decode(tmp_path, noise, write_video, number):
    frames = noise(40)
    path = write_video(tmp_path / "clip.mov", frames, "png", "rgb24")
    damage(path, number)
    assert same(read(path), frames[:number] + frames[number + 1 :])


def test_a_damaged_frame_of_a_long_clip_is_named(tmp_path, noise, write_video):
    frames = noise(80)
    path = write_video(tmp_path / "clip.mov", frames, "png", "rgb24")
    damage(path, 60)
    assert same(read(path, FrameRange(61, 79)), frames[61:])
    with pytest.raises(MediaError, match=r"Frame 60 .* cannot be decoded"):
        read(path)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(15, 2)], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rational_rates_survive_the_container(tmp_path, noise, write_video, rate, suffix):
    path = write_video(tmp_path / f"clip{suffix}", noise(30), "libx264", "yuv420p", rate)
    info = open_clip(path).info
    assert info.rate == rate
    assert not info.variable_rate


def test_a_variable_rate_keeps_its_times(tmp_path, noise, write_video):
    pts = [0, 40, 120, 130, 300]
    path = write_video(
        tmp_path / "clip.mp4",
        noise(5),
        "libx264",
        "yuv420p",
        Fraction(25),
        pts=pts,
        time_base=Fraction(1, 1000),
    )
    info = open_clip(path).info
    assert info.variable_rate
    assert [info.time_of(i) * 1000 for i in range(5)] == pts
    assert len(read(path)) == 5


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotation_tags_are_honoured(tmp_path, noise, write_video, turn):
    frames = noise(2, 16, 32)
    plain = read(write_video(tmp_path / "plain.mp4", frames, "libx264", "yuv444p"))
    path = write_video(tmp_path / "turned.mp4", frames, "libx264", "yuv444p", rotation=turn)
    info = open_clip(path).info
    assert (info.width, info.height) == ((32, 16) if turn in (90, 270) else (16, 32))
    assert same(read(path), [np.rot90(frame, turn // 90) for frame in plain])


@pytest.mark.parametrize(("matrix", "name"), [(1, "709"), (6, "601"), (9, "2020")])
@pytest.mark.parametrize("full", [False, True], ids=["video-range", "full-range"])
def test_yuv_is_converted_by_its_tags(tmp_path, matrix, name, full):
    kr, kb = {"709": (0.2126, 0.0722), "601": (0.299, 0.114), "2020": (0.2627, 0.0593)}[name]
    red = np.array([200.0, 30.0, 60.0])
    luma = kr * red[0] + (1 - kr - kb) * red[1] + kb * red[2]
    cb, cr = (red[2] - luma) / (2 - 2 * kb), (red[0] - luma) / (2 - 2 * kr)
    if not full:
        luma, cb, cr = 16 + luma * 219 / 255, cb * 224 / 255, cr * 224 / 255
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=16, height=16)
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        planes = np.stack([np.full((16, 16), round(v)) for v in (luma, cb + 128, cr + 128)])
        picture = av.VideoFrame.from_ndarray(planes.astype(np.uint8), format="yuv444p")
        picture.pts = 0
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    (frame,) = read(path)
    assert np.abs(frame.astype(float) - red).max() <= 2.5  # YUV itself was rounded


@pytest.mark.parametrize(("size", "matrix"), [((64, 48), 6), ((1280, 64), 1)], ids=["sd", "hd"])
def test_untagged_yuv_is_taken_by_size(size, matrix):
    from mive.media import ColourTags

    assert ColourTags().yuv_matrix(*size) == matrix


def test_timecode_and_colour_tags_are_read(tmp_path, noise, write_video):
    path = write_video(
        tmp_path / "clip.mov",
        noise(3),
        "libx264",
        "yuv420p",
        Fraction(30000, 1001),
        tags=(9, 9, 16, 1),
        timecode="01:00:00;02",
        audio="pcm_s16le",
    )
    info = open_clip(path).info
    assert info.timecode == "01:00:00;02"
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (9, 9, 16)
    assert info.has_audio


WAYS = {
    "folder": "", "file": "shot.0999.png",
    "hashes": "shot.####.png", "one hash": "shot.#.png", "printf": "shot.%04d.png", "plain printf": "shot.%d.png",
    "ats": "shot.@@@@.png", "one at": "shot.@.png", "houdini": "shot.$F4.png", "all of its range": "shot.998-1001#.png",
}  # fmt: skip


@pytest.mark.parametrize("given", WAYS)
def test_a_sequence_can_be_named_in_many_ways(tmp_path, noise, write_image, given):
    frames = noise(4)
    for number, frame in enumerate(frames, 998):
        write_image(tmp_path / f"shot.{number:04}.png", frame)
    (tmp_path / "notes.txt").write_text("not a frame")
    path = tmp_path / WAYS[given]
    info = open_clip(path).info
    assert (info.frames, info.first_number, info.is_sequence) == (4, 998, True)
    assert same(read(path), frames)
    assert same(read(path, FrameRange(1, 2)), frames[1:3])


def test_a_range_picks_frames_and_keeps_their_numbers(tmp_path, noise, write_image):
    frames = noise(6)
    for number, frame in enumerate(frames, 998):
        if number != 999:
            write_image(tmp_path / f"shot.{number:04}.png", frame)
    for spelling in ("1000-1002####", "1000-1002@@@@", "1000-1002%04d", "1000-1001,1002#"):
        info = open_clip(tmp_path / f"shot.{spelling}.png").info
        assert (info.frames, info.first_number) == (3, 1000)
    assert same(read(tmp_path / "shot.1000-1002####.png"), frames[2:5])


@pytest.mark.parametrize("head", ["shot1-", "shot_1-2_", "me@work.", "plate-", "a[1].", "", "shot.v2_", "cost$F."])
@pytest.mark.parametrize("digits", ["####", "%04d", "0001"])
def test_whatever_stands_before_the_digits_is_part_of_the_name(tmp_path, noise, write_image, head, digits):
    check_names(tmp_path, noise, write_image, head, digits)


@pytest.mark.parametrize("head", ["take5", "take1-2", "v001"])
@pytest.mark.parametrize("digits", ["####", "%04d"])
def test_numbers_that_touch_the_digits_are_part_of_the_name(tmp_path, noise, write_image, head, digits):
    check_names(tmp_path, noise, write_image, head, digits)


def check_names(tmp_path, noise, write_image, head, digits):
    frames = noise(2)
    for number, frame in enumerate(frames, 1):
        write_image(tmp_path / f"{head}{number:04}.png", frame)
    clip = open_clip(tmp_path / f"{head}{digits}.png")
    assert (clip.info.frames, clip.info.first_number) == (2, 1)
    assert same(list(clip.read()), frames)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [("png", "uint8"), ("png", "uint16"), ("tif", "uint16"), ("dpx", "uint16"), ("exr", "float32")],
)
def test_lossless_images_give_their_pixels(tmp_path, noise, write_image, suffix, dtype):
    (frame,) = noise(1, 21, 35, np.dtype(dtype).type)
    path = write_image(tmp_path / f"still.{suffix}", frame)
    info = open_clip(path).info
    assert (info.frames, info.width, info.height) == (1, 21, 35)
    assert same(read(path), [frame])


def test_exr_headers_give_rate_and_timecode(tmp_path, noise, write_image):
    import OpenImageIO as oiio

    (frame,) = noise(1, dtype=np.float32)
    path = tmp_path / "a.0001.exr"
    spec = oiio.ImageSpec(32, 24, 3, oiio.HALF)
    spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (0x01000002, 0))
    spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (24000, 1001))
    output = oiio.ImageOutput.create(str(path))
    output.open(str(path), spec)
    output.write_image(frame)
    output.close()
    info = open_clip(path).info
    assert (info.rate, info.timecode, info.bits) == (Fraction(24000, 1001), "01:00:00:02", 16)


def test_exif_orientation_is_honoured(tmp_path, noise, write_image):
    (frame,) = noise(1, 20, 12)
    path = write_image(tmp_path / "photo.tif", frame, Orientation=6)
    assert same(read(path), [np.rot90(frame, -1)])


def test_an_alpha_channel_does_not_darken_the_picture(tmp_path, write_image):
    rgba = np.full((8, 8, 4), 200, np.uint8)
    rgba[..., 3] = 10
    path = write_image(tmp_path / "still.png", rgba, oiio__UnassociatedAlpha=1)
    assert same(read(path), [rgba[..., :3]])


def test_the_hash_knows_pixels_and_range_not_files(tmp_path, noise, write_video, write_image):
    frames = noise(4)
    video = open_clip(write_video(tmp_path / "clip.mkv", frames))
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames):
        write_image(folder / f"{number:03}.png", frame)
    images = open_clip(folder)
    assert content_hash(video) == content_hash(images)
    assert content_hash(video, FrameRange(1, 2)) == content_hash(images, FrameRange(1, 2))
    assert content_hash(video, FrameRange(1, 2)) != content_hash(video)


def test_real_footage(shared):
    clip = open_clip(shared("clips/cups/cups.mp4"))
    info = clip.info
    assert (info.width, info.height, info.frames) == (1280, 720, 24)
    assert info.rate == Fraction(30000, 1001)
    assert sum(1 for _ in clip.read(FrameRange(20, 23))) == 4


def bad_missing(folder, **_):
    return folder / "nothing.mp4", "No such file"


def bad_missing_image(folder, **_):
    return folder / "nothing.png", "no such file"


def bad_text(folder, **_):
    path = folder / "clip.mp4"
    path.write_text("this is not a video")
    return path, "Cannot open"


def bad_image(folder, **_):
    path = folder / "clip.png"
    path.write_text("this is not an image")
    return path, "Cannot open"


def bad_empty_folder(folder, **_):
    return folder, "no images"


def bad_gap(folder, noise, write_image, **_):
    for number in (1, 2, 5):
        write_image(folder / f"a.{number:04}.png", noise(1)[0])
    return folder, "missing: 3-4"


def bad_sparse(folder, noise, write_image, **_):
    for number in (1, 20241105120000):
        write_image(folder / f"a.{number:04}.png", noise(1)[0])
    return folder, "20241105119998 of its frames are missing: 2-20241105119999"


def bad_range_beyond(folder, noise, write_image, **_):
    write_image(folder / "a.0001.png", noise(1)[0])
    return folder / "a.1-3####.png", "runs from 1 to 3 but 2 of its frames are missing: 2-3"


def bad_steps(folder, noise, write_image, **_):
    write_image(folder / "a.0001.png", noise(1)[0])
    return folder / "a.1-9x2####.png", '"1-9x2" do not follow each other'


def bad_backwards(folder, noise, write_image, **_):
    write_image(folder / "a.0001.png", noise(1)[0])
    return folder / "a.9-1####.png", '"9-1" do not follow each other'


def bad_pattern(folder, **_):
    return folder / "a.2024-01-05####.png", "No files match"


def bad_two_sequences(folder, noise, write_image, **_):
    for name in ("a.001.png", "b.001.png"):
        write_image(folder / name, noise(1)[0])
    return folder, "2 sequences"


def bad_audio_only(folder, **_):
    path = folder / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    return path, "no video"


@pytest.mark.parametrize(
    "bad",
    [
        bad_missing,
        bad_missing_image,
        bad_text,
        bad_image,
        bad_empty_folder,
        bad_gap,
        bad_sparse,
        bad_range_beyond,
        bad_steps,
        bad_backwards,
        bad_pattern,
        bad_two_sequences,
        bad_audio_only,
    ],
    ids=lambda bad: bad.__name__.removeprefix("bad_"),
)
def test_what_is_no_clip_is_a_clear_error(tmp_path, noise, write_image, bad):
    path, words = bad(tmp_path, noise=noise, write_image=write_image)
    with pytest.raises(MediaError, match=words) as caught:
        open_clip(path)
    assert caught.value.expected
    assert caught.value.fix


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_told_and_stay_as_they_are(tmp_path, noise, write_image, value):
    frames = noise(3, dtype=np.float32)
    frames[1][4, 4, 0] = value
    for number, frame in enumerate(frames, 1001):
        write_image(tmp_path / f"{number:04}.exr", frame)
    warnings = Warnings()
    clip = open_clip(tmp_path, Reading(warnings=warnings))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(clip.read(), frames, strict=True))
    assert ["NaN or infinite pixels in frames 1002;" in text for text in warnings] == [True]


def test_frames_of_another_size_are_named(tmp_path, noise, write_image):
    write_image(tmp_path / "0001.png", noise(1)[0])
    write_image(tmp_path / "0002.png", noise(1, 16, 16)[0])
    with pytest.raises(MediaError, match=r"Frame 1 .*16x16"):
        read(tmp_path)


def test_a_damaged_image_is_named(tmp_path, noise, write_image):
    path = write_image(tmp_path / "0001.png", noise(1)[0])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MediaError, match=r"Cannot read .*0001\.png"):
        read(path)


def test_frames_beyond_the_end_are_an_error_at_once(tmp_path, noise, write_video):
    clip = open_clip(write_video(tmp_path / "clip.mkv", noise(3)))
    with pytest.raises(MediaError, match="has 3 frames") as caught:
        clip.read(FrameRange(1, 3))
    assert caught.value.field == "frames"
