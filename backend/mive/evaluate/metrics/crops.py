"""Cutting one instance out of a frame, as the local scores see it (paper, Supp. C.3)."""

from __future__ import annotations

import numpy as np

from mive.media.info import Coverage, Pixels

HALF = 0.5
"""A pixel belongs to an instance when its matte covers at least half of it."""

FILL = 128
"""Code value of the padding: mid-grey, close to nothing after CLIP's normalisation."""


def area(coverage: Coverage) -> int:
    """Pixels that belong to the instance, from its coverage ``[H, W]``, 0..1; 0 = it is absent."""
    return int(np.count_nonzero(coverage >= HALF))


def square_crop(frame: Pixels, coverage: Coverage) -> Pixels | None:
    """The instance's bounding box, padded to a square so that resizing keeps its proportions.

    The box holds what the frame shows there, ground and neighbours included. Its shorter side is
    padded with mid-grey, equally on both sides (an odd pixel goes right or below); no pixels from
    outside the box come in, so a box at the frame's edge is treated like any other.

    Args:
        frame: ``[H, W, 3]`` uint8.
        coverage: ``[H, W]`` float32, 0..1.

    Returns:
        ``[S, S, 3]`` uint8, S the box's longer side, or None where the instance is absent.
    """
    inside = coverage >= HALF
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return None
    box = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), FILL, dtype=np.uint8)
    square[top : top + height, left : left + width] = box
    return square
