"""Frames declared in a request: the bytes they need are known before one is touched."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from mive.errors import RequestError
from mive.v1 import media_pb2
from mive.wire.raw_frames import check_raw_frames

ID = "ab" * 32


def declaration(**changes: Any) -> media_pb2.RawFrames:
    """Three frames of 1080p float RGB in uploads, with some fields changed."""
    layout = {"width": 1920, "height": 1080, "channels": 3, "pixel_format": 4, "row_order": 2, "colour": {}}
    fields = {"format": layout, "count": 3, "uploads": {"upload_ids": [ID, ID]}}
    for name, value in changes.items():
        if isinstance(fields.get(name), dict):
            fields[name] = {**fields[name], **value}  # type: ignore[dict-item]
        else:
            fields[name] = value
    if "region" in fields:
        del fields["uploads"]
    return json_format.ParseDict(fields, media_pb2.RawFrames())


def check(message: media_pb2.RawFrames) -> Any:
    return check_raw_frames(message, channels=(3, 4), most=1000, at="clip.frames.frames")


def test_frames_may_lie_in_uploads_or_in_a_region() -> None:
    size = 3 * 1920 * 1080 * 12
    assert check(declaration()).size * 3 == size
    assert check(declaration(region={"region_id": "r", "size": size})).row_order == "bottom_up"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"format": {"channels": 1}}, "format.channels"),
        ({"format": {"width": 0}}, "format.width"),
        ({"uploads": {"upload_ids": []}}, "uploads"),
        ({"uploads": {"upload_ids": [ID] * 4}}, "uploads"),
        ({"uploads": {"upload_ids": [ID, "../x"]}}, "uploads.upload_ids[1]"),
        ({"region": {"region_id": "r", "size": 1}}, "region.size"),
        ({"region": {"region_id": "r", "size": 2**64 - 1}}, "region.size"),
    ],
)
def test_wrong_declarations_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        check(declaration(**changes))
    assert caught.value.field == f"clip.frames.frames.{field}"


def test_a_clip_must_say_how_colour_is_coded_and_a_matte_need_not() -> None:
    message = declaration()
    message.format.ClearField("colour")
    with pytest.raises(RequestError, match="colour"):
        check(message)
    message.format.channels = 1
    assert check_raw_frames(message, channels=(1,), most=3).colour is None


def test_frames_must_be_somewhere() -> None:
    message = declaration()
    message.ClearField("uploads")
    with pytest.raises(RequestError, match="nothing says where the frames are"):
        check(message)
