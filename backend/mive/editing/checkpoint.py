"""Where an edit stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mive.method.sampling import State


@dataclass(frozen=True)
class Checkpoint:
    """Where an edit stands, so that it can go on with at most one step of its plan repeated.

    The running window's conditions are made again, and its inversion unless the cache has it.

    Attributes:
        window: windows whose final frames are out.
        carried: [shared, C, h, w], the tail of the last finished window that the next one blends with.
        state: where the plan stands in the running window; None before its first step.
    """

    window: int = 0
    carried: Tensor | None = None
    state: State | None = None


Keep = Callable[[Checkpoint], None]
