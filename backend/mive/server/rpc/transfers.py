"""Bytes that come in: uploads and shared-memory regions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from mive.errors import RequestError
from mive.server.regions import Regions
from mive.server.rpc.pages import page_size
from mive.server.upload_files import UploadState
from mive.server.uploads import Uploads, UploadWriter
from mive.server.work import Call, Pools
from mive.v1 import media_pb2, mive_pb2
from mive.wire.chunks import check_upload_id


@dataclass(frozen=True)
class TransferCalls:
    """The calls about uploads and regions.

    Attributes:
        count: told how many bytes of uploads arrive.
    """

    uploads: Uploads
    regions: Regions
    pools: Pools
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
                        writer = await self._begin(owner, part.header)
                        if writer.state.complete:
                            return _status(writer.state)
                    case "chunk" if writer is not None:
                        await self.pools.transfers.run(partial(_write, writer, part.chunk))
                        self.count(len(part.chunk.data))
                    case kind:
                        raise _out_of_order(kind, begun=writer is not None)
            if writer is None:
                raise _out_of_order(None, begun=False)
            return _status(await self.pools.transfers.run(partial(_finish, writer)))
        finally:
            if writer is not None:
                self.pools.tidying.later(writer.abort, "an upload could not be closed")

    async def _begin(self, owner: str, head: mive_pb2.UploadHeader) -> UploadWriter:
        def begin(call: Call) -> UploadWriter:
            return self.uploads.begin(owner, head.upload_id, head.size, head.offset, call.check)

        return await self.pools.transfers.run(begin, undo=UploadWriter.abort)

    async def status(self, owner: str, upload_id: str) -> mive_pb2.UploadStatus:
        """How much of an upload has arrived.

        Raises:
            UploadNotFound: nothing has.
        """
        return _status(await asyncio.to_thread(self.uploads.status, owner, upload_id))

    async def list(self, owner: str, asked: mive_pb2.ListUploadsRequest) -> mive_pb2.ListUploadsResponse:
        """One page of the owner's uploads.

        Raises:
            RequestError: there cannot be such a page.
        """
        size = page_size(asked.page_size, "uploads")
        if asked.page_token:
            check_upload_id(asked.page_token, "page_token")

        def look(call: Call) -> mive_pb2.ListUploadsResponse:
            states = self.uploads.list(owner, size + 1, asked.page_token)
            page = mive_pb2.ListUploadsResponse(uploads=map(_status, states[:size]))
            page.used_bytes = self.uploads.used(owner)
            if len(states) > size:
                page.next_page_token = states[size - 1].upload_id
            return page

        return await self.pools.transfers.run(look)

    async def delete(self, owner: str, upload_id: str) -> None:
        """Remove an upload.

        Raises:
            MiveError: as `Uploads.delete`.
        """
        await self.pools.transfers.run(lambda call: self.uploads.delete(owner, upload_id))

    async def open_region(self, owner: str, size: int) -> AsyncIterator[mive_pb2.Region]:
        """Make a region that lives until this ends: it is closed, or the client goes away.

        Raises:
            MiveError: as `Regions.open`.
        """
        region = await self.pools.transfers.run(
            lambda call: self.regions.open(owner, size), undo=lambda region: self.regions.close(owner, region.region_id)
        )
        closed = self._closed[region.region_id] = asyncio.Event()
        try:
            yield mive_pb2.Region(region_id=region.region_id, name=region.name, size=region.size)
            await closed.wait()
        finally:
            del self._closed[region.region_id]
            if not closed.is_set():
                self.pools.tidying.later(
                    partial(self.regions.close, owner, region.region_id), "a region could not be removed"
                )

    async def close_region(self, owner: str, region_id: str) -> None:
        """Remove a region and end its stream.

        Raises:
            RegionNotFound: the owner has none of that id.
        """
        await asyncio.to_thread(self.regions.close, owner, region_id)
        if region_id in self._closed:
            self._closed[region_id].set()


def _write(writer: UploadWriter, chunk: media_pb2.DataChunk, call: Call) -> None:
    writer.write(chunk.offset, chunk.data)


def _finish(writer: UploadWriter, call: Call) -> UploadState:
    return writer.finish()


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
