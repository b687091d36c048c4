"""``mive bench`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import Run, runner
from tests.evaluate.bench.conftest import AFTER, Painter, with_ideals

import mive as package
from mive.evaluate.bench.methods import METHODS
from mive.evaluate.bench.suite import Suite, load_suite


@pytest.fixture
def bench(capfd: pytest.CaptureFixture[str]) -> Run:
    """``bench("report", "out")``."""
    return runner(capfd, "bench")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose CLIP has random weights."""
    from tests.networks.sd15 import save_sd15

    return save_sd15(tmp_path_factory.mktemp("bundles") / "random")


@pytest.fixture
def theirs(squares: Suite, tmp_path: Path) -> Path:
    """Outputs for all clips but the second."""
    for clip in (squares.clips[0], squares.clips[2]):
        Painter("theirs", AFTER).make(clip, tmp_path / "theirs" / f"{clip.name}.mkv", lambda progress: None)
    return tmp_path / "theirs"


def test_every_command_has_help(bench: Run) -> None:
    assert {"methods", "make-toy", "run", "report"} <= set(bench("--help").out.split())
    for command in ("methods", "make-toy", "run", "report"):
        assert "--json" in bench(command, "--help").out


def test_the_methods_are_listed(bench: Run) -> None:
    text, data = bench("methods").out, json.loads(bench("methods", "--json").out)
    assert [row["name"] for row in data["methods"]] == [method.name for method in METHODS]
    assert [method.name for method in METHODS if f" {method.name} " not in text] == []


def test_foreign_outputs_from_suite_to_report(
    bench: Run, squares: Suite, theirs: Path, judge: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [squares.folder, "-o", out, "--foreign", f"theirs={theirs}", "--judge", judge, "--json"]
    done = bench("run", *words)
    assert done.code == 1, "a clip failed"
    assert json.loads(done.out) == {"out": str(out), "results": 3, "failed": ["three theirs"]}
    assert "[3/3] two theirs: IA" in done.err
    assert "three theirs: failed: " in done.err
    again = bench("run", squares.folder, "-o", out, "--foreign", f"theirs={theirs}", "--clips", "0-0")
    assert (again.code, again.err) == (0, ""), "the judge is the first run's, and nothing is left to do"
    told = json.loads(bench("report", out, "--json").out)
    assert told["clips"] == 2
    assert [Path(path).name for path in told["files"]] == ["report.json", "report.csv", "report.md", "report.html"]
    assert all(Path(path).is_file() for path in told["files"])


def test_scores_against_the_ideal_tell_what_the_bundles_vae_reaches(
    bench: Run, squares: Suite, theirs: Path, judge: Path, tmp_path: Path
) -> None:
    suite, out = with_ideals(squares), tmp_path / "out"
    words = ["--foreign", f"theirs={theirs}", "--bundle", judge, "--clips", "0"]
    done = bench("run", suite.folder, "-o", out, *words)
    assert done.code == 0
    assert "PSNR 100.0 dB" in done.err
    ideal = json.loads((out / "results" / "theirs" / "one.json").read_text())["scores"]["ideal"]
    assert ideal["share"] == pytest.approx(100 / ideal["ceiling"]["psnr"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "fulll"], 'no method "fulll"'),
        ([], "nothing to measure"),
        (["--foreign", "theirs"], "not of the form NAME=FOLDER"),
        (["--foreign", "full=."], "names a method of MIVE's"),
        (["--foreign", "theirs=nowhere"], "no folder nowhere"),
        (["--methods", "full", "--clips", "0-9"], "clips 0-9 were asked for"),
        (["--methods", "full", "--preset", "swift"], "preset"),
        (["--methods", "full", "--set", "stepz=3"], "stepz"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    bench: Run, squares: Suite, tmp_path: Path, words: list[str], message: str
) -> None:
    done = bench("run", squares.folder, "-o", tmp_path / "out", *words)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_run_with_another_preset_needs_another_folder(
    bench: Run, squares: Suite, theirs: Path, judge: Path, tmp_path: Path
) -> None:
    words = [squares.folder, "-o", tmp_path / "out", "--foreign", f"theirs={theirs}", "--judge", judge, "--clips", "0"]
    assert bench("run", *words, "--preset", "draft").code == 0
    assert bench("run", *words).code == 0
    done = bench("run", *words, "--preset", "paper")
    assert done.code == 2
    assert "another settings" in done.err


def test_a_toy_suite(bench: Run, tmp_path: Path) -> None:
    done = bench("make-toy", tmp_path / "toy", "--clips", "2", "--frames", "1")
    assert done.code == 0
    assert "mive bench run" in done.out
    assert len(load_suite(tmp_path / "toy").clips) == 2
    assert bench("make-toy", tmp_path / "toy").code == 5


def test_a_run_that_never_was(bench: Run, tmp_path: Path) -> None:
    done = bench("report", tmp_path, "--json")
    assert done.code == 2
    assert "no benchmark run" in json.loads(done.out)["what"]


def test_lists_and_reports_need_no_torch() -> None:
    code = (
        "import sys; from mive.evaluate.bench import make_toy, report, report_html; from mive.cli import main;"
        "main(['bench', 'methods']); assert 'torch' not in sys.modules"
    )
    environment = {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
