"""A decoder that forgives: trained on latents that are off as a denoiser leaves them, with the encoder as it is.

    python -m mive.evaluate.training.decoder --start BUNDLE --work DIR --minutes 120

Latents and whoever makes them stay the same, so the decoder of a finished bundle can be exchanged alone. Scenes are
those that `mive.evaluate.training` rendered into the same folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.precision import training_device, training_dtype
from mive.evaluate.training.rendering import GENERATOR_SEEDS, rendering
from mive.evaluate.training.scenes import Scenes, uniform
from mive.evaluate.training.trainer import SIZES
from mive.evaluate.training.vae import batch, picture_loss, psnr

SIDE: Final = 96
"""Pixels of a crop."""

WORST: Final = 0.5
"""The largest error of latents that is trained on, in their standard deviations."""


def crops(scenes: Scenes, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures [count, 3, SIDE, SIDE] in −1..1 and where things are in them; a third is enlarged twice, as in views."""
    close = count // 3
    images, things = batch(scenes, count - close, SIDE, generator)
    near, near_things = batch(scenes, close, SIDE // 2, generator)
    near = F.interpolate(near, scale_factor=2.0, mode="bicubic").clamp(-1, 1)
    near_things = near_things.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.cat([images, near]), torch.cat([things, near_things])


def errors(like: Tensor, generator: torch.Generator) -> Tensor:
    """Errors of latents [B, C, h, w] of unit deviation: none for a quarter, up to `WORST`, coarse and fine."""
    count, channels, height, width = like.shape
    fine = torch.randn(like.shape, generator=generator, device=like.device)
    small = torch.randn(count, channels, (height + 3) // 4, (width + 3) // 4, generator=generator, device=like.device)
    coarse = F.interpolate(small, (height, width), mode="bicubic")
    share = uniform(generator, count, 1, 1, 1)
    size = (uniform(generator, count, 1, 1, 1) * 4 / 3 - 1 / 3).clamp(min=0) * WORST
    return size * (share.sqrt() * fine + (1 - share).sqrt() * coarse)


def train_decoder(scenes: Scenes, vae: AutoencoderKL, work: Path, seconds: float, count: int) -> None:
    """Train the decoder of ``vae`` in place; the encoder and the latents' scale stay."""
    device, dtype = scenes.device, training_dtype(scenes.device)
    vae.to(device, memory_format=torch.channels_last)
    encoder = nn.ModuleList([vae.encoder, vae.quant_conv]).requires_grad_(False)
    exact = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.to(dtype)
    decoder = nn.ModuleList([vae.decoder, vae.post_quant_conv])

    def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        images, things = crops(scenes, count, generator)
        with torch.no_grad():
            latents = vae.encode(images.to(dtype, memory_format=torch.channels_last)).latent_dist.mean.float()
        latents = latents + errors(latents, generator) / vae.config.scaling_factor
        return images, things, latents

    def loss(images: Tensor, things: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        rebuilt = vae.decode(latents.to(dtype)).sample.float()
        with torch.no_grad():
            figures = {"psnr": psnr(rebuilt, images), "things": psnr(rebuilt, images, things)}
        return picture_loss(rebuilt, images, things), figures

    train(decoder, draw, loss, Recipe("decoder", 1_000_000, 6e-4, seconds, ema=0.998), work)
    encoder.float().load_state_dict(exact)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mive.evaluate.training.decoder", description="Train a decoder.")
    parser.add_argument("--start", type=Path, required=True, metavar="BUNDLE", help="whose decoder is trained on")
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, checkpoints and the result")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    device = training_device()
    size = SIZES[device.type.replace("cuda", "gpu")]
    vae = AutoencoderKL.from_pretrained(options.start / "vae", torch_dtype=torch.float32)
    folder = options.work / "generator_scenes"
    with rendering(folder, GENERATOR_SEEDS, size.scenes, options.workers):
        scenes = Scenes(folder, size.scenes, device)
        scenes.refresh(at_least=min(2048, size.scenes))
        train_decoder(scenes, vae, options.work, 60 * options.minutes, size.vae.crops)
    vae.to("cpu", torch.float16).save_pretrained(options.work / "decoder")


if __name__ == "__main__":
    main()
