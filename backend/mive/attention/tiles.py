"""How the attention kernels cut their work into tiles, and what they ask of rows and strides.

A tile lives in registers; shared memory only passes operands from one layout to another, so that every tile
fits every chip from compute capability 8.0 on. tests/attention/test_kernels_compile.py holds them to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

MAX_KEYS: Final = 128
"""Keys of cross-attention that one tile holds; Stable Diffusion has 77."""

_SMALLEST_DOT: Final = 16
_FLOW_NUMBERS: Final = 2048
_ALIGNED: Final = 16


@dataclass(frozen=True)
class IprTile:
    """Queries of one program, all keys, the piece of the head size that one product takes, and warps."""

    rows: int
    keys: int
    piece: int
    warps: int


@dataclass(frozen=True)
class FlowTile:
    """Tokens of one program, the head size padded to a power of two, and warps."""

    rows: int
    dims: int
    warps: int


def ipr_tile(dim: int, length: int, dtype: torch.dtype) -> IprTile:
    """The tile for head size ``dim`` and ``length`` keys: the widest piece among those that pad least.

    float32 is multiplied without tensor cores, whose operands take registers: a small tile, many threads.
    """
    keys = max(_SMALLEST_DOT, _power_of_two(length))
    if dtype == torch.float32:
        return IprTile(_SMALLEST_DOT, keys, _SMALLEST_DOT, warps=8)
    piece = min((64, 32, 16), key=lambda size: math.ceil(dim / size) * size)
    return IprTile(64, keys, piece, warps=4)


def flow_tile(dim: int) -> FlowTile:
    """The tile for head size ``dim``."""
    dims = _power_of_two(dim)
    return FlowTile(max(1, min(64, _FLOW_NUMBERS // dims)), dims, warps=4)


def alignment(*tensors: Tensor) -> int:
    """The power of two up to 16 that divides every stride but the last: how wide loads may be.

    Triton by itself sees multiples of 16 only, and would read heads of 40 number by number.
    """
    return math.gcd(_ALIGNED, *(stride for x in tensors for stride in x.stride()[:-1]))


def adjacent_rows(batch: int, x: Tensor) -> int:
    """How many adjacent rows of a batch each row of ``x`` stands for.

    Raises:
        ValueError: the rows of ``x`` do not divide ``batch``.
    """
    if batch % len(x):
        raise ValueError(f"{len(x)} rows do not divide a batch of {batch}")
    return batch // len(x)


def _power_of_two(n: int) -> int:
    """The smallest power of two that is n or more."""
    return 1 << (n - 1).bit_length()
