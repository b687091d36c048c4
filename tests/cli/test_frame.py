"""``mive frame``: views as a table, as JSON and as pictures, before anyone pays for an edit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.commands import Run

from mive.editing.framing import Framing
from mive.media import open_clip
from mive.media.sizes import model_size


@pytest.fixture
def where(shot: Path, bundle: Path) -> list[str | Path]:
    return [shot / "clip.mkv", "--mattes", shot / "mattes", "--bundle", bundle]


def test_a_table_for_people(mive: Run, where: list[str | Path]) -> None:
    done = mive("frame", *where, "--set", "window=3", "--set", "overlap=1")
    assert done.code == 0
    assert [word for word in ("0-2", "2-4", "3-5", "whole frame") if word not in done.out] == []
    assert "instance 2 is hidden in 3 of 6 frames: not edited there" in done.err


def test_one_object_for_machines(mive: Run, where: list[str | Path]) -> None:
    said = mive("frame", *where, "--json").json
    warnings, digest = said.pop("warnings"), said.pop("digest")
    assert said.pop("out") is None
    framing = Framing.model_validate(said)
    assert framing.digest() == digest
    assert framing.instances == (1, 2)
    assert warnings == ["instance 2 is hidden in 3 of 6 frames: not edited there"]


def test_whole_frames_at_the_bundles_size(mive: Run, where: list[str | Path]) -> None:
    framing = Framing.model_validate(_framing(mive("frame", *where, "--framing", "whole", "--json").json))
    (view,) = framing.views
    assert framing.is_whole(view)
    assert view.model_size == model_size(96, 64, framing.rule.model_size, framing.rule.multiple)


def test_the_flags_of_an_edit(mive: Run, where: list[str | Path]) -> None:
    words = ["--edit", "1=a red ball", "--frames", "1-4", "--set", "context=1.5", "--set", "closest=2", "--json"]
    framing = Framing.model_validate(_framing(mive("frame", *where, *words).json))
    assert framing.instances == (1,)
    assert str(framing.frames) == "1-4"
    assert (framing.rule.context, framing.rule.closest) == (1.5, 2)


def test_a_sheet_has_a_row_for_each_window(mive: Run, where: list[str | Path], tmp_path: Path) -> None:
    sheets = []
    for words in ([], ["--set", "window=3", "--set", "overlap=0"]):
        assert mive("frame", *where, *words, "-o", tmp_path / "sheet.png").code == 0
        sheets.append(cv2.imread(str(tmp_path / "sheet.png")))
    assert sheets[1].shape[0] == 2 * sheets[0].shape[0]


def test_a_video_has_every_frame_with_boxes(mive: Run, where: list[str | Path], tmp_path: Path) -> None:
    assert mive("frame", *where, "--frames", "2-5", "-o", tmp_path / "views.mkv", "-q").code == 0
    frames = list(open_clip(tmp_path / "views.mkv").read())
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4
    assert not np.array_equal(frames[0], frames[3])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--framing", "near"], 2, "framing"),
        (["--context", "0.5"], 2, "context"),
        (["--closest", "0"], 2, "closest"),
        (["--frames", "4-9"], 3, "--frames"),
        (["--edit", "9=a hat"], 3, "Instance 9"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_mistakes(mive: Run, where: list[str | Path], words: list[str], code: int, said: str) -> None:
    done = mive("frame", *where, *words)
    assert done.code == code
    assert said in done.err


def test_nothing_to_frame(mive: Run, shot: Path) -> None:
    assert mive("frame").code == 2
    assert "--mattes" in mive("frame", shot / "clip.mkv").err


def test_no_input_is_written_over(mive: Run, where: list[str | Path], shot: Path) -> None:
    before = {file: file.read_bytes() for file in shot.rglob("*") if file.is_file()}
    assert before
    for out in (shot / "clip.mkv", shot / "mattes", shot / "mattes" / "####.png", next(shot.glob("mattes/*"))):
        assert mive("frame", *where, "-o", out).code == 5
    assert {file: file.read_bytes() for file in shot.rglob("*") if file.is_file()} == before


def test_it_needs_no_torch(where: list[str | Path]) -> None:
    words = ["frame", *map(str, where), "--json", "-q"]
    code = f"import sys; from mive.cli import main; main({words!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ).returncode == 0


def test_real_footage(mive: Run, shared: Callable[[str], Path], tmp_path: Path) -> None:
    cups = shared("clips/cups")
    done = mive("frame", cups / "cups.mp4", "--mattes", cups / "mattes", "-o", tmp_path / "cups.png", "--json")
    assert done.json["warnings"] == ["instance 2 is hidden in 2 of 24 frames: not edited there"]
    assert (tmp_path / "cups.png").exists()


def _framing(said: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if name in Framing.model_fields}


def test_mattes_of_nothing_but_background(mive: Run, shot: Path, tmp_path: Path) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number:04}.png"), np.zeros((64, 96), np.uint8))
    done = mive("frame", shot / "clip.mkv", "--mattes", tmp_path)
    assert done.code == 3
    assert "all background" in done.err
