"""The size at which the model sees frames."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Size = tuple[int, int]
"""Height and width in pixels."""


Filter = Literal["none", "area", "cubic"]

_FLAGS: Final = {"area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}


def resize_filter(size: Size, target: Size) -> Filter:
    """What brings a picture of one (height, width) to another."""
    if size == target:
        return "none"
    return "area" if size[0] * size[1] > target[0] * target[1] else "cubic"


def model_frame(frame: Pixels, size: Size) -> Pixels:
    """A frame [H, W, 3] in 0..1 at the model's (height, width), by `resize_filter`."""
    chosen = resize_filter((frame.shape[0], frame.shape[1]), size)
    if chosen == "none":
        return frame
    resized = cv2.resize(frame, (size[1], size[0]), interpolation=_FLAGS[chosen])
    return np.asarray(np.clip(resized, 0, 1), np.float32)


def model_size(width: int, height: int, short_side: int, multiple: int) -> Size:
    """(height, width) for the model: the clip's shape, the wanted short side, both multiples of ``multiple``."""
    scale = short_side / min(width, height)
    rows, columns = (max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
    return rows, columns
