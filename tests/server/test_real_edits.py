"""The real program and real edits, with random weights: loaded, made again, killed, stopped, cancelled, broken."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.server.served import Served, real, refusal, until

from mive.edit import run_edit
from mive.manifest import Manifest, read_manifest
from mive.request import EditRequest
from mive.v1 import job_pb2, mive_pb2
from mive.wire.request import request_to_message

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
MB = 1_000_000
Record = Callable[[str, object], None]

pytestmark = pytest.mark.slow


@pytest.fixture
def serve(tmp_path: Path, bundle: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(bundle: Path = bundle) -> Served:
        started.append(real(tmp_path / "data", "--drain-seconds", "0", "--bundle", str(bundle)))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Served]:
    """One that has just been started."""
    served = real(tmp_path_factory.mktemp("server") / "data", "--bundle", str(bundle))
    yield served
    served.close()


@pytest.fixture(scope="module")
def frames_hash(edit: EditRequest, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Of the edit in this process."""
    result = run_edit(edit, tmp_path_factory.mktemp("edit") / "out.mkv")
    return read_manifest(result.manifest).frames_hash


def submit(server: Served, edit: EditRequest) -> str:
    return server.stub.SubmitJob(mive_pb2.SubmitJobRequest(request=request_to_message(edit))).job.job_id


def manifest_of(server: Served, job: str) -> Manifest:
    return Manifest.from_json(server.stub.GetManifest(mive_pb2.GetManifestRequest(job_id=job)).manifest_json)


def info(server: Served) -> mive_pb2.ServerInfo:
    return server.stub.GetServerInfo(mive_pb2.GetServerInfoRequest(), timeout=30).info


def test_a_fresh_server_loads_and_makes_what_can_be_made_again(
    server: Served, tmp_path: Path, edit: EditRequest, frames_hash: str
) -> None:
    """Alive from the start, ready only when the model is loaded; then the frames of ``mive edit``, and a manifest."""
    assert server.health("liveness") == SERVING
    assert (server.health(), info(server).state) == (NOT_SERVING, mive_pb2.LOAD_STATE_LOADING)
    code, sentence, retry = refusal(lambda: submit(server, edit))
    assert (code, bool(retry)) == (grpc.StatusCode.UNAVAILABLE, True)
    assert "loading" in sentence
    server.ready()
    assert info(server).state == mive_pb2.LOAD_STATE_READY
    job = submit(server, edit)
    assert server.finish(job).WhichOneof("event") == "done"
    manifest = manifest_of(server, job)
    assert manifest.frames_hash == frames_hash
    assert all([manifest.source_hash, manifest.matte_hashes, manifest.bundle.files, manifest.packages, manifest.mive])
    assert [instance.caption for instance in manifest.request.instances] == ["a green cube", "a yellow ball"]
    again = run_edit(manifest.rerender_request(), tmp_path / "again.mkv")
    assert read_manifest(again.manifest).frames_hash == frames_hash


def test_a_cancelled_edit_gives_its_memory_back(server: Served, edit: EditRequest, record_property: Record) -> None:
    """Within 2 s after its step ended, more on a busy machine, down to what the worker had after an edit before."""
    server.ready().finish(submit(server, edit))
    large = edit.settings.model_copy(update={"model_size": 384, "steps": 50, "inversion_steps": 50})
    time.sleep(0.5)
    worker = server.worker()
    baseline = worker.memory_info().rss
    job = submit(server, edit.model_copy(update={"settings": large}))
    until(lambda: worker.memory_info().rss > baseline + 100 * MB)
    peak = worker.memory_info().rss
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=job))
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_CANCELLED)
    started = time.monotonic()
    until(lambda: worker.memory_info().rss < baseline + 30 * MB, 10)
    record_property("seconds until a cancelled edit's memory was free", round(time.monotonic() - started, 2))
    record_property("MB it had", (peak - baseline) // MB)
    assert server.worker().pid == worker.pid


def test_a_server_that_is_killed_and_then_stopped_goes_on_with_its_job_each_time(
    serve: Callable[..., Served], tmp_path: Path, edit: EditRequest
) -> None:
    """Server and worker at once, and no time to drain; the job goes on by itself, and its frames are the same."""
    longer = edit.settings.model_copy(update={"steps": 6, "inversion_steps": 6})
    edit = edit.model_copy(update={"settings": longer})
    whole = run_edit(edit, tmp_path / "whole.mkv")
    newest = Newest(tmp_path / "data/checkpoints")
    server = serve().ready()
    job = submit(server, edit)
    until(newest.changed, 300)
    server.kill()
    newest.changed()  # up to here
    server = serve()
    assert server.get(job).state != job_pb2.JOB_STATE_DONE
    until(newest.changed, 300)
    assert server.stop() == 0
    server = serve()
    assert server.finish(job).WhichOneof("event") == "done"
    assert manifest_of(server, job).frames_hash == read_manifest(whole.manifest).frames_hash
    assert server.get(job).attempts == 3
    assert not [path for path in (tmp_path / "data").rglob("*") if path.name.endswith(".part")]
    # They go when the end has been told.
    until(lambda: not list((tmp_path / "data/checkpoints").iterdir()), 30)


class Newest:
    """The newest of all checkpoints below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = ""

    def changed(self) -> bool:
        """Whether there is another one than when it was last asked."""
        before, self.seen = self.seen, max((path.name for path in self.folder.glob("*/*.ckpt")), default=self.seen)
        return self.seen != before


def test_weights_that_cannot_be_loaded_are_told(serve: Callable[..., Served], tmp_path: Path, bundle: Path) -> None:
    """Not ready, with the cause in the log and for every client that asks; the process lives on."""
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (weights,) = (broken / "unet").glob("*.safetensors")
    os.truncate(weights, weights.stat().st_size // 2)
    server = serve(broken)
    until(lambda: info(server).state == mive_pb2.LOAD_STATE_FAILED, 300)
    cause = info(server).cause
    assert f"{weights} is corrupt or cut short" in cause.what
    assert cause.fix
    assert cause.what in server.log.read_text()
    assert (server.health(), server.health("liveness")) == (NOT_SERVING, SERVING)
