"""The service of the contract: each call finds its owner and hands over to who knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from mive.server.auth import current_owner
from mive.server.rpc.frames import FrameCalls
from mive.server.rpc.jobs import VANISHED, JobCalls
from mive.server.rpc.refusals import Context
from mive.server.rpc.transfers import TransferCalls
from mive.server.rpc.watching import Watching
from mive.v1 import mive_pb2, mive_pb2_grpc


@dataclass(frozen=True)
class MiveService(mive_pb2_grpc.MiveServicer):
    """All calls; what they raise becomes a status in `Refusals`.

    Attributes:
        info: tells about the server as it is now.
    """

    info: Callable[[], mive_pb2.ServerInfo]
    jobs: JobCalls
    watching: Watching
    frames: FrameCalls
    transfers: TransferCalls

    async def GetServerInfo(
        self, request: mive_pb2.GetServerInfoRequest, context: Context
    ) -> mive_pb2.GetServerInfoResponse:
        return mive_pb2.GetServerInfoResponse(info=await asyncio.to_thread(self.info))

    async def Upload(
        self, requests: AsyncIterator[mive_pb2.UploadRequest], context: Context
    ) -> mive_pb2.UploadResponse:
        return mive_pb2.UploadResponse(status=await self.transfers.upload(_owner(), requests))

    async def GetUpload(self, request: mive_pb2.GetUploadRequest, context: Context) -> mive_pb2.GetUploadResponse:
        return mive_pb2.GetUploadResponse(status=await self.transfers.status(_owner(), request.upload_id))

    async def ListUploads(self, request: mive_pb2.ListUploadsRequest, context: Context) -> mive_pb2.ListUploadsResponse:
        return await self.transfers.list(_owner(), request)

    async def DeleteUpload(
        self, request: mive_pb2.DeleteUploadRequest, context: Context
    ) -> mive_pb2.DeleteUploadResponse:
        await self.transfers.delete(_owner(), request.upload_id)
        return mive_pb2.DeleteUploadResponse()

    async def OpenRegion(
        self, request: mive_pb2.OpenRegionRequest, context: Context
    ) -> AsyncIterator[mive_pb2.OpenRegionResponse]:
        async for region in self.transfers.open_region(_owner(), request.size):
            yield mive_pb2.OpenRegionResponse(region=region)

    async def CloseRegion(self, request: mive_pb2.CloseRegionRequest, context: Context) -> mive_pb2.CloseRegionResponse:
        await self.transfers.close_region(_owner(), request.region_id)
        return mive_pb2.CloseRegionResponse()

    async def SubmitJob(self, request: mive_pb2.SubmitJobRequest, context: Context) -> mive_pb2.SubmitJobResponse:
        job, new = await self.jobs.submit(_owner(), request)
        message = await self.jobs.message(_owner(), job.id)
        return mive_pb2.SubmitJobResponse(job=message, existing=not new)

    async def PreviewJob(
        self, request: mive_pb2.PreviewJobRequest, context: Context
    ) -> AsyncIterator[mive_pb2.PreviewJobResponse]:
        job, new = await self.jobs.submit(_owner(), request.submit, watched=True)
        ended = not new
        try:
            async for event in self.watching.follow(_owner(), job.id):
                yield mive_pb2.PreviewJobResponse(event=event)
            ended = True
        finally:
            if not ended:
                # This task is being cancelled, so it waits for nothing.
                cancel = partial(self.jobs.store.cancel, _owner(), job.id, VANISHED)
                self.jobs.pools.tidying.later(cancel, "a preview that nobody watches could not be cancelled")

    async def WatchJob(
        self, request: mive_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[mive_pb2.WatchJobResponse]:
        async for event in self.watching.follow(_owner(), request.job_id, request.after_sequence):
            yield mive_pb2.WatchJobResponse(event=event)

    async def GetJob(self, request: mive_pb2.GetJobRequest, context: Context) -> mive_pb2.GetJobResponse:
        return mive_pb2.GetJobResponse(job=await self.jobs.message(_owner(), request.job_id, details=True))

    async def ListJobs(self, request: mive_pb2.ListJobsRequest, context: Context) -> mive_pb2.ListJobsResponse:
        return await self.jobs.list(_owner(), request)

    async def CancelJob(self, request: mive_pb2.CancelJobRequest, context: Context) -> mive_pb2.CancelJobResponse:
        return mive_pb2.CancelJobResponse(job=await self.jobs.cancel(_owner(), request.job_id))

    async def RetryJob(self, request: mive_pb2.RetryJobRequest, context: Context) -> mive_pb2.RetryJobResponse:
        job, new = await self.jobs.retry(_owner(), request)
        return mive_pb2.RetryJobResponse(job=await self.jobs.message(_owner(), job.id), existing=not new)

    async def FetchFrames(
        self, request: mive_pb2.FetchFramesRequest, context: Context
    ) -> AsyncIterator[mive_pb2.FetchFramesResponse]:
        async for chunk in self.frames.fetch(_owner(), request):
            yield mive_pb2.FetchFramesResponse(chunk=chunk)

    async def ExportFrames(
        self, request: mive_pb2.ExportFramesRequest, context: Context
    ) -> AsyncIterator[mive_pb2.ExportFramesResponse]:
        async for piece in self.frames.export(_owner(), request):
            yield piece

    async def GetManifest(self, request: mive_pb2.GetManifestRequest, context: Context) -> mive_pb2.GetManifestResponse:
        return mive_pb2.GetManifestResponse(manifest_json=await self.jobs.manifest(_owner(), request.job_id))


def _owner() -> str:
    return current_owner().id
