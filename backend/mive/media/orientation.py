"""Turning stored frames upright: rotation tags of videos, EXIF orientation of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mive.media.info import Pixels


@dataclass(frozen=True)
class Orientation:
    """How a stored frame is shown: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, frame: Pixels) -> Pixels:
        """The frame ``[H, W, ...]`` as it is shown."""
        if self.transpose:
            frame = frame.swapaxes(0, 1)
        if self.mirror_x:
            frame = frame[:, ::-1]
        if self.mirror_y:
            frame = frame[::-1]
        return np.ascontiguousarray(frame)


_EXIF = (
    Orientation(),
    Orientation(mirror_x=True),
    Orientation(mirror_x=True, mirror_y=True),
    Orientation(mirror_y=True),
    Orientation(transpose=True),
    Orientation(transpose=True, mirror_x=True),
    Orientation(transpose=True, mirror_x=True, mirror_y=True),
    Orientation(transpose=True, mirror_y=True),
)


def from_exif(tag: int) -> Orientation:
    """EXIF orientation 1..8; anything else is upright."""
    return _EXIF[tag - 1] if 1 <= tag <= 8 else Orientation()


def from_display_matrix(data: bytes) -> Orientation:
    """The nearest quarter turn of a display matrix (ISO 14496-12 ``tkhd``, nine int32).

    The matrix maps stored to shown positions: ``x' = a x + c y``, ``y' = b x + d y``.
    """
    a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)
