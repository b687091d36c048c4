"""What a server costs that does nothing, little, or a lot: processor time, and time that it adds to a job."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import psutil
import pytest
from tests.server.served import Served, modelless, until

from mive.client import Client
from mive.v1 import job_pb2, mive_pb2, mive_pb2_grpc

Record = Callable[[str, object], None]
WATCHERS = 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = modelless(tmp_path_factory.mktemp("costs") / "data", shared_memory=True).ready()
    yield served
    served.close()


def processor(server: Served) -> float:
    """Seconds that the server and its worker have taken."""
    server_itself = psutil.Process(server.process.pid)
    return sum(sum(process.cpu_times()[:2]) for process in (server_itself, server.worker()))


def share(server: Served, seconds: float) -> float:
    """Of a core, for a while, in percent."""
    before, started = processor(server), time.monotonic()
    time.sleep(seconds)
    return 100 * (processor(server) - before) / (time.monotonic() - started)


def test_an_idle_server_does_nothing(server: Served, record_property: Record) -> None:
    """0.5 % of a core, here with room for a busy machine."""
    time.sleep(1)
    idle = share(server, 4)
    record_property("idle, % of a core", round(idle, 2))
    assert idle < 2


@pytest.mark.parametrize("what", ["one that runs", "some that wait"])
def test_200_watchers_cost_a_tenth_of_a_core(server: Served, what: str, record_property: Record) -> None:
    """While a job takes four steps a second; here with room for a busy machine."""
    running = server.submit(caption="a slow cube").job_id
    jobs = [running] if what == "one that runs" else [server.submit(caption="a slow ball").job_id for _ in range(9)]
    channels = [server.new_channel() for _ in range(10)]
    told = threading.Barrier(WATCHERS + 1)

    def watch(number: int) -> None:
        stub = mive_pb2_grpc.MiveStub(channels[number % 10])
        try:
            for place, _ in enumerate(stub.WatchJob(mive_pb2.WatchJobRequest(job_id=jobs[number % len(jobs)]))):
                if not place:
                    told.wait(60)
        except grpc.RpcError:
            return

    for number in range(WATCHERS):
        threading.Thread(target=watch, args=(number,), daemon=True).start()
    told.wait(60)
    assert server.get(running).state == job_pb2.JOB_STATE_RUNNING
    watched = share(server, 4)
    record_property(f"200 watchers of {what}, % of a core", round(watched, 1))
    assert watched < 30
    for channel in channels:
        channel.close()
    for job in {running, *jobs}:
        server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
    until(lambda: all(server.get(job).state == job_pb2.JOB_STATE_CANCELLED for job in (running, *jobs)))


def test_a_job_takes_little_more_than_its_edit(server: Served, record_property: Record) -> None:
    """20 ms from the call to the end, on a disk that flushes a file in a millisecond; here with room."""
    took = []
    for number in range(12):
        started = time.perf_counter()
        job = server.submit(caption=f"quick {number}").job_id
        assert server.finish(job).WhichOneof("event") == "done"
        took.append(time.perf_counter() - started)
    record_property("a job that does nothing, ms", round(1000 * statistics.median(took), 1))
    assert statistics.median(took) < 0.3


def test_a_frame_is_there_as_soon_as_it_is_written(server: Served, record_property: Record) -> None:
    """Whoever waits for it is woken: it does not have to wait for the next look."""
    job = server.submit(caption="quick, 40 frames of 640 x 480 f32").job_id
    request = mive_pb2.FetchFramesRequest(job_id=job, frames=[{"first": 0, "last": 39}], wait=True)
    until(lambda: server.get(job).HasField("frames"))
    started = time.perf_counter()
    assert sum(answer.chunk.HasField("header") for answer in server.stub.FetchFrames(request, timeout=60)) == 40
    took = time.perf_counter() - started
    record_property("ms a frame, written and fetched", round(1000 * took / 40, 1))
    assert took < 6


@pytest.mark.parametrize("way", ["grpc", "memory"])
def test_fetching_takes_little_processor_time(server: Served, way: str, record_property: Record) -> None:
    """80 ms for a float frame of 1920 × 1080, here with room for a busy machine."""
    job = server.submit(caption="quick, 8 frames of 1920 x 1080 f32").job_id
    assert server.finish(job).WhichOneof("event") == "done"
    with Client(server.address) as client:
        list(client.fetch(job, into_memory=way == "memory"))
        before = processor(server)
        assert len(list(client.fetch(job, into_memory=way == "memory"))) == 8
        took = 1000 * (processor(server) - before) / 8
    record_property(f"a frame by {way}, CPU-ms of the server", round(took, 1))
    assert took < 160
