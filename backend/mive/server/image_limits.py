"""How large image files may be, for the process that opens them."""

from __future__ import annotations

import OpenImageIO as oiio

from mive.wire.formats import LIMITS


def limit_images(longest_side: int) -> None:
    """Have this process refuse larger images by what their headers declare, before memory is asked for.

    Args:
        longest_side: in pixels.
    """
    oiio.attribute("limits:resolution", longest_side)
    oiio.attribute("limits:imagesize_MB", LIMITS.frame_bytes >> 20)
