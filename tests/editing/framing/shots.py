"""Mattes of rectangles, drawn at random or by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from mive.editing.framing import Box, Extents, FramingRule
from mive.editing.framing.extents import extents_of
from mive.media import Coverage

Boxes = Mapping[int, Sequence[Box | None]]
"""Where each instance is in each frame; None where it is absent."""


def rule(**changes: object) -> FramingRule:
    """Small pictures of squares of 32 in windows of four frames."""
    return FramingRule(**{"model_size": 192, "multiple": 32, "cell": 8, "window": 4, "overlap": 1, **changes})


def coverages(boxes: Boxes, width: int, height: int) -> Iterator[Coverage]:
    """[M, H, W] for each frame; a later instance lies on top."""
    for index in range(len(next(iter(boxes.values())))):
        ids = np.zeros((height, width), np.int64)
        for identity, track in boxes.items():
            box = track[index]
            if box is not None:
                ids[box.slices] = identity
        yield np.stack([(ids == identity).astype(np.float32) for identity in boxes])


def extents(boxes: Boxes, width: int, height: int, first: int = 0) -> Extents:
    """What `measure` would say of them."""
    return extents_of(coverages(boxes, width, height), boxes, first)


@st.composite
def shots(draw: st.DrawFn) -> tuple[Boxes, int, int]:
    """Boxes, width and height: up to six instances that jump about, of any size from 1 × 1 to the frame's."""
    width, height = draw(st.integers(8, 200)), draw(st.integers(8, 200))
    count, frames = draw(st.integers(1, 6)), draw(st.integers(1, 9))

    def box() -> Box:
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        most = draw(st.sampled_from([1, 20, 200]))
        return Box(
            left, top,
            draw(st.integers(left + 1, min(width, left + most))), draw(st.integers(top + 1, min(height, top + most))),
        )  # fmt: skip

    tracks = {
        identity: [box() if draw(st.integers(0, 4)) else None for _ in range(frames)]
        for identity in range(1, count + 1)
    }
    return tracks, width, height


rules = st.builds(
    rule,
    context=st.floats(1, 4),
    closest=st.floats(0.5, 16),
    model_size=st.sampled_from([64, 100, 192]),
    multiple=st.sampled_from([16, 32, 64]),
)
