"""Matte clips: whether they hold ids or coverage, and which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from mive.base.samples import DType, white
from mive.errors import MatteError
from mive.media.info import Pixels
from mive_bridge.images import Image

_LARGEST: Final = 65535


@dataclass(frozen=True)
class Kind:
    """What the samples of a matte clip are.

    Attributes:
        ids: instance ids; otherwise each channel is the coverage of one instance.
        scale: ids are samples times this, rounded.
    """

    ids: bool
    scale: float = 1.0


def kind_of(images: Iterable[Image]) -> Kind:
    """What a clip with these frames holds.

    Raises:
        MatteError: a value is no number, or above what an id can be.
    """
    grey = stretched = shares = True
    dtype: DType = np.dtype(np.uint8)
    for image in images:
        dtype = image.dtype
        values = image if image.ndim == 2 else image[..., :3]
        grey = grey and (image.ndim == 2 or bool((values == values[..., :1]).all()))
        if dtype.kind == "u":
            stretched = stretched and not (values % _stretch(dtype)).any()
        else:
            if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= _LARGEST):
                raise MatteError(
                    "a frame of the matte clip holds values that are neither ids nor coverage",
                    expected=f"numbers from 0 to {_LARGEST}",
                    fix="Render the mattes again",
                )
            shares = shares and bool(values.max() <= 1)
    if not grey:
        return Kind(ids=False)
    if dtype.kind == "u":
        return Kind(ids=True, scale=1 / _stretch(dtype) if stretched else 1.0)
    return Kind(ids=True, scale=255.0 if shares else 1.0)


def ids_of(image: Image, kind: Kind) -> Pixels:
    """The ids ``[H, W]`` uint16 that a frame holds."""
    values: Pixels = image if image.ndim == 2 else image[..., 0]
    if values.dtype.kind == "f":
        values = np.floor(values * np.float32(kind.scale) + np.float32(0.5))
    elif kind.scale != 1:
        values = values // _stretch(values.dtype)
    return values.astype(np.uint16)


def over(lower: Pixels, upper: Pixels) -> Pixels:
    """Two ID mattes on each other; the upper one's background is transparent.

    Raises:
        MatteError: they differ in size.
    """
    if lower.shape != upper.shape:
        raise MatteError(
            f"the matte clips are {_size(lower)} and {_size(upper)} pixels",
            expected="two ID mattes of one size",
            fix="Scale one of them, or put both into one clip",
        )
    return np.where(upper > 0, upper, lower)


def _stretch(dtype: DType) -> int:
    """What ids of 8 bits are times, where a host has converted them."""
    return white(dtype) // 255


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
