"""The size at which the model sees frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width in pixels."""


def model_frame(frame: Pixels, size: Size) -> Pixels:
    """A frame [H, W, 3] in 0..1 at the model's (height, width)."""
    if frame.shape[:2] == size:
        return frame
    smaller = frame.shape[0] * frame.shape[1] > size[0] * size[1]
    flags = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (size[1], size[0]), interpolation=flags)
    return np.asarray(np.clip(resized, 0, 1), np.float32)


def model_size(width: int, height: int, short_side: int, multiple: int) -> Size:
    """(height, width) for the model: the clip's shape, the wanted short side, both multiples of ``multiple``."""
    scale = short_side / min(width, height)
    rows, columns = (max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
    return rows, columns
