"""Optical flow to trajectories of attention cells (FLATTEN)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mive.method.denoiser import Size
from mive.networks.masks import nearest_rows


def trajectories(flow: Tensor, size: Size) -> Tensor:
    """Follow every cell of an h x w grid through N frames by optical flow.

    The flow is sampled nearest at the cells, scaled to cells and rounded. A cell whose target
    lies inside the frame goes on there; where two meet, the one whose unrounded target is
    closest to the cell's centre goes on (the first in row order if both are) and the other
    ends before. A cell that nothing arrives at starts a new trajectory. Flow that is not finite
    ends a trajectory.

    Args:
        flow: forward flow from each frame to the next in pixels (dx, dy), float [N-1, 2, H, W].
        size: (h, w), the attention size; its aspect ratio may differ from the frame's.

    Returns:
        int64 [N·h·w, N] on flow's device: for each token its trajectory's token in every frame,
        -1 where the trajectory is not there. Column f of a token of frame f is the token itself.
    """
    cells = size[0] * size[1]
    frames = len(flow) + 1
    steps, residuals = _steps(flow, size)
    names = np.empty((frames, cells), dtype=np.int64)
    names[0] = np.arange(cells)
    count = cells
    for t in range(frames - 1):
        sources, targets = _arrivals(steps[t], residuals[t], size)
        names[t + 1] = -1
        names[t + 1, targets] = names[t, sources]
        fresh = names[t + 1] < 0
        names[t + 1, fresh] = count + np.arange(fresh.sum())
        count += int(fresh.sum())
    table = np.full((count, frames), -1, dtype=np.int64)
    table[names, np.arange(frames)[:, None]] = np.arange(frames * cells).reshape(frames, cells)
    return torch.from_numpy(table[names.reshape(-1)]).to(flow.device)


def _steps(flow: Tensor, size: Size) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Whole steps (dx, dy) in cells [N-1, 2, h, w], and how far off rounding is [N-1, h, w]."""
    height, width = flow.shape[-2:]
    rows, columns = nearest_rows(height, size[0]), nearest_rows(width, size[1])
    sampled = flow.detach().cpu()[..., rows[:, None], columns].double().numpy()
    scaled = sampled * np.array([size[1] / width, size[0] / height])[:, None, None]
    rounded = np.rint(scaled)
    with np.errstate(invalid="ignore"):
        residuals = np.square(scaled - rounded).sum(1)
    return rounded, residuals


def _arrivals(
    step: npt.NDArray[np.float64], residual: npt.NDArray[np.float64], size: Size
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cells that go on and where they arrive, each target once; step [2, h, w]."""
    row, column = np.indices(size)
    to_column, to_row = column + step[0], row + step[1]
    inside = (to_row >= 0) & (to_row < size[0]) & (to_column >= 0) & (to_column < size[1])
    sources = np.flatnonzero(inside)
    targets = (to_row[inside] * size[1] + to_column[inside]).astype(np.int64)
    order = np.lexsort((sources, residual[inside], targets))
    _, first = np.unique(targets[order], return_index=True)
    winners = order[first]
    return sources[winners], targets[winners]
