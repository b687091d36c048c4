"""Whole edits by ``--engine trt``: the frames of the torch engine, whoever runs the programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.trt.eager import EagerPrograms

from mive.cli import main
from mive.edit import run_edit
from mive.manifest import read_manifest
from mive.media import open_clip
from mive.networks.bundle import Bundle
from mive.request import EditRequest, Settings
from mive_trt.library import Library

TOLERANCE = 1
"""Of 255: what rounding moves."""


@pytest.fixture(scope="module")
def frames(edit: EditRequest, tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[np.generic]]:
    """By the torch engine."""
    out = tmp_path_factory.mktemp("torch") / "out.mkv"
    return list(open_clip(run_edit(edit, out).out).read())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[EagerPrograms]:
    """The libraries of all edits, whose programs are the torch networks."""
    made: list[EagerPrograms] = []

    def library(bundle: Bundle, *_: object) -> EagerPrograms:
        made.append(EagerPrograms(bundle))
        return made[-1]

    monkeypatch.setattr(Library, "of", library)
    return made


def agree(out: Path, frames: list[NDArray[np.generic]]) -> None:
    edited = list(open_clip(out).read())
    assert len(edited) == len(frames)
    for ours, wanted in zip(edited, frames, strict=True):
        assert np.abs(ours.astype(int) - wanted.astype(int)).max() <= TOLERANCE


@pytest.mark.usefixtures("without_gpu")
def test_programs_make_the_frames_of_torch(
    edit: EditRequest, frames: list[NDArray[np.generic]], made: list[EagerPrograms], tmp_path: Path
) -> None:
    result = run_edit(edit, tmp_path / "out.mkv", engine="trt")
    agree(result.out, frames)
    manifest = read_manifest(result.manifest)
    assert (manifest.engine, manifest.precision) == ("trt", "fp32")
    assert result.warnings == ()
    (programs,) = made
    kinds = {kind for kind, _ in programs.made}
    assert kinds == {"unet", "controlnet", "vae_decoder"}
    assert {bucket.items for _, bucket in programs.made} <= {1, 2, 4}


@pytest.mark.usefixtures("without_gpu", "made")
def test_auto_tells_of_its_choice_with_the_edit(edit: EditRequest, tmp_path: Path) -> None:
    result = run_edit(edit, tmp_path / "out.mkv", engine="auto")
    assert read_manifest(result.manifest).engine == "trt"
    assert any("auto chose TensorRT" in warning for warning in result.warnings)


def test_auto_without_a_gpu_edits_with_torch_and_says_why(edit: EditRequest, tmp_path: Path) -> None:
    result = run_edit(edit, tmp_path / "out.mkv", engine="auto")
    assert read_manifest(result.manifest).engine == "torch"
    assert any("auto chose the torch engine" in warning for warning in result.warnings)


def command(edit: EditRequest, tmp_path: Path, engine: str) -> list[str]:
    """``mive edit`` of the request."""
    (tmp_path / "edit.json").write_text(edit.to_json())
    return ["edit", "--request", str(tmp_path / "edit.json"), "--engine", engine, "-o", str(tmp_path / "out.mkv"), "-q"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_gpu")
def test_onnxruntime_stands_in_for_tensorrt(edit: EditRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are exported and run as programs; a second edit finds them."""
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path / "cache"))
    # Its networks have fewer layers, which export faster.
    edit = edit.model_copy(update={"bundle": "tiny"})
    frames = list(open_clip(run_edit(edit, tmp_path / "torch.mkv").out).read())
    assert main(command(edit, tmp_path, "trt")) == 0
    agree(tmp_path / "out.mkv", frames)
    kept = sorted((tmp_path / "cache" / "onnx").iterdir())
    assert main(command(edit, tmp_path, "trt")) == 0
    assert sorted((tmp_path / "cache" / "onnx").iterdir()) == kept


def test_trt_without_a_gpu_fails_before_anything_is_made(
    edit: EditRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(edit, tmp_path, "trt")) == 6
    assert "NVIDIA GPU" in capsys.readouterr().err
    assert not (tmp_path / "out.mkv").exists()


def test_an_engine_of_another_name_is_told(
    edit: EditRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(edit, tmp_path, "trd")) == 2
    assert 'engine: "trd" is not a choice' in capsys.readouterr().err


@pytest.mark.usefixtures("without_gpu")
def test_an_ablation_is_refused_before_the_bundle_is_loaded(
    edit: EditRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(**{**edit.settings.model_dump(), "ipr": "dense_diffusion"})
    assert main(command(edit.model_copy(update={"settings": settings}), tmp_path, "trt")) == 6
    assert "--engine torch" in capsys.readouterr().err
