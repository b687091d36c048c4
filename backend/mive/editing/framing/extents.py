"""Where the mattes of a shot are: a few numbers for each instance and frame, whatever the size of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from mive.media import Coverage, Mattes
from mive.request import FrameRange

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Extents:
    """What a framing needs to know of mattes.

    Attributes:
        width, height: of a frame, in pixels.
        first: index in the clip of the first of N frames.
        ids: of M instances, ascending.
        boxes: [N, M, 4], left, top, right and bottom of every pixel that a matte covers at all; right and bottom are
            one pixel further. All 0 where nothing is covered.
        pixels: [N, M], how many pixels these are.
        touching: for each frame the pairs of ids, the lower one first, whose mattes have pixels in common or side by
            side or corner to corner.
    """

    width: int
    height: int
    first: int
    ids: tuple[int, ...]
    boxes: Ints
    pixels: Ints
    touching: tuple[frozenset[tuple[int, int]], ...]

    @property
    def frames(self) -> FrameRange:
        """The frames, by their index in the clip."""
        return FrameRange(self.first, self.first + len(self.boxes) - 1)


def measure(mattes: Mattes, told: Callable[[int, int], None] = lambda done, total: None) -> Extents:
    """Read mattes once, from the first frame to the last, and keep no picture of them.

    Args:
        told: how many of all frames are done.

    Raises:
        MatteError: as `Mattes.read`.
    """

    def read() -> Iterator[Coverage]:
        for done, coverage in enumerate(mattes, 1):
            yield coverage
            told(done, len(mattes))

    return extents_of(read(), mattes.ids, mattes.frames.first)


def extents_of(coverages: Iterable[Coverage], ids: Iterable[int], first: int = 0) -> Extents:
    """The same from coverage itself.

    Args:
        coverages: [M, H, W] for each frame, at least one; anything above 0 is covered.
        ids: of the M instances, in any order.
        first: index of the first frame in the clip.
    """
    by_id = sorted((identity, place) for place, identity in enumerate(ids))
    ascending = tuple(identity for identity, _ in by_id)
    boxes, pixels, touching = [], [], []
    height = width = 0
    for coverage in coverages:
        height, width = coverage.shape[1:]
        here = np.array([_box(coverage[place] > 0) for _, place in by_id], np.int64).reshape(-1, 5)
        boxes.append(here[:, :4])
        pixels.append(here[:, 4])
        layers = [coverage[place] for _, place in by_id]
        near = (pair for pair in combinations(range(len(by_id)), 2) if _touch(layers, here, *pair))
        touching.append(frozenset((ascending[a], ascending[b]) for a, b in near))
    return Extents(width, height, first, ascending, np.stack(boxes), np.stack(pixels), tuple(touching))


def _box(covered: Bools) -> tuple[int, int, int, int, int]:
    """Left, top, right, bottom and count of the covered pixels [H, W]."""
    rows = np.flatnonzero(covered.any(axis=1))
    if not rows.size:
        return 0, 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(covered[top:bottom].any(axis=0))
    return int(columns[0]), top, int(columns[-1]) + 1, bottom, int(np.count_nonzero(covered[top:bottom]))


def _touch(layers: list[Coverage], here: Ints, a: int, b: int) -> bool:
    """Whether two mattes have a pixel in common or neighbouring ones; ``here`` [M, 5] as `_box` gives it."""
    if not here[a, 4] or not here[b, 4]:
        return False
    # Each of two neighbours lies within a pixel of the other's box.
    left, top = np.maximum(np.maximum(here[a, :2], here[b, :2]) - 1, 0)
    right, bottom = np.minimum(here[a, 2:4], here[b, 2:4]) + 1
    if left >= right or top >= bottom:
        return False
    one, other = ((layers[m][top:bottom, left:right] > 0).astype(np.uint8) for m in (a, b))
    grown = cv2.dilate(one, np.ones((3, 3), np.uint8))
    return bool(np.logical_and(grown, other).any())
