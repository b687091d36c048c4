"""The depth estimator of the tiny bundle: a small DPT, so that the ControlNet sees estimates, not the exact depth."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

from mive.evaluate.training.data import SIZE, ToySet
from mive.evaluate.training.loop import Recipe, train

BATCH = 12


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


def batch(data: ToySet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures [BATCH, 3, 192, 192] in -1..1 and their depth [BATCH, 192, 192] in 0..1, some mirrored."""
    which = torch.randint(len(data), (BATCH,), generator=generator).tolist()
    images = torch.stack([torch.from_numpy(data.images[i].copy()) for i in which]).permute(0, 3, 1, 2)
    depth = torch.stack([torch.from_numpy(data.depth[i].copy()) for i in which]).float() / 255
    flips = torch.rand(BATCH, generator=generator) < 0.5
    pixels = images.float() / 127.5 - 1
    pixels[flips], depth[flips] = pixels[flips].flip(-1), depth[flips].flip(-1)
    return pixels, depth


def train_depth(data: ToySet, work: Path, minutes: float) -> DPTForDepthEstimation:
    torch.manual_seed(3)
    model = network()

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pixels, depth = batch(data, generator)
        with torch.autocast("cpu", torch.bfloat16):
            got = model(pixel_values=pixels).predicted_depth
        got = F.interpolate(got.float()[:, None], depth.shape[-2:], mode="bilinear")[:, 0]
        error = F.l1_loss(got, depth)
        edges = F.l1_loss(got.diff(dim=1), depth.diff(dim=1)) + F.l1_loss(got.diff(dim=2), depth.diff(dim=2))
        return error + 2 * edges, {"l1": error.item()}

    return train(
        model,
        loss,
        Recipe("depth", 100_000, 8e-4, ema=0.99, seed=3, minutes=minutes, every=50),
        work,
    )
