"""Trains the `tiny` bundle from nothing, resuming wherever it was stopped.

    python -m mive.evaluate.training --work DIR --minutes 8                 (a GPU)
    python -m mive.evaluate.training --work DIR --minutes 3000 --workers 1  (a CPU, beside other work)

Scenes are rendered in the background meanwhile. Stages run in order, each leaves its result in DIR, and what is there
is not made again. Needs torch, diffusers, transformers and OpenCV, no video library and no network. Figures of the
shipped bundle are in ``bundles/tiny/README.md``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL
from transformers import CLIPModel, CLIPTextModel, DPTForDepthEstimation

from mive.evaluate.training import exam
from mive.evaluate.training.bundle import write_bundle
from mive.evaluate.training.clip import train_clip
from mive.evaluate.training.denoiser import Latents, Phases, train_denoiser
from mive.evaluate.training.depth import train_depth
from mive.evaluate.training.precision import training_device
from mive.evaluate.training.rendering import rendering
from mive.evaluate.training.scenes import GENERATOR_SEEDS, HELD_OUT_SEEDS, SCORER_SEEDS, Scenes
from mive.evaluate.training.text import write_tokenizer
from mive.evaluate.training.vae import VaeBatch, train_vae

SHARES: Final = {"vae": 0.24, "text": 0.03, "scorer": 0.06, "depth": 0.05, "generator": 0.6}
"""What each stage gets of the time; the rest is for the last exam and the bundle."""

EXAM_SEEDS: Final = HELD_OUT_SEEDS + 400_000


@dataclass(frozen=True)
class Size:
    """How many scenes, and the batches of every stage."""

    scenes: int
    scorer_scenes: int
    exam_scenes: int
    vae: VaeBatch
    pairs: int
    depth: int
    denoiser: Phases


SIZES: Final = {
    "gpu": Size(96_000, 9_600, 256, VaeBatch(256, 32), 1024, 64, Phases(512, 256)),
    "cpu": Size(24_000, 8_000, 256, VaeBatch(8, 2), 192, 12, Phases(24, 12)),
    "dry": Size(64, 32, 32, VaeBatch(2, 1), 4, 2, Phases(2, 2)),
}


class Trainer:
    """The stages, in order. Each result is a folder of ``work``, made once."""

    def __init__(self, work: Path, minutes: float, size: Size) -> None:
        self.work, self.size, self.device = work, size, training_device()
        self.seconds = {stage: share * 60 * minutes for stage, share in SHARES.items()}
        self.began = time.monotonic()
        self._trained = 0.0
        self.tokenizer = write_tokenizer(work / "tokenizer")

    def say(self, **figures: float) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def run(self, scenes: Scenes, scorer_scenes: Scenes, exam_scenes: Scenes) -> None:
        """Train what is missing and write ``work/bundle``."""
        exam_scenes.refresh(self.size.exam_scenes)
        scenes.refresh(at_least=min(2048, self.size.scenes))
        vae = self._vae(scenes)
        self.say(**exam.vae_figures(vae, exam_scenes))
        pair, scorer = self._pair("text", scenes), self._pair("scorer", scorer_scenes)
        self.say(**exam.scorer_figures(scorer, self.tokenizer, exam_scenes))
        depth = self._depth(scenes)
        self.say(**exam.depth_figures(depth, exam_scenes))
        text = text_tower(pair).to(self.device)
        latents = Latents(scenes, vae, depth)
        beside = time.monotonic() - self.began - self._trained
        seconds = max(self.seconds["generator"] - beside, 1.0)
        generator = train_denoiser(latents, self.tokenizer, text, self.work, seconds, self.size.denoiser)
        seen = exam.generator_figures(
            generator, Latents(exam_scenes, vae, depth), self.tokenizer, text, self.size.denoiser.wholes
        )
        self.say(scenes=scenes.count, **seen)
        write_bundle(self.work / "bundle", generator, vae, text, depth, scorer)

    @contextmanager
    def _stage(self) -> Iterator[None]:
        """What does not lie in a stage (imports, waiting for scenes, exams) goes off the generator's time."""
        began = time.monotonic()
        yield
        self._trained += time.monotonic() - began

    def _vae(self, scenes: Scenes) -> AutoencoderKL:
        folder = self.work / "vae_model"
        if not folder.exists():
            with self._stage():
                vae = train_vae(scenes, self.work, self.seconds["vae"], self.size.vae)
            vae.save_pretrained(folder)
        return AutoencoderKL.from_pretrained(folder).to(self.device, memory_format=torch.channels_last).eval()

    def _pair(self, name: str, scenes: Scenes) -> CLIPModel:
        folder = self.work / f"clip_{name}"
        if not folder.exists():
            scenes.refresh(at_least=min(2048, scenes.room))
            with self._stage():
                pair = train_clip(name, scenes, self.tokenizer, self.work, self.seconds[name], self.size.pairs)
            pair.save_pretrained(folder)
        return CLIPModel.from_pretrained(folder).to(self.device).eval()

    def _depth(self, scenes: Scenes) -> DPTForDepthEstimation:
        folder = self.work / "depth_model"
        if not folder.exists():
            with self._stage():
                depth = train_depth(scenes, self.work, self.seconds["depth"], self.size.depth)
            depth.save_pretrained(folder)
        return DPTForDepthEstimation.from_pretrained(folder).to(self.device).eval()


def text_tower(pair: CLIPModel) -> CLIPTextModel:
    """The generator's text encoder, out of its contrastive pair."""
    text = CLIPTextModel(pair.config.text_config)
    text.load_state_dict(pair.text_model.state_dict(), strict=False)
    return text.eval().requires_grad_(False)


def main() -> None:
    """Train everything that is not there yet and write ``WORK/bundle``."""
    parser = argparse.ArgumentParser(prog="python -m mive.evaluate.training", description="Train the tiny bundle.")
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, checkpoints and the bundle")
    parser.add_argument("--minutes", type=float, default=8, help="time for all of it, shared out over the stages")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="rendering processes")
    parser.add_argument("--size", choices=SIZES, help="batches and number of scenes; by default what the device suits")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        options.work, options.minutes, SIZES[options.size or training_device().type.replace("cuda", "gpu")]
    )
    size, sets = trainer.size, []
    with ExitStack() as stack:
        for name, first, count, share in (
            ("exam", EXAM_SEEDS, size.exam_scenes, 1.0),
            ("scorer", SCORER_SEEDS, size.scorer_scenes, 0.25),
            ("generator", GENERATOR_SEEDS, size.scenes, 0.8),
        ):
            folder, workers = options.work / f"{name}_scenes", max(1, round(share * options.workers))
            stack.enter_context(rendering(folder, first, count, workers))
            sets.append(Scenes(folder, count, trainer.device))
        trainer.run(sets[2], sets[1], sets[0])


if __name__ == "__main__":
    main()
