"""The queue as clients see it."""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.rpc import code_pb2
from tests.server.fakes import ANNA, BEN, FakeClock, a_request

from mive.base.progress import Progress
from mive.server.errors import JobNotFound, KeyReused, QueueFull, StoreError
from mive.server.events import MOST_EVENTS
from mive.server.jobs import Handles, Submission
from mive.server.rpc.refusals import code_of
from mive.server.schema import MIGRATIONS
from mive.server.store import JobStore
from mive.v1 import job_pb2
from mive.wire.progress import progress_to_event

Asked = Callable[..., Submission]


def window_finished(window: int) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(window_finished=job_pb2.WindowFinished(window=window))


def test_a_job_is_kept_as_it_was_asked(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    job, new = store.submit(asked(priority="interactive", patience=60.0))
    assert new
    assert job == store.get(ANNA, job.id)
    assert (job.state, job.priority, job.deadline, job.attempts) == ("queued", "interactive", clock() + 60, 0)
    assert job.request == a_request()
    assert not job.finished


def test_a_job_survives_the_process(store: JobStore, asked: Asked) -> None:
    job, _ = store.submit(asked())
    store.close()
    again = JobStore(store.database.path)
    assert again.get(ANNA, job.id) == job
    again.close()


def test_the_same_key_names_the_same_job(store: JobStore, asked: Asked) -> None:
    first, new = store.submit(asked(key="k"))
    again, new_again = store.submit(asked(key="k"))
    assert (new, new_again, again) == (True, False, first)
    assert store.waiting() == 1
    with pytest.raises(KeyReused):
        store.submit(asked("another caption", key="k"))
    _, others = store.submit(asked(key="k", owner=BEN))
    assert others, "keys are an owner's own"
    assert all(store.submit(asked())[1] for _ in range(2)), "jobs without a key are all new"


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"priority": "interactive"}, ["priority"]),
        ({"patience": 61.0}, ["deadline"]),
        ({"patience": None}, ["deadline"]),
        ({"preview_every": 2}, ["preview_every"]),
        ({"handles": Handles(1, 0)}, ["handles.before"]),
        ({"watched": True}, ["PreviewJob or SubmitJob"]),
        ({"request": a_request("a blue ball")}, ["instances[0].caption"]),
        ({"request": a_request("a blue ball"), "priority": "interactive"}, ["instances[0].caption", "priority"]),
    ],
)
def test_the_same_key_with_anything_else_is_told_what_differs(
    store: JobStore, asked: Asked, changes: dict[str, object], differs: list[str]
) -> None:
    same = {"key": "k", "patience": 60.0}
    first, _ = store.submit(asked(**same))
    with pytest.raises(KeyReused) as caught:
        store.submit(asked(**{**same, **changes}))
    assert caught.value.what.endswith(f"differs in {', '.join(differs)}")
    assert code_of(caught.value) == code_pb2.ALREADY_EXISTS
    assert store.submit(asked(**same)) == (first, False)
    assert store.waiting() == 1


def test_the_same_key_at_the_same_moment_makes_one_job(store: JobStore, asked: Asked) -> None:
    jobs: list[str] = []

    def submit() -> None:
        own = JobStore(store.database.path)
        jobs.append(own.submit(asked(key="k"))[0].id)
        own.close()

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == 8
    assert len(set(jobs)) == 1


def test_a_full_queue_refuses_within_50_ms(store: JobStore, asked: Asked) -> None:
    first, _ = store.submit(asked(key="k"))
    for _ in range(store.queue_limit - 1):
        store.submit(asked())
    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        with pytest.raises(QueueFull) as caught:
            store.submit(asked())
        seconds.append(time.perf_counter() - begin)
    assert caught.value.retry_after > 0
    assert statistics.median(seconds) < 0.05
    assert store.submit(asked(key="k")) == (first, False), "a job that is there needs no room"
    store.leases.claim("w", 10)
    assert store.submit(asked())[1], "running jobs take no room in the queue"


def test_one_owner_does_not_fill_the_queue(tmp_path: Path, asked: Asked) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", owner_limit=2)
    store.submit(asked())
    store.submit(asked())
    store.leases.claim("w", 10)
    with pytest.raises(QueueFull, match="2 jobs"):
        store.submit(asked())
    assert store.submit(asked(owner=BEN))[1]
    store.close()


def test_nobody_sees_or_touches_anothers_jobs(store: JobStore, asked: Asked) -> None:
    mine, _ = store.submit(asked())
    for touch in (store.get, store.cancel, store.events, store.position):
        with pytest.raises(JobNotFound) as denied:
            touch(BEN, mine.id)
        with pytest.raises(JobNotFound) as missing:
            touch(BEN, "0" * 32)
        assert denied.value.message() == missing.value.message().replace("0" * 32, mine.id)
    assert store.jobs(BEN) == []
    with pytest.raises(JobNotFound):
        store.jobs(BEN, before=mine.id)
    assert store.get(ANNA, mine.id).state == "queued"


def test_jobs_are_listed_newest_first_in_pages(store: JobStore, asked: Asked) -> None:
    jobs = [store.submit(asked(f"caption {n}"))[0] for n in range(5)][::-1]
    assert store.jobs(ANNA) == jobs
    assert store.jobs(ANNA, limit=2) == jobs[:2]
    assert store.jobs(ANNA, before=jobs[1].id) == jobs[2:]


def test_positions_count_the_jobs_that_start_before(store: JobStore, asked: Asked) -> None:
    batch = [store.submit(asked())[0].id for _ in range(2)]
    urgent = [store.submit(asked(priority="interactive"))[0].id for _ in range(2)]
    assert [store.position(ANNA, job) for job in (*urgent, *batch)] == [0, 1, 2, 3]
    claimed = [job.id for _ in range(4) if (job := store.leases.claim("w", 10))]
    assert claimed == [*urgent, *batch]
    assert store.position(ANNA, batch[0]) is None


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_told(store: JobStore, asked: Asked) -> None:
    running, _ = store.submit(asked())
    waiting, _ = store.submit(asked())
    store.leases.claim("w", 10)
    assert store.cancel(ANNA, waiting.id).state == "cancelled"
    assert store.cancel(ANNA, running.id, "nobody watched").cancelling
    assert store.leases.cancelling(running.id, "w") == "nobody watched"
    store.leases.cancelled(running.id, "w", "nobody watched")
    done = store.cancel(ANNA, running.id)
    assert (done.state, done.finished) == ("cancelled", True)
    assert [e.WhichOneof("event") for e in store.events(ANNA, running.id)] == ["queued", "cancelled"]


def test_a_watcher_goes_on_where_it_broke_off(store: JobStore, asked: Asked) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("w", 10)
    for done in range(1, 50):
        store.leases.event(job.id, "w", progress_to_event(Progress("sampling", done, 50)), slot="sampling")
        if done % 10 == 0:
            store.leases.event(job.id, "w", window_finished(done // 10))
    seen = store.events(ANNA, job.id)
    kinds = [event.WhichOneof("event") for event in seen]
    assert kinds == ["queued", *["window_finished"] * 4, "step"], "progress replaces itself, the rest stays"
    assert [e.sequence for e in seen] == sorted({e.sequence for e in seen})
    assert store.events(ANNA, job.id, after=seen[2].sequence) == seen[3:]
    assert store.events(ANNA, job.id, after=seen[-1].sequence) == []
    assert store.get(ANNA, job.id).last_event == seen[-1].sequence
    assert store.events(ANNA, job.id, limit=2) == seen[:2]


def test_what_an_older_version_told_of_a_job_is_refused_and_nothing_else(store: JobStore, asked: Asked) -> None:
    old, _ = store.submit(asked())
    store.leases.claim("w", 10)
    store.leases.done(old.id, "w", "{}", job_pb2.Done(cached=True))
    with store.database.transaction() as write:
        write.execute("UPDATE events SET message = ?", ('{"attempts": 0}',))
    new, _ = store.submit(asked())
    with pytest.raises(StoreError, match="another version of MIVE"):
        store.events(ANNA, old.id)
    assert [event.WhichOneof("event") for event in store.events(ANNA, new.id)] == ["queued"]
    assert store.get(ANNA, old.id).state == "done"


def test_a_jobs_events_are_bounded(store: JobStore, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_EVENTS > 1000
    monkeypatch.setattr("mive.server.events.MOST_EVENTS", 20)
    job, _ = store.submit(asked())
    store.leases.claim("w", 10)
    for window in range(30):
        store.leases.event(job.id, "w", window_finished(window))
    seen = store.events(ANNA, job.id)
    assert [event.window_finished.window for event in seen] == list(range(10, 30))


def test_a_database_of_a_newer_version_is_left_alone(store: JobStore) -> None:
    store.close()
    with sqlite3.connect(store.database.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="version 99"):
        JobStore(store.database.path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        JobStore(tmp_path / "jobs.sqlite")


def test_only_this_user_reads_the_store(store: JobStore) -> None:
    assert store.database.path.stat().st_mode & 0o077 == 0
