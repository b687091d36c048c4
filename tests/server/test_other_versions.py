"""Rows that this version cannot read: one fails its own job, and stops nobody else."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.fakes import ANNA, FakeRenderer
from tests.server.served import Served, modelless, until

from mive.errors import OutputError
from mive.request import FrameRange
from mive.server.jobs import Submission
from mive.server.metrics import Metrics
from mive.server.options import Folders, WorkerOptions
from mive.server.rpc.messages import add_details, job_to_message
from mive.server.store import JobStore
from mive.server.worker import Worker
from mive.v1 import job_pb2, mive_pb2

Asked = Callable[..., Submission]

POISON = {
    "a request of a later version": ("request", '{"version": 9, "shots": []}'),
    "a request that is none": ("request", "not JSON"),
    "a request in bytes": ("request", b"\xff\x00"),
    "a priority of a later version": ("priority", 7),
    "a priority in words": ("priority", "urgent"),
    "a negative priority": ("priority", -1),
    "a state of a later version": ("state", "paused"),
    "a time in words": ("created", "yesterday"),
    "a time without end": ("created", float("inf")),
    "handles in words": ("before", "a few"),
    "a clip in words": ("clip", "a clip"),
    "half a range": ("first", -5),
    "a deadline in words": ("deadline", "soon"),
    "an error that is none": ("error", "[]"),
}  # fmt: skip


def spoil(store: JobStore, job: str, column: str, value: object) -> None:
    with store.database.transaction() as write:
        write.execute(f"UPDATE jobs SET {column} = ?, last = 9 WHERE id = ?", (value, job))


@pytest.mark.parametrize("kind", POISON)
def test_a_row_of_another_version_fails_its_job_alone(store: JobStore, asked: Asked, tmp_path: Path, kind: str) -> None:
    bad, _ = store.submit(asked(priority="interactive", key="k"))
    good, _ = store.submit(asked())
    spoil(store, bad.id, *POISON[kind])
    assert [job.id for job in store.jobs(ANNA)] == [good.id, bad.id]
    assert len(store.unfinished()) <= 2
    store.cancel_watched("nobody")
    store.leases.fail_unreadable()
    worker = Worker(store, WorkerOptions(name="w", data=tmp_path), FakeRenderer())
    assert worker.step()
    assert store.get(ANNA, good.id).state == "done"
    failed = store.get(ANNA, bad.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert "another version of MIVE" in str(failed.error["what"])
    message = job_to_message(failed, None, [], lambda text, *, apart=False: text)
    add_details(message, failed, lambda text, *, apart=False: text)
    assert message.error.fix
    assert store.events(ANNA, bad.id)[-1].HasField("failed")
    assert not worker.step()


def test_a_worker_that_meets_one_first_goes_on_with_the_next(store: JobStore, asked: Asked) -> None:
    bad, _ = store.submit(asked(priority="interactive"))
    good, _ = store.submit(asked())
    spoil(store, bad.id, "request", "{}")
    claimed = store.leases.claim("w", 10)
    assert claimed is not None
    assert claimed.id == good.id
    assert store.get(ANNA, bad.id).state == "failed"


def test_a_number_that_is_taken_keeps_no_job_from_ending(store: JobStore, asked: Asked) -> None:
    for number in (0, -3, 2**62, "many"):
        job, _ = store.submit(asked())
        spoil(store, job.id, "last_event", number)
        store.cancel(ANNA, job.id)
        assert store.get(ANNA, job.id).state == "cancelled"
        assert [event.sequence for event in store.events(ANNA, job.id)] == [1, 2]


def test_a_worker_of_another_version_is_left_out(store: JobStore) -> None:
    store.leases.announce("a", "cpu", "ready")
    store.leases.announce("b", "cpu", "ready")
    for about in ('{"bogomips": 1}', "[1, 2]", "nothing"):
        with store.database.transaction() as write:
            write.execute("UPDATE workers SET about = ? WHERE name = 'a'", (about,))
        assert [status.name for status in store.leases.workers()] == ["b"]


@pytest.mark.parametrize("expires", ["never", b"\xff", 1e300, float("inf")])
def test_a_lease_of_another_version_holds_no_job_for_ever(store: JobStore, asked: Asked, expires: object) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("one", 10)
    with store.database.transaction() as write:
        write.execute("UPDATE leases SET expires = ?", (expires,))
    taken = store.leases.claim("two", 10)
    assert taken is not None
    assert taken.id == job.id


@pytest.mark.parametrize("label", [("name", b"\xff"), ("value", b"\xff"), ("value", 7)])
def test_a_label_of_another_version_is_left_out(store: JobStore, asked: Asked, label: tuple[str, object]) -> None:
    job, _ = store.submit(asked(labels={"shot": "1", "user": "anna"}))
    with store.database.transaction() as write:
        write.execute(f"UPDATE labels SET {label[0]} = ? WHERE name = 'shot'", (label[1],))
    labels = store.labels([job.id])[job.id]
    assert labels["user"] == "anna"
    assert job_to_message(job, None, [], lambda text, *, apart=False: text, labels).labels["user"] == "anna"


@pytest.mark.parametrize("manifest", ["{}", "[]", "no JSON", b"\xff", '{"frames": null, "seconds": 1}'])
def test_a_manifest_of_another_version_is_a_job_that_ended(
    store: JobStore, asked: Asked, tmp_path: Path, manifest: object
) -> None:
    class Nobody:
        def start(self) -> None: ...
        def drain(self, seconds: float) -> None: ...
        def statuses(self) -> list[object]:
            return []

    metrics = Metrics(store, Nobody(), Folders(data=tmp_path))  # type: ignore[arg-type]
    store.submit(asked())
    job = store.leases.claim("w", 10)
    assert job is not None
    store.leases.opened(job.id, "w", FrameRange(0, 1), b"")
    store.leases.done(job.id, "w", "{}", job_pb2.Done())
    spoil(store, job.id, "manifest", manifest)
    assert metrics.registry.get_sample_value("mive_jobs_ended_total", {"outcome": "done"}) == 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    served = modelless(tmp_path / "data")
    yield served
    served.close()


def test_a_running_server_fails_one_within_a_second_and_goes_on(
    server: Served, record_property: Callable[[str, object], None]
) -> None:
    server.ready()
    running = server.submit(caption="a slow cube").job_id
    waiting = [server.submit(caption="a quick cube").job_id for _ in range(3)]
    until(lambda: server.get(running).state == job_pb2.JOB_STATE_RUNNING)
    store = JobStore(server.data / "jobs.sqlite")
    spoil(store, waiting[0], "request", '{"version": 9}')
    started = time.monotonic()
    until(lambda: server.get(waiting[0]).state == job_pb2.JOB_STATE_FAILED, 5)
    took = time.monotonic() - started
    record_property("seconds until it failed, while another job ran", round(took, 2))
    assert took < 2, "1 s, and some for a busy machine"
    assert len(server.stub.ListJobs(mive_pb2.ListJobsRequest()).jobs) == 4
    assert [event.WhichOneof("event") for event in server.watch(waiting[0])] == ["queued", "failed"]
    store.close()
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=running))
    assert [server.finish(job).WhichOneof("event") for job in waiting[1:]] == ["done", "done"]
    assert server.get(waiting[1]).attempts == 1


def test_rows_spoilt_at_random_stop_nothing(store: JobStore, asked: Asked, tmp_path: Path) -> None:
    """Any column of any waiting job, with whatever a column can hold."""
    rng = random.Random(0)
    with store.database.transaction() as write:
        columns = [row[1] for row in write.execute("PRAGMA table_info(jobs)")]
    free = [name for name in columns if name not in ("number", "id", "owner", "key")]
    values = (None, "", "x" * 9999, b"\x80", -1, 0, 1, 2**63 - 1, -(2**63), 1e308, float("-inf"), "[]", "{}", "queued")
    worker = Worker(store, WorkerOptions(name="w", data=tmp_path), FakeRenderer(steps=1))
    for _ in range(60):
        job, _ = store.submit(asked())
        for _ in range(rng.choice((1, 2))):
            column, value = rng.choice(free), rng.choice(values)
            with contextlib.suppress(OutputError):
                spoil(store, job.id, column, value)
        store.leases.sweep()
        store.leases.fail_unreadable()
        while worker.step():
            pass
        for each in store.jobs(ANNA, limit=3):
            job_to_message(each, None, [], lambda text, *, apart=False: text)
    assert store.counts()["queued"] == store.counts()["running"] == 0
    assert store.counts()["done"] > 10, "what was not spoilt for good was edited"
