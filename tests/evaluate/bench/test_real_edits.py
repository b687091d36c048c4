"""Real edits with the shipped model, few and coarse: the whole way from a toy suite to a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from mive.editing.inversions import InversionCache
from mive.evaluate.bench.make_toy import make_toy
from mive.evaluate.bench.makers import Editing
from mive.evaluate.bench.methods import choose
from mive.evaluate.bench.report import read_report
from mive.evaluate.bench.report_files import write_report
from mive.evaluate.bench.results import RunFolder, RunInfo
from mive.evaluate.bench.runner import run_suite
from mive.evaluate.bench.suite import load_suite
from mive.evaluate.metrics.files import load_judge
from mive.networks.bundle_files import BUNDLES_FOLDER
from mive.request import FrameRange, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BUNDLES_FOLDER / "tiny").is_dir(), reason="the bundle tiny is not in the package"),
]


def test_a_toy_suite_of_24_clips_from_edits_to_report(tmp_path: Path) -> None:
    list(make_toy(tmp_path / "suite", 24, frames=FrameRange(2, 2)))
    suite, folder = load_suite(tmp_path / "suite"), RunFolder(tmp_path / "out")
    settings = Settings(steps=2, inversion_steps=2, model_size=96)
    folder.start(RunInfo(suite=str(suite.folder), bundle="tiny", judge="tiny", settings=settings))
    cache = InversionCache(folder.inversions)
    makers = [Editing(method, settings, "tiny", cache) for method in choose(["full", "global_caption"])]
    told = list(run_suite(suite.clips, makers, folder, load_judge("tiny")))
    assert [one.result.error for one in told] == [None] * 48
    assert len(list(folder.inversions.glob("*.safetensors"))) == 24, "both methods share a clip's inversion"
    report = read_report(folder.folder)
    write_report(report, folder.folder)
    assert len(report.clips) == 24
    for results in report.results.values():
        assert all(result.scores is not None and result.scores["bp"] == 0 for result in results)
        assert all(result.seconds["sampling"] > 0 for result in results)
    page = (folder.folder / "report.html").read_text()
    assert "MIVE, full method" in page
    assert "seconds per frame" in page
