"""What lists tell of jobs, how they are found, and how they are tried once more."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import grpc
import pytest
from tests.server.fakes import ANNA, BEN, FakeClock
from tests.server.served import Served, a_submission, modelless, refusal, until

from mive.base.progress import Progress
from mive.client import Client, NotFound
from mive.server.jobs import Submission
from mive.server.rpc.messages import job_to_message
from mive.server.store import JobStore
from mive.v1 import job_pb2, media_pb2, mive_pb2
from mive.wire.chunks import split_upload, upload_id_of
from mive.wire.progress import progress_to_event

Asked = Callable[..., Submission]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = modelless(tmp_path_factory.mktemp("lists") / "data").ready()
    yield served
    served.close()


def unredacted(text: str, *, apart: bool = False) -> str:
    return text


def listed(server: Served, **labels: str) -> list[job_pb2.Job]:
    return list(server.stub.ListJobs(mive_pb2.ListJobsRequest(labels=labels)).jobs)


def test_a_running_job_tells_how_far_it_is_and_how_long_it_will_take(
    store: JobStore, asked: Asked, clock: FakeClock
) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("w", 10)
    assert not job_to_message(store.get(ANNA, job.id), None, [], unredacted).HasField("progress")
    event = progress_to_event(Progress("sampling", 3, 9))
    store.leases.event(job.id, "w", event, "sampling", ("sampling", 0.25, 60.0))
    clock.seconds += 20
    told = job_to_message(store.get(ANNA, job.id), None, [], unredacted, now=clock()).progress
    assert (told.stage, told.share, told.eta.seconds) == (job_pb2.JOB_STAGE_STEP, 0.25, 40)
    clock.seconds += 100
    late = job_to_message(store.get(ANNA, job.id), None, [], unredacted, now=clock()).progress
    assert late.HasField("eta")
    assert late.eta.seconds == 0
    store.leases.release_all("w")
    store.leases.claim("another", 10)
    again = job_to_message(store.get(ANNA, job.id), None, [], unredacted)
    assert not again.HasField("progress"), "what the last worker reached is not where this one is"


def test_jobs_are_found_by_all_of_their_labels(store: JobStore, asked: Asked) -> None:
    cups, _ = store.submit(asked(labels={"project": "cups", "shot": "010"}))
    other, _ = store.submit(asked(labels={"project": "cups", "shot": "020"}))
    store.submit(asked())
    store.submit(asked(owner=BEN, labels={"project": "cups", "shot": "010"}))
    assert [job.id for job in store.jobs(ANNA, labels={"project": "cups"})] == [other.id, cups.id]
    assert [job.id for job in store.jobs(ANNA, labels={"project": "cups", "shot": "010"})] == [cups.id]
    assert store.jobs(ANNA, labels={"project": "cups", "shot": "030"}) == []
    assert store.labels([cups.id, other.id])[other.id] == {"project": "cups", "shot": "020"}
    store.cancel(ANNA, cups.id)
    store.forget(10.0, 0)
    assert store.forget(11.0, 0) == [cups.id]
    assert store.database.read("SELECT 1 FROM labels WHERE job = ?", cups.id) == []


def test_labels_come_back_and_filter(server: Served) -> None:
    job = server.submit(caption="quick", labels={"project": "cups", "user": "Änna"})
    assert dict(job.labels) == {"project": "cups", "user": "Änna"}
    server.submit(caption="quick")
    assert [each.job_id for each in listed(server, user="Änna")] == [job.job_id]
    assert dict(server.get(job.job_id).labels) == dict(job.labels)
    assert dict(listed(server, user="Änna")[0].labels) == dict(job.labels)
    server.finish(job.job_id)


@pytest.mark.parametrize(
    "labels", [{"": "x"}, {"a b": "x"}, {"x" * 65: ""}, {"a": "x" * 257}, {str(number): "" for number in range(17)}]
)
def test_labels_that_cannot_be_are_refused(server: Served, labels: dict[str, str]) -> None:
    for call in (
        lambda: server.submit(labels=labels),
        lambda: server.stub.ListJobs(mive_pb2.ListJobsRequest(labels=labels)),
    ):
        code, sentence, _ = refusal(call)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert sentence.startswith("labels: ")


def test_a_job_that_failed_or_was_cancelled_is_tried_once_more(server: Served) -> None:
    huge = server.submit(caption="huge, quick", labels={"shot": "1"}, preview_every=3, handles={"before": 2})
    slow = server.submit(caption="a slow cube").job_id
    server.finish(huge.job_id)
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=slow))
    server.finish(slow)
    for job in (huge.job_id, slow):
        request = mive_pb2.RetryJobRequest(job_id=job, idempotency_key=f"again {job}")
        answer = server.stub.RetryJob(request)
        assert answer.job.retry_of == job
        assert answer.job.job_id != job
        assert not answer.existing
        assert server.get(answer.job.job_id).request == server.get(job).request
        assert dict(answer.job.labels) == dict(server.get(job).labels)
        again = server.stub.RetryJob(request)
        assert (again.existing, again.job.job_id) == (True, answer.job.job_id), "under one key it is one job"
        server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=answer.job.job_id))


def test_a_job_that_goes_on_or_is_done_is_not_tried_again(server: Served) -> None:
    job = server.submit(caption="a slow cube").job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    retry = mive_pb2.RetryJobRequest(job_id=job)
    assert refusal(lambda: server.stub.RetryJob(retry))[0] == grpc.StatusCode.FAILED_PRECONDITION
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
    done = server.submit(caption="quick").job_id
    server.finish(done)
    code, sentence, _ = refusal(lambda: server.stub.RetryJob(mive_pb2.RetryJobRequest(job_id=done)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "the job is done" in sentence
    assert refusal(lambda: server.stub.RetryJob(mive_pb2.RetryJobRequest(job_id="0")))[0] == grpc.StatusCode.NOT_FOUND


def test_what_is_no_longer_kept_cannot_be_tried_again(server: Served) -> None:
    data = b"no video"
    server.stub.Upload(split_upload(upload_id_of(data), len(data), [data]))
    submission = a_submission("huge, quick")
    file = media_pb2.UploadedFile(upload_id=upload_id_of(data), name="shot.mov")
    submission.request.clip.files.CopyFrom(media_pb2.UploadedFiles(files=[file]))
    job = server.stub.SubmitJob(submission).job.job_id
    server.finish(job)
    again = server.stub.RetryJob(mive_pb2.RetryJobRequest(job_id=job)).job.job_id
    server.finish(again)
    for staged in list((server.data / "inputs").glob("*/*/shot.mov")):
        shutil.rmtree(staged.parent)
    code, sentence, _ = refusal(lambda: server.stub.RetryJob(mive_pb2.RetryJobRequest(job_id=job)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "no longer kept" in sentence


def test_uploads_are_listed_and_deleted_by_the_client(server: Served) -> None:
    with Client(server.address) as client:
        names = {client.upload(data) for data in (b"one", b"another")}
        assert names <= {each.upload_id for each in client.uploads() if each.complete}
        for name in names:
            client.delete_upload(name)
        assert not names & {each.upload_id for each in client.uploads()}
        with pytest.raises(NotFound):
            client.delete_upload(names.pop())


def test_a_client_finds_labels_progress_and_repetitions(server: Served) -> None:
    with Client(server.address) as client:
        job = server.submit(caption="a slow cube", labels={"shot": "client"}).job_id
        until(lambda: (told := client.jobs(labels={"shot": "client"}).jobs[0].progress) and told.stage == "sampling")
        client.cancel(job)
        server.finish(job)
        again = client.retry(job)
        assert (again.retry_of, dict(again.labels), again.progress) == (job, {"shot": "client"}, None)
        client.cancel(again.job_id)


def test_a_list_shows_how_far_the_running_job_is(server: Served) -> None:
    job = server.submit(caption="a slow cube", labels={"shot": "far"}).job_id
    until(lambda: listed(server, shot="far")[0].progress.stage == job_pb2.JOB_STAGE_STEP)
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
    server.finish(job)
    assert not listed(server, shot="far")[0].HasField("progress")
