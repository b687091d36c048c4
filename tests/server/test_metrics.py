"""What Prometheus is told, and what it never is."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.calls import KINDS, call, failure, run, serving
from tests.server.fakes import ANNA, BEN, FakeClock, FakeRenderer

from mive.errors import MediaError, RequestError
from mive.server.address import Address
from mive.server.auth import AuthInterceptor
from mive.server.call_metrics import MetricsInterceptor
from mive.server.http import serve_metrics
from mive.server.jobs import Submission
from mive.server.leases import WorkerStatus
from mive.server.metrics import Metrics, folder_bytes
from mive.server.options import Folders, WorkerOptions
from mive.server.store import JobStore
from mive.server.task import Task
from mive.server.tokens import Tokens, new_token
from mive.server.worker import Worker
from mive.v1 import job_pb2

Asked = Callable[..., Submission]


class TwoWorkers:
    """One is ready, one loads."""

    def start(self) -> None: ...

    def drain(self, seconds: float) -> None: ...

    def statuses(self) -> list[WorkerStatus]:
        return [WorkerStatus("a", "cuda:0", "ready", None, 0), WorkerStatus("b", "cuda:1", "loading", None, 0)]


@pytest.fixture
def metrics(store: JobStore, tmp_path: Path) -> Metrics:
    return Metrics(store, TwoWorkers(), Folders(data=tmp_path))


@pytest.fixture
def worker(tmp_path: Path, store: JobStore) -> Worker:
    return Worker(store, WorkerOptions(data=tmp_path, name="w"), FakeRenderer())


@pytest.fixture
def scrape(metrics: Metrics) -> Iterator[Callable[[], str]]:
    """What Prometheus gets."""
    server = serve_metrics(Address("127.0.0.1", 0), metrics.registry)

    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    yield get
    server.stop()


def value(text: str, name: str) -> float | None:
    """Of a sample, by its name with labels."""
    match = re.search(rf"(?m)^{re.escape(name)} (\S+)$", text)
    return match and float(match[1])


def test_jobs_and_workers_are_told_as_they_are(store: JobStore, scrape: Callable[[], str], asked: Asked) -> None:
    text = scrape()
    assert value(text, 'mive_jobs{state="queued"}') == 0
    first, _ = store.submit(asked())
    store.submit(asked())
    store.submit(asked())
    store.cancel(ANNA, first.id)
    store.leases.claim("w", 10)
    text = scrape()
    for state, number in {"queued": 1, "running": 1, "done": 0, "failed": 0, "cancelled": 1}.items():
        assert value(text, f'mive_jobs{{state="{state}"}}') == number
    assert value(text, 'mive_workers{state="ready"}') == value(text, 'mive_workers{state="loading"}') == 1
    assert value(text, 'mive_workers{state="failed"}') == 0
    assert (value(text, "process_resident_memory_bytes") or 0) > 1e6


def test_what_jobs_did_is_counted_once(
    worker: Worker, scrape: Callable[[], str], asked: Asked, clock: FakeClock
) -> None:
    def fail(task: Task, number: int) -> None:
        if "bad" in task.request.instances[0].caption:
            raise MediaError("the clip is broken")

    worker.renderer = FakeRenderer(step=fail)
    for caption in ("a cube", "a bad cube", "a ball"):
        worker.store.submit(asked(caption))
        worker.step()
        clock.seconds += 30
    for _ in range(3):
        text = scrape()
        assert value(text, 'mive_jobs_ended_total{outcome="done"}') == 2
        assert value(text, 'mive_jobs_ended_total{outcome="failed"}') == 1
        assert value(text, 'mive_jobs_ended_total{outcome="cancelled"}') == 0
        assert value(text, "mive_frames_rendered_total") == 6
        clock.seconds += 50
    worker.store.submit(asked())
    worker.step()
    worker.store.forget(clock.seconds, keep_seconds=1)
    assert value(scrape(), 'mive_jobs_ended_total{outcome="done"}') == 3


def test_jobs_of_an_earlier_server_are_not_counted(
    worker: Worker, asked: Asked, clock: FakeClock, tmp_path: Path
) -> None:
    worker.store.submit(asked())
    worker.step()
    clock.seconds += 1
    later = Metrics(worker.store, TwoWorkers(), Folders(data=tmp_path))
    assert later.registry.get_sample_value("mive_jobs_ended_total", {"outcome": "done"}) == 0


def test_an_end_that_an_older_version_told_is_counted(worker: Worker, metrics: Metrics, asked: Asked) -> None:
    job, _ = worker.store.submit(asked())
    worker.store.leases.claim("w", 10)
    worker.store.leases.done(job.id, "w", '{"frames": {"first": 3, "last": 7}, "seconds": {}}', job_pb2.Done())
    with worker.store.database.transaction() as write:
        write.execute("UPDATE events SET message = ?", ('{"first": 3, "last": 7}',))
    assert metrics.registry.get_sample_value("mive_jobs_ended_total", {"outcome": "done"}) == 1


def test_stages_are_timed(worker: Worker, metrics: Metrics, asked: Asked, clock: FakeClock) -> None:
    job, _ = worker.store.submit(asked())
    worker.store.leases.claim("w", 10)
    manifest = '{"frames": {"first": 3, "last": 7}, "seconds": {"sampling": 12.5, "write": 0.2}}'
    worker.store.leases.done(job.id, "w", manifest, job_pb2.Done())
    cached, _ = worker.store.submit(asked())
    worker.store.leases.claim("w", 10)
    worker.store.leases.done(cached.id, "w", manifest, job_pb2.Done(cached=True))
    sample = metrics.registry.get_sample_value
    assert sample("mive_stage_seconds_sum", {"stage": "sampling"}) == 12.5
    assert sample("mive_stage_seconds_count", {"stage": "write"}) == 1
    assert sample("mive_frames_rendered_total") == 5, "a result that was there already took no work"
    assert sample("mive_jobs_ended_total", {"outcome": "done"}) == 2


def test_a_job_whose_end_shows_late_is_counted(
    store: JobStore, metrics: Metrics, asked: Asked, clock: FakeClock
) -> None:
    jobs = [store.submit(asked())[0].id for _ in range(2)]
    clock.seconds += 100
    for job, late in zip(jobs, (0, 20), strict=True):
        assert metrics.registry.get_sample_value("mive_jobs_ended_total", {"outcome": "cancelled"}) is not None
        clock.seconds -= late
        store.cancel(ANNA, job)
        clock.seconds += late
    assert metrics.registry.get_sample_value("mive_jobs_ended_total", {"outcome": "cancelled"}) == 2


def test_sizes_of_folders_count_shared_files_once(tmp_path: Path, metrics: Metrics) -> None:
    results = tmp_path / "results"
    for job in ("a", "b"):
        (results / job).mkdir(parents=True)
    (results / "a" / "0.npy").write_bytes(bytes(1000))
    (results / "b" / "0.npy").hardlink_to(results / "a" / "0.npy")
    (results / "b" / "1.npy").write_bytes(bytes(10))
    assert folder_bytes(results) == 1010
    assert folder_bytes(tmp_path / "none") == 0
    assert metrics.registry.get_sample_value("mive_stored_bytes", {"kind": "results"}) == 1010


def test_no_owner_caption_path_or_job_is_told(
    worker: Worker, metrics: Metrics, scrape: Callable[[], str], asked: Asked
) -> None:
    job, _ = worker.store.submit(asked("a secret cube", owner=BEN))
    worker.step()
    metrics.upload_bytes.inc(5)
    text = scrape()
    assert value(text, "mive_upload_bytes_total") == 5
    assert not [word for word in ("secret", "clip.mkv", "mattes", BEN, job.id) if word in text]


def counted(metrics: Metrics, method: str, code: str) -> float | None:
    return metrics.registry.get_sample_value("mive_calls_total", {"method": method, "code": code})


def test_every_kind_of_call_is_counted_and_answered_as_before(metrics: Metrics) -> None:
    async def test() -> None:
        async with serving(lambda: "hello", [MetricsInterceptor(metrics)]) as channel:
            for kind in KINDS:
                assert set(await call(channel, kind)) == {"hello"}
                assert (await failure(channel, kind, b"fail"))[0] == grpc.StatusCode.UNKNOWN
                assert (await failure(channel, kind, b"abort"))[0] == grpc.StatusCode.NOT_FOUND
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    run(test())
    for code in ("OK", "UNKNOWN", "NOT_FOUND"):
        assert counted(metrics, "other", code) == len(KINDS)
    assert counted(metrics, "grpc.health.v1.Health/Check", "OK") == 1
    seconds = metrics.registry.get_sample_value("mive_call_seconds_count", {"method": "other"})
    assert seconds == 3 * len(KINDS)


def test_made_up_methods_make_no_labels(metrics: Metrics, tmp_path: Path) -> None:
    new_token(tmp_path / "tokens", "anna")
    auth = AuthInterceptor(Tokens.load(tmp_path / "tokens"))

    async def test(*interceptors: grpc.aio.ServerInterceptor) -> None:
        async with serving(lambda: "", interceptors) as channel:
            for number in range(3):
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary(f"/mive.v1.Mive/MadeUp{number}")(b"", timeout=5)

    run(test(MetricsInterceptor(metrics)))
    run(test(MetricsInterceptor(metrics), auth))
    assert counted(metrics, "other", "UNIMPLEMENTED") == 3
    assert counted(metrics, "other", "UNAUTHENTICATED") == 3
    methods = {sample.labels.get("method") for metric in metrics.registry.collect() for sample in metric.samples}
    assert methods == {None, "other"}


def test_a_client_that_goes_away_ends_the_stream_of_its_handler(metrics: Metrics) -> None:
    async def test() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def endless(request: bytes, context: object) -> AsyncIterator[bytes]:
            try:
                while True:
                    begun.set()
                    yield b""
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

        server = grpc.aio.server(interceptors=[MetricsInterceptor(metrics)])
        handler = grpc.unary_stream_rpc_method_handler(endless)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Endless": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = channel.unary_stream("/t.T/Endless")(b"")
            await stream.read()
            await begun.wait()
            stream.cancel()
            await asyncio.wait_for(ended.wait(), 2)
        await server.stop(None)

    run(test())
    assert counted(metrics, "other", "CANCELLED") == 1


def test_a_stopped_server_frees_its_port_and_a_taken_one_is_told(metrics: Metrics) -> None:
    server = serve_metrics(Address("127.0.0.1", 0), metrics.registry)
    taken = Address("127.0.0.1", server.port)
    with pytest.raises(RequestError, match=f"cannot be served on {taken.target}: Address already in use"):
        serve_metrics(taken, metrics.registry)
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)
    serve_metrics(taken, metrics.registry).stop()
