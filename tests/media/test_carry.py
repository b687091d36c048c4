"""What a source holds besides colours goes into the output, or one sentence says that it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import ImageCms

from mive.errors import OutputError
from mive.media import open_clip, open_writer
from mive.media.asked import Reading
from mive.media.mastering import mastering_of
from mive.media.origin import Origin
from mive.media.told import Warnings
from mive.request import FrameRange

Frames = list[np.ndarray[Any, Any]]
SPOT = (slice(2, 5), slice(3, 6))
"""The pixels that `edit` changes."""


def edit(source: Path, out: Path, *, layer: str | None = None, codec: Any = None, strict: bool = False) -> list[str]:
    """Set a spot to half, as an edit would, and return what is told of the output."""
    warnings = Warnings(strict=strict)
    clip = open_clip(source, Reading(layer=layer))
    whole = FrameRange(0, clip.info.frames - 1)
    with open_writer(out, clip.info, whole, codec, Origin(clip, warnings=warnings)) as writer:
        for frame in clip.read():
            changed = frame.copy()
            changed[SPOT] = 0.5 if frame.dtype.kind == "f" else np.iinfo(frame.dtype).max // 2
            writer.write(changed)
    return list(warnings)


def raw(path: Path, part: int = 0) -> tuple[oiio.ImageSpec, np.ndarray[Any, Any]]:
    """A part of an image as it is stored, past MIVE's own reader."""
    source = oiio.ImageInput.open(str(path), unassociated())
    assert source is not None
    assert source.seek_subimage(part, 0)
    spec = source.spec()
    return spec, np.array(source.read_image(part, 0, 0, spec.nchannels, oiio.DOUBLE))


def unassociated() -> oiio.ImageSpec:
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    return config


def write_exr(path: Path, parts: Sequence[dict[str, Any]], **header: Any) -> Path:
    """An EXR of parts: "channels", "kinds", and what else a spec has."""
    random = np.random.default_rng(5)
    specs = []
    for part in parts:
        channels = part["channels"]
        width, height = part.get("size", (12, 10))
        spec = oiio.ImageSpec(width, height, len(channels), oiio.HALF)
        spec.channelnames = tuple(channels)
        if "kinds" in part:
            spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in part["kinds"])
        for name in ("x", "y", "full_x", "full_y", "full_width", "full_height"):
            setattr(spec, name, part.get(name, getattr(spec, name)))
        if "name" in part:
            spec.attribute("oiio:subimagename", part["name"])
        for name, value in header.items():
            spec.attribute(name.replace("__", ":"), value)
        specs.append(spec)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs)) if len(specs) > 1 else output.open(str(path), specs[0])
    for number, spec in enumerate(specs):
        assert not number or output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(random.random((spec.height, spec.width, spec.nchannels))), output.geterror()
    output.close()
    return path


RGB = ["R", "G", "B"]


@pytest.mark.parametrize(
    ("parts", "header"),
    [
        pytest.param([{"channels": [*RGB, "A", "Z"]}], {}, id="alpha and depth"),
        pytest.param([{"channels": RGB}], {"cameraMake": "ARRI", "Artist": "x", "nuke__node_hash": "abc"}, id="header"),
        pytest.param([{"name": "rgba", "channels": RGB}, {"name": "N", "channels": ["N.X", "N.Y"]}], {}, id="parts"),
        pytest.param([{"name": "Z", "channels": ["Z"]}, {"name": "rgba", "channels": RGB}], {}, id="depth first"),
        pytest.param([{"channels": [*RGB, "id"], "kinds": ["half"] * 3 + ["uint"]}], {}, id="whole numbers of 32 bits"),
        pytest.param([{"channels": [*RGB, "P"], "kinds": ["half"] * 3 + ["float"]}], {}, id="mixed depths"),
        pytest.param(
            [{"channels": RGB, "size": (20, 16), "x": -4, "y": -3, "full_width": 12, "full_height": 10}],
            {},
            id="overscan",
        ),
        pytest.param(
            [{"channels": RGB, "x": 100, "y": 50, "full_x": 100, "full_y": 50}], {}, id="an origin that is not 0"
        ),
        pytest.param([{"channels": RGB}], {"compression": "piz"}, id="compression"),
        pytest.param([{"channels": [f"VL.Combined.{c}" for c in "RGBA"] + ["VL.Z.Z"]}], {}, id="layers"),
    ],
)
def test_an_exr_keeps_all_that_is_beside_the_edit(tmp_path: Path, parts: list[dict[str, Any]], header: Any) -> None:
    source = write_exr(tmp_path / "s.exr", parts, **header)
    out = tmp_path / "out.exr"
    assert edit(source, out) == []
    changed = 0
    for number in range(len(parts)):
        (before, old), (after, new) = raw(source, number), raw(out, number)
        for name in ("channelnames", "channelformats", "format", "x", "y", "width", "height", "full_x", "full_width"):
            assert getattr(before, name) == getattr(after, name)
        assert {a.name: a.value for a in before.extra_attribs} == {a.name: a.value for a in after.extra_attribs}
        colour = [c.rpartition(".")[2] in RGB for c in before.channelnames]
        assert np.array_equal(old[..., np.logical_not(colour)], new[..., np.logical_not(colour)])
        changed += int((old != new).any(axis=-1).sum())
    assert changed == 9


@pytest.mark.parametrize("compression", ["dwaa", "dwab", "b44", "b44a", "pxr24"])
def test_lossy_compressions_would_change_what_was_not_edited(tmp_path: Path, compression: str) -> None:
    source = write_exr(tmp_path / "s.exr", [{"channels": [*RGB, "Z"]}], compression=compression)
    edit(source, tmp_path / "out.exr")
    (_, old), (after, new) = raw(source), raw(tmp_path / "out.exr")
    assert after.get_string_attribute("compression") == "zip"
    assert int((old != new).any(axis=-1).sum()) == 9


def test_a_data_window_grows_where_the_edit_needs_it(tmp_path: Path) -> None:
    part = {"channels": RGB, "size": (4, 4), "x": 5, "y": 4, "full_width": 12, "full_height": 10}
    source = write_exr(tmp_path / "s.exr", [part])
    edit(source, tmp_path / "out.exr")
    (before,), (after,) = open_clip(source).read(), open_clip(tmp_path / "out.exr").read()
    assert (after[SPOT] == 0.5).all()
    outside = np.ones(after.shape, bool)
    outside[SPOT] = False
    assert np.array_equal(before[outside], after[outside])


def test_each_frame_keeps_its_own_header(tmp_path: Path) -> None:
    for number in (7, 8):
        path = write_exr(tmp_path / f"s.{number:04}.exr", [{"channels": RGB}], take=f"take {number}")
        assert path.exists()
    edit(tmp_path, tmp_path.parent / "kept_out")
    for number in (7, 8):
        spec, _ = raw(tmp_path.parent / "kept_out" / f"{number:04}.exr")
        assert spec.get_string_attribute("take") == f"take {number}"


@pytest.mark.parametrize(("kind", "channels"), [("uint8", 4), ("uint16", 4), ("uint8", 3)], ids=["8", "16", "rgb"])
def test_png_to_png_keeps_alpha_profile_and_text(tmp_path: Path, kind: str, channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, np.iinfo(kind).max, (10, 12, channels)).astype(kind)
    spec = oiio.ImageSpec(12, 10, channels, oiio.TypeDesc(kind))
    profile = np.frombuffer(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), np.uint8)
    spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(profile)}]"), profile)
    spec.attribute("ImageDescription", "a cup")
    spec.attribute("oiio:UnassociatedAlpha", 1)
    output = oiio.ImageOutput.create(str(tmp_path / "s.png"))
    assert output.open(str(tmp_path / "s.png"), spec)
    assert output.write_image(pixels)
    output.close()
    assert edit(tmp_path / "s.png", tmp_path / "out.png") == []
    after, new = raw(tmp_path / "out.png")
    assert after.get_string_attribute("ImageDescription") == "a cup"
    assert np.array_equal(np.array(after.getattribute("ICCProfile")), profile)
    top = np.iinfo(kind).max
    if channels == 4:
        assert np.array_equal(np.rint(new[..., -1] * top).astype(kind), pixels[..., -1])
    old = pixels[..., :3]
    same = np.rint(new[..., :3] * top).astype(kind) == old
    assert int((~same.all(axis=-1)).sum()) == 9


def test_a_grey_picture_may_get_colours_and_keeps_its_alpha(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(12, 10, 2, oiio.UINT8)
    spec.channelnames = ("Y", "A")
    spec.attribute("oiio:UnassociatedAlpha", 1)
    pixels = np.random.default_rng(1).integers(0, 255, (10, 12, 2), dtype=np.uint8)
    output = oiio.ImageOutput.create(str(tmp_path / "s.png"))
    assert output.open(str(tmp_path / "s.png"), spec)
    output.write_image(pixels)
    output.close()
    clip = open_clip(tmp_path / "s.png")
    red = np.zeros((10, 12, 3), np.uint8)
    red[..., 0] = 200
    with open_writer(tmp_path / "o.png", clip.info, FrameRange(0, 0), None, Origin(clip)) as writer:
        writer.write(red)
    _, new = raw(tmp_path / "o.png")
    assert np.array_equal(np.rint(new * 255), np.dstack([red, pixels[..., 1]]))


def write_alpha(path: Path, codec: str, pixel_format: str, count: int = 3) -> Path:
    frames = np.random.default_rng(3).integers(0, 255, (count, 48, 64, 4), dtype=np.uint8)
    frames[:, :, :30, 3], frames[:, :, 30:, 3] = 0, 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, width=64, height=48)
        stream.pix_fmt = pixel_format
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=pixel_format)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("out", ["o.mov", "o.mkv", "o"])
@pytest.mark.parametrize(("name", "codec", "form"), [("s.mov", "prores_ks", "yuva444p10le"), ("s.mkv", "ffv1", "bgra")])
def test_alpha_of_videos_goes_where_it_can(tmp_path: Path, name: str, codec: str, form: str, out: str) -> None:
    source = write_alpha(tmp_path / name, codec, form)
    said = edit(source, tmp_path / out)
    assert not any("alpha" in text.rpartition(": ")[2] for text in said)
    before, after = (list(open_clip(path).alpha(FrameRange(0, 2))) for path in (source, tmp_path / out))
    assert len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert np.abs(old / np.iinfo(old.dtype).max - new / np.iinfo(new.dtype).max).max() < 0.01


@pytest.mark.parametrize("out", ["o.mp4", "o.hevc.mp4", "o.h264.mov", "o.hevc.mkv"])
def test_alpha_that_cannot_be_kept_is_told(tmp_path: Path, out: str) -> None:
    (said,) = edit(write_alpha(tmp_path / "s.mov", "prores_ks", "yuva444p10le"), tmp_path / out)
    assert "does not carry over" in said
    assert "alpha" in said
    with pytest.raises(OutputError, match="alpha"):
        edit(tmp_path / "s.mov", tmp_path / f"strict-{out}", strict=True)
    assert not (tmp_path / f"strict-{out}").exists()


@pytest.mark.parametrize(
    ("out", "lost"),
    [
        ("o.png", ["alpha", "channels Z", "header fields (Artist)"]),
        ("o.mov", ["alpha", "channels Z", "header fields (Artist)"]),
        ("o.mkv", ["alpha", "channels Z", "header fields (Artist)"]),
        ("o.exr", []),
    ],
)
def test_one_sentence_lists_what_an_exr_loses(tmp_path: Path, out: str, lost: list[str]) -> None:
    source = write_exr(tmp_path / "s.exr", [{"channels": [*RGB, "A", "Z"]}], Artist="x")
    told = [text for text in edit(source, tmp_path / out) if "does not carry over" in text]
    assert len(told) == bool(lost)
    assert all(word in told[0] for word in lost)


@pytest.fixture
def rich(tmp_path: Path) -> Callable[[str], Path]:
    """A video with chapters, a title, a reel, subtitles, sound and a stray tag."""

    def make(suffix: str) -> Path:
        path = tmp_path / f"rich{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=24, width=64, height=48)
            stream.pix_fmt = "yuv420p"
            stream.metadata.update({"timecode": "01:00:00:00", "reel_name": "A001"})
            sound = container.add_stream("aac", rate=48000)
            container.metadata.update({"title": "My shot", "artist": "me", "stray": "1"})
            ends = [(0, 500), (500, 1000)]
            container.set_chapters(
                [
                    {"id": n, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": f"part {n}"}}
                    for n, (a, b) in enumerate(ends, 1)
                ]
            )
            for number in range(24):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
            samples.sample_rate = 48000
            container.mux([*sound.encode(samples), *sound.encode(None)])
        return path

    return make


@pytest.mark.parametrize("out", ["o.mov", "o.mp4", "o.mkv"])
@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_what_lies_beside_the_pictures_is_carried_over(rich: Any, tmp_path: Path, suffix: str, out: str) -> None:
    source = rich(suffix)
    said = " ".join(edit(source, tmp_path / out))
    with av.open(str(tmp_path / out)) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert (tags["title"], tags["artist"]) == ("My shot", "me")
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["part 1", "part 2"]
        assert len(container.streams.audio) == 1
        reels = {stream.metadata.get("reel_name") for stream in container.streams} - {None}
    if suffix == ".mov":
        assert ("A001" in reels) == (out == "o.mov") != ("reel name A001" in said)
    assert "chapters" not in said
    assert ("metadata (stray" in said.lower()) == (suffix == ".mkv" and out != "o.mkv")


def test_chapters_are_cut_to_the_range(rich: Any, tmp_path: Path) -> None:
    clip = open_clip(rich(".mov"))
    with open_writer(tmp_path / "o.mov", clip.info, FrameRange(6, 17), None, Origin(clip)) as writer:
        for frame in clip.read(FrameRange(6, 17)):
            writer.write(frame)
    with av.open(str(tmp_path / "o.mov")) as container:
        cut = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()]
    assert cut == [(0, Fraction(1, 4)), (Fraction(1, 4), Fraction(1, 2))]


def test_images_leave_out_what_only_videos_hold(rich: Any, tmp_path: Path) -> None:
    (said,) = edit(rich(".mov"), tmp_path / "frames")
    for word in ("sound", "chapters", "timecode", "reel name A001"):
        assert word in said


DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture
def hdr(tmp_path: Path, noise: Callable[..., Frames], write_video: Callable[..., Path]) -> Path:
    options = {"x265-params": f"log-level=none:repeat-headers=1:hdr10=1:master-display={DISPLAY}:max-cll=1000,400"}
    return write_video(
        tmp_path / "hdr.mp4", noise(3, 64, 48), "libx265", "yuv420p10le", options=options, tags=(9, 9, 16, 1)
    )


@pytest.mark.parametrize("out", ["o.hevc.mp4", "o.hevc.mov", "o.hevc.mkv", "o.mp4", "o.h264.mov"])
def test_mastering_metadata_reaches_the_encoders_that_take_it(hdr: Path, tmp_path: Path, out: str) -> None:
    assert edit(hdr, tmp_path / out) == []
    with av.open(str(tmp_path / out)) as container:
        frame = next(container.decode(video=0))
    assert mastering_of(frame) == (DISPLAY, "1000,400")
    assert (frame.color_primaries, frame.color_trc) == (9, 16)


@pytest.mark.parametrize("out", ["o.mov", "o.mkv", "frames"])
def test_mastering_metadata_is_told_where_it_is_lost(hdr: Path, tmp_path: Path, out: str) -> None:
    (said,) = edit(hdr, tmp_path / out)
    assert "mastering display metadata" in said
    assert "content light levels" in said


def test_png_of_hdr_says_so(hdr: Path, tmp_path: Path) -> None:
    edit(hdr, tmp_path / "frames")
    spec, _ = raw(tmp_path / "frames" / "0000.png")
    assert tuple(spec.getattribute("CICP")) == (9, 16, 0, 1)


def test_pq_of_8_bits_gets_10(tmp_path: Path, noise: Callable[..., Frames], write_video: Any) -> None:
    source = write_video(tmp_path / "s.mp4", noise(2, 64, 48), "libx264", "yuv420p", tags=(9, 9, 16, 1))
    edit(source, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert next(container.decode(video=0)).format.name == "yuv420p10le"


@pytest.mark.parametrize("out", ["o.mov", "o.prores.mkv"])
def test_full_range_becomes_what_prores_can_say(tmp_path: Path, write_video: Any, out: str) -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    source = write_video(tmp_path / "s.mp4", [ramp] * 2, "libx264", "yuvj420p", options={"qp": "0"}, tags=(1, 1, 1, 2))
    edit(source, tmp_path / out)
    before, after = next(open_clip(source).read()), next(open_clip(tmp_path / out).read())
    error = np.abs(before[20:] / 255 - after[20:] / 65535)
    assert error.max() < 0.02
    with av.open(str(tmp_path / out)) as container:
        assert container.streams.video[0].codec_context.color_range == 1


@pytest.mark.parametrize(("out", "kept"), [("o.mp4", True), ("o.mov", True), ("o.mkv", False), ("o.h264.mkv", True)])
def test_the_pixel_aspect_is_kept_or_told(tmp_path: Path, out: str, kept: bool) -> None:
    with av.open(str(tmp_path / "s.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24, width=64, height=48)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(10, 11)
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    said = edit(tmp_path / "s.mp4", tmp_path / out)
    assert (open_clip(tmp_path / out).info.pixel_aspect == Fraction(10, 11)) == kept
    assert ["pixel aspect 10/11" in text for text in said] == ([] if kept else [True])


@pytest.mark.parametrize(
    ("form", "out", "lost"),
    [
        ("yuv444p", "o.mp4", "4:4:4 colour"),
        ("yuv422p10le", "o.hevc.mp4", "4:2:2 colour"),
        ("yuv444p12le", "o.mov", "12-bit samples"),
        ("yuv422p12le", "o.mp4", "12-bit samples"),
        ("yuv444p", "o.mov", None),
        ("yuv422p10le", "o.mov", None),
        ("yuv420p", "o.mp4", None),
        ("yuv444p12le", "o.mkv", None),
    ],
)
def test_finer_colours_and_samples_are_kept_or_told(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Any, form: str, out: str, lost: str | None
) -> None:
    said = edit(write_video(tmp_path / "s.mkv", noise(2, 64, 48), "ffv1", form), tmp_path / out)
    assert [lost in text for text in said] == ([] if lost is None else [True])


@pytest.mark.parametrize(("out", "told"), [("o.mp4", True), ("o.mov", True), ("o.mkv", True), ("frames", False)])
def test_a_guessed_rate_is_told_where_an_output_states_one(
    tmp_path: Path, noise: Callable[..., Frames], write_image: Any, out: str, told: bool
) -> None:
    (tmp_path / "s").mkdir()
    for number, frame in enumerate(noise(2)):
        write_image(tmp_path / "s" / f"{number:04}.png", frame)
    said = edit(tmp_path / "s", tmp_path / out)
    assert any("--rate" in text for text in said) == told


def test_a_timecode_is_read_from_each_file_and_never_counted_by_a_guess(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for number, packed in ((1, 0x01000000), (2, 0x01000010), (3, 0x01000500)):
        spec = oiio.ImageSpec(12, 10, 3, oiio.HALF)
        spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (packed, 0))
        output = oiio.ImageOutput.create(str(folder / f"{number:04}.exr"))
        output.open(str(folder / f"{number:04}.exr"), spec)
        output.write_image(np.zeros((10, 12, 3), np.float32))
        output.close()
    edit(folder, tmp_path / "out")
    for number, packed in ((1, 0x01000000), (2, 0x01000010), (3, 0x01000500)):
        spec, _ = raw(tmp_path / "out" / f"{number:04}.exr")
        assert spec.getattribute("smpte:TimeCode")[0] == packed
        assert spec.getattribute("FramesPerSecond") is None
    clip = open_clip(folder)
    with open_writer(tmp_path / "o.mov", clip.info, FrameRange(1, 2), None, Origin(clip)) as writer:
        for frame in clip.read(FrameRange(1, 2)):
            writer.write(frame)
    assert open_clip(tmp_path / "o.mov").info.timecode == "01:00:00:10"


def test_linear_light_in_a_video_and_coded_values_in_exr_are_told(
    tmp_path: Path, noise: Callable[..., Frames], write_image: Any
) -> None:
    linear = write_image(tmp_path / "s.exr", np.full((24, 32, 3), 0.18, np.float32))
    coded = write_image(tmp_path / "s.png", noise(1)[0])
    assert any("linear light" in text for text in edit(linear, tmp_path / "o.mov"))
    assert any("linear light" in text for text in edit(coded, tmp_path / "o.exr"))
    assert edit(linear, tmp_path / "o2.exr") == edit(coded, tmp_path / "o2.png") == []


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("out", ["o.hevc.mp4", "o.hevc.mov", "o.hevc.mkv"])
def test_short_hevc_begins_at_0_each_time(
    tmp_path: Path, noise: Callable[..., Frames], write_video: Any, count: int, out: str
) -> None:
    source = write_video(tmp_path / "s.mkv", noise(count, 32, 24))
    for attempt in range(4):
        edit(source, tmp_path / f"{attempt}{out}")
        with av.open(str(tmp_path / f"{attempt}{out}")) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            rate = container.streams.video[0].time_base
        times = sorted(float(packet.pts * rate) for packet in packets)
        assert times == pytest.approx([number / 24 for number in range(count)], abs=0.002)
        assert all(abs(float(packet.dts * rate)) < 1 for packet in packets if packet.dts is not None)


def test_tiles_stay_tiles(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(64, 48, 4, oiio.HALF)
    spec.channelnames = ("R", "G", "B", "Z")
    spec.tile_width = spec.tile_height = 16
    output = oiio.ImageOutput.create(str(tmp_path / "s.exr"))
    assert output.open(str(tmp_path / "s.exr"), spec)
    assert output.write_image(np.random.default_rng(2).random((48, 64, 4)))
    output.close()
    assert edit(tmp_path / "s.exr", tmp_path / "o.exr") == []
    (_, old), (after, new) = raw(tmp_path / "s.exr"), raw(tmp_path / "o.exr")
    assert after.tile_width == 16
    assert int((old != new).any(axis=-1).sum()) == 9
