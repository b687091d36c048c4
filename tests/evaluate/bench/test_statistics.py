"""Means and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.evaluate.bench.statistics import estimate

VALUES = st.floats(-1, 1)


def test_a_mean_is_over_values_not_over_clips() -> None:
    found = estimate([[1.0, 0.0, 0.0], [], [1.0]])
    assert found is not None
    assert (found.mean, found.count) == (0.5, 4)


def test_the_interval_is_the_one_that_theory_gives() -> None:
    drawn = np.random.default_rng(3).normal(0.5, 0.2, 400)
    found = estimate([[float(value)] for value in drawn])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    error = drawn.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (drawn.mean() - 1.96 * error, drawn.mean() + 1.96 * error), abs=0.2 * error
    )


def test_clips_are_drawn_whole() -> None:
    alike, spread = estimate([[0.0] * 10, [1.0] * 10] * 10), estimate([[0.0, 1.0] * 5] * 20)
    assert alike is not None
    assert spread is not None
    assert alike.mean == spread.mean == 0.5
    assert (spread.low, spread.high) == (0.5, 0.5)
    assert alike.low is not None
    assert alike.low < 0.35


def test_one_clip_has_no_interval_and_no_values_no_mean() -> None:
    found = estimate([[0.2, 0.4], []])
    assert found is not None
    assert (found.mean, found.low, found.high) == (pytest.approx(0.3), None, None)
    assert estimate([[], []]) is None
    assert estimate([]) is None


@given(st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=12))
def test_the_same_values_give_the_same_interval_around_what_they_span(clips: list[list[float]]) -> None:
    found = estimate(clips)
    assert found == estimate(clips)
    if found is not None and found.low is not None and found.high is not None:
        every = [value for clip in clips for value in clip]
        assert min(every) - 1e-9 <= found.low <= found.high <= max(every) + 1e-9
