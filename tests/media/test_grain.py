"""Grain is measured where it can be seen, and what an edit lacks of it is laid over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mive.media.grain import LEVELS, grain_of, lay_grain

Floats = npt.NDArray[np.float32]
RNG = np.random.default_rng(4)


def plate(deviation: float, level: float = 0.4) -> Floats:
    """Half flat, half striped, both with grain."""
    picture = np.full((96, 128, 3), level, np.float32)
    picture[:, 64:] += 0.3 * (np.arange(64) // 6 % 2)[None, :, None]
    return np.clip(picture + RNG.normal(0, deviation, picture.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("deviation", [0.005, 0.02, 0.05])
def test_stripes_are_no_grain(deviation: float) -> None:
    found = grain_of(plate(deviation), np.ones((96, 128), np.bool_))
    assert np.nanmedian(found) == pytest.approx(deviation, rel=0.1)


@settings(max_examples=20)
@given(st.floats(0.01, 0.04), st.floats(0, 1), st.integers(0, 2**32))
def test_an_edit_gets_the_share_of_what_it_lacks(deviation: float, share: float, seed: int) -> None:
    matte = np.zeros((96, 128), np.float32)
    matte[10:80, 10:60] = 1
    flat = np.full((96, 128, 3), 0.45, np.float32)
    laid = lay_grain(flat, plate(deviation), matte, share, (seed,))
    assert laid[10:80, 10:60].std() == pytest.approx(share * deviation, rel=0.15, abs=5e-4)
    assert np.array_equal(laid[matte == 0], flat[matte == 0])


def test_what_has_its_grain_gets_no_more() -> None:
    matte = np.ones((96, 128), np.float32)
    source = plate(0.03)
    assert lay_grain(source, source, matte, 1.0, (0,)).std() == pytest.approx(source.std(), rel=0.01)


def test_grass_around_a_smooth_thing_is_not_its_grain() -> None:
    source = np.clip(RNG.normal(0.4, 0.1, (96, 128, 3)), 0, 1).astype(np.float32)
    source[30:70, 30:70] = 0.4
    matte = np.zeros((96, 128), np.float32)
    matte[30:70, 30:70] = 1
    for level in (0.4, 0.8):
        flat = np.full_like(source, level)
        assert np.abs(lay_grain(flat, source, matte, 1.0, (0,)) - flat).max() < 0.01


def test_a_colour_that_the_thing_did_not_have_takes_its_grain_from_around() -> None:
    """A sensor's noise grows with brightness: a dark thing made bright has the grain of bright ground."""
    level = np.full((96, 128, 3), 0.2, np.float32)
    level[:, 64:] = 0.7
    level[:20] = np.linspace(0.1, 0.9, 128)[None, :, None]
    source = np.clip(level + RNG.normal(0, 1, level.shape) * 0.05 * level, 0, 1).astype(np.float32)
    matte = np.zeros((96, 128), np.float32)
    matte[25:90, 5:60] = 1
    bright = np.full_like(source, 0.7)
    assert lay_grain(bright, source, matte, 1.0, (0,))[25:90, 5:60].std() == pytest.approx(0.035, rel=0.25)


def test_too_little_to_measure_is_left_alone() -> None:
    matte = np.zeros((96, 128), np.float32)
    flat = np.full((96, 128, 3), 0.5, np.float32)
    assert lay_grain(flat, plate(0.03), matte, 1.0, (0,)) is flat
    matte[40:44, 40:44] = 1
    assert np.array_equal(lay_grain(flat, plate(0.03), matte, 1.0, (0,)), flat)
    assert np.isnan(grain_of(flat, matte > 0)).all()
    assert grain_of(flat, matte > 0).shape == (LEVELS, 3)
