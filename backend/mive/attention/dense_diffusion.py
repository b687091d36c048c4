"""DenseDiffusion's attention modulation, the ablation that MIVE compares IPR with.

Logits are pulled towards their row's maximum where query and key belong together and towards
its minimum where they do not, less for large segments and less as sampling goes on. Only the
conditional half of a guided batch is modulated, in the first `STEP_SHARE` of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mive.attention.modulation import Modulation
from mive.attention.roles import TokenRoles

STEP_SHARE = 0.3
"""Share of the sampling steps, from the first, in which attention is modulated."""

_CROSS_WEIGHT = 1.0
_SELF_WEIGHT = 0.3
_LOGITS_PER_CHUNK = 2**25


@dataclass(frozen=True)
class DenseDiffusion(Modulation):
    """The modulation of one step: ``t`` is its train timestep, 0..1000. Computed in float32 whatever comes in."""

    t: float

    name = "dense_diffusion"
    steers_self = True

    @property
    def decay(self) -> float:
        """(t/1000)^5."""
        return (self.t / 1000) ** 5

    def cross_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, /) -> Tensor:
        """Cross-attention where the caption's text tokens belong to the instance's pixels.

        Start, end and padding belong to no segment, as in DenseDiffusion, where only the words of a phrase do.
        """
        logits = q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5
        belongs = mask[:, :, None] & roles.text(k.shape[-2])[:, None]
        area = _segment_area(mask[:, None])[:, 0]
        logits = modulate(logits, belongs[:, None], area[:, None], _CROSS_WEIGHT * self.decay)
        return (logits.softmax(-1) @ v.float()).to(q.dtype)

    def self_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, /) -> Tensor:
        """Self-attention over all frames, where pixels of one segment belong together.

        The two segments are the instance and everything else. Chunked over queries, so that the logits never exist as
        a whole.
        """
        batch, heads, tokens, dim = q.shape
        keys, values = k.float().transpose(-1, -2), v.float()
        segment, area = mask.flatten(1), _segment_area(mask).flatten(1)
        chunk = max(1, _LOGITS_PER_CHUNK // (batch * heads * tokens))
        h = torch.empty_like(v)
        for first in range(0, tokens, chunk):
            rows = slice(first, first + chunk)
            logits = q[:, :, rows].float() @ keys * dim**-0.5
            same = segment[:, None, rows, None] == segment[:, None, None, :]
            logits = modulate(logits, same, area[:, None, rows], _SELF_WEIGHT * self.decay)
            h[:, :, rows] = (logits.softmax(-1) @ values).to(h.dtype)
        return h


def modulate(s: Tensor, R: Tensor, area: Tensor, amount: float) -> Tensor:
    """s + amount·(1 - area_q)·[R·(max_j s - s) - (1 - R)·(s - min_j s)].

    Args:
        s: logits [..., queries, keys].
        R: whether query and key belong together, bool, broadcastable to s.
        area: share of the frame that the query's segment covers, [..., queries], 0..1.
        amount: w·(t/1000)^5.
    """
    higher = s.amax(-1, keepdim=True) - s
    lower = s.amin(-1, keepdim=True) - s
    return s + amount * (1 - area)[..., None] * torch.where(R, higher, lower)


def _segment_area(mask: Tensor) -> Tensor:
    """Share of its own frame that each pixel's segment covers; mask and result [B, N, n]."""
    inside = mask.float().mean(-1, keepdim=True)
    return torch.where(mask, inside, 1 - inside)
