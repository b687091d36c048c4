"""A server that keeps to the contract as far as clients see it, inverts colours instead of editing, and misbehaves when
it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.rpc import code_pb2

from mive.base.progress import Progress
from mive.errors import MiveError, RequestError
from mive.manifest import BundleRecord, Manifest
from mive.media import ClipInfo, open_clip
from mive.media.hashing import content_hash
from mive.media.info import Pixels
from mive.request import FrameRange
from mive.v1 import job_pb2, media_pb2, mive_pb2
from mive.v1.mive_pb2_grpc import MiveServicer, add_MiveServicer_to_server
from mive.wire.chunks import begin_upload, split_frame
from mive.wire.clip import clip_to_message, rational_from_message
from mive.wire.errors import STATUS_DETAILS, error_to_status
from mive.wire.formats import format_from_message, format_of, pack, to_pixel_format, unpack
from mive.wire.progress import progress_to_event
from mive.wire.request import range_from_message, range_to_message, request_from_message, with_handles


def edited(frame: Pixels) -> Pixels:
    """What the fake makes of a frame."""
    peak = np.iinfo(frame.dtype).max if frame.dtype.kind == "u" else frame.dtype.type(1)
    return np.asarray(peak - frame)


@dataclass
class FakeJob:
    """A job, rendered when it was submitted."""

    message: job_pb2.Job
    submitted: mive_pb2.SubmitJobRequest
    frames: dict[int, Pixels]
    manifest: Manifest
    events: list[job_pb2.JobEvent] = field(default_factory=list)
    raw_mattes: dict[str, list[Pixels]] = field(default_factory=dict)


@dataclass
class Behaviour:
    """What a test may change.

    Attributes:
        refusals: errors with the code, and the seconds to wait, that the next SubmitJob calls end with.
        lose_submits: so many SubmitJob calls store the job, and then break off without an answer.
        break_upload_at: an upload breaks off once when so many bytes have arrived.
        break_watch_after, break_fetch_after: every stream breaks off after so many events or frames, so often.
        bare_status: all calls fail with this code and no details.
        wrong_size: frames declare a size that is not theirs.
        other_pixels: frames are not those of the manifest.
        credentials: of a server that speaks TLS.
        hold: jobs do not end until it is set.
    """

    token: str | None = None
    server_paths: bool = False
    shared_memory: bool = False
    refusals: list[tuple[MiveError, int, float | None]] = field(default_factory=list)
    lose_submits: int = 0
    break_upload_at: int | None = None
    break_watch: tuple[int, int] = (0, 0)
    break_fetch: tuple[int, int] = (0, 0)
    bare_status: grpc.StatusCode | None = None
    wrong_size: bool = False
    other_pixels: bool = False
    credentials: grpc.ServerCredentials | None = None
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()


class FakeServer(MiveServicer):
    """Runs on a thread of its own, in a ``with`` block.

    Attributes:
        calls: how often each method was called.
        upload_offsets: where each upload stream began.
        watched_after: the sequence numbers that WatchJob was asked to go on after.
        fetched: the frames that each FetchFrames call asked for.
    """

    def __init__(self, folder: Path, **behaviour: Any) -> None:
        self.folder = folder
        self.be = Behaviour(**behaviour)
        self.jobs: dict[str, FakeJob] = {}
        self.keys: dict[str, str] = {}
        self.uploads: dict[str, bytearray] = {}
        self.regions: dict[str, SharedMemory] = {}
        self.calls: Counter[str] = Counter()
        self.upload_offsets: list[int] = []
        self.watched_after: list[int] = []
        self.fetched: list[list[FrameRange]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        self._do(self._start())

    def stop(self) -> None:
        """As a kill would: calls that run break off."""
        self._do(self._server.stop(None))

    def has_no_regions(self) -> bool:
        """Soon, at the latest: a client's end takes a moment to arrive."""
        end = time.monotonic() + 5
        while self.regions and time.monotonic() < end:
            time.sleep(0.01)
        return not self.regions

    def _do(self, work: Any) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(10)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_MiveServicer_to_server(self, self._server)
        if self.be.credentials is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        else:
            self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self.be.credentials)
        await self._server.start()

    async def _begin(self, context: Any, name: str) -> None:
        self.calls[name] += 1
        if self.be.bare_status is not None:
            await context.abort(self.be.bare_status, "of its own")
        given = dict(context.invocation_metadata()).get("authorization")
        if self.be.token is not None and given != f"Bearer {self.be.token}":
            await self._refuse(context, MiveError("no such token"), code_pb2.UNAUTHENTICATED)

    async def _refuse(self, context: Any, error: MiveError, code: int, after: float | None = None) -> None:
        status = error_to_status(error, code=code, retry_after=after)
        grpc_code = next(each for each in grpc.StatusCode if each.value[0] == code)
        await context.abort(grpc_code, status.message, ((STATUS_DETAILS, status.SerializeToString()),))

    async def _job(self, context: Any, job_id: str) -> FakeJob:
        if job_id not in self.jobs:
            await self._refuse(context, MiveError(f'there is no job "{job_id}"', fix="List"), code_pb2.NOT_FOUND)
        return self.jobs[job_id]

    async def GetServerInfo(self, request: Any, context: Any) -> mive_pb2.GetServerInfoResponse:
        await self._begin(context, "GetServerInfo")
        info = mive_pb2.ServerInfo(
            engine="fake", bundle="tiny", state=mive_pb2.LOAD_STATE_READY, server_paths=self.be.server_paths,
            shared_memory=self.be.shared_memory, versions={"mive": "0"}, plans=["mive"],
            devices=[mive_pb2.Device(name="cpu", description="a device")],
            limits=mive_pb2.Limits(region_bytes=1 << 30, job_frames=1000),
        )  # fmt: skip
        return mive_pb2.GetServerInfoResponse(info=info)

    async def Upload(self, requests: Any, context: Any) -> mive_pb2.UploadResponse:
        await self._begin(context, "Upload")
        try:
            return await self._receive(requests, context)
        except RequestError as error:
            await self._refuse(context, error, code_pb2.INVALID_ARGUMENT)
            raise

    async def _receive(self, requests: Any, context: Any) -> mive_pb2.UploadResponse:
        cursor = None
        async for request in requests:
            if request.HasField("header"):
                header = request.header
                self.upload_offsets.append(header.offset)
                data = self.uploads.setdefault(header.upload_id, bytearray())
                cursor = begin_upload(header, received=len(data), most=1 << 30)
                continue
            assert cursor is not None
            cursor.received = len(data)
            cursor.accept(request.chunk.offset, len(request.chunk.data))
            data += request.chunk.data
            if self.be.break_upload_at is not None and len(data) >= self.be.break_upload_at:
                self.be.break_upload_at = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        assert cursor is not None
        cursor.finish()
        assert hashlib.sha256(data).hexdigest() == header.upload_id
        return mive_pb2.UploadResponse(status=self._status(header.upload_id, header.size))

    async def GetUpload(self, request: Any, context: Any) -> mive_pb2.GetUploadResponse:
        await self._begin(context, "GetUpload")
        if request.upload_id not in self.uploads:
            await self._refuse(context, MiveError("there is no such upload"), code_pb2.NOT_FOUND)
        return mive_pb2.GetUploadResponse(status=self._status(request.upload_id, 0))

    def _status(self, upload_id: str, size: int) -> mive_pb2.UploadStatus:
        data = self.uploads[upload_id]
        whole = hashlib.sha256(data).hexdigest() == upload_id
        return mive_pb2.UploadStatus(upload_id=upload_id, size=size, received=len(data), complete=whole)

    async def OpenRegion(self, request: Any, context: Any) -> AsyncIterator[mive_pb2.OpenRegionResponse]:
        await self._begin(context, "OpenRegion")
        memory = SharedMemory(create=True, size=request.size)
        name = f"region-{len(self.regions)}"
        self.regions[name] = memory
        try:
            region = mive_pb2.Region(region_id=name, name=f"/{memory.name.lstrip('/')}", size=request.size)
            yield mive_pb2.OpenRegionResponse(region=region)
            await asyncio.Event().wait()
        finally:
            del self.regions[name]
            memory.close()
            memory.unlink()

    async def SubmitJob(self, request: Any, context: Any) -> mive_pb2.SubmitJobResponse:
        await self._begin(context, "SubmitJob")
        if self.be.refusals:
            await self._refuse(context, *self.be.refusals.pop(0))
        existing = request.idempotency_key in self.keys
        if not existing:
            self._store(request)
        job = self.jobs[self.keys[request.idempotency_key]]
        if self.be.lose_submits:
            self.be.lose_submits -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return mive_pb2.SubmitJobResponse(job=job.message, existing=existing)

    async def PreviewJob(self, request: Any, context: Any) -> AsyncIterator[mive_pb2.PreviewJobResponse]:
        await self._begin(context, "PreviewJob")
        job = self._store(request.submit)
        for event in job.events:
            await self._until_free(event)
            yield mive_pb2.PreviewJobResponse(event=event)

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[mive_pb2.WatchJobResponse]:
        await self._begin(context, "WatchJob")
        self.watched_after.append(request.after_sequence)
        job = await self._job(context, request.job_id)
        most, times = self.be.break_watch
        for count, event in enumerate(event for event in job.events if event.sequence > request.after_sequence):
            if times and count == most:
                self.be.break_watch = (most, times - 1)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            await self._until_free(event)
            if job.message.state == job_pb2.JOB_STATE_CANCELLED:
                event = job_pb2.JobEvent(sequence=event.sequence, job_id=request.job_id)
                event.cancelled.reason = "its user cancelled it"
            yield mive_pb2.WatchJobResponse(event=event)
            if event.HasField("cancelled"):
                return

    async def _until_free(self, event: job_pb2.JobEvent) -> None:
        while event.HasField("done") and not self.be.hold.is_set():
            await asyncio.sleep(0.01)

    async def GetJob(self, request: Any, context: Any) -> mive_pb2.GetJobResponse:
        await self._begin(context, "GetJob")
        job = await self._job(context, request.job_id)
        message = mive_pb2.GetJobResponse(job=job.message).job
        message.request.CopyFrom(job.submitted.request)
        return mive_pb2.GetJobResponse(job=message)

    async def ListJobs(self, request: Any, context: Any) -> mive_pb2.ListJobsResponse:
        await self._begin(context, "ListJobs")
        jobs = [job.message for job in reversed(self.jobs.values())]
        jobs = [job for job in jobs if not request.states or job.state in request.states]
        first = int(request.page_token or 0)
        last = first + (request.page_size or 100)
        page = mive_pb2.ListJobsResponse(next_page_token=str(last) if last < len(jobs) else "")
        for job in jobs[first:last]:
            page.jobs.add().CopyFrom(job)
            page.jobs[-1].ClearField("clip")
        return page

    async def CancelJob(self, request: Any, context: Any) -> mive_pb2.CancelJobResponse:
        await self._begin(context, "CancelJob")
        job = await self._job(context, request.job_id)
        job.message.state = job_pb2.JOB_STATE_CANCELLED
        self.be.hold.set()
        return mive_pb2.CancelJobResponse(job=job.message)

    async def FetchFrames(self, request: Any, context: Any) -> AsyncIterator[mive_pb2.FetchFramesResponse]:
        await self._begin(context, "FetchFrames")
        job = await self._job(context, request.job_id)
        parts = [range_from_message(part) for part in request.frames]
        self.fetched.append(parts)
        most, times = self.be.break_fetch
        names = {media_pb2.PIXEL_FORMAT_HALF: "half", media_pb2.PIXEL_FORMAT_FLOAT: "float", 1: "u8", 2: "u16"}
        offset = request.into.offset
        for count, index in enumerate(index for part in parts for index in part.indices()):
            if times and count == most:
                self.be.break_fetch = (most, times - 1)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            if index not in job.frames:
                await self._refuse(context, MiveError(f"frame {index} is not there"), code_pb2.FAILED_PRECONDITION)
            frame = job.frames[index] if not self.be.other_pixels else job.frames[index] // 2
            if request.pixel_format:
                frame = to_pixel_format(frame, names[request.pixel_format])  # type: ignore[arg-type]
            chunks = list(split_frame(index, frame, format_of(frame)))
            if self.be.wrong_size:
                chunks[0].header.size += 1
            if request.HasField("into"):
                data = pack(frame, format_of(frame))
                self.regions[request.into.region_id].buf[offset : offset + len(data)] = data
                place = media_pb2.RegionSlice(region_id=request.into.region_id, offset=offset, size=len(data))
                chunks = [media_pb2.FrameChunk(frame=index, header=chunks[0].header, region=place)]
                offset += len(data)
            for chunk in chunks:
                yield mive_pb2.FetchFramesResponse(chunk=chunk)

    async def GetManifest(self, request: Any, context: Any) -> mive_pb2.GetManifestResponse:
        await self._begin(context, "GetManifest")
        job = await self._job(context, request.job_id)
        return mive_pb2.GetManifestResponse(manifest_json=job.manifest.to_json())

    def _store(self, submitted: mive_pb2.SubmitJobRequest) -> FakeJob:
        """Renders the job at once."""
        number = len(self.jobs) + 1
        job_id = f"job-{number}"
        message = submitted.request
        info, source, source_hash = self._source(message.clip, job_id)
        asked = range_from_message(message.frames) if message.HasField("frames") else FrameRange(0, info.frames - 1)
        frames = with_handles(asked, submitted.handles, info.frames)
        made = {index: edited(source[index]) for index in frames.indices()}
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(frame).tobytes() for frame in made.values()))
        request = request_from_message(message, name_source=lambda source, field: f"{job_id}-{field}")
        manifest = Manifest(
            request=request, settings=request.settings.resolved({"model_size": 64}), frames=frames,
            source_hash=source_hash, matte_hashes={"of the server": "0"}, bundle=BundleRecord(name="tiny", files={}),
            device="cpu", precision="fp32", plan={}, seconds={}, outputs=(), frames_hash=digest.hexdigest(),
        )  # fmt: skip
        job = job_pb2.Job(
            job_id=job_id, state=job_pb2.JOB_STATE_DONE, priority=submitted.priority or job_pb2.PRIORITY_BATCH,
            attempts=1, frames=range_to_message(frames), finished_frames=[range_to_message(frames)],
            clip=clip_to_message(info),
        )  # fmt: skip
        job.submitted.GetCurrentTime()
        fake = FakeJob(job, mive_pb2.SubmitJobRequest(), made, manifest, _events(job_id, frames))
        fake.submitted.CopyFrom(submitted)
        fake.raw_mattes = {field: self._raw(source.frames) for field, source in _raw_mattes(message)}
        job.last_sequence = fake.events[-1].sequence
        self.jobs[job_id] = fake
        self.keys[submitted.idempotency_key or job_id] = job_id
        return fake

    def _source(self, source: media_pb2.ClipSource, job_id: str) -> tuple[ClipInfo, list[Pixels], str]:
        if source.WhichOneof("source") == "frames":
            frames = self._raw(source.frames.frames)
            height, width = frames[0].shape[:2]
            rate = rational_from_message(source.frames.rate, "rate")
            depth = {"uint8": "u8", "uint16": "u16", "float32": "f32"}[frames[0].dtype.name]
            info = ClipInfo(Path("raw"), width, height, len(frames), rate, depth=depth)  # type: ignore[arg-type]
            return info, frames, "raw"
        path = Path(source.path) if source.WhichOneof("source") == "path" else self._unpacked(source.files, job_id)
        clip = open_clip(path)
        return clip.info, list(clip.read()), content_hash(clip)

    def _unpacked(self, files: media_pb2.UploadedFiles, job_id: str) -> Path:
        folder = self.folder / job_id
        folder.mkdir()
        for file in files.files:
            (folder / file.name).write_bytes(self.uploads[file.upload_id])
        return folder / files.files[0].name if len(files.files) == 1 else folder

    def _raw(self, frames: media_pb2.RawFrames) -> list[Pixels]:
        layout = format_from_message(frames.format)
        place = frames.region
        data = bytes(self.regions[place.region_id].buf[place.offset : place.offset + place.size])
        return [unpack(data[i * layout.size : (i + 1) * layout.size], layout) for i in range(frames.count)]


def _raw_mattes(message: Any) -> list[tuple[str, media_pb2.MatteSource]]:
    sources = [("mattes", message.mattes), *((f"{i.id}", i.matte) for i in message.instances)]
    return [(field, source) for field, source in sources if source.WhichOneof("source") == "frames"]


def _events(job_id: str, frames: FrameRange) -> list[job_pb2.JobEvent]:
    """What happens to every job of the fake."""
    events = [
        job_pb2.JobEvent(queued=job_pb2.Queued(position=2)),
        # A new place in the queue comes under the number of the event before it.
        job_pb2.JobEvent(queued=job_pb2.Queued(position=0, attempts=1)),
        progress_to_event(Progress("load", 1, 1)),
        progress_to_event(Progress("inversion", 3, 3), cached=True),
        *(progress_to_event(Progress("sampling", step, 4, 1, 1), eta=40.0 - 10 * step) for step in range(1, 5)),
        job_pb2.JobEvent(
            preview=job_pb2.Preview(
                instance_id=1, frame=frames.first, done=4, total=4, data=bytes(range(12)),
                format=media_pb2.FrameFormat(
                    width=2, height=2, channels=3, pixel_format=media_pb2.PIXEL_FORMAT_U8,
                    row_order=media_pb2.ROW_ORDER_TOP_DOWN,
                ),
            )
        ),
        job_pb2.JobEvent(
            window_finished=job_pb2.WindowFinished(frames=range_to_message(frames), window=1, windows=1)
        ),
        job_pb2.JobEvent(done=job_pb2.Done(frames=range_to_message(frames), warnings=["the caption is long"])),
    ]  # fmt: skip
    for number, event in enumerate(events):
        event.sequence, event.job_id = max(number, 1), job_id
        event.time.GetCurrentTime()
    return events
