"""A render server with ``--engine trt``: the choice reaches its workers, and they edit with programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.server.fakes import ANNA
from tests.trt.eager import EagerPrograms

from mive.editing.inversions import InversionCache
from mive.errors import EngineError
from mive.manifest import Manifest
from mive.request import EditRequest, Settings
from mive.server.app import worker_options
from mive.server.config import ServerConfig
from mive.server.jobs import Job, Submission
from mive.server.options import WorkerOptions
from mive.server.renderer import EditRenderer
from mive.server.store import JobStore
from mive.server.worker import Worker
from mive.settings import EngineName
from mive_trt.library import Library


def render(folder: Path, request: EditRequest, engine: EngineName) -> Job:
    """The job after one worker had it."""
    renderer = EditRenderer("cpu", InversionCache(None), engine)
    renderer.load(request.bundle)
    store = JobStore(folder / "jobs.sqlite")
    job, _ = store.submit(Submission(ANNA, request))
    assert Worker(store, WorkerOptions(name="w", data=folder), renderer).step()
    job = store.get(ANNA, job.id)
    store.close()
    return job


def test_workers_are_told_of_the_engine(tmp_path: Path) -> None:
    for engine in ("torch", "trt", "auto"):
        config = ServerConfig(engine=engine, data=tmp_path)
        assert [options.engine for options in worker_options(config)] == [engine]


def test_a_server_that_cannot_run_programs_does_not_start(saved: Path) -> None:
    with pytest.raises(EngineError, match=r"NVIDIA GPU.*--engine torch"):
        EditRenderer("cpu", InversionCache(None), "trt").load(str(saved))


@pytest.mark.usefixtures("without_gpu")
def test_a_job_is_edited_with_programs(edit: EditRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "of", lambda bundle, *_: EagerPrograms(bundle))
    job = render(tmp_path, edit, "trt")
    assert job.manifest is not None, job.error
    assert Manifest.from_json(job.manifest).engine == "trt"
    assert np.load(next((tmp_path / "results" / job.id).glob("*.npy"))).shape == (96, 64, 3)


@pytest.mark.usefixtures("without_gpu")
def test_a_job_with_an_ablation_fails_and_says_what_to_do(edit: EditRequest, tmp_path: Path) -> None:
    settings = Settings(**{**edit.settings.model_dump(), "ipr": "dense_diffusion"})
    job = render(tmp_path, edit.model_copy(update={"settings": settings}), "trt")
    assert job.error is not None
    assert (job.error["error"], "--engine torch" in str(job.error["fix"])) == ("EngineError", True)
