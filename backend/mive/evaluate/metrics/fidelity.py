"""How like two pictures are inside a matte: PSNR, CIEDE2000 and SSIM, with not a pixel from outside it.

Colour space: sRGB code values. Pictures are ``[H, W, 3]`` uint8, uint16 or float32 0..1 (what lies beyond is clipped).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from mive.media.info import Pixels
from mive.media.paste import to_float

Flags = npt.NDArray[np.bool_]
Array = npt.NDArray[np.floating]

BEST_PSNR: Final = 100.0
"""What equal pictures score in dB, so that means and JSON stay finite; single steps of 16 bits come to 96."""

_WHITE: Final = (0.95047, 1.0, 1.08883)
_TO_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_SIGMA: Final = 1.5
_WINDOW: Final = (11, 11)
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Likeness:
    """How like an ideal picture is, inside a matte. None where the matte is empty.

    Attributes:
        psnr: peak signal-to-noise ratio in dB, 0 to `BEST_PSNR`, higher is better.
        delta_e: mean colour difference CIEDE2000, 0 = equal, 1 is just visible, about 100 is black to white.
        ssim: structural similarity, -1..1, higher is better.
    """

    psnr: float | None = None
    delta_e: float | None = None
    ssim: float | None = None


def likeness(picture: Pixels, ideal: Pixels, inside: Flags) -> Likeness:
    """All three scores of a picture, inside ``[H, W]``; one pixel is enough."""
    if not inside.any():
        return Likeness()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    here, there = (to_float(one[box]).clip(0, 1).astype(np.float64) for one in (picture, ideal))
    own = inside[box]
    return Likeness(
        psnr=psnr(here[own], there[own]),
        delta_e=float(ciede2000(lab(here[own]), lab(there[own])).mean()),
        ssim=float(ssim_map(here, there, own)[own].mean()),
    )


def psnr(pixels: Array, ideal: Array) -> float:
    """Peak signal-to-noise ratio in dB of values 0..1 of any one shape, at most `BEST_PSNR`."""
    error = float(np.mean((pixels - ideal) ** 2))
    return BEST_PSNR if error == 0 else min(-10 * math.log10(error), BEST_PSNR)


def lab(rgb: Array) -> Array:
    """CIE L*a*b* (D65) ``[..., 3]`` of sRGB code values ``[..., 3]``, 0..1.

    OpenCV's own conversion reads from a table and is off by up to half a unit.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ np.array(_TO_XYZ).T / _WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(one: Array, other: Array) -> Array:
    """The colour difference ΔE₀₀ ``[...]`` of L*a*b* colours ``[..., 3]``.

    Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, Color Research & Application 30 (2005); the numbers of
    the equations are theirs.
    """
    (l1, c1, h1), (l2, c2, h2) = _primed(one, other)
    grey = c1 * c2 == 0
    between, far = h2 - h1, np.abs(h2 - h1) > 180
    turn = np.where(grey, 0, between - np.where(far, 360 * np.sign(between), 0))  # (10)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * _sin(turn / 2)  # (8), (9), (11)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2  # (12), (13)
    total = h1 + h2
    hue = np.where(grey, total, (total + np.where(far, np.where(total < 360, 360, -360), 0)) / 2)  # (14)
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)  # (15)
    turned = 30 * np.exp(-(((hue - 275) / 25) ** 2))  # (16)
    off = (lightness - 50) ** 2
    s_l, s_c, s_h = 1 + 0.015 * off / np.sqrt(20 + off), 1 + 0.045 * chroma, 1 + 0.015 * chroma * t  # (18)–(20)
    r_t = -_sin(2 * turned) * 2 * _saturation(chroma)  # (17), (21)
    l_, c_, h_ = dl / s_l, dc / s_c, dh / s_h
    return np.asarray(np.sqrt(np.maximum(l_**2 + c_**2 + h_**2 + r_t * c_ * h_, 0)))  # (22)


def ssim_map(picture: Array, ideal: Array, inside: Flags) -> Array:
    """SSIM ``[H, W, 3]`` of each pixel and channel of two pictures 0..1; outside the matte it means nothing.

    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity (2004), with its Gaussian
    window of 11 pixels, in which only the pixels inside the matte have weight.
    """
    weight = inside.astype(np.float64)[..., None]
    # A pixel inside has itself in its window; far outside there is nothing to divide by.
    share = np.maximum(_blurred(weight), 1e-12)

    def local(values: Array) -> Array:
        return _blurred(values * weight) / share

    x, y = local(picture), local(ideal)
    xx, yy, xy = local(picture**2) - x**2, local(ideal**2) - y**2, local(picture * ideal) - x * y
    return (2 * x * y + _C1) * (2 * xy + _C2) / ((x**2 + y**2 + _C1) * (xx + yy + _C2))


def _blurred(values: Array) -> Array:
    blurred = cv2.GaussianBlur(values, _WINDOW, _SIGMA, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float64).reshape(values.shape)


def _primed(one: Array, other: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """L', C' and h' in degrees of both colours; equations (2) to (7)."""
    chroma = (np.hypot(one[..., 1], one[..., 2]) + np.hypot(other[..., 1], other[..., 2])) / 2
    stretch = 1.5 - 0.5 * _saturation(chroma)

    def primed(colour: Array) -> tuple[Array, Array, Array]:
        a, b = stretch * colour[..., 1], colour[..., 2]
        return colour[..., 0], np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360

    return primed(one), primed(other)


def _saturation(chroma: Array) -> Array:
    """The term of chroma that equations (4) and (17) share."""
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _sin(degrees: Array) -> Array:
    return np.sin(np.radians(degrees))


def _cos(degrees: Array) -> Array:
    return np.cos(np.radians(degrees))
