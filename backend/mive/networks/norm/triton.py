"""Pooled group norm in three Triton kernels that read x twice and write it once, however it lies in memory.

torch brings channels-last tensors into another layout first and back afterwards, and runs SiLU by itself: eleven
passes. `measure` leaves mean and spread of every channel in a tile of pixels, `combine` joins them over tiles, frames
and the channels of a group, `apply` normalises and activates.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mive.attention.launch import Launch
from mive.networks.norm.reference import NormWeights

ROWS = 64
"""Pixels of a tile."""

CHANNELS = 64
"""Channels of a program, neighbours in memory where channels come last."""

PARTS = 1024
"""Partial statistics that `combine` reads at a time."""


def pooled_norm(x: Tensor, weights: NormWeights, frames: int, silu: bool) -> Tensor:
    """What `mive.networks.norm.reference.pooled_norm` returns, with sums in float32 and one rounding.

    Raises:
        ValueError: rows of pixels do not follow each other in ``x``.
    """
    if x.stride(2) != x.shape[3] * x.stride(3):
        raise ValueError(f"pixels lie at strides {x.stride()[2:]}, expected rows that follow each other")
    y = torch.empty_like(x)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        for launch in norm_launches(x, y, weights, *scratch_of(x, weights, frames), frames=frames, silu=silu):
            launch()
    return y


def scratch_of(x: Tensor, weights: NormWeights, frames: int) -> tuple[Tensor, Tensor]:
    """Float32 memory for partial statistics [B·N, tiles, C, 2] and for those of groups [B, groups, 2]."""
    rows, channels, height, width = x.shape
    tiles = triton.cdiv(height * width, ROWS)
    partial = torch.empty(rows, tiles, channels, 2, dtype=torch.float32, device=x.device)
    return partial, torch.empty(rows // frames, weights.groups, 2, dtype=torch.float32, device=x.device)


def norm_launches(
    x: Tensor, y: Tensor, weights: NormWeights, partial: Tensor, whole: Tensor, *, frames: int, silu: bool
) -> tuple[Launch, Launch, Launch]:
    """The launches of one op, in order; tensors on the device "meta" do to know them.

    Args:
        x, weights, frames, silu: as in the reference.
        y: the result's memory, laid out as x is.
        partial, whole: of `scratch_of`.
    """
    rows, channels, height, width = x.shape
    pixels, tiles, groups = height * width, partial.shape[1], weights.groups
    grid = (tiles, triton.cdiv(channels, CHANNELS), rows)
    strides = (x.stride(0), x.stride(3), x.stride(1))
    tile = {"ROWS": ROWS, "CHANNELS": CHANNELS}
    per_group = channels // groups
    return (
        Launch(measure, grid, (x, partial, *strides, pixels, channels), tile, 4),
        Launch(
            combine, (groups, rows // frames, 1),
            (partial, whole, frames * tiles, tiles, pixels, channels, per_group, weights.eps),
            {"ROWS": ROWS, "PARTS": PARTS}, 4,
        ),
        Launch(
            apply, grid,
            (x, y, weights.weight, weights.bias, whole, *strides, *(y.stride(i) for i in (0, 3, 1)),
             pixels, channels, per_group, frames),
            {**tile, "SILU": silu}, 4,
        ),
    )  # fmt: skip


@triton.jit
def measure(
    x: tl.tensor,
    partial: tl.tensor,
    x_row: tl.tensor,
    x_pixel: tl.tensor,
    x_channel: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Mean and summed squared distance from it, of each channel in a tile, to partial [B·N, tiles, C, 2]."""
    # Offsets are 64 bits wide throughout: a long clip's tensors pass 2^31 numbers.
    row = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    there = (pixel < pixels)[:, None] & (channel < channels)[None, :]
    at = x + row * x_row + pixel[:, None] * x_pixel + channel[None, :] * x_channel
    values = tl.load(at, mask=there, other=0.0).to(tl.float32)
    count = tl.sum((pixel < pixels).to(tl.float32), 0)
    mean = tl.sum(values, 0) / count
    away = tl.where(there, values - mean[None, :], 0.0)
    place = partial + ((row * tl.num_programs(0) + tl.program_id(0)) * channels + channel) * 2
    tl.store(place, mean, mask=channel < channels)
    tl.store(place + 1, tl.sum(away * away, 0), mask=channel < channels)


@triton.jit
def places(
    partial: tl.tensor,
    part: tl.tensor,
    group: tl.tensor,
    tiles_of_frame: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    per_group: tl.tensor,
    ROWS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Where a group's partial statistics lie, and of how many pixels each is, float32."""
    tile = part // per_group
    place = partial + (tile * channels + group * per_group + part % per_group) * 2
    return place, tl.minimum(pixels - tile % tiles_of_frame * ROWS, ROWS).to(tl.float32)


@triton.jit
def combine(
    partial: tl.tensor,
    whole: tl.tensor,
    tiles_of_item: tl.tensor,
    tiles_of_frame: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    per_group: tl.tensor,
    eps: tl.tensor,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
) -> None:
    """Mean and 1/√(variance + ε) of one group of one item, to whole [B, groups, 2]."""
    group, item = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    partial += item * tiles_of_item * channels * 2
    parts = tiles_of_item * per_group
    total = tl.zeros((PARTS,), tl.float32)
    for first in range(0, parts, PARTS):
        part = first + tl.arange(0, PARTS).to(tl.int64)
        place, count = places(partial, part, group, tiles_of_frame, pixels, channels, per_group, ROWS)
        total += tl.load(place, mask=part < parts, other=0.0) * count
    # Not .to(): sizes of 1 are compiled in as plain numbers.
    numbers = tiles_of_item // tiles_of_frame * pixels * per_group * 1.0
    mean = tl.sum(total, 0) / numbers
    spread = tl.zeros((PARTS,), tl.float32)
    for first in range(0, parts, PARTS):
        part = first + tl.arange(0, PARTS).to(tl.int64)
        place, count = places(partial, part, group, tiles_of_frame, pixels, channels, per_group, ROWS)
        away = tl.load(place, mask=part < parts, other=0.0) - mean
        within = tl.load(place + 1, mask=part < parts, other=0.0)
        spread += tl.where(part < parts, within + away * away * count, 0.0)
    place = whole + (item * tl.num_programs(0) + group) * 2
    tl.store(place, mean)
    tl.store(place + 1, 1.0 / tl.sqrt(tl.sum(spread, 0) / numbers + eps))


@triton.jit
def apply(
    x: tl.tensor,
    y: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    whole: tl.tensor,
    x_row: tl.tensor,
    x_pixel: tl.tensor,
    x_channel: tl.tensor,
    y_row: tl.tensor,
    y_pixel: tl.tensor,
    y_channel: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    per_group: tl.tensor,
    frames: tl.tensor,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    SILU: tl.constexpr,
) -> None:
    """Normalise a tile by its group's statistics, weigh it, activate it."""
    row = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    there = (pixel < pixels)[:, None] & known[None, :]
    group = row // frames * (channels // per_group) + channel // per_group
    mean = tl.load(whole + group * 2, mask=known, other=0.0)
    scale = tl.load(whole + group * 2 + 1, mask=known, other=0.0)
    scale *= tl.load(weight + channel, mask=known, other=0.0).to(tl.float32)
    shift = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
    at = x + row * x_row + pixel[:, None] * x_pixel + channel[None, :] * x_channel
    values = tl.load(at, mask=there, other=0.0).to(tl.float32)
    values = (values - mean[None, :]) * scale[None, :] + shift[None, :]
    if SILU:
        values = values / (1.0 + tl.exp(-values))
    to = y + row * y_row + pixel[:, None] * y_pixel + channel[None, :] * y_channel
    tl.store(to, values.to(y.dtype.element_ty), mask=there)
