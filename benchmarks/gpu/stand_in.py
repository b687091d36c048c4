"""Networks of Stable Diffusion 1.5's size with random weights, made where they run, behind MIVE's own engine.

Speed and memory do not depend on what weights say. Nothing is read or downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from mive.attention.ipr import ipr_strength
from mive.conditions.trajectories import trajectories
from mive.editing.samplers import POOLED_SIZES
from mive.engines.torch_engine import TorchEngine
from mive.method.denoiser import Call, Conditions
from mive.method.schedule import NoiseSchedule
from mive.networks.masks import mask_pyramid
from mive.networks.unet.inflation import attention_sizes, inflate

SCHEDULE: Final = NoiseSchedule.from_config(
    {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
        "set_alpha_to_one": False,
    }
)  # fmt: skip
WORDS: Final = ["red", "green", "blue", "pink", "grey", "black", "white", "cyan"]


@dataclass(frozen=True)
class Shape:
    """What is edited: M instances in N frames of ``side`` × ``side`` latents; ``small`` networks to try the scripts."""

    instances: int = 4
    frames: int = 16
    side: int = 64
    small: bool = False


class _Tokenizer:
    model_max_length, pad_token_id = 77, 999

    def __call__(self, caption: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [998, *(sum(map(ord, word)) % 900 for word in caption.split()), 999]}


def _networks(small: bool, side: int) -> tuple[Any, ...]:
    widths, cross, groups = ((32, 64, 64, 64), 32, 8) if small else ((320, 640, 1280, 1280), 768, 32)
    shape: dict[str, Any] = {
        "block_out_channels": widths, "cross_attention_dim": cross, "norm_num_groups": groups, "attention_head_dim": 8,
    }  # fmt: skip
    unet = UNet2DConditionModel(sample_size=side, layers_per_block=2, **shape)
    control = ControlNetModel(layers_per_block=2, **shape)
    for parameter in control.parameters():
        # Its zero convolutions would make its work vanish from the results.
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    first = 16 if small else 128
    vae = AutoencoderKL(
        block_out_channels=(first, 2 * first, 4 * first, 4 * first), layers_per_block=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=groups,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=cross, intermediate_size=4 * cross, num_hidden_layers=2 if small else 12,
            num_attention_heads=4 if small else 12, vocab_size=1000, bos_token_id=998, eos_token_id=999,
            pad_token_id=999,
        )
    )  # fmt: skip
    return unet, control, vae, text


@dataclass(frozen=True)
class StandIn:
    """An engine, and a window of a shot for it: square instances that cover half of the frame, in slow motion.

    Attributes:
        masks: [M, N, 1, h, w] float, disjoint.
    """

    shape: Shape
    engine: TorchEngine
    conditions: Conditions
    masks: Tensor
    captions: tuple[str, ...]

    def latents(self, *items: int) -> Tensor:
        """Random latents [*items, N, C, h, w]."""
        side = self.shape.side
        return torch.randn(*items, self.shape.frames, 4, side, side, device=self.engine.device)

    def call(self, items: int, *, control: bool = True, guided: bool = True) -> Call:
        """One evaluation of ε for ``items``, the first half of them conditional if it is ``guided``."""
        half = (items + 1) // 2 if guided else 0
        who = tuple(i % self.shape.instances if i < half else None for i in range(items))
        captions = tuple("" if i is None else self.captions[i] for i in who)
        steered = ipr_strength(1, 50, [0.4] * items, [0.6] * items) if guided else None
        return Call(self.latents(items), 501, captions, who, steered, control=control)

    def plain_call(self, frames: int = 8) -> Call:
        """One evaluation of the plain 2D network, as inversion makes them."""
        z = self.latents(1)[:, :frames]
        return Call(z, 501, ("",), (None,), inflated=False, control=False)


def stand_in(shape: Shape, device: torch.device, dtype: torch.dtype, *, fast: bool = False) -> StandIn:
    """Make the networks on ``device`` and everything about the window that does not change from step to step.

    Args:
        fast: with the preset's savings in networks and engine: frames pooled, a ControlNet by frame and without words.
    """
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(dtype)
        try:
            made = _networks(shape.small, shape.side)
        finally:
            torch.set_default_dtype(torch.float32)
    unet, control, vae, text = (
        network.to(device, dtype, memory_format=torch.channels_last).eval().requires_grad_(False) for network in made
    )
    bundle: Any = SimpleNamespace(
        unet=unet, unet_context=inflate(unet), controlnet=control,
        control_context=inflate(control, "frame" if fast else "all"), vae=vae,
        tokenizer=_Tokenizer(), text_encoder=text, depth=None, depth_config={}, latent_factor=8,
        scaling_factor=0.18215, shift_factor=0.0,
    )  # fmt: skip
    engine = TorchEngine(bundle, control_caption="empty" if fast else "own")
    sizes = attention_sizes(unet, (shape.side, shape.side))
    masks = _squares(shape)
    wanted = list(dict.fromkeys([(shape.side, shape.side), *sizes]))
    pyramid = {size: mask.to(device) for size, mask in mask_pyramid(masks, wanted).items()}
    motion = torch.randn(shape.frames - 1, 2, 4, 4) * 12
    flow = F.interpolate(motion, (8 * shape.side, 8 * shape.side), mode="bilinear")
    hint = torch.rand(shape.frames, 3, 8 * shape.side, 8 * shape.side, device=device, dtype=dtype)
    with torch.inference_mode():
        embedded = engine.hint_embedding(hint.contiguous(memory_format=torch.channels_last))
    paths = {sizes[0]: trajectories(flow, sizes[0]).to(device)}
    latent = pyramid[shape.side, shape.side].float()[:, :, None]
    captions = tuple(f"a {word} thing" for word in WORDS[: shape.instances])
    pooled = frozenset(sizes[:POOLED_SIZES] if fast else ())
    return StandIn(shape, engine, Conditions(embedded, pyramid, paths, "flatten", pooled), latent, captions)


def _squares(shape: Shape) -> Tensor:
    """Masks bool [M, N, H, W] at clip size: squares in rows of four."""
    cell = 2 * shape.side
    masks = torch.zeros(shape.instances, shape.frames, 8 * shape.side, 8 * shape.side, dtype=torch.bool)
    for i in range(shape.instances):
        top, left = cell * (i // 4), cell * (i % 4)
        masks[i, :, top : top + 3 * cell // 4, left : left + 3 * cell // 4] = True
    return masks
