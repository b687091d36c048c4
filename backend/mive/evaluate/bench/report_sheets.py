"""Pictures of single clips for a report: source, mattes, ideal and edit, as JPEG within the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.evaluate.bench.suite import SuiteClip
from mive.evaluate.sheet import COLOURS, spread
from mive.media import Coverage, Pixels, open_clip, open_mattes
from mive.media.paste import to_depth
from mive.request import FrameRange

FRAMES: Final = 4
SIDE: Final = 168
"""Pixels of a thumbnail's longer side; the page draws it somewhat smaller."""

_QUALITY: Final = 82

Image = NDArray[np.uint8]


def colour(place: int) -> str:
    """The colour of the matte at a place in the list of instances, as CSS has it."""
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[place % len(COLOURS)])


def strips(clip: SuiteClip, edited: Path) -> dict[str, list[str]]:
    """A few frames of source, mattes, the ideal edit where it is known, and edit as data URLs.

    Raises:
        MediaError: one of the clips cannot be read.
    """
    source = open_clip(clip.source)
    shown = spread(source.info.frames, FRAMES)
    whole = FrameRange(0, source.info.frames - 1)
    mattes = open_mattes(str(clip.mattes), clip.instances, source.info, whole)
    before, after = _thumbnails(clip.source, shown), _thumbnails(edited, shown)
    coloured = [marked(frame, mattes.read(index)) for frame, index in zip(before, shown, strict=True)]
    ideal = {"ideal": _thumbnails(clip.ideal, shown)} if clip.ideal else {}
    rows = {"source": before, "mattes": coloured, **ideal, "edit": after}
    return {name: [_jpeg(picture) for picture in row] for name, row in rows.items()}


def _thumbnails(path: Path, shown: Sequence[int]) -> list[Image]:
    clip = open_clip(path)
    return [_thumbnail(next(clip.read(FrameRange(index, index)))) for index in shown]


def _thumbnail(frame: Pixels) -> Image:
    picture = to_depth(frame, "u8")
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=smooth), np.uint8)


def marked(thumbnail: Image, matte: Coverage) -> Image:
    """A pale frame with each instance under its colour, outlined."""
    size = (thumbnail.shape[1], thumbnail.shape[0])
    picture = thumbnail // 3 + 150
    for place, layer in enumerate(matte):
        ink = COLOURS[place % len(COLOURS)]
        inside = np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)) >= 0.5
        picture[inside] = thumbnail[inside] * 0.35 + np.array(ink) * 0.65
        outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, ink, 1, cv2.LINE_AA)
    return picture


def _jpeg(picture: Image) -> str:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
