"""Fetching frames: in any order, on from where a connection broke, as bytes or through shared memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from itertools import chain, islice
from typing import Final

from grpc import aio

from mive.base.samples import BY_NAME, IN_MEMORY, PixelFormat
from mive.client.connection import Connection
from mive.client.errors import ServerError, broken_contract, from_server
from mive.client.jobs import Job
from mive.client.regions import Region, open_region
from mive.request import FrameRange
from mive.v1 import media_pb2, mive_pb2
from mive.wire.chunks import Frame, FrameJoiner
from mive.wire.formats import pixel_format_to_message
from mive.wire.request import range_to_message

_REGION_BYTES: Final = 64 << 20
"""About as much shared memory is asked for: a few frames, so that reading and writing overlap."""


async def fetch_bytes(
    connection: Connection, job_id: str, frames: Sequence[FrameRange], pixel_format: PixelFormat | None, *, wait: bool
) -> AsyncGenerator[Frame, None]:
    """The frames in the order of ``frames``, counted as the server does.

    Raises:
        MiveError: the server refuses, cannot be reached, or sends something else.
    """
    patience = connection.patience()
    left = tuple(frames)
    while left:
        try:
            async with aclosing(_stream(connection, _request(job_id, left, pixel_format, wait))) as stream:
                async for frame in stream:
                    patience.renew()
                    left = _without_first(left, frame.index)
                    yield frame
        except aio.AioRpcError as error:
            await patience.bear(error)
        else:
            if left:
                raise broken_contract(f"the frames end before frame {left[0].first}")


async def fetch_through_memory(
    connection: Connection, job: Job, frames: Sequence[FrameRange], pixel_format: PixelFormat | None, *, wait: bool
) -> AsyncGenerator[Frame, None]:
    """As :func:`fetch_bytes`, for a server on this machine.

    Raises:
        MiveError: also where there is no shared memory, or the job's clip was not opened yet.
    """
    if job.clip is None:
        raise ServerError(
            "nobody knows yet how large the job's frames are",
            expected="a job whose clip was opened",
            fix="Watch the job until it makes progress, or fetch without into_memory",
        )
    sample = BY_NAME[pixel_format] if pixel_format else IN_MEMORY[job.clip.depth]
    size = job.clip.width * job.clip.height * 3 * sample.dtype.itemsize
    batch = max(_REGION_BYTES // size, 1)
    patience = connection.patience()
    left = tuple(frames)
    while left:
        try:
            async with open_region(connection, size * min(batch, sum(map(len, left)))) as region:
                while left:
                    part = tuple(FrameRange.runs(islice(chain.from_iterable(r.indices() for r in left), batch)))
                    request = _request(job.job_id, part, pixel_format, wait)
                    request.into.CopyFrom(region.slice(0, size * sum(map(len, part))))
                    async with aclosing(_stream(connection, request, region)) as stream:
                        async for frame in stream:
                            patience.renew()
                            part, left = _without_first(part, frame.index), _without_first(left, frame.index)
                            yield frame
                    if part:
                        raise broken_contract(f"the frames end before frame {part[0].first}")
        except aio.AioRpcError as error:
            await patience.bear(error)


async def _stream(
    connection: Connection, request: mive_pb2.FetchFramesRequest, region: Region | None = None
) -> AsyncGenerator[Frame, None]:
    joiner = FrameJoiner(read_region=None if region is None else region.read)
    call = connection.stub.FetchFrames(request, metadata=connection.metadata)
    try:
        async for response in call:
            with from_server():
                frame = joiner.add(response.chunk)
            if frame is not None:
                yield frame
        with from_server():
            joiner.finish()
    finally:
        call.cancel()


def _request(
    job_id: str, frames: Iterable[FrameRange], pixel_format: PixelFormat | None, wait: bool
) -> mive_pb2.FetchFramesRequest:
    unspecified = media_pb2.PIXEL_FORMAT_UNSPECIFIED
    return mive_pb2.FetchFramesRequest(
        job_id=job_id,
        frames=[range_to_message(part) for part in frames],
        pixel_format=unspecified if pixel_format is None else pixel_format_to_message(pixel_format),
        row_order=media_pb2.ROW_ORDER_TOP_DOWN,
        wait=wait,
    )


def _without_first(frames: tuple[FrameRange, ...], index: int) -> tuple[FrameRange, ...]:
    """What is left when the first frame has arrived.

    Raises:
        ServerError: another one arrived.
    """
    if not frames or frames[0].first != index:
        expected = f"frame {frames[0].first}" if frames else "the end"
        raise broken_contract(f"frame {index} where {expected} was due")
    first, rest = frames[0], frames[1:]
    return rest if len(first) == 1 else (FrameRange(index + 1, first.last), *rest)
