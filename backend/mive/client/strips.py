"""A request whose frames and mattes are decoded here and lie in shared memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from grpc import aio

from mive.base.progress import Progress, Report
from mive.base.samples import IN_MEMORY, integer_for, white
from mive.client.connection import Connection
from mive.client.regions import Region, open_region
from mive.errors import MatteError, RequestError
from mive.media import Clip, ClipInfo, Mattes, open_clip, open_mattes
from mive.media.asked import Reading
from mive.media.info import Pixels
from mive.media.timecode import advance
from mive.request import EditRequest, FrameRange, Instance
from mive.settings import MATTE_FIT
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.clip import rational_to_message
from mive.wire.formats import FrameFormat, format_to_message, pack
from mive.wire.request import Source, request_to_message, with_handles


@dataclass(frozen=True)
class Strip:
    """Frames of one format.

    Attributes:
        read: decodes them, first to last.
    """

    layout: FrameFormat
    read: Callable[[], Iterator[Pixels]]


@dataclass(frozen=True)
class Shot:
    """What a request needs decoded.

    Attributes:
        info: of the whole clip.
        asked, frames: the range that is edited, without and with its handles.
        strips: what is decoded of clip and mattes, by field as in `EditRequest.sources`.
    """

    info: ClipInfo
    asked: FrameRange
    frames: FrameRange
    strips: dict[str, Strip]


@asynccontextmanager
async def sent_from_memory(
    connection: Connection, request: EditRequest, most: int, handles: mive_pb2.Handles, report: Report
) -> AsyncIterator[tuple[edit_pb2.EditRequest, int]]:
    """The request, and the index in its clip of the first frame that is sent; the memory is there inside the block.

    Args:
        most: bytes that a region may have.
        report: told of the stage "send", in frames.

    Raises:
        MiveError: clip or mattes cannot be read, do not fit each other, or do not fit into memory.
    """
    shot = await asyncio.to_thread(open_shot, request, handles)
    count = len(shot.frames)
    size = sum(strip.layout.size for strip in shot.strips.values()) * count
    if size > most:
        raise RequestError(
            f"{count} frames with their mattes take {size / 1e9:.1f} GB of shared memory",
            expected=f"at most {most / 1e9:.1f} GB",
            fix="Send by upload (--send upload), or fewer frames at one time",
            field="frames",
        )
    try:
        async with open_region(connection, size) as region:
            placed = await asyncio.to_thread(_fill, region, shot.strips, count, report)
            yield _message(request, shot, placed), shot.frames.first
    except aio.AioRpcError as error:
        raise connection.refused(error) from error


def open_shot(request: EditRequest, handles: mive_pb2.Handles) -> Shot:
    """Opens clip and mattes, and checks that they fit each other.

    Raises:
        MediaError: one of them is missing or does not fit.
    """
    clip = open_clip(request.clip, Reading.of(request))
    info = clip.info
    asked = request.frames or FrameRange(0, info.frames - 1)
    clip.read(asked)  # Refuses frames that the clip does not have.
    frames = with_handles(asked, handles, info.frames)
    layout = FrameFormat(info.width, info.height, 3, IN_MEMORY[info.depth].name, colour=info.colour)
    strips = {"clip": Strip(layout, lambda: clip.read(frames))}
    if by_id := [instance for instance in request.instances if instance.matte is None]:
        strips["mattes"] = _id_strip(request, by_id, clip, frames)
    for index, instance in enumerate(request.instances):
        if instance.matte is not None:
            field = f"instances[{index}].matte"
            strips[field] = _own_strip(request, instance, field, clip, frames)
    return Shot(info, asked, frames, strips)


def _id_strip(request: EditRequest, by_id: list[Instance], clip: Clip, frames: FrameRange) -> Strip:
    """The ID matte, fitted to the clip, with the ids that are edited and no others."""
    largest = max(instance.id for instance in by_id)
    sample = integer_for(largest.bit_length())
    if largest > white(sample.dtype):
        raise RequestError(
            f"the id {largest} does not fit into {sample.bits} bits",
            expected=f"ids up to {white(sample.dtype)}",
            fix="Send by upload (--send upload), or renumber the instances",
            field="mattes",
        )
    mattes = open_mattes(request.mattes, by_id, clip.info, frames, request.settings.matte_fit or MATTE_FIT)

    def read() -> Iterator[Pixels]:
        numbers = np.array(mattes.ids, sample.dtype)[:, None, None]
        for planes in mattes:
            yield ((planes > 0) * numbers).max(axis=0)

    layout = FrameFormat(clip.info.width, clip.info.height, 1, sample.name)
    return Strip(layout, read)


def _own_strip(request: EditRequest, instance: Instance, field: str, clip: Clip, frames: FrameRange) -> Strip:
    """The matte of one instance, fitted to the clip, before others are laid over it."""
    try:
        mattes: Mattes = open_mattes(None, [instance], clip.info, frames, request.settings.matte_fit or MATTE_FIT)
    except MatteError as error:
        raise MatteError(error.what, expected=error.expected, fix=error.fix, field=field) from error
    layout = FrameFormat(clip.info.width, clip.info.height, 1, "float")
    return Strip(layout, lambda: (planes[0] for planes in mattes))


def _fill(region: Region, strips: dict[str, Strip], count: int, report: Report) -> dict[str, media_pb2.RawFrames]:
    """Decodes into the region, strip after strip, and tells where each lies."""
    placed, offset = {}, 0
    for done, (field, strip) in enumerate(strips.items()):
        layout = strip.layout
        where = region.slice(offset, layout.size * count)
        placed[field] = media_pb2.RawFrames(format=format_to_message(layout), count=count, region=where)
        for number, frame in enumerate(strip.read(), done * count + 1):
            region.write(offset, pack(frame, layout))
            offset += layout.size
            report(Progress("send", number, len(strips) * count))
    return placed


def _message(request: EditRequest, shot: Shot, placed: dict[str, media_pb2.RawFrames]) -> edit_pb2.EditRequest:
    info, first = shot.info, shot.frames.first
    raw = media_pb2.RawClip(
        frames=placed["clip"],
        rate=rational_to_message(info.rate),
        timecode=advance(info.timecode, first, info.rate) if info.timecode else "",
        pixel_aspect=rational_to_message(info.pixel_aspect),
    )
    sources: dict[str, Source] = {field: media_pb2.MatteSource(frames=frames) for field, frames in placed.items()}
    sources["clip"] = media_pb2.ClipSource(frames=raw)
    here = FrameRange(shot.asked.first - first, shot.asked.last - first)
    unread = {} if "mattes" in sources else {"mattes": None}
    return request_to_message(request.model_copy(update={"frames": here, **unread}), sources)
