"""A study's videos: H.264 that every browser plays, and the source under numbered, coloured mattes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.evaluate.bench import report_sheets
from mive.evaluate.bench.suite import SuiteClip
from mive.media import ClipInfo, Coverage, Pixels, open_clip, open_mattes, open_writer
from mive.media.paste import to_depth
from mive.request import FrameRange

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_SIDE: Final = 480
"""Mattes of smaller clips are drawn larger, so that their numbers can be read."""


def write_video(source: Path, out: Path) -> ClipInfo:
    """Copies a clip as 8-bit H.264 with halved chroma; an odd size loses its last row or column.

    Returns:
        What was written.

    Raises:
        MediaError: the source cannot be read.
        OutputError: the copy cannot be written.
    """
    clip = open_clip(source)
    return _write(out, clip.info, (to_depth(frame, "u8") for frame in clip.read()), 1)


def write_mattes(clip: SuiteClip, out: Path) -> None:
    """Writes the source with every edited instance under its colour, with its number.

    Raises:
        MediaError: source or mattes cannot be read.
        OutputError: the video cannot be written.
    """
    source = open_clip(clip.source)
    info = source.info
    mattes = open_mattes(str(clip.mattes), clip.instances, info, FrameRange(0, info.frames - 1))
    scale = max(1, round(_LEAST_SIDE / max(info.width, info.height)))
    _write(out, info, marked(source.read(), mattes, scale), scale)


def _write(out: Path, info: ClipInfo, frames: Iterable[Pixels], scale: int) -> ClipInfo:
    width, height = (side * scale // 2 * 2 for side in (info.width, info.height))
    # Tags, time code and audio are left behind: a browser ignores them, or they tell files apart.
    written = ClipInfo(out, width, height, info.frames, info.rate, pixel_aspect=info.pixel_aspect)
    with open_writer(out, written, FrameRange(0, info.frames - 1)) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[:height, :width]))
    return written


def marked(frames: Iterable[Pixels], mattes: Iterable[Coverage], scale: int) -> Iterator[NDArray[np.uint8]]:
    for frame, layers in zip(frames, mattes, strict=True):
        size = (frame.shape[1] * scale, frame.shape[0] * scale)
        picture = report_sheets.marked(np.asarray(cv2.resize(to_depth(frame, "u8"), size), np.uint8), layers)
        for number, layer in enumerate(layers, start=1):
            _number(picture, str(number), layer, scale)
        yield picture


def _number(picture: NDArray[np.uint8], text: str, layer: Coverage, scale: int) -> None:
    """Writes a number where the instance is thickest, which is within it whatever its shape."""
    # Without a border an instance cut by the frame's edge would be thickest right there.
    inside = np.pad((layer >= 0.5).astype(np.uint8), 1)
    if not inside.any():
        return
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    top, left = np.unravel_index(int(depth.argmax()), depth.shape)
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.7, 2)
    at = (int((left - 0.5) * scale - width / 2), int((top - 0.5) * scale + height / 2))
    cv2.putText(picture, text, at, _FONT, 0.7, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.putText(picture, text, at, _FONT, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
