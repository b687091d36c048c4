"""The one interface between the method and whatever computes ε: torch, TensorRT, or a test's formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from mive.attention.modulation import Modulation
from mive.settings import FLOW_ATTENTION, FlowAttention

Size = tuple[int, int]
"""Height and width in cells."""


@dataclass(frozen=True)
class Conditions:
    """What a window of N frames looks like to the networks; made once, used in every step.

    Attributes:
        hint: [N, c, h, w] the depth condition e after ControlNet's hint embedding; None without ControlNet.
        masks: bool [M, N, h, w] at the latent and every attention size.
        trajectories: int64 [N·h·w, N] at the attention sizes with flow-guided attention.
        flow_attention: which queries and keys that attention uses.
        pooled: attention sizes at which other frames are seen as averages of 2 × 2 tokens.
    """

    hint: Tensor | None = None
    masks: Mapping[Size, Tensor] = field(default_factory=dict)
    trajectories: Mapping[Size, Tensor] = field(default_factory=dict)
    flow_attention: FlowAttention = FLOW_ATTENTION
    pooled: frozenset[Size] = frozenset()

    @cached_property
    def owners(self) -> Mapping[Size, Tensor]:
        """Whose each pixel is, at each size of the masks: int64 [N, h, w], an instance's index, M for nobody's."""
        return {
            size: torch.where(masks.any(0), masks.to(torch.uint8).argmax(0), len(masks))
            for size, masks in self.masks.items()
        }


@dataclass(frozen=True)
class Call:
    """One evaluation of ε for B items (instances, or branches of guidance) on the same N frames.

    Attributes:
        z: [B, N, C, h, w] float32 latents.
        t: train timestep.
        captions: B captions; "" is the empty caption c_∅.
        instances: for each item the instance (0-based) whose mask steers its attention; None leaves it alone.
        modulation: how attention is steered; its per-item parameters have B rows.
        inflated: whether the networks see all frames together, else each on its own (2D).
        control: whether ControlNet's condition e takes part.
        joint: the captions are all of one item's, z is [1, N, C, h, w]: each pixel hears its own instance's caption,
            and those of no instance the empty one. ``instances`` and ``modulation`` are by caption.
        latents: a token for each item. Items of one token have the same latents and t, in this call and the next;
            an engine may keep what hangs on these alone. () says nothing.
    """

    z: Tensor
    t: int
    captions: tuple[str, ...]
    instances: tuple[int | None, ...]
    modulation: Modulation | None = None
    inflated: bool = True
    control: bool = True
    joint: bool = False
    latents: tuple[object, ...] = ()


class Denoiser(Protocol):
    """Predicts the noise in latents."""

    def output(self, call: Call, conditions: Conditions) -> Tensor:
        """The network's raw output (ε or v, as the model's schedule says), float32 [B, N, C, h, w]."""
        ...
