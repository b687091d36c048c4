"""Frames as they are in memory, declared in a request: checked before their bytes are touched."""

from __future__ import annotations

from collections.abc import Collection

from mive.errors import RequestError
from mive.v1 import media_pb2
from mive.wire.chunks import check_upload_id
from mive.wire.formats import LIMITS, FrameFormat, FrameLimits, format_from_message


def check_raw_frames(
    message: media_pb2.RawFrames,
    *,
    channels: Collection[int],
    most: int,
    limits: FrameLimits = LIMITS,
    at: str = "frames",
) -> FrameFormat:
    """The format of frames that a request declares, of which there are ``message.count``.

    Args:
        channels: how many are allowed: (3, 4) for clips, whose colour must be given too, and (1,) for mattes.
        most: how many frames are allowed.
        limits: of each frame.
        at: path of the message in the request.

    Raises:
        RequestError: the declaration is incomplete or contradicts itself, or exceeds what is allowed.
    """
    layout = format_from_message(message.format, limits=limits, at=f"{at}.format")
    if layout.channels not in channels:
        expected = " or ".join(map(str, channels))
        raise _wrong(
            f"{at}.format.channels", f"{layout.channels} channels", expected, "Send a clip as RGB, mattes as one"
        )
    if 1 not in channels and layout.colour is None:
        expected = "colour tags; {} says that nothing is known"
        raise _wrong(f"{at}.format.colour", "nothing says how colour is coded", expected, 'Set "colour"')
    if not 1 <= message.count <= most:
        raise _wrong(f"{at}.count", f"{message.count} frames", f"1 to {most}", "Send fewer frames at one time")
    _check_place(message, layout, at)
    return layout


def _check_place(message: media_pb2.RawFrames, layout: FrameFormat, at: str) -> None:
    total = message.count * layout.size
    match message.WhichOneof("bytes"):
        case "uploads":
            ids = message.uploads.upload_ids
            if not 1 <= len(ids) <= message.count:
                expected = f"1 to {message.count}, each of whole frames"
                raise _wrong(f"{at}.uploads", f"{len(ids)} uploads", expected, "Upload whole frames")
            for index, upload_id in enumerate(ids):
                check_upload_id(upload_id, f"{at}.uploads.upload_ids[{index}]")
        case "region":
            if message.region.size != total:
                fix = "Correct size, count or format"
                raise _wrong(f"{at}.region.size", f"{message.region.size} bytes", f"{total} bytes", fix)
        case _:
            raise _wrong(at, "nothing says where the frames are", "uploads, or a region", "Set one of them")


def _wrong(field: str, what: str, expected: str, fix: str) -> RequestError:
    return RequestError(what, expected=expected, fix=fix, field=field)
