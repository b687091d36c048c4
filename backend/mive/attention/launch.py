"""A Triton kernel with all that it is launched with: what torch runs at once, and other runtimes from machine code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Launch:
    """A kernel and its arguments.

    Attributes:
        kernel: what `triton.jit` made.
        grid: programs along each axis.
        arguments: of the kernel, in its order.
        constants: by name, those that are compiled in.
        warps: of a program.
    """

    kernel: Any
    grid: tuple[int, int, int]
    arguments: tuple[Tensor | int | float, ...]
    constants: Mapping[str, int]
    warps: int

    def __call__(self) -> None:
        """Enqueue it on the current stream of the current device."""
        self.kernel[self.grid](*self.arguments, **self.constants, num_warps=self.warps)
