"""Watching: typed events, and how a watch goes on after a break."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.client.fake_server import FakeServer

from mive.base.progress import Progress
from mive.client import Client, Done, NotFound, Preview, Progressed, Queued, Unreachable, Warned, WindowFinished, follow
from mive.client.events import event_from_message
from mive.errors import Cancelled, EngineError, OutOfMemory
from mive.request import EditRequest, FrameRange
from mive.v1 import job_pb2
from mive.wire.errors import error_to_detail


def test_events_are_typed_and_end_with_the_jobs_end(client: Client, edit: EditRequest) -> None:
    events = list(client.watch(client.submit(edit).job_id))
    assert [type(event) for event in events] == [
        Queued, Queued, Progressed, Progressed, Progressed, Progressed, Progressed, Progressed, Preview,
        WindowFinished, Done,
    ]  # fmt: skip
    waiting, moved = events[:2]
    assert isinstance(waiting, Queued)
    assert isinstance(moved, Queued)
    assert (waiting.position, moved.position, moved.attempts) == (2, 0, 1)
    inverted, step, preview, done = events[3], events[4], events[8], events[-1]
    assert isinstance(inverted, Progressed)
    assert inverted.cached
    assert isinstance(step, Progressed)
    assert (step.progress, step.eta) == (Progress("sampling", 1, 4), 30.0)
    assert isinstance(preview, Preview)
    assert np.array_equal(preview.image, np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    assert isinstance(done, Done)
    assert (done.frames, done.warnings, done.cached) == (FrameRange(0, 5), ("the caption is long",), False)
    assert abs((done.time - datetime.now(UTC)).total_seconds()) < 60


def test_a_warning_is_told_as_it_stands() -> None:
    message = job_pb2.JobEvent(
        sequence=2, job_id="j", warned=job_pb2.Warned(warnings=["It has no rate.", "It is grey."])
    )
    event = event_from_message(message)
    assert isinstance(event, Warned)
    assert (event.job_id, event.sequence, event.warnings) == ("j", 2, ("It has no rate.", "It is grey."))


def test_a_broken_watch_goes_on_after_the_last_event_and_tells_none_twice(
    client: Client, server: FakeServer, edit: EditRequest
) -> None:
    job = client.submit(edit)
    server.be.break_watch = (3, 2)
    events = list(client.watch(job.job_id))
    assert server.watched_after == [0, 2, 5]
    assert [event.sequence for event in events] == [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_watch_outlives_a_restart_of_the_server(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit)
    server.be.hold.clear()
    events = client.watch(job.job_id)
    for event in events:
        if isinstance(event, WindowFinished):
            break
    server.stop()
    threading.Timer(0.5, lambda: (server.start(), server.be.hold.set())).start()
    (done,) = events
    assert isinstance(done, Done)
    assert server.watched_after[-1] == 9


def test_a_server_that_stays_away_is_given_up(server: FakeServer, edit: EditRequest) -> None:
    with Client(server.address, patience=0.3) as client:
        job = client.submit(edit)
        server.be.hold.clear()
        events = client.watch(job.job_id)
        next(events)
        threading.Timer(0.1, server.stop).start()
        begun = time.monotonic()
        with pytest.raises(Unreachable, match=r"was lost and could not be made again.*mive watch"):
            list(events)
        assert time.monotonic() - begun < 10


def test_watching_after_the_end_is_no_wait(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit)
    assert list(client.watch(job.job_id, after=10)) == []
    assert [event.sequence for event in client.watch(job.job_id, after=8)] == [9, 10]


def test_events_of_a_newer_server_are_passed_over(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit)
    server.jobs[job.job_id].events[3].ClearField("inversion")
    assert len(list(client.watch(job.job_id))) == 10


def test_the_error_of_a_job_is_that_of_an_edit(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit)
    error = OutOfMemory("no room for 16 frames", fix="Use a smaller window")
    last = server.jobs[job.job_id].events[-1]
    last.failed.CopyFrom(job_pb2.Failed(error=error_to_detail(error), code=8))
    with pytest.raises(EngineError) as raised:
        follow(client, job.job_id)
    assert raised.value.to_dict() == error.to_dict()


def test_a_cancelled_job_ends_its_watch(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit)
    server.be.hold.clear()
    threading.Timer(0.1, lambda: client.cancel(job.job_id)).start()
    with pytest.raises(Cancelled, match="its user cancelled it"):
        follow(client, job.job_id)
    assert client.get(job.job_id).state == "cancelled"


def test_a_job_of_somebody_else_is_not_there(client: Client) -> None:
    for call in (client.get, client.cancel, client.manifest, lambda job: list(client.watch(job))):
        with pytest.raises(NotFound, match=r'there is no job "7"\. List\.'):
            call("7")


def test_a_preview_ends_with_its_iterator(client: Client, server: FakeServer, edit: EditRequest) -> None:
    server.be.hold.clear()
    events = client.preview(edit)
    assert isinstance(next(events), Queued)
    events.close()  # type: ignore[attr-defined]
    server.be.hold.set()
    assert isinstance(list(client.preview(edit))[-1], Done)
    assert all(job.submitted.preview_every == 1 for job in server.jobs.values())


def test_jobs_come_in_pages_newest_first(client: Client, edit: EditRequest) -> None:
    ids = [client.submit(edit).job_id for _ in range(3)]
    first = client.jobs(most=2)
    assert [job.job_id for job in first.jobs] == ids[:0:-1]
    assert first.next_page is not None
    rest = client.jobs(most=2, page=first.next_page)
    assert [job.job_id for job in rest.jobs] == ids[:1]
    assert rest.next_page is None
    assert client.jobs(["failed"]).jobs == ()
    job = client.get(ids[0])
    assert job.state == "done"
    assert job.clip is not None
    assert (job.clip.width, job.clip.frames) == (64, 6)
    assert job.request is not None
    assert job.request.clip == "source.mkv"
