"""Pooled group norm in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class NormWeights(NamedTuple):
    """What a group norm has learnt: weight and bias [C], its number of groups, and ε."""

    weight: Tensor
    bias: Tensor
    groups: int
    eps: float


def pooled_norm(x: Tensor, weights: NormWeights, frames: int, silu: bool) -> Tensor:
    """Group norm on [B, C, N, h, w], then SiLU if asked for.

    Args:
        x: [B·N, C, h, w].
        weights: of the norm.
        frames: N frames of an item share their statistics; 1 is torch's own group norm.
        silu: whether x · σ(x) follows.

    Returns:
        The same shape and dtype.
    """
    weight, bias, groups, eps = weights
    if frames == 1:
        normed = F.group_norm(x, groups, weight, bias, eps)
    else:
        clips = torch.unflatten(x, 0, (-1, frames)).transpose(1, 2)
        normed = F.group_norm(clips, groups, weight, bias, eps).transpose(1, 2).flatten(0, 1)
    return F.silu(normed) if silu else normed
