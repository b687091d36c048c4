"""The service as any client sees it: a server process, workers without a model, and a plain stub."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2
from tests.server.served import Serve, Served, a_submission, modelless, refusal, until

from mive.v1 import job_pb2, media_pb2, mive_pb2
from mive.wire.chunks import CHUNK_BYTES, join_frames, split_upload, upload_id_of

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = modelless(tmp_path_factory.mktemp("server") / "data", shared_memory=True).ready()
    yield served
    served.close()


def kinds(events: Iterator[job_pb2.JobEvent]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def test_a_job_from_submission_to_frames(server: Served) -> None:
    job = server.submit(preview_every=1, handles=mive_pb2.Handles(before=2))
    events = list(server.watch(job.job_id))
    assert all(a.sequence < b.sequence for a, b in pairwise(events))
    told = kinds(iter(events))
    assert told[0] == "queued"
    assert told[-2:] == ["window_finished", "done"]
    assert {"loading", "step", "preview"} <= set(told)
    steps = [event.step for event in events if event.WhichOneof("event") == "step"]
    assert [step.done for step in steps] == sorted({step.done for step in steps})
    assert steps[-1].total == 40
    assert any(step.HasField("eta") for step in steps)
    done = events[-1].done
    assert (done.frames.first, done.frames.last) == (10, 12)
    assert done.warnings == ["the caption is long"]
    manifest = server.stub.GetManifest(mive_pb2.GetManifestRequest(job_id=job.job_id)).manifest_json
    assert manifest == done.manifest_json
    asked = mive_pb2.FetchFramesRequest(job_id=job.job_id)
    frames = list(join_frames(answer.chunk for answer in server.stub.FetchFrames(asked)))
    assert [frame.index for frame in frames] == [10, 11, 12]
    assert all(np.array_equal(frame.pixels, np.full((4, 6, 3), frame.index, np.uint8)) for frame in frames)
    kept = server.get(job.job_id)
    assert kept.state == job_pb2.JOB_STATE_DONE
    assert [(part.first, part.last) for part in kept.finished_frames] == [(10, 12)]
    assert (kept.clip.width, kept.clip.height) == (6, 4)
    assert kept.request.instances[0].caption == "a green cube"


def test_frames_come_in_any_order_and_format(server: Served) -> None:
    job = server.submit()
    server.finish(job.job_id)
    asked = mive_pb2.FetchFramesRequest(
        job_id=job.job_id, pixel_format=media_pb2.PIXEL_FORMAT_FLOAT, row_order=media_pb2.ROW_ORDER_BOTTOM_UP
    )
    for first, last in ((12, 12), (10, 11)):
        part = asked.frames.add()
        part.first, part.last = first, last
    frames = list(join_frames(answer.chunk for answer in server.stub.FetchFrames(asked)))
    assert [frame.index for frame in frames] == [12, 10, 11]
    assert np.allclose(frames[0].pixels, 12 / 255)
    assert frames[0].format.row_order == "bottom_up"


def test_frames_can_be_waited_for(server: Served) -> None:
    job = server.submit()
    asked = mive_pb2.FetchFramesRequest(job_id=job.job_id)
    code, sentence, _ = refusal(lambda: server.stub.FetchFrames(asked))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "wait" in sentence
    asked.wait = True
    assert [frame.index for frame in join_frames(a.chunk for a in server.stub.FetchFrames(asked))] == [10, 11, 12]


def test_frames_through_shared_memory(server: Served) -> None:
    job = server.submit()
    server.finish(job.job_id)
    regions = server.stub.OpenRegion(mive_pb2.OpenRegionRequest(size=1000))
    region = next(regions).region
    shm = Path("/dev/shm") / region.name.lstrip("/")
    assert shm.stat().st_mode & 0o777 == 0o600
    asked = mive_pb2.FetchFramesRequest(job_id=job.job_id)
    asked.into.region_id, asked.into.size, asked.into.offset = region.region_id, 300, 100
    chunks = [answer.chunk for answer in server.stub.FetchFrames(asked)]
    memory = shm.read_bytes()
    frames = list(join_frames(chunks, read_region=lambda s: memory[s.offset : s.offset + s.size]))
    assert [frame.pixels.mean() for frame in frames] == [10, 11, 12]
    asked.into.size = 100
    code, sentence, _ = refusal(lambda: server.stub.FetchFrames(asked))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "216 bytes" in sentence
    assert region.name not in sentence
    server.stub.CloseRegion(mive_pb2.CloseRegionRequest(region_id=region.region_id))
    assert list(regions) == []
    assert not shm.exists()


def test_regions_go_with_their_client(server: Served) -> None:
    """Within five seconds; here its stream breaks off."""
    stream = server.stub.OpenRegion(mive_pb2.OpenRegionRequest(size=4096))
    shm = Path("/dev/shm") / next(stream).region.name.lstrip("/")
    assert shm.exists()
    stream.cancel()
    until(lambda: not shm.exists(), 5)


def test_uploads_are_resumed_where_they_broke_off(server: Served) -> None:
    data = np.random.default_rng(0).bytes(3 * CHUNK_BYTES + 5)
    name = upload_id_of(data)
    assert refusal(lambda: server.stub.GetUpload(mive_pb2.GetUploadRequest(upload_id=name)))[0] == (
        grpc.StatusCode.NOT_FOUND
    )
    started = threading.Event()

    def broken() -> Iterator[mive_pb2.UploadRequest]:
        parts = split_upload(name, len(data), [data])
        yield from (next(parts), next(parts), next(parts))
        started.set()
        time.sleep(60)

    call = server.stub.Upload.future(broken())
    started.wait()

    def received() -> int:
        return int(server.stub.GetUpload(mive_pb2.GetUploadRequest(upload_id=name)).status.received)

    until(lambda: received() == 2 * CHUNK_BYTES)
    call.cancel()
    offset = received()

    def rest() -> mive_pb2.UploadResponse:
        return server.stub.Upload(split_upload(name, len(data), [data[offset:]], offset=offset))

    assert rest().status.complete
    assert server.stub.Upload(split_upload(name, len(data), [data])).status.complete, "it is there already"


def test_jobs_are_listed_page_by_page(serve: Serve) -> None:
    server = serve().ready()
    jobs = [server.submit(idempotency_key=f"{n}").job_id for n in range(5)]
    page = server.stub.ListJobs(mive_pb2.ListJobsRequest(page_size=2))
    assert [job.job_id for job in page.jobs] == jobs[:2:-1]
    rest = server.stub.ListJobs(mive_pb2.ListJobsRequest(page_size=9, page_token=page.next_page_token))
    assert [job.job_id for job in rest.jobs] == jobs[2::-1]
    assert not rest.next_page_token
    waiting = server.stub.ListJobs(mive_pb2.ListJobsRequest(states=[job_pb2.JOB_STATE_QUEUED]))
    assert jobs[-1] in [job.job_id for job in waiting.jobs]


def test_the_place_in_the_queue_is_told_as_it_changes(serve: Serve) -> None:
    server = serve().ready()
    running = server.submit(caption="a slow cup").job_id
    until(lambda: server.get(running).state == job_pb2.JOB_STATE_RUNNING)
    second, third = (server.submit().job_id for _ in range(2))
    places = []
    for event in server.watch(third):
        places.append(event.queued.position)
        if len(places) == 1:
            server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=second))
        else:
            break
    assert places == [1, 0]


def test_the_same_key_is_one_job(server: Served) -> None:
    answers = [server.stub.SubmitJob(a_submission(idempotency_key="once")) for _ in range(3)]
    assert len({answer.job.job_id for answer in answers}) == 1
    assert [answer.existing for answer in answers] == [False, True, True]
    code, _, _ = refusal(lambda: server.stub.SubmitJob(a_submission("another caption", idempotency_key="once")))
    assert code == grpc.StatusCode.ALREADY_EXISTS


def test_cancelling_takes_one_step(server: Served) -> None:
    job = server.submit().job_id
    events = server.watch(job)
    after = None
    for event in events:
        if event.WhichOneof("event") == "step" and after is None:
            after = event.step.done
            server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
        last = event
    assert last.WhichOneof("event") == "cancelled"
    assert server.get(job).state == job_pb2.JOB_STATE_CANCELLED


def test_a_preview_ends_with_its_client_and_a_job_does_not(server: Served) -> None:
    """Two seconds after the client has gone the preview has stopped; a submitted job goes on unwatched."""
    stream = server.stub.PreviewJob(mive_pb2.PreviewJobRequest(submit=a_submission()))
    preview = next(stream).event.job_id
    assert server.get(preview).priority == job_pb2.PRIORITY_INTERACTIVE
    until(lambda: server.get(preview).state == job_pb2.JOB_STATE_RUNNING)
    stream.cancel()
    until(lambda: server.get(preview).state == job_pb2.JOB_STATE_CANCELLED, 2)
    job = server.submit().job_id
    watched = server.watch(job)
    last = next(watched).sequence
    del watched
    assert server.finish(job).WhichOneof("event") == "done"
    assert all(event.sequence > last for event in server.watch(job, after=last)), "it can be watched again"


def test_deadlines_count_while_a_job_waits(serve: Serve) -> None:
    server = serve().ready()
    server.submit()
    late = server.submit(deadline=Duration(nanos=300_000_000)).job_id
    failed = server.finish(late).failed
    assert failed.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert server.get(late).attempts == 0


def test_a_full_queue_says_when_to_try_again(serve: Serve) -> None:
    server = serve(limits={"queue_jobs": 2}).ready()
    accepted = 0

    def fill() -> None:
        nonlocal accepted
        while True:
            server.submit()
            accepted += 1

    code, sentence, retry = refusal(fill)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry
    assert "2 jobs wait" in sentence
    assert accepted >= 2


def test_loading_and_draining_are_told(serve: Serve) -> None:
    server = serve()
    assert server.health("liveness") == SERVING, "whatever the models do"
    server.ready()
    job = server.submit().job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    server.process.terminate()
    until(lambda: server.health() == NOT_SERVING, 5)
    code, sentence, retry = refusal(server.submit)
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "about to end" in sentence
    assert retry
    assert server.process.wait(60) == 0
    again = serve().ready()
    assert again.finish(job).WhichOneof("event") == "done", "finished in time, or by the next server"


def test_a_model_that_cannot_be_loaded_is_told_with_its_cause(serve: Serve) -> None:
    server = serve(bundle="missing")
    until(lambda: server.stub.GetServerInfo(mive_pb2.GetServerInfoRequest()).info.HasField("cause"))
    info = server.stub.GetServerInfo(mive_pb2.GetServerInfoRequest()).info
    assert info.state == mive_pb2.LOAD_STATE_FAILED
    assert info.cause.what == "the weights are missing"
    assert server.health() == NOT_SERVING
    assert server.health("liveness") == SERVING
    code, sentence, _ = refusal(server.submit)
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "the weights are missing" in sentence
    assert "the weights are missing" in server.log.read_text()


def test_server_info_tells_what_can_be_asked_for(server: Served) -> None:
    info = server.stub.GetServerInfo(mive_pb2.GetServerInfoRequest()).info
    assert (info.engine, info.bundle, info.state) == ("torch", "tiny", mive_pb2.LOAD_STATE_READY)
    assert (info.devices[0].name, info.devices[0].description) == ("cpu", "a device of no kind")
    assert info.devices[0].memory_bytes == 2**30
    assert "mive" in info.versions
    assert info.limits.chunk_bytes == CHUNK_BYTES
    assert info.limits.queue_jobs == 64
    assert info.shared_memory
    assert info.server_paths
    assert "lps_only" in info.plans


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bundle": "owner/any-hub-id"}, "bundle"),
        ({"settings": {"steps": 0}}, "settings.steps"),
        ({"instances": []}, "instances"),
        ({"frames": {"first": 9, "last": 2}}, "frames"),
        ({"clip": {"path": "not/absolute.mkv"}}, "clip"),
    ],
)
def test_a_bad_request_names_its_field(server: Served, change: dict[str, object], word: str) -> None:
    submission = a_submission()
    for name in change:
        submission.request.ClearField(name)
    changed = type(submission.request)(**change)  # type: ignore[arg-type]
    submission.request.MergeFrom(changed)
    code, sentence, _ = refusal(lambda: server.stub.SubmitJob(submission))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert word in sentence


@pytest.mark.parametrize("call", ["GetJob", "CancelJob", "WatchJob", "FetchFrames", "GetManifest"])
def test_an_unknown_job_is_not_found(server: Served, call: str) -> None:
    request = getattr(mive_pb2, f"{call}Request")(job_id="nobody's")
    code, sentence, _ = refusal(lambda: getattr(server.stub, call)(request))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "nobody's" in sentence


def test_two_servers_do_not_share_a_data_folder(serve: Serve) -> None:
    serve()
    with pytest.raises(AssertionError, match="another mive-server uses the data folder"):
        serve()
