"""FLATTEN's flow-guided attention in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

_GATHERED_PER_CHUNK = 2**24
"""Elements of gathered keys (and as many of values) held at once: 64 MiB each in float32."""


def flow_attention(q: Tensor, k: Tensor, v: Tensor, trajectories: Tensor) -> Tensor:
    """Let every token attend to the points on its own trajectory only.

    h_p = softmax(Q_p·K_traj/√d)·V_traj. The keys of a token are at most one per frame, itself
    among them. FLATTEN calls this with Q = K = V = the output of dense attention, before the
    output projection. Computed in float32, in chunks: the gathered keys and values are N times
    larger than k and v.

    Args:
        q, k, v: [B, heads, N·n, d], frame after frame.
        trajectories: int64 [N·n, N], token indices on each token's trajectory, -1 where there
            is none; see `mive.conditions.trajectories`.

    Returns:
        h [B, heads, N·n, d] in q's dtype.
    """
    batch, heads, tokens, dim = q.shape
    missing = trajectories < 0
    index = trajectories.clamp(min=0)
    chunk = max(1, _GATHERED_PER_CHUNK // (batch * heads * dim * index.shape[1]))
    h = torch.empty_like(v)
    for first in range(0, tokens, chunk):
        rows = slice(first, first + chunk)
        keys = k[:, :, index[rows]].float()
        logits = torch.einsum("bhpd,bhpnd->bhpn", q[:, :, rows].float(), keys) * dim**-0.5
        weights = logits.masked_fill(missing[rows], -torch.inf).softmax(-1)
        values = v[:, :, index[rows]].float()
        h[:, :, rows] = torch.einsum("bhpn,bhpnd->bhpd", weights, values).to(h.dtype)
    return h
