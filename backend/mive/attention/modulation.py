"""What steers attention in one sampling step: IPR, an ablation of it, or any other class with these methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mive.attention.roles import TokenRoles


class IprAttention(Protocol):
    """`mive.attention.ipr.ipr_attention`, or a kernel that does the same."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, strength: Any, /
    ) -> Tensor: ...


class FlowAttention(Protocol):
    """`mive.attention.flow.flow_attention`, or a kernel that does the same."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, trajectories: Tensor, /) -> Tensor: ...


class Kernels(NamedTuple):
    """The ops that have a kernel, with their references' arguments."""

    ipr_attention: IprAttention
    flow_attention: FlowAttention


CrossAttention = Callable[[Tensor, Tensor, Tensor, Tensor, TokenRoles], Tensor]
"""q, k, v, mask and roles to h."""


class Modulation(Protocol):
    """What is done to the attention of the modulated items of a batch.

    Attributes:
        name: for messages.
        steers_self: self-attention is steered too; else it is not called for.
    """

    name: ClassVar[str]
    steers_self: ClassVar[bool] = False

    @abstractmethod
    def cross_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, /) -> Tensor:
        """In place of cross-attention of an item's frames.

        Args:
            q: [N, heads, hw, d].
            k, v: [1, heads, L, d] of the caption.
            mask: pixels of the instance, bool [N, hw].
            roles: token roles of the caption.

        Returns:
            h like q.
        """

    def self_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, /) -> Tensor:
        """In place of self-attention of items over their frames, [B, heads, N·n, d]; ``mask`` is bool [B, N, n]."""
        return F.scaled_dot_product_attention(q, k, v)

    def fused(self, kernels: Kernels) -> CrossAttention | None:
        """Cross-attention of all items in one launch; None where no kernel has it.

        It takes q [B·N, heads, hw, d] and B captions, each for its item's N frames; empty masks leave rows alone.
        """
        return None

    def rows(self, index: Tensor | slice) -> Modulation:
        """That of the items in ``index`` (int64, in that order, items may repeat), or of a slice of them."""
        return self

    def to(self, device: torch.device) -> Modulation:
        """The same with its tensors on ``device``."""
        return self
