"""Many real jobs in a row, each with other captions, so that every one is rendered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.server.served import real

from mive.request import EditRequest, FrameRange
from mive.v1 import mive_pb2
from mive.wire.request import request_to_message

MB = 1_000_000
FIRST = 5
"""Jobs after which everything has been loaded and every buffer has its size."""


@pytest.mark.parametrize(
    "count",
    [pytest.param(15, marks=pytest.mark.slow), pytest.param(500, marks=pytest.mark.soak)],
)
def test_tiny_jobs_in_a_row_leave_nothing_behind(
    tmp_path: Path, bundle: Path, edit: EditRequest, count: int, record_property: Callable[[str, object], None]
) -> None:
    """Resident memory grows by at most 100 MB, open files stay as they are."""
    server = real(tmp_path / "data", "--bundle", str(bundle)).ready()
    processes = {"server": psutil.Process(server.process.pid), "worker": server.worker()}
    for number in range(count):
        if number == FIRST:
            before = {name: (each.memory_info().rss, open_files(each)) for name, each in processes.items()}
        instance = edit.instances[0].model_copy(update={"caption": f"a green cube, number {number}"})
        another = edit.model_copy(update={"frames": FrameRange(0, 1), "instances": (instance,)})
        submission = mive_pb2.SubmitJobRequest(request=request_to_message(another))
        job = server.stub.SubmitJob(submission).job.job_id
        end = server.finish(job)
        assert end.WhichOneof("event") == "done", end
        assert not end.done.cached
        assert len(list(server.stub.FetchFrames(mive_pb2.FetchFramesRequest(job_id=job)))) == 2
    for name, process in processes.items():
        memory, files = before[name]
        record_property(f"MB that the {name} grew by", (process.memory_info().rss - memory) // MB)
        record_property(f"files that the {name} opened and did not close", open_files(process) - files)
        assert process.memory_info().rss - memory <= 100 * MB, name
        assert open_files(process) <= files, name
    server.close()


def open_files(process: psutil.Process) -> int:
    """The fewest in a second: a job is told to be done a little before its worker has put everything away."""
    counts = []
    for _ in range(50):
        counts.append(process.num_fds())
        time.sleep(0.02)
    return min(counts)
