"""Bytes that come in: uploads and shared-memory regions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from mive.errors import RequestError
from mive.server.regions import Regions
from mive.server.upload_files import UploadState
from mive.server.uploads import Uploads
from mive.v1 import mive_pb2


@dataclass(frozen=True)
class TransferCalls:
    """The calls about uploads and regions.

    Attributes:
        count: told how many bytes of uploads arrive.
    """

    uploads: Uploads
    regions: Regions
    count: Callable[[int], None]
    _closed: dict[str, asyncio.Event] = field(default_factory=dict)

    async def upload(self, owner: str, parts: AsyncIterator[mive_pb2.UploadRequest]) -> mive_pb2.UploadStatus:
        """Take an upload stream. What has arrived when it breaks off is kept.

        Raises:
            MiveError: as `Uploads.begin` and `UploadWriter.write`.
        """
        writer = None
        try:
            async for part in parts:
                match part.WhichOneof("part"):
                    case "header" if writer is None:
                        head = part.header
                        writer = await asyncio.to_thread(
                            self.uploads.begin, owner, head.upload_id, head.size, head.offset
                        )
                        if writer.state.complete:
                            return _status(writer.state)
                    case "chunk" if writer is not None:
                        await asyncio.to_thread(writer.write, part.chunk.offset, part.chunk.data)
                        self.count(len(part.chunk.data))
                    case kind:
                        raise _out_of_order(kind, begun=writer is not None)
            if writer is None:
                raise _out_of_order(None, begun=False)
            return _status(await asyncio.to_thread(writer.finish))
        finally:
            if writer is not None:
                writer.abort()

    async def status(self, owner: str, upload_id: str) -> mive_pb2.UploadStatus:
        """How much of an upload has arrived.

        Raises:
            UploadNotFound: nothing has.
        """
        return _status(await asyncio.to_thread(self.uploads.status, owner, upload_id))

    async def open_region(self, owner: str, size: int) -> AsyncIterator[mive_pb2.Region]:
        """Make a region that lives until this ends: it is closed, or the client goes away.

        Raises:
            MiveError: as `Regions.open`.
        """
        region = await asyncio.to_thread(self.regions.open, owner, size)
        closed = self._closed[region.region_id] = asyncio.Event()
        try:
            yield mive_pb2.Region(region_id=region.region_id, name=region.name, size=region.size)
            await closed.wait()
        finally:
            del self._closed[region.region_id]
            if not closed.is_set():
                self.regions.close(owner, region.region_id)

    async def close_region(self, owner: str, region_id: str) -> None:
        """Remove a region and end its stream.

        Raises:
            RegionNotFound: the owner has none of that id.
        """
        await asyncio.to_thread(self.regions.close, owner, region_id)
        if region_id in self._closed:
            self._closed[region_id].set()


def _status(state: UploadState) -> mive_pb2.UploadStatus:
    return mive_pb2.UploadStatus(
        upload_id=state.upload_id, size=state.size, received=state.received, complete=state.complete
    )


def _out_of_order(kind: str | None, *, begun: bool) -> RequestError:
    return RequestError(
        f"a {kind} comes at the wrong place" if kind else "a message is empty, or there is none",
        expected="chunks after the one header" if begun else "the header first",
        fix="Send the header once, then the chunks in order",
        field=kind or "part",
    )
