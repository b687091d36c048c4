"""Two tokens at one server: nobody cancels, reads, lists or learns of what is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.text_format import Parse
from tests.server.served import Served, a_submission, modelless, refusal

from mive.server.tokens import new_token
from mive.v1 import job_pb2, media_pb2, mive_pb2
from mive.wire.chunks import split_upload, upload_id_of

BYTES = b"12 B of Anna"
CALLS = mive_pb2.DESCRIPTOR.services_by_name["Mive"].methods_by_name

Call = Callable[[str, Any], Any]


class Both:
    """A server that asks for tokens, and what Anna has there: a job that is done, one that runs, an upload, a region.

    Attributes:
        anna, ben, nobody: ``anna("GetJob", request)`` calls as one of them.
    """

    def __init__(self, folder: Path) -> None:
        anna, ben = (new_token(folder / "tokens", name) for name in ("anna", "ben"))
        auth = {"tokens_file": str(folder / "tokens")}
        self.server = modelless(folder / "data", auth=auth, shared_memory=True).ready()
        self.anna, self.ben, self.nobody = (as_client(self.server, token) for token in (anna, ben, None))
        self.job = self.anna("SubmitJob", a_submission("quick")).job.job_id
        *_, end = self.anna("WatchJob", mive_pb2.WatchJobRequest(job_id=self.job))
        assert end.event.WhichOneof("event") == "done"
        self.upload = upload_id_of(BYTES)
        assert self.anna("Upload", split_upload(self.upload, len(BYTES), [BYTES])).status.complete
        self.stream = self.anna("OpenRegion", mive_pb2.OpenRegionRequest(size=4096))
        self.region = next(self.stream).region.region_id


def as_client(server: Served, token: str | None) -> Call:
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    return lambda name, request: getattr(server.stub, name)(request, metadata=metadata, timeout=30)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    both = Both(tmp_path_factory.mktemp("server"))
    yield both
    both.server.close()


def with_clip(**source: Any) -> mive_pb2.SubmitJobRequest:
    submission = a_submission()
    submission.request.clip.CopyFrom(media_pb2.ClipSource(**source))
    return submission


def a_raw_clip(**where: Any) -> media_pb2.RawClip:
    """One frame of 4 × 1 pixels."""
    layout = media_pb2.FrameFormat(width=4, height=1, channels=3, pixel_format=1, row_order=1)
    layout.colour.SetInParent()
    frames = media_pb2.RawFrames(format=layout, count=1, **where)
    return media_pb2.RawClip(frames=frames, rate=media_pb2.Rational(numerator=24, denominator=1))


def one_file(upload: str) -> mive_pb2.SubmitJobRequest:
    return with_clip(files=media_pb2.UploadedFiles(files=[media_pb2.UploadedFile(upload_id=upload, name="shot.mov")]))


def a_matte(upload: str) -> mive_pb2.SubmitJobRequest:
    submission = a_submission()
    submission.request.mattes.uploaded_runs.upload_ids.append(upload)
    return submission


def into(job: str, region: str) -> mive_pb2.FetchFramesRequest:
    return mive_pb2.FetchFramesRequest(job_id=job, into=media_pb2.RegionSlice(region_id=region, size=4096))


BORROWED: dict[str, Callable[[Both], tuple[str, Any]]] = {
    "a job": lambda it: ("GetJob", mive_pb2.GetJobRequest(job_id=it.job)),
    "its events": lambda it: ("WatchJob", mive_pb2.WatchJobRequest(job_id=it.job)),
    "its repetition": lambda it: ("RetryJob", mive_pb2.RetryJobRequest(job_id=it.job)),
    "its end": lambda it: ("CancelJob", mive_pb2.CancelJobRequest(job_id=it.job)),
    "its frames": lambda it: ("FetchFrames", mive_pb2.FetchFramesRequest(job_id=it.job)),
    "its files": lambda it: ("ExportFrames", mive_pb2.ExportFramesRequest(job_id=it.job, name="cut.mov")),
    "its manifest": lambda it: ("GetManifest", mive_pb2.GetManifestRequest(job_id=it.job)),
    "its place in a list": lambda it: ("ListJobs", mive_pb2.ListJobsRequest(page_token=it.job)),
    "an upload": lambda it: ("GetUpload", mive_pb2.GetUploadRequest(upload_id=it.upload)),
    "an upload's end": lambda it: ("DeleteUpload", mive_pb2.DeleteUploadRequest(upload_id=it.upload)),
    "an uploaded clip": lambda it: ("SubmitJob", one_file(it.upload)),
    "a clip to preview": lambda it: ("PreviewJob", mive_pb2.PreviewJobRequest(submit=one_file(it.upload))),
    "an uploaded matte": lambda it: ("SubmitJob", a_matte(it.upload)),
    "uploaded frames": lambda it: (
        "SubmitJob",
        with_clip(frames=a_raw_clip(uploads=media_pb2.UploadedBytes(upload_ids=[it.upload]))),
    ),
    "a region": lambda it: ("CloseRegion", mive_pb2.CloseRegionRequest(region_id=it.region)),
    "frames in a region": lambda it: (
        "SubmitJob",
        with_clip(frames=a_raw_clip(region=media_pb2.RegionSlice(region_id=it.region, size=12))),
    ),
}
FREE = {"GetServerInfo", "Upload", "ListUploads", "OpenRegion"}
"""Calls that name nothing that is there already."""


@pytest.mark.parametrize("thing", BORROWED)
def test_what_is_anothers_is_not_there(both: Both, thing: str) -> None:
    """It is refused in the very words that are used for what does not exist."""
    call, request = BORROWED[thing](both)
    code, sentence, _ = refusal(lambda: both.ben(call, request))
    assert code == grpc.StatusCode.NOT_FOUND
    text = str(request)
    for real, made_up in ((both.job, "0" * 32), (both.upload, "0" * 64), (both.region, "0" * 32)):
        text, sentence = text.replace(real, made_up), sentence.replace(real, made_up).replace(real[:12], made_up[:12])
    unknown = type(request)()
    Parse(text, unknown)
    assert refusal(lambda: both.ben(call, unknown))[:2] == (code, sentence)


def test_frames_do_not_go_into_anothers_region(both: Both) -> None:
    job = both.ben("SubmitJob", a_submission("quick")).job.job_id
    list(both.ben("WatchJob", mive_pb2.WatchJobRequest(job_id=job)))
    assert refusal(lambda: both.ben("FetchFrames", into(job, both.region)))[0] == grpc.StatusCode.NOT_FOUND


def test_every_call_is_tried(both: Both) -> None:
    assert {make(both)[0] for make in BORROWED.values()} | FREE == set(CALLS)


def test_a_list_shows_ones_own_jobs_only(both: Both) -> None:
    mine = both.ben("SubmitJob", a_submission("quick")).job.job_id
    listed = {job.job_id for job in both.ben("ListJobs", mive_pb2.ListJobsRequest(page_size=1000)).jobs}
    assert mine in listed
    assert both.job not in listed
    hers = {job.job_id for job in both.anna("ListJobs", mive_pb2.ListJobsRequest(page_size=1000)).jobs}
    assert both.job in hers
    assert not hers & listed


def test_a_list_shows_ones_own_uploads_only(both: Both) -> None:
    listed = {each.upload_id for each in both.ben("ListUploads", mive_pb2.ListUploadsRequest(page_size=1000)).uploads}
    assert both.upload not in listed
    answer = both.anna("ListUploads", mive_pb2.ListUploadsRequest(page_size=1))
    hers = {each.upload_id for each in answer.uploads}
    while answer.next_page_token:
        answer = both.anna("ListUploads", mive_pb2.ListUploadsRequest(page_size=1, page_token=answer.next_page_token))
        hers |= {each.upload_id for each in answer.uploads}
    assert both.upload in hers
    assert answer.used_bytes >= 4096 * len(hers)


def test_one_key_of_two_tokens_is_two_jobs(both: Both) -> None:
    hers = both.anna("SubmitJob", a_submission("quick", idempotency_key="Monday"))
    mine = both.ben("SubmitJob", a_submission("quick, and another edit", idempotency_key="Monday"))
    assert not mine.existing
    assert mine.job.job_id != hers.job.job_id


def test_the_same_bytes_are_sent_by_each(both: Both) -> None:
    """That somebody else has sent them is not told, not even by how many are still asked for."""
    other = b"bytes that both have"
    name = upload_id_of(other)
    assert both.anna("Upload", split_upload(name, len(other), [other])).status.complete
    assert refusal(lambda: both.ben("GetUpload", mive_pb2.GetUploadRequest(upload_id=name)))[0].name == "NOT_FOUND"
    assert both.ben("Upload", split_upload(name, len(other), [other])).status.complete


def test_what_was_tried_has_changed_nothing(both: Both) -> None:
    running = both.anna("SubmitJob", a_submission()).job.job_id
    for call in ("CancelJob", "GetJob", "WatchJob"):
        refusal(lambda call=call: both.ben(call, getattr(mive_pb2, f"{call}Request")(job_id=running)))
    assert both.anna("GetJob", mive_pb2.GetJobRequest(job_id=both.job)).job.state == job_pb2.JOB_STATE_DONE
    *_, end = both.anna("WatchJob", mive_pb2.WatchJobRequest(job_id=running))
    assert end.event.WhichOneof("event") == "done"
    assert len(list(both.anna("FetchFrames", into(both.job, both.region)))) == 3


@pytest.mark.parametrize("call", CALLS)
def test_without_a_token_every_call_is_refused(both: Both, call: str) -> None:
    request = getattr(mive_pb2, f"{call}Request")()
    code, sentence, _ = refusal(lambda: both.nobody(call, iter([request]) if call == "Upload" else request))
    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert "token" in sentence
