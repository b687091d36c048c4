"""Jobs that do not fit into memory, and disks that are full, at a whole server; the next job succeeds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.served import Served, modelless, until

from mive.v1 import error_pb2, job_pb2, mive_pb2

FRAMES = "40 frames of 640 x 480 u8, quick"
"""37 MB."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    served = modelless(tmp_path / "data").ready()
    yield served
    served.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can make a small disk; the parts of the service are tested without one")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def failure(server: Served, caption: str) -> error_pb2.ErrorDetail:
    end = server.finish(server.submit(caption=caption).job_id)
    assert end.WhichOneof("event") == "failed", end
    return end.failed.error


def succeeds(server: Served) -> bool:
    return server.finish(server.submit(caption="quick").job_id).WhichOneof("event") == "done"


@pytest.mark.parametrize("how", ["hanging", "turning"])
def test_a_file_that_does_not_answer_fails_its_job_and_the_queue_goes_on(
    tmp_path: Path, how: str, record_property: Callable[[str, object], None]
) -> None:
    """After 60 s, here 2."""
    served = modelless(tmp_path / "data", **{"limits.read_seconds": 2.0}).ready()
    worker = served.worker().pid
    hangs, waits = served.submit(caption=how).job_id, served.submit(caption="quick").job_id
    started = time.monotonic()
    end = served.finish(hangs)
    took = time.monotonic() - started
    record_property(f"seconds until a job whose file is {how} failed, of 2", round(took, 1))
    assert end.failed.error.kind == error_pb2.ERROR_KIND_MEDIA
    assert "has not answered" in end.failed.error.what
    assert 1 < took < 10
    assert served.finish(waits).WhichOneof("event") == "done"
    assert (served.get(hangs).attempts, served.get(waits).attempts) == (1, 1)
    assert served.worker().pid != worker
    served.close()


def test_a_job_too_large_for_memory_is_tried_once_more_with_half_the_window(server: Served) -> None:
    worker = server.worker().pid
    large = server.submit(caption="large, quick").job_id
    assert [event.WhichOneof("event") for event in server.watch(large)].count("queued") >= 1
    assert (server.get(large).state, server.get(large).attempts) == (job_pb2.JOB_STATE_DONE, 2)
    huge = server.submit(caption="huge, quick").job_id
    error = server.finish(huge).failed.error
    assert error.kind == error_pb2.ERROR_KIND_OUT_OF_MEMORY
    assert error.fix
    assert server.get(huge).attempts == 2
    assert succeeds(server)
    assert server.worker().pid == worker, "it lives on"


def test_a_job_that_kills_its_worker_fails_alone(server: Served) -> None:
    job = server.submit(caption="deadly").job_id
    until(lambda: server.get(job).attempts >= 2, 120)
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_CANCELLED)
    assert succeeds(server.ready())


def test_a_full_disk_fails_the_job_and_leaves_nothing_of_it(disk: Path) -> None:
    """The job store is on that disk too."""
    server = modelless(disk / "data").ready()
    error = failure(server, FRAMES)
    assert error.kind == error_pb2.ERROR_KIND_OUTPUT
    assert "no space" in error.what
    assert error.fix
    until(lambda: not [path for path in (disk / "data").rglob("*") if path.suffix in (".npy", ".part")])
    assert succeeds(server), "there is room for a small one"
    server.close()


def test_a_disk_that_others_have_filled_stops_nothing_for_good(disk: Path) -> None:
    """Not even the end of a job can be written down; once there is room it is, and all goes on."""
    server = modelless(disk / "data", lease_seconds=1).ready()
    job = server.submit(caption="a slow cube").job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    with (disk / "filler").open("wb", buffering=0) as file:
        while left := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize:
            file.write(bytes(left))
        until(lambda: "disk is full" in server.log.read_text())
        os.truncate(disk / "filler", 0)
    end = server.finish(job)
    assert end.WhichOneof("event") == "done" or end.failed.error.kind == error_pb2.ERROR_KIND_OUTPUT
    assert not list((disk / "data").rglob("*.part"))
    assert succeeds(server)
    server.close()
