"""The role that each token position plays in cross-attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenRoles:
    """Which token positions are start, text, end and padding (MIVE section 3.3).

    Position 0 is the start S, 1..N_T are the text T, N_T + 1 is the end E and the rest is
    padding P. Roles go by position because Stable Diffusion 1.5 pads with the end token's id.

    Args:
        n_text: N_T of each item, int64 [B].
    """

    n_text: Tensor

    def start(self, length: int) -> Tensor:
        """S as bool [B, length]."""
        return self._positions(length).expand(len(self.n_text), -1) == 0

    def text(self, length: int) -> Tensor:
        """T as bool [B, length]."""
        positions = self._positions(length)
        return (positions >= 1) & (positions <= self.n_text[:, None])

    def end(self, length: int) -> Tensor:
        """E as bool [B, length]."""
        return self._positions(length) == self.n_text[:, None] + 1

    def padding(self, length: int) -> Tensor:
        """P as bool [B, length]."""
        return self._positions(length) > self.n_text[:, None] + 1

    def rows(self, index: Tensor | slice) -> TokenRoles:
        """The roles of the items in ``index`` (int64, in that order, items may repeat), or of a slice of them."""
        return TokenRoles(self.n_text[index.to(self.n_text.device) if isinstance(index, Tensor) else index])

    def to(self, device: torch.device) -> TokenRoles:
        """The same roles on ``device``."""
        return TokenRoles(self.n_text.to(device))

    def _positions(self, length: int) -> Tensor:
        return torch.arange(length, device=self.n_text.device)[None]
