"""A contact sheet: source, mattes, ideal and edit of a few frames, one below the other, on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.base.atomic import output_errors, write_whole
from mive.media import Coverage, Pixels
from mive.media.paste import to_depth

Image = NDArray[np.uint8]

COLOURS: Final = (
    (230, 60, 60), (60, 170, 75), (65, 110, 230), (240, 175, 30),
    (155, 80, 200), (40, 190, 200), (235, 110, 180), (130, 130, 50),
)  # fmt: skip
"""RGB of the mattes, one after the other; the ninth instance has the first one's again."""

_CELL: Final = 240
_GAP: Final = 8
_LINE: Final = 30
_PAPER: Final = (250, 250, 248)
_INK: Final = (30, 30, 30)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_SIZE: Final = 0.6


def spread(count: int, wanted: int = 6) -> list[int]:
    """At most ``wanted`` of the frames 0..count-1, evenly apart, the first and last among them."""
    return sorted({round(at) for at in np.linspace(0, count - 1, min(count, wanted))})


def contact_sheet(
    source: Sequence[Pixels],
    mattes: Sequence[Coverage],
    edited: Sequence[Pixels],
    captions: Sequence[str],
    ideal: Sequence[Pixels] = (),
) -> Image:
    """The sheet, [H, W, 3] uint8 RGB, as wide as the frames side by side.

    Args:
        source: frames [h, w, 3] in any depth.
        mattes: [M, h, w] float32 0..1 for each of them.
        edited: as many frames of the same size.
        captions: a line of text for each of the M instances, drawn in its matte's colour.
        ideal: what the edited frames would be at best; they are shown above those.
    """
    coloured = strip([tinted(frame, matte) for frame, matte in zip(source, mattes, strict=True)])
    # A frame or two are narrower than the words.
    narrowest = max(_text_width(text) for text in captions) + 3 * _GAP + _LINE
    width = max(coloured.shape[1], narrowest)
    legend = [label(text, width, COLOURS[i % len(COLOURS)]) for i, text in enumerate(captions)]
    parts = [*_row("source", source, width), label("mattes", width), coloured, *legend]
    if ideal:
        parts += _row("ideal", ideal, width)
    parts += [*_row("edited", edited, width), _blank(_GAP, width)]
    return np.vstack([widen(part, width) for part in parts])


def write_sheet(path: Path, sheet: Image) -> None:
    """Writes a sheet as PNG.

    Raises:
        OutputError: it cannot be written.
    """
    done, data = cv2.imencode(".png", sheet[..., ::-1])
    assert done
    with output_errors(path):
        write_whole(path, (data.tobytes(),))


def _row(name: str, frames: Sequence[Pixels], width: int) -> list[Image]:
    return [label(name, width), strip([small(frame) for frame in frames])]


def small(frame: Pixels, side: int = _CELL) -> Image:
    """The frame in 8 bits, its longer side ``side`` pixels."""
    picture = to_depth(frame, "u8")
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=_filter(scale)), np.uint8)


def tinted(frame: Pixels, matte: Coverage, side: int = _CELL) -> Image:
    """The frame in grey under the mattes in their colours, its longer side ``side`` pixels."""
    shown = small(frame, side)
    grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    picture = np.repeat(grey * 0.6 + 80, 3, axis=2)
    size = (shown.shape[1], shown.shape[0])
    scale = size[0] / matte.shape[2]
    for place, layer in enumerate(matte):
        share = cv2.resize(layer, size, interpolation=_filter(scale))[..., None].clip(0, 1)
        colour = np.array(COLOURS[place % len(COLOURS)], np.float32)
        shaded = colour * (0.45 + 0.55 * grey / 255)
        picture = picture * (1 - 0.85 * share) + shaded * 0.85 * share
    return picture.round().clip(0, 255).astype(np.uint8)


def _filter(scale: float) -> int:
    return cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR


def strip(cells: Sequence[Image]) -> Image:
    """Cells side by side, with a gap around each."""
    gap = _blank(cells[0].shape[0], _GAP)
    return np.hstack([gap, *(part for cell in cells for part in (cell, gap))])


def label(text: str, width: int, colour: tuple[int, int, int] | None = None) -> Image:
    """A line of text for a sheet, behind a patch of its matte's colour where it has one."""
    line = _blank(_LINE, width)
    start = _GAP
    if colour is not None:
        cv2.rectangle(line, (start, 7), (start + _LINE - 8, _LINE - 7), colour, cv2.FILLED)
        start += _LINE
    cv2.putText(line, text, (start, _LINE - 10), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)
    return line


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SIZE, 1)[0][0])


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), _PAPER, np.uint8)


def widen(part: Image, width: int) -> Image:
    """The part with paper at its right, as wide as the sheet."""
    return np.hstack([part, _blank(part.shape[0], width - part.shape[1])])
