"""When a kernel agrees with its reference, and over which dtypes and head sizes it has to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Run = Callable[..., Tensor]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HEADS = (32, 40, 64, 80, 160)
"""The tiny bundle's head size, Stable Diffusion 1.5's (40, 80, 160) and 2.1's (64)."""

# bfloat16 keeps 8 bits, so that a result is known to 2⁻⁸; the interpreter rounds it towards zero.
_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2**-6}


def agree(h: Tensor, expected: Tensor) -> None:
    """Assert that ``h`` is finite and differs from ``expected`` by little of its largest number."""
    assert h.dtype == expected.dtype
    assert h.shape == expected.shape
    assert torch.isfinite(h).all()
    difference = (h.float() - expected.float()).abs().max() / expected.float().abs().max()
    assert difference <= _TOLERANCE[h.dtype], f"off by {difference:.1e}"
