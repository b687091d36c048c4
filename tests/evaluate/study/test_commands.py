"""``mive study`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import Run, runner

import mive as package
from mive.evaluate.study.answers import load_key
from mive.evaluate.study.questions import QUESTIONS


@pytest.fixture
def study(capfd: pytest.CaptureFixture[str]) -> Run:
    """``study("build", "out", "-o", "site")``."""
    return runner(capfd, "study")


def test_from_a_run_to_shares(study: Run, run: Path, tmp_path: Path) -> None:
    made = study("build", run, "-o", tmp_path / "site", "--clips", "one")
    assert (made.code, made.err) == (0, "[1/1] one\n")
    assert "1 clip, 3 methods" in made.out
    key = load_key(tmp_path / "site.key.json")
    files = []
    for person in range(2):
        shown = list(key.clips[0].videos)
        answers = {
            "version": 1, "study": key.study, "participant": f"p{person}", "started": "2026-01-01T10:00:00Z",
            "finished": None,
            "clips": [{"clip": key.clips[0].id, "shown": shown, "choices": {q.name: shown[0] for q in QUESTIONS}}],
        }  # fmt: skip
        files.append(tmp_path / f"{person}.json")
        files[-1].write_text(json.dumps(answers))
    winner = key.clips[0].videos[shown[0]]

    told = study("tally", tmp_path / "site.key.json", *files, "-o", tmp_path / "tally")
    assert told.code == 0
    assert f"| {key.methods[winner]} | **100.00** [100.0, 100.0] |" in told.out
    assert {path.name for path in (tmp_path / "tally").iterdir()} == {"tally.json", "tally.md", "tally.svg"}
    data = json.loads(study("tally", tmp_path / "site.key.json", *files, "--json").out)
    assert data["shares"][winner]["temporal"]["mean"] == 1
    assert data["files"] == []

    twice = study("tally", tmp_path / "site.key.json", files[0], files[0])
    assert twice.code == 2
    assert "both of the participant p0" in twice.err


def test_each_study_has_names_of_its_own(study: Run, run: Path, tmp_path: Path) -> None:
    words = ["build", run, "--methods", "full,quagga_net", "--clips", "one", "--json", "-q"]
    told = [json.loads(study(*words, "-o", tmp_path / name).out) for name in ("a", "b")]
    assert [one["methods"] for one in told] == [["full", "quagga_net"]] * 2
    first, second = (load_key(Path(one["key"])) for one in told)
    assert first.study != second.study


def test_mistakes_end_with_2_and_write_nothing(study: Run, run: Path, tmp_path: Path) -> None:
    assert "no benchmark run in" in study("build", tmp_path, "-o", tmp_path / "site").err
    assert study("build", run, "-o", tmp_path / "site", "--methods", "full").code == 2
    assert list(tmp_path.iterdir()) == []
    assert study("build", run, "-o", tmp_path).code == 5, "the folder exists"


@pytest.mark.slow
def test_a_study_needs_no_models() -> None:
    code = (
        "import sys, mive.cli; "
        "from mive.evaluate.study import site, tally_chart, tally_markdown; "
        "sys.exit('torch' in sys.modules)"
    )
    root = str(Path(package.__file__).parents[1])
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": root}, check=False).returncode == 0
