"""Where an edit stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mive.editing.views import Layer
from mive.method.sampling import State


@dataclass(frozen=True)
class Checkpoint:
    """Where an edit stands, so that it can go on with at most one step of its plan repeated.

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


Keep = Callable[[Checkpoint], None]
