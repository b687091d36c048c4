"""The client for asyncio."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypedDict

from grpc import aio

from mive.base.jobs import USUAL_PRIORITY, JobState, Priority, Send
from mive.base.progress import Progress, Report
from mive.base.samples import PixelFormat
from mive.client.address import Address, Tls, find_token
from mive.client.connection import Connection
from mive.client.errors import Busy, ServerError, from_server
from mive.client.events import ENDS, Event, event_from_message
from mive.client.exports import export
from mive.client.frames import fetch_bytes, fetch_through_memory
from mive.client.info import ServerInfo, info_from_message
from mive.client.jobs import Job, JobPage, job_from_message
from mive.client.sending import sent
from mive.client.times import duration_of
from mive.client.uploads import Sent, Source, Upload, list_uploads, upload
from mive.errors import MiveError
from mive.manifest import Manifest
from mive.media.info import Pixels
from mive.request import EditRequest, FrameRange
from mive.v1 import mive_pb2
from mive.wire.jobs import priority_to_message, state_to_message
from mive.wire.request import range_to_message

_NO_DELAY: Final = 2.0
"""Seconds until a busy server is asked again, where it does not say when."""

_LEAVING: Final = 5.0
"""Seconds in which a submission that was broken off is taken back."""


def moved_back(frames: FrameRange, first: int) -> FrameRange:
    """Frames of the client's clip as the server counts them, whose frame 0 is ``first`` here."""
    return FrameRange(frames.first - first, frames.last - first)


class SubmitOptions(TypedDict, total=False):
    """The options of :meth:`AsyncClient.submit`, for those who pass them on."""

    send: Send
    priority: Priority
    deadline: float | None
    key: str | None
    handles: tuple[int, int]
    preview_every: int
    labels: Mapping[str, str]
    wait_for_room: bool
    report: Report


class AsyncClient:
    """Renders at a server.

    Args:
        address: ``host:port`` or ``unix:///path``; by default that of ``MIVE_SERVER``, else ``127.0.0.1:7433``.
        token: by default that of ``MIVE_TOKEN`` or of the file ``MIVE_TOKEN_FILE``.
        tls: other files than this machine's usual authorities. A server on this machine is spoken to in plain text
            unless this is given.
        insecure: allows plain text to another machine.
        patience: seconds for which a connection that broke is made again, before a call gives up.

    Every method raises :class:`mive.errors.MiveError`; see :mod:`mive.client.errors`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        patience: float = 60.0,
    ) -> None:
        self._connection = Connection(
            Address.parse(address), token=find_token(token), tls=tls, insecure=insecure, patience=patience
        )
        self._first: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection. Submitted jobs go on."""
        await self._connection.close()

    async def server_info(self) -> ServerInfo:
        """What runs there and what it takes; also answers while models load."""
        call = self._connection.stub.GetServerInfo
        return info_from_message((await self._connection.call(call, mive_pb2.GetServerInfoRequest())).info)

    async def upload(self, source: Source, sent: Sent = lambda received: None) -> str:
        """Sends a file or bytes, as far as the server lacks them, and returns the upload's id, their SHA-256.

        Args:
            source: a path, the bytes, or pieces of them.
            sent: told how many bytes the server has.
        """
        return await upload(self._connection, source, sent)

    async def uploads(self) -> tuple[Upload, ...]:
        """The uploads of this token, finished or not."""
        return await list_uploads(self._connection)

    async def delete_upload(self, upload_id: str) -> None:
        """Removes an upload, to make room. Jobs that were submitted with it keep its bytes."""
        request = mive_pb2.DeleteUploadRequest(upload_id=upload_id)
        await self._connection.call(self._connection.stub.DeleteUpload, request)

    async def submit(
        self,
        request: EditRequest,
        *,
        send: Send = "auto",
        priority: Priority = USUAL_PRIORITY,
        deadline: float | None = None,
        key: str | None = None,
        handles: tuple[int, int] = (0, 0),
        preview_every: int = 0,
        labels: Mapping[str, str] = MappingProxyType({}),
        wait_for_room: bool = False,
        report: Report = lambda progress: None,
    ) -> Job:
        """Stores a job, which then runs whether or not anyone watches. Breaking this off leaves no job behind.

        Args:
            request: with this machine's paths. A bundle that is not set is the server's to choose.
            send: how clip and mattes get there: "path" (both see the same files), "upload", "memory" (decoded here,
                read there from shared memory), or "auto": "path" where that is sure to work, else "upload".
            priority: "interactive" comes before every "batch".
            deadline: seconds within which the job must have started, or it never does.
            key: two submissions under one key are one job. By default a new one, under which a submission whose
                answer was lost is repeated.
            handles: frames to edit before and after the range, as far as the clip has them.
            preview_every: steps between two previews of each instance; 0 means none.
            labels: what the job is called and belongs to, such as "project" or "shot".
            wait_for_room: tries again for as long as the server is busy, instead of raising :class:`Busy`.
            report: told of the stages "send" and "room".
        """
        async with self._submission(request, send, handles, report) as (message, first):
            message.priority = priority_to_message(priority)
            message.idempotency_key = key or secrets.token_urlsafe(24)
            message.preview_every = preview_every
            message.labels.update(labels)
            if deadline is not None:
                message.deadline.CopyFrom(duration_of(deadline))
            answer = await self._stored(message, wait_for_room, report)
        if first:
            self._first[answer.job.job_id] = first
        return job_from_message(answer.job, first)

    async def preview(
        self, request: EditRequest, *, send: Send = "auto", handles: tuple[int, int] = (0, 0), preview_every: int = 1
    ) -> AsyncGenerator[Event, None]:
        """Submits an interactive job that is cancelled when this iterator is closed or the connection breaks."""
        async with self._submission(request, send, handles, lambda progress: None) as (message, first):
            message.preview_every = preview_every
            call = self._connection.stub.PreviewJob(
                mive_pb2.PreviewJobRequest(submit=message), metadata=self._connection.metadata
            )
            try:
                async for response in call:
                    if (event := event_from_message(response.event, first)) is not None:
                        if first:
                            self._first[event.job_id] = first
                        yield event
            except aio.AioRpcError as error:
                raise self._connection.refused(error) from error
            finally:
                call.cancel()

    async def watch(self, job_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """What happened to a job, then what happens, until it is done, failed or cancelled.

        Where the connection breaks, it goes on after the last event that arrived.

        Args:
            after: only events with a greater sequence number.
        """
        patience, ended = self._connection.patience(), False
        while not ended:
            call = self._connection.stub.WatchJob(
                mive_pb2.WatchJobRequest(job_id=job_id, after_sequence=after), metadata=self._connection.metadata
            )
            try:
                async for response in call:
                    patience.renew()
                    sequence = response.event.sequence
                    # A new place in the queue comes under the number of the event before it.
                    if sequence <= after and not response.event.HasField("queued"):
                        continue
                    after = max(after, sequence)
                    event = event_from_message(response.event, self._first.get(job_id, 0))
                    if event is not None:
                        yield event
                    ended = ended or isinstance(event, ENDS)
            except aio.AioRpcError as error:
                await patience.bear(error)
            else:
                ended = ended or await self._has_ended(job_id, after)
                if not ended:
                    await patience.wait()
            finally:
                call.cancel()

    async def get(self, job_id: str) -> Job:
        """One job, with its clip and request."""
        answer = await self._connection.call(self._connection.stub.GetJob, mive_pb2.GetJobRequest(job_id=job_id))
        return job_from_message(answer.job, self._first.get(job_id, 0))

    async def jobs(
        self,
        states: Sequence[JobState] = (),
        *,
        most: int = 100,
        page: str | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> JobPage:
        """The jobs of this token, newest first.

        Args:
            states: only jobs in one of these; none means all.
            most: on a page, up to 1000.
            page: where to go on, as the page before says.
            labels: only jobs that have all of these.
        """
        request = mive_pb2.ListJobsRequest(
            states=[state_to_message(state) for state in states], page_size=most, page_token=page or "", labels=labels
        )
        answer = await self._connection.call(self._connection.stub.ListJobs, request)
        jobs = tuple(job_from_message(job, self._first.get(job.job_id, 0)) for job in answer.jobs)
        return JobPage(jobs, answer.next_page_token or None)

    async def cancel(self, job_id: str) -> Job:
        """Cancels a job, which takes effect within one denoising step. One that has ended stays as it is."""
        answer = await self._connection.call(self._connection.stub.CancelJob, mive_pb2.CancelJobRequest(job_id=job_id))
        return job_from_message(answer.job, self._first.get(job_id, 0))

    async def retry(self, job_id: str) -> Job:
        """Submits a job that failed or was cancelled once more, and returns the new one."""
        request = mive_pb2.RetryJobRequest(job_id=job_id, idempotency_key=secrets.token_urlsafe(24))
        answer = await self._connection.call(self._connection.stub.RetryJob, request)
        first = self._first.get(job_id, 0)
        if first:
            self._first[answer.job.job_id] = first
        return job_from_message(answer.job, first)

    async def fetch(
        self,
        job_id: str,
        frames: Sequence[FrameRange] | FrameRange | None = None,
        *,
        pixel_format: PixelFormat | None = None,
        wait: bool = False,
        into_memory: bool = False,
    ) -> AsyncGenerator[tuple[int, Pixels], None]:
        """Frames of a job: each one's index in the clip, and its pixels ``[H, W, 3]``, top row first.

        Where the connection breaks, it goes on with the first frame that has not arrived.

        Args:
            frames: in the order they should come, ranges in any order; None means all of the job.
            pixel_format: of the samples; None is the clip's own, in which pixels outside the mattes equal the source.
            wait: waits for frames that do not exist yet.
            into_memory: lets them come through shared memory, from a server on this machine.
        """
        first = self._first.get(job_id, 0)
        job = await self._opened(job_id, wait) if frames is None or into_memory else None
        if frames is None:
            assert job is not None
            assert job.frames is not None
            frames = job.frames
        ranges = [frames] if isinstance(frames, FrameRange) else frames
        there = [moved_back(part, first) for part in ranges]
        fetched = (
            fetch_through_memory(self._connection, job, there, pixel_format, wait=wait)
            if into_memory and job is not None
            else fetch_bytes(self._connection, job_id, there, pixel_format, wait=wait)
        )
        async with aclosing(fetched):
            async for frame in fetched:
                yield frame.index + first, frame.pixels

    async def export(self, job_id: str, name: str, folder: Path, frames: FrameRange | None = None) -> tuple[Path, ...]:
        """Frames of a job as files that the server makes, and their paths here.

        Args:
            name: such as "edited.mov" (ProRes, without sound) or "edited.####.exr"; see ``ExportFrames``.
            folder: they come into; made if need be.
            frames: None means all of the job.
        """
        request = mive_pb2.ExportFramesRequest(job_id=job_id, name=name)
        if frames is not None:
            request.frames.CopyFrom(range_to_message(moved_back(frames, self._first.get(job_id, 0))))
        return await export(self._connection, request, folder)

    async def manifest(self, job_id: str) -> Manifest:
        """What a job that is done was made from, with the server's paths and frame numbers."""
        answer = await self._connection.call(
            self._connection.stub.GetManifest, mive_pb2.GetManifestRequest(job_id=job_id)
        )
        with from_server():
            return Manifest.from_json(answer.manifest_json)

    @asynccontextmanager
    async def _submission(
        self, request: EditRequest, send: Send, handles: tuple[int, int], report: Report
    ) -> AsyncIterator[tuple[mive_pb2.SubmitJobRequest, int]]:
        around = mive_pb2.Handles(before=handles[0], after=handles[1])
        info = await self.server_info()
        async with sent(self._connection, request, info, send, around, report) as parcel:
            yield mive_pb2.SubmitJobRequest(request=parcel.request, handles=around), parcel.first

    async def _stored(
        self, message: mive_pb2.SubmitJobRequest, wait_for_room: bool, report: Report
    ) -> mive_pb2.SubmitJobResponse:
        while True:
            call = asyncio.ensure_future(
                self._connection.call(self._connection.stub.SubmitJob, message, timeout=None, through_restarts=False)
            )
            try:
                return await asyncio.shield(call)
            except Busy as busy:
                if not wait_for_room or (await self.server_info()).state == "failed":
                    raise
                report(Progress("room", 0, 1))
                await asyncio.sleep(_NO_DELAY if busy.retry_after is None else busy.retry_after)
            except asyncio.CancelledError:
                await self._taken_back(call)
                raise

    async def _taken_back(self, call: asyncio.Future[mive_pb2.SubmitJobResponse]) -> None:
        """Cancels the job that a submission may still make."""
        try:
            async with asyncio.timeout(_LEAVING):
                answer = await call
                await self.cancel(answer.job.job_id)
        except (MiveError, TimeoutError):
            call.cancel()

    async def _has_ended(self, job_id: str, after: int) -> bool:
        job = await self.get(job_id)
        return job.has_ended and job.last_sequence <= after

    async def _opened(self, job_id: str, wait: bool) -> Job:
        """The job, once its frames are known."""
        pause = 0.1
        while (job := await self.get(job_id)).frames is None:
            if job.has_ended or not wait:
                raise ServerError(
                    f"the job {job_id} has no frames" + ("" if job.has_ended else " yet"),
                    expected="a job whose clip was opened",
                    fix="Look at the job's state" if job.has_ended else "Wait for it: wait=True",
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        return job
