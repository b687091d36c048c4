"""Real edits by a worker, with random weights: the frames of ``mive edit``, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.server.fakes import ANNA, BEN

from mive.base import atomic
from mive.edit import run_edit
from mive.editing.inversions import InversionCache
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError
from mive.manifest import Manifest, read_manifest
from mive.media import open_clip
from mive.method.sampling import Sampler
from mive.request import EditRequest, FrameRange
from mive.server.jobs import Handles, Job, Submission
from mive.server.options import WorkerOptions
from mive.server.renderer import EditRenderer
from mive.server.results import Results
from mive.server.store import JobStore
from mive.server.supervisor import Supervisor
from mive.server.watch import Watch
from mive.server.worker import Worker
from mive.wire.progress import STAGES


@pytest.fixture(scope="module")
def renderer(bundle: Path) -> EditRenderer:
    """With the bundle loaded, once for all tests."""
    cv2.setNumThreads(0)  # its threads would be missing in forked processes
    renderer = EditRenderer("cpu", InversionCache(None))
    renderer.load(str(bundle))
    return renderer


@pytest.fixture(scope="module")
def frames_hash(edit: EditRequest, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Of the same edit in process."""
    result = run_edit(edit, tmp_path_factory.mktemp("edit") / "out.mkv")
    return read_manifest(result.manifest).frames_hash


def render(data: Path, renderer: EditRenderer, request: EditRequest) -> Job:
    """The job after one worker had it."""
    store = JobStore(data / "jobs.sqlite")
    job, _ = store.submit(Submission(ANNA, request))
    renderer.cache = InversionCache(data / "inversions")
    assert Worker(store, WorkerOptions(name="w", data=data), renderer).step()
    job = store.get(ANNA, job.id)
    store.close()
    return job


def manifest_of(job: Job) -> Manifest:
    assert job.manifest is not None, job.error
    return Manifest.from_json(job.manifest)


def test_a_job_makes_the_frames_of_mive_edit(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, frames_hash: str
) -> None:
    job = render(tmp_path, renderer, edit)
    manifest = manifest_of(job)
    assert manifest.frames_hash == frames_hash
    assert manifest.request == edit
    assert manifest.outputs == ()
    store = JobStore(tmp_path / "jobs.sqlite")
    events = store.events(ANNA, job.id)
    windows = [e.window_finished.frames for e in events if e.HasField("window_finished")]
    assert [(frames.first, frames.last) for frames in windows] == [(0, 1), (2, 4)]
    assert set(STAGES.values()) <= {e.WhichOneof("event") for e in events}
    store.close()
    source = list(open_clip(edit.clip).read())
    results = Worker(store, WorkerOptions(name="w", data=tmp_path), renderer).results.of(job.id)
    assert all(np.array_equal(results.read(i)[:6], source[i][:6]) for i in range(5))
    assert not np.array_equal(results.read(0), source[0])
    assert not (tmp_path / "checkpoints" / job.id).exists()


def test_what_the_user_should_know_is_told_before_the_first_step(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest
) -> None:
    long = edit.instances[0].model_copy(update={"caption": "a cup, " * 60})
    job = render(tmp_path, renderer, edit.model_copy(update={"instances": (long,)}))
    store = JobStore(tmp_path / "jobs.sqlite")
    told = {e.WhichOneof("event"): e for e in store.events(ANNA, job.id)}
    kinds = list(told)
    assert kinds.index("warned") < kinds.index("step")
    (warning,) = told["warned"].warned.warnings
    assert "longer than the model takes" in warning
    assert manifest_of(job).warnings == tuple(told["done"].done.warnings) == (warning,)
    store.close()


def test_a_range_keeps_the_clips_numbers(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    job = render(tmp_path, renderer, edit.model_copy(update={"frames": FrameRange(1, 3)}))
    assert job.frames == manifest_of(job).frames == FrameRange(1, 3)
    assert sorted(p.name for p in (tmp_path / "results" / job.id).glob("*.npy")) == [f"{i:08}.npy" for i in (1, 2, 3)]


def test_new_captions_do_not_invert_again(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    render(tmp_path, renderer, edit)
    other = edit.instances[0].model_copy(update={"caption": "a black star"})
    job = render(tmp_path, renderer, edit.model_copy(update={"instances": (other,)}))
    store = JobStore(tmp_path / "jobs.sqlite")
    (inversion,) = (e.inversion for e in store.events(ANNA, job.id) if e.HasField("inversion"))
    assert inversion.cached
    store.close()


def test_the_same_edit_again_is_not_made_again(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    """Wherever its files lie, but not for another owner, another caption or other pixels."""
    first = render(tmp_path, renderer, edit)
    moved = tmp_path / "moved"
    shutil.copytree(Path(edit.clip).parent, moved)
    again = edit.model_copy(update={"clip": str(moved / "clip.mkv"), "mattes": str(moved / "mattes")})
    store = JobStore(tmp_path / "jobs.sqlite")

    def cached(owner: str, request: EditRequest) -> bool:
        job, _ = store.submit(Submission(owner, request))
        assert Worker(store, WorkerOptions(name="w", data=tmp_path), renderer).step()
        done = store.get(owner, job.id)
        assert manifest_of(done).request == request
        assert manifest_of(done).frames_hash == Results(tmp_path / "results").of(job.id).hash(FrameRange(0, 4))
        (last,) = (e.done for e in store.events(owner, job.id) if e.HasField("done"))
        return last.cached

    assert cached(ANNA, again)
    assert not cached(BEN, again)
    other = edit.instances[0].model_copy(update={"caption": "a black star"})
    assert not cached(ANNA, again.model_copy(update={"instances": (other, edit.instances[1])}))
    Results(tmp_path / "results").remove(first.id)
    assert manifest_of(store.get(ANNA, first.id)).frames_hash, "its frames are gone, its manifest is kept"
    store.close()


def test_previews_show_every_instance_where_it_is(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    job, _ = store.submit(Submission(ANNA, edit, preview_every=1))
    assert Worker(store, WorkerOptions(name="w", data=tmp_path), renderer).step()
    previews = [event.preview for event in store.events(ANNA, job.id) if event.HasField("preview")]
    assert sorted(preview.instance_id for preview in previews) == [1, 2], "newer ones replace older ones"
    for preview in previews:
        image = np.frombuffer(preview.data, np.uint8)
        assert image.size == preview.format.width * preview.format.height * 3
        assert max(preview.format.width, preview.format.height) <= 256
        assert image.std() > 0
        assert 0 < preview.done <= preview.total
        assert preview.frame in range(5)
    store.close()


def test_handles_are_edited_as_far_as_the_clip_goes(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    asked = Submission(ANNA, edit.model_copy(update={"frames": FrameRange(1, 3)}), handles=Handles(1, 9))
    job, _ = store.submit(asked)
    assert Worker(store, WorkerOptions(name="w", data=tmp_path), renderer).step()
    assert store.get(ANNA, job.id).frames == FrameRange(0, 4)
    store.close()


def test_a_bundle_stays_loaded_between_jobs(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded again")

    monkeypatch.setattr("mive.server.renderer.load_bundle", fail)
    assert render(tmp_path, renderer, edit).state == "done"


def test_another_kind_of_device_is_refused(tmp_path: Path, renderer: EditRenderer, edit: EditRequest) -> None:
    settings = edit.settings.model_copy(update={"device": "cuda"})
    job = render(tmp_path, renderer, edit.model_copy(update={"settings": settings}))
    assert job.error is not None
    assert job.error["field"] == "settings.device"


def test_out_of_memory_halves_the_window(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two frames at once are too many; what is rendered is the edit that asks for one."""
    encode = TorchEngine.encode

    def small(self: TorchEngine, frames: NDArray[np.float32], batch: int = 4) -> torch.Tensor:
        if len(frames) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, frames, batch)

    settings = edit.settings.model_copy(update={"window": 16})
    two = edit.model_copy(update={"settings": settings, "frames": FrameRange(0, 1)})
    monkeypatch.setattr(TorchEngine, "encode", small)
    job = render(tmp_path / "job", renderer, two)
    manifest = manifest_of(job)
    assert (manifest.settings.window, manifest.settings.overlap, job.window) == (1, 0, 1)
    assert manifest.request == two
    again = render(tmp_path / "again", renderer, manifest.rerender_request())
    assert (manifest_of(again).frames_hash, again.window) == (manifest.frames_hash, None)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("[...] DefaultCPUAllocator: can't")],
    ids=["device", "python", "cpu"],
)
def test_all_memory_is_told_alike(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(TorchEngine, "encode", fail)
    job = render(tmp_path, renderer, edit)
    assert job.error is not None
    assert (job.window, job.error["error"]) == (1, "OutOfMemory")


def test_other_errors_are_not_taken_for_memory(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(TorchEngine, "encode", fail)
    job = render(tmp_path, renderer, edit)
    assert job.error is not None
    assert (job.window, job.error["error"]) == (None, EngineError.__name__)


def fork(work: Callable[[], None]) -> int:
    """The status of a forked process that does this; forking saves loading the networks for every kill."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    return os.waitpid(child, 0)[1]


class Killed:
    """A worker process that kills itself with SIGKILL at its ``point``-th moment, counted from 1.

    Moments are every report of progress, and the middle and end of every part of every file that is written.

    Attributes:
        steps: a file with one byte for every denoising step that was begun.
        moments: a file with one byte for every moment.
    """

    def __init__(self, data: Path, renderer: EditRenderer) -> None:
        self.data = data
        self.renderer = renderer
        self.steps = data / "steps"
        self.moments = data / "moments"

    def run(self, name: str, point: int | None) -> int:
        return fork(lambda: self._work(name, point))

    def _work(self, name: str, point: int | None) -> None:
        left = point

        def moment() -> None:
            nonlocal left
            append(self.moments)
            if left is not None:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        write, advance, report = atomic._write_all, Sampler._advance, Watch.report

        def write_slowly(descriptor: int, data: bytes | memoryview) -> None:
            whole = memoryview(data).cast("B")
            for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
                write(descriptor, part)
                moment()

        def count(*arguments: object) -> object:
            append(self.steps)
            return advance(*arguments)  # type: ignore[arg-type]

        def tell(*arguments: object) -> None:
            moment()
            report(*arguments)  # type: ignore[arg-type]

        atomic._write_all, Sampler._advance, Watch.report = write_slowly, count, tell  # type: ignore[assignment, method-assign]
        store = JobStore(self.data / "jobs.sqlite")
        worker = Worker(store, WorkerOptions(name=name, data=self.data), self.renderer)
        assert worker.step()
        os._exit(0)


def append(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(b".")


def submit(data: Path, edit: EditRequest) -> str:
    store = JobStore(data / "jobs.sqlite")
    job, _ = store.submit(Submission(ANNA, edit))
    store.close()  # no connection may be open in a process that forks
    return job.id


def check_kill(
    data: Path, renderer: EditRenderer, edit: EditRequest, point: int, steps: int, frames_hash: str | None
) -> None:
    """Kill the worker at that moment, let another one go on, and compare."""
    data.mkdir()
    renderer.cache = InversionCache(None)
    killed, job = Killed(data, renderer), submit(data, edit)
    assert os.WTERMSIG(killed.run("first", point)) == signal.SIGKILL
    store = JobStore(data / "jobs.sqlite")
    assert store.get(ANNA, job).state == "running"
    assert store.leases.release_all("first") == [job]
    store.close()
    assert killed.run("second", None) == 0
    store = JobStore(data / "jobs.sqlite")
    done = store.get(ANNA, job)
    store.close()
    assert manifest_of(done).frames_hash == frames_hash, f"killed at moment {point}"
    assert killed.steps.stat().st_size <= steps + 1, f"more than one step repeated after moment {point}"
    assert [path for path in data.rglob("*") if path.name.endswith(".part")] == []
    assert done.attempts == 2


def spread(moments: int, count: int) -> list[int]:
    """Evenly spread moments, from 1 to ``moments``."""
    return sorted({1 + int((k + 0.5) * moments / count) for k in range(count)})


@pytest.mark.parametrize(
    ("last", "count"),
    [(1, 2), pytest.param(4, 5, marks=pytest.mark.slow), pytest.param(4, 100, marks=pytest.mark.soak)],
    ids=["one window, 2 kills", "two windows, 5 kills", "two windows, 100 kills"],
)
def test_kill_9_repeats_one_step_at_most_and_changes_no_frame(
    tmp_path: Path, renderer: EditRenderer, edit: EditRequest, last: int, count: int
) -> None:
    edit = edit.model_copy(update={"frames": FrameRange(0, last)})
    whole = tmp_path / "whole"
    whole.mkdir()
    job = render(whole, renderer, edit)
    renderer.cache = InversionCache(None)
    shutil.rmtree(whole / "results")  # which would be handed out again
    submit(whole, edit)
    counted = Killed(whole, renderer)
    assert counted.run("w", None) == 0
    moments, steps = counted.moments.stat().st_size, counted.steps.stat().st_size
    assert moments > steps >= 4
    for point in spread(moments, count):
        check_kill(tmp_path / f"{point}", renderer, edit, point, steps, manifest_of(job).frames_hash)


@pytest.mark.slow
def test_a_real_process_is_killed_and_its_successor_goes_on(
    tmp_path: Path, edit: EditRequest, frames_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(atomic.__file__).parents[1]))
    store = JobStore(tmp_path / "jobs.sqlite")
    supervisor = Supervisor(store.leases, [WorkerOptions(name="w", data=tmp_path, device="cpu", bundle=edit.bundle)])
    job, _ = store.submit(Submission(ANNA, edit))
    supervisor.start()
    try:
        while not list((tmp_path / "checkpoints").glob("*/*.ckpt")):
            assert store.get(ANNA, job.id).error is None
            time.sleep(0.01)
        (pid,) = supervisor.pids()
        os.kill(pid, signal.SIGKILL)
        while not store.get(ANNA, job.id).finished:
            time.sleep(0.1)
        job = store.get(ANNA, job.id)
        assert (job.attempts, manifest_of(job).frames_hash) == (2, frames_hash)
        assert [status.state for status in supervisor.statuses()] == ["ready"]
    finally:
        supervisor.drain(10)
        store.close()
