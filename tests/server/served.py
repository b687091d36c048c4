"""A server in a process of its own, and a plain stub to talk to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mive.v1 import edit_pb2, job_pb2, mive_pb2, mive_pb2_grpc
from mive.wire.errors import STATUS_DETAILS, error_from_status, read_status, retry_delay

ROOT = Path(__file__).resolve().parents[2]
FINAL = ("done", "failed", "cancelled")
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'backend'}{os.pathsep}{ROOT}"}
PROGRAM = (sys.executable, "-c", "import sys; from mive.server.entry import main; sys.exit(main())")
"""``mive-server`` as users start it."""

Serve = Callable[..., "Served"]


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def modelless(data: Path, renderer: str = "obedient", **overrides: object) -> Served:
    """A server whose workers have no model, with these changes to its configuration.

    Args:
        renderer: of the workers, see `tests.server.modelless`.
    """
    options = {"data": str(data), "listen": "127.0.0.1:0", "devices": ["cpu"], **overrides}
    program = Path(__file__).with_name("modelless_server.py")
    return Served(data, [sys.executable, str(program), renderer, json.dumps(options)])


def real(data: Path, *flags: str) -> Served:
    """``mive-server``, on loopback unless the flags have another address."""
    listen = () if "--listen" in flags else ("--listen", "127.0.0.1:0")
    return Served(data, [*PROGRAM, "--data", str(data), "--device", "cpu", *listen, *flags])


class Served:
    """A running server.

    Args:
        data: its data folder.
        command: prints the address when it answers.
    """

    def __init__(self, data: Path, command: Sequence[str]) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().decode().strip().removeprefix("mive-server: ")
        assert self.address, self.log.read_text()
        self.channel = self.new_channel()
        self.stub = mive_pb2_grpc.MiveStub(self.channel)

    def new_channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def ready(self) -> Served:
        until(lambda: self.health() == health_pb2.HealthCheckResponse.SERVING, 300)
        return self

    def worker(self) -> psutil.Process:
        """The process of its one worker."""
        (worker,) = psutil.Process(self.process.pid).children()
        return worker

    def health(self, name: str = "") -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=30).status)

    def submit(self, **changes: Any) -> job_pb2.Job:
        answer: mive_pb2.SubmitJobResponse = self.stub.SubmitJob(a_submission(**changes), timeout=30)
        return answer.job

    def get(self, job: str) -> job_pb2.Job:
        answer: mive_pb2.GetJobResponse = self.stub.GetJob(mive_pb2.GetJobRequest(job_id=job), timeout=30)
        return answer.job

    def watch(self, job: str, after: int = 0, timeout: float = 300) -> Iterator[job_pb2.JobEvent]:
        request = mive_pb2.WatchJobRequest(job_id=job, after_sequence=after)
        for answer in self.stub.WatchJob(request, timeout=timeout):
            yield answer.event

    def finish(self, job: str) -> job_pb2.JobEvent:
        """The job's last event."""
        *_, last = self.watch(job)
        assert last.WhichOneof("event") in FINAL
        return last

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL, and to its workers too."""
        workers = psutil.Process(self.process.pid).children()
        self.process.kill()
        for worker in workers:
            worker.kill()
        self.process.wait()
        psutil.wait_procs(workers)

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


def a_submission(
    caption: str = "a green cube", clip: str = "/nowhere/clip.mkv", **changes: Any
) -> mive_pb2.SubmitJobRequest:
    request = edit_pb2.EditRequest(instances=[edit_pb2.Instance(id=1, caption=caption)])
    request.clip.path, request.mattes.path = clip, "/nowhere/mattes"
    return mive_pb2.SubmitJobRequest(request=request, **changes)


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, float | None]:
    """Code, sentence and retry delay of a call that is refused with an ErrorDetail."""

    def answer() -> None:
        result = call()
        if hasattr(result, "__iter__"):
            list(result)

    with pytest.raises(grpc.RpcError) as caught:
        answer()
    error: Any = caught.value
    trailing = {key: value for key, value in error.trailing_metadata() or ()}
    status = read_status(trailing.get(STATUS_DETAILS), code=error.code().value[0], message=error.details())
    assert status.details, f"no details: {error.details()}"
    said = error_from_status(status)
    assert said.fix, said
    return error.code(), said.message(), retry_delay(status)
