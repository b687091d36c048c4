"""Frames that requests bring along: stored sample for sample, wherever their bytes came from, or refused at once."""

from __future__ import annotations

import os
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from tests.server.place import (
    ANNA,
    BEN,
    COUNT,
    HEIGHT,
    LINUX,
    WIDTH,
    Place,
    frame_format,
    ids,
    matte_sources,
    noise,
    raw_clip,
    raw_frames,
    some_clip,
)

from mive.errors import RequestError
from mive.media import ClipInfo, ColourTags, open_clip, open_mattes
from mive.request import FrameRange, Instance
from mive.server.errors import QuotaExceeded, RegionNotFound
from mive.server.raw_inputs import RUNS_BYTES
from mive.v1 import media_pb2
from mive.wire.formats import pack
from mive.wire.runs import encode_runs


@pytest.mark.parametrize("pixel_format", ["u8", "u16", "half", "float"])
@pytest.mark.parametrize(("channels", "row_order", "padding"), [(3, "top_down", 0), (4, "bottom_up", 8)])
@pytest.mark.parametrize("way", ["one upload", "two uploads", "region"])
def test_raw_frames_are_stored_sample_for_sample(
    place: Place, pixel_format: Any, channels: int, row_order: Any, padding: int, way: str
) -> None:
    layout = frame_format(pixel_format=pixel_format, channels=channels, row_order=row_order)
    layout = frame_format(**{**vars(layout), "row_bytes": layout.tight + padding})
    frames = noise(layout)
    data = [bytes(pack(frame, layout)) for frame in frames]
    if way == "region":
        source = raw_clip(raw_frames(layout, region=place.region(b"".join(data))[1]))
    else:
        parts = [b"".join(data)] if way == "one upload" else [b"".join(data[:2]), data[2]]
        uploads = media_pb2.UploadedBytes(upload_ids=map(place.upload, parts))
        source = raw_clip(raw_frames(layout, uploads=uploads))
    clip = open_clip(place.name(source))
    stored = [frame[..., :3].astype(np.float32) if pixel_format == "half" else frame[..., :3] for frame in frames]
    for got, wanted in zip(clip.read(), stored, strict=True):
        assert got.dtype == wanted.dtype
        assert got.tobytes() == wanted.tobytes()
    assert (clip.info.rate, clip.info.timecode) == (Fraction(24000, 1001), "01:00:00;02")
    assert (clip.info.colour, clip.info.pixel_aspect) == (ColourTags(1, 1, 13), 1)
    assert clip.info.bits == {"u8": 8, "u16": 16, "half": 16, "float": 32}[pixel_format]


def test_one_upload_may_be_named_several_times(place: Place) -> None:
    layout = frame_format()
    one = place.upload(bytes(pack(noise(layout)[0], layout)))
    source = raw_clip(raw_frames(layout, uploads=media_pb2.UploadedBytes(upload_ids=[one] * 3)))
    assert np.array_equal(list(open_clip(place.name(source)).read()), [noise(layout)[0]] * 3)


def test_a_region_may_be_used_again_at_once(place: Place) -> None:
    layout = frame_format()
    first, second = noise(layout, 2)
    region, where = place.region(bytes(pack(first, layout)))
    one = place.name(raw_clip(raw_frames(layout, 1, region=where)))
    again = place.name(raw_clip(raw_frames(layout, 1, region=place.region(bytes(pack(first, layout)))[1])))
    assert one == again, "the path tells the content, wherever it lay"
    place.regions.write(ANNA, where, pack(second, layout))
    other = place.name(raw_clip(raw_frames(layout, 1, region=where)))
    place.regions.close(ANNA, region.region_id)
    assert other != one
    for path, frame in ((one, first), (other, second)):
        assert np.array_equal(list(open_clip(path).read()), [frame])


@LINUX
def test_a_region_that_shrinks_is_told(place: Place) -> None:
    layout = frame_format()
    region, where = place.region(b"".join(pack(frame, layout) for frame in noise(layout)))
    os.truncate(f"/dev/shm{region.name}", 100 + layout.size)
    with pytest.raises(RequestError, match="has been shrunk") as caught:
        place.name(raw_clip(raw_frames(layout, region=where)))
    assert caught.value.field == "clip.frames.frames.region"
    with pytest.raises(RegionNotFound):
        place.name(raw_clip(raw_frames(layout, region=where)), owner=BEN)
    assert place.staged() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate": {}}, "rate"),
        ({"rate": {"numerator": 0, "denominator": 1}}, "rate"),
        ({"rate": {"numerator": -24, "denominator": 1}}, "rate"),
        ({"rate": {"numerator": 2**31, "denominator": 1}}, "rate"),
        ({"rate": {"numerator": 1, "denominator": 2**63 - 1}}, "rate"),
        ({"pixel_aspect": {"numerator": 1, "denominator": 0}}, "pixel_aspect"),
        ({"timecode": "noon"}, "timecode"),
        ({"timecode": "01:00:00:000"}, "timecode"),
        ({"timecode": "\u0660\u0661:00:00:00"}, "timecode"),
        ({"frames": {"count": 0}}, "frames.count"),
        ({"frames": {"count": 2}}, "frames.uploads"),
        ({"frames": {"count": 2**32 - 1}}, "frames.count"),
        ({"frames": {"format": {"width": 2**32 - 1}}}, "frames.format.width"),
        ({"frames": {"format": {"row_bytes": str(2**63)}}}, "frames.format.row_bytes"),
        ({"frames": {"format": {"height": 11}}}, "frames.uploads.upload_ids[0]"),
        ({"frames": {"format": {"channels": 1}}}, "frames.format.channels"),
        ({"frames": {"uploads": {"upload_ids": ["../x"]}}}, "frames.uploads.upload_ids[0]"),
    ],
)
def test_wrong_declarations_are_refused_before_anything_is_written(
    place: Place, changes: dict[str, Any], field: str
) -> None:
    def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return old | {k: merged(old[k], v) if isinstance(v, dict) and v and k in old else v for k, v in new.items()}

    plain = json_format.MessageToDict(some_clip(place).frames, preserving_proto_field_name=True)
    source = media_pb2.ClipSource(frames=json_format.ParseDict(merged(plain, changes), media_pb2.RawClip()))
    with pytest.raises(RequestError) as caught:
        place.name(source)
    assert caught.value.field == f"clip.frames.{field}"
    assert place.staged() == []


def test_a_long_clip_is_never_in_memory(place: Place) -> None:
    layout = frame_format(width=1024, height=512, pixel_format="float")
    one = place.upload(bytes(layout.size))
    uploads = raw_clip(raw_frames(layout, 12, uploads=media_pb2.UploadedBytes(upload_ids=[one] * 12)))
    region = raw_clip(raw_frames(layout, 12, region=place.region(bytes(12 * layout.size))[1]))
    for source in (uploads, region):
        tracemalloc.start()
        path = place.name(source)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3.5 * layout.size
        assert open_clip(path).info.frames == 12


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("way", ["uploads", "region", "runs", "uploaded runs"])
def test_mattes_come_back_pixel_for_pixel(place: Place, way: str, dtype: Any) -> None:
    path = place.name(matte_sources(place, ids(dtype))[way], "mattes")
    info = ClipInfo(Path("clip"), WIDTH, HEIGHT, COUNT, Fraction(24))
    things = [Instance(id=1, caption="a cup"), Instance(id=200, caption="a ball")]
    mattes = open_mattes(str(path), things, info, FrameRange(0, COUNT - 1))
    for coverage, frame in zip(mattes, ids(dtype), strict=True):
        assert np.array_equal(coverage, [frame == 1, frame == 200])


def test_coverage_may_be_float_and_ids_may_not(place: Place) -> None:
    layout = frame_format(channels=1, pixel_format="half", colour=None)
    soft = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float16).reshape(HEIGHT, WIDTH)
    uploads = media_pb2.UploadedBytes(upload_ids=[place.upload(bytes(pack(soft, layout)))])
    source = media_pb2.MatteSource(frames=raw_frames(layout, 1, uploads=uploads))
    path = place.name(source, "instances[0].matte")
    info, one = ClipInfo(Path("clip"), WIDTH, HEIGHT, 1, Fraction(24)), Instance(id=1, caption="a cup", matte=str(path))
    (coverage,) = open_mattes(None, [one], info, FrameRange(0, 0))
    assert np.array_equal(coverage[0], soft.astype(np.float32))
    with pytest.raises(RequestError) as caught:
        place.name(source, "mattes")
    assert caught.value.field == "mattes.frames.format.pixel_format"


@pytest.mark.parametrize(
    ("uploads", "match"),
    [
        ([], "no uploads"),
        ([b"\xff\xff no message"], "no MatteRuns"),
        ([b"\x7a\x01x" + encode_runs(ids()).SerializeToString()], "not known here"),
        ([encode_runs(ids()).SerializeToString()[:-3]], "no MatteRuns"),
        ([encode_runs(ids()).SerializeToString(), encode_runs(ids(np.uint16)).SerializeToString()], "differ"),
        ([media_pb2.MatteRuns(width=4, height=4, pixel_format=1).SerializeToString()], "no frames"),
        ([bytes(RUNS_BYTES + 1)], f"at most {RUNS_BYTES} bytes"),
    ],
)
def test_wrong_runs_are_refused(place: Place, uploads: list[bytes], match: str) -> None:
    message = media_pb2.UploadedRuns(upload_ids=map(place.upload, uploads))
    with pytest.raises(RequestError, match=match) as caught:
        place.name(media_pb2.MatteSource(uploaded_runs=message), "mattes")
    assert str(caught.value.field).startswith("mattes.uploaded_runs.upload_ids")
    assert place.staged() == []


def test_a_few_runs_take_a_few_bytes_of_the_disk(place: Place) -> None:
    """Each of these frames takes 10 bytes in the message, 8 on the disk, and 256 MiB where it is read."""
    place.inputs = place.server(owner_bytes=1 << 20, frames=1000)
    frame = media_pb2.RunFrame(lengths=[1 << 28], values=[1])
    runs = media_pb2.MatteRuns(width=1 << 14, height=1 << 14, pixel_format=1, frames=[frame] * 999)
    path = place.name(media_pb2.MatteSource(runs=runs), "mattes")
    assert sum(file.stat().st_size for file in path.iterdir()) < 20_000
    assert open_clip(path).info.frames == 999
    runs.frames.extend([frame] * 2)
    upload = media_pb2.UploadedRuns(upload_ids=[place.upload(runs.SerializeToString())])
    for source in (media_pb2.MatteSource(runs=runs), media_pb2.MatteSource(uploaded_runs=upload)):
        with pytest.raises(RequestError, match="1001 frames"):
            place.name(source, "mattes")


def test_tiny_frames_count_as_the_files_that_they_are(place: Place) -> None:
    """A thousand frames of one pixel are 3 kB in an upload, and 4 MB of the disk."""
    place.inputs = place.server(owner_bytes=1 << 20)
    layout = frame_format(width=1, height=1)
    uploads = media_pb2.UploadedBytes(upload_ids=[place.upload(bytes(3 * 1000))])
    with pytest.raises(QuotaExceeded):
        place.name(raw_clip(raw_frames(layout, 1000, uploads=uploads)))
    assert place.staged() == []
