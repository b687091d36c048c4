"""A request whose frames and mattes are decoded here and lie in shared memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from grpc import aio

from mive.client.connection import Connection
from mive.client.regions import Region, open_region
from mive.errors import MatteError, RequestError
from mive.media import Clip, ClipInfo, Mattes, open_clip, open_mattes
from mive.media.info import Pixels
from mive.media.timecode import advance
from mive.progress import Progress, Report
from mive.request import EditRequest, FrameRange, Instance
from mive.samples import IN_MEMORY, integer_for, white
from mive.settings import MATTE_FIT
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.clip import rational_to_message
from mive.wire.formats import FrameFormat, format_to_message, pack
from mive.wire.request import request_to_message, with_handles


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
        clip: the source's frames.
        ids: the ID matte, where one is used.
        own: mattes of one instance, by its id.
    """

    info: ClipInfo
    asked: FrameRange
    frames: FrameRange
    clip: Strip
    ids: Strip | None
    own: dict[int, Strip]

    @property
    def strips(self) -> list[Strip]:
        """Clip, ID matte and own mattes."""
        return [self.clip, *(() if self.ids is None else (self.ids,)), *self.own.values()]


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
    size = sum(strip.layout.size for strip in shot.strips) * count
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
    clip = open_clip(request.clip)
    info = clip.info
    asked = request.frames or FrameRange(0, info.frames - 1)
    clip.read(asked)  # Refuses frames that the clip does not have.
    frames = with_handles(asked, handles, info.frames)
    layout = FrameFormat(info.width, info.height, 3, IN_MEMORY[info.depth].name, colour=info.colour)
    return Shot(
        info,
        asked,
        frames,
        Strip(layout, lambda: clip.read(frames)),
        _id_strip(request, clip, frames),
        {
            instance.id: _own_strip(request, instance, index, clip, frames)
            for index, instance in enumerate(request.instances)
            if instance.matte is not None
        },
    )


def _id_strip(request: EditRequest, clip: Clip, frames: FrameRange) -> Strip | None:
    """The ID matte, fitted to the clip, with the ids that are edited and no others."""
    by_id = [instance for instance in request.instances if instance.matte is None]
    if not by_id:
        return None
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


def _own_strip(request: EditRequest, instance: Instance, index: int, clip: Clip, frames: FrameRange) -> Strip:
    """The matte of one instance, fitted to the clip, before others are laid over it."""
    try:
        mattes: Mattes = open_mattes(None, [instance], clip.info, frames, request.settings.matte_fit or MATTE_FIT)
    except MatteError as error:
        field = f"instances[{index}].matte"
        raise MatteError(error.what, expected=error.expected, fix=error.fix, field=field) from error
    layout = FrameFormat(clip.info.width, clip.info.height, 1, "float")
    return Strip(layout, lambda: (planes[0] for planes in mattes))


def _fill(region: Region, strips: list[Strip], count: int, report: Report) -> list[media_pb2.RawFrames]:
    """Decodes into the region, strip after strip, and tells where each lies."""
    placed, offset = [], 0
    for done, strip in enumerate(strips):
        layout = strip.layout
        where = region.slice(offset, layout.size * count)
        placed.append(media_pb2.RawFrames(format=format_to_message(layout), count=count, region=where))
        for number, frame in enumerate(strip.read(), done * count + 1):
            region.write(offset, pack(frame, layout))
            offset += layout.size
            report(Progress("send", number, len(strips) * count))
    return placed


def _message(request: EditRequest, shot: Shot, placed: list[media_pb2.RawFrames]) -> edit_pb2.EditRequest:
    clip, *mattes = placed
    info, first = shot.info, shot.frames.first
    raw = media_pb2.RawClip(
        frames=clip,
        rate=rational_to_message(info.rate),
        timecode=advance(info.timecode, first, info.rate) if info.timecode else "",
        pixel_aspect=rational_to_message(info.pixel_aspect),
    )
    ids = None if shot.ids is None else media_pb2.MatteSource(frames=mattes.pop(0))
    here = FrameRange(shot.asked.first - first, shot.asked.last - first)
    return request_to_message(
        request.model_copy(update={"frames": here, **({"mattes": None} if ids is None else {})}),
        clip=media_pb2.ClipSource(frames=raw),
        mattes=ids,
        instance_mattes={
            number: media_pb2.MatteSource(frames=matte) for number, matte in zip(shot.own, mattes, strict=True)
        },
    )
