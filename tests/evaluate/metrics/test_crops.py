"""Crops of instances: the box of the matte, padded to a square."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mive.evaluate.metrics.crops import FILL, area, square_crop


def numbered(height: int, width: int) -> np.ndarray:
    """A frame in which no two pixels are alike and none is the padding's grey."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 255)], axis=-1).astype(np.uint8)


def box(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    coverage = np.zeros((height, width), dtype=np.float32)
    coverage[rows, columns] = 1
    return coverage


def test_a_square_box_is_cut_as_it_is() -> None:
    frame = numbered(20, 30)
    crop = square_crop(frame, box(20, 30, slice(4, 9), slice(10, 15)))
    np.testing.assert_array_equal(crop, frame[4:9, 10:15])


def test_a_wide_box_is_padded_above_and_below() -> None:
    frame = numbered(20, 30)
    crop = square_crop(frame, box(20, 30, slice(8, 11), slice(5, 13)))
    assert crop is not None
    assert crop.shape == (8, 8, 3)
    np.testing.assert_array_equal(crop[2:5], frame[8:11, 5:13])
    assert (crop[:2] == FILL).all()
    assert (crop[5:] == FILL).all(), "the odd pixel goes below"


def test_a_tall_box_at_the_corner_is_padded_and_brings_in_nothing_else() -> None:
    frame = numbered(20, 30)
    crop = square_crop(frame, box(20, 30, slice(14, 20), slice(28, 30)))
    assert crop is not None
    np.testing.assert_array_equal(crop[:, 2:4], frame[14:20, 28:30])
    assert (np.delete(crop, [2, 3], axis=1) == FILL).all()


def test_the_box_keeps_the_ground_between_parts_of_an_instance() -> None:
    frame = numbered(9, 9)
    corners = box(9, 9, slice(0, 1), slice(0, 1)) + box(9, 9, slice(8, 9), slice(8, 9))
    np.testing.assert_array_equal(square_crop(frame, corners), frame)


def test_pixels_less_than_half_covered_do_not_count() -> None:
    coverage = np.zeros((8, 8), dtype=np.float32)
    coverage[1:7, 1:7] = 0.4
    assert square_crop(numbered(8, 8), coverage) is None
    assert area(coverage) == 0
    coverage[2:4, 2:4] = 0.5
    crop = square_crop(numbered(8, 8), coverage)
    assert crop is not None
    assert crop.shape == (2, 2, 3)
    assert area(coverage) == 4


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_crop_is_the_smallest_square_that_holds_the_instance(mask: np.ndarray) -> None:
    frame = numbered(*mask.shape)
    crop = square_crop(frame, mask.astype(np.float32))
    if crop is None:
        assert not mask.any()
        return
    rows, columns = np.nonzero(mask)
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    assert crop.shape == (side, side, 3)
    kept = {tuple(pixel) for pixel in crop.reshape(-1, 3).tolist()}
    assert {tuple(pixel) for pixel in frame[mask].tolist()} <= kept
