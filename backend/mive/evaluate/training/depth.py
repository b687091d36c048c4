"""The depth estimator of the tiny bundle: a small DPT, so that the ControlNet sees estimates, not the exact depth."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.precision import training_dtype
from mive.evaluate.training.scenes import SIZE, Scenes, as_pixels, draw_index, uniform


def network() -> DPTForDepthEstimation:
    return DPTForDepthEstimation(
        DPTConfig(
            hidden_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=384, image_size=SIZE,
            patch_size=16, is_hybrid=False, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[24, 48, 96, 96],
            fusion_hidden_size=32, reassemble_factors=[4, 2, 1, 0.5], use_auxiliary_head=False,
        )
    )  # fmt: skip


def processor() -> DPTImageProcessor:
    return DPTImageProcessor(
        size={"height": SIZE, "width": SIZE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_resize=True,
    )


def train_depth(scenes: Scenes, work: Path, seconds: float, batch: int) -> DPTForDepthEstimation:
    """Train on whole scenes, some of them mirrored."""
    torch.manual_seed(3)
    model, dtype = network().to(scenes.device), training_dtype(scenes.device)

    def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        if step % 20 == 0:
            scenes.refresh()
        which = draw_index(scenes.count, batch, generator)
        pixels, depth = as_pixels(scenes.images[which]), scenes.depth[which].float() / 255
        flips = (uniform(generator, batch) < 0.5)[:, None, None]
        pixels = torch.where(flips[..., None], pixels.flip(-1), pixels)
        return pixels.to(dtype), torch.where(flips, depth.flip(-1), depth)

    def loss(pixels: Tensor, depth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        got = model(pixel_values=pixels).predicted_depth
        got = F.interpolate(got.float()[:, None], depth.shape[-2:], mode="bilinear")[:, 0]
        error = F.l1_loss(got, depth)
        edges = F.l1_loss(got.diff(dim=1), depth.diff(dim=1)) + F.l1_loss(got.diff(dim=2), depth.diff(dim=2))
        return error + 2 * edges, {"l1": error}

    recipe = Recipe("depth", 1_000_000, 8e-4, seconds, ema=0.99, seed=3, every=50)
    train(model, draw, loss, recipe, work)
    return model
