"""The edit as a plain diffusers script would make it: what MIVE's savings are measured against.

The same plan, networks and conditions, but one instance at a time, both branches of guidance for each, attention as
explicit products and softmax, ControlNet embedding its hint in every call, and nothing kept from one step to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from mive.attention.flow import flow_attention
from mive.attention.ipr import IprStrength, ipr_strength
from mive.editing.editor import Editor, Pixels
from mive.editing.previews import Previews
from mive.editing.views import Teller
from mive.engines.torch_engine import TorchEngine
from mive.method.denoiser import Conditions
from mive.method.sampling import Inverted, State
from mive.networks.masks import select_masks
from mive.networks.unet.frames import FrameContext, FrameInputs
from mive.plans import Fuse, Lps, Nps, Reinvert
from mive.request import EditRequest, Instance

LOGITS_PER_CHUNK: Final = 2**29
"""Logits that attention holds at once, 1 GiB in 16 bits: those of sixteen frames of 64 × 64 would be 69 GB."""


@dataclass
class PlainEditor(Editor):
    """An editor without savings, for settings that leave each instance no strength of its own.

    It replaces attention and the hint embedding of the bundle that it was made with, which no other editor may share.
    """

    decoded_together: ClassVar[int] = 1

    def __post_init__(self) -> None:
        assert isinstance(self.engine, TorchEngine)
        bundle = self.engine.bundle
        # `conditions` then leaves the depth map as it is, and ControlNet embeds it.
        bundle.controlnet.controlnet_cond_embedding = self.engine.hint_embedding
        self.engine.hint_embedding = nn.Identity()
        for network, context in ((bundle.unet, bundle.unet_context), (bundle.controlnet, bundle.control_context)):
            for module in network.modules():
                if isinstance(module, Attention):
                    module.set_processor(EagerAttention(context))

    @torch.inference_mode()
    def edit_view(
        self,
        request: EditRequest,
        small: Pixels,
        planes: Iterator[Pixels],
        tell: Teller,
        state: State | None,
        keep: Callable[[State], None],
        previews: Previews | None,
    ) -> Tensor:
        conditions = self.engine.conditions(small, planes, self.settings.flow, "flatten", self.settings.mask_cells)
        self.clock.lap("conditions")
        inverted = self._invert(self.engine.encode(small))
        self.clock.lap("inversion")
        z_0 = self._followed(request, conditions, inverted)
        self.clock.lap("sampling")
        return z_0

    def _invert(self, z: Tensor) -> dict[int | None, Tensor]:
        kept: dict[int | None, Tensor] = {None: z}
        schedule, source = self.engine.bundle.schedule, None
        for t in self.grids.inversion:
            at = self.grids.inversion[0] if source is None else source
            output = self._network(z, at, "", FrameInputs(), None)
            z, source = schedule.ddim(z, schedule.epsilon(output, z, at), source, t), t
            if t in self.grids.sampling:
                kept[t] = z
        return kept

    def _followed(self, request: EditRequest, conditions: Conditions, inverted: Inverted) -> Tensor:
        schedule, z = self.engine.bundle.schedule, inverted[self.grids.sampling[0]]
        own = conditions.masks[z.shape[-2], z.shape[-1]].float()[:, :, None]
        background = 1 - own.sum(0)
        latents = torch.stack([z] * len(own))
        for step in self.plan:
            if isinstance(step, Lps):
                t, to = self.grids.sampling[step.s], self.grids.before(step.s)
                for i, m in enumerate(own):
                    noise = self._guided(latents[i], t, i, request.instances[i], step, conditions)
                    moved = schedule.ddim(latents[i], noise, t, to)
                    latents[i] = moved * m + inverted[to] * (1 - m)
                continue
            if isinstance(step, Fuse):
                at = self.grids.sampling[step.s] if step.s < len(self.grids.sampling) else None
                z = (latents * own).sum(0) + inverted[at] * background
            elif isinstance(step, Nps):
                t = self.grids.sampling[step.s]
                noise = self._epsilon(inverted[t], t, "", conditions, control=False) * background
                for i, m in enumerate(own):
                    noise = noise + self._guided(z, t, i, request.instances[i], step, conditions) * m
                z = schedule.ddim(z, noise, t, self.grids.before(step.s))
            else:
                z = self._reinvert(z, step, conditions)
            latents = torch.stack([z] * len(own))
        return z

    def _reinvert(self, z: Tensor, step: Reinvert, conditions: Conditions) -> Tensor:
        t, up = self.grids.sampling[step.s], self.grids.sampling[step.s - 1]
        return self.engine.bundle.schedule.ddim(z, self._epsilon(z, t, "", conditions), t, up)

    def _guided(
        self, z: Tensor, t: int, index: int, instance: Instance, step: Lps | Nps, conditions: Conditions
    ) -> Tensor:
        """Classifier-free guidance of one instance: two passes."""
        settings, strength = self.settings, None
        if step.modulated:
            strength = ipr_strength(step.s, settings.steps, settings.lambda_, settings.lambda_r, settings.lambda_s)
        base = self._epsilon(z, t, "", conditions)
        return base + settings.guidance_of(instance.guidance) * (
            self._epsilon(z, t, instance.caption, conditions, index, strength) - base
        )

    def _epsilon(
        self,
        z: Tensor,
        t: int,
        caption: str,
        conditions: Conditions,
        instance: int | None = None,
        strength: IprStrength | None = None,
        control: bool = True,
    ) -> Tensor:
        assert isinstance(self.engine, TorchEngine)
        inputs = FrameInputs(
            frames=len(z),
            modulation=strength,
            modulated=[strength is not None],
            masks=select_masks(conditions.masks, (instance,)),
            roles=self.engine.embed((caption,))[1],
            trajectories=conditions.trajectories,
        )
        output = self._network(z, t, caption, inputs, conditions.hint if control else None)
        return self.engine.bundle.schedule.epsilon(output, z, t)

    def _network(self, z: Tensor, t: int, caption: str, inputs: FrameInputs, depth: Tensor | None) -> Tensor:
        assert isinstance(self.engine, TorchEngine)
        bundle, (text, _) = self.engine.bundle, self.engine.embed((caption,))
        z, inputs = z.to(self.engine.dtype), inputs.to(self.engine.device)
        residuals: dict[str, Any] = {}
        if depth is not None:
            with bundle.control_context.given(FrameInputs(frames=inputs.frames)):
                down, mid = bundle.controlnet(z, t, text, depth, self.settings.control_scale, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        with bundle.unet_context.given(inputs):
            output: Tensor = bundle.unet(z, t, text, return_dict=False, **residuals)[0]
        return output.float()


class EagerAttention:
    """Attention as diffusers' own `AttnProcessor` computes it, over the frames of one item; IPR and FLATTEN on top.

    Args:
        context: the network's; it holds one item.
    """

    def __init__(self, context: FrameContext) -> None:
        self.context = context

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """hidden_states [N, n, C] and one caption [1, L, d] to hidden_states' shape."""
        inputs = self.context.inputs
        x = hidden_states.reshape(-1, inputs.frames * hidden_states.shape[1], hidden_states.shape[2])
        source = x if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (project(y).unflatten(2, (attn.heads, -1)).transpose(1, 2) for project, y in
                   ((attn.to_q, x), (attn.to_k, source), (attn.to_v, source)))  # fmt: skip
        if encoder_hidden_states is not None and self.context.items:
            h = self._redistributed(q, k, v)
        else:
            h = _eager(q, k, v)
        paths = inputs.trajectories.get(self.context.size)
        if encoder_hidden_states is None and paths is not None:
            h = flow_attention(h, h, h, paths)
        merged = h.transpose(1, 2).flatten(2).reshape(hidden_states.shape)
        out: Tensor = attn.to_out[1](attn.to_out[0](merged))
        return out

    def _redistributed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """IPR of one item, q [1, heads, N·n, d]."""
        inputs = self.context.inputs
        assert inputs.modulation is not None
        assert inputs.roles is not None
        frames = q[0].reshape(len(q[0]), inputs.frames, -1, q.shape[-1]).transpose(0, 1)
        masks = inputs.masks[self.context.size][0].flatten(1)
        h = inputs.modulation.cross_attention(frames, k, v, masks, inputs.roles)
        return h.transpose(0, 1).flatten(1, 2)[None]


def _eager(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as products and a softmax, [B, heads, ., d] each; as many queries at a time as memory has room for."""
    chunk = max(1, LOGITS_PER_CHUNK // (q.shape[0] * q.shape[1] * k.shape[2]))
    parts = [(part @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v for part in torch.split(q, chunk, 2)]
    return torch.cat(parts, 2)
