"""The torch engine: a bundle's networks on CPU or GPU behind the `Denoiser` interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mive.attention.roles import TokenRoles
from mive.conditions.depth import estimate_depth
from mive.conditions.flow import estimate_flow
from mive.conditions.trajectories import trajectories
from mive.engines.devices import memory_of
from mive.method.denoiser import Call, Conditions, Size
from mive.networks.bundle import Bundle
from mive.networks.masks import mask_pyramid, select_masks
from mive.networks.tokens import encode_captions
from mive.networks.unet.frames import FrameInputs
from mive.networks.unet.inflation import attention_sizes
from mive.settings import CONTROL_CAPTION, FLOW_ATTENTION, ControlCaption, Flow, FlowAttention, MaskCells

Pixels = NDArray[np.float32]

Residuals = tuple[Tensor, ...]
"""What ControlNet adds to the U-Net: to its way down, from the first layer on, and to its middle."""


class EmbeddedHint(nn.Module):
    """Stands where ControlNet embeds its hint: the engine does so once per window, so here it passes as it is."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, hint: Tensor) -> Tensor:
        """The hint that `TorchEngine.conditions` has embedded, [B·N, c, h, w]."""
        return hint


class TorchEngine:
    """A loaded bundle.

    Args:
        bundle: its networks, inflated, on their device and in their dtype.
        control_scale: weight of ControlNet's residuals.
        control_caption: whether ControlNet hears its items' own captions or the empty one, which serves all items that
            have the same latents.
    """

    name: Final[Literal["torch"]] = "torch"
    scales: Final = ""

    def __init__(
        self, bundle: Bundle, control_scale: float = 1.0, control_caption: ControlCaption = CONTROL_CAPTION
    ) -> None:
        self.bundle = bundle
        self.control_scale = control_scale
        self.control_caption = control_caption
        # Where programs stand in for the U-Net, its weights lie in main memory, and the text encoder on the device.
        self.device = next(bundle.text_encoder.parameters()).device
        self.dtype = next(bundle.unet.parameters()).dtype
        if not isinstance(bundle.controlnet.controlnet_cond_embedding, EmbeddedHint):
            bundle.controlnet.controlnet_cond_embedding = EmbeddedHint(bundle.controlnet.controlnet_cond_embedding)
        self.hint_embedding = bundle.controlnet.controlnet_cond_embedding.embedding
        self._captions: dict[str, tuple[Tensor, Tensor]] = {}
        self._residuals: dict[object, Residuals] = {}

    def put_aside(self) -> None:
        """Move to main memory what another engine runs in its own way: U-Net, ControlNet and the VAE's decoder."""
        for network in (self.bundle.unet, self.bundle.controlnet, self.bundle.vae.decoder):
            network.to("cpu")
        self.hint_embedding.to(self.device)

    @torch.inference_mode()
    def encode(self, frames: Pixels, batch: int = 4) -> Tensor:
        """Frames [N, H, W, 3] in 0..1 to latents float32 [N, C, h, w], the mean of the VAE's posterior.

        Raises:
            OutOfMemory: as all that runs networks here does.
        """
        parts = []
        with memory_of(self.device):
            for part in torch.split(torch.from_numpy(frames), batch):
                pixels = (part.permute(0, 3, 1, 2) * 2 - 1).to(self.device, self.dtype)
                mean = self.bundle.vae.encode(_channels_last(pixels)).latent_dist.mean
                parts.append((mean.float() - self.bundle.shift_factor) * self.bundle.scaling_factor)
        return torch.cat(parts)

    @torch.inference_mode()
    def decode(self, z: Tensor, batch: int = 4) -> Pixels:
        """Latents [N, C, h, w] to frames float32 [N, H, W, 3] in 0..1."""
        parts = []
        with memory_of(self.device):
            for part in torch.split(z / self.bundle.scaling_factor + self.bundle.shift_factor, batch):
                pixels = self.bundle.vae.decode(_channels_last(part.to(self.device, self.dtype))).sample
                parts.append((pixels.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu())
        return torch.cat(parts).numpy()

    def too_long(self, captions: Sequence[str]) -> list[str]:
        """Those captions that have more tokens than the model takes, and so lose their ends."""
        flags = encode_captions(self.bundle.tokenizer, captions).truncated
        return [caption for caption, flag in zip(captions, flags, strict=True) if flag]

    @torch.inference_mode()
    def conditions(
        self,
        frames: Pixels,
        mattes: Iterable[NDArray[np.float32]],
        flow: Flow,
        flow_attention: FlowAttention | None,
        cells: MaskCells,
    ) -> Conditions:
        """Depth, masks and trajectories of a window.

        Args:
            frames: [N, H, W, 3] in 0..1 at model size.
            mattes: N arrays [M, H', W'] in 0..1, of any size, later instances on top; one at a time is looked at.
            flow: how motion is estimated.
            flow_attention: None leaves flow-guided attention out.
            cells: how mattes become masks, see `mive.networks.masks.resize_masks`.
        """
        factor = self.bundle.latent_factor
        latent_size = (frames.shape[1] // factor, frames.shape[2] // factor)
        sizes = attention_sizes(self.bundle.unet, latent_size)
        wanted = list(dict.fromkeys([latent_size, *sizes]))
        each = [mask_pyramid(torch.from_numpy(matte)[:, None], wanted, cells) for matte in mattes]
        masks = {size: torch.cat([frame[size] for frame in each], 1).to(self.device) for size in wanted}
        paths: dict[Size, Tensor] = {}
        with memory_of(self.device):
            if flow_attention is not None and len(frames) > 1:
                moved = estimate_flow(frames, flow, device=self.device)
                paths[sizes[0]] = trajectories(moved, sizes[0]).to(self.device)
            depth = estimate_depth(self.bundle.depth, self.bundle.depth_config, frames)
            hint = self.hint_embedding(_channels_last(depth.to(self.device, self.dtype)))
        return Conditions(hint, masks, paths, flow_attention or FLOW_ATTENTION)

    @torch.inference_mode()
    def output(self, call: Call, conditions: Conditions) -> Tensor:
        """See `Denoiser.output`."""
        with memory_of(self.device):
            return self._output(call, conditions)

    def _output(self, call: Call, conditions: Conditions) -> Tensor:
        items, frames = call.z.shape[:2]
        states, roles = self.embed((*call.captions, "") if call.joint else call.captions)
        z = _channels_last(call.z.flatten(0, 1).to(self.device, self.dtype))
        # Filled there and not copied from here.
        t = torch.full((), call.t, dtype=torch.int64, device=self.device)
        inputs = self._inputs(call, conditions, roles) if call.inflated else FrameInputs()
        text = states if call.inflated else states.repeat_interleave(frames, 0)
        residuals = {}
        if call.control and conditions.hint is not None:
            *down, mid = self._controlled(call, conditions.hint, z, t, text, inputs)
            residuals = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": mid,
            }
        with self.bundle.unet_context.given(inputs):
            output = self.bundle.unet(z, t, text, return_dict=False, **residuals)[0]
        noise: Tensor = output.float().unflatten(0, (items, frames)).to(call.z.device)
        return noise

    def _controlled(
        self, call: Call, hint: Tensor, z: Tensor, t: Tensor, text: Tensor, inputs: FrameInputs
    ) -> Residuals:
        """ControlNet's residuals for all items, [B·N, ...] each."""
        if self.control_caption == "own":
            return self._control(hint, z, t, text, inputs)
        frames = call.z.shape[1]
        tokens = call.latents or tuple(object() for _ in call.z)
        kept = {token: self._residuals[token] for token in tokens if token in self._residuals}
        missing = {token: item for token, item in zip(tokens, torch.split(z, frames), strict=True) if token not in kept}
        if missing:
            text = self.embed(("",) * len(missing))[0]
            fresh = self._control(hint, torch.cat([*missing.values()]), t, text, replace(inputs, owners={}))
            kept |= zip(missing, zip(*(torch.split(x, frames) for x in fresh), strict=True), strict=True)
        self._residuals = kept if call.latents else {}
        return tuple(torch.cat(each) for each in zip(*(kept[token] for token in tokens), strict=True))

    def _control(self, hint: Tensor, z: Tensor, t: Tensor, text: Tensor, inputs: FrameInputs) -> Residuals:
        """One run of ControlNet on k items [k·N, C, h, w] of the same hint [N, c, h, w]."""
        seen = FrameInputs(frames=inputs.frames, pooled=inputs.pooled, owners=inputs.owners)
        hints = hint.repeat(len(z) // len(hint), 1, 1, 1)
        with self.bundle.control_context.given(seen):
            down, mid = self.bundle.controlnet(z, t, text, hints, self.control_scale, return_dict=False)
        return (*down, mid)

    def _inputs(self, call: Call, conditions: Conditions, roles: TokenRoles) -> FrameInputs:
        instances = (*call.instances, None) if call.joint else call.instances
        modulated = [instance is not None for instance in instances]
        steered = call.modulation is not None and any(modulated)
        inputs = FrameInputs(
            frames=call.z.shape[1],
            modulation=call.modulation if steered else None,
            modulated=modulated,
            masks=select_masks(conditions.masks, instances) if steered else {},
            roles=roles,
            trajectories=conditions.trajectories,
            flow_attention=conditions.flow_attention,
            pooled=conditions.pooled,
            owners=conditions.owners if call.joint else {},
        )
        return inputs.to(self.device)

    def embed(self, captions: Sequence[str]) -> tuple[Tensor, TokenRoles]:
        """Text states [B, L, d] and token roles; every caption is encoded once."""
        for caption in captions:
            if caption not in self._captions:
                encoded = encode_captions(self.bundle.tokenizer, [caption])
                states = self.bundle.text_encoder(encoded.ids.to(self.device)).last_hidden_state
                self._captions[caption] = (states[0].to(self.dtype), encoded.roles.n_text[0].to(self.device))
        chosen = [self._captions[caption] for caption in captions]
        return torch.stack([states for states, _ in chosen]), TokenRoles(torch.stack([n for _, n in chosen]))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
