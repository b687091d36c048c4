"""Frames of a job, in any order and as soon as they exist."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Final

from mive.base.samples import IN_MEMORY
from mive.errors import RequestError
from mive.media.info import ClipInfo, Pixels
from mive.request import FrameRange
from mive.server.errors import NotThereYet, ResultsGone
from mive.server.exports import Exports, checked_name
from mive.server.jobs import Job, read_clip, unreadable
from mive.server.regions import Regions
from mive.server.results import Results
from mive.server.rpc.pulse import Pulse
from mive.server.store import JobStore
from mive.server.work import Call, Pool, Pools, Turns
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.chunks import CHUNK_BYTES, frame_header, split_bytes
from mive.wire.clip import clip_from_message
from mive.wire.formats import (
    FrameFormat,
    RowOrder,
    pack,
    pixel_format_from_message,
    row_order_from_message,
    to_pixel_format,
)
from mive.wire.request import range_from_message

_MOST_FRAMES: Final = 1_000_000
_MOST_RANGES: Final = 10_000


@dataclass(frozen=True)
class FrameCalls:
    """Sends frames as their reader takes them, one at a time in memory."""

    store: JobStore
    results: Results
    regions: Regions
    pulse: Pulse
    pools: Pools
    turns: Turns
    exports: Exports

    @property
    def pool(self) -> Pool:
        """Reads and packs frames."""
        return self.pools.transfers

    async def fetch(self, owner: str, asked: mive_pb2.FetchFramesRequest) -> AsyncIterator[media_pb2.FrameChunk]:
        """The pieces of the frames asked for, in that order.

        Raises:
            JobNotFound: the owner has no such job.
            RequestError: the job has no such frames, or the region is too small.
            NotThereYet: a frame does not exist yet, and the request does not wait.
            ResultsGone: it never will.
        """
        job = await self._opened(owner, asked.job_id, asked.wait)
        layout = _layout(job, asked)
        ranges = _ranges(job, asked)
        offset = self._check_region(owner, asked, layout, sum(map(len, ranges)))
        for index in chain.from_iterable(part.indices() for part in ranges):
            frame = await self._frame(owner, job.id, index, asked.wait)
            if offset is None:
                data, header = await self.pool.run(partial(_packed, frame, layout))
                # Each piece is made when the one before it has gone.
                for chunk in split_bytes(index, data, header):
                    yield chunk
                continue
            place = media_pb2.RegionSlice(region_id=asked.into.region_id, offset=offset, size=layout.size)
            header = await self.pool.run(partial(self._put, owner, place, frame, layout))
            yield media_pb2.FrameChunk(frame=index, header=header, region=place)
            offset += layout.size

    async def export(
        self, owner: str, asked: mive_pb2.ExportFramesRequest
    ) -> AsyncIterator[mive_pb2.ExportFramesResponse]:
        """The pieces of the files asked for.

        Raises:
            JobNotFound: the owner has no such job.
            RequestError: the job has no such frames, or the name says of no files what they are.
            NotThereYet, ResultsGone: a frame does not exist.
            OutputError: the files cannot be written.
        """
        name = checked_name(asked.name)
        job = await self._opened(owner, asked.job_id, wait=False)
        frames = _within(job, asked.frames) if asked.HasField("frames") else job.frames
        assert frames is not None
        for index in (frames.first, frames.last):
            await self._frame(owner, job.id, index, wait=False)
        read, info = self.results.of(job.id).read, _clip(job)
        async with self.turns.of(owner):
            folder, files = await self.pools.staging.run(
                lambda call: self.exports.write(name, info, frames, read, call),
                undo=lambda made: self.exports.remove(made[0]),
            )
        try:
            for path in files:
                async for piece in self._pieces(path):
                    yield piece
        finally:
            self.pools.tidying.later(partial(self.exports.remove, folder), "exported files could not be removed")

    async def _pieces(self, path: Path) -> AsyncIterator[mive_pb2.ExportFramesResponse]:
        with path.open("rb") as file:
            piece, offset = mive_pb2.ExportFramesResponse(name=path.name, size=path.stat().st_size), 0
            while data := await self.pool.run(partial(_read_chunk, file)):
                piece.chunk.offset, piece.chunk.data = offset, data
                yield piece
                piece, offset = mive_pb2.ExportFramesResponse(), offset + len(data)

    async def _opened(self, owner: str, job_id: str, wait: bool) -> Job:
        """The job, once its clip is open."""
        while True:
            beat = self.pulse.count
            job = await asyncio.to_thread(self.store.get, owner, job_id)
            if job.frames is not None:
                return job
            if job.finished or not wait:
                raise NotThereYet(
                    f"the job is {job.state} and has no frames",
                    expected="a job that has begun",
                    fix="Look at why it ended" if job.finished else 'Fetch later, or set "wait"',
                )
            await self.pulse.after(beat)

    async def _frame(self, owner: str, job_id: str, index: int, wait: bool) -> Pixels:
        results, finished = self.results.of(job_id), False
        while True:
            beat = self.pulse.count
            try:
                return await self.pool.run(lambda call: results.read(index))
            except ResultsGone:
                # The frames of a job that is done were written before, so they are looked for once more after that.
                if finished:
                    raise
                finished = (await asyncio.to_thread(self.store.get, owner, job_id)).finished
            if finished:
                continue
            if not wait:
                raise NotThereYet(
                    f"frame {index} is not finished",
                    expected="one of the job's finished_frames",
                    fix='Fetch it later, or set "wait"',
                )
            await self.pulse.after(beat)

    def _check_region(
        self, owner: str, asked: mive_pb2.FetchFramesRequest, layout: FrameFormat, count: int
    ) -> int | None:
        """Where in the region the first frame goes; None where frames travel as bytes."""
        if not asked.HasField("into"):
            return None
        needed = layout.size * count
        if asked.into.size < needed:
            raise RequestError(
                f"{asked.into.size} bytes are too few for {count} frames of {layout.size} bytes",
                expected=f"{needed} bytes or more",
                fix="Make the region larger, or fetch fewer frames at one time",
                field="into.size",
            )
        self.regions.check(owner, asked.into, "into")
        return asked.into.offset

    def _put(
        self, owner: str, place: media_pb2.RegionSlice, frame: Pixels, layout: FrameFormat, call: Call
    ) -> media_pb2.FrameHeader:
        data, header = _packed(frame, layout, call)
        self.regions.write(owner, place, data)
        return header


def _packed(frame: Pixels, layout: FrameFormat, call: Call) -> tuple[memoryview, media_pb2.FrameHeader]:
    """A frame's bytes as they are sent, and what is sent before them."""
    data = pack(to_pixel_format(frame, layout.pixel_format), layout)
    return data, frame_header(data, layout)


def _layout(job: Job, asked: mive_pb2.FetchFramesRequest) -> FrameFormat:
    """How the job's frames are to lie in memory."""
    clip = _clip(job)
    pixel_format = IN_MEMORY[clip.depth].name
    if asked.pixel_format:
        pixel_format = pixel_format_from_message(asked.pixel_format, "fetch")
    row_order: RowOrder = row_order_from_message(asked.row_order, "fetch") if asked.row_order else "top_down"
    return FrameFormat(clip.width, clip.height, 3, pixel_format, row_order, 0, clip.colour)


def _read_chunk(file: IO[bytes], call: Call) -> bytes:
    return file.read(CHUNK_BYTES)


def _clip(job: Job) -> ClipInfo:
    stored = read_clip(job)
    if stored is None:
        raise unreadable("clip")
    return clip_from_message(stored)


def _within(job: Job, message: edit_pb2.FrameRange) -> FrameRange:
    """A range that is asked for.

    Raises:
        RequestError: the job does not edit all of it.
    """
    asked = mive_pb2.FetchFramesRequest(frames=[message])
    return _ranges(job, asked)[0]


def _ranges(job: Job, asked: mive_pb2.FetchFramesRequest) -> list[FrameRange]:
    """The frames in the order asked for, all checked first."""
    assert job.frames is not None
    # Before they are looked at, which takes the time of all other calls.
    if len(asked.frames) > _MOST_RANGES:
        raise _too_many(f"{len(asked.frames)} ranges", f"at most {_MOST_RANGES}")
    given = [range_from_message(part, f"frames[{number}]") for number, part in enumerate(asked.frames)]
    wanted = given or [job.frames]
    for number, part in enumerate(wanted):
        if part.first < job.frames.first or part.last > job.frames.last:
            raise RequestError(
                f"the job has no frames {part}",
                expected=f"frames within {job.frames}",
                fix="Ask for frames that the job edits",
                field=f"frames[{number}]",
            )
    if (count := sum(map(len, wanted))) > _MOST_FRAMES:
        raise _too_many(f"{count} frames", f"at most {_MOST_FRAMES}")
    return wanted


def _too_many(what: str, expected: str) -> RequestError:
    return RequestError(f"{what} in one call", expected=expected, fix="Fetch them in several calls", field="frames")
