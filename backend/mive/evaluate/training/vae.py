"""The VAE of the tiny bundle: 8× down, 16 latent channels, trained on crops and then on whole scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.precision import training_dtype
from mive.evaluate.training.scenes import SIZE, Scenes, as_pixels, crop, draw_index, uniform

CROP = 64
CHANNELS = 16
FACTOR = 8
KL_WEIGHT = 2e-4
OBJECT_WEIGHT = 3.0
WHOLE = 0.7
"""Share of the time after which whole scenes are trained on instead of crops."""


@dataclass(frozen=True)
class VaeBatch:
    crops: int
    wholes: int


def network() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,
    )


@torch.no_grad()
def open_the_straight_path(vae: AutoencoderKL) -> None:
    """Start residual branches at zero, resampling convolutions near averaging and the posterior narrow.

    Colour then reaches the latents and comes back from the first steps on; a few minutes of training are all there is.
    """
    half = vae.quant_conv.bias.shape[0] // 2
    vae.quant_conv.weight[half:] = 0
    vae.quant_conv.bias[half:] = -6
    for module in vae.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            module.conv2.weight.zero_()
        elif kind == "Attention":
            module.to_out[0].weight.zero_()
        elif kind in ("Downsample2D", "Upsample2D"):
            weight = module.conv.weight
            mean = torch.zeros_like(weight)
            for channel in range(min(weight.shape[:2])):
                if kind == "Downsample2D":
                    mean[channel, channel, :2, :2] = 0.25
                else:
                    mean[channel, channel, 1, 1] = 1
            weight.mul_(0.5).add_(mean)


def batch(scenes: Scenes, count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops [count, 3, size, size] in −1..1 and where things are in them [count, 1, size, size]; half flipped."""
    which = draw_index(scenes.count, count, generator)
    top, left = (draw_index(SIZE - size + 1, count, generator) for _ in range(2))
    images = as_pixels(crop(scenes.images, which, top, left, size))
    things = (crop(scenes.ids, which, top, left, size) > 0)[:, None]
    flips = (uniform(generator, count) < 0.5)[:, None, None, None]
    return torch.where(flips, images.flip(-1), images), torch.where(flips, things.flip(-1), things)


def picture_loss(got: Tensor, wanted: Tensor, things: Tensor) -> Tensor:
    """Squared error at full and at an eighth of the size, and L1 of three levels of detail; things count threefold.

    Squares, because most of a scene is grey ground: under L1 alone the few saturated pixels of the objects are learned
    last. The details keep edges and patterns crisp.
    """
    weight = 1 + (OBJECT_WEIGHT - 1) * things.float()
    weight = weight / weight.mean()
    total = 4 * (weight * (got - wanted) ** 2).mean() + 4 * F.mse_loss(F.avg_pool2d(got, 8), F.avg_pool2d(wanted, 8))
    for _ in range(3):
        small_got, small_wanted = F.avg_pool2d(got, 2), F.avg_pool2d(wanted, 2)
        up_got = F.interpolate(small_got, scale_factor=2.0)
        up_wanted = F.interpolate(small_wanted, scale_factor=2.0)
        total = total + 0.3 * (weight * ((got - up_got) - (wanted - up_wanted)).abs()).mean()
        got, wanted, weight = small_got, small_wanted, F.avg_pool2d(weight, 2)
    return total


def psnr(got: Tensor, wanted: Tensor, where: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in −1..1, within ``where`` [B, 1, H, W] if given."""
    square = (got - wanted) ** 2
    if where is None:
        return -10 * torch.log10(square.mean() / 4)
    return -10 * torch.log10((square.mean(1, keepdim=True) * where).sum() / where.sum().clamp(min=1) / 4)


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, images: Tensor) -> None:
    """Give every latent channel mean 0 and deviation 1, by folding both into the 1 × 1 convolutions around it."""
    half = vae.quant_conv.bias.shape[0] // 2
    latents = vae.encode(images).latent_dist.mean.float()
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    back = vae.post_quant_conv
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= deviation[None, :, None, None]
    vae.quant_conv.weight[:half] /= deviation[:, None, None, None]
    vae.quant_conv.bias[:half] = (vae.quant_conv.bias[:half] - mean) / deviation
    vae.quant_conv.bias[half:] -= 2 * deviation.log()


def train_vae(scenes: Scenes, work: Path, seconds: float, size: VaeBatch) -> AutoencoderKL:
    """Train all of it, then normalise the latents: ``scaling_factor`` is 1."""
    torch.manual_seed(1)
    vae = network()
    open_the_straight_path(vae)
    vae = vae.to(scenes.device, memory_format=torch.channels_last)
    dtype = training_dtype(scenes.device)

    def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        if step % 20 == 0:
            scenes.refresh()
        count, side = (size.wholes, SIZE) if progress > WHOLE else (size.crops, CROP)
        images, things = batch(scenes, count, side, generator)
        noise = torch.randn(count, CHANNELS, side // FACTOR, side // FACTOR, generator=generator, device=scenes.device)
        return images, things, noise

    def loss(images: Tensor, things: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        posterior = vae.encode(images.to(dtype, memory_format=torch.channels_last)).latent_dist
        decoded = vae.decode(posterior.mean + posterior.std * noise.to(dtype)).sample
        rebuilt, spread = decoded.float(), posterior.logvar.float()
        kl = 0.5 * (posterior.mean.float() ** 2 + spread.exp() - 1 - spread).mean()
        with torch.no_grad():
            figures = {"psnr": psnr(rebuilt, images), "things": psnr(rebuilt, images, things), "kl": kl}
        return picture_loss(rebuilt, images, things) + KL_WEIGHT * kl, figures

    train(vae, draw, loss, Recipe("vae", 1_000_000, 1e-3, seconds, ema=0.998), work)
    normalise_latents(vae, batch(scenes, 64, SIZE, torch.Generator(scenes.device).manual_seed(7))[0])
    return vae
