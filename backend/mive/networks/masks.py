"""Instance masks at latent and attention sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mive.method.denoiser import Size
from mive.settings import MASK_CELLS, MaskCells

_TOUCHED: Final = 0.125
"""The share of a cell that counts as touched; less is a matte's soft or ragged edge."""


def nearest_rows(source: int, target: int) -> Tensor:
    """The source index under the centre of each of ``target`` cells; int64 [target]."""
    return (2 * torch.arange(target) + 1) * source // (2 * target)


def resize_masks(masks: Tensor, size: Size, cells: MaskCells = MASK_CELLS) -> Tensor:
    """Bring the masks of all instances of a clip to another size, disjoint and not vanishing.

    Sampling is nearest, so that disjoint masks stay disjoint; or a cell goes to the instance that
    covers most of it, which leaves no rim of source inside coarse masks. An instance that is there in
    a frame but falls between the samples gets every free cell that it touches (max-pooling), or
    failing that one touched cell of an instance that has several. It is lost only if each cell
    it touches is the last cell of another instance.

    Args:
        masks: [M, N, H, W] bool, or float 0..1 cut at one half (a matte that never gets there
            is cut at its peak). M are different instances; where they overlap, the later lies
            on top.
        size: (h, w) of the result.
        cells: "nearest" looks at the centre of each cell, "touched" at an eighth of its area or more.

    Returns:
        bool [M, N, h, w] with at most one instance per cell.
    """
    return _resize(_on_top(_cut(masks)), size, cells)


def mask_pyramid(masks: Tensor, sizes: Iterable[Size], cells: MaskCells = MASK_CELLS) -> dict[Size, Tensor]:
    """`resize_masks` to each of several sizes, e.g. `mive.networks.unet.inflation.attention_sizes`."""
    hard = _on_top(_cut(masks))
    return {size: _resize(hard, size, cells) for size in sizes}


def select_masks(pyramid: Mapping[Size, Tensor], items: Sequence[int | None]) -> dict[Size, Tensor]:
    """The masks of the items of a batch from those of all instances.

    Args:
        pyramid: bool [M, N, h, w] per size.
        items: for each item of the batch its instance's index in M, None for an item without.

    Returns:
        bool [B, N, h, w] per size, empty for items without an instance.
    """
    return {
        size: torch.stack([torch.zeros_like(masks[0]) if i is None else masks[i] for i in items])
        for size, masks in pyramid.items()
    }


def _resize(hard: Tensor, size: Size, cells: MaskCells) -> Tensor:
    """`resize_masks` for masks that are bool and disjoint already."""
    small = _most_covering(hard, size) if cells == "touched" else _nearest(hard, size)
    lost = hard.flatten(2).any(-1) & ~small.flatten(2).any(-1)
    for m, n in reversed(lost.nonzero().tolist()):
        covered = F.adaptive_avg_pool2d(hard[m, n].float()[None], size)[0]
        _place(small[:, n], m, covered)
    return small


def _nearest(hard: Tensor, size: Size) -> Tensor:
    rows = nearest_rows(hard.shape[-2], size[0]).to(hard.device)
    columns = nearest_rows(hard.shape[-1], size[1]).to(hard.device)
    return hard[..., rows[:, None], columns]


def _most_covering(hard: Tensor, size: Size) -> Tensor:
    covered = F.adaptive_avg_pool2d(hard.float(), size)
    most = covered.argmax(0, keepdim=True)
    return torch.zeros_like(covered, dtype=torch.bool).scatter_(0, most, covered.amax(0, keepdim=True) >= _TOUCHED)


def _cut(masks: Tensor) -> Tensor:
    if masks.dtype == torch.bool:
        return masks
    peak = masks.amax((-2, -1), keepdim=True)
    return (masks > 0.5) | ((peak <= 0.5) & (masks > 0) & (masks == peak))


def _on_top(masks: Tensor) -> Tensor:
    """Give each contested pixel to the last instance that claims it."""
    top = torch.empty_like(masks)
    free = torch.ones_like(masks[0])
    for m in reversed(range(len(masks))):
        top[m] = masks[m] & free
        free &= ~masks[m]
    return top


def _place(cells: Tensor, m: int, covered: Tensor) -> None:
    """Give instance ``m`` cells of one frame, in place; cells [M, h, w], covered [h, w] 0..1."""
    taken = cells.any(0)
    free = (covered > 0) & ~taken
    if free.any():
        cells[m] = free
        return
    counts = cells.flatten(1).sum(1)
    spare = (cells & (counts > 1)[:, None, None]).any(0)
    best = torch.where(spare, covered, 0).flatten().argmax()
    row, column = divmod(int(best), cells.shape[-1])
    if spare[row, column] and covered[row, column] > 0:
        cells[:, row, column] = False
        cells[m, row, column] = True
