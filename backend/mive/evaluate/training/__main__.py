"""Trains the `tiny` bundle from nothing, resuming wherever it was stopped.

    python -m mive.evaluate.training --work DIR [--hours 3] [--workers 2]

Stages run in order, each leaves its result in DIR, and what is there is not made again. Figures of the shipped bundle
are in ``bundles/tiny/README.md``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch.multiprocessing.spawn import spawn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, DPTForDepthEstimation

from mive.evaluate.training.bundle import write_bundle
from mive.evaluate.training.clip import train_clip
from mive.evaluate.training.data import GENERATOR_SEEDS, SCORER_SEEDS, build, load
from mive.evaluate.training.denoiser import Generator, Phase, cache_latents, train_denoiser
from mive.evaluate.training.depth import train_depth
from mive.evaluate.training.loop import join_workers
from mive.evaluate.training.text import write_tokenizer
from mive.evaluate.training.vae import polish_decoder, train_vae

GENERATOR_SCENES, SCORER_SCENES, CACHED_SCENES = 24_000, 8_000, 16_000
SHARES = {"vae": 0.08, "decoder": 0.08, "text": 0.06, "scorer": 0.08, "depth": 0.06, "crops": 0.45, "scenes": 0.19}
"""What each stage gets of the training time."""


def _small_parts(work: Path, minutes: float) -> None:
    """Text towers, depth estimator and VAE, one after the other on all cores."""
    build(work / "generator", GENERATOR_SEEDS, GENERATOR_SCENES)
    build(work / "scorer", SCORER_SEEDS, SCORER_SCENES)
    data = load(work / "generator")
    tokenizer = write_tokenizer(work / "tokenizer")
    for name, scenes in (("text", data), ("scorer", load(work / "scorer"))):
        if not (work / f"clip_{name}").exists():
            train_clip(name, scenes, tokenizer, work, SHARES[name] * minutes).save_pretrained(work / f"clip_{name}")
    if not (work / "depth_model").exists():
        train_depth(data, work, SHARES["depth"] * minutes).save_pretrained(work / "depth_model")
    if not (work / "vae_model").exists():
        train_vae(data, work, SHARES["vae"] * minutes).save_pretrained(work / "vae_model")
    vae = AutoencoderKL.from_pretrained(work / "vae_model")
    depth = DPTForDepthEstimation.from_pretrained(work / "depth_model").eval()
    cache_latents(data, vae, depth, work / "cache", CACHED_SCENES)
    if not (work / "vae_polished").exists():
        polish_decoder(vae, data, work, SHARES["decoder"] * minutes).save_pretrained(work / "vae_polished")


def _text(work: Path) -> CLIPTextModel:
    """The generator's text encoder, out of its contrastive pair."""
    pair = CLIPModel.from_pretrained(work / "clip_text")
    text = CLIPTextModel(pair.config.text_config)
    text.load_state_dict(pair.text_model.state_dict(), strict=False)
    return text.eval()


def _denoise(worker: int, work: Path, minutes: float, workers: int) -> None:
    """Both phases of the U-Net and ControlNet, in one of several worker processes."""
    torch.set_num_threads(1 if workers > 1 else torch.get_num_threads())
    if workers > 1:
        join_workers(worker, workers, work / "meeting")
    data, text = load(work / "generator"), _text(work)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    latents = cache_latents(data, None, None, work / "cache", CACHED_SCENES)
    crops = Phase("crops", cells=16, batch=24 // workers, rate=6e-4, minutes=SHARES["crops"] * minutes)
    scenes = Phase("scenes", cells=24, batch=12 // workers, rate=2e-4, minutes=SHARES["scenes"] * minutes)
    model = train_denoiser(data, latents, tokenizer, text, work, crops)
    model = train_denoiser(data, latents, tokenizer, text, work, scenes, model)
    if worker == 0:
        torch.save(model.state_dict(), work / "generator.pt")


def main() -> None:
    """Train everything that is not there yet and write ``WORK/bundle``."""
    parser = argparse.ArgumentParser(prog="python -m mive.evaluate.training", description="Train the tiny bundle.")
    parser.add_argument("--work", type=Path, required=True, help="folder for data, checkpoints and the bundle")
    parser.add_argument("--hours", type=float, default=3, help="training time, shared out over the parts")
    parser.add_argument("--workers", type=int, default=2, help="processes that train the U-Net together")
    options = parser.parse_args()
    work, minutes = options.work, options.hours * 60
    _small_parts(work, minutes)
    if not (work / "generator.pt").exists():
        (work / "meeting").unlink(missing_ok=True)
        spawn(_denoise, (work, minutes, options.workers), options.workers)  # type: ignore[no-untyped-call]
    generator = Generator()
    generator.load_state_dict(torch.load(work / "generator.pt", weights_only=True))
    write_bundle(
        work / "bundle",
        generator,
        AutoencoderKL.from_pretrained(work / "vae_polished"),
        _text(work),
        DPTForDepthEstimation.from_pretrained(work / "depth_model"),
        CLIPModel.from_pretrained(work / "clip_scorer"),
    )


if __name__ == "__main__":
    main()
