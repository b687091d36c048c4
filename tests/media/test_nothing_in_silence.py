"""For any small clip with any tags: what the output says, read by other readers, is the source's, or it was told."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mive.media import open_clip, open_writer
from mive.media.asked import Reading
from mive.media.origin import Origin
from mive.media.told import Warnings
from mive.request import FrameRange

OIIOTOOL = Path(sys.executable).with_name("oiiotool")
CODECS = {
    "mkv": ("ffv1", "bgra", "bgr0"),
    "mov": ("prores_ks", "yuva444p10le", "yuv422p10le"),
    "mp4": ("libx264", "", "yuv420p"),
}
COUNT, WIDTH, HEIGHT = 2, 32, 24


@dataclass(frozen=True)
class Shot:
    """A clip to be made, and what is to be made of it."""

    kind: str
    out: str
    rate: Fraction
    timecode: str | None
    aspect: Fraction
    alpha: bool
    tags: tuple[int, int]
    title: bool
    seed: int


SHOTS = st.builds(
    Shot,
    kind=st.sampled_from(["mkv", "mov", "mp4", "png", "exr"]),
    out=st.sampled_from(["o.mp4", "o.mov", "o.mkv", "o.hevc.mov", "frames", "f/o.####.exr", "f/o.####.png"]),
    rate=st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001)]),
    timecode=st.sampled_from([None, "01:00:00:00", "10:11:12:13"]),
    aspect=st.sampled_from([Fraction(1), Fraction(10, 11), Fraction(2)]),
    alpha=st.booleans(),
    tags=st.sampled_from([(1, 1), (9, 16), (9, 18), (12, 13)]),
    title=st.booleans(),
    seed=st.integers(0, 3),
)


def frames_of(shot: Shot) -> np.ndarray[Any, Any]:
    """Smooth pictures ``[N, H, W, 4]`` whose alpha is used."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [128 + 80 * np.sin((x * (k + 1) + y + 5 * shot.seed) / 9) for k in range(3)]
    picture = np.stack([*waves, np.where(x < 16, 0, 255)], axis=-1)
    return np.stack([picture] * COUNT).astype(np.uint8)


def make(shot: Shot, folder: Path) -> Path:
    """The clip as a file or folder."""
    return make_images(shot, folder) if shot.kind in ("png", "exr") else make_video(shot, folder)


def make_video(shot: Shot, folder: Path) -> Path:
    path = folder / f"s.{shot.kind}"
    codec, with_alpha, without = CODECS[shot.kind]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=shot.rate, width=WIDTH, height=HEIGHT)
        stream.pix_fmt = with_alpha if shot.alpha and with_alpha else without
        context = stream.codec_context
        context.sample_aspect_ratio = shot.aspect
        context.color_primaries, context.color_trc = shot.tags
        if shot.timecode:
            stream.metadata["timecode"] = shot.timecode
        if shot.title:
            container.metadata["title"] = "a shot"
        for number, pixels in enumerate(frames_of(shot)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=stream.pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_images(shot: Shot, folder: Path) -> Path:
    (folder / "s").mkdir()
    for number, pixels in enumerate(frames_of(shot), 1001):
        spec = oiio.ImageSpec(WIDTH, HEIGHT, 4 if shot.alpha else 3, oiio.UINT8 if shot.kind == "png" else oiio.HALF)
        spec.attribute("PixelAspectRatio", float(shot.aspect))
        spec.attribute("oiio:UnassociatedAlpha", int(shot.kind == "png"))
        if shot.title:
            spec.attribute("ImageDescription", "a shot")
        if shot.kind == "exr":
            rate = (shot.rate.numerator, shot.rate.denominator)
            spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), rate)
        path = folder / "s" / f"s.{number}.{shot.kind}"
        output = oiio.ImageOutput.create(str(path))
        assert output.open(str(path), spec)
        output.write_image(np.ascontiguousarray(pixels[..., : spec.nchannels]))
        output.close()
    return folder / "s"


def says(out: Path) -> dict[str, str]:
    """What another reader says of an output: OpenImageIO's program of images, bare FFmpeg of videos."""
    if out.suffix in (".mp4", ".mov", ".mkv"):
        with av.open(str(out)) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            return {
                "rate": str(stream.average_rate),
                "alpha": str(any(part.is_alpha for part in frame.format.components)),
                "aspect": str(stream.sample_aspect_ratio or 1),
                "timecode": next((s.metadata["timecode"] for s in container.streams if "timecode" in s.metadata), "")
                or {k.lower(): v for k, v in container.metadata.items()}.get("timecode", "")
                or next((v for k, v in stream.metadata.items() if k.lower() == "timecode"), ""),
                "tags": f"{int(frame.color_primaries)} {int(frame.color_trc)}",
                "title": container.metadata.get("title", ""),
            }
    file = min((out if out.is_dir() else out.parent).glob("*.[pe][nx][gr]"))
    text = subprocess.run([OIIOTOOL, "--info", "-v", file], check=True, capture_output=True, text=True).stdout
    field = {name: value.strip(' "') for name, value in re.findall(r"^\s+([\w:]+): (.*)$", text, re.MULTILINE)}
    return {
        "rate": field.get("FramesPerSecond", ""),
        "alpha": str("4 channel" in text),
        "aspect": field.get("PixelAspectRatio", "1"),
        "timecode": field.get("smpte:TimeCode", ""),
        "tags": " ".join(field.get("CICP", "").replace(",", " ").split()[:2]),
        "title": field.get("ImageDescription", ""),
    }


@pytest.mark.skipif(not OIIOTOOL.exists(), reason="this OpenImageIO comes without oiiotool")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shot=SHOTS)
def test_what_an_output_says_is_the_sources_or_was_told(tmp_path_factory: pytest.TempPathFactory, shot: Shot) -> None:
    folder = tmp_path_factory.mktemp("shot")
    source, out, warnings = make(shot, folder), folder / "out" / shot.out, Warnings()
    clip = open_clip(source, Reading(warnings=warnings))
    with open_writer(out, clip.info, FrameRange(0, COUNT - 1), None, Origin(clip, (source,), warnings)) as writer:
        for frame in clip.read():
            writer.write(frame)
    found, told = says(out), " ".join(text.rpartition(str(source))[2] for text in warnings)
    video, images = out.suffix in (".mp4", ".mov", ".mkv"), shot.kind in ("png", "exr")
    if video:
        assert found["rate"] == str(shot.rate) or "--rate" in " ".join(warnings)
    if shot.alpha and shot.kind != "mp4":
        assert found["alpha"] == "True" or "alpha" in told
    assert float(Fraction(found["aspect"])) == pytest.approx(float(clip.info.pixel_aspect), 1e-3) or "aspect" in told
    if images:
        assert not shot.title or found["title"] == "a shot" or "ImageDescription" in told
        return
    assert found["timecode"] == (shot.timecode or "") or "timecode" in told
    assert not shot.title or found["title"] == "a shot" or "title" in told
    if "exr" not in out.name:
        tags = f"{int(clip.info.colour.primaries)} {int(clip.info.colour.transfer)}"
        assert found["tags"] in (tags, "") if tags in ("1 13", "2 2") else found["tags"] == tags
    else:
        assert "linear light" in " ".join(warnings)
