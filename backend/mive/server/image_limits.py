"""How large image files may be, for the process that opens them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import OpenImageIO as oiio

from mive.errors import MediaError
from mive.media.image import ImageHead, probe_matte
from mive.media.raw import is_raw
from mive.media.sequence import find_sequence
from mive.request import EditRequest
from mive.server.damage import damage_told
from mive.wire.formats import LIMITS


def limit_images(longest_side: int) -> None:
    """Have this process refuse larger pixels by what their headers declare, before memory is asked for.

    Args:
        longest_side: in pixels.
    """
    oiio.attribute("limits:resolution", longest_side)
    oiio.attribute("limits:imagesize_MB", LIMITS.frame_bytes >> 20)


def check_images(request: EditRequest, longest_side: int) -> None:
    """Refuse a request one of whose images is to be shown larger than that, be it the last of a sequence.

    A few pixels are enough for a picture that declares any size, to which mattes are then brought.

    Raises:
        MediaError: naming the file.
    """
    for field, path in request.sources().items():
        for file in _images(Path(path)):
            head = _head(file)
            sizes = [] if head is None else [(spec.full_width, spec.full_height) for spec in head.specs]
            if sizes and max(map(max, sizes)) > longest_side:
                width, height = max(sizes, key=max)
                raise MediaError(
                    f"{file} declares {width} × {height} pixels",
                    expected=f"at most {longest_side} a side",
                    fix="Scale the images down, or ask who runs the server for more",
                    field=field,
                )


def _images(path: Path) -> tuple[Path, ...]:
    """The images that a path stands for. What is wrong with it shows when it is opened."""
    with contextlib.suppress(MediaError, OSError):
        sequence = None if is_raw(path) else find_sequence(path, holes=True)
        return () if sequence is None else sequence.files
    return ()


def _head(file: Path) -> ImageHead | None:
    with contextlib.suppress(MediaError), damage_told():
        return probe_matte(file)
    return None
