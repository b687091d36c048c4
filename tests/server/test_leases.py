"""The queue as workers see it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.server.fakes import ANNA, FakeClock

from mive.errors import BundleError, MediaError
from mive.request import FrameRange
from mive.server.events import queued
from mive.server.jobs import Submission
from mive.server.leases import MOST_FRUITLESS, LeaseLost
from mive.server.store import JobStore
from mive.v1 import job_pb2

Asked = Callable[..., Submission]


def test_a_lease_keeps_others_away_until_it_expires(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    job, _ = store.submit(asked())
    leases = store.leases
    assert leases.claim("one", 10) is not None
    assert leases.claim("two", 10) is None
    clock.seconds += 9
    leases.renew(job.id, "one", 10)
    clock.seconds += 9
    assert leases.claim("two", 10) is None, "the heartbeat keeps it"
    clock.seconds += 2
    again = leases.claim("two", 10)
    assert again is not None
    assert (again.id, again.attempts, again.state) == (job.id, 2, "running")


def test_a_worker_that_lost_its_job_is_refused(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    job, _ = store.submit(asked())
    leases = store.leases
    leases.claim("one", 10)
    clock.seconds += 11
    leases.claim("two", 10)
    late: list[Callable[[], object]] = [
        lambda: leases.renew(job.id, "one", 10),
        lambda: leases.cancelling(job.id, "one"),
        lambda: leases.event(job.id, "one", queued(0)),
        lambda: leases.opened(job.id, "one", FrameRange(0, 1), b"clip"),
        lambda: leases.narrow(job.id, "one", 4),
        lambda: leases.release(job.id, "one"),
        lambda: leases.done(job.id, "one", "{}", job_pb2.Done()),
        lambda: leases.failed(job.id, "one", MediaError("broken")),
        lambda: leases.cancelled(job.id, "one", "why"),
    ]
    before = store.get(ANNA, job.id)
    for write in late:
        with pytest.raises(LeaseLost):
            write()
    assert store.get(ANNA, job.id) == before


def test_eight_workers_never_share_a_job(store: JobStore, asked: Asked) -> None:
    for _ in range(8):
        store.submit(asked())
    claimed: list[str] = []

    def work(name: str) -> None:
        own = JobStore(store.database.path)
        while (job := own.leases.claim(name, 60)) is not None:
            claimed.append(job.id)
        own.close()

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 8


def test_a_job_past_its_deadline_never_starts(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    late, _ = store.submit(asked(patience=5.0))
    good, _ = store.submit(asked(patience=50.0))
    clock.seconds += 6
    claimed = store.leases.claim("w", 10)
    assert claimed is not None
    assert claimed.id == good.id
    failed = store.get(ANNA, late.id)
    assert (failed.state, failed.started, failed.attempts) == ("failed", None, 0)
    assert failed.error is not None
    assert failed.error["error"] == "DeadlinePassed"
    assert store.events(ANNA, late.id)[-1].HasField("failed")


def test_a_deadline_does_not_count_once_the_job_has_started(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    job, _ = store.submit(asked(patience=5.0))
    store.leases.claim("one", 10)
    store.leases.release(job.id, "one")
    clock.seconds += 60
    again = store.leases.claim("two", 10)
    assert again is not None
    assert again.id == job.id


def test_a_cancelled_job_whose_worker_died_ends(store: JobStore, asked: Asked, clock: FakeClock) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("one", 10)
    store.cancel(ANNA, job.id)
    clock.seconds += 11
    assert store.leases.claim("two", 10) is None
    assert store.get(ANNA, job.id).state == "cancelled"


def test_the_jobs_of_a_dead_worker_are_free_at_once(store: JobStore, asked: Asked) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("one", 1000)
    assert store.leases.release_all("one") == [job.id]
    assert store.leases.claim("two", 10) is not None
    assert [e.queued.attempts for e in store.events(ANNA, job.id)] == [0, 1]


def test_a_job_that_kills_its_workers_is_given_up(store: JobStore, asked: Asked) -> None:
    job, _ = store.submit(asked())
    for n in range(MOST_FRUITLESS):
        assert store.leases.claim(f"worker {n}", 10) is not None
        store.leases.release_all(f"worker {n}")
    assert store.leases.claim("one more", 10) is None
    failed = store.get(ANNA, job.id)
    assert failed.error is not None
    assert failed.error["error"] == "EngineError"


def test_a_job_that_gets_ahead_may_be_killed_any_number_of_times(store: JobStore, asked: Asked) -> None:
    job, _ = store.submit(asked())
    for n in range(3 * MOST_FRUITLESS):
        assert store.leases.claim(f"worker {n}", 10) is not None
        store.leases.checkpointed(job.id, f"worker {n}")
        store.leases.release_all(f"worker {n}")
    assert store.get(ANNA, job.id).attempts == 3 * MOST_FRUITLESS


def test_endings_are_kept(store: JobStore, asked: Asked) -> None:
    good, _ = store.submit(asked())
    bad, _ = store.submit(asked())
    leases = store.leases
    leases.claim("w", 10)
    leases.opened(good.id, "w", FrameRange(3, 7), b"clip")
    leases.done(good.id, "w", '{"manifest": 1}', job_pb2.Done())
    leases.claim("w", 10)
    leases.failed(bad.id, "w", MediaError("the clip is broken", field="clip"))
    done, failed = store.get(ANNA, good.id), store.get(ANNA, bad.id)
    assert (done.state, done.frames, done.manifest) == ("done", FrameRange(3, 7), '{"manifest": 1}')
    assert (failed.state, failed.error) == ("failed", MediaError("the clip is broken", field="clip").to_dict())
    assert done.ended is not None
    assert leases.claim("w", 10) is None


def test_workers_say_how_they_are(store: JobStore) -> None:
    store.leases.announce("a", "cpu", "loading")
    store.leases.announce("b", "cuda:0", "failed", BundleError("weights are missing"))
    store.leases.announce("a", "cpu", "ready")
    a, b = store.leases.workers()
    assert (a.state, a.error) == ("ready", None)
    assert b.error == BundleError("weights are missing").to_dict()
    store.leases.forget_workers()
    assert store.leases.workers() == []
