"""Clips of an instance, and the images that a host lends to a plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.hosts.link import Pixels
from tests.hosts.ofx_properties import Handles, PropertySet

DEPTHS = {1: "OfxBitDepthByte", 2: "OfxBitDepthShort", 4: "OfxBitDepthFloat"}
COMPONENTS = {4: "OfxImageComponentRGBA", 3: "OfxImageComponentRGB", 1: "OfxImageComponentAlpha"}

_GUARD = 0xA5
_MARGIN = 64


@dataclass
class Layout:
    """How the host lays images out in memory.

    Attributes:
        negative_rows: the top row lies first, so that row bytes are negative.
        padding: bytes after each row.
        origin: x1, y1 of the bounds.
    """

    negative_rows: bool = False
    padding: int = 0
    origin: tuple[int, int] = (0, 0)


class HostImage:
    """Pixels in memory, with guards around every row that tell when somebody writes where there is no pixel."""

    def __init__(self, pixels: Pixels, layout: Layout) -> None:
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.layout = layout
        self.row = pixels.shape[1] * int(np.prod(pixels.shape[2:])) * pixels.dtype.itemsize
        self.stride = self.row + layout.padding
        self._memory = np.full(2 * _MARGIN + self.stride * self.shape[0], _GUARD, np.uint8)
        self._rows()[:, : self.row] = np.ascontiguousarray(pixels).view(np.uint8).reshape(self.shape[0], -1)

    def properties(self) -> dict[str, Any]:
        x, y = self.layout.origin
        bounds = [x, y, x + self.shape[1], y + self.shape[0]]
        first = self._memory.ctypes.data + _MARGIN
        last = first + self.stride * (self.shape[0] - 1)
        return {
            "OfxPropType": "OfxTypeImage",
            "OfxImageEffectPropPixelDepth": DEPTHS[self.dtype.itemsize],
            "OfxImageEffectPropComponents": COMPONENTS[self.shape[2] if len(self.shape) == 3 else 1],
            "OfxImagePropData": last if self.layout.negative_rows else first,
            "OfxImagePropBounds": bounds,
            "OfxImagePropRegionOfDefinition": bounds,
            "OfxImagePropRowBytes": -self.stride if self.layout.negative_rows else self.stride,
            "OfxImagePropField": "OfxFieldNone",
        }

    def pixels(self) -> Pixels:
        """A copy, top row first."""
        data = np.ascontiguousarray(self._rows()[:, : self.row])
        return data.view(self.dtype).reshape(self.shape)

    def intact(self) -> bool:
        """Nobody wrote beside the pixels."""
        memory = self._memory
        margins = (memory[:_MARGIN], memory[len(memory) - _MARGIN :], self._rows()[:, self.row :])
        return all(bool((margin == _GUARD).all()) for margin in margins)

    def _rows(self) -> NDArray[np.uint8]:
        """The memory by rows, top row first."""
        rows = self._memory[_MARGIN : len(self._memory) - _MARGIN].reshape(self.shape[0], self.stride)
        return rows if self.layout.negative_rows else rows[::-1]


Content = Callable[[float], Pixels | None]
"""What a clip shows at a time."""


class Clip:
    """A clip of an instance; connected where it has content.

    Attributes:
        lent: the images that the plugin has not given back, by their handles.
    """

    def __init__(self, handles: Handles, name: str, properties: PropertySet, content: Content | None) -> None:
        self.name = name
        self.properties = properties
        self.content = content
        self.lent: dict[int, HostImage] = {}
        self.handle = handles.new(self)


@dataclass
class ImageFaults:
    """What can be wrong with an image: properties that are changed, or (None) left out."""

    changed: dict[str, Any] = field(default_factory=dict)

    def apply(self, properties: dict[str, Any]) -> dict[str, Any]:
        bent = {**properties, **self.changed}
        return {name: value for name, value in bent.items() if value is not None}


def lend(handles: Handles, clip: Clip, image: HostImage, faults: ImageFaults, more: dict[str, Any]) -> int:
    """The handle under which a plugin sees an image."""
    handle = PropertySet(handles, faults.apply({**image.properties(), **more})).handle
    clip.lent[handle] = image
    return handle
