"""The weights that a part trains: full-precision masters, and the module's own in what its device computes in."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Weights:
    """Masters in float32 of a module that computes in ``dtype``; where that is float32, the module's own.

    Autocast would run every norm, and what follows it, in float32: twice the traffic of what is bound by traffic.

    Attributes:
        names: of the module's trained parameters.
        masters: [...] float32, one for each name; the optimiser updates these.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self._live = [parameter for _, parameter in named]
        self.masters: list[nn.Parameter] = self._live
        if dtype != torch.float32:
            self.masters = [nn.Parameter(parameter.detach().float().clone()) for parameter in self._live]
            module.to(dtype)
        for parameter in {*self._live, *self.masters}:
            parameter.grad = torch.zeros_like(parameter)

    def forget_gradients(self) -> None:
        torch._foreach_zero_(_gradients(self._live))

    def take_gradients(self) -> None:
        """After a backward pass: the masters get the module's gradients."""
        if self.masters is not self._live:
            torch._foreach_copy_(_gradients(self.masters), _gradients(self._live))

    @torch.no_grad()
    def give(self) -> None:
        """After an update: the module gets the masters' values."""
        if self.masters is not self._live:
            torch._foreach_copy_(list[Tensor](self._live), list[Tensor](self.masters))

    def state(self) -> dict[str, Tensor]:
        return {name: master.detach() for name, master in zip(self.names, self.masters, strict=True)}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        torch._foreach_copy_(list[Tensor](self.masters), [state[name] for name in self.names])
        self.give()


class Average:
    """An exponential moving average of masters, in float32."""

    def __init__(self, weights: Weights, decay: float) -> None:
        self._decay, self._names = decay, weights.names
        self._live = [master.detach() for master in weights.masters]
        self._mean = [master.clone() for master in self._live]

    def update(self, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mean, self._live, 1 - decay)

    def state(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._mean, strict=True))

    def load(self, state: dict[str, Tensor]) -> None:
        torch._foreach_copy_(self._mean, [state[name] for name in self._names])


def _gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]
