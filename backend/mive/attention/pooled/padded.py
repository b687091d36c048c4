"""Pooled attention by the stock kernels, which take no weights of keys: those travel in one more dimension."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mive.attention.pooled.reference import counts_of, pool

_GATHERED_PER_CHUNK: Final = 2**26
"""Elements of gathered keys (and as many of values) held at once: 128 MiB each in 16 bits."""

_ALIGNED: Final = 8
"""The fastest kernels take head sizes that are multiples of this."""


def pooled_attention(q: Tensor, k: Tensor, v: Tensor, frames: int, size: tuple[int, int]) -> Tensor:
    """`mive.attention.pooled.reference.pooled_attention` in q's dtype.

    Queries get a dimension that is 1 everywhere, keys one that holds the logarithm of how many tokens they stand for.
    """
    if frames == 1:
        return F.scaled_dot_product_attention(q, k, v)
    batch, heads, tokens, dim = q.shape
    width = -(-(dim + 1) // _ALIGNED) * _ALIGNED
    queries = _framed(_widened(q, width, torch.ones((), device=q.device)), frames)
    own = [_framed(F.pad(x, (0, width - dim)), frames) for x in (k, v)]
    raised = counts_of(size, k.device).log()[:, None] * dim**0.5
    small = [
        _widened(pool(k, frames, size), width, raised).transpose(1, 2),
        F.pad(pool(v, frames, size), (0, width - dim)).transpose(1, 2),
    ]
    others = _others(frames, q.device)
    seen = tokens // frames + (frames - 1) * small[0].shape[3]
    chunk = max(1, _GATHERED_PER_CHUNK // (batch * heads * seen * width))
    h = torch.empty_like(q)
    by_frame = torch.unflatten(h, 2, (frames, -1))
    for first in range(0, frames, chunk):
        some = slice(first, first + chunk)
        keys, values = (
            torch.cat([whole[:, some], averages[:, others[some]].transpose(2, 3).flatten(3, 4)], 3).flatten(0, 1)
            for whole, averages in zip(own, small, strict=True)
        )
        made = F.scaled_dot_product_attention(queries[:, some].flatten(0, 1), keys, values, scale=dim**-0.5)
        by_frame[:, :, some] = torch.unflatten(made[..., :dim], 0, (batch, -1)).transpose(1, 2)
    return h


def _widened(x: Tensor, width: int, extra: Tensor) -> Tensor:
    """x [..., d] with ``extra`` in dimension d, and zeros in those up to ``width``."""
    wide = F.pad(x, (0, width - x.shape[-1]))
    wide[..., x.shape[-1] : x.shape[-1] + 1] = extra
    return wide


def _framed(x: Tensor, frames: int) -> Tensor:
    """[B, heads, N·n, d] to [B, N, heads, n, d]."""
    return torch.unflatten(x, 2, (frames, -1)).transpose(1, 2)


def _others(frames: int, device: torch.device) -> Tensor:
    """For each frame the other ones; int64 [N, N - 1]."""
    rank = torch.arange(frames - 1, device=device)
    return rank + (rank >= torch.arange(frames, device=device)[:, None])
