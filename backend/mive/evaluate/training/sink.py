"""The start token as a sink of cross-attention: begun as one, and kept one.

IPR moves probability from the start token to a caption's words, so a model in which it holds little gives IPR nothing
to move. In Stable Diffusion it holds most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SAMPLES = 64
"""Items of a batch that are measured; the others only cost time."""


def _cross_attentions(network: nn.Module) -> list[tuple[Any, Any]]:
    """Each transformer block's cross-attention and the norm before it."""
    blocks: list[Any] = [m for m in network.modules() if type(m).__name__ == "BasicTransformerBlock"]
    return [(block.attn2, block.norm2) for block in blocks]


@torch.no_grad()
def make_start_token_a_sink(network: nn.Module, states: Tensor, mass: float) -> None:
    """Begin cross-attention where Stable Diffusion ends up: the start token holds ``mass`` of every row.

    The start token's state is the same in every caption. A constant part is given to each query (through the bias of
    the norm before it) and a matching part to the start token's key; training then keeps what it can use.

    Args:
        network: a U-Net or ControlNet of diffusers.
        states: [B, 77, d] text states of some captions.
        mass: wanted mean probability of the start token.
    """
    device = states.device
    start, others = states[0, 0], states[:, 1:].flatten(0, 1)
    axis = start - others.mean(0)
    axis = axis / axis.norm()
    gap = (start @ axis) - (others @ axis).mean()
    wanted = float(np.log(mass / (1 - mass) * (states.shape[1] - 1)))
    generator = torch.Generator().manual_seed(5)
    strength = 4.0
    for attention, norm in _cross_attentions(network):
        heads, width = attention.heads, attention.to_q.weight.shape[0]
        size = width // heads
        constant = torch.randn(width, generator=generator).to(device)
        constant = constant / constant.norm()
        towards = torch.randn(heads, size, generator=generator).to(device)
        towards = (towards / towards.norm(dim=1, keepdim=True)).flatten()
        norm.bias += strength * constant
        attention.to_q.weight += torch.outer(towards, constant)
        attention.to_k.weight += torch.outer(towards, axis) * (wanted * size**0.5 / (strength * gap))


class Sink:
    """Watches how much the start token holds while a network trains, and asks for more where it falls short."""

    def __init__(self, network: nn.Module, mass: float) -> None:
        self._mass, self._means = mass, list[Tensor]()
        self._hooks = [a.register_forward_pre_hook(self._look, with_kwargs=True) for a, _ in _cross_attentions(network)]

    def _look(self, attention: Any, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> None:
        hidden, states = inputs[0][:SAMPLES], named["encoder_hidden_states"][:SAMPLES]
        q, k = (x.unflatten(-1, (attention.heads, -1)) for x in (attention.to_q(hidden), attention.to_k(states)))
        logits = torch.einsum("bqhd,bkhd->bhqk", q, k).float() * attention.scale
        self._means.append(logits.softmax(-1)[..., 0].mean((0, 2)))

    def read(self) -> tuple[Tensor, Tensor]:
        """Since the last time: the penalty (mean squared shortfall over heads) and the mean mass, both scalars."""
        means = torch.cat(self._means)
        self._means.clear()
        return (self._mass - means).clamp(min=0).square().mean(), means.mean()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
