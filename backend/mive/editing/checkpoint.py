"""Where an edit stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mive.editing.views import Layer
from mive.method.sampling import State


@dataclass(frozen=True)
class Checkpoint:
    """Where an edit stands, so that it can go on with at most a step or two of its plan repeated.

    The running view's conditions are made again, and its inversion unless the cache has it.

    Attributes:
        window: windows whose final frames are out.
        carried: what the finished windows made of the frames that the next one shares.
        edited: for each view of the running window that is finished its z_0 [N, C, h, w], in the order of views.
        state: where the plan stands in the view after those; None before its first step.
    """

    window: int = 0
    carried: tuple[Layer, ...] = ()
    edited: tuple[Tensor, ...] = ()
    state: State | None = None

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Checkpoint:
        """The same with every tensor changed."""
        return Checkpoint(
            self.window,
            tuple(replace(layer, z=change(layer.z)) for layer in self.carried),
            tuple(change(z_0) for z_0 in self.edited),
            None if self.state is None else self.state.mapped(change),
        )

    def tensors(self) -> list[Tensor]:
        """Every tensor in it."""
        found: list[Tensor] = []

        def seen(z: Tensor) -> Tensor:
            found.append(z)
            return z

        self.mapped(seen)
        return found


Keep = Callable[[Checkpoint], None]

Copy = tuple[Checkpoint, Callable[[], object]]
"""A checkpoint that is being copied to main memory, and what waits until it is there."""


def copied(checkpoint: Checkpoint) -> Copy | None:
    """Have a GPU copy what it holds of a checkpoint, after what it computes now; None where there is nothing."""
    device = next((z.device for z in checkpoint.tensors() if z.is_cuda), None)
    if device is None:
        return None

    def begin(z: Tensor) -> Tensor:
        return torch.empty_like(z, device="cpu", pin_memory=True).copy_(z, non_blocking=True) if z.is_cuda else z

    copy, arrived = checkpoint.mapped(begin), torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(device))
    return copy, arrived.synchronize


class Trailing:
    """Hands checkpoints on when the next one comes, so that no step waits for the copy of the one before.

    A killed edit may so repeat two steps instead of one. What no GPU holds is handed on at once.

    Args:
        keep: given each.
        copied: begins their copies.
    """

    def __init__(self, keep: Keep, copied: Callable[[Checkpoint], Copy | None] = copied) -> None:
        self._keep, self._copied = keep, copied
        self._waiting: Copy | None = None

    def __call__(self, checkpoint: Checkpoint) -> None:
        before, self._waiting = self._waiting, self._copied(checkpoint)
        if before is not None:
            copy, arrive = before
            arrive()
            self._keep(copy)
        if self._waiting is None:
            self._keep(checkpoint)
