"""Bringing edited pixels back into the source, and only where a matte covers it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mive.base.samples import IN_MEMORY, Depth, rescaled, white
from mive.media.info import Coverage, Pixels


def to_float(frame: Pixels) -> Pixels:
    """The frame as float32: code values become 0..1, float frames pass through unchanged."""
    if frame.dtype.kind == "f":
        return frame.astype(np.float32, copy=False)
    return frame.astype(np.float32) / np.float32(white(frame.dtype))


def shown_to_model(frame: Pixels) -> Pixels:
    """The frame as float32 in 0..1; what is beyond is clipped, and what is no number is black."""
    return np.asarray(np.clip(np.nan_to_num(to_float(frame), nan=0, posinf=1, neginf=0), 0, 1), np.float32)


def to_depth(frame: Pixels, depth: Depth) -> Pixels:
    """The frame in another sample type, rounded to nearest.

    Exact from 8 to 16 bits and back, and from either to float and back; float is clipped to 0..1.
    """
    target = IN_MEMORY[depth].dtype
    if frame.dtype == target:
        return frame
    if target.kind == "f":
        return to_float(frame)
    if frame.dtype.kind == "u":
        return rescaled(frame, target)
    return _codes(frame.astype(np.float64) * white(target), target)


def paste(source: Pixels, edited: Pixels, alpha: Coverage) -> Pixels:
    """Blend ``edited`` over ``source`` by ``alpha``, in the source's own code values.

    Args:
        source: ``[H, W, 3]`` uint8, uint16 or float32.
        edited: ``[H, W, 3]`` float32; 0..1 spans the code values of an integer source.
        alpha: ``[H, W]`` float32, 0..1.

    Returns:
        ``[H, W, 3]`` of the source's type: bit for bit the source where ``alpha`` is 0, the edit
        (rounded to nearest) where it is 1, their linear mix between. Float sources are not clipped;
        where one is NaN or infinite inside, the edit takes its place.

    Raises:
        ValueError: the shapes do not agree.
    """
    if source.shape != edited.shape or source.shape[:2] != alpha.shape:
        raise ValueError(f"shapes differ: {source.shape}, {edited.shape}, alpha {alpha.shape}")
    inside = alpha > 0
    out = source.copy()
    weight = alpha[inside].astype(np.float64)[:, None]
    old = source[inside].astype(np.float64)
    new = edited[inside].astype(np.float64) * white(source.dtype)
    # What is no number cannot be mixed: there the edit counts alone.
    old = np.where(np.isfinite(old), old, new)
    mixed = (1 - weight) * old + weight * new
    out[inside] = mixed if source.dtype.kind == "f" else _codes(mixed, source.dtype)
    return out


def inward_feather(alpha: Coverage, pixels: float) -> Coverage:
    """Soften a matte's edge towards its inside.

    Coverage rises linearly from 0 on the matte's boundary to its full value ``pixels`` inside.
    It never rises above ``alpha`` anywhere, so the matte never grows; the border of the frame is
    no boundary, since what it cuts goes on outside.

    Args:
        alpha: ``[H, W]`` float32, 0..1.
        pixels: width of the ramp, >= 0; up to 0.5 it changes nothing.
    """
    inside = alpha > 0
    # Half a pixel inside is where the outermost pixels have their centres: no ramp reaches them.
    if pixels <= 0.5 or inside.all():
        return alpha
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Distances run between pixel centres; the boundary is half a pixel before the first one.
    ramp = (np.asarray(distance, dtype=np.float32) - np.float32(0.5)) / np.float32(pixels)
    return np.asarray(np.minimum(alpha, np.clip(ramp, 0, 1)), dtype=np.float32)


def _codes(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    rounded = np.floor(np.nan_to_num(values) + 0.5)
    return np.asarray(np.clip(rounded, 0, white(dtype)).astype(dtype))
