"""The whole training at a small size: from nothing to a bundle that loads, and on from it."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from mive.evaluate.training.bundle import PIECE, read_parts
from mive.networks.bundle import load_bundle, load_scorer
from mive.networks.bundle_files import BUNDLES_FOLDER

pytestmark = pytest.mark.slow


def train(work: Path, *options: str) -> str:
    command = [sys.executable, "-m", "mive.evaluate.training", "--work", str(work), "--size", "dry", "--workers", "1"]
    done = subprocess.run([*command, "--minutes", "0.05", *options], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_nothing_to_a_bundle_and_on_from_it(tmp_path: Path) -> None:
    work, pieces = tmp_path / "work", tmp_path / "pieces"
    said = train(work, "--pieces", str(pieces))
    for figure in ("vae in things", "colour", "start token"):
        assert figure in said

    bundle = load_bundle(work / "bundle")
    assert bundle.latent_channels == 16
    assert load_scorer(work / "bundle").model.config.projection_dim == 128

    parts = sorted(pieces.iterdir())
    assert all(part.stat().st_size <= PIECE for part in parts)
    with tarfile.open(fileobj=io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
        archive.extractall(tmp_path / "joined", filter="data")
    joined = {p.relative_to(tmp_path / "joined/bundle") for p in (tmp_path / "joined/bundle").rglob("*.safetensors")}
    assert joined == {p.relative_to(work / "bundle") for p in (work / "bundle").rglob("*.safetensors")}

    resumed = train(work)
    for stage in ("text:", "vae:", "scorer:", "depth:"):
        assert stage not in resumed

    said = train(tmp_path / "more", "--start", str(work / "bundle"))
    assert "vae:" not in said
    before, after = read_parts(work / "bundle"), read_parts(tmp_path / "more/bundle")
    assert torch.equal(before.vae.quant_conv.weight, after.vae.quant_conv.weight)
    changed = (before.generator.unet.conv_in.weight - after.generator.unet.conv_in.weight).abs().max()
    assert 0 < changed < 0.01


def test_it_needs_no_video_library_and_no_network_stack() -> None:
    forbidden = ("av", "OpenImageIO", "grpc", "typer", "rich", "google")
    code = f"import sys; sys.modules.update(dict.fromkeys({forbidden!r})); import mive.evaluate.training.__main__"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_bundle_of_another_architecture_is_not_gone_on_from() -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        read_parts(BUNDLES_FOLDER / "tiny")
