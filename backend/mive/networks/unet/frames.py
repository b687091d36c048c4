"""What an inflated network knows about frames, instances and trajectories during one forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mive.attention.modulation import Modulation
from mive.attention.roles import TokenRoles
from mive.method.denoiser import Size
from mive.settings import FLOW_ATTENTION, FlowAttention


@dataclass(frozen=True)
class FrameInputs:
    """What one forward of an inflated network takes besides latents, timestep and captions.

    A batch holds B items (an instance, or a branch of guidance) of N frames each, as latents
    [B·N, C, h, w] with the frames of one item adjacent. Captions are [B, L, d], once per item,
    or [B·N, L, d]. The defaults make the network a stock 2D one.

    Args:
        frames: N.
        modulation: what steers the attention of modulated items, if anything does.
        modulated: the items whose attention is modulated, the conditional branches; B bools.
        masks: each item's instance at every attention size, bool [B, N, h, w] by (h, w); rows
            of items that are not modulated are not looked at.
        roles: token roles of each item.
        trajectories: int64 [N·h·w, N] by (h, w), the attention sizes with flow-guided
            attention: FLATTEN's is the finest one only.
        flow_attention: "flatten" attends with Q = K = V = h, "old_qk" with the projected q, k.
        pooled: attention sizes at which other frames are seen as averages of 2 × 2 tokens.
        owners: int64 [N, h, w] by (h, w) at every attention size: which caption each pixel hears. Then z is of one
            item, and what is said of items here (captions, roles, masks, modulation) is said of its captions.
    """

    frames: int = 1
    modulation: Modulation | None = None
    modulated: Sequence[bool] | None = None
    masks: Mapping[Size, Tensor] = field(default_factory=dict)
    roles: TokenRoles | None = None
    trajectories: Mapping[Size, Tensor] = field(default_factory=dict)
    flow_attention: FlowAttention = FLOW_ATTENTION
    pooled: frozenset[Size] = frozenset()
    owners: Mapping[Size, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> FrameInputs:
        """The same inputs with their tensors on ``device``: move them once, not in every layer."""
        return replace(
            self,
            modulation=None if self.modulation is None else self.modulation.to(device),
            masks={size: masks.to(device) for size, masks in self.masks.items()},
            roles=None if self.roles is None else self.roles.to(device),
            trajectories={size: paths.to(device) for size, paths in self.trajectories.items()},
            owners={size: owners.to(device) for size, owners in self.owners.items()},
        )

    def modulated_items(self) -> list[int]:
        """Indices of the modulated items; empty if there is no modulation."""
        if self.modulation is None or self.modulated is None:
            return []
        return [item for item, modulated in enumerate(self.modulated) if modulated]


class FrameContext:
    """The one object that all layers of an inflated network look at.

    Attributes:
        inputs: what the running forward was given.
        items: the modulated items of the running forward.
        size: (h, w) of the transformer that is running, set by the network itself.
    """

    def __init__(self) -> None:
        self.inputs = FrameInputs()
        self.items: list[int] = []
        self.size: Size = (0, 0)

    @contextmanager
    def given(self, inputs: FrameInputs) -> Iterator[None]:
        """Run the network on ``inputs`` inside the block; a stock 2D network again after it."""
        self.inputs, self.items = inputs, inputs.modulated_items()
        try:
            yield
        finally:
            self.inputs, self.items = FrameInputs(), []
