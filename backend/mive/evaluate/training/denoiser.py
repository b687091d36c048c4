"""The U-Net and the depth ControlNet of the tiny bundle, trained together on cached latents.

Captions name a random part of what is in the picture, often one object, because the method gives each instance a
caption of its own. Most steps train on crops of 16 × 16 latents, the last ones on whole scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer, DPTForDepthEstimation

from mive.evaluate.toyworld import describe, sentence, vary
from mive.evaluate.training.data import ToySet
from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.text import LENGTH

FACTOR = 8
TEXT_WIDTH = 128


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
        set_alpha_to_one=False, prediction_type="v_prediction",
    )  # fmt: skip


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=24, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=(64, 128, 192),
        down_block_types=("CrossAttnDownBlock2D",) * 3, up_block_types=("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=(2, 4, 6), norm_num_groups=16,
    )  # fmt: skip


class Generator(nn.Module):
    """Both networks as one module, so that they train and checkpoint together."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = unet()
        self.control = ControlNetModel.from_unet(self.unet, conditioning_channels=3)
        # From scratch there is nothing to protect, so the hint may speak from the first step on.
        nn.init.normal_(self.control.controlnet_cond_embedding.conv_out.weight, std=0.02)

    def forward(self, z: Tensor, t: Tensor, text: Tensor, hint: Tensor | None) -> Tensor:
        if hint is None:
            return self.unet(z, t, text).sample  # type: ignore[no-any-return]
        down, mid = self.control(z, t, text, hint, return_dict=False)
        return self.unet(  # type: ignore[no-any-return]
            z, t, text, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample


@torch.no_grad()
def make_start_token_a_sink(network: nn.Module, states: Tensor, mass: float) -> None:
    """Begin cross-attention where Stable Diffusion ends up: the start token holds ``mass`` of every row.

    The start token's state is the same in every caption. A constant part is given to each query (through the bias of
    the norm before it) and a matching part to the start token's key; training then keeps what it can use.

    Args:
        network: a U-Net or ControlNet of diffusers.
        states: [B, 77, d] text states of some captions.
        mass: wanted mean probability of the start token.
    """
    start, others = states[0, 0], states[:, 1:].flatten(0, 1)
    axis = start - others.mean(0)
    axis = axis / axis.norm()
    gap = (start @ axis) - (others @ axis).mean()
    wanted = float(np.log(mass / (1 - mass) * (states.shape[1] - 1)))
    generator = torch.Generator().manual_seed(5)
    for block in network.modules():
        if type(block).__name__ != "BasicTransformerBlock":
            continue
        attention: Any = block.attn2
        norm: Any = block.norm2
        heads, width = attention.heads, attention.to_q.weight.shape[0]
        size = width // heads
        constant = torch.randn(width, generator=generator)
        constant = constant / constant.norm()
        towards = torch.randn(heads, size, generator=generator)
        towards = (towards / towards.norm(dim=1, keepdim=True)).flatten()
        strength = 4.0
        norm.bias += strength * constant
        attention.to_q.weight += torch.outer(towards, constant)
        attention.to_k.weight += torch.outer(towards, axis) * (wanted * size**0.5 / (strength * gap))


@dataclass(frozen=True)
class Latents:
    """Cached inputs: latents [n, 8, 24, 24] (scaled), estimated depth [n, 192, 192] uint8, both in set order."""

    z: Tensor
    depth: NDArray[np.uint8]


@torch.no_grad()
def cache_latents(
    data: ToySet,
    vae: AutoencoderKL,
    estimator: DPTForDepthEstimation | None,
    folder: Path,
    count: int,
) -> Latents:
    """Encode the first ``count`` scenes and estimate their depth, once; later calls read the files."""
    folder.mkdir(parents=True, exist_ok=True)
    latent_file, depth_file = folder / "latents.pt", folder / "depth.npy"
    if not latent_file.exists() and vae is not None:
        vae = vae.to(memory_format=torch.channels_last)
        parts = []
        for first in range(0, count, 16):
            images = torch.from_numpy(data.images[first : min(first + 16, count)].copy()).permute(0, 3, 1, 2)
            pixels = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                parts.append(vae.encode(pixels).latent_dist.mean.half())
        torch.save(torch.cat(parts) * vae.config.scaling_factor, latent_file)
    if not depth_file.exists() and estimator is not None:
        estimates = np.empty((count, *data.depth.shape[1:]), np.uint8)
        for first in range(0, count, 32):
            images = torch.from_numpy(data.images[first : min(first + 32, count)].copy()).permute(0, 3, 1, 2)
            with torch.autocast("cpu", torch.bfloat16):
                depth = estimator(pixel_values=images.float() / 127.5 - 1).predicted_depth.float()
            low, high = depth.amin((1, 2), keepdim=True), depth.amax((1, 2), keepdim=True)
            estimates[first : first + len(images)] = ((depth - low) / (high - low) * 255).round().byte().numpy()
        np.save(depth_file, estimates)
    z = torch.load(latent_file, weights_only=True)
    return Latents(z, np.load(depth_file, mmap_mode="r"))


def caption_for(rng: np.random.Generator, things: list[list[str]], visible: list[int], ground: str) -> str:
    """A caption for part of a picture: nothing (one in eight), one object (half), or a random subset."""
    if rng.random() < 0.12 or not visible:
        return ""
    count = 1 if rng.random() < 0.5 else int(rng.integers(1, len(visible) + 1))
    chosen = rng.permutation(visible)[:count]
    parts = [vary(rng, describe(*things[i])) for i in chosen]
    return sentence(parts, ground if rng.random() < 0.25 else None)


@dataclass(frozen=True)
class Batch:
    z: Tensor
    hint: Tensor
    weight: Tensor
    captions: list[str]


def draw(data: ToySet, latents: Latents, count: int, cells: int, rng: np.random.Generator) -> Batch:
    """Crops of ``cells`` × ``cells`` latents with depth hint, loss weight (3 on objects, 1 elsewhere) and caption."""
    z, hints, weights, captions = [], [], [], []
    room = latents.z.shape[-1] - cells + 1
    for index in rng.integers(len(latents.z), size=count):
        top, left = (int(v) for v in rng.integers(room, size=2))
        rows, columns = (
            slice(top * FACTOR, (top + cells) * FACTOR),
            slice(left * FACTOR, (left + cells) * FACTOR),
        )
        ids = np.asarray(data.ids[index])
        here = ids[rows, columns]
        words: dict[str, Any] = data.words[index]
        whole, seen = np.bincount(ids.ravel(), minlength=9), np.bincount(here.ravel(), minlength=9)
        visible = [i for i in range(len(words["things"])) if seen[i + 1] > max(120, 0.5 * whole[i + 1])]
        captions.append(caption_for(rng, words["things"], visible, words["ground"]))
        z.append(latents.z[index, :, top : top + cells, left : left + cells].float())
        hints.append(torch.from_numpy(latents.depth[index, rows, columns].copy()))
        weights.append(torch.from_numpy((here > 0).astype(np.float32)))
    depth = torch.stack(hints).float() / 255
    weight = 1 + 2 * F.avg_pool2d(torch.stack(weights)[:, None], FACTOR)
    return Batch(torch.stack(z), depth[:, None].expand(-1, 3, -1, -1), weight, captions)


@dataclass(frozen=True)
class Phase:
    """A stretch of training: on crops of ``cells`` × ``cells`` latents, ``batch`` of them per worker and step."""

    name: str
    cells: int
    batch: int
    rate: float
    minutes: float


def train_denoiser(
    data: ToySet,
    latents: Latents,
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    work: Path,
    phase: Phase,
    start: Generator | None = None,
) -> Generator:
    """Train both networks on v-prediction; every third step without control, so that inversion has a model too."""
    torch.manual_seed(4)
    alphas = scheduler().alphas_cumprod

    def embed(captions: list[str]) -> Tensor:
        ids = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            states: Tensor = text(ids["input_ids"]).last_hidden_state.float()
        return states

    if start is None:
        model = Generator()
        examples = embed(["a red ball", "a blue striped cube and a green cup", ""])
        make_start_token_a_sink(model, examples, 0.75)
    else:
        model = start
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        drawn = draw(data, latents, phase.batch, phase.cells, rng)
        uniform = torch.rand(phase.batch, generator=generator)
        early = torch.rand(phase.batch, generator=generator) < 0.5
        t = torch.where(early, 1000 * (1 - (1 - uniform) ** 1.7), 1000 * uniform).long().clamp(0, 999)
        noise = torch.randn(drawn.z.shape, generator=generator)
        signal, spread = (
            alphas[t].sqrt()[:, None, None, None],
            (1 - alphas[t]).sqrt()[:, None, None, None],
        )
        noisy, velocity = signal * drawn.z + spread * noise, signal * noise - spread * drawn.z
        controlled = step % 3 != 0
        hint = drawn.hint.contiguous(memory_format=torch.channels_last) if controlled else None
        with torch.autocast("cpu", torch.bfloat16):
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            got = model(noisy, t, embed(drawn.captions), hint)
        value = (drawn.weight * (got.float() - velocity) ** 2).mean() / drawn.weight.mean()
        return value, {"controlled" if controlled else "plain": value.item()}

    recipe = Recipe(phase.name, 1_000_000, phase.rate, ema=0.999, seed=4, minutes=phase.minutes, every=100)
    return train(model, loss, recipe, work)  # type: ignore[return-value]
