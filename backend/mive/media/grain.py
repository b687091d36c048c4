"""The grain of a plate, measured and laid over what has none."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

LEVELS: Final = 6
"""Bands of brightness that grain is measured in."""

_LAPLACE: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Blind to planes and edges along the axes; white noise keeps its deviation (Immerkær 1996)."""

_FLAT: Final = 0.25
"""The share of pixels, those with the least structure around them, that are measured: the rest is texture."""

_SMOOTH: Final = 1.5
"""Pixels of the blur that takes grain away from brightness and structure."""

_GRAINY: Final = 5.0
"""What has more structure by its deviation is texture; white noise has 1.74, and grain may be coarser than that."""

_FAINT: Final = 2 / 255
"""Structure that shading may have."""

_AROUND: Final = 5
"""Pixels across which structure counts as around a pixel."""

_MARGIN: Final = 32
"""Pixels around a matte that tell of the grain of colours that it does not hold."""

_SEEN: Final = (10 / 255, 245 / 255)
"""Beyond these values grain is clipped."""

_ENOUGH: Final = 60
"""Pixels that a band must have to be measured by itself."""

_MEDIAN: Final = 1.4826
"""From the median of absolute values to a deviation."""


def grain_of(picture: Floats, where: Bools) -> Floats:
    """The deviation of a picture's grain by band of brightness and channel.

    Args:
        picture: [H, W, 3] in 0..1.
        where: [H, W], the pixels that are measured.

    Returns:
        [LEVELS, 3], not a number for bands that have too few pixels.
    """
    return _grain(_filtered(picture), where)


class _Filtered(NamedTuple):
    """A picture as grain is measured in it, [H, W, 3] each, ``structure`` [H, W]."""

    high: Floats
    smooth: Floats
    structure: Floats


def _filtered(picture: Floats) -> _Filtered:
    high = np.abs(cv2.filter2D(picture, -1, _LAPLACE, borderType=cv2.BORDER_REFLECT_101))
    smooth = cv2.GaussianBlur(picture, (0, 0), _SMOOTH)
    slopes = np.abs(cv2.Sobel(smooth, -1, 1, 0)) + np.abs(cv2.Sobel(smooth, -1, 0, 1))
    structure = cv2.dilate(slopes.max(-1), np.ones((_AROUND, _AROUND), np.uint8))
    return _Filtered(*(np.asarray(x, np.float32) for x in (high, smooth, structure)))


def _grain(of: _Filtered, where: Bools) -> Floats:
    high, smooth, structure = of
    inner = cv2.erode(where.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    inner &= ((smooth > _SEEN[0]) & (smooth < _SEEN[1])).all(-1)
    found = np.full((LEVELS, 3), np.nan, np.float32)
    bands, high, structure = (smooth[inner] * LEVELS).astype(np.intp), high[inner], structure[inner]
    for level, channel in np.ndindex(found.shape):
        # Chosen among pixels of one brightness: grain, which grows with it, is structure too.
        band = bands[:, channel] == level
        if np.count_nonzero(band) >= _ENOUGH:
            flat = structure[band] <= np.quantile(structure[band], _FLAT)
            deviation = _MEDIAN * np.median(high[band, channel][flat])
            if np.median(structure[band][flat]) <= _GRAINY * deviation + _FAINT:
                found[level, channel] = deviation
    return found


def lay_grain(picture: Floats, plate: Floats, matte: Floats, share: float, seed: tuple[int, ...]) -> Floats:
    """The picture with as much noise as it lacks of the plate's grain at each brightness.

    Args:
        picture: [H, W, 3] in 0..1.
        plate: [H, W, 3] in 0..1, whose grain is the measure.
        matte: [H, W] in 0..1, where the picture is looked at and gets grain.
        share: 0..1, of what is missing.
        seed: of the noise; the same numbers give the same noise.

    Returns:
        [H, W, 3] in 0..1.
    """
    if not matte.any():
        return picture
    rows, columns = (_span(np.asarray(matte.any(axis=axis))) for axis in (1, 0))
    laid = picture.copy()
    laid[rows, columns] = _laid(picture[rows, columns], plate[rows, columns], matte[rows, columns] > 0, share, seed)
    return laid


def _laid(picture: Floats, plate: Floats, inside: Bools, share: float, seed: tuple[int, ...]) -> Floats:
    source, edit = _filtered(plate), _filtered(picture)
    wanted = _everywhere(_grain(source, inside), _grain(source, np.ones_like(inside)))
    there = _everywhere(_grain(edit, inside), np.full((LEVELS, 3), np.nan, np.float32))
    lacking = share * np.sqrt(np.maximum(wanted**2 - there**2, 0))
    if not lacking.any():
        return picture
    noise = np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
    centres = (np.arange(LEVELS, dtype=np.float32) + 0.5) / LEVELS
    deviation = np.stack([np.interp(edit.smooth[..., c], centres, lacking[:, c]) for c in range(3)], -1)
    grained = np.clip(picture + noise * deviation.astype(np.float32), 0, 1)
    return np.where(inside[..., None], grained, picture)


def _span(seen: Bools) -> slice:
    """From the first to the last that is seen, and what is around."""
    places = np.flatnonzero(seen)
    return slice(max(int(places[0]) - _MARGIN, 0), int(places[-1]) + 1 + _MARGIN)


def _everywhere(inside: Floats, around: Floats) -> Floats:
    """Grain at all brightnesses [LEVELS, 3]; 0 where nothing is known.

    A colour that the thing did not have takes the grain of what has it around the thing, by as much as the two differ
    where both are known: what is around may be grass. Where that says nothing, the nearest brightness does.
    """
    filled = np.empty_like(inside)
    for channel in range(3):
        own, other = inside[:, channel], around[:, channel]
        both = ~np.isnan(own) & (other > 0)
        if both.any():
            own = np.where(np.isnan(own), other * np.median(own[both] / other[both]), own)
        known = np.flatnonzero(~np.isnan(own))
        filled[:, channel] = np.interp(np.arange(LEVELS), known, own[known]) if known.size else 0
    return filled
