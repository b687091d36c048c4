"""The VAE of the tiny bundle: 8× down, 8 latent channels, trained on crops of the toy world."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from mive.evaluate.training.data import ToySet
from mive.evaluate.training.loop import Recipe, train

CROP = 64
BATCH = 8
KL_WEIGHT = 2e-4


def network() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=4,
        sample_size=192,
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


def batch(data: ToySet, count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random crops [count, 3, size, size] in -1..1, half of them mirrored."""
    which = torch.randint(len(data), (count,), generator=generator).tolist()
    corner = torch.randint(data.images.shape[1] - size + 1, (count, 2), generator=generator).tolist()
    flips = torch.rand(count, generator=generator) < 0.5
    crops = [
        torch.from_numpy(data.images[i, y : y + size, x : x + size].copy())
        for i, (y, x) in zip(which, corner, strict=True)
    ]
    images = torch.stack(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    images[flips] = images[flips].flip(-1)
    return images.contiguous(memory_format=torch.channels_last)


def picture_loss(got: Tensor, wanted: Tensor) -> Tensor:
    """Squared error at full and at an eighth of the size, and L1 of three levels of detail.

    Squares, because most of a scene is grey ground: under L1 alone the few saturated pixels of the objects are learned
    last. The details keep edges and patterns crisp.
    """
    total = 4 * F.mse_loss(got, wanted) + 4 * F.mse_loss(F.avg_pool2d(got, 8), F.avg_pool2d(wanted, 8))
    for _ in range(3):
        small_got, small_wanted = F.avg_pool2d(got, 2), F.avg_pool2d(wanted, 2)
        up_got = F.interpolate(small_got, scale_factor=2.0)
        up_wanted = F.interpolate(small_wanted, scale_factor=2.0)
        total = total + 0.3 * F.l1_loss(got - up_got, wanted - up_wanted)
        got, wanted = small_got, small_wanted
    return total


def _fit(vae: AutoencoderKL, data: ToySet, recipe: Recipe, work: Path) -> None:
    """Train whatever of the VAE requires a gradient, under bf16 autocast."""

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        images = batch(data, BATCH, CROP, generator)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            decoded = vae.decode((posterior.mean + posterior.std * noise).to(images.dtype)).sample
        rebuilt, spread = decoded.float(), posterior.logvar.float()
        kl = 0.5 * (posterior.mean.float() ** 2 + spread.exp() - 1 - spread).mean()
        error = F.mse_loss(rebuilt, images).item()
        figures = {"psnr": -10 * torch.log10(torch.tensor(error / 4)).item(), "kl": kl.item()}
        return picture_loss(rebuilt, images) + KL_WEIGHT * kl, figures

    train(vae, loss, recipe, work)


def train_vae(data: ToySet, work: Path, minutes: float) -> AutoencoderKL:
    """Train, measure the latents' deviation and set ``scaling_factor`` to its inverse."""
    torch.manual_seed(1)
    vae = network()
    open_the_straight_path(vae)
    vae = vae.to(memory_format=torch.channels_last)
    _fit(vae, data, Recipe("vae", 100_000, 1e-3, ema=0.995, minutes=minutes, every=100), work)
    with torch.no_grad():
        latents = vae.encode(batch(data, 64, 192, torch.Generator().manual_seed(7))).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    return vae


def polish_decoder(vae: AutoencoderKL, data: ToySet, work: Path, minutes: float) -> AutoencoderKL:
    """Train the decoder on, the latents staying as they are, so that it may go on while the U-Net trains on them."""
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)
    vae = vae.to(memory_format=torch.channels_last)
    _fit(vae, data, Recipe("decoder", 100_000, 7e-4, ema=0.995, seed=9, minutes=minutes, every=100), work)
    return vae
