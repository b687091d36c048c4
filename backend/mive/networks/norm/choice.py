"""Which form of the op does the work on a device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from mive.attention.kernels import obstacle
from mive.networks.norm import reference
from mive.networks.norm.reference import NormWeights

PooledNorm = Callable[[Tensor, NormWeights, int, bool], Tensor]


def pooled_norm(x: Tensor, weights: NormWeights, frames: int, silu: bool) -> Tensor:
    """`mive.networks.norm.reference.pooled_norm`, by the kernels where there are some.

    Exported programs hold the reference's ops, which their runtimes fuse by themselves.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or x.stride(2) != x.shape[3] * x.stride(3):
        return reference.pooled_norm(x, weights, frames, silu)
    return _on(x.device)(x, weights, frames, silu)


@cache
def _on(device: torch.device) -> PooledNorm:
    if obstacle(device):
        return reference.pooled_norm
    from mive.networks.norm import triton

    return triton.pooled_norm
