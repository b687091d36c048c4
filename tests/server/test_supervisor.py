"""Worker processes that end in every way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.server.fakes import ANNA, BEN, a_request

from mive.server.jobs import Job, Submission
from mive.server.options import WorkerOptions
from mive.server.store import JobStore
from mive.server.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, str(Path(__file__).with_name("modelless.py")), "obedient")

Start = Callable[..., Supervisor]


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


@pytest.fixture
def start(tmp_path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'backend'}{os.pathsep}{ROOT}")
    started = []

    def make(count: int = 1, **options: object) -> Supervisor:
        each = [WorkerOptions(name=f"cpu{n}", data=tmp_path, device="cpu", **options) for n in range(count)]  # type: ignore[arg-type]
        supervisor = Supervisor(store.leases, each, PROGRAM)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield make
    for supervisor in started:
        supervisor.drain(0)


def running(store: JobStore, job: Job) -> bool:
    return any(event.HasField("step") for event in store.events(ANNA, job.id))


def test_a_killed_worker_is_started_again_and_its_job_with_it(start: Start, store: JobStore) -> None:
    supervisor = start(lease_seconds=600.0)
    job, _ = store.submit(Submission(ANNA, a_request()))
    until(lambda: running(store, job))
    (pid,) = supervisor.pids()
    os.kill(pid, signal.SIGKILL)
    until(lambda: store.get(ANNA, job.id).state == "done")
    assert store.get(ANNA, job.id).attempts == 2
    assert supervisor.pids() != [pid]
    assert [status.state for status in supervisor.statuses()] == ["ready"]


def test_a_crash_takes_no_other_job_down(start: Start, store: JobStore) -> None:
    start(count=2)
    good, _ = store.submit(Submission(ANNA, a_request(), priority="interactive"))
    store.submit(Submission(BEN, a_request("a deadly cube")))
    until(lambda: store.get(ANNA, good.id).state == "done")
    assert store.get(ANNA, good.id).attempts == 1


def test_draining_leaves_the_job_at_its_last_step_and_exits_0(start: Start, store: JobStore, tmp_path: Path) -> None:
    supervisor = start(drain_seconds=0.0)
    job, _ = store.submit(Submission(ANNA, a_request()))
    until(lambda: running(store, job))
    (process,) = (psutil.Process(pid) for pid in supervisor.pids())
    supervisor.drain(10)
    assert not process.is_running()
    assert store.get(ANNA, job.id).state == "queued", "neither lost nor failed"
    assert [status.state for status in supervisor.statuses()] == ["stopped"]


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
def test_a_worker_ends_with_0(store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The end of its input tells it that whoever started it is dead."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'backend'}{os.pathsep}{ROOT}")
    options = WorkerOptions(name="w", data=tmp_path, device="cpu")
    process = subprocess.Popen([*PROGRAM, options.to_json()], stdin=subprocess.PIPE)
    until(lambda: [status.state for status in store.leases.workers()] == ["ready"])
    if how == "SIGTERM":
        process.terminate()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0


def test_a_missing_model_is_told_and_tried_again(start: Start, store: JobStore) -> None:
    supervisor = start(bundle="missing")

    def error() -> object:
        (status,) = supervisor.statuses()
        return status.error and status.error["what"]

    until(error)
    assert error() == "the weights are missing"
    first = {status.name for status in store.leases.workers()}
    until(lambda: {status.name for status in store.leases.workers()} - first)
    assert error() == "the weights are missing", "while the next process loads, the cause is still told"


def test_the_service_side_needs_no_torch() -> None:
    code = "import sys, mive.server.store, mive.server.supervisor, mive.server.worker; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "backend", capture_output=True, text=True)
    assert shown.stdout.strip() == "False", shown.stderr
