"""``mive mattes check``: what mattes hold, and what is odd about them, without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mive.cli.app import main
from mive.evaluate.toyworld.clip import ToyClip


def check(*arguments: str | Path) -> int:
    return main(["mattes", "check", *map(str, arguments)])


def test_good_mattes_are_listed_and_nothing_is_said(toy: ToyClip, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(toy.videos[0], "--mattes", toy.mattes, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["warnings"] == []
    assert [(row["id"], row["kind"], row["frames"]) for row in found["instances"]] == [(1, "ids", 3), (2, "ids", 3)]
    assert all(0 < row["share"] < 1 for row in found["instances"])


@pytest.fixture
def soft(tmp_path: Path) -> Path:
    """Three soft mattes whose black is 16."""
    folder = tmp_path / "soft"
    folder.mkdir()
    for number in range(3):
        picture = np.full((64, 64), 16, np.uint8)
        cv2.circle(picture, (32, 32), 12, 255, -1, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number:04}.png"), picture)
    return folder


def test_what_is_odd_is_a_warning_and_with_strict_an_error(
    toy: ToyClip, soft: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(toy.videos[0], "--matte", f"5={soft}") == 0
    told = capsys.readouterr()
    assert "Warning" in told.err
    assert "never black" in told.err
    assert "soft" in told.out
    assert check(toy.videos[0], "--matte", f"5={soft}", "--strict") == 3
    assert "never black" in capsys.readouterr().err


def test_mattes_of_other_frames_are_an_error(toy: ToyClip, soft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (soft / "0001.png").unlink()
    assert check(toy.videos[0], "--matte", f"5={soft}") == 3
    assert "the frames 1 of the clip have none" in capsys.readouterr().err
    assert check(toy.videos[0], "--matte", f"5={soft}", "--frames", "2") == 0


def test_ids_and_mattes_of_their_own_are_checked_together(
    toy: ToyClip, soft: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(toy.videos[0], "--mattes", toy.mattes, "--matte", f"9={soft}", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["kind"]) for row in found["instances"]] == [(1, "ids"), (2, "ids"), (9, "soft")]
    assert len(found["warnings"]) == 1


def test_it_needs_no_torch() -> None:
    code = "import sys; from mive.cli import mattes; import mive.media; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
