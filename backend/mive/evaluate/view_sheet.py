"""Views drawn over their clip: on a contact sheet with a row for each window of frames, or on every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import cv2
import numpy as np

from mive.editing.framing import Framing, View
from mive.evaluate.sheet import COLOURS, Image, label, spread, strip, tinted, widen
from mive.media import Clip, Coverage, Mattes, Pixels
from mive.request import FrameRange

_CELL: Final = 400
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_INK: Final = (255, 255, 255)


def view_sheet(clip: Clip, mattes: Mattes, framing: Framing, shown: int = 4) -> Image:
    """The sheet, [H, W, 3] uint8 RGB: the mattes in their colours, and around them the boxes of the views.

    Args:
        mattes: those that the framing was made from.
        shown: how many frames of each window are drawn at most.

    Raises:
        MediaError: a frame cannot be read.
    """
    parts = []
    for _, frames, views in framing.windows():
        chosen = [frames.first + at for at in spread(len(frames), shown)]
        pictures = [
            drawn(next(clip.read(FrameRange(index, index))), mattes.read(index), mattes.ids, views, index, _CELL)
            for index in chosen
        ]
        row = strip(pictures)
        said = f"frames {frames}, here {', '.join(map(str, chosen))}: {len(views)} view{'s' if len(views) != 1 else ''}"
        parts += [label(said, row.shape[1]), row]
    width = max(part.shape[1] for part in parts)
    return np.vstack([widen(part, width) for part in parts])


def drawn_frames(clip: Clip, mattes: Mattes, framing: Framing) -> Iterator[Image]:
    """All frames in the clip's size with the boxes of the window in which each is finished, the last that has it.

    Raises:
        MediaError: a frame cannot be read.
    """
    windows = framing.windows()
    side = max(framing.width, framing.height)
    for index, frame in zip(framing.frames.indices(), clip.read(framing.frames), strict=True):
        views = next(framed.views for framed in reversed(windows) if framed.frames.first <= index)
        yield drawn(frame, mattes.read(index), mattes.ids, views, index, side)


def drawn(
    frame: Pixels, coverage: Coverage, ids: tuple[int, ...], views: Iterable[View], index: int, side: int
) -> Image:
    """One frame, its longer side ``side`` pixels; each box says its instances and model pixels to a pixel of the clip.

    Args:
        frame: [H, W, 3] in any depth.
        coverage: [M, H, W] of the instances ``ids``, whose place gives their colour. A box has that of its first one.
        index: the frame's, in the clip.
    """
    picture = tinted(frame, coverage, side)
    scale = side / max(frame.shape[:2])
    width = max(2, round(side / 480))
    for view in views:
        box = view.box(index)
        low, high = ((round(x * scale), round(y * scale)) for x, y in (box[:2], box[2:]))
        colour = COLOURS[ids.index(view.instances[0]) % len(COLOURS)]
        cv2.rectangle(picture, low, (high[0] - 1, high[1] - 1), colour, width)
        text = f"{'+'.join(map(str, view.instances))} x{view.scale:.2f}"
        _write(picture, text, (low[0], low[1], high[1]), colour, side / 1000)
    return picture


def _write(picture: Image, text: str, at: tuple[int, int, int], colour: tuple[int, int, int], size: float) -> None:
    """White words on a colour, above a box or, where the frame ends there, below it; ``at`` is left, top and bottom."""
    size = max(size, 0.4)
    (width, height), below = cv2.getTextSize(text, _FONT, size, 1)
    left = max(0, min(at[0], picture.shape[1] - width))
    above = at[1] - height - below
    top = above if above >= 0 else max(0, min(at[2], picture.shape[0] - height - below))
    cv2.rectangle(picture, (left, top), (left + width, top + height + below), colour, cv2.FILLED)
    cv2.putText(picture, text, (left, top + height), _FONT, size, _INK, 1, cv2.LINE_AA)
