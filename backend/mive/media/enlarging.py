"""Enlarging an edit so that it is as sharp as its plate."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_RADIUS: Final = 2
"""Pixels of the small pictures that a fit sees to each side."""

_EPSILON: Final = 1e-3
"""Variance of the plate below which its detail says nothing."""

_OUTSIDE: Final = 1e-3
"""Weight of pixels outside the matte: none, but no division by nothing."""


def enlarge(edit: Floats, plate: Floats, large: Floats, matte: Floats) -> Floats:
    """An edit at the size and with the detail of its plate.

    Around each pixel inside the matte the edit is fitted by an affine function of the plate's three channels (a colour
    guided filter: He et al., Guided Image Filtering, 2013). Its coefficients are smooth and can be enlarged; applied to
    the large plate they give edges, shading and texture that the edit left as they were. What the fit does not explain,
    such as a new pattern, is enlarged bicubically and added.

    Args:
        edit: [h, w, 3] in 0..1.
        plate: [h, w, 3] in 0..1, what the edit was made from.
        large: [H, W, 3] in 0..1, the plate itself.
        matte: [H, W] in 0..1, where the edit is looked at.

    Returns:
        [H, W, 3] in 0..1.
    """
    size = edit.shape[1], edit.shape[0]
    weight = np.maximum(cv2.resize(matte, size, interpolation=cv2.INTER_AREA), _OUTSIDE)
    slope, offset = _fit(edit, plate, weight)
    explained = _applied(slope, offset, plate)
    height, width = large.shape[:2]
    slope, offset = (_resized(c, (width, height), cv2.INTER_LINEAR) for c in (slope, offset))
    rest = _resized(edit - explained, (width, height), cv2.INTER_CUBIC)
    return np.asarray(np.clip(_applied(slope, offset, large) + rest, 0, 1), np.float32)


def _fit(edit: Floats, plate: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Slopes [h, w, 9], of each of the edit's channels by the plate's, and offsets [h, w, 3], both smooth."""
    total = _box(weight)
    mean_plate, mean_edit = (_box(x * weight[..., None]) / total[..., None] for x in (plate, edit))
    both = np.concatenate([_products(plate, plate), _products(edit, plate)], -1)
    moments = np.concatenate([_box(both[..., i : i + 3] * weight[..., None]) for i in range(0, 18, 3)], -1)
    moments = moments / total[..., None]
    variance = (moments[..., :9] - _products(mean_plate, mean_plate)).reshape(*weight.shape, 3, 3)
    shared = (moments[..., 9:] - _products(mean_edit, mean_plate)).reshape(*weight.shape, 3, 3)
    slope = np.linalg.solve(variance + _EPSILON * np.eye(3, dtype=np.float32), shared.swapaxes(-1, -2))
    slope = np.ascontiguousarray(slope.swapaxes(-1, -2), np.float32)
    offset = np.asarray(mean_edit - np.einsum("hwij,hwj->hwi", slope, mean_plate), np.float32)
    slopes = np.concatenate([_box(slope[..., i, :] * weight[..., None]) for i in range(3)], -1)
    offsets = _box(offset * weight[..., None])
    return np.asarray(slopes / total[..., None], np.float32), np.asarray(offsets / total[..., None], np.float32)


def _resized(x: Floats, size: tuple[int, int], how: int) -> Floats:
    return np.asarray(cv2.resize(x, size, interpolation=how), np.float32)


def _applied(slope: Floats, offset: Floats, plate: Floats) -> Floats:
    return np.asarray(np.einsum("hwij,hwj->hwi", slope.reshape(*plate.shape[:2], 3, 3), plate) + offset, np.float32)


def _products(a: Floats, b: Floats) -> Floats:
    """Each channel of one by each of the other, [h, w, 9]."""
    return np.asarray((a[..., :, None] * b[..., None, :]).reshape(*a.shape[:2], 9), np.float32)


def _box(x: Floats) -> Floats:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.boxFilter(x, -1, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE), np.float32)
