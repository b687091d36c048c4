"""Colours, patterns and grounds of the toy world: everything that is painted rather than modelled."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

COLOURS: Final[dict[str, tuple[float, float, float]]] = {
    "red": (0.86, 0.10, 0.10),
    "orange": (0.97, 0.48, 0.06),
    "yellow": (0.95, 0.86, 0.12),
    "green": (0.12, 0.62, 0.18),
    "cyan": (0.15, 0.80, 0.85),
    "blue": (0.12, 0.22, 0.85),
    "purple": (0.48, 0.14, 0.68),
    "pink": (0.97, 0.50, 0.72),
    "white": (0.95, 0.95, 0.95),
    "black": (0.07, 0.07, 0.08),
}
"""sRGB code values 0..1 of each colour word."""

PATTERNS: Final = ("plain", "striped", "checkered", "dotted")

GROUNDS: Final = ("grass", "sand", "wood", "tiles", "stone", "cloth", "paper")


def painted(pattern: str, main: Array, second: Array, point: Array, scale: float) -> Array:
    """Colour [3, H, W] of a surface: the pattern in the solid's own coordinates.

    Args:
        pattern: one of `PATTERNS`.
        main, second: [3] colours 0..1; the main colour covers at least half.
        point: [3, H, W] positions in the solid's frame.
        scale: periods per local unit.
    """
    x, y, z = point
    if pattern == "striped":
        chosen = np.mod(y * scale, 1) < 0.42
    elif pattern == "checkered":
        chosen = (
            np.mod(
                np.floor(x * scale + 9.01) + np.floor(y * scale + 9.01) + np.floor(z * scale + 9.01),
                2,
            )
            > 0.5
        )
    elif pattern == "dotted":
        cell = np.mod(point * scale, 1) - 0.5
        chosen = (cell**2).sum(0) < 0.125
    else:
        chosen = np.zeros_like(x, bool)
    colour = np.where(chosen, second[:, None, None], main[:, None, None])
    return np.asarray(colour, np.float32)


def noise(rng: np.random.Generator, size: tuple[int, int], roughness: float, stretch: float = 1.0) -> Array:
    """Fractal noise [H, W] with mean 0 and deviation 1: octaves of random grids, weighted by ``roughness``."""
    height, width = size
    total = np.zeros(size, np.float32)
    weight = 1.0
    for cells in (3, 6, 12, 24, 48, 96):
        grid = rng.standard_normal((cells, max(2, round(cells * stretch)))).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= roughness
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


_TINTS: Final[dict[str, tuple[tuple[float, float, float], ...]]] = {
    "grass": ((0.28, 0.42, 0.16), (0.38, 0.48, 0.22), (0.22, 0.36, 0.20)),
    "sand": ((0.78, 0.68, 0.48), (0.72, 0.62, 0.46), (0.84, 0.77, 0.62)),
    "wood": ((0.52, 0.34, 0.20), (0.64, 0.46, 0.28), (0.40, 0.26, 0.17)),
    "tiles": ((0.62, 0.62, 0.60), (0.50, 0.56, 0.62), (0.66, 0.58, 0.52)),
    "stone": ((0.46, 0.46, 0.47), (0.56, 0.54, 0.50), (0.38, 0.40, 0.44)),
    "cloth": ((0.44, 0.40, 0.46), (0.40, 0.46, 0.46), (0.56, 0.50, 0.46)),
    "paper": ((0.82, 0.82, 0.80), (0.76, 0.78, 0.82), (0.84, 0.80, 0.74)),
}


def ground_texture(kind: str, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """A ground seen from straight above, [H, W, 3] in 0..1, muted so that objects stand out from it."""
    height, width = size
    tints = np.array(_TINTS[kind], np.float32)
    tint = tints[rng.integers(len(tints))] * np.float32(rng.uniform(0.75, 1.15))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    grain = rng.standard_normal(size).astype(np.float32)
    relief = noise(rng, size, rng.uniform(0.5, 0.85))
    if kind == "grass":
        value = 0.10 * noise(rng, size, 0.95) + 0.06 * grain
    elif kind == "wood":
        warp = columns / rng.uniform(9, 20) + 0.8 * noise(rng, size, 0.5, 0.3)
        value = 0.09 * np.sin(2 * warp) + 0.02 * grain
    elif kind == "tiles":
        edge = rng.uniform(22, 44)
        gap = (np.mod(rows, edge) < 1.6) | (np.mod(columns, edge) < 1.6)
        value = np.where(gap, -0.2, 0.04 * relief) + 0.01 * grain
    elif kind == "cloth":
        thread = rng.uniform(1.2, 2.2)
        value = 0.04 * np.sin(rows * thread) * np.sin(columns * thread) + 0.05 * relief
    else:
        value = {"sand": 0.05, "stone": 0.12, "paper": 0.015}[kind] * relief + 0.02 * grain
    hue = 0.03 * np.stack([noise(rng, size, 0.5) for _ in range(3)], -1)
    return np.asarray(np.clip(tint * (1 + 1.6 * np.asarray(value)[..., None]) + hue, 0, 1), np.float32)
