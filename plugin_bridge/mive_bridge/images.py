"""How images lie in shared memory, and what their text says about them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Self

from numpy.typing import NDArray

from mive.base.samples import HOSTED, DType, sample_of
from mive_bridge.messages import Refused

Image = NDArray[Any]
"""``[H, W, 4]`` RGBA, ``[H, W, 3]`` RGB or ``[H, W]`` alpha, top row first: uint8, uint16 or float32."""

COMPONENTS: Final = {"rgba": 4, "rgb": 3, "alpha": 1}
PAGE: Final = 4096
"""Images begin at multiples of this many bytes; the first of them are for the stamp."""

_LONGEST: Final = 32768
_FORMAT: Final = re.compile(rf"([0-9]{{1,5}})x([0-9]{{1,5}}):({'|'.join(COMPONENTS)}):({'|'.join(HOSTED)})")
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Format:
    """Size and samples of an image."""

    width: int
    height: int
    components: str
    depth: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``64x48:rgba:byte``.

        Raises:
            Refused: it is something else, or no image of this size can be.
        """
        found = _FORMAT.fullmatch(text)
        if found is None or not all(1 <= int(found[side]) <= _LONGEST for side in (1, 2)):
            raise Refused("An image's format is malformed.")
        return cls(int(found[1]), int(found[2]), found[3], found[4])

    @property
    def channels(self) -> int:
        return COMPONENTS[self.components]

    @property
    def shape(self) -> tuple[int, ...]:
        """As of :data:`Image`."""
        size = (self.height, self.width)
        return size if self.channels == 1 else (*size, self.channels)

    @property
    def dtype(self) -> DType:
        return HOSTED[self.depth].dtype

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.width}x{self.height}:{self.components}:{self.depth}"


@dataclass(frozen=True)
class Seen:
    """An image as a request describes it.

    Attributes:
        fingerprint: of exactly these pixels.
        thumbprint: how it looks.
    """

    format: Format
    fingerprint: str
    thumbprint: str

    @classmethod
    def parse(cls, fingerprint: str, thumbprint: str) -> Self:
        """From the fields of a request.

        Raises:
            Refused: they are malformed.
        """
        head, _, digest = fingerprint.rpartition(":")
        if not _DIGEST.fullmatch(digest):
            raise Refused("An image's fingerprint is malformed.")
        form = Format.parse(head)
        if not re.fullmatch(f"[0-9a-f]{{{128 * form.channels}}}", thumbprint):
            raise Refused("An image's print is malformed.")
        return cls(form, fingerprint, thumbprint)


def whole_pages(count: int) -> int:
    """``count`` bytes, rounded up to where the next image may begin."""
    return -(-count // PAGE) * PAGE


def format_of(image: Image) -> Format:
    """The format of an image in memory."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    components = next(name for name, count in COMPONENTS.items() if count == channels)
    return Format(image.shape[1], image.shape[0], components, sample_of(image.dtype).host)
