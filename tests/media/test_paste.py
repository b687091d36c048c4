"""Pasting: the source outside, the edit inside, a linear mix on the edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mive.media import inward_feather, paste, to_float
from mive.media.paste import shown_to_model

SHAPE = (5, 7)
edits = arrays.arrays(np.float32, (*SHAPE, 3), elements=st.floats(0, 1, width=32))
alphas = arrays.arrays(
    np.float32,
    SHAPE,
    elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32),
)
sources = st.one_of(
    arrays.arrays(np.uint8, (*SHAPE, 3)),
    arrays.arrays(np.uint16, (*SHAPE, 3)),
    arrays.arrays(np.float32, (*SHAPE, 3), elements=st.floats(-8, 64, width=32)),
)


@given(sources, edits, alphas)
def test_nothing_changes_outside(source, edited, alpha):
    before = source.copy()
    out = paste(source, edited, alpha)
    assert out.dtype == source.dtype
    assert np.array_equal(out[alpha == 0], source[alpha == 0])
    assert np.array_equal(source, before)


@given(sources, edits, alphas)
def test_the_mix_lies_within_half_a_code_value_of_exact(source, edited, alpha):
    peak = {"uint8": 255, "uint16": 65535, "float32": 1}[str(source.dtype)]
    weight = alpha.astype(np.float64)[..., None]
    exact = source * (1 - weight) + edited.astype(np.float64) * peak * weight
    error = np.abs(paste(source, edited, alpha) - exact).max()
    assert error <= (1e-5 if peak == 1 else 0.5 + 1e-9)


@given(sources)
def test_pasting_the_source_onto_itself_changes_nothing(source):
    out = paste(source, to_float(source), np.ones(SHAPE, np.float32))
    assert np.array_equal(out, source)


def test_rounding_is_to_nearest():
    source = np.zeros((1, 3, 3), np.uint8)
    edited = np.array([0.4, 0.6, 254.6], np.float32)[None, :, None].repeat(3, 2) / 255
    assert paste(source, edited, np.ones((1, 3), np.float32))[0, :, 0].tolist() == [0, 1, 255]


def test_shapes_must_agree():
    frame = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="shapes differ"):
        paste(frame, np.zeros((4, 5, 3), np.float32), np.zeros((4, 4), np.float32))


@given(alphas, st.floats(0, 10))
def test_feather_never_grows_a_matte(alpha, pixels):
    feathered = inward_feather(alpha, pixels)
    assert feathered.dtype == np.float32
    assert (feathered <= alpha).all()
    assert (feathered >= 0).all()
    assert ((feathered > 0) == (alpha > 0)).all()


def test_feather_ramps_over_its_width():
    alpha = np.zeros((21, 21), np.float32)
    alpha[3:18, 3:18] = 1
    row = inward_feather(alpha, 4)[10]
    assert row[:3].tolist() == [0, 0, 0]
    assert row[3:7].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=1e-4)
    assert (row[7:14] == 1).all()


def test_feather_leaves_the_border_of_the_frame_alone():
    alpha = np.zeros((9, 9), np.float32)
    alpha[:, :5] = 1
    feathered = inward_feather(alpha, 2)
    assert (feathered[:, :3] == 1).all()
    assert (inward_feather(np.ones((4, 4), np.float32), 3) == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_outside_and_gives_way_inside(value):
    source = np.full((4, 4, 3), 0.5, np.float32)
    source[:, 0] = value
    alpha = np.zeros((4, 4), np.float32)
    alpha[1], alpha[2] = 0.5, 1
    out = paste(source, np.full((4, 4, 3), 0.25, np.float32), alpha)
    assert np.array_equal(out[[0, 3]], source[[0, 3]], equal_nan=True)
    assert (out[1:3, 0] == 0.25).all()
    assert (out[1, 1:] == 0.375).all()


def test_the_model_sees_numbers_from_0_to_1():
    frame = np.array([[[np.nan, np.inf, -np.inf], [2, -1, 0.5]]], np.float32)
    assert shown_to_model(frame).tolist() == [[[0, 1, 0], [1, 0, 0.5]]]
