"""Submitting: keys, refusals, and how clip and mattes get there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.rpc import code_pb2
from tests.client.fake_server import FakeServer, edited

from mive.base.progress import Progress
from mive.client import Busy, Client, Done
from mive.errors import MatteError, MediaError, MiveError, RequestError
from mive.media import open_clip
from mive.media.matte_tracks import IdTrack
from mive.request import EditRequest, FrameRange, Instance
from mive.v1 import job_pb2


def test_a_job_by_upload_has_the_files_their_names_and_the_edit(
    client: Client, server: FakeServer, edit: EditRequest
) -> None:
    told: list[Progress] = []
    job = client.submit(edit, priority="interactive", deadline=30, preview_every=2, report=told.append)
    sent = server.jobs[job.job_id].submitted
    assert [file.name for file in sent.request.clip.files.files] == ["source.mkv"]
    assert [file.name for file in sent.request.mattes.files.files] == [f"{n:04}.png" for n in range(6)]
    held = server.uploads[sent.request.clip.files.files[0].upload_id]
    assert bytes(held) == Path(edit.clip).read_bytes()
    assert sent.priority == job_pb2.PRIORITY_INTERACTIVE
    assert sent.deadline.seconds == 30
    assert sent.preview_every == 2
    assert not sent.request.HasField("bundle"), "what the request leaves open is the server's to choose"
    assert [i.caption for i in sent.request.instances] == ["a red ball", "a blue cup"]
    assert job.frames == FrameRange(0, 5)
    assert {progress.stage for progress in told} == {"send"}


def test_a_bundle_that_is_named_travels(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(EditRequest(**{**edit.model_dump(exclude_unset=True), "bundle": "tiny"}))
    assert server.jobs[job.job_id].submitted.request.bundle == "tiny"


def test_the_second_submission_sends_no_bytes_again(client: Client, server: FakeServer, edit: EditRequest) -> None:
    client.submit(edit)
    before = server.calls["Upload"]
    assert before == 7
    client.submit(edit)
    assert server.calls["Upload"] == before
    assert len(server.jobs) == 2, "another submission is another job"


def test_an_answer_that_was_lost_makes_no_second_job(client: Client, server: FakeServer, edit: EditRequest) -> None:
    client.server_info()
    server.be.lose_submits = 2
    job = client.submit(edit)
    assert server.calls["SubmitJob"] == 3
    assert list(server.jobs) == [job.job_id]


def test_one_key_is_one_job(client: Client, server: FakeServer, edit: EditRequest) -> None:
    assert client.submit(edit, key="shot 7").job_id == client.submit(edit, key="shot 7").job_id
    assert len(server.jobs) == 1


def test_a_full_queue_is_an_error_that_says_when_to_come_back(
    client: Client, server: FakeServer, edit: EditRequest
) -> None:
    full = MiveError("64 jobs wait already", expected="fewer", fix="Try again in 12 s")
    server.be.refusals = [(full, code_pb2.RESOURCE_EXHAUSTED, 12.0)]
    with pytest.raises(Busy) as error:
        client.submit(edit)
    assert error.value.retry_after == 12
    assert error.value.message() == full.message()


def test_a_client_can_wait_for_room(client: Client, server: FakeServer, edit: EditRequest) -> None:
    full, draining = MiveError("full"), MiveError("the server is about to end")
    server.be.refusals = [(full, code_pb2.RESOURCE_EXHAUSTED, 0.01), (draining, code_pb2.UNAVAILABLE, 0.01)]
    told: list[Progress] = []
    client.submit(edit, wait_for_room=True, report=told.append)
    assert server.calls["SubmitJob"] == 3
    assert Progress("room", 0, 1) in told


def test_a_refused_edit_is_the_error_of_a_local_one(client: Client, server: FakeServer, edit: EditRequest) -> None:
    wrong = MatteError("Instance 2 never occurs", expected="1", fix="Change the id", field="instances[1].matte")
    server.be.refusals = [(wrong, code_pb2.INVALID_ARGUMENT, None)]
    with pytest.raises(MatteError) as error:
        client.submit(edit)
    assert error.value.to_dict() == wrong.to_dict()


def test_files_that_are_not_here_are_found_out_before_anything_is_sent(
    client: Client, server: FakeServer, edit: EditRequest
) -> None:
    for field, kind in (("clip", MediaError), ("mattes", MatteError)):
        with pytest.raises(kind, match=r"nowhere\.png"):
            client.submit(edit.model_copy(update={field: "/nowhere.png"}))
    assert server.calls["Upload"] == 0


def test_paths_are_sent_where_the_server_takes_them(client: Client, server: FakeServer, edit: EditRequest) -> None:
    with pytest.raises(RequestError, match="does not take paths"):
        client.submit(edit, send="path")
    server.be.server_paths = True
    job = client.submit(edit)
    request = server.jobs[job.job_id].submitted.request
    assert (request.clip.path, request.mattes.path) == (edit.clip, edit.mattes)
    assert server.calls["Upload"] == 0


def test_relative_paths_are_uploaded_unless_paths_are_asked_for(
    client: Client, server: FakeServer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.be.server_paths = True
    monkeypatch.chdir(Path(edit.clip).parent)
    relative = edit.model_copy(update={"clip": "source.mkv"})
    assert server.jobs[client.submit(relative).job_id].submitted.request.clip.HasField("files")
    asked = server.jobs[client.submit(relative, send="path").job_id].submitted.request
    assert asked.clip.path == edit.clip


def test_a_range_from_memory_is_the_servers_whole_clip_and_keeps_its_numbers_here(
    client: Client, server: FakeServer, edit: EditRequest
) -> None:
    server.be.shared_memory = True
    part = edit.model_copy(update={"frames": FrameRange(3, 4)})
    job = client.submit(part, send="memory", handles=(1, 9))
    there = server.jobs[job.job_id]
    assert there.submitted.request.clip.frames.frames.count == 4
    assert there.submitted.request.frames.first == 1
    assert job.frames == FrameRange(2, 5)
    source = dict(enumerate(open_clip(edit.clip).read()))
    fetched = dict(client.fetch(job.job_id))
    assert list(fetched) == [2, 3, 4, 5]
    for index, frame in fetched.items():
        assert np.array_equal(frame, edited(source[index]))
    ids = IdTrack(Path(edit.mattes or ""), "mattes")
    for number, matte in enumerate(there.raw_mattes["mattes"]):
        assert matte.dtype == np.uint8
        assert np.array_equal(matte, ids.read(2 + number))
    done = list(client.watch(job.job_id))[-1]
    assert isinstance(done, Done)
    assert done.frames == FrameRange(2, 5)
    assert client.get(job.job_id).finished == (FrameRange(2, 5),)
    assert server.calls["Upload"] == 0
    assert server.has_no_regions(), "the memory went with the call that needed it"


def test_a_soft_matte_from_memory_is_sent_as_coverage(client: Client, server: FakeServer, edit: EditRequest) -> None:
    server.be.shared_memory = True
    own = Instance(id=2, caption="a blue cup", matte=edit.mattes)
    job = client.submit(edit.model_copy(update={"instances": (edit.instances[0], own)}), send="memory")
    mattes = server.jobs[job.job_id].raw_mattes
    track = IdTrack(Path(edit.mattes or ""), "mattes")
    assert np.array_equal(mattes["2"][4], (track.read(4) / np.float32(255)).astype(np.float32))
    assert set(np.unique(mattes["mattes"][0])) == {0, 1}, "only the ids that need it"


def test_mattes_from_memory_that_do_not_fit_are_told_by_their_field(
    client: Client, server: FakeServer, edit: EditRequest, tmp_path: Path
) -> None:
    server.be.shared_memory = True
    own = Instance(id=2, caption="a blue cup", matte=str(tmp_path / "none.png"))
    with pytest.raises(MatteError) as error:
        client.submit(edit.model_copy(update={"instances": (edit.instances[0], own)}), send="memory")
    assert error.value.field == "instances[1].matte"
    with pytest.raises(MediaError, match="4-9"):
        client.submit(edit.model_copy(update={"frames": FrameRange(4, 9)}), send="memory")


def test_memory_needs_a_server_that_has_it_switched_on(client: Client, edit: EditRequest) -> None:
    with pytest.raises(RequestError, match=r"switched off.*--send upload"):
        client.submit(edit, send="memory")
