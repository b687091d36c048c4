"""The stages of a training, in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPModel, CLIPTextModel, DPTForDepthEstimation

from mive.evaluate.training import exam
from mive.evaluate.training.bundle import Parts, write_bundle, write_pieces
from mive.evaluate.training.clip import train_clip
from mive.evaluate.training.denoiser import Generator, Latents, Phases, new_generator, train_denoiser
from mive.evaluate.training.depth import train_depth
from mive.evaluate.training.loop import Recipe
from mive.evaluate.training.precision import training_device
from mive.evaluate.training.scenes import Scenes
from mive.evaluate.training.text import write_tokenizer
from mive.evaluate.training.vae import VaeBatch, train_vae

SHARES: Final = {"text": 0.03, "depth": 0.03, "scorer": 0.06, "vae": 0.25, "generator": 0.61}
"""What each stage gets of the time; the rest is for the last exam."""


@dataclass(frozen=True)
class Size:
    """How many scenes, the batches of every stage and of the last exam, and the seconds between bundles."""

    scenes: int
    scorer_scenes: int
    exam_scenes: int
    vae: VaeBatch
    pairs: int
    depth: int
    denoiser: Phases
    exam_batches: int
    save_every: float


SIZES: Final = {
    "gpu": Size(96_000, 9_600, 256, VaeBatch(256, 32), 1024, 64, Phases(512, 256), 4, 60),
    "cpu": Size(24_000, 8_000, 256, VaeBatch(8, 2), 192, 12, Phases(24, 12), 8, 900),
    "dry": Size(64, 32, 32, VaeBatch(2, 1), 4, 2, Phases(2, 2), 1, 900),
}


class Trainer:
    """Each stage's result is a folder of ``work``, made once.

    Args:
        start: parts to go on from; only the generator is trained then.
        pieces: folder for the bundle in pieces, for machines that only small files leave.
    """

    def __init__(self, work: Path, minutes: float, size: Size, start: Parts | None, pieces: Path | None) -> None:
        self.work, self.size, self.start, self.pieces = work, size, start, pieces
        self.device = training_device()
        self.seconds = {stage: share * 60 * minutes for stage, share in SHARES.items()}
        self.tokenizer = write_tokenizer(work / "tokenizer")
        self._began = time.monotonic()
        self._trained = 0.0

    def say(self, **figures: float) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)

    def run(self, scenes: Scenes, scorer_scenes: Scenes, exam_scenes: Scenes) -> None:
        """Train what is missing; ``work/bundle`` is written with every checkpoint of the generator."""
        exam_scenes.refresh(self.size.exam_scenes)
        scenes.refresh(at_least=min(2048, self.size.scenes))
        parts = self._small_parts(scenes, scorer_scenes)
        self.say(
            **exam.depth_figures(parts.depth, exam_scenes),
            **exam.scorer_figures(parts.scorer, self.tokenizer, exam_scenes),
            **exam.vae_figures(parts.vae, exam_scenes),
        )
        self._train_generator(parts, Latents(scenes, parts.vae, parts.depth))
        latents = Latents(exam_scenes, parts.vae, parts.depth)
        figures = exam.generator_figures(
            parts.generator, latents, self.tokenizer, parts.text, self.size.denoiser.wholes, self.size.exam_batches
        )
        self.say(scenes=scenes.count, **figures)

    def _small_parts(self, scenes: Scenes, scorer_scenes: Scenes) -> Parts:
        """Everything, the generator untrained, on the device."""
        if self.start is not None:
            for network in self.start.networks.values():
                network.to(self.device)
            return self.start
        size = self.size
        text = text_tower(self._pair("text", scenes)).to(self.device)
        depth = self._made("depth", DPTForDepthEstimation, lambda s: train_depth(scenes, self.work, s, size.depth))
        scorer = self._pair("scorer", scorer_scenes)
        vae = self._made("vae", AutoencoderKL, lambda s: train_vae(scenes, self.work, s, size.vae))
        return Parts(new_generator(self.tokenizer, text), vae, text, depth, scorer)

    def _pair(self, name: str, scenes: Scenes) -> CLIPModel:
        def make(seconds: float) -> CLIPModel:
            scenes.refresh(at_least=min(2048, scenes.room))
            return train_clip(name, scenes, self.tokenizer, self.work, seconds, self.size.pairs)

        pair: CLIPModel = self._made(name, CLIPModel, make)
        return pair

    def _made(self, stage: str, kind: Any, make: Callable[[float], Any]) -> Any:
        """The network that a stage trains, from its folder once it is there."""
        folder = self.work / stage
        if not folder.exists():
            began = time.monotonic()
            network = make(self.seconds[stage])
            self._trained += time.monotonic() - began
            network.save_pretrained(folder)
        return kind.from_pretrained(folder).to(self.device).eval()

    def _train_generator(self, parts: Parts, latents: Latents) -> None:
        """For its share of the time, less what went by beside the stages: imports, waiting for scenes, exams."""
        seconds = self.seconds["generator"] - (time.monotonic() - self._began - self._trained)
        recipe = Recipe(
            "generator", 10_000_000, 6e-4, max(seconds, 1.0), ema=0.9995, seed=4, save_every=self.size.save_every
        )
        train_denoiser(
            parts.generator, latents, self.tokenizer, parts.text, recipe, self.size.denoiser, self.work,
            lambda average: self._write(parts, average),
        )  # fmt: skip

    def _write(self, parts: Parts, average: dict[str, Tensor]) -> None:
        generator = Generator()
        generator.load_state_dict(average)
        write_bundle(self.work / "bundle", replace(parts, generator=generator))
        if self.pieces is not None:
            write_pieces(self.work / "bundle", self.pieces)


@torch.no_grad()
def text_tower(pair: CLIPModel) -> CLIPTextModel:
    """The generator's text encoder, out of its contrastive pair."""
    text = CLIPTextModel(pair.config.text_config)
    text.load_state_dict(pair.text_model.state_dict(), strict=False)
    return text.eval().requires_grad_(False)
