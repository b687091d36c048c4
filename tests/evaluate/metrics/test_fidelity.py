"""Likeness inside a matte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from mive.evaluate.metrics.fidelity import BEST_PSNR, Likeness, ciede2000, lab, likeness, psnr, ssim_map

Array = np.ndarray[Any, Any]

SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Table 1 of Sharma, Wu, Dalal (2005): two L*a*b* colours and their difference."""


def picture(seed: int, size: tuple[int, int] = (40, 60)) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def disc(size: tuple[int, int] = (40, 60)) -> Array:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - 20) ** 2 + (columns - 25) ** 2 < 12**2


@pytest.mark.parametrize("row", SHARMA.split("\n")[1:-1])
def test_the_colour_difference_is_the_published_one(row: str) -> None:
    values = np.array(row.split(), np.float64)
    one, other = values[:3], values[3:6]
    assert ciede2000(one, other) == pytest.approx(values[6], abs=5e-5)
    assert ciede2000(other, one) == pytest.approx(values[6], abs=5e-5)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.02, 0.02, 0.02), (1.40, 0, 0)),
    ],
)
def test_srgb_in_lab(rgb: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert lab(np.array(rgb, np.float64)) == pytest.approx(np.array(expected), abs=0.01)


def test_equal_pictures_are_as_good_as_can_be() -> None:
    assert likeness(picture(0), picture(0), disc()) == Likeness(BEST_PSNR, 0, pytest.approx(1))


def test_black_and_white_are_as_bad_as_can_be() -> None:
    black = np.zeros((40, 60, 3), np.uint8)
    found = likeness(black, black + 255, disc())
    assert (found.psnr, found.delta_e, found.ssim) == pytest.approx((0, 100, 0), abs=1e-3)


def test_psnr_of_a_known_error() -> None:
    assert psnr(np.full(9, 0.5), np.full(9, 0.6)) == pytest.approx(20)


def test_only_pixels_inside_the_matte_count() -> None:
    inside, edit, ideal = disc(), picture(1), picture(2)
    noise = picture(3)
    noise[inside] = edit[inside]
    assert likeness(noise, ideal, inside) == likeness(edit, ideal, inside)
    noise[20, 25] += 9
    assert likeness(noise, ideal, inside) != likeness(edit, ideal, inside)


def test_the_frame_around_the_matte_changes_nothing() -> None:
    edit, ideal, inside = picture(1), picture(2), disc()
    wide = ((33, 7), (50, 120))
    more = [np.pad(one, (*wide, (0, 0)), mode="reflect") for one in (edit, ideal)]
    assert likeness(*more, np.pad(inside, wide)) == likeness(edit, ideal, inside)


def test_a_picture_twice_as_large_is_as_far_from_its_ideal() -> None:
    edit, ideal, inside = (one.repeat(2, axis=0).repeat(2, axis=1) for one in (picture(1), picture(2), disc()))
    small, large = likeness(picture(1), picture(2), disc()), likeness(edit, ideal, inside)
    assert (large.psnr, large.delta_e) == pytest.approx((small.psnr, small.delta_e))


@pytest.mark.parametrize("depth", [np.uint16, np.float32], ids=["u16", "f32"])
def test_any_depth_scores_as_8_bits(depth: Any) -> None:
    deep = picture(1).astype(depth) * 257 if depth is np.uint16 else picture(1).astype(depth) / 255
    one, other = likeness(deep, picture(2), disc()), likeness(picture(1), picture(2), disc())
    assert (one.psnr, one.delta_e, one.ssim) == pytest.approx((other.psnr, other.delta_e, other.ssim))


def test_a_pixel_is_enough_and_none_is_too_few() -> None:
    inside = np.zeros((40, 60), bool)
    assert likeness(picture(1), picture(2), inside) == Likeness(None, None, None)
    inside[0, 59] = True
    assert likeness(picture(1), picture(1), inside) == Likeness(BEST_PSNR, 0, pytest.approx(1))
    assert None not in vars(likeness(picture(1), picture(2), inside)).values()


def test_away_from_the_matte_s_edge_ssim_is_everyone_s() -> None:
    one, other = picture(1) / 255, picture(2) / 255 * 0.3 + picture(1) / 255 * 0.7
    ours = ssim_map(one, other, np.ones((40, 60), bool))
    batch = [torch.from_numpy(each).permute(2, 0, 1)[None] for each in (one, other)]
    _, theirs = structural_similarity_index_measure(*batch, data_range=1.0, return_full_image=True)
    middle = np.s_[5:-5, 5:-5]
    assert ours[middle] == pytest.approx(theirs[0].permute(1, 2, 0).numpy()[middle], abs=1e-6)
