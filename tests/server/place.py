"""A server's data folder, and what its client Anna sends there."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.server.fakes import FakeClock

from mive.media import ClipInfo, ColourTags, Pixels, open_writer
from mive.request import FrameRange
from mive.server.inputs import Inputs
from mive.server.raw_inputs import InputLimits
from mive.server.regions import Region, Regions
from mive.server.uploads import Uploads
from mive.server.work import Call
from mive.v1 import media_pb2
from mive.wire.chunks import CHUNK_BYTES, upload_id_of
from mive.wire.formats import FrameFormat, format_to_message, pack
from mive.wire.request import Source
from mive.wire.runs import encode_runs

ANNA, BEN = "a1" * 32, "b2" * 32
WIDTH, HEIGHT, COUNT = 16, 12, 3
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere shared memory cannot be shrunk or listed")


class Place:
    """A server's data folder, and its client Anna."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.uploads = Uploads(
            folder / "uploads", upload_bytes=1 << 30, owner_bytes=0, keep_seconds=60, clock=clock, steady=clock
        )
        self.regions = Regions(folder / "regions", limit_bytes=1 << 28, owner_regions=9)
        self.inputs = self.server()

    def server(self, roots: tuple[Path, ...] | None = None, **limits: Any) -> Inputs:
        """The inputs as after another start of the server."""
        folder, allowed = self.folder / "inputs", InputLimits(**limits)
        return Inputs(folder, self.uploads, self.regions, roots=roots, limits=allowed, clock=self.clock)

    def upload(self, data: bytes, owner: str = ANNA) -> str:
        with self.uploads.begin(owner, upload_id_of(data), len(data), 0) as writer:
            for offset in range(0, 0 if writer.state.complete else len(data), CHUNK_BYTES):
                writer.write(offset, data[offset : offset + CHUNK_BYTES])
            writer.finish()
        return upload_id_of(data)

    def files(self, files: dict[str, bytes], owner: str = ANNA) -> media_pb2.UploadedFiles:
        uploaded = [media_pb2.UploadedFile(upload_id=self.upload(files[name], owner), name=name) for name in files]
        return media_pb2.UploadedFiles(files=uploaded)

    def region(self, data: bytes, owner: str = ANNA) -> tuple[Region, media_pb2.RegionSlice]:
        region = self.regions.open(owner, len(data) + 100)
        place = media_pb2.RegionSlice(region_id=region.region_id, offset=100, size=len(data))
        self.regions.write(owner, place, data)
        return region, place

    def name(self, source: Source, field: str | None = None, owner: str = ANNA) -> Path:
        return Path(self.inputs.name_source(owner, Call())(source, field or "clip"))

    def staged(self) -> list[str]:
        root = self.folder / "inputs"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def noise(layout: FrameFormat, count: int = COUNT) -> list[Pixels]:
    random = np.random.default_rng(0)
    dtype = layout.dtype
    if dtype in (np.float16, np.float32):
        return [random.normal(size=layout.shape).astype(dtype) for _ in range(count)]
    return [random.integers(0, np.iinfo(dtype).max, layout.shape, dtype, endpoint=True) for _ in range(count)]


def frame_format(**changes: Any) -> FrameFormat:
    fields = {"width": WIDTH, "height": HEIGHT, "channels": 3, "pixel_format": "u8", "colour": ColourTags(1, 1, 13)}
    return FrameFormat(**{**fields, **changes})


def raw_frames(layout: FrameFormat, count: int = COUNT, **where: Any) -> media_pb2.RawFrames:
    return media_pb2.RawFrames(format=format_to_message(layout), count=count, **where)


def raw_clip(frames: media_pb2.RawFrames, **changes: Any) -> media_pb2.ClipSource:
    fields = {"rate": media_pb2.Rational(numerator=24000, denominator=1001), "timecode": "01:00:00;02"} | changes
    return media_pb2.ClipSource(frames=media_pb2.RawClip(frames=frames, **fields))


def some_clip(place: Place, owner: str = ANNA, **changes: Any) -> media_pb2.ClipSource:
    """Three frames of 8 bit in one upload."""
    layout = frame_format()
    data = b"".join(pack(frame, layout) for frame in noise(layout))
    uploads = media_pb2.UploadedBytes(upload_ids=[place.upload(data, owner)])
    return raw_clip(raw_frames(layout, uploads=uploads), **changes)


def a_video(path: Path) -> Path:
    info = ClipInfo(path, WIDTH, HEIGHT, COUNT, Fraction(24))
    with open_writer(path, info, FrameRange(0, COUNT - 1)) as writer:
        for frame in noise(frame_format()):
            writer.write(frame)
    return path


def ids(dtype: Any = np.uint8) -> list[Pixels]:
    frames = np.zeros((COUNT, HEIGHT, WIDTH), dtype)
    frames[:, :4], frames[:, 6:, 3:9] = 1, 200
    return list(frames)


def matte_sources(place: Place, frames: list[Pixels]) -> dict[str, media_pb2.MatteSource]:
    layout = frame_format(channels=1, pixel_format="u8" if frames[0].dtype == np.uint8 else "u16", colour=None)
    data = b"".join(pack(frame, layout) for frame in frames)
    uploads = media_pb2.UploadedBytes(upload_ids=[place.upload(data)])
    runs = [place.upload(encode_runs(part).SerializeToString()) for part in (frames[:1], frames[1:])]
    return {
        "uploads": media_pb2.MatteSource(frames=raw_frames(layout, uploads=uploads)),
        "region": media_pb2.MatteSource(frames=raw_frames(layout, region=place.region(data)[1])),
        "runs": media_pb2.MatteSource(runs=encode_runs(frames)),
        "uploaded runs": media_pb2.MatteSource(uploaded_runs=media_pb2.UploadedRuns(upload_ids=runs)),
    }
