"""What the server and its worker hold in memory: not what a client is slow to take, and never whole copies of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from tests.server.served import Served, a_submission, modelless, refusal

from mive.v1 import edit_pb2, media_pb2, mive_pb2, mive_pb2_grpc
from mive.wire.chunks import CHUNK_BYTES, split_upload

MB = 1_000_000
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = modelless(tmp_path_factory.mktemp("server") / "data", shared_memory=True).ready()
    yield served
    served.close()


@pytest.fixture(scope="module")
def job(server: Served) -> str:
    """A job that is done."""
    job = server.submit(caption="quick").job_id
    server.finish(job)
    return job


class Peak:
    """The most that a process holds in a ``with`` block besides what it held before, in bytes.

    Attributes:
        own: in memory of its own.
        whole: pages of mapped files included, which the system takes back when it likes.
    """

    def __init__(self, process: int) -> None:
        self._process = psutil.Process(process)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.own = self.whole = 0

    def __enter__(self) -> Peak:
        self._before = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            own, whole = self._now()
            self.own, self.whole = max(self.own, own - self._before[0]), max(self.whole, whole - self._before[1])

    def _now(self) -> tuple[int, int]:
        memory = self._process.memory_info()
        return memory.rss - memory.shared, memory.rss


def test_slow_readers_cost_no_memory(server: Served, record_property: Record) -> None:
    """Four that take a chunk now and then, of 138 MB each, and four that watch and never look."""
    job = server.submit(caption="150 frames of 640 x 480 u8, quick", preview_every=1).job_id
    server.finish(job)
    channels = [server.new_channel() for _ in range(8)]
    stubs = [mive_pb2_grpc.MiveStub(channel) for channel in channels]
    with Peak(server.process.pid) as peak:
        fetching = [stub.FetchFrames(mive_pb2.FetchFramesRequest(job_id=job)) for stub in stubs[:4]]
        watching = [
            stub.WatchJob(mive_pb2.WatchJobRequest(job_id=server.submit(preview_every=1).job_id)) for stub in stubs[4:]
        ]
        for _ in range(20):
            assert all(next(stream).chunk.data for stream in fetching)
            time.sleep(0.1)
        assert all(stream.is_active() for stream in (*fetching, *watching))
    record_property("MB that eight slow readers cost", peak.own // MB)
    assert peak.own < 40 * MB
    for channel in channels:
        channel.close()


def a_clip(**changes: Any) -> mive_pb2.SubmitJobRequest:
    """An uploaded 8-bit frame of 64 × 64 pixels with these changes to what it declares."""
    submission = a_submission()
    source = submission.request.clip.frames
    source.rate.numerator = source.rate.denominator = 1
    source.frames.count, source.frames.uploads.upload_ids[:] = changes.pop("count", 1), ["0" * 64]
    layout = {"width": 64, "height": 64, "channels": 3, "pixel_format": 1, "row_order": 1, **changes}
    source.frames.format.CopyFrom(media_pb2.FrameFormat(**layout, colour=media_pb2.ColourTags()))
    return submission


def a_matte(lengths: list[int], width: int = 16_384) -> mive_pb2.SubmitJobRequest:
    submission = a_submission()
    runs = media_pb2.RunFrame(lengths=lengths, values=[1] * len(lengths))
    mattes = media_pb2.MatteRuns(width=width, height=16_384, pixel_format=1, frames=[runs] * 100)
    submission.request.mattes.runs.CopyFrom(mattes)
    return submission


def a_slice(**place: int) -> mive_pb2.FetchFramesRequest:
    return mive_pb2.FetchFramesRequest(into=media_pb2.RegionSlice(**place))


DECLARED: dict[str, tuple[str, Any]] = {
    "a wide frame": ("SubmitJob", a_clip(width=2**32 - 1)),
    "a large frame": ("SubmitJob", a_clip(width=16_384, height=16_384, channels=4, pixel_format=4)),
    "long rows": ("SubmitJob", a_clip(row_bytes=2**63)),
    "many frames": ("SubmitJob", a_clip(count=2**32 - 1)),
    "a short run": ("SubmitJob", a_matte([1])),
    "runs that overflow": ("SubmitJob", a_matte([2**32 - 1] * 4)),
    "a wide matte": ("SubmitJob", a_matte([2**28], width=2**31)),
    "a long upload": ("Upload", [mive_pb2.UploadRequest(header=mive_pb2.UploadHeader(upload_id="0" * 64, size=2**63))]),
    "a large region": ("OpenRegion", mive_pb2.OpenRegionRequest(size=2**63)),
    "a slice beyond its region": ("FetchFrames", a_slice(offset=2**64 - 1, size=2**64 - 1)),
    "a page of jobs": ("ListJobs", mive_pb2.ListJobsRequest(page_size=2**32 - 1)),
    "all frames there could be": (
        "FetchFrames",
        mive_pb2.FetchFramesRequest(frames=[edit_pb2.FrameRange(last=2**32 - 1)] * 1000),
    ),
}


def test_what_is_too_large_is_refused_before_it_takes_memory(server: Served, job: str, record_property: Record) -> None:
    stream = server.stub.OpenRegion(mive_pb2.OpenRegionRequest(size=4096))
    region = next(stream).region.region_id
    slowest = 0.0
    with Peak(server.process.pid) as peak:
        for what, (call, request) in DECLARED.items():
            if isinstance(request, mive_pb2.FetchFramesRequest):
                request.job_id = job
                if request.HasField("into"):
                    request.into.region_id = region
            asked = iter(request) if call == "Upload" else request
            started = time.monotonic()
            code, _, _ = refusal(partial(getattr(server.stub, call), asked, timeout=30))
            slowest = max(slowest, time.monotonic() - started)
            assert code == grpc.StatusCode.INVALID_ARGUMENT, what
    record_property("seconds of the slowest refusal", round(slowest, 2))
    record_property("MB that refusals take", peak.own // MB)
    assert slowest < 5
    assert peak.own < 64 * MB


MANY = {
    # Each is a million empty messages: two bytes on the wire, and an object to look at.
    "instances": ("SubmitJob", b"\x0a\x80\x89\x7a" + b"\x22\x00" * 1_000_000),
    "files": ("SubmitJob", b"\x0a\x88\x89\x7a\x0a\x84\x89\x7a\x12\x80\x89\x7a" + b"\x0a\x00" * 1_000_000),
    "ranges": ("FetchFrames", b"\x12\x00" * 1_000_000),
    "states": ("ListJobs", b"\x08\x09" * 1_000_000),
}


def test_what_is_too_many_is_not_looked_at_one_by_one(server: Served, job: str, record_property: Record) -> None:
    slowest = 0.0
    for what, (call, data) in MANY.items():
        request = getattr(mive_pb2, f"{call}Request").FromString(data)
        if call == "FetchFrames":
            request.job_id = job
        started = time.monotonic()
        code, sentence, _ = refusal(partial(getattr(server.stub, call), request, timeout=30))
        slowest = max(slowest, time.monotonic() - started)
        assert (code, what in sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    record_property("seconds to refuse a million of anything", round(slowest, 2))
    assert slowest < 5


@pytest.mark.slow
def test_an_8k_float_frame_passes_in_chunks_both_ways(tmp_path: Path, record_property: Record) -> None:
    """398 MB, uploaded as frames in memory, opened by a worker, and fetched again."""
    server = modelless(tmp_path / "data", "reading").ready()
    width, height = 7680, 4320
    frame = np.random.default_rng(0).random((height, width, 3), np.float32)
    data = memoryview(frame).cast("B")
    layout = media_pb2.FrameFormat(
        width=width, height=height, channels=3, pixel_format=media_pb2.PIXEL_FORMAT_FLOAT,
        row_order=media_pb2.ROW_ORDER_TOP_DOWN, colour=media_pb2.ColourTags(transfer=8),
    )  # fmt: skip
    name = hashlib.sha256(data).hexdigest()
    submission = a_submission()
    source = submission.request.clip.frames
    source.rate.numerator = source.rate.denominator = 1
    source.frames.count, source.frames.uploads.upload_ids[:] = 1, [name]
    source.frames.format.CopyFrom(layout)
    runs = media_pb2.RunFrame(lengths=[width * height - 9, 9], values=[0, 1])
    mattes = media_pb2.MatteRuns(width=width, height=height, pixel_format=media_pb2.PIXEL_FORMAT_U8, frames=[runs])
    submission.request.mattes.runs.CopyFrom(mattes)
    largest, digest = 0, hashlib.sha256()
    with Peak(server.process.pid) as peak:
        assert server.stub.Upload(split_upload(name, len(data), [data])).status.complete
        job = server.stub.SubmitJob(submission).job.job_id
        end = server.finish(job)
        assert end.WhichOneof("event") == "done", end
        with Peak(server.process.pid) as sending:
            for answer in server.stub.FetchFrames(mive_pb2.FetchFramesRequest(job_id=job)):
                largest = max(largest, len(answer.chunk.data))
                digest.update(answer.chunk.data)
    assert digest.hexdigest() == name
    assert largest == CHUNK_BYTES
    record_property("MB in memory for an 8K float frame of 398 MB", peak.own // MB)
    record_property("MB in memory while it is sent, mapped file included", sending.whole // MB)
    assert peak.own < 1.3 * len(data), "one frame, which is written aside piece by piece"
    assert sending.own < 40 * MB
    assert sending.whole < 1.1 * len(data)
    server.close()
