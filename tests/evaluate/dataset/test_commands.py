"""``mive dataset`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import Run, runner
from tests.evaluate.dataset.conftest import ModelServer, Reply

import mive as package


@pytest.fixture
def dataset(capfd: pytest.CaptureFixture[str]) -> Run:
    """``dataset("stats", "suite")``."""
    return runner(capfd, "dataset")


def test_every_command_has_help(dataset: Run) -> None:
    assert {"build", "check", "stats"} <= set(dataset("--help").out.split())
    for command in ("build", "check", "stats"):
        assert "--json" in dataset(command, "--help").out


def test_from_vipseg_to_statistics(dataset: Run, vipseg: Path, tmp_path: Path, server: ModelServer) -> None:
    suite = tmp_path / "suite"
    models = ["--vlm", f"{server.url}#eyes", "--llm", f"{server.url}#words"]
    words = ["build", "--vipseg", vipseg, "-o", suite, "--split", "yard"]
    first = dataset(*words)
    assert first.code == 0
    assert f"{suite}: 0 clips, 0 of them reviewed; 1 wait" in first.out
    assert "waits: line 2: 2_yard: there is no caption" in first.out
    assert "[1/1] videos surveyed" in first.err
    done = json.loads(dataset(*words, *models, "--json").out)
    assert (done["written"], done["reviewed"], done["waiting"]) == (["2_yard"], 0, [])
    review = suite / "review.tsv"
    told = dataset("check", review)
    assert (told.code, told.out) == (0, f"{review}: 1 clips, 0 reviewed, 0 dropped, 0 problems\n")
    review.write_text(review.read_text().replace("<2>", ""))
    wrong = dataset("check", review)
    assert wrong.code == 2
    assert wrong.out.startswith(f"{review}, line 2: 2_yard: the tag </2>")
    [problem] = json.loads(dataset("check", review, "--json").out)["problems"]
    assert (problem["line"], problem["clip"], problem["instance"]) == (2, "2_yard", None)
    counted = dataset("stats", suite)
    assert "| full set | 1 | 13–13 | 3–3 | 3 | 1–1 | 3–3 | 3 |" in counted.out
    assert "| edited | 1 | 13–13 | 2–2 | 2 | 1–1 | 2–2 | 2 |" in counted.out
    assert json.loads(dataset("stats", suite, "--json").out)["rows"][1]["clips"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vipseg", "nowhere"], "no folders imgs and panomasks"),
        (["--split", "vall"], "no vall.txt"),
        (["--llm", "http://localhost:8000/v1"], "MIVE_LLM_KEY"),
        (["--limit", "0"], "limit"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(
    dataset: Run, vipseg: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    done = dataset("build", "--vipseg", vipseg, "-o", tmp_path / "suite", *words)
    assert done.code == 2
    assert message in done.err


def test_a_wrong_key_is_a_request_error(dataset: Run, vipseg: Path, tmp_path: Path, server: ModelServer) -> None:
    server.first = [Reply(401, b'{"error": {"message": "no such key"}}')]
    models = ["--vlm", f"{server.url}#eyes", "--llm", f"{server.url}#words"]
    done = dataset("build", "--vipseg", vipseg, "-o", tmp_path / "suite", "--split", "yard", *models)
    assert done.code == 2
    assert "MIVE_VLM_KEY" in done.err


def test_a_review_that_is_not_there(dataset: Run, tmp_path: Path) -> None:
    assert "no file" in dataset("check", tmp_path / "review.tsv").err


def test_building_with_endpoints_needs_no_torch() -> None:
    code = (
        "import sys; from mive.evaluate.dataset import build, checking, models, stats; from mive.cli import main;"
        "main(['dataset', 'build', '--help']); assert 'torch' not in sys.modules"
    )
    environment = {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
