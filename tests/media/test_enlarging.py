"""An enlarged edit is as sharp as its plate, and keeps what is new in it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from mive.media.enlarging import enlarge
from mive.media.sizes import model_frame

Floats = npt.NDArray[np.float32]
LARGE, SMALL = (180, 240), (60, 80)


def plate(texture: float = 0.12) -> Floats:
    """A shaded ground with a hard-edged disc on it, and texture over all."""
    rows, columns = np.mgrid[: LARGE[0], : LARGE[1]].astype(np.float32)
    shade = 0.3 + 0.4 * columns / LARGE[1]
    disc = np.hypot(rows - 90, columns - 120) < 60
    waves = texture * np.sin(columns * 0.7) * np.cos(rows * 0.6)
    picture = np.stack([shade, 0.9 * shade, 0.8 * shade], -1)
    picture[disc] *= (1.2, 0.6, 0.4)
    return np.clip(picture + waves[..., None], 0, 1).astype(np.float32)


def psnr(a: Floats, b: Floats, where: npt.NDArray[np.bool_]) -> float:
    return float(-10 * np.log10(((a - b)[where] ** 2).mean()))


@pytest.mark.parametrize("factor", [(0.5, 1.4, 1.1), (1.0, 1.0, 1.0), (0.9, 0.2, 0.2)], ids=["other", "same", "darker"])
def test_another_colour_keeps_edges_and_texture(factor: tuple[float, float, float]) -> None:
    large = plate()
    ideal = np.clip(large * np.float32(factor), 0, 1)
    matte = np.zeros(LARGE, np.float32)
    matte[20:160, 40:200] = 1
    edit = model_frame(ideal, SMALL)
    got = enlarge(edit, model_frame(large, SMALL), large, matte)
    inside = matte > 0
    assert psnr(got, ideal, inside) > psnr(model_frame(edit, LARGE), ideal, inside) + 8
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 1


def test_a_new_pattern_is_no_worse_than_enlarged_by_itself() -> None:
    large = plate(texture=0)
    _, columns = np.mgrid[: LARGE[0], : LARGE[1]]
    ideal = np.where((columns // 20 % 2 == 0)[..., None], np.float32([0.1, 0.5, 0.9]), np.float32([0.9, 0.8, 0.1]))
    edit = model_frame(ideal, SMALL)
    whole = np.ones(LARGE, np.float32)
    got = enlarge(edit, model_frame(large, SMALL), large, whole)
    assert psnr(got, ideal, whole > 0) > psnr(model_frame(edit, LARGE), ideal, whole > 0) - 0.5
    # The disc of the plate does not shine through.
    rim = cv2.dilate((np.hypot(*(np.mgrid[: LARGE[0], : LARGE[1]] - np.array([90, 120])[:, None, None])) < 60).astype(
        np.uint8), np.ones((3, 3), np.uint8)) > 0  # fmt: skip
    assert np.abs(got - model_frame(edit, LARGE))[rim].mean() < 0.02


def test_what_lies_outside_the_matte_has_no_say() -> None:
    large, matte = plate(), np.zeros(LARGE, np.float32)
    matte[60:120, 90:150] = 1
    edit = model_frame(large, SMALL) * np.float32(0.5)
    other = edit.copy()
    other[:10] = 1
    inside = matte > 0
    small = model_frame(large, SMALL)
    assert np.array_equal(enlarge(edit, small, large, matte)[inside], enlarge(other, small, large, matte)[inside])
