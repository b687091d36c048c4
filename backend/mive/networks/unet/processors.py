"""Attention of inflated networks, as diffusers attention processors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mive.attention.flow import flow_attention
from mive.attention.kernels import kernels_for
from mive.attention.modulation import CrossAttention, Modulation
from mive.attention.pooled import pooled_attention
from mive.attention.roles import TokenRoles
from mive.attention.tiles import MAX_KEYS
from mive.errors import EngineError
from mive.networks.unet.frames import FrameContext
from mive.settings import ControlAttention

_PROBABILITIES_PER_CHUNK = 2**25
"""Cross-attention probabilities held at once when they are modulated: 128 MiB in float32."""


class SelfAttentionProcessor:
    """Self-attention over all N·n tokens of an item, then flow-guided attention.

    Args:
        context: the network's context.
        mode: "all" attends over all frames of an item, "frame" within each frame, as stock.
        guided: whether modulation and flow-guided attention apply (the U-Net) or not (the ControlNet).
    """

    def __init__(self, context: FrameContext, mode: ControlAttention, guided: bool) -> None:
        self.context, self.mode, self.guided = context, mode, guided

    def __call__(self, attn: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        """hidden_states [B·N, n, C] to the same shape."""
        frames = self.context.inputs.frames if self.mode == "all" else 1
        q, k, v = (_heads(project(hidden_states), attn.heads, frames) for project in (attn.to_q, attn.to_k, attn.to_v))
        if frames > 1 and self.context.size in self.context.inputs.pooled:
            h = pooled_attention(q, k, v, frames, self.context.size)
        else:
            h = F.scaled_dot_product_attention(q, k, v)
        if self.guided:
            h = self._modulate(q, k, v, h)
            h = self._flow(q, k, h)
        return _project_out(attn, h, hidden_states)

    def _modulate(self, q: Tensor, k: Tensor, v: Tensor, h: Tensor) -> Tensor:
        modulation, items = self.context.inputs.modulation, self.context.items
        if modulation is None or not items or not modulation.steers_self:
            return h
        masks = _masks(self.context).flatten(2).to(q.device)
        h = h.clone()
        for item in items:
            one = slice(item, item + 1)
            h[one] = modulation.rows(one).self_attention(q[one], k[one], v[one], masks[one])
        return h

    def _flow(self, q: Tensor, k: Tensor, h: Tensor) -> Tensor:
        inputs = self.context.inputs
        trajectories = inputs.trajectories.get(self.context.size)
        if trajectories is None or inputs.flow_attention == "none":
            return h
        kernels = kernels_for(q.device)
        attend = kernels.flow_attention if kernels else flow_attention
        if inputs.flow_attention == "old_qk":
            return attend(q, k, h, trajectories.to(q.device))
        return attend(h, h, h, trajectories.to(q.device))


class CrossAttentionProcessor:
    """Cross-attention to the item's caption, modulated inside and outside its mask; or of each pixel to its own.

    Args:
        context: the network's context.
        guided: whether modulation applies (the U-Net) or not (the ControlNet).
    """

    def __init__(self, context: FrameContext, guided: bool) -> None:
        self.context, self.guided = context, guided

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        """hidden_states [B·N, n, C] and captions [B or B·N, L, d] to hidden_states' shape."""
        owners = self.context.inputs.owners
        rows = len(hidden_states) // (1 if owners else len(encoder_hidden_states))
        q = _heads(attn.to_q(hidden_states), attn.heads, rows)
        if owners:
            q = q.expand(len(encoder_hidden_states), -1, -1, -1)
        k = _heads(attn.to_k(encoder_hidden_states), attn.heads, 1)
        v = _heads(attn.to_v(encoder_hidden_states), attn.heads, 1)
        modulation = self.context.inputs.modulation if self.guided and self.context.items else None
        kernels = kernels_for(q.device) if modulation and k.shape[2] <= MAX_KEYS else None
        fused = modulation.fused(kernels) if modulation and kernels else None
        if fused:
            h = self._at_once(fused, q, k, v, rows)
        else:
            h = F.scaled_dot_product_attention(q, k, v)
            if modulation:
                h = self._one_by_one(modulation, q, k, v, h, rows)
        if owners:
            h = _of_owners(h, owners[self.context.size].flatten())
        return _project_out(attn, h, hidden_states)

    def _at_once(self, attend: CrossAttention, q: Tensor, k: Tensor, v: Tensor, rows: int) -> Tensor:
        """Attention of all items, modulated or not, in one launch; [R, heads, ., d] to q's shape."""
        masks = _masks(self.context).to(q.device)
        others = [item for item in range(len(masks)) if item not in self.context.items]
        if others:
            masks = masks.clone()
        for item in others:
            # The kernel leaves rows without an instance alone.
            masks[item] = False
        frames = _per_frame(q, rows, self.context.inputs.frames).flatten(0, 1)
        h = attend(frames, k, v, masks.flatten(2).flatten(0, 1), _roles(self.context))
        return _per_row(h, rows, q)

    def _one_by_one(self, modulation: Modulation, q: Tensor, k: Tensor, v: Tensor, h: Tensor, rows: int) -> Tensor:
        """Modulated items in place of those in h; all [R, heads, ., d], h and the result with F·n tokens."""
        frames = self.context.inputs.frames
        like, captions = h, frames // rows
        q, h = (_per_frame(x, rows, frames) for x in (q, h))
        k, v = k[::captions], v[::captions]
        for item in self.context.items:
            h[item] = self._modulated(modulation, item, q[item], k[item], v[item])
        return _per_row(h.flatten(0, 1), rows, like)

    def _modulated(self, modulation: Modulation, item: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One item: q [N, heads, n, d], k and v [heads, L, d] to h [N, heads, n, d]."""
        one, device = slice(item, item + 1), q.device
        attend = modulation.rows(one).to(device).cross_attention
        masks = _masks(self.context)[item].flatten(1).to(device)
        roles = _roles(self.context).rows(one).to(device)
        chunk = max(1, _PROBABILITIES_PER_CHUNK // (q[0, ..., 0].numel() * k.shape[1]))
        h = torch.empty_like(q)
        for first in range(0, len(q), chunk):
            frames = slice(first, first + chunk)
            h[frames] = attend(q[frames], k[None], v[None], masks[frames], roles)
        return h


def _heads(x: Tensor, heads: int, frames: int) -> Tensor:
    """[R·F, n, heads·d] to [R, heads, F·n, d]."""
    rows = torch.unflatten(x, 0, (-1, frames)).flatten(1, 2)
    return torch.unflatten(rows, 2, (heads, -1)).transpose(1, 2)


def _per_frame(x: Tensor, rows: int, frames: int) -> Tensor:
    """[R, heads, F·n, d] with F = ``rows`` to [B, N, heads, n, d]."""
    split = torch.unflatten(x, 2, (rows, -1)).transpose(1, 2).flatten(0, 1)
    return torch.unflatten(split, 0, (-1, frames))


def _per_row(h: Tensor, rows: int, like: Tensor) -> Tensor:
    """[B·N, heads, n, d] back to [R, heads, F·n, d] with F = ``rows``, the shape of ``like``."""
    return torch.unflatten(h, 0, (-1, rows)).transpose(1, 2).reshape(like.shape)


def _of_owners(h: Tensor, owners: Tensor) -> Tensor:
    """What each pixel has from the caption that it hears: h [captions, heads, P, d] to [1, heads, P, d].

    Args:
        owners: int64 [P].
    """
    index = owners[None, None, :, None].expand(1, h.shape[1], -1, h.shape[3])
    return h.gather(0, index)


def _project_out(attn: Any, h: Tensor, like: Tensor) -> Tensor:
    """[R, heads, F·n, d] through the output projection to [R·F, n, C]."""
    merged = h.transpose(1, 2).flatten(2).reshape(len(like), like.shape[1], -1)
    projected: Tensor = attn.to_out[1](attn.to_out[0](merged))
    return projected


def _masks(context: FrameContext) -> Tensor:
    masks = context.inputs.masks.get(context.size)
    if masks is None:
        raise EngineError(
            f"no masks at attention size {context.size}",
            expected=f"bool masks [B, N, h, w] at it, got sizes {sorted(context.inputs.masks)}",
            fix="build them with mask_pyramid and attention_sizes",
        )
    return masks


def _roles(context: FrameContext) -> TokenRoles:
    if context.inputs.roles is None:
        raise EngineError(
            "attention is to be modulated, but the roles of the tokens are unknown",
            expected="FrameInputs.roles",
            fix="pass the roles that encode_captions returns",
        )
    return context.inputs.roles
