"""Re-rendering, scoring, the doctor, and what the program does before any command runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from tests.commands import Run

import mive as package
from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import ToyClip, write_clip


def test_an_edit_is_rendered_again_bit_for_bit(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    assert mive("edit", *quick, "-o", tmp_path / "a.mkv").code == 0
    again = mive("render-again", tmp_path / "a.mkv.manifest.json", "-o", tmp_path / "b.mkv")
    assert again.code == 0
    assert "bit for bit" in again.out
    assert (tmp_path / "b.mkv.manifest.json").exists()


def test_rendering_again_tells_what_has_changed_since(
    mive: Run, quick: list[str | Path], toy: ToyClip, tmp_path: Path
) -> None:
    mive("edit", *quick, "-o", tmp_path / "a.mkv")
    path = toy.mattes / "0001.png"
    matte = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    matte[matte == 1] = 2
    cv2.imwrite(str(path), matte)
    again = mive("render-again", tmp_path / "a.mkv.manifest.json", "-o", tmp_path / "b.mkv")
    assert again.code == 6
    assert f"the matte {path}" in again.err
    assert "0000.png" not in again.err


def test_rendering_again_needs_a_manifest(mive: Run, tmp_path: Path) -> None:
    done = mive("render-again", tmp_path / "no.json", "-o", tmp_path / "b.mkv", "--json")
    assert done.code == 2
    assert "no.json" in done.json["what"]


def test_scores_of_an_edit_with_itself(mive: Run, toy: ToyClip, bundle: Path) -> None:
    clip = toy.videos[0]
    words = ["--edit", "1=a red ball", "--source", "1=a green star", "--bundle", str(bundle)]
    scores = mive("score", clip, clip, "--mattes", toy.mattes, *words, "--json").json
    assert scores["bp"] == 0
    assert scores["frames"] == 3
    assert 0 <= scores["ia"] <= 1
    table = mive("score", clip, clip, "--mattes", toy.mattes, *words).out
    eight = ("GTC", "GTF", "FA", "LTC", "LTF", "IA", "CIA", "BP")
    assert [name for name in eight if f" {name} " not in table] == []


def test_scores_against_an_ideal_edit(mive: Run, toy: ToyClip, bundle: Path) -> None:
    clip = toy.videos[0]
    words = ["--mattes", toy.mattes, "--edit", "1=a red ball", "--bundle", str(bundle), "--ideal", clip]
    ideal = mive("score", clip, clip, *words, "--json").json["ideal"]
    assert (ideal["psnr"], ideal["delta_e"]) == (100, 0)
    assert ideal["share"] == pytest.approx(100 / ideal["ceiling"]["psnr"])
    table = mive("score", clip, clip, *words).out
    assert [name for name in ("PSNR in dB", "ΔE", "SSIM", "100.0", "mean") if name not in table] == []


def test_scores_of_a_range(mive: Run, toy: ToyClip, bundle: Path) -> None:
    clip = toy.videos[0]
    words = ["--mattes", toy.mattes, "--edit", "1=a red ball", "--bundle", bundle]
    assert mive("score", clip, clip, *words, "--frames", "1-2", "--json").json["frames"] == 2


def test_scoring_clips_that_do_not_fit(mive: Run, toy: ToyClip, bundle: Path, tmp_path: Path) -> None:
    shorter = write_clip(random_scene(1, (64, 64)), tmp_path / "shorter", 2).videos[0]
    words = ["--mattes", toy.mattes, "--edit", "1=a red ball", "--bundle", bundle]
    done = mive("score", toy.videos[0], shorter, *words)
    assert done.code == 3
    assert "--frames" in done.err


def test_the_doctor_speaks_to_people_and_machines(mive: Run) -> None:
    people, machines = mive("doctor"), mive("doctor", "--json")
    assert people.code == machines.code == (1 if machines.json["problems"] else 0)
    assert "libx264" in people.out
    assert machines.json["mive"] == package.__version__


def test_the_version(mive: Run) -> None:
    assert mive("--version").out == f"mive {package.__version__}\n"


def test_nothing_asked_for_is_a_call_for_help(mive: Run) -> None:
    assert mive() == mive("--help")
    assert "render-again" in mive().out


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from mive.cli import main; main(['edit', '--help']);"
        "print(json.dumps([m for m in ('torch', 'numpy', 'av', 'cv2') if m in sys.modules]))"
    )
    backend = str(Path(package.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=True, text=True, env={"PYTHONPATH": backend},
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("command", ["edit", "frame", "render-again", "score", "demo", "doctor"])
def test_every_command_has_help(mive: Run, command: str) -> None:
    done = mive(command, "--help")
    assert done.code == 0
    assert "--json" in done.out
