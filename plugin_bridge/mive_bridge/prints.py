"""Prints: how images look, alike at every size and depth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mive.base.samples import rescaled
from mive_bridge.images import Image, Seen

TOLERANCE: Final = 6
"""How far two values of two prints of one picture may be apart."""

_BOXES: Final = 8
_POINTS: Final = 256
_FLAT: Final = 3.0
"""A picture whose boxes deviate less than this from their mean shows nothing to tell it by."""

_LIKE: Final = 0.5
"""Correlation below which two pictures are plainly two; grades, titles and crops of one stay above."""

_ROUNDING: Final = 3.0
"""How far boxes of one frame may be apart, decoded twice."""

_LUMA: Final = np.array([0.2126, 0.7152, 0.0722])


def thumbprint(image: Image) -> str:
    """The print of an image: 8-bit means of 8 × 8 boxes, as hexadecimal digits."""
    points = 2 * np.arange(_POINTS) + 1
    rows, columns = (points * length // (2 * _POINTS) for length in image.shape[:2])
    sampled = _eight_bits(image[rows[:, None], columns])
    boxes = sampled.reshape(_BOXES, _POINTS // _BOXES, _BOXES, _POINTS // _BOXES, -1)
    means = (boxes.sum(axis=(1, 3), dtype=np.int64) + 512) // 1024
    return str(means.astype(np.uint8).tobytes().hex())


def alike(known: Mapping[str, Seen], now: Mapping[str, Seen]) -> bool:
    """Whether all images look as those that are known, at another size or depth; not in the very same format."""
    for name, before in known.items():
        after = now[name]
        if after.fingerprint == before.fingerprint:
            continue
        if after.format == before.format or len(after.thumbprint) != len(before.thumbprint):
            return False
        if np.abs(_values(after.thumbprint) - _values(before.thumbprint)).max() > TOLERANCE:
            return False
    return True


def shows_another(look: str, source: str) -> bool:
    """Whether two prints of colour plainly show two pictures, whatever grade lies between them.

    Args:
        look: of what the user sees, RGB or RGBA.
        source: of what it should be.
    """
    seen, known = _luma(look), _luma(source)
    flat = [boxes.std() < _FLAT for boxes in (seen, known)]
    if any(flat):
        return not all(flat)
    return bool(np.corrcoef(seen, known)[0, 1] < _LIKE)


def frame_shown(look: str, number: int, sources: Mapping[int, str], shift: int = 0) -> int:
    """Which frame of a file a picture is: ``number``, unless another is plainly closer.

    What counts is the box that fits worst, since things that move fill few, after gain and offset are made equal.

    Args:
        look: of what the user sees, RGB or RGBA.
        sources: prints of the file's frames by their numbers, ``number`` among them.
        shift: what another number was off by; it decides where two frames are about as close.
    """
    seen = _luma(look)
    known = np.stack([_luma(source) for source in sources.values()])
    away, means = seen - seen.mean(), known.mean(axis=1, keepdims=True)
    gains = ((known - means) @ away / max(float(away @ away), 1.0))[:, None]
    apart = dict(zip(sources, np.abs(known - means - gains * away).max(axis=1), strict=True))
    best = min(apart, key=lambda other: apart[other])
    if apart[number] > _ROUNDING + 2 * apart[best]:
        return best
    doubtful = shift != 0 and apart[number] > _ROUNDING and apart[number] > apart.get(number + shift, 0.0)
    return number + shift if doubtful else number


def _eight_bits(samples: Image) -> NDArray[np.int64]:
    if samples.dtype.kind == "u":
        return rescaled(samples, np.dtype(np.uint8)).astype(np.int64)
    # NaN is above nothing.
    shares = np.where(samples > 0, np.minimum(samples, np.float32(1)), np.float32(0))
    return np.asarray(np.floor(shares * np.float32(255) + np.float32(0.5)).astype(np.int64))


def _values(text: str) -> NDArray[np.int64]:
    return np.frombuffer(bytes.fromhex(text), np.uint8).astype(np.int64)


@lru_cache(16384)
def _luma(text: str) -> NDArray[np.float64]:
    values = _values(text).reshape(_BOXES**2, -1).astype(np.float64)
    return np.asarray(values[:, :3] @ _LUMA) if values.shape[1] >= 3 else values[:, 0]
