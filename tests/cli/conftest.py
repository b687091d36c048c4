"""The program, run in this process, on a toy clip and a bundle of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import Run, runner

from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import ToyClip, write_clip


@pytest.fixture
def mive(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``mive("edit", "shot.mov", …)`` as a user would type it."""
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    return runner(capfd)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's layout, small, with random weights."""
    from tests.networks.sd15 import save_sd15

    return save_sd15(tmp_path_factory.mktemp("bundles") / "random")


@pytest.fixture
def toy(tmp_path: Path) -> ToyClip:
    """Three lossless frames of 64x64 with the instances 1 and 2."""
    scene = random_scene(20_000_001, (64, 64), count=(2, 2), scale=(0.2, 0.25), spacing=1.0)
    return write_clip(scene, tmp_path / "toy", 3)


@pytest.fixture
def quick(toy: ToyClip, bundle: Path) -> list[str | Path]:
    """An edit of both instances that takes a second."""
    return [
        toy.videos[0], "--mattes", toy.mattes, "--edit", "1=a red ball", "--edit", "2=a blue cup",
        "--bundle", bundle, "--set", "steps=2", "--set", "inversion_steps=2",
    ]  # fmt: skip
