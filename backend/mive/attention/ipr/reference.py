"""IPR in plain torch: the reading of MIVE Eq. 6 and 7 that every faster version must match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mive.attention.modulation import CrossAttention, Kernels, Modulation
from mive.attention.roles import TokenRoles
from mive.settings import LAMBDA_S, LambdaS


@dataclass(frozen=True)
class IprStrength(Modulation):
    """How far IPR moves probability at one sampling step, per item of a batch.

    Args:
        t_ratio: t/T of Eq. 6, 1 at the first sampling step and falling linearly to 0; [] or [B].
        warm_up: W of Eq. 6; [] or [B].
        lambda_r: the share of λ_S that goes to the text tokens, 0..1 (Eq. 7); [] or [B].
        mode: "literal" is min(mean, min) + W, "bounded" is min(mean, min + W).
    """

    t_ratio: Tensor
    warm_up: Tensor
    lambda_r: Tensor
    mode: LambdaS = LAMBDA_S

    name = "ipr"

    def cross_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, /) -> Tensor:
        """See `ipr_attention`."""
        return ipr_attention(q, k, v, mask, roles, self)

    def fused(self, kernels: Kernels) -> CrossAttention:
        """IPR's kernel."""
        return lambda q, k, v, mask, roles: kernels.ipr_attention(q, k, v, mask, roles, self)

    def rows(self, index: Tensor | slice) -> IprStrength:
        """The strength of the items in ``index`` (int64, in that order, items may repeat), or of a slice of them."""
        numbers = (self.t_ratio, self.warm_up, self.lambda_r)
        if isinstance(index, Tensor):
            index = index.to(self.t_ratio.device)
        t_ratio, warm_up, lambda_r = (x if x.ndim == 0 else x[index] for x in numbers)
        return IprStrength(t_ratio, warm_up, lambda_r, self.mode)

    def to(self, device: torch.device) -> IprStrength:
        """The same strength on ``device``."""
        return IprStrength(
            self.t_ratio.to(device),
            self.warm_up.to(device),
            self.lambda_r.to(device),
            self.mode,
        )


def ipr_strength(
    s: int,
    T: int,
    lambda_: float | Sequence[float],
    lambda_r: float | Sequence[float],
    mode: LambdaS = LAMBDA_S,
) -> IprStrength:
    """The strength of IPR at step ``s`` of ``T``, s = 0 being the noisiest (MIVE section 3.3).

    t/T = 1 - s/T, and W(s) = λ·max(0, 1 - s/(0.1·T)).

    Args:
        s: position of the timestep on the sampling grid, 0..T-1. A step that is re-inverted to
            and sampled again keeps its position.
        T: number of sampling steps.
        lambda_: λ, one number or one per item.
        lambda_r: λ_r in 0..1, one number or one per item.
        mode: how to read Eq. 6, see `IprStrength`.
    """
    warm_up = max(0.0, 1.0 - s / (0.1 * T))
    return IprStrength(
        t_ratio=torch.tensor(1.0 - s / T),
        warm_up=torch.tensor(lambda_, dtype=torch.float32) * warm_up,
        lambda_r=torch.tensor(lambda_r, dtype=torch.float32),
        mode=mode,
    )


def redistribute(A: Tensor, mask: Tensor, roles: TokenRoles, strength: IprStrength) -> Tensor:
    """Redistribute cross-attention probabilities inside and outside an instance (Eq. 6, 7).

    Outside the mask, text and end lose everything to the start token; inside, the start token
    gives λ_S to text and end; padding is never touched. λ_S is clamped per pixel to A_S, so
    rows keep summing to 1 and never go negative. A frame whose mask is empty is left alone. A
    caption without text tokens (N_T = 0) gives all of λ_S to the end token.

    Args:
        A: softmax probabilities [B, heads, hw, L], one batch row per frame.
        mask: pixels of the instance, bool [B, hw].
        roles: token roles of each batch row, or of one that stands for all.
        strength: the step's strength, for all rows or one per row.

    Returns:
        A' [B, heads, hw, L] in A's dtype.
    """
    length = A.shape[-1]
    padding = roles.padding(length)[:, None, None]
    lambda_s = _lambda_s(A[..., 0], mask, strength)
    inside = A + lambda_s[..., None] * _shares(roles, strength, length)[:, None, None].to(A.dtype)

    outside = A.masked_fill(~padding, 0)
    # The same number as 1 - ΣA_P, without the cancellation that could leave it below zero.
    outside[..., 0] = A.masked_fill(padding, 0).sum(-1)

    pixel = mask[:, None, :, None]
    present = mask.any(-1)[:, None, None, None]
    return torch.where(present, torch.where(pixel, inside, outside), A)


def ipr_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, strength: IprStrength) -> Tensor:
    """Cross-attention with IPR between softmax and the product with V (MIVE Fig. 4, Eq. 5-7).

    Computed in float32 whatever comes in: λ_S hangs on the smallest of many small numbers.

    Args:
        q: [B, heads, hw, d], one batch row per frame.
        k, v: [B, heads, L, d], or [1, heads, L, d] for a caption that all rows share.
        mask, roles, strength: as in `redistribute`.

    Returns:
        h [B, heads, hw, d] in q's dtype.
    """
    logits = q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5
    probabilities = redistribute(logits.softmax(-1), mask, roles, strength)
    return (probabilities @ v.float()).to(q.dtype)


def _lambda_s(A_S: Tensor, mask: Tensor, strength: IprStrength) -> Tensor:
    """λ_S of Eq. 6 per pixel, clamped to A_S; [B, heads, hw]."""
    pixel = mask[:, None]
    count = pixel.sum(-1, keepdim=True).clamp(min=1)
    mean = A_S.masked_fill(~pixel, 0).sum(-1, keepdim=True) / count
    low = A_S.masked_fill(~pixel, 1).amin(-1, keepdim=True)
    warm_up = strength.warm_up.reshape(-1, 1, 1).to(A_S.dtype)
    bounded = strength.mode == "bounded"
    amount = torch.minimum(mean, low + warm_up) if bounded else torch.minimum(mean, low) + warm_up
    return torch.minimum(strength.t_ratio.reshape(-1, 1, 1).to(A_S.dtype) * amount, A_S)


def _shares(roles: TokenRoles, strength: IprStrength, length: int) -> Tensor:
    """What each token gains per unit of λ_S (Eq. 7), summing to zero; [B, L]."""
    n_text = roles.n_text[:, None]
    to_text = strength.lambda_r.reshape(-1, 1) * (n_text > 0)
    return (
        roles.text(length) * (to_text / n_text.clamp(min=1))
        + roles.end(length) * (1 - to_text)
        - roles.start(length).float()
    )
