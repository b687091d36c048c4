"""Pixels on their way to the editor and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mive.base.samples import HOSTED, white
from mive_bridge.images import Format, Image

if TYPE_CHECKING:
    from mive.media.info import Pixels

Box = tuple[int, int, int, int]
"""Left, top, right and bottom; the latter two are outside."""

Mask = NDArray[np.bool_]
"""``[H, W]``: which pixels are edited."""

MARGIN: Final = 32
"""Pixels around what is edited that are kept with it: smaller frames mix them in at the edge."""


def straight(image: Image, *, premultiplied: bool) -> Pixels:
    """The colours ``[H, W, 3]`` of a source, no longer multiplied by its alpha, in its own depth."""
    if image.shape[2] == 3 or not premultiplied:
        return np.ascontiguousarray(image[..., :3])
    colour, alpha = image[..., :3], image[..., 3:]
    if image.dtype.kind == "f":
        return np.divide(colour, alpha, out=colour.copy(), where=alpha > 0)
    peak = white(image.dtype)
    shares, whole = colour.astype(np.uint64), np.maximum(alpha, 1).astype(np.uint64)
    return np.asarray(np.minimum((shares * peak + whole // 2) // whole, peak).astype(image.dtype))


def box_of(mask: Mask) -> Box:
    """What is edited, and a margin; empty where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (0, 0, 0, 0)
    height, width = mask.shape
    return (
        max(int(columns[0]) - MARGIN, 0),
        max(int(rows[0]) - MARGIN, 0),
        min(int(columns[-1]) + 1 + MARGIN, width),
        min(int(rows[-1]) + 1 + MARGIN, height),
    )


def with_mask(colour: Pixels, mask: Mask) -> Image:
    """``[H, W, 4]`` in the type of ``colour``, whose alpha is 0 or white."""
    image = np.empty((*mask.shape, 4), colour.dtype)
    image[..., :3] = colour
    image[..., 3] = mask * image.dtype.type(white(image.dtype))
    return image


def fitted(part: Image, box: Box, made: Format, wanted: Format) -> Image:
    """A whole frame in another size or depth.

    Args:
        part: ``[h, w, 4]``, what lies in ``box`` of a frame of the format ``made``.

    Returns:
        ``[H, W, 4]`` as ``wanted`` says. A pixel is edited where any of what it is made from is.
    """
    # Here and below: loading these takes longer than a plugin likes to wait for a bridge that starts.
    from mive.media.paste import to_depth

    out = np.zeros(wanted.shape, wanted.dtype)
    left, top, right, bottom = box
    inside, colour, edited = out[top:bottom, left:right], part[..., :3], part[..., 3] > 0
    if (made.width, made.height) != (wanted.width, wanted.height):
        inside, colour, edited = out, *_scaled(part, box, made, (wanted.width, wanted.height))
    inside[..., :3] = to_depth(colour, HOSTED[wanted.depth].depth)
    inside[..., 3] = edited * wanted.dtype.type(white(wanted.dtype))
    return out


def _scaled(part: Image, box: Box, made: Format, size: tuple[int, int]) -> tuple[Pixels, Mask]:
    """Colours and mask of the whole frame in another size; in float, so that nothing is rounded twice."""
    import cv2

    from mive.media.paste import to_depth

    left, top, right, bottom = box
    whole = np.zeros((made.height, made.width, 4), np.float32)
    whole[top:bottom, left:right, :3] = to_depth(part[..., :3], "f32")
    whole[top:bottom, left:right, 3] = part[..., 3] > 0
    smaller = size[0] < made.width or size[1] < made.height
    scaled = cv2.resize(whole, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return scaled[..., :3], scaled[..., 3] > 0
