"""The U-Net and the depth ControlNet of the tiny bundle, trained together on encoded scenes.

Captions name a random part of what is in the picture, often one object, because the method gives each instance a
caption of its own. Most steps train on crops of 16 × 16 latents, the last ones on whole scenes.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer, DPTForDepthEstimation

from mive.evaluate.training.loop import Keep, Recipe, train
from mive.evaluate.training.precision import mixed, training_dtype
from mive.evaluate.training.rendering import THINGS
from mive.evaluate.training.scenes import SIZE, Scenes, as_pixels, crop, draw_index, uniform
from mive.evaluate.training.sink import Sink, make_start_token_a_sink
from mive.evaluate.training.vae import CHANNELS, FACTOR
from mive.evaluate.training.words import Words, shuffled

TEXT_WIDTH = 128
SINK_MASS = 0.5
"""Mean probability of the start token that training keeps in cross-attention, so that IPR has something to move."""


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False, prediction_type="v_prediction",
    )  # fmt: skip


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR, in_channels=CHANNELS, out_channels=CHANNELS, layers_per_block=1,
        block_out_channels=(80, 128, 160), down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3, cross_attention_dim=TEXT_WIDTH, attention_head_dim=(1, 2, 2),
        norm_num_groups=16,
    )  # fmt: skip


class Generator(nn.Module):
    """Both networks as one module, so that they train and checkpoint together."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = unet()
        self.control = ControlNetModel.from_unet(
            self.unet, conditioning_channels=3, conditioning_embedding_out_channels=(16, 32, 64, 96)
        )
        # From scratch there is nothing to protect, so the hint may speak from the first step on.
        nn.init.normal_(self.control.controlnet_cond_embedding.conv_out.weight, std=0.02)

    def forward(self, z: Tensor, t: Tensor, text: Tensor, hint: Tensor) -> Tensor:
        """v [B, C, h, w]; the first ``len(hint)`` items are controlled, the others are the U-Net's alone."""
        count, free = len(hint), len(z) - len(hint)
        if not count:
            return self.unet(z, t, text).sample  # type: ignore[no-any-return]
        down, mid = self.control(z[:count], t[:count], text[:count], hint, return_dict=False)
        *down, mid = (F.pad(part, (0, 0, 0, 0, 0, 0, 0, free)) for part in (*down, mid))
        return self.unet(  # type: ignore[no-any-return]
            z, t, text, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample


class Latents:
    """Scenes as the denoiser sees them; grows as scenes arrive.

    Attributes:
        z: [n, C, h, w] float16, scaled.
        depth: [n, H, W] uint8, estimated, each scene's own range stretched to 0..255.
    """

    BATCH = 64

    def __init__(self, scenes: Scenes, vae: AutoencoderKL, estimator: DPTForDepthEstimation) -> None:
        self.scenes, self._vae, self._estimator, self.count = scenes, vae.eval(), estimator.eval(), 0
        cells, device = SIZE // FACTOR, scenes.device
        self.z = torch.zeros(scenes.room, CHANNELS, cells, cells, dtype=torch.float16, device=device)
        self.depth = torch.zeros(scenes.room, SIZE, SIZE, dtype=torch.uint8, device=device)

    def refresh(self, at_most: int) -> int:
        """Encode up to ``at_most`` scenes that have arrived since; returns how many are there."""
        self.scenes.refresh()
        end = min(self.scenes.count, self.count + at_most)
        for first in range(self.count, end, self.BATCH):
            rows = slice(first, min(first + self.BATCH, end))
            self.z[rows], self.depth[rows] = self._seen(as_pixels(self.scenes.images[rows]))
        self.count = end
        return end

    @torch.no_grad()
    def _seen(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        with mixed(pixels.device):
            z = self._vae.encode(pixels.contiguous(memory_format=torch.channels_last)).latent_dist.mean
            depth = self._estimator(pixel_values=pixels).predicted_depth.float()
        depth = F.interpolate(depth[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]
        low, high = depth.amin((1, 2), keepdim=True), depth.amax((1, 2), keepdim=True)
        return (z * self._vae.config.scaling_factor).half(), ((depth - low) / (high - low) * 255).round().byte()


@dataclass(frozen=True)
class Batch:
    """Crops: latents z [B, C, c, c], hint [B, 1, 8c, 8c] in 0..1, loss weight [B, 1, c, c], captions [B, 77]."""

    z: Tensor
    hint: Tensor
    weight: Tensor
    captions: Tensor


def draw(latents: Latents, words: Words, count: int, cells: int, generator: torch.Generator) -> Batch:
    """Crops of ``cells`` × ``cells`` latents, with loss weight 3 on things and 1 elsewhere.

    Captions name nothing in one of eight, one thing half of the time, else a random subset of what is visible: at
    least half of a thing and 120 pixels of it (half of it, for smaller things).
    """
    scenes = latents.scenes
    which = draw_index(latents.count, count, generator)
    room = latents.z.shape[-1] - cells + 1
    top, left = draw_index(room, count, generator), draw_index(room, count, generator)
    z = crop(latents.z.movedim(1, -1), which, top, left, cells).movedim(-1, 1).float()
    pixels = (which, FACTOR * top, FACTOR * left, FACTOR * cells)
    ids = crop(scenes.ids, *pixels)
    hint = crop(latents.depth, *pixels)[:, None].float() / 255
    weight = 1 + 2 * F.avg_pool2d((ids > 0)[:, None].float(), FACTOR)
    seen = torch.stack([(ids == i + 1).sum((1, 2)) for i in range(THINGS)], 1)
    whole = scenes.areas[which]
    visible = (seen > whole // 2) & (seen > whole.clamp(max=240) // 2)
    some = 1 + (uniform(generator, count) * visible.sum(1)).long()
    wanted = torch.where(uniform(generator, count) < 0.5, 1, some)
    wanted = torch.where(uniform(generator, count) < 0.12, 0, wanted)
    named, meant = shuffled(scenes.words[which], visible, wanted, generator)
    on_ground = uniform(generator, count) < 0.25
    captions = words.captions(named, meant, scenes.ground[which], on_ground, generator)
    return Batch(z, hint, weight, captions)


@dataclass(frozen=True)
class Phases:
    """Most of the time on crops of 16 × 16 latents, the last ``wholes_from`` .. 1 on whole scenes."""

    crops: int
    wholes: int
    wholes_from: float = 0.7


@cache
def _alphas(device: torch.device) -> Tensor:
    """Cumulative products of the noise schedule, [1000]."""
    alphas: Tensor = scheduler().alphas_cumprod
    return alphas.to(device)


def noised(z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Latents at random timesteps that lean towards the noisy end: noisy z and velocity as z, timesteps [B]."""
    count, device = len(z), z.device
    chance, early = uniform(generator, count), uniform(generator, count) < 0.5
    t = torch.where(early, 1000 * (1 - (1 - chance) ** 1.7), 1000 * chance).long().clamp(0, 999)
    noise = torch.randn(z.shape, generator=generator, device=device)
    kept = _alphas(device)[t][:, None, None, None]
    signal, spread = kept.sqrt(), (1 - kept).sqrt()
    return signal * z + spread * noise, signal * noise - spread * z, t


def weighted_error(
    model: Generator, noisy: Tensor, t: Tensor, text: Tensor, hint: Tensor, velocity: Tensor, weight: Tensor
) -> Tensor:
    """Weighted squared error of the v-prediction, the first ``len(hint)`` items under control."""
    got = model(noisy.contiguous(memory_format=torch.channels_last), t, text, hint.expand(-1, 3, -1, -1))
    value: Tensor = (weight * (got.float() - velocity) ** 2).mean() / weight.mean()
    return value


def new_generator(tokenizer: CLIPTokenizer, text: CLIPTextModel) -> Generator:
    """An untrained one, on the text encoder's device, its start token a sink."""
    torch.manual_seed(4)
    model: Generator = Generator().to(text.device)
    examples = ["a red ball", "a blue striped cube and a green cup", ""]
    padded = tokenizer(examples, padding="max_length", return_tensors="pt")["input_ids"].to(text.device)
    with torch.no_grad():
        states = text(padded).last_hidden_state
    for part in (model.unet, model.control):
        make_start_token_a_sink(part, states, 0.75)
    return model


def train_denoiser(
    model: Generator,
    latents: Latents,
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    recipe: Recipe,
    phases: Phases,
    work: Path,
    keep: Keep | None = None,
) -> None:
    """Train both networks on v-prediction; a third of each batch without control: inversion needs a model too."""
    device = latents.scenes.device
    dtype, words = training_dtype(device), Words(tokenizer, device)
    reader = deepcopy(text).to(device, dtype).eval()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sink = Sink(model.unet, SINK_MASS)
    latents.refresh(at_most=latents.scenes.room // 4)

    def draw_step(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        if step % 10 == 0:
            latents.refresh(at_most=10 * Latents.BATCH)
        count, cells = (phases.wholes, 24) if progress > phases.wholes_from else (phases.crops, 16)
        batch = draw(latents, words, count, cells, generator)
        noisy, velocity, t = noised(batch.z, generator)
        hint = batch.hint[: max(1, 2 * count // 3)]
        return noisy.to(dtype), t, batch.captions, hint.to(dtype), velocity, batch.weight

    def loss(noisy: Tensor, t: Tensor, captions: Tensor, *rest: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            states = reader(captions).last_hidden_state
        value = weighted_error(model, noisy, t, states, *rest)
        short, mass = sink.read()
        return value + short, {"velocity": value, "sink": mass}

    train(model, draw_step, loss, recipe, work, keep)
    sink.remove()
