"""The box of each instance over a window of frames, and where boxes of one size go."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from mive.editing.framing.extents import Ints
from mive.media.sizes import Size

_SMOOTH: Final = np.array([1, 2, 3, 4, 3, 2, 1], np.float64) / 16
"""How far a frame's neighbours have a say in where its box is."""


def instance_boxes(mattes: Ints, frame: Size, context: float) -> Ints:
    """The box of one instance in each frame of a window: its matte and what is around it.

    All have the size of the largest matte times ``context``, as far as the frame goes, and hold the matte of their
    frame with half of the context that the largest has around it. They stand still where that can be; else their centre
    is the matte's, smoothed over time, and where the instance is absent on the straight line between where it was and
    will be.

    Args:
        mattes: [N, 4] left, top, right, bottom; right 0 where the instance is absent, which is not in all frames.
        frame: (height, width) of the clip.

    Returns:
        [N, 4] inside the frame.
    """
    there = np.flatnonzero(mattes[:, 2] > 0)
    low, high = mattes[:, :2], mattes[:, 2:]
    largest = (high - low)[there].max(axis=0)
    limit = np.array(frame[::-1], np.int64)
    # Rounding first keeps 10 × 2.2 at 22.
    size = np.minimum(np.ceil(np.round(largest * context, 6)).astype(np.int64), limit)
    room = (size - largest) // 4
    low, high = np.maximum(low - room, 0), np.minimum(high + room, limit)
    union_low, union_high = low[there].min(axis=0), high[there].max(axis=0)
    if (union_high - union_low <= size).all():
        shape = low.shape
        centres = np.broadcast_to((union_low + union_high) / 2, shape)
        return place(centres, size, limit, np.broadcast_to(union_low, shape), np.broadcast_to(union_high, shape))
    seen = (mattes[:, :2] + mattes[:, 2:])[there] / 2
    frames = np.arange(len(mattes))
    centres = np.stack([_smooth(np.interp(frames, there, seen[:, axis])) for axis in (0, 1)], axis=1)
    # An absent instance asks for nothing: any box of the size holds its own middle.
    absent = (mattes[:, 2] == 0)[:, None]
    middle = np.clip(np.floor(centres).astype(np.int64), 0, limit)
    return place(centres, size, limit, np.where(absent, middle, low), np.where(absent, middle, high))


def place(centres: npt.NDArray[np.float64], size: Ints, limit: Ints, low: Ints, high: Ints) -> Ints:
    """Boxes of one size as near to ``centres`` as they can be: around what they must hold, inside the frame.

    Args:
        centres: [N, 2] x, y.
        size, limit: [2] width and height of the boxes and of the frame.
        low, high: [N, 2] corners of what each box must hold, inside the frame and no larger than ``size``.

    Returns:
        [N, 4] left, top, right, bottom.
    """
    corner = np.floor(centres - size / 2 + 0.5).astype(np.int64)
    corner = np.clip(np.clip(corner, high - size, low), 0, limit - size)
    return np.concatenate([corner, corner + size], axis=1)


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Motion goes on beyond both ends, so that a steady one is not changed.
    padded = np.pad(values, len(_SMOOTH) // 2, mode="reflect", reflect_type="odd")
    return np.convolve(padded, _SMOOTH, mode="valid")
