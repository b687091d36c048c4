"""What a worker makes of its jobs, with an editor that does nothing."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.server.fakes import ANNA, FakeClock, FakeRenderer

from mive.base.progress import Progress
from mive.errors import EngineError, MediaError, OutOfMemory, OutputError
from mive.manifest import Manifest
from mive.request import FrameRange
from mive.server.jobs import Job, Submission
from mive.server.options import WorkerOptions
from mive.server.store import JobStore
from mive.server.task import Rendered, Task
from mive.server.worker import Worker
from mive.v1 import job_pb2

Asked = Callable[..., Submission]


@pytest.fixture
def renderer() -> FakeRenderer:
    return FakeRenderer()


@pytest.fixture
def worker(tmp_path: Path, store: JobStore, renderer: FakeRenderer) -> Worker:
    return Worker(store, WorkerOptions(name="w", data=tmp_path), renderer)


def after(worker: Worker, asked: Submission) -> Job:
    """The job after the worker had it."""
    job, _ = worker.store.submit(asked)
    assert worker.step()
    return worker.store.get(ANNA, job.id)


def kinds(worker: Worker, job: Job) -> list[str]:
    return [str(event.WhichOneof("event")) for event in worker.store.events(ANNA, job.id)]


def leftovers(worker: Worker, job: Job) -> list[Path]:
    places = (worker.options.results / job.id, worker.options.checkpoints / job.id)
    return [place for place in places if place.exists()]


def test_a_job_is_edited_and_told(worker: Worker, asked: Asked, renderer: FakeRenderer) -> None:
    job = after(worker, asked())
    assert (job.state, job.attempts, job.frames) == ("done", 1, FrameRange(10, 12))
    assert job.manifest is not None
    results = worker.results.of(job.id)
    assert Manifest.from_json(job.manifest).frames_hash == results.hash(FrameRange(10, 12))
    assert kinds(worker, job) == ["queued", "loading", "step", "window_finished", "done"]
    assert worker.store.events(ANNA, job.id)[-1].done.warnings == ["the caption is long"]
    assert worker.store.events(ANNA, job.id)[2].step.done == 4
    assert renderer.freed == 1
    assert not worker.step(), "nothing waits any more"


@pytest.mark.parametrize("error", [MediaError("the clip is broken"), ValueError("secret"), RecursionError()])
def test_an_error_ends_the_job_and_not_the_worker(worker: Worker, asked: Asked, error: Exception) -> None:
    def fail(task: Task, number: int) -> None:
        if task.request.instances[0].caption == "a bad cube" and number == 2:
            raise error

    worker.renderer = FakeRenderer(step=fail)
    bad = after(worker, asked("a bad cube"))
    assert (bad.state, leftovers(worker, bad)) == ("failed", [])
    assert bad.error is not None
    assert bad.error["error"] == (type(error).__name__ if isinstance(error, MediaError) else "EngineError")
    assert "secret" not in str(bad.error)
    assert after(worker, asked()).state == "done"


def test_out_of_memory_is_tried_once_more_with_half_the_window(worker: Worker, asked: Asked) -> None:
    def narrow(task: Task, number: int) -> None:
        if task.window is None and number == 2:
            raise OutOfMemory("it did not fit")

    worker.renderer = renderer = FakeRenderer(step=narrow)
    job = after(worker, asked())
    assert renderer.windows == [None, 8]
    assert (job.state, job.window, job.attempts) == ("done", 8, 2)
    assert kinds(worker, job).count("queued") == 2


def test_out_of_memory_twice_is_an_error_and_the_next_job_succeeds(worker: Worker, asked: Asked) -> None:
    def never(task: Task, number: int) -> None:
        if task.request.instances[0].caption == "a large cube":
            raise OutOfMemory("it did not fit")

    worker.renderer = renderer = FakeRenderer(step=never)
    job = after(worker, asked("a large cube"))
    assert renderer.windows == [None, 8]
    assert job.error is not None
    assert (job.state, job.error["error"]) == ("failed", "OutOfMemory")
    assert after(worker, asked()).state == "done"


def test_a_crash_after_the_second_try_began_keeps_the_small_window(worker: Worker, asked: Asked) -> None:
    job, _ = worker.store.submit(asked())
    worker.store.leases.claim("killed", 10)
    worker.store.leases.narrow(job.id, "killed", 4)
    worker.store.leases.release_all("killed")
    worker.renderer = renderer = FakeRenderer()
    worker.step()
    assert renderer.windows == [4]


def test_cancel_takes_effect_within_one_step(worker: Worker, asked: Asked) -> None:
    steps = []

    def cancel(task: Task, number: int) -> None:
        steps.append(number)
        if number == 1:
            worker.store.cancel(ANNA, worker.store.jobs(ANNA)[0].id, "nobody watched")

    worker.renderer = FakeRenderer(steps=20, step=cancel)
    job = after(worker, asked())
    assert steps == [0, 1]
    assert (job.state, leftovers(worker, job)) == ("cancelled", [])
    assert worker.store.events(ANNA, job.id)[-1].cancelled.reason == "nobody watched"


def test_a_cancelled_jobs_memory_is_free_within_two_seconds(worker: Worker, asked: Asked) -> None:
    process = psutil.Process(os.getpid())
    sizes = []

    class Large(FakeRenderer):
        def render(self, task: Task) -> Rendered:
            latents = np.ones(25_000_000)
            sizes.append(process.memory_info().rss)
            worker.store.cancel(ANNA, worker.store.jobs(ANNA)[0].id)
            task.report(Progress("sampling", 1, latents.ndim + 1))
            raise AssertionError("it goes on")

    baseline = process.memory_info().rss
    worker.renderer = Large()
    begin = time.monotonic()
    assert after(worker, asked()).state == "cancelled"
    assert time.monotonic() - begin < 2
    assert sizes[0] - baseline > 150e6
    assert process.memory_info().rss - baseline < 20e6


def test_a_drained_worker_leaves_its_job_for_the_next(worker: Worker, asked: Asked) -> None:
    steps = []

    def drain(task: Task, number: int) -> None:
        steps.append(number)
        if number == 1:
            worker.drain(0)

    worker.renderer = FakeRenderer(step=drain)
    job, _ = worker.store.submit(asked())
    worker.run()
    assert steps == [0, 1]
    assert worker.store.get(ANNA, job.id).state == "queued"
    worker = Worker(worker.store, worker.options.model_copy(update={"name": "next"}), FakeRenderer())
    assert worker.step()
    assert worker.store.get(ANNA, job.id).state == "done"


def test_a_drained_worker_with_time_finishes_its_job(worker: Worker, asked: Asked) -> None:
    worker.renderer = FakeRenderer(step=lambda task, number: worker.drain(30))
    job, _ = worker.store.submit(asked())
    waiting, _ = worker.store.submit(asked())
    worker.run()
    assert worker.store.get(ANNA, job.id).state == "done"
    assert worker.store.get(ANNA, waiting.id).state == "queued"


def test_a_worker_that_lost_its_job_lets_go_of_it(worker: Worker, asked: Asked, clock: FakeClock) -> None:
    def steal(task: Task, number: int) -> None:
        if number == 1:
            clock.seconds += 1000
            worker.store.leases.claim("other", 10)

    worker.renderer = FakeRenderer(step=steal)
    job = after(worker, asked())
    assert (job.state, job.attempts) == ("running", 2)
    worker.store.leases.done(job.id, "other", "{}", job_pb2.Done())


def test_a_step_longer_than_the_lease_loses_nothing(tmp_path: Path, asked: Asked) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    thief: list[Job | None] = []

    def slow(task: Task, number: int) -> None:
        time.sleep(0.8)
        thief.append(store.leases.claim("other", 10))

    worker = Worker(store, WorkerOptions(name="w", data=tmp_path, lease_seconds=0.3), FakeRenderer(steps=1, step=slow))
    assert after(worker, asked()).state == "done"
    assert thief == [None]
    assert threading.active_count() == 1 or not any(t.name.startswith("heartbeat") for t in threading.enumerate())
    store.close()


def test_a_full_disk_fails_the_job_and_leaves_nothing(worker: Worker, asked: Asked) -> None:
    def full(task: Task, number: int) -> None:
        raise OutputError("There is no space left to write frame 3")

    worker.renderer = FakeRenderer(step=full)
    job = after(worker, asked())
    assert job.error is not None
    assert (job.state, job.error["error"], leftovers(worker, job)) == ("failed", "OutputError", [])


def test_a_device_that_is_beyond_use_ends_the_worker(worker: Worker, asked: Asked) -> None:
    """Its supervisor starts another one, which a job that was well can use."""

    class Broken(FakeRenderer):
        def free(self) -> None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    worker.renderer = Broken()
    worker.store.submit(asked())
    with pytest.raises(RuntimeError, match="illegal"):
        worker.run()


def test_old_results_make_room(worker: Worker, asked: Asked) -> None:
    worker.results.limit = 0
    first, second = after(worker, asked()), after(worker, asked())
    assert worker.results.of(first.id).indices() == []
    assert worker.results.of(second.id).indices() == [10, 11, 12]
    assert worker.store.get(ANNA, first.id).manifest is not None


@pytest.mark.slow
def test_500_jobs_in_a_row_leak_nothing(tmp_path: Path, asked: Asked) -> None:
    """Every seventh fails, every eleventh runs out of memory once; memory may grow by 100 MB, open files not at all."""
    process = psutil.Process(os.getpid())
    store = JobStore(tmp_path / "jobs.sqlite")
    count = 0

    def step(task: Task, number: int) -> None:
        if count % 7 == 0:
            raise EngineError("no good")
        if count % 11 == 0 and task.window is None:
            raise OutOfMemory("it did not fit")

    worker = Worker(store, WorkerOptions(name="w", data=tmp_path), FakeRenderer(step=step))
    states = []
    for count in range(1, 501):
        states.append(after(worker, asked()).state)
        if count == 20:
            gc.collect()
            memory, files, threads = process.memory_info().rss, process.num_fds(), threading.active_count()
    gc.collect()
    assert states.count("failed") == 500 // 7
    assert states.count("done") == 500 - 500 // 7
    assert process.memory_info().rss - memory < 100e6
    assert process.num_fds() <= files
    assert threading.active_count() <= threads
    store.close()
