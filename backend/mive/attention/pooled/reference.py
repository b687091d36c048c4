"""Pooled attention as it reads; every faster version must match it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pooled_attention(q: Tensor, k: Tensor, v: Tensor, frames: int, size: tuple[int, int]) -> Tensor:
    """Let every token attend to the tokens of its own frame, and to averages of 2 × 2 of those of all other frames.

    An average of c tokens (fewer at odd edges) counts as c: its logit is raised by log c. So it is dense attention
    exactly where the tokens that are averaged are alike.

    Args:
        q, k, v: [B, heads, N·n, d], frame after frame.
        frames: N.
        size: (h, w) of a frame's n = h·w tokens.

    Returns:
        h [B, heads, N·n, d] in q's dtype, computed in float32.
    """
    rows = []
    small, values, counts = pool(k, frames, size), pool(v, frames, size), counts_of(size, k.device)
    for n, (query, key, value) in enumerate(zip(*(x.chunk(frames, 2) for x in (q, k, v)), strict=True)):
        others = [m for m in range(frames) if m != n]
        keys = torch.cat([key, *(small[:, :, m] for m in others)], 2).float()
        seen = torch.cat([value, *(values[:, :, m] for m in others)], 2).float()
        raised = torch.cat([key.new_zeros(key.shape[2]).float(), *[counts.log()] * len(others)])
        logits = query.float() @ keys.mT * q.shape[-1] ** -0.5 + raised
        rows.append(logits.softmax(-1) @ seen)
    return torch.cat(rows, 2).to(q.dtype)


def pool(x: Tensor, frames: int, size: tuple[int, int]) -> Tensor:
    """Averages of 2 × 2 tokens: [B, heads, N·h·w, d] to [B, heads, N, ⌈h/2⌉·⌈w/2⌉, d]."""
    planes = x.reshape(-1, *size, x.shape[-1]).permute(0, 3, 1, 2)
    small = F.avg_pool2d(planes, 2, ceil_mode=True, count_include_pad=False)
    return small.flatten(2).transpose(1, 2).reshape(*x.shape[:2], frames, -1, x.shape[-1])


def counts_of(size: tuple[int, int], device: torch.device) -> Tensor:
    """How many tokens each average is of; float32 [⌈h/2⌉·⌈w/2⌉]."""
    down, across = ((length - 2 * torch.arange(-(-length // 2), device=device)).clamp(max=2) for length in size)
    return (down[:, None] * across).flatten().float()
