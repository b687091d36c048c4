"""A benchmark run in which nothing but colours is edited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.evaluate.bench.conftest import AFTER, BEFORE, ColourJudge, Painter, write_squares

from mive.evaluate.bench.results import RunFolder, RunInfo
from mive.evaluate.bench.runner import run_suite
from mive.request import Settings

METHODS = {"quagga_net": AFTER, "dodo_diffusion": ("blue", "green", "red"), "full": BEFORE}


def write_run(folder: Path, frames: int = 3, clips: Sequence[str] = ("one", "three", "two")) -> Path:
    """Three methods on squares; ``dodo_diffusion`` failed on the clip "two" where that is among them."""
    suite, runs = write_squares(folder / "suite", clips, frames), RunFolder(folder / "run")
    runs.start(RunInfo(suite=str(folder / "suite"), bundle="tiny", judge="tiny", settings=Settings()))
    painters = [
        Painter(name, colours, fails=["two"] if name == "dodo_diffusion" else []) for name, colours in METHODS.items()
    ]
    assert list(run_suite(suite.clips, painters, runs, ColourJudge()))
    return runs.folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("study"))
