"""Clients that are killed, and servers that are asked to end: what goes on, what stops, and how soon."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.served import ENVIRONMENT, Serve, refusal, until

from mive.v1 import job_pb2

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
VANISHING = Path(__file__).with_name("vanishing.py")


def seconds_until(happened: Callable[[], object], at_most: float) -> float:
    started = time.monotonic()
    until(happened, at_most)
    return round(time.monotonic() - started, 2)


def test_a_killed_client_takes_its_preview_and_its_region_along_and_no_job(
    serve: Serve, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL, so that it says goodbye to nobody: the preview stops within 2 s, the region is gone within 5 s."""
    server = serve(shared_memory=True).ready()
    client = subprocess.Popen([sys.executable, str(VANISHING), server.address], env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert client.stdout is not None
    with client.stdout:
        had = json.loads(client.stdout.readline())
    memory = Path("/dev/shm") / had["region"].lstrip("/")
    assert memory.exists()
    until(lambda: server.get(had["preview"]).state == job_pb2.JOB_STATE_RUNNING)
    client.kill()
    client.wait()
    stopped = seconds_until(lambda: server.get(had["preview"]).state == job_pb2.JOB_STATE_CANCELLED, 2)
    gone = seconds_until(lambda: not memory.exists(), 5 - stopped)
    record_property("seconds until its preview stopped", stopped)
    record_property("seconds until its region was gone", round(stopped + gone, 2))
    assert server.finish(had["job"]).WhichOneof("event") == "done", "and it can be watched by whoever knows its id"
    assert server.get(had["job"]).attempts == 1


def test_nobody_is_sent_to_a_server_that_ends(serve: Serve, record_property: Callable[[str, object], None]) -> None:
    """After SIGTERM load balancers are told within 100 ms, here with room for a busy machine."""
    server = serve().ready()
    job = server.submit().job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    checks = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(checks).status == health_pb2.HealthCheckResponse.SERVING
    started = time.monotonic()
    server.process.terminate()
    assert next(checks).status == NOT_SERVING
    took = time.monotonic() - started
    record_property("ms from SIGTERM to NOT_SERVING", round(1000 * took))
    assert took < 5
    code, _, retry = refusal(server.submit)
    assert code == grpc.StatusCode.UNAVAILABLE
    assert retry
    assert server.process.wait(60) == 0
    done = serve().get(job)
    assert (done.state, done.attempts) == (job_pb2.JOB_STATE_DONE, 1), "there was time to finish it"


def test_a_job_that_needs_longer_goes_on_at_the_next_start(serve: Serve) -> None:
    server = serve(drain_seconds=0.3).ready()
    job = server.submit().job_id
    until(lambda: any(event.WhichOneof("event") == "step" for event in server.watch(job)))
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5, "the time to drain, and some for the rest"
    again = serve().ready()
    assert again.finish(job).WhichOneof("event") == "done"
    assert again.get(job).attempts == 2
